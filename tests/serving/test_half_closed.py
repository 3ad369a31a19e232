"""Clients that send no more (`nc -N`, `shutdown`) get all answers, also those that take a while."""

import asyncio
import socket
import threading
import time
from contextlib import contextmanager

import pytest

uvicorn = pytest.importorskip("uvicorn", reason="needs uvicorn, of the serve extra")
protocols = pytest.importorskip("kgrec.serving.protocols")

ASKED = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"


async def slow(scope, receive, send):
    await asyncio.sleep(0.05)
    body = scope["path"].encode()
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def served(protocol):
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        slow, http=protocol, loop="asyncio", log_level="error", **protocols.QUIET
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield listening.getsockname()
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def answers(address, sent, ends=True):
    """What comes back until the server ends, and in how many seconds."""
    with socket.create_connection(address, timeout=8) as client:
        client.sendall(sent)
        began = time.monotonic()
        if ends:
            client.shutdown(socket.SHUT_WR)
        found = b""
        while part := client.recv(1 << 16):
            found += part
        return found, time.monotonic() - began


@pytest.mark.parametrize("protocol", ["fastest", "in_python"])
def test_what_was_asked_is_answered_and_the_connection_ends(protocol):
    with served(getattr(protocols, protocol)()) as address:
        for count in (1, 3):
            found, _ = answers(address, b"".join(ASKED % n for n in range(count)))
            assert found.count(b"HTTP/1.1 200") == count
            assert [found.index(b"\r\n\r\n/%d" % n) for n in range(count)]

        for half in (b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"):
            _, seconds = answers(address, half)
            assert seconds < 4  # not the patience that slow clients have
        found, _ = answers(
            address, (ASKED % 7).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), False
        )
        assert found.endswith(b"/7")
