"""What LightGCN and its descendants share: light propagation over a graph, and what follows from it
for ranking and explanation.
"""

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kgrec.batches import PairwiseBatch, PositiveBatch, UserBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.graph.symmetric import PairGraph
from kgrec.models.base import DotProduct, Objective, Plan, Recommender, Split, ranking_objective
from kgrec.models.effects import PropagationEffects, with_parameters_of
from kgrec.models.typed_facts import FactContrast, TripleLoss
from kgrec.nn.contrast import info_nce
from kgrec.nn.init import glorot_uniform
from kgrec.nn.light import LightPropagation
from kgrec.nn.losses import l2
from kgrec.nn.ranking_loss import CosineSoftmax
from kgrec.ops.pairwise import bpr_rows
from kgrec.ops.rows import fixed_shapes, take_rows, unit_rows
from kgrec.random import derive


class LightRecommender(Recommender):
    """Embeddings propagated linearly over a graph, compared by inner product.

    Args:
        ckg: Graph.
        config: Hyper-parameters, among them ``dim`` and ``num_layers``.
        generator: Draws the initial embeddings.
    """

    folds_in = True

    def __init__(self, ckg: CollaborativeKG, config: Any, generator: torch.Generator) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        self.graph = PairGraph(ckg)
        self.propagate = self._propagation()
        self.nodes = nn.Parameter(self._initial(generator))  # X^(0)

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: Any, generator: torch.Generator
    ) -> "LightRecommender":
        """Take the training interactions."""
        return cls(CollaborativeKG.from_dataset(data, knowledge=False), config, generator)

    def _propagation(self) -> LightPropagation:
        return LightPropagation(self.config.num_layers)

    def _initial(self, generator: torch.Generator) -> Tensor:
        """Return Glorot uniform embeddings, entities and users apart."""
        sizes = self.ckg.num_entities, self.ckg.num_users
        parts = [glorot_uniform(size, self.config.dim, generator=generator) for size in sizes]
        return torch.cat(parts)

    def start(self) -> Float[Tensor, "nodes dim"]:
        """Return layer 0: the embeddings."""
        return self.nodes

    def forward(self) -> Float[Tensor, "nodes dim"]:
        """Return the propagated embeddings of all nodes."""
        z: Tensor = self.propagate(self.start(), self.graph.csr, self.graph.weight)
        return z

    def rows(
        self, rows: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
        """Return the propagated embeddings of distinct nodes, and those of layer 0."""
        return self.propagate.rows(self.start(), self.graph.csr, self.graph.weight, rows)

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items to whose vectors a trained one contributes.

        Steps move vectors within as many hops of an interaction as there are layers; messages carry
        them as far again.
        """
        return reached(self.ckg, 2 * self.config.num_layers)

    @property
    def by_direction(self) -> bool:
        """Whether items are compared by direction, as those trained by cosine are."""
        return False

    def scorer(self) -> DotProduct:
        """Return the propagated embeddings."""
        z = self()
        users = z[self.ckg.num_entities :]
        items = z[: self.ckg.num_items]
        if self.by_direction:
            items = unit_rows(items)

        if not self.config.num_layers:  # without a layer a history reaches no one
            return DotProduct(users, items)

        csr = self.graph.csr
        received = self.propagate.received(self.start(), csr, self.graph.weight)
        return DotProduct(users, items, partial(self.propagate.fold_in, received, csr))

    def export_vectors(self) -> Mapping[str, Float[Tensor, "nodes _"]]:
        """Return users and items as they are ranked by, and the propagated entities."""
        ranked = self.scorer()
        entities = self()[: self.ckg.num_entities]
        return {"users": ranked.users, "items": ranked.items, "entities": entities}

    def explanation_effects(self) -> PropagationEffects:
        """Return effects in closed form: the scores are linear in the embeddings."""

        def rebuilt(ckg: CollaborativeKG) -> Recommender:
            return with_parameters_of(self, type(self)(ckg, self.config, torch.Generator()))

        parts = self.ckg, self.graph, self.nodes, self.propagate.coefficients
        return PropagationEffects(*parts, self.by_direction, rebuilt)


class RankedLight(LightRecommender):
    """Light propagation that is trained to rank: by pairs, or by a softmax over all items.

    Args:
        ckg: Graph.
        config: Hyper-parameters, among them ``loss``, ``temperature`` and ``l2_weight``.
        generator: Draws the initial embeddings.
    """

    splits: ClassVar[bool] = False
    """Whether its losses go through ``shard``, so that its table may lie apart by columns."""

    def __init__(self, ckg: CollaborativeKG, config: Any, generator: torch.Generator) -> None:
        super().__init__(ckg, config, generator)
        self.warm = self._warm()

    def _warm(self) -> CosineSoftmax:
        return CosineSoftmax(*self.ckg.warm_items(), self.config.temperature)

    @property
    def by_direction(self) -> bool:
        """Whether items are compared by direction."""
        return bool(self.config.loss == "softmax")

    def pairwise_loss(self, batch: PairwiseBatch) -> Float[Tensor, ""]:
        """Return BPR on propagated embeddings, and L2 on the rows of layer 0 (LightGCN's Eq.
        15).
        """
        nodes = torch.cat([batch.user + self.ckg.num_entities, batch.positive, batch.negative])
        weight: float = self.config.l2_weight
        if fixed_shapes(nodes) and not self.shard.apart and not self.propagate.fanouts:
            z = self()
            squares = l2(*take_rows(self.nodes, nodes).chunk(3))
            return bpr_rows(z, z, *nodes.chunk(3)) + weight * squares

        rows, at, times = torch.unique(nodes, return_inverse=True, return_counts=True)
        z, start = self.rows(rows)  # (distinct nodes of the batch, dim)
        ego: Tensor = (times * start.square().sum(1)).sum() / (2 * len(batch.user))
        loss = bpr_rows(z, z, *at.chunk(3), total=self.shard.sums)
        return loss + weight * self.shard.total(ego)

    def softmax_loss(self, batch: PositiveBatch) -> Float[Tensor, ""]:
        """Return the cosine softmax over all items that have training interactions, with L2 on
        layer 0.
        """
        if self.warm.sampled:
            return self._sampled_loss(batch)

        count = self.warm.count
        users, at = torch.unique(batch.user + self.ckg.num_entities, return_inverse=True)
        z, start = self.rows(torch.cat([self.warm.items, users]))  # (warm + users, dim)
        user = at + count
        positive = self.warm.position[batch.positive]
        ego = self.shard.total(l2(*take_rows(start, torch.cat([user, positive])).chunk(2)))
        z = self.shard.rows(z)
        some = self.shard.share(len(user))
        loss: Tensor = self.warm(take_rows(z, user[some]), z[:count], batch.positive[some])
        weight: float = self.config.l2_weight
        return self.shard.mean(loss, len(user)) + weight * ego

    def by_user_loss(self, batch: UserBatch) -> Float[Tensor, ""]:
        """Return ``softmax_loss`` of all interactions of some users, a row of cosines per user."""
        row, column = batch.mask.nonzero(as_tuple=True)
        positive = batch.items[row, column]
        count = self.warm.count
        z, start = self.rows(torch.cat([self.warm.items, batch.user + self.ckg.num_entities]))
        used = torch.cat([self.warm.position[positive], row + count])
        times = torch.bincount(used, minlength=len(start)).to(start.dtype)
        ego: Tensor = (times * start.square().sum(1)).sum() / (2 * len(row))
        weight: float = self.config.l2_weight
        loss: Tensor = self.warm.by_user(z[count:], z[:count], row, positive, self.shard)
        return loss + weight * self.shard.total(ego)

    def _sampled_loss(self, batch: PositiveBatch) -> Float[Tensor, ""]:
        """Return the softmax over drawn items."""
        drawn = self.warm.draw()
        nodes = torch.cat([batch.user + self.ckg.num_entities, batch.positive, drawn])
        rows, at = torch.unique(nodes, return_inverse=True)
        z, start = self.rows(rows)
        size = len(batch.user)
        ego = self.shard.total(l2(*take_rows(start, at[: 2 * size]).chunk(2)))
        z = unit_rows(self.shard.rows(z))
        user, item, other = torch.split(take_rows(z, at), [size, size, len(drawn)])
        some = self.shard.share(size)
        same = batch.positive[some], drawn
        loss = self.warm.over_drawn(user[some], item[some], other, same)
        weight: float = self.config.l2_weight
        return self.shard.mean(loss, size) + weight * ego

    def split(self) -> dict[str, Any]:
        """Return what the plan says of training by several processes: columns of a table that is
        propagated linearly never meet.
        """
        edges = self.graph.csr.num_edges
        split = Split(self.apart(), edges, self.config.num_layers)
        return {"parallel": "columns", "split": split} if self.splits else {}

    def apart(self) -> tuple[nn.Parameter, ...]:
        """Return the tables that can lie apart by columns."""
        return (self.nodes,)


class FactLight(RankedLight):
    """Light propagation that is trained to rank and, where ``kg_weight`` is above 0, to tell a
    triple's tail from others by the vectors of layer 0: what makes the graph model use its facts.

    Args:
        ckg: Graph.
        config: Hyper-parameters, among them ``kg_weight``.
        generator: Draws the initial embeddings.
        loss: The rest of the triple loss.
    """

    def __init__(
        self,
        ckg: CollaborativeKG,
        config: Any,
        generator: torch.Generator,
        loss: TripleLoss | None = None,
    ) -> None:
        super().__init__(ckg, config, generator)
        self.facts = FactContrast(ckg, config.kg_weight, config.dim, generator, loss)

    def fact_objectives(self) -> tuple[Objective[Any], ...]:
        """Return the objective of triples, weighted; () without."""
        return self.facts.objectives(self.start)

    def plan(self) -> Plan:
        """Return the configured loss, and that of triples where it has a weight, in one step."""
        ranking = ranking_objective(self.config.loss, self.pairwise_loss, self.softmax_loss)
        more = self.fact_objectives()
        return Plan((ranking, *more), joint=bool(more))

    def apart(self) -> tuple[nn.Parameter, ...]:
        """Return the table of nodes, and that of relations where triples have a loss."""
        return (self.nodes, *self.facts.tables)


class ContrastedLight(RankedLight):
    """Light propagation trained to rank and, besides, to recognize nodes across two views.

    Args:
        ckg: Graph.
        config: Hyper-parameters, among them ``contrast_weight``.
        generator: Draws the initial embeddings.
    """

    @abstractmethod
    def contrast(self, users: Int[Tensor, " _"], items: Int[Tensor, " _"]) -> Float[Tensor, ""]:
        """Return how little the users and items of a batch, nodes of the graph that may be there
        several times, are recognized across the views.
        """

    @abstractmethod
    def reseed(self, seed: int) -> None:
        """Start the draws of an epoch."""

    def loss(self, batch: PairwiseBatch | PositiveBatch) -> dict[str, Float[Tensor, ""]]:
        """Return the loss of the ranking, and that of the contrast with its weight."""
        if isinstance(batch, PairwiseBatch):
            ranking = self.pairwise_loss(batch)
        else:
            ranking = self.softmax_loss(batch)

        contrast = self.contrast(batch.user + self.ckg.num_entities, batch.positive)
        return {self.config.loss: ranking, "contrast": self.config.contrast_weight * contrast}

    def plan(self) -> Plan:
        """Return one objective of two losses."""
        objective = ranking_objective(self.config.loss, self.loss, self.loss)
        return Plan((objective,), begin_epoch=self._begin, **self.split())

    def recognized(
        self,
        first: Float[Tensor, "batch dim"],
        second: Float[Tensor, "batch dim"],
        cut: int,
        temperature: float | int,
    ) -> Float[Tensor, ""]:
        """Return how little whole rows of two views are recognized among their own kind: ``cut``
        users, and items after them.
        """
        losses = []
        for part in (slice(cut), slice(cut, None)):
            one, two = first[part], second[part]
            some = self.shard.share(len(one))
            own = torch.arange(len(one), device=one.device)[some]
            loss = info_nce(one[some], two, temperature, own)
            losses.append(self.shard.mean(loss, len(one)))

        return losses[0] + losses[1]

    def _begin(self, epoch: int, seed: int) -> None:
        self.reseed(derive(seed, "views", epoch))


class TwoViews(ContrastedLight):
    """Light propagation whose nodes are recognized across two views of the graph.

    Args:
        ckg: Graph.
        config: Hyper-parameters, among them ``contrast`` ("all" or "batch": which nodes a node is
            told apart from) and ``contrast_temperature``.
        generator: Draws the initial embeddings.
    """

    @abstractmethod
    def view(self, number: int, nodes: Int[Tensor, " batch"]) -> Float[Tensor, "batch dim"]:
        """Return Z of distinct nodes over a view, 0 or 1."""

    def contrast(self, users: Int[Tensor, " _"], items: Int[Tensor, " _"]) -> Float[Tensor, ""]:
        """Return how little the nodes of a batch are recognized across the views.

        Source: Wu et al., SGL, SIGIR 2021, Eq. (10). https://arxiv.org/abs/2010.10783
        """
        tau = self.config.contrast_temperature
        entities = self.ckg.num_entities

        if self.config.contrast == "batch":
            users, items = torch.unique(users), torch.unique(items)
            nodes = torch.cat([users, items])
            first, second = (self.shard.rows(self.view(number, nodes)) for number in (0, 1))
            return self.recognized(first, second, len(users), tau)

        every = torch.arange(self.ckg.num_nodes, device=users.device)
        first, second = (self.shard.rows(self.view(number, every)) for number in (0, 1))
        some = self.shard.share(len(users))
        rows = users[some], items[some]
        of_users = info_nce(take_rows(first, rows[0]), second[entities:], tau, rows[0] - entities)
        catalog = second[: self.ckg.num_items]
        of_items = info_nce(take_rows(first, rows[1]), catalog, tau, rows[1])
        return self.shard.mean(of_users + of_items, len(users))
