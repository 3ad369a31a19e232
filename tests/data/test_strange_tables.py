"""Files that people have: other tools' graphs, exports of spreadsheets. Read right, or one line."""

import json

import pytest

import kgrec
from kgrec.data.building.leaks import check_ids
from kgrec.data.records.report import ReportBuilder
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.errors import FormatError

PAIRS = [(f"u{n % 5}", f"i{n * 7 % 9}") for n in range(30)]


def written(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("g.dot", 'digraph G {\n a -> b [label="by"];\n}\n', "GraphViz's DOT.*read_dot"),
        ("g.txt", "// made\nstrict graph {\n a -- b;\n}\n", "GraphViz's DOT"),
        ("g.gml", 'graph [\n directed 1\n node [\n id 0\n label "a"\n ]\n]\n', "GML.*read_gml"),
        ("g.net", '*Vertices 2\n1 "a"\n2 "b"\n*Arcs\n1 2 1\n', "Pajek.*read_pajek"),
        ("g.tgf", "1 Alien\n2 Scott\n#\n1 2 by\n", "TGF.*awk"),
        ("g.cypher", "CREATE (a:Movie {title:'x'})-[:BY]->(b);\n", "Cypher.*apoc.export"),
        ("g.txt", "(a film; was directed by; a person)\n", "triples in parentheses.*sed"),
        (
            "g.json",
            '[\n{"type": "item", "id": "Q1", "claims": {"P31": []}}\n]\n',
            "dump of Wikidata's entities.*truthy",
        ),
        ("g.csv", "source,target,weight\na,b,0.5\nc,b,0.25\n", "relation.*'weight' holds numbers"),
        ("g.csv", "source,target,foo\na,b,0.5\nc,b,0.25\n", "relation.*'foo' holds numbers"),
        ("g.tsv", "x\tr\ta\tb\n", "found 4.*Or say which they are: head='column 1'"),
    ],
)
def test_graphs_of_other_tools_are_called_by_their_name(tmp_path, name, text, message):
    with pytest.raises(FormatError, match=message) as raised:
        kgrec.read_triples(written(tmp_path, name, text))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["graph", "match", "create", "ontology"])
def test_words_of_other_tools_are_words(tmp_path, name):
    text = "".join(f"{name}\t{name}s\tthing {n}\n" for n in range(3))
    assert len(kgrec.read_triples(written(tmp_path, "g.txt", text))) == 3


def test_positions_of_d3_are_nodes(tmp_path):
    graph = {
        "nodes": [{"id": "alien"}, {"id": "scott"}, {"id": "blade"}],
        "links": [{"source": 0, "target": 1}, {"source": 2, "target": 1}],
    }
    triples = kgrec.read_triples(written(tmp_path, "g.json", json.dumps(graph)))
    names = [triples.entities.key(row) for row in (*triples.head, *triples.tail)]
    assert names == ["alien", "blade", "scott", "scott"]
    graph["nodes"] = [{"id": 2}, {"id": 1}, {"id": 0}]  # numbers that are ids stay ids
    triples = kgrec.read_triples(written(tmp_path, "g.json", json.dumps(graph)))
    ends = [
        (triples.entities.key(h), triples.entities.key(t))
        for h, t in zip(triples.head, triples.tail, strict=True)
    ]
    assert sorted(ends) == [("0", "1"), ("2", "1")]


def test_columns_without_names_can_be_said(tmp_path):
    path = written(
        tmp_path, "c.tsv", "/a/1\t/r/Is\t/c/cat\t/c/pet\t{}\n/a/2\t/r/At\t/c/pet\t/c/home\t{}\n"
    )
    said = {"head": "column 3", "relation": "column 2", "tail": "column 4"}
    assert list(kgrec.read_triples(path, **said).relations) == ["/r/Is", "/r/At"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# exported\nuser_id,item_id\nu,i\n", ":2: .* Remove the lines above the header"),
        ("Report of May\n\nuser_id,item_id\nu,i\n", ":3: .* Remove the lines above the header"),
        ("<!DOCTYPE html><html>Log in</html>\n", "is a web page, not a table"),
        ("user_id,item_ids\nu,\"['a', 'b']\"\nv,\"['c', 'd']\"\n", r"holds lists \(\['a', 'b'\]\)"),
    ],
)
def test_tables_that_are_none(tmp_path, text, message):
    with pytest.raises(FormatError, match=message):
        kgrec.read_interactions(written(tmp_path, "a.csv", text))


def test_blanks_before_quotes_belong_to_no_cell(tmp_path):
    text = '"user_id", "item_id", "title"\n' + "".join(
        f'"{user}", "{item}", "One, ""two"", "\n' for user, item in PAIRS
    )
    log = kgrec.read_interactions(written(tmp_path, "a.csv", text))
    assert log.frame.select("user", "item").rows() == PAIRS


def test_json_lines_are_known_whatever_they_are_called(tmp_path):
    text = "".join(json.dumps({"user_id": u, "item_id": i}) + "\n" for u, i in PAIRS)
    assert kgrec.read_interactions(written(tmp_path, "a.csv", text)).frame.rows() == PAIRS


@pytest.mark.parametrize(
    ("ids", "what"),
    [
        (["u1", "NULL", "nan"], "2 user ids say that there is none: 'NULL', 'nan'"),
        (["4.00638E+12", "400"], "1 user ids are numbers that a spreadsheet has shortened"),
        (["u1", "U1", "u2", "U2", "u3"], "4 user ids differ from another one by case alone"),
        (["dQw4", "dqw4", *map(str, range(20))], None),
        (["1e5", "E+12", "nano", "e1"], None),
    ],
)
def test_ids_that_are_hardly_meant(ids, what):
    report = ReportBuilder()
    check_ids(Vocabulary(ids, kind="user"), report)
    said = [warning.what for warning in report.finish().warnings]
    assert (len(said) == 1 and said[0].startswith(what)) if what else not said
