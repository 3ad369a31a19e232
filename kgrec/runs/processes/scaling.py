"""What training by several processes would cost, before any of it starts."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from kgrec.data.io.files import read_text
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import Recommender
from kgrec.process import total_memory
from kgrec.runs.run import build_model
from kgrec.runs.settings import choose
from kgrec.scale.cost import H200X8, Advice, Hardware, Work, advise, cpus
from kgrec.training.parallel.decision import hardware_of, shared_work, work_of


def advice_for(
    data: Dataset,
    model: str | type[Recommender],
    settings: Mapping[str, Any],
    worlds: Sequence[int],
    hardware: str | None = None,
    measure: Callable[[], float] | None = None,
) -> Advice:
    """Return how many processes a training on a dataset is worth.

    Args:
        data: The dataset.
        model: What is trained.
        settings: Its settings.
        worlds: Numbers of processes.
        hardware: What they run on, see ``hardware_named``.
        measure: Returns the seconds of a step in one process on this machine, which is asked for
            where no formula gives them: of models whose processes share the batch.

    Raises:
        ConfigError: If the model cannot be split over processes, or the hardware is not known.
    """
    chosen = choose(model, "default", settings)
    made = build_model(chosen, data, 0)
    plan = made.plan()
    if plan.parallel == "data" and measure is not None:
        if hardware not in (None, "cpu"):
            raise ConfigError(
                f"{chosen.name}: the seconds of its steps are measured. Leave --hardware out, on a "
                "machine like that, or state seconds and dense in a description, FILE.toml."
            )
        own = shared_work(made, plan, chosen.train, len(data.train), measure())
        return advise(own, hardware_named(hardware), worlds)

    work = work_of(made, plan, chosen.train, len(data.train))
    if work is None:
        raise ConfigError(
            f"{chosen.name} cannot be split over processes. Run seeds and settings side by side: "
            "torchrun -m kgrec tune."
        )

    return advise(work, hardware_named(hardware), worlds)


def advice_of_description(path: str, worlds: Sequence[int], hardware: str | None = None) -> Advice:
    """Return how many processes a training is worth whose data are only described: a TOML file of
    ``nodes``, ``edges``, ``dim``, ``layers``, ``batch``, ``interactions``, ``softmax``, ``size``,
    ``widths``, ``sums``.

    Raises:
        DataError: If the file cannot be read.
        ConfigError: If it is no TOML, or names something else.
    """
    stated = _table(path)
    known = [one.name for one in fields(Work)]
    wrong = [name for name in stated if name not in known]
    if wrong or not {"nodes", "edges"} <= stated.keys():
        raise ConfigError(
            f"{path}: a description has nodes and edges, and may have {', '.join(known[2:])}"
            + (f"; not {wrong[0]}." if wrong else ".")
        )

    return advise(Work(**stated), hardware_named(hardware), worlds)


def hardware_named(name: str | None) -> Hardware:
    """Return the numbers of some hardware: "cpu", "h200x8", a TOML file, or None for this machine.

    Raises:
        DataError: If the file cannot be read.
        ConfigError: If the name is not known, or the file names something else.
    """
    if name is None:
        return hardware_of(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    if name == "cpu":
        return cpus(torch.get_num_threads(), total_memory())
    if name == H200X8.name:
        return H200X8
    if not name.endswith(".toml"):
        raise ConfigError(f"--hardware {name[:40]}: not one of cpu, h200x8, FILE.toml.")

    return Hardware.of({"name": Path(name).stem, **_table(name)}, name)


def _table(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        why = " ".join(str(error).split())[:120]
        raise ConfigError(f"{path}: not a TOML file ({why}).") from None
