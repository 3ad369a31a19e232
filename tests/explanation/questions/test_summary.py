"""Shares of relations, kinds and patterns: they add up, and knocking a relation out equals a model
without it.
"""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from kgrec.errors import CapabilityError, ConfigError
from kgrec.explanation.explainer import Explainer
from tests.explanation.questions.test_counterfactuals import ease, kgat, lightgcn, random_data


@pytest.fixture
def data(films):
    return random_data(films, 8)


def test_shares_of_relations_add_up_to_what_the_graph_adds(data):
    ex = Explainer(lightgcn(data), data)
    told = ex.summary("all", k=3)
    assert told.pairs == told.users * 3 == 36
    assert sum(share.value for share in told.shares) + told.residual == pytest.approx(
        told.score - told.without_graph, abs=1e-9
    )
    assert abs(told.residual) < 1e-6
    assert sum(share.share for share in told.shares) == pytest.approx(1)
    facts = Counter(data.triples.relations.key(int(r)) for r in data.triples.relation) + Counter(
        {"interacts": len(data.train)}
    )
    assert {share.key: share.facts for share in told.shares} == facts
    scores = [ex.standing(u) for u in range(12)]
    assert told.score == pytest.approx(sum(float(s.scores[s.order()[:3]].sum()) for s in scores))
    kinds = ex.summary("all", k=3, by="type")
    assert sum(share.value for share in kinds.shares) == pytest.approx(
        sum(share.value for share in told.shares), abs=1e-9
    )
    assert next(s for s in kinds.shares if s.key == "user-item").value == pytest.approx(
        next(s for s in told.shares if s.key == "interacts").value, abs=1e-9
    )


def test_parallel_relations_have_equal_parts(films):
    from kgrec.data.records.interactions import Interactions

    data = random_data(films, 9)
    columns = {
        c: getattr(data.triples, c) for c in ("head", "relation", "tail", "source", "locator")
    }
    twice = {c: np.concatenate([v, v]) for c, v in columns.items()} | {
        "relation": np.repeat([0, 1], len(columns["head"])).astype(np.int32)
    }
    data = replace(
        data,
        triples=replace(data.triples, **twice),
        train=Interactions(data.train.user, data.train.item),
    )
    told = {s.key: s for s in Explainer(lightgcn(data), data).summary("all", k=2).shares}
    assert told["x:director"].value == pytest.approx(told["x:writer"].value)
    assert abs(told["x:director"].value) > 1e-6


def test_models_with_gates_have_first_order_shares(data):
    ex = Explainer(kgat(data), data)
    told = ex.summary(["u0", "u1"], k=2)
    assert (told.basis, told.without_graph, told.residual) == ("linearized", None, None)
    total = sum(
        float(ex.model.explanation_effects().screen(u, int(i)).sum())
        for u in (0, 1)
        for i in ex.standing(u).order()[:2]
    )
    assert sum(share.value for share in told.shares) == pytest.approx(total, abs=1e-9)


def test_patterns_have_the_mean_drop_of_their_facts_and_no_share(data):
    ex = Explainer(lightgcn(data), data)
    told = ex.summary(["u0", "u3"], k=2, by="pattern")
    expected = defaultdict(list)
    for user in (0, 3):
        for item in ex.standing(user).order()[:2]:
            for path in ex.explain(f"u{user}", f"i{item}").paths:
                key = " > ".join(
                    h.relation_label + ("" if h.forward else " (back)") for h in path.hops
                )
                expected[key].append(path.facts_drop)
    means = {key: float(np.mean(drops)) for key, drops in expected.items()}
    assert {share.key: share.value for share in told.shares} == pytest.approx(means)
    assert {share.share for share in told.shares} == {None}
    assert "no shares of a whole" in told.note


def test_knocking_a_relation_out_equals_a_model_without_it(data):
    ex = Explainer(lightgcn(data), data)
    told = ex.summary(
        "all",
        k=3,
        knock_out=True,
        judge=lambda scorer: {"first": float(ex.standing(0, scorer).scores[0])},
    )
    for share in told.shares:
        if share.key == "interacts":
            continue
        kept = data.triples.relation != data.triples.relations.row(share.key)
        columns = {
            c: getattr(data.triples, c)[kept]
            for c in ("head", "relation", "tail", "source", "locator")
        }
        other = Explainer(
            lightgcn(changed := replace(data, triples=replace(data.triples, **columns))), changed
        )
        same = [
            len({*ex.standing(u).order()[:3]} & {*other.standing(u).order()[:3]}) / 3
            for u in range(12)
        ]
        assert share.overlap == pytest.approx(np.mean(same))
        assert share.change["first"] == pytest.approx(
            other.standing(0).scores[0] - ex.standing(0).scores[0], abs=1e-9
        )


def test_users_are_drawn_by_the_seed_and_bad_questions_are_refused(data):
    ex = Explainer(lightgcn(data), data)
    assert ex.summary(seed=1).to_json() == ex.summary(seed=1).to_json()
    assert ex.summary("u3", k=1).users == 1
    for bad in ({"by": "relations"}, {"k": 0}, {"users": []}):
        with pytest.raises(ConfigError):
            ex.summary(**bad)
    with pytest.raises(CapabilityError, match="no fact"):
        Explainer(ease(data), data).summary()
