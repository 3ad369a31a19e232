"""A log of many Parquet files to a dataset on disk: seconds, memory under a real limit, peers.

    python benchmarks/lake.py [--rows 50_000_000] [--memory 1.5G] [--folder DIR] [--quick]

Writes the log where it is not there (18 bytes a row; ``--quick`` is a million rows): users are text,
a tenth as many as rows, items IRIs, a fiftieth, with times and two columns that no one asks for.
Then each work runs in a process of its own, under a limit on its memory that the system enforces: a
control group where this user may make one (the pages of files count and are given back; a process
beyond it is killed), else none, and the peak resident size (``getrusage``) is all there is. What is
done is kept in ``DIR/ROWS/figures.json``: started again, the benchmark goes on behind it
(``--again`` forgets it).

The works: kgrec with the memory given and with as much as it likes, polars (eager and streaming)
and pandas, each to users and items numbered, pairs once, and a division by time, on disk. That is
less than kgrec does: no order of ids or rows, no report, no checks, no sums.
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FILES = 50
IRI = "http://example.org/resource/item/"


def write(folder: Path, rows: int) -> None:
    """Write the log beside its place, then move it there."""
    import numpy as np
    import polars as pl

    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    random = np.random.default_rng(0)
    each = rows // FILES
    for number in range(FILES):
        users = pl.Series(random.integers(0, max(rows // 10, 10), each)).cast(pl.String)
        items = (random.pareto(1.2, each) * rows / 4000).astype(np.int64) % max(rows // 50, 10)
        pl.DataFrame(
            {
                "event_id": np.arange(each) + number * each,
                "user_id": "u" + users,
                "item_id": IRI + pl.Series(items).cast(pl.String),
                "ts": 1_700_000_000 + random.integers(0, 10**7, each),
                "price": random.random(each),
            }
        ).write_parquet(fresh / f"part-{number:03}.parquet")

    fresh.rename(folder)


def kgrec(folder: Path, out: Path, memory: str | None) -> dict[str, Any]:
    """Build and save as ``kgrec build --interactions FOLDER --split temporal`` does."""
    from kgrec import Dataset

    data = Dataset.build(str(folder), split="temporal", memory=memory, scratch=out / "rows")
    data = data.save(out / "dataset")
    rows = len(data.train) + len(data.valid) + len(data.test)
    return {"users": data.num_users, "items": data.num_items, "rows": rows, "sum": data.checksum}


def with_polars(folder: Path, out: Path, memory: str | None) -> dict[str, Any]:
    """Number, keep the earliest of each pair and divide, in one eager frame."""
    import polars as pl

    frame = pl.read_parquet(
        folder, columns=["user_id", "item_id", "ts"], glob=True, hive_partitioning=False
    )
    counts = {}
    for column, name in (("user_id", "user"), ("item_id", "item")):
        keys = frame.select(column).unique().sort(column).with_row_index(name)
        keys.write_parquet(out / f"{name}s.parquet")
        frame = frame.join(keys, on=column, how="left").drop(column)
        counts[f"{name}s"] = keys.height

    frame = frame.sort("user", "item", "ts").unique(["user", "item"], keep="first")
    first, second = (frame["ts"].quantile(share, "nearest") for share in (0.8, 0.9))
    frame = frame.sort("user", "ts", "item")
    time_ = pl.col("ts")
    for part, mask in (
        ("train", time_ < first),
        ("valid", (time_ >= first) & (time_ < second)),
        ("test", time_ >= second),
    ):
        frame.filter(mask).write_parquet(out / f"{part}.parquet")

    return counts | {"rows": frame.height}


def with_streams(folder: Path, out: Path, memory: str | None) -> dict[str, Any]:
    """The same as a lazy query, run by the streaming engine from disk to disk."""
    import polars as pl

    frame = pl.scan_parquet(folder / "*.parquet").select("user_id", "item_id", "ts")
    counts = {}
    for column, name in (("user_id", "user"), ("item_id", "item")):
        path = out / f"{name}s.parquet"
        keys = frame.select(column).unique().sort(column).with_row_index(name)
        keys.sink_parquet(path, engine="streaming")
        counts[f"{name}s"] = pl.scan_parquet(path).select(pl.len()).collect().item()
        frame = frame.join(pl.scan_parquet(path), on=column, how="left").drop(column)

    pairs = out / "pairs.parquet"
    frame.group_by("user", "item").agg(pl.col("ts").min()).sort("user", "ts", "item").sink_parquet(
        pairs, engine="streaming"
    )
    times = pl.scan_parquet(pairs).select("ts").collect().to_series()
    first, second = (times.quantile(share, "nearest") for share in (0.8, 0.9))
    time_ = pl.col("ts")
    for part, mask in (
        ("train", time_ < first),
        ("valid", (time_ >= first) & (time_ < second)),
        ("test", time_ >= second),
    ):
        kept = pl.scan_parquet(pairs).filter(mask)
        kept.sink_parquet(out / f"{part}.parquet", engine="streaming")

    return counts | {"rows": len(times)}


def with_pandas(folder: Path, out: Path, memory: str | None) -> dict[str, Any]:
    """The same in pandas."""
    import pandas as pd

    frame = pd.read_parquet(folder, columns=["user_id", "item_id", "ts"])
    counts = {}
    for column, name in (("user_id", "user"), ("item_id", "item")):
        frame[name], keys = pd.factorize(frame[column], sort=True)
        frame = frame.drop(columns=column)
        pd.DataFrame({"key": keys}).to_parquet(out / f"{name}s.parquet")
        counts[f"{name}s"] = len(keys)

    frame = frame.sort_values(["user", "item", "ts"]).drop_duplicates(["user", "item"])
    first, second = frame["ts"].quantile([0.8, 0.9], interpolation="nearest")
    frame = frame.sort_values(["user", "ts", "item"])
    for part, mask in (
        ("train", frame["ts"] < first),
        ("valid", (frame["ts"] >= first) & (frame["ts"] < second)),
        ("test", frame["ts"] >= second),
    ):
        frame[mask].to_parquet(out / f"{part}.parquet")

    return counts | {"rows": len(frame)}


WORKS: dict[str, tuple[Callable[[Path, Path, str | None], dict[str, Any]], bool]] = {
    "kgrec, memory given": (kgrec, True),
    "kgrec": (kgrec, False),
    "polars, streaming": (with_streams, False),
    "polars": (with_polars, False),
    "pandas": (with_pandas, False),
}


def measure(name: str, folder: Path, memory: str) -> None:
    """Do one work and print what it took."""
    work, limited = WORKS[name]
    with tempfile.TemporaryDirectory(prefix="out-", dir=folder.parent) as out:
        start, processor = time.perf_counter(), time.process_time()
        found = work(folder, Path(out), memory if limited else None)
        found |= {
            "seconds": round(time.perf_counter() - start, 1),
            "processor": round(time.process_time() - processor, 1),
            "peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }

    print(json.dumps(found))


@contextlib.contextmanager
def control_group(size: int | None) -> Iterator[Path | None]:
    """Give a control group with a limit on memory; None where there can be none, or no limit."""
    if size is None:
        yield None
        return

    for root, limit in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        group = Path("/sys/fs/cgroup") / root / f"kgrec-lake-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit).write_text(str(size))
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
            continue

        try:
            yield group
        finally:
            with contextlib.suppress(OSError):
                group.rmdir()
        return

    yield None


def run(name: str, folder: Path, memory: str, limit: int | None) -> dict[str, Any]:
    """Return what a work took, in a process of its own under the limit."""
    with control_group(limit) as group:

        def enter() -> None:
            if group is not None:
                (group / "cgroup.procs").write_text(str(os.getpid()))

        command = [sys.executable, __file__, "--measure", name, "--memory", memory]
        done = subprocess.run(
            [*command, "--folder", str(folder)],
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=enter,
        )
        limited = "none" if limit is None else f"{limit >> 20} MiB" if group else "not enforced"

    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        return {"failed": last[:200], "limit": limited}
    return json.loads(done.stdout.splitlines()[-1]) | {"limit": limited}


def main() -> None:
    """Write the log where needed, and do each work that is not done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--quick", action="store_true", help="a million rows")
    parser.add_argument("--memory", default="1.5G", help="of kgrec, and the enforced limit")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/kgrec-lake"))
    parser.add_argument("--only", nargs="*", choices=list(WORKS), help="some works alone")
    parser.add_argument("--again", action="store_true", help="forget what was measured")
    parser.add_argument("--measure", choices=list(WORKS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure, given.folder, given.memory)
        return

    from kgrec.data.logs.scratch import memory_size

    rows = 1_000_000 if given.quick else given.rows
    place = given.folder / str(rows)
    if not (place / "log").is_dir():
        place.mkdir(parents=True, exist_ok=True)
        write(place / "log", rows)

    kept = place / "figures.json"
    figures = {} if given.again or not kept.exists() else json.loads(kept.read_text())
    for name, (_, limited) in WORKS.items():
        if name not in figures and (not given.only or name in given.only):
            limit = memory_size(given.memory) if limited else None
            figures[name] = run(name, place / "log", given.memory, limit)
            kept.write_text(json.dumps(figures, indent=1) + "\n")

        if name in figures:
            print(f"{name:22}", json.dumps(figures[name]), flush=True)

    sums = {found["sum"] for found in figures.values() if "sum" in found}
    print(f"datasets of kgrec: {'one sum' if len(sums) == 1 else f'{len(sums)} sums'}")


if __name__ == "__main__":
    main()
