"""One attempt at a server: connect, finish a handshake, ask, read. It reports facts and never judges."""
