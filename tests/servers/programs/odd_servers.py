"""Servers of ours that do what others do now and then: odd_servers.py MODE PORT CERTS.

A MODE is WHAT-VERIFY: none, optional or required of the handshake, and what happens besides.
"""

import contextlib
import itertools
import socket
import ssl
import sys
import threading
import time

from apps import BODY

MODE, PORT, CERTS = sys.argv[1], int(sys.argv[2]), sys.argv[3]
WHAT, _, VERIFY = MODE.rpartition("-")
NAPPING = 30  # seconds; longer than anybody waits
FREE, TRIES = 2, 3
numbers = itertools.count(1)
refused = []


def context():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(f"{CERTS}/server.crt", f"{CERTS}/server.key")
    made.load_verify_locations(f"{CERTS}/client-ca.crt")
    modes = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
    made.verify_mode = modes[VERIFY]
    if WHAT == "later":
        made.minimum_version = ssl.TLSVersion.TLSv1_3
        made.post_handshake_auth = True
    return made


def page(status, body=BODY, header=""):
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{header}\r\n"
    return head.encode() + body


def limit(tls):
    """A limit on requests, told by nginx's usual status."""
    tls.sendall(page(200 if next(numbers) <= FREE else 503))


def ban(tls):
    """Who came three times without a certificate finds nobody in, whoever it is."""
    good = bool(tls.getpeercert())
    if not good:
        refused.append(1)
    tls.sendall(page(200) if good else page(403, b"no"))


def tarpit(tls):
    if not tls.getpeercert():
        time.sleep(NAPPING)
    tls.sendall(page(200))


def flaky(tls):
    """The back end is down every third time."""
    tls.sendall(page(200) if next(numbers) % 3 else page(502, b"bad gateway"))


def errs(tls):
    """The application breaks where it looks for the name of its client."""
    tls.sendall(page(200) if tls.getpeercert() else page(500, b"internal error"))


def later(tls):
    """Asks for the certificate when it has read the request (RFC 8446 section 4.6.2)."""
    tls.verify_client_post_handshake()
    tls.settimeout(0.3)
    with contextlib.suppress(TimeoutError):  # the certificate comes, and no request
        tls.recv(1)
    tls.sendall(page(200))


def lies(tls):
    tls.sendall(page(403, b"<title>403</title>A client certificate required."))


def login(tls):
    target = f"Location: https://login.example.test/?at={time.time()}\r\n"
    tls.sendall(page(200) if tls.getpeercert() else page(302, b"", target))


def mail(tls):
    """Speaks first, and hangs up on HTTP."""
    tls.sendall(b"220 hello from afar\r\n")
    if b"EHLO" in tls.recv(1024):
        tls.sendall(b"250 hello from afar\r\n")


def echo(tls):
    """Speaks no HTTP, and says nothing before it is spoken to."""
    if (said := tls.recv(1024)).startswith(b"ping"):
        tls.sendall(said)


def serve(plain, made):
    if len(refused) >= TRIES:
        return
    if WHAT == "proxy":  # the PROXY protocol's first line is wanted before the handshake
        plain.settimeout(10)
        if not plain.recv(6, socket.MSG_PEEK).startswith(b"PROXY "):
            return
    with made.wrap_socket(plain, server_side=True) as tls:
        if WHAT not in ("mail", "echo"):
            tls.recv(65536)
        globals()[WHAT](tls)


def alone(plain, made):
    try:
        plain.settimeout(NAPPING)
        serve(plain, made)
    except OSError as error:  # a client's fault ends its connection, nothing else
        print(type(error).__name__, error, flush=True)
    finally:
        plain.close()


def main():
    made = context()
    with socket.create_server(("127.0.0.1", PORT)) as listener:
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=alone, args=(plain, made), daemon=True).start()


main()
