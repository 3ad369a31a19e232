"""Whether the graph says of items what their users do: links that were made by wrong ids show there."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from kgrec.data.records.interactions import Interactions
from kgrec.data.records.report import Caution
from kgrec.data.records.triples import Triples
from kgrec.random import numpy_generator

_FEWEST_ITEMS, _MOST_ITEMS = 100, 1_000
_FEWEST_USERS = 5  # of an item: what fewer used together says little
_FEWEST_PAIRS = 5_000
_MOST_PAIRS = 2_000_000
_PERMUTATIONS = 50
_CHANCE = 2.0  # standard deviations


@dataclass(frozen=True, slots=True)
class Agreement:
    """How much more of the graph items share that are used together.

    Attributes:
        items: How many were looked at: the most used ones that have facts.
        ratio: Mean likeness of their facts, pairs weighted by the likeness of their users, over the
            mean where the facts are dealt out to the items at random.
        deviations: The difference in standard deviations of random deals.
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
    used = np.bincount(train.item, minlength=num_items)
    facts = _facts(graph, num_items)
    able = np.flatnonzero((used >= _FEWEST_USERS) & (np.diff(facts.indptr) > 0))
    if len(able) < _FEWEST_ITEMS:
        return None

    items = np.sort(able[np.argsort(-used[able], kind="stable")[:_MOST_ITEMS]])
    together = _together(train, items)
    if together is None:
        return None

    alike = _cosines(facts[items])
    generator = numpy_generator(0, "agreement")
    deals = np.empty(_PERMUTATIONS)
    for deal in range(_PERMUTATIONS):
        order = generator.permutation(len(items))
        deals[deal] = (together * alike[np.ix_(order, order)]).sum()

    found = float((together * alike).sum())
    mean, spread = float(deals.mean()), float(deals.std())
    if mean <= 0 or spread <= 0:
        return None
    return Agreement(len(items), found / mean, (found - mean) / spread)


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


def _facts(graph: Triples, num_items: int) -> sp.csr_matrix:
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
    table = sp.csr_matrix((np.ones(len(row)), (row, column)), shape=(num_items, width))
    table.data[:] = 1.0
    often = np.asarray(table.sum(0)).ravel()
    weight = np.where(often > 1, 1 / np.log1p(often), 0.0)
    weighted = sp.csr_matrix(table.multiply(weight))
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
    table = sp.csr_matrix((np.ones(len(user)), (item, user)), shape=(len(items), user.max() + 1))
    table.data[:] = 1.0
    return _cosines(table)


def _cosines(table: sp.csr_matrix) -> np.ndarray:
    """Return the cosines of rows, 0 of a row with itself."""
    length = np.sqrt(np.asarray(table.multiply(table).sum(1)).ravel())
    rows = sp.diags(1 / np.where(length > 0, length, 1)) @ table
    found = np.asarray((rows @ rows.T).toarray())
    np.fill_diagonal(found, 0.0)
    return found
