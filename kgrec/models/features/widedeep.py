"""Wide & Deep Learning for Recommender Systems. Cheng et al., DLRS 2016.

https://arxiv.org/abs/1606.07792
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kgrec.batches import Query
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import Preset, Space, Span
from kgrec.models.features.base import FieldConfig, FieldModel, KnownFields, Name, PairScorer
from kgrec.nn.fields import Side, TwoSided
from kgrec.ops.lists import entries_of_lists, pairs_of_lists
from kgrec.ops.propagate import sparse_product
from kgrec.ops.ranking import chunk_rows
from kgrec.ops.rows import take_rows


@dataclass(frozen=True, slots=True)
class WideDeepConfig(FieldConfig):
    """Hyper-parameters of Wide & Deep.

    Attributes:
        dim: Size of the vectors of values; 32 in the paper.
        layers: Sizes of the layers of the deep part; 1024, 512, 256 in the paper.
        dropout: Probability of setting a value behind a layer to zero; 0 in the paper.
        buckets: Weights of crosses, which share them by a hash; 0 for a wide part without crosses.
    """

    dim: int = 16
    layers: tuple[int, ...] = (128, 64)
    dropout: float = 0.2
    buckets: int = 2**18

    def __post_init__(self) -> None:
        """Reject values out of range."""
        FieldConfig.__post_init__(self)
        if not self.layers or min(self.dim, *self.layers) < 1 or self.buckets < 0:
            raise ConfigError(
                "Wide & Deep needs dim and each of one or more layers of at least 1, and buckets "
                "of at least 0."
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError("Wide & Deep needs dropout in [0, 1).")


PRESETS = {
    "default": Preset(train={"learning_rate": 0.001, "epochs": 100}),
    "paper": Preset(
        {
            "dim": 32,
            "layers": (1024, 512, 256),
            "dropout": 0.0,
            "negatives": 1,
            "l2_weight": 0.0,
            "min_count": 1,
        },
        {"epochs": 10, "batch_size": 1024, "learning_rate": 0.05, "optimizer": "adagrad"},
    ),
    "fast": Preset(train={"learning_rate": 0.005, "epochs": 20, "patience": 3}),
}
SPACE: Space = {
    "dim": (8, 16, 32),
    "layers": ((64,), (128, 64), (256, 128, 64)),
    "dropout": Span(0.0, 0.5),
    "buckets": (0, 2**16, 2**18),
    "learning_rate": Span(2e-4, 1e-2, log=True),
    "l2_weight": Span(1e-6, 1e-1, log=True),
    "negatives": (1, 4, 8),
}
_FACTORS = 2_654_435_761, 805_459_861


class WideDeep(FieldModel):
    """Add a linear model with crosses, which memorizes, and a network over vectors, which
    generalizes.

        phi_k(x) = product of the x_i that cross k is of                                       (1)
        P(Y = 1 | x) = sigma(w_wide . [x, phi(x)] + w_deep . a_H + b)                          (3)
        a_0 = the fields' vectors,   a_(l+1) = ReLU(W_l a_l + b_l)                             (2)

    Crosses are of each value of the user (the id, attributes) with each of the item (the id, with
    ``knowledge`` its triples), but for the two ids: "this user, this director". Their weights are
    found by a hash. Fields as of FFM. Scores are log-odds.

    Differs from the paper: which crosses there are is given; one optimizer for both parts, Adam or
    for ``paper`` AdaGrad, in place of FTRL with L1 for the wide one; the L2 weight leaves crosses
    out; the paper gives no batch size, rate or epochs.

    Args:
        known: What fields hold.
        config: Hyper-parameters.
        generator: Draws the initial vectors; weights start at 0.

    Source: Cheng et al., Wide & Deep Learning for Recommender Systems, DLRS 2016.
    https://arxiv.org/abs/1606.07792
    """

    config: WideDeepConfig
    by_field: ClassVar[bool] = True

    def __init__(
        self, known: KnownFields, config: WideDeepConfig, generator: torch.Generator
    ) -> None:
        super().__init__(known, config, config.dim + 1, generator)
        users, items = ((len(side.names) + 1) * config.dim for side in (known.users, known.items))
        self.deep = TwoSided((users, items), config.layers, generator, config.dropout)
        self.crossed: Tensor | None = None
        if config.buckets and (known.users.names or known.items.names):
            self.crossed = nn.Parameter(torch.zeros(config.buckets, 1))

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: WideDeepConfig, generator: torch.Generator
    ) -> "WideDeep":
        """Take ids, user attributes and features of items, and with ``knowledge`` the triples."""
        return cls.built(data, config, generator)

    def parts(self, side: Side, name: Name) -> tuple[Tensor, Tensor]:
        """Return the weights, and what the side adds to the first layer."""
        first = self.deep.left if name == "users" else self.deep.right
        weights = side.total[..., -1].sum(1, keepdim=True)
        return weights, side.total[..., :-1].flatten(1) @ first

    def logits(
        self, left: Sequence[Float[Tensor, "... _"]], right: Sequence[Float[Tensor, "... _"]]
    ) -> Float[Tensor, "..."]:
        """Return the scores of pairs without crosses, Eqs. (2) and (3)."""
        deep: Tensor = self.deep(left[1], right[1])
        return (deep + left[0] + right[0] + self.bias).squeeze(-1)

    def crosses(
        self, user: Int[Tensor, " batch"], item: Int[Tensor, " batch"]
    ) -> Float[Tensor, " batch"] | None:
        """Return the weights of the crosses of pairs, Eq. (1), added up."""
        if self.crossed is None:
            return None

        pair, a, x = self.features("users", user)
        owner, b, y = self.features("items", item)
        left, right = pairs_of_lists(pair, owner, len(user))
        found = self.weights(a[left], b[right]) * x[left] * y[right]
        return found.new_zeros(len(user), 1).index_add(0, pair[left], found.unsqueeze(1))[:, 0]

    def features(self, name: Name, rows: Int[Tensor, " batch"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the values of users or items, ids among them (counted behind all values): whose
        each is as a position in ``rows``, ascending, the value, and its number.
        """
        at = torch.arange(len(rows), device=rows.device)
        first = rows + len(self.known.of(name).field)
        ones = torch.ones_like(rows, dtype=self.bias.dtype)
        entries = self.entries(name)
        if entries is None:
            return at, first, ones

        ptr, value, x = entries
        owner, place = entries_of_lists(ptr, rows)
        owner, order = torch.sort(torch.cat([owner, at]), stable=True)
        return owner, torch.cat([value[place], first])[order], torch.cat([x[place], ones])[order]

    def weights(self, a: Int[Tensor, "*_"], b: Int[Tensor, "*_"]) -> Float[Tensor, "*_"]:
        """Return the weight of the cross of each two values; 0 of two ids."""
        assert self.crossed is not None
        users, items = len(self.known.users.field), len(self.known.items.field)
        a, b = a + torch.zeros_like(b), b + torch.zeros_like(a)
        row = (a * _FACTORS[0] ^ b * _FACTORS[1]) % len(self.crossed)
        found = take_rows(self.crossed, row.flatten()).view(a.shape)
        return found.masked_fill((a >= users) & (b >= items), 0.0)

    def gated_crosses(
        self,
        pair: tuple[int, int],
        user: Float[Tensor, "batch _"],
        item: Float[Tensor, "batch _"],
    ) -> Float[Tensor, " batch"] | None:
        """Return the crosses of one pair of user and item by the numbers of their values."""
        if self.crossed is None:
            return None

        a, b = (
            self.features(name, torch.tensor([row], device=user.device))[1]
            for name, row in zip(("users", "items"), pair, strict=True)
        )
        ones = user.new_ones(len(user), 1)
        x, y = torch.cat([user, ones], 1), torch.cat([item, ones], 1)
        return (x @ self.weights(a.unsqueeze(1), b).detach() * y).sum(1)

    def crosses_with_all(self, users: Int[Tensor, " batch"]) -> Float[Tensor, "batch items"]:
        """Return the crosses of users with every item."""
        values, items = len(self.known.items.field), len(self.known.items.warm)
        owner, a, x = self.features("users", users)
        every = torch.arange(values + items, device=users.device)
        table = self.weights(a.unsqueeze(1), every) * x.unsqueeze(1)
        table = table.new_zeros(len(users), len(every)).index_add(0, owner, table)
        entries = self.entries("items")
        if entries is None:
            return table

        ptr, value, y = entries
        sums = sparse_product(ptr.int(), value.int(), y, table[:, :values].T.contiguous())
        return table[:, values:] + sums.T

    def scorer(self) -> "WideScorer":
        """Return what runs the network on pairs, and adds crosses."""
        return WideScorer(self)


class WideScorer(PairScorer):
    """Ranks by the network and by crosses.

    Args:
        model: The trained model.
    """

    def __init__(self, model: WideDeep) -> None:
        super().__init__(model)
        self._wide = model

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores of candidates, or of the catalog."""
        scores = super().__call__(query, items)
        if self._wide.crossed is None or not len(scores):
            return scores

        users = query.user.clamp(min=0)
        if items is not None:
            pairs = users.repeat_interleave(items.shape[1]), items.flatten()
            found = self._wide.crosses(*pairs)
            assert found is not None
            return scores + found.view(scores.shape)

        size = scores.shape[1] + len(self._wide.known.items.field)
        rows = torch.arange(len(users), device=users.device)
        for some in torch.split(rows, chunk_rows(size, users.device)):
            scores[some] += self._wide.crosses_with_all(users[some])
        return scores
