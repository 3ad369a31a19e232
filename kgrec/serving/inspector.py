"""What the path inspector shows of a run, as JSON-ready dictionaries; without HTTP or files."""

import json
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import polars as pl

from kgrec._version import __version__
from kgrec.data.records.dataset import Dataset
from kgrec.data.texts.spoiled import repaired_all
from kgrec.errors import ConfigError
from kgrec.escaping import LONGEST
from kgrec.explanation.core.answers import Contrast, FlipSet, Summary, WhatIf, WhyNot
from kgrec.explanation.core.records import Explanation, FactRef, Hop, Node, Path, Relation
from kgrec.explanation.core.speech import Speech
from kgrec.explanation.core.words import Words
from kgrec.explanation.render.sentences import claim, headline, hop_words, wording
from kgrec.languages import DEFAULT, LANGUAGES, repaired
from kgrec.process import refuse_after_fork
from kgrec.runs.run import Run
from kgrec.serving.images import Images

MOST_PATHS = 500
MOST_ITEMS = 100
MOST_USERS = 1_000
MOST_ROWS = 200
MOST_PATTERN_USERS = 20  # every recommendation is explained for it
MOST_CHANGES = 200
KINDS = ("item", "entity")
SPOKEN = (DEFAULT, *(code for code in LANGUAGES if code != DEFAULT))
_CACHED = 256
_SPOKEN = 10  # paths that a headline is chosen from, however many are shown
_AUDIENCE = 10  # items of each list that is looked through
_LABELS = frozenset({"label", "user_label", "item_label", "relation_label", "text"})


@runtime_checkable
class Explaining(Protocol):
    """What an ``Explainer`` answers."""

    def explain(self, user: str, item: str, k: int = 10, **settings: Any) -> Explanation:
        """Return why an item is ranked where it is."""

    def compare(self, user: str, first: str, second: str, k: int = 5) -> Contrast:
        """Return why one item and not another."""

    def flip(
        self, user: str, item: str | None = None, mode: str = "delete", max_size: int = 50
    ) -> FlipSet:
        """Return the likes without which another item is at the top."""

    def why_not(self, user: str, item: str, k: int = 10) -> WhyNot:
        """Return why an item is not in the list."""

    def what_if(
        self,
        user: str,
        remove: Sequence[str] = (),
        add: Sequence[str] = (),
        items: Sequence[str] = (),
        **changes: Any,
    ) -> WhatIf:
        """Return the ranking under other likes and facts."""

    def summary(
        self, users: Any = None, k: int = 10, by: str = "relation", knock_out: bool = False
    ) -> Summary:
        """Return what drives many recommendations."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a reader wants of the paths; the defaults leave everything to the explainer.

    Attributes:
        allow: Relations that alone may occur.
        deny: Relations that may not.
        types: Kinds of nodes that may stand after the first stop: "item", "entity", "users"; None
            is every one.
        max_length: Longest path, in hops.
        max_degree: Most facts of a node between the ends.
        users: "count", "hide" or "show".
        min_drop: Smallest drop.
        rank_by: What orders the paths.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    types: tuple[str, ...] | None = None
    max_length: int | None = None
    max_degree: int | None = None
    users: str | None = None
    min_drop: float | None = None
    rank_by: str | None = None

    def settings(self) -> dict[str, Any]:
        """Return the keywords of ``Explainer.explain`` that differ from its own settings."""
        out: dict[str, Any] = {}
        relations = {
            name: list(keys) for name, keys in (("allow", self.allow), ("deny", self.deny)) if keys
        }
        if relations:
            out["relations"] = relations

        if self.types is not None:
            out["types"] = self.types

        for name in ("max_length", "max_degree", "users", "min_drop", "rank_by"):
            if getattr(self, name) is not None:
                out[name] = getattr(self, name)

        return out


class Inspector:
    """A run and what can be asked of it; answers are kept, so that going back costs nothing.

    Not safe for several threads at once, apart from ``users``, ``items``, ``history`` and
    ``about``: ask one question after another.

    Args:
        run: The run.
        explainer: What explains; None takes the run's own.
        phrases: Table of how relations read, before the dataset's own.
        images: Pictures of items.
        other: A second run, to be shown beside this one.
    """

    def __init__(
        self,
        run: Run,
        explainer: Explaining | None = None,
        phrases: object | None = None,
        images: Images | None = None,
        other: "Inspector | None" = None,
    ) -> None:
        self.run = run
        self.images = images or Images()
        self.other = other
        self.data: Dataset = run.data
        if not self.data.num_users or not self.data.num_items:
            raise ConfigError(
                f"{run!r} has no users and items to inspect. Train a recommender on interactions."
            )

        # A page has room for more paths through one liked item than a terminal.
        self._changeable = {"likes": True, "facts": True}
        if explainer is None:
            found = run.explainer(per_liked=5, per_middle=10, phrases=phrases)
            self._changeable = found.explained.changeable
            explainer = cast(Explaining, found)

        self._explainer: Explaining = explainer
        self._words = Speech(run.data, DEFAULT, phrases)
        self._speeches: dict[str, Speech] = {}
        self._answers: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = Lock()
        self._many: pl.DataFrame | None = None
        self._user_labels = _readable(self.data.users.series, self.data.user_labels)
        self._item_labels = _readable(
            self.data.items.series, self.data.triples.labels.slice(0, self.data.num_items)
        )
        self._history_sizes = np.bincount(self.data.train.user, minlength=self.data.num_users)
        triples = self.data.triples
        ends = np.concatenate([triples.head, triples.tail, self.data.train.item])
        self._degree = np.bincount(ends, minlength=self.data.num_entities)

    def about(self) -> dict[str, Any]:
        """Return model, dataset, settings, figures and limits."""
        data = self.data
        run = self.run
        facts = np.bincount(data.triples.relation, minlength=data.num_relations)
        relations = [
            {
                "key": data.triples.relations.key(row),
                "label": _cut(data.triples.relation_label(row)),
                "facts": int(facts[row]),
            }
            for row in np.argsort(-facts, kind="stable")[:MOST_ROWS].tolist()
        ]

        sizes = {
            "users": data.num_users,
            "items": data.num_items,
            "entities": data.num_entities,
            "triples": len(data.triples),
        }

        return {
            "name": self._name(),
            "model": run.name,
            "preset": run.chosen.preset,
            "dataset": data.name,
            "verb": self._words.words().verb,
            "checksum": data.checksum,
            "seed": run.seed,
            "sizes": sizes
            | {"relations": data.num_relations, "train": len(data.train), "valid": len(data.valid)},
            "relations": relations,
            "config": _plain(run.config),
            "training": {
                "epochs": run.summary.get("epochs"),
                "best_epoch": run.summary.get("best_epoch"),
                "selection": run.summary.get("selection"),
                "refit": run.refit,
            },
            "metrics": {
                part: _finite(run.summary[part])
                for part in ("test", "valid")
                if run.summary.get(part)
            },
            "versions": {"kgrec": __version__},
            "images": len(self.images),
            "changeable": self._changeable,
            "languages": SPOKEN,
            "other": self._beside(),
            "limits": {
                "paths": MOST_PATHS,
                "items": MOST_ITEMS,
                "users": MOST_USERS,
                "changes": MOST_CHANGES,
            },
        }

    def _name(self) -> str:
        """Return what tells this run from another: its model and, where it has one, its folder."""
        if self.run.path is None:
            return self.run.name
        return f"{self.run.name} ({self.run.path.name})"

    def _beside(self) -> dict[str, Any] | None:
        """Return what a page says of the second run."""
        if self.other is None:
            return None

        same = self.other.data.checksum == self.data.checksum
        return {"name": self.other._name(), "model": self.other.run.name, "same_data": same}

    def users(self, words: str = "", offset: int = 0, limit: int = 50) -> dict[str, Any]:
        """Return the users whose id or label contains ``words``, those that begin with it first."""
        rows = _search(words, self.data.users.series, self._user_labels)
        page = rows[offset : offset + limit].tolist()
        found = [
            {
                "user": self.data.users.key(row),
                "label": _cut(self.data.user_label(row)),
                "history": int(self._history_sizes[row]),
            }
            for row in page
        ]

        return {"total": len(rows), "offset": offset, "rows": found}

    def items(self, words: str = "", limit: int = 20) -> dict[str, Any]:
        """Return the items whose id or label has ``words`` in it."""
        rows = _search(words, self.data.items.series, self._item_labels)
        return {"total": len(rows), "rows": [self._item(row) for row in rows[:limit].tolist()]}

    def history(self, user: str) -> dict[str, Any]:
        """Return what a user has, latest first, at most 1,000 items."""
        row = self.data.users.row(user)
        out = []

        for name, part in (("training", self.data.train), ("validation", self.data.valid)):
            low, high = np.searchsorted(part.user, [row, row + 1])
            out += [(int(item), name) for item in part.item[low:high]]

        shown = [self._item(item) | {"part": name} for item, name in reversed(out[-1_000:])]

        return {
            "user": user,
            "label": _cut(self.data.user_label(row)),
            "total": len(out),
            "rows": shown,
        }

    def recommend(self, user: str, k: int = 10) -> dict[str, Any]:
        """Return a user's list and history."""
        given = min(k, MOST_ITEMS)

        def answer() -> dict[str, Any]:
            frame = self.run.recommend([user], k=given)
            rows = [
                {name: row[name] for name in ("rank", "item", "label", "score", "kind")}
                for row in frame.iter_rows(named=True)
            ]
            shown = [row | {"label": _cut(row["label"])} | self._image(row["item"]) for row in rows]
            return {"history": self.history(user), "rows": shown} | _bounded(k, given)

        return self._kept(answer, "recommend", user, given, k)

    def _speech(self, language: str) -> Speech:
        """Return the dataset's words in a language."""
        if language == DEFAULT:
            return self._words
        if language not in self._speeches:
            self._speeches[language] = self._words.into(language)

        return self._speeches[language]

    def explain(
        self,
        user: str,
        item: str,
        k: int = 10,
        filters: Filters | None = None,
        language: str = DEFAULT,
    ) -> dict[str, Any]:
        """Return an explanation, and beside it what a page needs to show it."""
        given = min(k, MOST_PATHS)
        settings = (filters or Filters()).settings()

        def answer() -> dict[str, Any]:
            found = self._explainer.explain(user, item, k=given, **settings)
            if language != DEFAULT:
                found = self._speech(language).explanation(found)

            return self.view(found) | _bounded(k, given)

        return self._kept(answer, "explain", user, item, k, settings, language)

    def compare(
        self, user: str, first: str, second: str, language: str = DEFAULT
    ) -> dict[str, Any]:
        """Return why one item and not another, with both explanations as of ``explain``."""

        def answer() -> dict[str, Any]:
            contrast = self._explainer.compare(user, first, second)
            if language != DEFAULT:
                contrast = self._speech(language).answer(contrast)

            record = contrast.to_dict()
            del record["explanations"]

            return {
                "contrast": _shortened(record),
                "views": [self.view(why) for why in contrast.explanations],
            }

        return self._kept(answer, "compare", user, first, second, language)

    def flip(
        self, user: str, item: str | None = None, mode: str = "delete", language: str = DEFAULT
    ) -> dict[str, Any]:
        """Return the likes without which another item is at the top."""

        def answer() -> dict[str, Any]:
            found = self._explainer.flip(user, item, mode)
            if language != DEFAULT:
                found = self._speech(language).answer(found)

            return {"flip": _shortened(found.to_dict())}

        return self._kept(answer, "flip", user, item, mode, language)

    def why_not(self, user: str, item: str, k: int = 10) -> dict[str, Any]:
        """Return why an item is not among the first ``k``."""

        def answer() -> dict[str, Any]:
            record = self._explainer.why_not(user, item, k=min(k, MOST_ITEMS)).to_dict()
            record["contrast"].pop("explanations", None)
            return {"why_not": _shortened(record)}

        return self._kept(answer, "why-not", user, item, k)

    def what_if(
        self,
        user: str,
        remove: Sequence[str] = (),
        add: Sequence[str] = (),
        items: Sequence[str] = (),
        remove_facts: Sequence[Sequence[str]] = (),
        add_facts: Sequence[Sequence[str]] = (),
    ) -> dict[str, Any]:
        """Return the ranking under other likes and facts, at most ``MOST_CHANGES`` of them."""
        changes = len(remove) + len(add) + len(remove_facts) + len(add_facts)
        if changes > MOST_CHANGES or len(items) > MOST_ITEMS:
            raise ConfigError(
                f"{changes} changes: at most {MOST_CHANGES} at once, and {MOST_ITEMS} items asked "
                "about."
            )

        facts: dict[str, Any] = {
            name: [tuple(fact) for fact in given]
            for name, given in (("remove_facts", remove_facts), ("add_facts", add_facts))
            if given
        }

        def answer() -> dict[str, Any]:
            return {
                "what_if": _shortened(
                    self._explainer.what_if(
                        user, tuple(remove), tuple(add), tuple(items), **facts
                    ).to_dict()
                )
            }

        return self._kept(answer, "what-if", user, list(remove), list(add), list(items), facts)

    def summary(
        self, by: str = "relation", knock_out: bool = False, users: int = 200
    ) -> dict[str, Any]:
        """Return what drives the recommendations of the first ``users`` users with a history.

        Patterns, which cost most, are of fewer users.
        """
        most = MOST_USERS
        if by == "pattern":
            most = MOST_PATTERN_USERS

        given = min(users, most)

        def answer() -> dict[str, Any]:
            chosen = np.flatnonzero(self._history_sizes)[:given]
            keys = self.data.users.keys(chosen)
            summary = self._explainer.summary(keys, k=10, by=by, knock_out=knock_out)
            return {"summary": _shortened(summary.to_dict())} | _bounded(users, given)

        return self._kept(answer, "summary", by, knock_out, users)

    def facts(self, item: str, language: str = DEFAULT) -> dict[str, Any]:
        """Return the facts of an item, at most 200, each with its keys for ``what_if``."""
        row = self.data.items.row(item)
        triples = self.data.triples
        found = np.flatnonzero((triples.head == row) | (triples.tail == row))
        rows = []

        for fact in found[:MOST_ROWS].tolist():
            head = int(triples.head[fact])
            relation = int(triples.relation[fact])
            tail = int(triples.tail[fact])
            key = [
                triples.entities.key(head),
                triples.relations.key(relation),
                triples.entities.key(tail),
            ]
            said = self._relation(relation, True, language)
            labels = [triples.label(head), said, triples.label(tail)]
            rows.append(
                {
                    "key": key,
                    "labels": [_cut(label) for label in labels],
                    "place": self._place(fact),
                }
            )

        return {"item": item, "total": len(found), "rows": rows}

    def _relation(self, relation: int, forward: bool, language: str, words: bool = False) -> str:
        """Return a relation's label in a language, or how it reads in one direction."""
        triples = self.data.triples
        key, label = triples.relations.key(relation), triples.relation_label(relation)
        one = Relation(key, label, forward)
        known = self._speech(language).of_relations({key: label})
        return wording(one, known) if words else known.labels.get(key, label)

    def node(self, kind: str, key: str, language: str = DEFAULT) -> dict[str, Any]:
        """Return an item or entity with its facts, at most 200, each with what it joins."""
        row = self._row(kind, key)
        triples = self.data.triples
        found = np.flatnonzero((triples.head == row) | (triples.tail == row))
        facts = []

        for fact in found[:MOST_ROWS].tolist():
            forward = int(triples.head[fact]) == row
            there = int(triples.tail[fact] if forward else triples.head[fact])
            relation = int(triples.relation[fact])
            words = self._relation(relation, forward, language, words=True)
            facts.append(
                {"words": _cut(words), "forward": forward, "place": self._place(fact)}
                | self._end(there)
            )

        name = self._end(row) | {"iri": triples.entities.key(row)}
        return name | self._image(name["key"]) | {"total": len(found), "rows": facts}

    def audience(self, kind: str, key: str) -> dict[str, Any]:
        """Return whose first ten have an item, or an item that a fact joins to an entity.

        Lists of the first 1,000 users with a history are looked through; at most 200 places are
        returned, best ranks first.
        """
        row = self._row(kind, key)
        items = {row}
        if row >= self.data.num_items:
            triples = self.data.triples
            ends = np.concatenate(
                [triples.tail[triples.head == row], triples.head[triples.tail == row]]
            )
            items = set(ends[ends < self.data.num_items].tolist())

        def answer() -> dict[str, Any]:
            lists = self._lists()
            wanted = self.data.items.keys(np.array(sorted(items), dtype=np.int64))
            found = lists.filter(pl.col("item").is_in(list(wanted))).sort("rank", "user")
            rows = [
                {name: one[name] for name in ("user", "item", "rank", "score")}
                | {
                    "label": _cut(self.data.user_label(self.data.users.row(one["user"]))),
                    "item_label": _cut(one["label"]),
                }
                for one in found.head(MOST_ROWS).iter_rows(named=True)
            ]
            return {"users": lists["user"].n_unique(), "total": len(found), "rows": rows}

        return self._kept(answer, "audience", kind, key)

    def _lists(self) -> pl.DataFrame:
        """Return the first ten items of many users; computed once."""
        if self._many is None:
            chosen = np.flatnonzero(self._history_sizes)[:MOST_USERS]
            self._many = self.run.recommend(list(self.data.users.keys(chosen)), k=_AUDIENCE)

        return self._many

    def _row(self, kind: str, key: str) -> int:
        if kind == "item":
            return self.data.items.row(key)
        return self.data.triples.entities.row(key)

    def _end(self, row: int) -> dict[str, Any]:
        """Return kind, key and label of a node of the graph."""
        if row < self.data.num_items:
            label = self.data.item_label(row)
            return {"kind": "item", "key": self.data.items.key(row), "label": _cut(label)}

        triples = self.data.triples
        return {
            "kind": "entity",
            "key": triples.entities.key(row),
            "label": _cut(triples.label(row)),
        }

    def _image(self, item: str) -> dict[str, str]:
        address = self.images.addresses.get(item)
        return {} if address is None else {"image": address}

    def view(self, explanation: Explanation) -> dict[str, Any]:
        """Return an explanation's stable JSON under ``explanation``, and what its view needs.

        ``headline`` is the index of the path that speaks for it, None without paths.
        """
        nodes = {
            (node.kind, node.key): node
            for path in explanation.paths
            for node in path.nodes
            if node.kind != "users"
        }
        best = None
        if explanation.paths:
            first = replace(explanation, paths=explanation.paths[:_SPOKEN])
            best = first.paths.index(headline(first))

        return {
            "explanation": _shortened(explanation.to_dict()),
            "headline": best,
            "paths": [_shown(path, explanation.words) for path in explanation.paths],
            "nodes": {f"{kind} {key}": self._node(node) for (kind, key), node in nodes.items()},
        }

    def _kept(self, answer: Callable[[], dict[str, Any]], *question: Any) -> dict[str, Any]:
        """Return the answer given before, or answer now."""
        key = json.dumps(question)
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]

        found = answer()
        with self._lock:
            self._answers[key] = found
            while len(self._answers) > _CACHED:
                self._answers.popitem(last=False)

        return found

    def _item(self, row: int) -> dict[str, Any]:
        return {"item": self.data.items.key(row), "label": _cut(self.data.item_label(row))}

    def _place(self, fact: int) -> str:
        triples = self.data.triples
        source = int(triples.source[fact])
        ref = FactRef(
            triples.sources[source],
            int(triples.locator[fact]),
            triples.counts_statements(source),
            triples.column(source),
        )

        return ref.short

    def _node(self, node: Node) -> dict[str, Any]:
        """Return IRI and degree of a node; an item's IRI is that of its entity."""
        if node.kind == "user":
            row = self.data.users.get(node.key)
            if row is None:
                return {"iri": "", "degree": 0}

            return {"iri": "", "degree": int(self._history_sizes[row])}

        known = self.data.triples.entities
        if node.kind == "item":
            known = self.data.items

        row = known.get(node.key)
        if row is None:
            return {"iri": "", "degree": 0}

        return {"iri": self.data.triples.entities.key(row), "degree": int(self._degree[row])}


def _shown(path: Path, words: Words) -> dict[str, Any]:
    """Return whether a path is a cause, and each hop's relations in words with their sources."""
    hops = [
        {
            "words": _words(hop, words),
            "places": [[fact.short for fact in relation.facts[:20]] for relation in hop.relations],
        }
        for hop in path.hops
    ]
    return {"causal": path.causal, "claim": claim(path), "hops": hops}


def _words(hop: Hop, words: Words) -> list[str]:
    if hop.liked:
        return [_cut(hop_words(hop, words))]
    return [_cut(wording(relation, words)) for relation in hop.relations]


def _bounded(requested: int, given: int) -> dict[str, Any]:
    """Return what was requested and what is given, where they differ."""
    if requested > given:
        return {"bounded": {"asked": requested, "given": given}}
    return {}


def _cut(label: str) -> str:
    """Return a label for people that cannot fill memory; the page itself shows less."""
    if len(label) <= 5 * LONGEST:
        return repaired(label)
    return repaired(label[: 5 * LONGEST - 1]) + "…"


def _shortened(record: Any) -> Any:
    """Return a JSON record whose labels are cut."""
    if isinstance(record, dict):
        return {
            key: _cut(value) if key in _LABELS and isinstance(value, str) else _shortened(value)
            for key, value in record.items()
        }
    if isinstance(record, list):
        return [_shortened(value) for value in record]

    return record


def _readable(keys: pl.Series, labels: pl.Series | None) -> pl.Series:
    """Return what a search looks at besides the ids, in lower case."""
    refuse_after_fork("Making an inspector")
    if labels is None:
        shown = keys
    else:
        shown = pl.select(pl.coalesce(labels.alias("label"), keys.alias("key"))).to_series()

    return repaired_all(shown).str.to_lowercase()


def _search(words: str, keys: pl.Series, labels: pl.Series) -> np.ndarray:
    """Return the rows with ``words`` in id or label: equal ones, those that begin so, others."""
    wanted = words.strip().lower()
    if not wanted:
        return np.arange(len(keys))

    lowered = keys.str.to_lowercase()
    inside = (
        lowered.str.contains(wanted, literal=True) | labels.str.contains(wanted, literal=True)
    ).to_numpy()
    begins = (lowered.str.starts_with(wanted) | labels.str.starts_with(wanted)).to_numpy()
    equal = ((lowered == wanted) | (labels == wanted)).to_numpy()
    rows = np.flatnonzero(inside)
    return rows[np.lexsort([rows, ~begins[rows], ~equal[rows]])]


def _plain(config: Any) -> Mapping[str, Any]:
    names = getattr(config, "__dataclass_fields__", {})
    values = {name: getattr(config, name) for name in names}
    return {name: _scalar(value) for name, value in values.items()}


def _scalar(value: Any) -> str | int | None:
    if isinstance(value, str | int | None):
        return value
    return str(value)


def _finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
