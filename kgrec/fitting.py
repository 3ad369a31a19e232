"""fit: train a model, keep its folder up to date, and return the run."""

import json
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
from kgrec.data.interactions import Interactions
from kgrec.data.pool import pool
from kgrec.errors import CheckpointError, ConfigError, DataError
from kgrec.evaluation.report import evaluate
from kgrec.evaluation.triples import evaluate_triples, triple_metric
from kgrec.evaluation.validation import validator
from kgrec.folder import CHECKPOINT, CONFIG, DATA, identity, read_config, record_of, refuse_foreign, write_config, write_data
from kgrec.log import logger
from kgrec.models.base import Recommender, Scorer, TripleScorer
from kgrec.models.catalog import MODELS
from kgrec.process import peak_memory, refuse_after_fork
from kgrec.run import Run, build_model, load_run, snapshot_scorer
from kgrec.settings import Chosen, choose
from kgrec.training.checkpoint import read_state, write_state
from kgrec.training.config import TrainConfig
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
    on_epoch: Callable[[TrainState], None] | None = None,
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
        on_epoch: Called with the state after each epoch; what it raises ends the training.
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
    check_needs(chosen, whole)
    if refit and not len(whole.train):
        raise ConfigError(f"refit trains on held-out interactions too, and {whole.name} has none. Leave it out.")
    return fit_chosen(measured_by(chosen, whole), whole, out=out, device=device, seed=seed, resume=resume, refit=refit, on_epoch=on_epoch)


def fit_chosen(
    chosen: Chosen,
    data: Dataset,
    *,
    out: str | PathLike[str] | None = None,
    device: str = "auto",
    seed: int = 0,
    resume: bool = False,
    refit: bool = False,
    on_epoch: Callable[[TrainState], None] | None = None,
) -> Run:
    """Train as ``fit`` does, with settings already chosen, and also on a dataset without what the catalog says the model needs."""
    if out is not None:
        refuse_after_fork(f"{out}: training into a folder")
    place = None if out is None else Path(out)
    job = _Job(chosen, _training_part(data, chosen), _device(device), seed, refit, place, on_epoch)
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
    on_epoch: Callable[[TrainState], None] | None = None
    _written: float = 0.0

    def run(self, resume: bool) -> Run:
        self._check_metric()  # a setting that cannot be measured is refused before anything is written
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
            validate=self._validator(model),
            state=state,
            on_epoch=self._after_epoch("fit"),
            title=self.chosen.name,
        )
        summary = self._summary(model, done)
        if self.refit:
            return self._second_pass(summary, None)
        return self._finish(model, self.data, done, summary)

    def _second_pass(self, summary: dict[str, Any], state: TrainState | None) -> Run:
        """Train once more on all interactions, for the best epoch's count."""
        data = pool(self.data, "valid", "test")
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
            on_epoch=self._after_epoch("refit"),
            title=f"{self.chosen.name} refit",
        )
        return self._finish(model, data, done, summary)

    def _finish(self, model: Recommender, data: Dataset, done: TrainState, summary: dict[str, Any]) -> Run:
        model.to("cpu").eval()  # a run ranks and explains where its ids and facts are
        run = Run(self.chosen.name, model, data, self.chosen, self.seed, done.history, summary, identity(data), self.refit, self.out)
        if self.out is not None:
            run.write(self.out)
        return run

    def _check_metric(self) -> None:
        metric = self.chosen.train.metric
        if triple_metric(metric) is not None:
            if len(self.data.train) and not len(self.data.held_triples.get("valid", ())):
                raise ConfigError(f"metric {metric!r} is of triples, and none are held out. Build the dataset with --triple-ratios.")
            if not issubclass(self.chosen.model, TripleScorer):
                raise ConfigError(f"metric {metric!r} is of triples, and {self.chosen.name} does not score them. Take ndcg@10.")
            return
        validator(metric, self.data, self.device)

    def _validator(self, model: Recommender) -> Callable[[Scorer], float] | None:
        metric = self.chosen.train.metric
        if triple_metric(metric) is not None:
            return self._triple_validator(model, int(metric.partition("@")[2] or 1))
        if not len(self.data.valid) and not len(self.data.impressions.get("valid", ())):
            return None
        return validator(metric, self.data, self.device)

    def _triple_validator(self, model: Recommender, cut: int) -> Callable[[Scorer], float] | None:
        if not isinstance(model, TripleScorer) or not len(self.data.held_triples.get("valid", ())):
            return None

        def validate(scorer: Scorer) -> float:
            report = evaluate_triples(model, self.data, on="valid", ks=(cut,), device=self.device)
            return report.metrics[self.chosen.train.metric]

        return validate

    def _measured(self, model: Recommender, scorer: Scorer, part: str, held: Interactions) -> dict[str, float] | None:
        """Return the metrics of items and of triples on a held-out part, whichever it has; None where it has neither."""
        found: dict[str, float] = {}
        if len(held):
            found |= evaluate(scorer, self.data, on=part, ks=(10, 20), device=self.device).metrics
        if isinstance(model, TripleScorer) and len(self.data.held_triples.get(part, ())):
            found |= evaluate_triples(model, self.data, on=part, device=self.device).metrics
        return found or None

    def _summary(self, model: Recommender, done: TrainState) -> dict[str, Any]:
        """Return the form of ``kgrec train --json``."""
        scorer = snapshot_scorer(model)
        held = {"valid": self.data.valid, "test": self.data.test}
        parts = {part: self._measured(model, scorer, part, pairs) for part, pairs in held.items()}
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

    def _after_epoch(self, phase: str) -> Callable[[TrainState], None]:
        def after(state: TrainState) -> None:
            if self.out is not None and time.monotonic() - self._written >= _SECONDS_BETWEEN_CHECKPOINTS:
                write_state(self.out / CHECKPOINT, state, {"phase": phase})
                self._written = time.monotonic()
            if self.on_epoch is not None:
                self.on_epoch(state)

        return after

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


def check_needs(chosen: Chosen, data: Dataset) -> None:
    """Refuse a dataset that lacks what a model needs.

    Raises:
        DataError: With what is missing, and how to get it.
    """
    needs = MODELS[chosen.name].needs if chosen.name in MODELS else ("interactions",)
    for need in needs:
        holds, remedy = _NEEDS[need]
        if not holds(data):
            raise DataError(f"{chosen.name} needs {need} and {data.name} has none. {remedy}")


def _training_part(data: Dataset, chosen: Chosen) -> Dataset:
    """Return the data to train on: the published recipes take back the validation part that was held out of a given training file."""
    if chosen.preset in ("paper", "official") and data.settings.get("valid_held_out"):
        logger.info("%s: training on the validation part too, for the fixed epochs of the preset %r.", chosen.name, chosen.preset)
        return pool(data, "valid")
    return data


def measured_by(chosen: Chosen, data: Dataset) -> Chosen:
    """Return the settings with a metric that the dataset can be judged by: without interactions, how well triples are found."""
    metric = chosen.train.metric
    if len(data.train) or triple_metric(metric) is not None:
        return chosen
    if metric != TrainConfig().metric:
        raise ConfigError(f"metric {metric!r} is of items, and {data.name} has no interactions. Take mrr or hits@10.")
    return replace(chosen, train=replace(chosen.train, metric="mrr"))


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return peak_memory()
