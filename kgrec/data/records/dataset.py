"""``Dataset``: ids, interactions by part, and the knowledge graph, under one numbering.

A frozen record without algorithms; ``build``, ``save`` and ``convert`` are doors to them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
import polars as pl

from kgrec.data.records.content import Content, Impressions, filled, size
from kgrec.data.records.interactions import InteractionLog, Interactions
from kgrec.data.records.report import BuildReport, Dropped
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.records.wording import Wording
from kgrec.notebook import html_table

if TYPE_CHECKING:
    from kgrec.data.formats.convert import Conversion


def _no_user_facts() -> np.ndarray:
    return np.empty((0, 3), dtype=np.int32)


def _dropped(dropped: Dropped) -> dict[str, Any]:
    found = {"what": dropped.what, "why": dropped.why, "count": dropped.count}
    if dropped.where:
        found["where"] = list(dropped.where)
    return found


@dataclass(frozen=True, slots=True)
class Dataset:
    """Everything a model is trained and evaluated on.

    Items are the first ``num_items`` entities: item row ``i`` and entity row ``i`` are the same
    thing.

    Attributes:
        name: Short name, for tables and file names.
        users: User ids.
        items: Item ids, the caller's own.
        triples: The knowledge graph; ``triples.entities`` holds the items first (under their
            entity's IRI where linked).
        train: Training interactions.
        valid: Validation interactions.
        test: Test interactions.
        user_facts: (user row, relation row, entity row) from user attributes, int32 (n, 3).
        user_labels: Human-readable label per user, null if there is none.
        content: Texts, features and vectors, where there are any.
        negatives: Labeled negatives by part ("train", "valid", "test"): pairs known not to be
            interactions (click-through data).
        impressions: Lists that were shown, with clicks, by part.
        held_triples: Held-out triples by part ("valid", "test"), int32 (n, 3) of entity, relation,
            entity rows. ``triples`` holds the training triples alone.
        report: What was read, kept and dropped.
        settings: How it was built (split, ratios, seed, thresholds), JSON-ready.
        wording: The words of its interactions and relations in explanations.
        path: Folder it was opened from, or None.
        checksum: SHA-256 over its stored files, or "" before it is saved.
    """

    name: str
    users: Vocabulary
    items: Vocabulary
    triples: Triples
    train: Interactions
    valid: Interactions
    test: Interactions
    user_facts: np.ndarray = field(default_factory=_no_user_facts)
    user_labels: pl.Series | None = None
    content: Content = field(default_factory=Content)
    negatives: Mapping[str, Interactions] = field(default_factory=dict)
    impressions: Mapping[str, Impressions] = field(default_factory=dict)
    held_triples: Mapping[str, np.ndarray] = field(default_factory=dict)
    report: BuildReport = field(default_factory=BuildReport)
    settings: dict[str, Any] = field(default_factory=dict)
    wording: Wording = field(default_factory=Wording)
    path: str | None = None
    checksum: str = ""

    def __repr__(self) -> str:
        """Return the counts in one line; the tables themselves would fill screens."""
        parts = f"{len(self.train)} + {len(self.valid)} + {len(self.test)} interactions"
        return (
            f"Dataset({self.name!r}: {self.num_users} users, {self.num_items} items, {parts}, "
            f"{self.triples!r})"
        )

    def _repr_html_(self) -> str:
        counts = {
            "users": self.num_users,
            "items": self.num_items,
            "entities, items among them": self.num_entities,
            "relations": self.num_relations,
            "triples": len(self.triples),
            "training interactions": len(self.train),
            "validation interactions": len(self.valid),
            "test interactions": len(self.test),
        }
        dropped = [f"dropped {one.count:,} {one.what}: {one.why}" for one in self.report.dropped]
        return html_table(self.name, ("", "number"), counts.items(), [*dropped, *self.report.notes])

    @property
    def num_users(self) -> int:
        """Number of users."""
        return len(self.users)

    @property
    def num_items(self) -> int:
        """Number of items in the catalog."""
        return len(self.items)

    @property
    def num_entities(self) -> int:
        """Number of entities, items included."""
        return len(self.triples.entities)

    @property
    def num_relations(self) -> int:
        """Number of relations of the knowledge graph.

        Neither ``interacts`` nor inverses are counted.
        """
        return len(self.triples.relations)

    def item_label(self, row: SupportsIndex) -> str:
        """Return an item's label, its id where it has none."""
        found = self.triples.labels[int(row)]
        if found is None:
            return self.items.key(row)
        return str(found)

    def user_label(self, row: SupportsIndex) -> str:
        """Return a user's label, the id if there is none."""
        if self.user_labels is None:
            found = None
        else:
            found = self.user_labels[int(row)]

        if found is None:
            return self.users.key(row)

        return str(found)

    @classmethod
    def build(
        cls,
        log: InteractionLog | object | None = None,
        triples: "Triples | Sequence[Triples] | object | None" = None,
        links: "str | PathLike[str] | pl.DataFrame | object | None" = None,
        split: str | None = None,
        **settings: Any,
    ) -> "Dataset":
        """Build a dataset from its sources.

        Args:
            log: Interactions; ``interactions`` of ``DatasetSources``.
            triples: A knowledge graph; ``kg`` of ``DatasetSources``.
            links: Items to entities.
            split: How to divide.
            settings: Further fields of ``kgrec.data.DatasetSources`` and
                ``kgrec.data.BuildOptions``. ``item_labels`` is another name of ``items``.

        Raises:
            ConfigError: If a setting is unknown or out of range, or sources exclude each other.
            DataError: If nothing is left to train on, or no user to evaluate.
        """
        from kgrec.data.building.build import build_dataset
        from kgrec.data.building.sources import sources_and_options

        named = {
            "interactions": log,
            "kg": triples,
            "links": links,
            "split": split,
            "items": settings.pop("item_labels", None),
        }
        settings |= {name: value for name, value in named.items() if value is not None}
        return build_dataset(*sources_and_options(settings, unknown=()))

    def save(self, path: str | PathLike[str]) -> "Dataset":
        """Write the dataset as a folder (whole or not at all) and return it as stored there.

        See ``kgrec.data.storage``.
        """
        from kgrec.data.storage import save_dataset

        return save_dataset(self, path)

    def convert(self, to: str, path: str | PathLike[str], *, force: bool = False) -> "Conversion":
        """Write the dataset in a format of the field and return what that format could not carry;
        see ``kgrec.data.formats.convert``.
        """
        from kgrec.data.formats.convert import convert

        return convert(self, to, path, force=force)

    def _content_counts(self) -> dict[str, int]:
        """Return how many texts, mentions, features per item and vectors there are, 0 for none."""
        content = self.content
        return {
            "texts": filled(content.texts),
            "mentions": len(content.mentions),
            "features": size(None if content.features is None else content.features.T),
            "word_vectors": size(content.words),
            "entity_vectors": size(content.entities),
        }

    def summary(self) -> dict[str, Any]:
        """Return the counts as JSON-ready values: the form of ``kgrec build --json``."""
        return {
            "name": self.name,
            "users": self.num_users,
            "items": self.num_items,
            "entities": self.num_entities,
            "relations": self.num_relations,
            "triples": len(self.triples),
            "interactions": {
                "train": len(self.train),
                "valid": len(self.valid),
                "test": len(self.test),
            },
            "content": self._content_counts(),
            "negatives": {name: len(part) for name, part in self.negatives.items()},
            "impressions": {name: len(part) for name, part in self.impressions.items()},
            "held_triples": {name: len(part) for name, part in self.held_triples.items()},
            "dropped": [_dropped(d) for d in self.report.dropped],
            "notes": list(self.report.notes),
            "warnings": [
                {"what": caution.what, "remedy": caution.remedy} for caution in self.report.warnings
            ],
            "columns": [asdict(column) for column in self.report.columns],
            "counts": dict(self.report.counts),
            "sources": list(self.report.sources),
            "settings": dict(self.settings),
        }
