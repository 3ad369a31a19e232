import torch
from torch import nn

from kgrec.ops.optimizer import adam


def test_same_steps_as_the_default_form():
    start = torch.randn(5, 3, dtype=torch.float64)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    for parameter, optimizer in (
        (ours, adam([ours], 0.01)),
        (theirs, torch.optim.Adam([theirs], lr=0.01, fused=False, foreach=False)),
    ):
        for step in range(5):
            optimizer.zero_grad()
            (parameter.square() * (step + 1)).sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)
    assert not torch.equal(ours, start)
