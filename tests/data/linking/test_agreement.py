"""Links by wrong ids: facts that have nothing to do with what is used together."""

from dataclasses import replace
from itertools import permutations

import networkx as nx
import numpy as np
import polars as pl
import pytest

from kgrec.data.linking.agreement import _by_chance, agreement, disagreement
from kgrec.data.records.dataset import Dataset
from kgrec.testing import worlds

ITEMS, KINDS = 150, 10


@pytest.fixture(scope="module")
def world():
    """Everyone uses items of one kind mostly; a fact says the kind, another is of all."""
    rng = np.random.default_rng(0)
    train = set()
    for user in range(500):
        kind = user % KINDS
        own = rng.choice(np.arange(kind, ITEMS, KINDS), 12, replace=False)
        train |= {(user, int(item)) for item in [*own, *rng.choice(ITEMS, 4, replace=False)]}
    facts = [(item, 0, ITEMS + item % KINDS) for item in range(ITEMS)]
    facts += [(ITEMS + KINDS, 1, item) for item in range(ITEMS)]
    return worlds.dataset(sorted(train), triples=facts)


def dealt(world, seed):
    """The same with the facts of each item those of another."""
    order = np.random.default_rng(seed).permutation(world.num_entities)
    order[:ITEMS] = np.random.default_rng(seed).permutation(ITEMS)
    order[ITEMS:] = np.arange(ITEMS, world.num_entities)
    graph = replace(
        world.triples,
        head=order[world.triples.head].astype(np.int32),
        tail=order[world.triples.tail].astype(np.int32),
    )
    return replace(world, triples=graph)


def test_right_links_are_far_from_chance_and_wrong_ones_are_not(world):
    right = agreement(world.train, world.triples, world.num_items)
    assert right.items == ITEMS
    assert right.ratio > 1.5
    assert right.deviations > 10
    assert disagreement(right) == []
    found = [agreement(world.train, dealt(world, s).triples, world.num_items) for s in range(8)]
    assert np.mean([abs(one.deviations) < 2 for one in found]) >= 0.75
    wrong = min(found, key=lambda one: one.deviations)
    (caution,) = disagreement(wrong)
    assert "share no more of the graph than any two items" in caution.what
    assert "right entities" in caution.remedy


def test_the_mean_over_pairs_is_that_of_networkx_and_loops(world):
    """Cosines counted by hand for the ratio's numerator on a few items."""
    graph = nx.Graph()
    pairs = zip(world.train.user.tolist(), world.train.item.tolist(), strict=True)
    graph.add_edges_from((f"u{user}", item) for user, item in pairs)
    names = [{f"k{item % KINDS}", "all"} for item in range(ITEMS)]
    often = {f"k{kind}": ITEMS / KINDS for kind in range(KINDS)} | {"all": ITEMS}
    weight = {name: 1 / np.log1p(count) for name, count in often.items()}
    total = base = 0.0
    for one in range(ITEMS):
        for other in range(ITEMS):
            if one == other:
                continue
            users = set(graph[one]) & set(graph[other])
            close = len(users) / np.sqrt(graph.degree(one) * graph.degree(other))
            shared = names[one] & names[other]
            length = np.sqrt(weight["all"] ** 2 + weight["k0"] ** 2)
            alike = sum(weight[name] ** 2 for name in shared) / length**2
            total += close * alike
            base += close * _mean_alike(weight)
    found = agreement(world.train, world.triples, world.num_items)
    assert found.ratio == pytest.approx(total / base, rel=0.02)


def _mean_alike(weight):
    """Expected likeness of two items at random."""
    same = (ITEMS / KINDS - 1) / (ITEMS - 1)
    length = weight["all"] ** 2 + weight["k0"] ** 2
    return (weight["all"] ** 2 + same * weight["k0"] ** 2) / length


def test_chance_is_that_of_all_permutations():
    rng = np.random.default_rng(0)
    a, b = (table + table.T for table in rng.random((2, 6, 6)))
    np.fill_diagonal(a, 0)
    np.fill_diagonal(b, 0)
    sums = [(a * b[np.ix_(order, order)]).sum() for order in permutations(range(6))]
    assert _by_chance(a, b) == pytest.approx((np.mean(sums), np.std(sums)))


def test_little_data_says_nothing(world):
    few = world.train.take(world.train.user < 40)
    assert agreement(few, world.triples, world.num_items) is None
    bare = worlds.checkerboard()
    assert agreement(bare.train, bare.triples, bare.num_items) is None


def test_building_with_links_by_other_ids_warns(world, tmp_path):
    log = pl.DataFrame(
        {
            "user": [f"u{user}" for user in world.train.user.tolist()],
            "item": [f"{item}" for item in world.train.item.tolist()],
        }
    )
    facts = [f"<urn:f{item}> <urn:kind> <urn:k{item % KINDS}> ." for item in range(ITEMS)]
    (tmp_path / "g.nt").write_text("\n".join(facts) + "\n")
    wrong = np.random.default_rng(3).permutation(ITEMS)
    said = []
    for entity in (np.arange(ITEMS), wrong):
        links = pl.DataFrame(
            {
                "item": [str(item) for item in range(ITEMS)],
                "entity": [f"urn:f{item}" for item in entity.tolist()],
            }
        )
        data = Dataset.build(log, kg=str(tmp_path / "g.nt"), links=links)
        said.append(any("share no more" in one.what for one in data.report.warnings))
    assert said == [False, True]
