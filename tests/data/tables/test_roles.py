"""Which column is which: by what is said, by names, by values, or not at all."""

import polars as pl
import pytest

from kgrec import Dataset, read_interactions, read_triples
from kgrec.data.formats.load import load
from kgrec.data.linking.links import read_links
from kgrec.data.readers.items import read_items
from kgrec.data.tables.roles import Known
from kgrec.errors import FormatError


def written(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def taken(log):
    return {role.role: role.column for role in log.roles}


ROWS = "\n".join(f"{n},u{n % 3},s{n % 4},{n % 2}" for n in range(12)) + "\n"


@pytest.mark.parametrize(
    ("header", "user", "item"),
    [
        ("event_id,user_id,sku,flag", "user_id", "sku"),
        ("order_id,customer,article_nr,flag", "customer", "article_nr"),
        ("id,User-ID,ISBN,flag", "User-ID", "ISBN"),
        ("row,kundennr,Artikelnummer,flag", "kundennr", "Artikelnummer"),
        ("event_id,user_id,thingy,quantity", "user_id", "thingy"),
        ("invoice,CustomerID,StockCode,country", "CustomerID", "StockCode"),
        ("index,visitorid,itemid,price", "visitorid", "itemid"),
        ("event_date,user_pseudo_id,item_id,item_name", "user_pseudo_id", "item_id"),
        ("order_id,customer_email,product_id,product_name", "customer_email", "product_id"),
    ],
)
def test_names_say_which_column_is_which(tmp_path, header, user, item):
    log = read_interactions(written(tmp_path, "a.csv", f"{header}\n{ROWS}"))
    assert (taken(log)["user"], taken(log)["item"]) == (user, item)
    assert log.frame.row(1)[:2] == ("u1", "s1")


def test_times_never_become_users(tmp_path):
    text = "timestamp,account,item_id\n1700000000,a,x\n1700000001,b,y\n"
    log = read_interactions(written(tmp_path, "a.csv", text))
    assert log.frame.rows() == [("a", "x", 1700000000.0), ("b", "y", 1700000001.0)]
    text = "timestamp,foo,item_id\n1700000000,a,x\n1700000001,b,y\n"
    log = read_interactions(written(tmp_path, "b.csv", text))
    assert log.frame.row(0)[:2] == ("a", "x")
    assert [role.why for role in log.roles if role.role == "user"] == ["the only column left"]
    assert log.notes == (
        f"{tmp_path / 'b.csv'}: the user is the column 'foo': the only column left.",
    )


@pytest.mark.parametrize(
    ("text", "question"),
    [
        (
            "event_id,user_id,foo,bar\n1,a,x,r\n2,a,y,s\n",
            r"a\.csv: which column is the item \(foo or bar\)\? Columns: 'event_id', 'user_id', "
            r"'foo', 'bar'\. First row: 1, a, x, r\. Say it: --item COL",
        ),
        ("user_id,artist_id,track_id\nu,a,t\nu,b,t\n", r"the item \(artist_id or track_id\)"),
        ("user_id,timestamp,price\nu,1,2.5\nv,2,3.5\n", "which column is the item"),
        ("customer_id,member_id,item_id\na,b,c\nd,e,f\n", r"user \(customer_id or member_id\)"),
    ],
)
def test_what_cannot_be_told_is_asked(tmp_path, text, question):
    path = written(tmp_path, "a.csv", text)
    with pytest.raises(FormatError, match=question):
        read_interactions(path)


def test_what_is_said_goes_first(tmp_path):
    text = "user_id,artist_id,track_id\nu,a,t\nu,b,t\n"
    log = read_interactions(written(tmp_path, "a.csv", text), item="artist_id")
    assert log.frame["item"].to_list() == ["a", "b"]
    assert [role.why for role in log.roles] == ["given", "by its name"]


def test_a_header_of_unknown_words_over_codes_is_no_row(tmp_path):
    log = read_interactions(written(tmp_path, "a.csv", "leser,werk\nu1,i1\nu2,i2\nu3,i1\n"))
    assert log.frame.rows() == [("u1", "i1"), ("u2", "i2"), ("u3", "i1")]


READERS, WORKS = ("anna", "bert", "cleo", "dora"), ("lampe", "tisch", "stuhl", "regal", "sofa")


def worded(folder, rows, *header, iris=False):
    """Write rows of words below a header."""
    cells = [
        (READERS[n % 4], WORKS[n * 3 % 5], ("gut", "schlecht")[n % 2])[: len(header) or 3]
        for n in range(rows)
    ]
    if iris:
        cells = [[f"http://x.org/{cell}" for cell in row] for row in cells]
    lines = [";".join(row) for row in ([header] if header else []) + cells]
    return written(folder, "words.csv", "\n".join(lines) + "\n")


def test_a_header_of_unknown_words_over_words_is_a_question(tmp_path):
    with pytest.raises(FormatError, match=r"which column is the user \(foo or bar or baz\)\?"):
        read_interactions(worded(tmp_path, 60, "foo", "bar", "baz"))
    log = read_interactions(worded(tmp_path, 60, "foo", "bar"))
    assert (taken(log), log.frame.height) == ({"user": "foo", "item": "bar"}, 60)
    triples = read_triples(worded(tmp_path, 60, "foo", "bar", "baz"))
    assert sorted(triples.relations) == sorted(WORKS)
    triples = read_triples(worded(tmp_path, 4, "foo", "bar", "baz", iris=True))
    assert "foo" not in triples.entities


def test_few_words_below_words_are_a_question_that_can_be_answered_either_way(tmp_path):
    path = worded(tmp_path, 6, "foo", "bar", "baz")
    for read in (read_interactions, read_triples, read_items):
        with pytest.raises(
            FormatError, match=r"is the first row a header \('foo', 'bar', 'baz'\)\?"
        ):
            read(path)
    said = {"user": "baz", "item": "foo"}
    assert read_interactions(path, **said).frame.row(0) == ("gut", "anna")
    said = {"user": "column 1", "item": "column 2"}
    assert read_interactions(path, **said).frame.row(0) == ("foo", "bar")
    said = {"head": "column 1", "relation": "column 3", "tail": "column 2"}
    assert list(read_triples(path, **said).relations) == ["baz", "gut", "schlecht"]
    assert read_items(path, item="column 1").ids[0] == "foo"
    assert read_items(path, item="foo").ids[0] == "anna"


@pytest.mark.parametrize("rows", [3, 12, 60])
def test_rows_of_words_without_a_header_stay_rows(tmp_path, rows):
    assert read_interactions(worded(tmp_path, rows)).frame.height == rows


def test_items_say_which_column_of_unknown_names_they_are(tmp_path):
    path = worded(tmp_path, 60, "foo", "bar", "baz")
    items = pl.DataFrame({"item_id": WORKS, "title": WORKS})
    data = Dataset.build(path, items=items, user="foo")
    assert [role.column for role in data.report.roles] == ["foo", "bar", "item_id"]
    assert set(data.items) == set(WORKS)


def test_other_files_tell_whether_the_first_row_is_a_header(tmp_path):
    log = pl.DataFrame(
        {
            "user_id": [READERS[n % 4] for n in range(20)],
            "item_id": [WORKS[n % 5] for n in range(20)],
        }
    )
    stuff = "".join(f"{name};{'holz' if n else 'glas'}\n" for n, name in enumerate(WORKS))
    towns = "".join(f"{name};{'ost' if n else 'west'}\n" for n, name in enumerate(READERS))
    addresses = "".join(f"{name};urn {name}\n" for name in WORKS)
    items = Known("the interactions", pl.Series(WORKS))
    for header, relations in (("", ["column 2"]), ("was;woraus\n", ["woraus"])):
        path = written(tmp_path, "items.csv", header + stuff)
        data = Dataset.build(log, items=path, item_attributes=True)
        assert list(data.triples.relations) == relations
        path = written(tmp_path, "users.csv", header + towns)
        data = Dataset.build(log, user_attributes=path)
        assert list(data.triples.relations) == relations
        assert len(data.user_facts) == len(READERS)
        assert not [one for one in data.report.dropped if one.what == "user attributes"]
        links = read_links(written(tmp_path, "links.csv", header + addresses), items=items)[0]
        assert links["item"].to_list() == list(WORKS)


def test_the_header_again_is_refused_with_its_line(tmp_path):
    path = written(tmp_path, "a.csv", "user_id,item_id\nu,i\nuser_id,item_id\nv,j\n")
    with pytest.raises(FormatError, match=r"a\.csv:3: the header occurs again"):
        read_interactions(path)
    log = read_interactions(path, on_error="skip")
    assert log.frame.rows() == [("u", "i"), ("v", "j")]
    assert [d.count for d in log.dropped] == [1]


@pytest.mark.parametrize(
    "header",
    [
        "from,to,relation",
        "subject_id,object_id,predicate",
        ":START_ID,:END_ID,:TYPE",
        "Source,Target,Type",
        "subj,obj,pred",
        "start,end,property",
        "h,t,rel",
    ],
)
def test_heads_and_tails_go_by_name(tmp_path, header):
    triples = read_triples(written(tmp_path, "a.csv", f"{header}\nscott,alien,directed\n"))
    assert list(triples.relations) == ["directed"]
    assert list(triples.entities) == ["scott", "alien"]
    assert {role.role: role.column for role in triples.roles} == dict(
        zip(("head", "tail", "relation"), header.split(","), strict=True)
    )


def test_columns_of_triples_can_be_said_and_are_asked_for(tmp_path):
    path = written(tmp_path, "a.csv", "film,person,relation\nalien,scott,by\n")
    with pytest.raises(FormatError, match=r"which column is the head\? .* Say it: head=COL"):
        read_triples(path)
    triples = read_triples(path, head="film", tail="person")
    assert (triples.entities.key(triples.head[0]), list(triples.relations)) == ("alien", ["by"])
    gephi = "Source,Target,Type,Id,Label\na,b,Directed,1,likes\nc,d,Directed,2,likes\n"
    assert list(read_triples(written(tmp_path, "g.csv", gephi)).relations) == ["likes"]


def test_a_letter_that_says_something_beside_another_says_nothing_alone(tmp_path):
    path = written(tmp_path, "a.csv", "head,x,y\nalien,scott,directed\n")
    with pytest.raises(FormatError, match="which column is the relation"):
        read_triples(path)
    triples = read_triples(written(tmp_path, "b.csv", "x,y,kind\nalien,scott,directed\n"))
    assert list(triples.relations) == ["directed"]


def test_what_is_not_read_is_named(tmp_path):
    path = written(tmp_path, "a.csv", f"event_id,user_id,sku,price\n{ROWS}")
    assert read_interactions(path).notes == (
        f"{path}: columns that are not read: 'event_id', 'price'.",
    )
    text = "Source,Target,Type,Id,Label\na,b,Directed,1,likes\n"
    path = written(tmp_path, "g.csv", text)
    assert [(one.what, one.why, one.count) for one in read_triples(path).dropped] == [
        ("columns", f"not read, of {path}: 'Type', 'Id'", 2)
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("view", "addtocart", "purchase"), True),
        (("page_view", "Add to Cart"), True),
        (("product viewed", "order"), True),
        (("red", "view"), False),
        (("view", "view"), False),
    ],
)
def test_types_of_events_are_told_by_their_words(tmp_path, words, told):
    rows = "".join(f"u{n % 3},i{n % 4},{words[n % len(words)]}\n" for n in range(12))
    notes = " ".join(read_interactions(written(tmp_path, "a.csv", f"user,item,kind\n{rows}")).notes)
    assert ("'kind' (event: --event)" in notes) == told
    assert ("columns that are not read: 'kind'" in notes) != told


def test_a_triple_of_ordinary_words_is_no_header(tmp_path):
    text = "alien\ttype\tfilm\nheat\ttype\tfilm\nscott\trole\tdirector\n"
    assert len(read_triples(written(tmp_path, "a.tsv", text))) == 3


def test_links_in_either_order_by_agreement():
    items = Known("the interactions", pl.Series(["1", "2"]))
    rows = pl.DataFrame({"a": ["http://e/x", "http://e/y"], "b": ["1", "2"]})
    assert read_links(rows, items=items)[0].rows() == [("1", "http://e/x"), ("2", "http://e/y")]
    assert read_links(rows, columns={"item": "a"})[0]["item"].to_list() == rows["a"].to_list()


def test_parts_of_triples_are_recognized(tmp_path):
    rows = [(f"/m/{n % 7}", f"/r/{n % 2}", f"/m/{n * 3 % 7}") for n in range(1, 14)]
    parts = {"train": rows, "valid": rows[:1], "test": rows[1:3]}
    for name, some in parts.items():
        written(tmp_path, f"{name}.txt", "".join("\t".join(row) + "\n" for row in some))
    data = load(tmp_path)
    assert (data.num_users, {k: len(v) for k, v in data.held_triples.items()}) == (
        0,
        {"valid": 1, "test": 2},
    )
    assert [(role.column, role.why) for role in data.report.roles] == [
        (f"column {n}", "by position") for n in (1, 2, 3)
    ]
    (tmp_path / "loops.txt").write_text("/m/1\t/r/0\t/m/1\n/m/1\t/r/0\t/m/2\n")
    parts = {"kg": str(tmp_path / "train.txt"), "kg_test": str(tmp_path / "loops.txt")}
    data = Dataset.build(None, held={}, **parts)
    assert (len(data.held_triples["test"]), "triples of the test part") in [
        (1, one.what) for one in data.report.dropped
    ]
    numbers = tmp_path / "numbers"
    numbers.mkdir()
    written(numbers, "train.txt", "".join(f"{n % 5} {n % 2} {n * 2 % 7}\n" for n in range(20)))
    written(numbers, "test.txt", "1 0 2\n")
    assert load(numbers).num_users == 0
    lists = tmp_path / "lists"
    lists.mkdir()
    written(lists, "train.txt", "".join(f"{n} {n % 4} {(n + 1) % 4}\n" for n in range(8)))
    written(lists, "test.txt", "1 3\n")
    assert load(lists).num_users == 8
