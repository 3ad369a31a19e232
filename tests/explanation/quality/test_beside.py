"""The report on other explainers beside the paths shown."""

import json

import numpy as np
import pytest

from kgrec.errors import ConfigError
from kgrec.explanation.beside.leave_one_out import LeaveOneOut
from kgrec.explanation.explainer import Explainer
from tests.explanation.quality.test_evaluate import kgin
from tests.explanation.questions.test_counterfactuals import ease, kgat, lightgcn, random_data

EVERY = ("leave-one-out", "lime", "prince", "gnnexplainer")


@pytest.mark.parametrize(
    ("make", "users"),
    [
        (lightgcn, (0, 3, 5)),
        (kgat, (3,)),
        pytest.param(kgat, (0, 3, 5), marks=pytest.mark.long),
    ],
)
def test_each_number_is_that_of_a_model_built_again(films, make, users):
    data = random_data(films, 8)
    ex = Explainer(make(data), data)
    ids = [f"u{user}" for user in users]
    report = ex.evaluate(ids, top=2, k=2, beside=EVERY)
    assert [one.name for one in report.beside] == ["paths", *EVERY]

    drops, overtaken, counts = [], [], []
    for user in users:
        before = ex.standing(user)
        item = int(before.order()[0])
        shown = ex.search.measure(
            found := ex.search.find(user, item, ex.explained.effects_at(user, item)),
            ex.explained.effects_at(user, item),
            "drop",
            2,
        )[:2]
        size = len(np.unique(np.concatenate([found.edges(path.where) for path in shown])))
        edges = LeaveOneOut(ex.search).rank_edges(user, item).edges[:size]
        after = ex.standing(user, ex.without(ex.graph.facts_of(edges)))
        drops.append(before.scores[item] - after.scores[item])
        overtaken.append(after.rank(item) > 1)
        counts.append(len(edges))
    assert report["beside.leave-one-out.drop"].value == pytest.approx(np.mean(drops), abs=1e-9)
    assert report["beside.leave-one-out.overtaken"].value == np.mean(overtaken)
    assert report["beside.leave-one-out.edges"].value == np.mean(counts)
    assert report["beside.paths.overlap"].value == report["beside.paths.paths"].value == 1
    for name in EVERY:
        assert report[f"beside.{name}.runs"].value > 0
        assert report[f"beside.{name}.seconds"].value > 0
        if name != "prince":
            limit = report["beside.paths.edges"].value
            assert 0 < report[f"beside.{name}.edges"].value <= limit
    text = report.to_text()
    assert "Beside other explainers" in text
    assert "gnnexplainer" in report.to_markdown()
    notes = [note for note in report.notes if "beside others" in note.lower() or "Hold a" in note]
    assert [len(note) <= 200 for note in notes] == [True, True, True]
    written = json.loads(report.to_json())
    assert written["schema"] == json.loads(ex.evaluate(ids, 1, 1).to_json())["schema"]
    assert [one["name"] for one in written["beside"]] == ["paths", *EVERY]


def test_without_names_nothing_is_compared(films):
    data = random_data(films, 8)
    report = Explainer(lightgcn(data), data).evaluate(["u0"], top=1, k=1)
    assert report.beside == ()
    assert "Beside" not in report.to_text()


def test_who_cannot_explain_a_model_says_why(films):
    data = random_data(films, 8)
    report = Explainer(kgin(data), data).evaluate(["u0", "u1"], 1, 2, beside=["gnnexplainer"])
    assert report.beside[1].figures == ()
    assert "weighted messages" in report.beside[1].note
    assert "weighted messages" in report.to_text()
    post_hoc = Explainer(ease(data), data).evaluate(["u0"], 1, 1, beside=["lime"])
    assert [one.note for one in post_hoc.beside] == ["no fact has an effect on its scores"] * 2
    assert "no fact has an effect" in post_hoc.to_markdown()
    with pytest.raises(ConfigError, match="lime"):
        Explainer(lightgcn(data), data).evaluate(["u0"], 1, 1, beside=["lme"])
