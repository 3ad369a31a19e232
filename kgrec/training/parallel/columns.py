"""Training by columns: a model's tables taken apart over processes, and put together again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from kgrec.errors import ConfigError, ModelError
from kgrec.models.base import Plan, Recommender, Scorer
from kgrec.models.typed_facts import FactContrast
from kgrec.ops.optimizer import Optimizer
from kgrec.scale.columns import WHOLE, Columns, Whole
from kgrec.scale.rows import Rows
from kgrec.scale.world import World
from kgrec.training.checkpoint import TrainState
from kgrec.training.config import TrainConfig


class Apart:
    """A model whose tables lie apart.

    Args:
        model: The whole model, on its device; from here on it has this process's columns.
        plan: Its plan, which names the tables.
        world: The processes.

    Raises:
        ModelError: If the plan names no tables.
        ConfigError: If the processes do not divide the columns.

    Attributes:
        plan: The plan, of the parameters that are apart.
        names: Names of those that are.
    """

    def __init__(self, model: Recommender, plan: Plan, world: World) -> None:
        if plan.split is None:
            raise ModelError(f"{type(model).__name__} names no tables to take apart.")

        tables = plan.split.tables
        for width in plan.split.widths:
            Columns(world, width)  # refuses what the processes do not divide
        self._lie(model, plan, world, tables, Columns(world, tables[0].shape[1]))

    def _lie(
        self,
        model: Recommender,
        plan: Plan,
        world: World,
        tables: Sequence[nn.Parameter],
        shard: Columns | Rows,
    ) -> None:
        """Take the tables apart."""
        self.model = model
        self.plan = plan
        self.world = world
        self._tables = tables
        self.columns = shard
        own = {id(table) for table in self._tables}
        self.names = [name for name, value in model.named_parameters() if id(value) in own]
        for table in self._tables:
            table.data = self.columns.own(table.data)
        self._take(self.columns)
        self._optimizers: Sequence[Optimizer] = ()

    @property
    def first(self) -> bool:
        """Whether this is the process that evaluates and writes."""
        return self.world.first

    @contextmanager
    def together(self) -> Iterator[None]:
        """Give the model its whole tables for a while, in the first process; the others send theirs
        and go on.
        """
        apart = [table.data for table in self._tables]
        whole = [self.columns.whole_to_first(table) for table in apart]
        if self.first:
            self._put([table for table in whole if table is not None])
        self._take(WHOLE)
        try:
            yield
        finally:
            self._put(apart)
            self._take(self.columns)

    def whole_again(self) -> None:
        """Put the model together, in every process."""
        self._put([self.columns.whole(table.data) for table in self._tables])
        self._take(WHOLE)

    def validated(self, validate: Callable[[], float]) -> float:
        """Return the number that the first process finds with whole tables, to all: they go on,
        and stop, together.
        """
        with self.together():
            return self._said(validate)

    def compared(
        self,
        compare: Callable[[Callable[[Scorer], float]], None],
        measure: Callable[[Scorer], float],
    ) -> None:
        """Let the model compare what it trains side by side, by numbers that the first process finds
        with whole tables. A scorer of another process is of its columns, and is not asked.
        """
        with self.together():
            compare(lambda scorer: self._said(lambda: measure(scorer)))

    def settled(self, settle: Callable[[], None]) -> None:
        """Let the first process settle what the whole model leaves to it, and give the model to all."""
        if self.first:
            settle()

        state = self.model.state_dict()
        shapes = {name: (list(value.shape), str(value.dtype)) for name, value in state.items()}
        found = {}
        for name, (shape, dtype) in self.world.hear(shapes, patient=True).items():
            like = state[name]
            if not self.first:
                like = like.new_empty(shape, dtype=getattr(torch, dtype.removeprefix("torch.")))
            found[name] = self.world.from_first(like)

        if not self.first:
            self.model.load_state_dict(found)

    def square(self, gradients: Sequence[Tensor], tables: Sequence[bool]) -> Tensor:
        """Return the sum of the squares of gradients, those of tables over all columns."""
        zero = torch.zeros((), dtype=gradients[0].dtype, device=gradients[0].device)
        sums = [zero, zero]
        for gradient, apart in zip(gradients, tables, strict=True):
            sums[apart] = sums[apart] + gradient.square().sum()
        return sums[0] + self.world.all_reduce(sums[1].reshape(1))[0]

    def clip(self, optimizer: Optimizer, most: float) -> None:
        """Scale the gradients so that their norm over all columns is at most ``most``."""
        own = {id(table) for table in self._tables}
        moved = [p for p in _parameters(optimizer) if p.grad is not None]
        gradients = [p.grad for p in moved if p.grad is not None]
        norm = self.square(gradients, [id(p) in own for p in moved]).sqrt()
        factor = (most / (norm + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(factor)

    def taken(
        self, state: TrainState, optimizers: Sequence[Optimizer], *, whole: bool
    ) -> TrainState:
        """Return this process's part of a state, which can be joined again.

        Args:
            state: The state.
            optimizers: What moves the parameters.
            whole: Whether the state's tables are whole; else they are this process's part.
        """

        def cut(value: Tensor) -> Tensor:
            return self.columns.own(value.to(self._tables[0].device))

        self._optimizers = optimizers
        if whole:
            state = self._turned(state, cut)
        return replace(state, join=self.whole)

    def whole(self, state: TrainState) -> TrainState:
        """Return a state of whole tables to the first process; all call it at once. The others get
        one without tables.
        """

        def joined(value: Tensor) -> Tensor:
            found = self.columns.whole_to_first(value)
            if found is None:
                return value[:0]
            return found

        return replace(self._turned(state, joined), join=None)

    def _turned(self, state: TrainState, turn: Callable[[Tensor], Tensor]) -> TrainState:
        slots = []
        for optimizer, stored in zip(self._optimizers, state.optimizers, strict=False):
            own = {id(table) for table in self._tables}
            places = {number for number, p in enumerate(_parameters(optimizer)) if id(p) in own}
            of = {
                number: {
                    name: turn(value) if number in places and value.ndim else value
                    for name, value in values.items()
                }
                for number, values in stored["state"].items()
            }
            slots.append({**stored, "state": of})

        return replace(
            state,
            model=self._of_tables(state.model, turn),
            best=self._of_tables(state.best, turn),
            optimizers=slots,
        )

    def _of_tables(
        self, values: Mapping[str, Tensor], turn: Callable[[Tensor], Tensor]
    ) -> dict[str, Tensor]:
        return {
            name: turn(value) if name in self.names else value for name, value in values.items()
        }

    def _said(self, find: Callable[[], float]) -> float:
        return float(self.world.hear(find() if self.first else None, patient=True))

    def _take(self, shard: Whole) -> None:
        """Say to the model, and to its parts that ask, which columns they have."""
        for module in self.model.modules():
            if isinstance(module, Recommender | FactContrast):
                module.shard = shard

    def _put(self, tables: Sequence[Tensor]) -> None:
        for table, value in zip(self._tables, tables, strict=True):
            table.data = value


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def check_parallel(model: Recommender, plan: Plan, config: TrainConfig) -> None:
    """Refuse a model that cannot be trained by several processes as the settings say.

    Raises:
        ConfigError: Says what to do instead.
    """
    name = type(model).__name__
    if plan.parallel == "data" and config.parallel in ("auto", "data"):
        return
    if plan.parallel == "data":
        raise ConfigError(
            f"parallel={config.parallel}: {name} is trained by shares of the batch. Take data or "
            "none."
        )
    if config.parallel in ("rows", "data"):
        raise ConfigError(
            f"parallel={config.parallel}: {name} is not trained that way. Take columns, auto or "
            "none."
        )
    if plan.parallel != "columns" or plan.split is None or not plan.objectives:
        raise ConfigError(
            f"{name} cannot be split over processes. Train it in one, or run seeds and settings "
            "side by side: torchrun -m kgrec tune."
        )
    if plan.optimizer is not None or plan.after_step is not None:
        raise ConfigError(
            f"{name} as it is set up trains by steps of its own, which cannot be split over "
            "processes. Train it in one."
        )
