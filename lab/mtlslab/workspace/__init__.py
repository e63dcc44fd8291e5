"""All that touches the lab's directory: files, certificates, revocation list, credentials."""
