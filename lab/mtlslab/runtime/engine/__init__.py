"""A Docker Engine: where it is expected, and what it answers."""
