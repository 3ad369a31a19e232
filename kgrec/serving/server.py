"""Run the inspector on this machine's own address."""

import secrets
import socket

import uvicorn

from kgrec.errors import ConfigError
from kgrec.serving.app import make_app
from kgrec.serving.inspector import Inspector
from kgrec.serving.protocols import QUIET, in_python
from kgrec.serving.work import Worker

HOST = "127.0.0.1"
FIRST_PORT = 8008
_TRIES = 20


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
                http=in_python(),
                loop="asyncio",
                log_level="warning",
                limit_concurrency=64,
                timeout_graceful_shutdown=2,
                **QUIET,
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
