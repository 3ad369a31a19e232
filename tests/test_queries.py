import numpy as np

from kgrec.data.records.interactions import Interactions
from kgrec.queries import histories, queries

SEEN = Interactions(np.array([0, 0, 0, 2], dtype=np.int32), np.array([5, 3, 4, 7], dtype=np.int32))


def test_queries_are_padded_on_the_right():
    query = queries(SEEN, np.array([2, 0, 1, -1]))
    assert query.user.tolist() == [2, 0, 1, -1]
    assert query.history.tolist() == [[7, 0, 0], [5, 3, 4], [0, 0, 0], [0, 0, 0]]
    assert query.history_mask.tolist() == [
        [True, False, False],
        [True] * 3,
        [False] * 3,
        [False] * 3,
    ]


def test_only_the_last_items_are_kept():
    query = queries(SEEN, np.array([0, 2]), max_length=2)
    assert query.history.tolist() == [[3, 4], [7, 0]]


def test_no_users_and_no_interactions():
    assert queries(SEEN, np.array([], dtype=np.int64)).history.shape == (0, 0)
    assert queries(Interactions(), np.array([0])).history.shape == (1, 0)
    assert queries(SEEN, np.array([1])).history.shape == (1, 0)


def test_explicit_histories():
    query = histories([[4, 1], [], [3]])
    assert query.user.tolist() == [-1, -1, -1]
    assert query.history.tolist() == [[4, 1], [0, 0], [3, 0]]
    assert query.history_mask.tolist() == [[True, True], [False, False], [True, False]]
    assert histories([[4, 1, 2]], max_length=2).history.tolist() == [[1, 2]]
    assert histories([[4, 1, 2]], max_length=0).history.shape == (1, 0)
    assert histories([]).history.shape == (0, 0)
