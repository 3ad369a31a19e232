from dataclasses import replace

import numpy as np
import polars as pl

from kgrec.data.derive.shuffle_triples import shuffle_triples
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.triples import empty_triples
from kgrec.data.records.vocabulary import Vocabulary


def world(relations=3, count=60, entities=20):
    draw = np.random.default_rng(1)
    blank = empty_triples(Vocabulary([f"e{n}" for n in range(entities)]))
    triples = replace(
        blank,
        relations=Vocabulary([f"r{n}" for n in range(relations)], kind="relation"),
        relation_labels=pl.Series("label", [None] * relations, dtype=pl.String),
        head=draw.integers(0, entities, count).astype(np.int32),
        relation=draw.integers(0, relations, count).astype(np.int32),
        tail=draw.integers(0, entities, count).astype(np.int32),
        source=np.zeros(count, np.uint16),
        locator=np.arange(count, dtype=np.int64),
        sources=("made",),
    )
    part = Interactions(np.array([0], np.int32), np.array([0], np.int32))
    items = Vocabulary([f"i{n}" for n in range(5)], kind="item")
    return Dataset(
        "world",
        Vocabulary(["u"], kind="user"),
        items,
        triples,
        part,
        part,
        part,
        path="somewhere",
        checksum="sum",
    )


def test_each_relation_keeps_its_heads_and_its_bag_of_tails():
    data = world()
    mixed = shuffle_triples(data, generator=np.random.default_rng(0))
    for relation in range(3):
        rows = data.triples.relation == relation
        assert sorted(mixed.triples.tail[rows]) == sorted(data.triples.tail[rows])
    assert (mixed.triples.head == data.triples.head).all()
    assert (mixed.triples.relation == data.triples.relation).all()
    assert (mixed.triples.tail != data.triples.tail).mean() > 0.7
    assert mixed.triples.tail.dtype == np.int32


def test_facts_about_users_are_shuffled_alike():
    facts = np.stack([np.arange(40), np.repeat([0, 1], 20), np.arange(40) % 20], axis=1).astype(
        np.int32
    )
    mixed = shuffle_triples(
        replace(world(), user_facts=facts), generator=np.random.default_rng(0)
    ).user_facts
    assert (mixed[:, :2] == facts[:, :2]).all()
    assert mixed.dtype == facts.dtype
    for relation in range(2):
        rows = facts[:, 1] == relation
        assert sorted(mixed[rows, 2]) == sorted(facts[rows, 2])
        assert (mixed[rows, 2] != facts[rows, 2]).mean() > 0.7


def test_the_original_is_untouched_and_the_copy_claims_no_file():
    data = world()
    before = data.triples.tail.copy()
    mixed = shuffle_triples(data, generator=np.random.default_rng(0))
    assert (data.triples.tail == before).all()
    assert (mixed.path, mixed.checksum) == (None, "")
    assert mixed.train is data.train


def test_same_generator_same_shuffle():
    data = world()
    first, again, other = (
        shuffle_triples(data, generator=np.random.default_rng(seed)).triples.tail
        for seed in (5, 5, 6)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_a_graph_without_triples_stays_empty():
    data = replace(world(), triples=empty_triples(Vocabulary(["a"])))
    assert len(shuffle_triples(data, generator=np.random.default_rng(0)).triples) == 0
