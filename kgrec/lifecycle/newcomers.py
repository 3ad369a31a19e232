"""What placing newcomers costs: users and items are left out of a training whole, then folded in,
and compared with the run that was trained with them (``kgrec evaluate RUN --protocol fold-in``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from kgrec.batches import Query
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions, concatenate
from kgrec.data.records.known import with_interactions
from kgrec.data.records.tie_order import tie_order
from kgrec.errors import CapabilityError, ConfigError, DataError
from kgrec.evaluation.report import known_part
from kgrec.evaluation.significance import paired
from kgrec.models.base import DotProduct, Scorer, reads_history
from kgrec.models.fallback import Served, served
from kgrec.ops.placing import held_back, place_items, usual_share
from kgrec.ops.ranking import topk_scores
from kgrec.random import numpy_generator
from kgrec.runs.fit import fit_chosen
from kgrec.runs.newcomers import of_content
from kgrec.runs.run import Run

EVENTS = (1, 5, 20, None)
CLICKS = (0, 1, 5, 20)
SAMPLE = 100
_K = 20
_AMONG = 10
_ENOUGH = 20  # interactions of who and what is left out, where there are so many
_PEOPLE = 1_000


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean, and what it lacks of the trained one.

    Attributes:
        value: The mean over users.
        gap: Mean of trained minus this, paired by user.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    value: float
    gap: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Return the numbers."""
        return {"value": self.value, "gap": self.gap, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class NewcomerReport:
    """What folding in costs.

    Attributes:
        model: Name of the model.
        dataset: Name of the dataset.
        seed: Of the run; it draws who is left out as well.
        users: Users left out.
        trained: recall@20 and ndcg@20 of these by the run that was trained with them.
        folded: The same figures, folded in from so many events (a number, or "all").
        items: Items left out; 0 where the model's items cannot be placed.
        evaluated: Users by whose lists the items are evaluated.
        items_trained: Of the run: ``among``, recall@10 among the items that are left out;
            ``share`` of the places of all lists of 20 that they take; ``all``, recall@20 over
            everything.
        items_left_out: The same of the training without them, in whose lists they are not.
        placed: The same, placed with so many first clicks.
    """

    model: str
    dataset: str
    seed: int
    users: int
    trained: dict[str, float]
    folded: dict[str, dict[str, Figure]]
    items: int = 0
    evaluated: int = 0
    items_trained: dict[str, float] | None = None
    items_left_out: dict[str, float] | None = None
    placed: dict[str, dict[str, Figure]] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything, JSON-ready: the form of ``kgrec evaluate --protocol fold-in --json``."""
        return {
            "model": self.model,
            "dataset": self.dataset,
            "protocol": "fold-in",
            "seed": self.seed,
            "users": {
                "left_out": self.users,
                "trained": self.trained,
                "folded": _figures_of(self.folded),
            },
            "items": {
                "left_out": self.items,
                "evaluated": self.evaluated,
                "trained": self.items_trained,
                "without": self.items_left_out,
                "placed": _figures_of(self.placed or {}),
            },
        }


def _figures_of(rows: dict[str, dict[str, Figure]]) -> dict[str, dict[str, dict[str, float]]]:
    return {
        row: {name: figure.to_dict() for name, figure in figures.items()}
        for row, figures in rows.items()
    }


def evaluate_newcomers(
    run: Run, *, sample: int = SAMPLE, seed: int | None = None, dataset: Any = None
) -> NewcomerReport:
    """Return what it costs to fold users and items in, beside training with them.

    Trains twice, by the run's settings: without some users, and without some items.

    Args:
        run: The run; it was trained with everyone.
        sample: Users, and items, that are left out; at most a tenth of each.
        seed: Draws them, their events and first clicks; None takes the run's.
        dataset: The dataset, where it is no longer where it was.

    Raises:
        CapabilityError: If the model folds no one in.
        ConfigError: If the sample is empty.
        DataError: If nothing is held out to evaluate by.
    """
    if sample < 1:
        raise ConfigError(f"sample={sample}: leave at least one out.")
    if run.model.list_kind != "personal" or _folding(run) is None:
        raise CapabilityError(f"{run.name} folds no one in. Nothing to measure.")

    data = run.with_test(dataset)
    own = run.seed if seed is None else seed
    trained, folded, users = _users(run, data, sample, own)
    report = NewcomerReport(run.name, data.name, own, users, trained, folded)
    try:
        run.placed_among()
    except CapabilityError:
        return report

    return _with_items(report, run, data, sample, own)


def _folding(run: Run) -> Scorer | None:
    """Return what ranks for someone unseen: of models whose lists do not go by histories, the
    formula; None where nothing does.
    """
    if reads_history(run.scorer()):
        return run.scorer()
    try:
        return run.placed_among().scorer
    except CapabilityError:
        return None


class _Evaluator:
    """Ranks for users, leaving out what they have.

    Args:
        data: All interactions.
        rows: The users.
        order: Items in the order that breaks ties.
    """

    def __init__(self, data: Dataset, rows: np.ndarray, order: np.ndarray) -> None:
        self.rows = rows
        self._order = order
        self._had = _dense(data, rows, known_part(data, "test"))
        self._truth = _dense(data, rows, data.test) & ~self._had

    def lists(self, scores: torch.Tensor, k: int, only: np.ndarray | None = None) -> np.ndarray:
        """Return the best items of each user, -1 if there is none."""
        table = scores.clone()
        table[torch.from_numpy(self._had)] = -torch.inf
        if only is not None:
            table[:, torch.from_numpy(~only)] = -torch.inf
        _, at = topk_scores(table[:, torch.from_numpy(self._order)], min(k, len(self._order)))
        found = at.numpy()
        return np.where(found < 0, -1, self._order[found])

    def metrics(
        self, scores: torch.Tensor, k: int = _K, only: np.ndarray | None = None
    ) -> np.ndarray:
        """Return recall and ndcg per user, (users, 2); NaN where nothing is held out."""
        items = self.lists(scores, k, only)
        truth = self._truth
        if only is not None:
            truth = truth & only

        hits = np.take_along_axis(truth, np.maximum(items, 0), 1) & (items >= 0)
        worth = 1 / np.log2(2 + np.arange(items.shape[1]))
        count = truth.sum(1)
        ideal = np.concatenate([[0.0], np.cumsum(worth)])[np.minimum(count, items.shape[1])]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.stack([hits.sum(1) / count, (hits @ worth) / ideal], axis=1)


def _dense(data: Dataset, rows: np.ndarray, part: Interactions) -> np.ndarray:
    """Return which items some users have in a part."""
    return np.asarray(part.csr(data.num_users, data.num_items)[rows].toarray() > 0)


def _drawn(
    counts: np.ndarray, allowed: np.ndarray, sample: int, seed: int, what: str
) -> np.ndarray:
    """Return the rows that are left out, ascending."""
    rows = np.flatnonzero(allowed & (counts >= _ENOUGH))
    most = min(sample, max(1, len(counts) // 10))
    if len(rows) < most:
        rows = np.flatnonzero(allowed & (counts > 0))
        rows = rows[np.argsort(-counts[rows], kind="stable")[: 2 * most]]
    if not len(rows):
        raise DataError(f"no {what} can be left out: none has training and test interactions.")

    drawn = numpy_generator(seed, f"{what} left out").permutation(rows)[:most]
    return np.sort(drawn)


def _users(
    run: Run, data: Dataset, sample: int, seed: int
) -> tuple[dict[str, float], dict[str, dict[str, Figure]], int]:
    counts = np.bincount(data.train.user, minlength=data.num_users)
    tested = np.bincount(data.test.user, minlength=data.num_users) > 0
    rows = _drawn(counts, tested, sample, seed, "users")

    def left(part: Interactions) -> Interactions:
        return part.take(~np.isin(part.user, rows))

    reduced = replace(data, train=left(data.train), valid=left(data.valid), path=None, checksum="")
    other = _fitted(run, reduced)
    evaluator = _Evaluator(data, rows, tie_order(data))
    known = _scores(served(run.model, run.scorer(), run.data), rows, _own(data, rows, None, seed))
    trained = evaluator.metrics(known)
    folding = _folding(other)
    assert folding is not None
    scorer = served(other.model, folding, reduced, other.fallback)
    strangers = np.full(len(rows), -1)
    folded = {}
    for events in EVENTS:
        scores = _scores(scorer, strangers, _own(data, rows, events, seed))
        values = evaluator.metrics(scores)
        folded["all" if events is None else str(events)] = _figures(
            ("recall@20", "ndcg@20"), values, trained, seed
        )

    means = np.nanmean(trained, axis=0)
    return {"recall@20": float(means[0]), "ndcg@20": float(means[1])}, folded, len(rows)


def _fitted(run: Run, data: Dataset) -> Run:
    return fit_chosen(run.chosen, data, seed=run.seed, fallback=run.fallback)


def _own(data: Dataset, rows: np.ndarray, events: int | None, seed: int) -> list[np.ndarray]:
    """Return some events of each user, drawn; those of fewer are among those of more."""
    generator = numpy_generator(seed, "events")
    found = []
    for row in rows:
        own = generator.permutation(data.train.item[data.train.user == row].astype(np.int64))
        found.append(own[:events])

    return found


@torch.inference_mode()
def _scores(scorer: Scorer, users: np.ndarray, own: Sequence[np.ndarray]) -> torch.Tensor:
    length = max(1, *(len(one) for one in own))
    history = torch.zeros(len(own), length, dtype=torch.int64)
    mask = torch.zeros(len(own), length, dtype=torch.bool)
    for row, items in enumerate(own):
        history[row, : len(items)] = torch.from_numpy(items)
        mask[row, : len(items)] = True

    return scorer(Query(torch.from_numpy(users.astype(np.int64)), history, mask)).float()


def _figures(
    names: Sequence[str], values: np.ndarray, trained: np.ndarray, seed: int
) -> dict[str, Figure]:
    gaps = paired(trained - values, generator=numpy_generator(seed, "gaps"))
    means = np.nanmean(values, axis=0)
    return {
        name: Figure(float(mean), gap.mean, gap.low, gap.high)
        for name, mean, gap in zip(names, means, gaps, strict=True)
    }


def _with_items(
    report: NewcomerReport, run: Run, data: Dataset, sample: int, seed: int
) -> NewcomerReport:
    """Return the report with what placing new items costs."""
    counts = np.bincount(data.train.item, minlength=data.num_items)
    tested = np.bincount(data.test.item, minlength=data.num_items) > 0
    rows = _drawn(counts, tested, sample, seed, "items")
    other = _fitted(run, _without_items(data, rows))
    scorer = other.scorer()
    assert isinstance(scorer, DotProduct)
    new = np.zeros(data.num_items, dtype=bool)
    new[rows] = True
    warm = with_interactions(other.data)
    evaluator = _Evaluator(data, np.unique(data.test.user), tie_order(data))
    first = served(run.model, run.scorer(), run.data)
    plain = first.scorer if isinstance(first, Served) else first
    assert isinstance(plain, DotProduct)
    trained = _of_items(evaluator, plain.users, plain.items, new, with_interactions(data).items)
    without = _of_items(evaluator, scorer.users, scorer.items, new, warm.items & ~new)
    names = ("among", "share", "all")
    placed = {}
    for clicks in CLICKS:
        items = _placed(scorer, data, rows, warm.users, warm.items & ~new, clicks, seed)
        values = _of_items(evaluator, scorer.users, items, new, warm.items | new)
        placed[str(clicks)] = _figures(names, values, trained, seed)

    return replace(
        report,
        items=len(rows),
        evaluated=len(evaluator.rows),
        items_trained=dict(zip(names, np.nanmean(trained, axis=0).tolist(), strict=True)),
        items_left_out={"all": float(np.nanmean(without[:, 2]))},
        placed=placed,
    )


def _without_items(data: Dataset, rows: np.ndarray) -> Dataset:
    """Return a dataset in which items are neither used nor named by a fact."""

    def left(part: Interactions) -> Interactions:
        return part.take(~np.isin(part.item, rows))

    triples = data.triples
    kept = ~(np.isin(triples.head, rows) | np.isin(triples.tail, rows))
    return replace(
        data,
        train=left(data.train),
        valid=left(data.valid),
        triples=triples.take(kept),
        path=None,
        checksum="",
    )


def _placed(
    scorer: DotProduct,
    data: Dataset,
    rows: np.ndarray,
    users: np.ndarray,
    known: np.ndarray,
    clicks: int,
    seed: int,
) -> torch.Tensor:
    """Return the items' vectors, new ones placed from so many first clicks."""
    generator = numpy_generator(seed, "first clicks")
    items = scorer.items.cpu().numpy()
    people = scorer.users.cpu().numpy()
    content, near = of_content(data, rows, np.flatnonzero(known), items)
    clicked = []
    for row in rows:
        own = generator.permutation(data.train.user[data.train.item == row])
        clicked.append(own[users[own]][:clicks])

    those = [_among(users, own) for own in clicked]
    vectors = place_items(items, people[users], content, near, those)
    warm = np.flatnonzero(users)
    some = warm[:: -(-len(warm) // _PEOPLE) or 1]
    used = concatenate([data.train, data.valid]).csr(data.num_users, data.num_items)[some] > 0
    had = used[:, np.concatenate([np.flatnonzero(known), rows])].toarray()
    counts = np.bincount(data.train.item, minlength=data.num_items)
    quota = usual_share(counts[known], len(rows))
    vectors, _ = held_back(vectors, items[known], people[some], quota, had)
    made = items.copy()
    made[rows] = vectors
    return torch.from_numpy(made)


def _among(known: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the positions of some rows among those that are known."""
    return np.asarray((np.cumsum(known) - 1)[rows])


def _of_items(
    evaluator: _Evaluator,
    users: torch.Tensor,
    items: torch.Tensor,
    new: np.ndarray,
    shown: np.ndarray,
) -> np.ndarray:
    """Return among, share and all per user, (users, 3)."""
    scores = users[torch.from_numpy(evaluator.rows)] @ items.T
    scores[:, torch.from_numpy(~shown)] = -torch.inf
    among = evaluator.metrics(scores, _AMONG, new)[:, 0]
    lists = evaluator.lists(scores, _K)
    share = (new[np.maximum(lists, 0)] & (lists >= 0)).mean(1)
    return np.stack([among, share, evaluator.metrics(scores)[:, 0]], axis=1)
