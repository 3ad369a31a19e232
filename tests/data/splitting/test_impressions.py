from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrec.data.records.content import Impressions
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.splitting.impressions import (
    ImpressionLog,
    divide_impressions,
    keep_members,
    take_impressions,
)
from kgrec.errors import DataError

ITEM = st.integers(0, 5)
LINE = st.tuples(
    st.integers(0, 3),
    st.integers(0, 9),
    st.lists(ITEM, max_size=3),
    st.lists(st.tuples(ITEM, st.booleans()), min_size=1, max_size=4),
)


def impressions(lines):
    starts = [np.cumsum([0, *(len(line[place]) for line in lines)]) for place in (3, 2)]
    return Impressions(
        user=np.array([user for user, *_ in lines], np.int32),
        time=np.array([time for _, time, *_ in lines], np.float64),
        start=starts[0],
        item=np.array([item for *_, shown in lines for item, _ in shown], np.int32),
        clicked=np.array([click for *_, shown in lines for _, click in shown], bool),
        history_start=starts[1],
        history=np.array([item for _, _, read, _ in lines for item in read], np.int32),
    )


def as_lines(own):
    """Return impressions as what ``impressions`` makes them of."""
    return [
        (
            int(own.user[n]),
            int(own.time[n]),
            own.history[own.history_start[n] : own.history_start[n + 1]].tolist(),
            list(
                zip(
                    own.item[own.start[n] : own.start[n + 1]].tolist(),
                    own.clicked[own.start[n] : own.start[n + 1]].tolist(),
                    strict=True,
                )
            ),
        )
        for n in range(len(own))
    ]


def sorted_by(line):
    """Return what a dataset sorts its impressions by: user, time, what was shown, what was clicked,
    what had been read.
    """
    user, time, read, shown = line
    return user, time, [item for item, _ in shown], [click for _, click in shown], read


def as_log(lines, part=None):
    never = np.zeros(len(lines), dtype=bool)
    users, items = Vocabulary([f"u{n}" for n in range(4)]), Vocabulary([f"i{n}" for n in range(6)])
    return ImpressionLog(
        users, items, impressions(lines), hidden=never, thinned=never, part=part, sources=("shown",)
    )


@given(st.lists(LINE, max_size=8), st.data())
def test_lists_are_taken_and_thinned(lines, data):
    own = impressions(lines)
    rows = data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=6)) if lines else []
    assert as_lines(take_impressions(own, np.array(rows, dtype=np.int64))) == [
        lines[row] for row in rows
    ]
    thinned = keep_members(own, own.item != 2, own.history != 2)
    without = [
        (u, t, [i for i in read if i != 2], [(i, c) for i, c in shown if i != 2])
        for u, t, read, shown in lines
    ]
    assert as_lines(thinned) == without


@settings(max_examples=80, deadline=None)
@given(st.lists(LINE, min_size=1, max_size=14), st.data())
def test_what_trains_is_not_judged(lines, data):
    """Training is the histories and clicks of its own impressions; a later part's click is there
    only if training clicked it too.
    """
    lines = [*lines, (0, 0, [], [(0, True), (1, False)])]
    part = np.array(
        [
            *data.draw(
                st.lists(st.integers(0, 2), min_size=len(lines) - 1, max_size=len(lines) - 1)
            ),
            1,
        ],
        np.int8,
    )
    judged = divide_impressions(as_log(lines, part), "given", None, 0)
    for number, name in enumerate(("train", "valid", "test")):
        fair = [
            line
            for line, own in zip(lines, part, strict=True)
            if own == number and {click for _, click in line[3]} == {True, False}
        ]
        assert as_lines(judged.impressions.get(name, Impressions())) == sorted(fair, key=sorted_by)
    train, valid, test = (
        {tuple(row) for row in log.named().select("user", "item").rows()} for log in judged.logs
    )
    clicked = [
        {
            (f"u{user}", f"i{item}")
            for (user, _, _, shown), own in zip(lines, part, strict=True)
            if own == n
            for item, click in shown
            if click
        }
        for n in range(3)
    ]
    read = {(f"u{user}", f"i{item}") for user, _, history, _ in lines for item in history}
    assert (valid, test) == (clicked[1], clicked[2])
    assert clicked[0] <= train <= clicked[0] | read
    assert train & (valid | test) <= clicked[0]


@settings(max_examples=40, deadline=None)
@given(st.lists(LINE, max_size=12))
def test_impressions_are_divided_by_time(lines):
    lines = [*lines, *((0, time, [], [(0, True), (1, False)]) for time in range(10))]
    judged = divide_impressions(as_log(lines), None, (0.5, 0.25, 0.25), 0)
    times = [
        judged.impressions[name].time
        for name in ("train", "valid", "test")
        if name in judged.impressions
    ]
    assert all(before.max() < after.min() for before, after in pairwise(times))
    assert judged.split == "temporal"


def test_histories_of_users_without_a_training_impression():
    lines = [
        (0, 1, [0, 1], [(2, True), (3, False)]),
        (0, 5, [0, 1, 4], [(3, True), (2, False)]),
        (1, 6, [5, 3], [(0, True), (1, False)]),
        (1, 7, [5, 3, 0], [(2, True), (1, False)]),
    ]
    data = Dataset.build(impressions=as_log(lines, np.array([0, 1, 2, 2], np.int8)))
    got = {
        user: [
            data.items.key(item)
            for item, own in zip(data.train.item, data.train.user, strict=True)
            if data.users.key(own) == user
        ]
        for user in ("u0", "u1")
    }
    # Of u0 the training impression's history and click; of u1 the history before the first
    # impression. i4 is only in a later history.
    assert got == {"u0": ["i0", "i1", "i2"], "u1": ["i5", "i3"]}
    assert "i4" in data.items
    assert (len(data.valid), len(data.test)) == (1, 2)


def test_a_core_thins_the_lists():
    lines = [(user, user, [0, 1], [(2, True), (3, user == 9), (4, False)]) for user in range(3)] + [
        (3, 3, [5], [(0, True), (5, False)])
    ]
    data = Dataset.build(impressions=as_log(lines, np.array([0, 1, 2, 0], np.int8)), k_core=2)
    assert set(data.items) == {"i0", "i1", "i2"}
    assert set(data.users) == {"u0", "u1", "u2"}
    assert data.impressions == {}
    assert ("impressions", "outside the k-core", 4) in {
        (d.what, d.why, d.count) for d in data.report.dropped
    }


def test_nothing_to_judge():
    with pytest.raises(
        DataError,
        match="shown: no impression has both a click and a candidate that was not clicked",
    ):
        divide_impressions(as_log([(0, 1, [], [(1, True)])]), None, None, 0)
