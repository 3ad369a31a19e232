"""MMoE: Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts. Ma et
al., KDD 2018. With one expert: the shared bottom, Caruana, Machine Learning 1997.

https://doi.org/10.1145/3219819.3220007
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import Preset, Span
from kgrec.models.multitask.base import NUM_TASKS, TwoTaskConfig, TwoTasks
from kgrec.nn.dense import dense
from kgrec.nn.init import glorot_uniform


@dataclass(frozen=True, slots=True)
class MMoEConfig(TwoTaskConfig):
    """Hyper-parameters of MMoE, beside those of ``TwoTaskConfig``.

    Attributes:
        num_experts: Experts n; 8 in the paper, 1 for the shared bottom.
        expert_dim: Size of an expert's layer; 16 in the paper.
        tower_dim: Size of the hidden layer of each task's tower; 8 in the paper.
    """

    num_experts: int = 8
    expert_dim: int = 32
    tower_dim: int = 16

    def __post_init__(self) -> None:
        """Reject values out of range."""
        TwoTaskConfig.__post_init__(self)
        if min(self.num_experts, self.expert_dim, self.tower_dim) < 1:
            raise ConfigError("MMoE needs num_experts, expert_dim and tower_dim of at least 1.")


_TRAINING = {"learning_rate": 0.002, "epochs": 100}
_PUBLISHED = {"learning_rate": 0.001, "epochs": 50, "patience": 0}

PRESETS = {
    "default": Preset(train=_TRAINING),
    "paper": Preset({"expert_dim": 16, "tower_dim": 8}, _PUBLISHED),
    "fast": Preset(train={"learning_rate": 0.005, "epochs": 20, "patience": 3}),
}
BOTTOM_PRESETS = {
    "default": Preset({"expert_dim": 128}, _TRAINING),
    "paper": Preset({"expert_dim": 128, "tower_dim": 8}, _PUBLISHED),
    "fast": Preset({"expert_dim": 128}, {"learning_rate": 0.005, "epochs": 20, "patience": 3}),
}

SPACE = {
    "dim": (16, 32, 64),
    "num_experts": (2, 4, 8),
    "expert_dim": (16, 32, 64),
    "task_weight": Span(0.05, 2.0, log=True),
    "negatives": (1, 4, 16),
    "learning_rate": Span(2e-4, 1e-2, log=True),
    "l2_weight": Span(1e-7, 1e-2, log=True),
}
BOTTOM_SPACE = {**{name: SPACE[name] for name in SPACE if name != "num_experts"}}


class MMoE(TwoTasks):
    """Mix experts that all tasks share, each task by a gate of its own.

        x = p_u || q_i,   f_j(x) = ReLU(W_j x + b_j), j = 1 .. n
        g^t(x) = softmax(W_g^t x),   f^t(x) = sum over j of g^t_j(x) f_j(x)               (6), (7)
        y_t = tower_t(f^t(x)), a layer of ReLU and a number                                   (5)
        loss = cross-entropy of use + weight * loss of the second task

    The tasks are whether somebody uses an item, and the rating it gets or whether the use is of the
    event type that weighs most. It ranks by the first. One expert is the shared bottom, Eq. (1).

    Differs from the paper: the input is a vector of the user and one of the item, where it has the
    features of a query and a candidate; ratings are learned by squared error in units of their
    spread, from what was rated alone.

    Source: Ma et al., MMoE, KDD 2018. https://doi.org/10.1145/3219819.3220007
    """

    config: MMoEConfig

    def __init__(self, data: Dataset, config: MMoEConfig, generator: torch.Generator) -> None:
        super().__init__(data, config, generator)
        self.widths = [config.num_experts * config.expert_dim]
        if config.num_experts > 1:
            self.widths += [NUM_TASKS * config.num_experts]

        def drawn(width: int) -> Tensor:
            each = [
                glorot_uniform(2 * config.dim, size, generator=generator)
                for size in [width // config.num_experts] * config.num_experts
            ]
            return torch.cat(each, 1)

        first = torch.cat([drawn(width) for width in self.widths], 1)  # W_j, then W_g
        self.first = nn.Parameter(first)
        self.bias = nn.Parameter(torch.zeros(self.widths[0]))
        sizes = (config.expert_dim, config.tower_dim, 1)
        towers = [dense(sizes, generator, last=nn.Identity()) for _ in range(NUM_TASKS)]
        self.towers = nn.ModuleList(towers)

    @classmethod
    def from_dataset(cls, data: Dataset, config: MMoEConfig, generator: torch.Generator) -> "MMoE":
        """Take interactions, and the ratings or events that they have.

        Raises:
            DataError: If they have none.
        """
        return cls(data, config, generator)

    @property
    def values_per_pair(self) -> int:
        """How many values a pair needs in between."""
        return sum(self.widths) + NUM_TASKS * self.config.expert_dim

    def of_users(self, users: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dout"]:
        """Return the user's share of what experts and gates take in."""
        return users @ self.first[: self.config.dim]

    def of_items(self, items: Float[Tensor, "cand dim"]) -> Float[Tensor, "cand dout"]:
        """Return the item's share of what experts and gates take in."""
        shared = items @ self.first[self.config.dim :]
        gates = self.bias.new_zeros(shared.shape[1] - len(self.bias))
        return shared + torch.cat([self.bias, gates])

    def outputs(
        self, users: Float[Tensor, "batch dout"], items: Float[Tensor, "... cand dout"]
    ) -> Float[Tensor, "batch cand 2"]:
        """Return both tasks' outputs, Eqs. (5) to (7)."""
        count = self.config.num_experts
        both = users.unsqueeze(1) + items
        experts = relu(both[..., : self.widths[0]]).reshape(*both.shape[:-1], count, -1)
        if count == 1:
            mixed = experts
        else:
            gates = (
                both[..., self.widths[0] :].reshape(*both.shape[:-1], NUM_TASKS, count).softmax(-1)
            )
            mixed = gates @ experts  # (..., tasks, expert_dim)

        found = [tower(mixed[..., min(t, count - 1), :]) for t, tower in enumerate(self.towers)]
        return torch.cat(found, -1)
