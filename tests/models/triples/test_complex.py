import pytest
import torch

from kgrec.batches import CorruptedBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.triples.complex import ComplEx, ComplExConfig
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


class TestComplEx(RecommenderContract):
    name = "complex"
    settings = {"epochs": 30, "batch_size": 256, "learning_rate": 0.1, "dim": 16}
    uses_knowledge = True

    def test_cubed_moduli_are_what_n3_adds_up(self):
        config = ComplExConfig(dim=1, penalty_weight=1.0, interactions=False)
        model = ComplEx(CollaborativeKG.from_dataset(worlds.toy()), config, torch.Generator())
        with torch.no_grad():
            model.tables.nodes[:2] = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
            model.tables.relations[1] = torch.tensor([1.0, 0.0])
        batch = CorruptedBatch(*(torch.tensor(part) for part in ([0], [1], [1], [[2]], [True])))
        assert float((model.loss(batch) - model.one_to_all(batch)).detach()) == pytest.approx(
            125 + 1 + 8, rel=1e-5
        )

    def test_refuses_values_out_of_range(self):
        for wrong in ({"penalty_weight": -1.0}, {"init_scale": 0.0}):
            with pytest.raises(ConfigError, match="ComplEx"):
                ComplExConfig(**wrong)
