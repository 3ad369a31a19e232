"""What models of triples share: the graph they train on, their batches, and how they rank triples
and items.

A paper's file adds its vectors and its loss.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kgrec.batches import CorruptedBatch, Query
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.models.base import DotProduct, Objective, Plan, Recommender, Scorer, TripleScorer
from kgrec.models.sources import SamplerContext, register_source
from kgrec.nn.kge import DistMultTables, TripleTables
from kgrec.nn.ranking_loss import WarmItems
from kgrec.ops.contrast import softmax_rows
from kgrec.ops.folding import SumFold
from kgrec.ops.rows import take_rows, unit_rows
from kgrec.ops.sampling import Corrupter, bernoulli_share
from kgrec.random import derive

_INTERACTS = 0


@dataclass(frozen=True, slots=True)
class TripleConfig:
    """Settings that every model of triples has.

    Attributes:
        dim: Size of the vectors of users, items and entities; complex coordinates where the model
            has complex ones.
        negatives: Corrupted triples per true one.
        corruption: "uniform" corrupts heads and tails alike; "bernoulli" more often the end that
            has fewer right answers, as TransH.
        interactions: Whether users join the graph as further entities by the relation
            ``interacts``, and items are ranked by how plausible (user, interacts, item) is. Without
            it, and where there are no interactions, the triples alone are trained on; a user is
            then ranked for by the mean direction of the items in the history.
    """

    dim: int = 64
    negatives: int = 16
    corruption: Literal["uniform", "bernoulli"] = "bernoulli"
    interactions: bool = True

    def __post_init__(self) -> None:
        """Reject values out of range."""
        name = type(self).__name__.removesuffix("Config")
        if self.dim < 1 or self.negatives < 1:
            raise ConfigError(f"{name} needs dim and negatives of at least 1.")
        if self.corruption not in ("uniform", "bernoulli"):
            raise ConfigError(
                f'{name} has no corruption {self.corruption!r}. Known: "uniform", "bernoulli".'
            )


class CorruptedBatches:
    """Facts in batches, each once an epoch, with corrupted ends that make no known fact.

    Ends of the knowledge graph's relations are drawn from all entities. Of an interaction only the
    item is corrupted, by an item that somebody has used: items are what is ranked, and what no user
    used is left to the graph (docs/decisions/0006).

    Args:
        ckg: The graph.
        facts: Which of its facts are trained on.
        config: How many corrupted ends, and which.
        batch_size: Facts in a batch.
        seed: Seed of every draw; those of an epoch depend on (seed, epoch) alone.
        device: Where batches are made.
    """

    def __init__(
        self,
        ckg: CollaborativeKG,
        facts: Int[Tensor, " edges"],
        config: TripleConfig,
        batch_size: int,
        seed: int,
        device: torch.device,
    ) -> None:
        columns = (ckg.head, ckg.relation, ckg.tail)
        self._head, self._relation, self._tail = head, relation, tail = tuple(
            torch.from_numpy(c)[facts].to(device) for c in columns
        )
        nodes = torch.arange(ckg.num_nodes, device=device)
        warm = torch.from_numpy(ckg.warm_items()[0]).to(device)
        of_users = torch.bincount(
            relation, (head >= ckg.num_entities).double(), minlength=ckg.num_relations
        )
        count = torch.bincount(relation, minlength=ckg.num_relations)
        head_pool = torch.where(of_users == 0, 0, torch.where(of_users == count, 1, 2))
        share = torch.full((ckg.num_relations,), 0.5, device=device)
        if config.corruption == "bernoulli":
            share = bernoulli_share(head, relation, tail, ckg.num_relations)

        share[_INTERACTS] = 0.0
        self._corrupter = Corrupter(
            (head, relation, tail),
            (nodes[: ckg.num_entities], nodes[ckg.num_entities :], nodes),
            head_pool,
            (nodes[: ckg.num_entities], warm),
            (torch.arange(ckg.num_relations, device=device) == _INTERACTS).long(),
            share,
        )
        self._negatives = config.negatives
        self._size = batch_size
        self._seed = seed

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-len(self._head) // self._size)

    def epoch(self, epoch: int) -> Iterator[CorruptedBatch]:
        """Yield the batches of an epoch."""
        generator = torch.Generator(device=self._head.device).manual_seed(
            derive(self._seed, "corrupted", epoch)
        )
        order = torch.randperm(len(self._head), generator=generator, device=self._head.device)
        for rows in torch.split(order, self._size):
            head = self._head[rows]
            relation = self._relation[rows]
            tail = self._tail[rows]
            negative, by_head = self._corrupter.draw(
                head, relation, tail, self._negatives, generator=generator
            )
            yield CorruptedBatch(head, relation, tail, negative, by_head)


@dataclass(frozen=True)
class CorruptedFacts:
    """What ``CorruptedBatches`` draws from; the attributes are its arguments."""

    ckg: CollaborativeKG
    facts: Int[Tensor, " edges"]
    config: TripleConfig


def _corrupted_batches(source: CorruptedFacts, context: SamplerContext) -> CorruptedBatches:
    drawn_from = (source.ckg, source.facts, source.config)
    return CorruptedBatches(*drawn_from, context.config.batch_size, context.seed, context.device)


register_source(CorruptedFacts, _corrupted_batches, gives=CorruptedBatch)


@dataclass(frozen=True)
class Nearest:
    """The scorer of models whose plausibility is a distance.

    Attributes:
        users: Where each user wants an item to be.
        items: Where the items are.
        likeness: Score of each row with candidates of its own.
        table: Score of each row with the same candidates.
        function: Name of both in ``SCORE_FUNCTIONS``.
    """

    users: Float[Tensor, "users dim"]
    items: Float[Tensor, "items dim"]
    likeness: Callable[[Tensor, Tensor], Tensor]
    table: Callable[[Tensor, Tensor], Tensor]
    function: str
    reads_history: ClassVar[bool] = True

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return plausibilities; someone unseen wants an item where the items of the history are on
        average.
        """
        if len(self.users):
            wanted = self.users[query.user.clamp(min=0)]
        else:
            wanted = self.items.new_zeros(len(query.user), self.items.shape[1])

        unseen = query.user < 0
        if bool(unseen.any()):
            wanted = torch.where(
                unseen.unsqueeze(1), _mean(self.items, query.history, query.history_mask), wanted
            )

        if items is None:
            return self.table(wanted, self.items)

        return self.likeness(wanted, self.items[items])

    def similar(self, item: int) -> Float[Tensor, " items"]:
        """Return the cosines of an item's vector with all items'."""
        unit = unit_rows(self.items)
        return unit @ unit[item]


def _mean(items: Tensor, history: Tensor, mask: Tensor) -> Tensor:
    weight = mask.to(items.dtype).unsqueeze(2)
    return (items[history] * weight).sum(1) / weight.sum(1).clamp(min=1)


class TripleModel(Recommender):
    """A model that learns which triples hold, over the knowledge graph with the users in it, or
    over the triples alone.

    Args:
        ckg: Graph with triples.
        config: Hyper-parameters.
        generator: Draws the initial vectors.
    """

    scores_read_graph = False
    folds_in = True

    scores_triples: ClassVar[bool] = True
    config: TripleConfig
    facts: Tensor

    def __init__(
        self, ckg: CollaborativeKG, config: TripleConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        self.with_users = config.interactions and ckg.num_users > 0
        self.tables = self.make_tables(
            ckg.num_nodes if self.with_users else ckg.num_entities, ckg.num_relations, generator
        )
        if self.with_users:
            facts = torch.arange(len(ckg.head))
        else:
            facts = torch.from_numpy(ckg.fact >= 0).nonzero().squeeze(1)

        self.register_buffer("facts", facts, persistent=False)
        self.warm = WarmItems(*ckg.warm_items())

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: TripleConfig, generator: torch.Generator
    ) -> "TripleModel":
        """Take the triples, and the interactions where there are any."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    @abstractmethod
    def make_tables(
        self, num_nodes: int, num_relations: int, generator: torch.Generator
    ) -> TripleTables:
        """Return the paper's vectors and score function."""

    @abstractmethod
    def loss(self, batch: CorruptedBatch) -> Float[Tensor, ""]:
        """Return the paper's loss."""

    def plan(self) -> Plan:
        """Return one objective over all facts, and the paper's constraints after each step."""
        source = CorruptedFacts(self.ckg, self.facts.cpu(), self.config)
        return Plan(
            (Objective(CorruptedBatch, self.loss, name="triples", source=source),),
            after_step=self.tables.constrain,
        )

    def scores(
        self, batch: CorruptedBatch
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch cand"]]:
        """Return the scores of the true triples and of their corruptions."""
        true = self.tables.score(batch.head, batch.relation, batch.tail)
        return true, self.tables.corrupted(
            batch.head, batch.relation, batch.tail, batch.negative, batch.corrupts_head
        )

    def one_to_all(self, batch: CorruptedBatch) -> Float[Tensor, ""]:
        """Return the mean cross-entropy of each triple's tail and head against all entities; inner
        products only.

        The tail of an interaction is held against the items that somebody has used, its head
        against nothing.

        Source: Ruffinelli et al., You CAN Teach an Old Dog New Tricks, ICLR 2020, Section 2
        (1vsAll).
        """
        of_user = batch.relation == _INTERACTS
        known = ~of_user
        by_entity = ~of_user & (batch.head < self.ckg.num_entities)
        nodes = self.tables.nodes
        tail_query = self.tables.tail_query(batch.head, batch.relation)
        total = nodes.new_zeros(())

        if bool(of_user.any()):
            total = total + of_user.sum() * self.warm.softmax(
                tail_query[of_user], self.warm.of(nodes), batch.tail[of_user]
            )

        entities = nodes[: self.ckg.num_entities]
        if bool(known.any()):
            total = total + known.sum() * softmax_rows(
                tail_query[known], entities, batch.tail[known]
            )

        if bool(by_entity.any()):
            head_query = self.tables.head_query(batch.relation[by_entity], batch.tail[by_entity])
            total = total + by_entity.sum() * softmax_rows(
                head_query, entities, batch.head[by_entity]
            )

        return total / len(batch.head)

    def rows(
        self, batch: CorruptedBatch
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch din"], Float[Tensor, "batch dim"]]:
        """Return the vectors of the true triples: heads, relations, tails."""
        nodes = self.tables.nodes
        return (
            take_rows(nodes, batch.head),
            take_rows(self.tables.relations, batch.relation),
            take_rows(nodes, batch.tail),
        )

    def score_tails(
        self, head: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch entities"]:
        """Return the plausibility of (head, relation, t) for every entity t."""
        row = self.ckg.relation_of(relation)
        return self.tables.against(self.tables.tail_query(head, row), row, self.ckg.num_entities)

    def score_heads(
        self, relation: Int[Tensor, " batch"], tail: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch entities"]:
        """Return the plausibility of (h, relation, tail) for every entity h."""
        row = self.ckg.relation_of(relation)
        return self.tables.against(self.tables.head_query(row, tail), row, self.ckg.num_entities)

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items that the graph joins to an interaction."""
        return reached(self.ckg)

    def scorer(self) -> Scorer:
        """Return plausibilities of (user, interacts, item), or the likeness of items to the history
        where users are no nodes.
        """
        if not self.with_users:
            return self._by_history()

        device = self.tables.nodes.device
        users = torch.arange(self.ckg.num_entities, self.ckg.num_nodes, device=device)
        items = torch.arange(self.ckg.num_items, device=device)
        queries = self.tables.tail_query(users, torch.full_like(users, _INTERACTS))
        candidates = self.tables.candidates(items, torch.full_like(items, _INTERACTS))
        if isinstance(self.tables, DistMultTables):
            return DotProduct(queries, candidates)

        return Nearest(
            queries, candidates, self.tables.likeness, self.tables.table, self.tables.function
        )

    def _by_history(self) -> DotProduct:
        items = unit_rows(self.tables.nodes[: self.ckg.num_items])
        user, item = (torch.from_numpy(part).to(items.device) for part in self.ckg.interactions())
        users = items.new_zeros(self.ckg.num_users, items.shape[1]).index_add_(0, user, items[item])

        def fold(
            history: Int[Tensor, "batch hist"], mask: Bool[Tensor, "batch hist"]
        ) -> Float[Tensor, "batch dim"]:
            return unit_rows(_mean(items, history, mask))

        return DotProduct(unit_rows(users), items, fold=fold)

    def own_fold(self) -> SumFold | None:
        """Return the mean of the history; where users are no nodes, its direction."""
        scorer = self.scorer()
        if not isinstance(scorer, DotProduct | Nearest):
            return None
        if isinstance(scorer, DotProduct) and scorer.fold is None:
            return None

        items = scorer.items.detach().cpu().numpy()
        return SumFold(items, np.zeros(items.shape[1], items.dtype), 1.0, not self.with_users)

    def triple_scorer(self) -> TripleScorer:
        """Return the model: ``score_tails`` and ``score_heads``."""
        return self

    def export_vectors(self) -> Mapping[str, Float[Tensor, "nodes _"]]:
        """Return the vectors as trained: users where they are nodes, items, entities, and the
        relations of the knowledge graph.
        """
        nodes = self.tables.nodes
        entities = nodes[: self.ckg.num_entities]
        relations = self.tables.relations
        found = {}
        if self.with_users:
            found = {"users": nodes[len(entities) :], "interacts": relations[:1]}

        found |= {"items": nodes[: self.ckg.num_items], "entities": entities}
        return {**found, "relations": relations[1:]}
