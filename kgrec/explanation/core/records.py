"""What an explanation is. Imports no torch: whatever shows explanations reads this alone."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

import polars as pl

from kgrec.data.io.writing import write_file
from kgrec.errors import ExplanationError
from kgrec.explanation.core.training_effects import TrainingEffects
from kgrec.explanation.core.words import Words

if TYPE_CHECKING:
    import networkx as nx
    from torch_geometric.explain import Explanation as PygExplanation

    from kgrec.explanation.explainer import Explainer

SCHEMA = 2
SCHEMAS = (1, 2)
_TOLERANCE = 1e-4
KINDS = ("user", "item", "entity", "users")
MEASURED = ("exact", "measured")
_RATED = re.compile(r"rated (\S+) of (\S+)")
NOTHING = 1e-6  # of the largest drop of a hop: what rounding may make of an effect of 0


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
        """Refuse an unknown kind, and keys or labels that are not text."""
        if not (isinstance(self.key, str) and isinstance(self.label, str)):
            raise ExplanationError(
                f"a node has key {self.key!r} and label {self.label!r}. Both are text."
            )
        if self.kind not in KINDS:
            raise ExplanationError(
                f"node {self.key!r} has kind {self.kind!r}. Known kinds: {', '.join(KINDS)}."
            )


@dataclass(frozen=True, slots=True)
class FactRef:
    """Where a fact was read.

    Attributes:
        source: Name of the file, without its folder; or an origin in words.
        locator: Line, or 1-based ordinal of the triple; 0 where unknown; negative where an item
            took the fact over through its link.
        ordinal: Whether ``locator`` counts triples instead of lines.
        column: Column of the table whose row was read, "" where it is not a table of items.
        graph: Name of the graph that the fact is in, "" for none.
    """

    source: str
    locator: int = 0
    ordinal: bool = False
    column: str = ""
    graph: str = ""

    def __post_init__(self) -> None:
        """Refuse a source that is not text."""
        if not isinstance(self.source, str):
            raise ExplanationError(f"a place has source {self.source!r}. It is text.")

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

        if self.ordinal:
            where = f" triple {abs(self.locator)}"
        else:
            where = f":{abs(self.locator)}"

        if self.column:
            column = f" column {self.column}"
        else:
            column = ""

        return where + column + (" (through the item's link)" if self.locator < 0 else "")


def _steps(source: str) -> list[str]:
    """Return the folders of a file and its name; an address of the web is one step."""
    if source.startswith(("http://", "https://")):
        return [source]
    return source.replace("\\", "/").split("/")


def short_names(sources: Sequence[str]) -> tuple[str, ...]:
    """Return the files' names without folders, or with as much as tells equal names apart.

    An explanation travels, and the folders of the machine it was made on do not belong in it.

    >>> short_names(("/data/a/kg.nt", "/data/b/kg.nt")), short_names(("/data/films.ttl", "the frame"))
    (('a/kg.nt', 'b/kg.nt'), ('films.ttl', 'the frame'))
    """
    parts = [_steps(source) for source in sources]
    depth = 1
    shown = [part[-1] for part in parts]
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
        forward: True where the fact reads source - relation - target, False where it reads target -
            relation - source.
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
        relations: The relations it follows; several where the model merges parallel ones into one
            weight.
    """

    source: Node
    target: Node
    relations: tuple[Relation, ...]

    def __post_init__(self) -> None:
        """Refuse a hop without a relation."""
        if not self.relations:
            raise ExplanationError(
                f"the hop from {self.source.key!r} to {self.target.key!r} names no relation."
            )

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
        """Whether the first relation is an interaction, not one of the graph with its key."""
        return self.relation == "interacts" and bool(
            {"user", "users"} & {self.source.kind, self.target.kind}
        )

    @property
    def disliked(self) -> bool:
        """Whether it is an interaction that was rated below the middle of the scale."""
        return self.rating is not None

    @property
    def rating(self) -> tuple[str, str] | None:
        """The rating and the end of its scale, of an interaction below the middle; else None."""
        found = _RATED.fullmatch(self.relation_label) if self.liked else None
        return None if found is None else (found[1], found[2])

    @property
    def facts(self) -> tuple[FactRef, ...]:
        """Where the hop's relations are stated, all of them."""
        return tuple(fact for relation in self.relations for fact in relation.facts)


@dataclass(frozen=True, slots=True)
class Path:
    """A way from the user to the item, and what removing it does, like and facts apart.

    Four numbers, each of a re-run: ``drop_delete`` without like and facts, ``like_drop`` without
    the like alone, ``facts_drop`` without the facts alone (the like kept), and ``together``, what
    only both make. A number with ``_mask`` is the same with the other edges' weights kept; None
    where it was not measured.

    Attributes:
        hops: The edges, first to last.
        basis: What the drops are: "exact" (in closed form, equal to running the model again without
            the path), "measured" (it was run again), "post-hoc" (the model declares that its score
            reads no graph: facts have the effect 0) or "not measured" (the model offers no
            deletion).
        drop_delete: Score minus the score of the model run again without the path's edges,
            everything else recomputed; None where not measured.
        drop_mask: The same with the other edges' weights kept.
        like_drop: Without the user's own interaction, the first hop; None where the path starts at
            a fact about the user, or where the drop is not known.
        like_drop_mask: The same with the other edges' weights kept.
        facts_drop: Without all other hops, the like kept.
        facts_drop_mask: The same with the other edges' weights kept.
        hop_drops: Without each hop alone, in order; () where not measured.
        placebo: What unrelated facts of the same relations and degrees stay below in 95 of 100
            draws (``facts_drop`` of a placebo); None where it was not estimated.
        attribution: First-order effect of the path's edges, by which it was chosen; None if
            there is none.
        users: Number of other users the path stands for; None where it stands for itself.
        removed: Number of facts removed for ``drop_delete``.
        joint: What the walks along this very path carry, which need every hop; None where the model
            has no such number. It is a part of ``Budget.on_graph``, not a share of the score.
        weight: Product of the hops' weights in the model; None if there is none.
        plausibility: Log-plausibility of the path's facts by a model that scores facts; None if
            there is none.
        rank_after: Rank of the item without the path's edges; None where it was not asked for.
    """

    hops: tuple[Hop, ...]
    basis: str
    drop_delete: float | None
    drop_mask: float | None = None
    attribution: float | None = None
    users: int | None = None
    removed: int = 0
    joint: float | None = None
    weight: float | None = None
    plausibility: float | None = None
    rank_after: int | None = None
    like_drop: float | None = None
    like_drop_mask: float | None = None
    facts_drop: float | None = None
    facts_drop_mask: float | None = None
    hop_drops: tuple[float, ...] = ()
    placebo: float | None = None

    def __post_init__(self) -> None:
        """Check that the hops connect, visit no node twice, and that the numbers are finite."""
        if not self.hops:
            raise ExplanationError("a path needs at least one hop.")

        for before, after in zip(self.hops, self.hops[1:], strict=False):
            if before.target != after.source:
                raise ExplanationError(
                    f"a path breaks between {before.target.key!r} and {after.source.key!r}."
                )

        stops = [(node.kind, node.key) for node in self.nodes if node.kind != "users"]
        if len(set(stops)) < len(stops):
            raise ExplanationError("a path visits a node twice.")

        numbers = [getattr(self, name) for name in PATH_NUMBERS] + list(self.hop_drops)
        if not all(math.isfinite(number) for number in numbers if number is not None):
            raise ExplanationError("a path has a drop that is not a finite number.")
        if len(self.hop_drops) not in (0, len(self.hops)):
            raise ExplanationError(
                f"a path of {len(self.hops)} hops has {len(self.hop_drops)} drops of hops."
            )

        self._check_basis()

    def _check_basis(self) -> None:
        if self.basis == "not measured":
            possible = self.drop_delete is None
        elif self.basis == "post-hoc":
            possible = self.drop_delete == (self.like_drop or 0.0) and not self.facts_drop
        else:
            possible = self.basis in MEASURED and self.drop_delete is not None
        if not possible:
            raise ExplanationError(
                f"a path has basis {self.basis!r} and drop {self.drop_delete}. Facts of post-hoc "
                "paths have drop 0, paths that were not measured have none."
            )

    @property
    def length(self) -> int:
        """Number of hops."""
        return len(self.hops)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The stops, first to last."""
        return (self.hops[0].source, *(hop.target for hop in self.hops))

    @property
    def together(self) -> float | None:
        """What like and facts make only with each other: the drop of both minus that of each."""
        if self.drop_delete is None or self.like_drop is None or self.facts_drop is None:
            return None
        return self.drop_delete - self.like_drop - self.facts_drop

    @property
    def like_claim(self) -> str:
        """What may be said of the like: "cause", "depends" (the two ways to measure differ in
        sign), "no cause", "disliked" (rated below the middle of the scale: no reason to like
        something) or "not measured".
        """
        if self.hops[0].disliked:
            return "disliked"
        return _sign(self.like_drop, self.like_drop_mask)

    @property
    def facts_claim(self) -> str:
        """What may be said of the facts: "cause", "small" (positive, but not above what unrelated
        facts do, or without a placebo to say so), "depends", "no cause" or "not measured".

        A fact outside of what the model sees has no effect, so a path that names one is no cause.
        """
        found = _sign(self.facts_drop, self.facts_drop_mask)
        if found != "cause":
            return found

        tiny = NOTHING * max(map(abs, self.hop_drops), default=0.0)
        if not all(abs(drop) > tiny for drop in self.hop_drops[1:]):
            return "no cause"
        if self.placebo is None or self.facts_drop is None or self.facts_drop <= self.placebo:
            return "small"

        return "cause"

    @property
    def causal(self) -> bool:
        """Whether words may say "because": the like, or the facts, were measured to hold the score
        up.
        """
        return self.like_claim != "disliked" and "cause" in (self.like_claim, self.facts_claim)


def _sign(delete: float | None, mask: float | None) -> str:
    """Return what the signs of a drop in both modes allow to say."""
    signs = {drop > 0 for drop in (delete, mask) if drop is not None}
    if not signs:
        return "not measured"
    if len(signs) > 1:
        return "depends"

    return "cause" if signs == {True} else "no cause"


PATH_NUMBERS = (
    *("drop_delete", "drop_mask", "like_drop", "like_drop_mask", "facts_drop", "facts_drop_mask"),
    *("placebo", "attribution", "joint", "weight", "plausibility"),
)
"""The fields of a path that are numbers of a score or None."""


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a score that a node carries.

    Attributes:
        node: A liked item, or a neighbor of the item.
        value: Its part of the score; signed.
        supported: The piece of ``value`` where the liked item and a neighbor of the item are the
            same or joined by a fact; None where the model does not tell pieces apart.
    """

    node: Node
    value: float
    supported: float | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """A score as a sum: own + bias + ``by_liked`` + ``other`` + ``residual`` equals it.

    Attributes:
        score: The score.
        own: What the user's own trained vector gives; tied to no edge.
        bias: What biases give.
        by_liked: What each liked item gives, largest first.
        other: Further parts, by what they are in words.
        residual: What rounding leaves.
        basis: "exact", "linearized" (an identity at this point; gates move when the graph does) or
            "measured" (each part is the drop without that like, found by running the model again;
            the rest is in ``other``).
        by_property: A second cut of the same score, from the item's side: what each of its
            neighbors in the graph that is not a user gives, largest first; () where the model offers
            none.
        by_users: The second cut's part of all users who have the item.
        item_own: The second cut's part of the item's own vector: item_own + ``by_property`` +
            by_users + residual equals the score.
        supported: The piece of ``by_liked`` where liked item and a neighbor of this item are the
            same or joined by a fact.
        unsupported: The rest of ``by_liked``: learned similarity between nodes that no fact joins.
        on_graph: What real walks from the user to the item carry, of all lengths the model knows.
    """

    score: float
    own: float
    bias: float
    by_liked: tuple[Term, ...]
    other: dict[str, float]
    residual: float
    basis: str
    by_property: tuple[Term, ...] = ()
    by_users: float | None = None
    item_own: float | None = None
    supported: float | None = None
    unsupported: float | None = None
    on_graph: float | None = None

    def __post_init__(self) -> None:
        """Refuse parts that do not add up."""
        parts = [
            self.own,
            self.bias,
            self.residual,
            *(term.value for term in self.by_liked),
            *self.other.values(),
        ]
        if not all(map(math.isfinite, parts)):
            raise ExplanationError("a budget has a part that is not a finite number.")
        if self.basis not in ("exact", "linearized", "measured"):
            raise ExplanationError(f"a budget has basis {self.basis!r}.")
        if abs(math.fsum(parts) - self.score) > _TOLERANCE * max(1.0, math.fsum(map(abs, parts))):
            raise ExplanationError(
                f"the parts of a budget add up to {math.fsum(parts)}, not to the score "
                f"{self.score}."
            )

    @property
    def liked(self) -> float:
        """What all liked items give together."""
        return math.fsum(term.value for term in self.by_liked)


@dataclass(frozen=True, slots=True)
class Flip:
    """The likes that hold an item's rank, in short: ``core.answers.FlipSet`` has the numbers.

    Attributes:
        without: Likes without which another item comes before it; () where no such set was found.
        first: The item that does; None where no such set was found.
        rank: The item's rank with all likes.
        likes: Number of likes.
        verified: Whether the ranking was computed again without them, and with each put back.
    """

    without: tuple[Node, ...]
    first: Node | None
    rank: int
    likes: int
    verified: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self) | {"without": [asdict(node) for node in self.without]}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Flip":
        """Return what ``to_dict`` wrote; further fields are for readers."""
        first = record["first"]
        return cls(
            tuple(Node(**node) for node in record["without"]),
            first if first is None else Node(**first),
            record["rank"],
            record["likes"],
            record["verified"],
        )


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
        counts: Paths found per length (keys "1", "2", ...), before other users are counted
            together.
        truncated: Whether the search stopped at its budget, so that paths may be missing.
        filters: Limits in force.
        notes: What a reader must know.
        manifest: Model, dataset, settings and versions.
        budget: Parts of the score; None where the model offers none.
        margin: Score minus that of the next candidate in the ranking; None where there is no rank
            or no next.
        next_item: That candidate.
        against: Liked items that pull the score down, the strongest first.
        hidden: What filters left out: ``paths``, and their share of all first-order effects
            (``share``, None if there are none).
        schema: Version of the JSON that it was read from.
        training: Effects of the paths through training; None where they were not requested.
        words: Language, phrases and verbs of its sentences.
        history: Items of the history that the user was given, in their order; (). The user of a
            history alone is not in the data.
        flip: Likes that hold the item's rank; None where they were not searched.
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
    budget: Budget | None = None
    margin: float | None = None
    next_item: Node | None = None
    against: tuple[Term, ...] = ()
    hidden: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA
    training: TrainingEffects | None = None
    words: Words = field(default_factory=Words)
    history: tuple[str, ...] = ()
    flip: Flip | None = None

    def __post_init__(self) -> None:
        """Check that every path joins the user and the item, and that the numbers are possible."""
        if not math.isfinite(self.score) or (self.rank is not None and self.rank < 1):
            raise ExplanationError(
                f"score {self.score} and rank {self.rank}: the score must be finite and the rank "
                "at least 1."
            )

        for path in self.paths:
            ends = (path.nodes[0].kind, path.nodes[0].key, path.nodes[-1].kind, path.nodes[-1].key)
            if ends != ("user", self.user, "item", self.item):
                raise ExplanationError(
                    f"a path leads from {ends[1]!r} to {ends[3]!r}, not from {self.user!r} to "
                    f"{self.item!r}."
                )

        if self.training is not None and len(self.training.paths) != len(self.paths):
            raise ExplanationError(
                f"there are effects through training of {len(self.training.paths)} paths, and "
                f"{len(self.paths)} paths."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form as a dictionary; see ``from_dict``."""
        from kgrec.explanation.core.json_form import explanation_to_dict
        from kgrec.explanation.render.sentences import because, flip_sentence, reason

        said = [because(path, self.words) for path in self.paths]
        out = explanation_to_dict(self, reason(self), said)
        if self.flip is not None:
            item = Node("item", self.item, self.item_label)
            out["flip"]["text"] = flip_sentence(item, self.flip, self.words)

        return out

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Explanation":
        """Return the explanation of a dictionary made by ``to_dict``.

        Raises:
            ExplanationError: If the record has another schema or lacks a field.
        """
        from kgrec.explanation.core.json_form import explanation_from_dict

        return explanation_from_dict(record)

    def to_json(self, indent: int | None = None) -> str:
        """Return the stable JSON form."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=indent)

    @classmethod
    def from_json(cls, text: str) -> "Explanation":
        """Return the explanation that ``to_json`` wrote.

        Raises:
            ExplanationError: If the text is not JSON, or not of this schema.
        """
        from kgrec.explanation.core.json_form import read_json

        return cls.from_record(read_json(text))

    @classmethod
    def from_record(cls, record: object) -> "Explanation":
        """Return the explanation that some JSON holds; see ``from_dict``.

        Raises:
            ExplanationError: If it is not an object, or not of this schema.
        """
        if not isinstance(record, dict):
            raise ExplanationError("the JSON holds no object. Write it with Explanation.to_json.")

        return cls.from_dict(record)

    def to_text(self, width: int = 100) -> str:
        """Return lines for a terminal, at most ``width`` characters long where words allow."""
        from kgrec.explanation.render.text import text

        shown = text(self, width)
        if self.training is None:
            return shown

        return f"{shown}\n{self.training.to_text(self.words.language, self.words.verb)}"

    def to_frame(self) -> pl.DataFrame:
        """Return one row per hop and relation, paths in order."""
        from kgrec.explanation.render.frames import to_frame

        return to_frame(self)

    def to_networkx(self) -> "nx.MultiDiGraph[Any]":
        """Return the paths as a graph: ``kgrec.explanation.render.frames.to_networkx``."""
        from kgrec.explanation.render.frames import to_networkx

        return to_networkx(self)

    def to_pyg(self) -> "PygExplanation":
        """Return the paths as PyG's explanation: ``kgrec.explanation.render.frames.to_pyg``."""
        from kgrec.explanation.render.frames import to_pyg

        return to_pyg(self)

    def to_rdf(self, format: str = "turtle") -> str:
        """Return the explanation as RDF without loss: ``kgrec.explanation.render.rdf``.

        Args:
            format: "turtle" or "ntriples".

        Raises:
            ConfigError: If the format is another one.
        """
        from kgrec.explanation.render.rdf import to_rdf

        return to_rdf(self, format)

    @classmethod
    def from_rdf(cls, text: str, format: str = "turtle") -> "Explanation":
        """Return the explanation that ``to_rdf`` wrote.

        Raises:
            ExplanationError: If the text is not such RDF.
        """
        from kgrec.explanation.render.rdf import from_rdf

        return from_rdf(text, format)

    def to_html(self, path: "str | PathLike[str] | None" = None) -> str:
        """Return the explanation as one HTML page without scripts; write it to a given ``path``."""
        from kgrec.explanation.render.html import page, page_title

        html = page([self], page_title(self.user_label, words=self.words))
        if path is not None:
            write_file(path, lambda file: file.write_text(html, encoding="utf-8"))

        return html

    def verify(self, explainer: "Explainer") -> list[str]:
        """Return what no longer holds, a line each: ``kgrec.explanation.verify.verify``."""
        from kgrec.explanation.verify import verify

        return verify(self, explainer)

    def _repr_html_(self) -> str:
        from kgrec.explanation.render.html import notebook

        return notebook(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Return the forms a notebook shows: HTML without scripts, and text."""
        return {"text/html": self._repr_html_(), "text/plain": self.to_text()}
