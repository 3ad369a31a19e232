"""Effects through training of the paths of explanations: against refits, labels, forms, errors."""

import dataclasses
import json

import numpy as np
import pytest
import torch

import kgrec
from kgrec.data.derive.removal import Removal, without
from kgrec.errors import CapabilityError, ConfigError, ExplanationError
from kgrec.explanation import Explanation
from kgrec.explanation.core.training_effects import PathTraining, TrainingEffects
from kgrec.explanation.explainer import Explainer
from kgrec.explanation.training.removals import StatedFacts
from kgrec.explanation.training.worth import label_of, worth_of
from kgrec.queries import queries
from kgrec.testing import worlds


@pytest.fixture(scope="module")
def data():
    return worlds.planted("interactions", users=30)


@pytest.fixture(scope="module")
def ease(data):
    return kgrec.fit("ease-kg", data, precision="float64")


@pytest.fixture(scope="module")
def lightgcn(data):
    return kgrec.fit("lightgcn-kg", data, dim=8, epochs=2)


def first(run, user="u1"):
    return run.recommend(user, k=1)["item"][0]


def test_effects_of_paths_are_those_of_refits(ease, data):
    found = ease.explain("u1", first(ease), k=4, scope="training", users="show")
    assert found.training.exact
    assert found.training.label == "exact"
    assert found.training.worth is None
    stated = StatedFacts(data)
    user, item = data.users.row("u1"), data.items.row(found.item)

    def score(removal):
        edited = without(data, removal)
        again = kgrec.fit("ease-kg", edited, precision="float64").scorer()
        return float(again(queries(edited.train, np.array([user])))[0, item])

    for path, effect in zip(found.paths, found.training.paths, strict=True):
        rests_on = stated.of(path)
        parts = (rests_on.like, rests_on.facts, rests_on.like | rests_on.facts)
        expected = [score(Removal()) - score(part) for part in parts]
        assert [effect.like, effect.facts, effect.whole] == pytest.approx(expected, abs=2e-6)
        assert effect.together == pytest.approx(effect.whole - effect.like - effect.facts)


def test_a_path_rests_on_its_like_and_on_all_statements_of_its_facts(data):
    doubled = dataclasses.replace(
        data, triples=data.triples.take(np.repeat(np.arange(len(data.triples)), 2))
    )
    run = kgrec.fit("ease-kg", doubled)
    path = next(
        path for path in run.explain("u1", first(run), k=20, users="hide").paths if path.length == 3
    )
    rests_on = StatedFacts(doubled).of(path)
    ((user, item),) = rests_on.like.interactions
    assert (doubled.users.key(user), doubled.items.key(item)) == ("u1", path.nodes[1].key)
    assert len(rests_on.facts.triples) == 4
    triples = doubled.triples
    assert {int(triples.head[row]) for row in rests_on.facts.triples} == {
        doubled.items.row(path.nodes[1].key),
        doubled.items.row(path.nodes[-1].key),
    }


def test_counted_users_are_taken_out_with_both_likes():
    data = worlds.dataset([(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (3, 1)])
    run = kgrec.fit("ease", data)
    (path,) = run.explain("u0", "i1").paths
    rests_on = StatedFacts(data).of(path)
    assert path.users == 2
    assert rests_on.like.interactions == ((0, 0),)
    assert rests_on.facts.interactions == ((1, 0), (1, 1), (2, 0), (2, 1))


def test_an_estimate_is_labeled_by_what_was_measured(lightgcn):
    found = lightgcn.explain("u1", first(lightgcn), k=2, scope="training", users="hide")
    training = found.training
    worth = worth_of("lightgcn-kg", "world")
    assert not training.exact
    assert (training.worth, training.measured_on) == (worth.whole, worth.dataset)
    assert (training.label, training.facts_label) == (worth.label, worth.facts_label)
    assert all(np.isfinite([path.like, path.facts, path.whole]).all() for path in training.paths)
    assert found == lightgcn.explain("u1", first(lightgcn), k=2, scope="training", users="hide")


def test_labels_have_a_threshold_and_the_worst_data_set_counts_for_others():
    figures = {"m": {"a": {"whole": 0.5, "facts": 0.1}, "b": {"whole": 0.29, "facts": 0.4}}}
    assert [label_of(value) for value in (0.3, 0.299, -1.0, None)] == [
        "estimate",
        "not reliable here",
        "not reliable here",
        "worth not measured",
    ]
    figures["m"]["a"]["reliability"] = {"whole": 0.8, "facts": 0.1}
    assert worth_of("m", "a", figures).label == "estimate"
    assert worth_of("m", "a", figures).facts_label == "not reliable here"
    assert label_of(0.5, 0.29) == "not reliable here"
    assert worth_of("m", "a", figures).whole == 0.5
    assert worth_of("m", "c", figures).dataset == "b"
    assert worth_of("other", "a", figures).whole is None


def test_the_figures_of_the_package_can_be_read():
    for model, found in json.loads(json.dumps(_shipped())).items():
        assert model in kgrec.MODELS
        for figures in found.values():
            assert {"whole", "like", "facts", "paths", "seeds"} <= figures.keys()


def _shipped():
    from kgrec.explanation.training import worth

    return worth._shipped()


def test_json_carries_them_and_other_explanations_have_no_such_field(ease):
    item = first(ease)
    plain = ease.explain("u1", item, k=2)
    found = ease.explain("u1", item, k=2, scope="training")
    assert plain.training is None
    assert "training" not in plain.to_dict()
    assert found.to_dict()["training"]["paths"][0].keys() == {"like", "facts", "whole"}
    assert Explanation.from_json(found.to_json()) == found
    assert dataclasses.replace(found, training=None) == plain
    assert "through training (exact: equal to a refit)" in found.to_text()
    assert "through training" not in plain.to_text()


def test_stored_effects_are_computed_again_and_compared(ease):
    found = ease.explain("u1", first(ease), k=2, scope="training")
    for again in (Explanation.from_json(found.to_json()), Explanation.from_rdf(found.to_rdf())):
        assert again == found
        assert again.verify(ease.explainer()) == []

    effects = found.training
    wrong = dataclasses.replace(effects.paths[0], facts=effects.paths[0].facts + 0.01)
    changed = dataclasses.replace(effects, paths=(wrong, *effects.paths[1:]))
    (line,) = dataclasses.replace(found, training=changed).verify(ease.explainer())
    assert line.startswith("path 1, facts through training: ")
    named = dataclasses.replace(effects, exact=False, label="estimate")
    lines = dataclasses.replace(found, training=named).verify(ease.explainer())
    assert [line.partition(":")[0] for line in lines] == ["training, exact", "training, label"]
    alone = Explainer(ease.model, ease.data, ease.scorer(), model_name=ease.name)
    assert any("Run.explainer" in line for line in found.verify(alone))


def test_table_and_page_have_them(ease):
    found = ease.explain("u1", first(ease), k=2, scope="training")
    frame = found.to_frame()
    for number, effect in enumerate(found.training.paths, 1):
        rows = frame.filter(frame["path"] == number)
        assert rows["training_like"].unique().to_list() == [effect.like]
        assert rows["training_facts"].unique().to_list() == [effect.facts]

    plain = ease.explain("u1", first(ease), k=2).to_frame()
    assert frame.columns[: plain.width] == plain.columns
    page = found.to_html()
    assert "Through training (exact: equal to a refit)" in page
    assert page.count("through training ") == 2


@pytest.mark.parametrize(
    "broken",
    [{"label": "certain"}, {"score": "high"}, {"paths": []}, {"more": 1}, {"measured_on": 3}],
)
def test_broken_records_are_refused(ease, broken):
    record = ease.explain("u1", first(ease), k=2, scope="training").to_dict()
    record["training"] |= broken
    with pytest.raises(ExplanationError):
        Explanation.from_dict(record)


def test_text_says_what_an_estimate_is_worth():
    paths = (PathTraining(0.1, -0.02, 0.09), PathTraining(None, None, None))
    shown = TrainingEffects(
        1.0, False, "estimate", 0.5, "not reliable here", 0.01, "films", paths
    ).to_text()
    assert "an estimate, rank correlation with retraining 0.50, measured on films" in shown
    assert "+0.09 (the like alone +0.1, the facts alone -0.02)" in shown
    assert "not computed" in shown
    assert "the facts alone: not reliable here: rank correlation with retraining 0.01" in shown


def test_the_text_is_in_the_language_of_the_explanation(ease):
    paths = (PathTraining(0.1, -0.02, 0.09), PathTraining(None, None, None))
    effects = TrainingEffects(
        1.0, False, "estimate", 0.5, "not reliable here", 0.01, "films", paths
    )
    shown = effects.to_text("de")
    assert "eine Schätzung, Rangkorrelation mit erneutem Training 0.50, gemessen an films" in shown
    assert "+0.09 (die Interaktion allein +0.1, die Fakten allein -0.02)" in shown
    assert "die Fakten allein: hier nicht verlässlich: Rangkorrelation" in shown
    found = ease.explain("u1", first(ease), k=2, scope="training")
    german = ease.explainer(language="de").naming.speech.explanation(found)
    for text in (german.to_text(), german.to_html().partition("<body")[2]):
        for english in ("through training", "refit", "alone", "No fact", "Each like", "score"):
            assert english not in text
        assert "exakt: gleich einem erneuten Training" in text
        assert "Kein Fakt des Graphen wirkt" in text


def test_scopes_that_do_not_exist_are_one_line(ease):
    with pytest.raises(ConfigError, match=r"Choose from inference, training\. Nearest: training"):
        ease.explain("u1", first(ease), scope="trainning")


def test_a_model_without_the_scope_says_what_it_offers():
    board = worlds.news_board()
    run = kgrec.fit("dkn", board, epochs=1)
    user = board.users.key(int(board.train.user[0])) if len(board.train) else board.users.key(0)
    item = run.recommend(user, k=1)["item"][0]
    with pytest.raises(CapabilityError, match=r'dkn .* It offers scope "inference"') as error:
        run.explain(user, item, scope="training")
    assert "\n" not in str(error.value)


def test_the_run_is_left_as_it_was(lightgcn):
    before = {name: value.clone() for name, value in lightgcn.model.state_dict().items()}
    lightgcn.explain("u2", first(lightgcn, "u2"), k=1, scope="training", users="hide")
    for name, value in lightgcn.model.state_dict().items():
        assert torch.equal(value, before[name])
