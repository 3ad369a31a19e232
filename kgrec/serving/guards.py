"""What every server of kgrec does with requests before it answers them."""

from collections.abc import Collection, Mapping

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Message, Send

HARDENED = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""What an answer may not do in a browser."""


def with_headers(send: Send, more: Mapping[str, str], kept: Collection[str] = ()) -> Send:
    """Return what sends answers with these headers; those of the answer itself give way.

    Args:
        send: What sends them.
        more: The headers, in lower case.
        kept: Of these, what an answer may say otherwise.
    """
    pairs = [(name.encode(), value.encode(), name in kept) for name, value in more.items()]
    names = {name for name, _, _ in pairs}

    async def hardened(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = message["headers"]
            said = {name.lower() for name, _ in given}
            own = [(name, value) for name, value, stays in pairs if not (stays and name in said)]
            replaced = {name for name, _ in own} & names
            message["headers"] = [pair for pair in given if pair[0].lower() not in replaced] + own
        await send(message)

    return hardened


def foreign_host(headers: Headers, hosts: Collection[str]) -> bool:
    """Return whether a request names another server: another name that leads here is another
    site's (DNS rebinding).
    """
    return headers.get("host", "") not in hosts or len(headers.getlist("host")) != 1


def foreign_site(headers: Headers) -> bool:
    """Return whether a page of another site makes the request."""
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{headers.get('host', '')}":
        return True
    return headers.get("sec-fetch-site", "none") not in ("same-origin", "none")


def is_json(request: Request) -> bool:
    """Return whether a request says that its body is JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    return kind == "application/json"


async def read_body(request: Request, most: int) -> bytes | None:
    """Return the body of a request, whatever it says of its size; None where it is larger than
    ``most`` bytes.
    """
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > most:
            return None

    return bytes(found)
