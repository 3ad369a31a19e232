"""Regular tables are read by a way of their own; what comes out is what the general reader
gives.
"""

import gzip
from itertools import count

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shares import share

from kgrec.data.readers.interactions import (
    LogColumns,
    LogSettings,
    _read,
    _regular,
    _to_log,
    read_interactions,
    read_log,
)
from kgrec.data.tables import blocks as regular
from kgrec.errors import KgrecError

_NUMBER = count()
NOTHING = (None, None, None, None)


def general(path, wanted=NOTHING):
    settings = LogSettings(LogColumns(*wanted))
    return _to_log(_read(str(path), settings), settings)


def quick(path, wanted=NOTHING, separator=None):
    return _regular(str(path), LogSettings(LogColumns(*wanted), separator=separator))


def same(log, other):
    assert log.named().equals(other.frame)
    assert (log.sources, log.dropped) == (other.sources, other.dropped)


WHOLE = "user_id,item_id,rating,timestamp\n7,30,0.5,100\n12,2,4,99.5\n7,2,1e1,0\n"


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        WHOLE.replace(",", "\t"),
        WHOLE.rstrip("\n"),
        WHOLE.partition("\n")[2],
        WHOLE.replace("7,", "007,"),
        WHOLE.replace("7,", "-7,"),
        WHOLE.replace("7,", "+7,"),
        WHOLE.replace("7,", "\u0664,"),
        WHOLE.replace("7,", "anna maria,"),
        WHOLE.replace("7,", " 7,"),
        WHOLE.replace("7,", "99999999999,"),
        WHOLE.replace("7,", "99999999999999999999,"),
        "item_id:token,user_id:token\na,b\na,c\n",
        "time,film,who\n3,x,y\n",
        "\ufeff" + WHOLE,
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_regular_is_read_quickly_and_alike(tmp_path, text, packed, monkeypatch):
    monkeypatch.setattr(regular, "_BLOCK", 40)
    path = tmp_path / ("log.tsv.gz" if packed else "log.tsv")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    wanted = ("who", "film") if "film" in text else NOTHING
    found = quick(path, wanted)
    assert found is not None
    same(found, general(path, wanted))
    assert found.frame["user"].dtype == found.frame["item"].dtype == pl.Int32
    assert read_interactions(path, user=wanted[0], item=wanted[1]).frame.equals(found.named())


@pytest.mark.parametrize(
    "text",
    [
        WHOLE.replace("\n", "\r\n"),
        WHOLE.replace("12,2", '"12","2"'),
        WHOLE + "\n",
        WHOLE.replace("12,2,4,99.5", "12,2,4"),
        WHOLE.replace("12,2,4,99.5", "12,2,4,5,6"),
        WHOLE.replace("12,2,4,99.5", "12,2,4\n12,2,4,5,6"),
        WHOLE.replace("12,2", "12,"),
        WHOLE.replace("99.5", "NaN"),
        WHOLE.replace("99.5", ""),
        WHOLE.replace("99.5", "1997-12-04"),
        WHOLE.replace("12", "1\x002"),
        "user_id,item_id\n",
        "\n",
        "\n" + WHOLE,
        "  \n" + WHOLE,
        "a b\nc d\n",
        "a::b\nc::d\n",
    ],
)
def test_what_is_not_is_left_to_the_general_reader(tmp_path, text, monkeypatch):
    monkeypatch.setattr(regular, "_BLOCK", 40)
    path = tmp_path / "log.csv"
    path.write_text(text, newline="")
    assert quick(path) is None


CELL = st.one_of(
    st.integers(-2, 200).map(str),
    st.sampled_from(["007", "a b", "\u00e9", "", "1.5", "nan", '"', "x\ty", " 3", "1e400", "0"]),
)


@settings(max_examples=share(300))
@given(
    st.lists(st.lists(CELL, min_size=2, max_size=4), min_size=1, max_size=8),
    st.sampled_from([",", "\t", ";"]),
    st.sampled_from(["\n", "\n", "\n", "\r\n"]),
    st.sampled_from(["", "user_id,item_id,rating,timestamp"]),
    st.booleans(),
)
def test_both_readers_agree(tmp_path_factory, rows, separator, end, header, ends):
    path = tmp_path_factory.getbasetemp() / f"regular-{next(_NUMBER)}.csv"
    width = len(rows[0])
    lines = [separator.join(row) for row in rows]
    if header:
        lines.insert(0, separator.join(header.split(",")[:width]))
    path.write_text(end.join(lines) + (end if ends else ""), newline="")
    said = []
    for read in (lambda: read_log(str(path)).named(), lambda: general(path).frame):
        try:
            said.append(read())
        except KgrecError as error:
            said.append(str(error))
    ours, theirs = said
    assert (
        ours == theirs if isinstance(theirs, str) or isinstance(ours, str) else ours.equals(theirs)
    )
