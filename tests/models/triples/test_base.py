"""What models of triples share: batches, training without interactions, ranking of triples and of
items.
"""

import json

import numpy as np
import pytest
import torch

from kgrec import fit, load_run
from kgrec.errors import CapabilityError, ConfigError, DataError
from kgrec.evaluation.triples import evaluate_triples
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.base import TripleScorer
from kgrec.models.triples.base import CorruptedBatches, TripleConfig
from kgrec.testing import worlds

NAMES = ("transe", "transr", "transd", "distmult", "complex", "rotate")
SMALL = {"dim": 8, "epochs": 3, "batch_size": 64, "device": "cpu"}


def ring(size=30, held=10, seed=0):
    """One kind of entity on a ring, so that only the relations tell tails: next, its inverse, next
    but one, and opposite.
    """
    rng = np.random.default_rng(seed)
    every = [
        (node, relation, (node + step) % size)
        for relation, step in enumerate((1, -1, 2, size // 2))
        for node in range(size)
    ]
    out = [
        row
        for relation in (1, 2)
        for row in relation * size + rng.choice(size, held, replace=False)
    ]
    facts = np.array(every)
    parts = {"valid": facts[out[::2]], "test": facts[out[1::2]]}
    return worlds.knowledge_only(np.delete(facts, out, 0), size, 4, parts)


def with_held(data):
    """Hold out the second half of the makers of a world with interactions."""
    from dataclasses import replace

    makers = np.flatnonzero(data.triples.relation == 1)[::3]
    cut = {
        name: np.delete(getattr(data.triples, name), makers)
        for name in ("head", "relation", "tail", "source", "locator")
    }
    columns = np.stack([data.triples.head, data.triples.relation, data.triples.tail], 1)[
        makers
    ].astype(np.int32)
    return replace(
        data,
        triples=replace(data.triples, **cut),
        held_triples={"valid": columns[::2], "test": columns[1::2]},
    )


def batches(data, **config):
    ckg = CollaborativeKG.from_dataset(data)
    facts = torch.arange(len(ckg.head))
    return ckg, CorruptedBatches(ckg, facts, TripleConfig(**config), 32, 0, torch.device("cpu"))


def test_an_epoch_has_every_fact_once_and_opens_its_own_stream():
    ckg, sampler = batches(worlds.cold_items())
    first, again, later = (list(sampler.epoch(epoch)) for epoch in (1, 1, 2))
    assert len(first) == sampler.steps()
    facts = sorted(zip(ckg.head.tolist(), ckg.relation.tolist(), ckg.tail.tolist(), strict=True))
    for batch in (first, later):
        columns = [
            torch.cat([getattr(part, name) for part in batch]).tolist()
            for name in ("head", "relation", "tail")
        ]
        assert sorted(zip(*columns, strict=True)) == facts
    assert all(
        torch.equal(one.negative, other.negative) for one, other in zip(first, again, strict=True)
    )
    assert not torch.equal(first[0].head, later[0].head)


def test_what_is_corrupted_and_by_what():
    """Of interactions the item, by an item somebody used; of the graph's facts either end, by an
    entity; never into a known fact.
    """
    data = worlds.cold_items()
    ckg, sampler = batches(data, negatives=9)
    facts = set(zip(ckg.head.tolist(), ckg.relation.tolist(), ckg.tail.tolist(), strict=True))
    warm, ends = set(ckg.warm_items()[0].tolist()), set()
    for batch in sampler.epoch(1):
        for h, r, t, drawn, head in zip(
            *(
                part.tolist()
                for part in (
                    batch.head,
                    batch.relation,
                    batch.tail,
                    batch.negative,
                    batch.corrupts_head,
                )
            ),
            strict=True,
        ):
            ends.add((min(r, 1), head))
            for node in drawn:
                assert node in warm if r == 0 else node < ckg.num_entities
                assert ((node, r, t) if head else (h, r, node)) not in facts
    assert ends == {(0, False), (1, False), (1, True)}


def test_heads_of_facts_about_users_are_corrupted_by_users():
    """Relation 1 of the dataset holds of users only, relation 0 of items and of users."""
    from dataclasses import replace

    world = worlds.dataset(
        [(user, user) for user in range(5)],
        triples=[(item, 0, 5) for item in range(3)],
        num_relations=2,
    )
    facts = np.array([[0, 1, 5], [1, 1, 5], [2, 0, 5]], dtype=np.int32)
    _, sampler = batches(replace(world, user_facts=facts), corruption="uniform", negatives=60)
    drawn = {1: set(), 2: set()}
    for batch in [batch for epoch in range(1, 9) for batch in sampler.epoch(epoch)]:
        for relation, nodes, head in zip(
            batch.relation.tolist(),
            batch.negative.tolist(),
            batch.corrupts_head.tolist(),
            strict=True,
        ):
            if head:
                drawn[relation] |= set(nodes)
    assert drawn[2] == {8, 9, 10}  # the users that relation 1 does not hold of
    assert drawn[1] == {3, 4, 5, 6, 7, 9, 10}


@pytest.mark.parametrize("name", NAMES)
def test_the_graph_alone_is_enough(name, tmp_path):
    """No users, no items: trained, validated by triples, stored, opened, judged and exported."""
    data = ring().save(tmp_path / "data")
    run = fit(name, data, out=tmp_path / "run", **SMALL)
    assert run.train_config.metric == "mrr"
    assert all(0 < record["mrr"] <= 1 for record in run.history)
    assert (
        set(run.summary["valid"])
        == set(run.summary["test"])
        == {"mrr", "mean_rank", "hits@1", "hits@3", "hits@10"}
    )
    loaded = load_run(tmp_path / "run")
    report = loaded.evaluate(k=(5,))
    assert {**report.metrics, "hits@5": None} == {**run.summary["test"], "hits@5": None}
    frames = loaded.embeddings()
    assert set(frames) == {"entities", "relations"}
    assert frames["relations"]["id"].to_list() == ["r0", "r1", "r2", "r3"]
    assert frames["entities"].height == 30
    assert run.recommend("all").height == 0
    assert isinstance(run.model.triple_scorer(), TripleScorer)


@pytest.mark.parametrize("name", NAMES)
def test_triples_are_scored_as_their_facts_are(name):
    """score_tails and score_heads count relations as the dataset does, the model's batches as the
    graph does.
    """
    model = fit(name, worlds.cold_items(), **SMALL).model
    head, relation, tail = torch.tensor([3, 50]), torch.tensor([0, 1]), torch.tensor([61, 62])
    with torch.inference_mode():
        own = model.tables.score(head, model.ckg.relation_of(relation), tail)
        torch.testing.assert_close(
            model.score_tails(head, relation)[[0, 1], tail], own, atol=1e-5, rtol=1e-5
        )
        torch.testing.assert_close(
            model.score_heads(relation, tail)[[0, 1], head], own, atol=1e-5, rtol=1e-5
        )
    assert model.score_tails(head, relation).shape == (2, 74)


def test_items_are_ranked_by_the_plausibility_of_interacting():
    for name in NAMES:
        model = fit(name, worlds.cold_items(), **SMALL).model
        items = torch.arange(60)
        with torch.inference_mode():
            from kgrec.queries import queries

            found = model.scorer()(queries(worlds.cold_items().train, np.array([7])))
            expected = model.tables.score(
                torch.full((60,), model.ckg.user_node(7)), torch.zeros(60, dtype=torch.int64), items
            )
        torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["transe", "complex"])
def test_similar_items_and_explanations_come_with_it(name):
    run = fit(name, worlds.cold_items(), **SMALL)
    vectors = np.array(run.embeddings()["items"]["vector"].to_list())
    cosine = vectors @ vectors[5] / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors[5])
    found = run.similar_items("i5", k=4)
    assert found["item"].to_list() == [f"i{row}" for row in np.argsort(-cosine, kind="stable")[1:5]]
    np.testing.assert_allclose(found["score"].to_numpy(), np.sort(cosine)[::-1][1:5], atol=1e-5)
    assert run.explain("u4", "i44").paths


def test_without_interactions_a_user_is_the_mean_direction_of_the_history():
    run = fit(
        "distmult",
        worlds.cold_items(),
        interactions=False,
        **SMALL | {"epochs": 30, "learning_rate": 0.05},
    )
    assert len(run.model.tables.nodes) == run.data.num_entities
    vectors = np.array(run.embeddings()["items"]["vector"].to_list())
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    mine = run.data.train.item[run.data.train.user == 4]
    mean = unit[mine].mean(0)
    found = run.recommend("u4", k=60, allow_seen=True)
    rows = [int(item[1:]) for item in found["item"]]
    np.testing.assert_allclose(
        found["score"].to_numpy(), (unit @ mean / np.linalg.norm(mean))[rows], atol=1e-5
    )
    folded = run.recommend(history=[f"i{item}" for item in mine], k=52)
    assert folded["item"].to_list() == run.recommend("u4", k=52)["item"].to_list()
    assert [int(item[1:]) % 2 for item in found["item"][:20]] == [0] * 20


def test_both_kinds_of_held_out_parts_are_measured_and_either_can_stop():
    data = with_held(worlds.cold_items())
    run = fit("transe", data, metric="hits@3", **SMALL)
    assert {"recall@10", "mrr", "hits@10"} <= set(run.summary["test"])
    assert run.summary["valid"].keys() == {
        "mrr",
        "mean_rank",
        "hits@1",
        "hits@3",
        "hits@10",
    }  # no interactions are held out there
    assert "hits@3" in run.history[0]
    assert "mrr" in run.evaluate(protocol="triples").metrics
    assert "recall@10" in run.evaluate().metrics
    other = fit("transe", data, **SMALL)
    assert "mrr" not in other.history[0]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"metric": "recall@20"}, ConfigError, "no interactions. Take mrr or hits@10"),
        ({"metric": "mean_rank"}, ConfigError, "Take mrr or hits@10"),
        ({"refit": True}, ConfigError, "has none. Leave it out"),
    ],
)
def test_what_cannot_be_measured_is_refused(change, error, words):
    with pytest.raises(error, match=words):
        fit("transe", ring(), **SMALL, **change)


def test_metrics_of_triples_need_triples_and_a_model_of_them():
    with pytest.raises(ConfigError, match="none are held out"):
        fit("transe", worlds.cold_items(), metric="mrr", **SMALL)
    with pytest.raises(ConfigError, match="bprmf does not score them"):
        fit("bprmf", with_held(worlds.cold_items()), metric="mrr", **SMALL)
    with pytest.raises(CapabilityError, match="does not score triples"):
        fit("bprmf", with_held(worlds.cold_items()), **SMALL).evaluate(protocol="triples")
    with pytest.raises(DataError, match="needs interactions"):
        fit("bprmf", ring(), **SMALL)


def test_resumed_training_equals_one_go(tmp_path):
    data = ring().save(tmp_path / "data")
    whole = fit("rotate", data, out=tmp_path / "whole", **SMALL | {"epochs": 4})

    class StopError(Exception):
        pass

    def stop(state):
        if state.epoch == 2:
            raise StopError

    with pytest.raises(StopError):
        fit("rotate", data, out=tmp_path / "cut", on_epoch=stop, **SMALL | {"epochs": 4})
    resumed = fit("rotate", data, out=tmp_path / "cut", resume=True, **SMALL | {"epochs": 4})
    assert torch.equal(resumed.model.tables.nodes, whole.model.tables.nodes)


@pytest.fixture(scope="module")
def on_the_ring():
    """Metrics on the ring's held-out triples, by model."""
    settings = {
        "epochs": 60,
        "batch_size": 128,
        "dim": 16,
        "learning_rate": 0.1,
        "validate_every": 20,
        "patience": 0,
        "device": "cpu",
    }
    own = {
        "rotate": {"margin": 4.0},
        "complex": {"penalty_weight": 0.02},
        "distmult": {"penalty_weight": 0.02},
        "transe": {},
    }
    return {
        name: fit(name, ring(), **settings | more).summary["test"] for name, more in own.items()
    }


def test_direction_and_composition_need_rotations_or_complex_numbers(on_the_ring):
    """DistMult gives next and previous the same scores, so that of two answers either may come
    first; no translation closes a ring.
    """
    assert on_the_ring["rotate"]["hits@1"] >= 0.9, on_the_ring
    assert on_the_ring["complex"]["hits@1"] >= 0.9, on_the_ring
    assert on_the_ring["distmult"]["hits@1"] <= 0.6, on_the_ring
    assert on_the_ring["transe"]["hits@1"] <= 0.3, on_the_ring


def test_the_command_line_judges_triples(tmp_path, capsys):
    from kgrec.cli import run as command

    data = ring().save(tmp_path / "data")
    fit("distmult", data, out=tmp_path / "run", **SMALL)
    assert command(["evaluate", str(tmp_path / "run"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["protocol"] == "triples"
    assert (
        told["metrics"]["mrr"]
        == evaluate_triples(load_run(tmp_path / "run").model, data).metrics["mrr"]
    )
    assert command(["evaluate", str(tmp_path / "run")]) == 0
    assert "10 triples" in capsys.readouterr().out
    assert (
        command(["export", str(tmp_path / "run"), "--embeddings", str(tmp_path / "vectors")]) == 0
    )
    assert sorted(path.name for path in (tmp_path / "vectors").iterdir()) == [
        "entities.parquet",
        "relations.parquet",
        "vectors.json",
    ]


@pytest.mark.slow
def test_real_facts_are_found_better_than_by_counting():
    """The bundled films' graph: the tail is guessed at least half as well again as by how often it
    occurs.
    """
    import kgrec

    data = kgrec.Dataset.build(
        None, kgrec.load("films").triples, triple_ratios=(0.8, 0.1, 0.1), seed=0
    )
    count = np.zeros((2, data.num_relations, data.num_entities))
    np.add.at(count[0], (data.triples.relation, data.triples.tail), 1)
    np.add.at(count[1], (data.triples.relation, data.triples.head), 1)

    class Counted:
        def score_tails(self, head, relation):
            return torch.from_numpy(count[0]).float()[relation]

        def score_heads(self, relation, tail):
            return torch.from_numpy(count[1]).float()[relation]

    counted = evaluate_triples(Counted(), data).metrics["mrr"]
    found = fit("transe", data, device="cpu", epochs=60, validate_every=10).summary["test"]["mrr"]
    assert 0.1 <= counted <= 0.15
    assert found >= 1.5 * counted
