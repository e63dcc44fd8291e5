"""Paths in a workspace: POSIX, relative to it. In a container the same tree is below /lab."""

SERVER_CERT, SERVER_KEY = "certs/server.crt", "certs/server.key"
SERVER_CA, SERVER_CA_KEY = "certs/server-ca.crt", "certs/server-ca.key"
CLIENT_CA, CLIENT_CA_KEY = "certs/client-ca.crt", "certs/client-ca.key"
CLIENT_CERT, CLIENT_KEY = "certs/client.crt", "certs/client.key"
CRL_DIRECTORY = "crl"
CRL = f"{CRL_DIRECTORY}/client-ca.crl"
# What was entered into that list so far, and its highest number: an older list in its place is noticed.
CRL_NOTE = f"{CRL_DIRECTORY}/issued.json"
COMPOSE_FILE = "docker-compose.yml"
HELLO = "hello-world.txt"
RUN_DIRECTORY = "run"  # pid file and temporary paths: a tmpfs in a container, a directory of the workspace on the host

# The faults: credentials that are broken, or odd but valid, on purpose.
FAULTS_DIRECTORY = "certs/faults"
# OpenSSL configuration for a client that must load a weak credential: OPENSSL_CONF=THIS_FILE.
WEAK_CLIENT = f"{FAULTS_DIRECTORY}/weak-client.cnf"
