import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrec.data.linking import links as linking
from kgrec.data.linking.links import link, read_links
from kgrec.data.linking.match import check_review, items_to_match, match_items, write_review
from kgrec.data.readers.items import read_items
from kgrec.data.readers.triples import read_triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.errors import ConfigError, FormatError, LinkError


def graph_of(*rows):
    return read_triples(pl.DataFrame(list(rows), schema=["head", "relation", "tail"], orient="row"))


def linked(items, graph, links=None, labels=None):
    frame = (
        None
        if links is None
        else pl.DataFrame(links, schema={"item": pl.String, "entity": pl.String}, orient="row")
    )
    return link(
        Vocabulary(items, kind="item"),
        graph,
        frame,
        pl.Series("label", labels or [None] * len(items), dtype=pl.String),
    )


def stated(triples):
    return sorted(
        zip(
            triples.entities.keys(triples.head),
            triples.relations.keys(triples.relation),
            triples.entities.keys(triples.tail),
            strict=True,
        )
    )


def test_one_to_one_links_merge_item_and_entity():
    graph = graph_of(("m.alien", "director", "m.scott"), ("m.blade", "director", "m.scott"))
    got = linked(
        ["1", "2", "3"],
        graph,
        [("1", "m.alien"), ("2", "m.blade"), ("9", "m.alien"), ("3", "m.gone")],
    )
    assert list(got.triples.entities) == ["m.alien", "m.blade", "3", "m.scott"]
    assert (got.triples.head.tolist(), got.triples.tail.tolist()) == ([0, 1], [3, 3])
    assert got.triples.locator.tolist() == graph.locator.tolist()
    assert got.counts == {
        "items linked": 3,
        "items in the graph": 2,
        "entities of items": 2,
        "items without an entity": 1,
        "triples of items that share an entity or have several": 0,
    }
    assert {d.why: d.count for d in got.dropped} == {
        "the item is not in the catalog": 1,
        "the entity is not in the graph": 1,
    }


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
    assert got.counts["triples of items that share an entity or have several"] == 4


def test_an_item_with_several_entities_takes_over_all_their_triples():
    graph = graph_of(
        ("e1", "about", "x"),
        ("e2", "about", "y"),
        ("e1", "near", "e2"),
        ("e2", "about", "x"),
        ("x", "near", "z"),
    )
    got = linked(["news"], graph, [("news", "e1"), ("news", "e2")], labels=["News"])
    assert stated(got.triples) == [
        ("news", "about", "x"),
        ("news", "about", "y"),
        ("x", "near", "z"),
    ]
    assert {d.why: d.count for d in got.dropped} == {
        "between entities of one item": 1,
        "stated of several entities of one item": 1,
    }
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
    got = linked(
        ["1", "2", "3"],
        graph,
        [("1", "http://e/a"), ("2", "http://e/a"), ("3", "http://e/b")],
        labels=["One", None, None],
    )
    assert got.triples.labels.to_list() == ["One", "A", "B", "C"]
    assert got.triples.types.rows() == [(0, "http://e/Film"), (1, "http://e/Film")]
    columns = got.triples.attributes.select("entity", "value").rows()
    assert sorted(columns) == [(0, "1"), (0, "A"), (1, "1"), (1, "A"), (2, "B"), (3, "C")]


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
    st.lists(
        st.tuples(st.sampled_from(ENTITIES), st.sampled_from("rs"), st.sampled_from(ENTITIES)),
        max_size=12,
    ),
    st.lists(st.tuples(st.sampled_from(ITEMS), st.sampled_from(ENTITIES)), max_size=6),
)
def test_linking_agrees_with_writing_it_out(rows, links):
    graph = graph_of(*(rows or [("a", "r", "b")]))
    got = linked(list(ITEMS), graph, links)
    places = {e: {i for i, to in links if to == e} or {e} for e in ENTITIES}
    named = stated(graph)
    expected = {
        (h, r, t) for head, r, tail in named for h in places[head] for t in places[tail] if h != t
    }
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
    text = (
        f"<x:a> <x:r> <x:b> <x:g> .\n<x:a> {same} <http://e/a> .\n<x:c> {same} <x:d> .\n<x:d> "
        "<x:r> <x:b> .\n"
    )
    (tmp_path / "kg.nq").write_text(text)
    graph = read_triples(str(tmp_path / "kg.nq"), same_as="merge")
    items = Vocabulary(["http://e/a", "2", "3"], kind="item")
    linked = link(
        items,
        graph,
        pl.DataFrame({"item": ["2"], "entity": ["x:d"]}),
        pl.Series("label", [None] * 3, dtype=pl.String),
    )
    assert linked.triples.entities.series.to_list() == ["x:a", "x:c", "3", "x:b"]
    assert (linked.triples.head.tolist(), linked.triples.tail.tolist()) == ([0, 1], [3, 3])
    assert [linked.triples.graph_name(row) for row in range(2)] == ["x:g", None]
    assert items.series.to_list() == ["http://e/a", "2", "3"]


def test_copies_keep_their_graph(tmp_path):
    (tmp_path / "kg.nq").write_text(
        "<x:a> <x:r> <x:b> <x:g> .\n<x:c> <x:r> <x:b> .\n<x:b> <x:s> <x:a> <x:h> .\n"
    )
    graph = read_triples(str(tmp_path / "kg.nq"))
    items = Vocabulary(["1", "2"], kind="item")
    links = pl.DataFrame({"item": ["1", "2"], "entity": ["x:a", "x:a"]})
    linked = link(items, graph, links, pl.Series("label", [None] * 2, dtype=pl.String)).triples
    rows = zip(
        linked.entities.keys(linked.head),
        linked.entities.keys(linked.tail),
        linked.locator,
        strict=True,
    )
    told = [
        (head, tail, int(place), linked.graph_name(row))
        for row, (head, tail, place) in enumerate(rows)
    ]
    assert sorted(told) == [
        ("1", "x:b", -1, "x:g"),
        ("2", "x:b", -1, "x:g"),
        ("x:b", "1", -3, "x:h"),
        ("x:b", "2", -3, "x:h"),
        ("x:c", "x:b", 2, None),
    ]


def match(items, graph, by="label-year"):
    return match_items(
        pl.DataFrame(
            items, schema={"item": pl.String, "label": pl.String, "year": pl.Int64}, orient="row"
        ),
        graph,
        by,
    )


def labelled(tmp_path, *labels, further=""):
    """A graph of entities x:0, x:1, ... with these labels, each of which begins a triple."""
    lines = [
        f'<x:{n}> <http://www.w3.org/2000/01/rdf-schema#label> "{label}" .\n<x:{n}> <x:r> <x:o> .'
        for n, label in enumerate(labels)
    ]
    (tmp_path / "g.nt").write_text("\n".join(lines) + "\n" + further)
    return read_triples(str(tmp_path / "g.nt"))


def decisions(found):
    return {
        (row["item"], row["entity"]): (row["status"], row["reason"])
        for row in found.review.to_dicts()
    }


def test_labels_and_years_decide(tmp_path):
    graph = labelled(
        tmp_path,
        "The Godfather",
        "Heat (1995 film)",
        "Sabrina (1954 film)",
        "Sabrina (1995 film)",
        "Am\u00e9lie",
        "Tom & Jerry",
        "Fear (1996 film)",
    )
    items = [
        ("g", "Godfather, The", 1972),
        ("h", "Heat", 1995),
        ("s", "Sabrina", 1995),
        ("a", "Amelie", 2001),
        ("t", "Tom and Jerry", 1992),
    ]
    found = match(
        [
            *items,
            ("f", "Fear", 1995),
            ("o", "Sabrina", 1978),
            ("n", "Nothing", 1990),
            ("x", None, None),
        ],
        graph,
    )
    same = ("sure", "the same label, no year to compare")
    assert decisions(found) == {
        ("g", "x:0"): same,
        ("h", "x:1"): ("sure", "the same label, the same year"),
        ("s", "x:3"): ("sure", "the same label, the same year"),
        ("a", "x:4"): same,
        ("t", "x:5"): same,
        ("f", "x:6"): ("doubtful", "the same label, a year apart"),
        ("o", None): ("unmatched", "no entity has the label and the year"),
        ("n", None): ("unmatched", "no entity has the label and the year"),
        ("x", None): ("unmatched", "the item has no label"),
    }
    assert found.links.rows() == [
        ("g", "x:0"),
        ("h", "x:1"),
        ("s", "x:3"),
        ("a", "x:4"),
        ("t", "x:5"),
    ]
    assert found.counts == {
        "items linked by label": 5,
        "items with a doubtful match, not linked": 1,
        "items without a match": 3,
    }
    assert found.review["status"].to_list() == ["doubtful", *["unmatched"] * 3, *["sure"] * 5]
    assert set(found.review.filter(pl.col("status") == "sure")["link"]) == {"yes"}
    by_label = decisions(match(items[2:3], graph, by="label"))
    assert (
        by_label[("s", "x:2")]
        == by_label[("s", "x:3")]
        == ("doubtful", "the same label, no year to compare, several entities fit")
    )


def test_what_is_never_sure(tmp_path):
    graph = labelled(
        tmp_path,
        "Hamlet",
        "Mask",
        "Emma (film)",
        "Emma (1932 film)",
        "Der bewegte Mann",
        "Star Trek II: The Wrath of Khan",
    )
    items = [
        ("h1", "Hamlet", 1948),
        ("h2", "Hamlet", 1996),
        ("m", "Mask, The", 1994),
        ("e", "Emma", 1996),
    ]
    found = decisions(
        match(
            [
                *items,
                ("b", "Maybe, Maybe Not (Bewegte Mann, Der)", 1994),
                ("k", "Star Trek: The Wrath of Khan", 1982),
            ],
            graph,
        )
    )
    assert {pair: status for pair, (status, _) in found.items()} == dict.fromkeys(
        [("h1", "x:0"), ("h2", "x:0"), ("m", "x:1"), ("e", "x:2"), ("b", "x:4"), ("k", "x:5")],
        "doubtful",
    )
    assert found["h1", "x:0"][1].endswith("several items fit the entity")
    assert found["e", "x:2"][1].endswith("others of the label are of another year")
    assert found["m", "x:1"][1] == "the label but for its article, no year to compare"


def test_many_items_may_be_one_entity(tmp_path):
    graph = labelled(tmp_path, "Chasing Amy", "Heat (1995 film)")
    found = match(
        [
            ("1", "Chasing Amy", 1997),
            ("2", "Chasing Amy", 1997),
            ("3", "Heat", 1995),
            ("4", "Heat", 1995),
        ],
        graph,
    )
    assert found.links.rows() == [("1", "x:0"), ("2", "x:0"), ("3", "x:1"), ("4", "x:1")]


def test_years_of_entities_come_from_attributes_and_relations(tmp_path):
    year = '<x:0> <http://e/releaseDate> "1954-05-06" .\n<x:1> <http://e/year> <x:y> .\n'
    year += '<x:y> <http://www.w3.org/2000/01/rdf-schema#label> "1995" .\n'
    graph = labelled(tmp_path, "Sabrina", "Sabrina", further=year)
    assert match([("s", "Sabrina", 1995), ("t", "Sabrina", 1954)], graph).links.rows() == [
        ("s", "x:1"),
        ("t", "x:0"),
    ]


def test_an_entity_that_begins_no_triple_is_doubtful(tmp_path):
    band = '<x:9> <http://www.w3.org/2000/01/rdf-schema#label> "Grateful Dead" .\n<x:0> <x:r> <x:9> .\n'
    graph = labelled(tmp_path, "Heat", "Alien", further=band)
    found = match([("1", "Heat", 1995), ("2", "Alien", 1979), ("3", "Grateful Dead", 1995)], graph)
    assert decisions(found)["3", "x:9"][0] == "doubtful"
    assert found.links.height == 2


def test_matching_needs_labels_and_years(tmp_path):
    with pytest.raises(ConfigError, match="no item has a year"):
        match([("1", "Heat", None)], labelled(tmp_path, "Heat"))
    with pytest.raises(ConfigError, match="no entity of the graph has a label"):
        match([("1", "Heat", 1995)], graph_of(("a", "r", "b")))
    with pytest.raises(ConfigError, match="link_by: 'titles' is unknown"):
        match([("1", "Heat", 1995)], labelled(tmp_path, "Heat"), by="titles")


def test_titles_and_years_of_a_table():
    frame = pl.DataFrame(
        {
            "item_id": ["1", "2", "3"],
            "title": ["A (1990)", "B", "C"],
            "when": ["x", "1995-02-03", "1996"],
            "year": [None, 1995, 1996],
        }
    )
    table = read_items(frame)
    assert items_to_match(table, pl.Series(["3", "1", "9"])).rows() == [
        ("3", "C", 1996),
        ("1", "A (1990)", 1990),
        ("9", None, None),
    ]
    assert items_to_match(table, pl.Series(["2"]), year="when").rows() == [("2", "B", 1995)]
    with pytest.raises(FormatError, match=r"no column 'yaer'\. Nearest: year"):
        items_to_match(table, pl.Series(["2"]), year="yaer")
    with pytest.raises(ConfigError, match="no column of titles"):
        items_to_match(read_items(pl.DataFrame({"item_id": ["1"], "x": ["a"]})), pl.Series(["1"]))


def test_a_review_is_written_edited_and_given_back(tmp_path):
    graph = labelled(tmp_path, "Heat", 'The \\"Mask\\"', "Alien")
    found = match(
        [
            ("a b", "Heat", 1995),
            ("1", '"Mask", The', 1994),
            ("2", "Mask", 1994),
            ("3", "Brazil\tor not", 1985),
        ],
        graph,
    )
    place = tmp_path / "review.tsv"
    write_review(found, place)
    lines = place.read_text().splitlines()
    assert lines[0].split("\t")[:3] == ["link", "status", "item"]
    assert read_links(str(place))[0].rows() == [(row[0], row[1]) for row in found.links.rows()]
    edited = [line.replace("?", "yes", 1) if "\t2\t" in line else line for line in lines]
    edited = [
        "\t".join(["YES", *line.split("\t")[1:5], "x:2", *line.split("\t")[6:]])
        if "\t3\t" in line
        else line
        for line in edited
    ]
    place.write_text("\r\n".join(edited))
    rows, _, dropped = read_links(str(place))
    assert sorted(rows.rows()) == [("1", "x:1"), ("2", "x:1"), ("3", "x:2"), ("a b", "x:0")]
    assert dropped == ()
    place.write_text("\n".join(lines).replace("?\t", "perhaps\t", 1))
    with pytest.raises(
        FormatError, match=r"review\.tsv:\d: column 'link' holds 'perhaps'\. Write yes or no"
    ):
        read_links(str(place))
    place.write_text("link\tstatus\titem\tentity\nyes\tunmatched\t3\t\n")
    with pytest.raises(FormatError, match=r"review\.tsv:2: column 'entity' is empty"):
        read_links(str(place))


def test_a_review_is_never_written_over(tmp_path):
    (tmp_path / "r.tsv").write_text("mine")
    with pytest.raises(ConfigError, match="is there already, and may hold your decisions"):
        check_review(str(tmp_path / "r.tsv"))
    with pytest.raises(ConfigError, match="no such folder"):
        check_review(str(tmp_path / "no" / "r.tsv"))
    with pytest.raises(LinkError, match="holds a tab or a line break"):
        write_review(
            match([("a\tb", "Heat", 1995)], labelled(tmp_path, "Heat")), tmp_path / "new.tsv"
        )
    assert not (tmp_path / "new.tsv").exists()


def test_a_column_called_link_alone_is_no_review(tmp_path):
    (tmp_path / "l.csv").write_text("item,entity,link\n1,x,http://x\n")
    assert read_links(str(tmp_path / "l.csv"))[0].rows() == [("1", "x")]


def test_films_by_label_and_year(shared_data):
    folder = shared_data("ml-100k")
    graph = read_triples(folder / "dbpedia-films.nt")
    table = read_items(folder / "ml-100k.item")
    found = match_items(items_to_match(table, table.ids), graph).links
    given_links = read_links(folder / "dbpedia-films.link.tsv")[0]
    both = found.join(given_links, on=["item", "entity"], how="semi").height
    assert (both, found.height) == (1_189, 1_197)
