"""``python -m tests.servers``: start every server, ask the oracle and the audit, and count."""
