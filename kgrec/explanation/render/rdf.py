"""Explanations as RDF: PROV-O entities whose hops are reified statements, and back without loss.

An explanation is a ``prov:Entity`` with an ordered list of paths; a path has ordered stops and
hops; a hop has one ``rdf:Statement`` per relation, in the direction of the fact, derived
(``prov:wasDerivedFrom``) from the place it was read: a file with its line or ordinal, and its named
graph. Keys that are not IRIs become ``urn:kgrec:...``; the keys themselves are kept as text, and
nothing is lost.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyoxigraph as ox

from kgrec.data.rdf.iris import minted
from kgrec.errors import ConfigError, ExplanationError
from kgrec.explanation.core.records import SCHEMAS, Explanation

VOCABULARY = "urn:kgrec:explanation:"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_PROV = "http://www.w3.org/ns/prov#"
_LABEL = ox.NamedNode("http://www.w3.org/2000/01/rdf-schema#label")
_XSD = "http://www.w3.org/2001/XMLSchema#"
_PREFIXES = {
    "rdf": _RDF,
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "prov": _PROV,
    "xsd": _XSD,
    "k": VOCABULARY,
}
_FORMATS = {"turtle": ox.RdfFormat.TURTLE, "ntriples": ox.RdfFormat.N_TRIPLES}
# records of any form: JSON literals
_FREE = (
    "counts",
    "filters",
    "hidden",
    "manifest",
    "other",
    "claims",
    "hop_drops",
    "history",
    "flip",
    "words",
)

_Term = ox.NamedNode | ox.BlankNode | ox.Literal
_Subject = ox.NamedNode | ox.BlankNode


def to_rdf(explanation: Explanation, format: str = "turtle") -> str:
    """Return an explanation as RDF.

    Args:
        explanation: What to write.
        format: "turtle" or "ntriples".

    Raises:
        ConfigError: If the format is another one.
        ExplanationError: If a text is none that RDF can hold (half of a surrogate pair).
    """
    try:
        writer = _Writer(explanation)
        written = ox.serialize(
            writer.triples(), format=_form(format), prefixes=_PREFIXES | {"e": f"{writer.base}#"}
        )
    except UnicodeEncodeError as error:
        raise ExplanationError(
            f"a label or key holds half of a surrogate pair, which RDF cannot: {error.reason}."
        ) from error

    return (written or b"").decode()


def from_rdf(text: str, format: str = "turtle") -> Explanation:
    """Return the explanation that ``to_rdf`` wrote.

    Raises:
        ConfigError: If the format is unknown.
        ExplanationError: If the text is not RDF, or does not hold exactly one explanation.
    """
    found = read_rdf(text, format)
    if len(found) != 1:
        raise ExplanationError(
            f"the RDF holds {len(found)} explanations. Read one at a time, or all with read_rdf."
        )

    return found[0]


def read_rdf(text: str, format: str = "turtle") -> list[Explanation]:
    """Return all explanations in some RDF, in the order they stand there.

    Raises:
        ConfigError: If the format is unknown.
        ExplanationError: If the text is not RDF, or an explanation in it is broken.
    """
    form = _form(format)
    try:
        reader = _Reader(
            (quad.subject, quad.predicate, quad.object)
            for quad in ox.parse(text.encode(), format=form)
        )
        return [Explanation.from_dict(reader.record(root)) for root in reader.roots]
    except (SyntaxError, UnicodeEncodeError) as error:
        raise ExplanationError(f"not {format}: {' '.join(str(error).split())}.") from error
    except ExplanationError:
        raise
    except (KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ExplanationError(
            f"the RDF is not an explanation: {reason}. Write it with Explanation.to_rdf."
        ) from error


def _form(format: str) -> ox.RdfFormat:
    if format not in _FORMATS:
        raise ConfigError(f"format={format!r} is not known. Choose from {', '.join(_FORMATS)}.")
    return _FORMATS[format]


def _k(name: str) -> ox.NamedNode:
    return ox.NamedNode(VOCABULARY + name)


def _rdf(name: str) -> ox.NamedNode:
    return ox.NamedNode(_RDF + name)


def _prov(name: str) -> ox.NamedNode:
    return ox.NamedNode(_PROV + name)


def _literal(value: str | bool | int | float) -> ox.Literal:
    if isinstance(value, float):
        return ox.Literal(repr(value), datatype=ox.NamedNode(_XSD + "double"))
    if isinstance(value, int) and not isinstance(value, bool):
        return ox.Literal(str(value), datatype=ox.NamedNode(_XSD + "integer"))
    if isinstance(value, str) and any(0xD800 <= ord(letter) < 0xE000 for letter in value):
        raise UnicodeEncodeError("utf-8", value, 0, 1, "surrogates not allowed")

    return ox.Literal(value)


def node_iri(kind: str, key: str) -> ox.NamedNode:
    """Return the IRI of a node: an entity's key where it is one, else made of kind and key."""
    return ox.NamedNode(minted(key, kind, always=kind != "entity"))


class _Writer:
    """The triples of one explanation."""

    def __init__(self, explanation: Explanation) -> None:
        text = explanation.to_json()
        self._record = explanation.to_dict()
        self._sum = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        self.base = VOCABULARY + self._sum
        self._out: list[ox.Triple] = []
        self._places: dict[str, ox.NamedNode] = {}
        self._lists = 0

    def triples(self) -> list[ox.Triple]:
        root = ox.NamedNode(self.base)
        record = dict(self._record)
        self._type(root, _k("Explanation"), _prov("Entity"))
        manifest = record["manifest"]
        if manifest.get("checksum"):
            self._add(
                root,
                _prov("wasDerivedFrom"),
                ox.NamedNode(minted(str(manifest["checksum"]), "dataset", always=True)),
            )

        self._add(root, _k("about_user"), node_iri("user", record["user"]))
        self._add(root, _k("about_item"), node_iri("item", record["item"]))
        paths = [self._path(number, path) for number, path in enumerate(record.pop("paths"), 1)]
        against = [
            self._node(f"against-{number}", term)
            for number, term in enumerate(record.pop("against"), 1)
        ]
        if record["budget"]:
            self._add(root, _k("budget"), self._budget(record["budget"]))

        if record["next_item"]:
            self._add(root, _k("next_item"), self._node("next", record["next_item"]))

        if record.get("training"):
            self._add(root, _k("training"), self._training(record.pop("training")))

        notes = [_literal(note) for note in record.pop("notes")]
        for name in ("budget", "next_item"):
            del record[name]

        self._plain(root, record)
        for name, members in (("paths", paths), ("against", against), ("notes", notes)):
            self._list(root, name, members)

        subjects = dict.fromkeys(triple.subject for triple in self._out)
        order = {subject: number for number, subject in enumerate(subjects)}
        # What is said of one thing stands together.
        return sorted(self._out, key=lambda triple: order[triple.subject])

    def _add(self, subject: _Subject, predicate: ox.NamedNode, object: _Term) -> None:
        self._out.append(ox.Triple(subject, predicate, object))

    def _type(self, subject: _Subject, *types: ox.NamedNode) -> None:
        for one in types:
            self._add(subject, _rdf("type"), one)

    def _at(self, fragment: str) -> ox.NamedNode:
        return ox.NamedNode(f"{self.base}#{fragment}")

    def _plain(self, subject: _Subject, record: Mapping[str, Any]) -> None:
        """State the values of a record but None: free records as JSON, others as literals."""
        for name, value in record.items():
            if name in _FREE:
                self._add(
                    subject,
                    _k(name),
                    ox.Literal(json.dumps(value, ensure_ascii=True), datatype=_rdf("JSON")),
                )
            elif value is not None:
                self._add(subject, _k(name), _literal(value))

    def _list(self, subject: _Subject, name: str, members: Sequence[_Term]) -> None:
        """State an ordered list."""
        cells: list[_Subject] = [
            ox.BlankNode(f"l{self._sum[:8]}-{self._lists + number}")
            for number in range(len(members))
        ]
        self._lists += len(members)
        ends: list[_Subject] = [*cells, _rdf("nil")]
        self._add(subject, _k(name), ends[0])

        for cell, member, rest in zip(cells, members, ends[1:], strict=True):
            self._add(cell, _rdf("first"), member)
            self._add(cell, _rdf("rest"), rest)

    def _node(self, fragment: str, record: Mapping[str, Any]) -> ox.NamedNode:
        """State a node where it occurs: on a path, or as a term of a sum."""
        here = self._at(fragment)
        self._plain(here, {name: value for name, value in record.items() if name != "label"})
        self._add(here, _LABEL, _literal(record["label"]))
        self._add(here, _k("node"), self._named(record, fragment))
        return here

    def _named(self, node: Mapping[str, Any], fragment: str) -> ox.NamedNode:
        if node["kind"] == "users":
            return self._at(f"{fragment}-counted")
        return node_iri(node["kind"], node["key"])

    def _budget(self, record: Mapping[str, Any]) -> ox.NamedNode:
        here = self._at("budget")
        self._type(here, _k("Budget"))
        terms = ("by_liked", "by_property")
        self._plain(here, {name: value for name, value in record.items() if name not in terms})

        for name in terms:
            self._list(
                here,
                name,
                [
                    self._node(f"{name}-{number}", term)
                    for number, term in enumerate(record[name], 1)
                ],
            )

        return here

    def _training(self, record: Mapping[str, Any]) -> ox.NamedNode:
        """State effects through training: what they are worth, and those of each path in order."""
        here = self._at("training")
        self._type(here, _k("TrainingEffects"))
        self._plain(here, {name: value for name, value in record.items() if name != "paths"})
        effects = []

        for rank, effect in enumerate(record["paths"], 1):
            at = self._at(f"path-{rank}-training")
            self._add(at, _k("of_path"), self._at(f"path-{rank}"))
            self._plain(at, effect)
            effects.append(at)

        self._list(here, "effects", effects)
        return here

    def _path(self, rank: int, record: Mapping[str, Any]) -> ox.NamedNode:
        here = self._at(f"path-{rank}")
        self._type(here, _k("Path"))
        hops = record["hops"]
        self._plain(
            here, {"rank": rank} | {name: value for name, value in record.items() if name != "hops"}
        )
        nodes = [hops[0]["source"], *(hop["target"] for hop in hops)]
        self._list(
            here,
            "stops",
            [self._node(f"path-{rank}-stop-{number}", node) for number, node in enumerate(nodes)],
        )
        named = [
            self._named(node, f"path-{rank}-stop-{number}") for number, node in enumerate(nodes)
        ]
        self._list(
            here,
            "hops",
            [
                self._hop(f"path-{rank}-hop-{n}", n, hop, (named[n - 1], named[n]))
                for n, hop in enumerate(hops, 1)
            ],
        )

        return here

    def _hop(
        self,
        fragment: str,
        number: int,
        record: Mapping[str, Any],
        ends: tuple[ox.NamedNode, ox.NamedNode],
    ) -> ox.NamedNode:
        here = self._at(fragment)
        self._type(here, _k("Hop"))
        self._add(here, _k("position"), _literal(number))
        liked = {"user", "users"} & {record["source"]["kind"], record["target"]["kind"]}
        stated = [
            self._statement(
                f"{fragment}-{one}", part, ends if part["forward"] else ends[::-1], bool(liked)
            )
            for one, part in enumerate((record, *record["also"]), 1)
        ]
        self._list(here, "statements", stated)
        return here

    def _statement(
        self, fragment: str, part: Mapping[str, Any], ends: Sequence[ox.NamedNode], liked: bool
    ) -> ox.NamedNode:
        here = self._at(fragment)
        self._type(here, _rdf("Statement"))
        self._add(here, _rdf("subject"), ends[0])
        predicate = node_relation(part["relation"])
        if liked and part["relation"] == "interacts":
            predicate = _k("interacts")

        self._add(here, _rdf("predicate"), predicate)
        self._add(here, _rdf("object"), ends[1])
        self._plain(here, {"relation": part["relation"], "forward": part["forward"]})
        self._add(here, _LABEL, _literal(part["relation_label"]))
        places = [self._place(fact) for fact in part["facts"]]
        for one in dict.fromkeys(places):
            self._add(here, _prov("wasDerivedFrom"), one)

        for graph in dict.fromkeys(fact["graph"] for fact in part["facts"] if fact.get("graph")):
            self._add(here, _prov("wasDerivedFrom"), ox.NamedNode(minted(graph, "graph")))

        self._list(here, "places", places)
        return here

    def _place(self, fact: Mapping[str, Any]) -> ox.NamedNode:
        """State a place once, however many facts stand there."""
        key = json.dumps(fact, sort_keys=True)
        if key not in self._places:
            here = self._places[key] = self._at(f"place-{len(self._places) + 1}")
            self._type(here, _prov("Entity"))
            self._plain(here, fact)

        return self._places[key]


def node_relation(key: str) -> ox.NamedNode:
    """Return the name of a relation: its key where that is an IRI, else one made of it."""
    return ox.NamedNode(minted(key, "relation"))


class _Reader:
    """The records of the explanations in some triples."""

    def __init__(self, triples: Iterator[tuple[Any, Any, Any]]) -> None:
        self._of: dict[Any, dict[str, Any]] = defaultdict(dict)
        self.roots: list[Any] = []
        for subject, predicate, object in triples:
            self._of[subject][predicate.value] = object
            if predicate.value == _RDF + "type" and object == _k("Explanation"):
                self.roots.append(subject)

    def record(self, root: Any) -> dict[str, Any]:
        """Return an explanation as ``Explanation.to_dict`` gives it."""
        plain = self._read(root)
        if plain.get("schema") not in SCHEMAS:
            return plain

        fields = dict.fromkeys(("rank", "margin", "next_item", "budget"))
        paths = [self._path(path) for path in self._list(root, "paths")]
        against = [self._term(term) for term in self._list(root, "against")]
        notes = [note.value for note in self._list(root, "notes")]
        found = fields | plain | {"paths": paths, "against": against, "notes": notes}
        if _k("budget").value in self._of[root]:
            found["budget"] = self._budget(self._one(root, "budget"))

        if _k("training").value in self._of[root]:
            found["training"] = self._training(self._one(root, "training"))

        if _k("next_item").value in self._of[root]:
            found["next_item"] = self._node(self._one(root, "next_item"))

        return found

    def _one(self, subject: Any, name: str) -> Any:
        return self._of[subject][VOCABULARY + name]

    def _read(self, subject: Any) -> dict[str, Any]:
        """Return the plain values of a subject."""
        return {
            name.removeprefix(VOCABULARY): _value(object)
            for name, object in self._of[subject].items()
            if name.startswith(VOCABULARY) and isinstance(object, ox.Literal)
        }

    def _list(self, subject: Any, name: str) -> list[Any]:
        cell = self._one(subject, name)
        out = []

        while cell != _rdf("nil"):
            here = self._of.pop(cell)  # a list that bites its tail ends with a missing cell
            out.append(here[_RDF + "first"])
            cell = here[_RDF + "rest"]

        return out

    def _node(self, subject: Any) -> dict[str, Any]:
        found = self._read(subject)
        return {
            "kind": found["kind"],
            "key": found["key"],
            "label": self._of[subject][_LABEL.value].value,
        }

    def _term(self, subject: Any) -> dict[str, Any]:
        found = self._read(subject)
        return self._node(subject) | {"value": found["value"], "supported": found.get("supported")}

    def _budget(self, subject: Any) -> dict[str, Any]:
        return self._read(subject) | {
            name: [self._term(term) for term in self._list(subject, name)]
            for name in ("by_liked", "by_property")
        }

    def _training(self, subject: Any) -> dict[str, Any]:
        empty = dict.fromkeys(("worth", "facts_worth", "epochs"))
        effects = [
            dict.fromkeys(("like", "facts", "whole")) | self._read(effect)
            for effect in self._list(subject, "effects")
        ]
        return empty | self._read(subject) | {"paths": effects}

    def _path(self, subject: Any) -> dict[str, Any]:
        stops = [self._node(stop) for stop in self._list(subject, "stops")]
        hops = self._list(subject, "hops")
        if len(stops) != len(hops) + 1:
            raise ExplanationError(
                f"the RDF is not an explanation: a path of {len(hops)} hops has {len(stops)} stops."
            )

        parts = [
            [self._statement(statement) for statement in self._list(hop, "statements")]
            for hop in hops
        ]
        joined = [
            {"source": source, "target": target, **first, "also": also}
            for source, target, (first, *also) in zip(stops, stops[1:], parts, strict=False)
        ]

        return self._read(subject) | {"hops": joined}

    def _statement(self, subject: Any) -> dict[str, Any]:
        found = self._read(subject)
        facts = [self._read(place) for place in self._list(subject, "places")]
        label = self._of[subject][_LABEL.value].value

        return {
            "relation": found["relation"],
            "relation_label": label,
            "forward": found["forward"],
            "facts": facts,
        }


_READ: Mapping[str, Callable[[str], Any]] = {
    _XSD + "double": float,
    _XSD + "integer": int,
    _XSD + "boolean": lambda text: text == "true",
    _RDF + "JSON": json.loads,
}


def _value(literal: ox.Literal) -> Any:
    return _READ.get(literal.datatype.value, str)(literal.value)
