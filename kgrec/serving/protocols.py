"""Connections with limits of time and size, for uvicorn, which has none.

So many clients that stop within a request as it takes connections would keep it from answering for
good.
"""

import asyncio
from functools import cache
from importlib.util import find_spec
from typing import Any

_PATIENCE = 10.0  # seconds for a request to arrive, and for an answer to be taken
_LONGEST_HEAD = 65_536

QUIET: dict[str, Any] = {
    "access_log": False,
    "server_header": False,
    "date_header": False,
    "lifespan": "off",
    "ws": "none",
    "proxy_headers": False,
    "timeout_keep_alive": 30,
    "h11_max_incomplete_event_size": _LONGEST_HEAD,
}
"""Settings of uvicorn for every server of kgrec."""


class Timed(asyncio.Protocol):
    """Limits on a request's arrival and on an answer's delivery; beside a protocol of uvicorn."""

    transport: Any
    cycle: Any  # the last request and its answer
    loop: asyncio.AbstractEventLoop
    _ended = False
    _slow: Any = None  # handles of timers
    _stuck: Any = None

    def begun(self) -> bool:
        """Return whether a part of a request has come, and not all of it."""
        raise NotImplementedError

    def connection_made(self, transport: Any) -> None:  # some loops' are of no base class
        """Wait for the first request."""
        super().connection_made(transport)
        self._slow = self.loop.call_later(_PATIENCE, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """Go on waiting where a request is not whole; what has come of it gives it no more time."""
        super().data_received(data)
        if not self.begun():
            _stop(self._slow)
            self._slow = None
        elif self._slow is None:
            self._slow = self.loop.call_later(_PATIENCE, self.transport.abort)

    def eof_received(self) -> Any:  # uvicorn says None; asyncio asks whether to stay
        """Answer a client that sends no more what it has asked for."""
        self._ended = True
        return self._answers() and not self.begun()

    def on_response_complete(self) -> None:
        """Take leave of such a client when it has all answers."""
        super().on_response_complete()  # type: ignore[misc]
        if self._ended and not self._answers():
            self.transport.close()

    def _answers(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def pause_writing(self) -> None:
        """Wait for the client to take what it asked for."""
        super().pause_writing()
        self._stuck = self._stuck or self.loop.call_later(_PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop waiting: it does."""
        super().resume_writing()
        _stop(self._stuck)
        self._stuck = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        super().connection_lost(exc)
        _stop(self._slow)
        _stop(self._stuck)
        self._slow = self._stuck = None


def _stop(timer: Any) -> None:
    """Stop a timer, if there is one."""
    if timer is not None:
        timer.cancel()


@cache
def in_python() -> type[asyncio.Protocol]:
    """Return HTTP in Python: everywhere, and slower."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class TimedH11(Timed, H11Protocol):
        """HTTP in Python."""

        def begun(self) -> bool:
            """Return whether a part of a request has come, and not all of it."""
            return self.conn.their_state is h11.SEND_BODY or (
                self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
            )

    return TimedH11


def fastest() -> type[asyncio.Protocol]:
    """Return the fastest protocol that is installed: in C where httptools is."""
    if find_spec("httptools") is None:
        return in_python()

    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class TimedHttpTools(Timed, HttpToolsProtocol):
        """HTTP in C; it has no limit on what comes before a body, so there is one here."""

        _whole = True
        _head = 0

        def begun(self) -> bool:
            """Return whether a part of a request has come, and not all of it."""
            return not self._whole or self._head > 0  # what it skips, as an empty line, is no end

        def data_received(self, data: bytes) -> None:
            """Give up on a request whose address and headers do not end."""
            self._head += len(data)
            super().data_received(data)
            if self._head > _LONGEST_HEAD:
                self.transport.abort()

        def on_message_begin(self) -> None:
            """Wait for the rest."""
            self._whole = False
            super().on_message_begin()

        def on_headers_complete(self) -> Any:
            """Take the body, whose size the application limits."""
            found = super().on_headers_complete()
            self._head = -(1 << 40)
            return found

        def on_message_complete(self) -> None:
            """Stop waiting."""
            self._whole = True
            self._head = 0
            super().on_message_complete()

    return TimedHttpTools
