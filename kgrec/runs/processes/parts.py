"""Results for everyone as a folder of parts: shared by processes, continued after an interrupt."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from kgrec.data.io.files import read_record
from kgrec.data.io.writing import locked, naming, sweep_inside, write_whole
from kgrec.errors import CheckpointError, ConfigError
from kgrec.log import progress
from kgrec.scale.world import World

SUCCESS = "_SUCCESS.json"
STARTED = "_started.json"
CHUNK = 4096
"""Users of a part."""

_END = b"PAR1"  # of a whole Parquet file


@contextmanager
def parts_in(
    folder: Path,
    made_of: Mapping[str, Any],
    users: int,
    *,
    chunk: int = CHUNK,
    world: World | None = None,
) -> Iterator["Parts"]:
    """Give a folder of parts, one a chunk of users, and keep other jobs out of it.

    Args:
        folder: Where.
        made_of: What the parts depend on, plain values; a folder begun with others is refused.
        users: Number of users.
        chunk: Users of a part.
        world: The processes that fill it together, each of which calls this alike.

    Raises:
        ConfigError: If a chunk has no user.
        CheckpointError: If the folder holds something else, was begun with something else, or
            another job is at work there.
        WorldError: If another process has other arguments.
    """
    if chunk < 1:
        raise ConfigError(f"--chunk {chunk}: a part has at least one user.")

    world = world or World()
    record = json.loads(json.dumps({**made_of, "users": users, "chunk": chunk}))
    record["digest"] = _digest(record)
    world.agree(record)
    parts = Parts(folder, record, world)
    if not world.first:
        world.hear()
        yield parts
        return

    with naming(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder, "kgrec"):
        parts.begin()
        world.hear()
        yield parts


def read_parts(folder: Path, form: str, columns: list[str]) -> Iterator[tuple[Path, pl.DataFrame]]:
    """Yield the parts of a finished folder, in order: their place, and columns of them.

    Args:
        folder: What ``parts_in`` filled.
        form: The ``format`` of what it was made of.
        columns: Columns to read.

    Raises:
        MissingFileError: If the folder is not finished.
        CheckpointError: If it holds something else, or a part is missing or broken.
    """
    record = read_record(folder / SUCCESS)
    if record.get("format") != form:
        raise CheckpointError(
            f"{folder / SUCCESS}: is of {str(record.get('format'))[:40]!r}, expected {form!r}. Name "
            "another folder."
        )

    for start in range(0, int(record["users"]), int(record["chunk"])):
        place = part_of(folder, start)
        try:
            frame = pl.read_parquet(place, columns=columns, glob=False, hive_partitioning=False)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            why = " ".join(str(error).split())[:120]
            raise CheckpointError(
                f"{place}: cannot be read ({why}). Remove it with {SUCCESS}, and fill the folder again."
            ) from None
        yield place, frame


def part_of(folder: Path, start: int) -> Path:
    """Return the place of the part whose first user is ``start``."""
    return folder / f"part-{start:010d}.parquet"


class Parts:
    """A folder of parts, each named by its first user's row.

    A part is written beside its place and renamed: what has its name is whole. ``_SUCCESS.json``
    comes last. Chunk c belongs to process c mod W, whatever W is, so that another number of
    processes can go on.

    Args:
        folder: Where.
        record: What the parts depend on, with the number of users and those of a chunk.
        world: The processes.
    """

    def __init__(self, folder: Path, record: Mapping[str, Any], world: World) -> None:
        self.folder = folder
        self._record = record
        self._world = world
        self._chunk = int(record["chunk"])
        self._users = int(record["users"])
        self._starts = range(0, self._users, self._chunk)

    @property
    def count(self) -> int:
        """Number of parts."""
        return len(self._starts)

    def path(self, start: int) -> Path:
        """Return the place of the part whose first user is ``start``."""
        return part_of(self.folder, start)

    def each(self, write: Callable[[range, Path], object], title: str) -> int:
        """Let ``write`` fill the parts of this process that are not there, users and a place at a
        time; return how many of all parts were there. No process waits for another before its end.
        """
        there = 0
        own = self._starts[self._world.rank :: self._world.size]
        with progress(title, len(own)) as bar:
            for done, start in enumerate(own, 1):
                if self._there(start):
                    there += 1
                else:
                    self._fill(start, write)
                bar.update(done)

        there = sum(self._world.gather(there, patient=True))
        self._finish()
        return there

    def together(self, make: Callable[[range], Callable[[Path], object]], title: str) -> int:
        """Let all processes make each part that is not there, and the first one write it; return
        how many were there.
        """
        missing = [start for start in self._starts if not self._there(start)]
        missing = self._world.hear(missing)  # as the first one sees the folder
        with progress(title, len(missing)) as bar:
            for done, start in enumerate(missing, 1):
                write = make(self._of(start))
                if self._world.first:
                    write_whole(self.path(start), write)
                bar.update(done)

        self._finish()
        return self.count - len(missing)

    def beside(self, name: str, write: Callable[[Path], object]) -> None:
        """Write a file that all parts share, once."""
        if self._world.first and not (self.folder / name).exists():
            write_whole(self.folder / name, write)

    def begin(self) -> None:
        """Make the folder, or check what is there and remove what killed processes left."""
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            raise CheckpointError(f"{self.folder}: exists and is not a folder. Choose another.")

        with naming(self.folder):
            self.folder.mkdir(exist_ok=True)
        sweep_inside(self.folder)
        names = {path.name for path in self.folder.iterdir()}
        if not names:
            self._write(STARTED, self._record)
            return
        if STARTED not in names:
            raise CheckpointError(
                f"{self.folder}: holds other files. Name an empty folder, or a new one."
            )

        found = read_record(self.folder / STARTED)
        for name, value in self._record.items():
            if found.get(name) != value:
                raise CheckpointError(
                    f"{self.folder}: was begun with {name} {str(found.get(name))[:60]}, not "
                    f"{str(value)[:60]}. Continue with the same, or choose another folder."
                )

    def _of(self, start: int) -> range:
        return range(start, min(start + self._chunk, self._users))

    def _fill(self, start: int, write: Callable[[range, Path], object]) -> None:
        write_whole(self.path(start), lambda place: write(self._of(start), place))

    def _there(self, start: int) -> bool:
        """Return whether a part is there.

        Raises:
            CheckpointError: If its end is missing, as after a copy that was cut short.
        """
        path = self.path(start)
        if not path.exists():
            return False

        with open(path, "rb") as stream:
            stream.seek(-min(len(_END), path.stat().st_size), 2)
            if stream.read() != _END:
                raise CheckpointError(
                    f"{path}: cut short. Remove it, and start again: it is made again."
                )
        return True

    def _finish(self) -> None:
        """Mark the folder as done, where every part is there."""
        if self._world.first:
            for start in self._starts:
                if not self._there(start):
                    raise CheckpointError(
                        f"{self.path(start)}: gone while others were written. Start again: only "
                        "what is missing is made."
                    )

            self._write(SUCCESS, {**self._record, "parts": self.count})
        self._world.hear()

    def _write(self, name: str, record: Mapping[str, Any]) -> None:
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        write_whole(self.folder / name, lambda path: path.write_text(text, encoding="utf-8"))


def _digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
