"""Servers that are libraries of Python: python_servers.py PRODUCT MODE PORT CERTS."""

import socket
import ssl
import sys
import threading

from apps import BODY, wsgi

PRODUCT, MODE, PORT, CERTS = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
LOOPBACK = "127.0.0.1"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(BODY), BODY)
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def context():
    """Of the standard library, for the mode: none, optional, required, perhaps with a TLS version behind it."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(f"{CERTS}/server.crt", f"{CERTS}/server.key")
    mode, _, version = MODE.partition("-")
    modes = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
    made.verify_mode = modes[mode]
    if made.verify_mode:
        made.load_verify_locations(f"{CERTS}/client-ca.crt")
    if version:
        only = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
        made.minimum_version = made.maximum_version = only
    return made


def in_threads(answer):
    """Every connection to a thread of its own."""

    def alone(connection):
        try:
            connection.settimeout(10)
            answer(connection)
        except Exception as error:  # a client's fault ends its connection, nothing else
            print(type(error).__name__, error, flush=True)
        finally:
            connection.close()

    with socket.create_server((LOOPBACK, PORT)) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=alone, args=(connection,), daemon=True).start()


def stdlib() -> None:
    made = context()

    def answer(plain):
        with made.wrap_socket(plain, server_side=True) as tls:
            tls.recv(65536)
            tls.sendall(ANSWER)

    in_threads(answer)


def aiohttp():
    from aiohttp import web

    async def page(_request):
        return web.Response(body=BODY)

    application = web.Application()
    application.router.add_get("/{path:.*}", page)
    web.run_app(application, host=LOOPBACK, port=PORT, ssl_context=context())


def tornado():
    import asyncio

    from tornado.httpserver import HTTPServer
    from tornado.web import Application, RequestHandler

    class Page(RequestHandler):
        def get(self):
            self.write(BODY)

    async def serve():
        HTTPServer(Application([("/.*", Page)]), ssl_options=context()).listen(PORT, LOOPBACK)
        await asyncio.Event().wait()

    asyncio.run(serve())


def twisted():
    from twisted.internet import reactor
    from twisted.internet import ssl as tls
    from twisted.web.resource import Resource
    from twisted.web.server import Site

    class Page(Resource):
        isLeaf = True

        def render_GET(self, _request):
            return BODY

    def read(name):
        with open(f"{CERTS}/{name}") as file:
            return file.read()

    certificate = tls.PrivateCertificate.loadPEM(read("server.crt") + read("server.key"))
    authorities = tls.trustRootFromCertificates([tls.Certificate.loadPEM(read("client-ca.crt"))])
    options = tls.CertificateOptions(
        privateKey=certificate.privateKey.original,
        certificate=certificate.original,
        **({} if MODE == "none" else {"trustRoot": authorities}),
    )
    if MODE == "optional":
        from OpenSSL import SSL

        options.getContext().set_verify(SSL.VERIFY_PEER, lambda _c, _x, _n, _d, good: bool(good))
    reactor.listenSSL(PORT, Site(Page()), options, interface=LOOPBACK)
    reactor.run()


def cheroot():
    from cheroot.ssl.builtin import BuiltinSSLAdapter
    from cheroot.wsgi import Server

    server = Server((LOOPBACK, PORT), wsgi)
    server.ssl_adapter = BuiltinSSLAdapter(f"{CERTS}/server.crt", f"{CERTS}/server.key")
    server.ssl_adapter.context = context()
    server.start()


def grpc():
    from concurrent.futures import ThreadPoolExecutor

    import grpc as library

    def read(name):
        with open(f"{CERTS}/{name}", "rb") as file:
            return file.read()

    server = library.server(ThreadPoolExecutor(2))
    required = MODE == "required"
    credentials = library.ssl_server_credentials(
        [(read("server.key"), read("server.crt"))],
        root_certificates=read("client-ca.crt") if required else None,
        require_client_auth=required,
    )
    server.add_secure_port(f"{LOOPBACK}:{PORT}", credentials)
    server.start()
    server.wait_for_termination()


def pyopenssl():
    from OpenSSL import SSL

    made = SSL.Context(SSL.TLS_SERVER_METHOD)
    made.use_certificate_chain_file(f"{CERTS}/server.crt")
    made.use_privatekey_file(f"{CERTS}/server.key")
    made.load_verify_locations(f"{CERTS}/client-ca.crt")
    made.set_session_id(b"afar")
    insists = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
    flags = {"none": SSL.VERIFY_NONE, "optional": SSL.VERIFY_PEER}.get(MODE, insists)
    always = MODE in ("any", "name")
    made.set_verify(flags, lambda _c, _x, _n, _d, good: always or bool(good))

    def answer(plain):
        plain.settimeout(None)
        tls = SSL.Connection(made, plain)
        tls.set_accept_state()
        tls.do_handshake()
        tls.recv(65536)
        allowed = MODE != "name" or tls.get_peer_certificate().get_subject().CN == "alice"
        tls.sendall(ANSWER if allowed else REFUSAL)
        tls.shutdown()

    in_threads(answer)


def tlslite():
    from tlslite.api import TLSConnection, X509CertChain, parsePEMKey

    with open(f"{CERTS}/server.crt") as file:
        chain = X509CertChain()
        chain.parsePemList(file.read())
    with open(f"{CERTS}/server.key") as file:
        key = parsePEMKey(file.read(), private=True)

    def answer(plain):
        tls = TLSConnection(plain)
        tls.handshakeServer(certChain=chain, privateKey=key, reqCert=MODE != "none")
        tls.recv(65536)
        allowed = MODE != "any" or tls.session.clientCertChain
        tls.sendall(ANSWER if allowed else REFUSAL)
        tls.close()

    in_threads(answer)


{f.__name__: f for f in (stdlib, aiohttp, tornado, twisted, cheroot, grpc, pyopenssl, tlslite)}[PRODUCT]()
