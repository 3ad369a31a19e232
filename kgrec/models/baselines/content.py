"""A content model: items that are like what somebody used, by attributes and words.

Lops, de Gemmis and Semeraro, Content-based Recommender Systems, Recommender Systems Handbook, 2011.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known, with_interactions
from kgrec.data.texts.tfidf import tf_idf
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.fields import field_values
from kgrec.models.base import Plan, Preset, Space, Span
from kgrec.models.baselines.content_effects import ContentEffects
from kgrec.models.closed_form import ClosedForm, HistoryScorer


@dataclass(frozen=True, slots=True)
class ContentConfig:
    """Hyper-parameters of the content model.

    Attributes:
        attributes: Whether items have their (relation, entity) pairs; the model's name says.
        text_weight: Weight of words where the dataset has texts; that of attributes is 1.
        feature_weight: Weight of feature vectors where the dataset has some: numbers, or vectors
            that an encoder of texts or images made.
        text_words: Words of the texts that count, those of most items.
        min_items: Attributes of fewer items are left out.
    """

    attributes: bool = True
    text_weight: float = 1.0
    feature_weight: float = 1.0
    text_words: int = 5000
    min_items: int = 2

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if min(self.text_words, self.min_items) < 1:
            raise ConfigError("content needs text_words and min_items of at least 1.")
        if min(self.text_weight, self.feature_weight) < 0:
            raise ConfigError("content needs text_weight and feature_weight of at least 0.")


PRESETS = {"default": Preset()}
SPACE: Space = {
    "text_weight": Span(0.0, 3.0),
    "feature_weight": Span(0.0, 3.0),
    "min_items": (2, 3, 5),
}


class Content(ClosedForm):
    """Add up how near an item is to each item that somebody used.

        c_i = weighted vectors of i's attributes, words and features, each of length 1
        score(u, j) = sum over the items i of u of c_i . c_j / (|c_i| |c_j|)

    Attributes and words are weighted by how rare they are: a value of n of the N items by
    ln((1 + N) / (1 + n)) + 1. What others used plays no part, so items that no one used are ranked
    as all others.

    Differs from the paper: the chapter describes a family; this is its vector space model, with a
    user's profile that is the sum of the items of the user.

    Args:
        ckg: The graph.
        config: Hyper-parameters.
        beside: Words and features as item x value matrices, each with its weight.

    Source: Lops et al., Content-based Recommender Systems, 2011, Section 3.3.1; Salton and Buckley,
    1988 (tf-idf).
    """

    scores_read_graph = True

    def __init__(
        self,
        ckg: CollaborativeKG,
        config: ContentConfig,
        beside: Sequence[tuple[float, sp.csr_matrix]] = (),
    ) -> None:
        self.ckg = ckg
        self.config = config
        self.beside = tuple(beside)
        user, item = ckg.interactions()
        ones = np.ones(len(user), np.float32)
        train = sp.csr_matrix((ones, (user, item)), shape=(ckg.num_users, ckg.num_items))
        train.sort_indices()
        super().__init__(train)
        blocks = [_unit_rows(part) * weight for weight, part in beside]
        blocks.append(_unit_rows(self._attributes()))
        self.content = _unit_rows(sp.csr_matrix(sp.hstack(blocks)))

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: ContentConfig, generator: torch.Generator
    ) -> "Content":
        """Take what is known of the items."""
        beside = []
        if data.content.texts is not None and config.text_weight:
            words = sp.csr_matrix(tf_idf(data.content.texts, config.text_words))
            beside.append((config.text_weight, words))

        if data.content.features is not None and config.feature_weight:
            features = data.content.features - data.content.features.mean(0)
            beside.append((config.feature_weight, sp.csr_matrix(features)))

        ckg = CollaborativeKG.from_dataset(data)
        if not config.attributes:
            ckg = ckg.take(ckg.relation == 0)
        return cls(ckg, config, beside)

    def _attributes(self) -> sp.csr_matrix:
        """Return the items' attributes, weighted by how rare they are."""
        items, relations = self.ckg.num_items, self.ckg.num_relations - 1
        found = field_values(self.ckg, "items", [""] * relations, min_count=self.config.min_items)
        count = np.bincount(found.value, minlength=len(found.field))
        rarity = np.log((1 + items) / (1 + count)) + 1
        entries = rarity[found.value], (found.row, found.value)
        return sp.csr_matrix(entries, shape=(items, len(found.field)))

    def plan(self) -> Plan:
        """Return a plan without training: what is known of the items is the model."""
        return Plan(fit=lambda: None)

    def explanation_effects(self) -> ContentEffects:
        """Return a part per item of the user, scores of other histories, and of other facts."""
        return ContentEffects(self)

    def can_rank(self, data: Dataset) -> Known:
        """Return the users with an item of which something is known, and such items."""
        described = np.diff(self.content.indptr) > 0
        users = data.train.csr(data.num_users, data.num_items) @ described.astype(np.float32) > 0
        return Known(with_interactions(data).users & users, described)

    def scorer(self) -> HistoryScorer:
        """Return the sums of cosines; they are computed on the CPU."""
        content = self.content.astype(torch.empty(0).numpy().dtype)
        turned = sp.csr_matrix(content.T)

        def sums(ptr: Int[Tensor, " _"], items: Int[Tensor, " _"]) -> Float[Tensor, "batch items"]:
            ones = np.ones(len(items), content.dtype)
            size = (len(ptr) - 1, self.num_items)
            sets = sp.csr_matrix((ones, items.cpu().numpy(), ptr.cpu().numpy()), shape=size)
            return torch.from_numpy(((sets @ content) @ turned).toarray()).to(ptr.device)

        return self.history_scorer(sums)


def _unit_rows(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Return rows divided by their lengths; rows of zeros stay so."""
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1)).ravel())
    scale = np.divide(1.0, length, out=np.zeros(len(length)), where=length > 0)
    found = sp.csr_matrix(sp.diags(scale) @ matrix)
    found.eliminate_zeros()
    return found
