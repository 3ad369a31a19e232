import gzip
import os

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrec.data.tables import delimited as tables
from kgrec.data.tables.delimited import as_ids, as_numbers, find_column, read_table
from kgrec.data.tables.times import read_times
from kgrec.errors import ConfigError, FormatError, MissingFileError


def written(folder, name, text):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_cells_stay_as_written(tmp_path):
    path = written(tmp_path, "a.tsv", "user_id\titem_id\n007\t 1 \n7\t1e3\n")
    table = read_table(path, known={"user_id"})
    assert table.header
    assert table.frame.rows() == [("007", " 1 "), ("7", "1e3")]
    assert table.line.to_list() == [2, 3]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "x,y\nu,v\n"),
        ("a.csv", "x;y\nu;v\n"),
        ("a.csv", "x,y\r\nu,v\r\n"),
        ("a.csv", "\ufeffx,y\nu,v\n"),
        ("a.dat", "x::y\nu::v\n"),
        ("a.tsv", "x\ty\nu\tv"),
        ("a.txt", "x y\nu   v\n"),
        ("a.txt", "x|y\n\nu|v\n\n"),
        ("a.csv", '"x","y"\n"u","v"\n'),
    ],
)
def test_separator_line_ends_and_marks(tmp_path, name, text):
    assert read_table(written(tmp_path, name, text)).frame.rows() == [("x", "y"), ("u", "v")]


def test_gzip_is_told_by_its_bytes(tmp_path):
    packed = gzip.compress(b"x,y\nu,v\n", mtime=0)
    for name in ("a.csv.gz", "a.csv"):
        assert read_table(written(tmp_path, name, packed)).frame.rows() == [("x", "y"), ("u", "v")]


def test_typed_header_loses_its_types(tmp_path):
    table = read_table(
        written(tmp_path, "a.inter", "user_id:token\titem_id:token\trating:float\n1\t2\t3\n")
    )
    assert table.frame.columns == ["user_id", "item_id", "rating"]


def test_header_is_recognized_by_words_above_numbers(tmp_path):
    assert read_table(written(tmp_path, "a.csv", "person,thing\n1,2\n3,4\n")).header
    assert not read_table(written(tmp_path, "b.csv", "anna,300\nben,titanic\n")).header
    assert not read_table(written(tmp_path, "c.csv", "anna,titanic\nben,300\ncleo,alien\n")).header


def test_quoted_cells_may_hold_separators_and_line_breaks(tmp_path):
    path = written(tmp_path, "a.csv", 'id,title\n1,"Good, Bad\nand Ugly"\n2,"say ""hi"""\n3,x,y\n')
    with pytest.raises(FormatError, match=r"a\.csv:5: expected 2 columns, found 3"):
        read_table(path, known={"title"})
    table = read_table(path, known={"title"}, on_error="skip")
    assert table.frame.rows() == [("1", "Good, Bad\nand Ugly"), ("2", 'say "hi"')]
    assert table.line.to_list() == [2, 4]
    assert [d.count for d in table.dropped] == [1]


def test_a_quote_in_tab_separated_text_is_a_character(tmp_path):
    assert read_table(written(tmp_path, "a.tsv", '1\t"Oh\n2\tx"\n')).frame.rows() == [
        ("1", '"Oh'),
        ("2", 'x"'),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"f\.tsv: the file is empty"),
        (b"\n \n", r"f\.tsv: the file is empty"),
        (b"a\tb\nc\td\xff\n", r"f\.tsv:2: byte 0xff is not UTF-8"),
        (b"a\tb\nc\t\0\n", r"f\.tsv:2: a NUL byte"),
        ("a\tb\n".encode("utf-16"), r"f\.tsv:1: the file is UTF-16"),
        (b"a\tb\n\nc\n", r"f\.tsv:3: expected 2 columns, found 1 column\."),
        (b"a\tb\nc\td\te\n", r"f\.tsv:2: expected 2 columns, found 3 columns"),
        (b"user_id:token\tuser_id:token\nc\td\n", r"f\.tsv:1: column 'user_id' occurs twice"),
        (gzip.compress(b"a\tb\n" * 99, mtime=0)[:-5], r"f\.tsv: the gzip stream ends too early"),
        (gzip.compress(b"a\tb\n" * 99, mtime=0)[:-8] + bytes(8), r"f\.tsv: damaged gzip stream"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, content, message):
    with pytest.raises(FormatError, match=message):
        read_table(written(tmp_path, "f.tsv", content))


def test_missing_files_and_folders(tmp_path):
    written(tmp_path, "clicks.csv", "a,b\n")
    with pytest.raises(MissingFileError, match=r"no such file\. Nearest: clicks\.csv"):
        read_table(str(tmp_path / "click.csv"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFileError, match="no table there"):
        read_table(str(tmp_path / "empty"))
    with pytest.raises(MissingFileError):
        read_table("a\0b")
    with pytest.raises(FormatError, match="expected a path"):
        read_table(3)


def test_settings_are_checked(tmp_path):
    path = written(tmp_path, "a.csv", "a,b\n")
    with pytest.raises(ConfigError, match="on_error"):
        read_table(path, on_error="ignore")
    with pytest.raises(ConfigError, match="separator"):
        read_table(path, separator="")


def test_unclosed_quote(tmp_path):
    with pytest.raises(FormatError, match=r"a\.csv:\d+: .*quotes"):
        read_table(written(tmp_path, "a.csv", 'a,"b\nc,d\n'))


def test_parquet_and_frames(tmp_path):
    frame = pl.DataFrame({"user_id": [3, 4], "item_id": ["a", "b"]})
    frame.write_parquet(tmp_path / "a.parquet")
    assert read_table(str(tmp_path / "a.parquet")).frame.equals(frame)
    assert read_table(frame).frame.equals(frame)
    with pytest.raises(FormatError, match="not a readable Parquet file"):
        read_table(written(tmp_path, "b.parquet", b"PAR1 nonsense PAR1"))


def test_find_column_says_the_nearest(tmp_path):
    table = read_table(pl.DataFrame({"user_id": ["a"], "Item": ["b"]}))
    assert find_column(table, None, ("item",)) == "Item"
    assert find_column(table, None, ("item",), taken=("Item",)) is None
    with pytest.raises(FormatError, match=r"no column 'usr_id'\. Nearest: user_id"):
        find_column(table, "usr_id", ())


def test_numbers(tmp_path):
    table = read_table(
        written(tmp_path, "a.csv", "n,m\n1,2\n 2.5 ,3\nfour,5\nnan,6\n"), known={"n"}
    )
    with pytest.raises(FormatError, match=r"a\.csv:4: column 'n' holds 'four', not a number"):
        as_numbers(table, "n")
    assert as_numbers(table, "n", on_error="skip").to_list() == [1.0, 2.5, None, None]
    dates = read_table(pl.DataFrame({"t": ["1970-01-02"]}).with_columns(pl.col("t").str.to_date()))
    assert read_times(dates, "t").values.to_list() == [86400.0]


def test_ids(tmp_path):
    with pytest.raises(FormatError, match=r"a\.csv:3: column 'm' is empty"):
        as_ids(read_table(written(tmp_path, "a.csv", "n,m\n1,2\n2,\n"), known={"n"}), "m")
    with pytest.raises(FormatError, match="ids are text or whole numbers"):
        as_ids(read_table(pl.DataFrame({"x": [1.5]})), "x")


CELL = st.text(
    st.characters(exclude_characters="\0\t\n\r", exclude_categories=["Cs"]), min_size=1, max_size=6
).filter(lambda s: s.strip())


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8))
def test_any_tab_separated_cells_come_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("t") / "a.tsv"
    path.write_text(
        "user_id\titem_id\n" + "".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8", newline=""
    )
    assert read_table(str(path), known={"user_id"}).frame.rows() == rows


CSV_PIECES = ['"', '""', ",", '","', "a", " ", "\n", "\r\n", ',"', '",', '"b"', "\x85", "\u2028"]


@given(st.lists(st.sampled_from(CSV_PIECES), min_size=1, max_size=14))
def test_quoted_text_is_read_as_csv_reads_it(pieces):
    text = "".join(pieces)
    quick = tables._quoted_lines(text, ",")
    if quick is None or not len(quick[0]):
        return
    rows, lines = tables._quoted_text("t.csv", text, ",", None)
    assert (quick[0].to_list(), quick[1].to_list()) == (rows.to_list(), lines.to_list())


def test_quoted_cells_over_several_lines(tmp_path):
    (tmp_path / "t.csv").write_text('id,text\n1,"a ""b"", c"\n2,"over\ntwo lines"\n3,x\n')
    table = read_table(tmp_path / "t.csv", known={"id"})
    assert table.frame["text"].to_list() == ['a "b", c', "over\ntwo lines", "x"]
    assert table.line.to_list() == [2, 3, 5]


def test_sequences_of_a_typed_header(tmp_path):
    (tmp_path / "t.item").write_text("item_id:token\tclass:token_seq\n1\ta b\n")
    assert read_table(tmp_path / "t.item").sequences == {"class"}
    (tmp_path / "u.item").write_text(
        "1|Toy Story (1995)|01-Jan-1995\n2|GoldenEye (1995)|01-Jan-1995\n"
    )
    assert read_table(tmp_path / "u.item").frame.width == 3


def test_quotes_around_nothing(tmp_path):
    (tmp_path / "t.csv").write_text('""\n"",""\n')
    with pytest.raises(FormatError, match="no row says anything"):
        read_table(tmp_path / "t.csv")


def test_bad_lines_of_json_can_be_skipped(tmp_path):
    lines = [
        '{"a": 1, "b": "x"}',
        "nonsense",
        '{"a": [1], "b": "y"}',
        "",
        "[1]",
        '{"a": 3, "b": "z"}',
        "[" * 200 + "]" * 200,
    ]
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(lines) + "\n")
    table = read_table(path, on_error="skip")
    assert table.frame.rows() == [(1, "x"), (3, "z")]
    assert table.line.to_list() == [1, 6]
    (left,) = table.dropped
    assert (left.count, left.where) == (4, tuple(f"{path}:{number}" for number in (2, 3, 5, 7)))
    with pytest.raises(FormatError, match=r"t.jsonl:2: not JSON"):
        read_table(path)
    path.write_text("nonsense\n")
    with pytest.raises(FormatError, match=r"t.jsonl: no line is a JSON object"):
        read_table(path, on_error="skip")


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("q.csv", '"a";"b"\n"u1";"x;y"\n"u ""2""";2\n', [("u1", "x;y"), ('u "2"', "2")]),
        ("q.csv", '"a";"b"\r\n"u1";"x\ny"\r\n', [("u1", "x\ny")]),
        ("q.tsv", '"a"\t"b"\n"u1"\t"x\ty"\n', [("u1", "x\ty")]),
        ("q.tsv", 'a\tb\nu1\t"x" y\n', [("u1", '"x" y')]),
        ("q.txt", 'a|b\nu1|"x|y"\n', [("u1", "x|y")]),
        ("q.txt", 'a|b\nu1|"x" y\n', [("u1", '"x" y')]),
        ("q.csv", "sep=;\r\na;b\r\nu1;x,y\r\n", [("u1", "x,y")]),
        ("q.csv", '"sep=,"\na,b\nu1,x\n', [("u1", "x")]),
    ],
)
def test_quotes_belong_to_no_cell_whatever_the_separator(tmp_path, name, text, rows):
    (tmp_path / name).write_text(text, newline="")
    table = read_table(tmp_path / name, known={"a"})
    assert (table.frame.columns, table.frame.rows()) == (["a", "b"], rows)
    assert table.line[0] == (3 if "sep=" in text else 2)


def test_a_sheet_of_excel_is_called_one(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04rest")
    with pytest.raises(
        FormatError,
        match=r"t.xlsx: is a zip archive or an Excel file. Unpack it, or save the sheet as CSV",
    ):
        read_table(tmp_path / "t.xlsx")


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(
        FormatError, match=r"pipe.csv: is a pipe or device, and files are read more than once"
    ):
        read_table(tmp_path / "pipe.csv")
