"""The contract holds for what no model of the catalog does: a loss of several values by name, drawn
from sequences.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import kgrec
from kgrec.batches import SequenceBatch
from kgrec.models import Objective, Plan, Sequences
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract

NEEDS = ("interactions", "sequences")


@dataclass(frozen=True)
class NextItemConfig:
    dim: int = 8
    l2_weight: float = 0.01


class NextItem(kgrec.Recommender):
    """The next item by the mean of those before; ``nn.Embedding`` draws from the global stream."""

    def __init__(self, num_items, config):
        super().__init__()
        self.config = config
        self.items = nn.Embedding(num_items, config.dim)

    @classmethod
    def from_dataset(cls, data, config: NextItemConfig, generator):
        return cls(data.num_items, config)

    def forward(self, batch):
        mask = batch.history_mask.unsqueeze(2)
        mean = (self.items(batch.history) * mask).sum(1) / mask.sum(1).clamp(min=1)
        return mean @ self.items.weight.T

    def loss(self, batch):
        return {
            "next": cross_entropy(self(batch), batch.target[:, 0]),
            "l2": self.config.l2_weight * self.items(batch.target).square().mean(),
        }

    def plan(self):
        return Plan((Objective(SequenceBatch, self.loss, source=Sequences(20, "next")),))

    def scorer(self):
        def score(query, items=None):
            scores = self(query)
            return scores if items is None else scores.gather(1, items)

        return score


class TestNextItem(RecommenderContract):
    model = NextItem
    settings = {"dim": 2, "learning_rate": 0.05, "epochs": 100}

    def prepared(self, data):
        return worlds.with_times(data)


def test_initial_parameters_of_torch_are_the_same_in_every_case():
    case = TestNextItem()
    data = worlds.with_times(worlds.checkerboard())
    first, again = (case.build(data).items.weight for _ in range(2))
    assert torch.equal(first, again)
