import numpy as np
import pytest

from kgrec.data.graphs import assemble as facts
from kgrec.data.graphs.assemble import (
    RawTriples,
    assemble,
    attribute_frame,
    label_frame,
    merge,
    type_frame,
)
from kgrec.errors import FormatError


def of(source, terms, rows, **further):
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return RawTriples(
        (source,), terms, *columns.T, locator=np.arange(1, len(columns) + 1), **further
    )


def test_terms_meet_by_key_and_the_first_statement_stays():
    graph = assemble(
        [
            of("one", ["a", "r", "b"], [(0, 1, 2)]),
            of("two", ["b", "r", "a"], [(2, 1, 0), (0, 1, 2)]),
        ]
    )
    assert (list(graph.entities), list(graph.relations)) == (["a", "b"], ["r"])
    assert (
        graph.head.tolist(),
        graph.tail.tolist(),
        graph.source.tolist(),
        graph.locator.tolist(),
    ) == ([0, 1], [1, 0], [0, 1], [1, 2])
    assert (graph.head.dtype, graph.source.dtype, graph.locator.dtype) == (
        np.int32,
        np.uint16,
        np.int64,
    )


def test_the_best_label_wins_across_sources():
    one = of(
        "one", ["a", "r", "b"], [(0, 1, 2)], labels=label_frame([(0, "second", 4), (0, "later", 2)])
    )
    two = of("two", ["a"], [], labels=label_frame([(0, "late", 2), (0, "best", 1)]))
    assert assemble([one, two]).labels.to_list() == ["best", None]


def test_what_only_describes_the_schema_is_no_entity():
    part = of(
        "one",
        ["a", "r", "b", "Class", "alone"],
        [(0, 1, 2)],
        labels=label_frame([(1, "rel", 0), (3, "class", 0), (4, "alone", 0)]),
        types=type_frame([(0, "Class"), (1, "Property"), (0, "Class")]),
        attributes=attribute_frame([(1, "note", "x", "", ""), (2, "note", "y", "", "")]),
    )
    graph = assemble([part])
    assert list(graph.entities) == ["a", "b", "alone"]
    assert graph.types.rows() == [(0, "Class")]
    assert graph.attributes.rows() == [(1, "note", "y", "", "")]


def test_merging_graphs_read_before_loses_nothing():
    first = assemble(
        [
            of("one", ["a", "r", "_:b0"], [(0, 1, 2)]),
            of("two", ["_:b0", "r", "c"], [(0, 1, 2)], labels=label_frame([(2, "C", 0)])),
        ]
    )
    both = merge([first, assemble([of("three", ["_:b0", "s", "c"], [(0, 1, 2)])])])
    assert list(both.entities) == ["a", "_:0.0.b0", "_:0.1.b0", "c", "_:1.b0"]
    assert both.sources == ("one", "two", "three")
    assert both.source.tolist() == [0, 1, 2]
    assert both.labels.to_list() == [None, None, None, "C", None]
    assert merge([first]) is first


def test_too_many_sources(monkeypatch):
    with pytest.raises(FormatError, match="too many"):
        assemble([of("x", [], [])] * 65_536)
    assert facts.BLANK == "_:"
