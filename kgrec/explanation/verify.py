"""Compute a saved explanation again, and say what no longer holds.

Checked: score, rank, margin and the next item, every part of the budget, what speaks against, the
counts, what filters hide, and of every path its stops, relations, places and numbers; further,
without the explainer's search, that each fact is in the training graph in that direction and
was read from those places; and the sums of model and graph, which one flipped bit changes. Numbers
may differ by a hundred thousandth of the score or of the largest part or drop, since machines add
up in different orders; weights, plausibilities and what walks carry by a hundred thousandth of
themselves.

Not checked: the manifest's versions (another version that gives the same numbers is no difference),
and whether the file that a place names is still the file that was read: the run holds the facts and
their places, not the files.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from typing import Any

import numpy as np

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ExplanationError, KgrecError, UnknownIdError
from kgrec.explanation.core.records import (
    Explanation,
    FactRef,
    Hop,
    Node,
    Path,
    Relation,
    Term,
    short_names,
)
from kgrec.explanation.core.speech import Speech
from kgrec.explanation.explainer import Explainer
from kgrec.explanation.search.all_paths import LONGEST
from kgrec.explanation.search.filters import USERS
from kgrec.languages import Language, language

TOLERANCE = 1e-5
ESTIMATE_TOLERANCE = 1e-3  # training adds up in other orders elsewhere, again and again
_SET = ("screen_top", "per_liked", "per_middle", "budget", "max_length")
_MOST = 20_000_000  # of anything that a file may ask for
_OF_SCORE = ("drop_delete", "drop_mask", "attribution")
_OF_SCORE_SINCE_2 = ("like_drop", "like_drop_mask", "facts_drop", "facts_drop_mask")
_OF_THEMSELVES = ("joint", "weight", "plausibility")
_EQUAL = ("basis", "users", "removed", "rank_after")


def arguments_of(explanation: Explanation) -> dict[str, Any]:
    """Return the arguments of ``Explainer.explain`` that an explanation was made with.

    Raises:
        ExplanationError: If a filter is of a wrong type.
    """
    found = {
        name: explanation.filters[name]
        for name in _VALID
        if explanation.filters.get(name) is not None
    }
    for name, value in found.items():
        if not _VALID[name](value):
            raise ExplanationError(f"its filter {name} cannot be {value!r}.")

    k = _settings(explanation).get("k")
    if "relations" in found:
        found["relations"] = {
            name: names for name, names in found["relations"].items() if names is not None
        }

    if not _whole(k):
        k = max(len(explanation.paths), 1)

    if explanation.schema == 1:
        found.setdefault("rank_by", "drop")  # as version 0.1 ordered paths

    return {
        "k": k,
        "ranks": any(path.rank_after is not None for path in explanation.paths),
    } | found


def settings_of(explanation: Explanation) -> dict[str, Any]:
    """Return the valid settings of an ``Explainer`` that an explanation's manifest names."""
    settings = _settings(explanation)
    valid: dict[str, Any] = {
        name: min(settings[name], _MOST)
        for name in _SET
        if _whole(settings.get(name)) and settings[name] > 0
    }
    if valid.get("max_length", 1) > LONGEST:
        del valid["max_length"]

    if settings.get("users") in USERS:
        valid["users"] = settings["users"]

    valid["modes"] = ("delete",)
    if not explanation.paths or any(path.drop_mask is not None for path in explanation.paths):
        valid["modes"] = ("delete", "mask")

    return valid


def _settings(explanation: Explanation) -> dict[str, Any]:
    settings = explanation.manifest.get("settings")
    if isinstance(settings, dict):
        return settings
    return {}


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


_VALID: dict[str, Callable[[Any], bool]] = {
    "rank_by": lambda value: isinstance(value, str),
    "relations": lambda value: (
        isinstance(value, dict) and all(one is None or _texts(one) for one in value.values())
    ),
    "types": _texts,
    "max_length": _whole,
    "max_degree": _whole,
    "users": lambda value: isinstance(value, str),
    "min_drop": lambda value: isinstance(value, int | float),
}


def verify(
    explanation: Explanation, explainer: Explainer, tolerance: float = TOLERANCE
) -> list[str]:
    """Return what does not hold of an explanation, a line each; empty where all of it does.

    Args:
        explanation: A saved explanation.
        explainer: An explainer over the run that it should be true of, with the settings of its
            manifest.
        tolerance: How far numbers may differ, as a part of the largest of score, parts and drops.
    """
    try:
        explainer = _of_the_person(explanation, explainer)
        flip = explanation.flip is not None
        arguments = arguments_of(explanation)
        fresh = explainer.explain(explanation.user, explanation.item, flip=flip, **arguments)
        training = _training(explanation, fresh, explainer)
    except KgrecError as error:
        return [f"it cannot be computed again: {error}"]

    scale = max(_largest(explanation), _largest(fresh)) or 1.0
    near = partial(_near, tolerance * scale)

    return [
        *_manifest(explanation, fresh),
        *_overall(explanation, fresh, near),
        *_budget(explanation, fresh, near),
        *_paths(explanation, fresh, near, tolerance),
        *_same("flip", explanation.flip, fresh.flip),
        *training,
        *_facts(explanation, explainer.data),
        *_words(explanation, explainer.naming.speech.into(explanation.words.language), fresh),
    ]


def _words(old: Explanation, speech: Speech, new: Explanation) -> Iterator[str]:
    """Compare the words that the file states with those of the dataset in its language."""
    now = speech.explanation(new).words
    for name in ("phrases", "verbs", "labels"):
        known = getattr(now, name)
        for key, said in getattr(old.words, name).items():
            yield from _same(f"{name} {key!r}", said, known.get(key))


def _notes(lang: Language, notes: Sequence[str]) -> tuple[str, ...]:
    """Return notes in a language; those of another one than English stay as they are."""
    return tuple(lang.translated("notes", note) for note in notes)


def _of_the_person(explanation: Explanation, explainer: Explainer) -> Explainer:
    """Return an explainer of whom an explanation is about: with the history that it names."""
    if not explanation.history:
        return explainer

    user = None
    if explanation.user in explainer.data.users:
        user = explanation.user

    name = explanation.user if user is None else ""
    return explainer.with_history(explanation.history, user, name=name)


def _training(explanation: Explanation, fresh: Explanation, explainer: Explainer) -> list[str]:
    """Return what does not hold of the effects through training, computed again."""
    old = explanation.training
    if old is None:
        return []
    if explainer.training_effects is None:
        return ["effects through training: pass the explainer of a run (Run.explainer)"]
    if len(fresh.paths) != len(old.paths):
        return []  # the paths are said to differ

    new = explainer.training_effects(replace(explanation, training=None), old.epochs)
    allowed = TOLERANCE if old.exact else ESTIMATE_TOLERANCE
    numbers = [value for path in new.paths for value in (path.like, path.facts, path.whole)]
    scale = max(abs(new.score), *(abs(value or 0.0) for value in numbers), 0.0) or 1.0
    near = partial(_near, allowed * scale)
    found = list(near("score of training", old.score, new.score))
    for name in ("exact", "label", "worth", "facts_label", "facts_worth", "measured_on"):
        found += _same(f"training, {name}", getattr(old, name), getattr(new, name))

    for rank, (one, other) in enumerate(zip(old.paths, new.paths, strict=True), 1):
        for name in ("like", "facts", "whole"):
            found += near(
                f"path {rank}, {name} through training", *(getattr(p, name) for p in (one, other))
            )

    return found


def _largest(explanation: Explanation) -> float:
    """Return the scale of an explanation's numbers."""
    budget = explanation.budget
    numbers = [explanation.score, *(path.drop_delete or 0.0 for path in explanation.paths)]

    if budget:
        numbers += [budget.own, budget.bias, *budget.other.values()]
        numbers += [term.value for term in budget.by_liked]

    return max(map(abs, numbers))


def _near(allowed: float, what: str, old: float | None, new: float | None) -> Iterator[str]:
    """Yield a line where two numbers differ by more than is allowed."""
    if old is None or new is None:
        if old is not new:
            yield f"{what}: {_shown(old)} in the file, {_shown(new)} now"
    elif not abs(old - new) <= allowed:  # NaN differs as well
        yield f"{what}: {old:.9g} in the file, {new:.9g} now"


def _same(what: str, old: Any, new: Any) -> Iterator[str]:
    """Yield a line where two values are not equal."""
    if old != new:
        yield f"{what}: {_shown(old)} in the file, {_shown(new)} now"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return str(value)


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as JSON would give it back."""
    return dict(json.loads(json.dumps(record)))


def _manifest(old: Explanation, new: Explanation) -> Iterator[str]:
    before = _plain(old.manifest)
    now = _plain(new.manifest)
    for name in dict.fromkeys([*before, *now]):
        if name == "versions":
            continue
        if isinstance(before.get(name), dict) and isinstance(now.get(name), dict):
            for inner in dict.fromkeys([*before[name], *now[name]]):
                yield from _same(f"{name} {inner}", before[name].get(inner), now[name].get(inner))
        else:
            words = name
            if name in ("parameters", "graph"):
                words = f"sum of the {name}"

            yield from _same(words, before.get(name), now.get(name))


def _overall(old: Explanation, new: Explanation, near: Any) -> Iterator[str]:
    yield from near("score", old.score, new.score)
    yield from near("margin", old.margin, new.margin)
    for name in ("rank", "user_label", "item_label", "truncated"):
        yield from _same(name, getattr(old, name), getattr(new, name))

    yield from _same(
        "next item", old.next_item and old.next_item.key, new.next_item and new.next_item.key
    )
    yield from _same("counts", _plain(old.counts), _plain(new.counts))
    filters = _plain(new.filters)
    if old.schema == 1 and filters.get("rank_by") == "drop":
        del filters["rank_by"]  # version 0.1 did not name its default

    yield from _same("filters", _plain(old.filters), filters)
    before = _plain(old.hidden)
    now = _plain(new.hidden)
    for name in ("paths", "below_min_drop"):
        yield from _same(f"hidden {name}", before.get(name), now.get(name))

    yield from _near(TOLERANCE, "hidden share", before.get("share"), now.get("share"))
    lang = language(old.words.language, new.words.verb)  # files of before say "like" of all
    yield from _same("notes", *(_notes(lang, one.notes) for one in (old, new)))
    yield from _terms("against", old.against, new.against, near)


def _budget(old: Explanation, new: Explanation, near: Any) -> Iterator[str]:
    before = old.budget
    now = new.budget
    if before is None or now is None:
        if now is not None:
            yield "budget: none in the file, one now"

        if before is not None:
            yield "budget: one in the file, none now"

        return

    yield from _same("basis of the budget", before.basis, now.basis)
    names = (
        "score",
        "own",
        "bias",
        "residual",
        "by_users",
        "item_own",
        "supported",
        "unsupported",
        "on_graph",
    )
    for name in names:
        yield from near(f"budget {name}", getattr(before, name), getattr(now, name))

    for name in dict.fromkeys([*before.other, *now.other]):
        yield from near(f"budget {name}", before.other.get(name), now.other.get(name))

    for name in ("by_liked", "by_property"):
        yield from _terms(f"budget {name}", getattr(before, name), getattr(now, name), near)


def _terms(what: str, old: Sequence[Term], new: Sequence[Term], near: Any) -> Iterator[str]:
    before, now = (
        {(term.node.kind, term.node.key): term for term in terms} for terms in (old, new)
    )
    for key in dict.fromkeys([*before, *now]):
        if key not in before:
            yield f"{what}, {key[1]!r}: not in the file"
            continue

        if key not in now:
            yield f"{what}, {key[1]!r}: in the file alone"
            continue

        yield from near(f"{what}, {key[1]!r}", before[key].value, now[key].value)
        yield from near(f"{what}, {key[1]!r}, supported", before[key].supported, now[key].supported)


def _paths(old: Explanation, new: Explanation, near: Any, tolerance: float) -> Iterator[str]:
    now = {_steps(path): path for path in new.paths}
    for rank, path in enumerate(old.paths, 1):
        again = now.pop(_steps(path), None)
        if again is None:
            yield f"path {rank}: not among the paths that are found now"
            continue

        yield from _drops(path, again, f"path {rank}", near, old.schema)
        for name in _OF_THEMSELVES:
            value = getattr(path, name)
            yield from _near(
                tolerance * abs(value or 0.0), f"path {rank}, {name}", value, getattr(again, name)
            )

        for name in _EQUAL:
            yield from _same(f"path {rank}, {name}", getattr(path, name), getattr(again, name))

        for number, (one, other) in enumerate(zip(path.hops, again.hops, strict=True), 1):
            if one != (_as_liked(other) if old.schema == 1 else other):
                yield f"path {rank}, hop {number}: its labels or places are not those found now"

    for path in now.values():
        yield (
            "a path is found now that is not in the file: "
            f"{' - '.join(node.key or node.label for node in path.nodes)}"
        )


def _as_liked(hop: Hop) -> Hop:
    """Return a hop as version 0.1 worded it, to which every interaction was a like."""
    if not hop.liked:
        return hop
    return replace(
        hop, relations=tuple(replace(relation, label="liked") for relation in hop.relations)
    )


def _drops(old: Path, new: Path, what: str, near: Any, schema: int) -> Iterator[str]:
    """Compare the drops of a path; schema 1 has not like and facts apart."""
    numbers = _OF_SCORE if schema == 1 else _OF_SCORE + _OF_SCORE_SINCE_2
    for name in numbers:
        yield from near(f"{what}, {name}", getattr(old, name), getattr(new, name))

    if old.placebo is not None:  # one that was estimated since is no difference
        yield from near(f"{what}, placebo", old.placebo, new.placebo)

    if schema > 1:
        for number, (one, other) in enumerate(zip_longest(old.hop_drops, new.hop_drops), 1):
            yield from near(f"{what}, drop of hop {number}", one, other)


def _steps(path: Path) -> tuple[Any, ...]:
    """Return what makes a path this path: its stops, its relations and their directions."""
    relations = tuple(
        tuple((relation.key, relation.forward) for relation in hop.relations) for hop in path.hops
    )
    return tuple((node.kind, node.key) for node in path.nodes), relations


def _facts(explanation: Explanation, data: Dataset) -> Iterator[str]:
    sources = short_names(data.triples.sources)
    for rank, path in enumerate(explanation.paths, 1):
        for number, hop in enumerate(path.hops, 1):
            for relation in hop.relations:
                wrong = _fact(hop, relation, data, sources)
                if wrong:
                    yield f"path {rank}, hop {number}: {wrong}"


def _fact(hop: Hop, relation: Relation, data: Dataset, sources: Sequence[str]) -> str:
    """Return what is wrong with a hop's relation as a fact of the training graph, or ""."""
    if relation.forward:
        head = hop.source
        tail = hop.target
    else:
        head = hop.target
        tail = hop.source

    if "users" in (head.kind, tail.kind):
        return ""  # counted, not named: the count was compared

    try:
        if head.kind == "user":
            liked = relation.key == "interacts" and tail.kind == "item"
            if liked:
                return _interaction(data.users.row(head.key), data.items.row(tail.key), data)

            return ""

        ends = _row(head, data), _row(tail, data)
        row = data.triples.relations.row(relation.key)
    except UnknownIdError as error:
        return str(error)

    triples = data.triples
    found = np.flatnonzero(
        (triples.head == ends[0]) & (triples.relation == row) & (triples.tail == ends[1])
    ).tolist()
    if not found:
        return f"{head.key!r} {relation.key!r} {tail.key!r} is not a fact of the training graph"

    known = {fact_ref(data, one, sources) for one in found}
    unknown = [str(fact) for fact in relation.facts if fact not in known]
    if unknown:
        return f"{head.key!r} {relation.key!r} {tail.key!r} is not in {unknown[0]}"

    return ""


def fact_ref(data: Dataset, row: int, sources: Sequence[str]) -> FactRef:
    """Return where a triple was read; ``sources`` are the shortened names of the dataset's."""
    triples = data.triples
    source = int(triples.source[row])
    ordinal = triples.counts_statements(source)
    column = triples.column(source)
    return FactRef(
        sources[source], int(triples.locator[row]), ordinal, column, triples.graph_name(row) or ""
    )


def _row(node: Node, data: Dataset) -> int:
    if node.kind == "item":
        return data.items.row(node.key)
    return data.triples.entities.row(node.key)


def _interaction(user: int, item: int, data: Dataset) -> str:
    mine = data.train.item[
        np.searchsorted(data.train.user, user) : np.searchsorted(
            data.train.user, user, side="right"
        )
    ]
    if item in mine:
        return ""

    return f"{data.users.key(user)!r} and {data.items.key(item)!r} is not a training interaction"
