import pytest
import torch
from dense import BATCH, adjacency, bpr, built, info_nce

from kgrec.errors import ConfigError
from kgrec.models.graph.simgcl import SimGCL, SimGCLConfig
from kgrec.runs.fit import fit
from kgrec.runs.settings import choose
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


def layers(model, noisy):
    """Return A X, A^2 X, ... by dense matrices, with the noise of the next pass where wanted."""
    x = model.nodes
    matrix = adjacency(model)
    found = []
    for _ in range(model.config.num_layers):
        x = matrix @ x
        if noisy:
            x = model.propagate.noise(x)
        found.append(x)
    return found


def clean(model):
    return torch.stack(layers(model, noisy=False)).mean(0)


class TestSimGCL(RecommenderContract):
    name = "simgcl"
    settings = {"learning_rate": 0.05, "num_layers": 2, "dim": 8, "contrast_weight": 0.02}
    settings |= {"batch_size": 128, "epochs": 10}

    def test_loss_and_gradient_by_dense_matrices(self):
        """The gradient of three passes that are each differentiated."""
        config = SimGCLConfig(
            dim=4, num_layers=2, noise=0.4, contrast_weight=0.5, l2_weight=0.1, loss="bpr"
        )
        model = built(SimGCL, config)
        begin = model.plan().begin_epoch
        begin(1, 0)
        first, second = (torch.stack(layers(model, noisy=True)).mean(0) for _ in range(2))
        assert not torch.equal(first, second)
        contrast = sum(
            info_nce(first, second, 0.2, group, group) for group in ([8, 9, 12, 13], [0, 2, 3, 5])
        )
        rows = torch.cat([BATCH.user + 8, BATCH.positive, BATCH.negative])
        squares = model.nodes[rows].square().sum() / 2 / 5
        expected = bpr(model, clean(model)) + 0.1 * squares + 0.5 * contrast
        begin(1, 0)
        loss = model.loss(BATCH)
        got = loss["bpr"] + loss["contrast"]
        torch.testing.assert_close(got, expected)
        torch.testing.assert_close(
            *(torch.autograd.grad(value, model.nodes)[0] for value in (got, expected))
        )

    def test_scores_leave_layer_0_out(self):
        model = built(SimGCL, SimGCLConfig(dim=4, num_layers=3, loss="bpr")).eval()
        z = clean(model)
        scorer = model.scorer()
        torch.testing.assert_close(scorer.users, z[8:])
        torch.testing.assert_close(scorer.items, z[:8])

    def test_without_noise_both_views_are_the_scores_own_vectors(self):
        model = built(
            SimGCL, SimGCLConfig(dim=4, num_layers=2, noise=0.0, contrast_weight=0.5, loss="bpr")
        )
        z = clean(model)
        got = model.loss(BATCH)["contrast"]
        expected = sum(
            info_nce(z, z, 0.2, group, group) for group in ([8, 9, 12, 13], [0, 2, 3, 5])
        )
        torch.testing.assert_close(got, 0.5 * expected)

    def test_someone_unseen_is_folded_in_by_the_layers_from_the_first_on(self):
        model = built(SimGCL, SimGCLConfig(dim=4, num_layers=2)).eval()
        history = torch.tensor([[0, 3]])
        got = model.scorer().fold(history, torch.tensor([[True, True]]))
        degree = model.graph.csr.degree
        x = model.nodes
        sent = (x + adjacency(model) @ x)[[0, 3]] / 2  # what layers 1 and 2 gather, halved
        expected = (sent / (2.0 * degree[[0, 3]]).sqrt().unsqueeze(1)).sum(0)
        torch.testing.assert_close(got[0], expected)

    def test_a_resumed_training_is_bit_equal(self, tmp_path):
        data = worlds.checkerboard()
        small = {"dim": 8, "batch_size": 16, "patience": 0}
        whole = fit("simgcl", data, epochs=4, **small)
        fit("simgcl", data, epochs=2, out=tmp_path / "run", **small)
        resumed = fit("simgcl", data, epochs=4, out=tmp_path / "run", resume=True, **small)
        assert torch.equal(resumed.model.nodes, whole.model.nodes)

    def test_scores_are_explained_exactly(self):
        run = self.run(worlds.checkerboard(), epochs=2)
        explained = run.explain("u0", run.recommend("u0", k=1)["item"][0])
        assert explained.budget.own == pytest.approx(
            explained.score
            - explained.budget.liked
            - sum(explained.budget.other.values())
            - explained.budget.residual
        )
        assert explained.budget.residual == pytest.approx(0, abs=1e-6)
        assert {path.basis for path in explained.paths} == {"exact"}

    def test_presets(self):
        paper, official = (choose("simgcl", name, {}) for name in ("paper", "official"))
        config = paper.config
        assert (config.num_layers, config.noise, config.contrast_temperature) == (3, 0.1, 0.2)
        assert (config.contrast_weight, config.l2_weight, config.loss) == (0.5, 1e-4, "bpr")
        assert (official.config.num_layers, official.config.loss) == (2, "bpr")
        assert (paper.train.epochs, paper.train.batch_size) == (20, 2048)

    @pytest.mark.parametrize(
        "config",
        [
            {"dim": 0},
            {"num_layers": 0},
            {"noise": -0.1},
            {"contrast_temperature": 1.1},
            {"contrast_weight": -1.0},
            {"l2_weight": -1.0},
        ],
    )
    def test_refuses_values_out_of_range(self, config):
        with pytest.raises(ConfigError, match=r"^SimGCL needs [^\n]*" + next(iter(config))):
            SimGCLConfig(**config)
