"""Data whose users bought: no form of an answer, in no language, says that they liked."""

import json
import re
from pathlib import Path

import polars as pl
import pytest

import kgrec
from kgrec.explanation import Explanation
from kgrec.explanation.render.tree import tree
from kgrec.serving.inspector import Inspector

LIKE = re.compile(r"\blik(?:e|ed|es|ing)\b|gemocht|gefall|gefäll", re.I)


def built(folder, **settings):
    rows = [(f"u{u}", f"i{i}") for u in range(9) for i in range(10) if (3 * u + 7 * i) % 10 < 6]
    facts = [f"<x:i{i}> <http://x.org/maker> <x:m{i % 3}> ." for i in range(10)]
    (folder / "kg.nt").write_text("\n".join(facts) + "\n", encoding="utf-8")
    links = pl.DataFrame({"item": [f"i{i}" for i in range(10)]})
    links = links.with_columns(entity="x:" + pl.col("item"))
    log = pl.DataFrame(rows, schema=["user", "item"], orient="row")
    return kgrec.Dataset.build(log, str(folder / "kg.nt"), links, **settings)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bought")
    data = built(folder, verb="bought")
    return kgrec.fit("lightgcn-kg", data, epochs=1, dim=8), kgrec.fit("ease-kg", data)


def every_answer(run, code):
    """Yield each kind of answer about a user."""
    explainer = run.explainer(language=code)
    user = run.data.users.key(0)
    first, second, *_, last = run.recommend(user, k=10)["item"].to_list()
    own = run.data.items.key(int(run.data.train.item[0]))
    yield explainer.explain(user, first, k=5, flip=True)
    yield explainer.explain(user, last, k=5)
    yield explainer.compare(user, first, second)
    yield explainer.flip(user)
    yield explainer.why_not(user, last, k=1)
    yield explainer.why_not(user, first, k=5)
    yield explainer.what_if(user, remove=[own], add=[last])
    yield explainer.list_reasons(user, k=3)
    if run.name != "ease-kg":
        yield explainer.summary([user], k=2)
        yield explainer.summary([user], k=2, by="pattern")


def texts_in(record):
    """Return the texts of a JSON record, but not its keys and the kinds of changes and claims."""
    if isinstance(record, dict):
        inner = [value for key, value in record.items() if key not in ("what", "claims", "filters")]
        return [text for value in inner for text in texts_in(value)]
    if isinstance(record, list):
        return [text for value in record for text in texts_in(value)]
    return [record] if isinstance(record, str) else []


@pytest.mark.parametrize("code", ["en", "de"])
def test_nothing_that_was_bought_is_said_to_be_liked(runs, code):
    for run in runs:
        for answer in every_answer(run, code):
            said = [answer.to_text(), *texts_in(json.loads(answer.to_json()))]
            if isinstance(answer, Explanation):
                page = re.sub(r"<style.*?</style>", "", answer.to_html(), flags=re.S)
                shown = re.sub(r"<[^>]+>", " ", page)
                said += [tree(answer), shown, *re.findall(r'(?:title|aria-label)="([^"]*)"', page)]
                assert Explanation.from_json(answer.to_json()) == answer

            found = [text for text in said if LIKE.search(text)]
            assert not found, found[:3]


def test_effects_through_training_say_what_was_done(runs):
    closed = runs[1]
    user = closed.data.users.key(0)
    item = closed.recommend(user, k=1)["item"][0]
    why = closed.explain(user, item, k=3, scope="training")
    assert "the interaction alone" in why.to_text()
    assert not LIKE.search(why.to_text())


def test_parts_and_numbers_are_of_what_was_bought(runs):
    explainer = runs[0].explainer()
    user = runs[0].data.users.key(0)
    text = explainer.explain(user, runs[0].recommend(user, k=1)["item"][0], k=3).to_text()
    assert "items you bought" in text
    assert "interaction: without the interaction alone" in " ".join(text.split())


@pytest.mark.parametrize(
    ("settings", "verb"),
    [
        ({}, "interacted with"),
        ({"verb": "liked"}, "liked"),
        ({"verb": "listened to"}, "listened to"),
    ],
)
def test_the_verb_of_all_interactions(tmp_path, settings, verb):
    data = built(tmp_path, **settings)
    run = kgrec.fit("ease", data)
    assert run.explainer().naming.speech.words().verb == verb


def test_ratings_of_a_scale_are_likes(tmp_path):
    rows = [(f"u{u}", f"i{i}", 1 + (u + i) % 5) for u in range(6) for i in range(6)]
    log = pl.DataFrame(rows, schema=["user", "item", "rating"], orient="row")
    run = kgrec.fit("ease", kgrec.Dataset.build(log))
    assert run.explainer().naming.speech.words().verb == "liked"


def test_the_page_has_other_words_for_what_was_not_liked(runs):
    """The inspector names the verb, and its second table has every text that says "like"."""
    assert Inspector(runs[0]).about()["verb"] == "bought"
    static = Path(kgrec.__file__).parent / "serving" / "static"
    entry = re.compile(r'\n  (?:"([^"]+)"|(\w+)): \[\s*"((?:[^"\\]|\\.)*)",\s*"((?:[^"\\]|\\.)*)"')

    def table(name):
        rows = entry.findall((static / name).read_text(encoding="utf-8"))
        return {quoted or bare: texts for quoted, bare, *texts in rows}

    strings = table("strings.js")
    others = table("unliked.js")
    says = {
        key
        for key, texts in strings.items()
        if LIKE.search(re.sub(r"\{\w+\}", "", " ".join(texts)))
    }
    assert says == set(others)
    assert not any(LIKE.search(text) for texts in others.values() for text in texts)
    braces = re.compile(r"\{(?!verb)\w+\}")
    for key, texts in others.items():
        assert all(
            set(braces.findall(ours)) == set(braces.findall(theirs))
            for ours, theirs in zip(texts, strings[key], strict=True)
        )
