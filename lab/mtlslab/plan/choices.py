"""The values that settings and options take, each written once. Imports nothing: `--help` needs them all."""

from __future__ import annotations

KEY_TYPES = ("rsa-2048", "rsa-3072", "ec-p256", "ec-p384", "ed25519")
CLIENT_AUTH = ("none", "optional", "required")
RUNTIMES = ("auto", "docker", "embedded")
PULL = ("missing", "always", "never")
TLS_SERVICE = "nginx-tls"
MTLS_SERVICE = "nginx-mtls"
SERVICES = (TLS_SERVICE, MTLS_SERVICE)
