import polars as pl

from kgrec.data.graphs.literals import categories
from kgrec.data.readers.triples import read_triples

XSD = "http://www.w3.org/2001/XMLSchema#"


def frame(rows):
    return pl.DataFrame(rows, schema=["term", "name", "value", "datatype"], orient="row")


def test_numbers_become_ranges_with_about_as_many_values_each():
    rows = [(n, "x:price", str(n), XSD + "integer") for n in range(100)] + [
        (n, "x:few", f"{n % 2}.50", XSD + "decimal") for n in range(6)
    ]
    found = categories(frame(rows))
    assert found.left.height == 0
    labels = found.made.filter(pl.col("name") == "x:price")["label"].to_list()
    assert labels[:11] == ["0 to 9"] * 10 + ["10 to 19"]
    assert len(set(labels)) == 10
    assert found.made.filter(pl.col("name") == "x:few")["key"].unique(
        maintain_order=True
    ).to_list() == ["x:few=0.5", "x:few=1.5"]


def test_equal_numbers_share_a_range():
    rows = [(n, "x:p", "7", XSD + "int") for n in range(50)] + [
        (n, "x:p", str(n), XSD + "int") for n in range(50, 70)
    ]
    found = categories(frame(rows)).made
    assert found.filter(pl.col("value") == "7")["label"].unique().to_list() == ["7"]


def test_dates_become_years_and_what_cannot_be_read_stays():
    rows = [
        (0, "x:d", "1979-05-25", XSD + "date"),
        (1, "x:d", "1979-12-01T10:00:00Z", XSD + "dateTime"),
        (2, "x:d", "-0044", XSD + "gYear"),
        (3, "x:d", "soon", XSD + "date"),
        (4, "x:n", "many", XSD + "integer"),
        (5, "x:n", "INF", XSD + "double"),
    ]
    found = categories(frame(rows))
    assert found.made.select("term", "key").rows() == [
        (0, "x:d=1979"),
        (1, "x:d=1979"),
        (2, "x:d=-0044"),
    ]
    assert found.left["term"].to_list() == [3, 4, 5]


def test_texts_become_categories_where_entities_share_them():
    rows = [
        (0, "x:genre", "horror", XSD + "string"),
        (1, "x:genre", "horror", XSD + "string"),
        (1, "x:genre", "alone", XSD + "string"),
        (2, "x:genre", "alone ", XSD + "string"),
        (3, "x:plot", "y" * 65, XSD + "string"),
        (4, "x:plot", "y" * 65, XSD + "string"),
        (5, "x:flag", "true", XSD + "boolean"),
        (6, "x:flag", "true", XSD + "boolean"),
        (7, "x:twice", "z", XSD + "string"),
        (7, "x:twice", "z", XSD + "string"),
    ]
    found = categories(frame(rows))
    assert found.made.select("term", "key", "label").rows() == [
        (0, "x:genre=horror", "horror"),
        (1, "x:genre=horror", "horror"),
        (5, "x:flag=true", "true"),
        (6, "x:flag=true", "true"),
    ]
    assert found.left.columns == ["term", "name", "value", "datatype"]


def test_in_a_graph_they_have_labels_places_and_counts(tmp_path):
    text = (
        '<x:a> <x:year> "1979"^^<http://www.w3.org/2001/XMLSchema#gYear> .\n<x:b> <x:r> <x:a> .\n'
        '<x:b> <x:year> "1979-01-01"^^<http://www.w3.org/2001/XMLSchema#date> .\n<x:b> <x:note> "once" .\n'
        '<x:year> <http://www.w3.org/2000/01/rdf-schema#label> "released in" .\n'
    )
    (tmp_path / "a.nt").write_text(text)
    (tmp_path / "b.ttl").write_text(
        '<x:c> <x:year> "1979"^^<http://www.w3.org/2001/XMLSchema#gYear> .'
    )
    graph = read_triples([tmp_path / "a.nt", tmp_path / "b.ttl"], literals="entities")
    assert [
        (graph.label(h), graph.relation_label(r), graph.label(t))
        for h, r, t in zip(graph.head, graph.relation, graph.tail, strict=True)
    ] == [
        ("x:b", "r", "x:a"),
        ("x:a", "released in", "1979"),
        ("x:b", "released in", "1979"),
        ("x:c", "released in", "1979"),
    ]
    assert (graph.source.tolist(), graph.locator.tolist()) == ([0, 0, 0, 1], [2, 1, 3, 1])
    assert graph.attributes["value"].to_list() == ["once"]
    assert graph.counts == {
        "literals turned into entities": 3,
        "entities made of literals": 1,
        "literals left as attributes": 1,
    }
    assert graph.graph.tolist() == []
    plain = read_triples([tmp_path / "a.nt", tmp_path / "b.ttl"])
    assert (len(plain), plain.attributes.height, plain.counts) == (1, 4, {})
