"""NTN: Reasoning With Neural Tensor Networks for Knowledge Base Completion. Socher, Chen, Manning
and Ng, NIPS 2013.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kgrec.batches import CorruptedBatch, Query
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.base import Preset, Scorer, Space, Span
from kgrec.models.triples.base import TripleConfig, TripleModel
from kgrec.nn.block_scorer import fill_in_blocks
from kgrec.nn.init import normal
from kgrec.nn.kge import TripleTables
from kgrec.nn.losses import half_squares, margin_hinge, power
from kgrec.nn.neural_tensor import NeuralTensor
from kgrec.ops.rows import take_rows

_INTERACTS = 0


@dataclass(frozen=True, slots=True)
class NTNConfig(TripleConfig):
    """Hyper-parameters of NTN, beside those of ``TripleConfig``.

    Attributes:
        slices: Bilinear forms k of a relation; 4 in the paper.
        margin: Margin of the hinge; 1 in the paper.
        penalty_weight: Weight of the squared vectors of a batch, and of all squared parameters of
            the layers halved; 1e-4 in the paper.
        init_scale: Standard deviation of the vectors at first.
    """

    dim: int = 32
    slices: int = 4
    margin: float = 1.0
    penalty_weight: float = 1e-4
    init_scale: float = 0.1

    def __post_init__(self) -> None:
        """Reject values out of range."""
        TripleConfig.__post_init__(self)
        if self.slices < 1 or min(self.margin, self.init_scale) <= 0 or self.penalty_weight < 0:
            raise ConfigError(
                "NTN needs slices >= 1, margin > 0, init_scale > 0 and penalty_weight >= 0."
            )


PRESETS = {
    "default": Preset(train={"learning_rate": 0.005, "batch_size": 512, "patience": 20}),
    "paper": Preset(
        config={"dim": 100, "negatives": 10, "corruption": "uniform"},
        train={"epochs": 500, "patience": 0, "learning_rate": 0.001},
    ),
}
SPACE: Space = {
    "dim": (16, 32, 64),
    "slices": (1, 2, 4),
    "margin": Span(0.5, 4.0, log=True),
    "negatives": (1, 4, 16),
    "learning_rate": Span(1e-3, 2e-2, log=True),
    "penalty_weight": Span(1e-6, 1e-2, log=True),
}


class NTNTables(TripleTables):
    """Vectors of nodes, and a neural tensor layer between them.

    Args:
        num_nodes: Nodes.
        num_relations: Relations.
        config: Sizes.
        generator: Draws the starts.
    """

    function = ""

    def __init__(
        self, num_nodes: int, num_relations: int, config: NTNConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        scale = config.init_scale
        self.nodes = nn.Parameter(normal(num_nodes, config.dim, scale=scale, generator=generator))
        self.layer = NeuralTensor(num_relations, config.dim, config.slices, generator)

    @property
    def relations(self) -> nn.Parameter:  # type: ignore[override]
        """The bilinear forms, one row per relation."""
        return self.layer.bilinear

    def tail_query(
        self, head: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return the score as a function of the tail: its matrix, its shift and its weights."""
        return self.layer.tail_query(take_rows(self.nodes, head), relation)

    def head_query(
        self, relation: Int[Tensor, " batch"], tail: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return the score as a function of the head."""
        return self.layer.head_query(relation, take_rows(self.nodes, tail))

    def candidates(
        self, node: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dim"]:
        """Return the vectors as they are."""
        return take_rows(self.nodes, node)

    def likeness(
        self, query: Float[Tensor, "batch dout"], candidates: Float[Tensor, "batch cand dim"]
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores, Eq. (1)."""
        return self.layer.scores(query, candidates)

    def table(
        self, query: Float[Tensor, "batch dout"], candidates: Float[Tensor, "cand dim"]
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores with the same candidates, Eq. (1)."""
        return self.layer.scores(query, candidates)

    def against(
        self, query: Float[Tensor, "batch dout"], relation: Int[Tensor, " batch"], count: int
    ) -> Float[Tensor, "batch entities"]:
        """Return the scores with the first ``count`` nodes."""
        return self.table(query, self.nodes[:count])

    def constrain(self) -> None:
        """Do nothing: the paper has no constraint."""


class NTN(TripleModel):
    """A neural tensor layer says how well the ends of each relation fit.

        score(h, r, t) = u_r . tanh(h^T W_r^[1:k] t + V_r (h || t) + b_r)                     (1)
        loss = mean max(0, margin - score(true) + score(corrupted)) + weight * squares        (2)

    Recommends the items that fit the user best by ``interacts``. Slices cost a relation k d^2
    numbers: on a graph of many relations keep ``dim`` low.

    Differs from the paper: entities have vectors of their own, where it has the mean of the vectors
    of the words in their names; heads are corrupted as tails are; Adam for L-BFGS; known triples
    are never drawn as corrupted ones.

    Source: Socher et al., NTN, NIPS 2013.
    """

    folds_in = False

    config: NTNConfig
    tables: NTNTables

    def make_tables(
        self, num_nodes: int, num_relations: int, generator: torch.Generator
    ) -> NTNTables:
        """Return normal vectors and layers."""
        return NTNTables(num_nodes, num_relations, self.config, generator)

    def scorer(self) -> Scorer:
        """Return what runs the layer, or the likeness of items to the history where users are no
        nodes.
        """
        if self.with_users:
            return FittingTails(self.tables, self.ckg)
        return super().scorer()

    def loss(self, batch: CorruptedBatch) -> Float[Tensor, ""]:
        """Return the margin ranking loss with its penalty, Eq. (2)."""
        fit = margin_hinge(*self.scores(batch), self.config.margin)
        nodes = self.tables.nodes
        squares = power(take_rows(nodes, batch.head), take_rows(nodes, batch.tail), exponent=2)
        return fit + self.config.penalty_weight * (
            squares + half_squares(self.tables.layer.parameters())
        )


class FittingTails:
    """Ranks items by how well they fit users as tails of ``interacts``.

    Args:
        tables: The trained vectors and layers.
        ckg: The graph.
    """

    def __init__(self, tables: NTNTables, ckg: CollaborativeKG) -> None:
        users = torch.arange(ckg.num_entities, ckg.num_nodes, device=tables.nodes.device)
        self._wanted = tables.tail_query(users, torch.full_like(users, _INTERACTS))
        self._items = tables.nodes[: ckg.num_items]
        self._layer = tables.layer

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores of candidates, or of the whole catalog."""
        wanted = self._wanted[query.user.clamp(min=0)]
        if items is not None:
            return self._layer.scores(wanted, self._items[items])

        def block(rows: slice, columns: slice) -> Tensor:
            return self._layer.scores(wanted[rows], self._items[columns])

        scores = self._items.new_empty(len(wanted), len(self._items))
        return fill_in_blocks(scores, block, 2 * self._layer.slices)
