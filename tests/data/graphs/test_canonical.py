"""Whatever the order of the lines of the files, the dataset is the same."""

import dataclasses
import random

import numpy as np
import polars as pl
import pytest

import kgrec
from kgrec.data.readers.triples import read_triples
from kgrec.data.records.content import Content, Vectors
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.splitting.impressions import ImpressionLog, Impressions
from kgrec.data.splitting.labeled import LabeledLog
from kgrec.data.storage import open_dataset

PROVENANCE = (
    "source",
    "locator",
    "sources",
    "graph",
    "graphs",
    "formats",
    "counts",
    "columns",
    "dropped",
)


def same(one, other, where="dataset"):
    """Assert that two values are equal, array by array, but for where triples were read."""
    if isinstance(one, pl.DataFrame | pl.Series):
        assert one.equals(other), where
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, where
        np.testing.assert_array_equal(one, other, where)
    elif isinstance(one, Vocabulary):
        assert list(one) == list(other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            same(one[key], other[key], f"{where}[{key}]")
    elif dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            if field.name not in (*PROVENANCE, "report", "path", "checksum"):
                same(getattr(one, field.name), getattr(other, field.name), f"{where}.{field.name}")
    else:
        assert one == other, where


def short_first(key):
    """Return what decision 0014 sorts ids by."""
    return len(key.encode()), key.encode()


def is_canonical(data):
    """Assert the order that decision 0014 states."""
    graph, first = data.triples, data.num_items
    for keys in (data.users, data.items, graph.relations):
        assert list(keys) == sorted(keys, key=short_first)
    rest = list(graph.entities)[first:]
    named = [key for key in rest if not key.startswith("_:")]
    assert rest[: len(named)] == sorted(named, key=short_first)
    for part in (data.train, data.valid, data.test):
        time = np.zeros(len(part)) if part.time is None else part.time
        assert np.array_equal(np.lexsort((part.item, time, part.user)), np.arange(len(part)))
    assert np.array_equal(
        np.lexsort((graph.tail, graph.relation, graph.head)), np.arange(len(graph))
    )
    assert np.array_equal(np.lexsort(data.user_facts.T[::-1]), np.arange(len(data.user_facts)))


def world():
    """Return the files of a small world, a list of lines each; there are ties, repetitions and
    contradictions everywhere.
    """
    rng = random.Random(3)
    users, items = [f"u{n}" for n in range(12)], [f"{n}" for n in range(1, 26)]
    log = [
        f"{rng.choice(users)},{rng.choice(items)},{rng.randint(1, 10) / 2},{rng.randint(0, 8) * 60}"
        for _ in range(260)
    ]
    log += [f"{user},{item},3,{n}" for n, user in enumerate(users[:9]) for item in items[:12]]
    entities = [f"http://x.org/{n}" for n in items] + [f"http://y.org/{n}" for n in range(12)]
    triples = [
        f"{rng.choice(entities)}\t{rng.choice('pqr')}\t{rng.choice(entities)}" for _ in range(150)
    ]
    links = [f"{item}\thttp://x.org/{item}" for item in items[:20]] + [
        "3\thttp://y.org/1",
        "4\thttp://y.org/1",
        "4\thttp://y.org/2",
    ]
    about = [
        f"{user},{rng.choice('xyz')},{rng.choice(['young', 'old'])}"
        for user in [*users, "u1", "stranger"]
    ]
    table = [
        f"{item}\tTitle "
        f"{rng.choice('abc')}\t{rng.choice(['war', 'drama', ''])}\t{rng.randint(1950, 2000)}"
        for item in [*items, *items[:5], "0", "250"]
    ]
    return {
        "log.csv": ("user_id,item_id,rating,timestamp", log),
        "kg.tsv": ("head\trelation\ttail", triples + triples[:30]),
        "links.tsv": ("item_id\tentity_id", links),
        "users.csv": ("user_id,town,age", about),
        "items.tsv": ("item_id\ttitle\tgenre\tyear", table),
        "train.csv": ("user_id,item_id,rating,timestamp", log[:180]),
        "test.csv": ("user_id,item_id,rating,timestamp", log[150:]),
    }


def written(folder, files, seed):
    """Write the files with their lines shuffled; the same order for seed 0."""
    folder.mkdir()
    for name, (header, lines) in files.items():
        own = list(lines)
        if seed:
            random.Random(f"{seed} {name}").shuffle(own)
        (folder / name).write_text("\n".join([header, *own]) + "\n")
    return folder


def both_ways(tmp_path, build, seeds=(0, 1, 2)):
    """Assert that the files in three orders give one dataset, and return it."""
    files = world()
    first, *others = (build(written(tmp_path / str(seed), files, seed)) for seed in seeds)
    for other in others:
        same(first, other)
    is_canonical(first)
    return first


def without_times(folder):
    return pl.read_csv(folder / "log.csv", infer_schema_length=0).drop("timestamp")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"split": "temporal"},
        {"split": "leave-one-out"},
        {"k_core": 8, "seed": 4},
        {"k_core": (8, 7), "split": "temporal"},
    ],
    ids=str,
)
def test_logs(tmp_path, settings):
    both_ways(tmp_path, lambda folder: Dataset.build(folder / "log.csv", **settings))


def test_logs_without_times_and_as_frames(tmp_path):
    data = both_ways(
        tmp_path, lambda folder: Dataset.build(without_times(folder), split="random", seed=2)
    )
    assert data.train.time is None


@pytest.mark.parametrize("valid", [False, True])
def test_given_parts(tmp_path, valid):
    """The validation part is drawn where there is none."""

    def build(folder):
        part = {"valid": without_times(folder).filter(pl.col("rating") == "2.5")} if valid else {}
        return Dataset.build(train=folder / "train.csv", test=folder / "test.csv", **part)

    assert len(both_ways(tmp_path, build).valid)


def test_graph_links_attributes_and_tables(tmp_path):
    def build(folder):
        return Dataset.build(
            folder / "log.csv",
            folder / "kg.tsv",
            links=folder / "links.tsv",
            user_attributes=folder / "users.csv",
            item_labels=folder / "items.tsv",
            item_attributes=True,
            texts=("title", "genre"),
            catalog="all",
            split="temporal",
            min_relation=2,
        )

    data = both_ways(tmp_path, build)
    assert data.items.key(0) == "0", "an item that nobody used, and that comes first"
    log = pl.read_csv(tmp_path / "0" / "log.csv", infer_schema_length=0)
    parts = (data.train, data.valid, data.test)
    read = {
        (data.users.key(u), data.items.key(i))
        for part in parts
        for u, i in zip(part.user, part.item, strict=True)
    }
    assert read == set(log.select("user_id", "item_id").rows())
    assert len(data.user_facts)
    assert (data.triples.locator < 0).any(), "some items share an entity"


def test_places_still_lead_to_the_lines(tmp_path):
    for seed in (0, 1):
        folder = written(tmp_path / str(seed), world(), seed)
        further = {"links": folder / "links.tsv", "user_attributes": folder / "users.csv"}
        graph = Dataset.build(folder / "log.csv", folder / "kg.tsv", **further).triples
        lines = (folder / "kg.tsv").read_text().split("\n")
        whole = 0
        for row in np.flatnonzero(graph.locator > 0):
            keys = (
                graph.entities.key(graph.head[row]),
                graph.relations.key(graph.relation[row]),
                graph.entities.key(graph.tail[row]),
            )
            assert lines[graph.locator[row] - 1].split("\t") == list(keys)
            whole += 1
        assert whole > 50


def test_held_out_triples(tmp_path):
    data = both_ways(
        tmp_path,
        lambda folder: Dataset.build(
            None, folder / "kg.tsv", triple_ratios=(0.8, 0.1, 0.1), seed=1
        ),
    )
    assert len(data.held_triples["test"])


def test_rdf(tmp_path):
    """Labels, types, literals, ``owl:sameAs``; each entity has several of each."""
    rng = random.Random(0)
    nodes = [f"<http://x.org/{n}>" for n in range(30)]
    lines = [
        f"{rng.choice(nodes)} <http://x.org/{rng.choice('pq')}> {rng.choice(nodes)} ."
        for _ in range(90)
    ]
    lines += [
        f'{rng.choice(nodes)} <http://www.w3.org/2000/01/rdf-schema#label> "name {n}"@en .'
        for n in range(60)
    ]
    lines += [
        f"{rng.choice(nodes)} <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> "
        f"<http://x.org/C{n % 3}> ."
        for n in range(40)
    ]
    lines += [
        f'{rng.choice(nodes)} <http://x.org/size> "{n % 17}"^^<http://www.w3.org/2001/XMLSchema#integer> .'
        for n in range(40)
    ]
    lines += [
        f'{rng.choice(nodes)} <http://x.org/color> "{rng.choice(["red", "blue"])}" .'
        for n in range(20)
    ]
    lines += [
        f"{nodes[n]} <http://www.w3.org/2002/07/owl#sameAs> {nodes[29 - n]} ." for n in (2, 5, 29)
    ]
    log = pl.DataFrame(
        {
            "user": [f"u{n % 6}" for n in range(90)],
            "item": [f"http://x.org/{n * 7 % 30}" for n in range(90)],
        }
    )
    for literals in ("attributes", "entities"):
        for same_as in ("keep", "merge"):
            found = []
            for seed in range(3):
                own = list(lines)
                random.Random(seed).shuffle(own)
                path = tmp_path / f"{literals}{same_as}{seed}.nt"
                path.write_text("\n".join(own) + "\n")
                found.append(
                    Dataset.build(log, read_triples(path, literals=literals, same_as=same_as))
                )
            same(found[0], found[1])
            same(found[0], found[2])
            is_canonical(found[0])


def test_blank_nodes_come_last_as_they_are_met(tmp_path):
    path = tmp_path / "kg.ttl"
    path.write_text("@prefix : <http://x.org/> . :z :p [ :q :y ] . :b :p _:other . _:other :q :a .")
    log = pl.DataFrame({"user": ["a", "a", "b", "b"], "item": ["i", "j", "i", "j"]})
    entities = list(Dataset.build(log, path, ratios=(0.5, 0.0, 0.5)).triples.entities)
    assert entities == ["i", "j", *(f"http://x.org/{name}" for name in "abyz"), "_:b0", "_:b1"]


@pytest.mark.parametrize("given", [False, True])
def test_labelled_rows(given):
    rng = random.Random(1)
    rows = [
        (
            f"u{rng.randint(0, 9)}",
            f"i{rng.randint(0, 20)}",
            rng.random() < 0.5,
            rng.choice([0, 0, 2]),
        )
        for _ in range(300)
    ]
    found = []
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        frame = pl.DataFrame(
            rows,
            schema={"user": pl.String, "item": pl.String, "clicked": pl.Boolean, "part": pl.Int8},
            orient="row",
        )
        found.append(Dataset.build(labelled=LabeledLog(frame if given else frame.drop("part"))))
    same(found[0], found[1])
    same(found[0], found[2])
    is_canonical(found[0])
    assert set(found[0].negatives) == {"train", "valid", "test"}


def shown_log(lists, users, items, times, given):
    """Return (user, time, history, candidates, clicks, part) as a log over a numbering of its
    own.
    """
    user, item = (
        {key: row for row, key in enumerate(users)},
        {key: row for row, key in enumerate(items)},
    )
    own = Impressions(
        user=np.array([user[row[0]] for row in lists], dtype=np.int32),
        time=np.array([row[1] for row in lists], dtype=np.float64) if times else None,
        start=np.cumsum([0, *(len(row[3]) for row in lists)]),
        item=np.array([item[key] for row in lists for key in row[3]], dtype=np.int32),
        clicked=np.array([click for row in lists for click in row[4]], dtype=bool),
        history_start=np.cumsum([0, *(len(row[2]) for row in lists)]),
        history=np.array([item[key] for row in lists for key in row[2]], dtype=np.int32),
    )
    none = np.zeros(len(lists), dtype=bool)
    part = np.array([row[5] for row in lists], dtype=np.int8) if given else None
    return ImpressionLog(
        Vocabulary(users, kind="user"), Vocabulary(items, kind="item"), own, none, none, part
    )


@pytest.mark.parametrize(
    ("times", "given"), [(True, False), (True, True), (False, False), (False, True)]
)
def test_impressions(times, given):
    """Two impressions of one user at one time differ in what they show alone; ids are numbered
    otherwise in each log.
    """
    rng = random.Random(5)
    users, items = [f"u{n}" for n in range(8)], [f"n{n}" for n in range(15)]
    lists = []
    for _ in range(80):
        shown, clicked = rng.sample(items, 4), [True, False, rng.random() < 0.3, False]
        lists.append(
            (
                rng.choice(users),
                rng.randint(0, 5),
                rng.sample(items, 2),
                shown,
                clicked,
                rng.choice([0, 0, 2]),
            )
        )
    found = []
    for seed in range(3):
        for some in (lists, users, items):
            random.Random(seed).shuffle(some)
        found.append(Dataset.build(impressions=shown_log(lists, users, items, times, given)))
    same(found[0], found[1])
    same(found[0], found[2])
    assert set(found[0].impressions) == {"train", "valid", "test"}


def test_what_was_read_before_keeps_its_order():
    """Interactions of impressions have no times, and histories are in the order in which things
    were read.
    """
    lists = [
        ("u", 2.0, ["c", "a"], ["b", "x"], [True, False], 0),
        ("u", 5.0, ["c", "a", "b"], ["d", "x"], [True, False], 2),
    ]
    data = Dataset.build(
        impressions=shown_log(lists, ["u"], ["x", "d", "c", "b", "a"], True, True), split="given"
    )
    assert data.items.keys(data.train.item) == ["c", "a", "b"]
    assert data.items.keys(data.test.item) == ["d"]


def test_vectors_and_features_stay_with_their_ids(tmp_path):
    """Features by id, features by the rows of the table of items, and vectors of words and
    entities.
    """
    items = [f"{n}" for n in range(1, 13)]
    log = pl.DataFrame(
        {"user": [f"u{n % 4}" for n in range(44)], "item": [items[n * 5 % 11] for n in range(44)]}
    )
    items = items[:11]
    value = {item: float(item) ** 2 for item in items}
    for seed in range(3):
        order = list(items)
        random.Random(seed).shuffle(order)
        table = pl.DataFrame({"item_id": order, "title": [f"word{item}" for item in order]})
        (tmp_path / "words.txt").write_text(
            "".join(f"word{item} {value[item]} 1\n" for item in order)
        )
        (tmp_path / "entities.txt").write_text(
            "".join(f"{item} {value[item]} 2\n" for item in order)
        )
        for features in (
            np.array([[value[item], 1.0] for item in order]),
            pl.DataFrame({"item_id": order, "a": [value[item] for item in order], "b": [1.0] * 11}),
        ):
            data = Dataset.build(
                log,
                item_labels=table,
                features=features,
                word_vectors=tmp_path / "words.txt",
                entity_vectors=tmp_path / "entities.txt",
            )
            assert data.content.features[:, 0].tolist() == [value[item] for item in data.items]
            assert data.content.texts.to_list() == [f"word{item}" for item in data.items]
            for vectors, prefix in ((data.content.words, "word"), (data.content.entities, "")):
                assert vectors.keys.to_list() == sorted(
                    (prefix + item for item in items), key=short_first
                )
                assert vectors.values[:, 0].tolist() == [
                    value[key.removeprefix(prefix)] for key in vectors.keys
                ]


def test_ties_in_time_go_by_item():
    frame = pl.DataFrame(
        {"user": ["u"] * 4, "item": ["b", "c", "a", "d"], "timestamp": [5, 5, 5, 1]}
    )
    data = Dataset.build(frame, split="leave-one-out")
    assert [data.items.keys(part.item) for part in (data.train, data.valid, data.test)] == [
        ["d", "a"],
        ["b"],
        ["c"],
    ]


def test_of_repeated_pairs_the_earliest_then_the_lowest_rating_stays():
    rows = [
        ("u", "a", 5.0, 9),
        ("u", "a", 4.0, 3),
        ("u", "a", 2.0, 3),
        ("u", "b", 1.0, 7),
        ("u", "c", 1.0, 8),
    ]
    for seed in range(4):
        random.Random(seed).shuffle(rows)
        frame = pl.DataFrame(rows, schema=["user", "item", "rating", "timestamp"], orient="row")
        data = Dataset.build(frame, split="temporal", ratios=(0.34, 0.33, 0.33))
        assert (data.train.rating.tolist(), data.train.time.tolist()) == ([2.0], [3.0])


def test_ids_are_sorted_by_length_and_bytes_and_stay_with_their_rows():
    pairs = [("9", "é"), ("10", "z"), ("9", "Z"), ("é", "z"), ("é", "Z"), ("10", "é")]
    data = Dataset.build(
        pl.DataFrame(pairs, schema=["user", "item"], orient="row"),
        split="random",
        ratios=(0.5, 0.0, 0.5),
    )
    assert (list(data.users), list(data.items)) == (["9", "10", "é"], ["Z", "z", "é"])
    rows = [
        (data.users.key(u), data.items.key(i))
        for part in (data.train, data.test)
        for u, i in zip(part.user, part.item, strict=True)
    ]
    assert sorted(rows) == sorted(pairs)


def test_a_dataset_in_another_order_opens_as_it_is(tmp_path):
    """Version 0.1 wrote datasets in the order of their files; no reader sorts them."""
    data = Dataset.build(written(tmp_path / "w", world(), 0) / "log.csv", split="temporal")
    back = np.arange(data.num_users)[::-1].astype(np.int32)

    def turned(part):
        rows = np.lexsort((-part.item, part.time, back[part.user]))
        return dataclasses.replace(part.take(rows), user=back[part.user][rows])

    parts = {part: turned(getattr(data, part)) for part in ("train", "valid", "test")}
    old = dataclasses.replace(data, users=Vocabulary(list(data.users)[::-1], kind="user"), **parts)
    stored = open_dataset(old.save(tmp_path / "old").path)
    same(
        dataclasses.replace(stored, content=Content()), dataclasses.replace(old, content=Content())
    )
    assert kgrec.load(str(tmp_path / "old")).users.key(0) == data.users.key(data.num_users - 1)


def test_of_words_that_are_alike_the_plain_one_counts():
    from kgrec.data.texts.news_catalog import vectors_of

    for keys in (["Cat", "cat"], ["cat", "Cat"]):
        values = np.array([[1.0] if key == "cat" else [2.0] for key in keys], dtype=np.float32)
        found, known = vectors_of(["CAT", "dog"], Vectors(pl.Series(keys), values))
        assert (found[:, 0].tolist(), known.tolist()) == ([1.0, 0.0], [True, False])
