"""Search a model's declared space on validation data; open the test part once, at the end, for the
best configuration.
"""

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
import torch

from kgrec.data.derive.variants import without_test
from kgrec.data.formats.load import load
from kgrec.data.io.writing import discard, write_whole
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.fingerprint import fingerprint
from kgrec.data.records.needs import check_needs
from kgrec.errors import CheckpointError, ConfigError, DataError, DivergedError, TrainingError
from kgrec.log import logger
from kgrec.models.base import Recommender, Space, Span
from kgrec.models.catalog import find
from kgrec.process import refuse_after_fork
from kgrec.random import derive
from kgrec.runs.fit import fit, measured_by
from kgrec.runs.folder import CONFIG, read_config
from kgrec.runs.run import Run
from kgrec.runs.settings import ALIASES, Chosen, choose, refuse_test_selection
from kgrec.scale.world import World
from kgrec.study.folder import plain, study_folder
from kgrec.training.loop import TrainState

if TYPE_CHECKING:
    import optuna

_STORAGE = "optuna.db"
_BEST = "best.toml"
_TABLE = "trials.csv"
_RUN = "run"
_RANDOM_TRIALS = 4
_SECONDS_FOR_A_WRITER = 60.0  # of several processes one writes to the database at a time
_EPOCHS_BEFORE_PRUNING = 10
_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration that was tried.

    Attributes:
        number: From 1; the first is the model's default preset.
        state: "done", "pruned" (worse than the median of the others at the same epoch) or "failed".
        value: Best validation value; None if there is none.
        epochs: Epochs trained; 0 where it failed before the first ended.
        best_epoch: The epoch of ``value``.
        seconds: How long it took.
        settings: What was searched, by name.
        note: Why it failed, or that the time budget cut it short.
    """

    number: int
    state: Literal["done", "pruned", "failed"]
    value: float | None
    epochs: int
    best_epoch: int
    seconds: float
    settings: dict[str, Any]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a search found.

    Attributes:
        model: Model name.
        dataset: Name of the dataset.
        metric: What was measured on the validation part.
        space: What was searched.
        tried: Every trial in order.
        chosen: The best of those that are done.
        best: Every setting of it: what ``best.toml`` holds, and ``fit`` takes.
        run: The run of the best configuration, whose summary has the one look at the test part;
            None where that was not asked for.
        out: Folder of the study.
    """

    model: str
    dataset: str
    metric: str
    space: Space
    tried: tuple[Trial, ...]
    chosen: Trial
    best: dict[str, Any]
    run: Run | None
    out: Path

    @property
    def value(self) -> float:
        """Validation value of the best trial."""
        if self.chosen.value is None:
            return float("nan")
        return self.chosen.value

    @property
    def trials(self) -> int:
        """Number of trials, pruned and failed ones included."""
        return len(self.tried)

    @property
    def pruned(self) -> int:
        """Number of trials that were ended early."""
        return sum(trial.state == "pruned" for trial in self.tried)

    @property
    def seconds(self) -> float:
        """How long all trials took together."""
        return round(sum(trial.seconds for trial in self.tried), 3)

    def to_dict(self) -> dict[str, Any]:
        """Return the form of ``kgrec tune --json``."""
        return {
            "model": self.model,
            "dataset": self.dataset,
            "metric": self.metric,
            "trials": [asdict(trial) for trial in self.tried],
            "best": asdict(self.chosen),
            "settings": dict(self.best),
            "seconds": self.seconds,
            "cold_users": self.run.summary["cold_users"] if self.run else None,
            "warm": self.run.summary["warm"] if self.run else None,
            "valid": self.run.summary["valid"] if self.run else None,
            "test": self.run.summary["test"] if self.run else None,
            "out": str(self.out),
        }

    def to_frame(self) -> pl.DataFrame:
        """Return the trials as a frame: number, state, validation value, epochs, seconds, a column
        per searched setting, note.
        """
        return _frame(self.tried, self.metric)


def tune(
    data: "Dataset | str | PathLike[str]",
    model: str | type[Recommender],
    *,
    out: str | PathLike[str],
    trials: int = 12,
    minutes: float = 15.0,
    seed: int = 0,
    device: str = "auto",
    space: Space | None = None,
    settings: Mapping[str, Any] | None = None,
    final: bool = True,
    world: World | None = None,
) -> Tuning:
    """Search a model's settings by their validation value, and train the best configuration once
    more into ``out/run``.

    The first trial is the default preset. Later ones are drawn by a tree-structured Parzen
    estimator, and end early where they fall behind the median of the others. Rankings are evaluated
    by the validation users who have training interactions. Trials are given the data without its
    test part. The folder can be gone on with, by the same call, after an interruption of any kind
    (an interrupted trial starts again) or with a larger budget.

    Args:
        data: A dataset with a validation part, or anything ``kgrec.load`` takes.
        model: Name in ``MODELS``, or a ``Recommender`` class.
        out: Folder of the study: ``optuna.db``, ``trials.csv``, ``best.toml`` (for
            ``kgrec train --config``), ``run``.
        trials: Most trials, pruned and failed ones included.
        minutes: Most minutes of all trials together; the one that runs then is cut and counts with
            what it reached.
        seed: Seed of the search and of every training.
        device: "auto", "cpu" or "cuda".
        space: What to search; None takes the model's own ``SPACE``.
        settings: Settings that are fixed, not searched, by name.
        final: Whether to train the best configuration into ``out/run`` and open the test part.
        world: The processes that search together, each of which calls this alike
            (``World.here()`` under ``torchrun``): they try configurations side by side, and
            ``minutes`` are those of each. Which trials a draw knows then depends on which came to
            an end before. The first process alone trains the best configuration. None is this one
            alone.

    Raises:
        ConfigError: If optuna is missing, the model declares nothing to search, or a setting or
            budget is out of range.
        DataError: If the dataset lacks a validation part or what the model needs.
        CheckpointError: If ``out`` holds something else, or a search started otherwise.
        TrainingError: If no trial came to an end.

    Source: Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; Akiba et
    al., Optuna, KDD 2019.
    """
    refuse_after_fork("Tuning")
    _require_optuna()
    world = world or World()
    fixed = dict(settings or {})
    chosen = choose(model, "default", fixed)
    refuse_test_selection(chosen, "tune")
    _check_budget(trials, minutes, seed)
    searched = _searched(model, chosen, space, fixed)

    if isinstance(data, Dataset):
        whole = data
    else:
        whole = load(data)

    check_needs(chosen.name, chosen.needs, whole)
    chosen = measured_by(chosen, whole)

    if not (
        len(whole.valid)
        or len(whole.impressions.get("valid", ()))
        or len(whole.held_triples.get("valid", ()))
    ):
        raise DataError(
            f"{whole.name} has no validation part, so there is nothing to tune on. Build it with "
            "--ratios 0.8,0.1,0.1."
        )

    started = {
        "model": chosen.name,
        "seed": seed,
        "dataset": fingerprint(whole),
        "space": _written(searched),
        "fixed": plain(fixed),
    }
    with study_folder(Path(out), "tune", started, world) as folder:
        part = without_test(whole)
        search = _Search(model, chosen, part, searched, fixed, seed, device, folder, world)
        tried = search.run(trials, minutes * 60)
        best = _best(tried, chosen.train.sign)
        if best is None:
            raise TrainingError(
                f"none of {len(tried)} trials came to an end; the last: {tried[-1].note} See "
                f"{folder / _TABLE}."
            )

        if final and world.first:
            run = _open_test(search, best, whole)
        else:
            run = None

        return Tuning(
            chosen.name,
            whole.name,
            search.metric,
            searched,
            tried,
            best,
            search.settings_of(best),
            run,
            folder,
        )


class _OutOfTimeError(Exception):
    """The time budget is spent."""


@dataclass(slots=True)
class _Watch:
    """What receives the epochs of a trial while it trains: prune it, or stop it at the deadline."""

    trial: "optuna.Trial"
    metric: str
    deadline: float
    sign: int = 1
    best: float | None = None
    best_epoch: int = 0
    epoch: int = 0

    def __call__(self, state: TrainState) -> None:
        self.epoch = state.epoch
        value = state.history[-1].get(self.metric)
        if value is not None:
            self.best = self.sign * state.stopping.best
            self.best_epoch = state.stopping.best_epoch
            self.trial.report(self.sign * value, state.epoch)
            if self.trial.should_prune():
                raise _optuna().TrialPruned

        if self.best is not None and time.monotonic() >= self.deadline:
            raise _OutOfTimeError


@dataclass(slots=True)
class _Search:
    """The trials of one study; ``data`` has no test part."""

    model: str | type[Recommender]
    chosen: Chosen
    data: Dataset
    space: Space
    fixed: Mapping[str, Any]
    seed: int
    device: str
    folder: Path
    world: World
    defaults: dict[str, Any] = field(init=False)
    _logged: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        everything = all_settings(self.chosen)
        self.defaults = {name: everything[name] for name in self.space}

    @property
    def metric(self) -> str:
        return self.chosen.train.metric

    def run(self, trials: int, seconds: float) -> tuple[Trial, ...]:
        """Try configurations until a budget is spent, and keep the folder's tables up to date."""
        # the first process makes the database, closes old trials, and says how many have ended
        done = 0 if self.world.first else self.world.hear(patient=True)
        with _storage(self.folder / _STORAGE) as storage:
            optuna = _optuna()
            study = optuna.create_study(
                study_name="kgrec",
                storage=storage,
                direction="maximize",
                pruner=optuna.pruners.MedianPruner(_RANDOM_TRIALS, _EPOCHS_BEFORE_PRUNING),
                load_if_exists=True,
            )
            if not self.world.first:
                self._share(study, done, None, trials, seconds)
                return _counted(study)

            _close_interrupted(study)
            found = _counted(study)
            self._logged = len(found)
            if self.world.size > 1:
                drawn = None
                if len(found) < trials:  # the default preset is asked for before others draw
                    drawn = self._trial(study, len(found) + self.world.claim("trial"))
                self.world.hear(len(found))
                self._share(study, len(found), drawn, trials, seconds)
                return _counted(study)

            while len(found) < trials and (left := self._left(found, seconds)) > 0:
                drawn = self._trial(study, len(found))
                self._one(study, *drawn, time.monotonic() + left)
                found = _counted(study)
                self._report(found, trials)

            return found

    def _left(self, found: tuple[Trial, ...], seconds: float) -> float:
        """Return the seconds left for each process."""
        return seconds - sum(trial.seconds for trial in found) / self.world.size

    def _share(
        self,
        study: "optuna.Study",
        done: int,
        drawn: "tuple[optuna.Trial, int, dict[str, Any]] | None",
        trials: int,
        seconds: float,
    ) -> None:
        """Try what no other process has taken, ``drawn`` first, until nothing is left; then wait
        for the others.
        """
        while (left := self._left(_counted(study), seconds)) > 0:
            if drawn is None:
                number = done + self.world.claim("trial")
                if number >= trials:
                    break
                drawn = self._trial(study, number)

            self._one(study, *drawn, time.monotonic() + left)
            drawn = None
            if self.world.first:
                self._report(_counted(study), trials)

        self.world.gather(None, patient=True)
        if self.world.first and (found := _counted(study)):
            self._report(found, trials)

    def _trial(
        self, study: "optuna.Study", number: int
    ) -> "tuple[optuna.Trial, int, dict[str, Any]]":
        """Return a trial, its number from 0, and its settings; what is drawn depends on the seed
        and the trials before, not on when it is.
        """
        optuna = _optuna()
        study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=_RANDOM_TRIALS,
            multivariate=True,
            seed=derive(self.seed, "tune", number) % 2**32,
        )
        if number == 0 and not any(
            trial.state == optuna.trial.TrialState.WAITING for trial in study.trials
        ):
            study.enqueue_trial(
                {name: _encoded(self.space[name], value) for name, value in self.defaults.items()}
            )

        trial = study.ask(
            {name: _distribution(span, self.defaults[name]) for name, span in self.space.items()}
        )
        if number == 0:
            values = dict(self.defaults)
        else:
            values = self._decoded(trial.params)

        trial.set_user_attr("settings", plain(values))
        return trial, number, values

    def _one(
        self,
        study: "optuna.Study",
        trial: "optuna.Trial",
        number: int,
        values: dict[str, Any],
        deadline: float,
    ) -> None:
        """Train and evaluate one configuration."""
        optuna = _optuna()
        began = time.monotonic()
        sign = self.chosen.train.sign
        watch = _Watch(trial, self.metric, deadline, sign)
        state = optuna.trial.TrialState.COMPLETE
        value = None
        note = ""

        try:
            run = fit(
                self.model,
                self.data,
                device=self.device,
                seed=self.seed,
                fallback="off",
                on_epoch=watch,
                **{**self.fixed, **values},
            )
            values_seen = [record[self.metric] for record in run.history if self.metric in record]
            value = sign * max(sign * seen for seen in values_seen)
            watch.epoch = run.summary["epochs"]
            watch.best_epoch = run.summary["best_epoch"]
        except optuna.TrialPruned:
            state = optuna.trial.TrialState.PRUNED
        except _OutOfTimeError:
            value = watch.best
            note = "cut by the time budget"
        except (DivergedError, ConfigError, MemoryError, torch.OutOfMemoryError) as error:
            if isinstance(error, ConfigError) and number == 0:
                raise

            state = optuna.trial.TrialState.FAIL
            note = str(error) or "out of memory"

        record = {
            "seconds": time.monotonic() - began,
            "epochs": watch.epoch,
            "best_epoch": watch.best_epoch,
            "note": note,
        }
        if value is None:
            record["value"] = watch.best
        else:
            record["value"] = value

        trial.set_user_attr("told", record)
        study.tell(trial, None if value is None else sign * value, state)

    def _decoded(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, span in self.space.items():
            if isinstance(span, Span):
                drawn_value, low, high = drawn[name], *_bounds(span, self.defaults[name])
                if isinstance(drawn_value, float):
                    values[name] = min(max(float(f"{drawn_value:.{_DIGITS}g}"), low), high)
                else:
                    values[name] = drawn_value
            else:
                values[name] = _choices(span, self.defaults[name])[drawn[name]]

        return values

    def _report(self, found: tuple[Trial, ...], trials: int) -> None:
        """Log the new trials, and write the table and the best configuration so far."""
        best = _best(found, self.chosen.train.sign)
        for trial in found[self._logged :]:
            self._tell(trial, trials, best)

        self._logged = len(found)
        write_whole(self.folder / _TABLE, lambda file: _frame(found, self.metric).write_csv(file))

        if best is not None:
            lines = "".join(
                f"{name} = {to_toml(value)}\n" for name, value in self.settings_of(best).items()
            )
            write_whole(self.folder / _BEST, lambda file: file.write_text(lines, encoding="utf-8"))

    def _tell(self, trial: Trial, trials: int, best: Trial | None) -> None:
        if trial.value is None:
            value = "-"
        else:
            value = f"{trial.value:.4f}"

        settings_text = ", ".join(
            f"{name}={to_toml(value)}" for name, value in trial.settings.items()
        )
        logger.info(
            "trial %d of %d %s: %s %s (best %s), %d epochs, %.0f s; %s%s",
            trial.number,
            trials,
            trial.state,
            self.metric,
            value,
            "-" if best is None else f"{best.value:.4f}",
            trial.epochs,
            trial.seconds,
            settings_text,
            f" ({trial.note})" if trial.note else "",
        )

    def settings_of(self, trial: Trial) -> dict[str, Any]:
        """Return every setting of a trial, those of the default preset included, so that they stand
        by themselves.
        """
        if isinstance(self.model, str):
            entry = find(self.model)
        else:
            entry = None

        everything = all_settings(
            choose(self.model, "default", {**self.fixed, **trial.settings, "metric": self.metric})
        )

        return {
            name: value
            for name, value in everything.items()
            if value is not None and not (entry and name in entry.fixed)
        }


@contextmanager
def _storage(path: Path) -> Iterator[Any]:
    """Give the database of a search.

    Raises:
        CheckpointError: If it cannot be read or written.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path}: not a plain file. Search into another folder.")

    storage = None
    try:
        storage = _optuna().storages.RDBStorage(
            f"sqlite:///{path.resolve()}",
            engine_kwargs={"connect_args": {"timeout": _SECONDS_FOR_A_WRITER}},
        )
        yield storage
    except (SQLAlchemyError, StorageInternalError) as error:
        why = str(getattr(error, "orig", None) or error.__cause__ or error).split("\n")[0][:120]
        raise CheckpointError(
            f"{path}: cannot be read or written ({why}). Check the space left, or search into "
            "another folder."
        ) from None
    finally:
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


def all_settings(chosen: Chosen) -> dict[str, Any]:
    """Return the model's configuration and the training settings by name."""
    return {
        part.name: getattr(source, part.name)
        for source in (chosen.config, chosen.train)
        for part in fields(source)
    }


def to_toml(value: Any) -> str:
    """Return a setting as TOML.

    >>> to_toml((64, 32)), to_toml(True), to_toml(0.001), to_toml("bpr")
    ('[64, 32]', 'true', '0.001', '"bpr"')
    """
    if isinstance(value, list | tuple):
        return "[" + ", ".join(to_toml(part) for part in value) + "]"

    return json.dumps(value)


def _open_test(search: _Search, best: Trial, whole: Dataset) -> Run:
    """Train the best configuration again, with the one look at the test part."""
    settings = search.settings_of(best)
    folder = search.folder / _RUN
    if (folder / CONFIG).is_file() and not _same(folder, choose(search.model, "default", settings)):
        logger.info(
            "%s: a larger search found a better configuration; the run of the former best is "
            "replaced.",
            search.folder,
        )
        discard(folder)

    logger.info("training the best configuration (trial %d) into %s", best.number, folder)

    return fit(
        search.model,
        whole,
        out=folder,
        device=search.device,
        seed=search.seed,
        resume=True,
        **settings,
    )


def _same(folder: Path, chosen: Chosen) -> bool:
    try:
        record = read_config(folder)
    except CheckpointError:
        return False
    return bool(
        record["config"] == plain(asdict(chosen.config))
        and record["train"] == plain(asdict(chosen.train))
    )


def _best(found: tuple[Trial, ...], sign: int) -> Trial | None:
    """Return the best trial that is done, by ``sign`` times its value; the first of equals."""
    done = [trial for trial in found if trial.state == "done"]
    return max(
        done,
        key=lambda trial: sign * trial.value if trial.value is not None else -math.inf,
        default=None,
    )


def _frame(found: tuple[Trial, ...], metric: str) -> pl.DataFrame:
    if found:
        names = list(found[0].settings)
    else:
        names = []

    columns: dict[str, list[Any]] = {
        "trial": [trial.number for trial in found],
        "state": [trial.state for trial in found],
        metric: [trial.value for trial in found],
        "best_epoch": [trial.best_epoch for trial in found],
        "epochs": [trial.epochs for trial in found],
        "seconds": [round(trial.seconds, 1) for trial in found],
    }
    for name in names:
        values = [trial.settings[name] for trial in found]
        if all(isinstance(value, int | float | str) for value in values):
            columns[name] = values
        else:
            columns[name] = [to_toml(value) for value in values]

    return pl.DataFrame({**columns, "note": [trial.note for trial in found]}, strict=False)


def _counted(study: "optuna.Study") -> tuple[Trial, ...]:
    """Return the trials that came to some end; interrupted ones are as if they had never been."""
    names: dict[str, Literal["done", "pruned", "failed"]] = {
        "COMPLETE": "done",
        "PRUNED": "pruned",
        "FAIL": "failed",
    }
    try:
        ended = [
            trial
            for trial in study.trials
            if trial.state.name in names and "told" in trial.user_attrs
        ]
        return tuple(
            Trial(
                number=number,
                state=names[trial.state.name],
                settings=dict(trial.user_attrs["settings"]),
                **_recorded(trial),
            )
            for number, trial in enumerate(ended, 1)
        )
    except (KeyError, TypeError, ValueError, RecursionError):
        raise CheckpointError(
            f"{_STORAGE}: a trial in it is none of kgrec's. Search into another folder."
        ) from None


def _recorded(trial: "optuna.trial.FrozenTrial") -> dict[str, Any]:
    """Return what kgrec noted of a trial."""
    record = dict(trial.user_attrs["told"])
    value = record["value"]

    return {
        "value": None if value is None else float(value),
        "epochs": int(record["epochs"]),
        "best_epoch": int(record["best_epoch"]),
        "seconds": float(record["seconds"]),
        "note": str(record["note"]),
    }


def _close_interrupted(study: "optuna.Study") -> None:
    """Mark trials of a killed session as failed; without ``told`` they are not counted, and the
    search draws them again.
    """
    states = _optuna().trial.TrialState
    for trial in study.trials:
        if trial.state == states.RUNNING:
            study.tell(trial.number, state=states.FAIL)


def _searched(
    model: str | type[Recommender], chosen: Chosen, space: Space | None, settings: Mapping[str, Any]
) -> dict[str, Span | tuple[Any, ...]]:
    """Return what is left to search."""
    if space is not None:
        declared = space
    elif isinstance(model, str):
        declared = find(model).search_space()
    else:
        declared = {}

    if not declared:
        raise ConfigError(
            f"{chosen.name} declares nothing to tune (no SPACE in its module). Train it as it "
            "is: kgrec train."
        )

    unknown = set(declared) - set(all_settings(chosen))
    if unknown:
        raise ConfigError(
            f"the search space of {chosen.name} names {', '.join(sorted(unknown))}, which is no "
            "setting of it."
        )

    fixed = set(settings) | {ALIASES.get(name, name) for name in settings}
    left = {name: span for name, span in declared.items() if name not in fixed}
    if not left:
        raise ConfigError(
            f"every setting that {chosen.name} would search ({', '.join(declared)}) is fixed. "
            "Leave one out of --set."
        )

    return left


def _distribution(span: Span | tuple[Any, ...], default: Any) -> Any:
    """Return a range in optuna's form, widened to hold the default."""
    distributions = _optuna().distributions
    if not isinstance(span, Span):
        return distributions.CategoricalDistribution(tuple(_choices(span, default)))

    low, high = _bounds(span, default)
    if isinstance(low, int) and isinstance(high, int):
        return distributions.IntDistribution(low, high, log=span.log)

    return distributions.FloatDistribution(low, high, log=span.log)


def _bounds(span: Span, default: float | int) -> tuple[float | int, float | int]:
    return min(span.low, default), max(span.high, default)


def _choices(span: tuple[Any, ...], default: Any) -> dict[str, Any]:
    """Return the choices by how they are written."""
    return {to_toml(value): value for value in (*span, default)}


def _encoded(span: Span | tuple[Any, ...], value: Any) -> Any:
    if isinstance(span, Span):
        return value
    return to_toml(value)


def _written(space: Space) -> dict[str, Any]:
    """Return a space as the folder's record has it."""
    return {
        name: plain(asdict(span) if isinstance(span, Span) else list(span))
        for name, span in space.items()
    }


def _check_budget(trials: int, minutes: float, seed: int) -> None:
    if trials < 1 or not (math.isfinite(minutes) and minutes > 0):
        raise ConfigError(
            f"{trials} trials in {minutes} minutes: take at least 1 trial and a positive number "
            "of minutes."
        )
    if seed < 0:
        raise ConfigError(f"seed {seed} is negative. Take 0 or more.")


def _optuna() -> Any:
    import optuna

    return optuna


def _require_optuna() -> None:
    try:
        _optuna().logging.set_verbosity(_optuna().logging.WARNING)
    except ImportError:
        raise ConfigError(
            "kgrec tune needs optuna, which is not installed. Install it: pip install "
            "'kgrec[tune]'."
        ) from None
