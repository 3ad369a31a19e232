import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrec.data.records.vocabulary import Vocabulary
from kgrec.errors import DataError, UnknownIdError


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), unique=True, max_size=20))
def test_keys_and_rows_are_inverse(keys):
    vocabulary = Vocabulary(keys)
    assert list(vocabulary) == keys
    assert vocabulary.rows(keys).tolist() == list(range(len(keys)))
    assert vocabulary.keys(np.arange(len(keys))) == keys
    assert vocabulary.match(pl.Series(keys, dtype=pl.String)).tolist() == list(range(len(keys)))
    assert all(key in vocabulary and vocabulary.key(vocabulary.row(key)) == key for key in keys)


def test_unknown_ids_say_the_nearest():
    vocabulary = Vocabulary(["alien-1979", "blade-runner-1982"], kind="item")
    with pytest.raises(
        UnknownIdError, match=r"unknown item id 'alien-1997' \(of 2\)\. Nearest: alien-1979"
    ) as caught:
        vocabulary.row("alien-1997")
    assert isinstance(caught.value, KeyError)
    with pytest.raises(UnknownIdError, match=r"'CUSTOMER' \(of 2\)\. They are like 'alien-1979'\."):
        vocabulary.row("CUSTOMER")
    with pytest.raises(UnknownIdError, match=r"'x' \(of 0\)\.$"):
        Vocabulary([], kind="item").row("x")
    assert vocabulary.get("x") is None
    assert vocabulary.match(pl.Series(["x", "alien-1979"])).tolist() == [-1, 0]


def test_keys_are_distinct_and_present():
    with pytest.raises(DataError, match="'a' occurs more than once"):
        Vocabulary(["a", "b", "a"])
    with pytest.raises(DataError, match="1 are missing"):
        Vocabulary(pl.Series(["a", None]))


def test_equality_and_size():
    assert Vocabulary(["a"]) == Vocabulary(["a"], kind="item")
    assert Vocabulary(["a"]) != Vocabulary(["b"])
    assert (len(Vocabulary([])), repr(Vocabulary(["a"], kind="user"))) == (
        0,
        "Vocabulary(1 user ids)",
    )
