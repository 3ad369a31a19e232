"""Run the inspector on this machine's own address."""

import asyncio
import secrets
import socket

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from kgrec.errors import ConfigError
from kgrec.serving.app import make_app
from kgrec.serving.inspector import Inspector
from kgrec.serving.work import Worker

HOST = "127.0.0.1"
FIRST_PORT = 8008
_TRIES = 20
_PATIENCE = 10.0  # seconds for a request to arrive, and for an answer to be taken


def open_socket(port: int | None) -> socket.socket:
    """Return a listening socket on this machine's own address.

    Args:
        port: 0 takes any free one; None the first free one from 8008 on.

    Raises:
        ConfigError: If the port is taken, or not allowed.
    """
    if port is not None:
        return _bound(port)

    for candidate in range(FIRST_PORT, FIRST_PORT + _TRIES):
        try:
            return _bound(candidate)
        except ConfigError:
            continue

    return _bound(0)


def _bound(port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((HOST, port))
        found.listen(128)
    except OSError as error:
        found.close()
        raise ConfigError(
            f"port {port}: {error.strerror}. Pass another --port, or omit it to get a free one."
        ) from None

    return found


class _Timed(H11Protocol):
    """A connection with time limits on a request's arrival and on an answer's delivery.

    uvicorn has none: so many clients that stop within a request as it takes connections would keep
    it from answering for good.
    """

    _slow: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._slow = self.loop.call_later(_PATIENCE, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Go on waiting where a request is not whole; what has come of it gives it no more time."""
        super().data_received(data)
        begun = self.conn.their_state is h11.SEND_BODY or (
            self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        )
        if not begun:
            self._slow = _stopped(self._slow)
        elif self._slow is None:
            self._slow = self.loop.call_later(_PATIENCE, self.transport.abort)

    def pause_writing(self) -> None:
        """Wait for the client to take what it asked for."""
        super().pause_writing()
        self._stuck = self._stuck or self.loop.call_later(_PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop waiting: it does."""
        super().resume_writing()
        self._stuck = _stopped(self._stuck)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        super().connection_lost(exc)
        self._slow, self._stuck = _stopped(self._slow), _stopped(self._stuck)


def _stopped(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Stop a timer and return what stands for none."""
    if timer is not None:
        timer.cancel()
    return None


class Service:
    """The inspector on a socket.

    Args:
        inspector: What answers.
        listening: From ``open_socket``; closed at the end.

    Attributes:
        address: What to open in a browser. The token is in the fragment, which browsers send to
            no one.
    """

    def __init__(self, inspector: Inspector, listening: socket.socket) -> None:
        port = listening.getsockname()[1]
        token = secrets.token_urlsafe(24)
        self.address = f"http://{HOST}:{port}/#token={token}"
        self._listening = listening
        self._worker = Worker()
        self._server = uvicorn.Server(
            uvicorn.Config(
                make_app(inspector, token, [f"{HOST}:{port}", f"localhost:{port}"], self._worker),
                http=_Timed,
                log_level="warning",
                access_log=False,
                server_header=False,
                date_header=False,
                lifespan="off",
                ws="none",
                proxy_headers=False,
                limit_concurrency=64,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=2,
                h11_max_incomplete_event_size=65_536,
            )
        )

    def run(self) -> bool:
        """Answer until interrupted or stopped, and return whether nothing was being worked on then.

        The socket listens already: whoever connects before the first answer waits for it.
        """
        try:
            self._server.run([self._listening])
        except KeyboardInterrupt:
            pass  # uvicorn has shut down already and tells its caller why
        finally:
            self._listening.close()

        return self._worker.stop()

    def stop(self) -> None:
        """End ``run``, from another thread."""
        self._server.should_exit = True
