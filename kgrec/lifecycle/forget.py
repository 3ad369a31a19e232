"""Forget a person: out of a run, its dataset, and the tables beside it, with a receipt."""

import hashlib
import json
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kgrec.data.derive.without_user import without_user
from kgrec.data.io.files import read_record
from kgrec.data.io.folders import folder_kind
from kgrec.data.io.writing import clean_beside, discard, find_again, locked
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.ids import Id, one_id
from kgrec.data.storage import open_dataset
from kgrec.errors import CapabilityError, CheckpointError, KgrecError, UnknownIdError
from kgrec.log import logger
from kgrec.models.base import Recommender
from kgrec.models.factorization.placed import Placed
from kgrec.nn.rivals import kept_parameters
from kgrec.runs.fit import fit_chosen
from kgrec.runs.folder import CONFIG, DATA, REFIT_DATA, identity, is_run, read_config
from kgrec.runs.run import Run, build_model, load_run
from kgrec.runs.settings import Chosen, pinned
from kgrec.runs.start import Start, take_over

SERVING = "serving"
_TABLES = "serving.json"
_SCRYPT = {"n": 1 << 14, "r": 8, "p": 1, "dklen": 32}
_SALT = 16


@dataclass(frozen=True, slots=True)
class Receipt:
    """That somebody was forgotten, without saying who.

    Attributes:
        when: ISO date and time, UTC.
        salt: Random, hexadecimal.
        hash: scrypt of the id with the salt, hexadecimal: whoever knows the id can check it.
        run: Folder of the run.
        exact: Whether the run is what a training without the person gives; else it is to be trained
            again.
        interactions: How many were removed from the run.
        dataset: Folder of the dataset, its sum before and after; empty if there is none.
        runs_changed: Other runs that were trained on that dataset, whose sum no longer holds.
        still_open: Other runs in the same folder that still hold the person.
        tables: Folders of tables that were removed.
        tables_open: Folders of tables of this run that still hold the person.
    """

    when: str
    salt: str
    hash: str
    run: str
    exact: bool
    interactions: int
    dataset: dict[str, str]
    runs_changed: tuple[str, ...] = ()
    still_open: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    tables_open: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return found | {
            name: list(value) for name, value in found.items() if isinstance(value, tuple)
        }


def forget(path: str | PathLike[str], user: Id, *, allow: tuple[str, ...] = ()) -> Receipt:
    """Remove a person from a stored run, from its dataset, and from the tables beside the run.

    A closed form is computed again: it is what it would be had the person never been there. Any
    other model loses the person's own vectors, and says that it is to be trained again, since the
    others were trained with that person. Each folder is replaced in one step, the run last; ended
    in between, the same call does what is left, and removes what a killed one left beside them.

    What cannot be known is not touched: files that the dataset was built from, tables and
    explanations that were written elsewhere, backups.

    Args:
        path: The run's folder.
        user: Id of the person.
        allow: Classes that may be imported.

    Raises:
        UnknownIdError: If no one has that id, or the person was forgotten before.
        CapabilityError: If the model holds what cannot be told apart by person.
        CheckpointError: If the run was replaced meanwhile, another process is at work there, or the
            disk is full; the message says that the person is not forgotten yet.
    """
    folder = Path(path)
    key = one_id(user)
    record = read_config(folder)
    place = _dataset_place(folder, record["dataset"])
    try:
        return _forgotten(folder, key, record, place, allow)
    except KgrecError:
        raise
    except OSError as error:
        where, why = error.filename or folder, error.strerror or error
        raise CheckpointError(
            f"{where}: {why}. The person is not forgotten yet: give the same command again."
        ) from None


def _forgotten(
    folder: Path, key: str, record: dict[str, Any], place: Path | None, allow: tuple[str, ...]
) -> Receipt:
    """Do what ``forget`` does."""
    _clean(_beside_run(folder), place, folder)
    run = load_run(folder, allow=allow, unfinished="refuse")
    there = None
    if place is not None:
        there = _opened(place)

    in_run = key in run.data.users
    in_data = there is not None and key in there.users
    if not in_run and not in_data:
        raise _unknown(run, key)

    rows = 0
    made, exact = run, _was_exact(run)
    if in_run:
        rows = _count(run, key)
        made, exact = _without(run, key)

    if read_config(folder) != record:
        raise CheckpointError(f"{folder}: was replaced meanwhile. Forget the person again.")

    before = str(record["dataset"].get("checksum") or "")
    others = _others(folder, before)
    after = before
    if place is not None and there is not None:
        after = _rewritten(place, there, run, key, before)

    dataset: dict[str, str] = {}
    if place is not None:
        dataset = {"path": str(place), "before": before, "after": after}

    changed: list[Path] = []
    if after != before:
        changed = others

    tables, still = _tables(folder)
    receipt = _receipt(key, folder, exact, rows)
    receipt = replace(
        receipt,
        dataset=dataset,
        runs_changed=tuple(map(str, changed)),
        still_open=tuple(str(other) for other in _beside(folder) if _holds(other, key)),
        tables=tuple(map(str, tables)),
        tables_open=tuple(map(str, still)),
    )
    for each in tables:
        with locked(each):
            discard(each)

    _store(made, run, folder, place, after, receipt)
    return receipt


def _clean(*places: Path | None) -> None:
    """Remove what a killed call left beside some folders: it holds the person."""
    for place in places:
        if place is not None:
            clean_beside(place)


def _unknown(run: Run, key: str) -> UnknownIdError:
    """Return what says that no one has an id; ids of others are not named."""
    for one in stored_receipts(run.receipts):
        if _hash(key, str(one.get("salt"))) == one.get("hash"):
            return UnknownIdError(
                f"user {key[:80]!r} was forgotten on {str(one.get('when'))[:10]}. Nothing is left "
                "to do."
            )

    return UnknownIdError(f"user {key[:80]!r} is neither in {run.path} nor in its dataset.")


def stored_receipts(stored: bytes | None) -> list[dict[str, Any]]:
    """Return the receipts that a run holds; those that cannot be read are left out."""
    if stored is None:
        return []
    try:
        found = json.loads(stored)
    except ValueError:
        return []
    if not isinstance(found, list):
        return []
    return [one for one in found if isinstance(one, dict)]


def _hash(key: str, salt: str) -> str:
    try:
        raw = bytes.fromhex(salt)
    except ValueError:
        return ""
    n, r, p, size = _SCRYPT.values()
    return hashlib.scrypt(
        key.encode("utf-8", "surrogatepass"), salt=raw, n=n, r=r, p=p, dklen=size
    ).hex()


def _receipt(key: str, folder: Path, exact: bool, rows: int) -> Receipt:
    salt = secrets.token_hex(_SALT)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return Receipt(when, salt, _hash(key, salt), str(folder), exact, rows, {})


def _count(run: Run, key: str) -> int:
    row = run.data.users.row(key)
    parts = run.data.train, run.data.valid, run.data.test
    return sum(int((part.user == row).sum()) for part in parts)


def _was_exact(run: Run) -> bool:
    return not (run.summary.get("forgotten") or {}).get("retrain", False)


def _dataset_place(folder: Path, dataset: dict[str, Any]) -> Path | None:
    """Return the folder of a run's dataset, where it is still there."""
    places: list[Path] = []
    if dataset.get("relative"):
        places.append(folder.resolve() / dataset["relative"])
    if dataset.get("path"):
        places.append(Path(dataset["path"]))
    for place in places:
        find_again(place)
        if place.is_dir():
            return place.resolve()

    return None


def _opened(place: Path) -> Dataset | None:
    try:
        return open_dataset(place)
    except KgrecError as error:
        logger.warning("%s is left as it is: %s", place, error)
        return None


def _rewritten(place: Path, there: Dataset, run: Run, key: str, before: str) -> str:
    """Take a person out of a dataset's folder; return the sum that the run goes by.

    A dataset that another call has already rewritten is known by what is left in it.
    """
    same = there.checksum == before
    if key in there.users:
        there = without_user(there, key).save(place)
    elif not same:
        held = run.data
        if key in held.users:
            held = without_user(held, key)
        same = _pairs(there, every=run.refit) == _pairs(held, every=run.refit)
    if not same:
        logger.warning("%s is another state of the run's dataset, and not what it goes by.", place)
        return before

    return there.checksum


def _pairs(data: Dataset, *, every: bool) -> tuple[list[str], list[str], list[int]]:
    """Return ids, and what was used by whom in training and validation, or in all parts."""
    parts = [data.train, data.valid]
    if every:
        parts.append(data.test)

    codes = [part.user.astype(np.int64) * max(1, data.num_items) + part.item for part in parts]
    return list(data.users), list(data.items), sorted(np.concatenate(codes).tolist())


def _without(run: Run, key: str) -> tuple[Run, bool]:
    """Return a run without a person, and whether it is what a training without gives."""
    data = without_user(run.data, key)
    if isinstance(run.model, Placed):
        return _with_model(run, _placed(run, data, key), data, exact=False)
    if run.chosen.members:
        raise CapabilityError(
            f"{run.path}: is a blend. Forget the person in its members, and blend again."
        )
    if run.model.plan().fit is not None:
        fitted = fit_chosen(run.chosen, data, seed=run.seed, fallback=run.fallback)
        return _with_model(run, fitted.model, data, exact=True)

    chosen = pinned(run.chosen, run.model.settled())
    model = build_model(chosen, data, run.seed)
    start = Start(run.data, kept_parameters(run.model), {})
    fresh = take_over(model, data, start)["fresh"]
    if fresh:
        raise CapabilityError(
            f"{run.path}: what {fresh[0]} holds cannot be told apart by person. Train again without."
        )

    own = model.state_dict()
    held = dict(run.model.named_buffers())
    parts = {name for name in held if name.rsplit(".", 1)[-1] in _STATISTICS}
    model.load_state_dict(own | {name: held[name] for name in parts})
    plan = model.plan()
    if plan.after_epoch is not None:
        plan.after_epoch()
    if plan.settle is not None:  # what is computed at a training's end, of the others alone
        model.eval()
        with torch.no_grad():
            plan.settle(None)
    return _with_model(run, model, data, exact=False, chosen=chosen)


_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def _placed(run: Run, data: Dataset, key: str) -> Placed:
    """Return placed vectors without those of a person."""
    row = run.data.users.row(key)
    model = Placed(data.num_users, data.num_items, run.config)
    state = model.state_dict()
    for name, table in run.model.state_dict().items():
        if name in ("users", "known_users", "new_users"):
            table = table[[other for other in range(len(table)) if other != row]]
        state[name][:] = table

    return model


def _with_model(
    run: Run, model: Recommender, data: Dataset, *, exact: bool, chosen: Chosen | None = None
) -> tuple[Run, bool]:
    record = run.summary.get("forgotten") or {"people": 0, "retrain": False}
    summary = run.summary | {
        "forgotten": {
            "people": record["people"] + 1,
            "retrain": not exact,
        }
    }
    fields: dict[str, Any] = {"model": model.eval(), "data": data, "summary": summary}
    return run.in_place_of(run, chosen=chosen or run.chosen, **fields), exact


def _store(
    made: Run, run: Run, folder: Path, place: Path | None, after: str, receipt: Receipt
) -> None:
    """Write the run without the person, with the receipt in it."""
    data = replace(made.data, path=None, checksum=after)
    known = run.dataset
    if place is not None:
        data = replace(data, path=str(place))
        known = identity(data)

    kept = [*stored_receipts(run.receipts), receipt.to_dict()]
    text = json.dumps(kept, indent=1).encode() + b"\n"
    made = made.in_place_of(made, receipts=text, data=data, dataset=known)
    made.save(folder)


def _others(folder: Path, checksum: str) -> list[Path]:
    """Return the runs beside a run that were trained on a dataset of this sum."""
    if not checksum:
        return []

    found = []
    for other in _beside(folder):
        with suppress(KgrecError):
            if read_config(other)["dataset"].get("checksum") == checksum:
                found.append(other)

    return found


def _beside(folder: Path) -> list[Path]:
    """Return the other runs in the folder of a run; one that was updated holds a person as well."""
    own = folder.resolve()
    every = sorted(own.parent.iterdir())
    return [one for one in every if one != own and (one / CONFIG).is_file() and is_run(one)]


def _holds(other: Path, key: str) -> bool:
    """Return whether a run's own data has a person."""
    for name in (DATA, REFIT_DATA):
        with suppress(KgrecError):
            if (other / name).is_dir() and key in open_dataset(other / name).users:
                return True

    return False


def _beside_run(folder: Path) -> Path:
    """Return where ``kgrec serve`` makes the tables of a run."""
    own = folder.resolve()
    return own.with_name(f"{own.name}.serving")


def _tables(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the tables that ``kgrec serve`` made beside a run, and others of it in its folder's
    parent.
    """
    own = folder.resolve()
    beside = _beside_run(folder)
    source = hashlib.sha256((own / CONFIG).read_bytes()).hexdigest()
    made: list[Path] = []
    still: list[Path] = []
    for other in sorted(own.parent.iterdir()):
        if not other.is_dir() or folder_kind(other) != SERVING:
            continue
        if other == beside:
            made.append(other)
            continue
        with suppress(KgrecError):
            if read_record(other / _TABLES).get("source") == source:
                still.append(other)

    return made, still
