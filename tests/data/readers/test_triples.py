import networkx as nx
import numpy as np
import polars as pl
import pytest
import rdflib
from hypothesis import given
from hypothesis import strategies as st

from kgrec.data.readers.triples import read_triples
from kgrec.errors import ConfigError, FormatError, MissingFileError


def written(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def stated(graph):
    return list(
        zip(
            graph.entities.keys(graph.head),
            graph.relations.keys(graph.relation),
            graph.entities.keys(graph.tail),
            strict=True,
        )
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", "a\tr\tb\nb\tr\tc\n"),
        ("a.csv", "head,relation,tail\na,r,b\nb,r,c\n"),
        ("a.csv", "tail,head,relation\nb,a,r\nc,b,r\n"),
        ("a.kg", "head_id:token\trelation_id:token\ttail_id:token\na\tr\tb\nb\tr\tc\n"),
        ("kg_final.txt", "a r b\nb r c\n"),
    ],
)
def test_text(tmp_path, name, text):
    graph = read_triples(written(tmp_path, name, text))
    assert stated(graph) == [("a", "r", "b"), ("b", "r", "c")]
    first = 2 if ("head" in text) else 1
    assert graph.locator.tolist() == [first, first + 1]


def test_an_entity_and_a_relation_may_have_the_same_key(tmp_path):
    graph = read_triples(written(tmp_path, "kg_final.txt", "0 0 1\n1 1 2\n"))
    assert (list(graph.entities), list(graph.relations)) == (["0", "1", "2"], ["0", "1"])


def test_duplicates_and_loops_are_counted(tmp_path):
    graph = read_triples(written(tmp_path, "a.tsv", "a\tr\tb\na\tr\ta\na\tr\tb\na\ts\tb\n"))
    assert stated(graph) == [("a", "r", "b"), ("a", "s", "b")]
    assert {d.why: d.count for d in graph.dropped} == {
        "the head is the tail": 1,
        "stated more than once": 1,
    }


def test_two_columns(tmp_path):
    with pytest.raises(
        FormatError, match=r"a\.tsv:1: expected 3 columns \(head, relation, tail\), found 2"
    ):
        read_triples(written(tmp_path, "a.tsv", "a\tb\nc\td\n"))
    with pytest.raises(FormatError, match=r"a\.tsv:2: expected 3 columns, found 2"):
        read_triples(written(tmp_path, "a.tsv", "a\tb\tc\nc\td\n"))
    kept = read_triples(written(tmp_path, "a.tsv", "a\tb\tc\nc\td\n"), on_error="skip")
    assert (len(kept), kept.dropped[0].count) == (1, 1)


def test_what_cannot_be_found(tmp_path):
    with pytest.raises(MissingFileError):
        read_triples(str(tmp_path / "no.nt"))
    with pytest.raises(FormatError, match="no graph file"):
        read_triples(str(tmp_path))
    with pytest.raises(ConfigError, match=r"'turtel' is unknown\. Nearest: turtle"):
        read_triples("a", format="turtel")
    with pytest.raises(ConfigError, match="no triples"):
        read_triples([])
    with pytest.raises(FormatError, match="expected a path"):
        read_triples(3)


def test_rdflib_graph():
    source = rdflib.Graph()
    source.parse(
        data='@prefix e: <http://e/> . e:a e:r e:b ; <http://www.w3.org/2000/01/rdf-schema#label> "A" .',
        format="turtle",
    )
    graph = read_triples(source)
    assert stated(graph) == [("http://e/a", "http://e/r", "http://e/b")]
    assert graph.labels.to_list() == ["A", None]


def test_networkx_graph():
    source = nx.MultiDiGraph()
    source.add_node("a", label="A")
    source.add_edge("a", "b", key="r")
    source.add_edge("b", 3, relation="s")
    graph = read_triples(source)
    assert stated(graph) == [("a", "r", "b"), ("b", "s", "3")]
    assert graph.labels.to_list() == ["A", None, None]


def test_frames_and_several_graphs(tmp_path):
    frame = pl.DataFrame({"head": ["a"], "relation": ["r"], "tail": ["b"]})
    both = read_triples([frame, written(tmp_path, "a.tsv", "b\tr\tc\n")])
    assert stated(both) == [("a", "r", "b"), ("b", "r", "c")]
    assert both.source.tolist() == [0, 1]
    assert read_triples(both) is both


KEY = st.sampled_from("abcdefg")


@given(st.lists(st.tuples(KEY, st.sampled_from("rs"), KEY), min_size=1, max_size=30))
def test_any_triples_come_back_once(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("t")
    expected = list(dict.fromkeys((h, r, t) for h, r, t in rows if h != t))
    text = read_triples(written(folder, "a.tsv", "".join(f"{h}\t{r}\t{t}\n" for h, r, t in rows)))
    lines = read_triples(
        written(folder, "a.nt", "".join(f"<x:{h}> <x:{r}> <x:{t}> .\n" for h, r, t in rows))
    )
    assert stated(text) == expected
    assert stated(lines) == [(f"x:{h}", f"x:{r}", f"x:{t}") for h, r, t in expected]
    if expected:
        assert np.array_equal(text.locator, lines.locator)
        halves = read_triples([text, lines])
        assert stated(halves) == stated(text) + stated(lines)


def test_a_networkx_graph_made_of_a_dataset_comes_back_without_its_users():
    from kgrec.data.records.dataset import Dataset
    from kgrec.graph.convert import to_networkx

    log = pl.DataFrame({"user": ["u"] * 3, "item": ["a", "b", "c"]})
    data = Dataset.build(
        log,
        pl.DataFrame({"head": ["a", "b"], "relation": ["r", "r"], "tail": ["t", "t"]}),
        ratios=(0.4, 0.3, 0.3),
    )
    back = read_triples(to_networkx(data))
    assert sorted(stated(back)) == [("a", "r", "t"), ("b", "r", "t")]
    assert back.labels.to_list() == [None] * len(back.entities)


def test_rows_with_an_empty_cell_can_be_skipped(tmp_path):
    path = written(tmp_path, "a.tsv", "a\tr\tb\n\tr\tb\nb\tr\tc\n")
    with pytest.raises(FormatError, match=r"a\.tsv:2"):
        read_triples(path)
    graph = read_triples(path, on_error="skip")
    assert (stated(graph), graph.locator.tolist()) == ([("a", "r", "b"), ("b", "r", "c")], [1, 3])
    assert [(d.what, d.count) for d in graph.dropped] == [("triples", 1)]


def test_a_graph_is_shown_in_one_line(tmp_path):
    assert (
        repr(read_triples(written(tmp_path, "a.tsv", "a\tr\tb\n")))
        == "Triples(1 triples, 2 entities, 1 relations)"
    )


def test_what_a_folder_holds_beside_graphs_is_named(tmp_path, caplog):
    (tmp_path / "a.nt").write_text("<x:a> <x:r> <x:b> .\n")
    (tmp_path / "notes.xyz").write_text("words")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.nt").write_text("<x:c> <x:r> <x:d> .\n")
    with caplog.at_level("WARNING", logger="kgrec"):
        assert len(read_triples(tmp_path)) == 1
    assert "not read, since they are folders or no graph files: notes.xyz, sub/" in caplog.text


def test_settings_by_name_are_those_of_the_reader():
    import inspect

    from kgrec.data.readers.triples import _SETTINGS

    named = set(inspect.signature(read_triples).parameters) - {"source", "on_error"}
    assert named == set(_SETTINGS)
