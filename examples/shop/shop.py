"""A small shop page: lists with reasons from ``kgrec serve``, clicks into the database.

python shop.py ADDRESS --lists http://127.0.0.1:8000 --port 8080
"""

import argparse
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from store import Store

PAGE = Path(__file__).resolve().parent / "page"
FILES = {"/": "index.html", "/shop.css": "shop.css", "/shop.js": "shop.js"}
HEADERS = {
    # nothing but this server's own files; no inline script or style
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
SHOWN = 8
LONGEST_ID = 80
MOST_BYTES = 10_000


class Hardened:
    """Puts the headers on every answer, and answers to this machine's own names alone."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                pairs = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *pairs]
            await send(message)

        app = self._app
        if scope["type"] == "http" and Request(scope).headers.get("host") not in self._hosts:
            app = JSONResponse({"error": "this shop answers to its own address."}, 421)
        await app(scope, receive, hardened)


class Shop:
    """Answers the page.

    Args:
        store: Products and clicks.
        lists: Address of ``kgrec serve``.
    """

    def __init__(self, store: Store, lists: str) -> None:
        self._store = store
        self._lists = lists.rstrip("/")
        query = "SELECT item_id, title, brand, category, material, price FROM products"
        names = "item", "title", "brand", "category", "material", "price"
        rows = [dict(zip(names, row, strict=True)) for row in store.rows(query)]
        self._products = {str(row["item"]): row for row in rows}

    def routes(self) -> list[Route]:
        """Return what it answers."""
        pages = [Route(path, self._file(name)) for path, name in FILES.items()]
        return [
            *pages,
            Route("/api/list", self.list_of),
            Route("/api/click", self.click, methods=["POST"]),
        ]

    def _file(self, name: str) -> Any:
        async def endpoint(request: Request) -> Response:
            return FileResponse(PAGE / name)

        return endpoint

    async def list_of(self, request: Request) -> Response:
        """Return somebody's clicks and list."""
        user = request.query_params.get("user", "")
        category = request.query_params.get("category", "")
        if not 0 < len(user) <= LONGEST_ID or len(category) > LONGEST_ID:
            return JSONResponse({"error": "who are you?"}, 422)
        return await run_in_threadpool(self._list, user, category)

    def _list(self, user: str, category: str) -> Response:
        clicked = self._store.clicked(user)
        wanted = {"user": user, "history": clicked, "k": SHOWN, "reasons": SHOWN}
        # two of a brand at most, and not all alike; what that costs: kgrec evaluate
        wanted |= {"reason_ms": 1_500, "diversity": 0.3, "most": {"brand": 2}}
        if category:
            wanted["where"] = {"category": [category]}
        asked = urllib.request.Request(
            f"{self._lists}/v1/recommend",
            json.dumps(wanted).encode(),
            {"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                (found,) = json.load(answer)["lists"]
        except urllib.error.HTTPError as error:
            return JSONResponse({"error": json.load(error)["detail"]}, 502)
        except OSError:
            return JSONResponse({"error": "no lists now. Is kgrec serve running?"}, 502)

        places = [
            self._products[place["item"]]
            | {"reason": next((one["text"] for one in place.get("reasons", [])), "")}
            for place in found["items"]
            if place["item"] in self._products
        ]
        shown = [self._products[item] for item in clicked[::-1] if item in self._products]
        categories = sorted({row["category"] for row in self._products.values()})
        return JSONResponse(
            {"kind": found["kind"], "items": places, "clicked": shown, "categories": categories}
        )

    async def click(self, request: Request) -> Response:
        """Keep a click."""
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return JSONResponse({"error": "expected JSON."}, 415)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                return JSONResponse({"error": "too much."}, 413)
        try:
            given = json.loads(body)
            user, item = given["user"], given["item"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return JSONResponse({"error": "expected a user and an item."}, 422)
        texts = isinstance(user, str) and isinstance(item, str)
        if not (texts and 0 < len(user) <= LONGEST_ID and len(item) <= LONGEST_ID):
            return JSONResponse({"error": "expected a user and an item."}, 422)
        if not await run_in_threadpool(self._store.click, user, item):
            return JSONResponse({"error": "there is no such product."}, 404)
        return JSONResponse({"kept": True})


def main() -> None:
    """Serve the page on this machine's own address."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("--lists", default="http://127.0.0.1:8000")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    shop = Shop(Store(options.address), options.lists)
    hosts = f"127.0.0.1:{options.port}", f"localhost:{options.port}"
    app = Hardened(Starlette(routes=shop.routes()), hosts)
    print(f"http://{hosts[0]}/", flush=True)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
