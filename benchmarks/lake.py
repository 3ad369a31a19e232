"""A log of many Parquet files: rows read, split and stored, in seconds and MiB.

    python benchmarks/lake.py --rows 50_000_000 [--folder DIR]

Writes the files where they are not there (about 9 bytes a row), and measures in a process of its
own: what the reading takes, and what ``Dataset.build`` takes after it. Ids are text for users and
whole numbers for items; two columns that no one asks for lie beside them.
"""

import argparse
import json
import resource
import subprocess
import sys
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


def measure(folder: Path) -> None:
    """Read and divide, and print what it took."""
    from kgrec import Dataset
    from kgrec.data.readers.interactions import read_log

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    found = {"MiB at the start": peak()}
    start = time.perf_counter()
    log = read_log(str(folder))
    found |= {"rows": log.frame.height, "s read": round(time.perf_counter() - start, 1)}
    found["MiB read"] = peak()
    start = time.perf_counter()
    data = Dataset.build(log, split="temporal")
    found |= {"s build": round(time.perf_counter() - start, 1), "MiB build": peak()}
    found["interactions"] = len(data.train) + len(data.valid) + len(data.test)
    print(json.dumps(found))


def main() -> None:
    """Write where needed, measure in a fresh process, say whether 4 GiB suffice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/kgrec-lake"))
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.folder)
        return

    folder = given.folder / str(given.rows)
    if not folder.is_dir():
        write(folder, given.rows)

    done = subprocess.run(
        [sys.executable, __file__, "--measure", "--folder", str(folder)],
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    print(json.dumps(found | {"within 4 GiB": found["MiB build"] < 4096}, indent=1))


if __name__ == "__main__":
    main()
