"""``on_error="skip"``: every reader leaves out what it cannot read, counts it and says where;
without, it stops at the first.
"""

import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from kgrec.data.formats.load import load
from kgrec.data.linking.links import read_links
from kgrec.data.readers.interactions import read_interactions, read_item_lists
from kgrec.data.readers.vectors import read_vectors
from kgrec.data.records.report import Skipped
from kgrec.errors import FormatError, KgrecError

ENTITY = '[{"Label": "P", "WikidataId": "Q1", "OccurrenceOffsets": [0], "SurfaceForms": ["a"]}]'
FOLDERS = {
    "mind": {
        "news.tsv": [
            f"N1\tn\tw\ta\tb\tu\t{ENTITY}\t[]",
            "N2\tn\tw\ta",
            "N3\tn\tw\ta\tb\tu\t{\t[]",
            "N4\tn\tw\ta\tb\tu\t[]\t[]",
            "\tn\tw\ta\tb\tu\t\t",
        ],
        "behaviors.tsv": [
            *(f"{n}\tU{n}\t11/{n}/2019 9:05:00 AM\tN4\tN1-1 N4-0" for n in range(10, 20)),
            "7\tU7\tyesterday\tN4\tN1-1 N4-0",
            "8\tU8\t11/9/2019 9:05:00 AM\tN4\tN1-1 N4",
            "9\tU9\t11/9/2019 9:05:00 AM\tN4\t ",
            "9\t\t11/9/2019 9:05:00 AM\tN4\tN1-1 N4-0",
            "one cell",
        ],
    },
    "ctr": {
        "ratings_final.txt": [
            *(f"{u}\t{i}\t{int(i < 5)}" for u in range(3) for i in range(8)),
            "1\t2",
            "1\t2\tyes",
            "1\t\t1",
        ],
        "kg_final.txt": ["1 0 7", "2 1"],
    },
    "dkn": {
        "raw_train.txt": [
            "1\tParis\t1\t5:Paris",
            "2\tParis\t1\t5:Paris",
            "2\tRome\t0\t",
            "1\tGolf\t2\t",
            "1\tSki\t1\tnothing",
            "1\tx",
        ],
        "raw_test.txt": ["1\tRome\t1\t", "1\t\t1\t"],
    },
    "numbered": {
        "train.txt": ["1\t4,5\t0,9\t1", "2\t4,5\t0,9\t1", "1\t4,5,6\t0\t1"],
        "test.txt": ["1\t7\t0\t1"],
    },
    "lists": {"train.txt": ["0 1 2 3", "1 2 3", b"2 \xff"], "test.txt": ["0 5", "1 6 \0"]},
    "recbole": {
        "a.inter": [
            "user_id:token\titem_id:token",
            *(f"{u}\t{i}" for u in range(3) for i in range(9)),
            "1",
            "1\t",
        ],
        "a.kg": ["head_id:token\trelation_id:token\ttail_id:token", "m1\tr\tm2", "m1\tr"],
        "a.link": ["item_id:token\tentity_id:token", "1\tm1", "2\tm2\tm3"],
        "a.item": ["item_id:token\tname:token_seq", "1\tOne", "2"],
    },
}
LOST = {"mind": 8, "ctr": 4, "dkn": 4, "numbered": 1, "lists": 2, "recbole": 5}
FIRST = {"mind": ":2", "ctr": ":25", "dkn": ":4", "numbered": ":3", "lists": ":3", "recbole": ":29"}


def fill(folder, files):
    folder.mkdir()
    for name, lines in files.items():
        (folder / name).write_bytes(
            b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines) + b"\n"
        )
    return folder


@pytest.mark.parametrize("form", FOLDERS)
def test_a_folder_is_read_without_its_bad_lines(tmp_path, form):
    folder = fill(tmp_path / form, FOLDERS[form])
    data = load(folder, on_error="skip")
    places = [place for lost in data.report.dropped for place in lost.where]
    assert (
        len(places) == sum(lost.count for lost in data.report.dropped if lost.where) == LOST[form]
    )
    assert any(place.endswith(FIRST[form]) for place in places)
    with pytest.raises(FormatError, match=r":\d+: ") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_vectors_are_read_without_their_bad_lines(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("a 1 2\nb 1\nc 1 x\nd 3 4\ne 1 1e400\n")
    skipped = Skipped(str(path))
    vectors, _ = read_vectors(path, lambda key: True, skipped)
    assert (vectors.keys.to_list(), skipped.lines) == (["a", "d"], [2, 3, 5])
    with pytest.raises(FormatError, match=r"v\.txt:2: "):
        read_vectors(path, lambda key: True)


def test_quotes_that_never_close_cost_their_own_line_alone(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        'user,item\n1,"a, b"\n2,"open\n'
        + "".join(f"{n},i{n}\n" for n in range(300))
        + '3,"two\nlines"\n4,"x"y\n'
    )
    log = read_interactions(path, on_error="skip")
    assert log.frame.height == 302
    assert (log.dropped[0].count, log.dropped[0].where) == (2, (f"{path}:3", f"{path}:306"))
    with pytest.raises(FormatError, match="Close the quotes"):
        read_interactions(path)


NAMED = {
    "NUL bytes": (b"user,item\n1,a\n2,\0\n3,c\n", 2, r":3: a NUL byte"),
    "mixed encodings": (
        "user,item\n1,é\n".encode() + "2,é\n".encode("latin-1"),
        1,
        r":3: byte 0xe9 is not UTF-8",
    ),
    "byte-order mark": (b"\xef\xbb\xbfuser,item\n1,a\n", 1, None),
    "UTF-16": ("user,item\n1,a\n".encode("utf-16"), None, r":1: the file is UTF-16"),
    "CR LF": (b"user,item\r\n1,a\r\n2,b\r\n", 2, None),
    "ragged rows": (b"user,item\n1,a\n2,b,c\n3\n", 1, r":3: expected 2 columns, found 3"),
    "duplicate headers": (b"user,item,item\n1,a,b\n", None, r":1: column 'item' occurs twice"),
}


@pytest.mark.parametrize("name", NAMED)
def test_bad_input_by_name(tmp_path, name):
    content, kept, message = NAMED[name]
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    if message is not None:
        with pytest.raises(FormatError, match=message):
            read_interactions(path)
    if kept is None:
        with pytest.raises(FormatError, match=message):
            read_interactions(path, on_error="skip")
    else:
        assert read_interactions(path, on_error="skip").frame.height == kept


@pytest.mark.parametrize(
    "ids",
    [
        ["a", "\u0430", "\uff41", "a\u200b", "A"],
        ["1", " 1", "1 ", "01", "+1", "1.0", "\u00a01"],
        ["-1", "-0", "0", "-9223372036854775809"],
        [
            "9223372036854775807",
            "9223372036854775808",
            "340282366920938463463374607431768211456",
            "9" * 400,
        ],
        ["1", "\u0661", "\uff11", "\u00b9", "\u2460"],
    ],
    ids=["look-alikes", "white space", "negative", "overflow", "digits of other scripts"],
)
def test_ids_stay_what_they_are(tmp_path, ids):
    (tmp_path / "a.csv").write_text(
        "user,item\n" + "".join(f"u,{one}\n" for one in ids), encoding="utf-8"
    )
    (tmp_path / "links.tsv").write_text(
        "item_id\tentity_id\n" + "".join(f"{one}\te{n}\n" for n, one in enumerate(ids)),
        encoding="utf-8",
    )
    assert (
        read_interactions(tmp_path / "a.csv", user="user", item="item").frame["item"].to_list()
        == ids
    )
    assert read_links(tmp_path / "links.tsv")[0]["item"].to_list() == ids
    lists = [one for one in ids if " " not in one]
    (tmp_path / "a.txt").write_text("".join(f"u {one}\n" for one in lists), encoding="utf-8")
    assert read_item_lists(tmp_path / "a.txt").frame["item"].to_list() == lists


LONG = """
import re, sys
from kgrec.data.formats.load import load
from kgrec.data.readers.interactions import read_interactions
from kgrec.errors import KgrecError
path, on_error = sys.argv[1:]
try:
    (load if path.endswith("d") else read_interactions)(path, on_error=on_error)
except KgrecError as error:
    print(str(error)[:300])
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) >> 10)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "most"), [(40, 1024), pytest.param(100, 2048, marks=pytest.mark.long)]
)
@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_a_line_of_many_megabytes(tmp_path, on_error, size, most):
    folder = fill(
        tmp_path / "d",
        FOLDERS["mind"]
        | {
            "behaviors.tsv": ["1\tU\t11/9/2019 9:05:00 AM\t" + "N1 " * (size << 20) + "\tN1-1 N4-0"]
        },
    )
    (tmp_path / "a.csv").write_bytes(b"user,item\n1," + b"x" * (size << 20) + b"\n")
    for source in (folder, tmp_path / "a.csv"):
        done = subprocess.run(
            [sys.executable, "-c", LONG, str(source), on_error],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stdout.splitlines()[-1]) < most


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "most"), [(200_000, 1024), pytest.param(1_000_000, 2048, marks=pytest.mark.long)]
)
def test_very_many_distinct_relations(tmp_path, size, most):
    numbers = pl.Series(np.arange(size)).cast(pl.String)
    frame = pl.DataFrame(
        {
            "head": "i" + (pl.Series(np.arange(size) % 9)).cast(pl.String),
            "relation": "r" + numbers,
            "tail": "t" + numbers,
        }
    )
    frame.write_csv(tmp_path / "kg.tsv", separator="\t")
    (tmp_path / "log.csv").write_text(
        "user,item\n" + "".join(f"u{u},i{i}\n" for u in range(3) for i in range(9))
    )
    code = f"""
import re
from kgrec.data.records.dataset import Dataset
from kgrec.data.profile import profile
data = Dataset.build({str(tmp_path / "log.csv")!r}, {str(tmp_path / "kg.tsv")!r})
assert data.num_relations == {size}
profile(data)
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) >> 10)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < most


def test_what_cannot_be_skipped_is_refused(tmp_path):
    for name, content in (
        ("a.csv", b""),
        ("b.csv", b"\0\0\0\n\xff\xff\n"),
        ("c.csv", b'"\n"\n"'),
        ("d.tsv", b"user\titem\n1\n"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(KgrecError, match=name):
            read_interactions(tmp_path / name, on_error="skip")


def test_impressions_take_little_memory(tmp_path):
    """A hundredth of MIND-large: a list is some numbers, and no text of it stays."""
    rng = np.random.default_rng(0)
    news = [f"N{n}\tn\tw\tThing {n}\t\tu\t[]\t[]" for n in range(1000)]
    lines = []
    for n in range(20_000):
        read, shown = rng.integers(0, 1000, 33), rng.integers(0, 1000, 37)
        lines.append(
            f"{n}\tU{n % 7000}\t11/{1 + n % 28}/2019 9:05:00 AM\t"
            + " ".join(f"N{i}" for i in read)
            + "\t"
            + " ".join(f"N{i}-{int(k == 0)}" for k, i in enumerate(shown))
        )
    folder = fill(tmp_path / "d", {"news.tsv": news, "behaviors.tsv": lines})
    done = subprocess.run(
        [sys.executable, "-c", LONG, str(folder), "stop"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 350
