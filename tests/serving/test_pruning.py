"""Searching rounded vectors for the best: never another list than the whole catalog gives."""

import re
from pathlib import Path

import numpy as np
import pytest

from kgrec.errors import CheckpointError
from kgrec.serving.tables import pruning
from kgrec.serving.tables.best import best
from kgrec.serving.tables.pruning import Search, rounded, rounded_of
from kgrec.serving.tables.scores import Scores, VectorSource

needs_compiled = pytest.mark.skipif(
    pruning.library() is None, reason="the compiled search is not here, or the machine lacks AVX2"
)
NOTHING = np.empty(0, np.int64)
DRAWN = np.random.default_rng(0)


def normal(items, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(items, dim)).astype(np.float32)


def source_of(items, users):
    arrays = rounded(items, users[:0])  # written however many are left
    columns = np.ascontiguousarray(items.T)
    held = rounded_of(arrays, *items.shape)
    return VectorSource(users, items, columns, "inner_product", None, held)


def reference(scores, k, hidden=NOTHING, candidates=None):
    """The best by sorting everything: the higher score first, then the lower column."""
    order = np.lexsort((np.arange(len(scores)), -scores))
    shown = ~np.isin(order, hidden)
    if candidates is not None:
        shown &= np.isin(order, candidates)
    return order[shown][:k]


def grouped(items, dim):
    """Groups of equal vectors, and of vectors that differ in the last digit."""
    vectors = np.repeat(normal(-(-items // 40), dim), 40, 0)[:items]
    vectors[::7] = np.nextafter(vectors[::7], np.float32(9))
    return vectors


def spread(items, dim):
    """Lengths over twelve powers of ten, and zeros."""
    vectors = normal(items, dim) * 10.0 ** DRAWN.integers(-6, 7, (items, 1))
    vectors[::11] = 0
    return vectors.astype(np.float32)


def spiked(items, dim):
    """One large dimension each, beside which the others round to 0 but decide."""
    vectors = normal(items, dim) / 300
    vectors[:, 0] = 1
    return vectors.astype(np.float32)


def tiny(items, dim):
    """Numbers below the normal range of float32, and some above."""
    vectors = normal(items, dim) * np.float32(1e-40)
    vectors[::5] = normal(len(vectors[::5]), dim, 1) * np.float32(1e-28)
    return vectors


def huge(items, dim):
    """Products beyond float32."""
    vectors = normal(items, dim)
    vectors[::9] *= np.float32(1e37)
    return vectors


def whole(items, dim):
    """Whole numbers, which rounding leaves as they are; the rounding of users decides."""
    vectors = np.random.default_rng(0).integers(-127, 128, (items, dim)).astype(np.float32)
    vectors[:, 0] = 127
    return vectors


def shuffled(items, dim):
    """Almost equal products in different orders: the rounding of sums decides."""
    rng = np.random.default_rng(0)
    vectors = np.tile(np.linspace(60, 127, dim).astype(int), (items, 1)).astype(np.float32)
    vectors[:, :-1] = rng.permuted(vectors[:, :-1], axis=1)
    vectors[:, -1] -= rng.random(items) > 0.02
    vectors[:, 0] = 127
    return vectors


def columns_of(source, vector, k, hidden=NOTHING, candidates=None):
    (found,) = source.rounded.columns([Search(vector, k, hidden, candidates)])
    return found


def scores_of(source, row, k, hidden=NOTHING, candidates=None):
    search = Search(source.vector(row, None), k, hidden, candidates)
    (columns,) = source.columns_of([search])
    return Scores(source.scores(search.vector, columns), columns)


@pytest.fixture(params=[1, 2], ids=["AVX2", "VNNI"])
def way(request, monkeypatch):
    """Each way of this machine."""
    if request.param > max(1, pruning.way()):
        pytest.skip("this machine has no VNNI")
    monkeypatch.setattr(pruning, "way", lambda: request.param)


KINDS = [normal, grouped, spread, spiked, tiny, huge, whole, shuffled]


def people(dim):
    """Zeros, large and small vectors, one large number beside small ones, and whole numbers."""
    factors = np.array([0, 1, 1e-30, 1e15, 1, 5e-5, 1], np.float32)
    users = normal(7, dim, 7) * factors[:, None]
    users[-2, 0] = 1
    users[-1] = 8191
    users[-1, -1] = 5
    return users


@pytest.mark.parametrize(
    "shape", [(1, 1), (5, 3), (63, 8), (1003, 17), (4101, 64), (9000, 33), (70, 2000)]
)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_lists_are_those_of_the_whole_catalog_bit_for_bit(kind, shape, way):
    items = kind(*shape)
    # an item's own vector beside: its equals tie at the top
    users = np.concatenate([people(shape[1]), items[:3], -items[:1]])
    source = source_of(items, users)
    some = np.flatnonzero(DRAWN.random(len(items)) < 0.5)
    with np.errstate(all="ignore"):
        for row in range(len(users)):
            scores = users[row] @ source.columns
            if np.isnan(scores).any():  # infinities that cancel: there is no order
                continue
            top = reference(scores, 25)
            for k, hidden, candidates in [
                (1, NOTHING, None),
                (10, top[:7], None),
                (10, np.tile(top[1:4], 2), some),
                (len(items) + 5, NOTHING, None),
                (10, np.arange(len(items)), None),
                (10, NOTHING, NOTHING),
            ]:
                found = scores_of(source, row, k, hidden, candidates)
                wanted = reference(scores, k, hidden, candidates)
                if found.columns is None:  # the whole catalog, as it was
                    assert found.values.tobytes() == scores.tobytes()
                else:
                    shown = found.columns[best(found.values, k)]
                    assert shown.tolist() == wanted.tolist()
                    assert found.values.tobytes() == scores[found.columns].tobytes()


@needs_compiled
def test_most_items_are_left_out_and_none_that_any_order_of_adding_ranks(way):
    items, users = normal(5000, 32), normal(40, 32, 1)
    source = source_of(items, users)
    left = []
    for vector in users:
        columns = columns_of(source, vector, 20)
        left.append(len(columns))
        exact = items.astype(np.float64) @ vector.astype(np.float64)
        assert set(np.argsort(-exact)[:20]) <= set(columns.tolist())
        for _ in range(5):
            order = DRAWN.permutation(32)
            added = np.cumsum(items[:, order] * vector[order], axis=1, dtype=np.float32)[:, -1]
            assert set(np.argsort(-added)[:20]) <= set(columns.tolist())
    assert max(left) < 200


@needs_compiled
@pytest.mark.parametrize("kind", KINDS[:4] + KINDS[6:], ids=lambda kind: kind.__name__)
def test_bounds_hold_to_the_last_item(kind, way):
    """Of two items the better one is always left, however near the other."""
    items = kind(700, 12)
    users = people(12)[[1, 3, 4, 5, 6]]
    source = source_of(items, users)
    for vector in users:
        exact = items.astype(np.float64) @ vector.astype(np.float64)
        for column in DRAWN.integers(700, size=40).tolist():
            rivals = np.flatnonzero(exact >= exact[column])
            pair = np.array([column, DRAWN.choice(rivals)])
            found = columns_of(source, vector, 1, NOTHING, np.unique(pair))
            assert pair[1] in found.tolist()


@needs_compiled
def test_bounds_hold_where_rounding_takes_all_that_it_can(way):
    """Against the better item as much as possible, and for the other: one lies .49 of a step behind
    its whole numbers along the user's vector, the other before them.
    """
    rng = np.random.default_rng(0)
    dim = 13
    user = rng.choice([-1, 1], dim).astype(np.float32)
    base = rng.integers(-100, 101, dim) * 1.0
    better = base + 0.49 * user
    other = base + 0.51 * user
    other[5] -= user[5]
    better[0] = other[0] = 127
    items = np.array([other, better] * 10, np.float32)
    assert items[1].astype(np.float64) @ user > items[0].astype(np.float64) @ user
    source = source_of(items, user[None])
    hidden = np.setdiff1d(np.arange(20), [8, 9])
    assert columns_of(source, user, 1, hidden).tolist() == [8, 9]


@needs_compiled
def test_searches_at_once_are_those_one_by_one(way):
    items, users = normal(3000, 33), people(33)
    source = source_of(items, users)
    some = np.arange(0, 3000, 3)
    searches = [
        Search(vector, k, hidden, candidates)
        for vector in users
        for k in (1, 10, 600)
        for hidden, candidates in [(NOTHING, None), (np.arange(50), some), (np.arange(3000), None)]
    ]
    assert source.rounded.columns([]) == []
    for one, at_once in zip(searches, source.rounded.columns(searches), strict=True):
        alone = columns_of(source, one.vector, one.k, one.hidden, one.candidates)
        assert (alone is None) == (at_once is None)
        assert alone is None or alone.tolist() == at_once.tolist()


@needs_compiled
def test_too_many_that_are_alike_are_not_searched():
    items = np.ones((3000, 8), np.float32)
    source = source_of(items, items)
    assert columns_of(source, items[0], 10) is None
    found = scores_of(source, 0, 10)
    assert found.columns is None
    assert best(found.values, 10).tolist() == list(range(10))
    assert not rounded(items, items)  # and such an export has no rounded vectors
    assert not rounded(items.astype(np.float64), items)


def test_without_the_library_lists_are_the_same(monkeypatch):
    items, users = normal(3000, 16), normal(5, 16, 1)
    source = source_of(items, users)
    with_it = [scores_of(source, row, 10, np.arange(100)) for row in range(5)]
    monkeypatch.setattr(pruning, "library", lambda: None)
    for row, before in enumerate(with_it):
        found = scores_of(source, row, 10, np.arange(100))
        assert found.columns is None
        found.values[:100] = -np.inf
        top = best(found.values, 10)
        shown = best(before.values, 10)
        if before.columns is None:
            continue
        assert before.columns[shown].tolist() == top.tolist()
        assert before.values[shown].tobytes() == found.values[top].tobytes()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("tiles", np.zeros((1, 1, 16, 4), np.int8)),
        ("tiles", np.zeros((3, 2, 16, 4), np.int16)),
        ("scales", np.zeros(40, np.float32)),
        ("scales", np.full(48, np.nan, np.float32)),
        ("bounds", np.array([1, 1, -1, 1.0])),
        ("bounds", np.ones(3)),
    ],
)
def test_rounded_vectors_that_do_not_fit_are_refused(name, values):
    arrays = rounded(normal(40, 8), normal(0, 8))
    with pytest.raises(CheckpointError, match=rf"^rounded\.{name}: "):
        rounded_of({**arrays, f"rounded.{name}": values}, 40, 8)
    assert rounded_of({}, 40, 8) is None


def test_the_library_is_built_from_the_source_beside_it():
    source = Path(pruning.__file__).with_suffix(".cpp")
    if not source.exists():
        pytest.skip("the source is not here")
    version = re.search(r"kgrec_pruning_version\(\) \{ return (\d+); \}", source.read_text())
    assert int(version[1]) == pruning._VERSION
