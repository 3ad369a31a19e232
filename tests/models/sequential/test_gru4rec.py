from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


class TestGRU4Rec(RecommenderContract):
    name = "gru4rec"
    settings = {"dim": 8, "hidden": 8, "length": 6, "learning_rate": 0.02, "batch_size": 16}

    def prepared(self, data):
        return worlds.with_shuffled_times(data)
