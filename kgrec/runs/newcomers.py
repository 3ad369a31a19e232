"""Users and items that join a trained run: vectors by formulas, and the dataset with them in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import LinearOperator, cg

from kgrec.data.derive.extend import Extended, extend
from kgrec.data.readers.interactions import read_interactions
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.ids import id_list, one_id
from kgrec.data.records.known import Known
from kgrec.data.records.triples import Triples
from kgrec.data.texts.tfidf import tf_idf
from kgrec.errors import CapabilityError, ConfigError, DataError
from kgrec.graph.attributes import weighted_attributes
from kgrec.models.base import DotProduct, Recommender, Scorer
from kgrec.models.blend import Blend
from kgrec.models.factorization.placed import Placed, PlacedConfig
from kgrec.models.folding import Folded, by_formula
from kgrec.ops.folding import MeanFold, unit
from kgrec.ops.placing import NEAREST, RIDGE, held_back, place_items, usual_share

_SAMPLED = 1_000
_WORDS = 2_000
_CELLS = 1 << 24  # of a table of new by known items


@dataclass(frozen=True, slots=True)
class Joined:
    """A run's vectors with newcomers among them.

    Attributes:
        model: The vectors.
        config: Its configuration.
        data: The dataset with the newcomers in it.
        users: How many users are new.
        items: How many items are new.
        share: Share of the places of lists of 20 that the new items take; 0 if there is none.
    """

    model: Placed
    config: PlacedConfig
    data: Dataset
    users: int
    items: int
    share: float


@dataclass(frozen=True, slots=True)
class Trained:
    """What newcomers are placed among: the vectors of a run.

    Attributes:
        model: The model.
        scorer: Its vectors.
        fold: How people are folded in among them.
        contrast: Rows of the items that histories are compared with.
    """

    model: Recommender
    scorer: DotProduct
    fold: MeanFold
    contrast: np.ndarray

    @classmethod
    def of(
        cls, model: Recommender, scorer: Scorer, data: Dataset, config: Any, name: str
    ) -> "Trained":
        """Return the vectors of a model, by which people are folded in by the one formula: also of
        a model whose lists do not go by histories.

        Raises:
            CapabilityError: If its users and items are not two vectors whose inner product is the
                score, or it knows people by a solution of its own.
        """
        own = isinstance(model, Placed) or model.own_fold() is None
        if (
            not isinstance(scorer, DotProduct)
            or not own
            or model.keeps_fold
            or isinstance(model, Blend)
        ):
            raise CapabilityError(
                f"{name}: no one can be placed among its vectors: it has none, or knows people by a "
                "solution of its own. Use recommend(history=...), or kgrec update."
            )

        held = scorer.fold
        if not isinstance(held, Folded) or not isinstance(held.fold, MeanFold):
            scorer = by_formula(scorer, data, config)
            held = scorer.fold

        assert isinstance(held, Folded)
        assert isinstance(held.fold, MeanFold)
        return cls(model, scorer, held.fold, np.sort(held.order[held.fold.contrast]))


def log_of(given: object) -> pl.DataFrame:
    """Return interactions as a table: of items by user id, or of what ``read_interactions`` reads.

    Raises:
        ConfigError: If there is something that is no id, or nothing at all.
    """
    if isinstance(given, Mapping):
        pairs = [(one_id(user), item) for user, items in given.items() for item in id_list(items)]
        schema = {"user": pl.String, "item": pl.String}
        frame = pl.DataFrame(pairs, schema=schema, orient="row")
    else:
        frame = read_interactions(given).frame

    if not frame.height:
        raise ConfigError("no interaction is given. Name at least one.")
    return frame


def join(
    trained: Trained,
    data: Dataset,
    log: pl.DataFrame | None,
    items: Sequence[str] = (),
    facts: Triples | None = None,
    texts: pl.Series | None = None,
    quota: float | None = None,
) -> Joined:
    """Return a run's vectors with new users and items among them.

    Items are placed first, by what is like them and by those of their users whom the model knows;
    then users, by their items.

    Args:
        trained: The run's vectors.
        data: What it was trained on.
        log: Interactions of new users, and of anyone with new items.
        items: Ids of new items beside those of the log.
        facts: Facts about new items.
        texts: Text of each of ``items``.
        quota: Most places of lists that the new items may take, a share; None takes ``usual_share``.

    Raises:
        ConfigError: If the quota is none.
        DataError: If a newcomer has nothing to be placed by.
    """
    if quota is not None and not 0 < quota <= 1:
        raise ConfigError(f"quota={quota}: a share of the places, above 0 and at most 1.")

    found = extend(data, log, items, facts)
    grown = _with_texts(found.data, data.num_items, texts)
    known = trained.model.can_rank(data)
    dim = trained.scorer.items.shape[1]
    config = PlacedConfig(dim, trained.fold.temperature)
    model = Placed(grown.num_users, grown.num_items, config)
    vectors = trained.scorer.items.cpu().numpy()
    people = trained.scorer.users.cpu().numpy()
    share = 0.0
    near: list[np.ndarray] = []
    if found.items:
        rows = np.arange(data.num_items, grown.num_items)
        content, near = of_content(grown, rows, np.flatnonzero(known.items), vectors)
        clicked = first_users(grown, rows, known.users)
        _refuse_unknown(grown, rows, near, clicked)
        placed = place_items(vectors, people, content, near, clicked)
        if quota is None:
            counts = np.bincount(data.train.item, minlength=data.num_items)
            quota = usual_share(counts[known.items], found.items)
        placed, share = _held(placed, vectors, people, grown, known.items, known.users, quota)
        vectors = np.concatenate([vectors, placed])

    people = _with_people(trained, grown, found, vectors, known.items, people)
    _fill(model, trained, found, vectors, people, near, known)
    return Joined(model.eval(), config, grown, found.users, found.items, share)


def of_content(
    data: Dataset, rows: np.ndarray, known: np.ndarray, vectors: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return what facts and texts say of some items: directions by ridge regression, (rows, dim),
    and the known items (rows) that are most like each, at most ``NEAREST``, the nearest first; of
    equally near ones the lower row. Zeros, and none, where an item shares nothing with them.

        x^T X^T (X X^T + 10)^-1 unit(V)   x the content of an item
                                          X the contents of the known items, a row each
                                          V their vectors

    Args:
        data: The dataset.
        rows: Items to be placed.
        known: Items with vectors.
        vectors: Vectors of all items up to the last known one.
    """
    content = _content(data)
    others = content[known]
    weights = _regression(others, unit(vectors[known].astype(np.float64)))
    found = []
    step = max(1, _CELLS // max(1, len(known)))
    for start in range(0, len(rows), step):
        likeness = (content[rows[start : start + step]] @ others.T).toarray()
        for row in likeness:
            best = np.argsort(-row, kind="stable")[:NEAREST]
            found.append(known[best[row[best] > 0]])

    return np.asarray(content[rows] @ weights), found


def _regression(content: sp.csr_matrix, vectors: np.ndarray) -> np.ndarray:
    """Return the weights of each fact and word, (facts, dim): X^T (X X^T + 10)^-1 V, by conjugate
    gradients.
    """
    rows = len(vectors)
    other = content.T.tocsr()
    system = LinearOperator((rows, rows), lambda v: content @ (other @ v) + RIDGE * v)
    solved = [cg(system, column, rtol=1e-6)[0] for column in vectors.T]
    return np.asarray(other @ np.stack(solved, axis=1))


def _content(data: Dataset) -> sp.csr_matrix:
    """Return a row per item by facts, and by texts where there are any, each of length 1."""
    parts = [weighted_attributes(data)] if len(data.triples) else []
    if data.content.texts is not None:
        parts.append(sp.csr_matrix(tf_idf(data.content.texts, _WORDS)))
    if not parts:
        return sp.csr_matrix((data.num_items, 1))
    return sp.csr_matrix(sp.hstack(parts))


def _with_texts(data: Dataset, old: int, texts: pl.Series | None) -> Dataset:
    """Return the dataset with the texts of its last items, where it has texts at all."""
    own = data.content.texts
    if texts is None or own is None:
        return data

    rest = [None] * (data.num_items - old - len(texts))
    whole = pl.Series("text", [*own[:old], *texts, *rest], dtype=pl.String)
    return replace(data, content=replace(data.content, texts=whole))


def first_users(data: Dataset, rows: np.ndarray, known: np.ndarray) -> list[np.ndarray]:
    """Return the known users of each item."""
    order = np.argsort(data.train.item, kind="stable")
    item = data.train.item[order]
    user = data.train.user[order]
    there = np.pad(known, (0, data.num_users - len(known)))
    starts = np.searchsorted(item, rows)
    stops = np.searchsorted(item, rows, side="right")
    found = [user[start:stop] for start, stop in zip(starts, stops, strict=True)]
    return [own[there[own]] for own in found]


def _refuse_unknown(
    data: Dataset, rows: np.ndarray, near: list[np.ndarray], clicked: list[np.ndarray]
) -> None:
    lost = [
        data.items.key(row)
        for row, own, people in zip(rows, near, clicked, strict=True)
        if not len(own) and not len(people)
    ]
    if lost:
        more = f" and {len(lost) - 1:,} more" if len(lost) > 1 else ""
        raise DataError(
            f"new item {lost[0][:80]!r}{more}: no fact or text shared with a known item, and no "
            "interaction of a known user. Add some, or leave it out."
        )


def _held(
    placed: np.ndarray,
    items: np.ndarray,
    users: np.ndarray,
    data: Dataset,
    known_items: np.ndarray,
    known_users: np.ndarray,
    quota: float,
) -> tuple[np.ndarray, float]:
    """Return vectors of new items that keep to a quota of the lists of a sample of users."""
    warm = np.flatnonzero(known_users)
    some = warm[:: -(-len(warm) // _SAMPLED) or 1]
    if not len(some) or not known_items.any():
        return placed, 0.0

    used = data.train.csr(data.num_users, data.num_items)[some].toarray() > 0
    kept = np.concatenate([known_items, np.ones(len(placed), dtype=bool)])
    return held_back(placed, items[known_items], users[some], quota, used[:, kept])


def _with_people(
    trained: Trained,
    data: Dataset,
    found: Extended,
    items: np.ndarray,
    known: np.ndarray,
    users: np.ndarray,
) -> np.ndarray:
    """Return the users' vectors with those of new users behind them.

    Raises:
        DataError: If one has no item that the model knows.
    """
    usable = np.concatenate([known, np.ones(found.items, dtype=bool)])
    fold = MeanFold(items, trained.fold.average, trained.contrast, trained.fold.temperature)
    made = [users]
    train = data.train
    for row in range(data.num_users - found.users, data.num_users):
        start, stop = np.searchsorted(train.user, [row, row + 1])
        own = np.unique(train.item[start:stop])
        own = own[usable[own]]
        if not len(own):
            raise DataError(
                f"user {data.users.key(row)[:80]!r}: no interaction with an item that the model "
                "knows. Leave the user out: the fallback answers."
            )
        made.append(fold.vector(own)[None])

    return np.concatenate(made)


def _fill(
    model: Placed,
    trained: Trained,
    found: Extended,
    items: np.ndarray,
    users: np.ndarray,
    near: list[np.ndarray],
    known: Known,
) -> None:
    """Write the tables of a model of placed vectors; what was placed before stays so."""
    before = trained.model.newcomers()
    old = len(users) - found.users
    first = len(items) - found.items
    state = model.state_dict()
    state["users"][:] = torch.from_numpy(users)
    state["items"][:] = torch.from_numpy(items)
    state["average"][:] = torch.from_numpy(trained.fold.average)
    state["contrast"][torch.from_numpy(trained.contrast)] = True
    state["known_users"][:old] = torch.from_numpy(known.users)
    state["known_users"][old:] = True
    state["known_items"][:first] = torch.from_numpy(known.items)
    state["known_items"][first:] = True
    state["new_users"][old:] = True
    state["new_items"][first:] = True
    for place, rows in enumerate(near):
        state["near"][first + place, : len(rows)] = torch.from_numpy(rows)
    if before is not None:
        state["new_users"][:old] = torch.from_numpy(before.users)
        state["new_items"][:first] = torch.from_numpy(before.items)
        state["near"][:first] = torch.from_numpy(before.near)
