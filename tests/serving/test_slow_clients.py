"""Clients that stop within a request, or take no answer, are dropped; others are answered again."""

import http.client
import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import pytest

pytest.importorskip("uvicorn", reason="needs uvicorn, of the inspect extra")

HEADS = {
    "nothing": b"",
    "half a line": b"GET / HT",
    "half a head": b"GET / HTTP/1.1\r\nHost: x\r\n",
    "half a body": b"POST /api/what-if HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{",
}


@contextmanager
def served(run, monkeypatch, seconds):
    from kgrec.serving import server
    from kgrec.serving.inspector import Inspector

    monkeypatch.setattr("kgrec.serving.protocols._PATIENCE", seconds)
    listening = server.open_socket(0)
    port = listening.getsockname()[1]
    service = server.Service(Inspector(run), listening)
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        yield port
    finally:
        service.stop()
        thread.join(20)
        assert not thread.is_alive()


def status(port, path="/"):
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    asked.request("GET", path, headers={"Connection": "close"})
    answer = asked.getresponse()
    answer.read()
    asked.close()
    return answer.status


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_the_server_recovers_from_half_sent_requests(head, hostile_run, monkeypatch):
    with served(hostile_run, monkeypatch, 1.5) as port, ExitStack() as stack:
        until(lambda: status(port) == 200)
        for _ in range(64):
            half = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            half.sendall(head)
        until(lambda: status(port) == 503)
        until(lambda: status(port) == 200)
        half.settimeout(20)
        with suppress(ConnectionError):
            while half.recv(1 << 16):  # what was answered of it, and the end
                pass


def test_a_drip_gives_no_more_time(hostile_run, monkeypatch):
    with (
        served(hostile_run, monkeypatch, 1.0) as port,
        socket.create_connection(("127.0.0.1", port)) as slow,
    ):
        began = time.monotonic()
        with suppress(ConnectionError):
            for byte in b"GET / HTTP/1.1\r\n" + b"X-Slow: drop\r\n" * 1000:
                slow.sendall(bytes([byte]))
                time.sleep(0.1)
        assert time.monotonic() - began < 15


def test_who_takes_no_answer_is_dropped(hostile_run, monkeypatch):
    with served(hostile_run, monkeypatch, 1.0) as port, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", port))
        request = f"GET /strings.js HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        deaf.sendall(request * 400)  # some 15 MB of answers
        time.sleep(4)
        total = 0
        with suppress(ConnectionError):
            while found := deaf.recv(1 << 16):
                total += len(found)
        assert total < 400 * 30_000


def test_a_connection_serves_one_request_after_another(hostile_run, monkeypatch):
    with served(hostile_run, monkeypatch, 1.0) as port:
        asked = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for _ in range(3):
            asked.request("GET", "/")
            answer = asked.getresponse()
            assert answer.status == 200
            assert answer.read()
            time.sleep(
                1.3
            )  # longer than a request may take: between requests nothing is asked of anyone
        asked.close()
