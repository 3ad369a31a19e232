"""Whether the graph says of items what their users do: links that were made by wrong ids show there."""

from dataclasses import dataclass

import numpy as np
import scipy  # `scipy.sparse` is imported when it is first used

from kgrec.data.records.interactions import Interactions, counted
from kgrec.data.records.report import Caution
from kgrec.data.records.triples import Triples

_FEWEST_ITEMS, _MOST_ITEMS = 100, 1_000
_FEWEST_USERS = 5  # of an item: what fewer used together says little
_FEWEST_PAIRS = 5_000
_MOST_PAIRS = 2_000_000
_CHANCE = 2.0  # standard deviations


@dataclass(frozen=True, slots=True)
class Agreement:
    """How much more of the graph items share that are used together.

    Attributes:
        items: How many were looked at: the most used ones that have facts.
        ratio: Mean likeness of their facts, pairs weighted by the likeness of their users, over the
            mean of all ways to deal the facts out to the items.
        deviations: The difference in standard deviations of these deals.
    """

    items: int
    ratio: float
    deviations: float


def agreement(train: Interactions, graph: Triples, num_items: int) -> Agreement | None:
    """Return how facts and use of items agree; None with fewer than 100 items that have facts and
    five users each, or fewer than 5,000 interactions with them.

    Likeness is the cosine, of sets of users, and of sets of (relation, direction, entity) where a
    rare entity counts more.
    """
    if not len(graph):
        return None

    used = counted(train.item, num_items)
    able = np.flatnonzero(used >= _FEWEST_USERS)
    if len(able) < _FEWEST_ITEMS or used[able].sum() < _FEWEST_PAIRS:
        return None  # before the facts of a large graph are counted

    facts = _facts(graph, num_items)
    able = able[np.diff(facts.indptr)[able] > 0]
    if len(able) < _FEWEST_ITEMS:
        return None

    items = np.sort(able[np.argsort(-used[able], kind="stable")[:_MOST_ITEMS]])
    together = _together(train, items)
    if together is None:
        return None

    alike = _cosines(facts[items])
    found = float((together * alike).sum())
    mean, spread = _by_chance(together, alike)
    if mean <= 0 or spread <= 0:
        return None
    return Agreement(len(items), found / mean, (found - mean) / spread)


def _by_chance(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of sum a_ij b_p(i)p(j) over all permutations p, for
    symmetric a and b with zeros on the diagonal.

    Source: Mantel, Cancer Research 1967; Cliff and Ord, Spatial Processes, 1981.
    """
    size = len(a)
    (a0, a1, a2), (b0, b1, b2) = (
        (table.sum(), 2 * np.square(table).sum(), 4 * np.square(table.sum(1)).sum())
        for table in (a, b)
    )
    pairs = size * (size - 1)
    triples = pairs * (size - 2)
    mean = a0 * b0 / pairs
    square = a1 * b1 / (2 * pairs) + (a2 - 2 * a1) * (b2 - 2 * b1) / (4 * triples)
    square += (a0**2 + a1 - a2) * (b0**2 + b1 - b2) / (triples * (size - 3))
    return float(mean), float(np.sqrt(max(square - mean**2, 0.0)))


def disagreement(found: Agreement | None) -> list[Caution]:
    """Return a warning where items that are used together share no more than any two."""
    if found is None or found.deviations >= _CHANCE:
        return []

    return [
        Caution(
            f"Items that are used together share no more of the graph than any two items "
            f"({found.ratio:.2f} times as much, {found.deviations:.1f} standard deviations from "
            f"chance, by {found.items:,} items)",
            "Look at the facts of a few items: do the links name the right entities, by the ids of "
            "this data set? If they do, the graph says nothing of what people use together, and no "
            "model can learn from it.",
        )
    ]


def _facts(graph: Triples, num_items: int) -> "scipy.sparse.csr_matrix":
    """Return items x (relation, direction, entity), weighted by rarity; those of one item alone are
    left out.
    """
    rows, columns = [], []
    for item, other, side in ((graph.head, graph.tail, 0), (graph.tail, graph.head, 1)):
        own = item < num_items
        rows.append(item[own].astype(np.int64))
        relation = 2 * graph.relation[own].astype(np.int64) + side
        columns.append(relation * len(graph.entities) + other[own])

    row = np.concatenate(rows)
    _, column = np.unique(np.concatenate(columns), return_inverse=True)
    width = int(column.max(initial=-1)) + 1
    table = scipy.sparse.csr_matrix((np.ones(len(row)), (row, column)), shape=(num_items, width))
    table.data[:] = 1.0
    often = np.asarray(table.sum(0)).ravel()
    weight = np.where(often > 1, 1 / np.log1p(often), 0.0)
    weighted = scipy.sparse.csr_matrix(table.multiply(weight))
    weighted.eliminate_zeros()
    return weighted


def _together(train: Interactions, items: np.ndarray) -> np.ndarray | None:
    """Return the cosines of items by their users."""
    own = np.isin(train.item, items)
    user, item = train.user[own], np.searchsorted(items, train.item[own])
    if len(user) < _FEWEST_PAIRS:
        return None
    if len(user) > _MOST_PAIRS:
        kept = user <= np.sort(user)[_MOST_PAIRS]  # whole users
        user, item = user[kept], item[kept]

    _, user = np.unique(user, return_inverse=True)
    table = scipy.sparse.csr_matrix(
        (np.ones(len(user)), (item, user)), shape=(len(items), user.max() + 1)
    )
    table.data[:] = 1.0
    return _cosines(table)


def _cosines(table: "scipy.sparse.csr_matrix") -> np.ndarray:
    """Return the cosines of rows, 0 of a row with itself."""
    length = np.sqrt(np.asarray(table.multiply(table).sum(1)).ravel())
    rows = scipy.sparse.diags(1 / np.where(length > 0, length, 1)) @ table
    found = np.asarray((rows @ rows.T).toarray())
    np.fill_diagonal(found, 0.0)
    return found
