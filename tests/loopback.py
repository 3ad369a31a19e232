"""A web server on loopback that serves what a test says, and fails on purpose."""

import asyncio
import contextlib
import gzip
import http.server
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pyoxigraph as ox

os.environ["no_proxy"] = ",".join(
    filter(None, [os.environ.get("no_proxy"), "127.0.0.1"])
)  # loopback is asked without anybody between


@dataclass
class Reply:
    """An answer: ``length`` lies about the body where it is not its own; ``cut`` ends the
    connection after so many bytes.
    """

    body: bytes = b""
    status: int = 200
    kind: str = "text/plain"
    headers: dict[str, str] = field(default_factory=dict)
    length: int | str | None = None
    cut: int | None = None
    wait: float = 0.0
    drip: float = 0.0
    chunked: bool = False


class Loopback:
    """Serves ``route(request)``; the replies in ``faults`` go first, one a request, None for a
    sound one.
    """

    def __init__(self, route):
        self.route = route
        self.faults = []
        self.seen = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self):
                self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.seen.append(self)
                reply = outer.faults.pop(0) if outer.faults else None
                with contextlib.suppress(OSError):
                    outer._send(self, outer.route(self) if reply is None else reply)

            do_GET = do_POST = _serve  # noqa: N815

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_):
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _send(self, request, reply):
        request.close_connection = True
        time.sleep(reply.wait)
        if reply.cut == -1:
            request.connection.shutdown(socket.SHUT_RDWR)
            return
        request.send_response(reply.status)
        request.send_header("Content-Type", reply.kind)
        request.send_header("Connection", "close")
        if reply.chunked:
            request.send_header("Transfer-Encoding", "chunked")
        elif reply.length != "none":
            request.send_header(
                "Content-Length", str(len(reply.body) if reply.length is None else reply.length)
            )
        for name, value in reply.headers.items():
            request.send_header(name, value)
        request.end_headers()
        body = reply.body if reply.cut is None else reply.body[: reply.cut]
        if reply.chunked:
            body = (
                b"%x\r\n" % len(reply.body)
                + body
                + (b"\r\n0\r\n\r\n" if reply.cut is None else b"")
            )
        if reply.drip:
            for byte in body:
                request.wfile.write(bytes([byte]))
                time.sleep(reply.drip)
        else:
            request.wfile.write(body)


def sparql(store, most=None, pages=True, headers=None, zipped=False, **further):
    """Return a route that answers SPARQL queries from a pyoxigraph store, as a SPARQL 1.1 endpoint
    does.

    ``most`` is the most solutions it gives, whatever is asked; without ``pages`` it ignores OFFSET.
    """

    def route(request):
        asked = parse_qs(request.body.decode() or urlsplit(request.path).query)["query"][0]
        lines = asked.splitlines()
        if not pages:
            lines = [line for line in lines if not line.startswith("OFFSET")]
        if most is not None:
            lines = [
                f"LIMIT {min(most, int(line.split()[1]))}" if line.startswith("LIMIT") else line
                for line in lines
            ]
        try:
            found = store.query("\n".join(lines))
        except SyntaxError as error:
            return Reply(f"the query: {error}".encode(), status=400)
        solved = isinstance(found, ox.QuerySolutions)
        body = found.serialize(
            format=ox.QueryResultsFormat.JSON if solved else ox.RdfFormat.N_TRIPLES
        )
        kind = (
            "application/sparql-results+json" if solved else "application/n-triples;charset=utf-8"
        )
        own = dict(headers or {})
        if zipped:
            assert "gzip" in request.headers["Accept-Encoding"]
            body, own["Content-Encoding"] = gzip.compress(body), "gzip"
        return Reply(body, kind=kind, headers=own, **further)

    return route


def asgi(app):
    """Return a route that hands requests to an ASGI application, somebody else's server."""

    def route(request):
        where = urlsplit(request.path)
        headers = [
            (name.lower().encode(), value.encode()) for name, value in request.headers.items()
        ]
        scope = {
            "type": "http",
            "method": request.command,
            "path": where.path,
            "query_string": where.query.encode(),
            "headers": headers,
        }
        scope |= {
            "http_version": "1.1",
            "scheme": "http",
            "root_path": "",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 1),
        }
        sent = []

        async def receive():
            return {"type": "http.request", "body": request.body, "more_body": False}

        async def send(message):
            sent.append(message)

        asyncio.run(app(scope | {"asgi": {"version": "3.0"}}, receive, send))
        kind = dict(sent[0]["headers"]).get(b"content-type", b"").decode()
        return Reply(
            b"".join(part.get("body", b"") for part in sent[1:]),
            status=sent[0]["status"],
            kind=kind,
        )

    return route
