"""The Triton kernels by Triton's interpreter, on the CPU; the same checks run on a device by
`benchmarks/gpu.py`.
"""

import pytest
import torch

from kgrec.ops.backends import gpu
from kgrec.ops.csr import Csr, symmetric_weights

pytest.importorskip("triton", reason="Triton is not installed here")


def graph(edges, nodes, seed=0):
    draw = torch.Generator().manual_seed(seed)
    a, b = (torch.randint(nodes, (edges,), generator=draw) for _ in range(2))
    b = torch.where(torch.rand(edges, generator=draw) < 0.4, 0, b)  # node 0 is a hub
    return Csr.from_edges(torch.cat([a, b]), torch.cat([b, a]), nodes)[0]


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch):
    monkeypatch.setattr(gpu, "_PIECE", 20)


def dense(csr, weight):
    matrix = torch.zeros(csr.num_nodes, csr.num_nodes, dtype=torch.float64)
    return matrix.index_put_((csr.destinations(), csr.idx.long()), weight.double(), accumulate=True)


@pytest.mark.parametrize("dim", [1, 16, 33, 64])
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_products_agree_with_double_precision(dim, added, whole):
    csr = graph(60, 15)
    weight, x = (
        symmetric_weights(csr),
        torch.randn(csr.num_nodes, dim, generator=torch.Generator().manual_seed(dim)),
    )
    more = torch.ones_like(x) if added else None
    out = torch.full_like(x, torch.nan)
    gpu.spmm(csr.ptr, csr.idx, weight, x, out, more, 0.5, 2.0, whole=whole)
    expected = 2 * dense(csr, weight) @ x.double() + (0.5 if added else 0.0)
    assert float((out - expected).norm()) <= 1e-6 * float(expected.norm())


def test_rows_gathered_in_bfloat16_are_added_in_single_precision():
    csr = graph(60, 15)
    weight, x = symmetric_weights(csr), torch.randn(csr.num_nodes, 8)
    out = gpu.spmm(csr.ptr, csr.idx, weight, x.bfloat16(), torch.empty_like(x))
    expected = dense(csr, weight) @ x.bfloat16().double()
    assert float((out - expected).norm()) <= 1e-6 * float(expected.norm())


def test_pieces_cover_every_edge_once():
    csr = graph(60, 15)
    work = gpu._cut(csr.ptr)
    covered = torch.cat(
        [torch.arange(int(a), int(b)) for a, b in zip(work.start, work.stop, strict=True)]
    )
    assert torch.equal(covered, torch.arange(csr.num_edges))
    assert len(work.cut) > 0
    assert int((work.stop - work.start).max()) <= 20
    assert gpu._work_of(csr.ptr) is gpu._work_of(csr.ptr)


@pytest.mark.parametrize("dim", [3, 32])
def test_edge_products(dim):
    csr = graph(60, 15)
    draw = torch.Generator().manual_seed(dim)
    a, b = (torch.randn(csr.num_nodes, dim, generator=draw) for _ in range(2))
    expected = (a.double()[csr.destinations()] * b.double()[csr.idx.long()]).sum(1)
    torch.testing.assert_close(gpu.sddmm(csr.ptr, csr.idx, a, b), expected.float())


def test_sums_of_rows_taken_several_times():
    rows, values = torch.tensor([3, 0, 3, 3, 5]), torch.randn(5, 4)
    expected = torch.zeros(7, 4).index_add_(0, rows, values)
    torch.testing.assert_close(gpu.row_sums(rows, values, 7), expected)


def test_no_edges_and_no_columns():
    csr, _ = Csr.from_edges(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), 3)
    out = gpu.spmm(csr.ptr, csr.idx, torch.zeros(0), torch.ones(3, 2), torch.full((3, 2), 7.0))
    assert torch.equal(out, torch.zeros(3, 2))
    assert gpu.spmm(csr.ptr, csr.idx, torch.zeros(0), torch.ones(3, 0), torch.ones(3, 0)).shape == (
        3,
        0,
    )


def test_the_ops_of_a_step_take_the_kernels(monkeypatch):
    """LightGCN's loss and gradient by way of the kernels, against the compiled or torch forms."""
    from kgrec.ops import propagate, rows
    from kgrec.ops.backends import native

    csr = graph(60, 15)
    weight = symmetric_weights(csr)
    x = torch.randn(csr.num_nodes, 8, generator=torch.Generator().manual_seed(0))
    picked = torch.tensor([0, 3, 3, 14, 0])

    def run():
        table = x.clone().requires_grad_()
        z = propagate.poly(table, csr, weight, (0.25, 0.25, 0.25, 0.25)) + propagate.propagate(
            table, csr, weight
        )
        loss = rows.take_rows(z, picked).square().sum()
        return loss.detach(), torch.autograd.grad(loss, table)[0], propagate.sddmm(csr, x, x)

    expected = run()
    calls = []
    monkeypatch.setattr(native, "takes", lambda *tables: False)
    monkeypatch.setattr(gpu, "takes", lambda *tables: calls.append(tables) is None)
    for got, wanted in zip(run(), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)
    assert len(calls) >= 6


@pytest.mark.slow
def test_the_kernels_compile_for_a_device_that_is_not_here():
    """In a process of its own, where the interpreter is off."""
    import subprocess
    import sys

    code = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from kgrec.ops.backends import triton_kernels as kernels
def build(kernel, types, **constants):
    names = list(kernel.arg_names)
    signature = dict(zip(names, types)) | {name: "constexpr" for name in constants}
    done = compile(ASTSource(fn=kernel, signature=signature, constexprs=constants), target=GPUTarget("cuda", 90, 32))
    assert len(done.asm["cubin"]) > 0
F, I, L = "*fp32", "*i32", "*i64"
for cut in (True, False):
    for gathered in (F, "*bf16"):
        types = [I if cut else L, L, L, L, I, F, gathered, F, F, F, "i32", "fp32", "fp32"]
        build(kernels.row_sums, types, CUT=cut, ADDED=True, WEIGHTED=True, EDGES=16, COLUMNS=64)
build(kernels.piece_sums, [I, L, F, F, F, "i32", "fp32", "fp32"], ADDED=True, COLUMNS=64)
build(kernels.edge_products, [I, L, L, I, F, F, F, "i32"], EDGES=16, COLUMNS=64)
"""
    import os

    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"TRITON_INTERPRET": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
