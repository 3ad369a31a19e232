"""A SPARQL query cut into pages: its own LIMIT and OFFSET found and others put in their place."""

import itertools
import re
from dataclasses import dataclass

from kgrec.errors import ConfigError

_TOKEN = re.compile(
    r"""
    (?P<blank>\s++|\#[^\n\r]*+)
    |(?P<iri><[^\x00-\x20<>"{}|^`\\]*+>)
    |(?P<text>\"{3}(?:[^"\\]|\\.|\"(?!\"\"))*+\"{3}|'{3}(?:[^'\\]|\\.|'(?!''))*+'{3}
        |(?!\"{3}|'{3})(?:"(?:[^"\\\n\r]|\\.)*+"|'(?:[^'\\\n\r]|\\.)*+'))
    |(?P<unclosed>\"{3}|'{3})
    |(?P<variable>[?$]\w++)
    |(?P<open>[({\[])
    |(?P<close>[)}\]])
    |(?P<word>(?i:LIMIT|OFFSET)(?=\d)|[^\s(){}\[\]<>"'?$\#,;|^/*+=!&]++)
    |(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_PROJECTED = re.compile(r"\(.*?\bAS\s+[?$](\w+)\s*\)|[?$](\w+)", re.IGNORECASE | re.DOTALL)
_READ = ("CONSTRUCT", "SELECT")
_FORMS = {*_READ, "ASK", "DESCRIBE"}
_UPDATES = {"INSERT", "DELETE", "LOAD", "CLEAR", "CREATE", "DROP", "COPY", "MOVE", "ADD", "WITH"}
_PAGED = ("LIMIT", "OFFSET")


@dataclass(frozen=True, slots=True)
class PagedQuery:
    """A query without its LIMIT and OFFSET.

    Attributes:
        form: "CONSTRUCT" or "SELECT".
        before: The text up to where LIMIT and OFFSET go.
        after: The text behind them: a VALUES block, or nothing.
        limit: Its own LIMIT, None where it has none.
        offset: Its own OFFSET.
        ordered: Whether it has an ORDER BY.
        around: The text before and after an inner query that is the whole of it, for endpoints that
            refuse to sort a page; None where it cannot be written so.
    """

    form: str
    before: str
    after: str
    limit: int | None
    offset: int
    ordered: bool
    around: tuple[str, str, str] | None = None

    def wrapped_page(self, limit: int | None, offset: int) -> str | None:
        """Return what ``page`` does, as a query around the sorted one; None if there is none.

        Some endpoints sort no page far in, and do sort an inner query.
        """
        if self.around is None or not self.ordered:
            return None

        start, inner, end = self.around
        whole = PagedQuery(self.form, f"{start}{inner}{end}", "", None, 0, self.ordered)
        return whole.page(limit, offset)

    def page(self, limit: int | None, offset: int) -> str:
        """Return the query for some of its solutions; for all where the limit is None."""
        bounds = ""
        if limit is not None:
            bounds += f"\nLIMIT {limit}"

        if offset:
            bounds += f"\nOFFSET {offset}"

        return f"{self.before}{bounds}\n{self.after}".rstrip() + "\n"


def paged(query: str, name: str = "the query") -> PagedQuery:
    """Return a query as one that can be cut into pages.

    What stands in comments, IRIs, texts and inner queries is left alone.

    Args:
        query: A CONSTRUCT or SELECT query.
        name: Of the query, for messages.

    Raises:
        ConfigError: If it is another kind of query, or its brackets or its LIMIT make no sense.
    """
    outer = _outer_tokens(query, name)
    words = [
        (index, token.group().upper())
        for index, token in enumerate(outer)
        if token.lastgroup == "word"
    ]
    form = next((word for _, word in words if word in _FORMS | _UPDATES), None)
    if form not in _READ:
        if form is None:
            found = "no query"
        elif form in _UPDATES:
            found = f"an update ({form})"
        else:
            found = f"{form}"
        raise ConfigError(
            f"{name}: {found}. Give a CONSTRUCT, or a SELECT of head, relation and tail."
        )

    if form == "SELECT" and any(token.group() == "*" for token in outer):
        raise ConfigError(
            f"{name}: SELECT * names no order. Name three variables: SELECT ?head ?relation ?tail."
        )

    spans: list[tuple[int, int]] = []
    found_bounds: dict[str, int] = {}

    for index, word in words:
        if word in _PAGED:
            if index + 1 < len(outer):
                number = outer[index + 1].group()
            else:
                number = ""

            if word in found_bounds or not (
                number.isascii() and number.isdigit() and len(number) < 19
            ):
                raise ConfigError(
                    f"{name}: {word} {number[:20]!r} is given twice, or is no number. Give one "
                    "whole number."
                )

            found_bounds[word] = int(number)
            spans.append((outer[index].start(), outer[index + 1].end()))

    seen = [word for _, word in words]
    values = [outer[index].start() for index, word in words if word == "VALUES"]
    end = outer[-1].end()
    split = (values or [end])[-1]

    return PagedQuery(
        form,
        before=_without(query, spans, 0, split).rstrip(),
        after=_without(query, spans, split, end),
        limit=found_bounds.get("LIMIT"),
        offset=found_bounds.get("OFFSET", 0),
        ordered=any(pair == ("ORDER", "BY") for pair in itertools.pairwise(seen)),
        around=_around(query, outer, form, _without(query, spans, 0, end).rstrip()),
    )


def _around(
    query: str, outer: list[re.Match[str]], form: str, whole: str
) -> tuple[str, str, str] | None:
    """Return a query as an outer one, its inner one, and the end; None where it names graphs, or
    has no template of its own.

    Args:
        query: The query.
        outer: Its tokens outside of brackets.
        form: "CONSTRUCT" or "SELECT".
        whole: The query without LIMIT and OFFSET.
    """
    words = [token for token in outer if token.lastgroup == "word"]
    if any(token.group().upper() == "FROM" for token in words):
        return None

    begin = next(token for token in words if token.group().upper() == form)
    braces = [token for token in outer if token.group() in "{}"]
    if form == "SELECT":
        head = query[begin.end() : braces[0].start()]
        names = [one or two for one, two in _PROJECTED.findall(head)]
        start = (
            f"{query[: begin.start()]}SELECT {' '.join(f'?{name}' for name in names)} WHERE {{ {{\n"
        )
        return start, whole[begin.start() :], "\n} }"

    # CONSTRUCT WHERE { ... } has one pair of brackets, and cannot hold an inner query.
    if len(braces) < 4:
        return None

    body = whole[braces[1].end() :].lstrip()
    if body[:5].upper() == "WHERE":
        body = body[5:]

    start = f"{query[: braces[1].end()]} WHERE {{ {{\n"
    return start, f"SELECT * WHERE {body.lstrip()}", "\n} }"


def named_words(query: str) -> set[str]:
    """Return the words of a query, in capitals, that stand in no IRI, text or comment."""
    tokens = _TOKEN.finditer(query)
    return {token.group().upper() for token in tokens if token.lastgroup == "word"}


def _outer_tokens(query: str, name: str) -> list[re.Match[str]]:
    """Return the tokens that stand in no brackets, the brackets of the outermost level among
    them.
    """
    outer: list[re.Match[str]] = []
    depth = 0

    for token in _TOKEN.finditer(query):
        if token.lastgroup == "unclosed":
            raise ConfigError(
                f"{name}:{query.count(chr(10), 0, token.start()) + 1}: a text in three quotes "
                "that does not end."
            )

        depth -= token.lastgroup == "close"
        if depth < 0:
            raise ConfigError(
                f"{name}:{query.count(chr(10), 0, token.start()) + 1}: a closing bracket without "
                "an opening one."
            )

        if depth == 0 and token.lastgroup != "blank":
            outer.append(token)

        depth += token.lastgroup == "open"

    if depth:
        raise ConfigError(f"{name}: {depth} opening brackets are not closed. Is the query whole?")

    return outer


def _without(query: str, spans: list[tuple[int, int]], start: int, end: int) -> str:
    """Return a part of the query without the spans in it."""
    kept = []
    index = start

    for first, last in spans:
        if start <= first < end:
            kept.append(query[index:first])
            index = last

    return "".join([*kept, query[index:end]])
