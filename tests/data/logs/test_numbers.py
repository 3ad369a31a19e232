"""Ids to numbers within a limit on memory: always their place in the one order of ids."""

import numpy as np
import polars as pl
import pytest

from kgrec.data.logs import numbers
from kgrec.data.logs.numbers import TextIds, WholeIds
from kgrec.data.logs.scratch import Room

KEYS = ["", "9", "10", "u2", "u10", "ü", "z" * 40, "z" * 39 + "a", "日本", "a b", "A", "a"]


def by_hand(texts):
    """The distinct texts, shorter ones first, those of one length by their bytes."""
    return sorted(set(texts), key=lambda text: (len(text.encode()), text.encode()))


def numbered(kind, blocks, tmp_path, most):
    room = Room(tmp_path, most, 1)
    column = kind(room, "user")
    passes = 0
    while True:
        for block in blocks:
            column.take(block)
        passes += 1
        if not column.end_pass():
            return column.numbers.read(0, 1 << 30).tolist(), column.keys().to_list(), passes


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(("most", "least"), [(1000, 1), (60, 3), (20, 8)])
def test_texts_are_numbered_by_their_place_in_the_order_however_many_parts(
    tmp_path, monkeypatch, compiled, most, least
):
    if not compiled:
        monkeypatch.setattr(numbers, "library", lambda: None)

    random = np.random.default_rng(0)
    texts = KEYS + [f"u{n}" for n in random.integers(0, 400, 500)]
    blocks = [pl.Series(texts[start : start + 90]) for start in range(0, len(texts), 90)]
    found, keys, passes = numbered(TextIds, blocks, tmp_path, most)
    right = by_hand(texts)
    place = {text: row for row, text in enumerate(right)}
    assert keys == right
    assert found == [place[text] for text in texts]
    assert passes >= least
    assert (passes == 1) == (least == 1)


@pytest.mark.parametrize("factor", [1, 1 << 40])
def test_whole_numbers_have_the_order_of_their_digits(tmp_path, factor):
    random = np.random.default_rng(1)
    values = (random.integers(0, 300, 1000) * factor).tolist()
    blocks = [pl.Series(values[:400]), pl.Series(values[400:])]
    found, keys, passes = numbered(WholeIds, blocks, tmp_path, 1000)
    right = by_hand(map(str, values))
    assert keys == right
    assert [right[row] for row in found] == list(map(str, values))
    assert passes == 1


def test_compiled_keys_are_numbered_in_the_order_of_their_first_appearance():
    library = numbers.library()
    if library is None:
        pytest.skip("the compiled reader was not built")

    keys = numbers.Keys(library)
    assert keys.number(pl.Series(["b", "a", "", "b", "日本"])).tolist() == [0, 1, 2, 0, 3]
    assert keys.number(pl.Series([], dtype=pl.String)).tolist() == []
    assert keys.number(pl.Series(["日本", "c"])).tolist() == [3, 4]
    assert len(keys) == 5
    assert keys.take().to_list() == ["b", "a", "", "日本", "c"]
