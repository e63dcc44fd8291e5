#!/bin/bash
# The shell way to the certificates of an mTLS lab: two CAs, a server leaf, a client leaf. It asks nothing (-subj).
set -euo pipefail

mkdir -p certs

# Private keys for CAs
openssl genrsa -out certs/server-ca.key 2048
openssl genrsa -out certs/client-ca.key 2048

# CA certificates
openssl req -new -x509 -nodes -days 1000 -key certs/server-ca.key -out certs/server-ca.crt -subj "/CN=server CA"
openssl req -new -x509 -nodes -days 1000 -key certs/client-ca.key -out certs/client-ca.crt -subj "/CN=client CA"

# Certificate signing requests
openssl req -newkey rsa:2048 -nodes -keyout certs/server.key -out certs/server.req -subj "/CN=localhost"
openssl req -newkey rsa:2048 -nodes -keyout certs/client.key -out certs/client.req -subj "/CN=client"

# The CAs sign
openssl x509 -req -in certs/server.req -days 1000 -CA certs/server-ca.crt -CAkey certs/server-ca.key -set_serial 01 \
	-out certs/server.crt -extfile localhost.ext
openssl x509 -req -in certs/client.req -days 1000 -CA certs/client-ca.crt -CAkey certs/client-ca.key -set_serial 01 \
	-out certs/client.crt

rm certs/server.req certs/client.req
