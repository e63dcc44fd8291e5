"""The effective configuration of a lab's services, read as nginx reads it: with inheritance, includes and paths."""
