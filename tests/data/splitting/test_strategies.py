import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrec.data.records.parts import TEST, TRAIN, VALID
from kgrec.data.splitting.strategies import (
    by_user,
    check_ratios,
    find_split,
    hold_out,
    leave_one_out,
    random_split,
    session_split,
    temporal_split,
)
from kgrec.errors import ConfigError, DataError

RATIOS = (0.8, 0.1, 0.1)


def rng(seed=0):
    return np.random.default_rng(seed)


def counts(part, user, who):
    return tuple(int((part[user == who] == p).sum()) for p in (TRAIN, VALID, TEST))


def test_random_split_rounds_per_user():
    sizes = [1, 2, 4, 5, 10, 14, 15, 100]
    user = np.repeat(np.arange(len(sizes)), sizes)
    part = random_split(user, None, RATIOS, generator=rng())
    expected = [
        (1, 0, 0),
        (2, 0, 0),
        (4, 0, 0),
        (3, 1, 1),
        (8, 1, 1),
        (12, 1, 1),
        (11, 2, 2),
        (80, 10, 10),
    ]
    assert [counts(part, user, who) for who in range(len(sizes))] == expected


def test_random_split_is_random_and_repeatable():
    user = np.repeat(np.arange(50), 20)
    one, same, other = (random_split(user, None, RATIOS, generator=rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    places = np.arange(1000) % 20
    assert abs(places[one == TEST].mean() - 9.5) < 2.0


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=60),
    st.tuples(st.floats(0.05, 1), st.floats(0, 1), st.floats(0, 1)),
    st.integers(0, 9),
)
def test_every_user_trains(users, weights, seed):
    ratios = tuple(float(w / sum(weights)) for w in weights)
    user = np.array(users)
    part = random_split(user, None, ratios, generator=rng(seed))
    for who in set(users):
        train, valid, test = counts(part, user, who)
        assert train >= 1
        for got, share in ((valid, ratios[1]), (test, ratios[2])):
            assert got <= (user == who).sum() * share + 0.5 + 1e-6


def test_temporal_split_never_divides_a_moment():
    time = np.array([5.0, 1, 2, 3, 4, 4, 4, 4, 9, 10])
    part = temporal_split(np.zeros(10, int), time, (0.5, 0.3, 0.2), generator=rng())
    assert part.tolist() == [VALID, TRAIN, TRAIN, TRAIN, VALID, VALID, VALID, VALID, TEST, TEST]


@given(st.lists(st.integers(0, 20), min_size=1, max_size=50))
def test_temporal_parts_follow_one_another(times):
    time = np.array(times, dtype=float)
    part = temporal_split(np.zeros(len(time), int), time, RATIOS, generator=rng())
    for early, late in ((TRAIN, VALID), (VALID, TEST), (TRAIN, TEST)):
        assert time[part == early].max(initial=-1) < time[part == late].min(initial=99)


def test_leave_one_out():
    user = np.array([0, 0, 0, 0, 1, 1, 2])
    time = np.array([3.0, 1, 9, 4, 8, 2, 5])
    part = leave_one_out(user, time, RATIOS, generator=rng())
    assert part.tolist() == [TRAIN, TRAIN, TEST, VALID, TEST, TRAIN, TRAIN]
    tied = leave_one_out(np.zeros(3, int), np.zeros(3), RATIOS, generator=rng())
    assert tied.tolist() == [TRAIN, VALID, TEST]


def test_whole_users_are_held_out():
    """Ten users, two of whom are too short to be held out; a fifth of ten is two."""
    sizes = [1, 2, 10, 10, 10, 10, 10, 10, 10, 10]
    user = np.repeat(np.arange(10), sizes)
    for seed in range(5):
        part = by_user(user, None, (0.6, 0.2, 0.2), generator=rng(seed))
        found = [counts(part, user, who) for who in range(10)]
        assert found[:2] == [(1, 0, 0), (2, 0, 0)]
        assert sorted(found[2:]) == [(0, 8, 2)] * 2 + [(8, 2, 0)] * 6


def test_times_are_needed():
    for split in (temporal_split, leave_one_out):
        with pytest.raises(DataError, match="needs a time per interaction and there is none"):
            split(np.zeros(3, int), None, RATIOS, generator=rng())
        with pytest.raises(DataError, match="and 1 have none"):
            split(np.zeros(3, int), np.array([1.0, np.nan, 2.0]), RATIOS, generator=rng())


def test_hold_out_leaves_one():
    user = np.repeat([0, 1, 2], [1, 20, 5])
    held = hold_out(user, 0.1, generator=rng())
    assert [int(held[user == who].sum()) for who in range(3)] == [0, 2, 1]


@pytest.mark.parametrize(
    "ratios",
    [(0.8, 0.2), (0.5, 0.1, 0.1), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5)],
)
def test_bad_ratios(ratios):
    with pytest.raises(ConfigError, match="ratios"):
        check_ratios(ratios)


def test_names():
    assert find_split("Leave_One_Out") is leave_one_out
    with pytest.raises(ConfigError, match=r"'temporl' is unknown\. Nearest: temporal"):
        find_split("temporl")


def test_sessions_are_whole_and_parted_by_when_they_end():
    user = np.repeat(np.arange(10), 3)
    start = np.array([0, 9, 1, 8, 2, 7, 3, 6, 4, 5]) * 10.0  # session u begins there
    time = start[user] + np.tile([0.0, 1.0, 2.0], 10)
    part = session_split(user, time, (0.6, 0.2, 0.2), generator=rng())
    for who in range(10):
        assert len(set(part[user == who])) == 1
    assert [int(part[3 * who]) for who in range(10)] == [
        TEST if start[who] >= 80 else VALID if start[who] >= 60 else TRAIN for who in range(10)
    ]


def test_sessions_that_end_together_stay_together():
    user = np.repeat(np.arange(6), 2)
    time = np.tile([0.0, 5.0], 6)
    assert set(session_split(user, time, RATIOS, generator=rng())) == {TEST}
    with pytest.raises(DataError, match="--time row"):
        session_split(user, None, RATIOS, generator=rng())
