"""Zip archives, unpacked without trust in what they say of themselves."""

import errno
import lzma
import stat
import zipfile
import zlib
from pathlib import Path

from kgrec.data.io.compression import Limits
from kgrec.data.io.files import FilePath, existing
from kgrec.errors import FormatError

_PIECE = 1 << 20
_FREE = 1 << 24
_MOST_MEMBERS = 1_000
_FOREIGN = "__MACOSX/"
_LIMITS = Limits(max_bytes=1 << 32)
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


def unzip(path: FilePath, folder: FilePath, limits: Limits = _LIMITS) -> list[Path]:
    """Unpack the files of a zip archive into a folder, side by side, and return them.

    Args:
        path: The archive.
        folder: Where the files go; none of their names may be taken there.
        limits: How far all of them together may grow.

    Raises:
        FormatError: If the archive is damaged, holds a link, an encrypted file or a name that leads
            elsewhere, or grows beyond the limits. What was unpacked by then stays.
    """
    packed = existing(path).stat().st_size
    most = min(limits.max_bytes, max(_FREE, limits.max_ratio * packed))
    made: list[Path] = []

    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                m
                for m in archive.infolist()
                if not m.is_dir() and not m.filename.startswith(_FOREIGN)
            ]
            if len(members) > _MOST_MEMBERS:
                raise FormatError(
                    f"{path}: {len(members):,} files in one archive. Unpack it yourself if that "
                    "is right."
                )

            names = [_safe_name(path, member) for member in members]
            for member, name in zip(members, names, strict=True):
                goal = Path(folder) / name
                most -= _unpacked(path, archive, member, goal, most)
                made.append(goal)
    except FormatError:
        raise
    except FileExistsError as error:
        raise FormatError(
            f"{path}: holds {Path(str(error.filename)).name} twice, or it is there already. "
            "Unpack it yourself."
        ) from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place before the beginning, say its tables
            raise
        raise FormatError(f"{path}: a damaged archive. Fetch it again.") from None
    except _DAMAGE as error:
        raise FormatError(
            f"{path}: a damaged archive ({' '.join(str(error).split())[:120]}). Fetch it again."
        ) from None

    return made


def _safe_name(path: FilePath, member: zipfile.ZipInfo) -> str:
    """Return the name that a file in an archive gets, without its folders."""
    name = member.filename
    parts = name.split("/")
    kind = stat.S_IFMT(member.external_attr >> 16)
    wrong = (
        "\\" in name
        or "\0" in member.orig_filename
        or ":" in name
        or any(part in ("", ".", "..") for part in parts)
    )
    if wrong or not name.isprintable():
        raise FormatError(
            f"{path}: the name {name[:80]!r} leads elsewhere. Do not trust this archive."
        )
    if kind not in (0, stat.S_IFREG):
        raise FormatError(
            f"{path}: {name[:80]!r} is no plain file but a link or a device. Do not trust this "
            "archive."
        )
    if member.flag_bits & 1:
        raise FormatError(f"{path}: {name[:80]!r} is encrypted. Unpack it yourself.")

    return parts[-1]


def _unpacked(
    path: FilePath, archive: zipfile.ZipFile, member: zipfile.ZipInfo, goal: Path, most: int
) -> int:
    """Unpack one file and return its size, counted and not as the archive says."""
    size = 0
    with archive.open(member) as packed, open(goal, "xb") as stream:
        while piece := packed.read(_PIECE):
            size += len(piece)
            if size > most:
                raise FormatError(
                    f"{path}: unpacks to far more than it holds, as a bomb would. Unpack it "
                    "yourself if that is right."
                )

            stream.write(piece)

    return size
