"""Refits in closed form against refits: the model fitted again on the edited data, in float64."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from kgrec.data.derive.removal import Removal, without
from kgrec.errors import CapabilityError
from kgrec.graph.attributes import AttributeFacts, ItemAttributes
from kgrec.models.linear.ease import EASEKG, EASEKGConfig
from kgrec.queries import queries
from kgrec.runs.run import build_model
from kgrec.runs.settings import choose
from kgrec.testing import worlds

FORMS = {
    "ease": ("ease", {"l2": 2.0}),
    "collective": ("ease-kg", {"l2": 2.0, "attribute_weight": 0.7}),
    "additive": ("ease-kg", {"form": "additive", "l2": 2.0, "attribute_l2": 3.0}),
    "three items": ("ease-kg", {"l2": 2.0, "min_items": 3}),
    "itemknn": ("itemknn", {"k": 4, "shrink": 1.0}),
}


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def fitted(name, data, settings):
    more = {} if name == "itemknn" else {"precision": "float64"}
    model = build_model(choose(name, "default", settings | more), data, 0)
    model.plan().fit()
    return model.eval()


def random_removal(data, rng):
    """Return one to five likes and facts, the likes mostly of one user, and that user."""
    count = int(rng.integers(1, 6))
    likes = int(rng.integers(0, count + 1))
    user = int(rng.choice(data.train.user))
    own = data.train.item[data.train.user == user]
    pairs = {(user, int(item)) for item in rng.choice(own, min(likes, len(own)), replace=False)}
    if rng.random() < 0.3:
        row = int(rng.integers(len(data.train)))
        pairs.add((int(data.train.user[row]), int(data.train.item[row])))
    facts = {int(row) for row in rng.integers(len(data.triples), size=count - likes)}
    return user, Removal(tuple(sorted(pairs)), tuple(sorted(facts)))


@pytest.mark.parametrize("form", FORMS)
def test_refits_in_closed_form_equal_refits(form):
    name, settings = FORMS[form]
    rng = np.random.default_rng(0)
    worst = 0.0
    for seed in range(2):
        data = worlds.planted("interactions", seed, users=30)
        effects = fitted(name, data, settings).explanation_effects()
        for _ in range(50):
            user, removal = random_removal(data, rng)
            items = rng.choice(data.num_items, 10, replace=False).tolist()
            found = effects.refitted_scores(user, items, removal)
            edited = without(data, removal)
            again = fitted(name, edited, settings).scorer()
            expected = again(queries(edited.train, np.array([user])))[0, items]
            difference = (found - expected).abs() / expected.abs().clamp(min=1e-3)
            worst = max(worst, float(difference.max()))
            assert found.dtype == torch.float64
    assert worst < 1e-8


@pytest.mark.parametrize("form", FORMS)
def test_nothing_removed_gives_the_scores_that_rank(form):
    name, settings = FORMS[form]
    data = worlds.planted("both")
    model = fitted(name, data, settings)
    found = model.explanation_effects().refitted_scores(3, list(range(data.num_items)), Removal())
    expected = model.scorer()(queries(data.train, np.array([3])))[0]
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-10)


def test_all_likes_of_a_user_can_go():
    data = worlds.planted("both")
    own = data.train.item[data.train.user == 2].tolist()
    removal = Removal(tuple((2, item) for item in own))
    for name, settings in FORMS.values():
        found = fitted(name, data, settings).explanation_effects()
        assert found.refitted_scores(2, [0, 1], removal).tolist() == [0.0, 0.0]


def test_what_is_not_in_the_data_changes_nothing():
    data = worlds.planted("both")
    strange = next(
        item for item in range(data.num_items) if item not in data.train.item[data.train.user == 2]
    )
    effects = fitted(*FORMS["ease"][:1], data, FORMS["ease"][1]).explanation_effects()
    removal = Removal(((2, strange),))
    assert torch.equal(
        effects.refitted_scores(2, [0], removal), effects.refitted_scores(2, [0], Removal())
    )


def test_a_fact_that_two_triples_state_goes_with_both():
    facts = [(0, 0, 3), (0, 0, 3), (1, 0, 3), (2, 0, 3), (2, 0, 1)]
    data = worlds.dataset([(0, 0), (0, 1), (1, 1), (1, 2)], triples=facts)
    stated = AttributeFacts(data)
    assert stated.lost([0]) == {}
    ((attribute, items),) = stated.lost([0, 1]).items()
    assert items.tolist() == [0]
    assert stated.items_of(attribute).tolist() == [0, 1, 2]
    assert sorted(items.tolist() for items in stated.lost([4]).values()) == [[1], [2]]


def test_a_matrix_of_attributes_alone_names_no_facts():
    data = worlds.planted("both")
    train = data.train.csr(data.num_users, data.num_items)
    model = EASEKG(sp.csr_matrix(train), ItemAttributes.from_dataset(data).matrix, EASEKGConfig())
    model.plan().fit()
    with pytest.raises(CapabilityError, match="Make it from a dataset"):
        model.explanation_effects().refitted_scores(0, [0], Removal(triples=(0,)))
