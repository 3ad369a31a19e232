"""Knowledge graphs from SPARQL endpoints: queried page by page, cached, read like a file."""

import hashlib
import json
import logging
import re
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pyoxigraph as ox

from kgrec.data.graphs.assemble import RawTriples
from kgrec.data.io.compression import Pieces
from kgrec.data.io.files import FilePath, existing, read_text
from kgrec.data.io.web import (
    Address,
    Answer,
    Manners,
    Passing,
    SortingError,
    address,
    open_address,
    patiently,
)
from kgrec.data.io.writing import write_file
from kgrec.data.rdf.collect import RdfOptions
from kgrec.data.rdf.ntriples import read_lines, reason
from kgrec.data.rdf.sparql_pages import PagedQuery, paged
from kgrec.data.records.report import Dropped
from kgrec.errors import ConfigError, FetchError, FormatError, nearest

_log = logging.getLogger("kgrec.data")

FORMAT = "SPARQL"

_ROWS = "application/sparql-results+json"
_GRAPHS = {
    "application/n-triples": ox.RdfFormat.N_TRIPLES,
    "text/plain": ox.RdfFormat.N_TRIPLES,
    "application/n-quads": ox.RdfFormat.N_QUADS,
    "text/turtle": ox.RdfFormat.TURTLE,
    "application/x-turtle": ox.RdfFormat.TURTLE,
}
_ACCEPT = {
    "SELECT": _ROWS,
    "CONSTRUCT": "application/n-triples, text/turtle;q=0.9, text/plain;q=0.5",
}
_LONGEST_ADDRESS = 2_000
_FAR = 2_000_000_000
_MARK = b"# kgrec "
_BLANK = re.compile(rb"_:\S+")
_SHOWN = 200


def own_cache() -> Path:
    """Return the folder of answers where none is named; on Linux ``XDG_CACHE_HOME`` moves it."""
    from platformdirs import user_cache_path  # wanted by queries alone

    return user_cache_path("kgrec", appauthor=False) / "sparql"


@dataclass(frozen=True, slots=True)
class SparqlQuery:
    """A query to a SPARQL endpoint, as a source of ``read_triples``.

    The query is a CONSTRUCT, or a SELECT whose variables are head, relation and tail in this order,
    and a fourth for the named graph. It is sent page by page, with LIMIT and OFFSET of kgrec's own
    within those of the query, until a page is empty. Add an ORDER BY where there may be several
    pages: without one, SPARQL does not promise that pages fit together. Answers are kept on disk,
    so that the same query is asked once. Blank nodes of different pages are different ones, as
    SPARQL has it.

    Attributes:
        url: Address of the endpoint, http or https. A user and a password in it are sent, and
            stored nowhere.
        query: The text of the query.
        name: Of the query, for messages and provenance; the file's name, for instance.
        page: Solutions asked for at once. Many endpoints give no more than 10,000, whatever was
            asked. 0 sends the query once, as it is.
        cache: Folder of the answers; None keeps none.
        refresh: Whether to ask again for what is in the cache.
        max_pages: More pages than these are refused.
        manners: How patiently the endpoint is asked.

    Raises:
        ConfigError: If the address is not http or https, the query none that can be used, or a
            number out of range.
    """

    url: str = field(repr=False)
    query: str = field(repr=False)
    name: str = ""
    page: int = 5_000
    cache: FilePath | None = field(default_factory=own_cache)
    refresh: bool = False
    max_pages: int = 10_000
    manners: Manners = field(default_factory=Manners)

    def __post_init__(self) -> None:
        if self.page < 0 or self.page >= _FAR:
            raise ConfigError(f"page: {self.page} is not between 0 and {_FAR:,}.")
        if self.max_pages < 1:
            raise ConfigError(f"max_pages: {self.max_pages} is below 1.")
        address(self.url)
        paged(self.query, self.title)

    @property
    def title(self) -> str:
        """What messages call the query."""
        return self.name or "the query"


_NUMBERS = ("page", "max_pages", "attempts", "max_bytes")
_SECONDS = ("timeout", "longest", "pause", "longest_pause")


def query_from_file(url: str, path: FilePath, settings: Mapping[str, str]) -> SparqlQuery:
    """Return the query in a file, with settings of ``SparqlQuery`` and ``Manners`` as text.

    Raises:
        MissingFileError: If the file is not there.
        ConfigError: If a setting is unknown or no number.
    """
    return query_of(url, read_text(path), existing(path).name, settings)


def query_of(url: str, text: str, title: str, settings: Mapping[str, str]) -> SparqlQuery:
    """Return a query with settings as text, see ``query_from_file``."""
    own_fields = {f.name for f in fields(SparqlQuery)} - {"url", "query", "name", "manners"}
    manners = {f.name for f in fields(Manners)}
    found: dict[str, Any] = {}

    for name, value in settings.items():
        if name not in own_fields | manners:
            raise ConfigError(
                f"{name!r} is no setting of a query.{nearest(name, own_fields | manners)} Known: "
                f"{', '.join(sorted(own_fields | manners))}."
            )
        found[name] = _setting(name, value)

    patience = Manners(**{name: known for name, known in found.items() if name in manners})
    asked_for = {name: known for name, known in found.items() if name in own_fields}
    return SparqlQuery(url, text, name=title, manners=patience, **asked_for)


def _setting(name: str, text: str) -> object:
    if name == "refresh":
        if text.lower() not in ("true", "false"):
            raise ConfigError(f"refresh={text!r}: expected true or false.")
        return text.lower() == "true"

    if name in _NUMBERS and not (text.isascii() and text.isdigit()):
        raise ConfigError(f"{name}={text!r} is not a whole number.")
    if name not in _NUMBERS + _SECONDS:
        return text

    try:
        if name in _NUMBERS:
            return int(text)
        return float(text)
    except ValueError:
        raise ConfigError(f"{name}={text[:40]!r} is not a number.") from None


def read_sparql(query: SparqlQuery, options: RdfOptions) -> RawTriples:
    """Return the facts that an endpoint gives.

    The locator is the 1-based ordinal of the statement in its answers.

    Args:
        query: What to ask, and where.
        options: How to read it; ``on_error="skip"`` leaves out statements that are not valid RDF.

    Raises:
        FetchError: If the endpoint does not answer, or not within the limits.
        FormatError: If an answer is not what was asked for.
    """
    where = address(query.url)
    with _folder(query, where) as folder:
        pages = _Asker(query, where, folder, options).pages()
        begun = min(page.fetched for page in pages)
        name = ", ".join(part for part in (where.shown, query.name, begun) if part)
        facts = read_lines(
            Pieces(body for page in pages if (body := page.body())),
            name,
            ox.RdfFormat.N_QUADS,
            options,
        )

    lost = {
        "a head, relation or tail that is unbound, or a text": sum(page.unfit for page in pages)
    }
    lost["malformed"] = sum(page.malformed for page in pages)
    dropped = tuple(
        Dropped("statements", f"{why}, from {where.shown}", count)
        for why, count in lost.items()
        if count
    )
    counts = {**facts.counts, "pages of SPARQL answers": len(pages)}
    return replace(facts, formats=(FORMAT,), dropped=(*facts.dropped, *dropped), counts=counts)


def answers(query: SparqlQuery, options: RdfOptions) -> Iterator[bytes]:
    """Yield what an endpoint gives, as N-Quads, page by page; see ``read_sparql``."""
    where = address(query.url)
    with _folder(query, where) as folder:
        for page in _Asker(query, where, folder, options).pages():
            yield page.body()


@contextmanager
def _folder(query: SparqlQuery, where: Address) -> Iterator[Path]:
    """Give the folder of a query's answers."""
    if query.cache is None:
        with tempfile.TemporaryDirectory(prefix="kgrec-sparql-") as passing:
            yield Path(passing)
        return

    key = hashlib.sha256(f"{where.url}\0{query.query.strip()}".encode()).hexdigest()[:32]
    folder = Path(query.cache).expanduser() / key
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    yield folder


@dataclass(frozen=True, slots=True)
class _Page:
    """An answer as it stands on disk: a comment with these attributes, then N-Quads.

    Attributes:
        path: Where.
        rows: Solutions (SELECT) or statements (CONSTRUCT) in it.
        unfit: Solutions that are no statement.
        malformed: Statements that are not valid RDF.
        fetched: When it came.
        digest: SHA-256 of the statements in order, blank nodes without their names.
        sha256: Of all this and the N-Quads.
    """

    path: Path
    rows: int
    unfit: int
    malformed: int
    fetched: str
    digest: str
    sha256: str

    def body(self) -> bytes:
        """Return the N-Quads."""
        return self.path.read_bytes().partition(b"\n")[2]


def _stored(path: Path) -> _Page | None:
    """Return an answer on disk, None if there is none that is whole."""
    if path.exists() and not path.is_file():
        raise FormatError(f"{path}: not a plain file. Remove it, or take another cache.")

    try:
        head, _, body = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None

    try:
        if head.startswith(_MARK):
            known = json.loads(head.removeprefix(_MARK))
        else:
            known = {}

        page: _Page | None
        rows, unfit, malformed = (int(known[count]) for count in ("rows", "unfit", "malformed"))
        page = _Page(
            path,
            rows,
            unfit,
            malformed,
            *(str(known[text]) for text in ("fetched", "digest", "sha256")),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        page = None

    if page is None or _sum(page, body) != page.sha256:
        _log.warning("%s: a damaged entry of the cache, asked for again", path)
        return None

    return page


def _sum(page: _Page, body: bytes) -> str:
    counts = f"{page.rows} {page.unfit} {page.malformed} {page.fetched} {page.digest}\n"
    return hashlib.sha256(counts.encode() + body).hexdigest()


def _kept(path: Path, parsed: "_Parsed") -> _Page:
    """Write an answer, whole or not at all."""
    lines = sorted(_BLANK.sub(b"_:", parsed.quads).split(b"\n"))
    digest = hashlib.sha256(b"\n".join(lines)).hexdigest()
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    page = _Page(path, parsed.rows, parsed.unfit, parsed.malformed, now, digest, "")
    page = replace(page, sha256=_sum(page, parsed.quads))
    head = {f.name: getattr(page, f.name) for f in fields(page) if f.name != "path"}
    write_file(
        path,
        lambda file: file.write_bytes(_MARK + json.dumps(head).encode() + b"\n" + parsed.quads),
    )

    return page


class _Asker:
    """Asks for page after page of one query."""

    def __init__(
        self, query: SparqlQuery, where: Address, folder: Path, options: RdfOptions
    ) -> None:
        self._query = query
        self._where = where
        self._folder = folder
        self._lenient = options.on_error == "skip"
        self._plan = paged(query.query, query.title)
        self._warned = False
        self._wrapping = False

    def pages(self) -> list[_Page]:
        """Return all pages.

        Raises:
            FetchError: If the endpoint does not answer, does not page, or has no end.
        """
        plan = self._plan
        pages = list[_Page]()
        offset = plan.offset
        left = plan.limit
        while left is None or left > 0 or not pages:
            if left is None:
                size = self._query.page
            else:
                size = min(self._query.page, left)

            page = self._page(offset, size if self._query.page else None)
            pages.append(page)
            if not page.rows or not self._query.page:
                break

            self._check(pages, size)
            if plan.form == "SELECT":
                step = page.rows
            else:
                step = size

            offset += step
            if left is None:
                left = None
            else:
                left = left - step

        return pages

    def _check(self, pages: list[_Page], size: int) -> None:
        """Refuse an endpoint that does not page.

        Advise on a query whose pages may not fit together.
        """
        shown = self._where.shown
        page = pages[-1]
        if self._plan.form == "SELECT" and page.rows > size:
            raise FetchError(
                f"{shown}: {page.rows:,} solutions for LIMIT {size:,}: it does not page. Ask for "
                "all at once with page=0."
            )
        if len(pages) > 1 and page.digest == pages[-2].digest and self._page(_FAR, 1).rows:
            raise FetchError(
                f"{shown}: the same answer for every OFFSET: it does not page. Ask for all at "
                "once with page=0."
            )
        if len(pages) >= self._query.max_pages:
            raise FetchError(
                f"{shown}: {len(pages):,} pages and no end. Make the pages larger with page, or "
                "raise max_pages."
            )

        if len(pages) == 2 and not self._plan.ordered:
            _log.warning(
                "%s: no ORDER BY, so that the endpoint may give rows twice or never from page to "
                "page. Add one: kgrec asks an endpoint that refuses to sort in another way.",
                self._query.title,
            )

    def _page(self, offset: int, size: int | None) -> _Page:
        path = self._folder / f"page-{offset}-{'all' if size is None else size}.nq"
        if self._query.refresh:
            known = None
        else:
            known = _stored(path)

        if known is not None and (self._lenient or not known.malformed):
            _log.info(
                "%s: %d rows from %d on, kept since %s",
                self._where.shown,
                known.rows,
                offset,
                known.fetched,
            )
            return known

        if self._query.page:
            text = self._plan.page(size, offset)
        else:
            text = self._query.query

        parsed = self._answer(text, offset, size)
        page = _kept(path, parsed)
        _log.info("%s: %d rows from %d on", self._where.shown, page.rows, offset)
        return page

    def _answer(self, text: str, offset: int, size: int | None) -> "_Parsed":
        """Ask for a page; where the endpoint refuses to sort it, as a query around the sorted
        one.
        """
        wrapped = self._plan.wrapped_page(size, offset) if self._query.page else None
        if self._wrapping and wrapped is not None:
            text = wrapped

        try:
            return patiently(
                lambda: self._request(text, offset, size), self._query.manners, self._where.shown
            )
        except SortingError as error:
            if self._wrapping:
                raise FetchError(
                    f"{error} The query around the sorted one is refused as well. Or divide the "
                    "query into several, each for some of the entities."
                ) from None
            if wrapped is None:
                raise

            _log.info("%s Asked again as a query around the sorted one.", error)
            self._wrapping = True
            return self._answer(text, offset, size)

    def _request(self, text: str, offset: int, size: int | None) -> "_Parsed":
        """Ask once for a page."""
        if "?" in self._where.url:
            mark = "&"
        else:
            mark = "?"

        encoded = f"query={quote_plus(text)}"
        headers = {"Accept": _ACCEPT[self._plan.form], "Accept-Encoding": "gzip"}
        where = replace(self._where, url=f"{self._where.url}{mark}{encoded}")
        data = None

        if len(where.url) > _LONGEST_ADDRESS:
            where = self._where
            data = encoded.encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"

        with open_address(where, self._query.manners, headers, data) as answer:
            self._check_whole(answer, size)
            body = _unpacked(b"".join(answer.pieces()), answer, self._where, self._query.manners)
            return _Parser(
                self._where, self._plan, self._lenient, answer.bounded, f"p{offset}n"
            ).parse(body, answer.header("Content-Type"))

    def _check_whole(self, answer: Answer, size: int | None) -> None:
        """Refuse answers that say of themselves that they are a part."""
        most = answer.header("X-SPARQL-MaxRows").strip()
        if (
            self._plan.form == "CONSTRUCT"
            and most.isascii()
            and most.isdigit()
            and (size is None or int(most[:12]) < size)
        ):
            raise FetchError(
                f"{self._where.shown}: gives at most {most[:12]} solutions at once. Set page to "
                "that or less."
            )

        if answer.header("X-SQL-State").strip() == "S1TAT":
            raise FetchError(
                f"{self._where.shown}: its time ran out and it gave a part of the answer. Ask "
                "for smaller pages with page."
            )

        if not answer.bounded and not self._warned and self._plan.form == "CONSTRUCT":
            self._warned = True
            _log.warning(
                "%s: does not say how long its answers are; one cut short between two lines "
                "cannot be told.",
                self._where.shown,
            )


def _unpacked(body: bytes, answer: Answer, where: Address, manners: Manners) -> bytes:
    """Return a body without its gzip."""
    kind = answer.header("Content-Encoding").strip().lower()
    if kind in ("", "identity"):
        return body
    if kind not in ("gzip", "x-gzip"):
        raise FetchError(
            f"{where.shown}: answered in the encoding {kind[:40]!r}, which was not asked for. "
            "Ask its keepers."
        )

    decoder = zlib.decompressobj(wbits=31)
    try:
        found = decoder.decompress(body, manners.max_bytes + 1)
    except zlib.error as error:
        raise Passing(f"the answer is damaged ({error})") from None

    if len(found) > manners.max_bytes:
        raise FetchError(
            f"{where.shown}: an answer of more than {manners.max_bytes:,} bytes. Ask for less at "
            "once."
        )
    if not decoder.eof:
        raise Passing("the answer breaks off")

    return found


@dataclass(frozen=True, slots=True)
class _Parsed:
    """An answer, read.

    Attributes:
        quads: Its statements as N-Quads.
        rows: Solutions or statements.
        unfit: Solutions that are no statement.
        malformed: Statements that are not valid RDF.
    """

    quads: bytes
    rows: int
    unfit: int
    malformed: int


class _Parser:
    """Reads one answer to N-Quads whose blank nodes no other answer has."""

    def __init__(
        self, where: Address, plan: PagedQuery, lenient: bool, bounded: bool, mark: str
    ) -> None:
        self._where = where
        self._plan = plan
        self._lenient = lenient
        self._bounded = bounded
        self._mark = mark
        self._blank: dict[str, ox.BlankNode] = {}
        self._rows = 0
        self._unfit = 0
        self._malformed = 0

    def parse(self, body: bytes, kind: str) -> _Parsed:
        """Return what an answer says.

        Raises:
            Passing: If it breaks off.
            FormatError: If it is in another format, or not valid in its own.
        """
        media = kind.partition(";")[0].strip().lower()
        accepted: tuple[str, ...] = tuple(_GRAPHS)
        ends: tuple[bytes, ...] = (b".", b"", b"}")

        if self._plan.form == "SELECT":
            accepted = (_ROWS, "application/json")
            ends = (b"}",)

        if media not in accepted:
            said = " ".join(body[: 4 * _SHOWN].decode("utf-8", "replace").split())[:_SHOWN]
            want = ", ".join(one for one in accepted if one != "application/json")
            raise FormatError(
                f"{self._where.shown}: answered in {media[:80] or 'no format'}, expected {want}. "
                f"It begins: {said}"
            )

        try:
            return self._parsed(body, media, lenient=False)
        except (SyntaxError, ValueError) as error:
            end = body.rstrip()[-1:]
            if end not in ends:
                raise Passing(f"the answer breaks off ({reason(error)})") from None

            if not self._lenient:
                remedy = "Mend the query, or leave such statements out with on_error skip"
                raise FormatError(
                    f"{self._where.shown}: an answer that is not valid: {reason(error)}. {remedy}."
                ) from None

        try:
            return self._parsed(body, media, lenient=True)
        except (SyntaxError, ValueError, RecursionError) as error:
            raise FormatError(
                f"{self._where.shown}: an answer that is not valid at all: "
                f"{str(error)[:_SHOWN]}. Ask its keepers."
            ) from None

    def _parsed(self, body: bytes, media: str, lenient: bool) -> _Parsed:
        self._rows = self._unfit = self._malformed = 0
        self._blank = {}
        if self._plan.form == "SELECT":
            if lenient:
                found = self._leniently_solved(body)
            else:
                found = self._solved(body)
        else:
            if lenient:
                found = self._leniently_stated(body, media)
            else:
                found = self._stated(body, _GRAPHS[media])

        quads = (
            ox.serialize((self._apart(quad) for quad in found), format=ox.RdfFormat.N_QUADS) or b""
        )
        return _Parsed(quads, self._rows, self._unfit, self._malformed)

    def _stated(self, body: bytes, format: ox.RdfFormat) -> Iterator[ox.Quad]:
        for quad in ox.parse(body, format=format, base_iri=self._where.url):
            self._rows += 1
            yield quad

    def _leniently_stated(self, body: bytes, media: str) -> Iterator[ox.Quad]:
        format = _GRAPHS[media]
        if format == ox.RdfFormat.TURTLE:
            raise ValueError("Turtle cannot be read past an error")

        for line in body.splitlines():
            try:
                found = list(ox.parse(line, format=format))
            except (SyntaxError, ValueError):
                self._rows += 1
                self._malformed += 1
            else:
                self._rows += len(found)
                yield from found

    def _solved(self, body: bytes) -> Iterator[ox.Quad]:
        if b'"bnode"' in body:
            plain = _relabelled(body)
        else:
            plain = body

        solutions = ox.parse_query_results(plain, format=ox.QueryResultsFormat.JSON)
        try:
            if not isinstance(solutions, ox.QuerySolutions):
                raise FormatError(
                    f"{self._where.shown}: answered yes or no, expected solutions. Ask its keepers."
                )

            count = len(solutions.variables)
            if count not in (3, 4):
                raise FormatError(
                    f"{self._where.shown}: solutions of {count} variables. Select three: head, "
                    "relation, tail; a fourth is the graph."
                )

            for solution in solutions:
                self._rows += 1
                quad = _statement(
                    solution[0], solution[1], solution[2], solution[3] if count > 3 else None
                )
                if quad is None:
                    self._unfit += 1
                else:
                    yield quad
        finally:
            # pyoxigraph's solutions must end in the thread that made them: an error's traceback
            # would keep them until some thread collects the garbage
            del solutions

    def _leniently_solved(self, body: bytes) -> Iterator[ox.Quad]:
        """Yield the statements of solutions that are read one by one."""
        whole = json.loads(body)
        if not (
            isinstance(whole, dict)
            and isinstance(whole.get("results"), dict)
            and isinstance(whole["results"].get("bindings"), list)
        ):
            raise ValueError("no solutions in it")

        for row in whole["results"]["bindings"]:
            before = self._rows
            try:
                alone = json.dumps(
                    {"head": whole.get("head"), "results": {"bindings": [row]}}
                ).encode()
                found = list(self._solved(alone))
            except (SyntaxError, ValueError):
                self._rows = before + 1
                self._malformed += 1
            else:
                yield from found

    def _apart(self, quad: ox.Quad) -> ox.Quad:
        """Return a statement whose blank nodes bear the mark of the answer."""
        subject, predicate, value, graph = quad
        return ox.Quad(self._own(subject), predicate, self._own(value), self._own(graph))

    def _own(self, term: Any) -> Any:
        if not isinstance(term, ox.BlankNode):
            return term
        return self._blank.setdefault(term.value, ox.BlankNode(f"{self._mark}{len(self._blank)}"))


def _relabelled(body: bytes) -> bytes:
    """Return solutions whose blank nodes have names that every syntax takes.

    Endpoints give them any.
    """
    names: dict[str, str] = {}

    def renamed(found: dict[str, Any]) -> dict[str, Any]:
        if found.get("type") == "bnode":
            found["value"] = names.setdefault(str(found.get("value")), f"n{len(names)}")
        return found

    try:
        return json.dumps(json.loads(body, object_hook=renamed)).encode()
    except RecursionError:
        raise ValueError("brackets too deep") from None


def _statement(head: Any, relation: Any, tail: Any, graph: Any) -> ox.Quad | None:
    """Return a solution as a statement, None where it is none."""
    nodes = (ox.NamedNode, ox.BlankNode)
    if (
        not isinstance(head, nodes)
        or not isinstance(relation, ox.NamedNode)
        or not isinstance(tail, (*nodes, ox.Literal))
    ):
        return None

    return ox.Quad(head, relation, tail, graph if isinstance(graph, nodes) else None)
