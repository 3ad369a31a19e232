import pytest
import torch

from kgrec.nn.kge import transr_energies


def test_transr_energies_of_the_toy_triple():
    """models.md 1.3: W = I, head i0, relation r0, tail e3, corrupted i2: 1.13 and 4.36."""
    nodes = torch.tensor([[1.0, 1.0], [0.2, 0.4], [-1.0, 0.5]], dtype=torch.float64)
    relations = torch.tensor([[0.0, 0.1]], dtype=torch.float64)
    one = torch.tensor([0])
    true, corrupted, rows = transr_energies(nodes, relations, torch.eye(2).double().unsqueeze(0), one, one, one + 1, one + 2)
    assert float(true[0]) == pytest.approx(1.13)
    assert float(corrupted[0]) == pytest.approx(4.36)
    assert [row.tolist()[0] for row in rows] == [[1.0, 1.0], [0.0, 0.1], [0.2, 0.4], [-1.0, 0.5]]
