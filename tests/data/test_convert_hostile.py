"""Folders of graphs that are broken or meant to harm: one clear line, nothing else."""

import contextlib
import json

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shares import share

from kgrec.data.formats.id_lists import escaped, is_plain, list_text, read_list, unescaped
from kgrec.data.formats.load import load
from kgrec.data.rdf.iris import key_of, minted
from kgrec.errors import KgrecError

GRAPHML = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><key id="k" for="node" attr.name="kind" attr.type="string"/>{}</graphml>'
BOMB = '<!DOCTYPE l [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


def openke(folder, **files):
    own = {
        "entity2id": "2\na\t0\nb\t1\n",
        "relation2id": "1\nr\t0\n",
        "train2id": "1\n0 1 0\n",
    } | files
    for name, text in own.items():
        (folder / f"{name}.txt").write_text(text)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"entity2id": "3\na\t0\nb\t1\n"}, "entity2id.txt:1"),
        ({"entity2id": "a\t0\nb\t1\n"}, "entity2id.txt:1"),
        ({"entity2id": "2\na\t0\nb\t0\n"}, "entity2id.txt:3"),
        ({"entity2id": "2\na\t0\nb\t7\n"}, "0 to 1"),
        ({"entity2id": "2\na\t0\na\t1\n"}, "occurs twice"),
        ({"entity2id": "2\na\t0\nb\t-1\n"}, "entity2id.txt:3"),
        ({"entity2id": "2\na\t0\nb\t\u0661\n"}, "entity2id.txt:3"),
        ({"entity2id": "2\na\t0\nb\t99999999999999999999\n"}, "entity2id.txt:3"),
        ({"train2id": "1\n0 0 1\n"}, "train2id.txt:2: the relation"),
        ({"train2id": "1\n0 1\n"}, "train2id.txt:2: expected three"),
        ({"train2id": "1\n0 99999999999999999999 0\n"}, "train2id.txt:2: the tail"),
        ({"train2id": "1\n0 -1 0\n"}, "train2id.txt:2: the tail"),
        ({"train2id": ""}, "the file is empty"),
        ({"train2id": "9" * 5_000 + "\n0 1 0\n"}, "train2id.txt:1"),
        ({"relation2id": "1\nr\t" + "9" * 5_000 + "\n"}, "relation2id.txt:2"),
        ({"test2id": "2\n0 1 0\n"}, "test2id.txt:1"),
    ],
)
def test_openke(files, told, tmp_path):
    openke(tmp_path, **files)
    with pytest.raises(KgrecError) as error:
        load(tmp_path)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_openke_of_others_needs_no_held_out_part(tmp_path):
    openke(tmp_path, relation2id="1\nr 0\n", train2id="1\n0\t1\t0\n")
    data = load(tmp_path)
    assert data.triples.entities.keys(data.triples.head) == ["a"]
    assert data.triples.relations.key(0) == "r"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB + GRAPHML.format("<graph>&b;</graph>"), "document type declaration"),
        (
            '<!DOCTYPE g SYSTEM "file:///etc/passwd">' + GRAPHML.format("<graph/>"),
            "document type declaration",
        ),
        ("<html/>", "not graphml"),
        ("<graphml>", "not well-formed"),
        ("", "not well-formed"),
        ("\0\0", "not well-formed"),
        (GRAPHML.format("<graph><node/></graph>"), "a node without id"),
        (GRAPHML.format('<graph><node id="a"/><edge source="a"/></graph>'), "an edge without"),
        (GRAPHML.format('<graph><node id="a"/><edge source="a" target="b"/></graph>'), "no node"),
        (
            GRAPHML.format('<graph><node id="a"/><node id="a"/></graph>'),
            "'a' is no id that one node",
        ),
    ],
)
def test_graphml(text, told, tmp_path):
    (tmp_path / "g.graphml").write_text(text)
    with pytest.raises(KgrecError) as error:
        load(tmp_path)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_graphml_of_others_is_triples(tmp_path):
    keys = '<key id="d" for="edge" attr.name="label" attr.type="string"/>'
    (tmp_path / "g.graphml").write_text(
        f'<graphml>{keys}<graph><node id="a"/><node id="b"/><edge source="a" target="b"><data key="d">knows</data></edge>'
        '<edge source="b" target="a"/></graph></graphml>'
    )
    data = load(tmp_path)
    assert data.triples.relations.keys([0, 1]) == ["knows", "related"]
    assert data.num_entities == 2


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"nodes": 1, "edges": 2}',
        '{"nodes": [{}], "edges": []}',
        "[" * 100_000,
        '{"nodes": [{"id": "a"}], "edges": [{}]}',
        '{"nodes": [{"id": "\\ud800"}], "edges": []}',
        '{"nodes": [{"id": 1}], "edges": [{"source": 1, "target": 1, "fact": "triple", "time": "x"}]}',
        '{"nodes": [{"id": 1}], "edges": [{"source": 1, "target": 1, "fact": "triple", "locator": 1e400}]}',
        '{"nodes": [{"id": 1}], "edges": [{"source": 1, "target": 1, "fact": "triple", "locator": 1000000000000000000000000000000}]}',
        '{"nodes": [{"id": null}], "edges": []}',
        '{"nodes": [3], "edges": []}',
    ],
)
def test_node_links(text, tmp_path):
    (tmp_path / "graph.json").write_text(text)
    with pytest.raises(KgrecError) as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("edges", ["edges", "links"])
def test_node_links_of_networkx(edges, tmp_path):
    import networkx as nx

    graph = nx.MultiDiGraph()
    graph.add_edge(("item", "a"), "b", relation="r")
    graph.add_edge(1, "b")
    (tmp_path / "graph.json").write_text(json.dumps(nx.node_link_data(graph, edges=edges)))
    data = load(tmp_path)
    assert set(data.triples.entities) == {'["item", "a"]', "b", "1"}
    assert len(data.triples) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("entities.csv", '":ID(Entity)"\nx\n'),
        (
            "triples.csv",
            '":START_ID(Entity)",":END_ID(Entity)",":TYPE","locator:long"\n"n0","n0","r","x"\n',
        ),
        ("triples.csv", '":START_ID(Entity)"\n"n0"\n'),
        ("triples.csv", '":START_ID(Entity)",":END_ID(Entity)",":TYPE"\n"n0","n9","r"\n'),
        ("triples.csv", ""),
        ("triples.csv", '":START_ID(Entity)",":END_ID(Entity)",":TYPE"\n"n0","n0"x","r,\n'),
    ],
)
def test_neo4j(name, text, tmp_path):
    (tmp_path / "entities.csv").write_text('":ID(Entity)","entity",":LABEL"\n"n0","e","Entity"\n')
    (tmp_path / name).write_text(text)
    with pytest.raises(KgrecError) as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


TABLES = {
    "items": {"item_id": ["i", "j"], "entity": ["i", "j"]},
    "entities": {"entity": ["i", "j", "e"], "label": [None, None, "E"]},
    "relations": {"relation": ["r"], "label": [None]},
    "triples": {"head": ["i"], "relation": ["r"], "tail": ["e"]},
    "train": {"user_id": ["u", "v"], "item_id": ["i", "j"]},
    "test": {"user_id": ["u"], "item_id": ["j"]},
}


def tables(folder, **changed):
    for name, columns in (TABLES | changed).items():
        pl.DataFrame(columns, strict=False).write_parquet(folder / f"{name}.parquet")


def test_parquet_of_others_needs_the_keys_alone(tmp_path):
    tables(tmp_path)
    data = load(tmp_path)
    assert (data.num_users, data.num_items, len(data.triples), len(data.test)) == (2, 2, 1, 1)
    assert data.triples.label(2) == "E"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"triples": {"head": ["x"], "relation": ["r"], "tail": ["e"]}}, "no table of entities"),
        (
            {"triples": {"head": ["i"], "relation": ["q"], "tail": ["e"]}},
            "no table of entities or relations",
        ),
        ({"triples": {"head": ["i"], "relation": [None], "tail": ["e"]}}, "empty cell"),
        ({"triples": {"head": [["i"]], "relation": ["r"], "tail": ["e"]}}, "not of its kind"),
        ({"triples": {"head": ["i"]}}, "no column 'relation'"),
        (
            {"triples": {"head": ["i"], "relation": ["r"], "tail": ["e"], "locator": ["x"]}},
            "not of its kind",
        ),
        ({"entities": {"entity": ["i", "i"], "label": [None, None]}}, "names something twice"),
        ({"items": {"item_id": ["i", "i"], "entity": ["i", "j"]}}, "names something twice"),
        ({"train": {"user_id": ["u"], "item_id": [None]}}, "empty cell"),
    ],
)
def test_parquet(changed, told, tmp_path):
    tables(tmp_path, **changed)
    with pytest.raises(KgrecError) as error:
        load(tmp_path)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_damaged_parquet_file(tmp_path):
    tables(tmp_path)
    (tmp_path / "triples.parquet").write_bytes(b"PAR1" + b"x" * 40)
    with pytest.raises(KgrecError, match=r"triples\.parquet: not a readable Parquet file"):
        load(tmp_path)


@settings(max_examples=share(200), suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(
        [
            "g.graphml",
            "graph.json",
            "entities.csv",
            "train2id.txt",
            "triples_train.tsv",
            "item_list.txt",
        ]
    ),
    data=st.binary(max_size=60)
    | st.text("<>&;\"',:{}[]\\/n\n\t 0ard", max_size=60).map(str.encode),
)
def test_no_bytes_crash_a_reader(name, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    openke(folder)
    if name in ("g.graphml", "graph.json", "entities.csv", "triples_train.tsv"):
        for path in folder.iterdir():
            path.unlink()
    if name == "entities.csv":
        data = b":ID(Entity)" + data
    (folder / name).write_bytes(data)
    with contextlib.suppress(KgrecError):
        load(folder)


@settings(max_examples=share(300))
@given(st.lists(st.text(min_size=1), min_size=1, unique=True))
def test_id_lists_hold_any_id(tmp_path_factory, keys):
    keys = [key.encode("utf-8", "ignore").decode() or str(row) for row, key in enumerate(keys)]
    keys = list(dict.fromkeys(keys))
    path = tmp_path_factory.mktemp("lists") / "item_list.txt"
    path.write_text(list_text(keys, keys), encoding="utf-8", newline="\n")
    assert read_list(path)["key"].to_list() == keys
    assert path.read_text().startswith("org_id" if all(map(is_plain, keys)) else "escaped_id")


@given(st.text())
def test_minted_iris_and_escapes_give_the_key_back(key):
    key = key.encode("utf-8", "ignore").decode()
    assert key_of(minted(key, "entity")) == key
    assert key_of(minted(key, "relation", always=True)) == key
    assert unescaped(escaped(key)) == key
