"""HTTP requests, bounded in time, size, redirects and repetitions."""

import base64
import http.client
import logging
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from kgrec._version import __version__
from kgrec.errors import ConfigError, FetchError

_log = logging.getLogger("kgrec.data")

_SCHEMES = ("http", "https")
_PIECE = 1 << 16
_SNIPPET = 300
# Words of a server that will say the same again: it cannot sort so much, or the request is wrong.
_SORTING = re.compile(
    r"(?i)\bSR353\b|sorted top|rows to sort|\bORDER BY\b.*limit|sort.*(?:limit|exceed)"
)
_LASTING = re.compile(
    r"(?i)syntax|malformed|parse (?:error|exception)|undefined|not supported|unsupported"
    r"|not allowed|exceeds|Virtuoso [0-9A-Z]{5} Error"
)
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_NAMES_OF_GRAPHS = ("default-graph-uri", "named-graph-uri")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Manners:
    """How addresses are asked.

    Attributes:
        timeout: Seconds without a byte after which an attempt ends.
        longest: Seconds after which an attempt ends in any case.
        attempts: How often the same thing is asked for in a row.
        pause: Seconds before the second attempt; each further pause is twice as long.
        longest_pause: Most seconds of a pause. A server that asks for a longer one is not asked
            again.
        max_bytes: Most bytes of an answer.
        contact: An address or a page where the server's keepers reach you; sent with the name of
            the program.

    Raises:
        ConfigError: If a number is out of range, or the contact is more than one line.
    """

    timeout: float | int = 120
    longest: float | int = 3600
    attempts: int = 5
    pause: float | int = 1
    longest_pause: float | int = 120
    max_bytes: int = 1 << 28
    contact: str = ""

    def __post_init__(self) -> None:
        for name in ("timeout", "longest", "pause", "longest_pause"):
            value = getattr(self, name)
            if not 0 < value <= threading.TIMEOUT_MAX:
                raise ConfigError(f"{name}: {value} is not a positive number of seconds.")

        for name in ("attempts", "max_bytes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is below 1.")

        if not (self.contact.isascii() and (self.contact.isprintable() or not self.contact)):
            raise ConfigError(
                f"contact: {self.contact!r} is not one line of plain ASCII. Give an e-mail "
                "address or a page."
            )

    @property
    def agent(self) -> str:
        """What the program calls itself."""
        return (
            f"kgrec/{__version__} (knowledge graphs for "
            f"recommenders{'; ' if self.contact else ''}{self.contact})"
        )


@dataclass(frozen=True, slots=True)
class Address:
    """An http or https address without what is secret in it.

    Attributes:
        url: What is asked.
        shown: What people and files see: without the values in the query part, which may be keys;
            names of graphs stay.
        authorization: Header made of the user and password in the address; None if there are
            none.
    """

    url: str = field(repr=False)
    shown: str
    authorization: str | None = field(default=None, repr=False)


def address(url: str) -> Address:
    """Return the address that a text names.

    Raises:
        ConfigError: If it is no http or https address; the message shows neither user nor password.
    """
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname
        port = parts.port
    except ValueError:
        raise ConfigError(
            "an address that cannot be read as one. Give one such as https://example.org/sparql."
        ) from None

    bare = url.rsplit("@", 1)[-1].partition("?")[0][:200]
    if parts.scheme.lower() not in _SCHEMES or not host:
        raise ConfigError(
            f"{bare!r}: not an http or https address. Give one such as https://example.org/sparql."
        )
    if not url.isascii() or any(c <= " " or c == "\x7f" for c in url.strip()):
        raise ConfigError(
            f"{bare!r}: an address of plain ASCII without blanks is needed. Write other "
            "characters as %XX."
        )

    if ":" in host:
        netloc = f"[{host}]"
    else:
        netloc = host

    if port is not None:
        netloc += f":{port}"

    plain = urlunsplit((parts.scheme.lower(), netloc, parts.path or "/", parts.query, ""))
    kept = urlencode(
        [pair for pair in parse_qsl(parts.query) if pair[0] in _NAMES_OF_GRAPHS], safe=":/#"
    )
    shown = urlunsplit((parts.scheme.lower(), netloc, parts.path or "/", kept, ""))
    if parts.username is None:
        return Address(plain, shown)

    secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Address(plain, shown, "Basic " + base64.b64encode(secret.encode()).decode())


class Passing(Exception):  # noqa: N818 - a trouble that may pass, and no error unless it stays
    """Why an attempt failed that may succeed when it is made again.

    Attributes:
        wait: Seconds that the server asks to wait, None where it says nothing.
        gained: Whether the attempt got further than the one before.
    """

    def __init__(self, reason: str, wait: float | None = None, gained: bool = False) -> None:
        super().__init__(reason)
        self.wait = wait
        self.gained = gained


def patiently(attempt: Callable[[], Result], manners: Manners, name: str) -> Result:
    """Return what an attempt returns, made again after growing pauses where it fails by
    ``Passing``.

    Args:
        attempt: What to do.
        manners: How often and when.
        name: What it is about, for messages.

    Raises:
        FetchError: If every attempt failed, or the server asks for a longer pause than allowed.
    """
    failed = 0
    while True:
        try:
            return attempt()
        except Passing as trouble:
            if trouble.gained:
                failed = 1
            else:
                failed = failed + 1

            if failed >= manners.attempts:
                if failed > 1:
                    often = f", {failed} times in a row"
                else:
                    often = ""
                raise FetchError(
                    f"{name}: {trouble}{often}. Check the address and the connection, or try "
                    "again later."
                ) from None

            pause = _pause(trouble, failed, manners, name)
            _log.warning(
                "%s: %s; asked again in %.3g s (attempt %d of %d)",
                name,
                trouble,
                pause,
                failed + 1,
                manners.attempts,
            )
        time.sleep(pause)


def _pause(trouble: Passing, failed: int, manners: Manners, name: str) -> float:
    if trouble.wait is not None and trouble.wait > manners.longest_pause:
        raise FetchError(
            f"{name}: {trouble}, and asks to wait {trouble.wait:.0f} s. Try again then, or raise "
            "longest_pause."
        )
    return max(
        trouble.wait or 0.0, min(manners.pause * 2.0 ** min(failed - 1, 60), manners.longest_pause)
    )


class Answer:
    """An answer whose body is still to come.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, response: Any, guard: "_Guard", where: Address, manners: Manners) -> None:
        self.status: int = response.status
        self._response = response
        self._guard = guard
        self._where = where
        self._manners = manners

    def header(self, name: str) -> str:
        """Return a header, "" if there is none."""
        return str(self._response.headers.get(name, ""))

    @property
    def length(self) -> int | None:
        """The length of the body that the server names, None where it names none."""
        text = self.header("Content-Length").strip()
        if text.isascii() and text.isdigit() and len(text) < 20:
            return int(text)
        return None

    @property
    def bounded(self) -> bool:
        """Whether the end of the body can be told from a connection that broke."""
        return self.length is not None or "chunked" in self.header("Transfer-Encoding").lower()

    def pieces(self) -> Iterator[bytes]:
        """Yield the body.

        Raises:
            Passing: If it breaks off, or nothing comes any more.
            FetchError: If it is larger than allowed.
        """
        size = 0
        while piece := self._next():
            size += len(piece)
            if size > self._manners.max_bytes:
                raise FetchError(
                    f"{self._where.shown}: an answer of more than {self._manners.max_bytes:,} "
                    "bytes. Ask for less at once."
                )

            yield piece

        if self._guard.late:
            raise Passing(_late(self._manners))
        if self.length is not None and size < self.length:
            raise Passing(f"the answer breaks off after {size:,} of {self.length:,} bytes")

    def _next(self) -> bytes:
        with _translated(self._where, self._guard, self._manners):
            return bytes(self._response.read1(_PIECE))


@contextmanager
def open_address(
    where: Address, manners: Manners, headers: Mapping[str, str], data: bytes | None = None
) -> Iterator[Answer]:
    """Ask an address once and give its answer: GET, or POST where there is ``data``.

    Up to ten redirects are followed, to http and https alone, and never from https to http; a user
    and a password are not sent on.

    Raises:
        Passing: If it may go better when asked again: 429, 5xx, a time-out, a connection that
            broke.
        FetchError: If it will not.
    """
    request = urllib.request.Request(
        where.url, data=data, headers={"User-Agent": manners.agent, **headers}
    )
    if where.authorization is not None:
        request.add_unredirected_header("Authorization", where.authorization)

    with _Guard(manners.longest) as guard:
        with _translated(where, guard, manners):
            response = _opener(guard).open(request, timeout=manners.timeout)
        with response:
            yield Answer(response, guard, where, manners)


def _late(manners: Manners) -> str:
    return f"no whole answer within {manners.longest:g} s"


@contextmanager
def _translated(where: Address, guard: "_Guard", manners: Manners) -> Iterator[None]:
    """Turn what the network and its library raise into ``Passing`` or ``FetchError``."""
    try:
        yield
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(where, error) from None
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(where, error) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise _untrusted(where, error.reason) from None
        raise Passing(_why(error.reason, guard, manners)) from None
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, FetchError):
            raise
        raise Passing(_why(error, guard, manners)) from None


def _why(error: object, guard: "_Guard", manners: Manners) -> str:
    if guard.late:
        return _late(manners)
    return _reason(error, manners)


def _untrusted(where: Address, error: ssl.SSLCertVerificationError) -> FetchError:
    return FetchError(
        f"{where.shown}: its certificate cannot be trusted ({error.verify_message}). Check the "
        "address and the clock."
    )


def _reason(error: object, manners: Manners) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing came for {manners.timeout:g} s"
    if isinstance(error, http.client.IncompleteRead):
        return "the answer breaks off"

    if isinstance(error, OSError) and error.strerror:
        said = error.strerror
    else:
        said = str(error)

    return f"no answer ({' '.join(said.split())[:_SNIPPET] or type(error).__name__})"


def _refusal(where: Address, error: urllib.error.HTTPError) -> Exception:
    said = f"answered {error.code} {' '.join(str(error.reason).split())[:_SNIPPET]}".rstrip()
    if error.code == 500:
        said += _first_words(error)
        if _SORTING.search(said):
            return SortingError(f"{where.shown}: {said}. Ask for smaller pages, or omit ORDER BY.")
        if _LASTING.search(said):
            return FetchError(f"{where.shown}: {said}. Correct what was asked.")

    if error.code in _PASSING:
        return Passing(said, wait=_retry_after(error.headers))
    if error.code in (401, 403):
        return FetchError(
            f"{where.shown}: {said}. It wants a user and a password, or does not serve you: see "
            "its own pages."
        )
    if error.code == 404:
        return NotThereError(f"{where.shown}: {said}. Check the address.")
    if error.code == 416:
        return RangeError(f"{where.shown}: {said}. Ask for the whole.")

    said += _first_words(error)
    if _SORTING.search(said):
        return SortingError(f"{where.shown}: {said}. Ask for smaller pages, or omit ORDER BY.")

    return FetchError(f"{where.shown}: {said}. Check the address and what was asked.")


class NotThereError(FetchError):
    """The server knows nothing by that name."""


class SortingError(FetchError):
    """The server does not sort so many rows."""


class RangeError(FetchError):
    """The server does not have the piece that was asked for."""


def _first_words(error: urllib.error.HTTPError) -> str:
    """Return the first words of a refusal, which often say what is wrong with a query."""
    with suppress(OSError, ValueError, http.client.HTTPException):
        text = " ".join(error.read(4 * _SNIPPET).decode("utf-8", "replace").split())[:_SNIPPET]
        if text:
            return f": {text}".rstrip(".")

        return ""

    return ""


def _retry_after(headers: Message | None) -> float | None:
    """Return how many seconds a server asks to wait: a number, or a moment."""
    if headers is None:
        text = ""
    else:
        text = str(headers.get("Retry-After", "")).strip()

    if text.isascii() and text.isdigit():
        return float(text[:12])

    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())

    return None


class _Guard:
    """Ends a connection after some seconds, however slowly it drips."""

    def __init__(self, seconds: float | int) -> None:
        self.late = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> "_Guard":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def hold(self, connection: socket.socket) -> None:
        """Watch a connection."""
        self._socket = connection
        if self.late:
            self._end()

    def _end(self) -> None:
        self.late = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects with the same method and body, except after 303, and never to a less safe
    scheme.
    """

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request:
        """Return the request that follows.

        Raises:
            FetchError: If it would leave http and https, or go from https to http.
        """
        where = address(req.full_url).shown
        try:
            goal = address(newurl)
        except ConfigError:
            raise FetchError(
                f"{where}: redirects to what is no http or https address. Ask its keepers."
            ) from None

        if req.type == "https" and not goal.url.startswith("https:"):
            raise FetchError(
                f"{where}: redirects from https to {goal.shown}, which anybody can read. Give "
                "that address yourself to use it."
            )

        kept = {
            name: value
            for name, value in req.headers.items()
            if code != 303 or name.lower() != "content-type"
        }
        if code == 303:
            data = None
        else:
            data = req.data

        return urllib.request.Request(
            goal.url,
            data=data,
            headers=kept,
            origin_req_host=req.origin_req_host,
            unverifiable=True,
        )


def _opener(guard: _Guard) -> urllib.request.OpenerDirector:
    """Return what opens http and https addresses, and nothing else."""

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            guard.hold(self.sock)

    class Secure(http.client.HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            guard.hold(self.sock)

    class Http(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Plain, req)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Secure, req)

    opener = urllib.request.OpenerDirector()
    errors = (urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor())
    for handler in (urllib.request.ProxyHandler(), Http(), Https(), _Redirects(), *errors):
        opener.add_handler(handler)

    return opener
