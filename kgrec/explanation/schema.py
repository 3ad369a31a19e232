"""What an explanation is, and its JSON. Imports no torch: whatever shows explanations reads this alone."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from kgrec.errors import ExplanationError

if TYPE_CHECKING:
    import networkx as nx

SCHEMA = 1
KINDS = ("user", "item", "entity", "users")
BASES = ("measured", "post-hoc")


@dataclass(frozen=True, slots=True)
class Node:
    """One stop of a path.

    Attributes:
        kind: "user", "item", "entity", or "users": several other users, counted instead of named.
        key: The caller's id; "" for "users".
        label: What people read.
    """

    kind: str
    key: str
    label: str

    def __post_init__(self) -> None:
        """Refuse an unknown kind."""
        if self.kind not in KINDS:
            raise ExplanationError(f"node {self.key!r} has kind {self.kind!r}. Known kinds: {', '.join(KINDS)}.")


@dataclass(frozen=True, slots=True)
class FactRef:
    """Where a fact was read.

    Attributes:
        source: Name of the file, without its folder; or an origin in words.
        locator: Line, or 1-based ordinal of the triple; 0 where unknown; negative where an item took the fact over through its link.
        ordinal: Whether ``locator`` counts triples instead of lines.
        column: Column of the table whose row was read, "" where it is no table of items.
    """

    source: str
    locator: int = 0
    ordinal: bool = False
    column: str = ""

    def __str__(self) -> str:
        """Return source:locator."""
        return self.source + self._place()

    @property
    def short(self) -> str:
        """The same with the file's name alone, without its folder; an address stays whole."""
        return _steps(self.source)[-1] + self._place()

    def _place(self) -> str:
        if self.locator == 0:
            return ""
        where = f" triple {abs(self.locator)}" if self.ordinal else f":{abs(self.locator)}"
        column = f" column {self.column}" if self.column else ""
        return where + column + (" (through the item's link)" if self.locator < 0 else "")


def _steps(source: str) -> list[str]:
    """Return the folders of a file and its name; an address of the web is one step."""
    return [source] if source.startswith(("http://", "https://")) else source.replace("\\", "/").split("/")


def short_names(sources: Sequence[str]) -> tuple[str, ...]:
    """Return the files' names without their folders; of files with equal names, as much of the folder as tells them apart.

    An explanation travels, and the folders of the machine it was made on do not belong in it.

    >>> short_names(("/data/a/kg.nt", "/data/b/kg.nt")), short_names(("/data/films.ttl", "the frame"))
    (('a/kg.nt', 'b/kg.nt'), ('films.ttl', 'the frame'))
    """
    parts = [_steps(source) for source in sources]
    depth, shown = 1, [part[-1] for part in parts]
    while len(set(shown)) < len(set(sources)) and depth < max(map(len, parts)):
        depth += 1
        shown = ["/".join(part[-depth:]) for part in parts]
    return tuple(shown)


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation that a hop follows.

    Attributes:
        key: Relation key, "interacts" for interactions.
        label: What people read.
        forward: True where the fact reads source - relation - target, False where it reads target - relation - source.
        facts: Where it is stated.
    """

    key: str
    label: str
    forward: bool
    facts: tuple[FactRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Hop:
    """One edge of a path, in the order it is walked.

    Attributes:
        source: Where the hop starts.
        target: Where it ends.
        relations: The relations it follows; several where the model merges parallel ones into one weight.
    """

    source: Node
    target: Node
    relations: tuple[Relation, ...]

    def __post_init__(self) -> None:
        """Refuse a hop without a relation."""
        if not self.relations:
            raise ExplanationError(f"the hop from {self.source.key!r} to {self.target.key!r} names no relation.")

    @property
    def relation(self) -> str:
        """Key of the first relation."""
        return self.relations[0].key

    @property
    def relation_label(self) -> str:
        """Label of the first relation."""
        return self.relations[0].label

    @property
    def forward(self) -> bool:
        """Direction of the first relation."""
        return self.relations[0].forward

    @property
    def liked(self) -> bool:
        """Whether the first relation is an interaction, and no relation of the graph that has the same key."""
        return self.relation == "interacts" and bool({"user", "users"} & {self.source.kind, self.target.kind})

    @property
    def facts(self) -> tuple[FactRef, ...]:
        """Where the hop's relations are stated, all of them."""
        return tuple(fact for relation in self.relations for fact in relation.facts)


@dataclass(frozen=True, slots=True)
class Path:
    """A way from the user to the item, and what removing it does.

    Attributes:
        hops: The edges, first to last.
        basis: "measured" (the model was run again without the path) or "post-hoc" (the graph has no effect on the score at inference).
        drop_delete: Score minus the score of the model run again without the path's edges, everything else recomputed.
        drop_mask: The same with the other edges' weights kept; None where it was not measured.
        attribution: First-order effect of the path's edges, by which it was chosen; None where there is none.
        users: Number of other users the path stands for; None where it stands for itself.
        removed: Number of facts removed for ``drop_delete``.
    """

    hops: tuple[Hop, ...]
    basis: str
    drop_delete: float
    drop_mask: float | None = None
    attribution: float | None = None
    users: int | None = None
    removed: int = 0

    def __post_init__(self) -> None:
        """Check that the hops connect, visit no node twice, and that the numbers are finite."""
        if not self.hops:
            raise ExplanationError("a path needs at least one hop.")
        for before, after in zip(self.hops, self.hops[1:], strict=False):
            if before.target != after.source:
                raise ExplanationError(f"a path breaks between {before.target.key!r} and {after.source.key!r}.")
        stops = [(node.kind, node.key) for node in self.nodes if node.kind != "users"]
        if len(set(stops)) < len(stops):
            raise ExplanationError("a path visits a node twice.")
        numbers = [number for number in (self.drop_delete, self.drop_mask, self.attribution) if number is not None]
        if not all(math.isfinite(number) for number in numbers):
            raise ExplanationError("a path has a drop that is not a finite number.")
        if self.basis not in BASES or (self.basis == "post-hoc" and self.drop_delete != 0):
            raise ExplanationError(f"a path has basis {self.basis!r} and drop {self.drop_delete}. Post-hoc paths have drop 0.")

    @property
    def length(self) -> int:
        """Number of hops."""
        return len(self.hops)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The stops, first to last."""
        return (self.hops[0].source, *(hop.target for hop in self.hops))

    @property
    def causal(self) -> bool:
        """Whether words may say "because": the drop was measured and is positive."""
        return self.basis == "measured" and self.drop_delete > 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an item is where it is for a user: paths in ranked order, and what was searched.

    Attributes:
        user: User id.
        item: Item id.
        user_label: Readable user.
        item_label: Readable item.
        score: The model's score.
        rank: 1-based rank among the user's unseen items; None where the user already has the item.
        paths: Best first.
        counts: Paths found per length (keys "1", "2", ...), before other users are counted together.
        truncated: Whether the search stopped at its budget, so that paths may be missing.
        filters: Limits in force.
        notes: What a reader must know.
        manifest: Model, dataset, settings and versions.
        budget: Parts of the score; None where the model offers none.
    """

    user: str
    item: str
    user_label: str
    item_label: str
    score: float
    rank: int | None
    paths: tuple[Path, ...]
    counts: dict[str, int] = field(default_factory=dict)
    truncated: bool = False
    filters: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    manifest: dict[str, Any] = field(default_factory=dict)
    budget: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Check that every path joins the user and the item, and that the numbers are possible."""
        if not math.isfinite(self.score) or (self.rank is not None and self.rank < 1):
            raise ExplanationError(f"score {self.score} and rank {self.rank}: the score must be finite and the rank at least 1.")
        for path in self.paths:
            ends = (path.nodes[0].kind, path.nodes[0].key, path.nodes[-1].kind, path.nodes[-1].key)
            if ends != ("user", self.user, "item", self.item):
                raise ExplanationError(f"a path leads from {ends[1]!r} to {ends[3]!r}, not from {self.user!r} to {self.item!r}.")

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form as a dictionary; see ``from_dict``."""
        out: dict[str, Any] = {"schema": SCHEMA}
        for name in ("user", "item", "user_label", "item_label", "score", "rank", "budget"):
            out[name] = getattr(self, name)
        out["paths"] = [_path_to_dict(path) for path in self.paths]
        for name in ("counts", "truncated", "filters", "manifest"):
            out[name] = getattr(self, name)
        return out | {"notes": list(self.notes)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Explanation":
        """Return the explanation of a dictionary made by ``to_dict``.

        Raises:
            ExplanationError: If the record has another schema or lacks a field.
        """
        if record.get("schema") != SCHEMA:
            raise ExplanationError(f"this is schema {record.get('schema')!r}; this version of kgrec reads schema {SCHEMA}.")
        try:
            fields = {name: value for name, value in record.items() if name in cls.__dataclass_fields__}
            paths = tuple(_path_from_dict(path) for path in record["paths"])
            return cls(**(fields | {"paths": paths, "notes": tuple(record.get("notes", ()))}))
        except (KeyError, TypeError, AttributeError) as error:
            found = str(error).partition("\n")[0]
            raise ExplanationError(f"the record is not an explanation: {found}. Write it with Explanation.to_json.") from error

    def to_json(self, indent: int | None = None) -> str:
        """Return the stable JSON form."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=indent)

    @classmethod
    def from_json(cls, text: str) -> "Explanation":
        """Return the explanation that ``to_json`` wrote.

        Raises:
            ExplanationError: If the text is not JSON, or not of this schema.
        """
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise ExplanationError(f"line {error.lineno}, column {error.colno}: not JSON ({error.msg}).") from error
        if not isinstance(record, dict):
            raise ExplanationError("the JSON holds no object. Write it with Explanation.to_json.")
        return cls.from_dict(record)

    def to_text(self, width: int = 100) -> str:
        """Return lines for a terminal, at most ``width`` characters long where words allow."""
        from kgrec.explanation.verbalize import text

        return text(self, width)

    def to_frame(self) -> pl.DataFrame:
        """Return one row per hop and relation, paths in order."""
        rows = [
            {"user": self.user, "item": self.item, "path": rank, "length": path.length, "drop_delete": path.drop_delete}
            | {"basis": path.basis, "hop": number}
            | {"source_kind": hop.source.kind, "source": hop.source.key, "source_label": hop.source.label}
            | {"relation": relation.key, "relation_label": relation.label, "forward": relation.forward}
            | {"target_kind": hop.target.kind, "target": hop.target.key, "target_label": hop.target.label}
            | {"facts": "; ".join(map(str, relation.facts[:10]))}
            for rank, path in enumerate(self.paths, 1)
            for number, hop in enumerate(path.hops, 1)
            for relation in hop.relations
        ]
        return pl.DataFrame(rows, schema=_FRAME)

    def to_networkx(self) -> "nx.MultiDiGraph[Any]":
        """Return the paths' nodes (kind, key) and edges, each edge in the direction of its fact, with the best drop it takes part in."""
        import networkx as nx

        graph: nx.MultiDiGraph[Any] = nx.MultiDiGraph(user=self.user, item=self.item, score=self.score)
        for rank, path in enumerate(self.paths, 1):
            named = [(n.kind, n.key) if n.kind != "users" else ("users", f"path {rank}") for n in path.nodes]
            for stop, node in zip(named, path.nodes, strict=True):
                graph.add_node(stop, kind=node.kind, label=node.label)
            for source, target, hop in zip(named, named[1:], path.hops, strict=False):
                for relation in hop.relations:
                    ends = (source, target) if relation.forward else (target, source)
                    known = graph.get_edge_data(*ends, key=relation.key, default={})
                    graph.add_edge(
                        *ends,
                        key=relation.key,
                        label=relation.label,
                        drop=max(path.drop_delete, known.get("drop", -math.inf)),
                        paths=[*known.get("paths", ()), rank],
                    )
        return graph

    def _repr_html_(self) -> str:
        from kgrec.explanation.render import notebook

        return notebook(self)


_FRAME = {
    "user": pl.String,
    "item": pl.String,
    "path": pl.Int64,
    "length": pl.Int64,
    "drop_delete": pl.Float64,
    "basis": pl.String,
    "hop": pl.Int64,
    "source_kind": pl.String,
    "source": pl.String,
    "source_label": pl.String,
    "relation": pl.String,
    "relation_label": pl.String,
    "forward": pl.Boolean,
    "target_kind": pl.String,
    "target": pl.String,
    "target_label": pl.String,
    "facts": pl.String,
}


def empty_frame() -> pl.DataFrame:
    """Return the columns of ``Explanation.to_frame`` without rows."""
    return pl.DataFrame(schema=_FRAME)


def _path_to_dict(path: Path) -> dict[str, Any]:
    out = {"length": path.length}
    out |= {name: getattr(path, name) for name in ("drop_mask", "drop_delete", "basis", "attribution", "users", "removed")}
    return out | {"hops": [_hop_to_dict(hop) for hop in path.hops]}


def _hop_to_dict(hop: Hop) -> dict[str, Any]:
    """Return a hop with its first relation in the hop itself and further parallel ones under "also"."""
    first, *others = [
        {"relation": r.key, "relation_label": r.label, "forward": r.forward, "facts": [_fact_to_dict(fact) for fact in r.facts]}
        for r in hop.relations
    ]
    return {"source": asdict(hop.source), "target": asdict(hop.target), **first, "also": others}


def _fact_to_dict(fact: FactRef) -> dict[str, Any]:
    """Return where a fact was read; the column only where there is one."""
    return {name: value for name, value in asdict(fact).items() if name != "column" or value}


def _path_from_dict(record: Mapping[str, Any]) -> Path:
    names = ("basis", "drop_delete", "drop_mask", "attribution", "users", "removed")
    path = Path(tuple(_hop_from_dict(hop) for hop in record["hops"]), **{name: record[name] for name in names})
    if record["length"] != path.length:
        raise ExplanationError(f"a path says length {record['length']} and has {path.length} hops.")
    return path


def _hop_from_dict(record: Mapping[str, Any]) -> Hop:
    relations = tuple(
        Relation(part["relation"], part["relation_label"], part["forward"], tuple(FactRef(**fact) for fact in part["facts"]))
        for part in (record, *record["also"])
    )
    return Hop(Node(**record["source"]), Node(**record["target"]), relations)
