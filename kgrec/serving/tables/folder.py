"""Tables on disk: one folder, checked by its sums, mapped and not read."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from kgrec.data.io.files import FilePath, existing, read_record
from kgrec.data.io.folders import check_folder, combined_sum
from kgrec.errors import CheckpointError, MissingFileError
from kgrec.ops.folding import Fold, make_fold
from kgrec.ops.reranking import Rows, Traits, thirds_of
from kgrec.serving.tables.columns import Ids, Lists, Texts, check, check_rows
from kgrec.serving.tables.facets import Facet, Facets
from kgrec.serving.tables.fallback import ByUser, Fallback
from kgrec.serving.tables.pruning import rounded_of
from kgrec.serving.tables.scores import (
    FUNCTIONS,
    HistorySource,
    Source,
    SumSource,
    VectorSource,
)

KIND, VERSION = "serving", 2
ABOUT = "serving.json"
_TRIES = 10
UNKNOWN = -1
"""Kind of a user that the model knows nothing of."""


class FoldAbout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How histories become vectors.

    Attributes:
        kind: Name of a fold of ``kgrec.ops.folding``.
        numbers: Its numbers.
    """

    kind: str
    numbers: dict[str, float | bool]


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a folder of tables is.

    Attributes:
        run: First 12 digits of a SHA-256 over weights, data and configuration.
        model: Name of the model.
        form: "vectors", "histories" (a history times an item matrix), "sum" (both, weighted), or
            "model": what the model itself must score, beside which these tables are.
        function: What makes a score of two vectors.
        fold: How histories become vectors; None where they do not.
        users: Number of users.
        items: Number of items.
        with_users: Whether rows of users are in the folder.
        popular: Whether everyone gets the same list.
        fallback: How strangers are answered: "popularity", "attributes" or "off".
        dataset: Name of the dataset.
        checksum: Its SHA-256, "" where it was never saved.
        metrics: Figures of the run by part.
        facets: What items can be filtered by.
        lists: Length of the lists that are computed already, 0 for none.
        reasons: How many reasons are computed already.
        kept: Neighbors kept per item where others were cut; 0 where all are there.
        agreement: Then: share of the lists' items that agree with the whole matrix; else 1.
        source: SHA-256 of the run's configuration file, "" where it was never saved.
        kgrec: Version that wrote it.
        arrays: Names of the arrays.
        factors: Of "sum": what the scores of histories and those of vectors are multiplied by.
    """

    run: str
    model: str
    form: str
    function: str
    fold: FoldAbout | None
    users: int
    items: int
    with_users: bool
    popular: bool
    fallback: str
    dataset: str
    checksum: str
    metrics: dict[str, dict[str, float]]
    facets: list[Facet]
    lists: int
    reasons: int
    kept: int
    agreement: float
    source: str
    kgrec: str
    arrays: list[str]
    factors: list[float] = []


def _mapped(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, EOFError):  # an empty array cannot be mapped
        try:
            return np.asarray(np.load(path, allow_pickle=False))
        except (ValueError, EOFError):
            raise CheckpointError(f"{path}: is no table. Export the run again.") from None


class Tables:
    """What lists are made of.

    Args:
        about: What the folder is.
        arrays: Its arrays.
        path: The folder.
        stamp: Its SHA-256.

    Raises:
        CheckpointError: If they do not fit together.
    """

    def __init__(self, about: About, arrays: Mapping[str, np.ndarray], path: Path, stamp: str):
        self.about = about
        self.arrays = arrays
        self.path = path
        self.stamp = stamp
        users = about.users if about.with_users else 0
        self.items = Ids(arrays, "items.ids")
        self.labels = Texts(arrays, "items.labels")
        self.known = arrays["items.known"]
        check(len(self.items) == len(self.labels) == len(self.known) == about.items, "items")
        check(self.known.dtype == bool, "items.known")
        self.all_known = bool(self.known.all())
        self.cold = np.flatnonzero(~self.known)
        self.placed = arrays.get("items.placed")
        check(self.placed is None or self.placed.shape == self.known.shape, "items.placed")
        self.users: Ids | None = None
        self.seen: Lists | None = None
        if about.with_users:
            self.users = Ids(arrays, "users.ids")
            self.seen = Lists(arrays, "users.seen", about.items)
            self.user_kinds = arrays["users.kinds"]
            check(len(self.users) == len(self.seen) == len(self.user_kinds) == users, "users")

        self.facets = Facets(about.facets, arrays, about.items)
        content = _content(about, arrays)
        self.fallback = _fallback(about, arrays, content)
        self.source: Source | None = None
        if about.form == "vectors":
            self.source = _vectors(about, arrays, users)
        elif about.form == "histories":
            self.source = _histories(about, arrays, users)
        elif about.form == "sum":
            check(len(about.factors) == 2, "factors")
            parts = _histories(about, arrays, users), _vectors(about, arrays, users)
            self.source = SumSource(parts, tuple(about.factors))
        else:
            check(about.form == "model", "form")

        self.traits = _traits(about, arrays, content)
        self._check_lists(users)

    def _check_lists(self, users: int) -> None:
        if self.about.lists:
            for name in ("items", "scores", "kinds"):
                shape = self.arrays[f"lists.{name}"].shape
                check(shape == (users, self.about.lists), f"lists.{name}")
        if self.about.reasons:
            self.reasons = Texts(self.arrays, "reasons.texts")
            self.reason_keys = self.arrays["reasons.keys"]
            check(len(self.reasons) == len(self.reason_keys), "reasons")

    def reason(self, user: int, item: int) -> bytes | None:
        """Return the reason, as JSON, that was computed for a user and an item; None without."""
        if not self.about.reasons:
            return None

        key = np.uint64(user * self.about.items + item)
        at = int(self.reason_keys.searchsorted(key))
        if at == len(self.reason_keys) or self.reason_keys[at] != key:
            return None

        return self.reasons.raw(at)


def _vectors(about: About, arrays: Mapping[str, np.ndarray], users: int) -> VectorSource:
    items = arrays["items.vectors"]
    own = arrays["users.vectors"] if about.with_users else items[:0]
    columns = arrays["items.columns"]
    check(items.ndim == 2 and len(items) == about.items, "items.vectors")
    check(columns.shape == items.shape[::-1] and columns.dtype == items.dtype, "items.columns")
    check(own.ndim == 2 and len(own) == users, "users.vectors")
    check(own.shape[1] == items.shape[1] and about.function in FUNCTIONS, "users.vectors")
    fold: Fold | None = None
    if about.fold is not None:
        held = {
            name.removeprefix("fold."): arrays[name] for name in arrays if name.startswith("fold.")
        }
        try:
            fold = make_fold(about.fold.kind, items, held, about.fold.numbers, columns)
        except (KeyError, ValueError):
            check(False, "fold")

    rounded = rounded_of(arrays, *items.shape)
    return VectorSource(own, items, columns, about.function, fold, rounded)


def _histories(about: About, arrays: Mapping[str, np.ndarray], users: int) -> HistorySource:
    own = Lists(arrays, "users.own", about.items) if about.with_users else None
    check(own is None or len(own) == users, "users.own")
    rows = arrays["items.rows"]
    check(len(rows) == about.items, "items.rows")
    check_rows(rows, about.items, "items.rows")
    if "matrix.ptr" in arrays:
        sparse = Lists(arrays, "matrix", about.items)
        check(len(sparse) == about.items and sparse.val is not None, "matrix")
        return HistorySource(own, rows, None, sparse, arrays["matrix.val"].dtype)

    dense = arrays["matrix"]
    check(dense.shape == (about.items, about.items), "matrix")
    return HistorySource(own, rows, dense, None, dense.dtype)


def _content(about: About, arrays: Mapping[str, np.ndarray]) -> Lists | None:
    """Return the weighted facts of each item."""
    if "content.ptr" not in arrays:
        return None

    content = Lists(arrays, "content", int(arrays["content.width"][0]))
    check(len(content) == about.items and content.val is not None, "content")
    return content


def _traits(about: About, arrays: Mapping[str, np.ndarray], content: Lists | None) -> Traits:
    counts = np.asarray(arrays["items.counts"])
    check(counts.shape == (about.items,) and counts.dtype == np.int64, "items.counts")
    vectors = arrays["items.vectors"] if about.form == "vectors" else None
    if vectors is not None and vectors.shape[1] < 2:
        vectors = None
    facts = None if content is None else Rows(content.ptr, content.idx, content.val)
    return Traits(counts, thirds_of(counts), vectors, facts)


def _fallback(about: About, arrays: Mapping[str, np.ndarray], content: Lists | None) -> Fallback:
    popularity = arrays["items.popularity"]
    check(popularity.shape == (about.items,), "items.popularity")
    by_user = None
    if "facts.ptr" in arrays and about.with_users:
        counts = Lists(arrays, "counts", about.items)
        sizes, share = arrays["counts.sizes"], arrays["counts.share"]
        check(len(sizes) == len(counts) and len(share) == about.items, "counts")
        by_user = ByUser(Lists(arrays, "facts", len(counts)), counts, sizes, share)
        check(len(by_user.facts) == about.users, "facts")

    by_facts = content if about.fallback == "attributes" else None
    return Fallback(about.fallback, popularity, by_facts, by_user)


def open_tables(path: FilePath) -> Tables:
    """Return the tables of a folder, every file checked by its sum and mapped.

    A folder that is replaced meanwhile is opened again: no table comes from another than was
    checked.

    Raises:
        MissingFileError: If there is no such folder.
        CheckpointError: If it is not of this kind or version, or damaged.
    """
    for _ in range(_TRIES):
        folder = existing(path, folder=True).resolve()
        before = _files_of(folder)
        try:
            found = _opened(folder)
        except (CheckpointError, MissingFileError, OSError):
            if before == _files_of(folder):
                raise
            continue
        if before == _files_of(folder):
            return found

    raise CheckpointError(f"{path}: is replaced faster than it can be opened.")


def _opened(folder: Path) -> Tables:
    sums = check_folder(folder, KIND, VERSION)
    about = read_about(folder)
    missing = [name for name in about.arrays if f"{name}.npy" not in sums]
    if missing:
        raise CheckpointError(f"{folder}: lacks the table {missing[0][:80]}. Export again.")

    arrays = {name: _mapped(folder / f"{name}.npy") for name in about.arrays}
    try:
        return Tables(about, arrays, folder, combined_sum(sums))
    except KeyError as error:
        raise CheckpointError(f"{folder}: lacks the table {error}. Export the run again.") from None


def _files_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return what tells the files of a folder from those of another at its place."""
    found: dict[str, tuple[int, ...]] = {}
    with suppress(OSError):
        for file in folder.iterdir():
            stat = file.stat()
            found[file.name] = stat.st_ino, stat.st_ctime_ns, stat.st_mtime_ns, stat.st_size

    return found


def read_about(folder: Path) -> About:
    """Return what a folder of tables is, unchecked.

    Raises:
        CheckpointError: If the record is broken.
    """
    found: Any = read_record(folder / ABOUT)
    try:
        return msgspec.convert(found, About)
    except msgspec.ValidationError as error:
        raise CheckpointError(f"{folder / ABOUT}: {error}. Export the run again.") from None
