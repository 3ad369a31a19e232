"""FM against its equation, term by term; fields counted by hand; worlds that only triples and only
user attributes tell.
"""

from dataclasses import replace

import fielded
import numpy as np
import pytest
import torch

import kgrec
from kgrec.errors import ConfigError, DataError
from kgrec.models.features.base import KnownFields
from kgrec.models.features.fm import FM, FMConfig
from kgrec.queries import queries
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract, auc


def by_hand(model, user, item):
    """Eq. (1)."""
    found = fielded.features(model, user, item)
    return fielded.linear(model, found) + sum(p.sum() for p in fielded.products(found))


@pytest.mark.parametrize("knowledge", [False, True])
@pytest.mark.parametrize("least", [1, 2])
def test_scores_and_loss_are_the_equation(knowledge, least):
    settings = FMConfig(knowledge=knowledge, dim=3, min_count=least, l2_weight=0.3)
    model = fielded.built(FM, settings)
    table = fielded.check_scores(model, by_hand)
    fielded.check_loss(model, table)


def test_parity_of_the_pairs():
    """V = [[1, .5], [.5, -1], [2, 1]], x = (1, 1, .5): pairs give 1.25."""
    data = worlds.dataset([(0, 0)], triples=[(0, 0, 1), (0, 0, 2)], num_entities=3)
    model = FM.from_dataset(
        data, FMConfig(knowledge=True, dim=2, min_count=1), torch.Generator()
    ).double()
    with torch.no_grad():
        model.users.copy_(torch.tensor([[1, 0.5, 0]]))
        model.items.copy_(torch.tensor([[0.5, -1, 0]]))
        model.item_values.copy_(torch.tensor([[2, 1, 0], [0, 0, 0]]))
        assert model.scorer()(queries(data.train, np.array([0]))).item() == pytest.approx(1.25)


def test_parts_add_up_to_the_score_and_are_those_of_fields():
    model = fielded.built(FM, FMConfig(knowledge=True, dim=3, min_count=1))
    for user, item in ((1, 0), (4, 2), (0, 4)):
        parts = model.explanation_effects().score_parts(user, item)
        total = parts.own + parts.bias + sum(parts.other.values())
        assert total == pytest.approx(by_hand(model, user, item))
    found = fielded.features(model, 1, 0)
    of_r0 = [(x, v) for side, field, x, v in found if side == "items" and field == 1]
    users = [(x, v) for side, _, x, v in found if side == "users"]
    expected = sum(x * v[-1] + sum(x * y * v[:-1] @ u[:-1] for y, u in users) for x, v in of_r0)
    parts = model.explanation_effects().score_parts(1, 0)
    assert parts.other["r0 of the item"] == pytest.approx(expected)


def test_a_score_without_facts_is_that_of_data_without_them():
    fielded.check_removals(fielded.built(FM, FMConfig(knowledge=True, dim=3, min_count=1)))


def test_first_order_effects_are_derivatives():
    model = fielded.built(FM, FMConfig(knowledge=True, dim=3, min_count=1))
    effects = model.explanation_effects()
    found = effects.screen(1, 2)
    one = effects.rerun(1, 2, [[fact] for fact in range(len(effects.ckg.head))], keep_weights=True)
    drops = by_hand(model, 1, 2) - one.numpy()
    np.testing.assert_allclose(found.numpy(), drops, atol=1e-12)  # scores are linear in each number
    assert np.count_nonzero(np.abs(drops) > 1e-9) == 4  # two facts of the item, two of the user


def test_who_can_be_ranked():
    """Item 4 has a value that item 2 has; user 4 an attribute that users 2 and 3 have."""
    data = fielded.world()
    plain = fielded.built(FM, FMConfig(min_count=1)).can_rank(data)
    graph = fielded.built(FM, FMConfig(knowledge=True, min_count=1)).can_rank(data)
    assert graph.items.tolist() == [True] * 6
    assert graph.users.tolist() == plain.users.tolist() == [True] * 5
    bare = replace(data, content=replace(data.content, features=None))
    items = FM.from_dataset(bare, FMConfig(), torch.Generator()).can_rank(bare).items
    assert items.tolist() == [True, True, True, True, False, True]


def test_a_field_with_too_many_values_is_refused_by_name():
    data = worlds.dataset([(0, 0)], triples=[(n, 0, 50 + n) for n in range(50)], num_items=50)
    with pytest.raises(DataError, match=r"field 'r0' has 50 values among items.*max_values is 20"):
        kgrec.fit("fm-kg", data, min_count=1, max_values=20)
    assert len(KnownFields.from_dataset(data, FMConfig(knowledge=True)).items.names) == 0


def test_one_class_of_label_is_refused():
    data = fielded.world()
    with pytest.raises(DataError, match="every labeled row of the training part has label 1"):
        kgrec.fit("fm", replace(data, negatives={"test": data.train}), epochs=1)


def told_by_users(seed=0):
    """Users like items of their own kind, and an attribute says of which kind they are; new users
    have nothing but that.
    """
    rng = np.random.default_rng(seed)
    train = [
        (user, int(item))
        for user in range(40)
        for item in rng.choice(np.arange(user % 2, 30, 2), 6, replace=False)
    ]
    data = worlds.dataset(
        train, triples=[(0, 0, 30), (1, 0, 31)], num_users=60, num_items=30, num_entities=32
    )
    facts = np.array([(user, 0, 30 + user % 2) for user in range(60)], dtype=np.int32)
    return replace(data, user_facts=facts)


def test_attributes_of_users_rank_for_new_ones():
    data = told_by_users()
    run = kgrec.fit("fm", data, dim=8, epochs=20, learning_rate=0.03, batch_size=64, patience=0)
    with torch.inference_mode():
        scores = run.scorer()(queries(data.train, np.arange(40, 60))).numpy()
    own = np.arange(30)[None, :] % 2 == np.arange(40, 60)[:, None] % 2
    assert np.mean([auc(row, mask) for row, mask in zip(scores, own, strict=True)]) > 0.95
    assert set(run.recommend("u45", k=3)["kind"]) == {"personal"}


def test_labeled_pairs_are_told_apart_by_triples():
    """Test items have no interaction: without triples all their pairs look alike."""
    data = worlds.cold_items(users=30)
    item = np.arange(40, 60)
    passed = [(u, int(i)) for u in range(30) for i in item if i % 2 != u % 2]
    given = worlds.dataset(passed, num_items=60).train
    data = replace(data, negatives={"train": given, "test": given})
    settings = {"dim": 8, "epochs": 15, "batch_size": 64, "learning_rate": 0.03, "patience": 0}
    with_triples = kgrec.fit("fm-kg", data, **settings).evaluate(protocol="ctr").metrics
    assert with_triples["auc"] > 0.95
    assert with_triples["gauc"] > 0.95


@pytest.mark.parametrize("wrong", [{"dim": 0}, {"negatives": 0}, {"init_scale": 0.0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))}"):
        FMConfig(**wrong)


class TestFM(RecommenderContract):
    name = "fm"
    settings = {"dim": 8, "learning_rate": 0.03, "init_scale": 0.1}

    @pytest.fixture
    def cold_seeds(self):
        return range(1)  # a cold item's id is 0 whatever the seed


class TestFMKG(RecommenderContract):
    name = "fm-kg"
    settings = {"dim": 8, "learning_rate": 0.03, "init_scale": 0.1}
    uses_knowledge = True
