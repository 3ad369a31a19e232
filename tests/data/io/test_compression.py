"""Compressed files: what they hold comes out, what is wrong with them is one line, and none fills
memory.
"""

import bz2
import gzip
import io
import lzma
import sys
import time
import tracemalloc

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrec.data.io.compression import Limits
from kgrec.data.io.files import bare_suffix, read_text, reading
from kgrec.data.readers.triples import read_triples
from kgrec.errors import ConfigError, FormatError, KgrecError

PACK = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}
NAMES = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "zstd"}
TEXT = b"".join(b"line %d of a text\n" % number for number in range(20_000))


def content(path, limits=Limits()):  # noqa: B008
    with reading(path, limits) as stream:
        return stream.read()


def written(folder, name, data):
    (folder / name).write_bytes(data)
    return folder / name


@pytest.mark.parametrize("kind", PACK)
def test_what_was_packed_comes_out(tmp_path, kind):
    for data in (b"", b"x", TEXT):
        assert content(written(tmp_path, f"a.{kind}", PACK[kind](data))) == data
        assert content(written(tmp_path, "named as if it were plain", PACK[kind](data))) == data
        two = PACK[kind](data) + PACK[kind](b"") + PACK[kind](b"end")
        assert content(written(tmp_path, "two", two)) == data + b"end"
        assert content(written(tmp_path, "padded", PACK[kind](data) + bytes(512))) == data
    path = written(tmp_path, f"a.{kind}", PACK[kind](TEXT))
    with reading(path) as stream:
        assert (stream.readline(), stream.read(4), next(iter(stream))) == (
            b"line 0 of a text\n",
            b"line",
            b" 1 of a text\n",
        )
    assert read_text(path) == TEXT.decode()


@pytest.mark.parametrize("kind", PACK)
@settings(max_examples=25)
@given(data=st.binary(max_size=300), more=st.binary(max_size=20))
def test_any_bytes_come_out(tmp_path_factory, kind, data, more):
    folder = tmp_path_factory.mktemp("t")
    assert content(written(folder, "a", PACK[kind](data) + PACK[kind](more))) == data + more


@pytest.mark.parametrize("kind", PACK)
def test_a_stream_cut_short_is_said(tmp_path, kind):
    packed = PACK[kind](TEXT)
    for size in (len(packed) // 2, len(packed) - 1):
        path = written(tmp_path, "a", packed[:size])
        with pytest.raises(
            FormatError,
            match=f"a: the {NAMES[kind]} stream ends too early|a: damaged {NAMES[kind]}",
        ):
            content(path)


@pytest.mark.parametrize("kind", PACK)
def test_a_damaged_stream_is_said(tmp_path, kind):
    packed = bytearray(PACK[kind](TEXT))
    for data in (
        packed[:-6] + b"\1\2\3\4\5\6",
        packed[:200] + bytes(20) + packed[220:],
        packed + b"and more",
    ):
        with pytest.raises(
            FormatError, match=f"a: (damaged {NAMES[kind]} stream|the {NAMES[kind]} stream ends)"
        ) as caught:
            content(written(tmp_path, "a", bytes(data)))
        assert "\n" not in str(caught.value)


def test_a_name_that_lies_does_no_harm(tmp_path):
    assert content(written(tmp_path, "a.gz", b"plain")) == b"plain"
    assert content(written(tmp_path, "a.gz", PACK["zst"](b"plain"))) == b"plain"
    graph = read_triples(str(written(tmp_path, "a.nt.gz", b"<x:a> <x:r> <x:b> .\n")))
    assert len(graph) == 1
    assert [bare_suffix(f"a.ttl.{kind}") for kind in PACK] == ["ttl"] * 4


@pytest.mark.parametrize("kind", PACK)
def test_a_bomb_is_stopped_early_and_in_little_memory(tmp_path, kind):
    size = 1 << 27
    packed = io.BytesIO()
    piece = b"\n" * (1 << 20)
    opened = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}.get(kind)
    stream = (
        opened(packed, "wb")
        if opened
        else zstandard.ZstdCompressor().stream_writer(packed, closefd=False)
    )
    with stream:
        for _ in range(size // len(piece)):
            stream.write(piece)
    path = written(tmp_path, "a.nt", packed.getvalue())
    began = time.process_time()
    tracemalloc.start()
    with pytest.raises(
        FormatError,
        match=r"a\.nt: unpacks to more than 250 times its size, as a bomb would\. .*raise "
        r"max_ratio",
    ):
        read_triples(str(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 << 20
    assert time.process_time() - began < 5


def test_how_far_a_file_may_grow_is_a_setting(tmp_path):
    path = written(tmp_path, "a.nt.gz", PACK["gz"](b"<x:a> <x:r> <x:b> .\n" * 100))
    with pytest.raises(
        FormatError, match=r"a\.nt\.gz: unpacks to more than 1,000 bytes\. .*max_unpacked"
    ):
        read_triples(str(path), max_unpacked=1000)
    assert len(read_triples(str(path), max_unpacked=2000)) == 1
    zeros = written(tmp_path, "a.gz", PACK["gz"](bytes(1 << 25)))
    assert len(content(zeros, Limits(max_ratio=2000))) == 1 << 25
    for wrong in ({"max_unpacked": 0}, {"max_ratio": -1}):
        with pytest.raises(ConfigError, match="is below 1"):
            read_triples(str(path), **wrong)


def test_zstd_without_its_library(tmp_path, monkeypatch):
    path = written(tmp_path, "a.nt.zst", PACK["zst"](b"<x:a> <x:r> <x:b> .\n"))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(
        ConfigError, match=r"a\.nt\.zst: is compressed with zstd, .*pip install 'kgrec\[zstd\]'"
    ):
        read_triples(str(path))


def test_a_window_that_takes_too_much_memory_is_refused(tmp_path):
    parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path = written(tmp_path, "a", stream.compress(TEXT) + stream.flush())
    with pytest.raises(FormatError, match=r"damaged zstd stream .*too much memory"):
        content(path)


@settings(max_examples=200)
@given(
    kind=st.sampled_from(sorted(PACK)),
    at=st.integers(0, 10_000),
    cut=st.integers(0, 30),
    put=st.binary(max_size=12),
)
def test_whatever_happened_to_a_stream(tmp_path_factory, kind, at, cut, put):
    packed = PACK[kind](TEXT[:5000])
    place = at % len(packed)
    path = written(tmp_path_factory.mktemp("t"), "a", packed[:place] + put + packed[place + cut :])
    said = str(path)
    try:
        content(path)
    except KgrecError as error:
        said = str(error)
    assert "\n" not in said
    assert said.startswith(str(path))
