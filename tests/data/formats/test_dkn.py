import pytest

from kgrec.data.formats.load import load
from kgrec.errors import FormatError

TRAIN = [
    "1\ttrump meets kim jong un trump\t1\t5:Donald Trump;6:Kim Jong-un",
    "1\tnew york rain\t0\t7:New York City",
    "2\tnew york rain\t1\t7:New York City",
    "2\tplain words\t0\t",
    *(f"3\tstory {n}\t{n % 2}\t8:Story" for n in range(20)),
]
TEST = ["1\tstory 3\t1\t8:Story", "2\tbrand new\t0\t9:Brand;9:Brand"]


def fill(folder, train=TRAIN, test=TEST, **more):
    folder.mkdir(exist_ok=True)
    for name, lines in {"raw_train": train, "raw_test": test, **more}.items():
        (folder / f"{name}.txt").write_bytes("\r\n".join([*lines, ""]).encode())
    return folder


def named(data):
    return {
        (
            data.items.key(i),
            data.content.texts[int(i)][a:b],
            data.triples.entities.key(e),
            data.triples.label(e),
        )
        for i, a, b, e in data.content.mentions
    }


def test_titles_are_items_and_labels_choose(tmp_path):
    data = load(fill(tmp_path / "d"))
    assert data.wording.verb() == "read"
    assert data.content.texts.to_list() == list(data.items)
    assert (data.num_users, data.settings["split"], len(data.triples)) == (3, "given", 0)
    news = named(data)
    assert {
        ("trump meets kim jong un trump", part, *who)
        for part, who in (("trump", ("5", "Donald Trump")), ("kim jong un", ("6", "Kim Jong-un")))
    } <= news
    assert len([1 for title, *_ in news if title.startswith("trump")]) == 2
    assert ("new york rain", "new york", "7", "New York City") in news
    assert ("brand new", "brand", "9", "Brand") in news
    assert not any(title == "plain words" for title, *_ in news)
    assert len(data.content.mentions) == 3 + 1 + 20 + 1
    held = len(data.valid) + len(data.negatives["valid"])
    assert f"a tenth of each user's training rows was held out ({held} rows)" in " ".join(
        data.report.notes
    )
    assert (held, len(data.test), len(data.negatives["test"])) == (2, 1, 1)
    given = load(fill(tmp_path / "v", raw_valid=["1\tplain words\t1\t"]))
    assert (len(given.valid), "valid_held_out" in given.settings) == (1, False)


def test_numbered_text(tmp_path):
    (tmp_path / "train.txt").write_text(
        "1\t4,5,6,0\t0,9,9,0\t1\n1\t5,0,0,0\t0,0,0,0\t0\n2\t5,0,0,0\t0,0,0,0\t1\n"
    )
    (tmp_path / "test.txt").write_text("2\t4,5,6,0\t0,9,9,0\t1\n")
    data = load(tmp_path)
    assert dict(zip(data.items, data.content.texts, strict=True)) == {
        "4,5,6,0": "4 5 6",
        "5,0,0,0": "5",
    }
    assert {(title, text, key) for title, text, key, _ in named(data)} == {
        ("4,5,6,0", "5", "9"),
        ("4,5,6,0", "6", "9"),
    }
    (tmp_path / "train.txt").write_text("1\t4,5\t0\t1\n")
    with pytest.raises(FormatError, match=r"train\.txt:1: 2 words and 1 entities"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1\ttitle\tyes\t", r"raw_train\.txt:25: label 'yes' is neither 0 nor 1"),
        ("1\ttitle\t1", r"raw_train\.txt:25: expected 4 columns, found 3"),
        ("\ttitle\t1\t", r"raw_train\.txt:25: column 'user' is empty"),
        ("1\t\t1\t", r"raw_train\.txt:25: column 'item' is empty"),
        ("1\ttitle\t1\tDonald", r"raw_train\.txt:25: 'Donald' is not id:entity"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, line, message):
    with pytest.raises(FormatError, match=message):
        load(fill(tmp_path / "d", [*TRAIN, line]))
