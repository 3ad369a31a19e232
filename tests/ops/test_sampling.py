import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from kgrec.errors import DataError, GraphError
from kgrec.ops.backends import native
from kgrec.ops.sampling import (
    Corrupter,
    FreeTails,
    TypedTails,
    bernoulli_share,
    free_tails,
    sample_negatives,
)


def csr(rows):
    ptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return torch.from_numpy(ptr), torch.tensor(
        [item for row in rows for item in row], dtype=torch.int64
    )


@given(
    st.lists(st.sets(st.integers(0, 7), max_size=7), min_size=1, max_size=6), st.integers(0, 100)
)
def test_never_a_seen_item(rows, seed):
    rows = [sorted(row) for row in rows]
    users = torch.arange(len(rows)).repeat(20)
    drawn = sample_negatives(users, *csr(rows), 8, generator=np.random.default_rng(seed))
    assert drawn.dtype == torch.int64
    for user, item in zip(users.tolist(), drawn.tolist(), strict=True):
        assert 0 <= item < 8
        assert item not in rows[user]


@pytest.mark.parametrize(
    "row", [[], [0], [9], [0, 1, 2], [7, 8, 9], [1, 3, 5, 7], [0, 1, 2, 3, 4, 5, 6, 7, 8]]
)
def test_uniform_over_the_rest(row):
    ptr, idx = csr([[2, 4], row, [0, 9]])
    drawn = sample_negatives(
        torch.ones(20_000, dtype=torch.int64),
        ptr,
        idx,
        10,
        generator=torch.Generator().manual_seed(0),
    )
    counts = np.bincount(drawn.numpy(), minlength=10)
    free = np.setdiff1d(np.arange(10), row)
    assert counts[row].sum() == 0
    assert len(free) == 1 or chisquare(counts[free]).pvalue > 0.001


@pytest.mark.parametrize(
    "make", [lambda seed: torch.Generator().manual_seed(seed), np.random.default_rng]
)
def test_same_seed_same_draw(make):
    users = torch.zeros(50, dtype=torch.int64)
    ptr, idx = csr([[1, 2]])
    first, again, other = (
        sample_negatives(users, ptr, idx, 1000, generator=make(seed)) for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_user_of_everything_is_named():
    ptr, idx = csr([[0], [0, 1]])
    with pytest.raises(DataError, match="user row 1 has used all 2 items"):
        sample_negatives(torch.tensor([0, 1]), ptr, idx, 2, generator=np.random.default_rng(0))
    assert sample_negatives(
        torch.tensor([0]), ptr, idx, 2, generator=np.random.default_rng(0)
    ).tolist() == [1]


@pytest.mark.parametrize("row", [[2, 1], [1, 1]])
def test_unsorted_or_repeated_items_are_refused(row):
    with pytest.raises(GraphError, match="Sort each row"):
        sample_negatives(torch.tensor([0]), *csr([row]), 5, generator=np.random.default_rng(0))


def test_nobody():
    none = torch.zeros(0, dtype=torch.int64)
    assert sample_negatives(none, *csr([[0]]), 3, generator=np.random.default_rng(0)).tolist() == []
    assert sample_negatives(
        torch.tensor([0, 0]), *csr([[]]), 1, generator=np.random.default_rng(0)
    ).tolist() == [0, 0]


def corrupt_tails(head, relation, tail, known, num_entities, *, generator):
    relations = 1 + max((int(part.max()) for part in (known[1], relation) if len(part)), default=0)
    return free_tails(known, num_entities, relations).draw(
        head, relation, tail, generator=generator
    )


ENTITIES = st.integers(0, 5)


@given(
    st.lists(st.tuples(ENTITIES, st.integers(0, 2), ENTITIES), min_size=1, max_size=30),
    st.integers(0, 100),
)
def test_corrupted_triples_are_unknown(triples, seed):
    known = tuple(torch.tensor(part) for part in zip(*triples, strict=True))
    head, relation, tail = (part.repeat(5) for part in known)
    drawn = corrupt_tails(head, relation, tail, known, 6, generator=np.random.default_rng(seed))
    facts = set(triples)
    for h, r, t, d in zip(
        head.tolist(), relation.tolist(), tail.tolist(), drawn.tolist(), strict=True
    ):
        everything = all((h, r, e) in facts for e in range(6))
        assert (d == t) if everything else ((h, r, d) not in facts and 0 <= d < 6)


def test_corrupted_tails_are_uniform_and_seeded():
    known = (torch.tensor([0, 0, 1, 0]), torch.tensor([0, 0, 0, 1]), torch.tensor([2, 5, 3, 0]))
    ask = [torch.full((20_000,), value) for value in (0, 0, 2)]
    first, again = (
        corrupt_tails(*ask, known, 8, generator=torch.Generator().manual_seed(0)) for _ in range(2)
    )
    counts = np.bincount(first.numpy(), minlength=8)
    assert counts[[2, 5]].tolist() == [0, 0]
    assert chisquare(counts[[0, 1, 3, 4, 6, 7]]).pvalue > 0.001
    assert torch.equal(first, again)


def test_pairs_nothing_is_known_of_and_tails_never_drawn():
    known = (
        torch.tensor([0, 0]),
        torch.tensor([0, 0]),
        torch.tensor([0, 7]),
    )  # tail 7 is beyond the 2 drawn from
    drawn = corrupt_tails(
        *(torch.full((200,), value) for value in (0, 0, 0)),
        known,
        2,
        generator=np.random.default_rng(0),
    )
    assert set(drawn.tolist()) == {1}
    other = corrupt_tails(
        *(torch.full((200,), value) for value in (1, 3, 0)),
        known,
        2,
        generator=np.random.default_rng(0),
    )
    assert set(other.tolist()) == {0, 1}
    none = tuple(torch.zeros(0, dtype=torch.int64) for _ in range(3))
    empty = corrupt_tails(
        *(torch.full((200,), value) for value in (1, 3, 0)),
        none,
        2,
        generator=np.random.default_rng(0),
    )
    assert set(empty.tolist()) == {0, 1}


def test_triples_beyond_64_bits_are_refused():
    known = (torch.tensor([2**40]), torch.tensor([2**10]), torch.tensor([0]))
    with pytest.raises(GraphError, match="64-bit"):
        corrupt_tails(*known, known, 2**20, generator=np.random.default_rng(0))


def pools(*nodes):
    return tuple(torch.tensor(part) for part in nodes)


def test_tails_come_from_the_pool_of_their_relation():
    """Relation 0 draws from 1, 3, 5 and knows (0, 0, 3) and (0, 0, 9), which is in no pool;
    relation 1 draws from 0, 2 and knows both.
    """
    known = pools([0, 0, 0, 0], [0, 0, 1, 1], [3, 9, 0, 2])
    free = FreeTails(known, pools([1, 3, 5], [0, 2]), torch.tensor([0, 1]))
    ask = pools([0] * 4000, [0] * 4000, [3] * 4000)
    drawn = free.draw(*ask, generator=np.random.default_rng(0))
    assert set(drawn.tolist()) == {1, 5}
    assert chisquare(np.bincount(drawn.numpy())[[1, 5]]).pvalue > 0.001
    assert (
        free.draw(*pools([0, 7], [1, 1], [2, 0]), generator=np.random.default_rng(0)).tolist()[0]
        == 2
    )  # nothing is free: its own
    assert set(
        free.draw(*pools([7] * 50, [1] * 50, [0] * 50), generator=np.random.default_rng(0)).tolist()
    ) == {0, 2}


def test_an_empty_pool_leaves_every_triple_as_it_is():
    free = FreeTails(pools([0], [0], [1]), (torch.zeros(0, dtype=torch.int64),), torch.tensor([0]))
    assert free.draw(*pools([0], [0], [1]), generator=np.random.default_rng(0)).tolist() == [1]


@given(
    st.lists(st.tuples(ENTITIES, st.integers(0, 2), ENTITIES), min_size=1, max_size=30),
    st.integers(0, 100),
)
def test_corrupted_ends_are_unknown_on_either_side(triples, seed):
    known = tuple(torch.tensor(part) for part in zip(*triples, strict=True))
    everyone, pool = (torch.arange(6),), torch.zeros(3, dtype=torch.int64)
    corrupter = Corrupter(known, everyone, pool, everyone, pool, torch.tensor([0.5, 0.0, 1.0]))
    negative, by_head = corrupter.draw(*known, 7, generator=torch.Generator().manual_seed(seed))
    assert negative.shape == (len(triples), 7)
    facts = set(triples)
    for (h, r, t), drawn, head in zip(triples, negative.tolist(), by_head.tolist(), strict=True):
        assert head == (r == 2) or r == 0
        for node in drawn:
            wrong = (node, r, t) if head else (h, r, node)
            full = all(((e, r, t) if head else (h, r, e)) in facts for e in range(6))
            assert (wrong == (h, r, t)) if full else (wrong not in facts)


def test_shares_of_corrupted_heads_by_hand():
    """Relation 0: 4 triples, 1 head, 4 tails: tph 4, hpt 1, so 0.8. Relation 1: one to one.
    Relation 2 has none.
    """
    share = bernoulli_share(*pools([0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [1, 2, 3, 4, 2]), 3)
    assert share.tolist() == pytest.approx([0.8, 0.5, 0.5])


def test_heads_are_corrupted_as_often_as_their_share_says():
    known = pools([0], [0], [1])
    everyone = (torch.arange(9),)
    corrupter = Corrupter(
        known, everyone, torch.tensor([0]), everyone, torch.tensor([0]), torch.tensor([0.8])
    )
    ask = [part.repeat(5000) for part in known]
    _, by_head = corrupter.draw(*ask, 1, generator=torch.Generator().manual_seed(0))
    assert float(by_head.double().mean()) == pytest.approx(0.8, abs=0.02)


@pytest.mark.skipif(
    native.library() is None, reason="the compiled kernels were not built here (no C++ compiler)"
)
def test_both_backends_draw_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    rows = [np.sort(rng.choice(300, size, replace=False)).tolist() for size in (0, 1, 299, 40, 150)]
    users = torch.from_numpy(rng.integers(5, size=100_000))
    ours = sample_negatives(users, *csr(rows), 300, generator=np.random.default_rng(1))
    monkeypatch.setattr(native, "library", lambda: None)
    assert torch.equal(
        ours, sample_negatives(users, *csr(rows), 300, generator=np.random.default_rng(1))
    )


TYPED = pools(
    [0] * 10 + [1] * 4 + [2] * 3, [4, 4, 4, 4, 4, 9, 9, 9, 1, 6, 8, 8, 8, 5, 7, 7, 7]
)  # relations and tails of 17 facts


@pytest.mark.parametrize(
    ("power", "weights"),
    [(1.0, [1, 5, 1, 3]), (0.75, [1, 5**0.75, 1, 3**0.75]), (0.0, [1, 1, 1, 1])],
)
@pytest.mark.parametrize("own", [0, 5, 8, 9])
def test_typed_tails_are_drawn_by_a_power_of_their_frequency(power, weights, own):
    """Relation 0 has tails 1 once, 4 five times, 6 once and 9 three times; the fact's own is never
    drawn.
    """
    relation, tail = TYPED
    tails = TypedTails(relation, tail, torch.tensor([power, 0.0, 1.0]))
    drawn = tails.draw(torch.full((100,), own), 300, generator=torch.Generator().manual_seed(own))
    assert drawn.shape == (100, 300)

    expected = {
        node: weight
        for node, weight in zip([1, 4, 6, 9], weights, strict=True)
        if node != int(tail[own])
    }
    counts = np.bincount(drawn.flatten().numpy(), minlength=10)
    assert set(np.flatnonzero(counts).tolist()) == set(expected)
    shares = np.array(list(expected.values())) / sum(expected.values())
    assert chisquare(counts[list(expected)], shares * counts.sum()).pvalue > 0.001


def test_typed_tails_keep_to_their_relation_and_its_power():
    """Relation 1 has tails 5 and 8, uniform here; the one tail of relation 2 has no other."""
    tails = TypedTails(*TYPED, torch.tensor([1.0, 0.0, 1.0]))

    def draw(seed):
        return tails.draw(
            torch.tensor([10, 13, 15]), 400, generator=torch.Generator().manual_seed(seed)
        )

    first = draw(0)
    assert [set(row) for row in first.tolist()] == [{5}, {8}, {7}]
    three = TypedTails(*pools([1] * 9, [5, 8, 8, 8, 8, 8, 8, 8, 3]), torch.tensor([1.0, 0.0]))
    counts = np.bincount(
        three.draw(torch.tensor([0]), 9000, generator=torch.Generator().manual_seed(1))[0].numpy(),
        minlength=9,
    )
    assert chisquare(counts[[3, 8]]).pvalue > 0.001
    assert torch.equal(first, draw(0))
