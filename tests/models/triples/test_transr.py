import pytest
import torch

from kgrec.errors import ConfigError
from kgrec.models.triples.transr import TransRConfig
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


class TestTransR(RecommenderContract):
    name = "transr"
    settings = {
        "epochs": 60,
        "batch_size": 256,
        "learning_rate": 0.02,
        "dim": 16,
        "relation_dim": 16,
        "margin": 1.0,
        "negatives": 4,
        "plain_epochs": 0,
    }
    uses_knowledge = True

    def test_the_projections_wait_for_the_plain_epochs(self):
        from kgrec import fit

        settings = {**self.settings, "plain_epochs": 2, "batch_size": 64}
        plain, freed = (
            fit("transr", worlds.checkerboard(), **settings | {"epochs": epochs})
            for epochs in (2, 3)
        )
        identity = torch.eye(16).expand(2, -1, -1)
        assert torch.equal(plain.model.tables.projections, identity)
        assert not torch.equal(freed.model.tables.projections, identity)

    def test_refuses_values_out_of_range(self):
        for wrong in ({"margin": 0.0}, {"relation_dim": 0}, {"plain_epochs": -1}):
            with pytest.raises(ConfigError, match="TransR"):
                TransRConfig(**wrong)
