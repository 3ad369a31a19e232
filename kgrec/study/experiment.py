"""An experiment as a file states it: data, models, seeds, metrics and budget, every key checked."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats.load import load
from kgrec.data.io.files import read_text
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.needs import check_needs
from kgrec.errors import ConfigError, DataError, KgrecError, nearest
from kgrec.evaluation.metrics import ranking_metric
from kgrec.runs.run import PROTOCOLS
from kgrec.runs.settings import Chosen, choose
from kgrec.study.trackers import check_trackers

Part = Literal["test", "valid"]
METRICS = ("ndcg@20", "recall@20")
_FOLDER = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class DataChoice:
    """A data set of an experiment.

    Attributes:
        name: Name in tables.
        source: What ``kgrec.load`` takes; "" where the options name every part.
        options: Fields of ``DatasetSources`` and ``BuildOptions``.
    """

    name: str
    source: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Its name as a folder's."""
        return folder_name(self.name)


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A row of the tables.

    Attributes:
        name: Name in tables.
        model: Name in ``MODELS``, or ``pkg.module:Class``.
        preset: Named recipe.
        settings: Settings by name.
    """

    name: str
    model: str
    preset: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Its name as a folder's."""
        return folder_name(self.name)


@dataclass(frozen=True, slots=True)
class Budget:
    """What each model may use; None sets no limit.

    Attributes:
        epochs: Most epochs of a training.
        seconds: Most seconds of a training: after them no further epoch begins. Such a training is
            called cut, and depends on the machine.
        trials: Most trials of a search on the validation part before the trainings; None trains
            the settings as they are.
        minutes: Most minutes of all trials of a model on a data set together.
    """

    epochs: int | None = None
    seconds: float | int | None = None
    trials: int | None = None
    minutes: float | int | None = None


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is trained on what, and how it is compared.

    Attributes:
        name: Name of the experiment.
        data: Data sets.
        models: Rows of the tables.
        seeds: A training of each model for each.
        metrics: Columns of the tables; the first one orders and ranks.
        on: Part evaluated on.
        protocol: See ``Run.evaluate``.
        against: Name of the row that the others are compared with; None takes the best on the
            validation part.
        budget: What each model may use.
        trackers: Where epochs are reported to, see ``kgrec.study.trackers``.
        device: "auto", "cpu" or "cuda".
    """

    name: str
    data: tuple[DataChoice, ...]
    models: tuple[ModelChoice, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    metrics: tuple[str, ...] = METRICS
    on: Part = "test"
    protocol: str = "ranking"
    against: str | None = None
    budget: Budget = field(default_factory=Budget)
    trackers: tuple[str, ...] = ()
    device: str = "auto"

    @property
    def ks(self) -> tuple[int, ...] | None:
        """Cutoffs of the metrics; None where they have none."""
        found = {int(name.partition("@")[2]) for name in self.metrics if "@" in name}
        return tuple(sorted(found)) or None

    def settings_of(self, model: ModelChoice) -> dict[str, Any]:
        """Return a row's settings with the budget's epochs as their most."""
        settings = dict(model.settings)
        if self.budget.epochs is not None:
            most = choose(model.model, model.preset, settings).train.epochs
            settings["epochs"] = min(most, self.budget.epochs)

        return settings

    def chosen(self, model: ModelChoice) -> Chosen:
        """Return every setting of a row."""
        return choose(model.model, model.preset, self.settings_of(model))


def read_experiment(source: "str | PathLike[str] | Mapping[str, Any]") -> Experiment:
    """Return the experiment that a TOML file, or a mapping of the same form, states.

    Paths in a file are relative to it.

    Raises:
        ConfigError: If a key is unknown, missing or has a value of a wrong kind, a model or setting
            is unknown, a seed, model or data set is there twice, a budget is zero, or a tracker is
            not installed or cannot be reached; the message says where.
        DataError: If the file cannot be read.
    """
    if isinstance(source, Mapping):
        table = dict(source)
        where = "experiment"
        base: Path | None = None
    else:
        path = Path(source)
        where = str(source)
        base = path.parent
        try:
            table = tomllib.loads(read_text(path))
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{source}: not TOML: {error}.") from None

    reader = _Reader(where, base)
    found = reader.experiment(table)
    reader.check(found)
    return found


def load_data(choice: DataChoice) -> Dataset:
    """Return a data set of an experiment; what is built of parts has its name there."""
    options = dict(choice.options)
    if choice.source:
        return load(choice.source, **options)

    log, kg = options.pop("interactions", None), options.pop("kg", None)
    return Dataset.build(log, kg, name=choice.name, **options)


def check_fits(experiment: Experiment, data: Dataset) -> None:
    """Refuse a data set that one of the models, or the evaluation, cannot use.

    Raises:
        DataError: With which model, and what is missing.
    """
    for model in experiment.models:
        chosen = experiment.chosen(model)
        check_needs(model.name, chosen.needs, data)

    part = data.test if experiment.on == "test" else data.valid
    if experiment.protocol == "ranking" and not len(part):
        raise DataError(
            f"{data.name} has no interactions in its {experiment.on} part to evaluate on. Give it "
            'a split, for instance split = "random".'
        )
    if experiment.budget.trials is not None and not len(data.valid):
        raise DataError(
            f"{data.name} has no validation part, so no settings can be chosen. Leave trials out, "
            "or give it a split."
        )


def folder_name(name: str) -> str:
    """Return a name with what a folder's name should not have replaced.

    >>> folder_name("KGAT & friends: 50 %")
    'KGAT-friends-50'
    """
    return _FOLDER.sub("-", name).strip("-.")


@dataclass(frozen=True, slots=True)
class _Reader:
    """Makes an ``Experiment`` of what a file holds; every message begins with where."""

    where: str
    base: Path | None

    def experiment(self, table: dict[str, Any]) -> Experiment:
        self.keys(table, [each.name for each in fields(Experiment)], "")
        stem = Path(self.where).stem
        budget = self.table(table, "budget")
        self.keys(budget, [each.name for each in fields(Budget)], "budget: ")
        return Experiment(
            name=self.text(table, "name", stem),
            data=tuple(self.data(one, at) for at, one in self.tables(table, "data", "source")),
            models=tuple(self.model(one, at) for at, one in self.tables(table, "models", "model")),
            seeds=self.seeds(table),
            metrics=self.texts(table, "metrics", METRICS),
            on=self.part(table),
            protocol=self.text(table, "protocol", "ranking"),
            against=self.text(table, "against", "") or None,
            budget=self.budget(budget),
            trackers=self.texts(table, "trackers", ()),
            device=self.text(table, "device", "auto"),
        )

    def data(self, table: dict[str, Any], at: str) -> DataChoice:
        options = {key: value for key, value in table.items() if key not in ("name", "source")}
        paths = {each.name for each in fields(DatasetSources)}
        options = {
            key: self.near(value) if key in paths else value for key, value in options.items()
        }
        source = self.text(table, "source", "", at)
        if not source and not options:
            raise self.error(f"{at}names neither a source nor parts to build of.")

        name = self.text(table, "name", Path(source).name or at.strip("[]: "), at)
        return DataChoice(name, str(self.near(source)) if source else "", options)

    def model(self, table: dict[str, Any], at: str) -> ModelChoice:
        self.keys(table, [each.name for each in fields(ModelChoice)], at)
        model = self.text(table, "model", "", at)
        if not model:
            raise self.error(f'{at}names no model. Write model = "lightgcn".')

        name = self.text(table, "name", model, at)
        settings = self.table(table, "settings", at)
        return ModelChoice(name, model, self.text(table, "preset", "default", at), settings)

    def budget(self, table: dict[str, Any]) -> Budget:
        for key, value in table.items():
            whole = key in ("epochs", "trials")
            kind = int if whole else int | float
            if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value < 2**53:
                least = "a whole number of at least 1" if whole else "a number above 0"
                raise self.error(f"budget: {key} = {value!r} is not {least}.")

        if "minutes" in table and "trials" not in table:
            raise self.error("budget: minutes are of a search, so they need trials as well.")

        return Budget(**table)

    def check(self, found: Experiment) -> None:
        """Refuse what cannot be run, before anything is."""
        for kind, names in (
            ("seeds", [str(seed) for seed in found.seeds]),
            ("models", [model.folder for model in found.models]),
            ("data", [data.folder for data in found.data]),
            ("metrics", found.metrics),
        ):
            self.check_once(kind, names)

        for number, model in enumerate(found.models, 1):
            try:
                found.chosen(model)
            except KgrecError as error:
                raise self.error(f"models[{number}] ({model.name}): {error}") from None

        names = [model.name for model in found.models]
        if found.against is not None and found.against not in names:
            raise self.error(
                f"against = {found.against!r} is none of the models.{nearest(found.against, names)}"
            )
        if found.protocol not in PROTOCOLS:
            raise self.error(
                f"unknown protocol {found.protocol!r}.{nearest(found.protocol, PROTOCOLS)} Known: "
                f"{', '.join(PROTOCOLS)}."
            )

        if found.protocol == "ranking":
            self.check_metrics(found.metrics)

        try:
            check_trackers(found.trackers)
        except ConfigError as error:
            raise self.error(str(error)) from None

    def check_once(self, kind: str, names: Sequence[str]) -> None:
        if not names:
            raise self.error(f"{kind} is empty. Name at least one.")

        for at, name in enumerate(names):
            if name in names[:at]:
                raise self.error(f"{kind}: {name} is there twice. Leave one out, or rename it.")
            if not name:
                raise self.error(f"{kind}: entry {at + 1} has no name that a folder could have.")

    def check_metrics(self, metrics: Iterable[str]) -> None:
        for metric in metrics:
            name, _, cut = metric.partition("@")
            try:
                ranking_metric(name)
            except ConfigError as error:
                raise self.error(str(error)) from None
            if not (cut.isascii() and cut.isdigit() and 0 < int(cut) < 2**31):
                raise self.error(f"metric {metric!r} needs a cutoff, for instance {name}@20.")

    def seeds(self, table: dict[str, Any]) -> tuple[int, ...]:
        seeds = table.get("seeds", [0, 1, 2])
        if not isinstance(seeds, list | tuple) or not all(
            isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 2**53
            for seed in seeds
        ):
            raise self.error(f"seeds = {seeds!r} is not a list of whole numbers of 0 or more.")

        return tuple(seeds)

    def part(self, table: dict[str, Any]) -> Part:
        on = table.get("on", "test")
        if on == "test":
            return "test"
        if on == "valid":
            return "valid"
        raise self.error(f'on = {on!r} is neither "test" nor "valid".')

    def near(self, value: Any) -> Any:
        """Return a path of the file as seen from here; what does not lie beside it stays."""
        if isinstance(value, list | tuple):
            return [self.near(one) for one in value]
        if isinstance(value, str) and value and self.base is not None:
            try:
                if (self.base / value).exists():
                    return str(self.base / value)
            except (OSError, ValueError):
                raise self.error(f"{value[:80]!r} is not a path.") from None

        return value

    def tables(
        self, table: dict[str, Any], key: str, short: str
    ) -> Iterable[tuple[str, dict[str, Any]]]:
        """Yield the tables of a list with where each is; text stands for a table of one key."""
        given = table.get(key, [])
        if isinstance(given, str | Mapping):
            given = [given]
        if not isinstance(given, list | tuple):
            raise self.error(f"{key} is not a list of tables. Write [[{key}]].")

        for number, one in enumerate(given, 1):
            if isinstance(one, str):
                one = {short: one}
            if not isinstance(one, Mapping):
                raise self.error(f"{key}[{number}] is not a table. Write [[{key}]].")
            yield f"{key}[{number}]: ", dict(one)

    def table(self, table: Mapping[str, Any], key: str, at: str = "") -> dict[str, Any]:
        given = table.get(key, {})
        if not isinstance(given, Mapping):
            raise self.error(f"{at}{key} is not a table.")
        return dict(given)

    def texts(
        self, table: Mapping[str, Any], key: str, default: tuple[str, ...]
    ) -> tuple[str, ...]:
        given = table.get(key, default)
        if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
            raise self.error(f"{key} = {given!r} is not a list of texts.")
        return tuple(given)

    def text(self, table: Mapping[str, Any], key: str, default: str, at: str = "") -> str:
        given = table.get(key, default)
        if not isinstance(given, str) or "\0" in given:
            raise self.error(f"{at}{key} = {given!r} is not text.")
        return given

    def keys(self, table: Mapping[str, Any], known: Sequence[str], at: str) -> None:
        for key in table:
            if key not in known:
                hint = nearest(key, known) or f" Known: {', '.join(known)}."
                raise self.error(f"{at}unknown key {key!r}.{hint}")

    def error(self, message: str) -> ConfigError:
        return ConfigError(f"{self.where}: {message}")
