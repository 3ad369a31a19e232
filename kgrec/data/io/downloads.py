"""Download known files in resumable pieces, checked by Git blob SHA-1."""

import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kgrec.data.io.files import FilePath
from kgrec.data.io.web import (
    Address,
    Answer,
    Manners,
    NotThereError,
    Passing,
    RangeError,
    open_address,
    patiently,
)
from kgrec.errors import FetchError
from kgrec.log import progress

_log = logging.getLogger("kgrec.data")

PART = ".part"
_MOST = 1 << 31
_PIECE = 1 << 20
_GAIN = 1 << 20
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


@dataclass(frozen=True, slots=True)
class Pinned:
    """What a file must be.

    Attributes:
        sha1: Git blob SHA-1: of "blob", a blank, the length, NUL, and the content.
        size: Bytes, None where that is not known.
    """

    sha1: str
    size: int | None = None

    def fits(self, path: FilePath) -> bool:
        """Return whether a file is the one."""
        return (self.size is None or Path(path).stat().st_size == self.size) and blob_sha1(
            path
        ) == self.sha1


def blob_sha1(path: FilePath) -> str:
    """Return the SHA-1 that Git names the content of a file by."""
    size = Path(path).stat().st_size
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)

    with open(path, "rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)

    return digest.hexdigest()


def fetch(addresses: Sequence[Address], goal: Path, pinned: Pinned, manners: Manners) -> bool:
    """Fetch a file, unless it is there, and return whether that was needed.

    What has come is kept beside it under the name with ".part", from where an interrupted fetch
    goes on.

    Args:
        addresses: Where it may be, the likeliest first.
        goal: Where it goes.
        pinned: What it must be.
        manners: How patiently to ask.

    Raises:
        FetchError: If no address has it, or what came is another file; that is removed.
    """
    if goal.exists():
        if pinned.fits(goal):
            return False
        raise FetchError(
            f"{goal}: is there and is not the published file. Move it away and get it again."
        )

    part = goal.with_name(goal.name + PART)
    resumed = _try_addresses(addresses, part, pinned, manners)
    if resumed and not pinned.fits(part):
        _log.warning("%s: what was fetched before does not fit; fetching it again", goal)
        part.unlink()
        _try_addresses(addresses, part, pinned, manners)

    if not pinned.fits(part):
        found = blob_sha1(part)
        part.unlink()
        raise FetchError(
            f"{goal}: what came is another file (Git blob SHA-1 {found}, expected {pinned.sha1}) "
            "and was removed. Try a mirror."
        )

    part.replace(goal)
    return True


def _try_addresses(
    addresses: Sequence[Address], part: Path, pinned: Pinned, manners: Manners
) -> bool:
    """Fetch from the first address that has the file and return whether that went on from an
    earlier piece.
    """
    for number, where in enumerate(addresses):
        download = _Download(where, part, pinned.size, manners)
        try:
            patiently(download.attempt, manners, where.shown)
        except NotThereError:
            if number == len(addresses) - 1:
                raise
        else:
            return download.resumed

    return False


class _Download:
    """Fetches one file to its ".part".

    Attributes:
        resumed: Whether it went on from a piece that was there.
    """

    def __init__(self, where: Address, part: Path, size: int | None, manners: Manners) -> None:
        self.resumed = False
        self._where = where
        self._part = part
        self._size = size
        self._manners = replace(manners, max_bytes=_MOST + _PIECE)

    def attempt(self) -> None:
        """Fetch what is missing.

        Raises:
            Passing: If the connection broke.
            FetchError: If the server gives another file.
        """
        have = self._have()
        self.resumed |= have > 0
        if self._size is not None and have == self._size:
            return

        if have:
            headers = {"Range": f"bytes={have}-"}
        else:
            headers = {}

        try:
            with open_address(self._where, self._manners, headers) as answer:
                self._write(answer, have)
        except RangeError:
            self._part.unlink(missing_ok=True)
            raise Passing("cannot go on from where the last fetch ended") from None
        except Passing as trouble:
            raise Passing(str(trouble), trouble.wait, gained=self._have() - have >= _GAIN) from None
        except KeyboardInterrupt as stop:
            stop.add_note(
                f"What has come is kept in {self._part}; the same command continues from there."
            )
            raise

    def _have(self) -> int:
        """Return how much has come; a part that is too long is none."""
        if self._part.exists():
            have = self._part.stat().st_size
        else:
            have = 0

        if self._size is not None and have > self._size:
            self._part.unlink()
            return 0

        return have

    def _write(self, answer: Answer, have: int) -> None:
        start, total = self._bounds(answer, have)
        if self._size is not None and total is not None and total != self._size:
            raise FetchError(
                f"{self._where.shown}: {total:,} bytes, the published file has {self._size:,}. "
                "Try a mirror."
            )

        most = self._size or _MOST
        with (
            open(self._part, "ab" if start else "wb") as stream,
            progress(self._part.name.removesuffix(PART), total or most) as bar,
        ):
            done = start
            for piece in answer.pieces():
                done += len(piece)
                if done > most:
                    raise self._too_long(most)

                stream.write(piece)
                bar.update(done)

        if total is not None and done < total:
            raise Passing(f"the answer breaks off after {done:,} of {total:,} bytes")

    def _bounds(self, answer: Answer, have: int) -> tuple[int, int | None]:
        """Return where the answer begins in the file, and the length of the file."""
        if answer.status != 206:
            return 0, self._size if answer.length is None else answer.length

        found = _RANGE.fullmatch(answer.header("Content-Range").strip())
        if found is None or int(found[1]) != have:
            self._part.unlink(missing_ok=True)
            raise Passing("gave another piece than asked for")

        return have, self._size if found[3] == "*" else int(found[3])

    def _too_long(self, most: int) -> FetchError:
        self._part.unlink(missing_ok=True)
        return FetchError(
            f"{self._where.shown}: more than {most:,} bytes, which the published file does not "
            "have. Try a mirror."
        )
