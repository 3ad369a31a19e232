import dataclasses
from collections import defaultdict

import numpy as np
import pytest
import torch

from kgrec.batches import PairwiseBatch, TripleBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.knowledge.kgat import KGAT, KGATConfig, triple_source
from kgrec.random import derive
from kgrec.runs.settings import choose
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract
from kgrec.training.config import TrainConfig
from kgrec.training.loop import train
from kgrec.training.samplers import TripleSampler, make_sampler

CPU = torch.device("cpu")

RELATIONS = ((0.1, 0), (0, 0.1), (-0.1, 0.1), (0.2, 0), (0, 0.2), (0.1, 0.1))


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def generator():
    return torch.Generator().manual_seed(0)


def toy_model(**config):
    """Return the setting of models.md 1.3: one layer, all matrices the identity, no bias."""
    settings = {
        "dim": 2,
        "relation_dim": 2,
        "layer_dims": (2,),
        "loss": "bpr",
        "message_dropout": 0.0,
        **config,
    }
    model = KGAT(
        CollaborativeKG.from_dataset(worlds.toy()),
        KGATConfig(**settings),
        torch.Generator().manual_seed(0),
    )
    with torch.no_grad():
        model.nodes.copy_(torch.tensor([*worlds.TOY_ENTITIES, *worlds.TOY_USERS]))
        model.relations.copy_(torch.tensor(RELATIONS))
        model.projections.copy_(torch.eye(2).expand(6, 2, 2))
        for name, parameter in model.layers.named_parameters():
            parameter.copy_(torch.zeros(1, 2) if "bias" in name else torch.eye(2))
    return model


def edges(model):
    """Return the attention by (head, tail, relation)."""
    csr = model.graph.csr
    keys = zip(csr.destinations().tolist(), csr.idx.tolist(), csr.relation.tolist(), strict=True)
    return dict(zip(keys, model.attention.tolist(), strict=True))


U0, U1, I0, I1, I2, E3 = 4, 5, 0, 1, 2, 3
SHAPES = [
    ("bi-interaction", (4, 3, 2), "softmax"),
    ("bi-interaction", (3,), "bpr"),
    ("gcn", (3, 2), "softmax"),
    ("graphsage", (3, 2), "bpr"),
]


def with_user_facts(seed):
    """Return a random world in which two users live somewhere."""
    return dataclasses.replace(
        worlds.random_world(seed),
        user_facts=np.array([(0, 1, 9), (0, 2, 3), (2, 2, 10)], dtype=np.int32),
    )


def random_model(seed, data=None, **config):
    ckg = CollaborativeKG.from_dataset(worlds.random_world(seed) if data is None else data)
    settings = {"dim": 4, "relation_dim": 3, "layer_dims": (4, 2), **config}
    model = KGAT(ckg, KGATConfig(**settings), torch.Generator().manual_seed(seed)).eval()
    model.refresh_attention()
    return model


def steps(model, weights):
    """Return (states, gathered, sums and products before their LeakyReLU) of all nodes by layer,
    node by node from the equations.
    """
    e = model.nodes.detach().numpy()
    states, gathered, before = [e], [], []
    for layer in model.layers:
        around = np.zeros_like(e)
        for (h, t, _), pi in weights.items():
            around[h] += pi * e[t]
        w = {name: p.detach().numpy() for name, p in layer.named_parameters()}
        if model.config.aggregator == "bi-interaction":
            x = [
                (e + around) @ w["sum_weight"] + w["sum_bias"],
                (e * around) @ w["product_weight"] + w["product_bias"],
            ]
        elif model.config.aggregator == "gcn":
            x = [(e + around) @ w["weight"] + w["bias"]]
        else:
            x = [np.concatenate([e, around], 1) @ w["weight"] + w["bias"]]
        e = sum(np.where(part > 0, part, 0.2 * part) for part in x)
        gathered.append(around)
        before.append(x)
        states.append(e)
    return states, gathered, before


def length(x):
    return np.linalg.norm(x, axis=-1, keepdims=True)


def score_by_hand(model, weights, user, item):
    states, _, _ = steps(model, weights)
    z = np.concatenate([states[0], *(e / length(e) for e in states[1:])], 1)
    i = z[item] / length(z[item]) if model.config.loss == "softmax" else z[item]
    return float(z[model.ckg.user_node(user)] @ i)


def lost(model, weights, facts, *, kept):
    """Return the weights without some facts; the others grow to the same sum of their head, and
    relation where static, unless kept.
    """
    ckg, gone = model.ckg, set()
    for f in facts:
        h, r, t = int(ckg.head[f]), int(ckg.relation[f]), int(ckg.tail[f])
        gone |= {(h, t, r), (t, h, r + ckg.num_relations)}
    left = {edge: 0.0 if edge in gone else pi for edge, pi in weights.items()}
    if kept:
        return left
    group = (
        (lambda edge: edge[0])
        if model.config.attention == "live"
        else (lambda edge: (edge[0], edge[2]))
    )
    before, after = defaultdict(float), defaultdict(float)
    for edge, pi in weights.items():
        before[group(edge)] += pi
        after[group(edge)] += left[edge]
    return {
        edge: pi * before[group(edge)] / after[group(edge)] if pi else 0.0
        for edge, pi in left.items()
    }


@pytest.mark.parametrize(
    ("sizes", "batch_size", "expected"),
    [
        ((23_566, 48_123, 106_389, 9, 1_289_003, 464_567), 1024, (1713, 369)),  # Last-FM
        (
            (23_566, 48_123, 106_389, 9, 1_289_003, 464_567),
            10240,
            (1713, 3716),
        ),  # as in the head of the authors' log
        ((70_679, 24_915, 113_487, 39, 652_514, 2_557_746), 1024, (3136, 4015)),  # Amazon-Book
    ],
    ids=["last-fm", "last-fm, large batches", "amazon-book"],
)
def test_the_triple_phase_has_the_authors_steps_and_batches(sizes, batch_size, expected):
    """models.md 0.6: edges // 2048 + 1 steps, on triples // (interactions // batch_size) heads;
    random facts of the data sets' sizes.
    """
    users, items, entities, relations, interactions, triples = sizes
    rng = np.random.default_rng(0)
    head = np.concatenate(
        [rng.integers(users, size=interactions) + entities, rng.integers(entities, size=triples)]
    )
    relation = np.concatenate(
        [np.zeros(interactions, np.int64), 1 + rng.integers(relations, size=triples)]
    )
    tail = np.concatenate(
        [rng.integers(items, size=interactions), rng.integers(entities, size=triples)]
    )
    fact = np.concatenate([np.full(interactions, -1), np.arange(triples)])
    ckg = CollaborativeKG(users, items, entities, 1 + relations, head, relation, tail, fact)

    official, paper = (
        choose("kgat", preset, {"batch_size": batch_size}) for preset in ("official", "paper")
    )
    assert (
        (official.train, official.config.kg_sampling)
        == (paper.train, paper.config.kg_sampling)
        == (paper.train, "head")
    )
    draws = TripleSampler(
        triple_source(ckg, by_head=True),
        official.train,
        seed=0,
        device=CPU,
        steps=interactions // batch_size + 1,
    )
    assert draws.steps() == expected[0]
    assert set(draws.sizes()) == {expected[1]}


def test_batches_of_the_triple_phase_are_drawn_as_told():
    """480 interactions and 120 triples, batches of 100: 1,200 // 2048 + 1 steps of 120 // 4 heads,
    and what the settings ask for.
    """
    data = worlds.cold_items()
    for settings, expected in (
        ({}, [30]),
        ({"kg_steps": 3}, [30] * 3),
        ({"kg_steps": 2, "kg_batch_size": 11}, [11] * 2),
    ):
        chosen = choose("kgat", "official", {"batch_size": 100, **settings})
        model = KGAT.from_dataset(data, chosen.config, generator())
        first, second = model.plan().objectives
        steps = make_sampler(first, data, chosen.train, seed=0, device=CPU, steps=0).steps()
        assert steps == 480 // 100 + 1
        draws = make_sampler(second, data, chosen.train, seed=0, device=CPU, steps=steps)
        batches = list(draws.epoch(1))
        assert [len(batch.head) for batch in batches] == draws.sizes() == expected
        assert all(len(set(batch.head.tolist())) == len(batch.head) for batch in batches)


class TestKGAT(RecommenderContract):
    name = "kgat"
    settings = {"learning_rate": 0.02, "layer_dims": (32, 16), "message_dropout": 0.0}
    uses_knowledge = True

    def test_attention_of_the_toy_graph(self):
        """models.md 1.3: relation ids 0 interacts, 1 r0, 2 r1, then the inverses."""
        model = toy_model()
        model.refresh_attention()
        expected = {
            (U0, I0, 0): 0.598748,
            (U0, I1, 0): 0.401252,
            (U1, I1, 0): 1.0,
            (I0, U0, 3): 0.589315,
            (I0, E3, 1): 0.410685,
            (I1, U0, 3): 0.461237,
            (I1, U1, 3): 0.158765,
            (I1, E3, 1): 0.237458,
            (I1, I2, 2): 0.142540,
            (I2, I1, 5): 1.0,
            (E3, I0, 4): 0.711825,
            (E3, I1, 4): 0.288175,
        }
        got = edges(model)
        assert got.keys() == expected.keys()
        for edge, value in expected.items():
            assert got[edge] == pytest.approx(value, abs=1e-6), edge
        assert not model.attention.requires_grad

    @pytest.mark.parametrize(
        ("slope", "expected"),
        [
            (0.2, [[1.934543, 1.476708, -1.995682], [1.987402, 0.239156, -0.409065]]),
            (0.01, [[1.934543, 1.487976, -1.995682], [1.965215, 0.208385, -0.360067]]),
        ],
    )
    def test_scores_of_the_toy_graph(self, slope, expected):
        model = toy_model(leaky_slope=slope)
        model.refresh_attention()
        scorer = model.scorer()
        torch.testing.assert_close(
            (scorer.users @ scorer.items.T).detach(), torch.tensor(expected), atol=1e-6, rtol=0
        )

    @pytest.mark.parametrize("aggregator", ["gcn", "graphsage"])
    def test_aggregators_of_one_matrix_equal_the_equations(self, aggregator):
        """Eqs. (6) and (7) with attention, node by node; the layer after it starts from values that
        are not normalized.
        """
        ckg = CollaborativeKG.from_dataset(worlds.random_world(1))
        config = KGATConfig(
            dim=3, relation_dim=2, layer_dims=(4, 2), aggregator=aggregator, loss="bpr"
        )
        model = KGAT(ckg, config, torch.Generator().manual_seed(0)).eval()
        model.refresh_attention()
        weights, e = edges(model), model.nodes.detach().numpy()
        outputs = [e]
        for layer in model.layers:
            weight, bias, after = layer.weight.detach().numpy(), layer.bias.detach().numpy()[0], []
            for node in range(ckg.num_nodes):
                around = sum(
                    (pi * e[t] for (h, t, _), pi in weights.items() if h == node),
                    start=np.zeros(e.shape[1]),
                )
                value = (
                    e[node] + around if aggregator == "gcn" else np.concatenate([e[node], around])
                ) @ weight + bias
                after.append(np.where(value > 0, value, 0.2 * value))
            e = np.array(after)
            outputs.append(e / np.linalg.norm(e, axis=1, keepdims=True))
        np.testing.assert_allclose(model().detach().numpy(), np.concatenate(outputs, 1), atol=1e-12)

    def test_gcn_of_the_toy_graph(self):
        """u0 gathers .598748 i0 + .401252 i1 = (.799374, .398122); with W the identity (1.799374,
        .398122), normalized.
        """
        model = toy_model(aggregator="gcn")
        model.refresh_attention()
        length = (1.799374**2 + 0.398122**2) ** 0.5
        expected = torch.tensor([1, 0, 1.799374 / length, 0.398122 / length])
        torch.testing.assert_close(model()[U0].detach(), expected, atol=1e-6, rtol=0)

    def test_a_warm_start_is_bpr_mf_on_users_and_items_alone(self):
        """Against the loop written out: same draws, the entities' rows untouched, then training
        goes on from there.
        """
        data, seen = worlds.cold_items(users=20), []
        config = TrainConfig(epochs=1, batch_size=40, learning_rate=0.05)
        model = KGAT.from_dataset(
            data,
            KGATConfig(dim=8, relation_dim=8, layer_dims=(8,), warm_start_epochs=3),
            generator(),
        )
        start = model.nodes.detach().clone()
        reseed = model._reseed
        model._reseed = lambda epoch, seed: (
            seen.append(model.nodes.detach().clone()),
            reseed(epoch, seed),
        )
        train(model, data, config, seed=4, device=CPU)
        users, items = start[74:].clone().requires_grad_(), start[:60].clone().requires_grad_()
        optimizer = torch.optim.Adam([users, items], lr=0.05)
        batches = make_sampler(
            model.plan().warm_up[0], data, config, seed=derive(4, "warm up"), device=CPU, steps=0
        )
        for batch in (b for epoch in (1, 2, 3) for b in batches.epoch(epoch)):
            u, i, j = users[batch.user], items[batch.positive], items[batch.negative]
            loss = -torch.log(torch.sigmoid((u * i).sum(1) - (u * j).sum(1))).mean()
            loss = loss + 1e-5 / 2 * sum(rows.square().sum() for rows in (u, i, j))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert len(seen) == 1
        torch.testing.assert_close(seen[0][74:], users.detach())
        torch.testing.assert_close(seen[0][:60], items.detach())
        assert torch.equal(seen[0][60:74], start[60:74])

    def test_a_training_resumed_after_its_warm_start_equals_a_whole_one(self):
        data = worlds.cold_items(users=20)
        models = [
            KGAT.from_dataset(
                data,
                KGATConfig(dim=8, relation_dim=8, layer_dims=(8,), warm_start_epochs=2),
                generator(),
            )
            for _ in range(3)
        ]
        whole, first, second = models
        state = train(first, data, TrainConfig(epochs=1, batch_size=80), seed=1, device=CPU)
        train(second, data, TrainConfig(epochs=3, batch_size=80), seed=1, device=CPU, state=state)
        train(whole, data, TrainConfig(epochs=3, batch_size=80), seed=1, device=CPU)
        assert torch.equal(second.nodes, whole.nodes)

    def test_published_presets_start_warm_with_three_layers(self):
        paper, official = (choose("kgat", name, {}) for name in ("paper", "official"))
        for chosen in (paper, official):
            assert chosen.config.layer_dims == (64, 32, 16)
            assert chosen.config.warm_start_epochs > 0
            assert chosen.train.sampler == "user_uniform"
        assert (paper.config.attention, official.config.attention) == ("live", "static_si")

    def test_static_weights_are_row_normalized_per_relation(self):
        model = toy_model(attention="static_si")
        sums = torch.zeros(6).index_add_(0, model.graph.csr.destinations(), model.attention)
        assert sums[[U0, U1, I0, I1, I2, E3]].tolist() == pytest.approx([1, 1, 2, 3, 1, 1])
        before = model.attention.clone()
        model.refresh_attention()
        assert torch.equal(model.attention, before)

    def test_transr_of_the_toy_graph(self):
        """models.md 1.3: energies 1.13 against 4.36, loss .038795."""
        model = toy_model(kg_l2_weight=0.0)
        batch = TripleBatch(*(torch.tensor([row]) for row in (I0, 1, E3, I2)))
        assert float(model.kg_loss(batch).detach()) == pytest.approx(0.038795, abs=1e-6)

    def test_interactions_leave_the_relations_alone_and_triples_the_layers(self):
        model = toy_model()
        cf, kg = model.plan().objectives
        assert all(p is not model.projections and p is not model.relations for p in cf.parameters)
        assert not {id(p) for p in kg.parameters} & {id(p) for p in model.layers.parameters()}
        model.bpr_loss(
            PairwiseBatch(torch.tensor([0]), torch.tensor([0]), torch.tensor([2]))
        ).backward()
        assert model.projections.grad is None
        assert model.nodes.grad is not None

    def test_triples_with_inverses_and_interactions_are_trained_on(self):
        source = toy_model().plan().objectives[1].source
        assert len(source.head) == 12
        assert sorted(set(source.relation.tolist())) == [0, 1, 2, 3, 4, 5]
        assert source.num_tails == 6

    @pytest.mark.parametrize("attention", ["live", "static_si"])
    @pytest.mark.parametrize("seed", range(4))
    def test_rerun_equals_a_model_built_on_the_edited_graph(self, seed, attention):
        """The same parameters over a graph without the facts, its attention computed from
        scratch.
        """
        ckg = CollaborativeKG.from_dataset(worlds.random_world(seed))
        config = KGATConfig(dim=4, relation_dim=3, layer_dims=(4, 2), attention=attention)
        model = KGAT(ckg, config, torch.Generator().manual_seed(seed)).eval()
        model.refresh_attention()
        rng = np.random.default_rng(seed)
        for size in (0, 1, 3, 8):
            group = sorted(int(f) for f in rng.choice(len(ckg.head), size, replace=False))
            kept = np.setdiff1d(np.arange(len(ckg.head)), group)
            parts = [part[kept] for part in (ckg.head, ckg.relation, ckg.tail, ckg.fact)]
            edited = CollaborativeKG(
                ckg.num_users, ckg.num_items, ckg.num_entities, ckg.num_relations, *parts
            )
            other = KGAT(edited, config, torch.Generator()).eval()
            other.load_state_dict({**model.state_dict(), "attention": other.attention})
            other.refresh_attention()
            scorer = other.scorer()
            expected = float((scorer.users[2] @ scorer.items[3]).detach())
            assert float(model.explanation_effects().rerun(2, 3, [group])[0]) == pytest.approx(
                expected, abs=1e-10
            )

    @pytest.mark.parametrize("attention", ["live", "static_si"])
    @pytest.mark.parametrize(("aggregator", "layer_dims", "loss"), SHAPES)
    def test_reruns_of_both_kinds_equal_the_equations(
        self, aggregator, layer_dims, loss, attention
    ):
        model = random_model(
            1,
            with_user_facts(1),
            aggregator=aggregator,
            layer_dims=layer_dims,
            loss=loss,
            attention=attention,
        )
        weights, rng = edges(model), np.random.default_rng(0)
        groups = [
            sorted(int(f) for f in rng.choice(len(model.ckg.head), size, replace=False))
            for size in (0, 1, 2, 4, 9)
        ]
        groups.append(list(range(len(model.ckg.head))))
        for user, item in ((0, 3), (2, 5)):
            for kept in (False, True):
                got = model.explanation_effects().rerun(user, item, groups, keep_weights=kept)
                expected = [
                    score_by_hand(model, lost(model, weights, group, kept=kept), user, item)
                    for group in groups
                ]
                np.testing.assert_allclose(got.numpy(), expected, atol=1e-10)
        assert len(model.explanation_effects().rerun(0, 3, [])) == 0

    @pytest.mark.parametrize("attention", ["live", "static_si"])
    @pytest.mark.parametrize("layer_dims", [(4,), (4, 3)])
    def test_screen_is_the_derivative_of_the_score_on_the_way_to_the_graph_without_the_fact(
        self, layer_dims, attention
    ):
        model = random_model(2, layer_dims=layer_dims, attention=attention)
        weights, h = edges(model), 1e-6
        effect, whole = (
            model.explanation_effects().screen(1, 2),
            score_by_hand(model, weights, 1, 2),
        )
        for fact in range(len(model.ckg.head)):
            without = lost(model, weights, [fact], kept=False)
            onward = {edge: pi + h * (without[edge] - pi) for edge, pi in weights.items()}
            assert float(effect[fact]) == pytest.approx(
                (whole - score_by_hand(model, onward, 1, 2)) / h, abs=1e-5
            )

    @pytest.mark.parametrize(("aggregator", "layer_dims", "loss"), SHAPES)
    def test_parts_are_those_of_the_frozen_gates(self, aggregator, layer_dims, loss):
        """explanation.md 3.6 with its matrices written out: each part is carried on to every layer
        and compared with the item there.
        """
        model = random_model(
            3, with_user_facts(3), aggregator=aggregator, layer_dims=layer_dims, loss=loss
        )
        weights = edges(model)
        states, _, before = steps(model, weights)
        for user, item in ((0, 1), (0, 6), (2, 4), (5, 0)):
            node = model.ckg.user_node(user)
            z = [states[0][item], *(e[item] / length(e[item]) for e in states[1:])]
            scale = np.linalg.norm(np.concatenate(z)) if loss == "softmax" else 1.0

            def carried(vector, number, node=node, z=z, scale=scale):
                """Return what a vector that enters the user at a layer adds to the score."""
                total = 0.0
                for k in range(number, len(states)):
                    total += vector @ z[k] / scale / (np.linalg.norm(states[k][node]) if k else 1.0)
                    vector = matrices(k, node)[0] @ vector if k < len(model.layers) else vector
                return total

            def matrices(number, node):
                layer, x = model.layers[number], [part[node] for part in before[number]]
                slopes = [np.diag(np.where(part > 0, 1.0, 0.2)) for part in x]
                w = {name: p.detach().numpy().T for name, p in layer.named_parameters()}
                if aggregator == "bi-interaction":
                    both = slopes[0] @ w["sum_weight"]
                    product = slopes[1] @ w["product_weight"] @ np.diag(states[number][node])
                    return (
                        both,
                        both + product,
                        slopes[0] @ w["sum_bias"][:, 0] + slopes[1] @ w["product_bias"][:, 0],
                    )
                both = slopes[0] @ w["weight"]
                to_self, to_neighbors = (
                    np.split(both, 2, axis=1) if aggregator == "graphsage" else (both, both)
                )
                return to_self, to_neighbors, slopes[0] @ w["bias"][:, 0]

            part, depth = defaultdict(float), range(len(model.layers))
            for (h, t, r), pi in weights.items():
                if h == node:
                    value = sum(
                        carried(pi * matrices(k, node)[1] @ states[k][t], k + 1) for k in depth
                    )
                    part[t if r == 0 else "facts about the user"] += value
            got = model.explanation_effects().score_parts(user, item)
            other = (
                {"facts about the user": part.pop("facts about the user")} if user in (0, 2) else {}
            )
            assert got.basis == "linearized"
            assert dict(zip(got.items.tolist(), got.liked.tolist(), strict=True)) == pytest.approx(
                dict(part), abs=1e-10
            )
            assert got.other == pytest.approx(other, abs=1e-10)
            assert got.own == pytest.approx(carried(states[0][node], 0), abs=1e-10)
            assert got.bias == pytest.approx(
                sum(carried(matrices(k, node)[2], k + 1) for k in depth), abs=1e-10
            )
            scorer = model.scorer()
            score = float((scorer.users[user] @ scorer.items[item]).detach())
            assert got.own + got.bias + got.liked.sum() + sum(got.other.values()) == pytest.approx(
                score, abs=1e-10
            )

    @pytest.mark.parametrize("attention", ["live", "static_si"])
    def test_on_another_graph_the_parameters_stay_and_the_attention_is_its_own(self, attention):
        model = random_model(4, with_user_facts(4), attention=attention)
        same, gone = model.explanation_effects().on_graph(model.ckg), [1, 7, 12]
        torch.testing.assert_close(same(), model())
        other = model.explanation_effects().on_graph(
            model.ckg.take(np.setdiff1d(np.arange(len(model.ckg.head)), gone))
        )
        scorer, weights = other.scorer(), lost(model, edges(model), gone, kept=False)
        assert float((scorer.users[2] @ scorer.items[3]).detach()) == pytest.approx(
            score_by_hand(model, weights, 2, 3), abs=1e-10
        )
        assert other.nodes is model.nodes
        assert other.layers[0].sum_weight is model.layers[0].sum_weight

    def test_a_loaded_model_keeps_its_attention(self):
        model = toy_model()
        model.refresh_attention()
        assert "attention" in model.state_dict()

    @pytest.mark.parametrize(
        "config",
        [
            {"dim": 0},
            {"layer_dims": (64, 0)},
            {"message_dropout": 1.0},
            {"leaky_slope": -0.1},
            {"cf_l2_weight": -1.0},
            {"kg_l2_weight": -1.0},
            {"temperature": 2.0},
            {"warm_start_epochs": -1},
        ],
    )
    def test_refuses_values_out_of_range(self, config):
        with pytest.raises(ConfigError, match=r"^KGAT needs [^\n]*" + next(iter(config))):
            KGATConfig(**config)

    @pytest.mark.parametrize(
        ("key", "value"),
        [("aggregator", "mean"), ("attention", "none"), ("kg_sampling", "tail"), ("loss", "hinge")],
    )
    def test_refuses_words_it_does_not_know(self, key, value):
        with pytest.raises(ConfigError, match=f"^{key}='{value}': expected one of "):
            choose("kgat", "default", {key: value})
