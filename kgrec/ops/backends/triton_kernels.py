"""The kernels of ``kgrec.ops.backends.gpu``; imported only where Triton is installed."""

import triton
import triton.language as tl

next_power_of_2 = triton.next_power_of_2


@triton.jit
def row_sums(
    piece_row,
    piece_start,
    piece_stop,
    piece_slot,
    idx,
    weight,
    x,
    added,
    out,
    partial,
    dim,
    alpha,
    beta,
    CUT: tl.constexpr,
    ADDED: tl.constexpr,
    WEIGHTED: tl.constexpr,
    EDGES: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Add up one piece of a row; where rows are not cut, program ``p`` takes row ``p`` and
    ``piece_start`` holds the first edges.
    """
    piece = tl.program_id(0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < dim

    if CUT:
        row = tl.load(piece_row + piece).to(tl.int64)
        start = tl.load(piece_start + piece)
        stop = tl.load(piece_stop + piece)
        slot = tl.load(piece_slot + piece)
    else:
        row = piece.to(tl.int64)
        start = tl.load(piece_start + piece)
        stop = tl.load(piece_start + piece + 1)
        slot = tl.full((), -1, tl.int64)

    total = tl.zeros([COLUMNS], dtype=tl.float32)
    for first in range(start, stop, EDGES):
        edge = first + tl.arange(0, EDGES)
        here = edge < stop
        source = tl.load(idx + edge, mask=here, other=0).to(tl.int64)
        rows = tl.load(
            x + source[:, None] * dim + column[None, :],
            mask=here[:, None] & inside[None, :],
            other=0.0,
        ).to(tl.float32)
        if WEIGHTED:
            rows = rows * tl.load(weight + edge, mask=here, other=0.0)[:, None]

        total += tl.sum(rows, axis=0)

    if slot >= 0:
        tl.store(partial + slot * dim + column, total, mask=inside)
    else:
        total = beta * total
        if ADDED:
            total += alpha * tl.load(added + row * dim + column, mask=inside, other=0.0)

        tl.store(out + row * dim + column, total, mask=inside)


@triton.jit
def piece_sums(
    cut, first, partial, added, out, dim, alpha, beta, ADDED: tl.constexpr, COLUMNS: tl.constexpr
):
    """Add up the pieces of a row that was cut, in their order."""
    number = tl.program_id(0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < dim
    row = tl.load(cut + number).to(tl.int64)
    total = tl.zeros([COLUMNS], dtype=tl.float32)
    for slot in range(tl.load(first + number), tl.load(first + number + 1)):
        total += tl.load(partial + slot * dim + column, mask=inside, other=0.0)

    total = beta * total
    if ADDED:
        total += alpha * tl.load(added + row * dim + column, mask=inside, other=0.0)

    tl.store(out + row * dim + column, total, mask=inside)


@triton.jit
def edge_products(
    piece_row,
    piece_start,
    piece_stop,
    idx,
    a,
    b,
    out,
    dim,
    EDGES: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Write the inner products of a row of ``a`` with the rows of ``b`` that its edges name."""
    piece = tl.program_id(0)
    column = tl.arange(0, COLUMNS)
    inside = column < dim
    row = tl.load(piece_row + piece).to(tl.int64)
    left = tl.load(a + row * dim + column, mask=inside, other=0.0)
    stop = tl.load(piece_stop + piece)
    for first in range(tl.load(piece_start + piece), stop, EDGES):
        edge = first + tl.arange(0, EDGES)
        here = edge < stop
        source = tl.load(idx + edge, mask=here, other=0).to(tl.int64)
        right = tl.load(
            b + source[:, None] * dim + column[None, :],
            mask=here[:, None] & inside[None, :],
            other=0.0,
        )
        tl.store(out + edge, tl.sum(right * left[None, :], axis=1), mask=here)
