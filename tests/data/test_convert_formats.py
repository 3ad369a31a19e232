"""What stands in the files, by hand and by the libraries that they are for; and the formats that
have rules of their own.
"""

import csv
import io
import json
from dataclasses import replace

import networkx as nx
import numpy as np
import polars as pl
import pytest
import rdflib
from roundtrip import told

from kgrec.data.formats import base
from kgrec.data.formats.convert import STATEMENT
from kgrec.data.formats.load import load
from kgrec.data.records.content import Content, Vectors
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.testing.worlds import dataset, knowledge_only, news_board

RDFS_LABEL = "http://www.w3.org/2000/01/rdf-schema#label"


@pytest.fixture
def small():
    """Two users, three items (i1 linked to an IRI), one more entity; i2 has no interaction."""
    data = dataset(
        [(0, 0), (0, 1), (1, 1)], test=[(1, 0)], triples=[(0, 0, 3), (1, 1, 3)], num_items=3
    )
    keys = pl.Series("key", ["i0", "http://x.org/i1", "i2", "http://x.org/e"])
    labels = pl.Series("label", ["Zero", '<One> & "two"\n', None, "End; of"], dtype=pl.String)
    triples = replace(data.triples, entities=Vocabulary(keys), labels=labels)
    return replace(data, name="small", triples=triples)


def lines(path):
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def lost(folder):
    return json.loads((folder / STATEMENT).read_text())["lost"]


def test_recbole(small, tmp_path):
    done = small.convert("recbole", tmp_path / "ml")
    assert lines(tmp_path / "ml/ml.train.inter") == [
        "user_id:token\titem_id:token",
        "u0\ti0",
        "u0\ti1",
        "u1\ti1",
    ]
    assert lines(tmp_path / "ml/ml.valid.inter") == ["user_id:token\titem_id:token"]
    assert lines(tmp_path / "ml/ml.test.inter") == ["user_id:token\titem_id:token", "u1\ti0"]
    assert lines(tmp_path / "ml/ml.kg") == [
        "head_id:token\trelation_id:token\ttail_id:token",
        "i0\tr0\thttp://x.org/e",
        "http://x.org/i1\tr1\thttp://x.org/e",
    ]
    assert lines(tmp_path / "ml/ml.link") == [
        "item_id:token\tentity_id:token",
        "i0\ti0",
        "i1\thttp://x.org/i1",
    ]
    assert lines(tmp_path / "ml/ml.item") == [
        "item_id:token\ttitle:token_seq",
        "i0\tZero",
        'i1\t<One> & "two" ',
        "i2\t",
    ]
    assert done.lost == {
        "entity labels": 1,
        "places that triples came from": 2,
        "tabs and line ends in titles and texts, now blanks": 1,
    }


def test_kgat(small, tmp_path):
    small.convert("kgat", tmp_path / "k")
    assert lines(tmp_path / "k/train.txt") == ["0 0 1", "1 1"]
    assert lines(tmp_path / "k/test.txt") == ["1 0"]
    assert lines(tmp_path / "k/kg_final.txt") == ["0 0 3", "1 1 3"]
    assert lines(tmp_path / "k/item_list.txt") == [
        "org_id remap_id entity_id",
        "i0 0 i0",
        "i1 1 http://x.org/i1",
        "i2 2 i2",
    ]
    assert lines(tmp_path / "k/entity_list.txt")[1:] == [
        "i0 0",
        "http://x.org/i1 1",
        "i2 2",
        "http://x.org/e 3",
    ]
    assert lost(tmp_path / "k")["items without an interaction"] == 1


def test_click_through(small, tmp_path):
    data = replace(
        small, negatives={"train": Interactions(np.array([0], np.int32), np.array([2], np.int32))}
    )
    data.convert("ctr", tmp_path / "c")
    assert lines(tmp_path / "c/ratings_final.txt") == [
        "0\t0\t1",
        "0\t1\t1",
        "0\t2\t0",
        "1\t1\t1",
        "1\t0\t1",
    ]
    assert lines(tmp_path / "c/kg_final.txt") == ["0 0 3", "1 1 3"]
    assert lines(tmp_path / "c/item_index2entity_id.txt") == [
        "i0\ti0",
        "i1\thttp://x.org/i1",
        "i2\ti2",
    ]
    assert lost(tmp_path / "c")["parts of the interactions (validation and test)"] == 1


def test_openke_has_the_relation_last(tmp_path):
    data = knowledge_only([(0, 0, 1), (1, 1, 2), (2, 0, 0)], 3, 2, held={"test": [(0, 1, 2)]})
    data.convert("openke", tmp_path / "o")
    assert lines(tmp_path / "o/train2id.txt") == ["3", "0 1 0", "1 2 1", "2 0 0"]
    assert lines(tmp_path / "o/test2id.txt") == ["1", "0 2 1"]
    assert lines(tmp_path / "o/valid2id.txt") == ["0"]
    assert lines(tmp_path / "o/entity2id.txt") == ["3", "e0\t0", "e1\t1", "e2\t2"]
    assert lines(tmp_path / "o/relation2id.txt") == ["2", "r0\t0", "r1\t1"]


@pytest.mark.parametrize("form", ["openke", "pykeen", "parquet"])
def test_held_out_triples_come_back(form, tmp_path):
    data = knowledge_only(
        [(0, 0, 1), (1, 1, 2), (2, 0, 0)],
        3,
        2,
        held={"valid": [(1, 0, 0)], "test": [(0, 1, 2), (2, 1, 1)]},
    )
    data.convert(form, tmp_path / form)
    after = load(tmp_path / form)
    assert told(after)[base.HELD] == told(data)[base.HELD]
    assert told(after)[base.TRIPLES] == told(data)[base.TRIPLES]
    assert after.num_users == after.num_items == 0
    assert load(tmp_path / form).save(tmp_path / "d").num_entities == 3


@pytest.mark.parametrize("form", ["ntriples", "nquads", "networkx", "graphml", "neo4j"])
def test_triples_alone_come_back(form, tmp_path):
    data = knowledge_only([(0, 0, 1), (1, 1, 2)], 3, 2)
    data.convert(form, tmp_path / form)
    after = load(tmp_path / form)
    assert told(after)[base.TRIPLES] == told(data)[base.TRIPLES]
    assert after.num_users == 0


def test_rdflib_reads_ntriples(small, tmp_path):
    small.convert("ntriples", tmp_path / "n")
    graph = rdflib.Graph().parse(tmp_path / "n/graph.nt", format="nt11")
    end = rdflib.URIRef("http://x.org/e")
    assert (
        rdflib.URIRef("urn:kgrec:entity:i0"),
        rdflib.URIRef("urn:kgrec:relation:r0"),
        end,
    ) in graph
    assert (
        rdflib.URIRef("http://x.org/i1"),
        rdflib.URIRef(RDFS_LABEL),
        rdflib.Literal('<One> & "two"\n'),
    ) in graph
    assert len(graph) == 2 + 3
    assert lines(tmp_path / "n/links.tsv") == [
        "item_id\tentity_iri",
        "i0\turn:kgrec:entity:i0",
        "i1\thttp://x.org/i1",
        "i2\turn:kgrec:entity:i2",
    ]


def test_networkx_reads_graphml_and_node_links(small, tmp_path):
    small.convert("graphml", tmp_path / "g")
    small.convert("networkx", tmp_path / "n")
    read = nx.read_graphml(tmp_path / "g/graph.graphml", force_multigraph=True)
    linked = nx.node_link_graph(json.loads((tmp_path / "n/graph.json").read_text()), edges="edges")
    for graph in (read, linked):
        kinds = [kind for _, kind in graph.nodes(data="kind")]
        assert sorted(kinds) == ["entity", "item", "item", "item", "user", "user"]
        by_entity = {
            attributes["entity"]: node
            for node, attributes in graph.nodes(data=True)
            if "entity" in attributes
        }
        assert graph.nodes[by_entity["http://x.org/i1"]]["label"] == '<One> & "two"\n'
        assert graph.nodes[by_entity["http://x.org/i1"]]["name"] == "i1"
        (edge,) = graph.get_edge_data(by_entity["i0"], by_entity["http://x.org/e"]).values()
        assert (edge["relation"], edge["fact"], edge["locator"]) == ("r0", "triple", 1)
        assert sorted(
            d["part"] for *_, d in graph.edges(data=True) if d["fact"] == "interaction"
        ) == ["test", "train", "train", "train"]
    assert read.number_of_edges() == linked.number_of_edges() == 6


def test_networkx_reads_what_cannot_stand_in_xml(small, tmp_path):
    labels = pl.Series("label", ["a\x01\\b", None, None, None], dtype=pl.String)
    data = replace(small, triples=replace(small.triples, labels=labels))
    data.convert("graphml", tmp_path / "g")
    graph = nx.read_graphml(tmp_path / "g/graph.graphml", force_multigraph=True)
    assert graph.nodes["n0"]["label"] == "a\\u0001\\\\b"
    assert graph.graph["escaped"] is True
    assert load(tmp_path / "g").item_label(0) == "a\x01\\b"


def test_neo4j_csv(small, tmp_path):
    done = small.convert("neo4j", tmp_path / "n")
    texts = {path.name: path.read_bytes().decode() for path in (tmp_path / "n").glob("*.csv")}
    rows = {name: list(csv.reader(io.StringIO(text, newline=""))) for name, text in texts.items()}
    assert set(rows) == {"entities.csv", "users.csv", "triples.csv", "interactions.csv"}
    assert rows["entities.csv"][0] == [":ID(Entity)", "entity", "name", "label", ":LABEL"]
    assert rows["entities.csv"][2] == [
        "n1",
        "http://x.org/i1",
        "i1",
        '<One> & "two"\n',
        "Entity;Item",
    ]
    assert rows["entities.csv"][4] == ["n3", "http://x.org/e", "", "End; of", "Entity"]
    assert rows["triples.csv"][:2] == [
        [
            ":START_ID(Entity)",
            ":END_ID(Entity)",
            ":TYPE",
            "label",
            "source",
            "locator:long",
            "graph",
        ],
        ["n0", "n3", "r0", "", "world", "1", ""],
    ]
    assert rows["interactions.csv"][-1] == ["u1", "n0", "INTERACTS", "test", "", ""]
    assert '"Entity;Item"' in (tmp_path / "n/entities.csv").read_text()
    assert "--multiline-fields=true" in done.notes[0]


def test_polars_reads_parquet(small, tmp_path):
    small.convert("parquet", tmp_path / "p")
    triples = pl.read_parquet(tmp_path / "p/triples.parquet")
    assert triples.rows() == [
        ("i0", "r0", "http://x.org/e", "world", 1),
        ("http://x.org/i1", "r1", "http://x.org/e", "world", 2),
    ]
    assert pl.read_parquet(tmp_path / "p/test.parquet").rows() == [("u1", "i0")]


def test_parquet_carries_texts_mentions_features_and_negatives(tmp_path):
    data = news_board(users=6, topics=2, persons=2, news=8)
    features = np.arange(2 * data.num_items, dtype=np.float32).reshape(-1, 2)
    known = set(zip(data.train.user.tolist(), data.train.item.tolist(), strict=True))
    free = [
        (u, i) for u in range(data.num_users) for i in range(data.num_items) if (u, i) not in known
    ][:5]
    negative = Interactions(
        np.array([u for u, _ in free], np.int32), np.array([i for _, i in free], np.int32)
    )
    data = replace(
        data,
        content=replace(data.content, features=features),
        negatives={"train": negative},
        impressions={},
    )
    data.convert("parquet", tmp_path / "p")
    before, after = told(data), told(load(tmp_path / "p", catalog="all"))
    for aspect in (
        base.TEXTS,
        base.MENTIONS,
        base.FEATURES,
        base.NEGATIVES,
        base.SPLIT,
        base.TRIPLES,
    ):
        assert before[aspect]
        assert after[aspect] == before[aspect], aspect


def judged(data):
    """Return the impressions with a click and a non-click by part: user, time, candidates, clicks,
    history.
    """
    found = {}
    for part, own in data.impressions.items():
        for n in range(len(own)):
            shown, read = slice(*own.start[n : n + 2]), slice(*own.history_start[n : n + 2])
            clicked = own.clicked[shown].tolist()
            if any(clicked) and not all(clicked):
                time = None if own.time is None else float(own.time[n])
                row = data.users.key(own.user[n]), time, data.items.keys(own.item[shown]), clicked
                found.setdefault(part, []).append((*row, data.items.keys(own.history[read])))
    return found


def test_mind(tmp_path):
    data = news_board(users=8, topics=2, persons=2, news=8, impressions=6)
    lists = {
        part: replace(own, time=np.arange(len(own)) * 60.0 + 1.5e9)
        for part, own in data.impressions.items()
    }
    vectors = data.triples.entities.series[data.num_items : data.num_items + 3]
    content = replace(
        data.content,
        entities=Vectors(vectors, np.array([[0.1, 2], [1e-9, -3], [1 / 3, 4]], dtype=np.float32)),
    )
    data = replace(data, impressions=lists, content=content)
    done = data.convert("mind", tmp_path / "MIND")
    first = lines(tmp_path / "MIND/train/behaviors.tsv")[0].split("\t")
    assert first[:3] == ["1", "u0", "07/14/2017 02:40:00 AM"]
    assert len(first[3].split(" ")) == 5
    assert {word[-2:] for word in first[4].split(" ")} == {"-0", "-1"}
    after = load(tmp_path / "MIND", catalog="all")
    rows = {"before": judged(data), "after": judged(after)}
    assert rows["after"] == rows["before"]
    assert sum(map(len, rows["after"].values())) > 50
    before, again = told(data), told(after)
    assert again[base.TEXTS] == before[base.TEXTS]
    assert again[base.MENTIONS] == before[base.MENTIONS]
    assert done.lost["triples other than one category and one subcategory of each news"] == len(
        data.triples
    )
    assert again[base.INTERACTIONS] <= before[base.INTERACTIONS]
    found = dict(
        zip(after.content.entities.keys, after.content.entities.values.tolist(), strict=True)
    )
    assert found == dict(zip(vectors, content.entities.values.tolist(), strict=True))


def test_mind_numbers_ids_with_blanks(tmp_path):
    data = news_board(users=4, topics=2, persons=2, news=8)
    names = (
        [f"user {row}\t" for row in range(data.num_users)],
        [f"news {row}" for row in range(data.num_items)],
    )
    keys = pl.concat([pl.Series("key", names[1]), data.triples.entities.series[data.num_items :]])
    users, items = Vocabulary(names[0], kind="user"), Vocabulary(names[1], kind="item")
    data = replace(
        data, users=users, items=items, triples=replace(data.triples, entities=Vocabulary(keys))
    )
    data.convert("mind", tmp_path / "m")
    after = load(tmp_path / "m", catalog="all")
    assert sorted(row[0] for row in judged(after)["train"]) == sorted(
        row[0] for row in judged(data)["train"]
    )
    assert sorted(row[2:] for row in judged(after)["test"]) == sorted(
        row[2:] for row in judged(data)["test"]
    )
    assert told(after)[base.TEXTS] == told(data)[base.TEXTS]
    assert told(after)[base.MENTIONS] == told(data)[base.MENTIONS]


def test_mind_keeps_categories(shared_data, tmp_path):
    data = load(shared_data("mind-sample"))
    done = data.convert("mind", tmp_path / "m")
    after = load(tmp_path / "m", catalog="all")
    own = {(h, r, t) for h, r, t in told(data)[base.TRIPLES] if h in data.items}
    assert told(after)[base.TRIPLES] == own
    assert done.carried[base.TRIPLES] == len(own)
    assert {part: len(lists) for part, lists in after.impressions.items()} == {
        "train": 90,
        "valid": 19,
        "test": 10,
    }
    gone = told(data)[base.INTERACTIONS] - told(after)[base.INTERACTIONS]
    assert len(gone) == done.lost["interactions that no list shows"]


def test_dkn(shared_data, tmp_path):
    data = load(shared_data("dkn-news"))
    data.convert("dkn", tmp_path / "d")
    after = load(tmp_path / "d")
    before, again = told(data), told(after)
    for aspect in (base.SPLIT, base.NEGATIVES, base.TEXTS):
        assert again[aspect] == before[aspect]
    missing = before[base.MENTIONS] - again[base.MENTIONS]
    assert (
        len(missing)
        <= lost(tmp_path / "d")["words of mentions that are not words of the entity's label"] + 60
    )
    assert len(missing) < 0.02 * len(before[base.MENTIONS])


def test_dkn_numbers_entities_whose_keys_have_colons(tmp_path):
    titles = pl.Series("text", ["See Alien now", "Nothing here"], dtype=pl.String)
    data = dataset([(0, 0), (1, 1)], test=[(0, 1)], triples=[(0, 0, 2)], num_items=2)
    triples = replace(
        data.triples,
        entities=Vocabulary(["i0", "i1", "http://x.org/alien"]),
        labels=pl.Series("label", [None, None, "Alien"], dtype=pl.String),
    )
    data = replace(
        data,
        triples=triples,
        content=Content(texts=titles, mentions=np.array([[0, 4, 9, 2]], np.int32)),
    )
    done = data.convert("dkn", tmp_path / "d")
    assert lines(tmp_path / "d/raw_train.txt")[0] == "u0\tSee Alien now\t1\t2:Alien"
    assert done.lost["item ids (a news is its title)"] == 2
    after = load(tmp_path / "d")
    assert told(after)[base.MENTIONS] == {("See Alien now", 4, 9, "http://x.org/alien")}


def test_a_published_folder_goes_by_its_lists(tmp_path):
    (tmp_path / "train.txt").write_text("0 0 1\n1 1\n")
    (tmp_path / "test.txt").write_text("0 2\n1 0\n")
    (tmp_path / "kg_final.txt").write_text("0 0 3\n1 0 3\n")
    (tmp_path / "user_list.txt").write_text("org_id remap_id\nA9 0\nB7 1\n")
    (tmp_path / "item_list.txt").write_text(
        "org_id remap_id freebase_id\nx 0 m.0\ny 1 m.1\nz 2 m.2\n"
    )
    (tmp_path / "entity_list.txt").write_text("org_id remap_id\nm.0 0\nm.1 1\nm.2 2\nm.3 3\n")
    data = load(tmp_path)
    assert list(data.users) == ["A9", "B7"]
    assert told(data)[base.LINKS] == {"x": "m.0", "y": "m.1"}
    assert told(data)[base.TRIPLES] == {("m.0", "0", "m.3"), ("m.1", "0", "m.3")}


@pytest.mark.parametrize(
    "text",
    [
        "org_id remap_id\nx 0\ny 1\n",
        "org_id remap_id\nx 0\nx 1\nz 2\n",
        "org_id remap_id\nx\n",
        "nothing\n",
    ],
)
def test_a_list_that_cannot_be_used_is_left_and_told(text, tmp_path):
    (tmp_path / "train.txt").write_text("0 0 1\n1 1\n")
    (tmp_path / "test.txt").write_text("0 2\n1 0\n")
    (tmp_path / "item_list.txt").write_text(text)
    data = load(tmp_path)
    assert set(data.items) == {"0", "1", "2"}
    assert any("numbers of the files" in note for note in data.report.notes)


def test_a_dataset_of_shared_entities_comes_back(tmp_path):
    kg = pl.DataFrame(
        {"head": ["E", "F", "G"], "relation": ["r", "r", "s"], "tail": ["G", "G", "H"]}
    )
    links = pl.DataFrame({"item": ["a", "b", "c", "c"], "entity": ["E", "E", "F", "G"]})
    log = pl.DataFrame(
        {
            "user_id": ["u", "u", "v", "v"],
            "item_id": ["a", "b", "c", "a"],
            "timestamp": [1.0, 2, 3, 4],
        }
    )
    data = Dataset.build(log, kg, links, split="leave-one-out")
    assert (data.triples.locator < 0).any()
    for form in ("kgat", "recbole", "ntriples", "parquet", "networkx", "graphml", "neo4j"):
        data.convert(form, tmp_path / form)
        after = told(load(tmp_path / form))
        assert after[base.TRIPLES] == told(data)[base.TRIPLES], form
        assert after[base.LINKS] == told(data)[base.LINKS], form
