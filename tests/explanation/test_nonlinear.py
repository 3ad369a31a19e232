"""Checks 9 and 10 of the design: models that are not linear, and models whose scores no fact
enters.
"""

import copy
from itertools import islice, pairwise

import networkx as nx
import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from shares import few_or

from kgrec.explanation.core.path_graph import PathGraph
from kgrec.explanation.explainer import Explainer
from kgrec.explanation.render.sentences import claim
from kgrec.explanation.search.all_paths import simple_paths
from kgrec.runs.fit import fit
from kgrec.testing import worlds

WIDE = {"screen_top": 10_000, "per_liked": 10_000, "per_middle": 10_000}
SMALL = {"dim": 16, "epochs": 4, "batch_size": 64, "learning_rate": 0.02}
SETTINGS = {
    "kgat": {**SMALL, "relation_dim": 16, "layer_dims": (16, 8)},
    "kgin": {**SMALL, "num_layers": 2, "num_intents": 3},
}


def society(seed=0, users=40, items=50):
    """Five kinds of item, told by seven facts each; everybody likes one kind, mostly."""
    rng = np.random.default_rng(seed)
    likes, facts = [], []
    for user in range(users):
        odds = np.where(np.arange(items) % 5 == user % 5, 8.0, 1.0)
        likes += [
            (user, int(item)) for item in rng.choice(items, 9, replace=False, p=odds / odds.sum())
        ]
    for item in range(items):
        odds = np.where(np.arange(25) % 5 == item % 5, 6.0, 1.0)
        facts += [
            (item, int(rng.integers(3)), items + int(e))
            for e in rng.choice(25, 7, replace=False, p=odds / odds.sum())
        ]
    return worlds.dataset(likes, triples=facts, num_items=items, num_entities=items + 25)


@pytest.fixture(scope="module")
def runs():
    """Return a run of each model, trained a little."""
    return {name: fit(name, society(), seed=0, **settings) for name, settings in SETTINGS.items()}


def pairs(data, count, seed=0):
    """Return users, each with an item they do not have."""
    seen, rng = (
        set(zip(data.train.user.tolist(), data.train.item.tolist(), strict=True)),
        np.random.default_rng(seed),
    )
    drawn = (
        (int(rng.integers(data.num_users)), int(rng.integers(data.num_items)))
        for _ in range(10 * count)
    )
    return [pair for pair in drawn if pair not in seen][:count]


def score(run, user, item):
    scorer = run.scorer()
    return float((scorer.users[user] * scorer.items[item]).sum().detach())


def hops(path):
    return tuple((hop.source.key, hop.target.key, hop.relation) for hop in path.hops)


@pytest.mark.parametrize("name", SETTINGS)
def test_frozen_gates_add_up_in_single_precision(runs, name):
    run = runs[name]
    for user, item in pairs(run.data, 50):
        got, expected = (
            run.model.explanation_effects().score_parts(user, item),
            score(run, user, item),
        )
        total = got.own + got.bias + got.liked.sum() + sum(got.other.values())
        assert total == pytest.approx(expected, abs=1e-5 * max(1, abs(expected)))
        assert got.basis == "linearized"
        assert got.items.tolist() == sorted(
            run.data.train.item[run.data.train.user == user].tolist()
        )
        if name == "kgin":
            np.testing.assert_allclose(sum(got.pieces.values()), got.liked, atol=1e-6)


@few_or(50, 15)
@pytest.mark.parametrize(
    ("name", "keep_weights"), [("kgat", False), ("kgat", True), ("kgin", False)]
)
def test_attributions_rank_paths_as_running_again_does(runs, name, keep_weights, count):
    """Some paths of each pair; Spearman's coefficient per pair."""
    model, found = runs[name].model, []
    graph = PathGraph(model.ckg, merged=False)
    for user, item in pairs(runs[name].data, count):
        effect = graph.per_edge(model.explanation_effects().screen(user, item).double().numpy())
        every = simple_paths(graph, model.ckg.user_node(user), item, 3)
        paths = [
            edges
            for nodes, part in zip(every.nodes, every.edges, strict=True)
            for stops, edges in zip(nodes, part, strict=True)
            if model.explanation_effects().through_users or stops[1:].max() < model.ckg.num_entities
        ]
        chosen = [paths[n] for n in np.random.default_rng(item).permutation(len(paths))[:8]]
        groups = [
            np.concatenate([graph.facts(int(edge)) for edge in path]).tolist() for path in chosen
        ]
        scores = (
            model.explanation_effects()
            .rerun(user, item, [[], *groups], keep_weights=keep_weights)
            .double()
            .numpy()
        )
        found.append(
            spearmanr([effect[path].sum() for path in chosen], scores[0] - scores[1:]).statistic
        )
    assert len(found) == count
    assert np.mean(found) >= 0.8, np.round(sorted(found), 2)
    assert np.median(found) >= 0.9


@pytest.mark.parametrize("name", SETTINGS)
def test_drops_are_those_of_running_the_model_on_the_edited_graph(runs, name):
    """The explainer's numbers against another model object over the graph without the path's
    facts.
    """
    run = runs[name]
    ckg, data = run.model.ckg, run.data
    place = {key: row for row, key in enumerate(data.triples.entities)} | {
        key: ckg.user_node(row) for row, key in enumerate(data.users)
    }
    relation = {"interacts": 0} | {key: row + 1 for row, key in enumerate(data.triples.relations)}
    facts = {
        edge: n
        for n, edge in enumerate(
            zip(ckg.head.tolist(), ckg.relation.tolist(), ckg.tail.tolist(), strict=True)
        )
    }
    explainer = Explainer(run, users="hide")
    for user, item in pairs(data, 3):
        explanation = explainer.explain(data.users.key(user), data.items.key(item), k=4)
        assert explanation.paths
        for path in explanation.paths:
            assert path.basis == "measured"
            gone = []
            for hop in path.hops:
                h, t = place[hop.source.key], place[hop.target.key]
                gone.append(
                    facts[
                        (h, relation[hop.relation], t)
                        if hop.forward
                        else (t, relation[hop.relation], h)
                    ]
                )
            edited = run.model.explanation_effects().on_graph(
                ckg.take(np.setdiff1d(np.arange(len(ckg.head)), gone))
            )
            with torch.inference_mode():
                after = edited.scorer()
            drop = score(run, user, item) - float(after.users[user] @ after.items[item])
            assert path.drop_delete == pytest.approx(drop, abs=1e-5)
            if name == "kgin":
                pieces = run.model.explanation_effects().screen_pieces(user, item)
                assert sum(float(piece[gone].sum()) for piece in pieces.values()) == pytest.approx(
                    path.attribution, abs=1e-5
                )


def test_kgin_offers_no_path_through_other_users_and_they_have_no_effect(runs):
    """Beyond the first hop, which is a like of the user's own."""
    run, tried = runs["kgin"], 0
    ckg, data = run.model.ckg, run.data
    graph = nx.Graph()
    graph.add_edges_from(zip(ckg.head.tolist(), ckg.tail.tolist(), strict=True))
    position = {
        (h, t): n
        for n, (h, t) in enumerate(zip(ckg.head.tolist(), ckg.tail.tolist(), strict=True))
        if ckg.relation[n] == 0
    }
    for users in ("show", "count"):
        explainer = Explainer(run, users=users, max_length=3)
        for user, item in pairs(data, 2):
            explanation = explainer.explain(data.users.key(user), data.items.key(item), k=100)
            assert explanation.paths
            assert {node.kind for path in explanation.paths for node in path.nodes[1:]} <= {
                "item",
                "entity",
            }
            assert any("other users" in note for note in explanation.notes)
            every = nx.all_simple_paths(graph, ckg.user_node(user), item, cutoff=3)
            for path in islice(
                (path for path in every if any(ckg.is_user(node) for node in path[1:])), 6
            ):
                own, *others = [
                    position[(a, b) if ckg.is_user(a) else (b, a)] for a, b in pairwise(path)
                ]
                for keep in (False, True):
                    like, whole, apart, none = (
                        run.model.explanation_effects()
                        .rerun(user, item, [[own], [own, *others], others, []], keep)
                        .tolist()
                    )
                    assert like == whole
                    assert apart == none
                tried += 1
    assert tried > 20


@pytest.mark.parametrize("name", SETTINGS)
def test_other_weights_give_other_reasons(runs, name):
    """The five best paths of a model whose parameters are drawn anew share less than 0.3 with those
    of the trained one.
    """
    run = runs[name]
    random = copy.deepcopy(run.model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in random.parameters():
            parameter.normal_(0, float(parameter.std()), generator=generator)
    if name == "kgat":
        random.refresh_attention()
    trained, drawn = Explainer(run, users="hide"), Explainer(random, run.data, users="hide")
    shared = []
    for user, item in pairs(run.data, 4):
        ids = run.data.users.key(user), run.data.items.key(item)
        first, second = (
            {hops(path) for path in ex.explain(*ids, k=5).paths} for ex in (trained, drawn)
        )
        shared.append(len(first & second) / len(first | second))
    assert np.mean(shared) < 0.3, shared


def news():
    return worlds.news_board(0, users=12, news=8, impressions=3)


DKN = {
    "num_filters": 8,
    "filter_widths": (1, 2),
    "word_dim": 8,
    "entity_dim": 8,
    "max_words": 6,
    "kg_epochs": 3,
}
WITHOUT = [
    ("bprmf", {"epochs": 2, "dim": 8}, society),
    ("cke", {"epochs": 2, "dim": 8, "relation_dim": 8}, society),
    ("cfkg", {"epochs": 2, "dim": 8}, society),
    ("dkn", {**DKN, "epochs": 1}, news),
    ("ease", {}, society),
]


@pytest.mark.parametrize(("name", "settings", "world"), WITHOUT)
def test_paths_of_models_that_no_fact_enters_are_no_causes(name, settings, world):
    run = fit(name, world(), seed=0, **settings)
    explainer, offered = Explainer(run), 0
    for user, item in pairs(run.data, 6):
        explanation = explainer.explain(run.data.users.key(user), run.data.items.key(item))
        offered += len(explanation.paths)
        for path in explanation.paths:
            declared = name != "dkn"  # it reads the neighbors of entities, and offers no deletion
            assert path.basis == ("post-hoc" if declared else "not measured")
            assert path.facts_drop == (0.0 if declared else None)
            assert path.causal == (path.like_claim == "cause")
            assert (claim(path) == "because of the like") == path.causal
        budget = explanation.budget
        total = budget.own + budget.bias + budget.liked + sum(budget.other.values())
        assert total == pytest.approx(explanation.score, abs=1e-5 * max(1, abs(explanation.score)))
    assert offered > 3


@few_or(6, 2)
@pytest.mark.parametrize("name", SETTINGS)
def test_measured_paths_that_lower_nothing_are_no_causes(runs, name, count):
    explainer, counted = Explainer(runs[name], users="hide", **WIDE), {True: 0, False: 0}
    for user, item in pairs(runs[name].data, count):
        for path in explainer.explain(
            runs[name].data.users.key(user), runs[name].data.items.key(item), k=10_000
        ).paths:
            likes = {path.like_drop > 0, path.like_drop_mask > 0}
            assert path.causal == (likes == {True})  # facts are none without placebos
            assert claim(path).startswith("because") == path.causal
            counted[path.causal] += 1
    assert min(counted.values()) > 10


@pytest.mark.parametrize("name", SETTINGS)
def test_someone_without_likes_and_an_item_without_facts_have_numbers_too(name):
    """User 3 likes nothing, item 3 stands alone, item 2 has one fact, which is the only one of its
    rows.
    """
    data = worlds.dataset(
        [(0, 0), (1, 0)], triples=[(0, 0, 4), (2, 1, 5)], num_users=4, num_items=4, num_entities=6
    )
    run = fit(name, data, **{**SETTINGS[name], "epochs": 1})
    count = len(run.model.ckg.head)
    for user, item in ((3, 3), (3, 2), (0, 3), (1, 2)):
        got = run.model.explanation_effects().score_parts(user, item)
        assert len(got.items) == (user < 2)
        assert got.own + got.bias + got.liked.sum() == pytest.approx(
            score(run, user, item), abs=1e-5
        )
        assert bool(run.model.explanation_effects().screen(user, item).isfinite().all())
        whole, nothing = (
            run.model.explanation_effects().rerun(user, item, [[], range(count)]).tolist()
        )
        assert whole == pytest.approx(score(run, user, item), abs=1e-5)
        assert (user, item) != (3, 3) or whole == nothing
    assert not run.model.explanation_effects().screen(3, 3).any()
    assert run.model.explanation_effects().screen(3, 2).any()
