"""Training settings: how long, how fast, when to stop. What a model is lies in its own
configuration.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from kgrec.errors import ConfigError

Sampler = Literal["interaction", "user_uniform", "user_uniform_replace", "per_user_quota"]
Selection = Literal["valid", "paper"]
Optimizer = Literal["adam", "adamw", "sgd", "adagrad"]
Schedule = Literal["constant", "linear", "cosine", "step"]
Parallel = Literal["auto", "columns", "rows", "data", "none"]

PUBLISHED = ("paper", "official")
"""Presets that train for fixed epochs, on everything but the test part, as long as nothing is said about stopping."""

TEST_SELECTED = "test-selected"
"""What a run is called whose epoch was chosen by the part it is evaluated on, wherever its figures stand."""

LOWER_IS_BETTER = ("rmse", "mae", "user_rmse", "user_mae", "logloss", "user_logloss")
"""Metrics that are errors: validation keeps the epoch where they are least."""

PAPER_SELECTION = {"validate_every": 10, "patience": 10, "metric": "recall@20"}
"""How the authors of KGAT and KGIN end training: by the test part, every ten epochs, after ten evaluations without improvement."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How a model is trained.

    Attributes:
        epochs: Most epochs; one epoch passes over every training interaction once.
        batch_size: Interactions per step.
        kg_batch_size: Triples per step; 0 takes as many as make the triples last as many steps as
            the interactions, or what the model's published code takes.
        kg_steps: Steps on triples in an epoch: fewer than they last see a random part of them, more
            begin again with them, shuffled again; 0 takes them once, or as many steps as the
            model's published code does.
        learning_rate: Learning rate, where a schedule starts.
        optimizer: "adam", "adamw", "sgd" or "adagrad".
        weight_decay: Decay of all parameters, by AdamW apart from the gradients, by the others
            added to them.
        momentum: Momentum of "sgd".
        clip_norm: Greatest norm of a step's gradients, 0 for none.
        schedule: How the learning rate falls: "constant", "linear" to 0 or "cosine" to 0 over
            ``schedule_epochs``, "step" by ``decay`` every ``decay_every`` epochs.
        schedule_epochs: Epochs until "linear" and "cosine" are at 0, at least ``epochs``; 0 takes
            ``epochs``.
        warmup_epochs: Epochs, or a part of one, in which the learning rate rises evenly from 0.
        decay: Factor of "step".
        decay_every: Epochs between two steps of "step".
        sampler: "interaction" shuffles all interactions; the others draw users, then one
            interaction of each: "user_uniform" distinct users in a batch, as the authors' code of
            KGAT; "user_uniform_replace" users with replacement and "per_user_quota" each user
            equally often, as the two samplers of LightGCN's authors.
        drop_last: Whether an epoch's last batch is left out where it is short, as the authors' code
            of KGIN does.
        patience: Validations without improvement before training stops; 0 never stops early.
        validate_every: Epochs between validations.
        metric: What validation measures, ``name@k``; "auc" of pairs; "rmse" or "mae" of ratings;
            of triples ``mrr`` or ``hits@k``, which is
            what is measured where there are no interactions.
        selection: What chooses the epoch that is kept: "valid", the validation part; "paper", the
            test part, as the authors of KGAT and KGIN do (docs/metrics.md, section 4), with
            ``PAPER_SELECTION`` where nothing else is set. Figures of such a run are called
            ``TEST_SELECTED``: they compare with published ones alone. Said of a published preset,
            "valid" sets ``PAPER_SELECTION`` too and holds the validation part out: the same rule,
            played fair.
        parallel: How the processes that ``torchrun`` starts share one training: "columns" has each
            hold some columns of every table; "data" has each read a part of every batch; "auto"
            takes columns where the model can and it pays (``kgrec doctor --world``), else the first
            process trains alone; "none" always does. One process ignores it.
    """

    epochs: int = 200
    batch_size: int = 2048
    kg_batch_size: int = 0
    kg_steps: int = 0
    learning_rate: float = 1e-3
    optimizer: Optimizer = "adam"
    weight_decay: float = 0.0
    momentum: float = 0.0
    clip_norm: float = 0.0
    schedule: Schedule = "constant"
    schedule_epochs: int = 0
    warmup_epochs: float = 0.0
    decay: float = 0.1
    decay_every: int = 10
    sampler: Sampler = "interaction"
    drop_last: bool = False
    patience: int = 10
    validate_every: int = 1
    metric: str = "ndcg@10"
    selection: Selection = "valid"
    parallel: Parallel = "auto"

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.epochs < 1 or self.batch_size < 1 or self.validate_every < 1:
            raise ConfigError("training needs epochs, batch_size and validate_every of at least 1.")
        if self.kg_batch_size < 0 or self.kg_steps < 0 or self.patience < 0:
            raise ConfigError("training needs kg_batch_size, kg_steps and patience of at least 0.")
        if not 0 < self.learning_rate <= 10:
            raise ConfigError(f"learning_rate {self.learning_rate} is outside (0, 10].")

        self._check_rates()
        for name, kind in (
            ("optimizer", Optimizer),
            ("schedule", Schedule),
            ("sampler", Sampler),
            ("selection", Selection),
            ("parallel", Parallel),
        ):
            if (value := getattr(self, name)) not in get_args(kind):
                raise ConfigError(f"unknown {name} {value!r}. Known: {', '.join(get_args(kind))}.")

    def _check_rates(self) -> None:
        if not self.weight_decay >= 0 or not 0 <= self.momentum < 1 or not self.clip_norm >= 0:
            raise ConfigError(
                "training needs weight_decay and clip_norm of at least 0, momentum in [0, 1)."
            )
        if self.momentum and self.optimizer != "sgd":
            raise ConfigError('momentum is a setting of optimizer "sgd". Leave it out.')
        if self.schedule_epochs and self.schedule_epochs < self.epochs:
            raise ConfigError(
                f"schedule_epochs {self.schedule_epochs} is less than the {self.epochs} epochs."
            )

        most = self.schedule_epochs or self.epochs
        if not 0 <= self.warmup_epochs <= most:
            raise ConfigError(f"warmup_epochs {self.warmup_epochs} is outside [0, {most}].")
        if not 0 < self.decay <= 1 or self.decay_every < 1:
            raise ConfigError("training needs decay in (0, 1] and decay_every of at least 1.")

    @property
    def sign(self) -> int:
        """-1 where less of the metric is better, else 1."""
        return -1 if self.metric in LOWER_IS_BETTER else 1

    @property
    def test_selected(self) -> bool:
        """Whether the epoch is chosen by the test part."""
        return self.selection == "paper"
