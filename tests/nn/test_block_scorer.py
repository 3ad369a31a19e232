import pytest
import torch

from kgrec.nn import block_scorer
from kgrec.nn.block_scorer import fill_in_blocks


@pytest.mark.parametrize("most", [1, 7, 40, 10_000])
@pytest.mark.parametrize("shape", [(5, 9), (1, 30), (12, 1), (0, 4), (3, 0)])
def test_every_score_is_computed_once_in_blocks_of_bounded_size(monkeypatch, most, shape):
    monkeypatch.setattr(block_scorer, "_VALUES_AT_ONCE", most)
    table = torch.arange(shape[0] * shape[1], dtype=torch.float32).view(shape)
    times = torch.zeros(shape)

    def score(rows, columns):
        times[rows, columns] += 1
        block = table[rows, columns]
        assert block.numel() * 3 <= max(most, 3)
        return block

    got = fill_in_blocks(torch.full(shape, -1.0), score, 3)
    assert torch.equal(got, table)
    assert bool((times == 1).all())
