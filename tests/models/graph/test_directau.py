import pytest
import torch
from dense import BATCH, adjacency, built

from kgrec.batches import PositiveBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.graph.directau import DirectAU, DirectAUConfig
from kgrec.runs.fit import fit
from kgrec.runs.settings import choose
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


class TestDirectAU(RecommenderContract):
    name = "directau"
    settings = {"learning_rate": 0.05, "num_layers": 1, "dim": 8, "uniformity_weight": 0.1}
    settings |= {"batch_size": 128, "epochs": 10}

    def test_loss_by_hand(self):
        """Users (.6, .8), (0, 1) with items (.8, .6), (1, 0): alignment 1.04, each uniformity -.8,
        with gamma 1 a loss of .24; the length of a vector plays no part.
        """
        ckg = CollaborativeKG.from_dataset(worlds.checkerboard(2), knowledge=False)
        config = DirectAUConfig(dim=2, num_layers=0)
        model = DirectAU(ckg, config, torch.Generator().manual_seed(0)).double()
        with torch.no_grad():
            model.nodes.copy_(torch.tensor([[2.4, 1.8], [1, 0], [0.6, 0.8], [0, 7]]))
        loss = model.loss(PositiveBatch(torch.tensor([0, 1]), torch.tensor([0, 1])))
        assert float(loss["align"].detach()) == pytest.approx(1.04)
        assert float(loss["uniform"].detach()) == pytest.approx(-0.8)
        assert float(sum(loss.values()).detach()) == pytest.approx(0.24)

    def test_loss_and_gradient_by_dense_matrices(self):
        """User 0 and item 0 are in the batch twice, and make pairs of their own."""
        config = DirectAUConfig(dim=4, num_layers=2, uniformity_weight=3.0, l2_weight=0.1)
        model = built(DirectAU, config)
        matrix = adjacency(model)
        z = (model.nodes + matrix @ model.nodes + matrix @ matrix @ model.nodes) / 3
        user, item = (
            torch.nn.functional.normalize(z[rows], dim=1)
            for rows in (BATCH.user + 8, BATCH.positive)
        )
        ego = torch.cat([model.nodes[BATCH.user + 8], model.nodes[BATCH.positive]])
        expected = (user - item).square().sum(1).mean() + 0.1 * ego.square().sum() / 2 / 5
        expected = expected + 1.5 * sum(
            torch.pdist(rows).pow(2).mul(-2).exp().mean().log() for rows in (user, item)
        )
        got = sum(model.loss(PositiveBatch(BATCH.user, BATCH.positive)).values())
        torch.testing.assert_close(got, expected)
        torch.testing.assert_close(
            *(torch.autograd.grad(value, model.nodes)[0] for value in (got, expected))
        )

    @pytest.mark.parametrize("ranks", ["product", "direction"])
    def test_scores_by_product_or_direction(self, ranks):
        model = built(DirectAU, DirectAUConfig(dim=4, num_layers=1, ranks=ranks)).eval()
        z = (model.nodes + adjacency(model) @ model.nodes) / 2
        items = z[:8] / (z[:8].norm(dim=1, keepdim=True) if ranks == "direction" else 1)
        scorer = model.scorer()
        torch.testing.assert_close(scorer.users @ scorer.items.T, z[8:] @ items.T)

    def test_factors_alone_read_no_graph(self):
        run = self.run(worlds.checkerboard(), num_layers=0, epochs=2)
        explained = run.explain("u0", run.recommend("u0", k=1)["item"][0])
        assert explained.budget.own == pytest.approx(explained.score, rel=1e-5)
        assert all(path.drop_delete == 0 for path in explained.paths)
        assert set(run.recommend(history=["i1"], k=3)["kind"]) == {"history"}

    def test_factors_alone_learn_the_withheld_item(self):
        run = self.run(worlds.checkerboard(), num_layers=0, epochs=30)
        frame = run.recommend("all", k=1)
        assert [item[1:] for item in frame["item"]] == [user[1:] for user in frame["user"]]

    def test_a_resumed_training_is_bit_equal(self, tmp_path):
        data = worlds.checkerboard()
        small = {"dim": 8, "batch_size": 16, "patience": 0}
        whole = fit("directau", data, epochs=4, **small)
        fit("directau", data, epochs=2, out=tmp_path / "run", **small)
        resumed = fit("directau", data, epochs=4, out=tmp_path / "run", resume=True, **small)
        assert torch.equal(resumed.model.nodes, whole.model.nodes)

    def test_presets(self):
        chosen = choose("directau", "paper", {})
        assert (chosen.config.num_layers, chosen.config.uniformity_weight) == (0, 1.0)
        assert chosen.config.ranks == "product"
        assert (chosen.train.weight_decay, chosen.train.learning_rate) == (1e-6, 1e-3)

    @pytest.mark.parametrize(
        "config", [{"dim": 0}, {"num_layers": -1}, {"uniformity_weight": -1.0}, {"l2_weight": -1.0}]
    )
    def test_refuses_values_out_of_range(self, config):
        with pytest.raises(ConfigError, match=r"^DirectAU needs [^\n]*" + next(iter(config))):
            DirectAUConfig(**config)
