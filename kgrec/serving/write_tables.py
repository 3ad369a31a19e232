"""Write a run as tables that numpy alone serves: ``kgrec export RUN --serving DIR``."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import scipy.sparse as sp
import torch

from kgrec._version import __version__
from kgrec.data.io.files import sha256
from kgrec.data.io.folders import check_replaceable, new_folder
from kgrec.data.io.writing import clean_beside, discard
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.tie_order import tie_order
from kgrec.errors import CapabilityError, ConfigError
from kgrec.explanation.fingerprint import graph_sum, parameters_sum
from kgrec.models.base import Scorer, VectorScorer
from kgrec.models.blend import BlendScorer
from kgrec.models.closed_form import HistoryScorer
from kgrec.models.fallback import Fallback, user_kinds
from kgrec.models.folding import Folded, fold_of
from kgrec.ops.folding import Fold, SquaresFold, SumFold
from kgrec.ops.ranking import chunk_rows
from kgrec.ops.strangers import KINDS
from kgrec.runs.doctor import MOST_SERVED, served_bytes
from kgrec.runs.folder import CONFIG
from kgrec.runs.processes.lists import LISTED, recommend_all
from kgrec.runs.processes.parts import read_parts
from kgrec.runs.run import Run
from kgrec.scale.world import World
from kgrec.serving.facets_of import facets_of
from kgrec.serving.reasons import read_reasons
from kgrec.serving.tables.best import best
from kgrec.serving.tables.columns import id_arrays, list_arrays, text_arrays
from kgrec.serving.tables.folder import ABOUT, KIND, UNKNOWN, VERSION, About, FoldAbout
from kgrec.serving.tables.pruning import rounded

_SEARCHED = 1 << 19  # numbers in item vectors from which most items are left out of a search
_SPARSE = 0.25  # share of numbers that are not 0 up to which a matrix is kept without them
_SAMPLED = 500
_AGREED = 20
_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Choice:
    """What goes into a folder of tables beside what ranking needs.

    Attributes:
        with_users: Whether rows of users do.
        lists: Length of lists to compute for every user, 0 for none.
        neighbors: Numbers to keep per item of an item matrix, 0 for all.
        reasons: File of explanations, from ``kgrec explain-batch``.
        items: Table of items whose columns filter lists.
        item: Its column of ids.
        most_bytes: Size above which an item matrix is refused.
    """

    with_users: bool = True
    lists: int = 0
    neighbors: int = 0
    reasons: Path | None = None
    items: Path | None = None
    item: str | None = None
    most_bytes: int = MOST_SERVED

    def __post_init__(self) -> None:
        """Reject what does not go together."""
        if self.lists < 0 or self.neighbors < 0:
            raise ConfigError("lists and neighbors are numbers of items: 0 or more.")
        if not self.with_users and (self.lists or self.reasons is not None):
            raise ConfigError("lists and reasons belong to users. Omit them, or keep the users.")


def run_id(run: Run) -> str:
    """Return the first 12 digits of a SHA-256 over a run's weights, data and configuration."""
    settings = json.dumps([run.name, asdict(run.config), asdict(run.fallback)], sort_keys=True)
    parts = parameters_sum(run.model.state_dict()), graph_sum(run.data), settings
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def write_tables(
    run: Run,
    path: str | Path,
    choice: Choice | None = None,
    *,
    model_serves: bool = False,
    world: World | None = None,
) -> About:
    """Write a folder of tables, whole or not at all, and return what it is.

    Lists are first written in parts, into ``PATH.lists``, which is gone on with after an interrupt
    and removed at the end.

    Args:
        run: The run.
        path: The folder; one of tables is replaced.
        choice: What goes into it.
        model_serves: Whether the run itself is at hand where it cannot be served by tables.
        world: Processes that share the lists, each of which calls this alike; the first one writes
            the folder.

    Raises:
        CapabilityError: If the run needs torch to be served, and is not at hand.
        ConfigError: If its item matrix is too large, or a score is not a number.
        CheckpointError: If something else is at the path.
    """
    chosen = choice or Choice()
    writer = _Writer(run, chosen)
    form = writer.form()
    if form == "model" and not model_serves:
        raise CapabilityError(
            f"{run.name} is neither vectors nor a history times an item matrix, nor a sum of the "
            "two: numpy cannot serve it. kgrec serve RUN does, with torch: some 250 MiB and 2 s of start a worker."
        )

    world = world or World()
    lists = None
    if chosen.lists:
        check_replaceable(path, KIND)
        lists = Path(path).with_name(f"{Path(path).name}.lists")
        if world.first:
            clean_beside(lists)
        recommend_all(run, lists, k=chosen.lists, ids="rows", world=world)

    about = None
    if world.first:
        with new_folder(path, KIND, VERSION) as folder:
            about = writer.write(folder, form, lists)
            (folder / ABOUT).write_bytes(msgspec.json.format(msgspec.json.encode(about), indent=1))
        if lists is not None:
            discard(lists)  # killed in between, it leaves no half under that name

    return msgspec.convert(world.hear(msgspec.to_builtins(about), patient=True), About)


class _Writer:
    """One export.

    Args:
        run: The run.
        choice: What goes into the folder.
    """

    def __init__(self, run: Run, choice: Choice) -> None:
        self.run = run
        self.choice = choice
        self.data: Dataset = run.data
        self.scorer: Scorer = run.scorer()
        self.order = tie_order(self.data)
        self.column = np.argsort(self.order)
        self.known = run.model.can_rank(self.data)
        self._agreement = 1.0
        self._names: list[str] = []
        self.factors: list[float] = []
        self.vectors = self.scorer
        self.histories = self.scorer
        if isinstance(self.scorer, BlendScorer):
            self._take_apart(self.scorer)

    def _take_apart(self, scorer: BlendScorer) -> None:
        """Find the item matrix and the vectors in a sum of the two."""
        parts = scorer.parts() or ()
        histories = [part for part in parts if type(part[1]) is HistoryScorer]
        vectors = [part for part in parts if isinstance(part[1], VectorScorer)]
        if len(histories) == len(vectors) == 1 and len(parts) == 2:
            (by_items, self.histories), (by_vectors, self.vectors) = histories[0], vectors[0]
            self.factors = [by_items, by_vectors]

    def form(self) -> str:
        """Return what the model is: "vectors", "histories", "sum" or "model"."""
        if isinstance(self.scorer, VectorScorer):
            return "vectors"
        if type(self.histories) is HistoryScorer and self._is_linear(self.histories):
            return "sum" if self.factors else "histories"
        return "model"

    @torch.inference_mode()
    def _is_linear(self, scorer: HistoryScorer) -> bool:
        """Return whether the scores of a set are the sum of those of its items, by a sample."""
        sizes = scorer.ptr.diff()
        for user in sizes.argsort(descending=True)[:5].tolist():
            own = scorer.items[scorer.ptr[user] : scorer.ptr[user + 1]][:50]
            whole = scorer.sums(torch.tensor([0, len(own)]), own)[0]
            added = scorer.sums(torch.arange(len(own) + 1), own).sum(0)
            if float((whole - added).abs().max()) > _TOLERANCE * float(whole.abs().max() + 1e-12):
                return False

        return True

    def write(self, folder: Path, form: str, lists: Path | None = None) -> About:
        """Fill the folder and return what it is, given everyone's lists in parts."""
        self._folder = folder
        fold: FoldAbout | None = None
        if form in ("vectors", "sum"):
            fold = self._vectors()
        if form in ("histories", "sum"):
            self._histories()

        self._items()
        self._fallback()
        if self.choice.with_users:
            self._users()
        if lists is not None:
            self._lists(lists)

        reasons = 0
        if self.choice.reasons is not None:
            parameters = parameters_sum(self.run.model.state_dict())
            keys, texts = read_reasons(self.choice.reasons, self.data, self.column, parameters)
            self._save({"reasons.keys": keys, **text_arrays("reasons.texts", texts)})
            reasons = len(texts)

        facets, arrays = facets_of(self.data, self.column, self.choice.items, self.choice.item)
        self._save(arrays)
        metrics = {
            part: {key: float(value) for key, value in found.items() if value is not None}
            for part in ("valid", "test")
            if isinstance(found := self.run.summary.get(part), dict)
        }
        return About(
            run=run_id(self.run),
            model=self.run.name,
            form=form,
            function=self.vectors.function if isinstance(self.vectors, VectorScorer) else "",
            fold=fold,
            users=self.data.num_users,
            items=self.data.num_items,
            with_users=self.choice.with_users,
            popular=self.run.model.list_kind == "popular",
            fallback=self.run.fallback.way,
            dataset=self.data.name,
            checksum=self.data.checksum,
            metrics=metrics,
            facets=facets,
            lists=self.choice.lists,
            reasons=reasons,
            kept=self.choice.neighbors if form in ("histories", "sum") else 0,
            agreement=self._agreement,
            source="" if self.run.path is None else sha256(self.run.path / CONFIG),
            kgrec=__version__,
            arrays=sorted(self._names),
            factors=self.factors if form == "sum" else [],
        )

    def _save(self, arrays: dict[str, np.ndarray]) -> None:
        for name, values in arrays.items():
            if values.dtype.kind == "f" and not name.startswith("facet."):
                _check_finite(values, name)
            np.save(self._folder / f"{name}.npy", values, allow_pickle=False)
            self._names.append(name)

    def _items(self) -> None:
        keys = self.data.items.series.to_list()
        labels = self.data.triples.labels.to_list()
        shown = [labels[row] or keys[row] for row in self.order.tolist()]
        newcomers = self.run.model.newcomers()
        if newcomers is not None:
            self._save({"items.placed": newcomers.items[self.order]})

        self._save(
            {
                **id_arrays("items.ids", [keys[row] for row in self.order.tolist()]),
                **text_arrays("items.labels", shown),
                "items.known": self.known.items[self.order],
                "items.rows": self.order.astype(np.int32),
            }
        )

    def _users(self) -> None:
        data = self.data
        whole = bool(self.known.users.all() and self.known.items.all())
        kinds = user_kinds(self.run.model, data, whole=whole)
        kinds = np.where(self.known.users, kinds, UNKNOWN).astype(np.int8)
        every = self.run.ranker().own_lists(np.arange(data.num_users))
        seen = self.column[every.items.numpy()]
        self._save(
            {
                **id_arrays("users.ids", data.users.series.to_list()),
                **list_arrays("users.seen", every.ptr.numpy(), seen),
                "users.kinds": kinds,
            }
        )

    def _fallback(self) -> None:
        found = Fallback(self.data, self.run.fallback)
        traits = self.run.reranker().traits
        self._save(
            {
                "items.popularity": found.popularity.numpy()[self.order],
                "items.counts": traits.counts[self.order],
            }
        )
        if traits.facts is not None:
            width = int(traits.facts.idx.max(initial=-1)) + 1
            shape = self.data.num_items, width
            facts = sp.csr_matrix((traits.facts.val, traits.facts.idx, traits.facts.ptr), shape)
            content = sp.csr_matrix(facts[self.order])
            arrays = list_arrays("content", content.indptr, content.indices, content.data)
            self._save({**arrays, "content.width": np.array([content.shape[1]])})

        if found.by_user is not None and self.choice.with_users:
            facts = found.by_user.facts
            counts = sp.csr_matrix(found.by_user.counts[:, self.order])
            self._save(
                {
                    **list_arrays("facts", facts.indptr, facts.indices),
                    **list_arrays("counts", counts.indptr, counts.indices, counts.data),
                    "counts.sizes": found.by_user.sizes,
                    "counts.share": found.by_user.share[self.order],
                }
            )

    @torch.inference_mode()
    def _vectors(self) -> FoldAbout | None:
        scorer = self.vectors
        assert isinstance(scorer, VectorScorer)
        items = scorer.items.cpu().numpy()[self.order]
        arrays = {"items.vectors": items, "items.columns": np.ascontiguousarray(items.T)}
        if scorer.function == "inner_product" and not self.factors and items.size >= _SEARCHED:
            arrays |= rounded(items, scorer.users.cpu().numpy())
        if self.choice.with_users:
            arrays["users.vectors"] = scorer.users.cpu().numpy()

        fold = self._fold()
        if fold is not None:
            arrays |= {f"fold.{name}": values for name, values in fold.arrays().items()}

        self._save(arrays)
        return None if fold is None else FoldAbout(fold.kind, fold.numbers())

    def _fold(self) -> Fold | None:
        """Return how histories become vectors, over the items in the order of the tables."""
        held = getattr(self.vectors, "fold", None)
        if isinstance(held, Folded):
            return held.fold

        found = fold_of(self.run.model, self.vectors, self.data, self.run.config)
        if isinstance(found, SumFold):
            return SumFold(found.table[self.order], found.constant, found.power, found.directed)
        if isinstance(found, SquaresFold):
            numbers = found.unobserved, found.l2, found.exponent
            return SquaresFold(found.items[self.order], found.gram, *numbers)

        return None

    def _histories(self) -> None:
        scorer = self.histories
        assert isinstance(scorer, HistoryScorer)
        if self.choice.with_users:
            ptr = scorer.ptr.cpu().numpy()
            own = self.column[scorer.items.cpu().numpy()]
            self._save(list_arrays("users.own", ptr, own))

        kept = self.choice.neighbors
        items = self.data.num_items
        parts: list[sp.csr_matrix] = []
        dense: np.memmap[Any, Any] | None = None
        start = 0
        for block in self._blocks(kept):
            stop = start + len(block)
            if dense is None:
                parts.append(sp.csr_matrix(block))
                numbers = sum(part.nnz for part in parts)
                self._fits(12 * numbers)
                if numbers > _SPARSE * items * items:
                    dense = self._dense(block.dtype)
                    _fill(dense, 0, sp.vstack(parts).toarray())
            else:
                _fill(dense, start, block)
            start = stop

        if dense is not None:
            dense.flush()
        else:
            matrix = sp.csr_matrix(sp.vstack(parts))
            self._save(list_arrays("matrix", matrix.indptr, matrix.indices, matrix.data))
        if kept:
            self._agreement = self._agreed(kept)

    def _fits(self, size: int) -> None:
        if size > self.choice.most_bytes:
            raise ConfigError(
                f"the item matrix takes {size / 2**30:.1f} GiB, at most "
                f"{self.choice.most_bytes / 2**30:.1f} are written. Keep fewer numbers per item: "
                "--neighbors 500."
            )

    def _dense(self, dtype: np.dtype) -> "np.memmap[Any, Any]":
        """Return the whole matrix, mapped."""
        items = self.data.num_items
        self._fits(served_bytes(self.scorer, self.data) or 0)
        self._names.append("matrix")
        goal = self._folder / "matrix.npy"
        return np.lib.format.open_memmap(goal, "w+", dtype, (items, items))

    @torch.inference_mode()
    def _blocks(self, kept: int = 0) -> Iterator[np.ndarray]:
        """Yield what items add to every item, rows and columns in the order of the tables; with
        ``kept``, the largest numbers of each row alone.
        """
        scorer = self.histories
        assert isinstance(scorer, HistoryScorer)
        step = chunk_rows(self.data.num_items, "cpu")
        for start in range(0, self.data.num_items, step):
            rows = torch.from_numpy(self.order[start : start + step])
            block = scorer.sums(torch.arange(len(rows) + 1), rows).numpy()[:, self.order]
            yield _cut(block, kept) if kept else block

    def _agreed(self, kept: int) -> float:
        """Return the share of the best 20 items that the cut matrix finds, over some users."""
        scorer = self.histories
        assert isinstance(scorer, HistoryScorer)
        ptr = scorer.ptr.numpy()
        drawn = np.random.default_rng(0)
        some = np.flatnonzero(np.diff(ptr))
        some = drawn.permutation(some)[:_SAMPLED]
        used = sp.csr_matrix(
            (np.ones(len(scorer.items)), self.column[scorer.items.numpy()], ptr),
            shape=(len(ptr) - 1, self.data.num_items),
        )[some]
        whole = np.zeros((len(some), self.data.num_items))
        cut = np.zeros_like(whole)
        start = 0
        for block in self._blocks():
            part = used[:, start : start + len(block)]
            whole += part @ block
            cut += part @ _cut(block, kept)
            start += len(block)

        shares = []
        for row in range(len(some)):
            own = used[row].indices
            whole[row, own] = cut[row, own] = -np.inf
            lists = [set(best(table[row], _AGREED).tolist()) for table in (whole, cut)]
            shares.append(len(lists[0] & lists[1]) / max(1, len(lists[0])))

        return float(np.mean(shares)) if shares else 1.0

    def _lists(self, folder: Path) -> None:
        """Take lists from the parts of ``recommend_all``."""
        shape = self.data.num_users, self.choice.lists
        items = np.full(shape, -1, np.int32)
        scores = np.zeros(shape, np.float32)
        kinds = np.full(shape, -1, np.int8)
        for _, frame in read_parts(folder, "kgrec-lists", list(LISTED)):
            user, rank, item, score, kind = (frame[name] for name in LISTED)
            place = user.to_numpy(), rank.to_numpy() - 1
            items[place] = self.column[item.to_numpy()]
            scores[place] = score.to_numpy()
            kinds[place] = kind.cast(pl.Enum(KINDS)).to_physical().to_numpy()

        self._save({"lists.items": items, "lists.scores": scores, "lists.kinds": kinds})


def _cut(block: np.ndarray, kept: int) -> np.ndarray:
    """Return rows with all but the largest numbers, signs aside, at 0."""
    if kept >= block.shape[1]:
        return block

    size = np.abs(block)
    limit = np.partition(size, -kept, axis=1)[:, -kept, None]
    return np.where(size >= np.maximum(limit, np.finfo(block.dtype).tiny), block, 0)


def _fill(table: np.ndarray, start: int, rows: np.ndarray) -> None:
    _check_finite(rows, "matrix")
    table[start : start + len(rows)] = rows


def _check_finite(values: np.ndarray, name: str) -> None:
    if not np.isfinite(values).all():
        raise ConfigError(
            f"{name}: a number is not finite. The model has diverged; lower its learning rate."
        )


def summary_lines(about: About, path: str | Path, size: int) -> Sequence[str]:
    """Return what is to be known of a folder of tables, in lines."""
    lines = [
        f"{path}: {about.model}, {about.form}, {about.items:,} items, "
        f"{about.users if about.with_users else 0:,} users, {size / 1e6:,.1f} MB, run {about.run}"
    ]
    if about.kept:
        lines.append(
            f"{about.kept:,} numbers per item are kept: lists of {_AGREED} share "
            f"{about.agreement:.1%} of their items with those of the whole matrix"
        )
    if about.facets:
        names = ", ".join(facet.name for facet in about.facets[:12])
        lines.append(f"filters: {names}{', ...' if len(about.facets) > 12 else ''}")
    if about.reasons:
        lines.append(f"{about.reasons:,} reasons")

    return lines


def folder_size(path: str | Path) -> int:
    """Return the bytes of a folder's files."""
    return sum(file.stat().st_size for file in Path(path).iterdir())


def described(about: About) -> dict[str, Any]:
    """Return what a folder of tables is, JSON-ready."""
    found: dict[str, Any] = msgspec.to_builtins(about)
    return found
