from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


class TestYouTubeDNN(RecommenderContract):
    name = "youtubednn"
    settings = {"dim": 8, "layers": (16, 8), "length": 6, "learning_rate": 0.02, "batch_size": 32}

    def prepared(self, data):
        return worlds.with_shuffled_times(data)


class TestYouTubeDNNSequence(TestYouTubeDNN):
    name = "youtubednn-seq"
