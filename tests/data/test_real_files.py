"""Known counts of public data; skipped where it is absent."""

import numpy as np
import pytest

from kgrec.data.formats.load import load


def sizes(data):
    return len(data.train), len(data.valid), len(data.test)


def test_movielens_with_freebase(shared_data):
    data = load(shared_data("ml-100k"))
    assert (data.num_users, data.num_items, sum(sizes(data))) == (943, 1682, 100_000)
    assert (
        len(data.triples),
        data.report.counts["items linked"],
        data.report.counts["items in the graph"],
    ) == (91_631, 1598, 1598)
    assert data.num_relations == 24
    assert data.item_label(data.items.row("2")) == "GoldenEye"
    assert np.unique(data.train.user).size == 943


def test_movielens_with_dbpedia(shared_data):
    folder = shared_data("ml-100k")
    data = load(
        folder,
        kg=str(folder / "dbpedia-films.nt"),
        links=str(folder / "dbpedia-films.link.tsv"),
        user_attributes=True,
    )
    counts = data.report.counts
    assert counts["triples read"] == 34_941
    assert (
        counts["items linked"],
        counts["entities of items"],
        counts["items without an entity"],
    ) == (1430, 1313, 352)
    assert (counts["items in the graph"], counts["entities shared by items"]) == (1330, 17)
    assert counts["facts about users"] == len(data.user_facts) == 4 * 943
    assert (
        data.triples.labels[data.triples.entities.row("http://dbpedia.org/resource/Ridley_Scott")]
        == "Ridley Scott"
    )
    copied = data.triples.locator < 0
    assert copied.sum() == counts["triples of items that share an entity or have several"]
    assert len(data.triples) - copied.sum() <= 34_939


@pytest.mark.parametrize(
    ("part", "expected"),
    [("split", (80_808, 9_596, 9_596)), ("split-linked", (78_836, 9_359, 9_359))],
)
def test_movielens_given_splits(shared_data, part, expected):
    folder = shared_data("ml-100k")
    names = {"train": "train.tsv", "valid": "valid.tsv", "test": "test.tsv"}
    data = load(
        folder, split="given", **{name: str(folder / part / file) for name, file in names.items()}
    )
    assert sizes(data) == expected
    assert data.train.time is not None
    assert not np.isnan(data.train.time).any()
    assert data.num_items == (1682 if part == "split" else 1598)


def test_movielens_temporal(shared_data):
    data = load(shared_data("ml-100k"), split="temporal")
    assert sum(sizes(data)) == 100_000
    assert data.train.time.max() < data.valid.time.min()
    assert data.valid.time.max() < data.test.time.min()


def test_lastfm(shared_data):
    data = load(shared_data("lastfm-dbpedia"))
    assert (data.num_users, data.num_items, sizes(data)) == (1865, 9765, (54_952, 7_872, 15_809))
    counts = data.report.counts
    assert (counts["triples read"], counts["items in the graph"]) == (110_921, 9_451)
    assert (
        counts["validation items without training interactions"],
        counts["test items without training interactions"],
    ) == (518, 1051)
    assert (
        data.item_label(data.items.row("http://dbpedia.org/resource/Deacon_Blue")) == "Deacon Blue"
    )


@pytest.mark.slow
def test_gowalla(shared_data):
    data = load(shared_data("gowalla"))
    train, valid, test = sizes(data)
    assert (data.num_users, data.num_items, train + valid, test) == (
        29_858,
        40_981,
        810_128,
        217_242,
    )
    assert abs(valid - 81_013) < 2_000


def test_mind_sample(shared_data):
    data = load(shared_data("mind-sample"))
    assert {part: len(own) for part, own in data.impressions.items()} == {
        "train": 90,
        "valid": 19,
        "test": 10,
    }
    dropped = {(d.what, d.why): d.count for d in data.report.dropped}
    assert dropped["candidates", "without a row in news.tsv"] == 184_049
    assert dropped["news in histories", "without a row in news.tsv"] == 153_641
    assert (
        sum(count for (what, _), count in dropped.items() if what == "impressions") == 5_000 - 119
    )
    assert (
        data.impressions["train"].time.max()
        <= data.impressions["valid"].time.min()
        < data.impressions["test"].time.min()
    )
    everything = load(shared_data("mind-sample"), catalog="all", texts=("title", "abstract"))
    assert (everything.num_items, everything.content.texts.null_count(), len(data.triples)) == (
        2_000,
        0,
        4_000,
    )
    surfaces = {
        everything.content.texts[int(item)][first:end]
        for item, first, end, _ in everything.content.mentions
    }
    assert {"Fort Lauderdale", "Marine Corps Marathon", "Silver Spring"} <= surfaces


def test_dkn_news(shared_data):
    data = load(shared_data("dkn-news"))
    assert data.num_users == 469
    assert (sum(sizes(data)) + 16, len(data.test)) == (6_305 + 271, 271)
    assert (
        sum(len(own) for own in data.negatives.values()) + 135 == 4_096 + 191
    )  # interactions of an earlier part, and repeated ones
    assert data.content.texts.null_count() == 0
    item = data.items.row(
        "watch tom cruise recreates iconic movie scenes james corden action packed minutes"
    )
    first, end, entity = data.content.mentions[data.content.mentions[:, 0] == item][0, 1:]
    assert (data.content.texts[item][first:end], data.triples.label(entity)) == (
        "tom cruise",
        "Tom Cruise",
    )
