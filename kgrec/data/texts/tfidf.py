"""Bags of words: texts as rows of numbers."""

from collections import Counter

import numpy as np
import polars as pl

from kgrec.data.texts.tokens import words_in


def tf_idf(texts: pl.Series, num_words: int) -> np.ndarray:
    """Return a row per text over the words that most texts have, float32 (texts, at most
    ``num_words``), each of length 1 or 0.

    A value is how often the word is in the text, times
    ``ln((1 + texts) / (1 + texts with the word)) + 1``; letter case is ignored. Words of a single
    text say nothing of others and are left out; of words in equally many texts the alphabetically
    first is kept. A text that is null, or without a word that is kept, is a row of zeros.

    Source: Salton and Buckley, Term-weighting Approaches in Automatic Text Retrieval, 1988
    (tf-idf), with the counts smoothed by one.
    """
    bags = [
        Counter(word.lower() for word, _, _ in words_in(text or "")) for text in texts.to_list()
    ]
    spread = Counter(word for bag in bags for word in bag)
    kept = sorted(
        (word for word, count in spread.items() if count > 1),
        key=lambda word: (-spread[word], word),
    )[:num_words]
    column = {word: at for at, word in enumerate(kept)}
    rows = np.zeros((len(bags), len(kept)), dtype=np.float32)
    for row, bag in zip(rows, bags, strict=True):
        for word, count in bag.items():
            if word in column:
                row[column[word]] = count

    rows *= (
        np.log((1 + len(bags)) / (1 + np.array([spread[word] for word in kept], dtype=np.float32)))
        + 1
    )
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.where(length > 0, length, 1)
    return rows
