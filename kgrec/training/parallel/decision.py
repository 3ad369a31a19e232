"""Whether several processes train a model faster than one."""

import os
from dataclasses import replace

import torch

from kgrec.batches import PositiveBatch, SampledBatch, UserBatch
from kgrec.models.base import Plan, Recommender
from kgrec.models.sources import Users
from kgrec.process import total_memory
from kgrec.scale.cost import H200X8, Advice, Hardware, Work, advise, cpus
from kgrec.training.config import TrainConfig
from kgrec.training.parallel.data import table_bytes

_COMPARED = (PositiveBatch, SampledBatch, UserBatch)  # losses by whole rows, of many items


def work_of(model: Recommender, plan: Plan, config: TrainConfig, interactions: int) -> Work | None:
    """Return what a step of a model does, for the cost model; None where it cannot be split."""
    if plan.parallel != "columns" or plan.split is None or not plan.objectives:
        return None

    tables = plan.split.tables
    first = plan.objectives[0]
    batch = config.batch_size
    if isinstance(first.source, Users) and first.source.steps:
        batch = max(1, -(-interactions // first.source.steps))

    dim = tables[0].shape[1] if tables[0].dim() > 1 else 1
    return Work(
        sum(table.numel() for table in tables) // dim,
        plan.split.edges,
        dim,
        plan.split.layers,
        batch,
        interactions,
        first.batch in _COMPARED,
        tables[0].element_size(),
        plan.split.widths,
        plan.split.sums,
    )


def shared_work(
    model: Recommender, plan: Plan, config: TrainConfig, interactions: int, seconds: float
) -> Work:
    """Return what a step of a model does whose processes share the batch, given its seconds in one:
    an interaction looks a row up in each table that lies apart.
    """
    least = table_bytes()
    tables = () if plan.split is None else plan.split.tables
    apart = [table for table in tables if table.nbytes >= least]
    moved = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Work(
        max(1, sum(len(table) for table in apart)),
        0,
        max((table.shape[1] for table in apart), default=1),
        batch=config.batch_size,
        interactions=interactions,
        size=next(model.parameters()).element_size(),
        dense=max(1, moved - sum(table.numel() for table in apart)),
        looked=len(apart) * config.batch_size,
        seconds=seconds,
    )


def hardware_of(device: torch.device) -> Hardware:
    """Return the numbers of this machine: those of an H200 with its own memory for any GPU."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return replace(H200X8, name=name, memory=torch.cuda.mem_get_info(device)[1])
    return cpus(torch.get_num_threads() if "RANK" not in os.environ else _cpus(), total_memory())


def declined(
    model: Recommender,
    plan: Plan,
    config: TrainConfig,
    interactions: int,
    device: torch.device,
    size: int,
) -> str:
    """Return why so many processes had better not train a model together; "" where they should."""
    if plan.parallel == "data":
        return "parallel=data has them share its batches"

    work = work_of(model, plan, config, interactions)
    if work is None:
        return f"{type(model).__name__} cannot be split over processes"

    found: Advice = advise(work, hardware_of(device), [1, size])
    return "" if found.best == size else f"{found.reason}; parallel=columns splits it anyway"


def _cpus() -> int:
    """Return the processors of this machine: torchrun sets each process to one thread."""
    return os.cpu_count() or 1
