"""ACF: Attentive Collaborative Filtering. Chen et al., SIGIR 2017.

https://doi.org/10.1145/3077136.3080797
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import relu

from kgrec.batches import PairwiseBatch
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.graph.attributes import ItemAttributes
from kgrec.models.base import DotProduct, Objective, Plan, Preset, Recommender, Span
from kgrec.models.factorization.acf_effects import AttentionEffects
from kgrec.nn.init import glorot_uniform, normal
from kgrec.nn.losses import bpr, l2
from kgrec.ops.lists import last_of_lists
from kgrec.ops.rows import take_rows

_USERS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class ACFConfig:
    """Hyper-parameters of ACF.

    Attributes:
        components: Whether the (relation, entity) pairs of items are content that attention reads.
        dim: Size of the vectors; 128 in the paper.
        hidden: Size of the hidden layer of either attention.
        max_history: Most recent items of a user that are attended to.
        max_components: Pairs of an item that are attended to, at most.
        init_scale: Standard deviation of the vectors at first; 0.01 in the paper.
        l2_weight: Weight of half the squares of a batch's vectors, divided by its size.
    """

    components: bool = False
    dim: int = 64
    hidden: int = 32
    max_history: int = 100
    max_components: int = 8
    init_scale: float = 0.1
    l2_weight: float = 1e-3

    def __post_init__(self) -> None:
        """Reject values out of range."""
        sizes = (self.dim, self.hidden, self.max_history, self.max_components)
        if min(sizes) < 1 or self.init_scale <= 0 or self.l2_weight < 0:
            raise ConfigError(
                "ACF needs dim, hidden, max_history and max_components of at least 1, init_scale "
                "> 0 and l2_weight >= 0."
            )


PRESETS = {
    "default": Preset(train={"learning_rate": 0.002, "epochs": 200}),
    "paper": Preset({"dim": 128, "hidden": 128, "init_scale": 0.01}, {"learning_rate": 0.01}),
    "fast": Preset(train={"learning_rate": 0.005, "epochs": 20, "patience": 3}),
}

SPACE = {
    "dim": (32, 64, 128),
    "max_history": (50, 100, 200),
    "learning_rate": Span(5e-4, 1e-2, log=True),
    "l2_weight": Span(1e-5, 0.1, log=True),
}
KG_SPACE = {**SPACE, "max_components": (4, 8, 16)}


class Attention(nn.Module):
    """Weights of values by a network over several vectors, a sum of what each of them gives.

        weight_j ~ exp(w . ReLU(sum over the sources of W_s x_s + b))

    Args:
        sources: Number of vectors that it reads.
        dim: Their size.
        hidden: Size of the layer in between.
        generator: Draws the starts.
    """

    def __init__(self, sources: int, dim: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        parts = [glorot_uniform(dim, hidden, generator=generator) for _ in range(sources)]
        self.layers = nn.ParameterList(parts)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.out = nn.Parameter(glorot_uniform(hidden, 1, generator=generator).flatten())

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the logits of hidden sums (..., values, hidden)."""
        return relu(hidden + self.bias) @ self.out


class ACF(Recommender):
    """Represent users by their own vector and by what they used, weighted by attention.

        score(u, i) = (p_u + sum over l in N(u) of alpha(u, l) y_l) . q_i                      (3)
        alpha(u, l) ~ exp(w . ReLU(W_u p_u + W_q q_l + W_y y_l + W_x x(u, l) + b))        (6), (7)
        x(u, l) = sum over m of beta(u, l, m) x_m,
        beta(u, l, m) ~ exp(w' . ReLU(W'_u p_u + W'_x x_m + b'))                          (8)-(10)
        loss = mean -log sigma(score(u, i) - score(u, j)) + L2                                 (4)

    x_m are vectors of the (relation, entity) pairs of an item l, in ``ACFKG``; without content W_x
    and beta are not there. A user unseen has p_u = 0.

    Differs from the paper: in training an interaction's own item is not among those attended to, as
    it is not when the item is ranked; components are facts, where it has regions of images and frames, and
    their vectors are learned; the last ``max_history`` items are attended to; Adam for single steps
    of SGD.

    Args:
        history: Where each user's items begin (users + 1), and the items, oldest first.
        counts: Users and items.
        components: Where each item's pairs begin (items + 1), the pairs, and how many there are;
            None without content.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Chen et al., ACF, SIGIR 2017. https://doi.org/10.1145/3077136.3080797
    """

    scores_read_graph = False
    folds_in = True
    keeps_fold = True  # attention weighs the history

    start: Tensor
    used: Tensor
    facts: Tensor
    fact_mask: Tensor

    def __init__(
        self,
        history: tuple[Tensor, Tensor],
        counts: tuple[int, int],
        components: tuple[Tensor, Tensor, int] | None,
        config: ACFConfig,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.config = config

        def table(count: int) -> nn.Parameter:
            scale = config.init_scale
            return nn.Parameter(normal(count, config.dim, scale=scale, generator=generator))

        num_users, num_items = counts
        self.users, self.items, self.implicit = map(table, (num_users, num_items, num_items))
        for name, values in zip(("start", "used"), history, strict=True):
            self.register_buffer(name, values, persistent=False)

        sources = 3
        if components is not None:
            start, facts, count = components
            rows = torch.arange(num_items)
            held = last_of_lists(start, facts, rows, config.max_components)
            self.register_buffer("facts", held[0], persistent=False)
            self.register_buffer("fact_mask", held[1], persistent=False)
            self.contents = table(count)
            self.content_attention = Attention(2, config.dim, config.hidden, generator)
            sources = 4

        self.attention = Attention(sources, config.dim, config.hidden, generator)

    @classmethod
    def from_dataset(cls, data: Dataset, config: ACFConfig, generator: torch.Generator) -> "ACF":
        """Take interactions, and the (relation, entity) pairs of items where they are content."""
        matrix = data.train.csr(data.num_users, data.num_items)
        start = torch.from_numpy(matrix.indptr).long()
        order = torch.from_numpy(data.train.item.astype(np.int64))  # oldest first
        if len(order) != int(start[-1]):  # a pair more than once
            order = torch.from_numpy(matrix.indices).long()

        components = None
        if config.components:
            held = ItemAttributes.from_dataset(data).matrix
            first, facts = (torch.from_numpy(part).long() for part in (held.indptr, held.indices))
            components = (first, facts, max(1, held.shape[1]))

        counts = data.num_users, data.num_items
        return cls((start, order), counts, components, config, generator)

    def weights(
        self,
        own: Float[Tensor, "batch dim"],
        history: Int[Tensor, "batch hist"],
        mask: Bool[Tensor, "batch hist"],
    ) -> Float[Tensor, "batch hist"]:
        """Return alpha of users' items, Eqs. (6) and (7)."""
        return _softmax(self.logits(own, history), mask)

    def logits(
        self, own: Float[Tensor, "batch dim"], history: Int[Tensor, "batch hist"]
    ) -> Float[Tensor, "batch hist"]:
        """Return the logits of alpha."""
        layers = self.attention.layers
        by_item = self.items @ layers[1] + self.implicit @ layers[2]  # (items, hidden)
        hidden = (own @ layers[0]).unsqueeze(1) + _rows(by_item, history)
        if self.config.components:
            hidden = hidden + self.content(own, history) @ layers[3]
        found: Tensor = self.attention(hidden)
        return found

    def content(
        self, own: Float[Tensor, "batch dim"], history: Int[Tensor, "batch hist"]
    ) -> Float[Tensor, "batch hist dim"]:
        """Return x(u, l) of users' items, Eqs. (8) to (10)."""
        layers = self.content_attention.layers
        facts, mask = self.facts[history], self.fact_mask[history]  # (batch, hist, facts)
        hidden = (own @ layers[0])[:, None, None] + _rows(self.contents @ layers[1], facts)
        share = _softmax(self.content_attention(hidden), mask)
        return (share.unsqueeze(-2) @ _rows(self.contents, facts)).squeeze(-2)

    def represented(
        self,
        own: Float[Tensor, "batch dim"],
        history: Int[Tensor, "batch hist"],
        mask: Bool[Tensor, "batch hist"],
    ) -> Float[Tensor, "batch dim"]:
        """Return p_u and what was used, weighted."""
        share = self.weights(own, history, mask).unsqueeze(1)
        return own + (share @ _rows(self.implicit, history)).squeeze(1)

    def attended(
        self, users: Int[Tensor, " batch"]
    ) -> tuple[Int[Tensor, "batch hist"], Bool[Tensor, "batch hist"]]:
        """Return the items of users that are attended to."""
        return last_of_lists(self.start, self.used, users, self.config.max_history)

    def loss(self, batch: PairwiseBatch) -> Float[Tensor, ""]:
        """Return the BPR loss, Eq. (4), and L2; a positive is not attended to on its own behalf."""
        distinct, position = torch.unique(batch.user, return_inverse=True)
        own = take_rows(self.users, distinct)
        history, mask = self.attended(distinct)
        logits = take_rows(self.logits(own, history), position)
        history, mask = history[position], mask[position]
        share = _softmax(logits, mask & (history != batch.positive.unsqueeze(1)))
        others = (share.unsqueeze(1) @ _rows(self.implicit, history)).squeeze(1)
        users = take_rows(own, position) + others
        pairs = take_rows(self.items, batch.positive), take_rows(self.items, batch.negative)
        positive, negative = ((users * item).sum(1) for item in pairs)
        return bpr(positive, negative) + self.config.l2_weight * l2(users, *pairs)

    def plan(self) -> Plan:
        """Return interactions with a sampled negative each."""
        return Plan((Objective(PairwiseBatch, self.loss, name="bpr"),))

    def scorer(self) -> DotProduct:
        """Return inner products; a user unseen is what the history holds."""
        rows = torch.arange(len(self.users), device=self.users.device)
        parts = [
            self.represented(self.users[some], *self.attended(some))
            for some in torch.split(rows, _USERS_AT_ONCE)
        ]
        return DotProduct(torch.cat(parts), self.items.detach(), fold=self._fold())

    def _fold(self) -> Callable[[Tensor, Tensor], Tensor]:
        def fold(
            history: Int[Tensor, "batch hist"], mask: Bool[Tensor, "batch hist"]
        ) -> Float[Tensor, "batch dim"]:
            unknown = self.users.new_zeros(len(history), self.config.dim)
            return self.represented(unknown, history, mask)

        return fold

    def explanation_effects(self) -> AttentionEffects:
        """Return the parts of what was used, and scores of other histories."""
        most = self.config.max_history
        return AttentionEffects(self.users, self.items, self.implicit, self, most)


class ACFKG(ACF):
    """ACF whose attention reads the (relation, entity) pairs of what was used.

        score(u, i) = (p_u + sum over l in N(u) of alpha(u, l) y_l) . q_i                      (3)
        alpha(u, l) ~ exp(w . ReLU(W_u p_u + W_q q_l + W_y y_l + W_x x(u, l) + b))        (6), (7)
        x(u, l) = sum over the pairs m of l of beta(u, l, m) x_m                           (8)-(10)

    Facts of what was used shift attention; those of a candidate do not enter its score.

    Differs from the paper: as ``ACF``.

    Source: Chen et al., ACF, SIGIR 2017. https://doi.org/10.1145/3077136.3080797
    """

    scores_read_graph = True


def _rows(table: Float[Tensor, "nodes dim"], rows: Tensor) -> Tensor:
    """Return rows in any number of dimensions."""
    return take_rows(table, rows.flatten()).view(*rows.shape, table.shape[1])


def _softmax(logits: Float[Tensor, "... hist"], mask: Bool[Tensor, "... hist"]) -> Tensor:
    """Return shares of what the mask holds; 0 everywhere where it holds nothing."""
    return logits.masked_fill(~mask, torch.finfo(logits.dtype).min).softmax(-1) * mask
