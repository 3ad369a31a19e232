"""The candidate generation network of YouTube, in two forms: a mean of the history, and the history
as a sequence. Covington, Adams and Sargin, RecSys 2016.

https://doi.org/10.1145/2959100.2959190
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from kgrec.batches import SequenceBatch
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import Objective, Plan, Preset, Span, Split
from kgrec.models.sequential.base import Catalog, SequenceConfig, SequenceRecommender
from kgrec.models.sources import Sequences
from kgrec.nn.dense import dense
from kgrec.nn.init import normal
from kgrec.nn.lookup import rows_at
from kgrec.ops.lists import last_of_lists
from kgrec.ops.rows import take_rows


@dataclass(frozen=True, slots=True)
class YouTubeDNNConfig(SequenceConfig):
    """Hyper-parameters of both forms, beside those of ``SequenceConfig``; d is 256 in the paper,
    the length 50, and nothing is dropped out. ``windows`` means nothing here: each interaction but
    a user's first is a target once an epoch.

    Attributes:
        sequential: Whether the history is a sequence: items have vectors of their distance from
            the end, and count by a learned weight of it; else it is a mean.
        layers: Sizes of the ReLU layers of the tower; the last one is that of the vectors that are
            compared. 1024, 512, 256 in the paper.
        negatives: Items drawn for each batch, which stand for all in the softmax; 0 takes all.
            Several thousand in the paper.
        exponent: Items are drawn in proportion to this power of their interactions, and the log of
            how often is subtracted from the scores.
    """

    sequential: bool = False
    layers: tuple[int, ...] = (128, 64)
    negatives: int = 0
    exponent: float = 0.75

    def __post_init__(self) -> None:
        """Reject values out of range."""
        self.check("YouTubeDNN")
        if min(self.layers, default=0) < 1:
            raise ConfigError("YouTubeDNN needs at least one layer, each of size 1 or more.")
        if self.negatives < 0 or self.exponent < 0:
            raise ConfigError("YouTubeDNN needs negatives and exponent of at least 0.")


PRESETS = {
    "default": Preset(train={"learning_rate": 0.001, "batch_size": 512, "epochs": 100}),
    "paper": Preset(
        {
            "dim": 256,
            "layers": (1024, 512, 256),
            "negatives": 5000,
            "exponent": 1.0,
            "dropout": 0.0,
        },
        {"learning_rate": 0.001, "batch_size": 256, "epochs": 20, "patience": 0},
    ),
    "fast": Preset(train={"learning_rate": 0.003, "epochs": 20, "patience": 3}),
}

SPACE = {
    "dim": (32, 64, 128),
    "layers": ((64,), (128, 64), (256, 128, 64)),
    "length": (20, 50, 100),
    "dropout": Span(0.0, 0.5),
    "negatives": (0, 200, 1000),
    "learning_rate": Span(3e-4, 5e-3, log=True),
}


class YouTubeDNN(SequenceRecommender):
    """Average the vectors of a history and what is known of the user, pass both through a tower of
    ReLU layers, and compare the result with a vector for each item.

        x = mean over the history of m_i || mean over the user's facts of a_f          Section 3.2
        u = ReLU layers over x                                                         Section 3.3
        P(i) = softmax over items of u . v_i                                           Section 3.1
        score drawn of i: u . v_i - log (negatives Q(i))                               Section 3.1

    With ``sequential`` the mean is weighted: sum over the history of w_k (m_i + p_k), k the
    distance of the item from the end, w the softmax of a learned number for each distance. A
    target is the next item after its history, so that nothing later is read (Section 3.4).

    Differs from the paper: of features there are facts about users, no searches and no age of the
    example; users are not weighted to count alike; items without interactions are no negatives;
    the weights of distances, instead of a mean, are not in the paper.

    Args:
        catalog: The items.
        popularity: Training interactions of each warm item.
        facts: Where each user's facts start and the last ends, and numbers of facts; None without.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Covington et al., Deep Neural Networks for YouTube Recommendations, RecSys 2016; the
    correction of drawn items: Jean et al., ACL 2015, and Yi et al., RecSys 2019.
    """

    log_share: Tensor
    fact_start: Tensor
    fact: Tensor

    def __init__(
        self,
        catalog: Catalog,
        popularity: np.ndarray,
        facts: tuple[np.ndarray, np.ndarray] | None,
        config: YouTubeDNNConfig,
        generator: torch.Generator,
    ) -> None:
        super().__init__(catalog, config, generator)
        scale = config.init_scale
        share = torch.from_numpy(popularity.astype(np.float64)) ** config.exponent
        log_share = (share / share.sum()).log().to(torch.get_default_dtype())
        self.register_buffer("log_share", log_share, persistent=False)
        start, fact = facts or (np.zeros(1, np.int64), np.empty(0, np.int64))
        self.register_buffer("fact_start", torch.from_numpy(start), persistent=False)
        self.register_buffer("fact", torch.from_numpy(fact), persistent=False)
        width = config.dim
        if len(fact):
            count = int(fact.max()) + 1
            self.facts = nn.Parameter(normal(count, config.dim, scale=scale, generator=generator))
            width += config.dim

        if config.sequential:
            size = config.length, config.dim
            self.positions = nn.Parameter(normal(*size, scale=scale, generator=generator))
            self.recency = nn.Parameter(torch.zeros(config.length))

        self.tower = dense((width, *config.layers), generator, dropout=config.dropout)
        outputs = catalog.num_items, config.layers[-1]
        self.output = nn.Parameter(normal(*outputs, scale=scale, generator=generator))  # v

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: YouTubeDNNConfig, generator: torch.Generator
    ) -> "YouTubeDNN":
        """Take the items, how often each is used, and the facts about users."""
        catalog = Catalog.from_dataset(data, config)
        popularity = np.bincount(data.train.item, minlength=data.num_items)[catalog.warm]
        return cls(catalog, popularity, _facts(data), config, generator)

    def outputs(self) -> Float[Tensor, "items _"]:
        """Return the vectors that histories are compared with."""
        return self.output

    def pooled(
        self, history: Int[Tensor, "batch hist"], mask: Bool[Tensor, "batch hist"]
    ) -> Float[Tensor, "batch dim"]:
        """Return the mean of each history, or its weighted sum."""
        items = self.embedded(history)
        if not self.config.sequential:
            weight = mask.to(items.dtype) / mask.sum(1, keepdim=True).clamp(min=1)
            return (items * weight.unsqueeze(2)).sum(1)

        distance = mask.sum(1, keepdim=True) - 1 - torch.arange(mask.shape[1], device=mask.device)
        distance = distance.clamp(min=0)  # 0 for the last item of the history
        items = items + take_rows(self.positions, distance.flatten()).view_as(items)
        weight = self.recency[distance].masked_fill(~mask, -torch.inf).softmax(1)
        return (items * weight.unsqueeze(2)).sum(1)

    def encode(
        self,
        user: Int[Tensor, " batch"],
        history: Int[Tensor, "batch hist"],
        mask: Bool[Tensor, "batch hist"],
    ) -> Float[Tensor, "batch _"]:
        """Return what the tower makes of history and user; of someone unseen no fact is known."""
        parts = [self.pooled(history, mask)]
        if len(self.fact):
            fact, there = last_of_lists(self.fact_start, self.fact, user.clamp(min=0))
            there = there & (user >= 0).unsqueeze(1)
            rows = take_rows(self.facts, fact.flatten()).view(*fact.shape, self.config.dim)
            weight = there.to(rows.dtype) / there.sum(1, keepdim=True).clamp(min=1)
            parts.append((rows * weight.unsqueeze(2)).sum(1))

        vectors: Tensor = self.tower(torch.cat(parts, 1))
        return vectors

    def loss(self, batch: SequenceBatch) -> Float[Tensor, ""]:
        """Return the cross-entropy of the next items over all, or over drawn ones."""
        vectors = self.encode(batch.user, batch.history, batch.history_mask)
        target = batch.target[:, 0]
        if not self.config.negatives:
            return self.softmax(vectors, target)

        drawn = torch.multinomial(self.log_share.exp(), self.config.negatives, replacement=True)
        negatives = rows_at(self.output, self.warm.items[drawn], self.shard)
        place = self.warm.position[target]
        own = (vectors * rows_at(self.output, target, self.shard)).sum(1) - self.log_share[place]
        others = vectors @ negatives.T - self.log_share[drawn]
        others = others.masked_fill(place.unsqueeze(1) == drawn, -torch.inf)
        scores = torch.cat([own.unsqueeze(1), others], 1)  # log negatives is the same for all
        return cross_entropy(scores, torch.zeros_like(target))

    def plan(self) -> Plan:
        """Return one objective over next items."""
        source = Sequences(self.config.length, "next")
        objective = Objective(SequenceBatch, self.loss, name="softmax", source=source)
        looked_up = (() if self.begins_at else (self.items,)) + (
            (self.output,) if self.config.negatives else ()
        )
        split = Split(looked_up)
        return Plan((objective,), begin_epoch=self.begin_epoch, parallel="data", split=split)


def _facts(data: Dataset) -> tuple[np.ndarray, np.ndarray] | None:
    """Return where each user's facts start and the last ends, and their numbers; None if there are
    none. A fact is a relation and an entity.
    """
    if not len(data.user_facts):
        return None

    user, relation, entity = data.user_facts.T.astype(np.int64)
    _, fact = np.unique(relation * data.num_entities + entity, return_inverse=True)
    order = np.argsort(user, kind="stable")
    start = np.searchsorted(user[order], np.arange(data.num_users + 1))
    return start, fact.ravel()[order]
