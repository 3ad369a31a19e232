"""A neural tensor layer between users and items, a relation a task: Reasoning With Neural Tensor
Networks for Knowledge Base Completion. Socher, Chen, Manning and Ng, NIPS 2013.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import Preset, Span
from kgrec.models.multitask.base import NUM_TASKS, TwoTaskConfig, TwoTasks
from kgrec.nn.neural_tensor import NeuralTensor


@dataclass(frozen=True, slots=True)
class NTNHeadConfig(TwoTaskConfig):
    """Hyper-parameters of the neural tensor head, beside those of ``TwoTaskConfig``.

    Attributes:
        slices: Bilinear forms k of each task; 4 in the paper.
    """

    slices: int = 4

    def __post_init__(self) -> None:
        """Reject values out of range."""
        TwoTaskConfig.__post_init__(self)
        if self.slices < 1:
            raise ConfigError("NTNHead needs slices of at least 1.")


_PUBLISHED = {"dim": 100, "l2_weight": 1e-4}
_BY_ERROR = {"metric": "rmse"}

PRESETS = {
    "default": Preset({"l2_weight": 0.01}, {"learning_rate": 0.002, "epochs": 100}),
    "paper": Preset(_PUBLISHED, {"learning_rate": 0.001, "epochs": 100, "patience": 0}),
    "fast": Preset({"l2_weight": 0.01}, {"learning_rate": 0.005, "epochs": 20, "patience": 3}),
}
RATING_PRESETS = {
    name: Preset(preset.config, {**preset.train, **_BY_ERROR}) for name, preset in PRESETS.items()
}

SPACE = {
    "dim": (16, 32, 64),
    "slices": (1, 2, 4, 8),
    "task_weight": Span(0.05, 2.0, log=True),
    "negatives": (1, 4, 16),
    "learning_rate": Span(2e-4, 1e-2, log=True),
    "l2_weight": Span(1e-4, 0.1, log=True),
}


class NTNHead(TwoTasks):
    """Relate users to items by a neural tensor layer, the tasks being its relations.

        y_t(u, i) = w_t . tanh(p_u^T W_t^[1:k] q_i + V_t (p_u || q_i) + b_t)                  (1)
        loss = cross-entropy of use + weight * loss of the second task

    The tasks are whether somebody uses an item, and the rating it gets or whether the use is of the
    event type that weighs most; they share the vectors alone. It ranks by the first.

    Differs from the paper: relations are tasks between users and items, learned by their labels
    where it has a margin between true and corrupted triples; Adam for L-BFGS; L2 on the vectors of
    the batch.

    Source: Socher et al., NTN, NIPS 2013, Eq. (1).
    """

    config: NTNHeadConfig

    def __init__(self, data: Dataset, config: NTNHeadConfig, generator: torch.Generator) -> None:
        super().__init__(data, config, generator)
        self.head = NeuralTensor(NUM_TASKS, config.dim, config.slices, generator)

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: NTNHeadConfig, generator: torch.Generator
    ) -> "NTNHead":
        """Take interactions, and the ratings or events that they have.

        Raises:
            DataError: If they have none.
        """
        return cls(data, config, generator)

    @property
    def values_per_pair(self) -> int:
        """How many values a pair needs in between."""
        return 2 * NUM_TASKS * self.config.slices

    def of_users(self, users: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dout"]:
        """Return what both tasks ask of an item, side by side."""
        tasks = torch.arange(NUM_TASKS, device=users.device).repeat_interleave(len(users))
        wanted = self.head.tail_query(users.repeat(NUM_TASKS, 1), tasks)
        return torch.cat(wanted.chunk(NUM_TASKS), 1)

    def of_items(self, items: Float[Tensor, "cand dim"]) -> Float[Tensor, "cand dout"]:
        """Return the vectors."""
        return items

    def outputs(
        self, users: Float[Tensor, "batch dout"], items: Float[Tensor, "... cand dim"]
    ) -> Float[Tensor, "batch cand 2"]:
        """Return both tasks' outputs, Eq. (1)."""
        wanted = users.chunk(NUM_TASKS, -1)
        return torch.stack([self.head.scores(one, items) for one in wanted], -1)


class NTNRating(NTNHead):
    """Predict ratings by a neural tensor layer that also says whether items are used.

        rating(u, i) = mean + spread * w . tanh(p_u^T W^[1:k] q_i + V (p_u || q_i) + b)       (1)
        loss = squared error of ratings by their spread * weight + cross-entropy of use

    Differs from the paper: as ``NTNHead``.

    Source: Socher et al., NTN, NIPS 2013, Eq. (1).
    """

    predicts_ratings = True
    ranks_by = 1
