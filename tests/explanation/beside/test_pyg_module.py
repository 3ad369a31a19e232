"""A model as a PyG module: the run's own scores, masks that act, columns that are known."""

import numpy as np
import pytest
import torch
from torch_geometric.explain import Explainer as PygExplainer
from torch_geometric.explain import GNNExplainer

import kgrec
from kgrec.errors import CapabilityError, ConfigError, ExplanationError, UnknownIdError
from kgrec.explanation import as_pyg_module
from kgrec.explanation.beside.pyg_module import PygScores
from kgrec.explanation.explainer import Explainer
from kgrec.models.knowledge.kgat import KGAT, KGATConfig
from tests.explanation.questions.test_counterfactuals import kgat, lightgcn, random_data


def plain_lightgcn(data):
    return lightgcn(data, knowledge=False)


def bpr_lightgcn(data):
    return lightgcn(data, loss="bpr", num_layers=2)


def static_kgat(data):
    config = KGATConfig(
        dim=8, layer_dims=(6,), attention="static_si", aggregator="graphsage", loss="bpr"
    )
    return KGAT.from_dataset(data, config, torch.Generator().manual_seed(0)).double().eval()


MODELS = (lightgcn, plain_lightgcn, bpr_lightgcn, kgat, static_kgat)


@pytest.fixture(params=MODELS, ids=lambda make: make.__name__)
def explainer(request, films):
    data = random_data(films, 3)
    return Explainer(request.param(data), data)


def test_without_a_mask_the_scores_are_the_runs_own(explainer):
    for user in range(4):
        module = PygScores(explainer.explained, user)
        scores = module(module.x, module.edge_index)
        assert scores.shape == (1, explainer.data.num_items)
        assert scores[0].numpy() == pytest.approx(explainer.standing(user).scores, abs=1e-12)
        some = module(module.x, module.edge_index, items=torch.tensor([5, 2]))
        spread = explainer.standing(user).scores.std()
        by_spread = PygScores(explainer.explained, user, standardized=True)
        divided = by_spread(module.x, module.edge_index)
        assert (divided * spread)[0].numpy() == pytest.approx(scores[0].numpy(), abs=1e-12)
        assert some.numpy() == pytest.approx(scores[:, [5, 2]].numpy(), abs=1e-12)


def test_a_hard_mask_is_removal_with_weights_kept(explainer):
    """Sigmoids of -inf and inf: the mask of PyG takes a path-graph edge away as "mask" mode does."""
    from torch_geometric.explain.algorithm.utils import clear_masks, set_masks

    user, item = 1, 4
    module = PygScores(explainer.explained, user)
    effects = explainer.explained.effects_at(user, item)
    edges = np.random.default_rng(0).choice(explainer.graph.num_edges, 6, replace=False)
    mask = torch.full((module.edge_index.shape[1],), np.inf, dtype=torch.float64)
    ends = {
        (int(a), int(b))
        for fact in explainer.graph.facts_of(edges)
        for a, b in [
            (explainer.graph.ckg.head[fact], explainer.graph.ckg.tail[fact]),
            (explainer.graph.ckg.tail[fact], explainer.graph.ckg.head[fact]),
        ]
    }
    removed = [
        column for column, pair in enumerate(module.edge_index.T.tolist()) if tuple(pair) in ends
    ]
    every = np.unique(
        np.concatenate(
            [
                np.flatnonzero(
                    (explainer.graph.low == min(pair)) & (explainer.graph.high == max(pair))
                )
                for pair in ends
            ]
        )
    )
    mask[removed] = -np.inf
    set_masks(module, mask, module.edge_index, apply_sigmoid=True)
    masked = module(module.x, module.edge_index)[0, item]
    clear_masks(module)
    assert float(masked) == pytest.approx(effects.without([every], ["mask"])[0, 1], abs=1e-9)
    assert float(masked) != pytest.approx(effects.without([every], ["mask"])[0, 0], abs=1e-9)


def test_every_column_is_a_fact_or_an_interaction_that_joins_its_ends(explainer):
    module = PygScores(explainer.explained, 0)
    data = explainer.data
    facts = {
        (data.triples.entities.key(h), data.triples.relations.key(r), data.triples.entities.key(t))
        for h, r, t in zip(data.triples.head, data.triples.relation, data.triples.tail, strict=True)
    }
    likes = {
        (data.users.key(u), "interacts", data.items.key(i))
        for u, i in zip(data.train.user, data.train.item, strict=True)
    }
    rename = {data.items.key(row): data.triples.entities.key(row) for row in range(data.num_items)}
    stated = {(rename.get(h, h), r, rename.get(t, t)) for h, r, t in facts} | {
        (u, r, rename.get(i, i)) for u, r, i in likes
    }
    met = set()
    for column in range(module.edge_index.shape[1]):
        hop = module.hop(column)
        source = rename.get(hop.source.key, hop.source.key)
        target = rename.get(hop.target.key, hop.target.key)
        for relation in hop.relations:
            ends = (source, target) if relation.forward else (target, source)
            fact = (ends[0], relation.key, ends[1])
            assert fact in stated
            met.add(fact)
    if explainer.graph.ckg.num_relations > 1:
        assert met == stated


def test_values_of_facts_are_summed_over_directions_and_relations(explainer):
    module = PygScores(explainer.explained, 0)
    ones = torch.ones(module.edge_index.shape[1])
    stated = [len(explainer.graph.facts(edge)) for edge in range(explainer.graph.num_edges)]
    if explainer.graph.ckg.num_relations == 1 or explainer.explained.model_effects.merges_relations:
        stated = [1] * len(stated)  # facts between two nodes share one weight
    assert module.per_edge(ones).tolist() == [2 * count for count in stated]
    mask = torch.zeros_like(ones)
    mask[7] = 0.5
    ((value, hop), *rest) = module.top_edges(mask, 2)
    assert value == 0.5
    assert {hop.source.key, hop.target.key} == {
        module.hop(7).source.key,
        module.hop(7).target.key,
    }
    assert [value for value, _ in rest] == [0.0]


def test_the_receptive_field_is_what_has_a_gradient(explainer):
    module = PygScores(explainer.explained, 2)
    weight = module.edge_weight.clone().requires_grad_()
    module(module.x, module.edge_index, weight, torch.tensor([3])).sum().backward()
    inside = module.receptive_field(3)
    outside = torch.ones(len(weight), dtype=torch.bool)
    outside[inside] = False
    assert not weight.grad[outside].any()
    alone = module(
        module.x, module.edge_index[:, inside], module.edge_weight[inside], torch.tensor([3])
    )
    assert float(alone) == pytest.approx(explainer.standing(2).scores[3], abs=1e-12)


def test_pygs_explainer_gives_a_mask_over_the_edges_and_leaves_the_model_alone(explainer):
    module = PygScores(explainer.explained, 0)
    pyg = PygExplainer(
        module,
        GNNExplainer(epochs=3),
        explanation_type="model",
        edge_mask_type="object",
        node_mask_type="attributes",
        model_config={"mode": "regression", "task_level": "graph", "return_type": "raw"},
    )
    found = pyg(module.x, module.edge_index, items=torch.tensor([3]))
    assert found.edge_mask.shape == (module.edge_index.shape[1],)
    assert (found.edge_mask > 0).any()
    assert len(module.top_edges(found.edge_mask, 3)) == 3
    assert all(parameter.grad is None for parameter in explainer.model.parameters())
    listed = PygExplainer(
        module,
        GNNExplainer(epochs=2),
        explanation_type="model",
        edge_mask_type="object",
        model_config={
            "mode": "multiclass_classification",
            "task_level": "graph",
            "return_type": "raw",
        },
    )
    found = listed(module.x, module.edge_index)
    assert int(found.target) == int(module(module.x, module.edge_index).argmax())


@pytest.fixture(scope="module")
def runs():
    return {
        name: kgrec.fit(name, "films", epochs=1, seed=0) for name in ("lightgcn-kg", "kgat", "kgin")
    }


@pytest.mark.parametrize("name", ["lightgcn-kg", "kgat"])
def test_a_run_of_films_has_its_own_scores(runs, name):
    run = runs[name]
    module = as_pyg_module(run, "u0001")
    best = run.recommend("u0001", k=3)
    scores = module(module.x, module.edge_index, items=module.item_rows(*best["item"]))
    assert scores[0].tolist() == pytest.approx(best["score"].to_list(), abs=1e-5)


def test_what_cannot_be_a_module_says_what_can(runs, films):
    with pytest.raises(CapabilityError, match=r"^kgin .* lightgcn, lightgcn-kg or kgat"):
        as_pyg_module(runs["kgin"], "u0001")
    with pytest.raises(UnknownIdError, match="nobody"):
        as_pyg_module(runs["kgat"], "nobody")
    data = random_data(films, 0)
    flat = Explainer(lightgcn(data, num_layers=0), data)
    with pytest.raises(CapabilityError, match="has no layer"):
        PygScores(flat.explained, 0)
    module = as_pyg_module(runs["kgat"], "u0001")
    with pytest.raises(ConfigError, match="pass their edge_weight"):
        module(module.x, module.edge_index[:, :9])
    with pytest.raises(UnknownIdError):
        module.item_rows("no such film")


def test_a_stranger_has_no_scores(films):
    from dataclasses import replace

    from kgrec.data.records.interactions import Interactions

    data = random_data(films, 0)
    kept = data.train.user != 3
    train = Interactions(data.train.user[kept], data.train.item[kept])
    cold = replace(data, train=train)
    with pytest.raises(ExplanationError, match="no training interactions"):
        PygScores(Explainer(lightgcn(cold), cold).explained, 3)
