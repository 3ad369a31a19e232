"""What a format is: ``Format``, and the aspects of a dataset that a format can carry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.building.sources import DatasetSources
from kgrec.data.records.content import filled, size
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.parts import PARTS


@dataclass(slots=True)
class Written:
    """What a writer has to say about one dataset, beyond what its format says of all.

    Attributes:
        lost: What could not be carried, in words, and how many.
        notes: What a reader of the files should know.
        fewer: By how many the format carries fewer of an aspect than there are.
    """

    lost: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    fewer: dict[str, int] = field(default_factory=dict)

    def lose(self, what: str, count: int, of: str = "") -> None:
        """Add to what could not be carried, if there is anything.

        ``of`` is the aspect that it is a part of.
        """
        if count:
            self.lost[what] = self.lost.get(what, 0) + int(count)
            self.fewer[of] = self.fewer.get(of, 0) + int(count)


@dataclass(frozen=True, slots=True)
class Format:
    """A format of the field.

    Attributes:
        name: Name in messages, and in ``kgrec convert --to`` where it can be written.
        files: The files that make a folder of it, in words.
        recognize: Whether a folder is one; None where the format is only written.
        read: Returns the sources in such a folder; None where the format is only written.
        lenient: Whether ``read`` also takes what to do at a malformed line, "stop" or "skip"; where
            not, its files are read later on.
        carries: What it can hold, names of ``ASPECTS``.
        write: Writes a dataset into an empty folder; the last argument is the name that files may
            bear. None where the format is only read.
        needs: What a dataset must have to be written at all, a name of ``ASPECTS``.
        verb: What users did in all data of this format; None where that differs.
    """

    name: str
    files: str
    recognize: Callable[[Path], bool] | None = None
    read: Callable[..., DatasetSources] | None = None
    lenient: bool = False
    carries: frozenset[str] = frozenset()
    write: Callable[[Dataset, Path, str], Written] | None = None
    needs: str | None = None
    verb: str | None = None


def parts_of(data: Dataset) -> dict[str, Interactions]:
    """Return the interactions by part."""
    return dict(zip(PARTS, (data.train, data.valid, data.test), strict=True))


def in_triples(data: Dataset) -> np.ndarray:
    """Return which entities have a triple, bool (entities,)."""
    stated = np.zeros(data.num_entities, dtype=bool)
    stated[data.triples.head] = stated[data.triples.tail] = True
    return stated


def _present(column: str) -> Callable[[Dataset], int]:
    """Return what counts the interactions with a time or a rating."""

    def count(data: Dataset) -> int:
        columns = (getattr(part, column) for part in parts_of(data).values())
        return sum(int(np.isfinite(values).sum()) for values in columns if values is not None)

    return count


def _links(data: Dataset) -> int:
    return int((data.items.series != data.triples.entities.series[: data.num_items]).sum())


def _labels(first: int | None, last: int | None) -> Callable[[pl.Series], int]:
    return lambda labels: len(labels[first:last]) - labels[first:last].null_count()


def _unused(data: Dataset, column: str, size: int) -> int:
    used = np.zeros(size, dtype=bool)
    for part in parts_of(data).values():
        used[getattr(part, column)] = True
    return int((~used).sum())


def _split(data: Dataset) -> int:
    return len(data.valid) + len(data.test)


ASPECTS: Mapping[str, Callable[[Dataset], int]] = {
    "interactions": lambda data: sum(map(len, parts_of(data).values())),
    "parts of the interactions (validation and test)": _split,
    "times": _present("time"),
    "ratings": _present("rating"),
    "weights": _present("weight"),
    "event types": _present("event"),
    "labelled negatives": lambda data: sum(map(len, data.negatives.values())),
    "impressions": lambda data: sum(map(len, data.impressions.values())),
    "users without an interaction": lambda data: _unused(data, "user", data.num_users),
    "items without an interaction": lambda data: _unused(data, "item", data.num_items),
    "user labels": lambda data: filled(data.user_labels),
    "item labels": lambda data: _labels(None, data.num_items)(data.triples.labels),
    "texts": lambda data: filled(data.content.texts),
    "mentions": lambda data: len(data.content.mentions),
    "features": lambda data: size(data.content.features),
    "word vectors": lambda data: size(data.content.words),
    "entity vectors": lambda data: size(data.content.entities),
    "triples": lambda data: len(data.triples),
    "held-out triples": lambda data: sum(map(len, data.held_triples.values())),
    "links (items whose entity has another name)": _links,
    "facts about users": lambda data: len(data.user_facts),
    "entity labels": lambda data: _labels(data.num_items, None)(data.triples.labels),
    "relation labels": lambda data: _labels(None, None)(data.triples.relation_labels),
    "languages of relation labels": lambda data: sum(map(len, data.wording.labels.values())),
    "verbs and phrases": lambda data: len(data.wording.verbs) + len(data.wording.phrases),
    "entity types": lambda data: data.triples.types.height,
    "literals": lambda data: data.triples.attributes.height,
    "named graphs of triples": lambda data: int((data.triples.graph >= 0).sum()),
    "places that triples came from": lambda data: len(data.triples) * bool(data.triples.sources),
}

(
    INTERACTIONS,
    SPLIT,
    TIMES,
    RATINGS,
    WEIGHTS,
    EVENTS,
    NEGATIVES,
    IMPRESSIONS,
    IDLE_USERS,
    IDLE_ITEMS,
    USER_LABELS,
    ITEM_LABELS,
    TEXTS,
    MENTIONS,
    FEATURES,
    WORD_VECTORS,
    ENTITY_VECTORS,
    TRIPLES,
    HELD,
    LINKS,
    USER_FACTS,
    ENTITY_LABELS,
    RELATION_LABELS,
    RELATION_LANGUAGES,
    WORDS,
    TYPES,
    LITERALS,
    GRAPHS,
    PLACES,
) = ASPECTS
