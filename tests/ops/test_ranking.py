import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kgrec.errors import ConfigError, DivergedError
from kgrec.ops import ranking
from kgrec.ops.backends import native
from kgrec.ops.ranking import mask_seen_, tied_places, topk_masked, topk_scores


@pytest.fixture(scope="module", params=["native", "torch"], autouse=True)
def backend(request):
    """Every test twice: with the compiled search, where it is there, and with torch's."""
    if request.param == "native":
        if native.library() is None:
            pytest.skip("the compiled kernels were not built here (no C++ compiler)")
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "library", lambda: None)
        yield


def by_full_sort(scores, k):
    """Stable sort: equal scores stay in the order of their columns."""
    values, ids = scores.sort(dim=1, descending=True, stable=True)
    values, ids = values[:, :k], ids[:, :k].masked_fill(values[:, :k] == -torch.inf, -1)
    short = k - values.shape[1]
    if short > 0:
        values = torch.nn.functional.pad(values, (0, short), value=-torch.inf)
        ids = torch.nn.functional.pad(ids, (0, short), value=-1)
    return values, ids


def same(got, expected):
    assert torch.equal(got[0], expected[0])
    assert torch.equal(got[1], expected[1])


def test_ties_go_to_the_lower_column():
    values, ids = topk_scores(torch.tensor([[1.0, 3.0, 2.0, 3.0, 2.0, 2.0]]), 4)
    assert ids.tolist() == [[1, 3, 2, 4]]
    assert values.tolist() == [[3, 3, 2, 2]]


@given(
    st.integers(1, 5),
    st.integers(0, 70),
    st.integers(1, 12),
    st.integers(1, 4),
    st.integers(0, 10**6),
)
def test_as_a_full_sort_with_planted_ties(rows, columns, k, distinct, seed):
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.integers(distinct, size=(rows, columns)).astype(np.float32))
    scores[torch.from_numpy(rng.random((rows, columns)) < 0.2)] = -torch.inf
    same(topk_scores(scores, k), by_full_sort(scores, k))


@pytest.mark.parametrize("columns", [64 * 100, 64 * 100 - 1, 64 * 99 + 1])
@pytest.mark.parametrize("distinct", [2, 50, 10**6])
def test_the_block_filter_changes_nothing(columns, distinct):
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.integers(distinct, size=(70, columns)).astype(np.float32))
    scores[0] = -torch.inf
    scores[1, 5:] = -torch.inf
    before = scores.clone()
    same(topk_scores(scores, 10), by_full_sort(scores, 10))
    assert torch.equal(scores, before)


def test_strided_scores():
    scores = torch.randn(5000, 3).T
    same(topk_scores(scores, 7), by_full_sort(scores, 7))


@pytest.mark.parametrize("items", [30, 7000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_masked_ranking_over_several_chunks(items, dtype, monkeypatch):
    monkeypatch.setattr(ranking, "_CHUNK_ON_CPU", 16 * items)
    rng = np.random.default_rng(1)
    # Small integers: sums are exact, so any order of the products gives the same scores, ties
    # included.
    users, catalog = (
        torch.from_numpy(rng.integers(-2, 3, size=(n, 4))).to(dtype) for n in (50, items)
    )
    rows = [np.sort(rng.choice(items, size=rng.integers(0, 25), replace=False)) for _ in range(50)]
    rows[3] = np.arange(items)  # has seen everything
    rows[4] = np.arange(items - 2)
    ptr = torch.from_numpy(np.concatenate([[0], np.cumsum([len(row) for row in rows])]))
    idx = torch.from_numpy(np.concatenate(rows).astype(np.int64))
    scores = users @ catalog.T
    for user, row in enumerate(rows):
        scores[user, row] = -torch.inf
    got = topk_masked(users, catalog, 10, ptr, idx)
    same(got, by_full_sort(scores, 10))
    assert got[1][3].tolist() == [-1] * 10
    assert sorted(got[1][4].tolist()) == [-1] * 8 + [items - 2, items - 1]
    same(topk_masked(users, catalog, 10), by_full_sort(users @ catalog.T, 10))


def test_fewer_items_than_asked_for():
    scores, ids = topk_masked(torch.ones(1, 1), torch.tensor([[1.0], [2.0]]), 4)
    assert ids.tolist() == [[1, 0, -1, -1]]
    assert scores.tolist() == [[2, 1, -torch.inf, -torch.inf]]


def test_nobody():
    scores, ids = topk_masked(
        torch.ones(0, 2), torch.ones(3, 2), 2, torch.tensor([0]), torch.zeros(0, dtype=torch.int64)
    )
    assert scores.shape == ids.shape == (0, 2)


def test_mask_may_be_a_slice_of_a_longer_one():
    scores = torch.zeros(2, 3)
    mask_seen_(scores, torch.tensor([2, 3, 5]), torch.tensor([0, 0, 1, 0, 2]))
    assert (scores == -torch.inf).tolist() == [[False, True, False], [True, False, True]]


@given(
    st.integers(1, 6),
    st.integers(1, 70),
    st.integers(1, 12),
    st.integers(1, 4),
    st.integers(0, 10**6),
)
def test_places_are_counts_of_scores_above_and_equal(rows, columns, k, distinct, seed):
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.integers(distinct, size=(rows, columns)).astype(np.float32))
    scores[torch.from_numpy(rng.random((rows, columns)) < 0.2)] = -torch.inf
    asked = torch.from_numpy(rng.integers(columns, size=(rows, 3)))
    best, _ = topk_scores(scores, k)
    above, tied = tied_places(scores, best, asked)
    own = scores.gather(1, asked).unsqueeze(2)
    counted = (scores.unsqueeze(1) > own).sum(2), (scores.unsqueeze(1) == own).sum(2)
    listed = (counted[0] < k) & (own.squeeze(2) > -torch.inf)
    assert torch.equal(tied > 0, listed)
    assert torch.equal(above[listed], counted[0][listed])
    assert torch.equal(tied[listed], counted[1][listed])


def test_bad_input():
    with pytest.raises(ConfigError, match="k is 0"):
        topk_scores(torch.zeros(1, 3), 0)
    with pytest.raises(DivergedError, match="not a number"):
        topk_scores(torch.tensor([[0.0, torch.nan, 1.0]]), 1)
