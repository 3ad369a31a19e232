"""This process: its memory, and what is left of it after a fork.

A fork copies one thread. The pools of OpenMP (torch, the compiled kernels) and polars are then
without threads and wait for them for ever. In a child, torch is therefore set to one thread,
which needs no pool; polars has no such setting, and ``refuse_after_fork`` refuses its work where it
would hang.
"""

import os
import re
import sys
from pathlib import Path

from kgrec.errors import ForkError

_TASKS = Path("/proc/self/task")  # Linux: a folder per thread
_GROUP = "/sys/fs/cgroup/"
_GROUPS = (  # of containers: limit and use, version 2 and 1
    (f"{_GROUP}memory.max", f"{_GROUP}memory.current"),
    (f"{_GROUP}memory/memory.limit_in_bytes", f"{_GROUP}memory/memory.usage_in_bytes"),
)
_WORKER = re.compile(r"polars-\d|tokio-rt-worker")


class _State:
    used = False  # whether polars had threads when this process was forked
    lost = False  # whether this process is a child without them


def return_freed_memory() -> None:
    """Return what was freed to the system, between steps whose largest tables do not live together.

    glibc keeps freed blocks of up to 32 MB for later; of a graph of 3 million triples that was a
    fifth of the memory a build took, and returning it took 5 ms. Does nothing without glibc.
    """
    if sys.platform == "linux":
        import ctypes  # 2 ms of a start that rarely comes here

        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def refuse_after_fork(what: str) -> None:
    """Refuse work that would wait for ever for threads that a fork has not copied.

    Args:
        what: What cannot be done, as the beginning of a sentence.

    Raises:
        ForkError: If this process was forked from one in which polars had already started its
            threads.
    """
    if _State.lost:
        raise ForkError(
            f"{what} cannot be done in a process forked after its parent had read or written "
            "tables: polars would hang. Start processes "
            'by multiprocessing.get_context("spawn") (gunicorn: without --preload), or do this before the fork.'
        )


def peak_memory() -> int:
    """Return the most bytes of memory that this process has had at a time."""
    found = _linux("/proc/self/status", "VmHWM")
    if found is not None:
        return found

    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)

    import resource  # Unix only

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def total_memory() -> int:
    """Return the bytes of memory of this machine."""
    found = _linux("/proc/meminfo", "MemTotal")
    if found is not None:
        return found

    import psutil

    return int(psutil.virtual_memory().total)


def available_memory() -> int:
    """Return the bytes of memory that are free for this process, as far as the system says; no
    more than its control group allows.
    """
    free = _linux("/proc/meminfo", "MemAvailable")
    if free is None:
        import psutil

        free = int(psutil.virtual_memory().available)

    for limit, used in _GROUPS:
        try:
            left = int(Path(limit).read_text()) - int(Path(used).read_text())
        except (OSError, ValueError):  # none there, or "max"
            continue
        free = min(free, max(left, 0))

    return free


def _linux(file: str, name: str) -> int | None:
    """Return the bytes that Linux says in a line of a file; None where there is no such line, or no
    Linux.
    """
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return None

    return next(
        (int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None
    )


def _before_fork() -> None:
    _State.used = "polars" in sys.modules and _has_threads()


def _has_threads() -> bool:
    """Return whether polars has started its threads; where that cannot be seen, that it has."""
    try:
        return any(_WORKER.match((task / "comm").read_text()) for task in _TASKS.iterdir())
    except OSError:
        return True


def _in_child() -> None:
    _State.lost = _State.lost or _State.used
    if "torch" in sys.modules:
        torch = vars(sys.modules["torch"])
    else:
        torch = {}

    if "set_num_threads" in torch:
        torch["set_num_threads"](1)


def watch_forks() -> None:
    """Make children of this process safe; called once, when kgrec is imported."""
    if "register_at_fork" in vars(os):  # not on Windows, where nothing forks
        os.register_at_fork(before=_before_fork, after_in_child=_in_child)
