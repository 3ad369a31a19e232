import pytest

from kgrec.errors import ConfigError
from kgrec.models.triples.transd import TransDConfig
from kgrec.testing.contract import RecommenderContract


class TestTransD(RecommenderContract):
    name = "transd"
    settings = {
        "epochs": 60,
        "batch_size": 256,
        "learning_rate": 0.03,
        "dim": 16,
        "margin": 0.5,
        "negatives": 4,
    }
    uses_knowledge = True

    def test_refuses_values_out_of_range(self):
        with pytest.raises(ConfigError, match="TransD"):
            TransDConfig(margin=-1.0)
