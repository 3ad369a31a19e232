"""Other explainers against brute force: models built again, a linear model, all small sets."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

import kgrec
from kgrec.errors import CapabilityError, ConfigError
from kgrec.explanation.beside.gnn_explainer import GNNExplainerEdges
from kgrec.explanation.beside.leave_one_out import LeaveOneOut
from kgrec.explanation.beside.lime import Lime, draw_masks, linear_weights
from kgrec.explanation.beside.measured_paths import MeasuredPaths
from kgrec.explanation.beside.names import BESIDE, check_names, explainer_named
from kgrec.explanation.beside.prince import Prince
from kgrec.explanation.beside.ranked_edges import EdgeExplainer, candidate_edges
from kgrec.explanation.explainer import Explainer
from kgrec.models.factorization.bprmf import BPRMF, BPRMFConfig
from kgrec.testing.worlds import knowledge, planted
from tests.explanation.questions.test_counterfactuals import kgat, lightgcn, random_data

MODELS = {"lightgcn": lightgcn, "kgat": kgat}


@pytest.fixture(params=MODELS)
def explainer(request, films):
    data = random_data(films, 5)
    return Explainer(MODELS[request.param](data), data)


def best(ex, user):
    return int(ex.standing(user).order()[0])


def test_leave_one_out_is_a_model_built_again_without_each_edge(explainer):
    for user in (0, 4):
        item = best(explainer, user)
        found = LeaveOneOut(explainer.search).rank_edges(user, item)
        edges = candidate_edges(explainer.search, user, item)
        score = explainer.standing(user).scores[item]
        drops = {
            edge: score
            - explainer.standing(user, explainer.without(explainer.graph.facts(edge))).scores[item]
            for edge in edges.tolist()
        }
        right = sorted((e for e in drops if drops[e] > 1e-9), key=lambda e: -drops[e])
        assert found.runs == len(edges) > 5
        assert [e for e in found.edges.tolist() if drops[e] > 1e-9] == right
        assert found.scores == pytest.approx([drops[e] for e in found.edges.tolist()], abs=1e-8)


def test_lime_recovers_a_linear_model_and_is_near_leave_one_out(explainer):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=12)
    masks = draw_masks(12, 200, rng)
    assert linear_weights(masks, masks @ weights + 3.0, ridge=1e-9) == pytest.approx(
        weights, abs=1e-6
    )
    assert linear_weights(masks, masks @ weights, ridge=1e3) == pytest.approx(
        np.zeros(12), abs=1e-2
    )
    lacking = (~masks).sum(1)
    assert lacking.min() >= 1
    assert set(lacking) == set(range(1, 13))

    user = 2
    item = best(explainer, user)
    found = Lime(explainer.search, seed=1).rank_edges(user, item)
    again = Lime(explainer.search, seed=1).rank_edges(user, item)
    assert found.edges.tolist() == again.edges.tolist()
    assert found.scores.tolist() == again.scores.tolist()
    alone = LeaveOneOut(explainer.search).rank_edges(user, item)
    assert len(set(found.edges[:8].tolist()) & set(alone.edges[:8].tolist())) >= 4


def falls(ex, user, item, likes):
    """Return whether another item passes one on a graph without some likes."""
    ckg = ex.graph.ckg
    gone = (ckg.relation == 0) & (ckg.head == ckg.user_node(user)) & np.isin(ckg.tail, likes)
    after = ex.standing(user, ex.without(np.flatnonzero(gone)))
    return after.rank(item) > ex.standing(user).rank(item)


def test_princes_sets_work_and_no_smaller_one_does(explainer):
    sizes = []
    for user in range(7):
        item = best(explainer, user)
        found = Prince(explainer.explained).rank_edges(user, item)
        likes = explainer.liked(user)
        node = explainer.graph.ckg.user_node(user)
        low, high = explainer.graph.low[found.edges], explainer.graph.high[found.edges]
        assert (high == node).all()
        assert np.isin(low, likes).all()
        assert found.whole
        if len(low):
            assert falls(explainer, user, item, low)
            assert found.scores.tolist() == sorted(found.scores, reverse=True)
        smallest = next(
            (
                size
                for size in (1, 2)
                if any(falls(explainer, user, item, list(s)) for s in combinations(likes, size))
            ),
            None,
        )
        if smallest is None:
            assert len(low) == 0 or len(low) > 2
        else:
            assert len(low) == smallest
        for member in low.tolist():
            rest = low[low != member]
            assert not len(rest) or not falls(explainer, user, item, rest)
        sizes.append(len(low))
    assert {1, 2} & set(sizes)


def test_prince_needs_a_model_that_ranks_under_other_likes(films):
    data = random_data(films, 5)
    model = BPRMF.from_dataset(data, BPRMFConfig(dim=4), torch.Generator().manual_seed(0))
    with pytest.raises(CapabilityError, match="other interactions"):
        Prince(Explainer(model, data).explained).rank_edges(0, 0)


def with_decoys(seed):
    """Return a world whose items say their kind by one relation, and nothing by three others."""
    data = planted("knowledge", seed)
    rng = np.random.default_rng(seed)
    items, kinds = data.num_items, 5
    kind = np.arange(items) % kinds
    families = [kind, *(rng.permutation(kind) for _ in range(3))]
    facts = [
        (item, relation, items + relation * kinds + int(family[item]))
        for relation, family in enumerate(families)
        for item in range(items)
    ]
    keys = [*(f"i{n}" for n in range(items)), *(f"e{n}" for n in range(4 * kinds))]
    return replace(data, triples=knowledge(np.array(facts), keys, 4))


@pytest.mark.slow
def test_gnnexplainer_finds_the_planted_fact_in_most_seeds():
    """Of the four facts of an item, the mask's largest is the one that says the kind."""
    right = []
    for seed in range(3):
        run = kgrec.fit("lightgcn-kg", with_decoys(seed), preset="fast", dim=16, seed=seed)
        ex = run.explainer(users="hide")
        explainer = GNNExplainerEdges(ex.search, seed)
        hits = []
        for user in range(5):
            standing = ex.standing(user).order()
            item = next(int(i) for i in standing if i % 5 == user % 5)
            found = explainer.rank_edges(user, item)
            low, high = ex.graph.low[found.edges], ex.graph.high[found.edges]
            facts = [(int(b) - 250) // 5 for a, b in zip(low, high, strict=True) if a == item]
            hits.append(facts[0] == 0)
        right.append(np.mean(hits))
    assert np.mean(right) > 0.6
    assert sum(share > 0.5 for share in right) >= 2


def test_gnnexplainer_gives_the_same_again_and_draws_from_no_other_stream(explainer):
    before = torch.random.get_rng_state()
    item = best(explainer, 0)
    first = GNNExplainerEdges(explainer.search, 3, epochs=4).rank_edges(0, item)
    again = GNNExplainerEdges(explainer.search, 3, epochs=4).rank_edges(0, item)
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.edges.tolist() == again.edges.tolist()
    assert first.scores.tolist() == again.scores.tolist()
    assert set(first.edges.tolist()) <= set(candidate_edges(explainer.search, 0, item).tolist())


def test_the_paths_edges_are_those_of_the_explanation(explainer):
    item = best(explainer, 1)
    found = MeasuredPaths(explainer.search, k=3).rank_edges(1, item)
    shown = explainer.explain("u1", f"i{item}", k=3)
    hops = {
        frozenset([hop.source.key, hop.target.key])
        for path in shown.paths
        if not path.users
        for hop in path.hops
    }
    naming = explainer.naming
    named = {
        frozenset([naming.node(int(a)).key, naming.node(int(b)).key])
        for a, b in zip(
            explainer.graph.low[found.edges], explainer.graph.high[found.edges], strict=True
        )
    }
    assert hops <= named
    assert found.scores[0] == shown.paths[0].drop_delete


def test_names_are_known(explainer):
    for name in BESIDE:
        assert isinstance(explainer_named(name, explainer.search), EdgeExplainer)
    assert check_names(["lime", "lime", "prince"]) == ("lime", "prince")
    with pytest.raises(ConfigError, match=r"'limee'.*lime"):
        check_names(["limee"])
