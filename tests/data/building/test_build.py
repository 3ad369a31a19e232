import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shares import share

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import InteractionLog
from kgrec.errors import ConfigError, DataError


def log_of(rows, columns=("user", "item")):
    types = {"user": pl.String, "item": pl.String, "time": pl.Float64, "rating": pl.Float64}
    return InteractionLog(pl.DataFrame(rows, schema={c: types[c] for c in columns}, orient="row"))


def pairs(data, part):
    return sorted(zip(data.users.keys(part.user), data.items.keys(part.item), strict=True))


TWENTY = log_of([(f"u{u}", f"i{i}") for u in range(2) for i in range(10)])


def dropped(data):
    return {(d.what, d.why): d.count for d in data.report.dropped}


def test_repeated_pairs_keep_the_earliest_time_and_ids_are_sorted():
    rows = [("b", "y", 5.0, 1.0), ("a", "x", 9.0, 2.0), ("b", "y", 3.0, 4.0), ("b", "x", 4.0, 5.0)]
    data = Dataset.build(log_of(rows, ("user", "item", "time", "rating")), split="leave-one-out")
    assert (list(data.users), list(data.items)) == (["a", "b"], ["x", "y"])
    assert dropped(data) == {("interactions", "repeated pairs, the earliest kept"): 1}
    assert (data.train.user.tolist(), data.train.time.tolist(), data.train.rating.tolist()) == (
        [0, 1],
        [9.0, 3.0],
        [2.0, 4.0],
    )
    assert data.test.time.tolist() == [4.0]


def test_random_split_partitions_and_repeats():
    data, same, other = (Dataset.build(TWENTY, seed=seed) for seed in (3, 3, 4))
    assert [len(part) for part in (data.train, data.valid, data.test)] == [16, 2, 2]
    assert sorted(
        pairs(data, data.train) + pairs(data, data.valid) + pairs(data, data.test)
    ) == sorted(TWENTY.frame.rows())
    assert pairs(data, data.test) == pairs(same, same.test)
    assert pairs(data, data.test) + pairs(data, data.valid) != pairs(other, other.test) + pairs(
        other, other.valid
    )
    assert data.settings == {
        "split": "random",
        "seed": 3,
        "k_core": 0,
        "catalog": "interactions",
        "min_rating": None,
        "ratios": [0.8, 0.1, 0.1],
    }


def test_interactions_are_sorted_by_user_then_time():
    rows = [("a", "x", 3.0), ("b", "x", 1.0), ("a", "y", 1.0), ("a", "z", 2.0), ("b", "y", 0.0)]
    data = Dataset.build(log_of(rows, ("user", "item", "time")), split="leave-one-out")
    everyone = Dataset.build(
        train=log_of(rows, ("user", "item", "time")),
        test=log_of([("a", "w", 9.0)], ("user", "item", "time")),
        seed=1,
    )
    assert pairs(data, data.test) == [("a", "x"), ("b", "x")]
    times = np.diff(everyone.train.time)[np.diff(everyone.train.user) == 0]
    assert (times >= 0).all()
    assert (np.diff(everyone.train.user) >= 0).all()


def test_given_parts_overlaps_and_cold_ones_are_counted():
    train, valid, test = (
        log_of([("a", "x"), ("a", "x"), ("b", "y")]),
        log_of([("a", "x"), ("a", "z")]),
        log_of([("c", "y"), ("a", "z"), ("b", "w")]),
    )
    data = Dataset.build(train=train, valid=valid, test=test)
    assert data.settings["split"] == "given"
    assert pairs(data, data.train) == [("a", "x"), ("b", "y")]
    assert pairs(data, data.valid) == [("a", "z")]
    assert pairs(data, data.test) == [("b", "w"), ("c", "y")]
    assert dropped(data) == {
        ("interactions", "repeated pairs, the earliest kept"): 1,
        ("interactions", "in the validation part and already in an earlier one"): 1,
        ("interactions", "in the test part and already in an earlier one"): 1,
    }
    assert data.report.counts == {
        "validation items without training interactions": 1,
        "test users without training interactions": 1,
        "test items without training interactions": 1,
    }


def test_a_tenth_is_held_out_where_there_is_no_validation_part():
    data = Dataset.build(train=TWENTY, test=log_of([("u0", "i99")]), split="given")
    assert (len(data.train), len(data.valid), len(data.test)) == (18, 2, 1)
    assert any(
        "a tenth of each user's training items was held out (2 interactions)" in note
        for note in data.report.notes
    )


def test_given_parts_take_their_times_from_the_log():
    log = log_of([("a", "x", 7.0), ("a", "y", 5.0), ("a", "z", 1.0)], ("user", "item", "time"))
    data = Dataset.build(
        log,
        train=log_of([("a", "x"), ("a", "y")]),
        valid=log_of([("b", "x")]),
        test=log_of([("a", "q")]),
    )
    assert data.train.time.tolist() == [5.0, 7.0]
    assert list(data.items) == ["q", "x", "y"]


def test_k_core():
    rows = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("c", "x"), ("c", "z"), ("d", "z")]
    data = Dataset.build(log_of(rows), k_core=2, ratios=(0.5, 0.0, 0.5))
    kept = pairs(data, data.train) + pairs(data, data.valid) + pairs(data, data.test)
    assert sorted(kept) == [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    assert dropped(data) == {
        ("users", "outside the 2-core"): 2,
        ("items", "outside the 2-core"): 1,
        ("interactions", "outside the 2-core"): 3,
    }
    with pytest.raises(DataError, match="Lower min_rating or k_core"):
        Dataset.build(log_of(rows), k_core=9)


def test_catalog_all_takes_items_known_only_from_links_and_tables():
    triples = pl.DataFrame({"head": ["e1", "e2"], "relation": ["r", "r"], "tail": ["t", "t"]})
    options = {
        "links": pl.DataFrame({"item_id": ["i0", "new"], "entity": ["e1", "e2"]}),
        "item_labels": pl.DataFrame({"item_id": ["i0", "other"], "title": ["Zero", "Other"]}),
    }
    few = Dataset.build(TWENTY, triples, **options)
    assert (few.num_items, few.num_entities) == (10, 12)
    many = Dataset.build(TWENTY, triples, catalog="all", **options)
    assert list(many.items)[-2:] == ["new", "other"]
    assert [many.item_label(0), many.item_label(11), many.item_label(10)] == [
        "Zero",
        "Other",
        "new",
    ]
    assert (many.triples.head.tolist(), many.triples.tail.tolist()) == ([0, 10], [12, 12])


def test_items_without_an_entity_are_kept():
    triples = pl.DataFrame({"head": ["i3", "q"], "relation": ["r", "r"], "tail": ["t", "t"]})
    data = Dataset.build(TWENTY, triples)
    assert data.num_items == 10
    assert list(data.triples.entities) == [*(f"i{i}" for i in range(10)), "q", "t"]
    assert data.report.counts["items without an entity"] == 9
    assert data.triples.head.tolist() == [3, 10]


def test_triples_that_meet_no_item_are_noted():
    data = Dataset.build(TWENTY, pl.DataFrame({"head": ["q"], "relation": ["r"], "tail": ["t"]}))
    assert any("No item is in the graph" in caution.what for caution in data.report.warnings)


def test_user_attributes_become_facts():
    table = pl.DataFrame(
        {
            "user_id": ["u1", "u0", "gone"],
            "job": ["cook", "cook", "poet"],
            "age": [None, "30", "40"],
        }
    )
    data = Dataset.build(TWENTY, user_attributes=table)
    assert list(data.triples.relations) == ["age", "job"]
    named = {
        (
            data.users.key(u),
            data.triples.relations.key(r),
            data.triples.entities.key(e),
            data.triples.label(e),
        )
        for u, r, e in data.user_facts
    }
    assert named == {
        ("u1", "job", "job=cook", "cook"),
        ("u0", "job", "job=cook", "cook"),
        ("u0", "age", "age=30", "30"),
    }
    assert dropped(data) == {("user attributes", "the user has no interaction"): 1}
    assert data.user_facts.dtype == np.int32


def test_user_attribute_keys_stay_clear_of_the_graphs():
    triples = pl.DataFrame({"head": ["i0"], "relation": ["job"], "tail": ["job=cook"]})
    data = Dataset.build(
        TWENTY, triples, user_attributes=pl.DataFrame({"user_id": ["u0"], "job": ["cook"]})
    )
    assert list(data.triples.relations) == ["job", "user:job"]
    assert list(data.triples.entities)[-2:] == ["job=cook", "user:job=cook"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ConfigError, "no interactions"),
        ({"train": TWENTY}, ConfigError, "there is no test part"),
        ({"valid": TWENTY, "test": TWENTY}, ConfigError, "there is no train part"),
        ({"log": TWENTY, "split": "given"}, ConfigError, "there is no train part"),
        ({"train": TWENTY, "test": TWENTY, "split": "temporal"}, ConfigError, "exclude each other"),
        ({"log": TWENTY, "split": "tempral"}, ConfigError, "Nearest: temporal"),
        ({"log": TWENTY, "split": "temporal"}, DataError, "needs a time"),
        ({"log": TWENTY, "catalog": "every"}, ConfigError, "catalog"),
        ({"log": TWENTY, "k_core": -1}, ConfigError, "k_core"),
        ({"log": TWENTY, "ratios": (1.0, 0.0, 0.0)}, DataError, "leaves no users to evaluate"),
        ({"log": log_of([("a", "x"), ("b", "x")])}, DataError, "leaves no users to evaluate"),
        (
            {"log": TWENTY, "links": pl.DataFrame({"item": ["a"], "entity": ["b"]})},
            ConfigError,
            "links without triples",
        ),
        (
            {
                "log": log_of([(u, "x", 1.0) for u in "abcd"], ("user", "item", "time")),
                "split": "temporal",
            },
            DataError,
            "leaves no training interaction",
        ),
    ],
)
def test_what_cannot_be_built(arguments, error, message):
    with pytest.raises(error, match=message):
        Dataset.build(**arguments)


@pytest.mark.parametrize("text", ["", '<http://x.org/a> <http://x.org/p> "x" .\n'])
def test_a_graph_without_a_triple_is_no_silence(tmp_path, text):
    path = tmp_path / "g.nt"
    path.write_text(text)
    with pytest.raises(DataError, match=r"g\.nt: no triple between two entities, so nothing"):
        Dataset.build(None, str(path), held={})
    data = Dataset.build(TWENTY, str(path))
    assert any("no triple between two entities" in one.what for one in data.report.warnings)


def test_the_method_is_the_function():
    assert Dataset.build(TWENTY, seed=3).summary() == Dataset.build(TWENTY, seed=3).summary()


@settings(max_examples=share(50), deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("uvwxyz"), st.integers(0, 9)),
        min_size=6,
        max_size=40,
    ),
    st.integers(0, 5),
)
def test_nothing_is_lost_or_made_up(rows, seed):
    log = log_of([(u, i, float(t)) for u, i, t in rows], ("user", "item", "time"))
    try:
        data = Dataset.build(log, seed=seed, ratios=(0.5, 0.25, 0.25))
    except DataError:
        assert max(sum(u == who for u, _ in {(u, i) for u, i, _ in rows}) for who in "abcd") <= 2
        return
    kept = pairs(data, data.train) + pairs(data, data.valid) + pairs(data, data.test)
    assert sorted(kept) == sorted({(u, i) for u, i, _ in rows})
    assert set(data.test.user) | set(data.valid.user) <= set(data.train.user)
    earliest = {}
    for u, i, t in rows:
        earliest[u, i] = min(t, earliest.get((u, i), t))
    for part in (data.train, data.valid, data.test):
        for u, i, t in zip(
            data.users.keys(part.user), data.items.keys(part.item), part.time, strict=True
        ):
            assert earliest[u, i] == t


SHUFFLED = [("b", "z"), ("a", "y"), ("b", "x"), ("a", "z"), ("b", "y"), ("a", "x")]


@pytest.mark.parametrize("given", ["file", "log", "parts"])
def test_the_order_of_rows_can_stand_for_times(given, tmp_path):
    path = tmp_path / "clicks.csv"
    path.write_text("user,item,when\n" + "".join(f"{u},{i},9\n" for u, i in SHUFFLED))
    sources = {"file": {"log": str(path)}, "log": {"log": log_of(SHUFFLED)}}
    cuts = {"train": slice(0, 2), "valid": slice(2, 4), "test": slice(4, 6)}
    sources["parts"] = {part: log_of(SHUFFLED[rows]) for part, rows in cuts.items()}
    split = "given" if given == "parts" else "leave-one-out"
    data = Dataset.build(**sources[given], split=split, time="row")
    assert pairs(data, data.train) == [("a", "y"), ("b", "z")]
    assert pairs(data, data.valid) == [("a", "z"), ("b", "x")]
    assert pairs(data, data.test) == [("a", "x"), ("b", "y")]
    assert data.valid.time.tolist() == [3.0, 2.0]  # of a and of b
    assert any("rows are taken to be in the order of their times" in n for n in data.report.notes)


def test_a_column_called_row_is_that_column(tmp_path):
    path = tmp_path / "clicks.csv"
    path.write_text("user,item,row\na,x,30\na,y,10\na,z,20\n")
    data = Dataset.build(str(path), split="leave-one-out", time="row")
    assert pairs(data, data.test) == [("a", "x")]


def test_order_alone_makes_no_sessions_and_no_ages():
    for wrong in ({"session_gap": 30}, {"half_life": 5}):
        with pytest.raises(ConfigError, match="time 'row' has the order alone"):
            Dataset.build(log_of(SHUFFLED), time="row", **wrong)
