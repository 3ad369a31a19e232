import pytest

from kgrec.errors import ConfigError
from kgrec.models.triples.rotate import RotatEConfig
from kgrec.testing.contract import RecommenderContract


class TestRotatE(RecommenderContract):
    name = "rotate"
    settings = {"epochs": 40, "batch_size": 256, "learning_rate": 0.05, "dim": 16, "negatives": 4}
    uses_knowledge = True

    def test_refuses_values_out_of_range(self):
        for wrong in ({"margin": 0.0}, {"temperature": -0.1}):
            with pytest.raises(ConfigError, match="RotatE"):
                RotatEConfig(**wrong)
