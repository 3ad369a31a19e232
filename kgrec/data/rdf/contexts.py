"""Contexts of JSON-LD without a network: from files, beside the document, and schema.org's own."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kgrec.data.io.files import FilePath, existing, read_text
from kgrec.errors import ConfigError, FormatError

NAMED = re.compile(rb"\"@(?:context|import)\"\s*+:\s*+(?:\[[^\]{}\"]*+)?\"")

_SCHEMA = "http://schema.org/"
_SCHEMA_ADDRESS = re.compile(
    r"https?://(?:www\.)?schema\.org(?:/|/docs/jsonldcontext\.json(?:ld)?)?", re.IGNORECASE
)
_DEEPEST = 8
_LARGEST = 4 << 20
# Terms whose values are addresses of things, which the context of schema.org says of each.
_ADDRESSES = (
    *("url", "sameAs", "image", "logo", "license", "mainEntityOfPage", "additionalType"),
    *("contentUrl", "embedUrl", "thumbnailUrl", "acceptsReservations", "relatedLink"),
    *("discussionUrl", "downloadUrl", "installUrl", "paymentUrl", "replyToUrl", "target"),
    *("itemCondition", "availability", "codeRepository", "significantLink", "screenshot"),
    *("featureList", "menu", "isBasedOnUrl", "serviceUrl", "trackingUrl", "ticketToken"),
)


def schema_org() -> dict[str, Any]:
    """Return a context that names the terms of schema.org by their rule: the namespace and the
    term; values of terms for addresses are IRIs.
    """
    return {
        "@vocab": _SCHEMA,
        "schema": _SCHEMA,
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
        "xsd": "http://www.w3.org/2001/XMLSchema#",
        "id": "@id",
        "type": "@type",
        **{term: {"@id": _SCHEMA + term, "@type": "@id"} for term in _ADDRESSES},
    }


def contexts_in(pairs: Sequence[str]) -> dict[str, str]:
    """Return the contexts that ``URL=FILE`` pairs name, as text by address.

    Raises:
        ConfigError: If a pair is none.
        MissingFileError: If a file is not there.
    """
    found = {}
    for pair in pairs:
        address, separator, file = pair.rpartition("=")
        if not separator or not address or not file:
            raise ConfigError(f"context: {pair!r} is not URL=FILE.")
        found[address] = _text(file)

    return found


def _text(file: FilePath) -> str:
    if existing(file).stat().st_size > _LARGEST:
        raise FormatError(f"{file}: larger than {_LARGEST >> 20} MiB, which no context is.")

    return read_text(file)


def with_contexts(
    document: Any, name: str, contexts: Mapping[str, str], folder: Path | None = None
) -> Any:
    """Return a document of JSON-LD whose contexts are within it.

    Args:
        document: As ``json`` read it.
        name: Of the source, for messages.
        contexts: Texts by address.
        folder: Where contexts that are named without an address are looked for.

    Raises:
        FormatError: If a context is neither given nor known.
    """
    return _Contexts(name, contexts, folder).within(document)


class _Contexts:
    """Puts contexts into documents."""

    def __init__(self, name: str, contexts: Mapping[str, str], folder: Path | None) -> None:
        self._name = name
        self._contexts = contexts
        self._folder = folder

    def within(self, value: Any) -> Any:
        """Return a value with every context inside it."""
        if isinstance(value, list):
            return [self.within(one) for one in value]
        if not isinstance(value, dict):
            return value

        return {
            key: self._context(one, 0) if key == "@context" else self.within(one)
            for key, one in value.items()
        }

    def _context(self, value: Any, depth: int) -> Any:
        """Return a context without addresses of others."""
        if depth > _DEEPEST:
            raise FormatError(f"{self._name}: contexts that name one another without end.")
        if isinstance(value, str):
            return self._named(value, depth)
        if isinstance(value, list):
            parts = [self._context(one, depth) for one in value]
            return [one for p in parts for one in (p if isinstance(p, list) else [p])]
        if isinstance(value, dict) and isinstance(value.get("@import"), str):
            imported = self._context(value["@import"], depth + 1)
            return {**imported, **{k: v for k, v in value.items() if k != "@import"}}

        return value

    def _named(self, address: str, depth: int) -> Any:
        text = self._contexts.get(address, self._contexts.get(address.rstrip("/")))
        if text is None and _SCHEMA_ADDRESS.fullmatch(address):
            return schema_org()
        if text is None:
            text = self._beside(address)
        if text is None:
            raise FormatError(
                f"{self._name}: a remote @context, {address[:100]}, and kgrec fetches nothing. Save "
                f"it and say context={address[:100]}=FILE, or put it into the file."
            )

        try:
            found = json.loads(text)
        except ValueError:
            raise FormatError(f"{self._name}: the context {address[:100]} is not JSON.") from None

        if isinstance(found, dict) and "@context" in found:
            found = found["@context"]
        return self._context(found, depth + 1)

    def _beside(self, address: str) -> str | None:
        """Return a context in the document's own folder or below it, None if there is none."""
        if self._folder is None or "://" in address:
            return None

        folder = self._folder.resolve()
        path = (folder / address).resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            return None

        return _text(path)
