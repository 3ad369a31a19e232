"""Input made to take time or memory is refused by one line, soon: each limit is tried with what
would take minutes or gigabytes.
"""

import gzip
import time

import pytest

import kgrec
from kgrec.data.io import files
from kgrec.data.tables import delimited as tables
from kgrec.data.tables import json_lines as jsonlines
from kgrec.errors import FormatError

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:x="http://x/"'
MANY = 200_000
SECONDS = 30  # generous: each takes about one


def node(inside, attributes=""):
    return f'<rdf:RDF {RDF}{attributes}><rdf:Description rdf:about="http://a"{inside}</rdf:Description></rdf:RDF>'


def nested(opening, closing, count):
    return node(f">{opening * count}{closing * count}")


CASES = {
    "attributes": (
        lambda: node(" " + " ".join(f'x:a{n}="1"' for n in range(MANY)) + ">"),
        "attributes on one element",
    ),
    "prefixes": (
        lambda: node(">", " " + " ".join(f'xmlns:n{n}="http://x/{n}"' for n in range(MANY))),
        "prefixes declared at once",
    ),
    "prefixes within literals": (
        lambda: node(
            '><x:p rdf:parseType="Literal">'
            + "".join(f'<n{n}:b xmlns:n{n}="http://x/{n}">' for n in range(5000))
            + "".join(f"</n{n}:b>" for n in reversed(range(5000)))
            + "</x:p>"
        ),
        "prefixes declared at once",
    ),
    "bases": (
        lambda: nested(
            f'<x:p><rdf:Description xml:base="http://x/{"b/" * 900}" rdf:about="c">',
            "</rdf:Description></x:p>",
            100,
        ).replace("http://x/b/", "b/"),
        "xml:base of more than",
    ),
}


@pytest.mark.parametrize(("document", "told"), CASES.values(), ids=CASES)
def test_rdf_xml(document, told, tmp_path):
    (tmp_path / "g.rdf").write_text(document())
    began = time.monotonic()
    with pytest.raises(FormatError, match=rf"g\.rdf:1: .*{told}.*\.$"):
        kgrec.read_triples(tmp_path / "g.rdf")
    assert time.monotonic() - began < SECONDS


def test_as_many_attributes_as_are_read(tmp_path):
    (tmp_path / "g.rdf").write_text(node(" " + " ".join(f'x:a{n}="v"' for n in range(990)) + ">"))
    assert kgrec.read_triples(tmp_path / "g.rdf").attributes.height == 990


def test_markup_declares_a_prefix_again_after_it_was_changed_within(tmp_path):
    """Exclusive canonicalization, with one table of prefixes that is taken back at the end of each
    element.
    """
    literal = '<p:a xmlns:p="http://1"><p:b xmlns:p="http://2"><p:c/></p:b><p:d/><b xmlns="http://3"/></p:a>'
    (tmp_path / "g.rdf").write_text(node(f'><x:p rdf:parseType="Literal">{literal}</x:p>'))
    values = kgrec.read_triples(tmp_path / "g.rdf").attributes["value"].to_list()
    expected = '<p:a xmlns:p="http://1"><p:b xmlns:p="http://2"><p:c></p:c></p:b><p:d></p:d><b xmlns="http://3"></b></p:a>'
    assert values == [expected]


@pytest.mark.parametrize("read", [kgrec.read_interactions, kgrec.triples_from_table])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_columns(read, name, tmp_path):
    separator = "," if name.endswith("csv") else "\t"
    (tmp_path / name).write_text(
        separator.join(f"c{n}" for n in range(MANY)) + "\n" + separator.join("1" * MANY) + "\n"
    )
    began = time.monotonic()
    with pytest.raises(FormatError, match=r"200,000 columns, at most 10,000"):
        read(tmp_path / name)
    assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize("read", [kgrec.read_interactions, kgrec.triples_from_table])
def test_names_of_json_lines(read, tmp_path):
    (tmp_path / "t.jsonl").write_text(
        "".join(f'{{"item_id": "{n}", "k{n}": 1}}\n' for n in range(20_000))
    )
    began = time.monotonic()
    with pytest.raises(FormatError, match="different names"):
        read(tmp_path / "t.jsonl")
    assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
def test_sixty_million_short_lines(name, tmp_path):
    (tmp_path / name).write_bytes(b"1\n" * 60_000_000)
    began = time.monotonic()
    with pytest.raises(FormatError, match=r"60,000,000 lines, at most 40,000,000"):
        kgrec.triples_from_table(tmp_path / name)
    assert time.monotonic() - began < SECONDS


def test_compressed_lines_cells_and_quotes(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_LINES", 1000)
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(b"a b\n" * 1001))
    with pytest.raises(FormatError, match="1,001 lines, at most 1,000"):
        kgrec.triples_from_table(tmp_path / "a.tsv.gz")
    monkeypatch.setattr(tables, "MOST_CELLS", 100)
    (tmp_path / "b.csv").write_text("item_id,x\n" + "1,2\n" * 60)
    with pytest.raises(FormatError, match="61 lines of 2 columns, at most 100 cells"):
        kgrec.triples_from_table(tmp_path / "b.csv")
    monkeypatch.setattr(tables, "MOST_QUOTED", 10)
    (tmp_path / "c.csv").write_text("item_id,x\n" + '1,"2"\n' * 20)
    with pytest.raises(FormatError, match="21 lines of a table with quotes, at most 10"):
        kgrec.triples_from_table(tmp_path / "c.csv")
    monkeypatch.setattr(jsonlines, "_MOST_CELLS", 10)
    (tmp_path / "d.jsonl").write_text('{"item_id": "1", "x": "2"}\n' * 6)
    with pytest.raises(FormatError, match="different names in 7 lines"):
        kgrec.triples_from_table(tmp_path / "d.jsonl")
