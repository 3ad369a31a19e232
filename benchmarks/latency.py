"""One answer at a time: ``recommend`` and ``explain`` for one user, beside a bare top-k in numpy
and implicit where it is installed.

python benchmarks/latency.py                           three log sizes, 300 users each
python benchmarks/latency.py --sizes 100000 --users 50

All rank the same vectors in the same process, in turns, one thread each; bare is ``argpartition``
over the scores of all items, the seen ones left out. Explanations are of the first item of the
list, by lightgcn-kg over a made-up graph.
"""

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import polars as pl
import scipy.sparse as sp
import torch

import kgrec

ITEMS = {100_000: 2_000, 1_000_000: 20_000, 3_000_000: 50_000}
K = 10


def made_up(size: int, items: int, seed: int = 0) -> kgrec.Dataset:
    """Return a dataset of about ``size`` interactions of size / 50 users, items with a heavy tail,
    and four facts per item.
    """
    rng = np.random.default_rng(seed)
    pairs = {
        "user": rng.integers(size // 50, size=size),
        "item": (items * rng.random(size) ** 3).astype(np.int64),
    }
    log = pl.DataFrame(pairs).unique(maintain_order=True).cast(pl.String)
    values = {f"r{n}": rng.integers(items // 20, size=items) for n in range(4)}
    table = pl.DataFrame({"item": np.arange(items), **values}).with_columns(
        pl.col("item").cast(pl.String), pl.col("^r.$").cast(pl.String)
    )
    triples = kgrec.triples_from_table(table, item="item")
    return kgrec.Dataset.build(log, triples)


def timed(
    calls: dict[str, Callable[[str, int], object]], users: list[tuple[str, int]]
) -> dict[str, np.ndarray]:
    """Return milliseconds per user of each call, the contestants in turns after a warm-up of
    five.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    for user in [*users[:5], *users]:
        for name, call in calls.items():
            began = time.perf_counter()
            call(*user)
            found[name].append(1e3 * (time.perf_counter() - began))

    return {name: np.array(times[5:]) for name, times in found.items()}


def contestants(run: kgrec.Run) -> dict[str, Callable[[str, int], object]]:
    """Return what answers for a user (id, row)."""
    scorer, data = run.scorer(), run.data
    users, items = scorer.users.numpy(), scorer.items.numpy()
    seen = (
        data.train.csr(data.num_users, data.num_items)
        + data.valid.csr(data.num_users, data.num_items)
    ).tocsr()

    def bare(user: str, row: int) -> np.ndarray:
        scores = items @ users[row]
        scores[seen.indices[seen.indptr[row] : seen.indptr[row + 1]]] = -np.inf
        best = np.argpartition(-scores, K)[:K]
        return best[np.argsort(-scores[best])]

    calls: dict[str, Callable[[str, int], object]] = {
        "bare numpy": bare,
        "recommend": lambda user, row: run.recommend(user, k=K),
    }
    try:
        from implicit.cpu.als import AlternatingLeastSquares
    except ImportError:
        print("implicit is not installed: left out", file=sys.stderr)
    else:
        peer = AlternatingLeastSquares(factors=users.shape[1], num_threads=1)
        peer.user_factors, peer.item_factors = users, items
        lists = sp.csr_matrix(seen, dtype=np.float32)
        calls["implicit"] = lambda user, row: peer.recommend(row, lists[row], N=K)

    return calls


def explaining(run: kgrec.Run, top: dict[str, str]) -> Callable[[str, int], object]:
    """Return what explains the first item of a user."""
    return lambda user, row: run.explain(user, top[user])


def main() -> None:
    """Print a line per log size and contestant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="100000,1000000,3000000")
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--explained", type=int, default=60)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{'interactions':>12} {'items':>7} {'':<18} {'p50 ms':>8} {'p99 ms':>8} {'x bare p50':>10}"
    )

    for size in map(int, asked.sizes.split(",")):
        data = made_up(size, ITEMS.get(size, max(200, size // 60)))
        print(f"{size:,} interactions: training", file=sys.stderr)
        run = kgrec.fit("lightgcn-kg", data, dim=64, epochs=1, batch_size=65_536, fallback="off")
        rows = (
            np.random.default_rng(1).choice(run.data.num_users, asked.users, replace=False).tolist()
        )
        users = list(zip(run.data.users.keys(rows), rows, strict=True))
        began = time.perf_counter()
        run.recommend(users[0][0])
        first = 1e3 * (time.perf_counter() - began)
        times = timed(contestants(run), users)
        began = time.perf_counter()
        top = {user: run.recommend(user, k=1)["item"][0] for user, _ in users[: asked.explained]}
        run.explain(users[0][0], top[users[0][0]])
        first_explained = 1e3 * (time.perf_counter() - began)
        times |= timed({"explain": explaining(run, top)}, users[: asked.explained])
        bare = np.median(times["bare numpy"])

        for name, values in times.items():
            p50, p99 = np.quantile(values, [0.5, 0.99])
            ratio = "" if name in ("bare numpy", "explain") else f"{p50 / bare:.1f}"
            print(
                f"{len(data.train) + len(data.valid) + len(data.test):12,} {data.num_items:7,} "
                f"{name:<18} {p50:8.3f} {p99:8.3f} {ratio:>10}"
            )

        print(
            f"{'':>12} {'':>7} first recommend {first:.0f} ms, first explain "
            f"{first_explained:.0f} ms (once per run)",
            flush=True,
        )


if __name__ == "__main__":
    main()
