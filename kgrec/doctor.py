"""What this machine offers, and what a training would cost, before it starts."""

import importlib.metadata
import os
import platform
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from kgrec import __version__
from kgrec.data.dataset import Dataset
from kgrec.models.base import Objective, Plan, Recommender
from kgrec.ops.backends import native
from kgrec.ops.optimizer import adam
from kgrec.random import derive
from kgrec.settings import choose
from kgrec.training.config import TrainConfig
from kgrec.training.samplers import make_sampler

_PACKAGES = ("torch", "torch-geometric", "numpy", "scipy", "polars", "pyoxigraph", "rdflib", "networkx", "safetensors")
_TIMED_STEPS = 3


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
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if sys.platform == "linux" else None,
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
        peak_memory_bytes: Most memory of this process so far, data, model, gradients and optimizer included; validation may add to it.
    """

    model: str
    parameters: int
    steps: dict[str, int]
    seconds_per_epoch: float
    most_epochs: int
    peak_memory_bytes: int


def predict(
    data: Dataset, model: str, settings: Mapping[str, Any] | None = None, *, preset: str = "default", device: str = "cpu", seed: int = 0
) -> Prediction:
    """Return what training a model on a dataset would cost: build it, time a few steps of each objective, and count.

    Raises:
        UnknownModelError: If there is no such model.
        ConfigError: If a setting or the preset is unknown.
    """
    chosen = choose(model, preset, settings or {})
    place = torch.device(device)
    made = chosen.model.from_dataset(data, chosen.config, torch.Generator().manual_seed(derive(seed, "init"))).to(place)
    plan = made.plan()
    began = time.perf_counter()
    steps: dict[str, int] = {}
    if plan.fit is not None:
        plan.fit()
        seconds = time.perf_counter() - began
    else:
        seconds, steps = _epoch(made, plan, data, chosen.train, seed, place)
    return Prediction(
        chosen.name,
        sum(parameter.numel() for parameter in made.parameters() if parameter.requires_grad),
        steps,
        seconds,
        1 if plan.fit is not None else chosen.train.epochs,
        torch.cuda.max_memory_allocated(place) if place.type == "cuda" else _peak_memory(),
    )


def _epoch(
    model: Recommender, plan: Plan, data: Dataset, config: TrainConfig, seed: int, device: torch.device
) -> tuple[float, dict[str, int]]:
    seconds, steps, first = 0.0, {}, 0
    if plan.begin_epoch is not None:
        plan.begin_epoch(1, seed)
    for objective in plan.objectives:
        sampler = make_sampler(objective, data, config, seed=seed, device=device, steps=first)
        first = first or sampler.steps()
        steps[objective.name] = sampler.steps()
        times = _timed(model, objective, sampler.epoch(1), config, device)
        one = min(times[1:] or times)
        seconds += (times[0] - one) + one * sampler.steps()  # the first step also draws the epoch's samples
    began = time.perf_counter()
    if plan.after_epoch is not None:
        plan.after_epoch()
    return seconds + _now(device) - began, steps


def _timed(model: Recommender, objective: Objective[Any], batches: Any, config: TrainConfig, device: torch.device) -> list[float]:
    parameters = list(model.parameters() if objective.parameters is None else objective.parameters)
    optimizer = adam(parameters, config.learning_rate)
    model.train()
    times = []
    began = _now(device)
    for batch in batches:
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(objective.loss(batch))
        optimizer.step()
        times.append(_now(device) - began)
        if len(times) > _TIMED_STEPS:
            break
        began = _now(device)
    return times


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
