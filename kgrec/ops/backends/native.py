"""The compiled kernels, where they were built: float32 on the CPU, as many threads as torch uses.

Without them, the torch forms serve; see ``kgrec.compiled``.
"""

import ctypes
import sys
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from kgrec.compiled import load_library

_VERSION = 6
_FILE = "_native.so"
_TYPED_PARTS = 16  # as kTypedParts
_VECTOR = 16  # values; what the sizes of dense products must be multiples of
_POINTER = ctypes.c_void_p
_LONG = ctypes.c_int64
_FLOAT = ctypes.c_float
_INT = ctypes.c_int32
_WORD = ctypes.c_uint32
_KERNELS = {
    "share_threads": [_POINTER] * 3,
    "spmm": [_POINTER] * 9 + [_LONG, _LONG, _FLOAT, _FLOAT, _INT],
    "typed_sum": [_POINTER] * 11 + [_LONG, _LONG, _LONG, _INT],
    "sddmm": [_POINTER] * 5 + [_LONG, _LONG, _INT],
    "edge_softmax": [_POINTER] * 3 + [_LONG, _INT],
    "dropout": [_POINTER, _POINTER, _LONG, _WORD, _WORD, _WORD, _FLOAT, _INT],
    "interaction": [
        *[_POINTER] * 6,
        _FLOAT,
        _WORD,
        _WORD,
        _WORD,
        _FLOAT,
        _POINTER,
        _POINTER,
        _LONG,
        _LONG,
        _LONG,
        _INT,
    ],
    "interaction_gradients": [
        *[_POINTER] * 4,
        _FLOAT,
        _FLOAT,
        *[_POINTER] * 5,
        _LONG,
        _LONG,
        _LONG,
        _INT,
    ],
    "grouped_products": [*[_POINTER] * 4, _LONG, _LONG, _LONG, _INT],
    "grouped_sums": [*[_POINTER] * 4, _LONG, _LONG, _LONG, _INT],
    "topk": [_POINTER, _LONG, _LONG, _LONG, _LONG, *[_POINTER] * 5, _INT],
    "pair_margins": [_POINTER] * 6 + [_LONG, _LONG, _INT],
    "pair_gradients": [*[_POINTER] * 6, _FLOAT, _FLOAT, _POINTER, _POINTER, _LONG, _LONG],
    "free_columns": [_POINTER] * 4 + [_LONG, _POINTER, _LONG, _INT],
    "draw_edges": [_POINTER] * 4 + [_LONG, _LONG, _WORD, _WORD, _INT],
    "places": [_POINTER, _LONG, _POINTER, _LONG, _POINTER, _POINTER],
}


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled kernels, None where they cannot be loaded."""
    path = Path(__file__).with_name(_FILE)
    found = load_library(path, "kgrec_native_version", _VERSION)
    if found is None:
        return None

    for kernel, types in _KERNELS.items():
        function = getattr(found, f"kgrec_{kernel}")
        function.argtypes = types
        function.restype = None

    found.kgrec_places.restype = _LONG
    _share_threads(found)
    return found


def _share_threads(found: ctypes.CDLL) -> None:
    """Let the kernels run on the threads that torch keeps, where it was built with GNU OpenMP; else
    they start their own at each call.
    """
    maps = Path("/proc/self/maps")
    if sys.platform != "linux" or not maps.is_file():
        return

    loaded = {
        line.split(maxsplit=5)[5] for line in maps.read_text().splitlines() if "libgomp" in line
    }
    own = [place for place in loaded if Path(place).is_relative_to(Path(torch.__file__).parents[1])]
    if len(own) != 1:
        return

    openmp = ctypes.CDLL(own[0])
    names = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
    found.kgrec_share_threads(*(ctypes.cast(getattr(openmp, name), _POINTER) for name in names))


def name() -> str:
    """Return which kernels serve on the CPU: "native" or "torch"."""
    if library() is None:
        return "torch"
    return "native"


def takes(*tables: Tensor) -> bool:
    """Return whether the compiled kernels can take these tensors."""
    return library() is not None and all(
        table.dtype == torch.float32 and table.device.type == "cpu" for table in tables
    )


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
    """Write ``beta A x + alpha added`` into ``out`` and return it; ``out`` must share no memory
    with the others.

    Args:
        ptr: First edge of each row, and the number of edges last, int64.
        idx: Source row of each edge, int32.
        weight: One weight per edge.
        x: Source rows.
        out: One row per destination, or per entry of ``rows``.
        added: Added to the product; None adds nothing.
        alpha: Factor of ``added``.
        beta: Factor of the product.
        x_place: Where each source's row lies in ``x``, int32; -1 stands for zeros. None: source v
            is row v.
        added_place: The same for ``added``, per destination.
        rows: Destinations wanted, int64; None wants all.
    """
    x = x.contiguous()
    weight = weight.contiguous()

    if added is None:
        more = None
    else:
        more = added.contiguous()

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
    by: TypedParts,
    weight: Float[Tensor, " edges"],
    x: Float[Tensor, "nodes dim"],
    vectors: Float[Tensor, "relations dim"],
) -> Float[Tensor, "_ dim"]:
    """Return, per row, the sum over its segments of the relation's vector times the weighted sum of
    the segment's neighbors.
    """
    return _typed(by, weight, x, vectors, None, None)


def typed_sums(
    by: TypedParts,
    weight: Float[Tensor, " edges"],
    x: Float[Tensor, "nodes dim"],
    vectors: Float[Tensor, "relations dim"],
    own: Float[Tensor, "_ dim"],
) -> tuple[Float[Tensor, "_ dim"], Float[Tensor, "relations dim"]]:
    """Return ``typed_sum``; and per relation, the sum over its segments of their rows of ``own``
    times the neighbors' weighted sum.
    """
    sums = torch.zeros(_TYPED_PARTS, *vectors.shape)
    return _typed(by, weight, x, vectors, own, sums), sums.sum(0)


def _typed(
    by: TypedParts,
    weight: Tensor,
    x: Tensor,
    vectors: Tensor,
    own: Tensor | None,
    sums: Tensor | None,
) -> Tensor:
    x = x.contiguous()
    weight = weight.contiguous()
    vectors = vectors.contiguous()

    if own is None:
        own = None
    else:
        own = own.contiguous()

    out = x.new_empty(len(by[0]) - 1, x.shape[1])
    relations = len(vectors)
    threads = torch.get_num_threads()
    _loaded().kgrec_typed_sum(
        *(_at(part) for part in (*by, weight, x, vectors, own, sums)),
        _at(out),
        len(out),
        x.shape[1],
        relations,
        threads,
    )

    return out


def sddmm(
    ptr: Int[Tensor, " _"],
    idx: Int[Tensor, " edges"],
    a: Float[Tensor, "nodes dim"],
    b: Float[Tensor, "items dim"],
    out: Float[Tensor, " edges"] | None = None,
) -> Float[Tensor, " edges"]:
    """Return the inner product of a row of ``a`` and a row of ``b`` for each place of a CSR
    pattern; ``ptr`` int64, ``idx`` int32.

    With ``out``, ``ptr`` may be a slice of a longer one: the places that it covers are written, the
    others are left.
    """
    if out is None:
        out = a.new_empty(len(idx))

    a = a.contiguous()
    b = b.contiguous()
    _loaded().kgrec_sddmm(
        *(_at(part) for part in (ptr, idx, a, b, out)),
        len(ptr) - 1,
        a.shape[1],
        torch.get_num_threads(),
    )

    return out


def edge_softmax(ptr: Int[Tensor, " _"], score: Float[Tensor, " edges"]) -> Float[Tensor, " edges"]:
    """Return the softmax of ``score`` over the edges of each row; ``ptr`` int64."""
    score, out = score.contiguous(), torch.empty_like(score)
    _loaded().kgrec_edge_softmax(
        _at(ptr), _at(score), _at(out), len(ptr) - 1, torch.get_num_threads()
    )
    return out


Drop = tuple[int, int, float]
"""Key, threshold and scale: a value stays, times the scale, where the word of (key, place) is at least the threshold."""


def dropout(x: Float[Tensor, "..."], drop: Drop) -> Float[Tensor, "..."]:
    """Return ``x`` with values dropped; ``x`` must be contiguous."""
    out = torch.empty_like(x)
    _loaded().kgrec_dropout(_at(x), _at(out), x.numel(), *_words(drop), torch.get_num_threads())
    return out


Interaction = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""Vectors of nodes and of their neighborhoods, then weight (in, out) and bias of the sum and of the product."""


def takes_interaction(parts: Interaction) -> bool:
    """Return whether ``interaction`` can take these: both sizes must be multiples of 16."""
    return takes_products(*parts[2].shape) and takes(*parts)


def takes_products(*sizes: int) -> bool:
    """Return whether the compiled dense products can take matrices of these sizes."""
    return all(size % _VECTOR == 0 for size in sizes)


def interaction(
    parts: Interaction, slope: float, drop: Drop
) -> tuple[Float[Tensor, "nodes dout"], UInt8[Tensor, "nodes dout"]]:
    """Return the bi-interaction after dropout, and what its gradients need to know of each value;
    all contiguous.

    That is bit 0 where the value by the sum is positive, bit 1 where that by the product is, bit 2
    where they are not dropped.
    """
    (rows, size_in), size_out = parts[0].shape, parts[2].shape[1]
    out = parts[0].new_empty(rows, size_out)
    signs = torch.empty(rows, size_out, dtype=torch.uint8)
    places = (_at(part) for part in parts)
    _loaded().kgrec_interaction(
        *places,
        slope,
        *_words(drop),
        _at(out),
        _at(signs),
        rows,
        size_in,
        size_out,
        torch.get_num_threads(),
    )

    return out, signs


def interaction_gradients(
    parts: Interaction,
    slope: float,
    scale: float,
    upstream: Float[Tensor, "nodes dout"],
    signs: UInt8[Tensor, "nodes dout"],
) -> Interaction:
    """Return the gradients of all parts; all contiguous. ``scale`` is that of what was not
    dropped.
    """
    ego, near, sum_weight, _, product_weight, _ = parts
    rows, (size_in, size_out) = len(ego), sum_weight.shape
    to_ego = torch.empty_like(ego)
    to_near = torch.empty_like(near)
    to_weights = ego.new_empty(2 * (size_in + 1), size_out)
    turned = sum_weight.T.contiguous(), product_weight.T.contiguous()
    inputs = (_at(part) for part in (ego, near, *turned))
    outputs = (_at(part) for part in (upstream, signs, to_ego, to_near, to_weights))
    _loaded().kgrec_interaction_gradients(
        *inputs, slope, scale, *outputs, rows, size_in, size_out, torch.get_num_threads()
    )
    to_sum, to_product, to_sum_bias, to_product_bias = torch.split(
        to_weights, [size_in, size_in, 1, 1]
    )
    return to_ego, to_near, to_sum, to_sum_bias, to_product, to_product_bias


def grouped_products(
    ptr: Int[Tensor, " _"],
    x: Float[Tensor, "batch din"],
    matrices: Float[Tensor, "relations din dout"],
) -> Float[Tensor, "batch dout"]:
    """Return each row times its group's matrix; group g has the rows from ``ptr[g]`` on, int64. Ask
    ``takes_products`` first.
    """
    x = x.contiguous()
    matrices = matrices.contiguous()
    out = x.new_empty(len(x), matrices.shape[2])
    _loaded().kgrec_grouped_products(
        *(_at(part) for part in (ptr, x, matrices, out)), *matrices.shape, torch.get_num_threads()
    )
    return out


def grouped_sums(
    ptr: Int[Tensor, " _"], x: Float[Tensor, "batch din"], z: Float[Tensor, "batch dout"]
) -> Float[Tensor, "relations din dout"]:
    """Return, per group, the sum over its rows of ``x[i]^T z[i]``; see ``grouped_products``."""
    x = x.contiguous()
    z = z.contiguous()
    sums = x.new_empty(len(ptr) - 1, x.shape[1], z.shape[1])
    _loaded().kgrec_grouped_sums(
        *(_at(part) for part in (ptr, x, z, sums)), *sums.shape, torch.get_num_threads()
    )
    return sums


def topk(
    scores: Float[Tensor, "batch items"],
    k: int,
    seen_ptr: Int[Tensor, " _"] | None,
    seen_idx: Int[Tensor, " _"] | None,
) -> tuple[Float[Tensor, "batch cand"], Int[Tensor, "batch cand"], Bool[Tensor, " batch"]]:
    """Return the k highest scores of each row, their columns, and in which rows there is a score
    that is not a number.

    Of equal scores the lower column comes first; where fewer than k are above -inf, the rest is
    score -inf, column -1. Scores of seen columns (lists by int64 start and end, as a CSR) are
    overwritten. Columns must lie side by side; rows may lie apart.
    """
    values = scores.new_empty(len(scores), k)
    ids = torch.empty(len(scores), k, dtype=torch.int64)
    broken = torch.zeros(len(scores), dtype=torch.bool)
    sizes = (len(scores), scores.stride(0), scores.shape[1], k)
    _loaded().kgrec_topk(
        _at(scores),
        *sizes,
        *(_at(part) for part in (seen_ptr, seen_idx, values, ids, broken)),
        torch.get_num_threads(),
    )

    return values, ids, broken


def free_columns(
    rows: Int[Tensor, " batch"],
    number: Int[Tensor, " batch"],
    ptr: Int[Tensor, " _"],
    keys: Int[Tensor, " _"],
    width: int,
) -> Int[Tensor, " batch"]:
    """Return the ``number``-th column that is not among those of a row; see ``kgrec.ops.sampling``
    for the keys. All int64.
    """
    out = torch.empty_like(number)
    rows = rows.contiguous()
    number = number.contiguous()
    _loaded().kgrec_free_columns(
        *(_at(part) for part in (rows, number, ptr, keys)),
        width,
        _at(out),
        len(out),
        torch.get_num_threads(),
    )

    return out


def draw_edges(
    ptr: Int[Tensor, " _"],
    nodes: Int[Tensor, " batch"],
    offset: Int[Tensor, " batch"],
    edges: int,
    fanout: int,
    key: int,
) -> Int[Tensor, " edges"]:
    """Return positions of up to ``fanout`` distinct edges of each node, ascending, those of node n
    from ``offset[n]`` on; see ``kgrec.ops.neighbors``. All int64.
    """
    out = nodes.new_empty(edges)
    nodes, offset = nodes.contiguous(), offset.contiguous()
    _loaded().kgrec_draw_edges(
        *(_at(part) for part in (ptr, nodes, offset, out)),
        len(nodes),
        fanout,
        key & 0xFFFFFFFF,
        key >> 32,
        torch.get_num_threads(),
    )
    return out


def places(
    found: Int[Tensor, " nodes"], ids: Int[Tensor, " edges"]
) -> tuple[Int[Tensor, " edges"], Int[Tensor, " _"]]:
    """Return the place of each id (int32) among distinct nodes (int64), those behind them that are
    not there, and these, in the order in which they are met.
    """
    found, ids = found.contiguous(), ids.contiguous()
    place, fresh = (found.new_empty(len(ids)) for _ in range(2))
    parts = _at(found), len(found), _at(ids), len(ids), _at(place), _at(fresh)
    return place, fresh[: _loaded().kgrec_places(*parts)]


Pairs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Vectors of users and of items, and per pair a user, a positive and a negative (int64); all contiguous."""


def pair_margins(pairs: Pairs) -> Float[Tensor, " batch"]:
    """Return ``u . (n - p)`` per pair."""
    users, _, user, *_ = pairs
    margin = users.new_empty(len(user))
    _loaded().kgrec_pair_margins(
        *(_at(part) for part in pairs),
        _at(margin),
        len(user),
        users.shape[1],
        torch.get_num_threads(),
    )

    return margin


def add_pair_gradients_(
    to_users: Float[Tensor, "users dim"],
    to_items: Float[Tensor, "items dim"],
    pairs: Pairs,
    slope: Float[Tensor, " batch"],
    l2_weights: tuple[float, float],
) -> None:
    """Add the gradients of the sum of ``slope margin`` and the L2 of users and of items to two
    tables, which may be one.

    The L2 of a pair is half of ``l2_weights[0] |u|^2 + l2_weights[1] (|p|^2 + |n|^2)``. Pairs are
    added in their order.
    """
    users, _, user, *_ = pairs
    _loaded().kgrec_pair_gradients(
        *(_at(part) for part in pairs),
        _at(slope),
        *l2_weights,
        _at(to_users),
        _at(to_items),
        len(user),
        users.shape[1],
    )


def _words(drop: Drop) -> tuple[int, int, int, float]:
    key, threshold, scale = drop
    return key & 0xFFFFFFFF, key >> 32, threshold, scale


def _at(tensor: Tensor | None) -> int | None:
    if tensor is None:
        return None
    return tensor.data_ptr()


def _loaded() -> ctypes.CDLL:
    found = library()
    if found is None:
        raise RuntimeError("the compiled kernels are not there; ask takes() first.")
    return found
