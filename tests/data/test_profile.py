"""What a dataset's numbers say, against networkx, loops, and numbers counted by hand."""

import json
from collections import Counter

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shares import share

from kgrec.data.profile import profile
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import InteractionLog

TYPES = {"user": pl.String, "item": pl.String, "time": pl.Float64, "rating": pl.Float64}


def log_of(rows, columns=("user", "item")):
    return InteractionLog(pl.DataFrame(rows, schema={c: TYPES[c] for c in columns}, orient="row"))


def graph_of(rows):
    return pl.DataFrame(rows, schema=["head", "relation", "tail"], orient="row").cast(pl.String)


LOG = log_of([(f"u{u}", f"i{i}") for u in range(3) for i in range(8)])


@settings(max_examples=share(80))
@given(
    st.sets(
        st.tuples(st.integers(0, 12), st.integers(0, 2), st.integers(0, 12)),
        min_size=1,
        max_size=30,
    ).map(sorted)
)
def test_a_graph_in_numbers(rows):
    names = [f"i{n}" if n < 5 else f"e{n}" for n in range(13)]
    facts = [(names[h], f"r{r}", names[t]) for h, r, t in rows if h != t]
    if not facts:
        return
    data = Dataset.build(LOG, graph_of(facts))
    told = json.loads(json.dumps(profile(data)))["graph"]
    graph = nx.MultiGraph((h, t) for h, _, t in facts)
    degree = dict(graph.degree)
    components = sorted(map(len, nx.connected_components(graph)), reverse=True)
    covered = [name for name in data.items if name in degree]
    assert told["items_with_triples"] == len(covered)
    assert told["interactions_with_triples"] == 3 * len(covered)
    assert (told["components"]["count"], told["components"]["largest"]) == (
        len(components),
        components[0],
    )
    assert told["components"]["entities"] == len(graph)
    assert [hub["triples"] for hub in told["hubs"][: len(graph)]] == sorted(
        degree.values(), reverse=True
    )[:10]
    assert {one["key"]: one["triples"] for one in told["relations"]["most"]} == Counter(
        r for _, r, _ in facts
    )
    others = [d for name, d in degree.items() if not name.startswith("i")]
    assert told["in_one_triple"] == others.count(1)
    assert told["per_item"]["mean"] == pytest.approx(
        sum(degree.get(name, 0) for name in data.items) / 8
    )
    for spread, counts in (
        ("per_entity", others),
        ("per_item", [degree.get(name, 0) for name in data.items]),
    ):
        assert sum(one["count"] for one in told[spread]["bins"]) == len(counts)
        for one in told[spread]["bins"]:
            assert one["count"] == sum(one["from"] <= count <= one["to"] for count in counts)


def test_interactions_in_numbers():
    rows = [
        ("a", "x", 86400.0, 1.0),
        ("a", "y", 1e9, 5.0),
        ("a", "z", 1.1e9, 4.0),
        ("b", "x", 1.2e9, 5.0),
        ("b", "y", 1.05e9, 1.0),
    ]
    columns = ("user", "item", "time", "rating")
    data = Dataset.build(
        train=log_of(rows[1:4], columns),
        test=log_of([("b", "w", 1.3e9, 3.0)], columns),
        valid=log_of(rows[4:], columns),
    )
    told = json.loads(json.dumps(profile(data)))
    own = told["interactions"]
    assert (own["total"], own["density"], own["cold_items"], own["cold_users"]) == (5, 5 / 8, 1, 0)
    assert own["held_out_cold"] == {
        "valid": {"items": 0, "users": 0},
        "test": {"items": 1, "users": 0},
    }
    assert own["per_user"] == {
        "least": 2,
        "median": 2.5,
        "mean": 2.5,
        "most": 3,
        "none": 0,
        "bins": [{"from": 2, "to": 3, "count": 2}],
    }
    assert (own["times"]["first_date"], own["times"]["last_date"]) == ("2001-09-09", "2011-03-13")
    assert {part: sum(counts) for part, counts in own["times"]["counts"].items()} == {
        "train": 3,
        "valid": 1,
        "test": 1,
    }
    assert own["times"]["counts"]["train"][0] == own["times"]["counts"]["test"][-1] == 1
    assert own["ratings"] == [[1.0, 1], [3.0, 1], [4.0, 1], [5.0, 2]]
    assert own["popularity"][-1] == [1.0, 1.0]
    assert told["graph"] is None
    said = {caution["what"]: caution["remedy"] for caution in told["warnings"]}
    assert "1 of the test part's 1 items are in no other part" in said
    assert "Half of the users have 2.5 interactions or fewer" in said
    assert (
        "--min-rating, for instance 3"
        in said[
            "20% of the ratings are below the middle of the scale, and count as interactions "
            "like the others"
        ]
    )


@pytest.mark.parametrize(
    "times",
    [(-1.7e308, 1.7e308, 0.0), (5.0, 5.0, 5.0), (0.0, 5e-324, 0.0), (1e18, 1e18 + 128, 1e18)],
)
def test_any_finite_times_are_divided(times):
    columns = ("user", "item", "time")
    one, two, three = (
        log_of([("a", name, time)], columns) for name, time in zip("xyz", times, strict=True)
    )
    own = profile(Dataset.build(train=one, valid=two, test=three))["interactions"]["times"]
    assert [sum(counts) for counts in own["counts"].values()] == [1, 1, 1]
    assert own["first_date"] is None


def test_what_is_worth_acting_on():
    facts = [("i0", "r", f"e{n}") for n in range(9)] + [("i1", "s", "e0"), ("i1", "t", "e1")]
    said = {caution["what"] for caution in profile(Dataset.build(LOG, graph_of(facts)))["warnings"]}
    assert said == {
        "75% of the interactions are with items that have no triple",
        "78% of the entities that are no items are in one triple only",
        "82% of the facts are of one relation, r",
    }
    nothing = profile(Dataset.build(LOG, graph_of([("q", "r", "t")])))
    assert [caution["what"] for caution in nothing["warnings"]] == [
        "No item is in the graph: the triples can help through texts alone"
    ]


def test_a_dataset_of_triples_alone():
    rows = [(f"e{a}", f"r{a % 2}", f"e{b}") for a in range(6) for b in range(6) if a != b]
    told = profile(Dataset.build(None, graph_of(rows), triple_ratios=(0.8, 0.1, 0.1)))
    assert told["interactions"] is None
    assert np.isclose(told["graph"]["per_entity"]["mean"], 2 * 24 / 6)
