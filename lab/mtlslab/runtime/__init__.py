"""Runtimes: they run nginx in Docker containers or as processes of this machine."""
