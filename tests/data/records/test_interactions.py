import numpy as np

from kgrec.data.records.interactions import Interactions, concatenate


def of(user, item, time=None, rating=None):
    return Interactions(
        np.array(user, dtype=np.int32),
        np.array(item, dtype=np.int32),
        None if time is None else np.array(time, dtype=np.float64),
        None if rating is None else np.array(rating, dtype=np.float32),
    )


def test_csr_is_ones_without_repetition():
    matrix = of([1, 0, 1, 1], [2, 1, 0, 2]).csr(3, 4)
    assert matrix.toarray().tolist() == [[0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert matrix.has_sorted_indices


def test_take():
    rows = of([0, 1, 2], [3, 4, 5], [1, 2, 3], [5, 4, 3]).take(np.array([True, False, True]))
    assert (len(rows), rows.item.tolist(), rows.time.tolist(), rows.rating.tolist()) == (
        2,
        [3, 5],
        [1, 3],
        [5, 3],
    )


def test_concatenate_sorts_by_user_then_time():
    both = concatenate([of([0, 1], [1, 2], [9, 1]), of([0, 0], [3, 4], [5, 10])])
    assert (both.user.tolist(), both.item.tolist(), both.time.tolist()) == (
        [0, 0, 0, 1],
        [3, 1, 4, 2],
        [5, 9, 10, 1],
    )
    without = concatenate([of([0, 1], [1, 2], [9, 1]), of([0], [3])])
    assert (without.time, without.item.tolist()) == (None, [1, 3, 2])
