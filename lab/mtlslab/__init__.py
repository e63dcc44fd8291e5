"""mtlslab: a lab to show, learn and prove mutual TLS with two real nginx servers."""

__version__ = "0.1.0"
