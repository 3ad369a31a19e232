"""The explainer against brute force: every path by networkx, every drop by running the model again
without it.
"""

import dataclasses

import networkx as nx
import numpy as np
import polars as pl
import pytest
import torch

from kgrec.data.records.interactions import Interactions
from kgrec.errors import ConfigError, KgrecError, UnknownIdError
from kgrec.explanation.explainer import Explainer

WIDE = {"screen_top": 10_000, "per_liked": 10_000, "per_middle": 10_000}


def key(explanation, path):
    return tuple((hop.source.key, hop.target.key, hop.relation) for hop in path.hops)


def oracle(model, data, user, item, longest=3):
    """Return {hops: drop} of every simple path, by networkx and full runs of the model."""
    ckg = model.ckg
    names = [*data.items, *list(data.triples.entities)[data.num_items :], *data.users]
    relations = ["interacts", *data.triples.relations]
    graph: nx.MultiGraph = nx.MultiGraph()
    facts = list(zip(ckg.head.tolist(), ckg.relation.tolist(), ckg.tail.tolist(), strict=True))
    for h, r, t in facts:
        graph.add_edge(h, t, key="any" if model.merges_relations else (r, h))
    start = ckg.user_node(user)
    whole = float(model.score(user, item))
    out = {}
    for path in nx.all_simple_edge_paths(graph, start, item, cutoff=longest):
        hops, removed = [], []
        for a, b, edge in path:
            mine = [
                n
                for n, (h, r, t) in enumerate(facts)
                if {h, t} == {a, b} and (edge == "any" or (r, h) == edge)
            ]
            removed += mine
            hops.append((names[a], names[b], relations[facts[mine[0]][1]]))
        if len(path) > 1 or hops[0][2] != "interacts":
            out[tuple(hops)] = whole - float(model.score(user, item, removed))
    return out


@pytest.mark.parametrize("merges", [True, False])
@pytest.mark.parametrize(("user", "item"), [(0, 2), (0, 3), (0, 4), (1, 1), (2, 4)])
def test_every_path_and_its_drop_equal_brute_force(films, toy, merges, user, item):
    model = toy(films, merges)
    ex = Explainer(model, films, scorer=model.scorer, users="show", **WIDE)
    found = ex.explain(films.users.key(user), films.items.key(item), k=10_000)
    expected = oracle(model, films, user, item)
    assert len(found.paths) == len(expected)
    for path in found.paths:
        assert path.drop_delete == pytest.approx(expected[key(found, path)], abs=1e-12)
    drops = [path.drop_delete for path in found.paths]
    assert drops == sorted(drops, reverse=True)
    assert found.score == pytest.approx(float(model.score(user, item)), abs=1e-12)
    assert sum(found.counts.values()) == len(expected)


def test_parallel_relations_are_one_hop_where_merged_and_two_paths_where_not(films, toy):
    together = Explainer(model := toy(films, True), films, scorer=model.scorer, **WIDE).explain(
        "ana", "f3"
    )
    (path,) = [p for p in together.paths if p.length == 3 and p.nodes[2].label == "Michael Mann"]
    assert [(r.label, r.forward) for r in path.hops[2].relations] == [
        ("director", False),
        ("writer", False),
    ]
    assert [str(fact) for fact in path.hops[2].facts] == [
        "films.ttl triple 14",
        "films.ttl triple 15",
    ]
    assert path.removed == 4
    apart = Explainer(model := toy(films, False), films, scorer=model.scorer, **WIDE).explain(
        "ana", "f3"
    )
    through = [p for p in apart.paths if p.length == 3 and p.nodes[2].label == "Michael Mann"]
    assert sorted(p.hops[2].relation for p in through) == ["x:director", "x:writer"]
    assert {p.removed for p in through} == {3}


def test_other_users_are_counted_and_removed_together(films, toy):
    model = toy(films, True)
    found = Explainer(model, films, scorer=model.scorer, **WIDE).explain("ana", "f2")
    (path,) = [p for p in found.paths if p.users and p.nodes[1].key == "f0"]
    assert path.users == 2
    assert [n.label for n in path.nodes] == ["ana", "Alien", "2 others", "Blade Runner"]
    assert [h.forward for h in path.hops] == [True, False, True]
    ckg, node = model.ckg, model.ckg.user_node
    wanted = {(node(0), 0), (node(1), 0), (node(2), 0), (node(1), 2), (node(2), 2)}
    removed = [
        n
        for n, pair in enumerate(zip(ckg.head.tolist(), ckg.tail.tolist(), strict=True))
        if pair in wanted
    ]
    assert path.removed == len(removed) == 5
    assert path.drop_delete == pytest.approx(
        float(model.score(0, 2) - model.score(0, 2, removed)), abs=1e-12
    )
    text = found.to_json() + found.to_text()
    assert "bo" not in text.replace("about", "").split()
    assert not any(node.key in ("bo", "cy") for p in found.paths for node in p.nodes)
    assert any("counted, not named" in note for note in found.notes)


def test_other_users_can_be_hidden_or_shown(films, toy):
    model = toy(films, True)
    hidden = Explainer(model, films, scorer=model.scorer, users="hide", **WIDE).explain("ana", "f2")
    assert {n.kind for p in hidden.paths for n in p.nodes[1:]} == {"item", "entity"}
    shown = Explainer(model, films, scorer=model.scorer, users="show", **WIDE).explain("ana", "f2")
    assert {n.key for p in shown.paths for n in p.nodes[1:] if n.kind == "user"} == {"bo", "cy"}


def test_rank_is_among_unseen_items_with_ties_by_row(films, toy):
    model = toy(films, True)
    scores = [float(model.score(0, i)) for i in range(5)]
    ex = Explainer(model, films, scorer=model.scorer)
    by_score = sorted([2, 3, 4], key=lambda i: -scores[i])
    assert [ex.explain("ana", f"f{i}").rank for i in by_score] == [1, 2, 3]
    seen = ex.explain("ana", "f0")
    assert seen.rank is None
    assert any("already has" in note for note in seen.notes)
    assert all(p.length > 1 for p in seen.paths)
    held = Explainer(
        model,
        dataclasses.replace(films, valid=films.train.take(np.array([3]))),
        scorer=model.scorer,
    )
    assert [held.explain("bo", f"f{i}").rank is None for i in range(5)] == [
        True,
        False,
        True,
        False,
        False,
    ]
    own = dataclasses.replace(
        films, valid=Interactions(np.array([0], np.int32), np.array([by_score[0]], np.int32))
    )
    assert Explainer(model, own, scorer=model.scorer).explain("ana", f"f{by_score[1]}").rank == 1
    flat = Explainer(model, films, scorer=lambda query, items=None: torch.zeros(1, 5))
    assert [flat.explain("ana", f"f{i}").rank for i in (2, 3, 4)] == [1, 2, 3]


def test_variety_limits_are_kept_and_the_best_survive(films, toy):
    model = toy(films, True)
    every = Explainer(model, films, scorer=model.scorer, users="show", **WIDE).explain(
        "ana", "f2", k=1000
    )
    few = Explainer(
        model, films, scorer=model.scorer, users="show", per_liked=1, per_middle=1
    ).explain("ana", "f2")
    assert len({p.nodes[1] for p in few.paths}) == len(few.paths)
    assert len({p.nodes[-2] for p in few.paths if p.length > 2}) == len(
        [p for p in few.paths if p.length > 2]
    )
    best = max(every.paths, key=lambda p: p.attribution)
    assert key(few, best) in {key(few, p) for p in few.paths}
    one = Explainer(model, films, scorer=model.scorer, screen_top=1, users="hide").explain(
        "ana", "f2", k=1
    )
    assert len(one.paths) == 1


def test_a_model_that_cannot_be_run_again_gets_no_causes(films):
    from kgrec.data.records.known import Known
    from kgrec.models.base import Plan, Recommender

    class Fixed(Recommender):
        @classmethod
        def from_dataset(cls, data, config, generator):
            return cls()

        def plan(self):
            return Plan()

        def can_rank(self, data):
            return Known(np.ones(data.num_users, dtype=bool), np.ones(data.num_items, dtype=bool))

        def scorer(self):
            return lambda query, items=None: torch.arange(5.0).expand(len(query.user), 5)

    found = Explainer(Fixed(), films, per_liked=10, per_middle=10).explain("ana", "f3")
    assert {(p.basis, p.drop_delete) for p in found.paths} == {("not measured", None)}
    assert [p.length for p in found.paths] == sorted(p.length for p in found.paths)
    assert any("is not measured" in note for note in found.notes)
    assert "because" not in found.to_text().lower()
    assert found.rank == 2
    two = Explainer(Fixed(), films, per_liked=10, per_middle=10).explain("ana", "f2").paths
    named = [p.nodes[2].label for p in two if p.length == 3 and not p.users]
    assert named == ["Ridley Scott", "science fiction"]  # two films against three


def test_truncation_and_absence_are_said(films, toy):
    model = toy(films, True)
    cut = Explainer(model, films, scorer=model.scorer, budget=3).explain("ana", "f2")
    assert cut.truncated
    assert any("budget of 3" in note for note in cut.notes)
    alone = dataclasses.replace(
        films, triples=dataclasses.replace(films.triples, tail=np.full(9, 5, np.int32))
    )
    model = toy(alone, True)
    none = Explainer(model, alone, scorer=model.scorer, max_length=1).explain("ana", "f4")
    assert none.paths == ()
    assert none.notes == ("No path of 1 hop joins this user and this item.",)
    assert none.counts == {"1": 0}


def test_the_same_twice_is_the_same(films, toy):
    a, b = (
        Explainer(m := toy(films, False), films, scorer=m.scorer).explain("ana", "f2").to_json()
        for _ in range(2)
    )
    assert a == b


def test_bad_input(films, toy):
    model = toy(films, True)
    ex = Explainer(model, films, scorer=model.scorer)
    with pytest.raises(UnknownIdError, match="Nearest"):
        ex.explain("anna", "f2")
    with pytest.raises(UnknownIdError, match="item"):
        ex.explain("ana", "f9")
    with pytest.raises(ConfigError, match="at least one"):
        ex.explain("ana", "f2", k=0)
    with pytest.raises(ConfigError, match="scorer"):
        Explainer(model, films)
    for bad in (
        {"users": "all"},
        {"max_length": 7},
        {"max_length": 0},
        {"screen_top": 0},
        {"modes": ["mask"]},
        {"modes": ["delete", "x"]},
    ):
        with pytest.raises(KgrecError):
            Explainer(model, films, scorer=model.scorer, **bad)


def test_user_facts_are_reasons_too(films, toy):
    data = dataclasses.replace(films, user_facts=np.array([[0, 2, 7], [0, 3, 4]], dtype=np.int32))
    model = toy(data, True)
    found = Explainer(model, data, scorer=model.scorer, **WIDE).explain("ana", "f4", k=100)
    direct = [p for p in found.paths if p.length == 1]
    assert [(p.hops[0].relation, str(p.hops[0].facts[0])) for p in direct] == [
        ("x:resembles", "user attributes")
    ]
    assert any(
        [n.label for n in p.nodes] == ["ana", "science fiction", "Solaris"] for p in found.paths
    )


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))]
)
def test_a_planted_property_is_the_first_reason(toy, films, seed):
    """Sixty films with a maker each and three decoys; users like the films of one maker."""
    from kgrec.data.records.vocabulary import Vocabulary

    rng = np.random.default_rng(seed)
    items, makers = 60, 6
    maker, decoys = np.arange(items) % makers, rng.integers(0, makers, (3, items))
    families = [maker, *decoys]
    entities = items + makers * 4
    head = np.tile(np.arange(items), 4)
    tail = np.concatenate([items + n * makers + family for n, family in enumerate(families)])
    keys = [f"e{n}" for n in range(entities)]
    triples = dataclasses.replace(
        films.triples,
        entities=Vocabulary(keys),
        head=head.astype(np.int32),
        relation=np.repeat(np.arange(4), items).astype(np.int32),
        tail=tail.astype(np.int32),
        source=np.zeros(len(head), np.uint16),
        locator=np.zeros(len(head), np.int64),
        labels=pl.Series("label", keys),
    )
    likes = [
        (u, i) for u in range(30) for i in rng.permutation(np.flatnonzero(maker == u % makers))[:6]
    ]
    data = dataclasses.replace(
        films,
        users=Vocabulary([f"u{n}" for n in range(30)], kind="user"),
        items=Vocabulary([f"i{n}" for n in range(items)], kind="item"),
        triples=triples,
        train=Interactions(*np.array(sorted(likes), dtype=np.int32).T),
    )
    model = toy(data, True)
    model.base = torch.eye(
        model.ckg.num_nodes, dtype=torch.float64
    )  # the score is then the weight of real walks alone
    ex = Explainer(model, data, scorer=model.scorer, users="hide")
    right = 0
    for user in range(12):
        mine = {i for u, i in likes if u == user}
        target = next(i for i in range(items) if maker[i] == user % makers and i not in mine)
        best = ex.explain(f"u{user}", f"i{target}").paths[0]
        right += best.nodes[2].key == f"e{items + user % makers}"
    assert right == 12


@pytest.mark.parametrize("name", ["lightgcn", "kgat"])
def test_the_drop_of_a_real_model_is_that_of_one_built_without_the_facts(films, name):
    """The same seed gives both models the same parameters, so only the graph differs."""
    from kgrec.models.graph.lightgcn import LightGCN, LightGCNConfig
    from kgrec.models.knowledge.kgat import KGAT, KGATConfig

    def build(data):
        generator = torch.Generator().manual_seed(5)
        if name == "lightgcn":
            return (
                LightGCN.from_dataset(data, LightGCNConfig(dim=8, knowledge=True), generator)
                .double()
                .eval()
            )
        model = (
            KGAT.from_dataset(data, KGATConfig(dim=8, relation_dim=8, layer_dims=(8, 4)), generator)
            .double()
            .eval()
        )
        model.refresh_attention()
        return model

    whole = build(films)
    found = Explainer(whole, films, users="hide", **WIDE).explain("ana", "f2")
    assert len(found.paths) == 2
    for path in found.paths:
        assert (path.basis, path.removed) == ("exact" if name == "lightgcn" else "measured", 3)
        lines = {fact.locator for hop in path.hops for fact in hop.facts if fact.locator}
        kept = ~np.isin(films.triples.locator, list(lines))
        t = films.triples
        parts = {
            column: getattr(t, column)[kept]
            for column in ("head", "relation", "tail", "source", "locator")
        }
        liked = ~(
            (films.train.user == 0) & (films.train.item == films.items.row(path.nodes[1].key))
        )
        edited = build(
            dataclasses.replace(
                films, triples=dataclasses.replace(t, **parts), train=films.train.take(liked)
            )
        )
        score = float(edited.explanation_effects().rerun(0, 2, [[]])[0])
        assert path.drop_delete == pytest.approx(found.score - score, abs=1e-7)


def test_a_run_is_taken_as_it_is(films):
    from kgrec.models.graph.lightgcn import LightGCN, LightGCNConfig

    class Fitted:
        name = "lightgcn"
        data = films
        model = LightGCN.from_dataset(
            films, LightGCNConfig(dim=4), torch.Generator().manual_seed(0)
        )

        def scorer(self):
            return self.model.eval().scorer()

    found = Explainer(Fitted()).explain("ana", "f2")
    assert found.manifest["model"] == "lightgcn"
    assert {n.kind for p in found.paths for n in p.nodes} == {
        "user",
        "item",
        "users",
    }  # this model's graph has no triples
    with pytest.raises(ConfigError, match="dataset"):
        Explainer(Fitted.model)


def test_notes_speak_of_the_paths_shown_alone(films, toy):
    model = toy(films, False)
    explainer = Explainer(model, films, scorer=model.scorer)
    every, best = explainer.explain("ana", "f2", k=30), explainer.explain("ana", "f2", k=1)
    assert any(path.users for path in every.paths)
    assert not any(path.users for path in best.paths)
    assert any("counted, not named" in note for note in every.notes)
    assert not any("counted, not named" in note for note in best.notes)


def test_a_length_without_any_walk_is_not_called_cut(films, toy):
    """Users, items and entities alternate here: no path has an even length, however small the
    budget.
    """
    model = toy(films, True)
    told = Explainer(model, films, scorer=model.scorer, budget=3).explain("ana", "f2", max_length=6)
    assert not any("about 0 walks" in note for note in told.notes)
    with pytest.raises(ConfigError, match="min_drop is nan"):
        Explainer(model, films, scorer=model.scorer).explain("ana", "f2", min_drop=float("nan"))
