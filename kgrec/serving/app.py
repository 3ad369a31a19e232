"""The inspector's server: routes, who may use them, and what an answer may do in a browser."""

import hmac
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from kgrec.errors import CapabilityError, ConfigError, KgrecError, UnknownIdError
from kgrec.serving.export import export_page
from kgrec.serving.guards import (
    HARDENED,
    encoded,
    foreign_host,
    foreign_site,
    is_json,
    read_body,
    with_headers,
)
from kgrec.serving.inspector import KINDS, MOST_CHANGES, SPOKEN, Filters, Inspector
from kgrec.serving.pages import ASSETS, asset, served_page, server_policy
from kgrec.serving.work import BusyError, Worker

Question = Callable[[QueryParams], Callable[[], dict[str, Any]]]
HEADER = "x-kgrec-token"
LONGEST_ID = 2_000
_MOST_BYTES = 64_000
_MOST_NUMBER = 10**9


class RefusedError(Exception):
    """A request that is not answered.

    Args:
        status: HTTP status.
        message: Why, in one line.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Guard:
    """Let through this machine's own browser with the token; harden every answer.

    Args:
        app: What is guarded.
        token: Who knows it may ask.
        hosts: Values of the Host header that name this server. Another name that leads here is
            another site's (DNS rebinding).
        images: Origins that pages may load pictures from.
    """

    def __init__(
        self, app: ASGIApp, token: str, hosts: Sequence[str], images: Sequence[str] = ()
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = frozenset(hosts)
        self._headers = encoded({"content-security-policy": server_policy(images)} | HARDENED)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        hardened = with_headers(send, self._headers)
        refused = self._refusal(Request(scope))
        if refused is None:
            await self._app(scope, receive, hardened)
        else:
            await _error(refused.status, str(refused))(scope, receive, hardened)

    def _refusal(self, request: Request) -> RefusedError | None:
        if foreign_host(request.headers, self._hosts):
            return RefusedError(
                421,
                "this server answers to its own address alone. Open the address that kgrec "
                "inspect printed.",
            )

        if foreign_site(request.headers):
            return RefusedError(403, "requests from other sites are not answered.")
        if request.method not in ("GET", "HEAD") and not (
            request.method == "POST" and request.url.path == "/api/what-if"
        ):
            return RefusedError(405, f"{request.method} is not answered here.")

        if request.url.path.startswith("/api/") and not hmac.compare_digest(
            request.headers.get(HEADER, "").encode(), self._token
        ):
            return RefusedError(
                401, "the token is missing or wrong. Open the address that kgrec inspect printed."
            )

        return None


def make_app(
    inspector: Inspector, token: str, hosts: Sequence[str], worker: Worker | None = None
) -> ASGIApp:
    """Return the server.

    Args:
        inspector: What answers.
        token: What a request for data must carry in the header ``x-kgrec-token``.
        hosts: Values of the Host header to answer to, such as "127.0.0.1:8008".
        worker: What runs the questions one after another.
    """
    turns = worker or Worker()
    questions: dict[str, Question] = {
        "recommend": lambda q: (
            lambda: _model(inspector, q).recommend(_id(q, "user"), _whole(q, "k", 10))
        ),
        "explain": lambda q: (
            lambda: _model(inspector, q).explain(
                _id(q, "user"),
                _id(q, "item"),
                _whole(q, "k", 10),
                filters_of(q),
                _word(q, "language", SPOKEN),
            )
        ),
        "audience": lambda q: lambda: inspector.audience(_word(q, "kind", KINDS), _id(q, "key")),
        "compare": lambda q: (
            lambda: inspector.compare(
                _id(q, "user"), _id(q, "first"), _id(q, "second"), _word(q, "language", SPOKEN)
            )
        ),
        "flip": lambda q: (
            lambda: inspector.flip(
                _id(q, "user"),
                q.get("item"),
                _word(q, "mode", ("delete", "mask")),
                _word(q, "language", SPOKEN),
            )
        ),
        "why-not": lambda q: (
            lambda: inspector.why_not(_id(q, "user"), _id(q, "item"), _whole(q, "k", 10))
        ),
        "summary": lambda q: (
            lambda: inspector.summary(
                _word(q, "by", ("relation", "type", "pattern")),
                q.get("knock_out") == "1",
                _whole(q, "users", 200),
            )
        ),
    }

    at_once: dict[str, Question] = {  # no model runs: these need not wait for their turn
        "run": lambda q: inspector.about,
        "users": lambda q: (
            lambda: inspector.users(
                _text(q, "q"), _whole(q, "offset", 0), min(_whole(q, "limit", 50), 200)
            )
        ),
        "items": lambda q: lambda: inspector.items(_text(q, "q"), min(_whole(q, "limit", 20), 200)),
        "facts": lambda q: lambda: inspector.facts(_id(q, "item"), _word(q, "language", SPOKEN)),
        "node": lambda q: (
            lambda: inspector.node(
                _word(q, "kind", KINDS), _id(q, "key"), _word(q, "language", SPOKEN)
            )
        ),
    }

    def answer(
        question: Question, ask: Callable[[Callable[[], Any]], Any]
    ) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            return JSONResponse(await ask(question(_checked(request.query_params))))

        return endpoint

    async def page(request: Request) -> Response:
        return Response(served_page(), media_type="text/html; charset=utf-8")

    def static(name: str) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            return Response(asset(name), media_type=ASSETS[name])

        return endpoint

    async def what_if(request: Request) -> Response:
        changes = _changes(await _body(request))
        return JSONResponse(await turns.ask(lambda: inspector.what_if(**changes)))

    async def export(request: Request) -> Response:
        query = _checked(request.query_params)
        user = _id(query, "user")
        top = min(_whole(query, "k", 10), 50)
        text = await turns.ask(lambda: export_page(inspector, [user], top))

        return Response(
            text,
            media_type="text/html; charset=utf-8",
            headers={"content-disposition": 'attachment; filename="kgrec.html"'},
        )

    routes = [Route("/", page), *(Route(f"/{name}", static(name)) for name in ASSETS)]
    routes += [
        Route(f"/api/{name}", answer(question, turns.ask)) for name, question in questions.items()
    ]
    routes += [
        Route(f"/api/{name}", answer(question, run_in_threadpool))
        for name, question in at_once.items()
    ]
    routes += [Route("/api/what-if", what_if, methods=["POST"]), Route("/api/export", export)]
    handlers = {
        KgrecError: _error_answer,
        RefusedError: _error_answer,
        BusyError: _error_answer,
        404: _missing,
        405: _missing,
    }

    app = Starlette(routes=routes, exception_handlers=handlers)
    return Guard(app, token, hosts, inspector.images.origins)


def _model(inspector: Inspector, query: QueryParams) -> Inspector:
    """Return the run of a request: the first one, or the one beside it.

    Raises:
        ConfigError: If there is only one.
    """
    if _word(query, "model", ("1", "2")) == "1":
        return inspector
    if inspector.other is None:
        raise ConfigError("model=2: one run is inspected. Start kgrec inspect with --against RUN2.")

    return inspector.other


def filters_of(query: QueryParams) -> Filters:
    """Return the filters of a request.

    Raises:
        ConfigError: If one is out of range.
    """
    given: dict[str, Any] = {"rank_by": query.get("rank_by")}
    if "type" in query:
        given["types"] = tuple(kind for kind in query.getlist("type") if kind != "none")

    for name in ("max_length", "max_degree"):
        if name in query:
            given[name] = _whole(query, name, 0)

    if "users" in query:
        given["users"] = _word(query, "users", ("count", "hide", "show"))

    if "min_drop" in query:
        given["min_drop"] = _number(query["min_drop"], "min_drop")

    allow = tuple(query.getlist("allow"))
    return Filters(allow=allow, deny=tuple(query.getlist("deny")), **given)


def _checked(query: QueryParams) -> QueryParams:
    """Return a query that is not made to fill memory."""
    parts = query.multi_items()
    if len(parts) > 2 * MOST_CHANGES or any(len(value) > LONGEST_ID for _, value in parts):
        raise ConfigError(
            f"too much at once: at most {2 * MOST_CHANGES} parts of {LONGEST_ID:,} characters."
        )

    return query


def _text(query: QueryParams, name: str) -> str:
    return query.get(name) or ""


def _id(query: QueryParams, name: str) -> str:
    found = query.get(name)
    if found is None:
        raise ConfigError(f"the request names no {name}.")
    return found


def _whole(query: QueryParams, name: str, default: int) -> int:
    found = query.get(name)
    if found is None:
        return default

    if not (
        found.isascii() and found.isdigit() and len(found) <= 10 and int(found) <= _MOST_NUMBER
    ):
        raise ConfigError(
            f"{name}={found[:40]}: expected a whole number of at most {_MOST_NUMBER:,}."
        )

    return int(found)


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan

    if not math.isfinite(value):
        raise ConfigError(f"{name}={text[:40]}: expected a number.")

    return value


def _word(query: QueryParams, name: str, known: tuple[str, ...]) -> str:
    found = query.get(name, known[0])
    if found not in known:
        raise ConfigError(f"{name}={found[:40]}: not one of {', '.join(known)}.")
    return found


async def _body(request: Request) -> Any:
    """Return the JSON of a request that is not larger than the limit, whatever it says of
    itself.
    """
    if not is_json(request):
        raise RefusedError(415, "the body must be application/json.")

    found = await read_body(request, _MOST_BYTES)
    if found is None:
        raise RefusedError(413, f"the body is larger than {_MOST_BYTES:,} bytes.")

    try:
        return json.loads(found)
    except (ValueError, RecursionError):
        raise RefusedError(400, "the body is not JSON.") from None


def _changes(body: Any) -> dict[str, Any]:
    """Return the changes of a what-if, every id text.

    Raises:
        ConfigError: If something else than ids is there.
    """
    lists = ("remove", "add", "items")
    facts = ("remove_facts", "add_facts")
    if (
        not isinstance(body, dict)
        or set(body) - {"user", *lists, *facts}
        or not _is_id(body.get("user"))
    ):
        raise ConfigError(f"expected an object with user and any of {', '.join([*lists, *facts])}.")

    for name in lists:
        if not isinstance(body.get(name, []), list) or not all(map(_is_id, body.get(name, []))):
            raise ConfigError(f"{name}: expected a list of ids.")

    for name in facts:
        rows = body.get(name, [])
        if not isinstance(rows, list) or not all(
            isinstance(row, list) and len(row) == 3 and all(map(_is_id, row)) for row in rows
        ):
            raise ConfigError(f"{name}: expected a list of [head, relation, tail].")

    return body


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_ID


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status_code=status)


async def _error_answer(request: Request, error: Exception) -> Response:
    """Turn an error that was raised on purpose into its status."""
    if isinstance(error, RefusedError):
        return _error(error.status, str(error))
    if isinstance(error, BusyError):
        return _error(503, str(error))

    if isinstance(error, UnknownIdError):
        status = 404
    elif isinstance(error, CapabilityError):
        status = 409
    else:
        status = 400

    return _error(status, str(error))


async def _missing(request: Request, error: Exception) -> Response:
    return _error(getattr(error, "status_code", 404), "there is no such address.")
