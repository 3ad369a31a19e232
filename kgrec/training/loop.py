"""The training loop: walks a model's plan. It knows no model.

How an epoch goes, each step and who does it:

    train        state -> epochs, until the last one or until validation stops getting better
      _epoch     begin_epoch; then one round after another; then after_epoch
        Round    the objectives that share an optimizer: all where the plan is joint, else one
          Round.batches    a batch of each objective; the first one says how many steps there are
            TrainingStep   zero_grad, losses, backward, clip, optimizer.step; then after_step
      plan.compare  measures what is tried side by side, where something validates
      _evaluate     validates where it is due, and keeps the best parameters
    plan.settle: after the last epoch, chooses on validation what the model leaves to it.
    Around an epoch: torch's global random stream, seeded by the epoch, is lent to the model.
    Before the first epoch: _warm_up. Instead of epochs, where the plan has a closed form: plan.fit.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import torch
from torch import Tensor, nn

from kgrec.data.records.dataset import Dataset
from kgrec.errors import CheckpointError, DivergedError
from kgrec.log import progress
from kgrec.models.base import Batches, Objective, Plan, Recommender, Scorer, Validate
from kgrec.ops.memory import keep_freed_memory
from kgrec.ops.optimizer import Optimizer
from kgrec.random import derive
from kgrec.training.capture import Capture
from kgrec.training.checkpoint import TrainState as TrainState
from kgrec.training.config import TrainConfig
from kgrec.training.micro_batches import Pieces
from kgrec.training.optimizers import optimizers_of, schedule_of
from kgrec.training.parallel.columns import Apart
from kgrec.training.samplers import make_sampler
from kgrec.training.step import TrainingStep, free_names
from kgrec.training.stopping import Stopping
from kgrec.training.streams import global_stream


def train(
    model: Recommender,
    data: Dataset,
    config: TrainConfig,
    *,
    seed: int,
    device: torch.device,
    validate: Callable[[Scorer], float] | None = None,
    state: TrainState | None = None,
    on_epoch: Callable[[TrainState], None] | None = None,
    title: str = "training",
    plan: Plan | None = None,
    apart: Apart | None = None,
) -> TrainState:
    """Train a model by its plan, and leave it with its best parameters.

    Args:
        model: The model, on ``device``.
        data: Where batches are drawn from: the training part only.
        config: Training settings.
        seed: Seed of every draw.
        device: Where batches are made.
        validate: Returns the number to maximize for a scorer; None trains all epochs and keeps the
            last parameters.
        state: Where to go on from; None starts again.
        on_epoch: Called with the state after each epoch.
        title: Name for the progress bar.
        plan: What to train by, of the model's parameters; None takes the model's own plan.
        apart: The model's tables, where several processes train them by columns; each of them
            calls this, and the model is whole again at the end. ``state`` is then of whole tables,
            and what ``on_epoch`` gets of this process's columns: ``TrainState.whole`` joins them.

    Returns:
        The state after the last epoch.

    Raises:
        DivergedError: If a loss is infinite or not a number.
    """
    keep_freed_memory()
    plan = plan or model.plan()
    given = state
    state = given or TrainState(0, {}, [], snapshot(model), Stopping(config.patience))

    if plan.fit is not None:
        with global_stream(seed, "torch", 1, device=device):
            return _closed_form(model, plan, state, config, validate, title)

    optimizers = optimizers_of(model, plan, config)
    samplers = samplers_of(plan, data, config, seed, device)
    rounds = _rounds(plan, config, samplers, optimizers, device, apart)
    if apart is not None:
        state = apart.taken(state, optimizers, whole=given is not None)

    if state.epoch:
        _go_on(model, optimizers, state)
    else:
        _warm_up(model, plan, data, config, seed, device, title, apart)

    with progress(title, config.epochs, epochs=True) as bar:
        while state.epoch < config.epochs and not state.stopping.stop:
            began = time.perf_counter()
            record = {
                "epoch": state.epoch + 1,
                **_epoch(model, plan, rounds, state.epoch + 1, seed, device),
            }
            record["seconds"] = time.perf_counter() - began
            if plan.compare is not None and validate is not None:
                model.eval()
                plan.compare(state.epoch + 1, _higher_is_better(config, validate))

            _evaluate(model, state, record, config, validate, apart)
            state.model = snapshot(model)
            state.optimizers = [optimizer.state_dict() for optimizer in optimizers]
            bar.update(state.epoch, _line(record), record)
            if on_epoch is not None:
                on_epoch(state)

    model.load_state_dict(state.best)
    if apart is not None:
        state = apart.whole(state)
        apart.whole_again()

    _settle(model, plan, state, config, validate)
    return state


def _settle(
    model: Recommender,
    plan: Plan,
    state: TrainState,
    config: TrainConfig,
    validate: Callable[[Scorer], float] | None,
) -> None:
    """Let the model choose what it leaves to validation, and keep that."""
    if plan.settle is not None:
        model.eval()
        measure = None if validate is None else _higher_is_better(config, validate)
        with torch.no_grad():
            plan.settle(measure)

        state.best = snapshot(model)


def _higher_is_better(config: TrainConfig, validate: Callable[[Scorer], float]) -> Validate:
    def measure(scorer: Scorer) -> float:
        with torch.inference_mode():
            return config.sign * validate(scorer)

    return measure


def _go_on(model: Recommender, optimizers: list[Optimizer], state: TrainState) -> None:
    """Bring a model and its optimizers to a state; what Adam is told (its learning rate, say) comes
    from the settings.

    Raises:
        CheckpointError: If the state is of another model.
    """
    try:
        model.load_state_dict(state.model)
        for optimizer, stored in zip(optimizers, state.optimizers, strict=True):
            own = optimizer.state_dict()["param_groups"]
            sizes = [tuple(p.shape) for group in optimizer.param_groups for p in group["params"]]

            for number, slots in stored["state"].items():
                if any(
                    value.ndim and tuple(value.shape) != sizes[number] for value in slots.values()
                ):
                    raise ValueError(f"moments of parameter {number}")

            optimizer.load_state_dict({"state": stored["state"], "param_groups": own})
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the training state does not fit the model ({str(error)[:80]}). Train again."
        ) from None


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a model's parameters and buffers."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _closed_form(
    model: Recommender,
    plan: Plan,
    state: TrainState,
    config: TrainConfig,
    validate: Callable[[Scorer], float] | None,
    title: str,
) -> TrainState:
    assert plan.fit is not None
    began = time.perf_counter()
    with progress(title, 1, epochs=True) as bar:
        plan.fit()
        _settle(model, plan, state, config, validate)
        record = {"epoch": 1, "seconds": time.perf_counter() - began}
        _evaluate(model, state, record, config, validate)
        bar.update(1, _line(record), record)

    state.model = state.best
    return state


def _warm_up(
    model: Recommender,
    plan: Plan,
    data: Dataset,
    config: TrainConfig,
    seed: int,
    device: torch.device,
    title: str,
    apart: Apart | None = None,
) -> None:
    """Train what comes before the first epoch. No checkpoint is written in it: a run killed here
    does it again, from the same draws.
    """
    if plan.warm_up is None:
        return

    objective, epochs = plan.warm_up
    alone = Plan((objective,), optimizer=plan.optimizer)
    config = replace(config, schedule="constant", warmup_epochs=0.0)
    own = derive(seed, "warm up")
    rounds = _rounds(
        alone,
        config,
        samplers_of(alone, data, config, own, device),
        optimizers_of(model, alone, config),
        device,
        apart,
    )

    with progress(f"{title} warming up", epochs, epochs=True) as bar:
        for epoch in range(1, epochs + 1):
            began = time.perf_counter()
            record = {"epoch": epoch, **_epoch(model, alone, rounds, epoch, own, device)}
            record["seconds"] = time.perf_counter() - began
            bar.update(epoch, _line(record), record)


def samplers_of(
    plan: Plan, data: Dataset, config: TrainConfig, seed: int, device: torch.device
) -> list[Batches]:
    """Return what gives the batches of each objective of a plan, in order."""
    samplers: list[Batches] = []
    for objective in plan.objectives:
        if samplers:
            steps = samplers[0].steps()
        else:
            steps = 0
        samplers.append(
            make_sampler(objective, data, config, seed=seed, device=device, steps=steps)
        )

    return samplers


@dataclass(frozen=True, slots=True)
class Round:
    """Objectives that are trained in the same steps.

    Attributes:
        objectives: The losses, added up.
        feeds: Where the batches of each come from; the first one says how many steps there are.
        step: Trains on one batch of each and returns the losses, in the order of ``names``.
        trains: What ``step`` calls, itself or recorded: it knows the names of the losses.
        schedule: Sets the learning rates before a step, by epoch and step from 1; None leaves them.
    """

    objectives: Sequence[Objective[Any]]
    feeds: Sequence[Batches]
    step: Callable[[Sequence[Any]], Tensor]
    trains: TrainingStep
    schedule: Callable[[int, int], None] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the losses; empty before the first step."""
        return self.trains.names

    def batches(self, epoch: int) -> Iterator[Sequence[Any]]:
        """Yield what the steps of an epoch are trained on."""
        first, *others = self.feeds
        yield from zip(
            first.epoch(epoch), *(cycle(feed.epoch(epoch)) for feed in others), strict=False
        )


def rounds_of(
    model: Recommender, data: Dataset, config: TrainConfig, *, seed: int, device: torch.device
) -> list[Round]:
    """Return the rounds of an epoch of a model that is trained by gradients, with optimizers of
    their own.
    """
    plan = model.plan()
    return _rounds(
        plan,
        config,
        samplers_of(plan, data, config, seed, device),
        optimizers_of(model, plan, config),
        device,
    )


def _rounds(
    plan: Plan,
    config: TrainConfig,
    samplers: list[Batches],
    optimizers: list[Optimizer],
    device: torch.device,
    apart: Apart | None = None,
) -> list[Round]:
    pieces = Pieces()
    every = [((o,), [s]) for o, s in zip(plan.objectives, samplers, strict=True)]
    rounds: list[Round] = []

    for (objectives, feeds), optimizer in zip(
        [(plan.objectives, samplers)] if plan.joint else every, optimizers, strict=True
    ):
        trains = TrainingStep(objectives, optimizer, plan, pieces, config.clip_norm, apart)
        schedule = schedule_of(config, optimizer, feeds[0].steps())
        step: Callable[[Sequence[Any]], Tensor] = trains

        if (
            device.type == "cuda"
            and apart is None
            and schedule is None  # a recorded step would keep the learning rate of its recording
            and plan.after_step is None
            and plan.optimizer is None
            and all(objective.capturable for objective in objectives)
        ):
            step = Capture(trains)

        rounds.append(Round(objectives, feeds, step, trains, schedule))

    return rounds


def _epoch(
    model: Recommender,
    plan: Plan,
    rounds: Sequence[Round],
    epoch: int,
    seed: int,
    device: torch.device,
) -> dict[str, Any]:
    """Train one epoch; return the mean of each loss by its name."""
    model.train()
    losses: dict[str, Any] = {}

    with global_stream(seed, "torch", epoch, device=device):
        if plan.begin_epoch is not None:
            plan.begin_epoch(epoch, seed)

        for each in rounds:
            means = _means(each, epoch)
            losses |= zip(free_names(losses, means), means.values(), strict=True)

        if plan.after_epoch is not None:
            plan.after_epoch()

    return losses


def _means(each: Round, epoch: int) -> dict[str, float]:
    """Train a round's steps; return the mean of each loss by its name."""
    values = _losses(each, epoch)  # (steps, losses)
    bad = torch.nonzero(~torch.isfinite(values))
    if len(bad):
        step, column = bad[0].tolist()
        raise DivergedError(
            f"the loss {each.names[column]} is not a finite number at epoch {epoch}, step "
            f"{step + 1}. Lower learning_rate, or raise l2 weights."
        )

    return dict(zip(each.names, values.mean(0).tolist(), strict=True))


def _losses(each: Round, epoch: int) -> Tensor:
    """Train a round's steps; return their losses.

    They go into one table: a small tensor kept from every step would lie between the large blocks
    that steps free, and memory would grow by megabytes a step.
    """
    table: Tensor | None = None
    count = 0

    for count, batches in enumerate(each.batches(epoch), 1):
        if each.schedule is not None:
            each.schedule(epoch, count)

        losses = each.step(batches)
        if table is None:
            table = losses.new_empty(each.feeds[0].steps(), len(losses))

        table[count - 1] = losses

    if table is None:
        return torch.empty(0, len(each.names))

    return table[:count]


def _evaluate(
    model: Recommender,
    state: TrainState,
    record: dict[str, Any],
    config: TrainConfig,
    validate: Callable[[Scorer], float] | None,
    apart: Apart | None = None,
) -> None:
    """Validate where it is due, and keep the best parameters."""
    state.epoch = int(record["epoch"])
    state.history.append(record)

    if validate is None:
        state.best = snapshot(model)
        return

    if state.epoch % config.validate_every and state.epoch != config.epochs:
        return

    model.eval()
    began = time.perf_counter()
    if apart is None:
        value = _validated(model, validate)
    else:
        value = apart.validated(lambda: _validated(model, validate))

    record[config.metric] = value
    record["validation_seconds"] = time.perf_counter() - began
    if state.stopping.update(config.sign * value, state.epoch):
        state.best = snapshot(model)


def _validated(model: Recommender, validate: Callable[[Scorer], float]) -> float:
    with torch.inference_mode():
        return validate(model.scorer())


def _line(record: dict[str, Any]) -> str:
    parts = [
        f"{name} {value:.4f}"
        for name, value in record.items()
        if isinstance(value, float) and not name.endswith("seconds")
    ]
    return ", ".join([*parts, f"{record['seconds'] + record.get('validation_seconds', 0.0):.2f} s"])
