import pytest
import torch
from dense import BATCH, adjacency, bpr, built, info_nce

from kgrec.batches import PositiveBatch
from kgrec.errors import ConfigError
from kgrec.models.graph.lightgcn import LightGCN, LightGCNConfig
from kgrec.models.graph.sgl import SGL, SGLConfig
from kgrec.runs.fit import fit
from kgrec.runs.settings import choose
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


def view(model, number):
    """Return Z over a view by dense matrices."""
    x = total = model.nodes
    weights = model._views[number]
    for layer in range(model.config.num_layers):
        x = adjacency(model, weights[min(layer, len(weights) - 1)]) @ x
        total = total + x
    return total / (model.config.num_layers + 1)


class TestSGL(RecommenderContract):
    name = "sgl"
    settings = {"learning_rate": 0.05, "num_layers": 2, "dim": 8, "contrast_weight": 0.02}
    settings |= {"batch_size": 128, "epochs": 10}

    @pytest.mark.parametrize("contrast", ["batch", "all"])
    @pytest.mark.parametrize("left_out", ["edge", "node", "walk"])
    def test_loss_and_gradient_by_dense_matrices(self, left_out, contrast):
        config = SGLConfig(
            dim=4,
            num_layers=2,
            view=left_out,
            drop=0.3,
            contrast=contrast,
            l2_weight=0.1,
            loss="bpr",
            contrast_weight=0.1,
        )
        model = built(SGL, config)
        model.plan().begin_epoch(1, 0)
        first, second = (view(model, number) for number in (0, 1))
        assert not torch.equal(first, second)
        users, items = (BATCH.user + model.ckg.num_entities).tolist(), BATCH.positive.tolist()
        groups = [users, items], [range(8, 14), range(8)]
        if contrast == "batch":
            groups = (
                [sorted(set(users)), sorted(set(items))],
                [sorted(set(users)), sorted(set(items))],
            )
        contrasts = sum(
            info_nce(first, second, 0.2, own, list(others))
            for own, others in zip(*groups, strict=True)
        )
        x = model.nodes
        matrix = adjacency(model)
        rows = torch.cat([BATCH.user + 8, BATCH.positive, BATCH.negative])
        expected = (
            bpr(model, (x + matrix @ x + matrix @ matrix @ x) / 3)
            + 0.1 * x[rows].square().sum() / 2 / 5
            + 0.1 * contrasts
        )
        loss = model.loss(BATCH)
        assert float(loss["contrast"].detach()) == pytest.approx(0.1 * float(contrasts.detach()))
        got = loss["bpr"] + loss["contrast"]
        torch.testing.assert_close(got, expected)
        torch.testing.assert_close(
            *(torch.autograd.grad(value, model.nodes)[0] for value in (got, expected))
        )

    def test_views_that_leave_nothing_out_are_the_graph(self):
        """Then a node is told apart from the others of the batch by its own vector alone."""
        model = built(SGL, SGLConfig(dim=4, num_layers=2, drop=0.0))
        model.plan().begin_epoch(1, 0)
        for weights in model._views:
            torch.testing.assert_close(weights[0], model.graph.weight)

    def test_views_are_those_of_the_epoch(self):
        model = built(SGL, SGLConfig(dim=4, drop=0.5))
        begin = model.plan().begin_epoch
        begin(3, 7)
        first = model._views[0][0]
        begin(4, 7)
        assert not torch.equal(model._views[0][0], first)
        begin(3, 7)
        assert torch.equal(model._views[0][0], first)

    def test_the_softmax_is_lightgcns(self):
        model = built(SGL, SGLConfig(dim=4, num_layers=2, l2_weight=0.1))
        other = built(LightGCN, LightGCNConfig(dim=4, num_layers=2, l2_weight=0.1))
        batch = PositiveBatch(BATCH.user, BATCH.positive)
        got, expected = model.loss(batch)["softmax"], other.softmax_loss(batch)
        torch.testing.assert_close(got, expected)
        assert torch.equal(model.eval().scorer().items, other.eval().scorer().items)

    def test_views_of_a_walk_differ_by_layer(self):
        model = built(SGL, SGLConfig(dim=4, num_layers=3, view="walk", drop=0.5))
        model.plan().begin_epoch(1, 0)
        assert [len(weights) for weights in model._views] == [3, 3]
        assert not torch.equal(*model._views[0][:2])

    def test_the_contrast_alone_makes_nodes_recognizable(self):
        model = built(SGL, SGLConfig(dim=8, num_layers=1, drop=0.4))
        model.plan().begin_epoch(1, 0)
        every = torch.arange(8, 14), torch.arange(6)
        optimizer = torch.optim.Adam([model.nodes], lr=0.05)
        losses = []
        for _ in range(60):
            optimizer.zero_grad()
            loss = model.contrast(*every)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        first, second = (torch.nn.functional.normalize(view(model, n), dim=1) for n in (0, 1))
        users = first[8:] @ second[8:].T
        assert losses[-1] < losses[0] / 2
        assert torch.equal(users.argmax(1), torch.arange(6))

    def test_views_that_drop_every_edge_are_refused(self):
        data = worlds.dataset([(0, 0), (1, 1)], test=[(0, 1)])
        with pytest.raises(ConfigError, match="keeps none of its 2 edges"):
            fit("sgl", data, epochs=60, drop=0.9, patience=0)

    def test_a_resumed_training_is_bit_equal(self, tmp_path):
        data = worlds.checkerboard()
        small = {"dim": 8, "drop": 0.3, "batch_size": 16, "patience": 0}
        whole = fit("sgl", data, epochs=4, **small)
        fit("sgl", data, epochs=2, out=tmp_path / "run", **small)
        resumed = fit("sgl", data, epochs=4, out=tmp_path / "run", resume=True, **small)
        assert torch.equal(resumed.model.nodes, whole.model.nodes)

    def test_scores_are_explained_exactly(self):
        run = self.run(worlds.checkerboard(), epochs=2)
        explained = run.explain("u0", run.recommend("u0", k=1)["item"][0])
        assert explained.budget.residual == pytest.approx(0, abs=1e-6)
        assert {path.basis for path in explained.paths} == {"exact"}

    def test_presets(self):
        chosen = choose("sgl", "paper", {})
        config = chosen.config
        assert (config.num_layers, config.drop, config.contrast_temperature) == (3, 0.1, 0.2)
        assert (config.contrast_weight, config.l2_weight, config.contrast) == (0.1, 1e-4, "all")
        assert (chosen.train.learning_rate, chosen.train.batch_size) == (1e-3, 2048)

    @pytest.mark.parametrize(
        "config",
        [
            {"dim": 0},
            {"num_layers": 0},
            {"drop": 1.0},
            {"contrast_temperature": 0.0},
            {"contrast_weight": -1.0},
            {"l2_weight": -1.0},
        ],
    )
    def test_refuses_values_out_of_range(self, config):
        with pytest.raises(ConfigError, match=r"^SGL needs [^\n]*" + next(iter(config))):
            SGLConfig(**config)

    @pytest.mark.parametrize("key", ["view", "contrast", "loss"])
    def test_refuses_words_it_does_not_know(self, key):
        with pytest.raises(ConfigError, match=f"^{key}='none': expected one of "):
            choose("sgl", "default", {key: "none"})
