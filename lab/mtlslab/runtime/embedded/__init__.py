"""The embedded runtime: nginx processes of the current user."""
