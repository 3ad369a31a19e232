"""FFM against its equation, term by term."""

from itertools import combinations

import fielded
import pytest

from kgrec.errors import ConfigError
from kgrec.models.features.ffm import FFM, FFMConfig
from kgrec.testing.contract import RecommenderContract


def by_hand(model, user, item):
    """Eq. (4), each pair by its vectors for each other's field."""
    found = fielded.features(model, user, item)
    users = len(model.known.users.names) + 1
    score = fielded.linear(model, found) if model.config.linear else model.bias.item()
    for (side, f, x, a), (other, g, y, b) in combinations(found, 2):
        for_g = a[:-1].reshape(-1, model.config.dim)[g + users * (other == "items")]
        for_f = b[:-1].reshape(-1, model.config.dim)[f + users * (side == "items")]
        score += for_g @ for_f * x * y
    return score


@pytest.mark.parametrize(("knowledge", "linear"), [(False, True), (True, True), (True, False)])
def test_scores_and_loss_are_the_equation(knowledge, linear):
    settings = FFMConfig(knowledge=knowledge, dim=2, min_count=1, l2_weight=0.3, linear=linear)
    model = fielded.built(FFM, settings)
    table = fielded.check_scores(model, by_hand)
    fielded.check_loss(model, table)


def test_parts_add_up_to_the_score():
    model = fielded.built(FFM, FFMConfig(knowledge=True, dim=2, min_count=1))
    for user, item in ((1, 0), (4, 2), (0, 4)):
        parts = model.explanation_effects().score_parts(user, item)
        total = parts.own + parts.bias + sum(parts.other.values())
        assert total == pytest.approx(by_hand(model, user, item))


def test_a_score_without_facts_is_that_of_data_without_them():
    fielded.check_removals(fielded.built(FFM, FFMConfig(knowledge=True, dim=2, min_count=1)))


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="dim"):
        FFMConfig(dim=0)


class TestFFM(RecommenderContract):
    name = "ffm"
    settings = {"dim": 8, "learning_rate": 0.03, "init_scale": 0.1}

    @pytest.fixture
    def cold_seeds(self):
        return range(1)  # a cold item's id is 0 whatever the seed


class TestFFMKG(RecommenderContract):
    name = "ffm-kg"
    settings = {"dim": 4, "learning_rate": 0.03, "init_scale": 0.1}
    uses_knowledge = True
