"""The service's routes: who may use them, within which limits, and how requests become answers."""

import asyncio
import hashlib
import hmac
import logging
import os
import re
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from kgrec._version import __version__
from kgrec.errors import KgrecError, nearest
from kgrec.serving.guards import (
    HARDENED,
    encoded,
    foreign_host,
    foreign_site,
    is_json,
    joined,
    read_body,
)
from kgrec.serving.http.answers import Service
from kgrec.serving.http.live import Live
from kgrec.serving.http.metrics import Metrics
from kgrec.serving.http.openapi import document, page
from kgrec.serving.http.problems import MEDIA, ProblemError, invalid, problem_of
from kgrec.serving.http.types import (
    LONGEST_ID,
    MOST_BYTES,
    MOST_K,
    ExplainRequest,
    Health,
    RecommendRequest,
    ScoreRequest,
    SimilarRequest,
    Version,
)

API = "1"
logger = logging.getLogger("kgrec.serve")
_OPEN = ("/v1/live", "/v1/ready")
_IN_BODIES = frozenset({"where", "users", "most"})
_ADMIN = ("/v1/reload",)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_WHOLE = re.compile(r"-?[0-9]{1,10}")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"
_HEADERS = encoded({**HARDENED, "content-security-policy": _POLICY})
_KEPT = (b"cache-control",)
_PREFLIGHT = {
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "authorization, content-type, x-api-key, x-request-id",
    "access-control-max-age": "600",
}
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}
_MOST_PARTS = 1_000
_encode = msgspec.json.Encoder().encode
T = TypeVar("T", bound=msgspec.Struct)
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask.

    Attributes:
        keys: SHA-256 of each API key; none lets everyone of this machine ask.
        admin: SHA-256 of each key that may also reload; none takes ``keys``.
        hosts: Values of the Host header to answer to; none answers to all.
        origins: Sites whose pages may ask (CORS).
    """

    keys: tuple[bytes, ...] = ()
    admin: tuple[bytes, ...] = ()
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    def knows(self, given: str, admin: bool = False) -> bool:
        """Return whether a key is one of them; how long that takes says nothing."""
        found = hashlib.sha256(given.encode("utf-8", "surrogatepass")).digest()
        known = self.admin or self.keys if admin else (*self.keys, *self.admin)
        return any([hmac.compare_digest(found, key) for key in known])


class Gate:
    """What every request passes: limits, keys, and what is counted and logged.

    Args:
        routes: What is behind it.
        live: What is served.
        metrics: Counts requests.
        access: Who may ask.
        most_open: Requests that may be open at once.
        log: Whether a line of JSON per request goes to standard error.
        log_users: Whether it names the user.
    """

    def __init__(
        self,
        routes: "_Routes",
        live: Live,
        metrics: Metrics,
        access: Access,
        most_open: int,
        log: bool,
        log_users: bool,
    ) -> None:
        self._routes = routes
        self._live = live
        self._metrics = metrics
        self._access = access
        self._most_open = most_open
        self._log = log
        self._log_users = log_users
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _say_ready(receive, send)
        if scope["type"] != "http":
            return

        began = monotonic()
        request = Request(scope, receive)
        given = request.headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else os.urandom(8).hex()
        scope["state"] = state = {"request_id": request_id, "log": {}}
        status = 500
        headers = self._headers(request, request_id)
        self._open += 1
        try:
            refused = self._refusal(request)
            if refused is not None:
                answer = problem_response(refused, request_id)
            elif self._asks_leave(request):
                answer = Response(None, 204, _PREFLIGHT)
            else:
                answer = await self._routes.answer(request)

            status = answer.status_code
            answer.raw_headers = joined(answer.raw_headers, headers, kept=_KEPT)
            await answer(scope, receive, send)
        finally:
            self._open -= 1
            seconds = monotonic() - began
            self._metrics.request(scope["path"], status, seconds)
            if self._log:
                self._write(scope, state, status, seconds)

    async def on_bug(self, request: Request, error: Exception) -> Response:
        """Return the answer where one could not be made, and log why."""
        request_id = str(request.state.request_id)
        trace = "".join(traceback.format_exception(error))
        logger.error("request %s: a bug\n%s", request_id, trace)
        answer = problem_response(problem_of(error), request_id)
        answer.raw_headers = joined(
            answer.raw_headers, self._headers(request, request_id), kept=_KEPT
        )
        return answer

    def _asks_leave(self, request: Request) -> bool:
        """Return whether a browser asks on behalf of an allowed page what it may send."""
        return request.method == "OPTIONS" and request.headers.get("origin") in self._access.origins

    def _headers(self, request: Request, request_id: str) -> dict[bytes, bytes]:
        found = {
            **_HEADERS,
            b"x-kgrec-run": self._live.service.run.encode(),
            b"x-request-id": request_id.encode(),
        }
        if self._live.draining:
            found[b"connection"] = b"close"

        origin = request.headers.get("origin")
        if origin in self._access.origins and origin is not None:
            found |= {
                b"access-control-allow-origin": origin.encode(),
                b"access-control-expose-headers": b"etag, x-kgrec-run, x-request-id",
                b"vary": b"origin",
                b"cross-origin-resource-policy": b"cross-origin",
            }

        return found

    def _refusal(self, request: Request) -> ProblemError | None:
        path = request.scope["path"]
        access = self._access
        if access.hosts and foreign_host(request.headers, access.hosts):
            return ProblemError("misdirected", "this server answers to its own address alone.")
        # without keys, a page that someone on this machine looks at could ask
        guarded = access.keys or access.admin or request.headers.get("origin") in access.origins
        if not guarded and foreign_site(request.headers):
            return ProblemError("forbidden", "requests of other sites are not answered.")

        if path in _OPEN:
            return None
        if self._open > self._most_open:
            return ProblemError("busy", f"{self._most_open} requests are open. Try again.")
        if (access.keys or access.admin) and request.method != "OPTIONS":
            given = request.headers.get("x-api-key", "")
            bearer = request.headers.get("authorization", "")
            if bearer[:7].lower() == "bearer ":
                given = bearer[7:].strip()
            if not access.knows(given, path in _ADMIN):
                return ProblemError("unauthorized", "the API key is missing or wrong.")

        return None

    def _write(self, scope: Scope, state: Mapping[str, Any], status: int, seconds: float) -> None:
        """Write a line of the log. What a user is called is in it only on request."""
        said = dict(state["log"])
        if not self._log_users:
            said.pop("user", None)

        record = {
            "request_id": state["request_id"],
            "method": scope["method"],
            "path": scope["path"][:200],
            "status": status,
            "ms": round(seconds * 1000, 3),
            "run": self._live.service.run,
            **said,
        }
        sys.stderr.write(_encode(record).decode("utf-8", "replace") + "\n")


async def _say_ready(receive: Receive, send: Send) -> None:
    """Tell a server that asks that there is nothing to start, and nothing to end."""
    for part in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{part}.complete"})


def problem_response(problem: ProblemError, request_id: str) -> Response:
    """Return the answer that a problem is."""
    headers = {}
    if problem.status == 503:
        headers["retry-after"] = "1"
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    if problem.status == 413:
        headers["connection"] = "close"
    body = problem.body(request_id)
    return Response(body, problem.status, headers, media_type=MEDIA)


def make_app(
    live: Live,
    metrics: Metrics,
    access: Access | None = None,
    *,
    most_open: int = 256,
    log: bool = False,
    log_users: bool = False,
) -> ASGIApp:
    """Return the service.

    Args:
        live: What is served.
        metrics: Counts requests and lists.
        access: Who may ask.
        most_open: Requests that may be open at once; others are told to come again.
        log: Whether a line of JSON per request goes to standard error.
        log_users: Whether it names the user.
    """
    routes = _Routes(live, metrics)
    gate = Gate(routes, live, metrics, access or Access(), most_open, log, log_users)
    return ServerErrorMiddleware(gate, gate.on_bug)


class _Routes:
    """Endpoints, by their paths; a router of patterns and its layers take longer than most answers.

    Args:
        live: What is served.
        metrics: Counts requests and lists.
    """

    def __init__(self, live: Live, metrics: Metrics) -> None:
        self._live = live
        self._metrics = metrics
        read = ("GET", "HEAD")
        self._endpoints: dict[str, tuple[Endpoint, tuple[str, ...]]] = {
            "/v1/recommend": (self.recommend, (*read, "POST")),
            "/v1/similar": (self.similar, (*read, "POST")),
            "/v1/score": (self.score, ("POST",)),
            "/v1/explain": (self.explain, ("POST",)),
            "/v1/items": (self.items, read),
            "/v1/run": (self.run, read),
            "/v1/live": (self.alive, read),
            "/v1/ready": (self.ready, read),
            "/v1/version": (self.version, read),
            "/v1/reload": (self.reload, ("POST",)),
            "/metrics": (self.metrics, read),
            "/openapi.json": (self.openapi, read),
            "/": (self.docs, read),
            "/style.css": (self.style, read),
        }

    async def answer(self, request: Request) -> Response:
        """Return the answer to a request; an error becomes a problem."""
        try:
            return await self._answered(request)
        except (ProblemError, KgrecError) as error:
            problem = error if isinstance(error, ProblemError) else problem_of(error)

        return problem_response(problem, request.state.request_id)

    async def _answered(self, request: Request) -> Response:
        found = self._endpoints.get(request.scope["path"])
        if found is None:
            raise ProblemError("not-found", "there is no such address. See /openapi.json.")

        endpoint, methods = found
        if request.method not in methods:
            raise ProblemError("method-not-allowed", f"{request.method} is not answered here.")
        return await endpoint(request)

    def _service(self) -> Service:
        """Return what answers.

        Raises:
            ProblemError: If the tables may not be served. While it drains, it still answers.
        """
        state = self._live.state
        if state not in ("ready", "draining"):
            raise ProblemError("not-ready", f"{state}.")
        return self._live.service

    async def recommend(self, request: Request) -> Response:
        """Return lists."""
        service = self._service()
        if request.method == "POST":
            wanted = await _body(request, RecommendRequest)
        else:
            wanted = _query(request, RecommendRequest)

        found = await service.recommend(wanted)
        request.state.log.update(
            kind=found.lists[0].kind, k=wanted.k, lists=len(found.lists), user=wanted.user
        )
        return _answer(request, found, service.stamp, exact=not wanted.reasons)

    async def similar(self, request: Request) -> Response:
        """Return the items nearest to one."""
        service = self._service()
        if request.method == "POST":
            wanted = await _body(request, SimilarRequest)
        else:
            wanted = _query(request, SimilarRequest)

        return _answer(request, service.similar(wanted), service.stamp)

    async def score(self, request: Request) -> Response:
        """Return scores of items."""
        service = self._service()
        found = service.score(await _body(request, ScoreRequest))
        return _answer(request, found, service.stamp)

    async def explain(self, request: Request) -> Response:
        """Return a whole explanation."""
        service = self._service()
        wanted = await _body(request, ExplainRequest)
        if service.explains is None:
            raise ProblemError(
                "not-capable", "tables hold no explanations. Serve the run: kgrec serve RUN."
            )
        if service.ranking.tables.items.row(wanted.item) is None:
            raise ProblemError("unknown-item", f"unknown item id {wanted.item[:80]!r}.", "item")
        if wanted.user is not None and service.ranking.user(wanted.user) is None:
            raise ProblemError("unknown-user", "unknown user id.", "user")
        if wanted.user is None and not wanted.history:
            raise ProblemError("invalid", "explain to whom? Give user or history.", "user")

        body = await service.explains.explain(wanted.user, wanted.history, wanted.item, wanted.k)
        return Response(body, media_type="application/json")

    async def items(self, request: Request) -> Response:
        """Return items by ids or facts, and the facets."""
        service = self._service()
        query = _checked(request)
        keys = query.get("id", [])
        values: dict[str, list[str]] = {}
        for part in query.get("where", []):
            name, sign, value = part.partition("=")
            if not sign:
                raise ProblemError("invalid", "expected where=FIELD=VALUE.", "where")
            values.setdefault(name, []).append(value)

        limit = _whole(query.get("limit", ["100"])[-1], "limit", 0, MOST_K)
        return _answer(request, service.items(keys, {**values}, limit), service.stamp)

    async def run(self, request: Request) -> Response:
        """Return what is served."""
        return _answer(request, self._live.service.about(), "", exact=False)

    async def alive(self, request: Request) -> Response:
        """Return that the process lives."""
        return Response(_encode(Health("live")), media_type="application/json")

    async def ready(self, request: Request) -> Response:
        """Return whether lists may be wanted for."""
        state = self._live.state
        status = 200 if state == "ready" else 503
        return Response(_encode(Health(state)), status, media_type="application/json")

    async def version(self, request: Request) -> Response:
        """Return versions."""
        found = Version(__version__, API, self._live.service.run)
        return _answer(request, found, "", exact=False)

    async def reload(self, request: Request) -> Response:
        """Look for newer tables at once."""
        done = await asyncio.to_thread(self._live.look, True)
        body = _encode({"reloaded": done, "run": self._live.service.run})
        return Response(body, 202 if done else 503, media_type="application/json")

    async def metrics(self, request: Request) -> Response:
        """Return the counters of all workers."""
        about = self._live.service.ranking.tables.about
        text = self._metrics.text(about.run, about.model)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def openapi(self, request: Request) -> Response:
        """Return the OpenAPI document."""
        return Response(_encode(document()), media_type="application/json")

    async def docs(self, request: Request) -> Response:
        """Return a page about the endpoints."""
        return Response(page(), media_type="text/html; charset=utf-8")

    async def style(self, request: Request) -> Response:
        """Return its style."""
        return Response(STYLE, media_type="text/css; charset=utf-8")


STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#eee;padding:.1em .3em}td,th{text-align:left;padding:.3em .8em .3em 0;"
    "vertical-align:top}"
)


def _answer(request: Request, found: msgspec.Struct, stamp: str, *, exact: bool = True) -> Response:
    """Return an answer; one to a GET that is known already, by the tables' sum, is not sent
    again.
    """
    if request.method != "GET" or not exact:
        return Response(_encode(found), media_type="application/json")

    address = request.scope["path"].encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(address + b"?" + request.scope["query_string"], digest_size=8)
    tag = f'"{stamp[:16]}-{digest.hexdigest()}"'
    headers = {"etag": tag, "cache-control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(None, 304, headers)

    return Response(_encode(found), 200, headers, media_type="application/json")


async def _body(request: Request, kind: type[T]) -> T:
    if not is_json(request):
        raise ProblemError("unsupported-media-type", "the body must be application/json.")

    found = await read_body(request, MOST_BYTES)
    if found is None:
        raise ProblemError("too-large", f"the body is larger than {MOST_BYTES:,} bytes.")

    try:
        return msgspec.json.decode(found, type=kind)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise ProblemError("bad-request", "the body is not JSON.") from None


def _checked(request: Request) -> dict[str, list[str]]:
    """Return the query of a request that is not made to fill memory, values by name."""
    parts = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if len(parts) > _MOST_PARTS or any(len(value) > LONGEST_ID for _, value in parts):
        raise ProblemError(
            "invalid", f"at most {_MOST_PARTS:,} parts of {LONGEST_ID:,} characters."
        )

    found: dict[str, list[str]] = {}
    for name, value in parts:
        found.setdefault(name, []).append(value)
    return found


@cache
def _fields(kind: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.name for field in msgspec.structs.fields(kind))


def _query(request: Request, kind: type[T]) -> T:
    """Return a request that is in the address, by the same type as one in a body."""
    fields = _fields(kind)
    given: dict[str, Any] = {}
    for name, values in _checked(request).items():
        _check_name(name, fields)
        if name in ("history", "exclude", "items"):
            given[name] = values
        elif len(values) > 1:
            raise ProblemError("invalid", "given more than once.", name)
        elif name in ("k", "reasons", "reason_ms"):
            if not _WHOLE.fullmatch(values[0]):
                raise ProblemError("invalid", "expected a whole number.", name)
            given[name] = int(values[0])  # its bounds are those of a body
        elif name in ("allow_seen", "calibrate"):
            if values[0] not in _BOOLEANS:
                raise ProblemError("invalid", "expected true or false.", name)
            given[name] = _BOOLEANS[values[0]]
        elif name in ("diversity", "popularity", "new_items"):
            given[name] = _number(values[0], name)
        else:
            given[name] = values[0]

    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise invalid(error) from None


def _check_name(name: str, fields: frozenset[str]) -> None:
    """Refuse a parameter that is unknown, or that an address cannot hold.

    Raises:
        ProblemError: If it is.
    """
    if name not in fields:
        near = nearest(name[:80], fields - _IN_BODIES)
        raise ProblemError("invalid", f"unknown parameter {name[:80]!r}.{near}", name[:80])
    if name in _IN_BODIES:
        raise ProblemError("invalid", f"{name} goes in the JSON body of a POST.", name)


def _whole(text: str, name: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= most):
        raise ProblemError("invalid", f"expected a whole number in {least} .. {most:,}.", name)
    return int(text)


def _number(text: str, name: str) -> float:
    if len(text) > 20 or not _NUMBER.fullmatch(text):
        raise ProblemError("invalid", "expected a number such as 0.3.", name)
    return float(text)
