"""The Docker runtime: image, network, volumes and containers of a lab."""
