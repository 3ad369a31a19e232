"""Texts of items as rows of word numbers, with the entities they name aligned to the words."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from kgrec.data.records.content import Vectors
from kgrec.data.records.dataset import Dataset
from kgrec.data.texts.tokens import words_in
from kgrec.errors import DataError

PADDING, UNKNOWN = 0, 1
_FIRST = 2  # word numbers below are padding and unknown


@dataclass(frozen=True, slots=True)
class NewsCatalog:
    """Every item's text as numbers.

    Attributes:
        words: Word numbers per item, right-padded with 0, int64 (items, longest). 1 is a word that
            training knows too little of; number ``w`` from 2 on is ``vocabulary[w - 2]``.
        entities: Entity number at each word, 0 where it names none, int64 (items, longest). Number
            ``e`` is entity row ``mentioned[e - 1]``; an entity named by several words stands at
            each of them.
        vocabulary: Words, casefolded. Some may have no number in ``words``: it depends on the texts
            alone, so that it is the same whatever part of the interactions is there.
        mentioned: Entity rows that are named at all, ascending, int64.
    """

    words: np.ndarray
    entities: np.ndarray
    vocabulary: tuple[str, ...]
    mentioned: np.ndarray

    @classmethod
    def from_dataset(cls, data: Dataset, *, longest: int = 16, min_count: int = 2) -> "NewsCatalog":
        """Return the texts of a dataset's items.

        A word keeps its number if it has a vector in ``content.words``, or occurs ``min_count``
        times in the texts that training sees: those of items interacted with, labeled negative,
        shown or read in the training part. An item that names nothing but has triples of its own is
        taken to name itself with every word.

        Args:
            data: With texts.
            longest: Words kept of each text, from its beginning, at least 1.
            min_count: Occurrences from which a word counts as known, at least 1.

        Raises:
            DataError: If the dataset has no texts.
        """
        texts = data.content.texts
        if texts is None:
            raise DataError(
                f"{data.name} has no texts. Build the dataset with --items FILE --texts COL."
            )

        tokens = [words_in(text)[:longest] if text else [] for text in texts]
        plain = [[plain_word(word) for word, _, _ in words_of] for words_of in tokens]

        if data.content.words is None:
            known = set()
        else:
            known = set(map(plain_word, data.content.words.keys))

        seen = trained_items(data)
        everywhere = Counter(word for words_of in plain for word in words_of)
        trained = Counter(
            word for words_of, used in zip(plain, seen, strict=True) if used for word in words_of
        )
        vocabulary = tuple(
            sorted(
                word for word, count in everywhere.items() if count >= min_count or word in known
            )
        )

        number = {
            word: at if trained[word] >= min_count or word in known else UNKNOWN
            for at, word in enumerate(vocabulary, start=_FIRST)
        }
        words = np.full((len(texts), longest), PADDING, dtype=np.int64)
        for row, words_of in enumerate(plain):
            words[row, : len(words_of)] = [number.get(word, UNKNOWN) for word in words_of]

        rows = _aligned(data, tokens, words > PADDING)
        mentioned = np.unique(rows[rows >= 0])

        return cls(
            words,
            np.where(rows < 0, 0, np.searchsorted(mentioned, rows) + 1),
            vocabulary,
            mentioned,
        )


def plain_word(word: str) -> str:
    """Return a word as it is compared: compatibility forms, case and curly apostrophes made
    alike.
    """
    return unicodedata.normalize("NFKC", word).casefold().replace("\u2019", "'")


def vectors_of(words: Iterable[str], vectors: Vectors) -> tuple[np.ndarray, np.ndarray]:
    """Return a vector per word, float32 (words, dim), and which words have one; the others are 0.

    Words are compared by ``plain_word``; of several keys that are alike, the one that is a plain
    word counts, else the first.
    """
    at: dict[str, int] = {}
    for row, key in enumerate(vectors.keys):
        plain = plain_word(key)
        if key == plain or plain not in at:
            at[plain] = row

    rows = np.array([at.get(plain_word(word), -1) for word in words], dtype=np.int64)
    values = np.zeros((len(rows), vectors.values.shape[1]), dtype=np.float32)
    values[rows >= 0] = vectors.values[rows[rows >= 0]]
    return values, rows >= 0


def trained_items(data: Dataset) -> np.ndarray:
    """Return which items training sees: interacted with, labeled negative, shown or read.

    Bool (items,).
    """
    seen = np.zeros(data.num_items, dtype=bool)
    seen[data.train.item] = True
    if "train" in data.negatives:
        seen[data.negatives["train"].item] = True

    if "train" in data.impressions:
        seen[data.impressions["train"].item] = True
        seen[data.impressions["train"].history] = True

    return seen


def _aligned(
    data: Dataset, tokens: list[list[tuple[str, int, int]]], real: np.ndarray
) -> np.ndarray:
    """Return the entity row at each word, -1 if there is none.

    Of mentions that overlap, the longest counts.
    """
    start = np.full(real.shape, -1)
    end = np.full(real.shape, -1)

    for row, words in enumerate(tokens):
        if words:
            start[row, : len(words)], end[row, : len(words)] = zip(
                *((first, behind) for _, first, behind in words), strict=True
            )

    rows = np.full(real.shape, -1, dtype=np.int64)
    itself = np.zeros(len(real), dtype=bool)
    for side in (data.triples.head, data.triples.tail):
        itself[side[side < len(real)]] = True

    mentions = data.content.mentions.astype(np.int64)
    itself[mentions[:, 0]] = False
    rows[itself] = np.where(real[itself], np.flatnonzero(itself)[:, None], -1)

    for item, first, behind, entity in mentions[
        np.argsort(mentions[:, 2] - mentions[:, 1], kind="stable")
    ]:
        rows[item, (start[item] < behind) & (end[item] > first)] = entity

    return rows
