import pytest
import torch

from kgrec.batches import PairwiseBatch
from kgrec.errors import ConfigError
from kgrec.models.factorization.bprmf import BPRMF, BPRMFConfig
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


def toy_model(l2_weight=0.0):
    model = BPRMF(
        2, 3, BPRMFConfig(dim=2, l2_weight=l2_weight), torch.Generator().manual_seed(0)
    ).double()
    with torch.no_grad():
        model.users.copy_(torch.tensor(worlds.TOY_USERS))
        model.items.copy_(torch.tensor(worlds.TOY_ENTITIES[:3]))
    return model


BATCH = PairwiseBatch(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([2, 0]))


class TestBPRMF(RecommenderContract):
    name = "bprmf"
    settings = {"learning_rate": 0.05, "l2_weight": 0.0}

    def test_loss_on_the_toy_graph(self):
        """models.md 1.1: differences 2.0 and -1.5, mean BPR .914171, half the squared norms over B
        1.9375.
        """
        assert float(toy_model().cf_loss(BATCH).detach()) == pytest.approx(0.914171, abs=1e-6)
        assert float(toy_model(1.0).cf_loss(BATCH).detach()) == pytest.approx(
            0.914171 + 1.9375, abs=1e-6
        )

    def test_item_bias_is_part_of_the_score(self):
        data = worlds.toy()
        model = BPRMF.from_dataset(
            data, BPRMFConfig(dim=2, item_bias=True), torch.Generator().manual_seed(0)
        )
        with torch.no_grad():
            model.item_bias.copy_(torch.tensor([0.0, 5.0, 0.0]))
        scorer = model.scorer()
        expected = model.users @ model.items.T + model.item_bias
        torch.testing.assert_close(scorer.users @ scorer.items.T, expected.detach())

    @pytest.mark.parametrize("item_bias", [False, True])
    def test_parts_are_the_inner_product_and_the_bias(self, item_bias):
        model = BPRMF(
            4, 5, BPRMFConfig(dim=3, item_bias=item_bias), torch.Generator().manual_seed(1)
        ).double()
        if item_bias:
            with torch.no_grad():
                model.item_bias.copy_(torch.arange(5) / 7)
        got = model.explanation_effects().score_parts(2, 3)
        product = sum(
            a * b for a, b in zip(model.users[2].tolist(), model.items[3].tolist(), strict=True)
        )
        assert got.own == pytest.approx(product, abs=1e-12)
        assert got.bias == pytest.approx(3 / 7 if item_bias else 0)
        assert (len(got.items), got.other, got.basis) == (0, {}, "exact")
        scorer = model.scorer()
        assert got.own + got.bias == pytest.approx(
            float(scorer.users[2] @ scorer.items[3]), abs=1e-12
        )

    @pytest.mark.parametrize("item_bias", [False, True])
    def test_ranks_for_someone_unseen_by_the_items_that_they_like(self, item_bias):
        run = self.run(worlds.checkerboard(), epochs=60, item_bias=item_bias)
        for parity in (0, 1):
            found = run.recommend(history=[f"i{parity}", f"i{parity + 2}"], k=4)
            assert {int(item[1:]) % 2 for item in found["item"]} == {parity}

    @pytest.mark.parametrize("config", [{"dim": 0}, {"l2_weight": -1.0}, {"init_scale": 0.0}])
    def test_refuses_values_out_of_range(self, config):
        with pytest.raises(ConfigError, match=r"^BPR-MF needs [^\n]*" + next(iter(config))):
            BPRMFConfig(**config)
