"""The Docker Engine: finds its address and connects to it."""
