"""Sentences of a dataset's own words, in every language, from tiny worlds."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from explained import PAYLOADS, WHY, answers, hostile

from kgrec.data.records.interactions import Interactions
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.records.wording import Phrase, Wording
from kgrec.data.storage import open_dataset
from kgrec.errors import ConfigError, ExplanationError
from kgrec.explanation.core.naming import OTHERS, Naming
from kgrec.explanation.core.path_graph import PathGraph
from kgrec.explanation.core.records import Explanation, Hop, Node, Path, Relation
from kgrec.explanation.core.speech import INVERSE_OF, Speech
from kgrec.explanation.core.words import Words
from kgrec.explanation.render.answer_text import answer_text
from kgrec.explanation.render.sentences import because, headline, reason, sentence
from kgrec.explanation.render.text import text
from kgrec.explanation.render.tree import tree
from kgrec.graph.ckg import CollaborativeKG
from kgrec.languages import LANGUAGES
from kgrec.testing import worlds

GERMAN = Words("de")
ANA, ALIEN = Node("user", "ana", "Ana"), Node("item", "f0", "Alien")
SCOTT, RUNNER = Node("entity", "x:Scott", "Ridley Scott"), Node("item", "f2", "Blade Runner")
LIKED = Relation("interacts", "liked", True)


def path(*hops, **numbers):
    return Path(hops, "measured", 0.25, **numbers)


def fact(source, label, target, forward=True):
    return Hop(source, target, (Relation(f"x:{label}", label, forward),))


START = Hop(ANA, ALIEN, (LIKED,))


@pytest.mark.parametrize(
    ("label", "forward", "english", "german"),
    [
        ("director", True, "- directed by -", "- unter der Regie von -"),
        ("director", False, "- directed -", "- führte Regie bei -"),
        ("is sequel of", True, "- is sequel of -", "- is sequel of ->"),
        ("is sequel of", False, "- has sequel -", "<- is sequel of -"),
        ("has actor", False, "- is actor of -", "<- has actor -"),
        ("starring in", False, "<- starring in -", "<- starring in -"),
        ("P57", True, "- P57 ->", "- P57 ->"),
        ("P57", False, "<- P57 -", "<- P57 -"),
    ],
)
def test_awkward_relations_on_chains_of_one_to_three_hops(label, forward, english, german):
    for words, arrow, start in (
        (Words(), english, "You liked *Alien*"),
        (GERMAN, german, "Dir hat *Alien* gefallen"),
    ):
        assert sentence(path(START), words) == start
        two = path(START, fact(ALIEN, label, RUNNER, forward))
        assert sentence(two, words) == f"{start} {arrow} *Blade Runner*"
        three = path(START, fact(ALIEN, label, SCOTT, forward), fact(SCOTT, label, RUNNER, forward))
        assert sentence(three, words) == f"{start} {arrow} Ridley Scott {arrow} *Blade Runner*"


def test_parallel_relations_one_of_which_needs_an_arrow_are_all_arrows():
    both = (Relation("a", "director", True), Relation("b", "P57", True), Relation("c", "P1", False))
    said = sentence(path(START, Hop(ALIEN, RUNNER, both)))
    assert said == "You liked *Alien* - director + P57 -> <- P1 - *Blade Runner*"
    same = (Relation("a", "director", True), Relation("b", "Director", True))
    assert sentence(path(START, Hop(ALIEN, RUNNER, same))).count("directed by") == 1


CHAIN = (START, fact(ALIEN, "director", SCOTT), fact(SCOTT, "director", RUNNER, False))
CAUSES = {"en": ("because",), "de": ("weil", "wegen")}


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("like", [0.2, -0.1, None])
@pytest.mark.parametrize("facts", [0.04, 0.005, -0.01])
@pytest.mark.parametrize("low", [False, True])
def test_a_cause_is_claimed_in_no_language_beyond_what_was_measured(code, like, facts, low):
    first = START
    if low:
        first = replace(START, relations=(replace(LIKED, label="rated 1 of 5"),))

    drops = {"like_drop": like, "facts_drop": facts, "hop_drops": (0.2, 0.01, 0.03)}
    one = path(first, *CHAIN[1:], **drops, placebo=0.01)
    why = Explanation("ana", "f2", "Ana", "Blade Runner", 1.5, 1, (one,), words=Words(code))
    claimed = not low and (like == 0.2 or facts == 0.04)
    for shown in (because(one, why.words), reason(why), text(why), tree(why), why.to_html()):
        body = shown.partition("<body")[2] or shown
        assert any(word in body.lower() for word in CAUSES[code]) == claimed
    like_words = {"en": "because you liked", "de": "weil dir"}[code]
    assert (like_words in because(one, why.words)) == (not low and like == 0.2)
    assert "liked" not in sentence(one, why.words) or not low


def test_explanations_in_german_come_back_with_their_words():
    words = Words("de", {"http://x.org/director": ("gedreht von", "")}, {"liked": "gemocht"})
    why = replace(WHY, words=words)
    assert Explanation.from_json(why.to_json()) == why
    assert Explanation.from_rdf(why.to_rdf()) == why
    assert why.to_dict()["paths"][0]["text"].startswith(
        "weil du *Alien* gemocht hast, und wegen dessen, was die beiden verbindet: "
        "*Alien* - gedreht von - Ridley Scott"
    )
    assert '<html lang="de">' in why.to_html()
    with pytest.raises(ExplanationError, match="language 'xx' is unknown"):
        Explanation.from_dict(why.to_dict() | {"words": words.to_dict() | {"language": "xx"}})
    with pytest.raises(ExplanationError, match="holds '<'"):
        Words(phrases={"x": ("<b>", "")})


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_labels_are_inert_in_german_too(payload):
    bad = replace(hostile(payload), words=GERMAN)
    shown = [text(bad), tree(bad), bad.to_dict()["text"]]
    shown += [answer_text(replace(one, words=GERMAN)) for one in answers(payload or "x")]
    for one in shown:
        assert not [c for c in one if c != "\n" and (ord(c) < 32 or 0x7F <= ord(c) < 0xA0)]
        assert not set(one) & set("\u202e\u2028\u2029\ufeff\u2066\u200f")


# ---- from a dataset


def world(**changes):
    """Two users and four films; entity 4 directed two of them (relation 0: P57)."""
    data = worlds.dataset([(0, 0), (0, 1), (1, 0)], triples=[(0, 0, 4), (2, 0, 4)], num_items=4)
    labels = ["Titanic (1997)", "Titanic (1953)", "Thing, The (1982)", None, None]
    entities = [*(f"i{row}" for row in range(4)), "http://x.org/James_Cameron"]
    triples = replace(
        data.triples,
        entities=Vocabulary(entities),
        relations=Vocabulary(["http://x.org/P57"], kind="relation"),
        labels=pl.Series("label", labels, dtype=pl.String),
    )
    return replace(data, triples=triples, **changes)


def said(data, code="en", phrases=None):
    """Return the path user 0 - film 0 - director - film 2 in words."""
    graph = PathGraph(CollaborativeKG.from_dataset(data), merged=False)
    speech = Speech(data, code, phrases)
    naming = Naming(data, graph, speech)
    user, film = naming.user(0), naming.item(0)
    label = naming._said(0, (graph.ckg.user_node(0), 0))
    director, other = naming.entity(4), naming.item(2)
    p57 = Relation("http://x.org/P57", naming.relation_label(1), True)
    hops = (
        Hop(user, film, (Relation("interacts", label, True),)),
        Hop(film, director, (p57,)),
        Hop(director, other, (replace(p57, forward=False),)),
    )
    return sentence(path(*hops), speech.words((), hops))


def rated(*stars):
    ids = np.array([0, 0, 1], dtype=np.int32), np.array([0, 1, 0], dtype=np.int32)
    return {"train": Interactions(*ids, rating=np.array(stars, dtype=np.float32))}


def test_titles_years_and_unlabeled_nodes_in_a_sentence():
    assert said(world()) == (
        "You interacted with *Titanic (1997)* - P57 -> James Cameron <- P57 - *The Thing*"
    )


@pytest.mark.parametrize(
    ("wording", "stars", "start"),
    [
        (Wording({"": "listened to"}), (), "You listened to *T"),
        (Wording({"": "watched"}), (5, 1, 1), "You watched *T"),
        (Wording({"": "watched"}), (1, 5, 1), "You rated *Titanic (1997)* 1 of 5"),
        (Wording(), (5, 1, 1), "You liked *T"),
        (Wording(), (4, 4, 5), "You liked *T"),  # a scale begins at 1, whatever was left out
        (Wording(), (2, 4, 5), "You rated *Titanic (1997)* 2 of 5"),
        (Wording(), (np.nan, 1, 5), "You interacted with *T"),
        (Wording({"": "liked"}), (0, 1, 10), "You interacted with *T"),  # 0 of 10: not rated
        (Wording({"": "read"}), (0, 1, 5), "You read *T"),
        (Wording(), (0, 1, 1), "You rated *Titanic (1997)* 0 of 1"),
        (Wording(), (3, 1, 4000), "You interacted with *T"),  # counts are no ratings
        (Wording(), (1, 1, 1), "You interacted with *T"),
    ],
)
def test_the_verb_is_the_datasets_own_and_true(wording, stars, start):
    data = world(wording=wording, **(rated(*stars) if stars else {}))
    assert said(data).startswith(start)


def test_other_users_are_not_said_to_like_what_some_of_them_rated_low():
    verbs = (("watched", "watched"), ("liked", "rated"), (None, "rated"))
    for wording, verb in ((Wording({"": one} if one else {}), said) for one, said in verbs):
        data = world(wording=wording, **rated(5, 1, 1))
        graph = PathGraph(CollaborativeKG.from_dataset(data), merged=False)
        assert Naming(data, graph)._said(0, (0, OTHERS)) == verb


PHRASES = (
    Phrase("http://x.org/P57", "en", "directed by"),
    Phrase("interacts", "de", "gesehen"),
)


def test_phrases_of_the_dataset_and_of_the_caller():
    data = world(wording=Wording({"": "watched"}, PHRASES))
    assert said(data).endswith("- directed by - James Cameron - directed - *The Thing*")
    german = said(data, "de")
    assert german == (
        "Du hast *Titanic (1997)* gesehen - unter der Regie von - James Cameron - führte Regie bei "
        "- *The Thing*"
    )
    mine = pl.DataFrame(
        {"relation": ["http://x.org/P57"], "phrase": ["made by"], "inverse": ["made"]}
    )
    assert "- made by - James Cameron - made - *The Thing*" in said(data, phrases=mine)
    with pytest.raises(ConfigError, match="is not in the graph"):
        said(data, phrases=(Phrase("nope", "en", "x"),))


def test_what_the_graph_states_to_be_the_inverse_reads_backward():
    data = world()
    relations = ["http://x.org/P57", INVERSE_OF]
    entities = [*data.triples.entities, "http://x.org/P57", "http://x.org/directorOfFilm"]
    triples = worlds.knowledge(np.array([[0, 0, 4], [2, 0, 4], [6, 1, 5]]), entities, 2)
    labels = [*data.triples.labels, None, "shot the film"]
    data = replace(
        data,
        triples=replace(
            triples,
            relations=Vocabulary(relations, kind="relation"),
            labels=pl.Series("label", labels, dtype=pl.String),
        ),
    )
    assert said(data).endswith("- P57 -> James Cameron - shot the film - *The Thing*")
    for unsaid in ("shot " * 40, "shot *the* film", "shot\u202e", "two\nlines"):
        labels = pl.Series("label", [*data.triples.labels[:-1], unsaid], dtype=pl.String)
        bad = replace(data, triples=replace(data.triples, labels=labels))
        assert said(bad).endswith("- P57 -> James Cameron <- P57 - *The Thing*")


def test_words_are_stored_with_the_dataset_and_missing_in_older_ones(tmp_path):
    data = world(wording=Wording({"": "watched", "purchase": "bought"}, PHRASES))
    data.save(tmp_path / "new")
    assert open_dataset(tmp_path / "new").wording == data.wording
    world().save(tmp_path / "old")
    assert '"wording"' not in (tmp_path / "old/dataset.json").read_text()
    assert open_dataset(tmp_path / "old").wording == Wording()


def test_the_headline_passes_over_what_everything_is_connected_by():
    drops = {"like_drop": 0.2, "facts_drop": 0.01, "hop_drops": ()}
    land = Node("entity", "x:us", "United States")
    hub = path(
        START,
        fact(ALIEN, "country", land),
        fact(land, "country", RUNNER, False),
        **drops,
        weight=0.1,
    )
    director = path(*CHAIN, **drops, weight=0.2)
    other = path(Hop(ANA, SCOTT, (LIKED,)), fact(SCOTT, "director", RUNNER), **drops, weight=0.9)
    why = Explanation("ana", "f2", "Ana", "Blade Runner", 1.5, 1, (hub, director, other))
    assert headline(why) is director
    assert headline(replace(why, paths=(hub, replace(director, weight=None)))) is hub
    assert headline(replace(why, paths=(hub, replace(director, like_drop=-0.1)))) is hub


def test_flip_sets_are_said_in_one_sentence_where_they_are_verified():
    flip = answers()[1]
    for words, said_of in (
        (Words(), "Without *Alien* you would see *Heat* first."),
        (GERMAN, "Ohne *Alien* stünde *Heat* für dich an erster Stelle."),
    ):
        assert replace(flip, words=words).to_dict()["text"] == said_of
        assert said_of in answer_text(replace(flip, words=words))
    second = replace(flip, rank=2, words=GERMAN)
    assert second.sentence == "Ohne *Alien* stünde *Heat* für dich vor *Blade Runner*."
    assert replace(flip, verified=False).to_dict()["text"] == ""
