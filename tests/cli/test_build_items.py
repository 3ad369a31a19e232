"""``build``: a table of items whose columns become triples, and items linked by their labels."""

import json

import polars as pl
import pytest

import kgrec as library
from kgrec.cli import run


@pytest.fixture
def place(tmp_path):
    clicks = [f"u{user},{item}" for user in range(6) for item in range(1, 9) if (user + item) % 3]
    (tmp_path / "clicks.csv").write_text("user_id,item_id\n" + "\n".join(clicks) + "\n")
    titles = ["Alien", "Heat", "Sabrina", "Emma", "Godfather, The", "Rock, The", "Ran", "Nothing"]
    rows = [
        f"{n},{title!r},{['A|B', 'B', 'A'][n % 3]},d{n % 2},{1990 + n}"
        for n, title in enumerate(titles, start=1)
    ]
    (tmp_path / "items.csv").write_text(
        "item_id,title,genre,director,year\n" + "\n".join(rows).replace("'", '"') + "\n"
    )
    label = "<http://www.w3.org/2000/01/rdf-schema#label>"
    names = [
        "Alien",
        "Heat (1992 film)",
        "Sabrina (1954 film)",
        "Emma (1993 film)",
        "The Godfather",
        "Rock",
        "Ran (1997 film)",
    ]
    graph = [
        f'<http://e/{n}> {label} "{name}" .\n<http://e/{n}> <http://e/by> <http://e/p{n % 2}> .'
        for n, name in enumerate(names, start=1)
    ]
    (tmp_path / "kg.nt").write_text("\n".join(graph) + "\n")
    return tmp_path


def build(place, *arguments, capsys, out="d"):
    code = run(
        [
            "-q",
            "build",
            "--interactions",
            str(place / "clicks.csv"),
            *map(str, arguments),
            "--out",
            str(place / out),
        ]
    )
    return code, capsys.readouterr()


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


def test_the_columns_of_a_table_become_triples_and_are_shown(place, capsys):
    code, said = build(place, "--items", place / "items.csv", capsys=capsys)
    assert code == 0
    shown = [" ".join(line.split()) for line in said.out.splitlines()]
    assert "genre list genre 2 8 10 split at '|'" in shown
    assert "director category director 2 8 8" in shown
    assert "title title - 8 8 0 the items' labels" in shown
    data = library.load(place / "d")
    assert stated(data.triples) == stated(library.triples_from_table(place / "items.csv"))
    assert data.item_label(data.items.row("1")) == "Alien"
    assert {column.column: column.triples for column in data.report.columns} == {
        "item_id": 0,
        "title": 0,
        "genre": 10,
        "director": 8,
        "year": 8,
    }
    assert data.triples.column(int(data.triples.source[0])) in {"genre", "director", "year"}


def test_settings_of_the_table(place, capsys):
    chosen = [
        "--items-set",
        "spaces=director:person",
        "--items-set",
        "years=decade",
        "--items-set",
        "exclude=genre",
    ]
    code, said = build(place, "--items", place / "items.csv", *chosen, "--json", capsys=capsys)
    told = json.loads(said.out)
    assert (code, told["triples"], told["relations"]) == (0, 16, 2)
    kinds = {column["column"]: (column["kind"], column["note"]) for column in told["columns"]}
    assert kinds["genre"] == ("unused", "excluded")
    assert kinds["year"] == ("year", "the decade of each year")
    assert told["settings"]["item_attributes"] == {
        "spaces": {"director": "person"},
        "years": "decade",
        "exclude": ["genre"],
    }
    assert {"person=d0", "year=1990s"} <= set(library.load(place / "d").triples.entities)
    code, said = build(
        place, "--items", place / "items.csv", "--items-set", "columns=", "--json", capsys=capsys
    )
    assert (code, json.loads(said.out)["triples"]) == (0, 0)


def test_a_table_beside_a_graph_and_links(place, capsys):
    (place / "links.csv").write_text("item,entity\n1,http://e/1\n2,http://e/2\n3,http://e/2\n")
    parts = [
        "--items",
        place / "items.csv",
        "--kg",
        place / "kg.nt",
        "--links",
        place / "links.csv",
    ]
    code, said = build(place, *parts, "--json", capsys=capsys)
    told = json.loads(said.out)
    data = library.load(place / "d")
    rows = stated(data.triples)
    assert code == 0
    assert ("http://e/1", "genre", "genre=B") in rows
    assert ("http://e/1", "http://e/by", "http://e/p1") in rows
    assert ("2", "director", "director=d0") in rows
    assert ("2", "http://e/by", "http://e/p0") in rows
    assert len(rows) == 26 + 8
    assert told["counts"]["items in the table of items"] == 8
    assert [data.triples.entities.key(data.items.row(item)) for item in "123"] == [
        "http://e/1",
        "2",
        "3",
    ]


def test_ids_that_only_look_alike_are_warned_of(place, capsys):
    (place / "other.csv").write_text(
        "item_id,genre\n" + "".join(f" {n},g{n % 2}\n" for n in range(1, 9))
    )
    code, said = build(place, "--items", place / "other.csv", capsys=capsys)
    assert code == 0
    assert (
        "! Of 8 item ids without a row in the table of items, 8 differ by white space "
        "('1' and ' 1')." in said.out
    )


def test_linking_by_label_and_year(place, capsys):
    parts = ["--items", place / "items.csv", "--kg", place / "kg.nt"]
    code, said = build(
        place,
        *parts,
        "--link-by",
        "label-year",
        "--review",
        place / "review.tsv",
        "--json",
        capsys=capsys,
    )
    told = json.loads(said.out)
    assert code == 0
    assert told["counts"]["items linked by label"] == 4
    assert told["counts"]["items with a doubtful match, not linked"] == 2
    assert told["counts"]["items without a match"] == 2
    review = pl.read_csv(place / "review.tsv", separator="\t", infer_schema=False)
    status = dict(zip(review["item_label"], review["status"], strict=True))
    assert status == {
        "Alien": "sure",
        "Heat": "sure",
        "Sabrina": "unmatched",
        "Emma": "doubtful",
        "Godfather, The": "sure",
        "Rock, The": "doubtful",
        "Ran": "sure",
        "Nothing": "unmatched",
    }
    edited = (place / "review.tsv").read_text().replace("?\tdoubtful\t6", "yes\tdoubtful\t6")
    (place / "review.tsv").write_text(edited)
    code, said = build(
        place, *parts, "--links", place / "review.tsv", "--json", capsys=capsys, out="e"
    )
    assert (code, json.loads(said.out)["counts"]["items linked"]) == (0, 5)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["--items-set", "year=decade"],
            "'year' is no setting of triples_from_table. Nearest: years",
        ),
        (
            ["--items-set", "columns=genres"],
            "columns: items.csv has no column 'genres'. Nearest: genre",
        ),
        (["--item-id", "id"], "items.csv: no column 'id'"),
        (["--link-by", "label-year"], "label-year needs a review file to write"),
        (
            ["--link-by", "label-year", "--review", "items.csv", "--kg", "kg.nt"],
            "items.csv: is there already",
        ),
        (["--link-by", "label-year", "--review", "r.tsv"], "label-year needs a graph"),
        (
            [
                "--link-by",
                "label-year",
                "--review",
                "r.tsv",
                "--kg",
                "kg.nt",
                "--links",
                "items.csv",
            ],
            "exclude each other",
        ),
        (
            [
                "--link-by",
                "label-year",
                "--review",
                "r.tsv",
                "--kg",
                "kg.nt",
                "--item-year",
                "yaer",
            ],
            "no column 'yaer'. Nearest: year",
        ),
        (["--review", "r.tsv"], "review and item_year belong to link_by"),
    ],
)
def test_bad_input(place, capsys, monkeypatch, more, message):
    monkeypatch.chdir(place)
    code, said = build(place, "--items", "items.csv", *more, capsys=capsys)
    assert code == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (place / "d").exists()
    assert not (place / "r.tsv").exists()


def test_attributes_without_a_table(place, capsys):
    code, said = build(place, "--items-set", "bins=3", capsys=capsys)
    assert code == 2
    assert "attributes of items are asked for, and there is no table of items" in said.err
