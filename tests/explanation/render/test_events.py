"""What an interaction is called follows from the type of event that the dataset has for it."""

import json
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import kgrec
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.wording import Wording, event_verb
from kgrec.explanation.core.naming import OTHERS, Naming
from kgrec.explanation.core.path_graph import PathGraph
from kgrec.explanation.core.speech import Speech
from kgrec.explanation.render.html import page
from kgrec.explanation.render.sentences import because
from kgrec.explanation.render.text import text
from kgrec.explanation.render.tree import tree
from kgrec.graph.ckg import CollaborativeKG
from kgrec.serving.inspector import Inspector
from kgrec.testing import worlds

# Type of an event: verb in English, past participle in German ("" where it has none).
VERBS = {"purchase": ("bought", "gekauft"), "view": ("viewed", "angesehen"), "frob": ("", "")}
USERS, ITEMS = 12, 9


def clicks():
    """Return a log in which every user has each item once, as an event of the user's and item's."""
    kinds = list(VERBS)
    rows = [
        (f"u{user}", f"i{item}", kinds[(user + item) % 3])
        for user in range(USERS)
        for item in range(ITEMS)
        if (user * 5 + item * 7) % 4
    ]
    return pl.DataFrame(rows, schema=["user", "item", "kind"], orient="row")


@pytest.fixture(scope="module")
def shop():
    graph = pl.DataFrame(
        {
            "head": [f"i{n}" for n in range(ITEMS)],
            "relation": ["maker"] * ITEMS,
            "tail": [f"m{n % 3}" for n in range(ITEMS)],
        }
    )
    data = kgrec.Dataset.build(interactions=clicks(), event="kind", kg=graph, split="random")
    return kgrec.fit("lightgcn-kg", data, dim=8, epochs=2, patience=0)


@pytest.fixture(scope="module")
def reasons(shop):
    """Return explanations of three users' first items, by a language."""

    def explained(code):
        explainer = shop.explainer(language=code)
        lists = shop.recommend([f"u{n}" for n in range(3)], k=1)
        return [explainer.explain(*row, k=6) for row in lists.select("user", "item").rows()]

    return {code: explained(code) for code in ("en", "de")}


def test_each_sentence_says_the_event_of_that_user_and_item(reasons):
    log = {(user, item): kind for user, item, kind in clicks().iter_rows()}
    seen = set()
    for code, explanations in reasons.items():
        for path in (path for found in explanations for path in found.paths):
            first = path.hops[0]
            kind = log[first.source.key, first.target.key]
            english, german = VERBS[kind]
            said = because(path, next(iter(explanations)).words).lower()
            seen.add((code, kind))
            item = re.escape(f"*{first.target.label}*")
            if code == "en":
                assert re.search(rf"you {english or 'interacted with'} {item}", said), said
            elif german:
                assert re.search(rf"du {item} {german} hast|du hast {item} {german}", said), said
            else:
                assert re.search(rf"{item} (in deinem|steht in deinem) verlauf", said), said

            assert "lik" not in said
            assert "gefallen" not in said

    assert len(seen) == 6


def test_every_form_has_the_verb(reasons, shop):
    for code, verb in (("en", "bought"), ("de", "gekauft")):
        found = next(
            one
            for one in reasons[code]
            if any(path.hops[0].relation_label == "bought" for path in one.paths)
        )
        number, path = next(
            (n, path)
            for n, path in enumerate(found.paths)
            if path.hops[0].relation_label == "bought"
        )
        record = json.loads(found.to_json())
        assert verb in record["paths"][number]["text"]
        assert verb in text(found)
        assert verb in tree(found)
        assert verb in page([found], "Why?").partition("<body")[2]
        assert verb in found.to_rdf()
        shown = Inspector(shop).explain(found.user, found.item, k=6, language=code)
        words = [hops["words"] for one in shown["paths"] for hops in one["hops"]]
        assert [verb if code == "en" else f"hat {verb}"] in words
        if code == "de":
            assert ["bought"] not in words
        assert path.hops[0].relation == "interacts"


def events(numbers, names, **changes):
    """Return a world of two users, whose interactions have types by number; -1 is not known."""
    data = worlds.dataset([(0, 0), (0, 1), (1, 0), (1, 1)], num_items=3)
    kinds = np.array(numbers, dtype=np.int16)
    train = Interactions(data.train.user, data.train.item, event=kinds)
    return replace(data, train=train, settings={"events": names}, **changes)


def test_counted_users_are_said_to_do_what_all_of_them_did():
    data = events([0, 0, 0, -1], ["purchase", "view"])
    naming = Naming(data, PathGraph(CollaborativeKG.from_dataset(data), merged=False))
    for facts, verb in (
        ([0, 1, 2], "bought"),
        ([0, 2, 3], "interacted with"),
        ([], "interacted with"),
    ):
        assert naming._said(0, (0, OTHERS), np.array(facts, dtype=np.int64)) == verb


def test_what_is_not_known_to_be_true_is_not_said():
    data = events([-1] * 4, ["purchase", "view"])
    assert Speech(data).verb() == "interacted with"
    assert Speech(data).verb("purchase") == "bought"
    one = replace(data, settings={"events": ["buy"]})
    assert Speech(one).verb() == "bought"  # there is no other type
    own = replace(data, wording=Wording({"": "used", "view": "glanced at"}))
    assert [Speech(own).verb(kind) for kind in ("purchase", "view", "")] == [
        "used",
        "glanced at",
        "interacted with",
    ]
    assert Speech(data).verb("frob", rated=True) == "liked"


@pytest.mark.parametrize(
    ("event", "verb"),
    [
        ("purchase", "bought"),
        ("Add_To_Cart", "put in the cart"),
        ("pv", "viewed"),
        ("like", "liked"),
        ("dislike", None),
        ("remove_from_cart", None),
        ("not interested", None),
        ("", None),
    ],
)
def test_the_name_of_an_event_says_no_more_than_it_does(event, verb):
    assert event_verb(event) == verb


def test_a_verb_for_an_event_that_does_not_occur_is_warned_of():
    def warned(**settings):
        data = kgrec.Dataset.build(interactions=clicks(), split="random", **settings)
        return [str(one) for one in data.report.warnings if "verb of" in str(one)]

    assert not warned(event="kind", verb={"purchase": "bought"})
    (words,) = warned(event="kind", verb={"purchased": "bought"})
    assert "purchase" in words
    (words,) = warned(verb={"purchase": "bought"})
    assert "--event" in words
