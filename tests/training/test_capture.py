"""Recording needs a CUDA device; what is around it does not: here "recorded" work is a function
that is called again.
"""

import pytest
import torch

from kgrec.batches import PairwiseBatch
from kgrec.training.capture import Capture


class Regression:
    """Least squares of two columns; each step changes the weights."""

    def __init__(self):
        self.weight = torch.tensor([1.0, -1.0])
        self.seen = []

    def step(self, batches):
        (batch,) = batches
        self.seen.append(batch.user.data_ptr())
        error = self.weight[0] * batch.user + self.weight[1] * batch.positive - batch.negative
        self.weight -= 0.01 * torch.stack(
            [(error * batch.user).mean(), (error * batch.positive).mean()]
        )
        return error.square().mean().unsqueeze(0)


def batches():
    draw = torch.Generator().manual_seed(0)
    sizes = [8] * 9 + [5]
    return [
        (PairwiseBatch(*(torch.randint(-3, 4, (size,), generator=draw) for _ in range(3))),)
        for size in sizes
    ]


def again(step):
    """Stand for a graph: the work is done at each replay, on the batches that were there at the
    recording.
    """
    losses = torch.empty(1)
    return lambda: losses.copy_(step()), losses


def test_replayed_steps_are_the_steps():
    plain, recorded = Regression(), Regression()
    run = Capture(recorded.step, again)
    for batch in batches():
        torch.testing.assert_close(run(batch), plain.step(batch), rtol=0, atol=0)
    assert torch.equal(plain.weight, recorded.weight)
    assert (
        len(set(recorded.seen[3:9])) == 1
    )  # the batches were copied to where the recording reads them
    assert recorded.seen[9] != recorded.seen[3]  # the short one was not


def test_losses_of_earlier_steps_stay_as_they_were():
    run = Capture(Regression().step, again)
    losses = [run(batch) for batch in batches()]
    assert len({float(loss) for loss in losses}) == len(losses)


def test_what_cannot_be_recorded_goes_on_as_it_is(monkeypatch):
    def refused(step):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    plain, other = Regression(), Regression()
    run = Capture(other.step, refused)
    for batch in batches():
        assert torch.equal(run(batch), plain.step(batch))


def test_batches_without_columns_are_not_recorded():
    def never(step):
        pytest.fail("recorded")

    run = Capture(lambda batches: torch.tensor([float(batches[0])]), never)
    assert [float(run([number])) for number in range(6)] == list(range(6))
