"""Ends commands at each of their file operations, and looks at what they left.

``python tests/faults.py ROOT SCENARIO...`` runs commands in forks, under ROOT, and ends them there:

    keep   the command runs once, and its folder is copied before each operation: what a kill would
    leave, in little time kill   the command is run once for each operation, and dies there by kill
    -9 full   it is run once for each operation, and finds the disk full from there on

Then what is there is opened, gone on with, and the command is run again; one JSON document is
printed for each command. Nothing in kgrec knows of it: operations are seen by an audit hook of the
interpreter, and writes of other languages are stopped by a limit on the size of files.

An operation is a file opened for writing, a rename, a removal, or a folder made or removed. A file
opened for writing counts twice: the end comes before it is there, and when half of it is.
"""

import argparse
import contextlib
import errno
import gc
import hashlib
import importlib
import json
import os
import re
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

COUNT, KEEP, KILL, FULL = "count", "keep", "kill", "full"
SMALL = ["--set", "dim=4", "--set", "epochs=2", "--set", "batch_size=64", "--set", "patience=0"]
TRAIN = ["train", "in/data", "--model", "bprmf", *SMALL]


@dataclass(frozen=True)
class Scenario:
    """A command, and what has to be true whatever ends it.

    Attributes:
        command: The arguments, in a folder whose subfolder ``in`` holds what was prepared.
        outputs: What it writes.
        opens: Kind of the outputs: what opens them.
        prepare: Commands that make what stands there before.
        resume: Arguments that go on where the command was ended, where it can be gone on with.
        again: Whether the same arguments must succeed once more, as they are.
        exact: Whether the outputs are the same bytes every time; some say when they were made.
        done: What is said, with exit code 2, where all was done when the command was ended.
        gone: Id of a user who is in nothing that the command, run again, leaves.
    """

    command: Sequence[str]
    outputs: Sequence[str]
    opens: str = "file"
    prepare: Sequence[Sequence[str]] = ()
    resume: Sequence[str] = ()
    again: bool = True
    exact: bool = True
    done: str = ""
    gone: str = ""


@dataclass
class Verdict:
    """What a sweep found: of each kind of failure, the operations that it was found at."""

    scenario: str
    operations: int = 0
    ends: int = 0
    dead_ends: list[str] = field(default_factory=list)
    names_lost: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not (
            self.dead_ends or self.names_lost or self.leftovers or self.different or self.said
        )


_RUN = ["train", "in/data", "--model", "lightgcn-kg", *SMALL, "--out", "in/run"]
LEAVES = "u8-who-leaves"

SCENARIOS: dict[str, Scenario] = {
    "build": Scenario(["build", "in/raw", "--out", "out"], ["out"], "dataset"),
    "build over": Scenario(
        ["build", "in/raw", "--out", "out"],
        ["out"],
        "dataset",
        [["build", "in/raw", "--seed", "7", "--out", "out"]],
    ),
    "train": Scenario(
        [*TRAIN, "--out", "out"],
        ["out"],
        "run",
        resume=["train", "--resume", "--out", "out"],
        again=False,
    ),
    "train over": Scenario(
        [*TRAIN, "--out", "out"],
        ["out"],
        "run",
        [[*TRAIN, "--seed", "7", "--out", "out"]],
        ["train", "--resume", "--out", "out"],
    ),
    "train more": Scenario(
        ["train", "--resume", "--out", "out", "--set", "epochs=3"],
        ["out"],
        "run",
        [[*TRAIN, "--out", "out"]],
        ["train", "--resume", "--out", "out", "--set", "epochs=3"],
    ),
    "train refit": Scenario(
        [*TRAIN, "--refit", "--out", "out"],
        ["out"],
        "run",
        resume=["train", "--resume", "--out", "out"],
        again=False,
    ),
    "train closed form": Scenario(
        ["train", "in/data", "--model", "ease", "--out", "out"],
        ["out"],
        "run",
        resume=["train", "--resume", "--out", "out"],
        again=False,
    ),
    "tune": Scenario(
        ["tune", "in/data", "--model", "bprmf", "--trials", "2", *SMALL[2:], "--out", "out"],
        ["out"],
        "study",
    ),
    "ablate": Scenario(
        [
            "ablate",
            "in/data",
            "--model",
            "lightgcn-kg",
            "--seeds",
            "1",
            "--relations",
            "1",
            *SMALL,
            "--out",
            "out",
        ],
        ["out"],
        "study",
    ),
    "convert over": Scenario(
        ["convert", "in/data", "--to", "recbole", "--force", "--out", "out"],
        ["out"],
        "conversion",
        [["convert", "in/data", "--to", "kgat", "--out", "out"]],
    ),
    "recommend": Scenario(
        ["recommend", "in/run", "--users", "all", "--out", "out.csv"], ["out.csv"], prepare=[_RUN]
    ),
    "recommend over": Scenario(
        ["recommend", "in/run", "--users", "all", "--out", "out.parquet"],
        ["out.parquet"],
        prepare=[_RUN, ["recommend", "in/run", "--user", "u1", "--out", "out.parquet"]],
    ),
    "evaluate": Scenario(
        ["evaluate", "in/run", "--per-user", "out.parquet"], ["out.parquet"], prepare=[_RUN]
    ),
    "compare": Scenario(
        ["compare", "in/run", "in/other", "--plot", "out.svg"],
        ["out.svg"],
        prepare=[_RUN, [*TRAIN, "--out", "in/other"]],
        exact=False,
    ),
    "export": Scenario(
        ["export", "in/run", "--embeddings", "out"],
        ["out/users.parquet", "out/items.parquet"],
        prepare=[_RUN],
    ),
    "explain": Scenario(
        [
            "explain",
            "in/run",
            "--user",
            "u1",
            "--top",
            "2",
            "--format",
            "json",
            "--out",
            "out.json",
        ],
        ["out.json"],
        prepare=[_RUN],
    ),
    "explain-batch": Scenario(
        ["explain-batch", "in/run", "--users", "all", "--out", "out.jsonl"],
        ["out.jsonl"],
        "lines",
        prepare=[_RUN],
    ),
    "explain-summary": Scenario(
        ["explain-summary", "in/run", "--plot", "out.png"], ["out.png"], prepare=[_RUN]
    ),
    "explain-eval": Scenario(
        ["explain-eval", "in/run", "--users", "2", "--out", "out.json", "--plot", "out.svg"],
        ["out.json", "out.md"],
        prepare=[_RUN],
        exact=False,
    ),
    "inspect": Scenario(
        ["inspect", "in/run", "--export", "out.html"], ["out.html"], prepare=[_RUN]
    ),
    "info": Scenario(["info", "in/data", "--html", "out.html"], ["out.html"]),
    "export serving": Scenario(
        ["export", "in/run", "--serving", "out", "--lists", "3"],
        ["out"],
        "tables",
        [_RUN, ["export", "in/run", "--serving", "out"]],
        exact=False,
    ),
    "update": Scenario(
        ["update", "out", "--interactions", "in/raw/new.csv"],
        ["out"],
        "run",
        [[*TRAIN, "--out", "out"]],
        done="no interaction is new",
    ),
    "forget": Scenario(
        ["forget", "out", "--user", LEAVES],
        ["out", "data"],
        "either",
        [
            ["build", "in/raw", "--out", "data"],
            ["train", "data", *TRAIN[2:], "--out", "out"],
            ["export", "out", "--serving", "out.serving"],
        ],
        done="Nothing is left to do",
        gone=LEAVES,
    ),
} | {
    f"convert {name}": Scenario(
        ["convert", "in/data", "--to", name, "--force", "--out", "out"], ["out"], "conversion"
    )
    for name in (
        "recbole",
        "kgat",
        "graphml",
        "ntriples",
        "openke",
        "parquet",
        "networkx",
        "neo4j",
        "pykeen",
    )
}


def prepare_raw(folder: Path) -> None:
    """Write the sources of a dataset that is small enough to be built hundreds of times."""
    folder.mkdir(parents=True)
    users = [*(f"u{user}" for user in range(8)), LEAVES]
    rows = [
        f"{name}\ti{(user * 5 + step * 3) % 11}\t{step}"
        for user, name in enumerate(users)
        for step in range(8)
    ]
    new = [f"{name},i{(user * 5 + 24) % 11},{user + 9}" for user, name in enumerate([*users, "u9"])]
    (folder / "new.csv").write_text("\n".join(["user_id,item_id,timestamp", *new, ""]))
    (folder / "raw.inter").write_text(
        "\n".join(["user_id:token\titem_id:token\ttimestamp:float", *rows, ""])
    )
    (folder / "raw.kg").write_text(
        "\n".join(
            [
                "head_id:token\trelation_id:token\ttail_id:token",
                *(f"e{item}\tr{item % 2}\te{11 + item % 3}" for item in range(11)),
                "",
            ]
        )
    )
    (folder / "raw.link").write_text(
        "\n".join(
            ["item_id:token\tentity_id:token", *(f"i{item}\te{item}" for item in range(11)), ""]
        )
    )


class Fault:
    """Counts the file operations under a folder, and ends the process, or the disk's space, at one
    of them.
    """

    def __init__(self, root: Path, mode: str, at: int, states: int = 1) -> None:
        self.root, self.mode, self.at, self.seen = f"{root}{os.sep}", mode, at, 0
        self.states = states
        self.spent = self.busy = False
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple) -> None:
        if self.busy or event not in _EVENTS:
            return
        self.busy = True
        try:
            path = _EVENTS[event](arguments)
            if path is not None and path.startswith(self.root):
                self._operation(event, path)
        finally:
            self.busy = False

    def _operation(self, event: str, path: str) -> None:
        opens = event == "open"
        takes_space = event not in ("os.remove", "os.rmdir")
        first, self.seen = self.seen, self.seen + (2 if opens else 1)
        if self.mode == KEEP:
            for number in range(first, self.seen):
                if number % self.states:
                    continue
                state = _states(Path(self.root)) / f"{number:04}"
                shutil.copytree(self.root, state)
                if number > first and not os.path.lexists(path):
                    (state / os.path.relpath(path, self.root)).write_bytes(b"{")
        if self.mode == KILL and first <= self.at < self.seen:
            if opens and self.at > first and not os.path.lexists(path):
                Path(path).write_bytes(b"{")
            os.kill(os.getpid(), signal.SIGKILL)
        if (
            self.mode == FULL
            and takes_space
            and (first <= self.at < self.seen or (self.spent and event != "os.rename"))
        ):
            self.spent = True
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
            if not opens or self.at == first:  # else the file is made, and takes no byte
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def _opened(arguments: tuple) -> str | None:
    path, mode, flags = arguments
    writes = (
        any(sign in mode for sign in "wax+")
        if isinstance(mode, str)
        else flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    )
    return _absolute(path) if writes and not isinstance(path, int) else None


def _absolute(path: object, folder: int = -1) -> str:
    name = os.fspath(path)
    name = os.fsdecode(name)
    return (
        os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)
        if folder >= 0
        else os.path.abspath(name)
    )


_EVENTS: dict[str, Callable[[tuple], str | None]] = {
    "open": _opened,
    "os.rename": lambda a: _absolute(a[0], a[2]),
    "os.remove": lambda a: _absolute(a[0], a[1]),
    "os.mkdir": lambda a: _absolute(a[0], a[2]),
    "os.rmdir": lambda a: _absolute(a[0], a[1]),
    "os.truncate": lambda a: _absolute(a[0]) if not isinstance(a[0], int) else None,
    "os.symlink": lambda a: _absolute(a[1], a[2]),
    "os.link": lambda a: _absolute(a[1], a[3]),
}


@dataclass
class Ended:
    """How work in a fork ended: exit code (negative: the signal), what it said, its file
    operations, and what it had imported.
    """

    code: int
    said: str
    operations: int
    modules: list[str]


def in_fork(
    folder: Path, work: Callable[[], int], mode: str = COUNT, at: int = -1, states: int = 1
) -> Ended:
    """Do some work in a fork whose current folder is ``folder``."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        code = 99
        try:
            os.chdir(folder)
            os.dup2(write, 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            fault = Fault(folder.resolve(), mode, at, states)
            code = work()
            os.write(2, f"\n#{' '.join(sys.modules)}\n#{fault.seen}".encode())
        finally:
            if sys.exc_info()[0] is not None:
                os.write(2, f"\nTraceback {traceback.format_exc()[-2000:]}".encode())
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        said, *told = stream.read().decode(errors="replace").split("\n#")
    status = os.waitpid(child, 0)[1]
    modules, count = told if len(told) == 2 else ("", "0")
    return Ended(os.waitstatus_to_exitcode(status), said, int(count), modules.split())


def command(arguments: Sequence[str]) -> Callable[[], int]:
    """Return what runs a command line in this process."""

    def work() -> int:
        from kgrec.cli import run

        return run(["-q", *arguments])

    return work


def opens(kind: str, path: Path) -> Callable[[], int]:
    """Return what opens an output and uses it; 0 where that succeeds."""

    def work() -> int:
        import kgrec

        if kind == "run" or (kind == "either" and path.name != "data"):
            assert kgrec.load_run(path).recommend("u1", k=2).height or True
        elif kind in ("dataset", "conversion", "either"):
            assert kgrec.load(path).num_items or True
        elif kind == "tables":
            from kgrec.serving.tables.folder import open_tables

            assert len(open_tables(path).users)
        elif kind == "file":
            assert path.stat().st_size
        return 0

    def untrained() -> int:
        from kgrec.errors import TrainingError

        try:
            return work()
        except TrainingError:  # a closed form that was ended before it was computed says so
            return 0

    return untrained


def stamp(path: Path) -> str | None:
    """Return what equal results have in common: a sum over the files that hold no times."""
    if not path.exists():
        return None
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    kept = [
        p
        for p in files
        if p.suffix not in (".json", ".db", ".csv", ".png", ".toml") or path.is_file()
    ]
    return hashlib.sha256(
        b"".join(f"{p.relative_to(path)}\0".encode() + p.read_bytes() for p in kept)
    ).hexdigest()


def names(folder: Path, user: str) -> Callable[[], int]:
    """Return what says which files beside what was prepared hold an id, and which datasets know it;
    0 where there are none.
    """

    def work() -> int:
        import kgrec

        files = [p for p in folder.rglob("*") if p.is_file() and (folder / "in") not in p.parents]
        found = [p for p in files if user.encode() in p.read_bytes()]
        places = folder / "data", folder / "out" / "data"
        found += [place for place in places if user in kgrec.load(place).users]
        os.write(2, " ".join(str(p.relative_to(folder)) for p in found).encode())
        return int(bool(found))

    return work


def leftovers(folder: Path) -> list[str]:
    """Return what lies in a folder under passing names."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob(".*"))


def sweep(name: str, root: Path, modes: Sequence[str], every: int = 1, states: int = 1) -> Verdict:
    """End a command at its operations, and return what was found.

    Args:
        name: The scenario.
        root: Folder to work in.
        modes: How the command is ended.
        every: Of "kill" and "full", take every n-th operation.
        states: Of what is kept, look at every n-th operation.
    """
    scenario, verdict = SCENARIOS[name], Verdict(name)
    root.mkdir(parents=True)
    start = _prepared(root.parent, [["build", "in/raw", "--out", "in/data"], *scenario.prepare])
    before = {output: stamp(start / output) for output in scenario.outputs}
    trial = root / "trial"
    _fresh(start, trial)
    shutil.rmtree(_states(trial), ignore_errors=True)
    keep = KEEP if KEEP in modes else COUNT
    whole = in_fork(trial, command(scenario.command), keep, states=states)
    assert whole.code in (0, 1 if "explain-eval" in scenario.command else 0), whole.said
    assert not leftovers(trial), leftovers(trial)
    used = [
        name
        for output in scenario.outputs
        for name in in_fork(trial, opens(scenario.opens, trial / output)).modules
    ]
    _import([*whole.modules, *used])
    after = {output: stamp(trial / output) for output in scenario.outputs if scenario.exact}
    verdict.operations = whole.operations
    judged = {signature(start)}

    def judge(where: str, place: Path, ended: Ended | None) -> None:
        verdict.ends += 1
        if ended is not None and (
            ended.code not in (0, 1, 2)
            or "Traceback" in ended.said
            or ended.said.strip().count("\n") > 0
        ):
            verdict.said.append(f"{where}: {ended.code}: {ended.said[-1500:]}")
        found = signature(place)
        if found not in judged:
            judged.add(found)
            _judge(scenario, verdict, where, place, before, after)

    if KEEP in modes:
        for state in sorted(_states(trial).iterdir()):
            judge(f"{KEEP} {int(state.name)}", state, None)
    for mode in (mode for mode in modes if mode != KEEP):
        for at in range(0, whole.operations, every):
            _fresh(start, trial)
            ended = in_fork(trial, command(scenario.command), mode, at)
            judge(f"{mode} {at}", trial, ended if mode == FULL else None)
    return verdict


def _prepared(root: Path, commands: Sequence[Sequence[str]]) -> Path:
    """Return the folder that some commands leave; those that scenarios share run once."""
    name = hashlib.sha256(json.dumps(commands).encode()).hexdigest()[:8]
    folder = root / f"start-{name}"
    if folder.exists():
        return folder

    if not commands:
        prepare_raw(folder / "in" / "raw")
        return folder

    shutil.copytree(_prepared(root, commands[:-1]), folder)
    done = in_fork(folder, command(commands[-1]))
    assert done.code == 0, (commands[-1], done.said)
    _import(done.modules)
    return folder


def _states(trial: Path) -> Path:
    return trial.parent / "states"


_PASSING = re.compile(r"\.(?P<of>.+)\.(tmp|lock|(new|old|gone)-[0-9a-f]{8})")


def signature(folder: Path) -> str:
    """Return what tells apart what commands may leave: names and contents, where the passing ones
    that nobody reads are names alone.

    A folder that is being filled is read from the moment on that it has its ``config.json``.
    """
    digest = hashlib.sha256()
    for path, names, files in os.walk(folder):
        place = Path(path)
        names[:] = sorted(name for name in names if name != "in" or place != folder)
        digest.update(f"/{_masked(str(place.relative_to(folder)))}\0".encode())
        read = ".old-" in place.name or (".new-" in place.name and (place / "config.json").exists())
        if _PASSING.fullmatch(place.name) and not read:
            names[:] = []
            continue
        for name in sorted(files, key=_masked):
            digest.update(f"{_masked(name)}\0".encode())
            if not _PASSING.fullmatch(name):
                digest.update(hashlib.sha256((place / name).read_bytes()).digest())
    return digest.hexdigest()


def _masked(name: str) -> str:
    return re.sub(r"-[0-9a-f]{8}(?=/|$)", "", name)


def _import(modules: Sequence[str]) -> None:
    """Import what forks have imported, so that the next ones need not; then keep the garbage
    collector from copying it.
    """
    for name in dict.fromkeys(modules):
        if name not in sys.modules and name.partition(".")[0] not in ("triton", "__mp_main__"):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    gc.collect()
    gc.freeze()


def _fresh(start: Path, trial: Path) -> None:
    shutil.rmtree(trial, ignore_errors=True)
    shutil.copytree(start, trial)


def _judge(
    scenario: Scenario, verdict: Verdict, where: str, trial: Path, before: dict, after: dict
) -> None:
    if scenario.resume and scenario.again:  # what goes on, and what begins anew, are two ways out
        _fresh(trial, trial.parent / "anew")
        _run_again(scenario, verdict, f"{where}, anew", trial.parent / "anew", after)
    _open(scenario, verdict, where, trial, before)
    if scenario.resume and any((trial / output).exists() for output in scenario.outputs):
        done = in_fork(trial, command(scenario.resume))
        if done.code:
            verdict.dead_ends.append(f"{where}: does not resume: {done.said[-1500:]}")
        elif not before[scenario.outputs[0]]:
            _compare(verdict, f"{where}, resumed", trial, after)
    if (scenario.again and not scenario.resume) or not any(
        (trial / output).exists() for output in scenario.outputs
    ):
        _run_again(scenario, verdict, where, trial, after)
    elif left := leftovers(trial):
        verdict.leftovers.append(f"{where}: {left}")


def _open(scenario: Scenario, verdict: Verdict, where: str, trial: Path, before: dict) -> None:
    for output in scenario.outputs:
        path = trial / output
        if before[output] is None and not path.exists():
            continue
        opened = in_fork(trial, opens(scenario.opens, path))
        if before[output] is not None and not path.exists():
            verdict.names_lost.append(f"{where}: {output}")
        if opened.code:
            verdict.dead_ends.append(f"{where}: {output} does not open: {opened.said[-1500:]}")


def _run_again(scenario: Scenario, verdict: Verdict, where: str, trial: Path, after: dict) -> None:
    done = in_fork(trial, command(scenario.command))
    nothing_to_do = done.code == 2 and scenario.done and scenario.done in done.said
    if not nothing_to_do and done.code not in (0, 1 if "explain-eval" in scenario.command else 0):
        verdict.dead_ends.append(f"{where}: does not run again: {done.said[-1500:]}")
    else:
        _compare(verdict, f"{where}, again", trial, after)
        if scenario.gone:
            found = in_fork(trial, names(trial, scenario.gone))
            if found.code:
                verdict.dead_ends.append(f"{where}: still names who is gone: {found.said}")
    if left := leftovers(trial):
        verdict.leftovers.append(f"{where}: {left}")


def _compare(verdict: Verdict, where: str, trial: Path, after: dict) -> None:
    verdict.different += [
        f"{where}: {output}" for output, found in after.items() if stamp(trial / output) != found
    ]


def get_ready() -> None:
    """Import what commands need, so that forks need not; nothing is computed, and no thread is
    started.
    """
    import torch
    import torch._dynamo  # noqa: F401  an optimizer loads it, in as long as torch itself takes

    import kgrec.runs.fit

    torch.set_num_threads(1)
    kgrec.runs.fit._SECONDS_BETWEEN_CHECKPOINTS = 0.0


def main() -> None:
    """Sweep one command, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument(
        "scenarios",
        nargs="+",
        metavar="SCENARIO[=STATES]",
        help="with =n: look at every n-th operation of what is kept; the default is 1",
    )
    parser.add_argument("--modes", default=f"{KEEP},{FULL}")
    parser.add_argument(
        "--every", type=int, default=1, help="of kill and full: take every n-th operation"
    )
    chosen = parser.parse_args()
    get_ready()
    for number, one in enumerate(chosen.scenarios):
        name, _, states = one.partition("=")
        found = sweep(
            name,
            chosen.root.resolve() / str(number),
            chosen.modes.split(","),
            chosen.every,
            int(states or 1),
        )
        sys.stdout.write(json.dumps(asdict(found)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
