"""Servers that are not ours, as a table: product x configuration -> what it does about client certificates."""
