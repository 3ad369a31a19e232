"""Workers: processes that share one socket and one folder of tables."""

import asyncio
import logging
import multiprocessing
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic, sleep
from types import FrameType

import uvicorn

from kgrec import log
from kgrec.data.io.files import existing, sha256
from kgrec.errors import CheckpointError, ConfigError, KgrecError
from kgrec.serving.http.app import Access, make_app
from kgrec.serving.http.live import Live
from kgrec.serving.http.metrics import Metrics, make_file
from kgrec.serving.protocols import QUIET, fastest
from kgrec.serving.run_source import RUN_CONFIG, LazyRun, RunReasons, RunSource, stamp_of
from kgrec.serving.tables.folder import Tables, open_tables

logger = logging.getLogger("kgrec.serve")
_LOOKED = 0.2  # seconds between looks at the tables
_QUICK = 2.0  # seconds within which a worker that ends has not started
_STARTS = 3
_SAME_SIGNAL = 1.0  # seconds within which a second signal is the first one again
_BROKEN = 3


@dataclass(frozen=True, slots=True)
class Settings:
    """What a worker must know; it travels to another process.

    Attributes:
        tables: Folder of tables.
        run: The run they were made of, where it is at hand; None without.
        allow: Classes of it that may be imported.
        access: Who may ask.
        workers: Number of workers.
        drain: Seconds between a signal to end and the end: no longer ready, still answering.
        most_open: Requests that a worker has open at once.
        log: Whether requests are logged.
        log_users: Whether the log names users.
        metrics: File of the counters; None for one worker.
    """

    tables: Path
    run: Path | None = None
    allow: tuple[str, ...] = ()
    access: Access = field(default_factory=Access)
    workers: int = 1
    drain: float = 0.0
    most_open: int = 256
    log: bool = False
    log_users: bool = False
    metrics: Path | None = None


def open_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        ConfigError: If the address or port cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigError(f"--host {host}: {error.strerror or error}.") from None

    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(1024)
    except OSError as error:
        found.close()
        raise ConfigError(
            f"{host} port {port}: {error.strerror}. Pass another --port, or 0 for a free one."
        ) from None

    found.set_inheritable(True)
    return found


class Worker(uvicorn.Server):
    """A server that looks for newer tables and takes its leave.

    Args:
        settings: What to serve, and how.
        live: What is served.
        metrics: Its counters.
        slot: Number of the worker; the first one makes new tables of a run that is replaced.
    """

    def __init__(self, settings: Settings, live: Live, metrics: Metrics, slot: int = 0) -> None:
        self._live = live
        self._settings = settings
        self._watched = settings.run if slot == 0 else None
        self._stamp = None if self._watched is None else _served_stamp(self._watched, live)
        self._leaves: float | None = None
        self._signaled = 0.0
        app = make_app(
            live,
            metrics,
            settings.access,
            most_open=settings.most_open,
            log=settings.log,
            log_users=settings.log_users,
        )
        super().__init__(
            uvicorn.Config(
                app,
                http=fastest(),
                loop="asyncio",  # uvloop's lets a few of many connections wait for seconds
                log_config=None,
                log_level="error",
                timeout_graceful_shutdown=5,
                **QUIET,
            )
        )

    async def main_loop(self) -> None:
        """Serve until the end, and look at the tables meanwhile."""
        looking = asyncio.create_task(self._look())
        try:
            await super().main_loop()
        finally:
            looking.cancel()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOKED)
            await asyncio.to_thread(self._follow_run)
            await asyncio.to_thread(self._live.look)

    def _follow_run(self) -> None:
        """Make new tables where the run at hand has been replaced."""
        if self._watched is None:
            return

        stamp = stamp_of(self._watched)
        if stamp is None or stamp == self._stamp:
            return

        self._stamp = stamp
        try:
            tables_of(self._watched, self._settings.allow)
        except (KgrecError, OSError) as error:
            logger.error("no tables of the new run: %s", error)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Be no longer ready at once, and end after a while; a second signal ends at once."""
        now = monotonic()
        if self._leaves is not None:
            # One signal to all processes comes twice: by itself, and handed on by the parent.
            alone = self._settings.workers == 1
            self.should_exit |= alone or now - self._signaled > _SAME_SIGNAL
            return

        self._live.draining = True
        self._signaled = now
        self._leaves = now + self._settings.drain

    async def on_tick(self, counter: int) -> bool:
        """Return whether it is time to end."""
        if self._leaves is not None and monotonic() >= self._leaves:
            self.should_exit = True
        return await super().on_tick(counter)


def _served_stamp(run: Path, live: Live) -> tuple[int, ...] | None:
    """Return the stamp of a run; None where it was replaced since its tables were made."""
    stamp = stamp_of(run)
    with suppress(OSError):
        if sha256(run / RUN_CONFIG) == live.service.ranking.tables.about.source:
            return stamp

    return None


def open_live(settings: Settings, metrics: Metrics) -> Live:
    """Return what is served, opened and tried.

    Raises:
        KgrecError: If the tables cannot be served.
    """
    if settings.run is None:
        return Live(settings.tables, metrics)

    run = LazyRun(settings.run, settings.allow)

    def source(tables: Tables) -> RunSource | None:
        return RunSource(run, tables) if tables.about.form == "model" else None

    return Live(settings.tables, metrics, lambda tables: RunReasons(run, tables), source)


def work(settings: Settings, listening: socket.socket, slot: int) -> None:
    """Serve in a process of its own until it is told to end."""
    log.show()
    if settings.log:
        log.as_json()

    metrics = Metrics(settings.metrics, slot)
    try:
        live = open_live(settings, metrics)
    except (KgrecError, OSError) as error:
        print_line(str(error))
        sys.exit(_BROKEN)

    with suppress(KeyboardInterrupt):
        Worker(settings, live, metrics, slot).run([listening])


def print_line(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"kgrec: {text}\n")
    sys.stderr.flush()


class Workers:
    """Several workers on one socket; one that dies is started again.

    Args:
        settings: What to serve, and how.
        listening: The socket.
    """

    def __init__(self, settings: Settings, listening: socket.socket) -> None:
        self._settings = settings
        self._listening = listening
        self._ends = False
        self._spawn = multiprocessing.get_context("spawn")
        self._processes: list[BaseProcess] = []
        self._begun: list[float] = []

    def run(self) -> int:
        """Serve until told to end, and return the exit code: 0, or 2 where no worker starts."""
        for sign in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sign, self._end)

        for slot in range(self._settings.workers):
            self._processes.append(self._started(slot))
            self._begun.append(monotonic())

        failed = self._watched()
        for process in self._processes:
            if process.is_alive():
                process.terminate()
        for process in self._processes:
            process.join(self._settings.drain + 10)
            if process.is_alive():
                process.kill()

        return 2 if failed else 0

    def _end(self, sign: int, frame: FrameType | None) -> None:
        if self._ends:
            for process in self._processes:
                process.terminate()
        self._ends = True

    def _started(self, slot: int) -> BaseProcess:
        process = self._spawn.Process(
            target=work, args=(self._settings, self._listening, slot), name=f"kgrec-serve-{slot}"
        )
        process.start()
        return process

    def _watched(self) -> bool:
        """Start again what dies, until the end; return whether nothing can start."""
        quick = 0
        while not self._ends:
            sleep(0.1)
            for slot, process in enumerate(self._processes):
                if process.is_alive() or self._ends:
                    continue

                lived = monotonic() - self._begun[slot]
                quick = quick + 1 if lived < _QUICK or process.exitcode == _BROKEN else 0
                if quick >= _STARTS * self._settings.workers:
                    print_line("workers end as soon as they start. What they said is above.")
                    return True

                print_line(f"worker {slot} ended (exit code {process.exitcode}); another starts.")
                self._processes[slot] = self._started(slot)
                self._begun[slot] = monotonic()

        return False


def serve(
    settings: Settings, listening: socket.socket, started: Callable[[], None] = lambda: None
) -> int:
    """Serve until told to end, and return the exit code.

    Args:
        settings: What to serve, and how.
        listening: The socket.
        started: Called when the tables are found to be sound.

    Raises:
        KgrecError: If the tables cannot be served.
    """
    if settings.workers == 1:
        metrics = Metrics()
        worker = Worker(settings, open_live(settings, metrics), metrics)
        started()
        with suppress(KeyboardInterrupt):
            worker.run([listening])
        return 0

    open_tables(settings.tables)
    started()
    with tempfile.TemporaryDirectory(prefix="kgrec-serve-") as folder:
        counters = Path(folder) / "metrics"
        make_file(counters, settings.workers)
        fields = {name: getattr(settings, name) for name in Settings.__slots__}
        return Workers(Settings(**{**fields, "metrics": counters}), listening).run()


def tables_of(run: Path, allow: Sequence[str] = ()) -> Path:
    """Return the folder of tables beside a run, made if there is none of this state of the run.

    They are made by another process, which ends with its torch.

    Raises:
        MissingFileError: If there is no such run.
        CheckpointError: If they cannot be made.
    """
    goal = run.with_name(f"{run.name}.serving")
    wanted = sha256(existing(run / RUN_CONFIG))
    with suppress(KgrecError, OSError):
        if open_tables(goal).about.source == wanted:  # neither damaged nor of another version
            return goal

    logger.warning("making the tables of %s: %s", run, goal)
    command = [sys.executable, "-m", "kgrec", "-q", "export", str(run), "--serving", str(goal)]
    for name in allow:
        command += ["--allow-class", name]

    done = subprocess.run([*command, "--beside-run"], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason was given."]
        raise CheckpointError(said[-1].removeprefix("kgrec: "))

    return goal
