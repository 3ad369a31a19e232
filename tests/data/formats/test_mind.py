import gzip
import json

import numpy as np
import pytest

from kgrec.data.formats.load import load
from kgrec.errors import ConfigError, DataError, FormatError


def entity(key, label, *places):
    return {
        "Label": label,
        "Type": "G",
        "WikidataId": key,
        "Confidence": 1.0,
        "OccurrenceOffsets": [p for p, _ in places],
        "SurfaceForms": [f for _, f in places],
    }


def news_row(key, title, abstract="", category="news", sub="world", named=(), below=()):
    return "\t".join(
        (
            key,
            category,
            sub,
            title,
            abstract,
            "https://x",
            json.dumps(list(named)),
            json.dumps(list(below)),
        )
    )


NEWS = [
    news_row(
        "N1",
        "Paris beats Rome",
        "Rome was slow.",
        named=[entity("Q90", "Paris", (0, "Paris")), entity("Q220", "Rome", (12, "Rome"))],
        below=[entity("Q220", "Rome", (0, "Rome"))],
    ),
    news_row("N2", "Größe in 東京 zählt", named=[entity("Q1490", "Tokyo", (9, "東京"))]),
    news_row("N3", "Nothing named", category="sports", sub="golf"),
    news_row("N4", "", category="sports", sub="golf"),
]
DAY = "11/{}/2019 9:05:00 {}"


def row(number, user, day, history, shown, half="AM"):
    return f"{number}\t{user}\t{DAY.format(day, half)}\t{history}\t{shown}"


BEHAVIORS = [
    row(1, "U1", 9, "N1 N9", "N2-1 N3-0"),
    row(2, "U2", 10, "", "N1-0 N3-1 N9-0"),
    row(3, "U1", 11, "N1", "N2-0 N3-1"),
    row(4, "U1", 13, "N1 N4", "N4-1 N1-0"),
    row(5, "U3", 14, "N2", "N3-0 N1-1"),
]


def fill(folder, behaviors=BEHAVIORS, news=NEWS):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "news.tsv").write_text("\n".join(news) + "\n", encoding="utf-8")
    (folder / "behaviors.tsv").write_text("\n".join(behaviors) + "\n", encoding="utf-8")
    return folder


def pairs(data, part):
    own = getattr(data, part)
    return [(data.users.key(u), data.items.key(i)) for u, i in zip(own.user, own.item, strict=True)]


def shown(data, part):
    """Return (user, candidates, clicked, history) of each impression, under the caller's ids."""
    own = data.impressions[part]
    found = []
    for n in range(len(own)):
        here, before = (
            slice(own.start[n], own.start[n + 1]),
            slice(own.history_start[n], own.history_start[n + 1]),
        )
        found.append(
            (
                data.users.key(own.user[n]),
                data.items.keys(own.item[here]),
                own.clicked[here].tolist(),
                data.items.keys(own.history[before]),
            )
        )
    return found


def named(data):
    return [
        (data.items.key(i), data.content.texts[int(i)][a:b], data.triples.entities.key(e))
        for i, a, b, e in data.content.mentions
    ]


def test_one_folder_is_divided_by_time(tmp_path):
    data = load(fill(tmp_path / "m"), ratios=(0.6, 0.2, 0.2))
    assert (data.settings["split"], data.settings["ratios"]) == ("temporal", [0.6, 0.2, 0.2])
    assert data.wording.verb() == "read"
    assert shown(data, "train") == [
        ("U1", ["N2", "N3"], [True, False], ["N1"]),
        ("U1", ["N2", "N3"], [False, True], ["N1"]),
        ("U2", ["N1", "N3"], [False, True], []),
    ]
    assert shown(data, "valid") == [("U1", ["N4", "N1"], [True, False], ["N1", "N4"])]
    assert shown(data, "test") == [("U3", ["N3", "N1"], [False, True], ["N2"])]
    assert data.impressions["train"].time[0] == np.datetime64("2019-11-09T09:05:00").astype(
        "datetime64[s]"
    ).astype(float)
    # Oldest first: the history, then what was clicked. N4 is in a later history but is clicked
    # there: it stays out of training.
    assert sorted(pairs(data, "train")) == [
        ("U1", "N1"),
        ("U1", "N2"),
        ("U1", "N3"),
        ("U2", "N3"),
        ("U3", "N2"),
    ]
    assert [i for u, i in pairs(data, "train") if u == "U1"] == ["N1", "N2", "N3"]
    assert (pairs(data, "valid"), pairs(data, "test")) == ([("U1", "N4")], [("U3", "N1")])
    dropped = {(d.what, d.why): d.count for d in data.report.dropped}
    assert dropped["candidates", "without a row in news.tsv"] == 1
    assert dropped["news in histories", "without a row in news.tsv"] == 1


def test_titles_mentions_and_categories(tmp_path):
    data = load(fill(tmp_path / "m"))
    texts = dict(zip(data.items, data.content.texts, strict=True))
    assert texts == {
        "N1": "Paris beats Rome",
        "N2": "Größe in 東京 zählt",
        "N3": "Nothing named",
        "N4": None,
    }
    assert sorted(named(data)) == [
        ("N1", "Paris", "Q90"),
        ("N1", "Rome", "Q220"),
        ("N2", "東京", "Q1490"),
    ]
    assert data.triples.label(data.triples.entities.row("Q1490")) == "Tokyo"
    assert list(data.triples.relations) == ["category", "subcategory"]
    facts = {
        (data.triples.entities.key(h), data.triples.label(t))
        for h, t in zip(data.triples.head, data.triples.tail, strict=True)
    }
    assert {("N3", "sports"), ("N3", "golf"), ("N1", "news")} <= facts
    assert data.item_label(data.items.row("N3")) == "Nothing named"
    both = load(tmp_path / "m", texts=("title", "abstract"))
    assert ("N1", "Rome", "Q220") in named(both)
    assert len(named(both)) == 4
    assert {text for _, text, _ in named(both)} == {"Paris", "Rome", "東京"}
    assert (
        dict(zip(both.items, both.content.texts, strict=True))["N1"]
        == "Paris beats Rome Rome was slow."
    )


def test_train_and_dev_folders(tmp_path):
    fill(tmp_path / "MINDsmall_train", BEHAVIORS[:3])
    fill(tmp_path / "MINDsmall_dev", BEHAVIORS[3:], NEWS[:4])
    data = load(tmp_path)
    assert (
        data.settings["split"],
        len(data.impressions["train"]),
        len(data.impressions["test"]),
    ) == ("given", 3, 2)
    assert "The dev folder is the test part" in " ".join(data.report.notes)
    fill(tmp_path / "test", [row(9, "U2", 15, "N1", "N2-0 N4-1")])
    data = load(tmp_path)
    assert {part: len(own) for part, own in data.impressions.items()} == {
        "train": 3,
        "valid": 2,
        "test": 1,
    }
    assert load(tmp_path, split="temporal").settings["split"] == "temporal"
    fill(
        tmp_path / "MINDsmall_train", [row(n, f"U{n}", 9 + n, "N1", "N2-1 N3-0") for n in range(20)]
    )
    (tmp_path / "MINDsmall_dev" / "behaviors.tsv").unlink()
    data = load(tmp_path)
    assert {part: len(own) for part, own in data.impressions.items()} == {
        "train": 18,
        "valid": 2,
        "test": 1,
    }
    assert data.impressions["valid"].time.min() > data.impressions["train"].time.max()
    assert "latest tenth" in " ".join(data.report.notes)
    assert data.settings["valid_held_out"]


def test_hidden_labels_end_no_reading(tmp_path):
    fill(tmp_path / "train", BEHAVIORS[:3])
    fill(tmp_path / "dev", BEHAVIORS[3:])
    fill(tmp_path / "test", [row(9, "U2", 15, "N1", "N2 N4")])
    data = load(tmp_path)
    assert set(data.impressions) == {"train", "valid"}
    assert len(data.test) == 0
    assert ("impressions", "their labels are hidden", 1) in {
        (d.what, d.why, d.count) for d in data.report.dropped
    }
    assert "No test impression can be evaluated" in " ".join(data.report.notes)


def test_impressions_that_cannot_be_judged(tmp_path):
    data = load(
        fill(
            tmp_path / "m",
            [
                *BEHAVIORS,
                row(6, "U4", 15, "N2", "N1-0 N3-0"),
                row(7, "U4", 15, "N2", "N1-1"),
                row(8, "U5", 9, "", "N9-1 N1-0"),
                row(9, "U5", 9, "", "N9-0 N1-1"),
            ],
        )
    )
    dropped = {d.why: d.count for d in data.report.dropped if d.what == "impressions"}
    assert dropped == {
        "nothing was clicked": 1,
        "everything was clicked": 1,
        "nothing that was clicked is a known item": 1,
        "everything known was clicked": 1,
    }
    assert ("U5", "N1") in pairs(data, "train")
    assert ("U4", "N2") in pairs(data, "train")
    with pytest.raises(
        DataError, match="no impression has both a click and a candidate that was not clicked"
    ):
        load(fill(tmp_path / "none", [row(6, "U4", 15, "N2", "N1-0 N3-0")]))


def test_entity_vectors(tmp_path):
    folder = fill(tmp_path / "m")
    (folder / "entity_embedding.vec").write_text("Q90\t1\t2\t\nQ7\t5\t6\t\nQ220\t3\t4\t\n")
    (folder / "relation_embedding.vec").write_text("P1\t1\t2\t\n")
    data = load(folder)
    assert data.content.entities.keys.to_list() == ["Q90", "Q220"]
    assert data.content.entities.values.tolist() == [[1, 2], [3, 4]]
    assert ("entity vectors", 1) in {(d.what, d.count) for d in data.report.dropped}
    assert "relation_embedding.vec: vectors of relations are unused." in " ".join(data.report.notes)
    (folder / "entity_embedding.vec").write_text("Q90\t1\t2\t\nQ220\t3\t\n")
    with pytest.raises(
        FormatError, match=r"entity_embedding\.vec:2: a vector of 1 numbers, expected 2"
    ):
        load(folder)
    (folder / "entity_embedding.vec").write_text("Q7\t1\t2\n")
    with pytest.raises(DataError, match="none of its 1 ids is an entity here"):
        load(folder)


def test_parts_of_the_callers_replace_it(tmp_path):
    folder = fill(tmp_path / "m")
    (tmp_path / "c.csv").write_text("user_id,item_id\n" + "".join(f"u,N{n}\n" for n in range(1, 5)))
    data = load(folder, interactions=str(tmp_path / "c.csv"), ratios=(0.5, 0.25, 0.25))
    assert (data.num_users, data.impressions, data.settings["split"]) == (1, {}, "random")
    assert len(data.content.mentions) == 3
    with pytest.raises(ConfigError, match="split: given, but there are no parts"):
        load(folder, split="given")


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        (
            "behaviors.tsv",
            row(1, "U1", 9, "", "N2-1 N3"),
            r"behaviors\.tsv:6: some candidates have the label",
        ),
        ("behaviors.tsv", row(1, "U1", 9, "N1", " "), r"behaviors\.tsv:6: no candidate was shown"),
        ("behaviors.tsv", row(1, "", 9, "", "N2-1"), r"behaviors\.tsv:6: column 'user' is empty"),
        (
            "behaviors.tsv",
            row(1, "U1", 33, "", "N2-1"),
            r"behaviors\.tsv:6: '11/33/2019 9:05:00 AM' is not a time like",
        ),
        ("behaviors.tsv", "1\tU1\tN1", r"behaviors\.tsv:6: expected 5 columns, found 3"),
        ("news.tsv", "N8\tnews", r"news\.tsv:5: expected 8 columns, found 2"),
        ("news.tsv", news_row("", "title"), r"news\.tsv:5: column 'item_id' is empty"),
        (
            "news.tsv",
            news_row("N8", "title")[:-2] + "[1]",
            r"news\.tsv:5: the entities are not a JSON list",
        ),
        (
            "news.tsv",
            news_row("N8", "title")[:-2] + "{",
            r"news\.tsv:5: the entities are not a JSON list",
        ),
        (
            "news.tsv",
            news_row("N8", "title", named=[entity("Q1", "a", (-1, "t"))]),
            r"news\.tsv:5: the entities are not",
        ),
        (
            "news.tsv",
            news_row("N8", "title", named=[entity("Q1", "a", (0, ""))]),
            r"news\.tsv:5: the entities are not",
        ),
        (
            "news.tsv",
            news_row("N8", "title", named=[entity("\ud800", "a", (0, "t"))]),
            r"news\.tsv:5: the entities are not",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, name, line, message):
    folder = fill(tmp_path / "m")
    with open(folder / name, "a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    with pytest.raises(FormatError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_a_mention_outside_its_title_is_counted(tmp_path):
    folder = fill(
        tmp_path / "m",
        news=[
            *NEWS[:3],
            news_row("N4", "Rome", named=[entity("Q220", "Rome", (2, "Rome"), (0, "Rome"))]),
        ],
    )
    data = load(folder)
    assert ("mentions", "outside their text", 1) in {
        (d.what, d.why, d.count) for d in data.report.dropped
    }
    assert ("N4", "Rome", "Q220") in named(data)


def test_dev_alone_does_not_train(tmp_path):
    fill(tmp_path / "dev")
    with pytest.raises(FormatError, match="no folder of training impressions"):
        load(tmp_path)


def test_packed_files_are_not_mistaken(tmp_path):
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(b"0 1 2 3 4 5\n1 2 3\n"))
    (tmp_path / "test.txt.gz").write_bytes(gzip.compress(b"0 6\n1 1\n"))
    assert load(tmp_path).num_users == 2
