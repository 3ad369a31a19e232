import numpy as np
import pytest
import torch

from kgrec.errors import ConfigError
from kgrec.models.triples.transe import TransEConfig
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


class TestTransE(RecommenderContract):
    name = "transe"
    settings = {
        "epochs": 60,
        "batch_size": 256,
        "learning_rate": 0.05,
        "dim": 16,
        "margin": 1.0,
        "negatives": 4,
    }
    uses_knowledge = True

    def test_entities_have_length_1_after_training(self):
        run = self.run(worlds.checkerboard(), epochs=2)
        torch.testing.assert_close(run.model.tables.nodes.norm(dim=1), torch.ones(26))

    def test_an_item_is_ranked_by_its_distance_from_the_moved_user(self):
        """Against the distances, one by one."""
        run = self.run(worlds.checkerboard(), epochs=2)
        vectors = run.embeddings()
        moved = (
            np.array(vectors["users"]["vector"][3]) + run.model.tables.relations[0].detach().numpy()
        )
        expected = [-np.linalg.norm(moved - np.array(item)) for item in vectors["items"]["vector"]]
        found = run.recommend("u3", k=12, allow_seen=True).sort("item")
        order = sorted(range(12), key=lambda row: f"i{row}")
        np.testing.assert_allclose(found["score"].to_numpy(), np.array(expected)[order], atol=1e-5)

    def test_someone_unseen_stands_where_their_items_are(self):
        run = self.run(worlds.checkerboard())
        found = run.recommend(history=["i0", "i2", "i4"], k=3)
        assert {int(item[1:]) % 2 for item in found["item"]} == {0}

    def test_refuses_values_out_of_range(self):
        for wrong in ({"margin": 0.0}, {"dim": 0}, {"negatives": 0}):
            with pytest.raises(ConfigError, match="TransE"):
                TransEConfig(**wrong)
