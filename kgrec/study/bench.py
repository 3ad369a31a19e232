"""Run an experiment: each model on each data set with each seed, resumable at any point, into one
folder.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import polars as pl

from kgrec.data.derive.variants import item_groups
from kgrec.data.io.files import read_record, write_parquet
from kgrec.data.io.writing import write_whole
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.fingerprint import fingerprint
from kgrec.data.storage import open_dataset
from kgrec.errors import CheckpointError, ConfigError
from kgrec.log import logger
from kgrec.models.catalog import find
from kgrec.models.fallback import served
from kgrec.process import refuse_after_fork
from kgrec.runs.fit import fit
from kgrec.runs.run import Run
from kgrec.study.experiment import (
    DataChoice,
    Experiment,
    ModelChoice,
    check_fits,
    load_data,
    read_experiment,
)
from kgrec.study.figures import Bench, Cell, sum_up
from kgrec.study.folder import plain, study_folder
from kgrec.study.tables import write_tables
from kgrec.study.trackers import tracking
from kgrec.study.tune import all_settings, tune
from kgrec.study.values import EVERYTHING, stored_values, values_by_group
from kgrec.training.loop import TrainState


def run_experiment(
    experiment: "str | PathLike[str] | Mapping[str, Any] | Experiment",
    *,
    out: str | PathLike[str] | None = None,
    resume: bool = False,
) -> Bench:
    """Train and evaluate every model of an experiment on every data set with every seed, and
    compare them, paired by user and seed.

    A killed experiment continues with ``resume``: finished trainings are not done again, the one
    that ran continues from its checkpoint, and all figures are those of an uninterrupted one.
    Models and seeds can be added to the file in between. Where two seeds give the same values a
    model draws nothing, and further seeds are not trained.

    Args:
        experiment: A TOML file (docs/experiments.md), or what it holds.
        out: Folder: ``data``, ``runs``, ``values`` (per user), ``tables``; None takes
            ``experiment-NAME``.
        resume: Continue what is in ``out``; if nothing is there, start it.

    Raises:
        ConfigError: If the experiment states what cannot be run; nothing is written then.
        DataError: If a data set cannot be loaded, or lacks what a model needs.
        CheckpointError: If ``out`` holds something else, or an experiment and ``resume`` is False,
            or one on other data.
    """
    refuse_after_fork("An experiment")
    if not isinstance(experiment, Experiment):
        experiment = read_experiment(experiment)

    if out is None:
        out = f"experiment-{experiment.name}"

    folder = Path(out)
    if folder.is_dir() and any(folder.iterdir()) and not resume:
        raise CheckpointError(
            f"{folder}: exists. Continue it with --resume (in Python resume=True), or choose "
            "another folder."
        )

    data = {}
    for choice in experiment.data:
        data[choice.name] = load_data(choice)
        check_fits(experiment, data[choice.name])

    started = {
        "name": experiment.name,
        "data": {name: fingerprint(each) for name, each in data.items()},
        "metrics": list(experiment.metrics),
        "on": experiment.on,
        "protocol": experiment.protocol,
    }
    with study_folder(folder, "experiment", started) as place:
        work = _Work(experiment, place)
        cells = [cell for choice in experiment.data for cell in work.cells(choice, data)]
        found = sum_up(experiment, work.stored, cells, place)
        write_tables(found)
        return found


class _Work:
    """The trainings of an experiment; what is in the folder is not done again."""

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        self.experiment = experiment
        self.folder = folder
        self.stored: dict[str, Dataset] = {}
        self.total = len(experiment.data) * len(experiment.models) * len(experiment.seeds)
        self.done = 0

    def cells(self, choice: DataChoice, given: Mapping[str, Dataset]) -> list[Cell]:
        """Return what every model and seed gives on a data set."""
        data = self._dataset(choice, given[choice.name])
        self.stored[choice.name] = data
        recipes = {
            model.name: self._recipe(choice, model, data) for model in self.experiment.models
        }
        found: list[Cell] = []
        for seed in self.experiment.seeds:
            for model in self.experiment.models:
                self.done += 1
                cell = _drawless([each for each in found if each.model == model.name], seed)
                if cell is None:
                    cell = self._cell(choice, model, *recipes[model.name], data, seed)
                found.append(cell)

        return found

    def _dataset(self, choice: DataChoice, data: Dataset) -> Dataset:
        """Return a data set as a stored one, so that its runs find it again."""
        if data.path is not None:
            return data

        place = self.folder / "data" / choice.folder
        if not place.is_dir():
            place.parent.mkdir(exist_ok=True)
            replace(data, name=choice.name).save(place)

        return open_dataset(place)

    def _recipe(
        self, choice: DataChoice, model: ModelChoice, data: Dataset
    ) -> tuple[str, dict[str, Any]]:
        """Return the preset and the settings that a model is trained with: its own, or every one of
        the best that a search finds on the validation part.
        """
        settings = self.experiment.settings_of(model)
        budget = self.experiment.budget
        space = find(model.model).search_space()
        if budget.trials is None or set(space) <= set(settings):
            return model.preset, settings

        place = self.folder / "tune" / choice.folder / model.folder
        place.parent.mkdir(parents=True, exist_ok=True)
        minutes = float("inf") if budget.minutes is None else float(budget.minutes)
        found = tune(
            data,
            model.model,
            out=place,
            trials=budget.trials,
            minutes=minutes,
            settings=settings,
            device=self.experiment.device,
            start=() if model.preset == "default" else (model.preset,),
            final=False,
        )
        return "default", found.best

    def _cell(
        self,
        choice: DataChoice,
        model: ModelChoice,
        preset: str,
        settings: Mapping[str, Any],
        data: Dataset,
        seed: int,
    ) -> Cell:
        label = f"{model.folder}-{seed}"
        place = self.folder / "values" / choice.folder
        run_folder = self.folder / "runs" / choice.folder / label
        for parent in (place, run_folder.parent):
            parent.mkdir(parents=True, exist_ok=True)

        values, record = place / f"{label}.parquet", place / f"{label}.json"
        wanted = {"seed": seed, "preset": preset, "given": plain(dict(settings))}
        wanted["seconds"] = self.experiment.budget.seconds
        if record.exists():
            return _kept(choice, model, seed, values, record, wanted, self.experiment)

        track = self.folder / "tracks" / choice.folder / label
        with tracking(self.experiment.trackers, track, f"{choice.name} {label}") as report:

            def after(state: TrainState) -> None:
                _keep_to(self.experiment.budget.seconds, state)
                report(state)

            run = fit(
                model.model,
                data,
                out=run_folder,
                resume=True,
                preset=preset,
                seed=seed,
                device=self.experiment.device,
                on_epoch=after,
                **settings,
            )
            report.finish(run.summary)

        frame = self._evaluated(run, data)
        write_whole(values, lambda file: write_parquet(frame, file))
        known = wanted | _record(run, self.experiment.budget.seconds)
        text = json.dumps(known, indent=1, ensure_ascii=False) + "\n"
        write_whole(record, lambda file: file.write_text(text, encoding="utf-8"))

        first = self.experiment.metrics[0]
        whole = frame.filter(pl.col("items") == EVERYTHING)
        logger.info(
            "training %d of %d: %s on %s, seed %d: %s %.4f, %.0f s",
            self.done,
            self.total,
            model.name,
            choice.name,
            seed,
            first,
            whole[first].mean(),
            run.summary["seconds"],
        )
        return Cell(choice.name, model.name, seed, frame, known)

    def _evaluated(self, run: Run, data: Dataset) -> pl.DataFrame:
        """Return the values of each user, over all relevant items and over groups of them."""
        experiment = self.experiment
        if experiment.protocol != "ranking":
            report = run.evaluate(experiment.on, experiment.ks, protocol=experiment.protocol)
            frame = report.per_user.rename({report.per_user.columns[0]: "user"})
            missing = [name for name in experiment.metrics if name not in frame.columns]
            if missing:
                known = ", ".join(name for name in frame.columns if name in report.metrics)
                raise ConfigError(
                    f"metric {missing[0]!r} has no value per user under protocol "
                    f"{experiment.protocol}. Choose from {known}."
                )
            return frame.select("user", *experiment.metrics).with_columns(
                pl.lit(EVERYTHING).alias("items")
            )

        parted = replace(data, train=run.data.train, valid=run.data.valid)
        names = tuple(dict.fromkeys(name.partition("@")[0] for name in experiment.metrics))
        return values_by_group(
            served(run.model, run.scorer(), run.data, run.fallback),
            parted,
            experiment.on,
            experiment.ks or (20,),
            names,
            item_groups(data),
        )


def _drawless(cells: list[Cell], seed: int) -> Cell | None:
    """Return the cell of a further seed where two have shown that the model draws nothing: neither
    losses nor values differ.
    """
    if len(cells) < 2 or not cells[0].values.equals(cells[1].values):
        return None

    first, second = (
        [
            {name: value for name, value in one.items() if not name.endswith("seconds")}
            for one in cell.record["history"]
        ]
        for cell in cells[:2]
    )
    if first != second:
        return None
    return replace(cells[0], seed=seed)


def _kept(
    choice: DataChoice,
    model: ModelChoice,
    seed: int,
    values: Path,
    record: Path,
    wanted: Mapping[str, Any],
    experiment: Experiment,
) -> Cell:
    """Return a training that was done before.

    Raises:
        CheckpointError: If it was done with other settings, or its files are not what was written.
    """
    known = read_record(record)
    for key, value in wanted.items():
        if known.get(key) != value:
            raise CheckpointError(
                f"{record}: {model.name} was trained with {key} {str(known.get(key))[:80]}, not "
                f"{str(value)[:80]}. Give the row another name, or choose another folder."
            )

    if not {"summary", "history", "settings", "cut"} <= set(known):
        raise CheckpointError(
            f"{record}: not the record of a training. Remove it, and it is made again."
        )

    return Cell(choice.name, model.name, seed, stored_values(values, experiment.metrics), known)


def _keep_to(seconds: float | int | None, state: TrainState) -> None:
    """End a training whose seconds are spent with the best epoch so far, as if patience were."""
    if seconds is None or state.stopping.stop:
        return

    if _seconds(state.history) >= seconds:
        state.stopping.patience = 1
        state.stopping.since = max(1, state.stopping.since)


def _record(run: Run, limit: float | int | None) -> dict[str, Any]:
    """Return what is kept of a run beside its values: nothing in it names a user."""
    config = run.train_config
    summary = run.summary
    stopped = (
        config.patience
        and summary["epochs"] - summary["best_epoch"] >= config.patience * config.validate_every
    )
    return {
        "settings": plain(all_settings(run.chosen)),
        "metric": config.metric,
        "history": run.history,
        "summary": summary,
        "cut": limit is not None
        and _seconds(run.history) >= limit
        and summary["epochs"] < config.epochs
        and not stopped,
    }


def _seconds(history: list[dict[str, Any]]) -> float:
    return float(sum(one["seconds"] + one.get("validation_seconds", 0.0) for one in history))
