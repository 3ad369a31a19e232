"""Like and facts apart: each of the four numbers, and each hop's, is a re-run of the whole model on
the graph without those edges.
"""

import dataclasses

import numpy as np
import pytest

import kgrec
from kgrec.explanation import Explanation
from kgrec.explanation.core.placebos import Placebos
from kgrec.explanation.explainer import Explainer
from kgrec.explanation.render.sentences import because
from kgrec.models.base import DotProduct, Plan, Recommender
from kgrec.models.capabilities import GraphEditable
from kgrec.testing import worlds
from tests.explanation.questions.test_counterfactuals import ease, kgat, lightgcn, random_data


@pytest.fixture
def data(films):
    return random_data(films, 8)


def rerun(explainer, user, item, edges):
    """Return the score on the graph without some edges, by the whole model."""
    facts = explainer.graph.facts_of(np.asarray(edges, dtype=np.int64))
    return explainer.standing(user, explainer.without(facts)).scores[item]


@pytest.mark.parametrize("build", [lightgcn, kgat])
@pytest.mark.parametrize("users", ["hide", "show", "count"])
def test_every_number_is_a_rerun(data, build, users):
    explainer = Explainer(build(data), data, users=users)
    checked = 0
    for user in range(3):
        item = int(explainer.standing(user).order()[0])
        effects = explainer.explained.effects_at(user, item)
        found = explainer.search.find(user, item, effects)
        for measured in explainer.search.measure(found, effects, "like", 6)[:6]:
            path = explainer.search.path(found, measured, effects)
            whole = explainer.standing(user).scores[item]
            for edges, drop in (
                (measured.whole, path.drop_delete),
                (measured.like, path.like_drop),
                (measured.facts, path.facts_drop),
                *zip(measured.hops, path.hop_drops, strict=True),
            ):
                expected = whole - rerun(explainer, user, item, edges)
                assert drop == pytest.approx(expected, abs=1e-5 * max(1, abs(whole)))
            assert path.together == path.drop_delete - path.like_drop - path.facts_drop
            checked += 1
    assert checked > 6


class NoBar(Placebos):
    """Thresholds that every fact passes."""

    def threshold(self, pattern, degree_class, score):
        return -1.0


@pytest.mark.parametrize(("layers", "named"), [(1, False), (2, True)])
def test_facts_beyond_the_layers_are_no_cause_though_degrees_move_the_score(data, layers, named):
    """One layer reads no message of the middle fact of three hops; without it, degrees change."""
    explainer = Explainer(lightgcn(data, num_layers=layers), data, users="hide", per_liked=9)
    explainer.search.placebos = NoBar({}, {})
    paths = []
    for user in range(4):
        item = data.items.key(int(explainer.standing(user).order()[0]))
        found = explainer.explain(f"u{user}", item, k=20).paths
        paths += [path for path in found if path.length == 3]

    assert any(path.facts_drop > 0 and path.facts_drop_mask > 0 for path in paths)
    assert any(path.hop_drops[1] for path in paths)
    assert any(path.facts_claim == "cause" for path in paths) == named


def test_paths_are_in_the_order_of_their_likes_then_of_their_facts(data):
    for build in (lightgcn, kgat):
        explainer = Explainer(build(data), data, users="hide", per_liked=9, per_middle=9)
        item = data.items.key(int(explainer.standing(0).order()[0]))
        paths = explainer.explain("u0", item, k=12).paths
        keys = [(round(p.like_drop, 9), round(p.facts_drop, 9)) for p in paths]
        assert len(paths) > 2
        assert keys == sorted(keys, reverse=True)


def test_paths_of_models_over_a_history_start_at_the_likes_that_carry_the_score(data):
    explainer = Explainer(ease(data), data)
    item = data.items.key(int(explainer.standing(0).order()[0]))
    found = explainer.explain("u0", item, k=30)
    drops = {term.node.key: term.value for term in found.budget.by_liked}
    likes = [path for path in found.paths if not path.users]
    assert likes
    for path in likes:
        assert path.basis == "post-hoc"
        assert path.facts_drop == 0
        assert path.drop_delete == path.like_drop
        assert path.like_drop == pytest.approx(drops[path.hops[0].target.key], abs=1e-6)
    values = [path.like_drop for path in likes]
    assert values == sorted(values, reverse=True)


class Outside(Recommender):
    """A model of somebody else: it says nothing of its scores, or how it goes on another graph."""

    def __init__(self, inner, effects):
        super().__init__()
        self.inner = inner
        self.told = effects

    @classmethod
    def from_dataset(cls, data, config, generator):
        raise NotImplementedError

    def plan(self):
        return Plan()

    def scorer(self):
        scorer = self.inner.scorer()
        return DotProduct(scorer.users, scorer.items)

    def can_rank(self, data):
        return self.inner.can_rank(data)

    def explanation_effects(self):
        return OnGraph(self.inner) if self.told else None


class OnGraph(GraphEditable):
    def __init__(self, inner):
        self.inner = inner
        self.ckg = inner.ckg

    def on_graph(self, ckg):
        return self.inner.explanation_effects().on_graph(ckg)


def test_what_a_model_does_not_offer_is_not_measured_and_on_graph_alone_is_enough(data):
    inner = lightgcn(data)
    exact = Explainer(inner, data, users="hide", per_liked=9, per_middle=9)
    item = data.items.key(int(exact.standing(0).order()[0]))

    silent = Explainer(Outside(inner, False), data).explain("u0", item)
    assert {path.basis for path in silent.paths} == {"not measured"}
    assert {path.drop_delete for path in silent.paths} == {None}
    assert any("is not measured" in note for note in silent.notes)
    assert "no effect" not in silent.to_text().lower()
    assert "because" not in silent.to_text().lower()

    told = Explainer(Outside(inner, True), data, users="hide", per_liked=9, per_middle=9)
    measured = told.explain("u0", item, k=20)
    assert {path.basis for path in measured.paths} == {"measured"}
    known = {tuple(n.key for n in p.nodes): p for p in exact.explain("u0", item, k=20).paths}
    compared = 0
    for path in measured.paths:
        twin = known.get(tuple(node.key for node in path.nodes))
        if twin is not None and len(twin.hops[1].relations) == len(path.hops[1].relations) == 1:
            assert path.like_drop == pytest.approx(twin.like_drop, abs=1e-5)
            compared += 1
    assert compared > 1


def test_a_declaration_is_no_measurement():
    run = kgrec.fit("bprmf", "films", epochs=1, seed=0)
    found = run.explain("u0001", run.recommend("u0001", k=1)["item"][0])
    assert {(path.basis, path.facts_drop) for path in found.paths} == {("post-hoc", 0.0)}
    assert any("No fact of the graph has an effect" in note for note in found.notes)


def test_explanations_of_version_0_1_are_read_verified_and_written_as_they_were():
    import json

    run = kgrec.fit("lightgcn-kg", "films", epochs=2, seed=0)
    item = run.recommend("u0001", k=1)["item"][0]
    explainer = run.explainer()
    record = explainer.explain("u0001", item, rank_by="drop").to_dict()
    record["schema"] = 1
    del record["text"], record["words"], record["filters"]["rank_by"]
    for path in record["paths"]:
        for name in (
            *("like_drop", "like_drop_mask", "facts_drop", "facts_drop_mask", "hop_drops"),
            *("placebo", "claims", "text"),
        ):
            del path[name]
    old = Explanation.from_json(json.dumps(record))
    assert old.schema == 1
    assert json.loads(old.to_json()) == record
    assert old.verify(explainer) == []
    assert "because" not in old.to_text().lower()  # its drops do not tell like from facts

    record["paths"][0]["drop_delete"] += 0.1
    wrong = Explanation.from_json(json.dumps(record))
    assert any("drop_delete" in line for line in wrong.verify(explainer))


def test_what_was_rated_below_the_middle_is_not_called_liked():
    data = worlds.dataset(
        [(0, 0), (0, 1), (1, 0), (1, 2), (2, 1), (2, 2), (3, 3)],
        triples=[(0, 0, 4), (1, 0, 4), (2, 0, 4), (3, 0, 4)],
        num_entities=5,
    )
    rated = dataclasses.replace(data.train, rating=np.array([2, 5, 4, 4, 3, 1, 5], np.float32))
    data = dataclasses.replace(data, train=rated)
    run = kgrec.fit("lightgcn-kg", data, preset="fast", epochs=2, seed=0)
    found = run.explain("u0", "i2", users="hide")
    paths = {path.hops[0].target.key: path for path in found.paths}

    low, high = paths["i0"], paths["i1"]
    assert low.hops[0].relation_label == "rated 2 of 5"
    assert low.like_claim == "disliked"
    assert not low.causal
    assert because(low).startswith("is connected through: you rated *i0* 2 of 5 - ")
    assert high.hops[0].relation_label == "liked"
    assert "You liked *i1*" in found.to_text()
    assert "You liked *i0*" not in found.to_text()
    assert Explanation.from_json(found.to_json()).verify(run.explainer(users="hide")) == []
