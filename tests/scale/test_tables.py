"""Tables mapped from files: the values, moments and steps of ones in memory."""

import numpy as np
import pytest
import torch

from kgrec.errors import CheckpointError, ConfigError
from kgrec.scale.tables import MappedTable


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
