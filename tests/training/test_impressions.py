from dataclasses import replace

import numpy as np
import pytest
import torch

from kgrec.data.records.content import Impressions
from kgrec.data.records.interactions import Interactions
from kgrec.errors import ConfigError, DataError
from kgrec.models.sources import Shown
from kgrec.testing import worlds
from kgrec.training.impressions import PairSampler, ShownSampler, impression_sampler

CPU = torch.device("cpu")


def shown(*lists, histories=None):
    """Return impressions of user 0, 1, ... from lists of (item, clicked)."""
    histories = histories or [[] for _ in lists]
    return Impressions(
        np.arange(len(lists), dtype=np.int32),
        None,
        np.concatenate([[0], np.cumsum([len(own) for own in lists])]).astype(np.int64),
        np.array([item for own in lists for item, _ in own], dtype=np.int32),
        np.array([click for own in lists for _, click in own], dtype=bool),
        np.concatenate([[0], np.cumsum([len(own) for own in histories])]).astype(np.int64),
        np.array([item for own in histories for item in own], dtype=np.int32),
    )


def rows(sampler, epoch=1):
    """Return (user, history, candidates, labels) of every row of an epoch."""
    return [
        (
            int(b.user[n]),
            b.history[n][b.history_mask[n]].tolist(),
            b.candidates[n][b.mask[n]].tolist(),
            b.label[n][b.mask[n]].tolist(),
        )
        for b in sampler.epoch(epoch)
        for n in range(len(b.user))
    ]


class TestShown:
    LISTS = (
        [(1, True), (2, False), (3, False), (4, True), (5, False)],
        [(6, True), (7, False)],
        [(8, True)],
        [(9, False)],
    )

    def sampler(self, seed=0, negatives=2, size=2):
        data = shown(*self.LISTS, histories=[[1, 2, 3], [], [4], [5]])
        return ShownSampler(data, Shown(negatives, 2), size, seed=seed, device=CPU)

    def test_every_click_stands_once_among_other_items_of_its_list(self):
        found = rows(self.sampler())
        assert sorted((user, candidates[0]) for user, _, candidates, _ in found) == [
            (0, 1),
            (0, 4),
            (1, 6),
        ]
        assert self.sampler().steps() == 2
        for user, history, candidates, label in found:
            assert history == ([2, 3] if user == 0 else [])  # the last two
            assert set(candidates[1:]) <= ({2, 3, 5} if user == 0 else {7})
            assert len(set(candidates)) == len(candidates) == (3 if user == 0 else 2)
            assert label == [1.0] + [0.0] * (len(candidates) - 1)

    def test_negatives_are_drawn_anew_and_evenly(self):
        sampler = self.sampler(negatives=1)
        drawn = [
            candidates[1]
            for epoch in range(1, 301)
            for user, _, candidates, _ in rows(sampler, epoch)
            if user == 0
        ]
        counts = np.unique(drawn, return_counts=True)
        assert counts[0].tolist() == [2, 3, 5]
        assert counts[1].min() > 150

    def test_an_epoch_depends_on_seed_and_number_alone(self):
        assert rows(self.sampler(1), 4) == rows(self.sampler(1), 4)
        assert rows(self.sampler(1), 4) != rows(self.sampler(1), 5)
        assert rows(self.sampler(1), 4) != rows(self.sampler(2), 4)

    def test_lists_without_a_click_or_anything_else_are_refused_where_there_are_no_others(self):
        with pytest.raises(DataError, match="click"):
            ShownSampler(shown([(1, True)], [(2, False)]), Shown(1, 2), 2, seed=0, device=CPU)


class TestPairs:
    TRAIN = ((0, 0), (0, 1), (0, 2), (0, 3), (1, 4), (2, 5), (2, 6))

    def data(self, negatives=()):
        data = worlds.dataset(self.TRAIN, num_items=9)
        if not negatives:
            return data
        user, item = np.array(negatives, dtype=np.int32).T
        return replace(data, negatives={"train": Interactions(user, item)})

    def test_interactions_with_items_the_user_has_not(self):
        found = rows(PairSampler(self.data(), Shown(3, 2), 3, seed=0, device=CPU))
        assert sorted((user, candidates[0]) for user, _, candidates, _ in found) == sorted(
            self.TRAIN
        )
        for user, history, candidates, label in found:
            own = [item for u, item in self.TRAIN if u == user]
            assert history == [item for item in own if item != candidates[0]][-2:]
            assert not set(candidates[1:]) & set(own)
            assert label == [1.0, 0.0, 0.0, 0.0]

    def test_labeled_pairs_stand_alone_and_their_histories_tell_nothing(self):
        negatives = [(0, 7), (1, 7), (1, 8)]
        data = self.data(negatives)
        sampler = impression_sampler(data, Shown(4, 10), 4, seed=0, device=CPU)
        left_out = set()
        for epoch in range(1, 40):
            found = rows(sampler, epoch)
            assert sorted(
                (user, candidates[0]) for user, _, candidates, label in found if label == [1.0]
            ) == sorted(self.TRAIN)
            assert sorted(
                (user, candidates[0]) for user, _, candidates, label in found if label == [0.0]
            ) == sorted(negatives)
            for user, history, candidates, _ in found:
                assert len(candidates) == 1
                own = [item for u, item in self.TRAIN if u == user]
                assert len(history) == len(own) - 1
                assert candidates[0] not in history
                if user == 0 and candidates == [7]:
                    left_out |= set(own) - set(history)
        assert left_out == {0, 1, 2, 3}

    def test_labeled_pairs_cannot_stand_in_groups(self):
        with pytest.raises(ConfigError, match="bce"):
            PairSampler(self.data([(0, 7)]), Shown(4, 10, grouped=True), 4, seed=0, device=CPU)

    def test_lists_come_before_pairs(self):
        data = replace(self.data([(0, 7)]), impressions={"train": shown([(1, True), (2, False)])})
        assert isinstance(
            impression_sampler(data, Shown(1, 2), 2, seed=0, device=CPU), ShownSampler
        )
        data = replace(data, impressions={"train": Impressions()})
        assert isinstance(impression_sampler(data, Shown(1, 2), 2, seed=0, device=CPU), PairSampler)
