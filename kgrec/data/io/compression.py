"""Read gzip, bzip2, xz and zstd as a stream, recognized by their first bytes.

Whatever is wrong with a stream becomes one clear line, and none grows without end: its size and its
ratio are capped.
"""

import bz2
import io
import lzma
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from kgrec.errors import ConfigError, FormatError

MAX_BYTES = 1 << 38
MAX_RATIO = 250
SUFFIXES = (".gz", ".bz2", ".xz", ".zst")

_LONGEST_MAGIC = 10
_PIECE = 1 << 18
_STEP = 1 << 16
_FREE = 1 << 24
_MOST_MEMORY = 1 << 28


@runtime_checkable
class ByteStream(Protocol):
    """What bytes are read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, all of them where it is negative."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a compressed file may grow.

    Attributes:
        max_bytes: Most unpacked bytes.
        max_ratio: Most unpacked bytes per packed one, beyond the first 16 MiB. Text packs 5 to 50
            times, a bomb 1,000 times and more.

    Raises:
        ConfigError: If one of them is below 1.
    """

    max_bytes: int = MAX_BYTES
    max_ratio: int = MAX_RATIO

    def __post_init__(self) -> None:
        for name, value in (("max_unpacked", self.max_bytes), ("max_ratio", self.max_ratio)):
            if value < 1:
                raise ConfigError(
                    f"{name}: {value} is below 1. Give the most that a compressed file may grow to."
                )


@runtime_checkable
class Decoder(Protocol):
    """One member of a compressed stream, in the form of ``bz2.BZ2Decompressor``."""

    @property
    def eof(self) -> bool:
        """Whether the member is at its end."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes without further bytes."""

    @property
    def unused_data(self) -> bytes:
        """What followed the end."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return up to ``max_length`` unpacked bytes."""


class _Deflated:
    """zlib's decoder in the form of the others."""

    def __init__(self) -> None:
        self._own = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._own.eof

    @property
    def unused_data(self) -> bytes:
        return self._own.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        found = self._own.decompress(self._own.unconsumed_tail + data, max_length)
        self.needs_input = len(found) < max_length and not self._own.unconsumed_tail
        return found


class _Zstandard:
    """zstandard's decoder in the form of the others.

    It knows no limit, so it is fed little at a time: 4 bytes can become 128 KiB.
    """

    def __init__(self, library: Any) -> None:
        self._own = library.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        self._waiting = b""

    @property
    def eof(self) -> bool:
        return bool(self._own.eof)

    @property
    def needs_input(self) -> bool:
        return not self._waiting

    @property
    def unused_data(self) -> bytes:
        return bytes(self._own.unused_data) + self._waiting

    def decompress(self, data: bytes, max_length: int) -> bytes:
        waiting = self._waiting + data
        step = max(1, max_length >> 8)
        self._waiting = waiting[step:]
        return bytes(self._own.decompress(waiting[:step]))


def _xz() -> Decoder:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MOST_MEMORY)


_MAGIC: tuple[tuple[str, re.Pattern[bytes], Callable[[], Decoder] | None], ...] = (
    ("gzip", re.compile(rb"\x1f\x8b"), _Deflated),
    ("bzip2", re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), bz2.BZ2Decompressor),
    ("xz", re.compile(rb"\xfd7zXZ\x00"), _xz),
    ("zstd", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), None),
)
_DAMAGE = (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError)


def unpacked(raw: io.BufferedReader, name: str, limits: Limits) -> io.BufferedReader:
    """Return the bytes of an open file, unpacked where its first ones say that it is compressed.

    Args:
        raw: The file, at its beginning.
        name: Of the file, for messages.
        limits: How far it may grow.

    Raises:
        ConfigError: If it is zstd and the library for that is not installed.
        FormatError: If the stream is damaged, cut short, followed by something else, or beyond the
            limits; raised from where it is read.
    """
    start = raw.read(_LONGEST_MAGIC)
    raw.seek(0)

    for kind, magic, decoder in _MAGIC:
        if magic.match(start):
            pieces = _within(
                _pieces(raw, name, kind, decoder or _zstd_decoder(name)), raw, name, limits
            )
            return io.BufferedReader(Pieces(pieces), _PIECE)

    return raw


def _zstd_decoder(name: str) -> Callable[[], Decoder]:
    try:
        import zstandard
    except ImportError:
        raise ConfigError(
            f"{name}: is compressed with zstd, which takes a further package. Run: pip install "
            "'kgrec[zstd]'"
        ) from None
    return lambda: _Zstandard(zstandard)


class Pieces(io.RawIOBase):
    """An unbuffered stream over pieces of bytes: a read yields no more than the rest of one
    piece.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = memoryview(b"")

    def pieces(self) -> Iterator[bytes]:
        """Yield what is left, piece by piece, without a copy."""
        if self._piece:
            yield bytes(self._piece)
            self._piece = memoryview(b"")
        yield from self._pieces

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer as far as the current piece goes."""
        while not self._piece:
            found = next(self._pieces, None)
            if found is None:
                return 0

            self._piece = memoryview(found)

        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count


def _pieces(raw: ByteStream, name: str, kind: str, new: Callable[[], Decoder]) -> Iterator[bytes]:
    """Yield what the members of a compressed stream unpack to."""
    decoder = new()
    data = raw.read(_STEP)

    while True:
        try:
            piece = decoder.decompress(data, _PIECE)
        except _damage() as error:
            raise FormatError(
                f"{name}: damaged {kind} stream ({_reason(error)}). Fetch or compress the file "
                "again."
            ) from None

        yield piece
        if decoder.eof:
            data = decoder.unused_data.lstrip(b"\0") or _after_padding(raw)
            if not data:
                return

            decoder = new()
        elif decoder.needs_input:
            data = raw.read(_STEP)
            if not data:
                raise FormatError(
                    f"{name}: the {kind} stream ends too early. Fetch or compress the file again."
                )
        else:
            data = b""


def _after_padding(raw: ByteStream) -> bytes:
    """Return the next bytes that are not NUL, with which tape drives fill up."""
    while data := raw.read(_STEP):
        if rest := data.lstrip(b"\0"):
            return rest
    return b""


def _damage() -> tuple[type[Exception], ...]:
    zstandard = sys.modules.get("zstandard")
    if zstandard is None:
        return _DAMAGE
    return (*_DAMAGE, zstandard.ZstdError)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _within(
    pieces: Iterator[bytes], raw: io.BufferedReader, name: str, limits: Limits
) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limits.max_bytes:
            raise FormatError(
                f"{name}: unpacks to more than {limits.max_bytes:,} bytes. If that is right, "
                "raise max_unpacked."
            )
        if size > _FREE and size > limits.max_ratio * raw.tell():
            raise FormatError(
                f"{name}: unpacks to more than {limits.max_ratio} times its size, as a bomb "
                "would. If that is right, raise max_ratio."
            )

        if piece:
            yield piece
