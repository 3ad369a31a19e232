import numpy as np
import pytest
import torch

from kgrec.batches import CorruptedBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.triples.distmult import DistMult, DistMultConfig
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


class TestDistMult(RecommenderContract):
    name = "distmult"
    settings = {"epochs": 30, "batch_size": 256, "learning_rate": 0.1, "dim": 16}
    uses_knowledge = True

    @pytest.mark.parametrize("loss", ["softmax", "logistic"])
    def test_the_loss_by_hand(self, loss):
        """One batch of two facts of the toy graph, against sums over everything written out."""
        model = toy_model(
            DistMult,
            DistMultConfig(
                dim=4, loss=loss, penalty_weight=0.5, regularizer="l2", interactions=False
            ),
        )
        batch = CorruptedBatch(
            *(
                torch.tensor(part)
                for part in ([0, 1], [1, 2], [3, 2], [[1, 2], [0, 3]], [True, False])
            )
        )
        e, r = model.tables.nodes.detach().numpy(), model.tables.relations.detach().numpy()

        def product(h, k, t):
            return float((e[h] * r[k] * e[t]).sum())

        expected = 0.0
        for h, k, t, wrong, by_head in zip(
            [0, 1], [1, 2], [3, 2], [[1, 2], [0, 3]], [True, False], strict=True
        ):
            if loss == "softmax":
                tails, heads = (
                    np.array([product(h, k, x) for x in range(4)]),
                    np.array([product(x, k, t) for x in range(4)]),
                )
                expected -= (
                    tails[t] - np.log(np.exp(tails).sum()) + heads[h] - np.log(np.exp(heads).sum())
                )
            else:
                expected += np.log1p(np.exp(-product(h, k, t)))
                expected += sum(
                    np.log1p(np.exp(product(x, k, t) if by_head else product(h, k, x)))
                    for x in wrong
                )
            expected += 0.5 * ((e[h] ** 2).sum() + (r[k] ** 2).sum() + (e[t] ** 2).sum())
        assert float(model.loss(batch).detach()) == pytest.approx(expected / 2, abs=1e-6)

    def test_refuses_values_out_of_range(self):
        for wrong in ({"penalty_weight": -1.0}, {"init_scale": 0.0}):
            with pytest.raises(ConfigError, match="DistMult"):
                DistMultConfig(**wrong)


def toy_model(model, config):
    with torch.random.fork_rng():
        return model(
            CollaborativeKG.from_dataset(worlds.toy()), config, torch.Generator().manual_seed(0)
        )
