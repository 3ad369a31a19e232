import numpy as np
import pytest
import torch

from kgrec.batches import PairwiseBatch, PositiveBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.graph.lightgcn import LightGCN, LightGCNConfig
from kgrec.runs.settings import choose
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def toy_model(layers, **config):
    ckg = CollaborativeKG.from_dataset(worlds.toy(), knowledge=False)
    model = LightGCN(
        ckg,
        LightGCNConfig(dim=2, num_layers=layers, **{"loss": "bpr", **config}),
        torch.Generator().manual_seed(0),
    )
    with torch.no_grad():
        model.nodes.copy_(torch.tensor([*worlds.TOY_ENTITIES[:3], *worlds.TOY_USERS]))
    return model


def dense(model, removed=()):
    """Return the scores by dense matrices: the oracle for propagation, re-runs and screens."""
    ckg = model.ckg
    adjacency = np.zeros((ckg.num_nodes, ckg.num_nodes))
    for fact, (a, b) in enumerate(zip(ckg.head, ckg.tail, strict=True)):
        if fact not in removed:
            adjacency[a, b] = adjacency[b, a] = 1
    degree = adjacency.sum(1)
    scale = np.divide(1, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0)
    adjacency = scale[:, None] * adjacency * scale[None, :]
    x = total = model.nodes.detach().numpy()
    for _ in range(model.config.num_layers):
        x = adjacency @ x
        total = total + x
    z = total / (model.config.num_layers + 1)
    items = z[: ckg.num_items]
    if model.config.loss == "softmax":
        items = items / np.linalg.norm(items, axis=1, keepdims=True)
    return z[ckg.num_entities :] @ items.T


class TestLightGCN(RecommenderContract):
    name = "lightgcn"
    settings = {"learning_rate": 0.02, "num_layers": 2}

    @pytest.mark.parametrize(
        ("layers", "expected"),
        [
            (1, [[0.949524, 0.512944, -0.432138], [0.3125, 0.121859, -0.007583]]),
            (2, [[0.836235, 0.536654, -0.255753], [0.355852, 0.159458, -0.014876]]),
        ],
    )
    def test_scores_of_the_toy_graph(self, layers, expected):
        """models.md 1.2, computed by hand."""
        scorer = toy_model(layers).scorer()
        torch.testing.assert_close(
            scorer.users @ scorer.items.T, torch.tensor(expected), atol=1e-6, rtol=0
        )

    def test_loss_of_the_toy_graph(self):
        batch = PairwiseBatch(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([2, 0]))
        assert float(toy_model(2, l2_weight=1e-4).pairwise_loss(batch).detach()) == pytest.approx(
            0.542944, abs=1e-6
        )
        assert float(toy_model(2, l2_weight=0.0).pairwise_loss(batch).detach()) == pytest.approx(
            0.542750, abs=1e-6
        )

    def test_an_isolated_item_keeps_its_share_of_layer_0(self):
        model = toy_model(2)
        torch.testing.assert_close(model()[2], model.nodes[2] / 3)

    def test_softmax_loss_is_cosine_cross_entropy_over_warm_items(self):
        model = toy_model(1, loss="softmax", l2_weight=0.0, temperature=0.5)
        z = model().detach().numpy()
        unit = z / np.linalg.norm(z, axis=1, keepdims=True)
        logits = (
            unit[3] @ unit[:2].T / 0.5
        )  # the third item has no training interaction and is no negative
        expected = -np.log(np.exp(logits[1]) / np.exp(logits).sum())
        got = float(
            model.softmax_loss(PositiveBatch(torch.tensor([0]), torch.tensor([1]))).detach()
        )
        assert got == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize("loss", ["bpr", "softmax"])
    @pytest.mark.parametrize("seed", range(5))
    def test_rerun_equals_dense_propagation_on_the_edited_graph(self, seed, loss):
        ckg = CollaborativeKG.from_dataset(worlds.random_world(seed))
        model = LightGCN(
            ckg, LightGCNConfig(dim=4, num_layers=3, loss=loss), torch.Generator().manual_seed(seed)
        )
        rng = np.random.default_rng(seed)
        groups = [
            [],
            *(
                [int(f) for f in rng.choice(len(ckg.head), size, replace=False)]
                for size in (1, 2, 3, 6)
            ),
            list(range(len(ckg.head))),
        ]
        got = model.explanation_effects().rerun(2, 3, groups)
        expected = [dense(model, group)[2, 3] for group in groups]
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)

    @pytest.mark.parametrize("loss", ["bpr", "softmax"])
    def test_screen_is_the_derivative_of_the_score_by_removal(self, loss):
        """Against a finite difference: one pair's edges scaled by 1 - h, degrees with them."""
        ckg = CollaborativeKG.from_dataset(worlds.random_world(1))
        model = LightGCN(
            ckg, LightGCNConfig(dim=4, num_layers=2, loss=loss), torch.Generator().manual_seed(1)
        )
        effect = model.explanation_effects().screen(1, 2)
        x0, h = model.nodes.detach().numpy(), 1e-6
        for fact in range(len(ckg.head)):
            adjacency = np.zeros((ckg.num_nodes, ckg.num_nodes))
            adjacency[ckg.head, ckg.tail] = adjacency[ckg.tail, ckg.head] = 1
            full = self._score(adjacency, x0, model, 1, 2)
            adjacency[ckg.head[fact], ckg.tail[fact]] = adjacency[
                ckg.tail[fact], ckg.head[fact]
            ] = 1 - h
            assert float(effect[fact]) == pytest.approx(
                (full - self._score(adjacency, x0, model, 1, 2)) / h, abs=1e-4
            )

    @staticmethod
    def _score(adjacency, x, model, user, item):
        degree = adjacency.sum(1)
        scale = np.divide(1, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0)
        weights = scale[:, None] * adjacency * scale[None, :]
        z = sum(
            np.linalg.matrix_power(weights, k) @ x for k in range(model.config.num_layers + 1)
        ) / (model.config.num_layers + 1)
        vector = z[item] / (np.linalg.norm(z[item]) if model.config.loss == "softmax" else 1)
        return z[model.ckg.num_entities + user] @ vector

    def test_parallel_relations_are_one_edge(self):
        """Removing one of two parallel facts changes nothing, removing both does."""
        ckg = CollaborativeKG.from_dataset(worlds.random_world(0))
        model = LightGCN(ckg, LightGCNConfig(dim=4, num_layers=2), torch.Generator().manual_seed(0))
        ends = np.stack([ckg.head, ckg.tail])
        twins = [int(f) for f in np.nonzero((ends.min(0) == 0) & (ends.max(0) == 9))[0]]
        assert len(twins) >= 2
        whole, one, both = model.explanation_effects().rerun(0, 1, [[], twins[:-1], twins])
        assert whole == one
        assert whole != both

    def test_fold_in_is_the_propagation_at_a_new_user(self):
        """A user without a layer-0 vector, against the dense sum over what its items send."""
        model = toy_model(2)
        got = model.scorer().fold(torch.tensor([[0, 1]]), torch.tensor([[True, True]]))
        x = [model.nodes.detach()]
        x.append(
            torch.tensor(
                [
                    [0.707107, 0.0],
                    [0.5, 0.707107],
                    [0, 0],
                    [0.957107, 0.457107],
                    [0.353553, -0.353553],
                ]
            )
        )
        degree = torch.tensor([1.0, 2.0])
        expected = sum((layer[:2] / (2 * degree).sqrt().unsqueeze(1)).sum(0) for layer in x) / 3
        torch.testing.assert_close(got[0], expected, atol=1e-5, rtol=0)

    def test_dropped_edges_go_both_ways_and_the_rest_weigh_more(self):
        ckg = CollaborativeKG.from_dataset(worlds.random_world(3))
        model = LightGCN(
            ckg, LightGCNConfig(dim=4, edge_dropout=0.4), torch.Generator().manual_seed(0)
        )
        model.plan().begin_epoch(1, 0)
        weight, whole, rev = (
            model.propagate.kept(model.graph.csr, model.graph.weight),
            model.graph.weight,
            model.graph.csr.rev.long(),
        )
        kept = weight > 0
        assert 0 < int(kept.sum()) < len(kept)
        assert torch.equal(weight, weight[rev])
        torch.testing.assert_close(weight[kept], whole[kept] / 0.6)

    def test_a_step_propagates_over_the_edges_that_are_left(self):
        """Against dense matrices, values and gradients."""
        ckg = CollaborativeKG.from_dataset(worlds.random_world(3))
        model = LightGCN(
            ckg,
            LightGCNConfig(dim=4, num_layers=2, edge_dropout=0.5),
            torch.Generator().manual_seed(0),
        )
        begin = model.plan().begin_epoch
        begin(2, 5)
        weight = model.propagate.kept(model.graph.csr, model.graph.weight)
        begin(2, 5)
        z = model()
        begin(2, 6)
        assert not torch.equal(model.propagate.kept(model.graph.csr, model.graph.weight), weight)
        csr = model.graph.csr
        adjacency = torch.zeros(ckg.num_nodes, ckg.num_nodes)
        adjacency[csr.destinations(), csr.idx.long()] = weight
        power = (torch.eye(ckg.num_nodes) + adjacency + adjacency @ adjacency) / 3
        torch.testing.assert_close(z, power @ model.nodes)
        upstream = torch.randn(z.shape)
        (gradient,) = torch.autograd.grad(z, model.nodes, upstream)
        torch.testing.assert_close(gradient, power.T @ upstream)

    def test_evaluation_leaves_no_edge_out(self):
        model = toy_model(2, edge_dropout=0.9).eval()
        torch.testing.assert_close(model(), toy_model(2)())

    def test_initial_embeddings_by_name(self):
        """The TensorFlow release's normal and the paper's Glorot: sqrt(6 / (rows + dim)), users and
        items apart.
        """
        ckg = CollaborativeKG.from_dataset(worlds.cold_items(), knowledge=False)
        small = LightGCN(
            ckg, LightGCNConfig(init_scale=0.01), torch.Generator().manual_seed(0)
        ).nodes.detach()
        assert float(small.std()) == pytest.approx(0.01, rel=0.05)
        glorot = LightGCN(
            ckg, LightGCNConfig(dim=16, init="glorot"), torch.Generator().manual_seed(0)
        ).nodes.detach()
        for part in (glorot[:60], glorot[60:]):
            assert 0.97 * (6 / 76) ** 0.5 < float(part.abs().max()) <= (6 / 76) ** 0.5

    def test_official_preset_is_the_authors_code(self):
        chosen = choose("lightgcn", "official", {})
        assert (
            chosen.config.loss,
            chosen.config.num_layers,
            chosen.config.init,
            chosen.config.init_scale,
        ) == ("bpr", 3, "normal", 0.1)
        assert (chosen.train.sampler, chosen.train.epochs, chosen.train.batch_size) == (
            "per_user_quota",
            1000,
            2048,
        )

    @pytest.mark.parametrize(
        "config",
        [
            {"dim": 0},
            {"num_layers": -1},
            {"l2_weight": -1.0},
            {"init_scale": 0.0},
            {"temperature": 0.0},
            {"edge_dropout": 1.0},
        ],
    )
    def test_refuses_values_out_of_range(self, config):
        with pytest.raises(ConfigError, match=r"^LightGCN needs [^\n]*" + next(iter(config))):
            LightGCNConfig(**config)

    @pytest.mark.parametrize(("key", "value"), [("init", "zeros"), ("loss", "hinge")])
    def test_refuses_words_it_does_not_know(self, key, value):
        with pytest.raises(ConfigError, match=f"^{key}='{value}': expected one of "):
            choose("lightgcn", "default", {key: value})


class TestLightGCNKG(RecommenderContract):
    name = "lightgcn-kg"
    settings = {"learning_rate": 0.02, "num_layers": 2}
    uses_knowledge = True

    def test_propagates_over_the_entities(self):
        model = self.build(worlds.toy())
        scorer = model.scorer()
        np.testing.assert_allclose(
            (scorer.users @ scorer.items.T).detach().numpy(), dense(model), atol=1e-12
        )
