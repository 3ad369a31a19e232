"""Blends against sums of their members made by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import kgrec
from kgrec.data.derive.removal import Removal
from kgrec.errors import CapabilityError, CheckpointError, ConfigError, DataError
from kgrec.explanation.effects.summed import SummedModel
from kgrec.explanation.search.explained import ExplainedModel
from kgrec.models.base import DotProduct
from kgrec.models.blend import BlendConfig
from kgrec.queries import queries
from kgrec.testing import worlds

SETTINGS = {
    "lightgcn-kg": {"dim": 8, "epochs": 3, "batch_size": 64},
    "ease-kg": {"l2": 5.0, "attribute_weight": 3.0},
    "bprmf": {"dim": 8, "epochs": 3, "batch_size": 64},
    "kgat": {"dim": 8, "layer_dims": "8", "epochs": 2, "batch_size": 64},
}


@pytest.fixture(scope="module")
def data():
    world = worlds.cold_items(users=24, warm=20, cold=8)
    valid = [(user, 2 * (user % 5) + user % 2) for user in range(24)]
    train = [
        pair
        for pair in zip(world.train.user.tolist(), world.train.item.tolist(), strict=True)
        if pair not in valid
    ]
    facts = np.stack([world.triples.head, world.triples.relation, world.triples.tail], 1)
    test = list(zip(world.test.user.tolist(), world.test.item.tolist(), strict=True))
    return worlds.dataset(train, valid, test, facts, num_entities=world.num_entities)


@pytest.fixture(scope="module")
def runs(data):
    return {name: kgrec.fit(name, data, **settings) for name, settings in SETTINGS.items()}


@pytest.fixture(scope="module")
def pair(runs):
    return kgrec.blend([runs["lightgcn-kg"], runs["ease-kg"]], weights=[0.7, 2.0])


def scores_of(run):
    query = queries(run.data.train, np.arange(run.data.num_users))
    with torch.inference_mode():
        return run.scorer()(query).double().numpy()


def by_hand(blend, members):
    config = blend.config
    return sum(
        weight / scale * scores_of(run)
        for weight, scale, run in zip(config.rows()[0], config.scales, members, strict=True)
    )


def test_scores_are_the_weighted_sum_and_scales_deviations(runs, pair):
    members = [runs["lightgcn-kg"], runs["ease-kg"]]
    np.testing.assert_allclose(scores_of(pair), by_hand(pair, members), rtol=1e-5, atol=1e-6)
    users = np.unique(pair.data.valid.user)
    for run, scale in zip(members, pair.config.scales, strict=True):
        known = run.model.can_rank(run.data).items
        table = scores_of(run)[users][:, known]
        within = np.sqrt(np.mean(np.square(table - table.mean(1, keepdims=True))))
        assert scale == pytest.approx(within, rel=1e-5)


def test_inner_products_become_one_and_fold_in(runs, data):
    apart = kgrec.fit("ultragcn", data, epochs=1)  # which folds nobody in
    members = [apart, runs["lightgcn-kg"]]
    made = kgrec.blend(members, weights=[1.0, 0.5])
    assert isinstance(made.scorer(), DotProduct)
    np.testing.assert_allclose(scores_of(made), by_hand(made, members), rtol=1e-4, atol=1e-5)
    assert made.vectors().frames["items"].height == data.num_items
    with pytest.raises(CapabilityError, match="never saw"):
        made.recommend(history=["i1"])


def test_a_stranger_gets_the_sum_of_what_the_members_say(pair, runs):
    lists = {
        name: run.recommend(history=["i1", "i3"], k=26)
        for name, run in runs.items()
        if name in ("lightgcn-kg", "ease-kg")
    }
    frame = pair.recommend(history=["i1", "i3"], k=26)
    scores = {
        name: dict(zip(one["item"].to_list(), one["score"].to_list(), strict=True))
        for name, one in lists.items()
    }
    config = pair.config
    factors = dict(
        zip(config.members, np.array(config.weights) / np.array(config.scales), strict=True)
    )
    for item, score in zip(frame["item"].to_list(), frame["score"].to_list(), strict=True):
        expected = sum(factors[name] * scores[name][item] for name in factors)
        assert score == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_stored_it_opens_alone_and_scores_alike(pair, tmp_path):
    pair.save(tmp_path / "blend")
    again = kgrec.load_run(tmp_path / "blend")
    assert np.array_equal(scores_of(pair), scores_of(again))
    assert again.config == pair.config
    assert [one.name for one, _ in again.chosen.members] == ["lightgcn-kg", "ease-kg"]

    config = tmp_path / "blend/config.json"
    config.write_text(config.read_text().replace('"ease-kg"', '"ease"', 1))
    with pytest.raises(CheckpointError, match="SHA-256"):
        kgrec.load_run(tmp_path / "blend")


def test_chosen_weights_are_no_worse_than_any_single_member(runs):
    members = [runs["bprmf"], runs["ease-kg"], runs["lightgcn-kg"]]
    made = kgrec.blend(members, metric="ndcg@5")
    alone = [member["valid"] for member in made.summary["blend"]["members"]]
    assert made.evaluate("valid", k=[5]).metrics["ndcg@5"] >= max(alone) - 1e-9
    assert max(made.config.weights) >= 1
    assert min(made.config.weights) >= 0


def test_scores_standardized_by_user(runs):
    members = [runs["bprmf"], runs["ease-kg"]]
    made = kgrec.blend(members, weights=[1.0, 2.0], scale="user")
    expected = 0.0
    for weight, run in zip((1, 2), members, strict=True):
        table = scores_of(run)
        expected = expected + weight * (table - table.mean(1, keepdims=True)) / table.std(
            1, keepdims=True
        )
    np.testing.assert_allclose(scores_of(made), expected, rtol=1e-4, atol=1e-5)
    effects = ExplainedModel(made).effects_at(0, 2)
    assert effects.basis == "measured"
    assert effects.without([])[0, 0] == pytest.approx(expected[0, 2], rel=1e-4)


def test_weights_by_length_of_history(runs):
    members = [runs["bprmf"], runs["ease-kg"]]
    made = kgrec.blend(members, by="history")
    config = made.config
    assert len(config.rows()) == len(config.lengths) + 1 > 1
    used = np.bincount(made.data.train.user, minlength=made.data.num_users)
    tables = [scores_of(run) / s for run, s in zip(members, config.scales, strict=True)]
    for user in (int(used.argmin()), int(used.argmax())):
        row = config.rows()[sum(used[user] > length for length in config.lengths)]
        expected = sum(w * table[user] for w, table in zip(row, tables, strict=True))
        np.testing.assert_allclose(scores_of(made)[user], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("names", [("lightgcn-kg", "ease-kg"), ("kgat", "ease-kg", "bprmf")])
def test_drops_are_those_of_the_blend_put_on_the_graph_without_the_edges(runs, names):
    made = kgrec.blend([runs[name] for name in names], weights=[1.0] * len(names))
    explained = ExplainedModel(made)
    assert isinstance(explained.effects, SummedModel)
    user, item = 3, 21
    effects = explained.effects_at(user, item)
    assert effects.basis == ("exact" if names[0] == "lightgcn-kg" else "measured")
    graph = explained.graph
    node = graph.ckg.user_node(user)
    own = np.arange(graph.ptr[node], graph.ptr[node + 1])
    around = np.arange(graph.ptr[item], graph.ptr[item + 1])
    groups = [graph.edge[own[:1]], graph.edge[around], graph.edge[np.r_[own[1:3], around[:1]]]]
    found = effects.without(groups)[0]

    query = queries(made.data.train, np.array([user]))
    assert found[0] == pytest.approx(float(made.scorer()(query)[0, item]), rel=1e-5)
    for group, score in zip(groups, found[1:], strict=True):
        scorer = explained.without(graph.facts_of(group))
        with torch.inference_mode():
            assert score == pytest.approx(float(scorer(query)[0, item]), rel=1e-4, abs=1e-6)


def test_parts_of_a_score_are_the_sum_of_the_members_parts(runs, pair):
    config = pair.config
    whole = ExplainedModel(pair).budget(3, 4)
    assert whole.basis == "exact"
    expected: dict[str, float] = {}
    own = 0.0
    for name, weight, scale in zip(config.members, config.weights, config.scales, strict=True):
        part = ExplainedModel(runs[name]).budget(3, 4)
        own += weight / scale * part.own
        for term in part.by_liked:
            key = term.node.key
            expected[key] = expected.get(key, 0.0) + weight / scale * term.value

    assert whole.own == pytest.approx(own)
    assert {term.node.key: term.value for term in whole.by_liked} == pytest.approx(expected)
    assert sum(t.value for t in whole.by_liked) + whole.own + sum(
        whole.other.values()
    ) == pytest.approx(whole.score, abs=1e-5)


def test_an_explanation_of_a_blend_holds_when_verified(pair):
    explanation = pair.explain("u3", "i21")
    assert explanation.paths
    assert explanation.verify(pair.explainer()) == []


def test_training_effects_of_closed_forms_are_those_of_members_fitted_without_the_like(data):
    def fitted(world):
        return [
            kgrec.fit("ease-kg", world, **SETTINGS["ease-kg"]),
            kgrec.fit("ease", world, l2=3.0),
        ]

    made = kgrec.blend(fitted(data), weights=[1.0, 0.5])
    user, item, like = 3, 5, int(data.train.item[data.train.user == 3][0])
    removed = Removal(interactions=((user, like),))
    found = made.model.explanation_effects().refitted_scores(user, [item], removed)

    kept = (data.train.user != user) | (data.train.item != like)
    again = fitted(replace(data, train=data.train.take(kept)))
    factors = np.array(made.config.weights) / np.array(made.config.scales)
    expected = sum(f * scores_of(run)[user, item] for f, run in zip(factors, again, strict=True))
    assert float(found[0]) == pytest.approx(expected, rel=1e-4)


def test_what_cannot_be_blended_is_refused(runs, data, tmp_path):
    one = runs["bprmf"]
    with pytest.raises(ConfigError, match="at least two runs"):
        kgrec.blend([one])
    with pytest.raises(ConfigError, match="3 weights for 2 runs"):
        kgrec.blend([one, runs["ease-kg"]], weights=[1.0, 2.0, 3.0])
    with pytest.raises(ConfigError, match="at least 0"):
        kgrec.blend([one, runs["ease-kg"]], weights=[1.0, -2.0])
    with pytest.raises(ConfigError, match="form name@k"):
        kgrec.blend([one, runs["ease-kg"]], metric="auc")
    with pytest.raises(ConfigError, match="Blend its members"):
        kgrec.blend([one, kgrec.blend([one, runs["ease-kg"]], weights=[1.0, 1.0])])
    with pytest.raises(DataError, match="different datasets"):
        kgrec.blend([one, kgrec.fit("ease", worlds.checkerboard())])
    with pytest.raises(CapabilityError, match="cannot be trained"):
        kgrec.blend([one, runs["ease-kg"]], weights=[1.0, 1.0]).model.plan()
    refit = kgrec.fit("ease", data, refit=True)
    with pytest.raises(DataError, match="was refit"):
        kgrec.blend([one, refit])
    with pytest.raises(ConfigError, match="a weight and a scale for each"):
        BlendConfig(("a", "b"), (1.0,), (1.0, 1.0))
