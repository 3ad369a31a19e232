"""fit: train a model, keep its folder up to date, and return the run."""

import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kgrec._version import __version__
from kgrec.data.derive.merge_parts import merge_parts
from kgrec.data.formats.load import load
from kgrec.data.io.writing import (
    filling,
    left_beside,
    locked,
    naming,
    put_back,
    sweep_beside,
    sweep_inside,
    take_place,
)
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.fingerprint import fingerprint
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.known import with_interactions
from kgrec.data.records.needs import check_needs
from kgrec.data.storage import open_dataset
from kgrec.errors import CheckpointError, ConfigError
from kgrec.evaluation.next_items import NEXT
from kgrec.evaluation.rating import evaluate_ratings
from kgrec.evaluation.report import Report, cold_and_warm, evaluate
from kgrec.evaluation.strangers import DAY, choose_fallback
from kgrec.evaluation.triples import evaluate_triples, triple_metric
from kgrec.evaluation.validation import validator, warm_users
from kgrec.explanation.fingerprint import parameters_sum
from kgrec.log import logger
from kgrec.models.base import Plan, Recommender, Scorer
from kgrec.models.catalog import import_class
from kgrec.models.fallback import FallbackChoice, served
from kgrec.nn.rivals import kept_parameters
from kgrec.process import peak_memory, refuse_after_fork
from kgrec.runs.folder import (
    CHECKPOINT,
    CONFIG,
    DATA,
    DONE,
    REFIT_DATA,
    STATE,
    TRAINING,
    WEIGHTS,
    find_dataset,
    identity,
    is_run,
    is_unfinished,
    read_config,
    record_of,
    refuse_foreign,
    write_config,
    write_data,
)
from kgrec.runs.run import (
    Run,
    build_model,
    clear,
    fallback_of,
    load_run,
    snapshot_scorer,
    stored_settings,
)
from kgrec.runs.settings import Chosen, choose, pinned, setting
from kgrec.runs.start import Start, take_over
from kgrec.scale.world import World
from kgrec.training.checkpoint import read_state, read_tensors, write_state
from kgrec.training.config import PUBLISHED, TEST_SELECTED, TrainConfig
from kgrec.training.loop import TrainState, snapshot, train
from kgrec.training.parallel.columns import Apart, check_parallel
from kgrec.training.parallel.data import table_bytes, taken_apart
from kgrec.training.parallel.decision import declined
from kgrec.training.samplers import weights_in
from kgrec.training.stopping import Stopping
from kgrec.training.streams import global_stream

_SECONDS_BETWEEN_CHECKPOINTS = 2.0


def fit(
    model: str | type[Recommender] | None = None,
    data: "Dataset | str | PathLike[str] | None" = None,
    *,
    out: str | PathLike[str] | None = None,
    preset: str | None = None,
    device: str = "auto",
    seed: int | None = None,
    resume: bool = False,
    refit: bool | None = None,
    fallback: str | None = None,
    half_life: float | int | None = None,
    start: "Run | str | PathLike[str] | None" = None,
    on_epoch: Callable[[TrainState], None] | None = None,
    world: World | None = None,
    **settings: Any,
) -> Run:
    """Train a model and return the run.

    Training ends by early stopping on the validation part; the best epoch's parameters are kept.
    The test part is looked at once, at the end, for the summary. With ``selection="paper"`` it is
    looked at every ten epochs and chooses the one that is kept, as in the code of KGAT and KGIN:
    such a run is called test-selected wherever its figures stand.

    Args:
        model: Name in ``MODELS``, ``pkg.module:Class`` (its module is imported), or a
            ``Recommender`` class; to continue a training, the folder knows it.
        data: A dataset, or anything ``kgrec.load`` takes; to go on, the folder knows it too.
        out: Folder for the run; while training it holds a checkpoint, so that a killed run opens
            and can be resumed. A finished run that is there stays until the new one is whole.
        preset: Named recipe of the model, "default" where left out; "paper" and "official" train
            for their fixed epochs unless ``selection`` or ``patience`` is given.
        device: "auto", "cpu" or "cuda".
        seed: Seed of every draw, 0 or more; 0 where left out.
        resume: Continue the training in ``out``, from its checkpoint; if there is none, start
            it. Settings come from the folder. Larger ``epochs`` or another ``patience`` let a
            finished run train on, beside itself until that is whole: from its last epoch, after
            early stopping with the count of patience begun again. Otherwise a finished run is
            returned as it is.
        refit: Train once more on all interactions, for as many epochs as were best.
        fallback: How users without training interactions are answered: "popularity", "attributes"
            (of users and items; popularity if there are none), "off", or "auto", which takes
            what ranks best on the validation part.
        half_life: Days after which an interaction counts half for the fallback; 0 counts all alike,
            None leaves it to "auto".
        start: A run, or its folder, whose parameters the training starts from: rows go by ids, new
            users start at the mean of the known ones, new items where they would be placed. The
            summary says from which run, and how many rows were kept.
        on_epoch: Called with the state after each epoch; what it raises ends the training.
        world: The processes that train together, each of which calls this alike (``World.here()``
            under ``torchrun``); the first one writes ``out``. None is this one alone.
        **settings: Model configuration and training settings by name; text is converted.

    Raises:
        UnknownModelError: If there is no such model.
        ConfigError: If a setting is unknown or out of range.
        DataError: If the dataset lacks what the model needs.
        CheckpointError: If ``out`` holds something else, or was started with another setting; if
            another process trains there.
        DivergedError: If a loss is not a finite number.
        WorldError: If another process has other data, settings or version, or is gone.
    """
    if isinstance(model, str) and ":" in model:
        model = import_class(model)

    world = world or World()
    if resume and out is not None:
        named = _Named(model, data, preset, seed, refit, fallback, half_life, settings, start)
        if world.first:
            go_on = _gone_on
        else:
            go_on = _followed

        if run := go_on(Path(out), named, device, on_epoch, world):
            return run

    if model is None or data is None:
        raise _nothing_named(out, resume)

    preset = preset or "default"
    seed = seed or 0
    refit = bool(refit)
    chosen = choose(model, preset, settings)
    if seed < 0:
        raise ConfigError(f"seed {seed} is negative. Take 0 or more.")
    if isinstance(data, Dataset):
        whole = data
    else:
        whole = load(data)

    check_needs(chosen.name, chosen.needs, whole)
    if refit:
        _check_refit(chosen, preset, whole, start is not None)

    began = None
    if start is not None:
        began = start_of(start, chosen)

    choice = choose_fallback(_training_part(whole, chosen), fallback or "auto", half_life)
    arguments: dict[str, Any] = {
        "device": device,
        "seed": seed,
        "refit": refit,
        "fallback": choice,
        "start": began,
        "on_epoch": on_epoch,
        "world": world,
    }

    return fit_chosen(measured_by(chosen, whole), whole, out=out, **arguments)


def _nothing_named(out: str | PathLike[str] | None, resume: bool) -> ConfigError:
    """Return what says that a training needs a dataset and a model."""
    there = "a training is started"
    if resume:
        there = "there is no run to continue"
    if out is not None:
        there = f"{out}: {there}"

    return ConfigError(f"{there}: name a dataset and a model.")


def _check_refit(chosen: Chosen, preset: str, data: Dataset, starts: bool) -> None:
    """Refuse a second training on everything where there is nothing more, or it is not meant.

    Raises:
        ConfigError: If it is.
    """
    if preset in PUBLISHED and not chosen.train.patience:
        raise ConfigError(
            f"the preset {preset!r} already trains for fixed epochs on everything but the test "
            "part. Leave refit out."
        )
    if not len(data.train):
        raise ConfigError(
            f"refit trains on held-out interactions too, and {data.name} has none. Leave it out."
        )
    if starts:
        raise ConfigError("refit trains from the beginning. Leave out refit or start.")


def fit_chosen(
    chosen: Chosen,
    data: Dataset,
    *,
    out: str | PathLike[str] | None = None,
    device: str = "auto",
    seed: int = 0,
    refit: bool = False,
    fallback: FallbackChoice | None = None,
    start: Start | None = None,
    on_epoch: Callable[[TrainState], None] | None = None,
    world: World | None = None,
) -> Run:
    """Train as ``fit`` does, with settings already chosen, and also on a dataset without what the
    catalog says the model needs.
    """
    if out is not None:
        refuse_after_fork(f"{out}: training into a folder")

    if out is None:
        path = None
    else:
        path = Path(out)

    part = _training_part(data, chosen)
    choice = fallback or FallbackChoice("off")
    world = world or World()
    place = world.device(_device(device))
    job = _Job(chosen, part, place, seed, refit, path, choice, on_epoch, world)
    if start is not None:
        job.start = start
        job.about = start.about
    return job.run()


def start_of(run: "Run | str | PathLike[str]", chosen: Chosen) -> Start:
    """Return what a training starts from.

    Args:
        run: A run, or its folder.
        chosen: The settings of the training.

    Raises:
        ConfigError: If the run is of another model, or there is nothing to start from.
    """
    if not isinstance(run, Run):
        run = load_run(run)

    where = str(run.path or run.name)
    if run.model.newcomers() is not None or run.chosen.members:
        raise ConfigError(f"start {where}: holds no parameters to train on. Name a trained run.")
    if run.chosen.model is not chosen.model:
        raise ConfigError(f"start {where}: is {run.name}, not {chosen.name}. Name one of the same.")
    if run.model.plan().fit is not None:
        raise ConfigError(
            f"{chosen.name} is computed from the data in one step: it starts from nothing. Leave "
            "start out."
        )

    about: dict[str, Any] = {"run": parameters_sum(run.model.state_dict())[:12], "path": where}
    if "forgotten" in run.summary:
        about["forgotten"] = run.summary["forgotten"]
    return Start(run.data, kept_parameters(run.model), about)


@dataclass(frozen=True, slots=True)
class _Named:
    """What a call that continues a training names again; None and no setting leave it to the
    folder.
    """

    model: str | type[Recommender] | None
    data: "Dataset | str | PathLike[str] | None"
    preset: str | None
    seed: int | None
    refit: bool | None
    fallback: str | None
    half_life: float | int | None
    settings: dict[str, Any]
    start: "Run | str | PathLike[str] | None" = None

    def own_class(self) -> type[Recommender] | None:
        """Return the model's class, where that is what was named."""
        if isinstance(self.model, type):
            return self.model
        return None

    def agreed(self, path: Path, record: dict[str, Any], stored: Chosen) -> Chosen:
        """Return the settings to continue with: the folder's, where another number of epochs or
        patience may be asked for.

        Raises:
            CheckpointError: If something else is named that differs; the message says what.
        """
        if isinstance(self.model, str | None):
            named = self.model
        else:
            named = self.model.__name__

        if named is None:
            name = None
        else:
            name = choose(self.model or "", "default", {}).name

        named_again = {
            "model": (stored.name, name),
            "preset": (stored.preset, self.preset),
            "seed": (record["seed"], self.seed),
            "start": ("none", None if "start" in record["summary"] else self.start),
        }
        for key, (found, wanted) in (
            named_again | {"refit": (record["refit"], self.refit or None)}
        ).items():
            if wanted is not None and wanted != found:
                raise _differs(path, key, found, wanted)

        own = fallback_of(record, path)
        if self.fallback not in (None, "auto", own.way):
            raise _differs(path, "fallback", own.way, self.fallback)
        if self.half_life is not None and self.half_life * DAY != own.half_life:
            raise _differs(path, "half_life", own.half_life / DAY, self.half_life)

        given = choose(self.model or stored.name, stored.preset, self.settings)
        changed: dict[str, int] = {}

        for word in self.settings:
            key, found = setting(stored, word)
            wanted = setting(given, word)[1]
            if wanted != found and key in _MAY_CHANGE and not record["refit"]:
                changed[key] = wanted
            elif wanted != found and not (
                key == "metric" and triple_metric(str(found)) is not None
            ):
                raise _differs(path, key, found, wanted)

        _check_rates_stay(path, stored.train, changed)
        epochs, patience = (changed.get(key, getattr(stored.train, key)) for key in _MAY_CHANGE)
        return replace(stored, train=replace(stored.train, epochs=epochs, patience=patience))


_MAY_CHANGE = ("epochs", "patience")


def _check_rates_stay(path: Path, config: TrainConfig, changed: Collection[str]) -> None:
    """Refuse another number of epochs where the learning rates of those done would be others."""
    falls = config.schedule in ("linear", "cosine") and not config.schedule_epochs
    if "epochs" in changed and falls:
        raise CheckpointError(
            f"{path}: the learning rate falls over its {config.epochs} epochs "
            f"({config.schedule}), so there can be no other number of them. Train again."
        )


def _differs(path: Path, key: str, found: Any, wanted: Any) -> CheckpointError:
    return CheckpointError(
        f"{path}: was started with {key} {found}, not {wanted}. Leave it out, or train into "
        "another folder."
    )


def _gone_on(
    out: Path,
    named: _Named,
    device: str,
    on_epoch: Callable[[TrainState], None] | None,
    world: World,
) -> Run | None:
    """Continue the training in a folder, or beside it; None if there is none."""
    if not out.parent.is_dir():
        world.hear(_NOTHING)
        return None

    with locked(out):
        put_back(out)
        beside_out = _training_beside(out)
        if beside_out is None and not (out / CONFIG).is_file():
            world.hear(_NOTHING)
            return None

        if beside_out is not None and not out.exists():  # killed before its first rename
            take_place(beside_out, out)
            beside_out = None

        folder = beside_out or out
        sweep_inside(folder)
        sweep_beside(out, but=beside_out)
        record = read_config(folder)

        own = named.own_class()
        stored = stored_settings(record, own, folder)
        chosen = named.agreed(out, record, stored)

        if record["status"] == DONE and beside_out is not None:  # killed before its last rename
            take_place(beside_out, out)
            folder = out

        if record["status"] == DONE and not _wants_more(record, stored, chosen):
            logger.info("%s: already finished, nothing to resume.", out)
            clear(out, record)
            world.hear(_FINISHED)

            if (
                missing := {"model", "epochs", "best_epoch", "seconds", "valid", "test"}
                - record["summary"].keys()
            ):
                raise CheckpointError(
                    f"{out / CONFIG}: its summary lacks {', '.join(sorted(missing))}. Train again."
                )

            return load_run(out, own)

        job = _continued(out, folder, record, named, chosen, device, on_epoch, world)
        if record["status"] == DONE:
            job.folder = job.training_on(folder, record)
        else:
            job.folder = folder

        world.hear(str(job.folder))
        return job.resumed(record, job.folder)


_NOTHING, _FINISHED = "", "finished"


def _followed(
    out: Path,
    named: _Named,
    device: str,
    on_epoch: Callable[[TrainState], None] | None,
    world: World,
) -> Run | None:
    """Continue the training that the first process continues, without writing; None if there is
    none.
    """
    word = world.hear()
    own = named.own_class()
    if word == _NOTHING:
        return None
    if word == _FINISHED:
        return load_run(out, own)

    folder = Path(word)
    record = read_config(folder)
    chosen = named.agreed(out, record, stored_settings(record, own, folder))
    job = _continued(out, folder, record, named, chosen, device, on_epoch, world)
    return job.resumed(record, folder)


def _continued(
    out: Path,
    folder: Path,
    record: dict[str, Any],
    named: _Named,
    chosen: Chosen,
    device: str,
    on_epoch: Callable[[TrainState], None] | None,
    world: World,
) -> "_Job":
    """Return the job that a folder's record is of: the same in every process."""
    job = _Job(
        chosen,
        _training_part(_data_of(out, folder, record, named), chosen),
        world.device(_device(device)),
        record["seed"],
        record["refit"],
        out,
        fallback_of(record, folder),
        on_epoch,
        world,
    )
    job.about = record["summary"].get("start")
    return job


def _training_beside(out: Path) -> Path | None:
    """Return what was being trained to take the place of a finished run, None where nothing was."""
    if is_unfinished(out):
        return None
    return next((left for left in left_beside(out, "new") if is_run(left)), None)


def _wants_more(record: dict[str, Any], stored: Chosen, chosen: Chosen) -> bool:
    done = len(record["history"])
    if chosen.train.epochs < done:
        raise ConfigError(
            f"epochs={chosen.train.epochs}: the run has {done} already. Name more, or train into "
            "another folder."
        )

    return chosen.train != stored.train and (chosen.train.epochs > done)


def _data_of(out: Path, folder: Path, record: dict[str, Any], named: _Named) -> Dataset:
    """Return the dataset of a training: the one that is named, else the one its folder remembers,
    else what the folder holds of it.
    """
    known = record["dataset"]
    if named.data is not None:
        if isinstance(named.data, Dataset):
            data = named.data
        else:
            data = load(named.data)

        if (known.get("checksum") or "") != data.checksum:
            raise CheckpointError(
                f"{out}: was started on another state of the dataset. Train again into another "
                "folder."
            )

        return data

    if known.get("path"):
        return find_dataset(out, known, remedy="Name it: kgrec train DATASET --resume")

    return replace(open_dataset(folder / DATA), path=None, checksum="")


@dataclass(slots=True)
class _Job:
    """One call of ``fit``: trains, keeps the folder up to date, and sums up.

    ``out`` is where the run goes, ``folder`` where it is while it is trained: the same, or beside
    it. Of several processes only the first has a ``folder``.
    """

    chosen: Chosen
    data: Dataset
    device: torch.device
    seed: int
    refit: bool
    out: Path | None
    fallback: FallbackChoice
    on_epoch: Callable[[TrainState], None] | None = None
    world: World = field(default_factory=World)
    folder: Path | None = None
    start: Start | None = None
    about: dict[str, Any] | None = None
    _together: bool = False
    _written: float = 0.0

    def run(self) -> Run:
        # a setting that cannot be measured is refused before anything is written
        self._check_metric()
        self._decide()
        if self.out is None or not self.world.first:
            return self._first_pass(None)

        refuse_foreign(self.out, overwrite=True)
        with naming(self.out):
            self.out.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.out):
                self.folder = self._start_folder(self.out)
                return self._first_pass(None)

    def resumed(self, record: dict[str, Any], folder: Path) -> Run:
        """Go on from the checkpoint in a folder."""
        self._check_metric()
        self._decide()
        if not (folder / CHECKPOINT).exists():  # version 0.1, killed while it finished
            return self._first_pass(None)

        state, owner = read_state(folder / CHECKPOINT)
        logger.info("%s: resuming after epoch %d.", self.out, state.epoch)
        if owner.get("phase") == "refit":
            return self._second_pass(record["summary"], state)

        if state.stopping.best_epoch:
            state.stopping.patience = self.chosen.train.patience
        else:
            state.stopping.patience = state.stopping.patience

        if self.folder is not None:
            write_config(self.folder, self._record(record["summary"]))
        return self._first_pass(state)

    def training_on(self, run: Path, record: dict[str, Any]) -> Path:
        """Make of a finished run, beside it, a training that continues from its last epoch; return
        where.
        """
        assert self.out is not None
        if record.get("state") is None or not (run / STATE).exists():
            if self.refit:
                why = "was refit on everything"
            else:
                why = f"keeps no {STATE}: version 0.1, a closed form, or saved from memory"
            raise CheckpointError(
                f"{self.out}: cannot take more epochs, it {why}. Train again with the epochs "
                "wanted."
            )

        state, _ = read_state(run / STATE)
        state.best = read_tensors(run / WEIGHTS)[0]
        state.history = record["history"]
        if state.stopping.stop:
            state.stopping.since = 0

        sweep_beside(self.out)
        with filling(self.out) as fresh:
            shutil.copytree(run / DATA, fresh / DATA)
            write_state(fresh / CHECKPOINT, state, {"phase": "fit"})
            write_config(fresh, self._record({}))

        return fresh

    def _record(self, summary: dict[str, Any]) -> dict[str, Any]:
        if self.about is not None:
            summary = summary | {"start": self.about}

        return record_of(
            self.chosen,
            self.seed,
            identity(self.data, self.out),
            self.refit,
            summary,
            [],
            TRAINING,
            self.fallback,
        )

    def _built(self) -> Recommender:
        """Return the model as the training begins with it."""
        model = build_model(self.chosen, self.data, self.seed)
        if self.start is not None:
            self.about = self.start.about | take_over(model, self.data, self.start)
        return model

    def _begun(self, model: Recommender, state: TrainState | None) -> Plan:
        """Return the plan of a model that starts from another run, as it does before its first
        epoch.
        """
        plan = replace(model.plan(), warm_up=None)
        if state is not None and not state.epoch:
            model.load_state_dict(state.model)
        if (state is None or not state.epoch) and plan.after_epoch is not None:
            model.train()
            with global_stream(self.seed, "torch", 0, device=self.device):
                plan.after_epoch()  # attention is that of the parameters it starts from
        return plan

    def _first_pass(self, state: TrainState | None) -> Run:
        model = self._built().to(self.device)
        plan = None
        if self.about is not None:
            plan = self._begun(model, state)

        apart = self._apart(model, plan)
        if apart is None and not self.world.first and self.out is not None:
            return self._waited(self.out)

        if apart is not None:
            plan = apart.plan

        weights = weights_in(model, self.data)
        if weights is not None:
            logger.info("%s: weights of interactions are %s.", self.chosen.name, weights)

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
            plan=plan,
            apart=apart,
        )
        summary = self._agreed_summary(model, done, apart)
        if self.refit:
            self.chosen = pinned(self.chosen, summary.get("settled", {}))
            return self._second_pass(summary, None)

        return self._finish(model, self.data, done, summary)

    def _second_pass(self, summary: dict[str, Any], state: TrainState | None) -> Run:
        """Train once more on all interactions, for the best epoch's count."""
        data = merge_parts(self.data, "valid", "test")
        first = self.chosen.train
        config = replace(
            first,
            epochs=max(1, summary["best_epoch"]),
            patience=0,
            schedule_epochs=first.schedule_epochs or first.epochs,  # the rates of the first pass
        )
        model = build_model(self.chosen, data, self.seed).to(self.device)

        if self.folder is not None and state is None:
            # The checkpoint says which pass and which data count: killed before it, the folder is
            # that of the first pass.
            write_data(data, self.folder / REFIT_DATA)
            write_config(self.folder, self._record(summary))
            write_state(self.folder / CHECKPOINT, _untrained(model), {"phase": "refit"})

        apart = self._apart(model)
        if apart is None and not self.world.first and self.out is not None:
            return self._waited(self.out)

        plan = None
        if apart is not None:
            plan = apart.plan

        done = train(
            model,
            data,
            config,
            seed=self.seed,
            device=self.device,
            state=state,
            on_epoch=self._after_epoch("refit"),
            title=f"{self.chosen.name} refit",
            plan=plan,
            apart=apart,
        )

        return self._finish(model, data, done, summary)

    def _finish(
        self, model: Recommender, data: Dataset, done: TrainState, summary: dict[str, Any]
    ) -> Run:
        model.to("cpu").eval()  # a run ranks and explains where its ids and facts are
        known = identity(data, self.out)
        details = done.history, summary, known, self.refit, self.out, self.fallback
        run = Run(self.chosen.name, model, data, self.chosen, self.seed, *details)

        if self.folder is not None and self.out is not None:
            last = None  # a state that can take more epochs
            if done.optimizers and not self.refit:
                last = done

            run.write(self.folder, last)
            if self.folder != self.out:
                take_place(self.folder, self.out)

        self.world.hear(_FINISHED, patient=True)  # the others return when it is written
        return run

    def _decide(self) -> None:
        """Find out whether processes train together, or the first one alone, before anything is
        written.
        """
        if self.world.size == 1:
            return

        config = self.chosen.train
        self.world.agree(
            {
                "version of kgrec": __version__,
                "version of torch": torch.__version__,
                "dataset": fingerprint(self.data),
                "seed": self.seed,
                "start": (self.about or {}).get("run"),
                "model": self.chosen.name,
                "configuration": asdict(self.chosen.config),
                "training settings": asdict(config),
                "KGREC_TABLE_BYTES": table_bytes(),
            }
        )
        model = build_model(self.chosen, self.data, self.seed)
        plan = model.plan()
        if config.parallel == "none":
            why = "parallel=none"
        elif config.parallel == "auto":
            why = declined(model, plan, config, len(self.data.train), self.device, self.world.size)
        else:
            why = ""

        if why:
            logger.info("%s: rank 0 trains alone (%s).", self.chosen.name, why)
            return

        check_parallel(model, plan, config)
        taken_apart(model, plan, self.world)
        way = "shares of the batch" if plan.parallel == "data" else "columns"
        logger.info("%s: trained by %s, %d processes.", self.chosen.name, way, self.world.size)
        self._together = True

    def _apart(self, model: Recommender, plan: Plan | None = None) -> Apart | None:
        """Return the model's tables taken apart, where processes train it together."""
        if not self._together:
            return None
        return taken_apart(model, plan or model.plan(), self.world)

    def _waited(self, out: Path) -> Run:
        """Wait until the first process has trained, and open its run."""
        self.world.hear(patient=True)
        own = None
        if self.chosen.outside:
            own = self.chosen.model

        return load_run(out, own)

    def _agreed_summary(
        self, model: Recommender, done: TrainState, apart: Apart | None
    ) -> dict[str, Any]:
        """Return the summary, which the first process measures for all."""
        if apart is None:
            return self._summary(model, done)

        summary = None
        if self.world.first:
            summary = self._summary(model, done)

        heard: dict[str, Any] = self.world.hear(summary, patient=True)
        return heard

    def _check_metric(self) -> None:
        metric = self.chosen.train.metric
        if self.chosen.train.test_selected:
            self._check_test_selection(metric)

        if triple_metric(metric) is not None:
            if len(self.data.train) and not len(self.data.held_triples.get("valid", ())):
                raise ConfigError(
                    f"metric {metric!r} is of triples, and none are held out. Build the dataset "
                    "with --triple-ratios."
                )
            if not self.chosen.model.scores_triples:
                raise ConfigError(
                    f"metric {metric!r} is of triples, and {self.chosen.name} does not score "
                    "them. Take ndcg@10."
                )

            return

        validator(metric, self.data, self.device)

    def _check_test_selection(self, metric: str) -> None:
        if self.refit:
            raise ConfigError(
                'selection "paper" chooses by the test part, and refit trains on it. Leave one of them out.'
            )
        if triple_metric(metric) is not None:
            raise ConfigError(
                f'selection "paper" is by a metric of items, not {metric!r}. Take recall@20.'
            )
        if not len(self.data.test):
            raise ConfigError(
                f'selection "paper" chooses by the test part, and {self.data.name} has none. Take valid.'
            )

    def _validator(self, model: Recommender) -> Callable[[Scorer], float] | None:
        metric = self.chosen.train.metric
        if triple_metric(metric) is not None:
            return self._triple_validator(model, int(metric.partition("@")[2] or 1))

        if self.chosen.train.test_selected:
            logger.warning(
                "%s: the epoch is chosen by the test part. Its figures are %s.",
                self.chosen.name,
                TEST_SELECTED,
            )
            return validator(metric, self.data, self.device, model, on="test")

        if not len(self.data.valid) and not len(self.data.impressions.get("valid", ())):
            return None

        if (
            len(self.data.valid)
            and not metric.startswith(NEXT)
            and not with_interactions(self.data).users[self.data.valid.user].any()
        ):
            logger.warning(
                "%s: no validation user has training interactions: nothing to stop by, all "
                "epochs are trained. For sessions, metric=next-ndcg@10 measures each item after "
                "those before it.",
                self.data.name,
            )
            return None

        warm = warm_users(self.data, "valid")
        if warm is not None and self.out is not None:
            every = len(np.unique(self.data.valid.user))
            logger.info(
                "%s: evaluated on the %d of %d validation users who have training interactions.",
                self.data.name,
                len(warm),
                every,
            )

        return validator(metric, self.data, self.device, model)

    def _triple_validator(self, model: Recommender, cut: int) -> Callable[[Scorer], float] | None:
        triples = model.triple_scorer()
        if triples is None or not len(self.data.held_triples.get("valid", ())):
            return None

        def validate(scorer: Scorer) -> float:
            report = evaluate_triples(triples, self.data, on="valid", ks=(cut,), device=self.device)
            return report.metrics[self.chosen.train.metric]

        return validate

    def _measured(
        self, model: Recommender, scorer: Scorer, ranked: Report | None, part: str
    ) -> dict[str, float] | None:
        """Return the metrics of items and of triples on a held-out part, whichever it has; None
        where it has neither.
        """
        if ranked is None:
            found = {}
        else:
            found = dict(ranked.metrics)

        triples = model.triple_scorer()
        if triples is not None and len(self.data.held_triples.get(part, ())):
            found |= evaluate_triples(triples, self.data, on=part, device=self.device).metrics

        held: Interactions = getattr(self.data, part)
        rated = held.rating is not None and np.isfinite(held.rating).any()
        if model.predicts_ratings and rated:
            found |= evaluate_ratings(scorer, self.data, part, predicts=True).metrics

        return found or None

    def _ranked(self, scorer: Scorer, part: str) -> Report | None:
        """Return the metrics of rankings on a held-out part; None where it is empty."""
        held: Interactions = getattr(self.data, part)
        if not len(held):
            return None
        return evaluate(scorer, self.data, on=part, ks=(10, 20), device=self.device)

    def _further(self, model: Recommender) -> dict[str, Any]:
        """Return what only some trainings say of themselves."""
        found: dict[str, Any] = {}
        weights = weights_in(model, self.data)
        if weights is not None:
            found["weights"] = weights
        if settled := model.settled():
            found["settled"] = dict(settled)
        if self.about is not None:
            found["start"] = self.about
            if "forgotten" in self.about:  # whose parameters it goes on from
                found["forgotten"] = self.about["forgotten"]

        return found

    def _summary(self, model: Recommender, done: TrainState) -> dict[str, Any]:
        """Return the form of ``kgrec train --json``."""
        plain = snapshot_scorer(model)
        scorer = served(model, plain, self.data, self.fallback)
        ranked = {part: self._ranked(scorer, part) for part in ("valid", "test")}
        parts = {
            part: self._measured(model, plain, report, part) for part, report in ranked.items()
        }
        seconds = [record["seconds"] for record in done.history]

        return {
            "model": self.chosen.name,
            "preset": self.chosen.preset,
            "selection": self._selection(done),
            "seed": self.seed,
            "device": str(self.device),
            "epochs": done.epoch,
            "best_epoch": done.stopping.best_epoch or done.epoch,
            "seconds": round(
                sum(seconds)
                + sum(record.get("validation_seconds", 0.0) for record in done.history),
                3,
            ),
            "seconds_per_epoch": round(float(np.median(seconds or [0.0])), 4),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "peak_memory_bytes": _peak_memory(self.device),
            "fallback": asdict(self.fallback),
            **cold_and_warm(ranked),
            **self._further(model),
            **parts,
        }

    def _selection(self, done: TrainState) -> str:
        """Return what chose the epoch: "valid", "test-selected", or "last epoch" where nothing was
        measured.
        """
        if self.chosen.train.test_selected:
            return TEST_SELECTED
        if done.stopping.best_epoch:
            return "valid"

        return "last epoch"

    def _start_folder(self, out: Path) -> Path:
        """Write a run with the initial weights and return where: beside a finished run, which
        stays, else in its place.

        From here on the folder opens at any moment, and the training can be gone on with.
        """
        put_back(out)
        refuse_foreign(out, overwrite=True)

        if is_unfinished(out):
            raise CheckpointError(
                f"{out}: holds an unfinished training. Resume it (--resume), or remove the "
                "folder first."
            )

        if (left := _training_beside(out)) is not None and out.exists():
            logger.warning(
                "%s: a training that was killed beside it (%s) is removed; --resume would have "
                "gone on with it.",
                out,
                left.name,
            )

        sweep_beside(out)
        model = self._built()

        with filling(out) as fresh:
            write_data(self.data, fresh / DATA)
            write_state(fresh / CHECKPOINT, _untrained(model), {"phase": "fit"})
            write_config(fresh, self._record({}))
            if (out / CONFIG).is_file():
                return fresh

            take_place(fresh, out)
            return out

    def _after_epoch(self, phase: str) -> Callable[[TrainState], None]:
        def after(state: TrainState) -> None:
            due = (
                self.folder is not None
                and time.monotonic() - self._written >= _SECONDS_BETWEEN_CHECKPOINTS
            )
            if state.join is not None:  # all join their columns, or none
                due = self.world.hear(due)
            if due:
                whole = state.whole()
                if self.folder is not None:
                    write_state(self.folder / CHECKPOINT, whole, {"phase": phase})
                self._written = time.monotonic()
            if self.on_epoch is not None:
                self.on_epoch(state)

        return after


def _untrained(model: Recommender) -> TrainState:
    return TrainState(0, snapshot(model), [], snapshot(model), Stopping(patience=0))


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("cpu")

    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"unknown device {name!r}. Use auto, cpu or cuda.") from None

    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device cuda: this torch sees no CUDA device. Use --device cpu, or install a CUDA "
            "build of torch."
        )

    return device


def _training_part(data: Dataset, chosen: Chosen) -> Dataset:
    """Return the data to train on: what nothing is chosen by, of a part held out of a given
    training file, is taken back.
    """
    fixed = chosen.preset in PUBLISHED and not chosen.train.patience
    if (fixed or chosen.train.test_selected) and data.settings.get("valid_held_out"):
        if chosen.train.test_selected:
            why = 'with selection "paper"'
        else:
            why = f"for the fixed epochs of the preset {chosen.preset!r}"

        logger.info("%s: training on the validation part too, %s.", chosen.name, why)
        return merge_parts(data, "valid")

    return data


def measured_by(chosen: Chosen, data: Dataset) -> Chosen:
    """Return the settings with a metric that the dataset can be evaluated by: without interactions,
    how well triples are found.
    """
    metric = chosen.train.metric
    if len(data.train) or triple_metric(metric) is not None:
        return chosen
    if chosen.train.test_selected:
        raise ConfigError(
            f'selection "paper" chooses by held-out interactions, and {data.name} has no interactions. Take valid.'
        )
    if metric != TrainConfig().metric:
        raise ConfigError(
            f"metric {metric!r} is of items, and {data.name} has no interactions. Take mrr or "
            "hits@10."
        )

    return replace(chosen, train=replace(chosen.train, metric="mrr"))


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return peak_memory()
