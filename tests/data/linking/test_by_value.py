"""Links of items whose ids stand in the graph."""

import polars as pl
import pytest

import kgrec
from kgrec.errors import ConfigError

WD = "http://www.wikidata.org/"
TEXT = f"""@prefix wd: <{WD}entity/> . @prefix wdt: <{WD}prop/direct/> . @prefix : <http://x.org/> .
@prefix owl: <http://www.w3.org/2002/07/owl#> . @prefix skos: <http://www.w3.org/2004/02/skos/core#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
wd:Q1 wdt:P345 "tt1" ; wdt:P57 wd:Q9 ; rdfs:label "Alien"@en, "Alien - Das Wesen"@de ; :sku "7" .
wd:Q2 wdt:P345 "tt2" ; wdt:P57 wd:Q9 ; rdfs:label "Heat"@en ; skos:altLabel "Hitze"@de .
wd:Q3 wdt:P345 "tt3" ; wdt:P57 wd:Q8 . wd:Q4 wdt:P345 "tt3" ; wdt:P57 wd:Q8 .
:five owl:sameAs wd:Q5 ; wdt:P57 wd:Q8 . :six wdt:P57 wd:Q8 . wd:Q6 skos:exactMatch :six .
"""


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    path = tmp_path_factory.mktemp("g") / "g.ttl"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


def build(graph, ids, **settings):
    log = pl.DataFrame({"user": [u for u in "abc" for _ in ids], "item": list(ids) * 3})
    return kgrec.Dataset.build(log, graph, ratios=(0.4, 0.3, 0.3), **settings)


def linked(data):
    items = range(data.num_items)
    keys = {data.items.key(row): data.triples.entities.key(row) for row in items}
    return {item: key for item, key in keys.items() if item != key}


IMDB = ("tt1", "tt2", "tt3", "tt99")


@pytest.mark.parametrize(
    "how", ["value", "value:wdt:P345", "value:P345", f"value:{WD}prop/direct/P345"]
)
def test_by_the_value_of_a_property(graph, how):
    data = build(graph, IMDB, link_by=how)
    assert linked(data) == {"tt1": f"{WD}entity/Q1", "tt2": f"{WD}entity/Q2"}
    assert data.report.counts["items linked by value"] == 2
    assert any("several entities fit" in one.why and one.count == 1 for one in data.report.dropped)
    assert any("wdt:P345" in note for note in data.report.notes)


@pytest.mark.parametrize(
    ("items", "how"),
    [
        (("Q1", "Q2", "Q77"), "prefix"),
        (("Q1", "Q2", "Q77"), "prefix:wd"),
        (("Q1", "Q2", "Q77"), f"prefix:{WD}entity/"),
        (("wd:Q1", "wd:Q2", "wd:Q77"), "prefix"),
    ],
)
def test_by_prefix(graph, items, how):
    found = linked(build(graph, items, link_by=how))
    assert found == {items[0]: f"{WD}entity/Q1", items[1]: f"{WD}entity/Q2"}


def test_another_name_leads_to_what_the_graph_describes(graph):
    found = linked(build(graph, ("Q5", "Q6", "Q1"), link_by="prefix:wd"))
    assert found == {
        "Q5": "http://x.org/five",
        "Q6": "http://x.org/six",
        "Q1": f"{WD}entity/Q1",
    }


@pytest.mark.parametrize(
    ("items", "how"),
    [(IMDB, "value:wdt:P345"), (("Q1", "Q2"), "prefix:wd"), (("wd:Q1", "wd:Q2"), "prefix")],
)
def test_the_report_says_which_way_would_link(graph, items, how):
    data = build(graph, items)
    assert any(f"link_by={how}" in one.remedy for one in data.report.warnings)
    assert not any(
        "link_by" in one.remedy for one in build(graph, items, link_by=how).report.warnings
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"link_by": "values"}, "link_by: 'values' is unknown"),
        ({"link_by": "value:P999"}, "no literal of the graph has the property 'P999'"),
        ({"link_by": "prefix"}, "no entity of the graph is a prefix"),
        ({"link_by": "value"}, "no literal of the graph equals an item's id"),
        ({"link_by": "value", "review": "r.tsv"}, "review and item_year belong to link_by"),
    ],
)
def test_what_cannot_be_linked_so(graph, settings, message):
    with pytest.raises(ConfigError, match=message):
        build(graph, ("u-1", "u-2", "u-3"), **settings)


def test_titles_in_any_language_and_other_names(graph, tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\n1,Alien - Das Wesen\n2,Hitze\n3,Nothing\n")
    settings = {"items": str(tmp_path / "items.csv"), "review": str(tmp_path / "r.tsv")}
    data = build(graph, ("1", "2", "3"), link_by="label", **settings)
    assert linked(data) == {"1": f"{WD}entity/Q1", "2": f"{WD}entity/Q2"}
    assert data.triples.attributes["name"].str.ends_with("label").any()
    # Labels that were read for this alone are no attributes of the dataset.
    settings |= {"reading": {"keep_labels": "best"}, "review": str(tmp_path / "r2.tsv")}
    data = build(graph, ("1", "2", "3"), link_by="label", **settings)
    assert not data.triples.attributes["name"].str.ends_with("label").any()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("prefix:zz", f"no entity of the graph is 'zz' and an item's id, .* Most begin with {WD}"),
        ("prefix:wd", f"The graph has, for instance, '{WD}entity/Q"),
    ],
)
def test_a_prefix_that_fits_no_item_is_refused(graph, how, message):
    with pytest.raises(ConfigError, match=message):
        build(graph, IMDB, link_by=how)


def test_exact_matches_merge_where_asked(graph):
    merged = kgrec.read_triples(graph, same_as="merge-exact")
    names = merged.attributes.filter(pl.col("name").str.ends_with("sameAs"))["value"]
    assert len(names) == 2
    assert len(merged.entities) == len(kgrec.read_triples(graph).entities) - 2


@pytest.mark.parametrize(
    ("form", "how"),
    [
        ("imdb:{}", "value:wdt:P345"),
        ("https://www.imdb.com/title/{}/", "value"),
        ("{upper}", "value:P345"),
    ],
)
def test_ids_with_something_before_them_or_in_another_case(graph, form, how):
    ids = tuple(form.format(one, upper=one.upper()) for one in IMDB[:3])
    warned = [one.what for one in build(graph, ids).report.warnings if "item ids equal" in one.what]
    assert "by what the ids end with" in warned[0]
    bare = linked(build(graph, IMDB[:3], link_by="value:wdt:P345"))
    found = linked(build(graph, ids, link_by=how))
    assert list(found.values()) == list(bare.values())
    assert len(found) > 1


@pytest.mark.parametrize(
    "ids", [("q1", "q2"), tuple(f"https://www.wikidata.org/wiki/Q{n}" for n in (1, 2))]
)
def test_entities_under_other_addresses_or_in_small_letters(graph, ids):
    found = linked(build(graph, ids, link_by="prefix:wd"))
    assert found == {ids[0]: f"{WD}entity/Q1", ids[1]: f"{WD}entity/Q2"}
