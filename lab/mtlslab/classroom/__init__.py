"""Teaching material: pages about checks, and recipes for common TLS clients."""
