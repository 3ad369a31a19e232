import numpy as np
import polars as pl
import pytest

import kgrec
from kgrec.data.linking.mentions import MENTIONS
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError, DataError, FormatError

LOG = pl.DataFrame(
    {"user": [f"u{n % 4}" for n in range(40)], "item": [f"i{n % 10}" for n in range(40)]}
)
ITEMS = pl.DataFrame(
    {
        "item_id": [f"i{n}" for n in range(9)],
        "title": ["Night Train", *(f"Film {n}" for n in range(1, 9))],
        "plot": ["A train"] + [None] * 8,
    }
)


def build(**settings):
    return Dataset.build(LOG, item_labels=ITEMS, **settings)


def test_titles_are_texts_where_no_others_are_named():
    data = build()
    texts = dict(zip(data.items, data.content.texts, strict=True))
    assert (texts["i0"], texts["i8"], texts["i9"]) == ("Night Train", "Film 8", None)
    both = build(texts=["title", "plot"])
    texts = dict(zip(both.items, both.content.texts, strict=True))
    assert (texts["i0"], texts["i8"]) == ("Night Train A train", "Film 8")
    assert "columns plot are unused" in " ".join(data.report.notes)
    assert not any("unused" in note for note in both.report.notes)
    assert Dataset.build(LOG).content.texts is None
    with pytest.raises(
        ConfigError, match="texts name columns of the table of items, and there is none"
    ):
        Dataset.build(LOG, texts="title")
    with pytest.raises(FormatError, match=r"no column 'plots'\. Nearest: plot"):
        build(texts="plots")


def test_mentions_keep_their_place_in_joined_texts():
    rows = [
        ("i0", "plot", 2, 7, "e:train", "train"),
        ("i0", "title", 0, 5, "i3", None),
        ("i0", "other", 0, 1, "x", None),
        ("zz", "title", 0, 1, "x", None),
    ]
    mentions = pl.DataFrame(rows, schema=MENTIONS, orient="row")
    data = build(texts=("title", "plot"), mentions=mentions)
    named = [
        (data.content.texts[int(i)][a:b], data.triples.entities.key(e))
        for i, a, b, e in data.content.mentions
    ]
    assert named == [("Night", "i3"), ("train", "e:train")]
    assert data.triples.entities.row("i3") == data.items.row("i3")
    assert (data.num_entities, data.triples.label(10)) == (11, "train")
    swapped = build(texts=("plot", "title"), mentions=mentions)
    assert [swapped.content.texts[int(i)][a:b] for i, a, b, _ in swapped.content.mentions] == [
        "train",
        "Night",
    ]


def test_word_vectors_are_kept_for_words_of_the_texts(tmp_path):
    (tmp_path / "w.txt").write_text("NIGHT 1 2\nfilm 3 4\nzebra 5 6\nday x x\n")
    data = build(word_vectors=str(tmp_path / "w.txt"))
    assert data.content.words.keys.to_list() == ["film", "NIGHT"]
    assert data.content.words.values.tolist() == [[3, 4], [1, 2]]
    assert data.report.counts["words of the texts"] == 11
    assert data.report.counts["words with a vector"] == 2
    assert "18.2% of the distinct words have a vector, 50.0% of all words" in " ".join(
        data.report.notes
    )
    assert str(tmp_path / "w.txt") in data.report.sources
    with pytest.raises(ConfigError, match="word vectors without texts"):
        Dataset.build(LOG, word_vectors=str(tmp_path / "w.txt"))
    (tmp_path / "w.txt").write_text("zebra 5 6\n")
    with pytest.raises(DataError, match="no word of the texts has a vector"):
        build(word_vectors=str(tmp_path / "w.txt"))
    (tmp_path / "w.txt").write_text("zebra 5 6\nnight 5\n")
    with pytest.raises(FormatError, match=r"w\.txt:2: a vector of 1 numbers, expected 2"):
        build(word_vectors=str(tmp_path / "w.txt"))


def test_entity_vectors_are_kept_for_known_entities(tmp_path):
    graph = pl.DataFrame({"head": ["i0", "i1"], "relation": ["r", "r"], "tail": ["e:x", "e:y"]})
    for name, text in {
        "a.vec": "e:x 1 2\ne:zzz 0 0\n",
        "b.vec": "e:x 9 9\ni0 3 4\n",
        "c.vec": "i1 1\n",
        "d.vec": "who 1 1\n",
    }.items():
        (tmp_path / name).write_text(text)
    files = [str(tmp_path / name) for name in ("a.vec", "b.vec", "c.vec", "d.vec")]
    data = build(triples=graph, entity_vectors=files[:2])
    assert data.content.entities.keys.to_list() == ["i0", "e:x"]
    assert data.content.entities.values.tolist() == [[3, 4], [1, 2]]
    assert ("entity vectors", 2) in {(d.what, d.count) for d in data.report.dropped}
    with pytest.raises(
        DataError, match=r"c\.vec: vectors of 1 numbers, those of the file before have 2"
    ):
        build(triples=graph, entity_vectors=[files[0], files[2]])
    with pytest.raises(DataError, match="none of its 1 ids is an entity here"):
        build(triples=graph, entity_vectors=files[3])


def test_features_beside_the_rest(tmp_path):
    np.save(tmp_path / "f.npy", np.arange(18.0).reshape(9, 2))
    with pytest.raises(DataError, match=r"f\.npy: 1 of 10 items have no row: 'i9'"):
        build(features=str(tmp_path / "f.npy"))
    frame = pl.DataFrame({"item_id": [f"i{n}" for n in range(12)], "x": np.arange(12.0)})
    data = build(features=frame)
    assert dict(zip(data.items, data.content.features[:, 0], strict=True)) == {
        f"i{n}": float(n) for n in range(10)
    }
    assert ("feature vectors", 2) in {(d.what, d.count) for d in data.report.dropped}


def letters(texts):
    """How often a text has the letters a to e, and how long it is."""
    return [[*(text.count(letter) for letter in "abcde"), len(text)] for text in texts]


def test_texts_become_features_by_any_function(tmp_path, monkeypatch):
    data = build(encoder=letters)
    rows = dict(zip(data.items, data.content.features.tolist(), strict=True))
    assert rows["i0"] == [1, 0, 0, 0, 0, 11]  # Night Train
    assert rows["i9"] == [0] * 6  # no text
    assert data.report.counts["texts encoded"] == 9
    assert "6 numbers, by letters" in " ".join(data.report.notes)
    data.save(tmp_path / "d")
    again = kgrec.load(tmp_path / "d")
    np.testing.assert_array_equal(again.content.features, data.content.features)

    (tmp_path / "mine.py").write_text("def encode(texts):\n    return [[len(t)] for t in texts]\n")
    monkeypatch.syspath_prepend(tmp_path)
    named = build(encoder="mine:encode")
    assert named.content.features[0, 0] == 11


@pytest.mark.parametrize(
    ("encoder", "says"),
    [
        ("nowhere_at_all:encode", "importing failed: ModuleNotFoundError"),
        ("math:pi", "is no function but float"),
        ("words", "not of the form pkg.module:function"),
        (7, "give a function"),
        ("sentence-transformers:mini", "not installed|cannot be loaded"),
    ],
)
def test_encoders_that_are_none(encoder, says):
    with pytest.raises(ConfigError, match=says):
        build(encoder=encoder)


@pytest.mark.parametrize(
    ("encoder", "says"),
    [
        (lambda texts: [[1.0]], r"shape \(1, 1\) for 9 texts"),
        (lambda texts: [1.0] * len(texts), r"shape \(9,\)"),
        (lambda texts: [[float("nan")]] * len(texts), "not finite"),
        (lambda texts: 1 / 0, "failed: ZeroDivisionError"),
    ],
)
def test_encoders_that_return_no_vectors(encoder, says):
    with pytest.raises(DataError, match=says):
        build(encoder=encoder)


def test_an_encoder_needs_texts_and_no_features():
    with pytest.raises(ConfigError, match="an encoder without texts"):
        Dataset.build(LOG, encoder=letters)
    frame = pl.DataFrame({"item_id": [f"i{n}" for n in range(10)], "x": np.arange(10.0)})
    with pytest.raises(ConfigError, match="Give either"):
        build(encoder=letters, features=frame)
