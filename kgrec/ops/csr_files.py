"""A ``Csr`` larger than memory: built a range of destinations at a time, mapped from its files."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from kgrec.errors import GraphError
from kgrec.ops.csr import INT32_MAX, Csr

Edges = Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]
"""Gives all edges in blocks, at every call from the first on: destinations and sources."""

_BLOCK = 1 << 22


def csr_on_disk(
    edges: Edges,
    num_nodes: int,
    folder: Path,
    *,
    most_edges: int = 1 << 26,
    largest: int = INT32_MAX,
) -> Csr:
    """Build the structure of ``Csr.from_edges``, for one kind of edge, as files.

    The edges are read once to count them, and once for each range of destinations that has
    ``most_edges`` together: 16 bytes for each of these are in memory at a time, and 24 for each
    node. Processes of one machine that open the files share their pages.

    Args:
        edges: Gives the edges, a reverse for each; in any order, equal ones too.
        num_nodes: Number of nodes.
        folder: An empty folder, which gets ``ptr.npy`` (int64), ``idx.npy`` (int32) and ``rev.npy``.
        most_edges: Edges that are sorted at a time; a node with more is a range of its own.
        largest: Number of edges beyond which positions (``rev``) are int64 instead of int32.

    Raises:
        GraphError: If a node is out of range, or an edge has no reverse.
    """
    if num_nodes > INT32_MAX:
        raise GraphError(f"{num_nodes} nodes are more than 32-bit numbers can name.")

    degree = np.zeros(num_nodes, dtype=np.int64)
    for destination, source in edges():
        for nodes in (destination, source):
            if len(nodes) and not (nodes.min() >= 0 and nodes.max() < num_nodes):
                wrong = int(nodes.min() if nodes.min() < 0 else nodes.max())
                raise GraphError(f"an edge names node {wrong}, outside 0..{num_nodes - 1}.")
        degree += np.bincount(destination, minlength=num_nodes)

    ptr = np.zeros(num_nodes + 1, dtype=np.int64)
    np.cumsum(degree, out=ptr[1:])
    np.save(folder / "ptr.npy", ptr)
    total = int(ptr[-1])
    idx = _new(folder / "idx.npy", np.int32, total)
    first = 0
    while first < num_nodes:
        last = int(np.searchsorted(ptr, ptr[first] + most_edges, side="right")) - 1
        last = max(last, first + 1)
        idx[ptr[first] : ptr[last]] = _sources(edges, first, last, ptr)
        first = last

    _write_reverses(folder, ptr, idx, np.int64 if total > largest else np.int32)
    return open_csr(folder)


def open_csr(folder: Path) -> Csr:
    """Return the structure that ``csr_on_disk`` wrote, mapped to memory."""
    ptr, idx, rev = (
        torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="c"))
        for name in ("ptr", "idx", "rev")
    )
    return Csr(ptr, idx, rev, None, len(ptr) - 1)


def _new(path: Path, dtype: type, size: int) -> np.ndarray:
    if not size:  # an empty file cannot be mapped
        np.save(path, np.empty(0, dtype))
        return np.empty(0, dtype)
    return np.lib.format.open_memmap(path, "w+", dtype, (size,))


def _sources(edges: Edges, first: int, last: int, ptr: np.ndarray) -> np.ndarray:
    """Return the sources of a range of destinations, sorted by destination and source."""
    key = np.empty(int(ptr[last] - ptr[first]), dtype=np.int64)
    at = 0
    for destination, source in edges():
        mine = (destination >= first) & (destination < last)
        some = destination[mine].astype(np.int64) << 32 | source[mine]
        key[at : at + len(some)] = some
        at += len(some)

    key.sort()
    return (key & 0xFFFFFFFF).astype(np.int32)


def _write_reverses(folder: Path, ptr: np.ndarray, idx: np.ndarray, dtype: type) -> None:
    """Write the position of each edge's reverse.

    Edges are sorted by destination, then source: those that leave a node are met in the order of
    their reverses in the node's own row.
    """
    rev = _new(folder / "rev.npy", dtype, len(idx))
    cursor = ptr[:-1].copy()
    for start in range(0, len(idx), _BLOCK):
        source = np.asarray(idx[start : start + _BLOCK])
        positions = np.arange(start, start + len(source))
        destination = np.searchsorted(ptr, positions, side="right") - 1
        order = np.argsort(source, kind="stable")
        ordered = source[order]
        new = np.r_[True, ordered[1:] != ordered[:-1]]
        starts = np.flatnonzero(new)
        rank = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
        place = np.empty(len(source), dtype=np.int64)
        place[order] = cursor[ordered] + rank
        cursor += np.bincount(source, minlength=len(cursor))
        wrong = place >= ptr[source.astype(np.int64) + 1]
        wrong[~wrong] = idx[place[~wrong]] != destination[~wrong]
        if wrong.any():
            at = int(wrong.argmax())
            raise GraphError(
                f"an edge between nodes {source[at]} and {destination[at]} has no reverse. Give "
                "every edge its reverse."
            )

        rev[start : start + len(source)] = place
