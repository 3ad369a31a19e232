"""DeepFM against its equations."""

import fielded
import pytest

from kgrec.errors import ConfigError
from kgrec.models.features.deepfm import DeepFM, DeepFMConfig
from kgrec.testing.contract import RecommenderContract


def by_hand(model, user, item):
    """Eqs. (1) to (4)."""
    found = fielded.features(model, user, item)
    factorized = sum(product.sum() for product in fielded.products(found))
    return fielded.linear(model, found) + factorized + fielded.network(model, found)


@pytest.mark.parametrize(("knowledge", "layers"), [(False, (4,)), (True, (4, 3))])
def test_scores_and_loss_are_the_equations(knowledge, layers):
    settings = DeepFMConfig(
        knowledge=knowledge, dim=3, layers=layers, min_count=1, dropout=0.0, l2_weight=0.3
    )
    model = fielded.built(DeepFM, settings)
    table = fielded.check_scores(model, by_hand)
    fielded.check_loss(model, table)


def test_a_score_without_facts_is_that_of_data_without_them():
    settings = DeepFMConfig(knowledge=True, dim=3, layers=(4,), min_count=1)
    fielded.check_removals(fielded.built(DeepFM, settings))


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="layers"):
        DeepFMConfig(layers=())


class TestDeepFM(RecommenderContract):
    name = "deepfm"
    settings = {"dim": 8, "layers": (8,), "learning_rate": 0.03, "init_scale": 0.1}

    @pytest.fixture
    def cold_seeds(self):
        return range(1)  # a cold item's id is 0 whatever the seed


class TestDeepFMKG(RecommenderContract):
    name = "deepfm-kg"
    settings = {"dim": 8, "layers": (8,), "learning_rate": 0.03, "init_scale": 0.1}
    uses_knowledge = True
