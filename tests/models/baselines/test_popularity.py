import torch

from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


class TestPopularity(RecommenderContract):
    name = "popularity"
    personal = False
    seeded = False

    def test_counts_training_interactions_only(self):
        data = worlds.dataset(
            [(0, 0), (1, 0), (1, 2)], valid=[(0, 1)], test=[(0, 1), (1, 1)], num_items=4
        )
        assert self.build(data).scorer().items.squeeze(1).tolist() == [2, 0, 1, 0]

    def test_someone_unseen_gets_the_same_ranking(self):
        run = self.run(worlds.dataset([(0, 0), (1, 0), (1, 2), (0, 3), (2, 3), (2, 0)]))
        assert run.recommend(history=["i0"], k=2)["item"].to_list() == ["i3", "i2"]

    def test_a_score_is_all_bias(self):
        got = self.build(worlds.toy()).explanation_effects().score_parts(0, 1)
        assert (got.own, got.bias, len(got.items), got.other) == (0.0, 2.0, 0, {})

    def test_has_nothing_to_train(self):
        assert not list(self.build(worlds.toy()).parameters())
        assert torch.equal(self.build(worlds.toy()).counts, torch.tensor([1.0, 2.0, 0.0]))
