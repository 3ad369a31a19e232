"""Where the item vectors of a sequence model start from, if not from random draws."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.log import logger
from kgrec.nn.translation import train_translation, translation_tables

ItemInit = Literal["random", "transe", "complex", "features"]

_TRIPLES_AT_ONCE = 64  # least triples in a step
_TRIPLE_STEPS = 30  # most steps in an epoch


@dataclass(frozen=True, slots=True)
class ItemStart:
    """What item vectors are made of before the first epoch.

    Attributes:
        kind: "transe" and "complex": entity vectors trained on the triples; "features": the
            feature vectors of the items, cut to their first principal components.
        triples: Heads, relations and tails, int64 (3, n), of entity and relation rows.
        num_entities: Entities, the items first.
        num_relations: Relations.
        features: Feature vectors, float32 (items, f), or None.
        epochs: Passes over the triples.
    """

    kind: ItemInit
    triples: np.ndarray
    num_entities: int
    num_relations: int
    features: np.ndarray | None
    epochs: int

    @classmethod
    def from_dataset(cls, data: Dataset, kind: ItemInit, epochs: int) -> "ItemStart | None":
        """Take triples or features; None for random vectors, also where the data has none of
        what is asked for, which is a warning.
        """
        if kind == "random":
            return None

        features = data.content.features
        if (features is None) if kind == "features" else not len(data.triples):
            lack, remedy = ("features", "--features") if kind == "features" else ("triples", "--kg")
            logger.warning(
                "item_init %r: %s has no %s, so that item vectors start at random. Build the "
                "dataset with %s FILE.",
                kind,
                data.name,
                lack,
                remedy,
            )
            return None

        columns = [data.triples.head, data.triples.relation, data.triples.tail]
        triples = np.stack(columns).astype(np.int64)
        return cls(kind, triples, data.num_entities, data.num_relations, features, epochs)

    def put(self, table: Tensor, seed: int) -> None:
        """Start a table of item vectors (items, dim), in place: as spread out as it is, and items
        of which nothing is known stay as they are.
        """
        with torch.enable_grad():
            vectors, known = (
                self._from_features(table)
                if self.kind == "features"
                else (self._from_triples(table, seed))
            )

        with torch.no_grad():
            width = vectors.shape[1]
            spread = vectors[known].std().clamp(min=1e-12)
            table[known, :width] = (vectors[known] * (table.std() / spread)).to(table.dtype)

    def _from_triples(
        self, table: Tensor, seed: int
    ) -> tuple[Float[Tensor, "items _"], Bool[Tensor, " items"]]:
        """Return entity vectors, and which items have a triple."""
        generator = torch.Generator().manual_seed(seed)
        sizes = self.num_entities, self.num_relations, table.shape[1]
        tables = translation_tables(self.kind, *sizes, generator).to(table.device)
        triples = torch.from_numpy(self.triples).to(table.device)
        train_translation(
            tables,
            *triples,
            epochs=self.epochs,
            generator=generator,
            batch_size=max(_TRIPLES_AT_ONCE, triples.shape[1] // _TRIPLE_STEPS),
            margin=1.0 if self.kind == "transe" else None,
        )
        known = torch.zeros(self.num_entities, dtype=torch.bool, device=table.device)
        known[triples[[0, 2]].flatten()] = True
        vectors = tables.nodes.detach()[: len(table), : table.shape[1]]
        return vectors, known[: len(table)]

    def _from_features(
        self, table: Tensor
    ) -> tuple[Float[Tensor, "items _"], Bool[Tensor, " items"]]:
        """Return principal components, and which items have features that are not all 0."""
        assert self.features is not None
        rows = torch.from_numpy(self.features).to(table.device).double()
        centered = rows - rows.mean(0)
        _, _, directions = torch.linalg.svd(centered, full_matrices=False)
        return centered @ directions[: table.shape[1]].T, (rows != 0).any(1)
