"""Collect RDF statements as columns over a dictionary of terms.

Compiled where it can be, else in Python, with the same result.
"""

import itertools
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyoxigraph as ox

from kgrec.data import native
from kgrec.data.graphs.assemble import BLANK, RawTriples, attribute_frame, label_frame, type_frame
from kgrec.data.graphs.kept_labels import LABEL_PREDICATES
from kgrec.data.io.compression import Limits
from kgrec.data.records.report import Dropped, Skipped
from kgrec.errors import ConfigError, FormatError
from kgrec.languages import LANGUAGES

TYPE_PREDICATE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"

_NAMESPACE_ENDS = ("/", "#", ":")
_CHUNK = 20_000
_LANGUAGE = "en"
_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")


@dataclass(frozen=True, slots=True)
class RdfOptions:
    """How RDF is read.

    Rules are IRIs; one that ends in "/", "#" or ":" stands for every IRI that begins so.

    Attributes:
        base: IRI that relative IRIs are resolved against; the file's own where None.
        language: Preferred language of labels, or several with commas, the first one first; labels
            without a language or for all of them ("mul") come next, then any.
        labels: Predicates that give labels, the preferred first.
        predicates: Only statements with these predicates are read, besides labels and types; all
            where empty.
        without_predicates: Statements with these predicates are left out.
        namespaces: Only statements between entities with these IRIs are read; all where empty.
            Blank nodes pass.
        without_namespaces: Statements that concern entities with these IRIs are left out.
        blank: "keep" blank nodes, each file's own apart, or "drop" the statements with one.
        keep_lines: Whether literals keep their lines.
        keep_labels: Whether labels become attributes as well, each with its language.
        contexts: Contexts of JSON-LD by address, as text.
        on_error: "stop" at a line that is no statement, or "skip" it and count it, where the syntax
            has lines.
        limits: How far a compressed file may grow.

    Raises:
        ConfigError: If ``blank`` or ``on_error`` is unknown, or the base or a rule is no IRI.
    """

    base: str | None = None
    language: str = _LANGUAGE
    labels: tuple[str, ...] = LABEL_PREDICATES
    predicates: tuple[str, ...] = ()
    without_predicates: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    without_namespaces: tuple[str, ...] = ()
    blank: str = "keep"
    keep_lines: bool = False
    keep_labels: bool = False
    contexts: Mapping[str, str] = field(default_factory=dict)
    on_error: str = "stop"
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for name, value, known in (
            ("blank", self.blank, ("keep", "drop")),
            ("on_error", self.on_error, ("stop", "skip")),
        ):
            if value not in known:
                raise ConfigError(f"{name}: {value!r} is neither {known[0]!r} nor {known[1]!r}.")

        for tag in self.language.split(","):
            if tag.strip() and _TAG.fullmatch(tag.strip()) is None:
                raise ConfigError(
                    f"language: {tag.strip()!r} is no language tag. Give one such as 'de', several "
                    "with commas."
                )

        if self.base is not None and not _is_iri(self.base):
            raise ConfigError(
                f"base: {self.base!r} is not an absolute IRI. Give one such as http://example.org/."
            )

        for name in (
            "labels",
            "predicates",
            "without_predicates",
            "namespaces",
            "without_namespaces",
        ):
            rules = getattr(self, name)
            wrong = (
                "" if isinstance(rules, str) else next((rule for rule in rules if not rule), None)
            )
            if wrong is not None:
                raise ConfigError(
                    f"{name}: {rules!r} is not a list of IRIs. Give a list such as "
                    "['http://dbpedia.org/ontology/']."
                )

    @property
    def languages(self) -> tuple[str, ...]:
        """The preferred languages of labels in lower case, the first one first; "de-AT" is "de"."""
        tags = (tag.strip().lower() for tag in self.language.split(","))
        return tuple(dict.fromkeys(tag.split("-")[0] for tag in tags if tag))

    @property
    def tags(self) -> tuple[str, ...]:
        """The preferred languages, and those of explanations, whose labels of relations are kept."""
        return (*self.languages, *(code for code in LANGUAGES if code not in self.languages))

    def fine(self, language: str) -> int:
        """Return the number of a label's language among ``tags``; then those without a language or
        for all, then others.

        >>> [RdfOptions(language="de,fr").fine(tag) for tag in ("de-at", "fr", "en", "", "mul", "it")]
        [0, 1, 2, 3, 3, 4]
        """
        primary = language.split("-")[0]
        if primary in self.tags:
            return self.tags.index(primary)

        return len(self.tags) + (language not in ("", "mul"))

    def tagged(self, labels: pl.DataFrame) -> pl.DataFrame:
        """Return labels ranked by what is preferred, which were ranked by ``fine``, and with a tag.

        The nearest are those in the preferred languages in their order, then those without a
        language or for all of them ("mul"), then any. The tag is the position of a label's language
        in ``LANGUAGES``, null for others.
        """
        roles = max(len(self.labels), 1)
        own, every = len(self.languages), len(self.tags)
        fine, role = pl.col("rank") // roles, pl.col("rank") % roles
        near = pl.when(fine < own).then(fine).when(fine == every).then(own).otherwise(own + 1)
        known = {n: LANGUAGES.index(one) for n, one in enumerate(self.tags) if one in LANGUAGES}
        tag = fine.replace_strict(known, default=None, return_dtype=pl.Int8)
        return labels.with_columns(rank=(near * roles + role).cast(pl.Int32), tag=tag)

    def idle(
        self, predicates: Sequence[str], labels: pl.DataFrame, counts: Mapping[str, int]
    ) -> tuple[str, ...]:
        """Return the rules that fit none of a source's predicates, labels and entities; what is
        looked for unless something else is said is no rule.

        Args:
            predicates: All that occur.
            labels: Labels as ``tagged`` returns them.
            counts: What was left out, by reason.
        """
        named = {
            "predicates": self.predicates,
            "without_predicates": self.without_predicates,
            "labels": [rule for rule in self.labels if rule not in LABEL_PREDICATES],
        }
        found = [
            f"{name}={rule}"
            for name, rules in named.items()
            for rule in rules
            if not any(_fits(predicate, (rule,)) for predicate in predicates)
        ]
        if not counts["by namespace"]:
            found += [f"without_namespaces={rule}" for rule in self.without_namespaces]

        preferred = labels["rank"] < len(self.languages) * max(len(self.labels), 1)
        if self.language != _LANGUAGE and not preferred.any():
            found.append(f"language={self.language}")

        return tuple(found)

    def role(self, predicate: str) -> int | None:
        """Return the rank of a label predicate, -1 for the type predicate, -2 for any other one
        that is read, None for one that is not.
        """
        if _fits(predicate, self.without_predicates):
            return None
        if predicate in self.labels:
            return self.labels.index(predicate)
        if predicate == TYPE_PREDICATE:
            return -1
        if not self.predicates or _fits(predicate, self.predicates):
            return -2

        return None

    def outlaws(self, iri: str) -> bool:
        """Return whether an entity's IRI is left out."""
        return _fits(iri, self.without_namespaces) or (
            bool(self.namespaces) and not _fits(iri, self.namespaces)
        )

    def rules(self) -> list[tuple[str, str]]:
        """Return the rules in the form of the compiled reader."""
        lists = {
            "label": self.labels,
            "allowed": self.predicates,
            "denied": self.without_predicates,
            "inside": self.namespaces,
            "outside": self.without_namespaces,
            "type": (TYPE_PREDICATE,),
            "language": self.tags,
            "drop blank": ("",) * (self.blank == "drop"),
            "keep lines": ("",) * self.keep_lines,
            "keep labels": ("",) * self.keep_labels,
        }
        return [(name, text) for name, texts in lists.items() for text in texts]


def _is_iri(text: str) -> bool:
    try:
        ox.NamedNode(text)
    except ValueError:
        return False
    return True


def _fits(iri: str, rules: Sequence[str]) -> bool:
    return any(
        iri.startswith(rule) if rule.endswith(_NAMESPACE_ENDS) else iri == rule for rule in rules
    )


def collector(options: RdfOptions, quads: bool) -> "CompiledCollector | PythonCollector":
    """Return an empty collector.

    Args:
        options: How to read.
        quads: Whether statements may name a graph.
    """
    compiled = native.library()
    if compiled is None:
        return PythonCollector(options)

    return CompiledCollector(native.Reader(compiled, quads, options.rules()), options)


class CompiledCollector:
    """Gathers statements in compiled code.

    Those of pyoxigraph reach it as the N-Quads that pyoxigraph writes.
    """

    def __init__(self, reader: native.Reader, options: RdfOptions) -> None:
        self.reader = reader
        self._options = options

    def taken(self, text: bytes, first: int) -> int:
        """Take what pyoxigraph wrote, a statement a line, numbered from ``first``, and return the
        next number.
        """
        return self.reader.feed(text, first, trusted=True)

    def take(self, statements: Sequence[ox.Quad], line: int) -> None:
        """Take the statements of one line."""
        self.reader.feed(serialized(iter(statements)), line, trusted=True, step=0)

    def facts(self, name: str, format: str, skipped: Skipped) -> RawTriples:
        """Return what was gathered from a source."""
        column = self.reader.column
        counts = self.reader.counts()
        names = column("names")
        languages = column("languages")
        head, relation, tail, line, graph = (
            column(c).to_numpy() for c in ("head", "relation", "tail", "line", "graph")
        )
        values = column("value")
        if self._options.keep_labels:
            texts = values.gather(column("label attribute")).rename("text")
        else:
            texts = column("label text")

        labels = self._options.tagged(
            pl.DataFrame(
                {"term": column("label term"), "text": texts, "rank": column("label rank")}
            )
        )
        types = pl.DataFrame(
            {"term": column("type term"), "type": names.gather(column("type name"))}
        )
        attributes = pl.DataFrame(
            {
                "term": column("attribute term"),
                "name": names.gather(column("attribute name")),
                "value": values,
                "datatype": names.gather(column("attribute datatype")),
                "language": languages.gather(column("attribute language")),
            }
        )
        if self._options.keep_lines:
            attributes = attributes.with_columns(locator=column("attribute line"))

        graphs, numbers = _graphs(graph, names, len(head))

        return RawTriples(
            (name,),
            column("terms"),
            head=head,
            relation=relation,
            tail=tail,
            locator=line,
            labels=labels,
            relation_labels=labels,
            types=types,
            attributes=attributes,
            dropped=(*skipped.dropped(), *_left_out(counts)),
            graph=numbers,
            graphs=graphs,
            formats=(format,),
            counts=_counted(counts),
            idle_rules=self._options.idle(column("predicates").to_list(), labels, counts),
        )


def serialized(statements: Iterator[ox.Quad]) -> bytes:
    """Return the next statements as pyoxigraph writes them, empty where there are no more."""
    return ox.serialize(itertools.islice(statements, _CHUNK), format=ox.RdfFormat.N_QUADS) or b""


def _graphs(column: np.ndarray, names: pl.Series, size: int) -> tuple[pl.Series, np.ndarray | None]:
    """Return the names of the graphs in order of first appearance and the number of each triple's,
    -1 for none.
    """
    if not len(column):
        return pl.Series("graph", [], dtype=pl.String), None

    full = np.full(size, -1, dtype=np.int32)
    full[: len(column)] = column
    used = pl.Series(full).unique(maintain_order=True)
    used = used.filter(used >= 0)
    numbers = np.full(len(names) + 1, -1, dtype=np.int32)
    numbers[used.to_numpy()] = np.arange(len(used), dtype=np.int32)
    return names.gather(used).rename("graph"), numbers[full]


_REASONS = (
    ("statements", "a statement about a statement", "quoted"),
    ("types", "the class is a blank node", "classless"),
    ("statements", "a predicate that was not asked for", "by predicate"),
    ("statements", "an entity of a namespace that was not asked for", "by namespace"),
    ("statements", "a blank node", "by blank"),
)


def _left_out(counts: dict[str, int]) -> tuple[Dropped, ...]:
    return tuple(Dropped(what, why, counts[key]) for what, why, key in _REASONS if counts[key])


def _counted(counts: dict[str, int]) -> dict[str, int]:
    if counts["blanks"]:
        return {"blank nodes read": counts["blanks"]}
    return {}


class PythonCollector:
    """Gathers statements over dictionaries."""

    def __init__(self, options: RdfOptions) -> None:
        self._options = options
        self._filtered = bool(options.namespaces or options.without_namespaces)
        self._roles: dict[str, int | None] = {}
        self._terms: dict[str, int] = {}
        self._blank: dict[str, str] = {}
        self._graphs: dict[str, int] = {}
        self._triples = array("q")
        self._labels: list[tuple[int, str, int]] = []
        self._types: list[tuple[int, str]] = []
        self._attributes: list[tuple[int, str, str, str, str]] = []
        self._stated: set[tuple[int, str, str, str, str]] = set()
        self._lines = array("q")
        self._counts = dict.fromkeys(native.COUNTS, 0)

    def feed(self, statements: Iterator[ox.Quad], first: int) -> int:
        """Take some statements, numbered from ``first``, and return how many there were.

        Returns 0 where there are no more.
        """
        count = 0
        for count, quad in enumerate(itertools.islice(statements, _CHUNK), start=1):
            self._add(quad, first + count - 1)

        return count

    def take(self, statements: Sequence[ox.Quad], line: int) -> None:
        """Take the statements of one line."""
        for quad in statements:
            self._add(quad, line)

    def take_each(self, statements: Sequence[ox.Quad], lines: Sequence[int]) -> None:
        """Take statements, one a line."""
        for quad, line in zip(statements, lines, strict=True):
            self._add(quad, line)

    def _add(self, quad: ox.Quad, ordinal: int) -> None:
        subject, predicate, value, graph = quad
        self._counts["statements"] += 1

        if isinstance(value, ox.Triple) or isinstance(subject, ox.Triple):
            self._counts["quoted"] += 1
            return

        name = predicate.value
        if name in self._roles:
            role = self._roles[name]
        else:
            role = self._roles.setdefault(name, self._options.role(name))

        if role is None:
            self._counts["by predicate"] += 1
        elif not self._left_out(subject, value, role):
            head = self._term(subject)
            if isinstance(value, ox.Literal):
                self._literal(head, name, value, role, ordinal)
            elif role == -1:
                self._typed(head, value)
            else:
                terms = self._terms
                self._triples.extend(
                    (
                        head,
                        terms.setdefault(name, len(terms)),
                        self._term(value),
                        ordinal,
                        self._graph(graph),
                    )
                )

    def _left_out(
        self,
        subject: ox.NamedNode | ox.BlankNode,
        value: ox.NamedNode | ox.BlankNode | ox.Literal,
        role: int,
    ) -> bool:
        if self._options.blank == "drop" and (
            isinstance(subject, ox.BlankNode) or isinstance(value, ox.BlankNode)
        ):
            self._counts["by blank"] += 1
            return True

        if not self._filtered:
            return False

        if role != -1:
            ends = [subject, value]
        else:
            ends = [subject]

        if any(isinstance(end, ox.NamedNode) and self._options.outlaws(end.value) for end in ends):
            self._counts["by namespace"] += 1
            return True

        return False

    def _key(self, node: ox.NamedNode | ox.BlankNode) -> str:
        if isinstance(node, ox.BlankNode):
            return self._blank.setdefault(node.value, f"{BLANK}b{len(self._blank)}")
        return node.value

    def _term(self, node: ox.NamedNode | ox.BlankNode) -> int:
        return self._terms.setdefault(self._key(node), len(self._terms))

    def _graph(self, graph: ox.NamedNode | ox.BlankNode | ox.DefaultGraph) -> int:
        if isinstance(graph, ox.DefaultGraph):
            return -1
        if isinstance(graph, ox.BlankNode):
            self._term(graph)
        return self._graphs.setdefault(self._key(graph), len(self._graphs))

    def _typed(self, head: int, value: ox.NamedNode | ox.BlankNode) -> None:
        if isinstance(value, ox.NamedNode):
            self._types.append((head, value.value))
        else:
            self._counts["classless"] += 1

    def _literal(self, head: int, name: str, literal: ox.Literal, role: int, ordinal: int) -> None:
        language = (literal.language or "").lower()
        row = (head, name, literal.value, literal.datatype.value, language)
        if role < 0 or self._options.keep_labels:
            if self._options.keep_lines:
                self._lines.append(ordinal)
            elif row in self._stated:
                return
            else:
                self._stated.add(row)
            self._attributes.append(row)

        if role >= 0:
            near = self._options.fine(language)
            self._labels.append((head, literal.value, near * len(self._options.labels) + role))

    def facts(self, name: str, format: str, skipped: Skipped) -> RawTriples:
        """Return what was gathered from a source."""
        columns = np.array(self._triples, dtype=np.int64).reshape(-1, 5)
        labels = self._options.tagged(label_frame(self._labels))
        attributes = attribute_frame(self._attributes)
        self._counts["blanks"] = len(self._blank)
        head, relation, tail, graph = (
            columns[:, ordinal].astype(np.int32) for ordinal in (0, 1, 2, 4)
        )
        if len(self._lines):
            attributes = attributes.with_columns(locator=pl.Series(np.array(self._lines)))

        return RawTriples(
            (name,),
            list(self._terms),
            head=head,
            relation=relation,
            tail=tail,
            locator=columns[:, 3],
            labels=labels,
            relation_labels=labels,
            types=type_frame(self._types),
            attributes=attributes,
            dropped=(*skipped.dropped(), *_left_out(self._counts)),
            graph=graph if self._graphs else None,
            graphs=pl.Series("graph", list(self._graphs), dtype=pl.String),
            formats=(format,),
            counts=_counted(self._counts),
            idle_rules=self._options.idle(list(self._roles), labels, self._counts),
        )


def too_large(name: str) -> FormatError:
    """Return the error for a source with more terms or triples than memory or int32 allow."""
    return FormatError(
        f"{name}: more terms than there is memory for. Leave out what you do not need with "
        "predicates or namespaces."
    )
