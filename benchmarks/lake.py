"""A log of many Parquet files: rows read, split and stored, in seconds and MiB.

    python benchmarks/lake.py --rows 50_000_000 [--folder DIR]

Writes the files where they are not there (about 22 bytes a row), and measures in a process each
what reading takes, and what ``Dataset.build`` takes from the folder to a dataset on disk. Ids are
text for users and whole numbers for items; two columns that no one asks for lie beside them.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

FILES = 50


def write(folder: Path, rows: int) -> None:
    """Write the log, users with about 50 rows each."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    each = rows // FILES
    for number in range(FILES):
        users = pl.Series(random.integers(0, max(rows // 50, 10), each)).cast(pl.String)
        pl.DataFrame(
            {
                "event_id": np.arange(each) + number * each,
                "user_id": "u" + users,
                "item_id": (random.pareto(1.2, each) * 500).astype(np.int64) % 200_000,
                "ts": 1_700_000_000 + random.integers(0, 10**7, each),
                "price": random.random(each),
            }
        ).write_parquet(folder / f"part-{number:03}.parquet")


def measure(folder: Path, build: bool) -> None:
    """Read, or build and save as ``kgrec build`` does, and print what it took."""
    from kgrec import Dataset
    from kgrec.data.readers.interactions import read_log

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    base = peak()
    start, processor = time.perf_counter(), time.process_time()
    if build:
        data = Dataset.build(str(folder), split="temporal")
        found = {"interactions": len(data.train) + len(data.valid) + len(data.test)}
        with tempfile.TemporaryDirectory(dir=folder.parent) as out:
            data.save(Path(out) / "dataset")
    else:
        found = {"rows": read_log(str(folder)).frame.height}

    found |= {
        "seconds": round(time.perf_counter() - start, 1),
        "processor": round(time.process_time() - processor, 1),
        "MiB before": base,
        "MiB": peak(),
    }
    print(json.dumps(found))


def main() -> None:
    """Write where needed, measure in fresh processes, say whether 4 GiB suffice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/kgrec-lake"))
    parser.add_argument("--measure", choices=("read", "build"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.folder, given.measure == "build")
        return

    folder = given.folder / str(given.rows)
    if not folder.is_dir():
        write(folder, given.rows)

    for what in ("read", "build"):
        done = subprocess.run(
            [sys.executable, __file__, "--measure", what, "--folder", str(folder)],
            check=True,
            capture_output=True,
            text=True,
        )
        found = json.loads(done.stdout)
        found["bytes a row"] = round((found["MiB"] - found["MiB before"]) * 2**20 / given.rows, 1)
        print(what, json.dumps(found | {"within 4 GiB": found["MiB"] < 4096}), flush=True)


if __name__ == "__main__":
    main()
