import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrec.data import linking
from kgrec.data.graphs import read_triples
from kgrec.data.linking import link, read_links
from kgrec.data.vocabulary import Vocabulary
from kgrec.errors import FormatError, LinkError


def graph_of(*rows):
    return read_triples(pl.DataFrame(list(rows), schema=["head", "relation", "tail"], orient="row"))


def linked(items, graph, links=None, labels=None):
    frame = None if links is None else pl.DataFrame(links, schema={"item": pl.String, "entity": pl.String}, orient="row")
    return link(Vocabulary(items, kind="item"), graph, frame, pl.Series("label", labels or [None] * len(items), dtype=pl.String))


def stated(triples):
    return sorted(
        zip(triples.entities.keys(triples.head), triples.relations.keys(triples.relation), triples.entities.keys(triples.tail), strict=True)
    )


def test_one_to_one_links_merge_item_and_entity():
    graph = graph_of(("m.alien", "director", "m.scott"), ("m.blade", "director", "m.scott"))
    got = linked(["1", "2", "3"], graph, [("1", "m.alien"), ("2", "m.blade"), ("9", "m.alien"), ("3", "m.gone")])
    assert list(got.triples.entities) == ["m.alien", "m.blade", "3", "m.scott"]
    assert (got.triples.head.tolist(), got.triples.tail.tolist()) == ([0, 1], [3, 3])
    assert got.triples.locator.tolist() == graph.locator.tolist()
    assert got.counts == {
        "items linked": 3,
        "items in the graph": 2,
        "entities of items": 2,
        "items without an entity": 1,
        "triples taken over through a link": 0,
    }
    assert {d.why: d.count for d in got.dropped} == {"the item is not in the catalog": 1, "the entity is not in the graph": 1}


def test_items_that_share_an_entity_each_take_a_copy():
    graph = graph_of(("film", "director", "scott"), ("other", "follows", "film"))
    got = linked(["dvd", "vhs"], graph, [("dvd", "film"), ("vhs", "film")])
    assert list(got.triples.entities) == ["dvd", "vhs", "other", "scott"]
    assert stated(got.triples) == [
        ("dvd", "director", "scott"),
        ("other", "follows", "dvd"),
        ("other", "follows", "vhs"),
        ("vhs", "director", "scott"),
    ]
    assert sorted(got.triples.locator.tolist()) == [-2, -2, -1, -1]
    assert got.counts["entities shared by items"] == 1
    assert got.counts["triples taken over through a link"] == 4


def test_an_item_with_several_entities_takes_over_all_their_triples():
    graph = graph_of(("e1", "about", "x"), ("e2", "about", "y"), ("e1", "near", "e2"), ("e2", "about", "x"), ("x", "near", "z"))
    got = linked(["news"], graph, [("news", "e1"), ("news", "e2")], labels=["News"])
    assert stated(got.triples) == [("news", "about", "x"), ("news", "about", "y"), ("x", "near", "z")]
    assert {d.why: d.count for d in got.dropped} == {"between entities of one item": 1, "stated of several entities of one item": 1}
    assert got.counts["items with several entities"] == 1
    assert got.triples.label(0) == "News"


def test_items_link_themselves():
    graph = graph_of(("http://e/a", "r", "b"), ("b", "r", "c"))
    alone = linked(["http://e/a", "b", "z"], graph)
    assert list(alone.triples.entities) == ["http://e/a", "b", "z", "c"]
    with_links = linked(["http://e/a", "b", "z"], graph, [("z", "c")])
    assert list(with_links.triples.entities) == ["http://e/a", "item:b", "c", "b"]
    assert with_links.counts["items whose id another entity has"] == 1
    assert with_links.counts["items in the graph"] == 2


def test_labels_types_and_attributes_follow(tmp_path):
    path = tmp_path / "a.ttl"
    path.write_text(
        '@prefix e: <http://e/> . @prefix s: <https://schema.org/> . e:a a e:Film ; s:name "A" ; '
        'e:r e:c ; e:year 1 . e:b s:name "B" . e:c s:name "C" .'
    )
    graph = read_triples(str(path))
    got = linked(["1", "2", "3"], graph, [("1", "http://e/a"), ("2", "http://e/a"), ("3", "http://e/b")], labels=["One", None, None])
    assert got.triples.labels.to_list() == ["One", "A", "B", "C"]
    assert got.triples.types.rows() == [(0, "http://e/Film"), (1, "http://e/Film")]
    assert got.triples.attributes["entity"].to_list() == [0, 1]


def test_too_many_copies_are_refused(monkeypatch):
    monkeypatch.setattr(linking, "_MOST_COPIES", 3)
    graph = graph_of(("a", "r", "b"))
    with pytest.raises(LinkError, match="would turn 1 triples into 4"):
        linked(["1", "2", "3", "4"], graph, [("1", "a"), ("2", "a"), ("3", "b"), ("4", "b")])


def test_link_files(tmp_path):
    def read(text, **options):
        path = tmp_path / "links.tsv"
        path.write_text(text)
        return read_links(str(path), **options)[0].rows()

    assert read("item_id\tentity_iri\n1\tx\n") == [("1", "x")]
    assert read("item_id:token\tentity_id:token\n1\tx\n") == [("1", "x")]
    assert read("entity\titem_id\nx\t1\n") == [("1", "x")]
    assert read("1\tx\n2\ty\n") == [("1", "x"), ("2", "y")]
    assert read("film\tthing\tentity\n1\t0\tx\n", item="film") == [("1", "x")]
    with pytest.raises(FormatError, match="one column"):
        read("1\n2\n")


ITEMS, ENTITIES = "123", "abcd"


@given(
    st.lists(st.tuples(st.sampled_from(ENTITIES), st.sampled_from("rs"), st.sampled_from(ENTITIES)), max_size=12),
    st.lists(st.tuples(st.sampled_from(ITEMS), st.sampled_from(ENTITIES)), max_size=6),
)
def test_linking_agrees_with_writing_it_out(rows, links):
    graph = graph_of(*(rows or [("a", "r", "b")]))
    got = linked(list(ITEMS), graph, links)
    places = {e: {i for i, to in links if to == e} or {e} for e in ENTITIES}
    named = stated(graph)
    expected = {(h, r, t) for head, r, tail in named for h in places[head] for t in places[tail] if h != t}
    own = {key: item for key, item in zip(got.triples.entities, ITEMS, strict=False)}
    assert {(own.get(h, h), r, own.get(t, t)) for h, r, t in stated(got.triples)} == expected
    assert len(got.triples) == len(expected)


def test_links_with_an_empty_cell_can_be_skipped(tmp_path):
    path = tmp_path / "links.csv"
    path.write_text("item,entity\ni,e\n,e\nj,\n")
    frame, _, dropped = read_links(str(path), on_error="skip")
    assert frame.rows() == [("i", "e")]
    assert [(d.what, d.count) for d in dropped] == [("links", 2)]


def test_a_link_to_a_merged_entity_finds_it(tmp_path):
    same = "<http://www.w3.org/2002/07/owl#sameAs>"
    text = f"<x:a> <x:r> <x:b> <x:g> .\n<x:a> {same} <http://e/a> .\n<x:c> {same} <x:d> .\n<x:d> <x:r> <x:b> .\n"
    (tmp_path / "kg.nq").write_text(text)
    graph = read_triples(str(tmp_path / "kg.nq"), same_as="merge")
    items = Vocabulary(["http://e/a", "2", "3"], kind="item")
    linked = link(items, graph, pl.DataFrame({"item": ["2"], "entity": ["x:d"]}), pl.Series("label", [None] * 3, dtype=pl.String))
    assert linked.triples.entities.series.to_list() == ["x:a", "x:c", "3", "x:b"]
    assert (linked.triples.head.tolist(), linked.triples.tail.tolist()) == ([0, 1], [3, 3])
    assert [linked.triples.graph_name(row) for row in range(2)] == ["x:g", None]
    assert items.series.to_list() == ["http://e/a", "2", "3"]


def test_copies_keep_their_graph(tmp_path):
    (tmp_path / "kg.nq").write_text("<x:a> <x:r> <x:b> <x:g> .\n<x:c> <x:r> <x:b> .\n<x:b> <x:s> <x:a> <x:h> .\n")
    graph = read_triples(str(tmp_path / "kg.nq"))
    items = Vocabulary(["1", "2"], kind="item")
    links = pl.DataFrame({"item": ["1", "2"], "entity": ["x:a", "x:a"]})
    linked = link(items, graph, links, pl.Series("label", [None] * 2, dtype=pl.String)).triples
    rows = zip(linked.entities.keys(linked.head), linked.entities.keys(linked.tail), linked.locator, strict=True)
    told = [(head, tail, int(place), linked.graph_name(row)) for row, (head, tail, place) in enumerate(rows)]
    assert sorted(told) == [
        ("1", "x:b", -1, "x:g"),
        ("2", "x:b", -1, "x:g"),
        ("x:b", "1", -3, "x:h"),
        ("x:b", "2", -3, "x:h"),
        ("x:c", "x:b", 2, None),
    ]
