"""What is within some steps of the items; a search in plain Python knows."""

import numpy as np
import polars as pl
import pytest

import kgrec
from kgrec.data.graphs.around import around_items
from kgrec.data.readers.triples import read_triples
from kgrec.errors import ConfigError

ITEMS = 4


def world(seed):
    rng = np.random.default_rng(seed)
    rows = sorted({(int(a), int(r), int(b)) for a, r, b in rng.integers(0, (30, 3, 30), (50, 3))})
    frame = pl.DataFrame(
        [(f"e{a:02}", f"r{r}", f"e{b:02}") for a, r, b in rows if a != b],
        schema=["head", "relation", "tail"],
        orient="row",
    )
    log = pl.DataFrame(
        {"user": list("abc") * ITEMS, "item": [f"e{n:02}" for n in range(ITEMS)] * 3}
    )
    return frame, log


def within(frame, steps):
    rows = set(frame.rows())
    reached, kept = {f"e{n:02}" for n in range(ITEMS)}, set()
    for _ in range(steps):
        new = {row for row in rows if row[0] in reached or row[2] in reached}
        kept |= new
        reached |= {end for row in new for end in (row[0], row[2])}
    return kept


def stated(graph):
    return {
        (graph.entities.key(h), graph.relations.key(r), graph.entities.key(t))
        for h, r, t in zip(graph.head, graph.relation, graph.tail, strict=True)
    }


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_steps(seed, steps):
    frame, log = world(seed)
    data = kgrec.Dataset.build(log, frame, hops=steps, ratios=(0.4, 0.3, 0.3))
    expected = within(frame, steps)
    assert stated(data.triples) == expected
    lost = sum(d.count for d in data.report.dropped if "steps from every item" in d.why)
    assert lost == frame.height - len(expected)
    assert data.settings["hops"] == [steps, 0, 0]


def star():
    rows = [("a", "r", f"x{n}") for n in range(9)] + [("a", "s", "hub")]
    rows += [("hub", "t", f"y{n}") for n in range(20)] + [("x3", "t", "z")]
    return read_triples(pl.DataFrame(rows, schema=["head", "relation", "tail"], orient="row"))


def test_limits_per_relation_and_hub():
    graph = star()
    assert graph.entities.key(0) == "a"
    everything, none = around_items(graph, 1, 3)
    assert (len(everything), none) == (len(graph), ())
    few, lost = around_items(graph, 1, 1, per_relation=3)
    assert stated(few) == {("a", "r", "x3"), ("a", "r", "x0"), ("a", "r", "x1"), ("a", "s", "hub")}
    assert {d.why.split()[0]: d.count for d in lost} == {"beyond": 6, "more": 21}
    no_hubs, lost = around_items(graph, 1, 3, hub=15)
    assert ("a", "s", "hub") in stated(no_hubs)
    assert len(no_hubs) == 11
    assert [d.count for d in lost] == [20]


@pytest.mark.parametrize("hops", [0, -1, (1, 2, 3, 4), (2, -1)])
def test_hops_out_of_range(hops):
    frame, log = world(0)
    with pytest.raises(ConfigError, match="hops"):
        kgrec.Dataset.build(log, frame, hops=hops)


def test_hops_without_items_lead_nowhere():
    with pytest.raises(ConfigError, match="hops: there are no items to start from"):
        kgrec.Dataset.build(None, world(0)[0], held={}, hops=1)


def test_a_huge_graph_that_would_be_kept_whole_is_refused_before_it_is_read(tmp_path, monkeypatch):
    frame, log = world(0)
    path = tmp_path / "kg.tsv"
    frame.write_csv(path, separator="\t")
    monkeypatch.setattr("kgrec.data.graphs.around.MOST_TRIPLES", 10)

    def never(*_, **__):
        raise AssertionError("the graph was read")

    monkeypatch.setattr("kgrec.data.building.build.read_triples", never)
    (tmp_path / "folder").mkdir()
    frame.write_csv(tmp_path / "folder" / "a.tsv", separator="\t")
    for source in (path, tmp_path / "folder"):
        with pytest.raises(ConfigError, match=r"hops: about 5\d triples, and 3 steps from 4 items"):
            kgrec.Dataset.build(log, str(source), hops=3, ratios=(0.4, 0.3, 0.3))
    with pytest.raises(AssertionError, match="was read"):
        kgrec.Dataset.build(log, str(path), hops=1, ratios=(0.4, 0.3, 0.3))
