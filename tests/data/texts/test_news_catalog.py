from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from kgrec.data.records.content import Content, Impressions, Vectors
from kgrec.data.records.interactions import Interactions
from kgrec.data.texts.news_catalog import NewsCatalog, plain_word, trained_items, vectors_of
from kgrec.errors import DataError
from kgrec.testing import worlds


def board(texts, mentions=(), *, train=((0, 0),), words=None, triples=(), entities=10, **more):
    """Return a dataset with one item per text; users are added as needed."""
    data = worlds.dataset(
        train, triples=triples, num_items=len(texts), num_entities=entities, num_users=3
    )
    series = pl.Series("text", texts, dtype=pl.String)
    rows = np.array(list(mentions), dtype=np.int32).reshape(-1, 4)
    return replace(data, content=Content(texts=series, mentions=rows, words=words), **more)


def words_of(catalog, item):
    return [
        {0: "", 1: "?"}.get(w) if w < 2 else catalog.vocabulary[w - 2] for w in catalog.words[item]
    ]


def rows_of(catalog, item):
    return [None if e == 0 else int(catalog.mentioned[e - 1]) for e in catalog.entities[item]]


def test_words_are_casefolded_cut_and_padded():
    data = board(["Don\u2019t  STOP, stra\u00dfe", "a b c d e f", None, "\U0001f600"])
    catalog = NewsCatalog.from_dataset(data, longest=4, min_count=1)
    assert words_of(catalog, 0) == ["don't", "stop", "strasse", ""]
    assert words_of(catalog, 2) == words_of(catalog, 3) == [""] * 4
    assert catalog.words.shape == (4, 4)
    assert (catalog.words[1] == 1).all()  # no training item says these words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\u6771\u4eac\u3067Rain", ["\u6771", "\u4eac", "\u3067", "rain"]),
        (
            "\u0939\u093f\u0928\u094d\u0926\u0940 \u092e\u0947\u0902",
            ["\u0939\u093f\u0928\u094d\u0926\u0940", "\u092e\u0947\u0902"],
        ),
        ("\ud55c\uad6d \ub274\uc2a4", ["\ud55c\uad6d", "\ub274\uc2a4"]),
        ("e\u0301te\u0301 \u00e9t\u00e9", ["\u00e9t\u00e9", "\u00e9t\u00e9"]),
        (
            "\u041c\u043e\u0441\u043a\u0432\u0430 2020",
            ["\u043c\u043e\u0441\u043a\u0432\u0430", "2020"],
        ),
    ],
)
def test_any_language(text, words):
    catalog = NewsCatalog.from_dataset(board([text]), longest=8, min_count=1)
    assert [word for word in words_of(catalog, 0) if word] == words


def test_an_entity_stands_at_each_of_its_words():
    text = "Visit New York, the new New York"
    mentions = [(0, 6, 14, 7), (0, 24, 32, 7), (0, 20, 23, 5)]
    catalog = NewsCatalog.from_dataset(board([text], mentions), longest=8, min_count=1)
    assert rows_of(catalog, 0) == [None, 7, 7, None, 5, 7, 7, None]
    assert catalog.mentioned.tolist() == [5, 7]


def test_of_overlapping_mentions_the_longest_counts():
    mentions = [(0, 0, 14, 4), (0, 0, 8, 6), (0, 9, 14, 8)]
    for order in ([0, 1, 2], [2, 1, 0]):
        data = board(["New York Giants win"], [mentions[at] for at in order])
        # "New York Giants" is cut short by its mention, which still overlaps the third word
        assert rows_of(NewsCatalog.from_dataset(data, longest=5), 0) == [4, 4, 4, None, None]


def test_a_mention_beyond_the_last_word_kept_is_left_out():
    catalog = NewsCatalog.from_dataset(board(["one two three"], [(0, 8, 13, 3)]), longest=2)
    assert rows_of(catalog, 0) == [None, None]
    assert not len(catalog.mentioned)


def test_an_item_of_the_graph_that_names_nothing_names_itself():
    data = board(["one two", "three", "four"], [(1, 0, 5, 6)], triples=[(0, 0, 5), (1, 0, 5)])
    catalog = NewsCatalog.from_dataset(data, longest=3)
    assert [rows_of(catalog, item) for item in range(3)] == [
        [0, 0, None],
        [6, None, None],
        [None] * 3,
    ]


def test_rare_words_share_a_number_and_given_words_do_not():
    words = Vectors(pl.Series(["Rare", "other"]), np.ones((2, 3), dtype=np.float32))
    texts = ["common rare odd", "common", "odd held held"]
    data = board(texts, train=[(0, 0), (0, 1)], words=words)
    catalog = NewsCatalog.from_dataset(data, longest=3, min_count=2)
    assert words_of(catalog, 0) == ["common", "rare", "?"]  # "odd" is in one training text
    assert words_of(catalog, 2) == ["?"] * 3  # "held" is in none


def test_the_vocabulary_is_the_same_without_what_a_stored_run_leaves_out():
    lists = np.array([0, 2])
    shown = Impressions(
        np.array([0], np.int32),
        None,
        lists,
        np.array([1, 2], np.int32),
        np.array([True, False]),
        np.array([0, 1]),
        np.array([3], np.int32),
    )
    full = board(
        ["a a", "b b", "c c", "d d", "e e", "f f"],
        negatives={"train": Interactions(np.array([1], np.int32), np.array([4], np.int32))},
        impressions={"train": shown},
    )
    assert trained_items(full).tolist() == [True, True, True, True, True, False]
    whole, stored = (
        NewsCatalog.from_dataset(data)
        for data in (full, replace(full, negatives={}, impressions={}))
    )
    assert whole.vocabulary == stored.vocabulary
    assert (whole.words[:5, 0] > 1).all()
    assert whole.words[5, 0] == 1


def test_vectors_are_found_by_the_plain_word():
    vectors = Vectors(
        pl.Series(["Paris", "paris", "don't"]), np.arange(6, dtype=np.float32).reshape(3, 2)
    )
    values, known = vectors_of(["paris", "rome", plain_word("DON\u2019T")], vectors)
    assert known.tolist() == [True, False, True]
    assert values.tolist() == [[2, 3], [0, 0], [4, 5]]


def test_a_dataset_without_texts_is_refused():
    with pytest.raises(DataError, match="--texts"):
        NewsCatalog.from_dataset(worlds.toy())
