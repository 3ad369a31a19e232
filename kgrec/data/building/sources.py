"""What a dataset is built from, by name, and the one function that takes names apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike
from typing import Any

import polars as pl

from kgrec.data.building.options import BuildOptions
from kgrec.data.readers.interactions import read_part
from kgrec.data.readers.triples import held_triples
from kgrec.data.records.interactions import InteractionLog
from kgrec.data.records.report import ReportBuilder
from kgrec.data.records.wording import Wording, read_verbs
from kgrec.data.splitting.impressions import ImpressionLog
from kgrec.data.splitting.labeled import LabeledLog
from kgrec.data.tables.delimited import Table
from kgrec.errors import ConfigError, nearest


@dataclass(frozen=True, slots=True)
class DatasetSources:
    """The sources of a dataset: paths, frames, or records already read; None if there is none.

    Attributes:
        interactions: All interactions in one, or what ``read_interactions`` reads. With given parts
            they only lend their times to them. Without interactions of any kind, the graph and
            ``triple_ratios`` make a dataset without users and items.
        train: Training part of a given split: a log, file or frame.
        valid: Validation part; a tenth of each user's training items is held out where it is
            missing.
        test: Test part.
        labelled: Rows with labels, instead of interactions; those with label 0 become
            ``Dataset.negatives``.
        impressions: Lists that were shown, instead of interactions; they become
            ``Dataset.impressions``.
        kg: A knowledge graph, several of them, or what ``read_triples`` reads.
        held: Held-out triples by part ("valid", "test"): columns ``head``, ``relation``, ``tail``
            (keys). An empty mapping says that triples alone make the dataset.
        kg_valid: Table of held-out triples for validation, with the columns of ``kg``.
        kg_test: Table of held-out triples for the test. With either, and without interactions,
            triples alone make the dataset.
        links: File or frame of two columns, item and entity. Without links, items whose id equals
            an entity's key link themselves; with links, the others do so only where the key is an
            IRI.
        items: File or frame of items, whose titles become labels and texts.
        texts: Columns of ``items`` whose texts, joined by a space, are the items' texts; the titles
            where None.
        mentions: Entities named in the texts, as ``kgrec.data.MENTIONS``.
        features: Feature vectors of the items, see ``kgrec.data.read_features``.
        encoder: Makes features of the items' texts, instead of ``features``: a function from a list
            of texts to one row of numbers each, ``pkg.module:function``, or
            ``sentence-transformers:NAME``.
        word_vectors: File of word vectors, see ``kgrec.data.read_vectors``; only
            words of the texts are kept.
        entity_vectors: File of entity vectors, or several; only entities of the graph and the
            mentions are kept.
        users: Table of users; used only where ``user_attributes`` says so.
        user_attributes: Table of users whose attributes become facts about them; True takes
            ``users``.
        user: User column of interactions and tables, where present.
        item: Item column of interactions and links, where present.
        time: Time column; "row" takes the order of the rows, see ``read_interactions``.
        rating: Rating column.
        event: Column of event types in the interactions; read only where it is named.
        weight: Column of weights, likewise.
        quantity: Column of quantities, likewise.
        item_id: Item column of ``items`` and ``features``.
        verb: What users did, in the past tense ("listened to"), for explanations; or such verbs by
            type of event, "" for all others.
        phrases: Table of how relations read in explanations, see
            ``kgrec.data.readers.phrases.read_phrases``.
        name: Short name; "dataset" where None.
        notes: Sentences to begin the report's notes with.
        beside: Graph files found next to the sources and not read.
    """

    interactions: object | None = None
    train: object | None = None
    valid: object | None = None
    test: object | None = None
    labelled: LabeledLog | None = None
    impressions: ImpressionLog | None = None
    kg: object | Sequence[object] | None = None
    held: Mapping[str, pl.DataFrame] | None = None
    kg_valid: object | None = None
    kg_test: object | None = None
    links: object | None = None
    items: object | None = None
    texts: str | Sequence[str] | None = None
    mentions: pl.DataFrame | None = None
    features: object | None = None
    encoder: object | None = None
    word_vectors: object | None = None
    entity_vectors: object | None = None
    users: object | None = None
    user_attributes: object | None = None
    user: str | None = None
    item: str | None = None
    time: str | None = None
    rating: str | None = None
    event: str | None = None
    weight: str | None = None
    quantity: str | None = None
    item_id: str | None = None
    verb: str | Mapping[str, str] | None = None
    phrases: object | None = None
    name: str | None = None
    notes: Sequence[str] = ()
    beside: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a verb that no sentence can hold, before anything is read."""
        Wording(read_verbs(self.verb))

    @property
    def parts(self) -> tuple[object | None, object | None, object | None]:
        """The parts of a given split: train, valid, test."""
        return self.train, self.valid, self.test

    @property
    def split(self) -> bool:
        """Whether the parts of a split are given."""
        return any(part is not None for part in self.parts)

    @property
    def graphs(self) -> tuple[object, ...]:
        """The sources of the knowledge graph one by one."""
        if self.kg is None:
            return ()
        if isinstance(self.kg, list | tuple):
            return tuple(self.kg)
        return (self.kg,)


# What a caller may name; the others are for readers of folders.
_SOURCES = tuple(f.name for f in fields(DatasetSources) if f.name != "beside")
_OPTIONS = tuple(f.name for f in fields(BuildOptions))


def sources_and_options(
    given: Mapping[str, Any], unknown: Sequence[str] = ("notes",)
) -> tuple[DatasetSources, BuildOptions]:
    """Return sources and options of a dataset by name, as Python keywords and commands give them.

    Args:
        given: Values by name of a field.
        unknown: Names of fields that are refused nevertheless.

    Raises:
        ConfigError: If a name is unknown, or an option out of range; the message gives the nearest
            name.
    """
    known = sorted({*_SOURCES, *_OPTIONS} - set(unknown))
    for name in given:
        if name not in known:
            raise ConfigError(
                f"unknown setting {name!r}.{nearest(name, known)} Known: {', '.join(known)}."
            )

    return (
        DatasetSources(**{name: value for name, value in given.items() if name in _SOURCES}),
        BuildOptions(**{name: value for name, value in given.items() if name in _OPTIONS}),
    )


def override(sources: DatasetSources, given: DatasetSources) -> DatasetSources:
    """Return sources with those that are given in their place.

    A log replaces a split, a split keeps the log for its times; both replace labeled rows and
    impressions, and the verb that was theirs.
    """
    values = {f.name: getattr(given, f.name) for f in fields(given)}
    changes = {name: value for name, value in values.items() if not _is_nothing(value)}
    if given.split or given.interactions is not None:
        changes |= {
            "labelled": given.labelled,
            "impressions": given.impressions,
            "verb": given.verb,
        }

    if given.split:
        changes |= {"train": given.train, "valid": given.valid, "test": given.test}
    elif given.interactions is not None:
        changes |= {"train": None, "valid": None, "test": None}

    return replace(sources, **changes)


def _is_nothing(value: object) -> bool:
    return value is None or (isinstance(value, tuple) and not value)


def prepared(sources: DatasetSources, options: BuildOptions) -> tuple[DatasetSources, BuildOptions]:
    """Return sources found in a folder, or named one by one, as ``build_dataset`` takes them.

    Another split than "given" joins the parts of a given one and divides them again. Sources that
    serve nothing are noted.

    Raises:
        ConfigError: If user attributes are asked for and there are none.
    """
    given = sources.split if options.split is None else options.split.lower() == "given"
    if given and sources.split:
        options = replace(options, split="given")

    log = sources.interactions
    if log is None and sources.split and not given:
        log = _joined(sources, options.on_error)

    about_users = sources.user_attributes or None
    if about_users is True:
        if sources.users is None:
            raise ConfigError(
                "user attributes are asked for and there are none. Name a file of them."
            )
        about_users = sources.users

    notes = _notes(sources)
    if not given:
        sources = replace(sources, train=None, valid=None, test=None)

    if sources.kg is None:
        sources = replace(sources, links=None)
    else:
        sources = replace(sources, kg=list(sources.graphs))

    changed = replace(
        sources,
        interactions=log,
        user_attributes=about_users,
        name=sources.name or None,
        notes=notes,
    )

    return changed, options


def with_held_triples(
    sources: DatasetSources, options: BuildOptions, report: ReportBuilder
) -> DatasetSources:
    """Return the sources with the held-out triples of files read."""
    files = {"valid": sources.kg_valid, "test": sources.kg_test}
    given = {part: source for part, source in files.items() if source is not None}
    if not given:
        return sources
    if not sources.graphs:
        raise ConfigError("held-out triples without a graph to train on. Name it as kg.")

    read = {}
    for part, source in given.items():
        read[part], dropped = held_triples(source, options.reading or {}, options.on_error)
        for one in dropped:
            report.drop(f"{one.what} of the {part} part", one.why, one.count)

    return replace(sources, held=dict(sources.held or {}) | read, kg_valid=None, kg_test=None)


def _joined(sources: DatasetSources, on_error: str) -> InteractionLog:
    """Return the parts of a given split as one log."""
    logs = []
    for part in sources.parts:
        if isinstance(part, InteractionLog):
            logs.append(part)
        elif part is not None:
            logs.append(read_part(part, user=sources.user, item=sources.item, on_error=on_error))

    return InteractionLog(
        pl.concat([log.frame for log in logs], how="diagonal"),
        tuple(source for log in logs for source in log.sources),
        tuple(dropped for log in logs for dropped in log.dropped),
    )


def _name(source: object) -> str:
    """Return what a source is called in a sentence."""
    if isinstance(source, Table):
        return source.name
    if isinstance(source, str | PathLike):
        return str(source)
    return "The frame"


def _notes(sources: DatasetSources) -> tuple[str, ...]:
    notes = list(sources.notes)
    if sources.users is not None and not sources.user_attributes:
        notes.append(
            f"{_name(sources.users)}: user attributes are unused. Ask for them with "
            "user_attributes."
        )

    if sources.links is not None and sources.kg is None:
        notes.append(
            f"{_name(sources.links)}: links are unused, since there is no knowledge graph."
        )

    read = {str(one) for one in sources.graphs}
    notes += [
        f"{path}: a graph file that is not read. Name it as kg to use it."
        for path in sources.beside
        if path not in read
    ]

    return tuple(notes)
