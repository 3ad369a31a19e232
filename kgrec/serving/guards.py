"""What every server of kgrec does with requests before it answers them."""

from collections.abc import Collection, Iterable, Mapping

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


def encoded(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """Return headers as they are sent."""
    return {name.encode(): value.encode() for name, value in headers.items()}


def with_headers(send: Send, more: Mapping[bytes, bytes], kept: Collection[bytes] = ()) -> Send:
    """Return what sends answers with these headers; those of the answer itself give way.

    Args:
        send: What sends them.
        more: The headers, in lower case.
        kept: Of these, what an answer may say otherwise.
    """

    async def hardened(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = joined(message["headers"], more, kept)
        await send(message)

    return hardened


def joined(
    said: Iterable[tuple[bytes, bytes]], more: Mapping[bytes, bytes], kept: Collection[bytes] = ()
) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer with more of them, as ``with_headers`` does."""
    own = dict(more)
    headers = []
    for pair in said:
        name = pair[0].lower()
        if name in kept:
            own.pop(name, None)
        if name not in own:
            headers.append(pair)

    return headers + list(own.items())


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
