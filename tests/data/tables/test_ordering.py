import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrec.data.tables import ordering
from kgrec.data.tables.ordering import numbered, one_per_key, row_order, text_order

LARGE = st.integers(-(2**62), 2**62)
SMALL = st.integers(-3, 3)
FLOAT = st.sampled_from([1.5, 2.0, -0.5, float("nan"), float("inf"), 7.0])


@given(st.lists(st.tuples(SMALL, FLOAT, LARGE, SMALL), max_size=30), st.permutations(range(4)))
def test_rows_are_sorted_as_lexsort_sorts_them(rows, places):
    columns = [np.array([row[place] for row in rows]) for place in places]
    assert row_order(*columns).tolist() == np.lexsort(columns[::-1]).tolist()


@pytest.mark.parametrize("width", [3, 2**20, 2**29])
def test_whole_numbers_too_wide_for_one_sort(width):
    """The upper bits decide, then those below where the upper ones are equal, then the position."""
    random = np.random.default_rng(width)
    first = random.integers(-5, 2**30, 5_000)
    first[:2_000] = 7
    second = 2**20 * random.integers(0, width, 5_000) + random.integers(0, 3, 5_000)
    unsigned = (second.astype(np.uint64), second.astype(np.uint32))
    for keys in ((first, second), (second,), (first.astype(np.int32), second), unsigned):
        assert row_order(*keys).tolist() == np.lexsort(keys[::-1]).tolist()


def _short_first(text):
    return len(text.encode()), text.encode()


@given(
    st.lists(st.text(alphabet="ab\0é/😀", max_size=30), unique=True, max_size=30),
    st.sampled_from(["", "http://x.org/resource/"]),
)
def test_texts_are_sorted_by_length_and_bytes_however_many_there_are(texts, prefix):
    keys = pl.Series([prefix + text for text in texts], dtype=pl.String)
    expected = sorted(keys.to_list(), key=_short_first)
    with pytest.MonkeyPatch.context() as patch:
        for many in (0, 1000):
            patch.setattr(ordering, "_MANY", many)
            assert keys.gather(text_order(keys)).to_list() == expected


def test_many_texts_of_several_namespaces():
    spaces = ("http://x.org/resource/", "http://x.org/resource/of/a/longer/path/", "urn:x:")
    keys = pl.Series([spaces[n % 3] + str(n * 7919 % 200_003) for n in range(150_000)])
    assert keys.gather(text_order(keys)).to_list() == sorted(keys.to_list(), key=_short_first)


def test_numbers_follow_the_keys():
    keys, rows = numbered(pl.Series(["b", "10", "9", "b", "10"]))
    assert keys.to_list() == ["9", "b", "10"]
    assert rows.tolist() == [1, 2, 0, 1, 2]


@given(st.permutations([("a", "z"), ("a", None), ("a", "y"), ("b", None), ("c", "x")]))
def test_of_several_rows_of_a_key_the_values_decide(rows):
    frame = pl.DataFrame(rows, schema=["key", "value"], orient="row")
    found = one_per_key(frame, "key", "value")
    assert dict(found.rows()) == {"a": "y", "b": None, "c": "x"}
    assert [key for key, _ in rows if key != "a"] == [key for key in found["key"] if key != "a"]
