"""Atomic writing: files and folders are whole or absent, one writer at a time.

What a dead writer left is removed by the next.

Beside ``NAME`` may lie, until the next writer of ``NAME`` has been there:

    .NAME.lock           who holds it writes ``NAME``; the system releases it when the process ends
    .NAME.tmp            a file that is being written
    .NAME.new-1a2b3c4d   a folder that is being filled
    .NAME.old-1a2b3c4d   the folder that ``NAME`` was, whole; it is ``NAME`` again if the new one
                         never came
    .NAME.gone-1a2b3c4d  a folder that is being removed

Decision 0015 says why.
"""

import errno
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import Literal

from kgrec.errors import CheckpointError, ConfigError, KgrecError

State = Literal["new", "old", "gone"]

_STATES: tuple[State, ...] = ("new", "old", "gone")
_PASSING = re.compile(r"\.(?P<of>.+)\.(tmp|lock|(new|old|gone)-[0-9a-f]{8})")
_SECONDS_FOR_A_FILE = 60.0
_SECONDS_FOR_A_SWAP = 1.0


@contextmanager
def naming(target: Path) -> Iterator[None]:
    """Re-raise ``OSError`` with ``target`` as its file name instead of the temporary one."""
    try:
        yield
    except OSError as error:
        passing = error.filename is None or any(
            part.startswith(f".{target.name}.") for part in Path(str(error.filename)).parts
        )
        if passing and error.errno is not None and not isinstance(error, KgrecError):
            error.filename = str(target)

        raise


@contextmanager
def locked(
    target: Path, who: str = "kgrec", wait: float = 0.0, error: type[KgrecError] = CheckpointError
) -> Iterator[None]:
    """Keep other writers of a file or folder out.

    Args:
        target: What is written; its parent must be there.
        who: Name of the other one in the message.
        wait: Seconds to wait for a writer that is at work.
        error: What is raised where it still is.

    Raises:
        CheckpointError: If another process is at work there.
        OSError: If the path takes no lock; the error names ``target``.
    """
    from filelock import FileLock, Timeout  # by those who write alone: a service reads

    guard = FileLock(_passing_name(target, "lock"), timeout=wait, thread_local=False)
    if not target.parent.is_dir():  # the library would make it
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target))

    with naming(target):
        try:
            guard.acquire()
        except Timeout:
            raise error(
                f"{target}: another {who} is at work there. Wait for it, or choose another path."
            ) from None

    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes it when it is let go
            os.unlink(guard.lock_file)
        guard.release()


def write_whole(goal: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file beside its place, and move it there.

    Whoever calls holds the lock of the file, or of its folder.

    Raises:
        OSError: If nothing more can be written there; the error names ``goal``.
    """
    scratch = _passing_name(goal, "tmp")
    with naming(goal):
        try:
            scratch.unlink(missing_ok=True)  # a dead writer's
            write(scratch)
            _to_disk(scratch)
            os.replace(scratch, goal)
        finally:
            with suppress(OSError):
                scratch.unlink()


def write_file(path: str | PathLike[str], write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file beside its place and move it there, so that no one sees half of it;
    a second writer waits.

    A link is followed; a device or a pipe is written to as it is.

    Raises:
        ConfigError: If a folder is there.
        OSError: If nothing more can be written there; the error names ``path``.
    """
    goal = Path(path)
    if goal.is_dir():
        raise ConfigError(f"{goal}: is a folder. Name a file.")

    if goal.exists() and not goal.is_file():
        with naming(goal):
            write(goal)
        return

    if goal.is_symlink():
        goal = Path(os.path.realpath(goal))

    with locked(goal, wait=_SECONDS_FOR_A_FILE):
        write_whole(goal, write)


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """Atomically replace ``target``: yield a temporary sibling, renamed on success and removed on
    failure.

    Raises:
        CheckpointError: If ``target`` is a link, which a rename would replace, or if another
            process is at work there.
        OSError: If nothing more can be written there; the error names ``target``.
    """
    if target.is_symlink():
        raise CheckpointError(
            f"{target}: exists and is a link. Name the folder that it leads to, or another path."
        )

    with naming(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target):
            put_back(target)
            sweep_beside(target)

            with filling(target) as fresh:
                yield fresh
                take_place(fresh, target)


@contextmanager
def filling(target: Path) -> Iterator[Path]:
    """Give an empty folder next to ``target`` that is removed if filling it fails.

    Whoever calls holds the lock of ``target``.
    """
    fresh = _passing_name(target, "new")
    fresh.mkdir()
    filled = False

    try:
        yield fresh
        filled = True
    finally:
        if not filled:
            discard(fresh)


def take_place(fresh: Path, target: Path) -> None:
    """Put a folder into the place of ``target``, and remove what was there.

    Whoever calls holds the lock of ``target``.

    Killed between the two renames, it leaves what was there under a name from which ``put_back``
    takes it.
    """
    if os.path.lexists(target):
        old = _passing_name(target, "old")
    else:
        old = None

    if old is not None:
        target.rename(old)

    try:
        fresh.rename(target)
    finally:
        if old is not None and not os.path.lexists(target):
            old.rename(target)

    if old is not None:
        discard(old)


def put_back(target: Path) -> None:
    """Give a folder its name again that a killed replacement took.

    Whoever calls holds the lock of ``target``.
    """
    if os.path.lexists(target):
        return

    for old in left_beside(target, "old"):
        old.rename(target)
        return


def find_again(target: Path) -> None:
    """Do what ``put_back`` does for someone who wants to read, where a replacement was killed and
    the place can be written.
    """
    if os.path.lexists(target) or not left_beside(target, "old"):
        return

    with suppress(OSError, CheckpointError), locked(target, wait=_SECONDS_FOR_A_SWAP):
        put_back(target)


def left_beside(target: Path, state: State) -> list[Path]:
    """Return the folders of a state that lie beside a place, in order of their names."""
    place = Path(os.path.abspath(target))
    pattern = re.compile(rf"\.{re.escape(place.name)}\.{state}-[0-9a-f]{{8}}")

    try:
        names = os.listdir(place.parent)
    except (OSError, ValueError):
        return []

    return [place.parent / name for name in sorted(names) if pattern.fullmatch(name)]


def clean_beside(target: Path) -> None:
    """Remove what dead writers left beside a folder, if anything, as its next writer would; the
    folder has its name again where a killed replacement took it.

    Raises:
        CheckpointError: If another process is at work there.
        OSError: If the place takes no lock; the error names ``target``.
    """
    left = any(left_beside(target, state) for state in _STATES)
    if left or os.path.lexists(_passing_name(target, "lock")):
        with locked(target):
            put_back(target)
            sweep_beside(target)


def sweep_beside(target: Path, but: Path | None = None) -> None:
    """Remove what dead writers left beside a folder, ``but`` one of it.

    Whoever calls holds its lock, and has put it back.
    """
    for state in _STATES:
        for left in left_beside(target, state):
            if left != but:
                discard(left)


def sweep_inside(folder: Path) -> None:
    """Remove what dead writers left in a folder of ours.

    Whoever calls holds the lock of the folder.
    """
    for path in sorted(folder.iterdir()):
        found = _PASSING.fullmatch(path.name)
        if found is None:
            continue

        if path.name.endswith(".lock"):  # of someone who writes in there alone; locking removes it
            with suppress(OSError, CheckpointError), locked(folder / found["of"]):
                put_back(folder / found["of"])
        elif not path.name.startswith(f".{found['of']}.old-") or os.path.lexists(
            folder / found["of"]
        ):
            discard(path)


def discard(path: Path) -> None:
    """Remove a file or a folder.

    A folder under another name, so that one killed in between leaves no half of it behind as a
    whole.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return

    if ".gone-" in path.name:
        gone = path
    else:
        gone = _passing_name(_bare(path), "gone")

    if gone != path:
        with suppress(OSError):
            path.rename(gone)

    shutil.rmtree(gone if gone.exists() else path, ignore_errors=True)


def _bare(path: Path) -> Path:
    """Return the place that a passing folder lies beside; of any other folder, itself."""
    found = re.fullmatch(r"\.(.+)\.(?:new|old)-[0-9a-f]{8}", path.name)
    if found:
        return path.with_name(found[1])
    return path


def _passing_name(target: Path, state: str) -> Path:
    place = Path(os.path.abspath(target))
    if state in ("tmp", "lock"):
        mark = ""
    else:
        mark = f"-{uuid.uuid4().hex[:8]}"
    return place.parent / f".{place.name}.{state}{mark}"


def _to_disk(path: Path) -> None:
    """Wait until a file is on the disk: a rename may get there before what was written."""
    with open(path, "r+b") as stream:
        os.fsync(stream.fileno())
