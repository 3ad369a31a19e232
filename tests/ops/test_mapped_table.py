"""Tables mapped from files: the values, moments and steps of ones in memory."""

import re

import numpy as np
import pytest
import torch

from kgrec.errors import CheckpointError, ConfigError
from kgrec.nn.light import LightPropagation
from kgrec.nn.losses import bpr
from kgrec.ops.csr import symmetric_weights
from kgrec.ops.csr_files import csr_on_disk
from kgrec.ops.mapped_table import MappedTable


def test_steps_are_those_of_sparse_adam(tmp_path):
    """Rows in any order, another set each step, closed and opened again between."""
    table = MappedTable.create(tmp_path / "t", 50, 4, seed=3)
    copy = torch.nn.Parameter(table.take(torch.arange(50)).clone())
    adam = torch.optim.SparseAdam([copy], lr=0.05)
    draw = torch.Generator().manual_seed(0)
    for step in range(6):
        rows = torch.randperm(50, generator=draw)[:9]
        gradient = torch.randn(9, 4, generator=draw)
        at = rows.unsqueeze(0)
        copy.grad = torch.sparse_coo_tensor(at, gradient, (50, 4), check_invariants=True)
        adam.step()
        table.step(rows, gradient, 0.05)
        if step == 2:
            table.flush()
            table = MappedTable(tmp_path / "t")
    # SparseAdam adds 1e-8 before it corrects the bias, which is felt where gradients are near 0
    assert torch.allclose(table.take(torch.arange(50)), copy.detach(), atol=1e-5)
    assert len(table) == 50


def test_steps_of_all_rows_are_those_of_adam(tmp_path):
    table = MappedTable.create(tmp_path / "t", 9, 4)
    copy = torch.nn.Parameter(table.take(torch.arange(9)))
    adam = torch.optim.Adam([copy], lr=0.05)
    draw = torch.Generator().manual_seed(0)
    for _ in range(6):
        rows = torch.randperm(9, generator=draw)
        gradient = torch.randn(9, 4, generator=draw)
        copy.grad = torch.empty(9, 4).index_copy(0, rows, gradient)
        adam.step()
        table.step(rows, gradient, 0.05)
    assert torch.allclose(table.take(torch.arange(9)), copy.detach(), atol=1e-6)


def test_draws_depend_on_seed_and_size_alone(tmp_path):
    every = torch.arange(200)
    one, two, other = (
        MappedTable.create(tmp_path / name, 200, 3, scale=0.5, seed=seed).take(every)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert float(one.std()) == pytest.approx(0.5, rel=0.1)


def test_the_loop_of_the_docs_trains_on_mapped_files(tmp_path, root):
    """Its first loss is that of the whole graph, every node having few neighbors; and it falls."""
    text = (root / "docs/many-machines.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(code, names)
    draw = torch.Generator().manual_seed(0)
    pairs = np.array([(u, 30 + item % 20) for u in range(30) for item in (7 * u, 3 * u + 1)])
    pairs = np.unique(pairs, axis=0)
    edges = np.r_[pairs, pairs[:, ::-1]]
    (tmp_path / "graph").mkdir()
    csr_on_disk(lambda: iter([(edges[:, 0], edges[:, 1])]), 50, tmp_path / "graph")
    graph = names["open_csr"](tmp_path / "graph")
    assert int(graph.degree.max()) <= 5
    table = MappedTable.create(tmp_path / "table", 50, 8)
    before = table.take(torch.arange(50))
    z = LightPropagation(2)(before, graph, symmetric_weights(graph))
    u, i = torch.from_numpy(pairs).T
    j = torch.randint(30, 50, i.shape, generator=draw)
    expected = bpr((z[u] * z[i]).sum(1), (z[u] * z[j]).sum(1))
    losses = [names["step"](graph, table, u, i, j, key, 0.05) for key in range(15)]
    assert losses[0] == pytest.approx(float(expected), abs=1e-6)
    assert losses[-1] < losses[0] / 2
    touched = torch.unique(torch.cat([u, i, j]))
    rest = np.setdiff1d(np.arange(50), np.r_[touched.numpy(), edges.ravel()])
    assert torch.equal(table.take(torch.from_numpy(rest)), before[rest])


def test_damaged_folders_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="0 rows"):
        MappedTable.create(tmp_path / "t", 0, 3)
    MappedTable.create(tmp_path / "t", 5, 3)
    with pytest.raises(ConfigError, match="not empty"):
        MappedTable.create(tmp_path / "t", 5, 3)
    with pytest.raises(CheckpointError, match="no table"):
        MappedTable(tmp_path / "none")
    np.save(tmp_path / "t/mean.npy", np.zeros((4, 3), np.float32))
    with pytest.raises(CheckpointError, match="differ in size"):
        MappedTable(tmp_path / "t")
    (tmp_path / "t/square.npy").write_bytes(b"cut short")
    with pytest.raises(CheckpointError, match="no table"):
        MappedTable(tmp_path / "t")
