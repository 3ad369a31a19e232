"""Bring a run up to date: new interactions and items in, evaluated beside the old run on the newest of
them, and put into its place only if it is not worse.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.batches import Query
from kgrec.data.derive.extend import Extended, extend
from kgrec.data.derive.merge_parts import merge_parts
from kgrec.data.io.writing import clean_beside
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.triples import Triples
from kgrec.errors import CapabilityError, CheckpointError, ConfigError, DataError
from kgrec.evaluation.report import evaluate
from kgrec.evaluation.significance import Difference, paired
from kgrec.log import logger
from kgrec.models.base import Scorer, reads_history
from kgrec.models.fallback import served
from kgrec.random import numpy_generator
from kgrec.runs.fit import fit_chosen, start_of
from kgrec.runs.folder import find_dataset, read_config
from kgrec.runs.run import Run, load_run
from kgrec.runs.settings import pinned
from kgrec.training.loop import TrainState

EPOCHS = 4
HELD = 0.1
FEWEST = 10
METRIC = "recall@20"
_MINUTES = 60.0
_OLDEST = 1e8  # seconds since the epoch; smaller numbers are no dates
_CLOCKS = 3600.0  # by which clocks may differ


@dataclass(frozen=True, slots=True)
class Updated:
    """What an update did.

    Attributes:
        run: The new state of the run; of one that was not promoted, the one that was refused.
        promoted: Whether it took the old one's place.
        how: "warm start", "refit" (a closed form) or "retrained".
        epochs: Epochs trained.
        added: Counts of what is new: interactions, users, items, facts; and ``known``, interactions
            given that were there already.
        held: Newest interactions, by which both were evaluated; they are the validation part.
        users: Users evaluated.
        old: Metrics of the old run on them.
        new: Metrics of the new one.
        difference: New minus old by ``METRIC``, paired by user; None where no one could be evaluated.
        notes: What a reader must know.
    """

    run: Run
    promoted: bool
    how: str
    epochs: int
    added: dict[str, int]
    held: int
    users: int
    old: dict[str, float]
    new: dict[str, float]
    difference: Difference | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what was done, JSON-ready: the form of ``kgrec update --json``."""
        found = {
            name: getattr(self, name)
            for name in ("promoted", "how", "epochs", "added", "held", "users", "old", "new")
        }
        gap = self.difference
        record = None
        if gap is not None:
            record = {key: value for key, value in asdict(gap).items() if math.isfinite(value)}
        return {
            "model": self.run.name,
            **found,
            "metric": METRIC,
            "difference": record,
            "notes": list(self.notes),
        }


def update(
    path: str | PathLike[str],
    log: pl.DataFrame,
    *,
    items: Sequence[str] = (),
    facts: Triples | None = None,
    epochs: int = EPOCHS,
    minutes: float | None = None,
    dataset: "Dataset | str | PathLike[str] | None" = None,
    allow: Sequence[str] = (),
    now: float | None = None,
) -> Updated:
    """Update a stored run by new interactions, and by new items.

    A model that is trained by gradients goes on from its parameters for a few epochs; a closed form
    is computed again. The newest tenth of the new interactions is held out: both runs are evaluated by
    it, and the new one takes the place of the old one unless it is worse beyond a paired 95 %
    interval. What the dataset held out before is trained on.

    Args:
        path: The run's folder; replaced in one step, so that a service takes the new run over.
        log: ``user``, ``item``, and ``time`` where the run's data has times; rows are in the order
            in which they happened if there are none.
        items: Ids of new items beside those of the log.
        facts: Facts about them.
        epochs: Epochs of a warm start.
        minutes: Train from the beginning instead, for as many epochs as were best before, or until
            so much time has passed.
        dataset: The dataset that the run was trained on, where it is no longer where it was.
        allow: Classes that may be imported.
        now: Seconds since the epoch after which nothing can have happened; None takes the clock.

    Raises:
        DataError: If nothing is new, something is of the future, or an item has nothing to go by.
        ConfigError: If a setting is out of range.
        CapabilityError: If the run holds no parameters to train on.
        CheckpointError: If it was replaced meanwhile.
    """
    if epochs < 1 or (minutes is not None and not 0 < minutes < math.inf):
        raise ConfigError(f"epochs={epochs}, minutes={minutes}: take at least one, above 0.")

    folder = Path(path)
    before = read_config(folder)
    clean_beside(folder)
    run = load_run(folder, allow=allow, unfinished="refuse")
    if run.model.newcomers() is not None or run.chosen.members:
        raise CapabilityError(
            f"{folder}: a blend, or vectors with newcomers among them, holds no parameters to "
            "train on. Update the runs that it was made from."
        )

    _check_needs(run, log)
    whole, notes = _whole(run, dataset)
    if now is None:
        now = time.time()

    _check_times(log, whole, now)
    base = merge_parts(whole, "valid", "test")
    found = extend(base, log, items, facts)
    _check_new(found, base)
    train, held = _parts(found.data, base, log)
    data = replace(found.data, train=train, valid=Interactions(), test=Interactions())
    fitted, how = _trained(run, data, epochs, minutes)
    data = replace(data, valid=held)
    candidate = fitted.in_place_of(run, data=data, refit=False)
    old, new, gap, users = _evaluated(run, candidate, data)
    if users < FEWEST:
        notes.append(
            f"{users} users of the newest interactions are too few to evaluate by: the new run is "
            "taken as it is."
        )

    worse = gap is not None and users >= FEWEST and gap.high < 0
    added = {name: getattr(found, name) for name in ("interactions", "users", "items", "facts")}
    done = Updated(
        candidate,
        not worse,
        how,
        len(fitted.history),
        added | {"known": found.known},
        len(held),
        users,
        old,
        new,
        gap,
        tuple(notes),
    )
    record: dict[str, Any] = {"valid": new or None, "update": done.to_dict()}
    record["full_epochs"] = _full_epochs(run)
    candidate.summary = fitted.summary | record
    if worse:
        return done

    if read_config(folder) != before:
        raise CheckpointError(f"{folder}: was replaced meanwhile. Update it again.")

    candidate.save(folder)
    return done


def _whole(run: Run, given: "Dataset | str | PathLike[str] | None") -> tuple[Dataset, list[str]]:
    """Return the dataset of a run with all its parts; what the run holds, where it is gone."""
    assert run.path is not None
    if given is None and not run.dataset.get("path"):
        return run.data, []

    try:
        found = find_dataset(run.path, run.dataset, given)
    except CheckpointError as error:
        if given is not None:
            raise
        logger.warning("%s", error)
        note = f"{error} Its test part is left out; the run's own data is what the update adds to."
        return run.data, [note]

    return found, []


def _check_needs(run: Run, log: pl.DataFrame) -> None:
    """Refuse interactions that lack what the model is trained on.

    Raises:
        DataError: If they do.
    """
    needs = run.chosen.needs
    if "ratings" in needs and ("rating" not in log.columns or log["rating"].null_count()):
        raise DataError(
            f"{run.name} is trained on ratings, and some new interactions have none. Name the "
            "column: --rating COL."
        )
    if {"impressions", "labels"} & {*needs}:
        raise DataError(
            f"{run.name} is trained on lists that were shown or labeled pairs, which new "
            "interactions are not. Build the dataset again, and train with --start."
        )


def _check_times(log: pl.DataFrame, data: Dataset, now: float) -> None:
    had = data.train.time
    if "time" not in log.columns or not log.height:
        if had is not None and log.height:
            raise DataError(
                "the new interactions have no times, and those of the run have. Name the column: "
                "--time COL."
            )
        return

    times = log["time"].cast(pl.Float64).fill_nan(None)
    future = log.filter((times > now + _CLOCKS).fill_null(value=False))
    if now > _OLDEST and future.height:
        user, item, when = (str(future[name][0])[:80] for name in ("user", "item", "time"))
        raise DataError(
            f"{future.height:,} interactions are of the future, the first of user {user!r} and "
            f"item {item!r} at {when}. Check the column and its unit (seconds since the epoch)."
        )


def _check_new(found: Extended, base: Dataset) -> None:
    if not found.interactions and not found.items:
        raise DataError(
            f"no interaction is new: all {found.known:,} are in the data already. Nothing to "
            "update."
        )
    if not found.interactions:
        raise DataError(
            "new items and no new interaction: nothing to train on. Place them: run.add_items."
        )

    data = found.data
    rows = np.arange(base.num_items, data.num_items)
    about = np.concatenate([data.train.item, data.triples.head, data.triples.tail])
    lost = rows[~np.isin(rows, about)]
    if len(lost):
        more = ""
        if len(lost) > 1:
            more = f" and {len(lost) - 1:,} more"

        raise DataError(
            f"new item {data.items.key(lost[0])[:80]!r}{more}: no fact and no interaction. Add "
            "some, or leave it out."
        )


def _parts(data: Dataset, base: Dataset, log: pl.DataFrame) -> tuple[Interactions, Interactions]:
    """Return what is trained on, and the newest of the new interactions."""
    train = data.train
    codes = train.user.astype(np.int64) * data.num_items + train.item
    known = base.train.user.astype(np.int64) * data.num_items + base.train.item
    new = np.flatnonzero(~np.isin(codes, known))
    given = data.users.match(log["user"]) * data.num_items + data.items.match(log["item"])
    order, first = np.unique(given, return_index=True)
    arrived = first[np.searchsorted(order, codes[new])].astype(np.float64)
    if train.time is not None:
        times = np.nan_to_num(train.time[new].astype(np.float64), nan=-np.inf)
        newest = np.lexsort((arrived, times))
    else:
        newest = np.argsort(arrived, kind="stable")

    count = 0
    if len(new) > 1:
        count = math.ceil(HELD * len(new))

    held = np.sort(new[newest[len(new) - count :]])
    kept = np.ones(len(train), dtype=bool)
    kept[held] = False
    return train.take(kept), train.take(held)


def _trained(run: Run, data: Dataset, epochs: int, minutes: float | None) -> tuple[Run, str]:
    """Return the run trained on, computed again or trained again, and which of them."""
    chosen = pinned(run.chosen, run.model.settled())  # nothing is held out to choose it again by
    arguments: dict[str, Any] = {"seed": run.seed, "fallback": run.fallback}
    if run.model.plan().fit is not None:
        return fit_chosen(chosen, data, **arguments), "refit"

    if minutes is not None:
        epochs = _full_epochs(run) or epochs

    config = replace(chosen.train, epochs=epochs, patience=0, selection="valid")
    settings = replace(chosen, train=config)
    if minutes is not None:
        ends = time.monotonic() + _MINUTES * minutes
        return fit_chosen(settings, data, on_epoch=_until(ends), **arguments), "retrained"

    return fit_chosen(settings, data, start=start_of(run, chosen), **arguments), "warm start"


def _full_epochs(run: Run) -> int:
    """Return the best number of epochs from the beginning, which warm starts leave as it is; 0
    where it is not known.
    """
    return int(run.summary.get("full_epochs") or run.summary.get("best_epoch") or 0)


def _until(ends: float) -> Callable[[TrainState], None]:
    def stop(state: TrainState) -> None:
        if time.monotonic() >= ends:
            state.stopping.patience = state.stopping.since = 1

    return stop


@dataclass(frozen=True)
class Earlier:
    """The scorer of a run over the users and items of a dataset that was extended since: new items
    are not shown, new users are strangers with a history.

    Attributes:
        scorer: Of the run.
        users: Users that it has.
        items: Items that it has.
        width: Items of the extended dataset.
    """

    scorer: Scorer
    users: int
    items: int
    width: int

    @property
    def reads_history(self) -> bool:
        """Whether it ranks by a history."""
        return reads_history(self.scorer)

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores, -inf for new items."""
        known = query.history_mask & (query.history < self.items)
        user = torch.where(query.user < self.users, query.user, -1)
        own = Query(user, torch.where(known, query.history, 0), known)
        scores = self.scorer(own)
        whole = scores.new_full((len(scores), self.width), -torch.inf)
        whole[:, : self.items] = scores
        if items is None:
            return whole
        return whole.gather(1, items)


def _evaluated(
    run: Run, candidate: Run, data: Dataset
) -> tuple[dict[str, float], dict[str, float], Difference | None, int]:
    """Return the metrics of both runs on the newest interactions, and their difference."""
    if not len(data.valid):
        return {}, {}, None, 0

    old = served(run.model, run.scorer(), run.data, run.fallback)
    earlier = Earlier(old, run.data.num_users, run.data.num_items, data.num_items)
    new = served(candidate.model, candidate.scorer(), data, candidate.fallback)
    try:
        reports = [evaluate(scorer, data, on="valid", ks=(10, 20)) for scorer in (earlier, new)]
    except DataError:  # no one is left to evaluate
        return {}, {}, None, 0

    first, second = (report.per_user.select("user", METRIC) for report in reports)
    both = first.join(second, on="user", suffix=" new")
    gaps = (both[f"{METRIC} new"] - both[METRIC]).to_numpy()[:, None]
    gap = paired(gaps, generator=numpy_generator(run.seed, "update"))[0]
    return reports[0].metrics, reports[1].metrics, gap, len(gaps)
