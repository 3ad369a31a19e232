"""A graph from a table of items: what its columns hold is found, said, and made into triples;
nothing is lost without a word.
"""

import contextlib
import datetime
import json
import random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kgrec
from kgrec.data.readers.attributes import table_settings
from kgrec.data.tables.column_kinds import find_separator, flag_groups
from kgrec.data.tables.list_cells import in_lists
from kgrec.errors import ConfigError, FormatError, KgrecError, MissingFileError

GENRES = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
]
GENRES += ["Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"]

FILMS = """item_id,title,genres,director,actor,price,in_color,zip,plot,link,tags,released,studio
1,Alien,"Horror, SciFi",Scott,Weaver,$9.99,yes,00123,{text} one,http://x/1,"[""a"", ""b, c""]",1979-05-25,Fox
2,Heat,Crime,Mann,Pacino,12.50,no,00123,{text} two,http://x/2,"['a']",1995-12-15,Fox
3,Manhunter,"Crime, Horror",Mann,Petersen,"1,234",no,00999,{text} three,http://x/3,[],"March 3, 1986",Fox
4,Gran,Drama,Mann,Mann,7,yes,NA,{text} four,http://x/4,"[""b, c""]",NA,Fox
"""
TEXT = "a text about somebody who walks and walks and never comes back to the place where it began"


@pytest.fixture
def films(tmp_path):
    path = tmp_path / "films.csv"
    path.write_text(FILMS.replace("{text}", TEXT))
    return str(path)


def stated(triples):
    keys = triples.entities.keys
    return sorted(
        zip(
            keys(triples.head),
            triples.relations.keys(triples.relation),
            keys(triples.tail),
            strict=True,
        )
    )


def about(triples, head, relation):
    return [tail for one, by, tail in stated(triples) if (one, by) == (head, relation)]


def columns_of(triples):
    return {column.column: column for column in triples.columns}


def table_of(**columns):
    return kgrec.triples_from_table(pl.DataFrame(columns))


def test_what_columns_hold_is_found_and_said(films):
    told = columns_of(kgrec.triples_from_table(films))
    assert {name: column.kind for name, column in told.items()} == {
        "item_id": "item id",
        "title": "title",
        "genres": "list",
        "director": "category",
        "actor": "category",
        "price": "number",
        "in_color": "boolean",
        "zip": "category",
        "plot": "text",
        "link": "url",
        "tags": "list",
        "released": "date",
        "studio": "constant",
    }
    assert (
        told["genres"].distinct,
        told["genres"].rows,
        told["genres"].triples,
        told["genres"].note,
    ) == (4, 4, 6, "split at ','")
    assert {
        name: column.note for name, column in told.items() if name in ("plot", "link", "studio")
    } == {
        "plot": "free text",
        "link": "addresses",
        "studio": "every row says the same",
    }
    assert (told["zip"].rows, told["zip"].triples, told["zip"].relation, told["plot"].relation) == (
        3,
        3,
        "zip",
        "",
    )


def test_values_become_entities_with_labels_and_places(films):
    triples = kgrec.triples_from_table(films)
    assert about(triples, "1", "genres") == ["genres=Horror", "genres=SciFi"]
    assert about(triples, "1", "tags") == ["tags=a", "tags=b, c"]
    assert about(triples, "3", "price") == ["price=1234"]
    assert [about(triples, item, "released") for item in "1234"] == [
        ["released=1979"],
        ["released=1995"],
        ["released=1986"],
        [],
    ]
    assert [about(triples, item, "in_color") for item in "1234"] == [
        ["in_color=yes"],
        [],
        [],
        ["in_color=yes"],
    ]
    assert triples.label(triples.entities.row("1")) == "Alien"
    assert triples.label(triples.entities.row("director=Mann")) == "Mann"
    place = {
        (int(line), triples.column(int(source)))
        for line, source in zip(triples.locator, triples.source, strict=True)
    }
    assert (2, "genres") in place
    assert (5, "director") in place
    assert {line for line, _ in place} == {2, 3, 4, 5}
    assert set(triples.sources) == {films}
    assert not any(triples.counts_statements(source) for source in range(len(triples.sources)))


def test_columns_can_share_their_entities(films):
    triples = kgrec.triples_from_table(films, spaces={"director": "person", "actor": "person"})
    assert about(triples, "4", "director") == about(triples, "4", "actor") == ["person=Mann"]
    assert set(
        triples.types.filter(pl.col("entity") == triples.entities.row("person=Mann"))["type"]
    ) == {"person"}
    assert table_settings({"spaces": "director:person,actor:person"}) == {
        "spaces": {"director": "person", "actor": "person"}
    }


def test_columns_are_chosen_excluded_and_forced(films):
    assert set(kgrec.triples_from_table(films, columns=["studio", "plot"]).relations) == {
        "studio",
        "plot",
    }
    assert set(kgrec.triples_from_table(films, columns=["genres"]).relations) == {"genres"}
    assert "genres" not in kgrec.triples_from_table(films, exclude="genres").relations
    assert len(kgrec.triples_from_table(films, columns=[])) == 0
    forced = kgrec.triples_from_table(
        films,
        kinds={"price": "category", "in_color": "category", "genres": "category", "plot": "text"},
    )
    assert about(forced, "1", "price") == ["price=$9.99"]
    assert about(forced, "2", "in_color") == ["in_color=no"]
    assert about(forced, "1", "genres") == ["genres=Horror, SciFi"]
    assert forced.attributes["value"].to_list() == [
        f"{TEXT} {word}" for word in ("one", "two", "three", "four")
    ]
    assert columns_of(forced)["plot"].note == "kept as text of the items"


def test_separators():
    cells = {"|": ["a|b", "b", "c|a|b"], ";": ["a; b", "b", "c;a"], ",": ["a, b", "b, c", "c", "a"]}
    assert {mark: find_separator(pl.Series(own)) for mark, own in cells.items()} == {
        mark: mark for mark in cells
    }
    for one_value in (
        ["Scott, Ridley", "Mann, Michael", "Scott, Tony"],
        ["Paris, France", "Nice, France", "Lyon, France"],
        ["Acme, Inc.", "Brot, Inc.", "Acme, Ltd."],
        ["Godfather, The", "Rock, The", "Heat"],
        ["1,234", "2,345", "1,345"],
    ):
        assert find_separator(pl.Series(one_value)) is None, one_value
    given_one = kgrec.triples_from_table(
        pl.DataFrame({"id": ["1", "2"], "g": ["a / b", "b"]}), separators={"g": "/"}
    )
    assert stated(given_one) == [("1", "g", "g=a"), ("1", "g", "g=b"), ("2", "g", "g=b")]


@given(
    st.lists(
        st.lists(
            st.text(
                st.characters(codec="utf-8", exclude_characters="\\\"'\x00"), min_size=1, max_size=5
            ),
            max_size=4,
        ),
        min_size=1,
    )
)
def test_json_lists_are_read_as_json_reads_them(lists):
    cells = pl.Series(
        [
            json.dumps(cell, ensure_ascii=False)
            for cell in lists
            if all(part.isprintable() for part in cell)
        ],
        dtype=pl.String,
    )
    assert in_lists(cells).to_list() == [json.loads(cell) for cell in cells]


def test_python_lists_are_read_too():
    assert in_lists(pl.Series([repr(["it's", "x, y"]), "[1, 2.5]", '["a \\"b\\""]'])).to_list() == [
        ["it's", "x, y"],
        ["1", "2.5"],
        ['a "b"'],
    ]


def test_the_flags_of_movielens(tmp_path):
    chosen = random.Random(0)
    rows = [
        [
            str(n),
            f"Film {n}",
            f"{n % 28 + 1:02d}-Jan-{1960 + n % 30}",
            "",
            f"http://us.imdb.com/M/{n}",
        ]
        for n in range(1, 101)
    ]
    flags = [[chosen.choice("0001") for _ in GENRES[1:]] for _ in rows]
    (tmp_path / "u.item").write_text(
        "".join("|".join([*row, "0", *own]) + "\n" for row, own in zip(rows, flags, strict=True))
    )
    names = ["movie id", "movie title", "release date", "video release date", "IMDb URL", *GENRES]
    triples = kgrec.triples_from_table(str(tmp_path / "u.item"), item="movie id", names=names)
    assert set(triples.relations) == {"release date", "genre"}
    assert about(triples, "7", "genre") == sorted(
        f"genre={name}" for name, flag in zip(GENRES[1:], flags[6], strict=True) if flag == "1"
    )
    told = columns_of(triples)
    assert {told[name].kind for name in GENRES} == {"flag"}
    assert (told["unknown"].triples, told["video release date"].kind, told["IMDb URL"].kind) == (
        0,
        "empty",
        "url",
    )
    assert triples.label(triples.entities.row("7")) == "Film 7"
    row = next(
        r for r in range(len(triples)) if triples.relations.key(triples.relation[r]) == "genre"
    )
    assert triples.column(int(triples.source[row])) in GENRES
    unnamed = kgrec.triples_from_table(str(tmp_path / "u.item"), flags="genre")
    assert "genre" in unnamed.relations


def test_flag_columns_that_begin_alike_are_one_relation():
    triples = table_of(id=["1", "2"], genre_War=[1, 0], genre_Drama=[1, 1], new=[True, False])
    assert stated(triples) == [
        ("1", "genre", "genre=Drama"),
        ("1", "genre", "genre=War"),
        ("1", "new", "new=yes"),
        ("2", "genre", "genre=Drama"),
    ]
    assert flag_groups(["wifi", "pool", "bar", "sea"]) == [
        ("has", [("wifi", "wifi"), ("pool", "pool"), ("bar", "bar"), ("sea", "sea")])
    ]


def test_numbers_become_ranges_with_as_many_items_each():
    numbers = [float(n**2) for n in range(100)]
    triples = kgrec.triples_from_table(pl.DataFrame({"id": range(100), "size": numbers}), bins=4)
    groups = pl.Series(triples.entities.keys(triples.tail)).value_counts().sort("count")
    assert groups["count"].to_list() == [25, 25, 25, 25]
    assert set(groups[groups.columns[0]]) == {
        "size=0 to 576",
        "size=625 to 2401",
        "size=2500 to 5476",
        "size=5625 to 9801",
    }
    few = table_of(id=range(40), stars=[n % 5 for n in range(40)])
    assert set(few.entities.keys(few.tail)) == {f"stars={n}" for n in range(5)}


def test_years_dates_and_decades():
    frame = pl.DataFrame(
        {
            "id": ["1", "2", "3"],
            "year": [1999, 2001, None],
            "when": [datetime.date(1987, 1, 2), None, datetime.date(1991, 5, 5)],
            "at": ["03/12/1997", "1998-02-03T10:00:00Z", "1998-05"],
        }
    )
    triples = kgrec.triples_from_table(frame)
    assert stated(triples) == [
        *[("1", "at", "at=1997"), ("1", "when", "when=1987"), ("1", "year", "year=1999")],
        *[
            ("2", "at", "at=1998"),
            ("2", "year", "year=2001"),
            ("3", "at", "at=1998"),
            ("3", "when", "when=1991"),
        ],
    ]
    decades = kgrec.triples_from_table(frame, years="decade")
    assert set(decades.entities.keys(decades.tail)) == {
        "at=1990s",
        "when=1980s",
        "when=1990s",
        "year=1990s",
        "year=2000s",
    }


def test_identifiers_are_left_out_and_references_kept():
    many = range(50)
    told = columns_of(
        table_of(
            item_id=[f"x{n}" for n in many],
            imdb=[f"tt{n:07d}" for n in many],
            row=list(many),
            tmdbId=[n * n for n in many],
            brand_id=[n % 7 for n in many],
            votes=[n * n for n in many],
        )
    )
    assert {
        name: (column.kind, bool(column.relation))
        for name, column in told.items()
        if name != "item_id"
    } == {
        "imdb": ("identifier", False),
        "row": ("identifier", False),
        "tmdbId": ("identifier", False),
        "brand_id": ("category", True),
        "votes": ("number", True),
    }
    assert all(told[name].note for name in ("imdb", "row", "tmdbId"))


def test_rare_values_are_cut_and_counted():
    frame = pl.DataFrame({"id": ["1", "2", "3"], "a": ["x|y", "x", "z"], "b": ["y", "q", "x"]})
    alone = kgrec.triples_from_table(frame, min_count=2, kinds={"a": "list"}, separators={"a": "|"})
    assert stated(alone) == [("1", "a", "a=x"), ("2", "a", "a=x")]
    assert {(d.what, d.why): d.count for d in alone.dropped} == {
        ("values", "a: fewer than 2 items have them"): 2,
        ("values", "b: fewer than 2 items have them"): 3,
    }
    shared = kgrec.triples_from_table(
        frame, min_count=2, separators={"a": "|"}, spaces={"a": "v", "b": "v"}
    )
    assert stated(shared) == [("1", "a", "v=x"), ("2", "a", "v=x"), ("3", "b", "v=x")]
    large = pl.DataFrame(
        {"id": range(1_000), "a": [f"v{max(n, 3)}" if n < 10 else "common" for n in range(1_000)]}
    )
    assert len(kgrec.triples_from_table(large)) == 990 + 4
    assert len(kgrec.triples_from_table(large, min_count=1)) == 1_000


def test_several_rows_of_an_item_add_up():
    triples = table_of(
        id=["1", "1", "1", "2"], title=["A", "B", None, "C"], tag=["x", "y", "x", "y"]
    )
    assert stated(triples) == [("1", "tag", "tag=x"), ("1", "tag", "tag=y"), ("2", "tag", "tag=y")]
    assert triples.counts["rows of an item that an earlier row names"] == 2
    assert triples.label(triples.entities.row("1")) == "A"
    assert triples.locator.tolist() == [1, 2, 4]


def test_ids_stay_as_they_are_and_look_alikes_are_counted(tmp_path):
    (tmp_path / "t.csv").write_text(
        "item_id,genre\na ,x\nA,y\n\uff41,y\nb c,x\ngenre=x,x\n", encoding="utf-8"
    )
    triples = kgrec.triples_from_table(str(tmp_path / "t.csv"))
    assert {"a ", "A", "\uff41", "b c", "genre=x"} <= set(triples.entities)
    assert about(triples, "genre=x", "genre") == ["value:genre=x"]
    assert triples.counts["item ids that look like another one of the table"] == 3


def test_cells_that_cannot_be_read_are_counted_with_their_lines(tmp_path):
    rows = [f"i{n},{1950 + n}" for n in range(60)] + ["j,V", "k,", "l,NA"]
    (tmp_path / "t.csv").write_text("item_id,year\n" + "\n".join(rows) + "\n")
    triples = kgrec.triples_from_table(str(tmp_path / "t.csv"))
    (lost,) = triples.dropped
    assert (lost.what, lost.count, lost.where) == ("cells", 1, (f"{tmp_path / 't.csv'}:62",))
    assert columns_of(triples)["year"].rows == 61
    assert len(triples) == 60


def test_ragged_rows_and_missing_ids_can_be_skipped(tmp_path):
    (tmp_path / "t.csv").write_text("item_id,genre\n1,a\n,b\n2,a\n3\n")
    triples = kgrec.triples_from_table(str(tmp_path / "t.csv"), on_error="skip")
    assert stated(triples) == [("1", "genre", "genre=a"), ("2", "genre", "genre=a")]
    assert {d.what: (d.count, d.where) for d in triples.dropped}["rows"] == (
        1,
        (f"{tmp_path / 't.csv'}:3",),
    )
    assert {d.what: d.count for d in triples.dropped}["lines"] == 1


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("item_id,genre\n1,a\n,b\n", {}, r"t\.csv:3: column 'item_id' is empty"),
        ("item_id,genre\n1,a,b\n", {}, r"t\.csv:2: expected 2 columns, found 3"),
        ("item_id,genre,genre\n1,a,b\n", {}, r"t\.csv:1: column 'genre' occurs twice"),
        ("item_id,genre\n", {}, "a header and no rows"),
        ("item_id\n1\n", {}, "one column"),
        ("", {}, "the file is empty"),
        ("item_id,genre\n1,a\n", {"item": "id"}, "no column 'id'"),
        (
            "item_id,genre\n1,a\n",
            {"columns": ["genres"]},
            r"columns: .*t\.csv has no column 'genres'\. Nearest: genre",
        ),
        (
            "item_id,genre\n1,a\n",
            {"kinds": {"genre": "lst"}},
            "kinds: genre='lst' is unknown. Nearest: list",
        ),
        (
            "item_id,genre\n1,a\n",
            {"kinds": {"genre": "list"}},
            "no separator was found in column 'genre'",
        ),
        ("item_id,genre\n1,a\n", {"spaces": {"director": "person"}}, "no column 'director'"),
        ("item_id,genre\n1,a\n", {"years": "century"}, "years: 'century' is neither"),
        ("item_id,genre\n1,a\n", {"bins": 1}, "bins: 1 is too few"),
        ("item_id,genre\n1,a\n", {"min_count": 0}, "min_count: 0 is too few"),
        ("item_id,genre\n1,a\n", {"bin": 3}, "unknown setting 'bin'. Nearest: bins"),
        ("item_id,genre\n1,a\n", {"separators": {"genre": ""}}, "that of 'genre' is empty"),
        ("item_id,genre\n1,a\n", {"names": ["a"]}, "1 different names for the 2 columns"),
    ],
)
def test_bad_input_is_one_line(tmp_path, text, settings, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(KgrecError, match=message) as caught:
        kgrec.triples_from_table(str(tmp_path / "t.csv"), **settings)
    assert "\n" not in str(caught.value)


def test_what_is_no_table():
    with pytest.raises(FormatError, match="expected a path or a polars or pandas frame, got int"):
        kgrec.triples_from_table(7)
    with pytest.raises(MissingFileError):
        kgrec.triples_from_table("nothing.csv")
    with pytest.raises(FormatError, match="holds Float64; ids are text or whole numbers"):
        table_of(id=[1.5], x=["a"])
    with pytest.raises(
        ConfigError, match="column 'x' of the frame holds lists and cannot be 'number'"
    ):
        kgrec.triples_from_table(pl.DataFrame({"id": ["1"], "x": [["a"]]}), kinds={"x": "number"})


def test_a_number_that_is_no_year_is_counted():
    triples = kgrec.triples_from_table(
        pl.DataFrame({"id": ["1", "2", "3"], "x": [2**63, 1999, 7]}), kinds={"x": "year"}
    )
    assert stated(triples) == [("2", "x", "x=1999"), ("3", "x", "x=7")]
    assert [(d.what, d.count, d.where) for d in triples.dropped] == [("cells", 1, ("the frame:1",))]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("space", "a:b", "'space' is no setting of triples_from_table. Nearest: spaces"),
        ("spaces", "director", "has no colon"),
        ("bins", "ten", "is not a whole number"),
        ("kinds", "a:nothing", "a='nothing' is unknown"),
    ],
)
def test_settings_as_text(name, value, message):
    with pytest.raises(ConfigError, match=message):
        table_settings({name: value})
    assert table_settings({"separators": "genre:,", "columns": "", "min_count": "3"}) == {
        "separators": {"genre": ","},
        "columns": [],
        "min_count": 3,
    }


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_makes_the_same_triples(tmp_path, suffix):
    frame = pl.DataFrame(
        {
            "item_id": ["1", "2", "3"],
            "genre": ["a|b", "b", "a"],
            "n": [1, 2, 2],
            "note": ['say "hi"', "x", "x"],
        }
    )
    path = tmp_path / f"t.{suffix}"
    writers = {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}
    if suffix == "tsv":
        frame.write_csv(path, separator="\t", quote_style="never")
    else:
        writers[suffix](path)
    triples = kgrec.triples_from_table(str(path))
    assert stated(triples) == stated(kgrec.triples_from_table(frame))
    first = 2 if suffix in ("csv", "tsv") else 1
    assert set(triples.locator.tolist()) == {first, first + 1, first + 2}


def test_pandas(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"item_id": [1, 2], "genre": ["a", "b"]})
    assert stated(kgrec.triples_from_table(frame)) == [
        ("1", "genre", "genre=a"),
        ("2", "genre", "genre=b"),
    ]


def test_lists_records_and_odd_types():
    told = columns_of(
        table_of(
            id=["1", "2"],
            tags=[["a", "b"], ["a"]],
            record=[{"x": 1}, {"x": 2}],
            raw=[b"a", b"b"],
            many=[[{"x": 1}], []],
            none=[None, None],
        )
    )
    assert {name: column.kind for name, column in told.items() if name != "id"} == {
        "tags": "list",
        "record": "nested",
        "raw": "nested",
        "many": "nested",
        "none": "empty",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"item_id":1,"g":"a"}\n{bad\n', r"t\.jsonl:2: not JSON"),
        ("[1]\n", r"t\.jsonl:1: not a JSON object"),
        ('{"a":' + "[" * 100_000 + "\n", r"t\.jsonl:1: objects within objects"),
        (
            '{"item_id":1,"g":[1]}\n\n{"item_id":2,"g":3}\n',
            r"t\.jsonl:3: 'g' is a single value here, a list before",
        ),
        ('{"item_id":1,"g":"a"}{"item_id":2}\n', r"t\.jsonl:1: not JSON"),
        ("\xff", "not"),
    ],
)
def test_json_lines_that_are_none(tmp_path, text, message):
    (tmp_path / "t.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=message):
        kgrec.triples_from_table(str(tmp_path / "t.jsonl"))


@given(st.text(alphabet="\",a |;\n[]{}:1-'", max_size=60))
def test_no_text_crashes_the_reader(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("t")
    for suffix in ("csv", "jsonl"):
        path = folder / f"t.{suffix}"
        path.write_text(f"item_id,x\n{text}")
        with contextlib.suppress(KgrecError):
            kgrec.triples_from_table(str(path), on_error="skip")


def test_rows_without_any_column_are_one_line(tmp_path):
    (tmp_path / "t.jsonl").write_text("{}\n{}\n")
    with pytest.raises(KgrecError, match="no column, so no item ids"):
        kgrec.triples_from_table(str(tmp_path / "t.jsonl"))


def test_movielens_titles_years_and_genres(shared_data):
    triples = kgrec.triples_from_table(shared_data("ml-100k") / "ml-100k.item")
    told = columns_of(triples)
    assert (told["movie_title"].kind, told["release_year"].kind, told["class"].kind) == (
        "title",
        "year",
        "list",
    )
    assert (told["class"].distinct, told["class"].triples, told["class"].note) == (
        19,
        2_893,
        "split at ' '",
    )
    assert {d.why: d.count for d in triples.dropped if d.what == "cells"} == {
        f"no year, in column release_year of {shared_data('ml-100k') / 'ml-100k.item'}": 2
    }
    assert about(triples, "1", "class") == ["class=Animation", "class=Children's", "class=Comedy"]


LISTS = {
    "json": ['["War", "Sci-Fi, soft"]', '["War"]', "[]", '["Caf\\u00e9", null]'],
    "python": ["['War', 'Sci-Fi, soft']", "['War', None]", "[]", "['Café']"],
    "postgres": ['{War,"Sci-Fi, soft"}', "{War}", "{}", "{Café}"],
    "tuples": ["('War', 'Sci-Fi, soft')", "('War',)", "", "('Café',)"],
    "mixed": ['["War", "Sci-Fi, soft"]', "War", "", "Café"],
    "records": [
        '[{"id": 1, "name": "War"}, {"id": 2, "name": "Sci-Fi, soft"}]',
        "[{'id': 1, 'name': 'War'}]",
        "[]",
        "[{'id': 3, 'name': 'Café'}]",
    ],
}


@pytest.mark.parametrize("form", LISTS)
def test_lists_in_cells_are_several_values_however_they_are_written(form):
    graph = kgrec.triples_from_table(pl.DataFrame({"item_id": list("abcd"), "genre": LISTS[form]}))
    values = {(item, value.removeprefix("genre=")) for item, _, value in stated(graph)}
    assert values == {("a", "War"), ("a", "Sci-Fi, soft"), ("b", "War"), ("d", "Café")}
    assert graph.columns[1].kind == "list"
    assert "list" in graph.columns[1].note


def test_what_lists_in_some_cells_became_is_said_and_can_be_set():
    cells = ['["War", "Drama"]', *(["Drama", "War"] * 10)]
    table = pl.DataFrame({"item_id": [f"i{n}" for n in range(21)], "genre": cells})
    plain = kgrec.triples_from_table(table)
    assert plain.columns[1].kind == "category"
    assert plain.columns[1].note == "1 cells look like lists: kinds=list reads them"
    read = kgrec.triples_from_table(table, kinds={"genre": "list"})
    assert read.columns[1].distinct == 2
    assert read.columns[1].note == "JSON lists in 1 cells; 20 others are one value each"
    whole = kgrec.triples_from_table(table.head(3), kinds={"genre": "category"})
    assert whole.columns[1].distinct == 3


def test_lists_of_records_of_json_lines_have_their_names(tmp_path):
    lines = ['{"item_id": "a", "genre": [{"id": 1, "name": "War"}, {"id": 2, "name": "Drama"}]}']
    lines.append('{"item_id": "b", "genre": [{"id": 2, "name": "Drama"}]}')
    (tmp_path / "items.jsonl").write_text("\n".join(lines), encoding="utf-8")
    graph = kgrec.triples_from_table(str(tmp_path / "items.jsonl"))
    assert {(h, t) for h, _, t in stated(graph)} == {
        ("a", "genre=War"),
        ("a", "genre=Drama"),
        ("b", "genre=Drama"),
    }
    assert graph.columns[1].note == "lists of records, each its 'name'"
