"""Measures mtlslab side by side with the shell way: `python -m benchmarks`."""
