import math

import numpy as np
import polars as pl

from kgrec.data.texts.tfidf import tf_idf


def test_tf_idf_by_hand():
    """Three texts; "red" stands in two, "fox" in three, "blue" in one and is left out."""
    rows = tf_idf(pl.Series(["Red fox, red fox!", "fox", None, "RED fox blue"]), 10)
    fox, red = 1 + math.log(5 / 4), 1 + math.log(5 / 3)
    expected = np.array([[2 * fox, 2 * red], [fox, 0], [0, 0], [fox, red]])
    expected[[0, 1, 3]] /= np.linalg.norm(expected[[0, 1, 3]], axis=1, keepdims=True)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, expected, atol=1e-6)


def test_the_most_frequent_words_are_kept():
    texts = pl.Series(["b a c", "b a c", "b a", "b"])
    assert tf_idf(texts, 2).shape == (4, 2)
    assert (tf_idf(texts, 1) > 0).all()  # "b" alone, which every text has


def test_texts_that_share_no_word_have_no_columns():
    assert tf_idf(pl.Series(["one", "two", None]), 5).shape == (3, 0)
