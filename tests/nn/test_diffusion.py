import math

import numpy as np
import pytest
import torch

from kgrec.nn.diffusion import RowDiffusion


@pytest.fixture(scope="module")
def diffusion():
    return RowDiffusion(4, 5, 3, torch.Generator().manual_seed(0), time_dim=4).double().eval()


def betas():
    """Levels 1 - 1e-5, 1 - 1.005e-3, 1 - 2e-3 by hand, the first beta set to 1e-4."""
    level = [1 - 1e-5, 1 - 1.005e-3, 1 - 2e-3]
    return [1e-4, 1 - level[1] / level[0], 1 - level[2] / level[1]]


def test_levels_are_those_of_the_authors_schedule(diffusion):
    torch.testing.assert_close(diffusion.beta, torch.tensor(betas(), dtype=torch.float64))
    expected = np.cumprod(1 - np.array(betas()))
    torch.testing.assert_close(diffusion.level, torch.from_numpy(expected))


def test_the_network_reads_the_row_by_direction_and_the_step_in_sines(diffusion):
    row = torch.tensor([[3.0, 0.0, 4.0, 0.0]], dtype=torch.float64)
    with torch.no_grad():
        told = diffusion.of_step(
            torch.tensor(
                [math.cos(2), math.cos(0.02), math.sin(2), math.sin(0.02)], dtype=torch.float64
            )
        )
        hidden = torch.tanh(diffusion.inner(torch.cat([row[0] / 5, told])))
        expected = diffusion.outer(hidden)
        found = diffusion(row, torch.tensor([2]))[0]
        torch.testing.assert_close(found, expected, atol=1e-7, rtol=0)
        torch.testing.assert_close(diffusion(2 * row, torch.tensor([2]))[0], found)


def test_rows_are_restored_by_the_mean_of_each_step_back(diffusion):
    x = torch.eye(4, dtype=torch.float64)
    level = np.cumprod(1 - np.array(betas()))
    with torch.no_grad():
        expected = x
        for step in (2, 1, 0):
            before = level[step - 1] if step else 1.0
            beta = betas()[step]
            predicted = diffusion(expected, torch.full((4,), step))
            expected = (
                math.sqrt(before) * beta / (1 - level[step]) * predicted
                + math.sqrt(1 - beta) * (1 - before) / (1 - level[step]) * expected
            )
        torch.testing.assert_close(diffusion.restored(x), expected)
        # the last step back is the prediction itself
        assert math.sqrt(1.0) * betas()[0] / (1 - level[0]) == pytest.approx(1.0)


def test_the_loss_is_weighted_by_what_a_step_loses_of_the_signal(diffusion):
    x = torch.tensor([[1.0, 0, 0, 1]], dtype=torch.float64).repeat(6, 1)
    torch.manual_seed(3)
    with torch.no_grad():
        loss, predicted = diffusion.loss(x)
    torch.manual_seed(3)
    step = torch.randint(3, (6,)).numpy()
    assert set(step) == {0, 1, 2}
    level = np.cumprod(1 - np.array(betas()))
    ratio = level / (1 - level)
    errors = (x - predicted).square().mean(1).numpy()
    weights = [ratio[t - 1] - ratio[t] if t else 1.0 for t in step]
    assert float(loss) == pytest.approx(float(np.mean(weights * errors)))
