"""An index of item vectors for other programs: built, measured against the exact lists, and refused
where it loses too much of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from kgrec.errors import CapabilityError, ConfigError

KINDS = {"usearch": "usearch", "faiss": "faiss-cpu"}
DTYPES = ("float32", "int8")
LEAST = 0.95
"""Recall below which nothing is written."""
LENGTH = 20
_SAMPLED = 500
_EFFORTS = (64, 128, 256, 512, 1024)
_GRAPHS = ((16, 200), (32, 400))  # links per item, and items looked at for each when it is built
_METRICS = {"inner_product": "ip", "negative_l2": "l2", "negative_squared_l2": "l2"}
_UNIT = 1e-3
_LARGEST_BATCH = 64


@dataclass(frozen=True, slots=True)
class Index:
    """An index.

    Attributes:
        about: What is to be known of it, JSON-ready.
        write: Writes it to a file.
    """

    about: dict[str, Any]
    write: Callable[[Path], None]


Search = Callable[[np.ndarray, int], np.ndarray]
"""Takes queries and an effort, returns the keys of the best of each."""


def build_index(
    kind: str,
    items: np.ndarray,
    known: np.ndarray,
    users: np.ndarray,
    function: str,
    dtype: str = "float32",
) -> Index:
    """Return an index of the items that finds at least 95 % of the best 20.

    More effort at each search is tried first, then a denser graph.

    Args:
        kind: Name in ``KINDS``.
        items: One vector per item; its key in the index is its row.
        known: Items to put in.
        users: Vectors to measure by, at most 500 of them; of the items if there is no user.
        function: Name in ``kgrec.models.base.SCORE_FUNCTIONS``.
        dtype: Numbers of the index.

    Raises:
        ConfigError: If the library is not installed, a name is not known, or the index loses more
            than 5 %.
        CapabilityError: If no index knows the score.
    """
    _check(kind, items[known], function, dtype)
    rows = np.flatnonzero(known)
    wanted = users if len(users) else items[known]
    draw = np.random.default_rng(0).permutation(len(wanted))[:_SAMPLED]
    queries = np.ascontiguousarray(wanted[draw], dtype=np.float32)
    exact = _exact(queries, items, rows, function)
    make = _usearch if kind == "usearch" else _faiss
    tried: list[str] = []
    for links, effort in _GRAPHS:
        search, write = make(items, rows, _METRICS[function], dtype, links, effort)
        for reach in _EFFORTS:
            found = search(queries, reach)
            recall = _recall(found, exact)
            if recall >= LEAST:
                about = {
                    "library": kind,
                    "metric": _METRICS[function],
                    "dtype": dtype,
                    "rows": len(rows),
                    "links": links,
                    "ef_construction": effort,
                    "ef": reach,
                    f"recall@{LENGTH}": round(recall, 4),
                    "measured_on": len(queries),
                    "key": "row of the table of items, from 0",
                }
                return Index(about, write)

        tried.append(f"{recall:.3f} with {links} links")

    raise ConfigError(
        f"--index {kind}: finds {', '.join(tried)} of the best {LENGTH} at ef {_EFFORTS[-1]}, "
        f"{LEAST} is the least. Nothing is written; search the vectors exactly, or use float32."
    )


def _check(kind: str, items: np.ndarray, function: str, dtype: str) -> None:
    if kind not in KINDS:
        raise ConfigError(f"--index {kind[:40]}: choose from {', '.join(KINDS)}.")
    if dtype not in DTYPES or (kind, dtype) == ("faiss", "int8"):
        raise ConfigError(
            f"--index-dtype {dtype[:40]}: choose float32, or int8 with --index usearch."
        )
    if find_spec(kind) is None:
        raise ConfigError(f"--index {kind}: needs {KINDS[kind]}. Install kgrec[index].")
    if function not in _METRICS:
        raise CapabilityError(f"--index: no index knows the score {function}. Omit it.")
    if not len(items):
        raise ConfigError("--index: the run knows no item to put in.")

    lengths = np.linalg.norm(items, axis=1)
    if dtype == "int8" and np.abs(lengths - 1).max() > _UNIT:
        raise ConfigError(
            "--index-dtype int8: needs vectors of length 1, these have "
            f"{lengths.min():.3g} to {lengths.max():.3g}: most of the lists would be lost. Leave "
            "float32."
        )


def _exact(queries: np.ndarray, items: np.ndarray, rows: np.ndarray, function: str) -> np.ndarray:
    """Return the best rows of each query."""
    own = items[rows].astype(np.float32)
    length = min(LENGTH, len(rows))
    found = []
    for start in range(0, len(queries), _LARGEST_BATCH):
        scores = queries[start : start + _LARGEST_BATCH] @ own.T
        if function != "inner_product":
            scores = 2 * scores - (own**2).sum(1)
        found.append(rows[np.argpartition(-scores, length - 1, axis=1)[:, :length]])

    return np.concatenate(found)


def _recall(found: np.ndarray, exact: np.ndarray) -> float:
    hits = sum(len({*a} & {*b}) for a, b in zip(found.tolist(), exact.tolist(), strict=True))
    return hits / exact.size


def _usearch(
    items: np.ndarray, rows: np.ndarray, metric: str, dtype: str, links: int, effort: int
) -> tuple[Search, Callable[[Path], None]]:
    from usearch.index import Index as Graph

    index: Any = Graph(
        ndim=items.shape[1],
        metric="l2sq" if metric == "l2" else "ip",
        dtype={"float32": "f32", "int8": "i8"}[dtype],
        connectivity=links,
        expansion_add=effort,
    )
    index.add(rows, items[rows].astype(np.float32), threads=1)  # the same graph each time
    length = min(LENGTH, len(rows))

    def search(queries: np.ndarray, reach: int) -> np.ndarray:
        index.expansion_search = reach
        found = [index.search(query, length, threads=1).keys for query in queries]
        short = [np.pad(keys, (0, length - len(keys)), constant_values=2**62) for keys in found]
        return np.stack(short).astype(np.int64)

    def write(path: Path) -> None:
        index.save(str(path))

    return search, write


def _faiss(
    items: np.ndarray, rows: np.ndarray, metric: str, dtype: str, links: int, effort: int
) -> tuple[Search, Callable[[Path], None]]:
    import faiss

    faiss.omp_set_num_threads(1)
    kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    graph = faiss.IndexHNSWFlat(items.shape[1], links, kind)
    graph.hnsw.efConstruction = effort
    index = faiss.IndexIDMap(graph)
    index.add_with_ids(np.ascontiguousarray(items[rows], dtype=np.float32), rows)
    length = min(LENGTH, len(rows))

    def search(queries: np.ndarray, reach: int) -> np.ndarray:
        graph.hnsw.efSearch = reach
        return np.asarray(index.search(queries, length)[1])

    return search, lambda path: faiss.write_index(index, str(path))
