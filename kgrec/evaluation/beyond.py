"""What lists are worth beyond their hits: coverage, concentration, popularity bias, novelty,
diversity.
"""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Int
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.tie_order import tie_order

_HEAD_SHARE = 0.8
_DIVERSITY_USERS = 2_000
_PAIRS = 2**20
_BLOCK_ITEMS = 2_048

Similarity = Callable[[np.ndarray], np.ndarray]


def coverage(ranked: Int[Tensor, "users cand"], num_items: int, k: int) -> float:
    """Return the share of the catalog, in [0, 1], that is among the first k of at least one user;
    -1 marks an empty place.

    Source: Ge et al., Beyond Accuracy, RecSys 2010 (catalog coverage).
    """
    shown = torch.unique(ranked[:, :k])
    return int((shown >= 0).sum()) / num_items


def gini(ranked: Int[Tensor, "users cand"], num_items: int, k: int) -> float:
    """Return how unequally the first k places are given to the items of the catalog: 0 where all
    have as many, 1 where one has all.

    NaN where nothing is shown.

    Source: Shani and Gunawardana, Evaluating Recommendation Systems, Recommender Systems Handbook
    2011 (Gini index).
    """
    shown = ranked[:, :k].numpy()
    counts = np.sort(np.bincount(shown[shown >= 0], minlength=num_items))
    total = int(counts.sum())
    if total:
        return float((2 * np.arange(1, num_items + 1) - num_items - 1) @ counts) / (
            max(1, num_items - 1) * total
        )

    return float("nan")


def beyond_accuracy(
    ranked: Int[Tensor, "users cand"], dataset: Dataset, cutoffs: tuple[int, ...]
) -> dict[str, float]:
    """Return what the lists are worth beyond their hits, by name and cutoff; -1 in a list marks an
    empty place.

    - ``gini@k``: see ``gini``.
    - ``popularity@k``: training interactions of the items shown, mean over each list, then over
      users. Yin et al., VLDB 2012 (ARP).
    - ``longtail@k``: share of each list outside the head, which is the fewest items with 80 % of
      the training interactions. Abdollahpouri et al., RecSys 2017 (APLT).
    - ``novelty@k``: -log2 of the share of users who have the item, in bits; an item that no user has
      counts as one that one user has. Zhou et al., PNAS 2010 (mean self-information).
    - ``diversity@k``: 1 - cosine of who has the two items, mean over the pairs of a list. Ziegler
      et al., WWW 2005 (intra-list). By interactions, not by a model's own vectors, so that models
      can be compared.
    - ``entity_diversity@k``: 1 - Jaccard overlap of the entities next to the two items in the
      knowledge graph; absent without triples.

    The two diversities are over at most 2,000 users, evenly spread, and over the pairs whose items
    have interactions or neighbors. A value that nothing is known for is left out.

    Args:
        ranked: Item rows, best first.
        dataset: Training interactions and triples.
        cutoffs: Each at least 1.
    """
    lists = ranked.numpy()
    counts = np.bincount(dataset.train.item, minlength=dataset.num_items)
    information = np.log2(max(1, dataset.num_users)) - np.log2(np.maximum(counts, 1))
    tail = ~_head(counts, tie_order(dataset))
    found = {}

    for k in cutoffs:
        found[f"gini@{k}"] = gini(ranked, dataset.num_items, k)
        for name, values in (("popularity", counts), ("longtail", tail), ("novelty", information)):
            found[f"{name}@{k}"] = _list_mean(values, lists[:, :k])

    if len(lists):
        some = lists[
            np.unique(np.linspace(0, max(0, len(lists) - 1), _DIVERSITY_USERS).astype(np.int64))
        ]
    else:
        some = lists

    similarities = {"diversity": _co_interaction(dataset)}
    if len(dataset.triples):
        similarities["entity_diversity"] = _entity_overlap(dataset)

    for name, similarity in similarities.items():
        for k, value in zip(cutoffs, _diversity(some, similarity, cutoffs), strict=True):
            found[f"{name}@{k}"] = value

    return {name: value for name, value in found.items() if not np.isnan(value)}


def _head(counts: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return which items, the first in an order by falling counts, are the fewest that have the
    head's share of all interactions.
    """
    before = np.cumsum(counts[order]) - counts[order]
    head = np.zeros(len(counts), dtype=bool)
    head[order] = before < _HEAD_SHARE * counts.sum()
    return head


def _list_mean(values: np.ndarray, lists: np.ndarray) -> float:
    shown = lists >= 0
    sizes = shown.sum(axis=1)
    sums = np.where(shown, values[np.maximum(lists, 0)], 0).sum(axis=1)[sizes > 0]
    if len(sums):
        return float((sums / sizes[sizes > 0]).mean())
    return float("nan")


def _co_interaction(dataset: Dataset) -> Similarity:
    rows = dataset.train.csr(dataset.num_users, dataset.num_items).T.tocsr()

    def cosine(items: np.ndarray) -> np.ndarray:
        common, sizes = _common(rows, items)
        return np.asarray(common / np.sqrt(np.outer(sizes, sizes)))

    return cosine


def _entity_overlap(dataset: Dataset) -> Similarity:
    triples = dataset.triples
    ends = (
        np.concatenate([triples.head, triples.tail]),
        np.concatenate([triples.tail, triples.head]),
    )
    matrix = sp.csr_matrix(
        (np.ones(len(ends[0]), dtype=np.float32), ends),
        shape=(dataset.num_entities, dataset.num_entities),
    )
    rows = matrix[: dataset.num_items]
    rows.sum_duplicates()
    rows.data[:] = 1.0

    def jaccard(items: np.ndarray) -> np.ndarray:
        common, sizes = _common(rows, items)
        return np.asarray(common / (sizes[:, None] + sizes[None, :] - common))

    return jaccard


def _common(rows: sp.csr_matrix, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how much every two of the rows have in common, and how much each has; NaN for a row
    without anything.
    """
    part = rows[items]
    common = (part @ part.T).toarray().astype(np.float64)
    sizes = common.diagonal().copy()
    sizes[sizes == 0] = np.nan
    return common, sizes


def _diversity(lists: np.ndarray, similarity: Similarity, cutoffs: tuple[int, ...]) -> list[float]:
    """Return, per cutoff, the mean of 1 - similarity over the known pairs of each list, then over
    lists; a block of users at a time.
    """
    width = lists.shape[1]
    if width:
        step = max(1, min(_PAIRS // width**2, _BLOCK_ITEMS // width))
    else:
        step = 1

    above = np.triu(np.ones((width, width), dtype=bool), 1)
    parts = []

    for start in range(0, len(lists), step):
        block = lists[start : start + step]
        items = np.unique(block[block >= 0])
        if not len(items):
            continue

        place = np.searchsorted(items, block)
        place[block < 0] = 0
        shown = block >= 0
        apart = 1 - similarity(items)[place[:, :, None], place[:, None, :]]
        known = above & shown[:, :, None] & shown[:, None, :] & ~np.isnan(apart)
        # A pair belongs to every prefix that reaches its second place.
        sums = np.where(known, apart, 0).sum(axis=1).cumsum(axis=1)
        pairs = known.sum(axis=1).cumsum(axis=1)
        at = np.minimum(cutoffs, width) - 1
        parts.append(np.where(pairs[:, at] > 0, sums[:, at] / np.maximum(pairs[:, at], 1), np.nan))

    if parts:
        every = np.concatenate(parts)
    else:
        every = np.empty((0, len(cutoffs)))

    return [
        float(column[~np.isnan(column)].mean()) if (~np.isnan(column)).any() else float("nan")
        for column in every.T
    ]
