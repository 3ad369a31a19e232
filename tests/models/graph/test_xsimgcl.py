import pytest
import torch
from dense import BATCH, adjacency, bpr, built, info_nce

from kgrec.errors import ConfigError
from kgrec.models.graph.xsimgcl import XSimGCL, XSimGCLConfig
from kgrec.runs.fit import fit
from kgrec.runs.settings import choose
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


class TestXSimGCL(RecommenderContract):
    name = "xsimgcl"
    settings = {"learning_rate": 0.05, "num_layers": 2, "dim": 8, "contrast_weight": 0.02}
    settings |= {"batch_size": 128, "epochs": 10}

    @pytest.mark.parametrize("layer", [1, 3])
    def test_loss_and_gradient_by_dense_matrices(self, layer):
        """The gradient of the pass with noise, differentiated layer by layer."""
        config = XSimGCLConfig(
            dim=4,
            num_layers=3,
            layer=layer,
            noise=0.4,
            contrast_weight=0.2,
            l2_weight=0.1,
            loss="bpr",
        )
        model = built(XSimGCL, config)
        begin = model.plan().begin_epoch
        begin(1, 0)
        x, states = model.nodes, []
        for _ in range(3):
            x = model.propagate.noise(adjacency(model) @ x)
            states.append(x)
        z = sum(states) / 3
        contrast = sum(
            info_nce(z, states[layer - 1], 0.15, group, group)
            for group in ([8, 9, 12, 13], [0, 2, 3, 5])
        )
        rows = torch.cat([BATCH.user + 8, BATCH.positive, BATCH.negative])
        squares = model.nodes[rows].square().sum() / 2 / 5
        expected = bpr(model, z) + 0.1 * squares + 0.2 * contrast
        begin(1, 0)
        loss = model.loss(BATCH)
        got = loss["bpr"] + loss["contrast"]
        torch.testing.assert_close(got, expected)
        torch.testing.assert_close(
            *(torch.autograd.grad(value, model.nodes)[0] for value in (got, expected))
        )

    def test_scores_have_no_noise_and_no_layer_0(self):
        model = built(XSimGCL, XSimGCLConfig(dim=4, num_layers=2, loss="bpr")).eval()
        matrix = adjacency(model)
        z = (matrix @ model.nodes + matrix @ matrix @ model.nodes) / 2
        for _ in range(2):
            scorer = model.scorer()
            torch.testing.assert_close(scorer.users, z[8:])
            torch.testing.assert_close(scorer.items, z[:8])

    def test_a_resumed_training_is_bit_equal(self, tmp_path):
        data = worlds.checkerboard()
        small = {"dim": 8, "batch_size": 16, "patience": 0}
        whole = fit("xsimgcl", data, epochs=4, **small)
        fit("xsimgcl", data, epochs=2, out=tmp_path / "run", **small)
        resumed = fit("xsimgcl", data, epochs=4, out=tmp_path / "run", resume=True, **small)
        assert torch.equal(resumed.model.nodes, whole.model.nodes)

    def test_scores_are_explained_exactly(self):
        run = self.run(worlds.checkerboard(), epochs=2)
        explained = run.explain("u0", run.recommend("u0", k=1)["item"][0])
        assert explained.budget.residual == pytest.approx(0, abs=1e-6)
        assert {path.basis for path in explained.paths} == {"exact"}

    def test_presets(self):
        paper, official = (choose("xsimgcl", name, {}) for name in ("paper", "official"))
        config = paper.config
        assert (config.num_layers, config.layer, config.noise) == (3, 1, 0.2)
        assert (config.contrast_temperature, config.contrast_weight, config.loss) == (
            0.15,
            0.2,
            "bpr",
        )
        assert (official.config.num_layers, official.config.loss) == (2, "bpr")

    @pytest.mark.parametrize(
        "config",
        [
            {"dim": 0},
            {"num_layers": 0},
            {"layer": 4},
            {"noise": -0.1},
            {"contrast_temperature": 1.1},
            {"contrast_weight": -1.0},
            {"l2_weight": -1.0},
        ],
    )
    def test_refuses_values_out_of_range(self, config):
        with pytest.raises(ConfigError, match=r"^XSimGCL needs [^\n]*" + next(iter(config))):
            XSimGCLConfig(**config)
