"""Wide & Deep against its equations, crosses one by one; a world that takes crosses."""

import fielded
import numpy as np
import pytest
import torch

import kgrec
from kgrec.errors import ConfigError
from kgrec.models.features.widedeep import WideDeep, WideDeepConfig
from kgrec.queries import queries
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract, auc


def crosses(model, user, item):
    """The weights of all crosses but that of the two ids, times both numbers."""
    found = fielded.features(model, user, item)
    numbered = []
    for side, row in (("users", user), ("items", item)):
        values = model.known.of(side)
        own = np.flatnonzero(values.row == row)
        entries = list(zip(values.value[own].tolist(), values.x[own], strict=True))
        assert sorted(x for _, x in entries) == pytest.approx(
            sorted(x for of, field, x, _ in found if of == side and field and x)
        )
        numbered.append([*entries, (len(values.field) + row, 1.0)])

    total = 0.0
    for a, x in numbered[0]:
        for b, y in numbered[1]:
            both_ids = a >= len(model.known.users.field) and b >= len(model.known.items.field)
            if not both_ids:
                bucket = (a * 2_654_435_761 ^ b * 805_459_861) % model.config.buckets
                total += model.crossed[bucket].item() * x * y
    return total


def by_hand(model, user, item):
    """Eqs. (1) to (3)."""
    found = fielded.features(model, user, item)
    score = fielded.linear(model, found) + fielded.network(model, found)
    return score if model.crossed is None else score + crosses(model, user, item)


@pytest.mark.parametrize(("knowledge", "buckets"), [(False, 97), (True, 1009), (True, 0)])
def test_scores_and_loss_are_the_equations(knowledge, buckets):
    settings = WideDeepConfig(
        knowledge=knowledge,
        dim=3,
        layers=(4, 3),
        min_count=1,
        dropout=0.0,
        buckets=buckets,
        l2_weight=0.3,
    )
    model = fielded.built(WideDeep, settings)
    table = fielded.check_scores(model, by_hand)
    fielded.check_loss(model, table)


def test_a_score_without_facts_is_that_of_data_without_them():
    settings = WideDeepConfig(knowledge=True, dim=3, layers=(4,), min_count=1, buckets=1009)
    fielded.check_removals(fielded.built(WideDeep, settings))


def test_crosses_memorize_what_each_user_takes():
    """Each user takes items of five of 24 makers, drawn alone: nobody shares anything, and the held
    out item of a maker is told by "this user, this maker" alone.
    """
    rng = np.random.default_rng(0)
    train, test = [], []
    for user in range(30):
        for maker in rng.choice(24, 5, replace=False):
            held, *used = rng.permutation(4) + 4 * maker
            train += [(user, int(item)) for item in used]
            test.append((user, int(held)))
    makers = [(item, 0, 96 + item // 4) for item in range(96)]
    data = worlds.dataset(sorted(train), test=sorted(test), triples=makers, num_items=96)
    settings = {"dim": 1, "layers": (1,), "epochs": 12, "learning_rate": 0.05, "batch_size": 128}
    found = {}
    for buckets in (0, 4096):
        run = kgrec.fit("widedeep-kg", data, buckets=buckets, patience=0, **settings)
        with torch.inference_mode():
            scores = run.scorer()(queries(data.train, np.arange(30))).numpy()
        seen = data.train.csr(30, 96).toarray() > 0
        held = data.test.csr(30, 96).toarray() > 0
        found[buckets] = np.mean(
            [auc(s[~w], h[~w]) for s, w, h in zip(scores, seen, held, strict=True)]
        )
    assert found[4096] > 0.95, found
    assert found[0] < 0.8, found


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="buckets"):
        WideDeepConfig(buckets=-1)


class TestWideDeep(RecommenderContract):
    name = "widedeep"
    settings = {"dim": 16, "layers": (16, 8), "learning_rate": 0.03, "init_scale": 0.3}

    @pytest.fixture
    def cold_seeds(self):
        return range(1)  # a cold item's id is 0 whatever the seed


class TestWideDeepKG(RecommenderContract):
    name = "widedeep-kg"
    settings = {"dim": 16, "layers": (16, 8), "learning_rate": 0.03, "init_scale": 0.3}
    uses_knowledge = True
