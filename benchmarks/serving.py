"""What a served list costs: CPU per list in process, and over HTTP with wrk or a client in Python.

python benchmarks/serving.py                         made-up log, 41,000 items: CPU per list, in turns
python benchmarks/serving.py --run runs/films        a run of your own
python benchmarks/serving.py --http --connections 1,16,64 --seconds 10 --workers 1

Contestants: tables (exact, and computed before), a history of 20 and of 100 items, ``Run.recommend``,
the naive form (scores of all items, ``argpartition``), and implicit's ``recommend`` where it is installed.
All rank the same vectors, in turns, one thread each. --http also measures starting, memory, and requests
that fail while the tables are swapped ten times.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import torch

import kgrec
from kgrec.serving.tables.folder import open_tables
from kgrec.serving.tables.ranking import Person, Ranking
from kgrec.serving.write_tables import Choice, write_tables

K = 10
SCRIPT = Path(__file__).resolve().parent.parent / "docs" / "serving" / "users.lua"


def made_up(users: int, items: int, each: int) -> "kgrec.Run":
    """Return a run of lightgcn, trained for a moment on a log with a heavy tail."""
    rng = np.random.default_rng(0)
    pairs = {
        "user": np.repeat(np.arange(users), each),
        "item": (items * rng.random(users * each) ** 2).astype(np.int64),
    }
    log = pl.DataFrame(pairs).unique(maintain_order=True).cast(pl.String)
    return kgrec.fit("lightgcn", kgrec.Dataset.build(log), dim=64, epochs=1, batch_size=65_536)


def cpu(calls: dict[str, Callable[[int], object]], turns: int) -> dict[str, float]:
    """Return milliseconds of CPU per call, the contestants in turns after a warm-up of five."""
    total = dict.fromkeys(calls, 0.0)
    for turn in range(-5, turns):
        for name, call in calls.items():
            began = time.process_time()
            call(turn)
            if turn >= 0:
                total[name] += time.process_time() - began

    return {name: 1e3 * seconds / turns for name, seconds in total.items()}


def contestants(run: "kgrec.Run", folder: Path) -> dict[str, Callable[[int], object]]:
    """Return what makes a list for the user of a turn."""
    write_tables(run, folder / "exact")
    write_tables(run, folder / "before", Choice(lists=100))
    exact, before = (Ranking(open_tables(folder / name)) for name in ("exact", "before"))
    rng = np.random.default_rng(1)
    users = rng.integers(run.data.num_users, size=4096)
    keys = run.data.users.keys(users)
    count = run.data.num_items
    histories = {n: [rng.permutation(count)[:n] for _ in range(64)] for n in (20, 100)}
    scorer = run.scorer()
    seen = [run.ranker().own_lists(np.array([row])).items.numpy() for row in users[:512]]

    def naive(turn: int) -> np.ndarray:
        with torch.inference_mode():
            scores = (scorer.items @ scorer.users[users[turn % 512]]).numpy()
        scores[seen[turn % 512]] = -np.inf
        top = np.argpartition(-scores, K)[:K]
        return top[np.argsort(-scores[top])]

    def of(ranking: Ranking) -> Callable[[int], object]:
        return lambda turn: ranking.recommend(Person(int(users[turn % 4096])), K)

    found: dict[str, Callable[[int], object]] = {
        "tables, exact": of(exact),
        "tables, computed before": of(before),
        "Run.recommend": lambda turn: run.recommend(keys[turn % 4096], k=K),
        "naive": naive,
    }
    if exact.source.folds:
        for n, each in histories.items():
            found[f"tables, a history of {n}"] = lambda turn, each=each: exact.recommend(
                Person(None, each[turn % 64]), K
            )
    if find_spec("implicit") is not None:
        from implicit.cpu.matrix_factorization_base import MatrixFactorizationBase

        model = MatrixFactorizationBase()
        model.user_factors, model.item_factors = scorer.users.numpy(), scorer.items.numpy()
        train = run.data.train.csr(run.data.num_users, count)
        found["implicit"] = lambda turn: model.recommend(
            users[turn % 4096], train[users[turn % 4096]], N=K
        )

    return found


class Served:
    """A service in a process of its own.

    Args:
        folder: Its tables.
        workers: How many.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        began = time.perf_counter()
        command = [sys.executable, "-m", "kgrec", "serve", str(folder), "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--workers", str(workers), "--log", "none"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip().rstrip("/")
        self.host, self.port = self.address.removeprefix("http://").split(":")
        while True:
            try:
                status, _ = self.get("/v1/recommend?user=0")
            except OSError:
                time.sleep(0.01)
                continue
            if status == 200:
                break
        self.seconds = time.perf_counter() - began

    def get(self, path: str) -> tuple[int, bytes]:
        """Return the status and body of one request."""
        connection = HTTPConnection(self.host, int(self.port), timeout=20)
        connection.request("GET", path)
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    def cpu(self) -> float:
        """Return the seconds of CPU that all its processes have taken."""
        tick = os.sysconf("SC_CLK_TCK")
        total = 0.0
        for pid in [self.process.pid, *self._children()]:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / tick
        return total

    def memory(self) -> float:
        """Return the MiB of its processes; pages that they share count once."""
        total = 0
        for pid in [self.process.pid, *self._children()]:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        return total / 1024

    def _children(self) -> list[int]:
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(30)


def measured(served: Served, keys: list[str], connections: int, seconds: float) -> dict[str, float]:
    """Return requests a second and their times, by wrk, else by threads of this process."""
    before = served.cpu()
    if shutil.which("wrk"):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as users:
            users.write("\n".join(keys))
            users.flush()
            done = subprocess.run(
                [
                    *("wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s"),
                    *("--latency", "-s", str(SCRIPT), served.address),
                ],
                env={**os.environ, "USERS": users.name},
                capture_output=True,
                text=True,
                check=True,
            )
        print(done.stdout)
        return {"cpu_s": served.cpu() - before}

    times: list[float] = []
    failed = [0]
    ends = time.perf_counter() + seconds

    def client(number: int) -> None:
        rng = np.random.default_rng(number)
        connection = HTTPConnection(served.host, int(served.port), timeout=20)
        while time.perf_counter() < ends:
            user = urllib.parse.quote(keys[rng.integers(len(keys))], safe="")
            began = time.perf_counter()
            try:
                connection.request("GET", f"/v1/recommend?k={K}&user={user}")
                answer = connection.getresponse()
                answer.read()
                failed[0] += answer.status != 200
            except OSError:
                failed[0] += 1
                connection.close()
            times.append(time.perf_counter() - began)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(connections)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    found = 1e3 * np.array(times)
    return {
        "requests_per_s": len(times) / seconds,
        "p50_ms": float(np.quantile(found, 0.5)),
        "p99_ms": float(np.quantile(found, 0.99)),
        "failed": failed[0],
        "server_cpu_ms": 1e3 * (served.cpu() - before) / max(1, len(times)),
    }


def swapped(served: Served, place: Path, keys: list[str], times: int = 10) -> dict[str, float]:
    """Return what fails while the tables are replaced over and over."""
    stop = threading.Event()

    def replace() -> None:
        for number in range(times):
            if stop.is_set():
                return
            fresh, gone = place.with_name(f"fresh{number}"), place.with_name(f"gone{number}")
            shutil.copytree(place, fresh)
            place.rename(gone)
            fresh.rename(place)
            shutil.rmtree(gone)
            time.sleep(1)

    other = threading.Thread(target=replace)
    other.start()
    found = measured(served, keys, 8, 1.2 * times)
    stop.set()
    other.join()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path)
    parser.add_argument("--users", type=int, default=30_000)
    parser.add_argument("--items", type=int, default=41_000)
    parser.add_argument("--turns", type=int, default=2_000)
    parser.add_argument("--http", action="store_true")
    parser.add_argument("--connections", default="1,16,64")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()

    one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    if not one.items() <= os.environ.items():  # the libraries read them when they are loaded
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **one})

    torch.set_num_threads(1)
    run = kgrec.load_run(options.run) if options.run else made_up(options.users, options.items, 30)
    print(f"{run.name}: {run.data.num_users:,} users, {run.data.num_items:,} items")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        calls = contestants(run, folder)
        found = cpu(calls, options.turns)
        for who, milliseconds in found.items():
            print(f"{who:28} {milliseconds:8.3f} ms of CPU a list")
        times = found["Run.recommend"] / found["tables, exact"]
        print(f"tables take a {times:.1f}th of Run.recommend")

        if options.http:
            keys = run.data.users.keys(np.arange(min(run.data.num_users, 4096)))
            served = Served(folder / "exact", options.workers)
            try:
                print(f"first answer after {served.seconds:.2f} s, {served.cpu():.2f} s of CPU")
                for connections in map(int, options.connections.split(",")):
                    print(
                        connections,
                        json.dumps(measured(served, keys, connections, options.seconds)),
                    )
                print("swapped", json.dumps(swapped(served, folder / "exact", keys)))
                print(f"{served.memory():.0f} MiB")
            finally:
                served.stop()


if __name__ == "__main__":
    main()
