"""Search a model's declared space on validation data; open the test part once, at the end, for the
best configuration.
"""

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from kgrec.data.derive.variants import without_test
from kgrec.data.formats.load import load
from kgrec.data.io.writing import discard, write_whole
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.fingerprint import fingerprint
from kgrec.data.records.needs import check_needs
from kgrec.errors import CheckpointError, ConfigError, DataError, TrainingError
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
from kgrec.study.trials import TRIALS_BEFORE_PRUNING, Outcome, Task, run_trials

if TYPE_CHECKING:
    import optuna

_STORAGE = "optuna.db"
_BEST = "best.toml"
_TABLE = "trials.csv"
_RUN = "run"
_DIGITS = 3
_MEASURED = ("cold_users", "warm", "valid", "test")


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration that was tried.

    Attributes:
        number: From 1; the first is the model's default preset.
        state: "done", "pruned" (its own slope would not bring it to the median of the others, see
            ``out_of_reach``) or "failed".
        value: Best validation value; None if there is none.
        epochs: Epochs trained; 0 where it failed before the first ended.
        best_epoch: The epoch of ``value``.
        seconds: How long it took.
        settings: What was searched, by name.
        note: Why it failed, or that the time budget cut it short.
        values: Its values by data set and seed.
    """

    number: int
    state: Literal["done", "pruned", "failed"]
    value: float | None
    epochs: int
    best_epoch: int
    seconds: float
    settings: dict[str, Any]
    note: str = ""
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a search could use.

    Attributes:
        trials: Most trials.
        seconds: Most seconds of all trials together.
        workers: Trials side by side.
        seeds: Seeds of each trial's trainings.
    """

    trials: int
    seconds: float
    workers: int = 1
    seeds: tuple[int, ...] = (0,)


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
            None where that was not asked for. Of several data sets, that on the first.
        out: Folder of the study.
        budget: What it could use; ``trials`` and ``seconds`` are what it used.
        runs: The run on each data set.
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
    budget: Allowance
    runs: tuple[Run, ...] = ()

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
        measured: dict[str, Any] = dict.fromkeys(_MEASURED)
        if self.run:
            measured = {name: self.run.summary[name] for name in _MEASURED}

        return {
            "model": self.model,
            "dataset": self.dataset,
            "metric": self.metric,
            "trials": [asdict(trial) for trial in self.tried],
            "best": asdict(self.chosen),
            "settings": dict(self.best),
            "seconds": self.seconds,
            "budget": asdict(self.budget),
            **measured,
            "out": str(self.out),
        }

    def to_frame(self) -> pl.DataFrame:
        """Return the trials as a frame: number, state, validation value, epochs, seconds, a column
        per searched setting, note.
        """
        return _frame(self.tried, self.metric)


def tune(
    data: "Dataset | str | PathLike[str] | Sequence[Dataset | str | PathLike[str]]",
    model: str | type[Recommender],
    *,
    out: str | PathLike[str],
    trials: int = 12,
    minutes: float = 15.0,
    seed: int = 0,
    device: str = "auto",
    space: Space | None = None,
    settings: Mapping[str, Any] | None = None,
    start: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    workers: int = 1,
    final: bool = True,
    world: World | None = None,
) -> Tuning:
    """Search a model's settings by their validation value, and train the best configuration once
    more into ``out/run``.

    The first trial is the default preset, and those of ``start`` follow. Later ones are drawn by a
    tree-structured Parzen estimator, and end early where their own slope, held to their last epoch,
    would not bring them to the median of the others: no configuration is ended for being slower to
    learn. A trial is worth its mean over seeds; over several data sets, each value counts as a share
    of the default's there (where that failed, of the first trial's that came to its end). A trial
    that the time ends before all of them counts as failed. Rankings are evaluated by the validation
    users who have training interactions. Trials are given the data without its test part.
    The folder can be gone on with, by the same call, after an interruption of any kind (an
    interrupted trial starts again) or with a larger budget.

    Args:
        data: A dataset with a validation part, or anything ``kgrec.load`` takes; or several of
            them, for settings that serve all.
        model: Name in ``MODELS``, or a ``Recommender`` class.
        out: Folder of the study: ``optuna.db``, ``trials.csv``, ``best.toml`` (for
            ``kgrec train --config``), ``run``.
        trials: Most trials, pruned and failed ones included.
        minutes: Most minutes of all trials together; the one that runs then is cut and counts with
            what it reached.
        seed: Seed of the search, and of the trainings.
        device: "auto", "cpu" or "cuda".
        space: What to search; None takes the model's own ``SPACE``.
        settings: Settings that are fixed, not searched, by name.
        start: Presets of the model that are tried after the default one.
        seeds: Seeds of each trial's trainings; None takes ``seed``.
        workers: Trials side by side, in processes of their own. Those of a round are drawn before
            any of them ends, so that another number searches other configurations; the minutes that
            are left are shared among them evenly.
        final: Whether to train the best configuration into ``out/run`` and open the test part.
        world: The processes that search together, each of which calls this alike
            (``World.here()`` under ``torchrun``): each tries ``workers`` of a round's
            configurations, so that the search is that of one process with as many workers as all
            have. The first process alone draws them, and trains the best one. None is this one
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
    _check_budget(trials, minutes, seed, workers)
    trained = _check_seeds(seed, seeds)
    searched = _searched(model, chosen, space, fixed)
    if isinstance(data, Dataset | str | PathLike):
        wholes = [_loaded(data)]
    else:
        wholes = [_loaded(each) for each in data]

    sums = [fingerprint(whole) for whole in wholes]
    _check_data(chosen, wholes, sums)
    chosen = measured_by(chosen, wholes[0])
    starts = _starts(model, chosen, searched, fixed, start)

    started: dict[str, Any] = {
        "model": chosen.name,
        "seed": seed,
        "dataset": " ".join(sums),
        "space": _written(searched),
        "fixed": plain(fixed),
    }
    # what version 0.1 did not know is noted only where it is used, so that its folders continue
    if trained != (seed,):
        started["seeds"] = list(trained)
    if len(starts) > 1:
        started["start"] = plain(starts[1:])

    with study_folder(Path(out), "tune", started, world) as folder:
        tested = tuple(without_test(whole) for whole in wholes)
        search = _Search(
            model,
            chosen,
            tested,
            searched,
            fixed,
            seed,
            trained,
            world.place(device),
            workers,
            folder,
            starts,
            world,
        )
        tried = search.run(trials, minutes * 60)
        best = _best(tried, chosen.train.sign)
        if best is None:
            raise TrainingError(
                f"none of {len(tried)} trials came to an end; the last: {tried[-1].note} See "
                f"{folder / _TABLE}."
            )

        runs: list[Run] = []
        if final and world.first:
            runs = [_open_test(search, best, whole, len(wholes) > 1) for whole in wholes]

        return Tuning(
            chosen.name,
            ", ".join(whole.name for whole in wholes),
            search.metric,
            searched,
            tried,
            best,
            search.settings_of(best),
            next(iter(runs), None),
            folder,
            Allowance(trials, minutes * 60, workers, trained),
            tuple(runs),
        )


def _loaded(data: "Dataset | str | PathLike[str]") -> Dataset:
    if isinstance(data, Dataset):
        return data
    return load(data)


@dataclass(slots=True)
class _Search:
    """The trials of one study; no data set has a test part.

    ``starts`` are the values that are tried first: those of the default preset, then of others.
    """

    model: str | type[Recommender]
    chosen: Chosen
    data: tuple[Dataset, ...]
    space: Space
    fixed: Mapping[str, Any]
    seed: int
    seeds: tuple[int, ...]
    device: str
    workers: int
    folder: Path
    starts: list[dict[str, Any]]
    world: World

    @property
    def metric(self) -> str:
        return self.chosen.train.metric

    @property
    def sign(self) -> int:
        return self.chosen.train.sign

    def run(self, trials: int, seconds: float) -> tuple[Trial, ...]:
        """Try configurations until a budget is spent, and keep the folder's tables up to date.

        They are tried in rounds of as many as all processes have workers, the first one alone: what
        a round draws depends on the seed and the rounds before, not on which trial ends first.
        """
        if not self.world.first:
            return self._help()

        with _storage(self.folder / _STORAGE) as storage:
            optuna = _optuna()
            study = optuna.create_study(
                study_name="kgrec", storage=storage, direction="maximize", load_if_exists=True
            )
            _close_interrupted(study)
            found = _counted(study)
            while (
                len(found) < trials
                and (left := seconds - sum(trial.seconds for trial in found)) > 0
            ):
                count = 1
                if self._begins(found):
                    count = min(self._places, trials - len(found))

                before = len(found)
                self._round(study, found, count, left / count)
                found = _counted(study)
                for number in range(before + 1, len(found) + 1):
                    self._report(found[:number], trials)

            self.world.hear({"ended": [asdict(trial) for trial in found]})
            return found

    def _begins(self, found: tuple[Trial, ...]) -> bool:
        """Return whether trials can go side by side: of several data sets, once one has come to its
        end, whose values the others' are shares of.
        """
        return any(trial.state == "done" or len(self.data) == 1 for trial in found)

    @property
    def _places(self) -> int:
        """Trials of a round."""
        return self.workers * self.world.size

    def _help(self) -> tuple[Trial, ...]:
        """Try this process's part of every round that the first one draws, until there is none."""
        while "ended" not in (heard := self.world.hear(patient=True)):
            self._tried(heard["tasks"])

        return tuple(Trial(**one | {"values": tuple(one["values"])}) for one in heard["ended"])

    def _tried(self, tasks: list[dict[str, Any]]) -> list[Outcome]:
        """Return the outcomes of a round, of which every process tries its part."""
        mine = tasks[self.world.rank :: self.world.size]
        own = [
            Task(**one | self._same() | {key: tuple(one[key]) for key in ("base", "tops")})
            for one in mine
        ]
        parts = self.world.gather([asdict(one) for one in run_trials(own)], patient=True)
        found = [parts[at % self.world.size][at // self.world.size] for at in range(len(tasks))]
        return [Outcome(**one | {"values": tuple(one["values"])}) for one in found]

    def _same(self) -> dict[str, Any]:
        """Return what all tasks have in common."""
        return {
            "model": self.model,
            "data": self.data,
            "seeds": self.seeds,
            "device": self.device,
            "metric": self.metric,
            "sign": self.sign,
        }

    def _round(
        self, study: "optuna.Study", found: tuple[Trial, ...], count: int, seconds: float
    ) -> None:
        """Try some configurations side by side, each for at most so many seconds."""
        tasks = []
        drawn = []
        for number in range(len(found), len(found) + count):
            trial, values = self._ask(study, number)
            trial.set_user_attr("settings", plain(values))
            drawn.append(trial)
            tasks.append(self._task(found, number, values, seconds))

        states = _optuna().trial.TrialState
        heard = self.world.hear({"tasks": tasks})
        for trial, outcome in zip(drawn, self._tried(heard["tasks"]), strict=True):
            record = {
                "seconds": outcome.seconds,
                "epochs": outcome.epochs,
                "best_epoch": outcome.best_epoch,
                "note": outcome.note,
                "value": outcome.value,
                "values": list(outcome.values),
            }
            trial.set_user_attr("told", record)
            if outcome.state == "done" and outcome.value is not None:
                study.tell(trial, self.sign * outcome.value)
            elif outcome.state == "pruned":
                if outcome.value is not None:  # of several cells it has none
                    trial.report(self.sign * outcome.value, outcome.epochs)
                study.tell(trial, state=states.PRUNED)
            else:
                study.tell(trial, state=states.FAIL)

    def _ask(self, study: "optuna.Study", number: int) -> "tuple[optuna.Trial, dict[str, Any]]":
        """Return a new trial and its settings; what is drawn depends on the seed and the trials
        before, not on when it is.
        """
        optuna = _optuna()
        study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=TRIALS_BEFORE_PRUNING,
            multivariate=True,
            constant_liar=self._places > 1,
            seed=derive(self.seed, "tune", number) % 2**32,
        )
        first = None
        if number < len(self.starts):
            first = self.starts[number]

        if first is not None and not any(
            trial.state == optuna.trial.TrialState.WAITING for trial in study.trials
        ):
            study.enqueue_trial(
                {name: _encoded(self.space[name], value) for name, value in first.items()}
            )

        trial = study.ask(
            {name: _distribution(span, self._begun(name)) for name, span in self.space.items()}
        )
        if first is None:
            return trial, self._decoded(trial.params)
        return trial, dict(first)

    def _begun(self, name: str) -> list[Any]:
        """Return the values of a setting that the space must hold."""
        return [values[name] for values in self.starts]

    def _task(
        self, found: tuple[Trial, ...], number: int, values: Mapping[str, Any], seconds: float
    ) -> dict[str, Any]:
        """Return what is the task's own: plain values."""
        done = [trial for trial in found if trial.state == "done"]
        worth = [trial.value for trial in done if trial.value is not None]
        cells = [trial.values for trial in done if trial.values]
        better = max if self.sign > 0 else min
        base: tuple[float, ...] = ()
        if cells:
            base = cells[0]

        median = None
        if len(worth) >= TRIALS_BEFORE_PRUNING:
            median = statistics.median(worth)

        return {
            "settings": {**self.fixed, **values},
            "seconds": seconds,
            "number": number,
            "base": base,
            "tops": tuple(better(column) for column in zip(*cells, strict=True)),
            "median": median,
        }

    def _decoded(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, span in self.space.items():
            if isinstance(span, Span):
                drawn_value = drawn[name]
                low, high = _bounds(span, self._begun(name))
                if isinstance(drawn_value, float):
                    values[name] = min(max(float(f"{drawn_value:.{_DIGITS}g}"), low), high)
                else:
                    values[name] = drawn_value
            else:
                values[name] = _choices(span, self._begun(name))[drawn[name]]

        return values

    def _report(self, found: tuple[Trial, ...], trials: int) -> None:
        """Log the newest trial, and write the table and the best configuration so far."""
        last = found[-1]
        note = ""
        if last.note:
            note = f" ({last.note})"

        settings_text = ", ".join(
            f"{name}={to_toml(value)}" for name, value in last.settings.items()
        )
        best = _best(found, self.chosen.train.sign)
        logger.info(
            "trial %d of %d %s: %s %s (best %s), %d epochs, %.0f s; %s%s",
            last.number,
            trials,
            last.state,
            self.metric,
            _value_of(last),
            _value_of(best),
            last.epochs,
            last.seconds,
            settings_text,
            note,
        )
        write_whole(self.folder / _TABLE, lambda file: _frame(found, self.metric).write_csv(file))

        if best is not None:
            lines = "".join(
                f"{name} = {to_toml(value)}\n" for name, value in self.settings_of(best).items()
            )
            write_whole(self.folder / _BEST, lambda file: file.write_text(lines, encoding="utf-8"))

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
        storage = _optuna().storages.RDBStorage(f"sqlite:///{path.resolve()}")
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


def _open_test(search: _Search, best: Trial, whole: Dataset, several: bool) -> Run:
    """Train the best configuration again, with the one look at the test part."""
    settings = search.settings_of(best)
    folder = search.folder / _RUN
    if several:
        folder.mkdir(exist_ok=True)
        folder = folder / fingerprint(whole)[:12]

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


def _value_of(trial: Trial | None) -> str:
    """Return the value of a trial as it is logged."""
    if trial is None or trial.value is None:
        return "-"
    return f"{trial.value:.4f}"


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
    if value is not None:
        value = float(value)

    return {
        "value": value,
        "epochs": int(record["epochs"]),
        "best_epoch": int(record["best_epoch"]),
        "seconds": float(record["seconds"]),
        "note": str(record["note"]),
        "values": tuple(float(one) for one in record.get("values", ())),
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


def _distribution(span: Span | tuple[Any, ...], starts: Sequence[Any]) -> Any:
    """Return a range in optuna's form, widened to hold what is tried first."""
    distributions = _optuna().distributions
    if not isinstance(span, Span):
        return distributions.CategoricalDistribution(tuple(_choices(span, starts)))

    low, high = _bounds(span, starts)
    if isinstance(low, int) and isinstance(high, int):
        return distributions.IntDistribution(low, high, log=span.log)

    return distributions.FloatDistribution(low, high, log=span.log)


def _bounds(span: Span, starts: Sequence[float | int]) -> tuple[float | int, float | int]:
    """Return a range with the starts in it; 0, which has no logarithm, stays outside of those that
    are searched evenly in it.
    """
    held = [value for value in starts if value > 0 or not span.log]
    return min([span.low, *held]), max([span.high, *held])


def _choices(span: tuple[Any, ...], starts: Sequence[Any]) -> dict[str, Any]:
    """Return the choices by how they are written."""
    return {to_toml(value): value for value in (*span, *starts)}


def _encoded(span: Span | tuple[Any, ...], value: Any) -> Any:
    """Return a start as the sampler has it: 0 is the least of a range without it."""
    if not isinstance(span, Span):
        return to_toml(value)
    if span.log and value <= 0:
        return span.low
    return value


def _written(space: Space) -> dict[str, Any]:
    """Return a space as the folder's record has it."""
    found = {}
    for name, span in space.items():
        if isinstance(span, Span):
            found[name] = plain(asdict(span))
        else:
            found[name] = plain(list(span))

    return found


def _starts(
    model: str | type[Recommender],
    chosen: Chosen,
    space: Space,
    fixed: Mapping[str, Any],
    presets: Sequence[str],
) -> list[dict[str, Any]]:
    """Return the values of what is searched in the default preset, and in others that differ."""
    found = []
    for every in (chosen, *(choose(model, preset, fixed) for preset in presets)):
        everything = all_settings(every)
        values = {name: everything[name] for name in space}
        if values not in found:
            found.append(values)

    return found


def _check_data(chosen: Chosen, data: Sequence[Dataset], sums: Sequence[str]) -> None:
    """Refuse data sets that cannot be tuned on; ``sums`` tell one from another."""
    if not data:
        raise ConfigError("there is nothing to tune on. Name at least one data set.")

    for whole in data:
        check_needs(chosen.name, chosen.needs, whole)
        if not (
            len(whole.valid)
            or len(whole.impressions.get("valid", ()))
            or len(whole.held_triples.get("valid", ()))
        ):
            raise DataError(
                f"{whole.name} has no validation part, so there is nothing to tune on. Build it "
                "with --ratios 0.8,0.1,0.1."
            )
        if measured_by(chosen, whole) != measured_by(chosen, data[0]):
            raise DataError(
                f"{whole.name} is measured by another metric than {data[0].name}. Tune on them one "
                "by one."
            )

    if len(set(sums)) < len(sums):
        raise ConfigError("a data set is there twice. Leave one out.")


def _check_seeds(seed: int, seeds: Sequence[int] | None) -> tuple[int, ...]:
    found: tuple[int, ...] = (seed,)
    if seeds is not None:
        found = tuple(seeds)
    if not found or len(set(found)) < len(found) or min(found) < 0:
        raise ConfigError(f"seeds {found}: name distinct whole numbers of 0 or more.")
    return found


def _check_budget(trials: int, minutes: float, seed: int, workers: int) -> None:
    if trials < 1 or not minutes > 0:
        raise ConfigError(
            f"{trials} trials in {minutes} minutes: take at least 1 trial and a positive number "
            "of minutes."
        )
    if workers < 1:
        raise ConfigError(f"{workers} workers: take at least 1.")
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
