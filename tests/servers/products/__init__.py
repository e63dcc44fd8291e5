"""One module a product: its cells, and no more."""
