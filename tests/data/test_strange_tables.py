"""Files that people have: other tools' graphs, exports of spreadsheets. Read right, or one line."""

import json

import polars as pl
import pytest

import kgrec
from kgrec.data.building.leaks import check_ids
from kgrec.data.records.report import ReportBuilder
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.errors import ConfigError, FormatError

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


WORDS = {
    "sujet;prédicat;objet": ";",
    "Subjekt;Prädikat;Objekt": ";",
    "sujeto,predicado,objeto": ",",
    "Quelle;Beziehung;Ziel": ";",
}


@pytest.mark.parametrize("header", WORDS)
def test_triples_with_headers_of_other_languages(tmp_path, header):
    rows = [
        ("Alien", "directed by", "Scott"),
        ("Heat", "directed by", "Mann"),
        ("Alien", "genre", "SF"),
    ]
    lines = [header, *(WORDS[header].join(row) for row in rows)]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    graph = kgrec.read_triples(str(tmp_path / "t.csv"))
    assert len(graph) == 3
    assert set(graph.relations) == {"directed by", "genre"}


@pytest.mark.parametrize(
    ("suffix", "separator", "header"),
    [
        ("tsv", "\t", ""),
        ("csv", ",", ""),
        ("csv", ",", "head,relation,tail\n"),
        ("tsv", "\t", "from\ttype\tto\n"),
    ],
)
def test_parts_of_triples_in_tables_are_no_users_and_items(tmp_path, suffix, separator, header):
    facts = [(f"e{a}", f"r{a * b % 3}", f"e{b}") for a in range(9) for b in range(9) if a != b]
    for part, start in (("train", 0), ("valid", 1), ("test", 2)):
        text = header + "".join(separator.join(fact) + "\n" for fact in facts[start::3])
        (tmp_path / f"{part}.{suffix}").write_text(text, encoding="utf-8")

    data = kgrec.load(tmp_path)
    assert len(data.triples) == 24
    assert {part: len(rows) for part, rows in data.held_triples.items()} == {
        "valid": 24,
        "test": 24,
    }
    assert data.num_users == 0
    assert "head" not in data.triples.entities


@pytest.mark.parametrize("last", ["rating", "event"])
def test_parts_of_users_and_items_stay_interactions(tmp_path, last):
    values = {"rating": ("1", "5"), "event": ("view", "buy")}[last]
    for part, first in (("train", 0), ("test", 4)):
        items = [(u, (u + first + i) % 9) for u in range(5) for i in range(4)]
        rows = [f"u{u}\ti{i}\t{values[i % 2]}" for u, i in items]
        text = f"user_id\titem_id\t{last}\n" + "\n".join(rows) + "\n"
        (tmp_path / f"{part}.tsv").write_text(text, encoding="utf-8")
    assert kgrec.load(tmp_path).num_users == 5


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        (["CHF 12.-", "CHF 9.50", "CHF 1'299.00"], "12"),
        (["Rs. 1,20,000", "Rs. 950", "Rs. 1,299.00"], "120000"),
        (["1,5 kg", "12 kg", "0,25 kg"], "1.5"),
        (['10.5"', '11"', '12.5"'], "10.5"),
        (["12 zł", "9,50 zł", "1.299,00 zł"], "12"),
    ],
)
def test_prices_and_measures_are_numbers(cells, first):
    rows = [cells[n % 3] for n in range(9)]
    graph = kgrec.triples_from_table(pl.DataFrame({"item_id": range(9), "size": rows}))
    assert graph.columns[1].kind == "number"
    assert graph.columns[1].distinct == 3
    assert first in graph.labels.to_list()


def test_units_that_differ_are_not_one_measure():
    cells = ["5 kg", "500 g", "7 kg", "200 g", "1 kg", "12 g"]
    graph = kgrec.triples_from_table(pl.DataFrame({"item_id": range(6), "weight": cells}))
    assert graph.columns[1].kind == "category"


@pytest.mark.parametrize("mark", ["->", "\u203a"])
def test_arrows_between_levels(mark):
    cells = [
        mark.join(["Shoes", ("Run", "Walk")[n % 2], ("Trail", "City")[n % 3 % 2]]) for n in range(8)
    ]
    graph = kgrec.triples_from_table(pl.DataFrame({"item_id": range(8), "category": cells}))
    assert graph.columns[1].kind == "path"
    assert {f"Shoes {mark} Run", "Shoes"} <= set(graph.labels)
    assert not any(str(label).endswith("-") for label in graph.labels.drop_nulls())


def test_days_as_numbers_are_dates(tmp_path):
    rows = [
        f"u{u},i{(u + i) % 7},{20240125 + 76 * (i > 1) + u}" for u in range(5) for i in range(4)
    ]
    (tmp_path / "log.csv").write_text("user,item,time\n" + "\n".join(rows) + "\n", encoding="utf-8")
    log = kgrec.read_interactions(str(tmp_path / "log.csv"))
    assert log.frame["time"].min() == 1706140800.0  # 2024-01-25
    assert log.frame["time"].max() == 1706140800.0 + 86_400 * 11  # 2024-02-05


TINKER = """<?xml version="1.0"?><graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key id="v" for="node" attr.name="labelV" attr.type="string"/>
<key id="n" for="node" attr.name="name" attr.type="string"/>
<key id="e" for="edge" attr.name="labelE" attr.type="string"/>
<graph edgedefault="directed">
<node id="1"><data key="v">person</data><data key="n">marko</data></node>
<node id="2"><data key="v">software</data><data key="n">lop</data></node>
<edge source="1" target="2"><data key="e">created</data></edge></graph></graphml>"""
CYTOSCAPE = {
    "nodes": [{"data": {"id": "1", "name": "marko"}}, {"data": {"id": "2", "name": "lop"}}],
    "edges": [{"data": {"source": "1", "target": "2", "interaction": "created"}}],
}


@pytest.mark.parametrize(
    ("name", "text"),
    [("t.graphml", TINKER), ("c.json", json.dumps({"elements": CYTOSCAPE}))],
)
def test_relations_by_the_names_of_gremlin_and_cytoscape(tmp_path, name, text):
    graph = kgrec.read_triples(written(tmp_path, name, text))
    assert list(graph.relations) == ["created"]
    assert set(graph.entities) == {"marko", "lop"}
    assert not graph.dropped
    if name == "t.graphml":
        assert set(graph.types["type"]) == {"person", "software"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("g.json", '{"id":1,"label":"person","outE":{"created":[{"inV":3}]}}\n', "GraphSON"),
        ("g.kif", "(subclass Dog Animal)\n(instance Rex Dog)\n", "logic in parentheses"),
        ("g.n3", "@prefix : <http://x/> .\n{ ?a :p ?b } => { ?b :q ?a } .", "Notation3 with rules"),
    ],
)
def test_more_syntaxes_are_called_by_their_names(tmp_path, name, text, message):
    with pytest.raises(FormatError, match=message):
        kgrec.read_triples(written(tmp_path, name, text))


def test_titles_in_parentheses_are_no_logic(tmp_path):
    graph = kgrec.read_triples(written(tmp_path, "g.tsv", "(500) Days\tby\tWebb\nHeat\tby\tMann\n"))
    assert len(graph) == 2


@pytest.mark.parametrize(
    ("language", "label"), [("de-DE", "Wesen"), ("fr, DE", "Wesen"), ("en", "Alien")]
)
def test_languages_with_a_country(tmp_path, language, label):
    text = (
        '<x:a> <http://www.w3.org/2000/01/rdf-schema#label> "Alien"@en, "Wesen"@de ; <x:p> <x:b> .'
    )
    path = written(tmp_path, "g.ttl", text)
    assert kgrec.read_triples(path, language=language).labels[0] == label
    with pytest.raises(ConfigError, match="'deutsch' is no language tag"):
        kgrec.read_triples(path, language="deutsch")


def test_a_query_is_no_table(tmp_path):
    (tmp_path / "clicks.sql").write_text("SELECT user_id, item_id FROM clicks\n")
    with pytest.raises(FormatError, match=r"clicks\.sql: is SQL, not a table\. Name the database"):
        kgrec.read_interactions(str(tmp_path / "clicks.sql"))


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"ARROW1\x00\x00", "an Arrow .* file.*read_ipc"),
        (b"Obj\x01\x04", "an Avro file"),
        (b"\x80\x04\x95\x00", "a pickle, which could run code"),
        (b"\x89HDF\r\n", "an HDF5 file"),
        (b"\xd0\xcf\x11\xe0\xa1", "an old Excel file"),
    ],
)
def test_binary_files_are_called_by_their_names(tmp_path, start, message):
    (tmp_path / "log.dat").write_bytes(start + bytes(100))
    with pytest.raises(FormatError, match=message):
        kgrec.read_interactions(str(tmp_path / "log.dat"))
