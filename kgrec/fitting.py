"""fit: train a model, keep its folder up to date, and return the run."""

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kgrec.data.dataset import Dataset
from kgrec.data.folders import beside
from kgrec.data.formats import load
from kgrec.data.interactions import Interactions, concatenate
from kgrec.errors import CheckpointError, ConfigError, DataError
from kgrec.evaluation.metrics import ranking_metric
from kgrec.evaluation.report import evaluate
from kgrec.folder import CHECKPOINT, CONFIG, DATA, identity, read_config, record_of, refuse_foreign, write_config, write_data
from kgrec.log import logger
from kgrec.models.base import Recommender, Scorer
from kgrec.models.catalog import MODELS
from kgrec.run import Run, build_model, load_run, snapshot_scorer
from kgrec.settings import Chosen, choose
from kgrec.training.checkpoint import read_state, write_state
from kgrec.training.loop import TrainState, snapshot, train
from kgrec.training.stopping import Stopping

_SECONDS_BETWEEN_CHECKPOINTS = 2.0


def fit(
    model: str | type[Recommender],
    data: "Dataset | str | PathLike[str]",
    *,
    out: str | PathLike[str] | None = None,
    preset: str = "default",
    device: str = "auto",
    seed: int = 0,
    resume: bool = False,
    refit: bool = False,
    **settings: Any,
) -> Run:
    """Train a model and return the run.

    Training ends by early stopping on the validation part; the best epoch's parameters are kept. The test part is looked at once, at
    the end, for the summary.

    Args:
        model: Name in ``MODELS``, or a ``Recommender`` class.
        data: A dataset, or anything ``kgrec.load`` takes.
        out: Folder for the run; while training it holds a checkpoint, so that a killed run opens and can be resumed.
        preset: Named recipe of the model; "paper" and "official" train for their fixed epochs.
        device: "auto", "cpu" or "cuda".
        seed: Seed of every draw, 0 or more.
        resume: Go on from the checkpoint in ``out``; a finished run is returned as it is.
        refit: Train once more on all interactions, for as many epochs as were best.
        **settings: Model configuration and training settings by name; text is converted.

    Raises:
        UnknownModelError: If there is no such model.
        ConfigError: If a setting is unknown or out of range.
        DataError: If the dataset lacks what the model needs.
        CheckpointError: If ``out`` holds something else, or a checkpoint of other settings.
        DivergedError: If a loss is not a finite number.
    """
    chosen = choose(model, preset, settings)
    if seed < 0:
        raise ConfigError(f"seed {seed} is negative. Take 0 or more.")
    if refit and preset in ("paper", "official"):
        raise ConfigError(f"the preset {preset!r} already trains for fixed epochs on everything but the test part. Leave refit out.")
    whole = data if isinstance(data, Dataset) else load(data)
    _check_needs(chosen, whole)
    job = _Job(chosen, _training_part(whole, chosen), _device(device), seed, refit, None if out is None else Path(out))
    return job.run(resume)


@dataclass(slots=True)
class _Job:
    """One call of ``fit``: trains, keeps the folder up to date, and sums up."""

    chosen: Chosen
    data: Dataset
    device: torch.device
    seed: int
    refit: bool
    out: Path | None
    _written: float = 0.0

    def run(self, resume: bool) -> Run:
        self._validator()  # a setting that cannot be measured is refused before anything is written
        if self.out is not None and resume and (self.out / CONFIG).is_file():
            return self._resume(self.out)
        if self.out is not None:
            self._start_folder(self.out)
        return self._first_pass(None)

    def _resume(self, out: Path) -> Run:
        record = read_config(out)
        self._check_same(out, record)
        if record["status"] == "done":
            logger.info("%s: already finished, nothing to resume.", out)
            return load_run(out, self.chosen.model)
        state, owner = read_state(out / CHECKPOINT)
        logger.info("%s: resuming after epoch %d.", out, state.epoch)
        if owner["phase"] == "refit":
            return self._second_pass(record["summary"], state)
        return self._first_pass(state)

    def _first_pass(self, state: TrainState | None) -> Run:
        model = build_model(self.chosen, self.data, self.seed).to(self.device)
        done = train(
            model,
            self.data,
            self.chosen.train,
            seed=self.seed,
            device=self.device,
            validate=self._validator(),
            state=state,
            on_epoch=self._checkpoint("fit"),
            title=self.chosen.name,
        )
        summary = self._summary(model, done)
        if self.refit:
            return self._second_pass(summary, None)
        return self._finish(model, self.data, done, summary)

    def _second_pass(self, summary: dict[str, Any], state: TrainState | None) -> Run:
        """Train once more on all interactions, for the best epoch's count."""
        everything = concatenate([self.data.train, self.data.valid, self.data.test])
        data = replace(self.data, train=everything, valid=Interactions(), test=Interactions())
        config = replace(self.chosen.train, epochs=max(1, summary["best_epoch"]), patience=0)
        model = build_model(self.chosen, data, self.seed).to(self.device)
        if self.out is not None and state is None:
            # In this order a run killed in between still knows what the first pass chose.
            write_config(self.out, record_of(self.chosen, self.seed, identity(data), self.refit, summary, [], "training"))
            write_data(data, self.out / DATA)
            write_state(self.out / CHECKPOINT, _untrained(model), {"phase": "refit"})
        done = train(
            model,
            data,
            config,
            seed=self.seed,
            device=self.device,
            state=state,
            on_epoch=self._checkpoint("refit"),
            title=f"{self.chosen.name} refit",
        )
        return self._finish(model, data, done, summary)

    def _finish(self, model: Recommender, data: Dataset, done: TrainState, summary: dict[str, Any]) -> Run:
        model.to("cpu").eval()  # a run ranks and explains where its ids and facts are
        run = Run(self.chosen.name, model, data, self.chosen, self.seed, done.history, summary, identity(data), self.refit, self.out)
        if self.out is not None:
            run.write(self.out)
        return run

    def _validator(self) -> Callable[[Scorer], float] | None:
        if not len(self.data.valid):
            return None
        name, _, cut = self.chosen.train.metric.partition("@")
        if not cut.isdigit() or int(cut) < 1:
            raise ConfigError(f"metric {self.chosen.train.metric!r} is not of the form name@k, for instance ndcg@10.")
        ranking_metric(name)

        def validate(scorer: Scorer) -> float:
            report = evaluate(scorer, self.data, on="valid", ks=(int(cut),), metrics=(name,), device=self.device)
            return report.metrics[self.chosen.train.metric]

        return validate

    def _summary(self, model: Recommender, done: TrainState) -> dict[str, Any]:
        """Return the form of ``kgrec train --json``."""
        scorer = snapshot_scorer(model)
        parts = {}
        for part, held in (("valid", self.data.valid), ("test", self.data.test)):
            parts[part] = evaluate(scorer, self.data, on=part, ks=(10, 20), device=self.device).metrics if len(held) else None
        seconds = [record["seconds"] for record in done.history]
        return {
            "model": self.chosen.name,
            "preset": self.chosen.preset,
            "seed": self.seed,
            "device": str(self.device),
            "epochs": done.epoch,
            "best_epoch": done.stopping.best_epoch or done.epoch,
            "seconds": round(sum(seconds) + sum(record.get("validation_seconds", 0.0) for record in done.history), 3),
            "seconds_per_epoch": round(float(np.median(seconds)), 4) if seconds else 0.0,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "peak_memory_bytes": _peak_memory(self.device),
            **parts,
        }

    def _start_folder(self, out: Path) -> None:
        """Put a run with the initial weights in place, so that from here on the folder opens at any moment."""
        refuse_foreign(out, overwrite=True)
        if (out / CONFIG).is_file() and read_config(out)["status"] != "done":
            raise CheckpointError(f"{out}: holds an unfinished training. Resume it (--resume), or remove the folder first.")
        model = build_model(self.chosen, self.data, self.seed)
        with beside(out) as scratch:
            write_data(self.data, scratch / DATA)
            write_state(scratch / CHECKPOINT, _untrained(model), {"phase": "fit"})
            write_config(scratch, record_of(self.chosen, self.seed, identity(self.data), self.refit, {}, [], "training"))

    def _checkpoint(self, phase: str) -> Callable[[TrainState], None] | None:
        if self.out is None:
            return None
        out = self.out

        def write(state: TrainState) -> None:
            if time.monotonic() - self._written >= _SECONDS_BETWEEN_CHECKPOINTS:
                write_state(out / CHECKPOINT, state, {"phase": phase})
                self._written = time.monotonic()

        return write

    def _check_same(self, out: Path, record: dict[str, Any]) -> None:
        now = json.loads(json.dumps(record_of(self.chosen, self.seed, identity(self.data), self.refit, {}, [], "training")))
        for key in ("model", "config", "train", "seed", "refit"):
            if record[key] != now[key]:
                raise CheckpointError(f"{out}: was started with {key} {record[key]}, not {now[key]}. Resume with the same settings.")
        if record["dataset"]["checksum"] != now["dataset"]["checksum"]:
            raise CheckpointError(f"{out}: was started on another state of the dataset. Train again into another folder.")


def _untrained(model: Recommender) -> TrainState:
    return TrainState(0, snapshot(model), [], snapshot(model), Stopping(patience=0))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"unknown device {name!r}. Use auto, cpu or cuda.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda: this torch sees no CUDA device. Use --device cpu, or install a CUDA build of torch.")
    return device


_NEEDS: dict[str, tuple[Callable[[Dataset], bool], str]] = {
    "interactions": (lambda data: len(data.train) > 0, "Build the dataset with --interactions FILE."),
    "triples": (lambda data: len(data.triples) > 0, "Build the dataset with --kg FILE, or use lightgcn."),
    "texts": (lambda data: data.content.texts is not None, "Build the dataset with --items FILE --texts COL."),
}


def _check_needs(chosen: Chosen, data: Dataset) -> None:
    needs = MODELS[chosen.name].needs if chosen.name in MODELS else ("interactions",)
    for need in needs:
        holds, remedy = _NEEDS[need]
        if not holds(data):
            raise DataError(f"{chosen.name} needs {need} and {data.name} has none. {remedy}")


def _training_part(data: Dataset, chosen: Chosen) -> Dataset:
    """Return the data to train on: the published recipes take back the validation part that was held out of a given training file."""
    if chosen.preset in ("paper", "official") and data.settings.get("valid_held_out"):
        logger.info("%s: training on the validation part too, for the fixed epochs of the preset %r.", chosen.name, chosen.preset)
        return replace(data, train=concatenate([data.train, data.valid]), valid=Interactions())
    return data


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
