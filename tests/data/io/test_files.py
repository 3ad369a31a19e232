import gzip
import hashlib

import pytest

from kgrec.data.io.files import bare_suffix, existing, read_text, reading, sha256
from kgrec.errors import FormatError, MissingFileError


def test_suffix():
    assert [bare_suffix(n) for n in ("a.NT.gz", "a.ttl", "a.b.csv", "a", ".gz", "a.gz")] == [
        "nt",
        "ttl",
        "csv",
        "",
        "",
        "",
    ]


def test_existing(tmp_path):
    assert existing(tmp_path, folder=True) == tmp_path
    (tmp_path / "a").write_text("x")
    assert existing(tmp_path / "a") == tmp_path / "a"
    with pytest.raises(FormatError, match="is a file, expected a folder"):
        existing(tmp_path / "a", folder=True)
    with pytest.raises(MissingFileError, match="Nearest: a"):
        existing(tmp_path / "aa")


def test_text_and_sum(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress("\ufeffhé\n".encode()))
    assert read_text(path) == "hé\n"
    assert sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    with reading(path) as stream:
        assert stream.read(3) == b"\xef\xbb\xbf"
