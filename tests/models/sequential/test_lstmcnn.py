from dataclasses import replace

import polars as pl

from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


def titled(data, titles):
    return replace(data, content=replace(data.content, texts=pl.Series("text", titles)))


class TestLSTMCNN(RecommenderContract):
    name = "lstm-cnn"
    settings = {
        "dim": 8,
        "hidden": 8,
        "word_dim": 8,
        "num_filters": 8,
        "length": 6,
        "max_words": 4,
        "min_count": 1,
        "learning_rate": 0.02,
        "batch_size": 16,
    }

    def prepared(self, data):
        """Every item has a word of its own: what no one used says nothing."""
        data = worlds.with_shuffled_times(data)
        return titled(data, [f"the film number{row}" for row in range(data.num_items)])
