"""The compiled kernels, where they were built: float32 on the CPU, as many threads as torch uses.

``hatch_build.py`` compiles them when the project is installed and a C++ compiler is there; without, the torch forms serve. The
environment variable ``KGREC_BACKEND=torch`` leaves them out.
"""

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

_VERSION = 3
_FILE = "_native.so"
_TYPED_PARTS = 16  # as kTypedParts
_POINTER, _LONG, _FLOAT, _INT, _WORD = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_int32, ctypes.c_uint32
_KERNELS = {
    "share_threads": [_POINTER] * 3,
    "spmm": [_POINTER] * 9 + [_LONG, _LONG, _FLOAT, _FLOAT, _INT],
    "typed_sum": [_POINTER] * 11 + [_LONG, _LONG, _LONG, _INT],
    "sddmm": [_POINTER] * 5 + [_LONG, _LONG, _INT],
    "edge_softmax": [_POINTER] * 3 + [_LONG, _INT],
    "dropout": [_POINTER, _POINTER, _LONG, _WORD, _WORD, _WORD, _FLOAT, _INT],
    "sum_and_product": [*[_POINTER] * 4, _LONG, _INT],
    "add_leaky": [_POINTER, _POINTER, _FLOAT, _POINTER, _POINTER, _LONG, _INT],
    "leaky_gradients": [_POINTER, _POINTER, _FLOAT, _POINTER, _POINTER, _LONG, _INT],
    "product_gradients": [*[_POINTER] * 4, _LONG, _INT],
    "topk": [_POINTER, _LONG, _LONG, _LONG, _LONG, *[_POINTER] * 5, _INT],
    "pair_margins": [_POINTER] * 6 + [_LONG, _LONG, _INT],
    "pair_gradients": [*[_POINTER] * 6, _FLOAT, _FLOAT, _POINTER, _POINTER, _LONG, _LONG],
    "free_columns": [_POINTER] * 4 + [_LONG, _POINTER, _LONG, _INT],
}


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled kernels, or None where there are none, they are of another version, or ``KGREC_BACKEND`` says torch."""
    place = Path(__file__).with_name(_FILE)
    if os.environ.get("KGREC_BACKEND") == "torch" or not place.is_file():
        return None
    try:
        found = ctypes.CDLL(str(place))
        found.kgrec_native_version.restype = _INT
        if found.kgrec_native_version() != _VERSION:
            return None
    except (OSError, AttributeError):
        return None
    for kernel, types in _KERNELS.items():
        function = getattr(found, f"kgrec_{kernel}")
        function.argtypes, function.restype = types, None
    _share_threads(found)
    return found


def _share_threads(found: ctypes.CDLL) -> None:
    """Let the kernels run on the threads that torch keeps, where it was built with GNU OpenMP; else they start their own at each call."""
    maps = Path("/proc/self/maps")
    if sys.platform != "linux" or not maps.is_file():
        return
    loaded = {line.split(maxsplit=5)[5] for line in maps.read_text().splitlines() if "libgomp" in line}
    own = [place for place in loaded if Path(place).is_relative_to(Path(torch.__file__).parents[1])]
    if len(own) != 1:
        return
    openmp = ctypes.CDLL(own[0])
    names = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
    found.kgrec_share_threads(*(ctypes.cast(getattr(openmp, name), _POINTER) for name in names))


def name() -> str:
    """Return which kernels serve on the CPU: "native" or "torch"."""
    return "torch" if library() is None else "native"


def takes(*tables: Tensor) -> bool:
    """Return whether the compiled kernels can take these tensors."""
    return library() is not None and all(table.dtype == torch.float32 and table.device.type == "cpu" for table in tables)


def spmm(
    ptr: Int[Tensor, " _"],
    idx: Int[Tensor, " edges"],
    weight: Float[Tensor, " edges"],
    x: Float[Tensor, "nodes dim"],
    out: Float[Tensor, "_ dim"],
    added: Float[Tensor, "_ dim"] | None = None,
    alpha: float | int = 1.0,
    beta: float | int = 1.0,
    *,
    x_place: Int[Tensor, " _"] | None = None,
    added_place: Int[Tensor, " _"] | None = None,
    rows: Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, "_ dim"]:
    """Write ``beta A x + alpha added`` into ``out`` and return it; ``out`` must share no memory with the others.

    Args:
        ptr: First edge of each row, and the number of edges last, int64.
        idx: Source row of each edge, int32.
        weight: One weight per edge.
        x: Source rows.
        out: One row per destination, or per entry of ``rows``.
        added: Added to the product; None adds nothing.
        alpha: Factor of ``added``.
        beta: Factor of the product.
        x_place: Where each source's row lies in ``x``, int32; -1 stands for zeros. None: source v is row v.
        added_place: The same for ``added``, per destination.
        rows: Destinations wanted, int64; None wants all.
    """
    x, weight = x.contiguous(), weight.contiguous()
    more = None if added is None else added.contiguous()
    _loaded().kgrec_spmm(
        *(_at(part) for part in (ptr, idx, weight, x, x_place, more, added_place, rows, out)),
        len(out),
        x.shape[1],
        alpha,
        beta,
        torch.get_num_threads(),
    )
    return out


TypedParts = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""First edge and first segment of each row, first edge and relation of each segment, column of each edge; see ``kgrec.ops.typed``."""


def typed_sum(
    by: TypedParts, weight: Float[Tensor, " edges"], x: Float[Tensor, "nodes dim"], vectors: Float[Tensor, "relations dim"]
) -> Float[Tensor, "_ dim"]:
    """Return, per row, the sum over its segments of the relation's vector times the weighted sum of the segment's neighbors."""
    return _typed(by, weight, x, vectors, None, None)


def typed_sums(
    by: TypedParts,
    weight: Float[Tensor, " edges"],
    x: Float[Tensor, "nodes dim"],
    vectors: Float[Tensor, "relations dim"],
    own: Float[Tensor, "_ dim"],
) -> tuple[Float[Tensor, "_ dim"], Float[Tensor, "relations dim"]]:
    """Return ``typed_sum``; and per relation, the sum over its segments of their rows of ``own`` times the neighbors' weighted sum."""
    sums = torch.zeros(_TYPED_PARTS, *vectors.shape)
    return _typed(by, weight, x, vectors, own, sums), sums.sum(0)


def _typed(by: TypedParts, weight: Tensor, x: Tensor, vectors: Tensor, own: Tensor | None, sums: Tensor | None) -> Tensor:
    x, weight, vectors, own = x.contiguous(), weight.contiguous(), vectors.contiguous(), None if own is None else own.contiguous()
    out = x.new_empty(len(by[0]) - 1, x.shape[1])
    relations, threads = len(vectors), torch.get_num_threads()
    _loaded().kgrec_typed_sum(*(_at(part) for part in (*by, weight, x, vectors, own, sums)), _at(out), len(out), x.shape[1], relations, threads)
    return out


def sddmm(
    ptr: Int[Tensor, " _"], idx: Int[Tensor, " edges"], a: Float[Tensor, "nodes dim"], b: Float[Tensor, "items dim"]
) -> Float[Tensor, " edges"]:
    """Return the inner product of a row of ``a`` and a row of ``b`` for each place of a CSR pattern; ``ptr`` int64, ``idx`` int32."""
    a, b, out = a.contiguous(), b.contiguous(), a.new_empty(len(idx))
    _loaded().kgrec_sddmm(
        ptr.data_ptr(), idx.data_ptr(), a.data_ptr(), b.data_ptr(), out.data_ptr(), len(ptr) - 1, a.shape[1], torch.get_num_threads()
    )
    return out


def edge_softmax(ptr: Int[Tensor, " _"], score: Float[Tensor, " edges"]) -> Float[Tensor, " edges"]:
    """Return the softmax of ``score`` over the edges of each row; ``ptr`` int64."""
    score, out = score.contiguous(), torch.empty_like(score)
    _loaded().kgrec_edge_softmax(_at(ptr), _at(score), _at(out), len(ptr) - 1, torch.get_num_threads())
    return out


def dropout(x: Float[Tensor, "..."], key: int, threshold: int, scale: float) -> Float[Tensor, "..."]:
    """Return ``x`` times ``scale`` where the word of (key, place) is at least ``threshold``, else 0; ``x`` must be contiguous."""
    out = torch.empty_like(x)
    _loaded().kgrec_dropout(_at(x), _at(out), x.numel(), key & 0xFFFFFFFF, key >> 32, threshold, scale, torch.get_num_threads())
    return out


Table = Float[Tensor, "nodes dim"]


def sum_and_product(a: Table, b: Table) -> tuple[Table, Table]:
    """Return ``a + b`` and ``a * b`` of contiguous tables."""
    total, product = torch.empty_like(a), torch.empty_like(a)
    _loaded().kgrec_sum_and_product(_at(a), _at(b), _at(total), _at(product), a.numel(), torch.get_num_threads())
    return total, product


def add_leaky(a: Table, b: Table, slope: float) -> tuple[Table, UInt8[Tensor, "nodes dim"]]:
    """Return the sum of two contiguous tables' LeakyReLU, and which values were positive: bit 0 of ``a``, bit 1 of ``b``."""
    out, sign = torch.empty_like(a), torch.empty(a.shape, dtype=torch.uint8)
    _loaded().kgrec_add_leaky(_at(a), _at(b), slope, _at(out), _at(sign), a.numel(), torch.get_num_threads())
    return out, sign


def leaky_gradients(upstream: Table, sign: UInt8[Tensor, "nodes dim"], slope: float) -> tuple[Table, Table]:
    """Return the gradients of both tables of ``add_leaky``."""
    to_a, to_b = torch.empty_like(upstream), torch.empty_like(upstream)
    _loaded().kgrec_leaky_gradients(_at(upstream), _at(sign), slope, _at(to_a), _at(to_b), upstream.numel(), torch.get_num_threads())
    return to_a, to_b


def sum_and_product_gradients(to_sum: Table, to_product: Table, a: Table, b: Table) -> tuple[Table, Table]:
    """Return the gradients of ``a`` and ``b``, in the memory of those of their sum and product; all contiguous."""
    _loaded().kgrec_product_gradients(_at(to_sum), _at(to_product), _at(a), _at(b), a.numel(), torch.get_num_threads())
    return to_sum, to_product


def topk(
    scores: Float[Tensor, "batch items"], k: int, seen_ptr: Int[Tensor, " _"] | None, seen_idx: Int[Tensor, " _"] | None
) -> tuple[Float[Tensor, "batch cand"], Int[Tensor, "batch cand"], Bool[Tensor, " batch"]]:
    """Return the k highest scores of each row, their columns, and in which rows there is a score that is not a number.

    Of equal scores the lower column comes first; where fewer than k are above -inf, the rest is score -inf, column -1. Scores of seen
    columns (lists by int64 start and end, as a CSR) are overwritten. Columns must lie side by side; rows may lie apart.
    """
    values, ids = scores.new_empty(len(scores), k), torch.empty(len(scores), k, dtype=torch.int64)
    broken = torch.zeros(len(scores), dtype=torch.bool)
    sizes = (len(scores), scores.stride(0), scores.shape[1], k)
    _loaded().kgrec_topk(_at(scores), *sizes, *(_at(part) for part in (seen_ptr, seen_idx, values, ids, broken)), torch.get_num_threads())
    return values, ids, broken


def free_columns(
    rows: Int[Tensor, " batch"], number: Int[Tensor, " batch"], ptr: Int[Tensor, " _"], keys: Int[Tensor, " _"], width: int
) -> Int[Tensor, " batch"]:
    """Return the ``number``-th column that is not among those of a row; see ``kgrec.ops.sampling`` for the keys. All int64."""
    out = torch.empty_like(number)
    rows, number = rows.contiguous(), number.contiguous()
    _loaded().kgrec_free_columns(*(_at(part) for part in (rows, number, ptr, keys)), width, _at(out), len(out), torch.get_num_threads())
    return out


Pairs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Vectors of users and of items, and per pair a user, a positive and a negative (int64); all contiguous."""


def pair_margins(pairs: Pairs) -> Float[Tensor, " batch"]:
    """Return ``u . (n - p)`` per pair."""
    users, _, user, *_ = pairs
    margin = users.new_empty(len(user))
    _loaded().kgrec_pair_margins(*(_at(part) for part in pairs), _at(margin), len(user), users.shape[1], torch.get_num_threads())
    return margin


def add_pair_gradients_(
    to_users: Float[Tensor, "users dim"],
    to_items: Float[Tensor, "items dim"],
    pairs: Pairs,
    slope: Float[Tensor, " batch"],
    l2_weights: tuple[float, float],
) -> None:
    """Add the gradients of the sum of ``slope margin`` and the L2 of users and of items to two tables, which may be one.

    The L2 of a pair is half of ``l2_weights[0] |u|^2 + l2_weights[1] (|p|^2 + |n|^2)``. Pairs are added in their order.
    """
    users, _, user, *_ = pairs
    _loaded().kgrec_pair_gradients(
        *(_at(part) for part in pairs), _at(slope), *l2_weights, _at(to_users), _at(to_items), len(user), users.shape[1]
    )


def _at(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _loaded() -> ctypes.CDLL:
    found = library()
    if found is None:
        raise RuntimeError("the compiled kernels are not there; ask takes() first.")
    return found
