"""Trials of a search: one configuration trained on every data set and seed, here or in processes of
their own.
"""

import multiprocessing
import os
import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

import torch

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError, DivergedError
from kgrec.models.base import Recommender
from kgrec.runs.fit import fit
from kgrec.runs.settings import choose
from kgrec.training.loop import TrainState

EPOCHS_BEFORE_PRUNING = 10
TRIALS_BEFORE_PRUNING = 4


@dataclass(frozen=True, slots=True)
class Task:
    """A configuration to try, and what is known of the trials before it.

    Attributes:
        model: Name, or class.
        data: Data sets without a test part.
        seeds: A training on each data set for each.
        device: "auto", "cpu" or "cuda".
        settings: Every setting that is not the model's default.
        metric: What validation measures.
        sign: 1 where more is better, -1 where less is.
        seconds: What is left of the search's time; the training that runs then is cut.
        number: From 0.
        base: Values of the first trial that came to its end by cell, (data set, seed) in order;
            empty before.
        tops: Best values so far by cell.
        median: Median of the finished trials; None while they are too few to prune by.
    """

    model: str | type[Recommender]
    data: tuple[Dataset, ...]
    seeds: tuple[int, ...]
    device: str
    settings: Mapping[str, Any]
    metric: str
    sign: int
    seconds: float
    number: int
    base: tuple[float, ...] = ()
    tops: tuple[float, ...] = ()
    median: float | None = None

    @property
    def cells(self) -> int:
        """Trainings of a trial."""
        return len(self.data) * len(self.seeds)

    def total(self, values: Sequence[float]) -> float:
        """Return what a trial is worth by its values: their mean, over several data sets each as a
        share of those of ``base``; 1 if there is none, which is the first's share of itself.
        """
        if len(self.data) > 1 and self.base:
            values = [one / max(base, 1e-12) for one, base in zip(values, self.base, strict=True)]
        elif len(self.data) > 1:
            values = [1.0] * len(values)

        return statistics.fmean(values)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a trial.

    Attributes:
        state: "done", "pruned" or "failed".
        value: What it is worth, or had reached where it was pruned; None if there is nothing.
        values: Best validation value by cell, of the cells that were trained.
        epochs: Epochs trained, the most of all cells.
        best_epoch: The epoch of the last cell's value.
        seconds: Seconds of all its trainings.
        note: Why it failed, or that the time budget cut it short.
    """

    state: Literal["done", "pruned", "failed"]
    value: float | None
    values: tuple[float, ...]
    epochs: int
    best_epoch: int
    seconds: float
    note: str = ""


class _PrunedError(Exception):
    """A training cannot come up to the finished ones."""


class _OutOfTimeError(Exception):
    """The time budget is spent."""


def out_of_reach(best: Sequence[float], last: int, goal: float) -> bool:
    """Return whether a training cannot reach a goal even if it goes on gaining, until its last
    epoch, what it gained on average in the second half of its epochs so far.

    Learning curves rise ever more slowly, so that this is more than it will gain: a configuration
    that learns slowly is measured by its own slope, never by where quick ones were at its epoch.

    Args:
        best: Best value so far after each epoch, more is better.
        last: Last epoch it may train to.
        goal: What is to be reached.
    """
    done = len(best)
    half = done // 2
    if half < 1:
        return False

    slope = (best[-1] - best[half - 1]) / (done - half)
    return best[-1] + slope * (last - done) < goal


@dataclass(slots=True)
class _Watch:
    """What receives the epochs of a training: ends it at the deadline, or where it is out of
    reach.
    """

    task: Task
    deadline: float
    prunes: bool
    epochs: int = 0
    best: list[float] | None = None
    best_epoch: int = 0
    epoch: int = 0

    def __call__(self, state: TrainState) -> None:
        self.epoch = state.epoch
        if state.stopping.best_epoch:
            value = state.stopping.best
            known = self.best or []
            # epochs between two validations have what was best before them
            held = [known[-1] if known else value] * (state.epoch - len(known) - 1)
            self.best = [*known, *held, value]
            self.best_epoch = state.stopping.best_epoch

        if self.best is None:
            return

        goal = self.task.median
        if (
            self.prunes
            and goal is not None
            and state.epoch >= EPOCHS_BEFORE_PRUNING
            and out_of_reach(self.best, self.epochs, self.task.sign * goal)
        ):
            raise _PrunedError
        if time.monotonic() >= self.deadline:
            raise _OutOfTimeError


def run_trial(task: Task) -> Outcome:
    """Train and evaluate one configuration on every data set with every seed.

    Raises:
        ConfigError: If the first configuration, the default one, cannot be built.
    """
    began = time.monotonic()
    deadline = began + task.seconds
    values: list[float] = []
    state: Literal["done", "pruned", "failed"] = "done"
    note = ""
    most = best_epoch = 0

    for data in task.data:
        for seed in task.seeds:
            watch = _Watch(task, deadline, task.cells == 1)
            try:
                watch.epochs = choose(task.model, "default", task.settings).train.epochs
                run = fit(
                    task.model,
                    data,
                    device=task.device,
                    seed=seed,
                    fallback="off",
                    on_epoch=watch,
                    **task.settings,
                )
                seen = [record[task.metric] for record in run.history if task.metric in record]
                values.append(task.sign * max(task.sign * one for one in seen))
                watch.epoch = run.summary["epochs"]
                watch.best_epoch = run.summary["best_epoch"]
            except (_PrunedError, _OutOfTimeError) as stop:
                assert watch.best is not None
                values.append(task.sign * watch.best[-1])
                if isinstance(stop, _PrunedError):
                    state = "pruned"
                else:
                    note = "cut by the time budget"
            except (DivergedError, ConfigError, MemoryError, torch.OutOfMemoryError) as error:
                if isinstance(error, ConfigError) and task.number == 0:
                    raise

                state = "failed"
                note = str(error) or "out of memory"
                if watch.best is not None:
                    values.append(task.sign * watch.best[-1])

            most = max(most, watch.epoch)
            best_epoch = watch.best_epoch
            if state == "done" and len(values) < task.cells:
                state, note = _between(task, values, deadline, note)
            if state != "done":
                seconds = time.monotonic() - began
                value = values[-1] if task.cells == 1 and values else None
                return Outcome(state, value, tuple(values), most, best_epoch, seconds, note)

    seconds = time.monotonic() - began
    return Outcome(state, task.total(values), tuple(values), most, best_epoch, seconds, note)


def _between(
    task: Task, values: Sequence[float], deadline: float, note: str
) -> tuple[Literal["done", "pruned", "failed"], str]:
    """Return whether a trial goes on to its next cell: not where the time is spent, nor where the
    best that any trial reached in the cells that are left would not bring it to the median.
    """
    if note or time.monotonic() >= deadline:
        return "failed", "the time budget was spent before all data sets and seeds"

    if task.median is not None and task.tops:
        whole = [*values, *task.tops[len(values) :]]
        if task.sign * task.total(whole) < task.sign * task.median:
            return "pruned", ""

    return "done", ""


def run_trials(tasks: Sequence[Task]) -> list[Outcome]:
    """Run trials side by side, a process each; a single one here. A process that dies is a failed
    trial; all end with the caller.
    """
    if len(tasks) == 1:
        return [run_trial(tasks[0])]

    context = multiprocessing.get_context("spawn")
    work = []
    try:
        for task in tasks:
            here, there = context.Pipe(duplex=False)
            shared = replace(task, settings=dict(task.settings))
            process = context.Process(target=_work, args=(there, shared, len(tasks)), daemon=True)
            process.start()
            there.close()
            work.append((process, here))

        return [_received(here) for _, here in work]
    finally:
        for process, here in work:
            here.close()
            if process.is_alive():
                process.terminate()
            process.join()


def _received(here: Connection) -> Outcome:
    try:
        found = here.recv()
    except EOFError:
        return Outcome("failed", None, (), 0, 0, 0.0, "its process ended (out of memory?)")

    if isinstance(found, Outcome):
        return found
    raise RuntimeError(f"a trial's process sent {type(found).__name__}")


def _work(there: Connection, task: Task, beside: int) -> None:
    """Run a trial in a process of its own, which ends when its parent does."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        sentinel = parent.sentinel

        def leave() -> None:
            wait([sentinel])
            os._exit(1)

        threading.Thread(target=leave, daemon=True).start()

    torch.set_num_threads(max(1, torch.get_num_threads() // beside))
    with suppress(KeyboardInterrupt):  # the parent has it, too, and says so
        there.send(run_trial(task))
