"""What a dataset is built from, named part by part, and the building of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike
from typing import Any

import polars as pl

from kgrec.data.building.build import build_dataset
from kgrec.data.readers.interactions import read_log, read_part
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import InteractionLog
from kgrec.data.splitting.impressions import ImpressionLog
from kgrec.data.splitting.labels import LabelledLog
from kgrec.data.tables.delimited import Table
from kgrec.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a dataset: paths, frames, or records already read; None where there is none.

    Attributes:
        interactions: All interactions in one.
        train: Training part of a given split.
        valid: Validation part.
        test: Test part.
        kg: Files or graphs that together are the knowledge graph.
        links: Items to entities, two columns.
        labelled: A ``LabelledLog``, in the place of interactions.
        impressions: An ``ImpressionLog``, in the place of interactions.
        items: Table of items, whose titles become labels and texts.
        texts: Columns of ``items`` that hold texts, where not the titles.
        mentions: Entities named in the texts.
        features: Feature vectors of the items.
        word_vectors: File of word vectors.
        entity_vectors: File or files of entity vectors.
        held: Held-out triples by part; see ``build_dataset``.
        users: Table of users; used only where ``user_attributes`` is asked for.
        user: User column.
        item: Item column.
        time: Time column.
        rating: Rating column.
        item_id: Item column of ``items``.
        name: Short name.
        notes: What a reader should know about how the parts were found.
        beside: Graph files found next to the parts and not read.
    """

    interactions: object | None = None
    train: object | None = None
    valid: object | None = None
    test: object | None = None
    kg: Sequence[object] | None = None
    links: object | None = None
    labelled: LabelledLog | None = None
    impressions: ImpressionLog | None = None
    items: object | None = None
    texts: str | Sequence[str] | None = None
    mentions: pl.DataFrame | None = None
    features: object | None = None
    word_vectors: object | None = None
    entity_vectors: object | None = None
    held: Mapping[str, pl.DataFrame] | None = None
    users: object | None = None
    user: str | None = None
    item: str | None = None
    time: str | None = None
    rating: str | None = None
    item_id: str | None = None
    name: str | None = None
    notes: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def split(self) -> bool:
        """Whether the parts of a split are given."""
        return self.train is not None or self.valid is not None or self.test is not None


def override(parts: Parts, given: Parts) -> Parts:
    """Return the parts with those that are given in their place.

    A log takes the place of a split, a split keeps the log for its times; both take that of
    labelled rows and impressions.
    """
    own = {f.name: getattr(given, f.name) for f in fields(given)}
    changes: dict[str, Any] = {name: value for name, value in own.items() if not _is_nothing(value)}
    if given.split or given.interactions is not None:
        changes |= {"labelled": given.labelled, "impressions": given.impressions}
    if given.split:
        changes |= {"train": given.train, "valid": given.valid, "test": given.test}
    elif given.interactions is not None:
        changes |= {"train": None, "valid": None, "test": None}
    return replace(parts, **changes)


def _is_nothing(value: object) -> bool:
    return value is None or (isinstance(value, tuple) and not value)


def build_from_parts(
    parts: Parts,
    *,
    split: str | None = None,
    user_attributes: object | None = None,
    min_rating: float | int | None = None,
    separator: str | None = None,
    on_error: str = "stop",
    **settings: Any,
) -> Dataset:
    """Build a dataset from named parts.

    Args:
        parts: The parts.
        split: See ``build_dataset``. Another split than "given" joins the parts of a given one and
            divides them anew.
        user_attributes: A table of users whose attributes become facts; True takes ``parts.users``.
        min_rating: Ratings below it are left out.
        separator: Between the cells of the interactions.
        on_error: "stop" at a malformed line, or "skip" it and count it.
        settings: Further arguments of ``build_dataset``.

    Raises:
        ConfigError: If there are no interactions, or user attributes are asked for and there are
            none.
    """
    if split is None:
        given = parts.split
    else:
        given = split.lower() == "given"
    log = _log(parts, given, min_rating, separator, on_error)
    if user_attributes is True and parts.users is None:
        raise ConfigError("user attributes are asked for and there are none. Name a file of them.")
    return build_dataset(
        log,
        None if parts.kg is None else list(parts.kg),
        links=parts.links if parts.kg is not None else None,
        split="given" if given and parts.split else split,
        train=parts.train if given else None,
        valid=parts.valid if given else None,
        test=parts.test if given else None,
        labelled=parts.labelled,
        impressions=parts.impressions,
        held=parts.held,
        user_attributes=parts.users if user_attributes is True else user_attributes or None,
        item_labels=parts.items,
        texts=parts.texts,
        mentions=parts.mentions,
        features=parts.features,
        word_vectors=parts.word_vectors,
        entity_vectors=parts.entity_vectors,
        user=parts.user,
        item=parts.item,
        item_id=parts.item_id,
        min_rating=min_rating,
        on_error=on_error,
        **({"name": parts.name} if parts.name else {}) | settings,
        notes=_notes(parts, bool(user_attributes)),
    )


def _log(
    parts: Parts, given: bool, min_rating: float | int | None, separator: str | None, on_error: str
) -> InteractionLog | None:
    if parts.interactions is None:
        if parts.split and not given:
            return _joined(parts, on_error)
        return None
    if isinstance(parts.interactions, InteractionLog):
        return parts.interactions
    wanted = (parts.user, parts.item, parts.time, parts.rating)
    return read_log(
        parts.interactions,
        wanted=wanted,
        min_rating=min_rating,
        separator=separator,
        on_error=on_error,
    )


def _joined(parts: Parts, on_error: str) -> InteractionLog:
    """Return the parts of a given split as one log."""
    sources = [source for source in (parts.train, parts.valid, parts.test) if source is not None]
    logs = [
        source
        if isinstance(source, InteractionLog)
        else read_part(source, user=parts.user, item=parts.item, on_error=on_error)
        for source in sources
    ]
    frame = pl.concat([log.frame for log in logs], how="diagonal")
    return InteractionLog(
        frame,
        tuple(s for log in logs for s in log.sources),
        tuple(d for log in logs for d in log.dropped),
    )


def _name(source: object) -> str:
    """Return what a part is called in a sentence."""
    if isinstance(source, Table):
        return source.name
    if isinstance(source, str | PathLike):
        return str(source)
    return "The frame"


def _notes(parts: Parts, with_users: bool) -> tuple[str, ...]:
    notes = list(parts.notes)
    if parts.users is not None and not with_users:
        notes.append(
            f"{_name(parts.users)}: user attributes are unused. Ask for them with user_attributes."
        )
    if parts.links is not None and parts.kg is None:
        notes.append(f"{_name(parts.links)}: links are unused, since there is no knowledge graph.")
    read = {str(one) for one in parts.kg or ()}
    notes += [
        f"{path}: a graph file that is not read. Name it as kg to use it."
        for path in parts.beside
        if path not in read
    ]
    return tuple(notes)
