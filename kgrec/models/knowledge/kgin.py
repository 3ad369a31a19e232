"""KGIN: Learning Intents behind Interactions with Knowledge Graph for Recommendation. Wang et al.,
WWW 2021.

https://arxiv.org/abs/2102.07057 (equation numbers are those of version 1)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from kgrec.batches import PairwiseBatch, PositiveBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError
from kgrec.graph.ckg import USER_FACT, CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.graph.receptive_field import Ball, removal_effect, renormalized
from kgrec.graph.typed_mean import TypedMean
from kgrec.models.base import DotProduct, Objective, Plan, Preset, Recommender, Span
from kgrec.models.capabilities import ScoreParts
from kgrec.nn.dropout import SeededDropout
from kgrec.nn.init import glorot_uniform
from kgrec.nn.losses import bpr, cosine_softmax, l2
from kgrec.ops.rows import inverse_length, take_rows, unit_rows
from kgrec.ops.typed import TypedEdges, typed_sum
from kgrec.random import derive

_INTENT_TEMPERATURE = 0.2  # tau of Eq. (4), as in the authors' code
_TINY = 1e-8


@dataclass(frozen=True, slots=True)
class KGINConfig:
    """Hyper-parameters of KGIN.

    Attributes:
        dim: Embedding size d; 64 in the paper.
        num_layers: Layers L, the length of the relational paths; 3 in the paper.
        num_intents: Intents P; 4 in the paper.
        form: "paper" takes the user's equations, Eqs. (7)-(9), and the independence of intents, Eq.
            (6), as printed; "code" as the authors' code computes them (see ``KGIN``).
        independence: What keeps intents apart: "distance" correlation (the paper's better choice),
            squared "cosine", or "mi", the mutual information of Eq. (4).
        independence_weight: Weight of that term; 1e-4 or 1e-5 in the paper, by data set.
        node_dropout: Probability of leaving an edge out of a step, in [0, 1); 0.5 in the authors'
            code, whose ``node_dropout_rate`` is the share kept.
        message_dropout: Probability of dropping a value after each layer, in [0, 1); 0.1 in the
            authors' code.
        loss: "bpr" as in the paper; "softmax" contrasts each interaction by cosine with all items
            that have training interactions, and ranks by normalized item vectors. Items without any
            are left to what the graph says of them.
        temperature: Temperature of the softmax, in (0, 1]; unused by "bpr".
        l2_weight: Weight of half the squared norms of the final embeddings of the batch, divided by
            its size; 1e-5 in the paper.
    """

    dim: int = 64
    num_layers: int = 1
    num_intents: int = 4
    form: Literal["paper", "code"] = "code"
    independence: Literal["distance", "cosine", "mi"] = "distance"
    independence_weight: float = 1e-4
    node_dropout: float = 0.5
    message_dropout: float = 0.1
    loss: Literal["bpr", "softmax"] = "softmax"
    temperature: float = 0.2
    l2_weight: float = 1e-5

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.dim < 1 or self.num_layers < 1 or self.num_intents < 1:
            raise ConfigError("KGIN needs dim, num_layers and num_intents of at least 1.")
        if not 0 <= self.node_dropout < 1 or not 0 <= self.message_dropout < 1:
            raise ConfigError("KGIN needs node_dropout and message_dropout in [0, 1).")
        if self.independence_weight < 0 or self.l2_weight < 0:
            raise ConfigError("KGIN needs independence_weight and l2_weight >= 0.")
        if self.form not in ("paper", "code") or self.independence not in (
            "distance",
            "cosine",
            "mi",
        ):
            raise ConfigError(
                'KGIN needs form "paper" or "code" and independence "distance", "cosine" or "mi".'
            )
        if self.loss not in ("bpr", "softmax") or not 0 < self.temperature <= 1:
            raise ConfigError('KGIN needs loss "bpr" or "softmax" and a temperature in (0, 1].')


_PUBLISHED = {"loss": "bpr", "num_layers": 3}
_PUBLISHED_TRAINING = {
    "epochs": 1000,
    "patience": 0,
    "batch_size": 1024,
    "learning_rate": 1e-4,
    "drop_last": True,
}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.01, "epochs": 100}),
    "paper": Preset({**_PUBLISHED, "form": "paper"}, _PUBLISHED_TRAINING),
    "official": Preset({**_PUBLISHED, "form": "code"}, _PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "num_layers": (1, 2, 3),
    "form": ("code", "paper"),
    "learning_rate": Span(2e-3, 2e-2, log=True),
    "temperature": Span(0.1, 0.3),
    "node_dropout": Span(0.0, 0.7),
    "message_dropout": Span(0.0, 0.5),
    "l2_weight": Span(1e-6, 1e-3, log=True),
    "independence_weight": Span(1e-5, 1e-1, log=True),
}


class KGIN(Recommender):
    """Describe items by relational paths of the knowledge graph, and users by intents behind their
    interactions.

        e_p = sum over relations of softmax(w_p)_r e_r
        (2)-(3) e_v <- mean over the triples (v, r, t) of e_r * e_t
        (10)-(11) e_u <- mean over the items i of u of (sum over intents of beta(u, p) e_p) * e_i
        (7)-(8) beta(u, p) = softmax over intents of e_p . e_u^(0)
        (9) e* = e^(0) + norm(e^(1)) + ... + norm(e^(L)),   score(u, i) = e*_u . e*_i
        (13)-(14) loss = BPR + lambda_1 independence of the intents + lambda_2 / 2 |e* of the
        batch|^2 / B    (15)-(16)

    Layers hand on normalized rows. Items gather from entities alone, never from users.

    Differs from the paper: ``form="code"``, the default and the preset "official", adds the mean of
    the items to the user's message,

        e_u <- mean over the items i of u of (sum over intents of beta(u, p) e_p) * e_i + e_i,
        beta(u, p) = softmax of k_p . e_u

    chooses intents by keys k_p of their own and by the user's current vector, and keeps the
    attention rows w_p apart where the paper keeps the intents e_p apart. ``form="paper"`` is as
    printed. In both, dropped edges are drawn one by one, both directions of a fact apart, and means
    are over all neighbors, what is dropped counting 0 (the authors' code draws a share of the edges
    and takes means over those; it drops interactions as here); L2 on the rows of the batch, as in
    the authors' code; mutual information contrasts intents, as in Eq. (4), where the authors' code
    contrasts relations; facts about users are unused; the "softmax" loss is an addition. The
    authors weigh independence by 1e-5 on Amazon-Book and end training by the test part:
    ``selection`` "paper".

    Args:
        ckg: Graph with triples.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Wang et al., KGIN, WWW 2021. https://arxiv.org/abs/2102.07057
    """

    merges_relations = False
    through_users = False
    keys: nn.Parameter | None
    warm_items: Tensor
    warm_position: Tensor
    _of_last: Tensor
    _of_fact: Tensor

    def __init__(
        self, ckg: CollaborativeKG, config: KGINConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg.take(ckg.fact != USER_FACT)  # no message is sent along facts about users
        self.config = config
        relations = 2 * (ckg.num_relations - 1)
        self.everywhere, self.last, of_last, of_fact = _structures(self.ckg, relations)
        self.register_buffer("_of_last", of_last, persistent=False)
        self.register_buffer("_of_fact", of_fact, persistent=False)
        self.nodes = nn.Parameter(
            glorot_uniform(ckg.num_nodes, config.dim, generator=generator)
        )  # e^(0)
        if config.form == "code":
            keys = glorot_uniform(config.num_intents, config.dim, generator=generator)
        else:
            keys = None
        self.register_parameter("keys", keys if keys is None else nn.Parameter(keys))  # k_p
        self.relations = nn.Parameter(
            glorot_uniform(relations, config.dim, generator=generator)
        )  # e_r
        self.intent_logits = nn.Parameter(
            glorot_uniform(config.num_intents, relations, generator=generator)
        )  # w_p
        self.message_dropout = SeededDropout(config.message_dropout)
        self.node_dropout = SeededDropout(config.node_dropout)
        warm, position = ckg.warm_items()
        self.register_buffer("warm_items", torch.from_numpy(warm), persistent=False)
        self.register_buffer("warm_position", torch.from_numpy(position), persistent=False)
        self.register_load_state_dict_pre_hook(_take_keys)  # type: ignore[no-untyped-call]

    @classmethod
    def from_dataset(cls, data: Dataset, config: KGINConfig, generator: torch.Generator) -> "KGIN":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    def intents(self) -> Float[Tensor, "heads dim"]:
        """Return the intents' embeddings, attentive combinations of the relations', Eqs.
        (2)-(3).
        """
        return torch.softmax(self.intent_logits, 1) @ self.relations

    def aggregate_users(
        self,
        items: Float[Tensor, "users dim"],
        users: Float[Tensor, "users dim"],
        ego: Float[Tensor, "users dim"],
    ) -> Float[Tensor, "users dim"]:
        """Return the users' messages before dropout, Eqs. (7)-(8).

        Args:
            items: Mean of each user's items at this layer.
            users: The users at this layer.
            ego: The users at layer 0.
        """
        mixed = items * (self.choice(users, ego) @ self.intents())
        if self.config.form == "code":
            return mixed + items
        return mixed

    def choice(
        self, users: Float[Tensor, "users dim"], ego: Float[Tensor, "users dim"]
    ) -> Float[Tensor, "users heads"]:
        """Return beta, how much each intent counts for users, by their vectors at this layer and at
        layer 0, Eq. (9).
        """
        if self.keys is None:
            keys = self.intents()
        else:
            keys = self.keys
        return torch.softmax((users if self.config.form == "code" else ego) @ keys.T, 1)

    def _layers(
        self,
    ) -> tuple[
        list[Float[Tensor, "entities dim"]], Float[Tensor, "users dim"], Float[Tensor, "items dim"]
    ]:
        """Return the entities that each layer starts from, and the final embeddings of users and
        items, Eq. (13).
        """
        entities, users = torch.split(self.nodes, [self.ckg.num_entities, self.ckg.num_users])
        vectors = self._vectors()
        kept = self.node_dropout(self.everywhere.weight)
        ego = users
        starts = []
        all_users = users
        all_items = entities[: self.ckg.num_items]
        for number in range(1, self.config.num_layers + 1):
            starts.append(entities)
            if number == self.config.num_layers:
                graph = self.last
                weight = kept[self._of_last]
            else:
                graph = self.everywhere
                weight = kept
            gathered = typed_sum(entities, graph.edges, weight, vectors)
            message, mean = torch.split(
                gathered, [len(gathered) - len(users), len(users)]
            )  # Eq. (10)
            users = unit_rows(self.message_dropout(self.aggregate_users(mean, users, ego)))
            entities = unit_rows(self.message_dropout(message))
            all_users = all_users + users
            all_items = all_items + entities[: self.ckg.num_items]
        return starts, all_users, all_items

    def _vectors(self) -> Float[Tensor, "relations dim"]:
        return torch.cat(
            [self.relations, self.relations.new_ones(1, self.config.dim)]
        )  # an interaction hands on the item as it is

    def independence(self) -> Float[Tensor, ""]:
        """Return how much the intents say the same, Eqs. (4)-(6): 0 or more, less is better."""
        rows = self.intent_logits if self.config.form == "code" else self.intents()
        if self.config.independence == "mi":
            return intent_information(rows)
        if self.config.independence == "distance":
            alike = distance_correlations(rows)
        else:
            alike = _cosines(rows).square()
        return alike.triu(1).sum()

    def bpr_loss(self, batch: PairwiseBatch) -> Float[Tensor, ""]:
        """Return BPR with the independence of intents and L2 on the final rows, Eqs. (15)-(16)."""
        _, users, items = self._layers()
        user = take_rows(users, batch.user)
        positive, negative = take_rows(items, torch.cat([batch.positive, batch.negative])).chunk(2)
        return bpr((user * positive).sum(1), (user * negative).sum(1)) + self._penalty(
            user, positive, negative
        )

    def softmax_loss(self, batch: PositiveBatch) -> Float[Tensor, ""]:
        """Return the cosine softmax over all items that have training interactions, with the terms
        of Eq. (16).
        """
        _, users, items = self._layers()
        user = take_rows(users, batch.user)
        loss = cosine_softmax(
            user,
            take_rows(items, self.warm_items),
            self.warm_position[batch.positive],
            self.config.temperature,
        )
        return loss + self._penalty(user, take_rows(items, batch.positive))

    def _penalty(self, *rows: Float[Tensor, "batch dim"]) -> Float[Tensor, ""]:
        return (
            self.config.l2_weight * l2(*rows)
            + self.config.independence_weight * self.independence()
        )

    def plan(self) -> Plan:
        """Return one objective, the configured loss."""
        if self.config.loss == "bpr":
            return Plan(
                (Objective(PairwiseBatch, self.bpr_loss, name="bpr"),), begin_epoch=self._reseed
            )
        return Plan(
            (Objective(PositiveBatch, self.softmax_loss, name="softmax"),), begin_epoch=self._reseed
        )

    def _reseed(self, epoch: int, seed: int) -> None:
        self.message_dropout.reseed(derive(seed, "dropout", epoch))
        self.node_dropout.reseed(derive(seed, "dropped edges", epoch))

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items to whose vectors a trained one contributes.

        Steps move vectors within as many hops of an interaction as there are layers; messages carry
        them as far again.
        """
        return reached(self.ckg, 2 * self.config.num_layers)

    def scorer(self) -> DotProduct:
        """Return the final embeddings, Eq. (14)."""
        starts, users, items = self._layers()
        ranked = (
            unit_rows(items) if self.config.loss == "softmax" else items
        )  # trained by cosine, compared by direction
        return DotProduct(users, ranked, fold=partial(self._fold_in, starts))

    def _fold_in(
        self,
        starts: list[Float[Tensor, "entities dim"]],
        history: Int[Tensor, "batch hist"],
        mask: Bool[Tensor, "batch hist"],
    ) -> Float[Tensor, "batch dim"]:
        """Return e* of new users: they start at the mean of the known users and gather from their
        history.
        """
        ego = self.nodes[self.ckg.num_entities :].mean(0, keepdim=True).expand(len(history), -1)
        share = (mask / mask.sum(1, keepdim=True).clamp(min=1)).to(ego.dtype).unsqueeze(2)
        users = total = ego
        for entities in starts:
            users = unit_rows(self.aggregate_users((entities[history] * share).sum(1), users, ego))
            total = total + users
        return total

    def embeddings(self) -> Mapping[str, Float[Tensor, "nodes _"]]:
        """Return users and items as they are ranked by, and the relations, those of inverses
        apart.
        """
        ranked = self.scorer()
        known, inverse = self.relations.detach().chunk(2)
        return {
            "users": ranked.users.detach(),
            "items": ranked.items.detach(),
            "relations": known,
            "relations_inverse": inverse,
        }

    def _around(self, user: int, item: int) -> Ball:
        by = self.everywhere.edges.forward
        ends = (self.ckg.user_node(user), item)
        row = by.row_of_edge()
        column = by.idx.long()
        kind = by.relation_of_edge()
        return Ball.around(
            ends,
            self.config.num_layers,
            row,
            column,
            self.ckg.num_nodes,
            kind,
            len(self.relations) + 1,
        )

    def _unrolled(self, ball: Ball, weight: Float[Tensor, " edges"]) -> "_Unrolled":
        """Return all steps to the final vectors of a user and an item, Eqs. (7)-(13), within a
        ball.
        """
        e = take_rows(self.nodes, ball.nodes)
        starts = [e]
        gathered = []
        users = [e[:1]]
        item = e[1]
        vectors = self._vectors()
        for edges, order in ball.layers:
            gathered.append(typed_sum(starts[-1], edges, weight[order], vectors))
            users.append(unit_rows(self.aggregate_users(gathered[-1][:1], users[-1], users[0])))
            e = unit_rows(gathered[-1][1:])
            item = item + e[0]
            starts.append(torch.cat([users[-1], e]))
        if self.config.loss == "softmax":
            ranked = unit_rows(item.unsqueeze(0))[0]
        else:
            ranked = item
        return _Unrolled(starts, gathered, users, ranked)

    def _messages(self, steps: "_Unrolled") -> list[Float[Tensor, "heads dim"]]:
        """Return what the mean of the user's items is multiplied by in each layer, Eqs. (8)-(9),
        and divided by the message's length.

        The first row is the mean itself (nothing in the paper's form), one row per intent follows;
        their sum makes the message.
        """
        code = self.config.form == "code"
        parts = []
        for got, users in zip(steps.gathered, steps.users[:-1], strict=True):
            beta = self.choice(users, steps.users[0])
            rows = torch.cat([torch.full_like(users, float(code)), beta.T * self.intents()])
            parts.append(rows * inverse_length(got[0] * rows.sum(0)))
        return parts

    def screen(self, user: int, item: int) -> Float[Tensor, " _"]:
        """Return the first-order effect of each fact on the score of (user, item), both directions
        added up (explanation.md 3.3).

        What an edge carries beyond the mean of its row's other edges, which count for more when it
        goes.
        """
        ball = self._around(user, item)
        with torch.enable_grad():
            steps = self._unrolled(ball, self.everywhere.weight[ball.edges])
            return self._effects(ball, steps, torch.stack(steps.users).sum(0)[0] @ steps.item)

    def screen_pieces(self, user: int, item: int) -> Mapping[str, Float[Tensor, " _"]]:
        """Return ``screen`` cut into pieces that add up to it: by way of the user's own vector, of
        the items as such, of each intent.
        """
        ball = self._around(user, item)
        with torch.enable_grad():
            steps = self._unrolled(ball, self.everywhere.weight[ball.edges])
            pieces = [
                got[0] * rows * steps.item
                for got, rows in zip(steps.gathered, self._messages(steps), strict=True)
            ]
            scores = [steps.users[0][0] @ steps.item, *torch.stack(pieces).sum((0, 2))]
            return {
                name: self._effects(ball, steps, score)
                for name, score in zip(["own vector", *self._names()], scores, strict=True)
            }

    def _names(self) -> list[str]:
        return [
            "items as such",
            *(f"intent {number}" for number in range(1, self.config.num_intents + 1)),
        ]

    def _effects(
        self, ball: Ball, steps: "_Unrolled", score: Float[Tensor, ""]
    ) -> Float[Tensor, " _"]:
        upstream = torch.autograd.grad(
            score, steps.gathered, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        weight = self.everywhere.weight[ball.edges]
        effect = weight * ball.by_weight(upstream, steps.starts, self._vectors().detach())
        everywhere = torch.zeros_like(self.everywhere.weight)
        everywhere[ball.edges] = removal_effect(effect, weight, ball.row)
        return (everywhere[self._of_fact] * (self._of_fact >= 0)).sum(0)

    @torch.no_grad()
    def rerun(
        self, user: int, item: int, removed: Sequence[Sequence[int]], keep_weights: bool = False
    ) -> Float[Tensor, " batch"]:
        """Return the score of (user, item) without each group of facts, means taken over what is
        left.

        With ``keep_weights`` what is left counts as much as it did.
        """
        ball = self._around(user, item)
        weight = self.everywhere.weight[ball.edges]
        scores = self.nodes.new_zeros(len(removed))
        for number, facts in enumerate(removed):
            gone = self._of_fact[
                :, torch.from_numpy(np.asarray(facts, dtype=np.int64)).to(self._of_fact.device)
            ]
            kept = (~torch.isin(ball.edges, gone)).to(weight)
            steps = self._unrolled(
                ball, weight * kept if keep_weights else renormalized(weight, kept, ball.row)
            )
            scores[number] = torch.stack(steps.users).sum(0)[0] @ steps.item
        return scores

    def on_graph(self, ckg: CollaborativeKG) -> "KGIN":
        """Return the model with these parameters over another graph of the same nodes and
        relations.
        """
        other = KGIN(ckg, self.config, torch.Generator())
        other.nodes = self.nodes
        other.keys = self.keys
        other.relations = self.relations
        other.intent_logits = self.intent_logits
        return other.to(self.nodes).eval()

    @torch.no_grad()
    def parts(self, user: int, item: int) -> ScoreParts:
        """Return the score as what the user's own vector gives and what each of the user's items
        gives, and that cut by intent.

        The choice of intents, norms and the item's vector stay as they are (explanation.md 3.6).
        """
        ball = self._around(user, item)
        steps = self._unrolled(ball, self.everywhere.weight[ball.edges])
        own = ball.row == 0  # edges at which the user gathers
        items = ball.column[own]
        weight = self.everywhere.weight[ball.edges[own]].double()
        vector = steps.item.double()
        pieces = weight.new_zeros(1 + self.config.num_intents, len(items))
        for start, rows in zip(steps.starts, self._messages(steps), strict=False):
            pieces += (rows.double() * vector) @ start[items].double().T * weight
        found = pieces.cpu().numpy()
        named = dict(zip(self._names(), found, strict=True))
        value = float(steps.users[0][0].double() @ vector)
        return ScoreParts(
            value,
            items=ball.nodes[items].cpu().numpy(),
            liked=found.sum(0),
            pieces=named,
            basis="linearised",
        )


@dataclass(frozen=True)
class _Unrolled:
    """The steps to a user's and an item's final vectors.

    Attributes:
        starts: What each layer starts from, and what the last one gives; the user and the item in
            front.
        gathered: What each layer gathers.
        users: The user at layer 0 and after each layer; they add up to the final vector.
        item: The item's final vector, as it is ranked.
    """

    starts: list[Float[Tensor, "_ dim"]]
    gathered: list[Float[Tensor, "_ dim"]]
    users: list[Float[Tensor, "_ dim"]]
    item: Float[Tensor, " dim"]


def _structures(
    ckg: CollaborativeKG, relations: int
) -> tuple[TypedMean, TypedMean, Tensor, Tensor]:
    """Return what all nodes gather from, what items and users alone do (the last layer needs no
    more), and the edges of the latter.

    Rows are entities (items), then users; columns are entities; interactions are one more relation.
    The last tensor holds the edge of each fact of the graph, and that of its inverse or -1.
    """
    head, relation, tail = (torch.from_numpy(part) for part in ckg.knowledge_both_ways())
    user, item = (torch.from_numpy(part) for part in ckg.interactions())
    entities = ckg.num_entities
    columns = torch.cat([tail, item])
    rows = torch.cat([head, user + entities])
    kinds = torch.cat([relation, torch.full_like(user, relations)])
    everywhere, order = TypedEdges.from_edges(
        rows, columns, entities + ckg.num_users, entities, kinds, relations + 1
    )
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    triples, used = (
        torch.from_numpy(np.flatnonzero(chosen)) for chosen in (ckg.fact >= 0, ckg.relation == 0)
    )
    of_fact = torch.full((2, len(ckg.fact)), -1)
    of_fact[0, triples], of_fact[1, triples], of_fact[0, used] = torch.split(
        place, [len(triples), len(triples), len(used)]
    )
    rows = rows[order]
    columns = columns[order]
    kinds = kinds[order]
    wanted = torch.nonzero((rows < ckg.num_items) | (rows >= entities)).squeeze(1)
    rows = torch.where(rows < entities, rows, rows - entities + ckg.num_items)[wanted]
    last, order = TypedEdges.from_edges(
        rows, columns[wanted], ckg.num_items + ckg.num_users, entities, kinds[wanted], relations + 1
    )
    return TypedMean(everywhere), TypedMean(last), wanted[order], of_fact


def _take_keys(model: nn.Module, state: Mapping[str, Tensor], prefix: str, *_: object) -> None:
    """Give a model in the paper's form the keys of a state that has some: until version 0.1, both
    forms chose intents by them.
    """
    stored = state.get(f"{prefix}keys")
    if isinstance(model, KGIN) and model.keys is None and stored is not None:
        model.keys = nn.Parameter(torch.empty_like(stored, device=model.nodes.device))


def distance_correlations(rows: Float[Tensor, "heads dim"]) -> Float[Tensor, "heads heads"]:
    """Return the distance correlation of the entries of every two rows, in [0, 1]; near 1 where
    both are constant.

    Source: Szekely et al., Annals of Statistics 2007, Definitions 2-5; KGIN, Eq. (6), with the
    small constants of the authors' code.
    """
    distance = _root((rows.unsqueeze(2) - rows.unsqueeze(1)).square())  # (heads, dim, dim)
    centered = (
        distance
        - distance.mean(1, keepdim=True)
        - distance.mean(2, keepdim=True)
        + distance.mean((1, 2), keepdim=True)
    )
    flat = centered.flatten(1)
    covariance = _root(flat @ flat.T / flat.shape[1])
    own = covariance.diagonal()
    return covariance / (torch.outer(own, own) + _TINY).sqrt()


def _root(value: Tensor) -> Tensor:
    return (value.clamp(min=0) + _TINY).sqrt()


def _cosines(rows: Tensor) -> Tensor:
    unit = unit_rows(rows)
    return unit @ unit.T


def intent_information(rows: Float[Tensor, "heads dim"]) -> Float[Tensor, ""]:
    """Return the sum over intents of -log softmax over all intents of their cosines over a
    temperature of 0.2, at the intent itself.

    Source: Wang et al., KGIN, WWW 2021, Eq. (4).
    """
    own = torch.arange(len(rows), device=rows.device)
    return cross_entropy(_cosines(rows) / _INTENT_TEMPERATURE, own, reduction="sum")
