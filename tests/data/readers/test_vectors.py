import gzip

import numpy as np
import pytest

from kgrec.data.readers.vectors import read_array, read_vectors
from kgrec.errors import FormatError, MissingFileError


def anything(key):
    return True


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


BINARY = (
    b"2 3\n"
    + b"cat "
    + np.array([1, 2, 3], "<f4").tobytes()
    + b"\n"
    + b"dog "
    + np.array([4, 5, 6.5], "<f4").tobytes()
    + b"\n"
)
UNBROKEN = BINARY.replace(b"\ndog", b"dog")


@pytest.mark.parametrize(
    "content",
    [
        "cat 1 2 3\ndog 4 5 6.5\n",
        "cat 1 2 3 \r\n\r\ndog  4 5 6.5 \r\n",
        "2 3\ncat 1 2 3\ndog 4 5 6.5\n",
        "\ufeffcat\t1\t2\t3\t\ndog\t4\t5\t6.5\t\n",
        "cat 1 2 3\ndog 4 5 6.5\ndog 9 9 9\n",
        BINARY,
        UNBROKEN,
    ],
)
def test_every_form_gives_the_same(tmp_path, content):
    for packed in (False, True):
        raw = content if isinstance(content, bytes) else content.encode()
        path = write(tmp_path / ("v.gz" if packed else "v"), gzip.compress(raw) if packed else raw)
        vectors, _ = read_vectors(path, anything)
        assert vectors.keys.to_list() == ["cat", "dog"]
        assert vectors.values.tolist() == [[1, 2, 3], [4, 5, 6.5]]
        assert vectors.values.dtype == np.float32
        some, read = read_vectors(path, {"dog"}.__contains__)
        assert (some.keys.to_list(), some.values.tolist()) == (["dog"], [[4, 5, 6.5]])
        assert read >= 2


def test_a_word_with_spaces_keeps_its_vector(tmp_path):
    vectors, read = read_vectors(
        write(tmp_path / "v", "cat 1 2\n. . . 3 4\nNew York 5 6\n"), anything
    )
    assert (vectors.keys.to_list(), read) == (["cat", ". . .", "New York"], 3)
    assert vectors.values.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_an_array_with_ids_beside(tmp_path):
    np.save(tmp_path / "e.npy", np.arange(6.0).reshape(3, 2))
    write(tmp_path / "e.txt", "a\nb\nNew York\n")
    vectors, read = read_vectors(tmp_path / "e.npy", {"New York", "b"}.__contains__)
    assert (vectors.keys.to_list(), vectors.values.tolist(), read) == (
        ["b", "New York"],
        [[2, 3], [4, 5]],
        3,
    )
    write(tmp_path / "e.txt", "a\nb\n")
    with pytest.raises(FormatError, match=r"e\.txt: 2 ids for the 3 rows"):
        read_vectors(tmp_path / "e.npy", anything)
    (tmp_path / "e.txt").unlink()
    with pytest.raises(MissingFileError, match=r"e\.txt: no such file"):
        read_vectors(tmp_path / "e.npy", anything)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "cat 1 2 3\ndog 4 5\n",
            r"v:2: a vector of 2 numbers, expected 3 as in the lines before\.",
        ),
        ("cat 1 2 3\ndog 4 5 6 7\n", r"v:2: a vector of 4 numbers, expected 3"),
        ("2 3\ncat 1 2 3\ndog 4 5\n", r"v:3: a vector of 2 numbers, expected 3"),
        ("cat 1 2 3\ndog  4 5\n", r"v:2: a vector of 2 numbers, expected 3"),
        ("cat\n", r"v:1: a vector of 0 numbers, expected at least 1"),
        ("cat 1 nan\n", r"v:1: a number that is not finite"),
        ("cat 1 1e39\n", r"v:1: a number that is not finite"),
        ("cat 1 x\n", r"v:1: not a key and its numbers"),
        ("", r"v: no vector"),
        ("\n\n", r"v: no vector"),
        (BINARY[:-6], r"v: ends in vector 2 of 2"),
        (
            b"1 3\ncat " + np.array([1, np.inf, 0], "<f4").tobytes(),
            r"v: vector 1: a number that is not finite",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, content, message):
    with pytest.raises(FormatError, match=message) as caught:
        read_vectors(write(tmp_path / "v", content), anything)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [">f8", "<f2", "i4", "u1"])
def test_arrays_of_any_numbers(tmp_path, dtype):
    for order in "CF":
        array = np.asarray([[1, 2, 3], [4, 5, 6]], dtype=dtype, order=order)
        np.save(tmp_path / "a.npy", array)
        assert read_array(tmp_path / "a.npy").tolist() == array.tolist()


def test_arrays_that_are_none(tmp_path):
    for content in (
        b"",
        b"junk",
        b"PK\x03\x04",
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (9, 9), }".ljust(
            127
        )
        + b"\n",
    ):
        with pytest.raises(
            FormatError, match=r"a\.npy: (not a \.npy file|its length is not that of its shape)"
        ):
            read_vectors(write(tmp_path / "a.npy", content), anything)
    for array in (np.zeros(3), np.zeros((2, 2), dtype=bool), np.zeros((1, 1, 1)), np.array([[{}]])):
        np.save(tmp_path / "a.npy", array, allow_pickle=True)
        with pytest.raises(FormatError, match="two dimensions"):
            read_vectors(tmp_path / "a.npy", anything)
    np.save(tmp_path / "a.npy", np.array([[0.0], [np.nan]]))
    write(tmp_path / "a.txt", "x\ny\n")
    with pytest.raises(FormatError, match=r"a\.npy: row 2: a number that is not finite"):
        read_vectors(tmp_path / "a.npy", anything)
