"""What a graph gives away, against loops over sets."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shares import share

from kgrec.data.building.leaks import like_relations, stated_interactions
from kgrec.data.readers.triples import read_triples
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import InteractionLog
from kgrec.data.storage import open_dataset
from kgrec.errors import ConfigError

RELATED = st.sets(
    st.tuples(st.integers(0, 6), st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=80
).map(sorted)


def frame(rows):
    return pl.DataFrame(rows, schema=["head", "relation", "tail"], orient="row").cast(pl.String)


@settings(max_examples=share(200))
@given(RELATED, st.sampled_from([0.3, 0.8]))
def test_relations_that_say_the_same(rows, least):
    graph = read_triples(frame([(f"e{h}", f"r{r}", f"e{t}") for h, r, t in rows]))
    found = {
        (frozenset((graph.relations.key(a.one), graph.relations.key(a.other))), a.inverse, a.shared)
        for a in like_relations(graph, least)
    }
    pairs = {f"r{r}": {(h, t) for h, own, t in rows if own == r and h != t} for r in range(4)}
    expected = set()
    for one, first in pairs.items():
        for other, second in pairs.items():
            backwards = {(t, h) for h, t in second}
            for inverse, both in ((True, first & backwards), (False, first & second)):
                if (
                    len(both) >= 5
                    and (inverse or one != other)
                    and len(both) >= least * min(len(first), len(second))
                ):
                    expected.add((frozenset((one, other)), inverse, len(both)))
    assert found == expected


@settings(max_examples=share(60))
@given(
    st.sets(
        st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 4), st.integers(0, 2)),
        max_size=40,
    )
)
def test_triples_that_state_interactions(told):
    rows = [
        (f"u{u}", f"r{r}", f"i{i}") if forward else (f"i{i}", f"r{r}", f"u{u}")
        for forward, u, i, r in sorted(told)
    ]
    log = [(f"u{u}", f"i{(u + step) % 5}") for u in range(5) for step in range(3)]
    parts = {
        name: [pair for n, pair in enumerate(log) if n % 3 == k]
        for k, name in enumerate(("train", "valid", "test"))
    }
    logs = {
        name: InteractionLog(pl.DataFrame(pairs, schema=["user", "item"], orient="row"))
        for name, pairs in parts.items()
    }
    data = Dataset.build(None, frame([*rows, ("i0", "r", "x")]), **logs)
    graph = data.triples
    found = stated_interactions(
        graph, data.users, data.num_items, {name: getattr(data, name) for name in parts}
    )
    for name, pairs in parts.items():
        ends = {
            (
                graph.entities.key(graph.head[n]),
                graph.relations.key(graph.relation[n]),
                graph.entities.key(graph.tail[n]),
            )
            for n in found[name]
        }
        assert ends == {
            row for row in rows if (row[0], row[2]) in pairs or (row[2], row[0]) in pairs
        }
        said = data.report.counts.get(
            f"triples that state {dict(train='training', valid='validation', test='test')[name]} "
            "interactions",
            0,
        )
        assert said == len(ends)
    without = Dataset.build(None, frame([*rows, ("i0", "r", "x")]), **logs, leaks="drop")
    assert len(without.triples) == len(graph) - sum(map(len, found.values()))
    assert not any(
        map(
            len,
            stated_interactions(
                without.triples, without.users, 5, {name: getattr(without, name) for name in parts}
            ).values(),
        )
    )


def log(*pairs):
    return InteractionLog(pl.DataFrame(pairs, schema=["user", "item"], orient="row"))


PARTS = {
    "train": log(("u1", "a"), ("u2", "b")),
    "valid": log(("u1", "c")),
    "test": log(("u1", "b"), ("u2", "a")),
}


def test_a_leak_is_a_warning_that_names_the_line_and_the_way_out(tmp_path):
    (tmp_path / "kg.tsv").write_text(
        "head\trelation\ttail\na\tgenre\tx\nb\twatched by\tu1\nu2\tlikes\tb\n"
    )
    data = Dataset.build(None, tmp_path / "kg.tsv", **PARTS)
    held, known = (caution for caution in data.report.warnings if "interactions" in caution.what)
    assert (
        held.what == f"The graph states 1 test interactions, the first in {tmp_path / 'kg.tsv'}:3"
    )
    assert "--leaks drop" in held.remedy
    assert known.what == "1 triples restate training interactions"
    stored = open_dataset(data.save(tmp_path / "d").path)
    assert stored.report == data.report
    assert stored.summary()["warnings"][0]["what"] == held.what
    clean = Dataset.build(None, tmp_path / "kg.tsv", **PARTS, leaks="drop")
    assert {(d.what, d.why, d.count) for d in clean.report.dropped} == {
        ("triples", "they state test interactions", 1),
        ("triples", "they state training interactions", 1),
    }
    assert (len(clean.triples), list(clean.triples.relations), list(clean.triples.entities)) == (
        1,
        ["genre"],
        ["a", "b", "c", "x"],
    )
    assert not [caution for caution in clean.report.warnings if "interactions" in caution.what]
    assert clean.settings["leaks"] == "drop"
    with pytest.raises(ConfigError, match="leaks"):
        Dataset.build(None, tmp_path / "kg.tsv", **PARTS, leaks="maybe")


def test_plain_numbers_are_users_only_where_a_relation_tells_so():
    parts = {
        "train": log(*((str(u), f"i{u}") for u in range(10))),
        "test": log(*((str(u), f"i{(u + 1) % 10}") for u in range(10))),
    }
    by_chance = frame([(f"i{i}", "genre", str((i * 3) % 10)) for i in range(10)])
    told = frame([(f"i{(u + 1) % 10}", "seen by", str(u)) for u in range(10)])
    assert not any(
        "state" in name for name in Dataset.build(None, by_chance, **parts).report.counts
    )
    assert (
        Dataset.build(None, told, **parts).report.counts["triples that state test interactions"]
        == 10
    )


THREE = log(*((f"u{u}", f"i{i}") for u in range(3) for i in range(8)))


def test_inverse_relations_are_named():
    rows = [(f"i{n % 3}", "has part", f"p{n}") for n in range(9)] + [
        (f"p{n}", "part of", f"i{n % 3}") for n in range(8)
    ]
    rows += [(f"p{n}", "next to", f"p{n + 1}") for n in range(6)] + [
        (f"p{n + 1}", "next to", f"p{n}") for n in range(6)
    ]
    data = Dataset.build(THREE, frame(rows))
    assert data.report.counts["near-inverse pairs of relations"] == 1
    assert data.report.counts["relations that are their own inverse"] == 1
    (caution,) = [caution for caution in data.report.warnings if "inverse" in caution.what]
    assert (
        caution.what
        == "Relations that are nearly inverse: part of and has part (100 % of the smaller one)"
    )
    assert "--without-relation 'part of'" in caution.remedy
    cut = Dataset.build(THREE, frame(rows), without_relation=["part of"])
    assert "near-inverse pairs of relations" not in cut.report.counts


def test_items_that_only_the_test_part_knows_are_a_warning():
    data = Dataset.build(
        train=log(("a", "x"), ("b", "y")),
        valid=log(("a", "z")),
        test=log(("a", "z"), ("b", "w"), ("b", "z")),
    )
    assert [caution.what for caution in data.report.warnings] == [
        "1 of the test part's 2 items are in no other part"
    ]


def test_ids_that_look_alike_are_told():
    pairs = [
        ("u", "a"),
        ("u", "b"),
        ("u ", "a"),
        ("v", "\uff41"),
        ("v", "a\u200b"),
        ("w", "b"),
        *(("u", f"i{n}") for n in range(10)),
    ]
    data = Dataset.build(pl.DataFrame(pairs, schema=["user", "item"], orient="row"))
    told = [warning.what for warning in data.report.warnings if "look like" in warning.what]
    assert told == [
        "2 user ids look like another one, for instance 'u' and 'u '",
        "3 item ids look like another one, for instance 'a' and '\\uff41'",
    ]
