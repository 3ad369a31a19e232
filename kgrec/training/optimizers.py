"""Optimizers and learning rates by the training settings."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn

from kgrec.errors import ConfigError, ModelError
from kgrec.models.base import Plan, Recommender
from kgrec.ops.optimizer import Optimizer, adam
from kgrec.training.config import TrainConfig


def optimizers_of(model: Recommender, plan: Plan, config: TrainConfig) -> list[Optimizer]:
    """Return an optimizer per round of an epoch: one for a joint plan, else one per objective.

    Raises:
        ModelError: If objectives that share an optimizer ask for learning rates of their own.
        ConfigError: If the plan brings its optimizer and the settings name one as well.
    """
    if plan.joint:
        if any(objective.rate != 1 for objective in plan.objectives):
            raise ModelError(
                f"{type(model).__name__}: the objectives of a joint plan share one optimizer, so "
                "none can have a rate of its own. Set joint=False, or weight instead of rate."
            )
        return [_make(plan, config, model.parameters(), 1.0)]

    return [
        _make(
            plan,
            config,
            model.parameters() if objective.parameters is None else objective.parameters,
            objective.rate,
        )
        for objective in plan.objectives
    ]


def _make(
    plan: Plan, config: TrainConfig, parameters: Iterable[nn.Parameter], rate: float
) -> Optimizer:
    learning_rate = config.learning_rate * rate
    if plan.optimizer is not None:
        if config.optimizer != "adam" or config.weight_decay:
            raise ConfigError(
                "the model brings its own optimizer: leave optimizer and weight_decay out."
            )
        return plan.optimizer(list(parameters), learning_rate)

    if config.optimizer == "adam":
        return adam(parameters, learning_rate, config.weight_decay)

    kinds: dict[str, Callable[..., Optimizer]] = {
        "adamw": torch.optim.AdamW,
        "sgd": partial(torch.optim.SGD, momentum=config.momentum),
        "adagrad": torch.optim.Adagrad,
    }

    return kinds[config.optimizer](
        list(parameters), lr=learning_rate, weight_decay=config.weight_decay
    )


def schedule_of(
    config: TrainConfig, optimizer: Optimizer, steps: int
) -> Callable[[int, int], None] | None:
    """Return what sets the learning rates before a step, by epoch (from 1) and step (from 1); None
    where they are constant.

    A rate is a function of the step's number alone, so that a resumed training needs no state.
    """
    if config.schedule == "constant" and not config.warmup_epochs:
        return None

    rates = [float(group["lr"]) for group in optimizer.param_groups]

    def apply(epoch: int, step: int) -> None:
        factor = rate_factor(config, (epoch - 1) * steps + step, steps)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor

    return apply


def rate_factor(config: TrainConfig, step: int, steps: int) -> float:
    """Return what the learning rate is multiplied by at a step of the whole training.

    The warm-up rises evenly to 1 at its last step. Then, p being the share that is over of what
    follows it: "linear" 1 - p, "cosine" (1 + cos(pi p)) / 2 (Loshchilov and Hutter, ICLR 2017,
    Eq. (5), one cycle), "step" ``decay`` to the power of how often ``decay_every`` epochs are over.

    Args:
        config: Training settings.
        step: Number of the step, from 1.
        steps: Steps in an epoch.
    """
    warm = round(config.warmup_epochs * steps)
    if step <= warm:
        return step / warm

    done = step - 1 - warm
    epochs = config.schedule_epochs or config.epochs
    share = done / max(epochs * steps - warm, 1)
    if config.schedule == "linear":
        return 1 - share
    if config.schedule == "cosine":
        return (1 + math.cos(math.pi * share)) / 2
    if config.schedule == "step":
        return float(config.decay ** (done // (config.decay_every * steps)))

    return 1.0


def clip(optimizer: Optimizer, most: float) -> None:
    """Scale the gradients of an optimizer's parameters so that their norm is at most ``most``."""
    parameters: list[Any] = [p for group in optimizer.param_groups for p in group["params"]]
    nn.utils.clip_grad_norm_(parameters, most)
