"""One attempt at a server: connect, finish a handshake, ask, read. It reports facts and never judges.

The only place of the package that opens a connection to a server under test: ``model`` holds what goes in and comes
out, ``attempt`` is the engine.
"""
