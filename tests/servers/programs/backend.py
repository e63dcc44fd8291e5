"""A back end in clear for proxies: backend.py PORT TEXT."""

import http.server
import sys


class Page(http.server.BaseHTTPRequestHandler):
    """The text, for every path."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = sys.argv[2].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
