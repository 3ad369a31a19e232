"""The command line: parse, call, print. ``run`` is the one place where errors become exit codes.

0    done
1    a bug, with its traceback
2    bad input, bad usage, or the machine in the way: one line on standard error
3    nothing to show
130  interrupted
"""

import codecs
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Annotated

import typer
from typer.exceptions import TyperException

from kgrec import log
from kgrec._version import __version__
from kgrec.cli.commands import COMMANDS, GROUPS, CommandGroup, add_commands
from kgrec.cli.output import let_go, open_streams
from kgrec.errors import ConfigError, KgrecError
from kgrec.escaping import clean
from kgrec.scale.world import World

app = typer.Typer(
    name="kgrec",
    cls=CommandGroup,
    help="Load knowledge graphs, train graph-based recommenders, and inspect the paths that "
    "explain a recommendation.",
    add_completion=False,
    rich_markup_mode=None,  # plain help: half the start-up time of the drawn one
    pretty_exceptions_enable=False,
)


_INTERRUPTED = 130


def _show_version(show: bool) -> bool:
    if show:
        print(f"kgrec {__version__}")
        raise typer.Exit
    return show


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Show the version and exit."
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Only results and warnings: no progress, no log lines."),
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", hidden=True)] = False,
) -> None:
    log.show(-1 if follow else int(not quiet))


add_commands(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors that are not kgrec's, the caller's or
    the machine's pass through.
    """
    try:
        world = World.here()
        named = next((word for word in arguments if word in COMMANDS or word in GROUPS), None)
        if world.size > 1 and named in _FIRST:
            return _first_runs(world, arguments)

        _check_together(world, named)
        if world.first:
            return _run(arguments)

        with open(os.devnull, "w", encoding="utf-8") as nothing, redirect_stdout(nothing):
            return _run(["--follow", *arguments])
    except KgrecError as error:
        return _fail(str(error), 2)


_FIRST = ("build",)
"""Commands of which the first process does all, while others that torchrun started wait."""

_TOGETHER = ("train", "tune", "ablate", "recommend", "explain-batch", "export")
"""Commands that processes started by torchrun share."""


def _first_runs(world: World, arguments: Sequence[str]) -> int:
    """Run a command in the first process, and end all of them with its exit code.

    Raises:
        WorldError: In the others, if it ended with a bug.
    """
    world.hear()  # all are there, and will notice when one ends
    if world.first:
        code = _run(arguments)
        world.hear(code)
        return code
    return int(world.hear(patient=True))


def _check_together(world: World, named: str | None) -> None:
    """Refuse a command that every process would do again."""
    if world.size > 1 and named is not None and named not in _TOGETHER:
        raise ConfigError(
            f"kgrec {named} is the work of one process. Start it without torchrun, which is for "
            f"{', '.join((*_FIRST, *_TOGETHER))}."
        )


def _run(arguments: Sequence[str]) -> int:
    command = typer.main.get_command(app)
    try:
        with command.make_context("kgrec", list(arguments) or ["--help"]) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as stop:
        return stop.exit_code
    except KeyboardInterrupt as stop:
        return _fail(" ".join(["interrupted.", *getattr(stop, "__notes__", [])]), _INTERRUPTED)
    except TyperException as error:
        return _fail(_usage(error.format_message(), arguments), 2)
    except BrokenPipeError:
        let_go(sys.stdout)  # the reader has enough
    except KgrecError as error:
        return _fail(str(error), 2)
    except OSError as error:
        return _fail(_machine(error), 2)
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        return _fail(
            "the memory of this machine does not suffice. Ask for less: a smaller dim or "
            "batch_size, a smaller k.",
            2,
        )

    return 0


def main() -> None:
    """Run the command line of this process and exit.

    Idle OpenMP threads spin for a few microseconds, then sleep: ones that sleep at once are woken
    for every small operation, ones that spin on slow a training down many times where the machine
    has other work.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

    open_streams()
    if codecs.lookup(sys.getfilesystemencoding()).name == "ascii":
        _again_in_utf8()

    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            let_go(stream)

    if code == _INTERRUPTED:
        os._exit(
            code
            # an interrupt that passed through code run from text makes Python end itself by the
            # signal
        )

    sys.exit(code)


def _again_in_utf8() -> None:
    """Start again in Python's UTF-8 mode: where names of files are ASCII, the libraries that read
    and write here open no others.
    """
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _usage(message: str, arguments: Sequence[str]) -> str:
    command = next(
        (f"kgrec {word}" for word in arguments if word in COMMANDS or word in GROUPS), "kgrec"
    )
    message = message.replace(" Value error, ", " ")
    return f"{message}{'' if message.endswith(('.', '?')) else '.'} See `{command} --help`."


def _machine(error: OSError) -> str:
    what = error.strerror or str(error) or type(error).__name__
    if error.filename:
        where = f"{error.filename}: "
    else:
        where = ""
    return f"{where}{what}. Check the path, its permissions and the space left on the disk."


def _out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out; torch says so by a ``RuntimeError``."""
    message = str(error)
    return (
        isinstance(error, MemoryError)
        or "can't allocate memory" in message
        or "CUDA out of memory" in message
    )


def _fail(message: str, code: int) -> int:
    """Say in one line what went wrong, with the rank where there are several."""
    rank = os.environ.get("RANK", "0") if os.environ.get("WORLD_SIZE", "1") != "1" else ""
    if rank and not message.startswith("rank "):
        message = f"rank {rank[:9]}: {message}"

    try:
        print(f"kgrec: {clean(message)}", file=sys.stderr, flush=True)
    except OSError:
        let_go(sys.stderr)
    return code
