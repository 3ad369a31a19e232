from dataclasses import replace

import numpy as np

from kgrec.data.derive.merge_parts import merge_parts
from kgrec.data.records.content import Impressions
from kgrec.data.records.interactions import Interactions
from kgrec.data.splitting.impressions import join_impressions
from kgrec.testing import worlds


def pairs(*rows):
    users, items = zip(*rows, strict=True) if rows else ((), ())
    return Interactions(np.array(users, np.int32), np.array(items, np.int32))


def shown(user, items, clicked, history):
    return Impressions(
        np.array([user], np.int32),
        None,
        np.array([0, len(items)]),
        np.array(items, np.int32),
        np.array(clicked),
        np.array([0, len(history)]),
        np.array(history, np.int32),
    )


def test_the_parts_named_go_into_training_with_their_labels_and_lists():
    data = worlds.dataset([(0, 0), (1, 1)], valid=[(0, 2)], test=[(1, 3)], num_items=5)
    data = replace(
        data,
        negatives={"train": pairs((0, 2), (1, 4)), "valid": pairs((0, 3)), "test": pairs((1, 0))},
        impressions={
            "train": shown(0, [0, 1], [True, False], []),
            "valid": shown(1, [2, 3, 4], [False, True, False], [0, 1]),
        },
    )
    pooled = merge_parts(data, "valid")
    assert list(zip(pooled.train.user.tolist(), pooled.train.item.tolist(), strict=True)) == [
        (0, 0),
        (0, 2),
        (1, 1),
    ]
    assert not len(pooled.valid)
    assert len(pooled.test) == 1
    # (0, 2) was a negative before it was used
    assert list(
        zip(
            pooled.negatives["train"].user.tolist(),
            pooled.negatives["train"].item.tolist(),
            strict=True,
        )
    ) == [(0, 3), (1, 4)]
    assert set(pooled.negatives) == {"train", "test"}
    assert set(pooled.impressions) == {"train"}
    lists = pooled.impressions["train"]
    assert lists.start.tolist() == [0, 2, 5]
    assert lists.history_start.tolist() == [0, 0, 2]
    assert lists.item.tolist() == [0, 1, 2, 3, 4]
    assert lists.clicked.tolist() == [True, False, False, True, False]


def test_times_are_kept_only_where_all_have_them():
    one = shown(0, [0, 1], [True, False], [])
    timed = replace(one, time=np.array([5.0]))
    assert join_impressions([timed, timed]).time.tolist() == [5.0, 5.0]
    assert join_impressions([timed, one]).time is None
