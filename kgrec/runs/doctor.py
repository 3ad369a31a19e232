"""What this machine offers, and what a training would cost, before it starts."""

import importlib.metadata
import os
import platform
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kgrec._version import __version__
from kgrec.data.records.dataset import Dataset
from kgrec.evaluation.ranking import Lists, rank_users
from kgrec.models.base import Plan, Recommender, Scorer, VectorScorer
from kgrec.models.blend import BlendScorer
from kgrec.models.closed_form import HistoryScorer
from kgrec.ops.backends import native
from kgrec.ops.memory import keep_freed_memory
from kgrec.ops.ranking import chunk_rows
from kgrec.process import peak_memory, total_memory
from kgrec.runs.run import build_model, snapshot_scorer
from kgrec.runs.settings import choose
from kgrec.training.config import TrainConfig
from kgrec.training.loop import Round, rounds_of, snapshot

_PACKAGES = (
    "torch",
    "torch-geometric",
    "numpy",
    "scipy",
    "polars",
    "psutil",
    "pyoxigraph",
    "rdflib",
    "networkx",
    "safetensors",
)
MOST_SERVED = 4 << 30
"""Bytes of an item matrix above which serving tables are refused."""
_FEWEST_STEPS, _SECONDS = 3, 1.0  # steps that are timed, and for how long at least


def environment() -> dict[str, Any]:
    """Return versions, threads, memory and devices, JSON-ready."""
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {
        "kgrec": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "cpus": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": total_memory(),
        "device": "cuda" if gpus else "cpu",
        "gpus": gpus,
        "backend": native.name(),
    }


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a training would cost: an estimate from a few timed steps, not a promise.

    Attributes:
        model: Catalog name.
        parameters: Trainable numbers.
        steps: Steps of one epoch, per objective.
        seconds_per_epoch: Sampling, steps and what follows an epoch; validation comes on top.
        most_epochs: Epochs after which training ends at the latest.
        peak_memory_bytes: Most memory of this process so far, data, model, gradients and optimizer
            included; validation may add to it.
        serving_bytes: Size of its tables for serving without torch; None if there are none. An
            item matrix that is mostly zeros takes less.
    """

    model: str
    parameters: int
    steps: dict[str, int]
    seconds_per_epoch: float
    most_epochs: int
    peak_memory_bytes: int
    serving_bytes: int | None = None


def served_bytes(scorer: Scorer, data: Dataset) -> int | None:
    """Return the size of the numbers that a scorer is served by without torch; None where it must
    score itself.
    """
    if isinstance(scorer, VectorScorer):
        return 4 * (scorer.users.numel() + 2 * scorer.items.numel())
    if type(scorer) is HistoryScorer:
        return 4 * data.num_items**2
    if isinstance(scorer, BlendScorer) and (parts := scorer.parts()) is not None:
        sizes = [served_bytes(one, data) for _, one in parts]
        return sum(size or 0 for size in sizes) if all(sizes) else None
    return None


def predict(
    data: Dataset,
    model: str,
    settings: Mapping[str, Any] | None = None,
    *,
    preset: str = "default",
    device: str = "cpu",
    seed: int = 0,
) -> Prediction:
    """Return what training a model on a dataset would cost: build it, time a few steps of each
    objective, and count.

    Raises:
        UnknownModelError: If there is no such model.
        ConfigError: If a setting or the preset is unknown.
    """
    keep_freed_memory()
    chosen = choose(model, preset, settings or {})
    place = torch.device(device)
    made = build_model(chosen, data, seed).to(place)
    plan = made.plan()
    began = time.perf_counter()
    steps: dict[str, int] = {}

    if plan.fit is not None:
        plan.fit()
        seconds = time.perf_counter() - began
    else:
        seconds, steps = _epoch(made, plan, data, chosen.train, seed, place)
        _rank_some(made, data, place)

    return Prediction(
        chosen.name,
        sum(parameter.numel() for parameter in made.parameters() if parameter.requires_grad),
        steps,
        seconds,
        1 if plan.fit is not None else chosen.train.epochs,
        torch.cuda.max_memory_allocated(place) if place.type == "cuda" else peak_memory(),
        served_bytes(snapshot_scorer(made), data),
    )


def step_seconds(data: Dataset, model: str, settings: Mapping[str, Any]) -> float:
    """Return the seconds of a step of a model on this machine, a few being timed.

    Raises:
        UnknownModelError: If there is no such model.
        ConfigError: If a setting is unknown.
    """
    found = predict(data, model, settings, device=environment()["device"])
    return found.seconds_per_epoch / max(1, *found.steps.values())


def _epoch(
    model: Recommender,
    plan: Plan,
    data: Dataset,
    config: TrainConfig,
    seed: int,
    device: torch.device,
) -> tuple[float, dict[str, int]]:
    seconds = 0.0
    steps = dict[str, int]()
    model.train()
    if plan.begin_epoch is not None:
        plan.begin_epoch(1, seed)

    for each in rounds_of(model, data, config, seed=seed, device=device):
        count = each.feeds[0].steps()
        steps |= {objective.name: count for objective in each.objectives}
        times = _timed(each, device)
        one = statistics.median(times[1:] or times)
        seconds += (times[0] - one) + one * count  # the first step also draws the epoch's samples

    began = time.perf_counter()
    if plan.after_epoch is not None:
        plan.after_epoch()

    return seconds + _now(device) - began, steps


def _timed(each: Round, device: torch.device) -> list[float]:
    """Return the seconds of a few steps, the first of them with what comes before it."""
    times: list[float] = []
    start = began = _now(device)

    for batches in each.batches(1):
        each.step(batches)
        times.append(_now(device) - began)
        if len(times) > _FEWEST_STEPS and _now(device) - start > _SECONDS:
            break

        began = _now(device)

    return times


def _rank_some(model: Recommender, data: Dataset, device: torch.device) -> None:
    """Rank for as many users as validation takes at a time, with the copies of parameters that
    training keeps: both count for memory.
    """
    kept = snapshot(model), snapshot(model)
    model.eval()
    users = np.arange(min(data.num_users, chunk_rows(data.num_items, device)))
    past = Lists.of(data.train, users)

    with torch.inference_mode():
        rank_users(
            model.scorer(),
            users,
            10,
            num_items=data.num_items,
            seen=past,
            history=past,
            device=device,
        )

    del kept


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
