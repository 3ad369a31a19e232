"""A new model in one file: matrix factorization whose item vectors lean on the neighbors of the
item in the knowledge graph.

CONTRIBUTING.md, "Add a model", explains the parts and how a model enters the catalog.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

import kgrec
from kgrec.batches import PairwiseBatch
from kgrec.data import Interactions
from kgrec.graph import PairGraph
from kgrec.models import DotProduct, Objective, Plan
from kgrec.nn import bpr, l2, normal
from kgrec.ops.propagate import propagate
from kgrec.ops.rows import take_rows


@dataclass(frozen=True, slots=True)
class NeighborMFConfig:
    """Hyper-parameters of NeighborMF.

    Attributes:
        dim: Embedding size.
        l2_weight: Weight of half the squared norms of the batch rows, divided by the batch size.
    """

    dim: int = 32
    l2_weight: float = 0.05


class NeighborMF(kgrec.Recommender):
    """Factorize the interactions; an item's vector is its own plus its graph neighbors' normalized
    sum.

        z_i = x_i + sum over t in N(i) of x_t / sqrt(d_i d_t),   score(u, i) = p_u . z_i

    Differs from the paper: there is none; it is the smallest model that uses the graph.

    Args:
        knowledge: Graph of the triples alone, without interactions.
        config: Hyper-parameters.
        generator: Draws the initial embeddings.
    """

    def __init__(
        self, knowledge: kgrec.CollaborativeKG, config: NeighborMFConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.num_items = knowledge.num_items
        self.config = config
        self.graph = PairGraph(knowledge)
        self.users = nn.Parameter(
            normal(knowledge.num_users, config.dim, scale=0.1, generator=generator)
        )  # p
        self.nodes = nn.Parameter(
            normal(knowledge.num_nodes, config.dim, scale=0.1, generator=generator)
        )  # x

    @classmethod
    def from_dataset(
        cls, data: kgrec.Dataset, config: NeighborMFConfig, generator: torch.Generator
    ) -> "NeighborMF":
        """Take the triples; the interactions come in batches."""
        return cls(
            kgrec.CollaborativeKG.from_dataset(replace(data, train=Interactions())),
            config,
            generator,
        )

    def forward(self) -> Float[Tensor, "items dim"]:
        """Return the item vectors z."""
        near = propagate(self.nodes, self.graph.csr, self.graph.weight)
        return (self.nodes + near)[: self.num_items]

    def loss(self, batch: PairwiseBatch) -> Float[Tensor, ""]:
        """Return the pairwise ranking loss with L2 on the batch rows."""
        items = self()
        user, positive, negative = (
            take_rows(self.users, batch.user),
            take_rows(items, batch.positive),
            take_rows(items, batch.negative),
        )

        return bpr((user * positive).sum(1), (user * negative).sum(1)) + self.config.l2_weight * l2(
            user, positive, negative
        )

    def plan(self) -> Plan:
        """Return one objective."""
        return Plan((Objective(PairwiseBatch, self.loss, name="bpr"),))

    def scorer(self) -> DotProduct:
        """Return the vectors that rank."""
        return DotProduct(self.users, self())


data = kgrec.load("films")
run = kgrec.fit(NeighborMF, data, epochs=40, learning_rate=0.01, seed=0)
popular = kgrec.fit("popularity", data)  # the baseline that every new model has to beat
print(run.recommend("u0001", k=5))

ours, baseline = (one.evaluate(k=(20,)).metrics["ndcg@20"] for one in (run, popular))
print(f"ndcg@20: {ours:.4f}, popularity {baseline:.4f}")
assert ours > 1.1 * baseline
