"""Explanations of people by a history: every number against models built again on edited data, and
folds of what is left of the history.
"""

import dataclasses

import numpy as np
import pytest
import torch

import kgrec
from kgrec.data.derive.removal import Removal, without
from kgrec.errors import CapabilityError, ConfigError, UnknownIdError
from kgrec.explanation import Explanation
from kgrec.explanation.explainer import Explainer
from kgrec.explanation.training.removals import StatedFacts
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.baselines.popularity import Popularity, PopularityConfig
from kgrec.models.factorization.bprmf import BPRMF, BPRMFConfig
from kgrec.queries import histories, queries
from kgrec.testing import worlds
from tests.explanation.questions.test_counterfactuals import ease, kgat, lightgcn, random_data

HISTORY = ["i1", "i4", "i9"]


@pytest.fixture(scope="module")
def data(request):
    films = request.getfixturevalue("films_of_module")
    return random_data(films, 8)


@pytest.fixture(scope="module")
def films_of_module():
    from tests.explanation import conftest

    return conftest.films.__wrapped__()


def fold(model, items):
    """Return the scores of the catalog for someone unseen."""
    with torch.inference_mode():
        return model.scorer()(histories([sorted(items)]))[0].double().numpy()


def edited(data, removal, row):
    """Return the data without what a path rests on, but for interactions of a row."""
    others = tuple(pair for pair in removal.interactions if pair[0] != row)
    return without(data, dataclasses.replace(removal, interactions=others))


@pytest.mark.parametrize("build", [lightgcn, kgat])
@pytest.mark.parametrize("users", ["show", "hide"])
def test_every_number_of_someone_unseen_is_a_rerun(data, build, users):
    model = build(data)
    guest = Explainer(model, data, users=users).with_history(HISTORY)
    liked = set(data.items.rows(HISTORY).tolist())
    scores = fold(model, liked)
    ranked = [i for i in np.argsort(-scores, kind="stable") if i not in liked]
    stated, checked = StatedFacts(guest.data), 0

    for item in ranked[:3]:
        found = guest.explain(item=data.items.key(item), k=6)
        assert found.user == ""
        assert found.user_label == "someone new"
        assert found.history == tuple(HISTORY)
        assert found.score == pytest.approx(scores[item], abs=1e-12)
        assert found.rank == ranked.index(item) + 1

        def drop(removal, item=item):
            gone = removal.items_of(data.num_users).tolist()
            again = build(edited(data, removal, data.num_users))
            return scores[item] - fold(again, liked - set(gone))[item]

        for path in found.paths:
            rests = stated.of(path)
            assert path.basis == "measured"
            assert path.like_drop == pytest.approx(drop(rests.like), abs=1e-8)
            assert path.facts_drop == pytest.approx(drop(rests.facts), abs=1e-8)
            assert path.drop_delete == pytest.approx(drop(rests.like | rests.facts), abs=1e-8)
            assert path.facts_claim != "cause"  # no placebo was estimated for a fold
            checked += 1

        parts = {term.node.key: term.value for term in found.budget.by_liked}
        for key in HISTORY:
            gone = Removal(((data.num_users, data.items.row(key)),))
            assert parts[key] == pytest.approx(drop(gone), abs=1e-8)

    assert checked > 3


@pytest.mark.parametrize("build", [lightgcn, kgat])
def test_new_clicks_of_a_known_user_are_in_the_graph(data, build):
    explainer = Explainer(build(data), data)
    new = next(i for i in range(14) if i not in data.train.item[data.train.user == 2])
    found = explainer.explain("u2", history=[data.items.key(new)])
    more = np.array([*zip(data.train.user, data.train.item, strict=True), (2, new)])
    more = more[np.lexsort(more.T[::-1])].astype(np.int32)
    changed = dataclasses.replace(data, train=type(data.train)(*more.T))
    other = Explainer(build(changed), changed)
    same = other.explain("u2", found.item)

    assert found.rank == 1
    assert found.score == pytest.approx(same.score, abs=1e-8)
    assert [p.drop_delete for p in found.paths] == pytest.approx(
        [p.drop_delete for p in same.paths], abs=1e-8
    )
    assert [p.facts_drop_mask for p in found.paths] == pytest.approx(
        [p.facts_drop_mask for p in same.paths], abs=1e-8
    )
    after = explainer.what_if("u2", add=[data.items.key(new)], items=[found.item]).after
    (then,) = (one for one in after if one.item.key == found.item)
    assert found.score == pytest.approx(then.score, abs=1e-8)


def test_models_over_a_history_fold_in(data):
    model = ease(data)
    explainer = Explainer(model, data)
    found = explainer.explain(history=HISTORY)
    liked = set(data.items.rows(HISTORY).tolist())
    scores, item = fold(model, liked), data.items.row(found.item)
    assert found.score == pytest.approx(scores[item])
    assert found.budget.basis == "exact"
    for term in found.budget.by_liked:
        rest = liked - {data.items.row(term.node.key)}
        assert term.value == pytest.approx(scores[item] - fold(model, rest)[item], abs=1e-6)

    new = next(i for i in range(14) if i not in data.train.item[data.train.user == 0])
    known = explainer.explain("u0", history=[data.items.key(new)])
    own = {*data.train.item[data.train.user == 0].tolist(), new}
    assert known.score == pytest.approx(fold(model, own)[data.items.row(known.item)])


@pytest.mark.parametrize("build", [lightgcn, ease])
def test_other_questions_are_answered_for_a_history(data, build):
    model = build(data)
    guest = Explainer(model, data).with_history(HISTORY)
    liked = set(data.items.rows(HISTORY).tolist())
    order = np.argsort(-fold(model, liked), kind="stable")
    ranked = [int(i) for i in order if i not in liked]

    flip = guest.flip(guest.person)
    assert flip.item.key == data.items.key(ranked[0])
    gone = set(data.items.rows([term.node.key for term in flip.removed]).tolist())
    if gone:
        after = np.argsort(-fold(model, liked - gone), kind="stable")
        assert next(int(i) for i in after if i not in liked) == data.items.row(flip.rival.key)

    contrast = guest.compare(guest.person, *(data.items.key(i) for i in ranked[:2]))
    assert contrast.difference == pytest.approx(
        fold(model, liked)[ranked[0]] - fold(model, liked)[ranked[1]], abs=1e-6
    )
    reasons = guest.list_reasons(guest.person, k=3)
    assert [one.item.key for one in reasons.items] == [data.items.key(i) for i in ranked[:3]]
    for one in reasons.likes:
        rest = fold(model, liked - {data.items.row(one.node.key)})
        lost = fold(model, liked)[ranked[:3]] - rest[ranked[:3]]
        assert one.drop == pytest.approx(lost.mean(), abs=1e-6)


def test_what_a_run_recommends_is_what_is_explained(tmp_path):
    world = worlds.planted("interactions", users=30)
    run = kgrec.fit("lightgcn-kg", world, epochs=1, dim=8)
    history = run.recommend("u1", k=3)["item"].to_list()
    top = run.recommend(history=history, k=1)
    found = run.explainer().explain(history=history)
    assert found.item == top["item"][0]
    assert found.score == pytest.approx(top["score"][0], abs=1e-6)

    again = Explanation.from_json(found.to_json())
    assert again == found
    assert Explanation.from_rdf(found.to_rdf()) == found
    assert again.verify(run.explainer()) == []
    other = dataclasses.replace(again, history=tuple(history[:2]))
    assert other.verify(run.explainer()) != []
    assert "someone new" in found.to_text()
    assert ", ".join(history) in found.to_text()
    assert run.explain(history=history, item=found.item, k=10) == found
    with pytest.raises(ConfigError, match="history was never trained on"):
        run.explain(history=history, item=found.item, scope="training")

    clicked = run.explain("u2", found.item, history=history)
    assert clicked.user == "u2"
    assert Explanation.from_json(clicked.to_json()).verify(run.explainer()) == []


@pytest.mark.parametrize("name", ["lightgcn-kg", "kgat"])
def test_a_run_folds_in_by_its_formula_on_every_edited_graph(data, name):
    """The average user stays as it was trained; everything else is computed again."""
    run = kgrec.fit(name, data, epochs=1, dim=4)
    average = run.scorer().fold.fold.average
    liked = data.items.rows(HISTORY).tolist()

    def scores(model, items):
        with torch.inference_mode():
            vectors = model.eval().scorer().items.double().numpy()
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        mean = unit[items].mean(0) if items else np.zeros(len(average))
        user = mean / (np.linalg.norm(mean) or 1) + min(1, 2 / max(1, len(items))) * average
        return vectors @ user

    guest = run.explainer().with_history(HISTORY)
    found = guest.explain(k=6)
    item = data.items.row(found.item)
    whole = scores(run.model, liked)[item]
    assert found.score == pytest.approx(whole, abs=1e-5)
    stated, effects = StatedFacts(guest.data), run.model.explanation_effects()
    checked = 0
    for path in found.paths:
        rests = stated.of(path)
        rest = [row for row in liked if row not in rests.like.items_of(data.num_users)]
        assert path.like_drop == pytest.approx(whole - scores(run.model, rest)[item], abs=1e-5)
        ckg = CollaborativeKG.from_dataset(edited(data, rests.facts, data.num_users))
        if len(ckg.head) < len(effects.ckg.head):
            again = scores(effects.on_graph(ckg), liked)[item]
            assert path.facts_drop == pytest.approx(whole - again, abs=1e-5)
            checked += 1

    assert checked


def test_bad_histories_are_one_line(data):
    explainer = Explainer(lightgcn(data), data)
    with pytest.raises(UnknownIdError, match="empty"):
        explainer.explain(history=[])
    with pytest.raises(UnknownIdError, match=r"unknown item id 'i99'"):
        explainer.explain(history=["i1", "i99"])
    assert explainer.explain(history=["i1", "i99"], on_unknown="ignore").history == ("i1",)
    with pytest.raises(UnknownIdError, match="none of 1"):
        explainer.explain(history=["i99"], on_unknown="ignore")
    with pytest.raises(ConfigError, match="on_unknown"):
        explainer.explain(history=["i1"], on_unknown="guess")
    with pytest.raises(ConfigError, match="explain to whom"):
        explainer.explain(item="i1")
    assert len(queries(data.train, np.array([0])).history[0])

    factors = BPRMF.from_dataset(data, BPRMFConfig(dim=4), torch.Generator())
    with pytest.raises(CapabilityError, match="by a history"):
        Explainer(factors, data).explain(history=["i1"])
    popular = Popularity.from_dataset(data, PopularityConfig(), torch.Generator())
    assert Explainer(popular, data).explain(history=["i1"]).history == ("i1",)
