"""Programs as forks of a process that has imported the libraries they need.

Importing torch, and what an optimizer and polars load, takes longer than most programs of the tests
run. ``Forks`` starts one interpreter that imports libraries, computes nothing and knows nothing of
kgrec; each program is a fork of it with its own folder, arguments and streams, and imports kgrec
itself. What depends on how an interpreter starts (hash seed, locale, closed streams, threads of
OpenMP) needs a process of its own.
"""

import atexit
import contextlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
import types
from collections.abc import Sequence
from pathlib import Path

_FORKS = sys.platform == "linux"
_POLL = 0.005


class Forks:
    """Runs programs; a context manager, whose end is that of the process they are forks of."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Forks":
        return self

    def __exit__(self, *error: object) -> None:
        if self._server is not None:
            self._server.communicate()

    def run(
        self, arguments: Sequence[object], folder: Path, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as ``python *arguments`` in a folder does: a script, ``-c`` or ``-m``."""
        words = [str(argument) for argument in arguments]
        if not _FORKS:
            return subprocess.run(
                [sys.executable, *words],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )

        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, __file__],
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )

        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps([words, str(folder), seconds]) + "\n")
        self._server.stdin.flush()
        code, out, err = json.loads(self._server.stdout.readline())
        return subprocess.CompletedProcess(words, code, out, err)


def _serve() -> None:
    """Fork for each line of standard input, and answer with exit code and streams."""
    import polars  # noqa: F401
    import scipy.sparse.linalg  # noqa: F401
    import torch._dynamo  # noqa: F401  loaded by an optimizer
    import torch_geometric.nn  # noqa: F401

    for line in sys.stdin:
        words, folder, seconds = json.loads(line)
        streams = [os.memfd_create(name) for name in ("out", "err")]
        child = os.fork()
        if not child:
            _work(words, folder, streams)
        code = _end_of(child, seconds)
        told = []
        for stream in streams:
            os.lseek(stream, 0, os.SEEK_SET)
            with os.fdopen(stream, encoding="utf-8", errors="replace") as file:
                told.append(file.read())
        sys.stdout.write(json.dumps([code, *told]) + "\n")
        sys.stdout.flush()


def _end_of(child: int, seconds: float) -> int:
    """Return the exit code of a child, negative where a signal ended it."""
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(_POLL)


def _work(words: list[str], folder: str, streams: list[int]) -> None:
    """Do as a new interpreter does, and leave."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(streams[0], 1)
        os.dup2(streams[1], 2)
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
        os.chdir(folder)
        _run(words)
        code = 0
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            code = error.code or 0
        else:
            sys.stderr.write(f"{error.code}\n")
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()

        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _run(words: list[str]) -> None:
    first, *rest = words
    if first == "-m":
        sys.path.insert(0, os.getcwd())
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        return

    main = types.ModuleType("__main__")
    if first == "-c":
        source, name, folder = rest[0], "<string>", ""
        sys.argv = ["-c", *rest[1:]]
    else:
        source, name, folder = (
            Path(first).read_text(encoding="utf-8"),
            first,
            str(Path(first).parent),
        )
        main.__file__ = first
        sys.argv = words
    sys.modules["__main__"] = main
    sys.path[0] = folder
    exec(compile(source, name, "exec"), vars(main))


if __name__ == "__main__":
    _serve()
