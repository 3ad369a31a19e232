"""The reader of sentences finds what is untrue; on trained models it finds nothing.

``tests/conftest.py`` reads the explanations of every test the same way.
"""

from dataclasses import replace

import pytest

import kgrec
from kgrec.explanation.explainer import Explainer
from kgrec.explanation.render.sentences import because
from kgrec.testing import worlds
from tests.explanation.questions.test_counterfactuals import lightgcn, random_data
from tests.sentences import claimed, untrue


def boasting(path):
    """The same path with numbers that let the sentence claim everything."""
    return replace(
        path,
        like_drop=1.0,
        like_drop_mask=1.0,
        facts_drop=1.0,
        facts_drop_mask=1.0,
        hop_drops=(1.0,) * len(path.hops),
        placebo=0.0,
    )


def test_claims_that_a_rerun_refutes_are_found(films):
    data = random_data(films, 8)
    explainer = Explainer(lightgcn(data), data, users="hide", per_liked=9, per_middle=9)
    found = 0
    for user in range(4):
        item = data.items.key(int(explainer.standing(user).order()[0]))
        why = explainer.explain(f"u{user}", item, k=20)
        assert untrue(explainer, why, 20) == []
        for path in why.paths:
            refuted = untrue(explainer, replace(why, paths=(boasting(path),)))
            # Two languages each; what does lower the score is rightly claimed.
            wrong = sum(drop <= -1e-5 for drop in (path.like_drop, path.facts_drop))
            assert len(refuted) == 2 * wrong
            found += wrong

    assert found > 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["films", "ids alone"])
def test_no_sentence_claims_what_does_not_hold(name):
    data = kgrec.load("films") if name == "films" else worlds.planted("both")
    run = kgrec.fit("lightgcn-kg", data, preset="fast", epochs=8, seed=0)
    run.estimate_placebos(40)
    explainer = run.explainer(users="hide")
    claims = []
    for user in data.users.keys(range(20)):
        why = explainer.explain(user, k=5)
        claims += [claimed(because(path, why.words)) for path in why.paths]
        assert untrue(explainer, why, 5) == []

    assert sum("like" in claim for claim in claims) > 25
