"""One page, as an ASGI and as a WSGI application."""

BODY = b"hello from afar"


async def asgi(scope, receive, send):
    """The page, and the life of a server."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    length = (b"content-length", b"%d" % len(BODY))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain"), length]})
    await send({"type": "http.response.body", "body": BODY})


def wsgi(_environment, start_response):
    """The same."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))])
    return [BODY]
