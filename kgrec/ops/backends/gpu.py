"""Kernels for CUDA devices, written in Triton: gather rows, scale, add up; every sum in one fixed
order, no atomics.

Which kernel runs never depends on a timing, so that a seed gives the same bits in every run. Rows
of many edges are cut into pieces, whose sums are added in their order. Under ``TRITON_INTERPRET=1``
the same kernels run on the CPU, which is how they are tested without a device.
"""

import importlib.util
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

_PIECE = 256  # edges of a row that one program adds up
_WIDEST = 128  # columns that one program holds


@cache
def _triton() -> Any:
    """Return the module with the kernels, or None where Triton is not installed."""
    if importlib.util.find_spec("triton") is None:
        return None
    from kgrec.ops.backends import triton_kernels

    return triton_kernels


def takes(*tables: Tensor) -> bool:
    """Return whether these kernels can take the tensors: float32, or bfloat16 for what is gathered,
    on a CUDA device.
    """
    kinds = (torch.float32, torch.bfloat16)
    return all(table.is_cuda and table.dtype in kinds for table in tables) and _triton() is not None


@dataclass(frozen=True, slots=True)
class _Work:
    """Rows cut into pieces.

    Attributes:
        row: Row of each piece, int32.
        start: First edge of each piece.
        stop: End of each piece.
        slot: Where a piece of a cut row leaves its sum; -1 where the piece is the whole row.
        cut: Rows that are cut, int32.
        first: First slot of each cut row, and the number of slots last.
        slots: That number.
    """

    row: Tensor
    start: Tensor
    stop: Tensor
    slot: Tensor
    cut: Tensor
    first: Tensor
    slots: int


_works: Any = WeakIdKeyDictionary()


def _work_of(ptr: Tensor) -> _Work:
    """Return the pieces of a structure; made once for each."""
    found: _Work | None = _works.get(ptr)
    if found is None:
        found = _works[ptr] = _cut(ptr)
    return found


def _cut(ptr: Tensor) -> _Work:
    pieces = (-(-ptr.diff() // _PIECE)).clamp(min=1)
    row = torch.repeat_interleave(torch.arange(len(pieces), device=ptr.device), pieces)
    number = torch.arange(len(row), device=ptr.device) - (pieces.cumsum(0) - pieces)[row]
    start = ptr[row] + number * _PIECE
    stop = torch.minimum(start + _PIECE, ptr[row + 1])
    of_cut = pieces[row] > 1
    slot = torch.where(of_cut, of_cut.cumsum(0) - 1, -1)
    cut = (pieces > 1).nonzero().squeeze(1)
    first = torch.nn.functional.pad(pieces[cut].cumsum(0), (1, 0))
    return _Work(row.int(), start, stop, slot, cut.int(), first, int(first[-1]))


def spmm(
    ptr: Int[Tensor, " _"],
    idx: Int[Tensor, " edges"],
    weight: Float[Tensor, " edges"] | None,
    x: Float[Tensor, "nodes dim"],
    out: Float[Tensor, "_ dim"],
    added: Float[Tensor, "_ dim"] | None = None,
    alpha: float | int = 1.0,
    beta: float | int = 1.0,
    *,
    whole: bool = False,
) -> Float[Tensor, "_ dim"]:
    """Write ``beta A x + alpha added`` into ``out`` and return it; ``out`` must share no memory
    with ``x``.

    Args:
        ptr: First edge of each row, and the number of edges last, int64.
        idx: Source row of each edge, int32.
        weight: One weight per edge; None stands for ones.
        x: Source rows, float32 or bfloat16; sums are float32.
        out: One row per destination, float32.
        added: Added to the product; None adds nothing.
        alpha: Factor of ``added``.
        beta: Factor of the product.
        whole: Cut no row: for structures that are made again in each step, whose pieces are not
            worth counting.
    """
    kernels, (rows, dim) = _triton(), out.shape
    if not rows or not dim:
        return out

    x, more = x.contiguous(), x if added is None else added.contiguous()
    if weight is None:
        values = x
    else:
        values = weight.contiguous()

    columns = min(_WIDEST, kernels.next_power_of_2(dim))
    blocks = -(-dim // columns)
    form = {
        "ADDED": added is not None,
        "WEIGHTED": weight is not None,
        "EDGES": 16,
        "COLUMNS": columns,
    }
    factors = (float(alpha), float(beta))

    if whole:
        kernels.row_sums[(rows, blocks)](
            ptr, ptr, ptr, ptr, idx, values, x, more, out, out, dim, *factors, CUT=False, **form
        )
        return out

    work = _work_of(ptr)
    partial = torch.empty(max(1, work.slots), dim, device=x.device)
    pieces = (work.row, work.start, work.stop, work.slot)
    kernels.row_sums[(len(work.row), blocks)](
        *pieces, idx, values, x, more, out, partial, dim, *factors, CUT=True, **form
    )

    if len(work.cut):
        kernels.piece_sums[(len(work.cut), blocks)](
            work.cut,
            work.first,
            partial,
            more,
            out,
            dim,
            *factors,
            ADDED=added is not None,
            COLUMNS=columns,
        )

    return out


def sddmm(
    ptr: Int[Tensor, " _"],
    idx: Int[Tensor, " edges"],
    a: Float[Tensor, "nodes dim"],
    b: Float[Tensor, "items dim"],
) -> Float[Tensor, " edges"]:
    """Return the inner product of a row of ``a`` and a row of ``b`` for each place of a CSR
    pattern; ``ptr`` int64, ``idx`` int32.
    """
    kernels = _triton()
    work = _work_of(ptr)
    out = torch.empty(len(idx), device=a.device)

    if len(idx):
        columns = kernels.next_power_of_2(max(1, a.shape[1]))
        pieces = (work.row, work.start, work.stop)
        kernels.edge_products[(len(work.row),)](
            *pieces, idx, a.contiguous(), b.contiguous(), out, a.shape[1], EDGES=16, COLUMNS=columns
        )

    return out


def row_sums(
    rows: Int[Tensor, " batch"], values: Float[Tensor, "batch dim"], num_rows: int
) -> Float[Tensor, "nodes dim"]:
    """Return a table whose row ``v`` is the sum of the values at ``rows == v``, added in the order
    of the batch; no host sync.
    """
    ordered = torch.sort(rows, stable=True)
    ptr = torch.searchsorted(ordered.values, torch.arange(num_rows + 1, device=rows.device))
    out = torch.empty(num_rows, values.shape[1], device=values.device)
    return spmm(ptr, ordered.indices.int(), None, values, out, whole=True)
