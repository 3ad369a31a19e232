import subprocess
import sys

import pytest
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


def test_steps_and_state_are_those_of_the_fused_form_bit_for_bit():
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(7, 5, generator=generator), torch.randn(3, generator=generator)]
    sides = [[nn.Parameter(value.clone()) for value in start] for _ in range(2)]
    ours = adam(sides[0], 0.01, 0.1)
    theirs = torch.optim.Adam(sides[1], lr=0.01, weight_decay=0.1, fused=True)

    for step in range(8):
        for parameters, optimizer in zip(sides, (ours, theirs), strict=True):
            optimizer.zero_grad()
            loss = (parameters[0] - step).pow(2).sum()
            # The second parameter has no gradient in every other step.
            (loss + (parameters[1].exp().sum() if step % 2 else 0)).backward()
            optimizer.step()
            optimizer.param_groups[0]["lr"] = 0.01 / (step + 1)

        if step == 3:
            # Each goes on from the other's state, as a training that was stopped.
            states = [optimizer.state_dict() for optimizer in (ours, theirs)]
            ours = adam(sides[0], 0.5, 0.1)
            theirs = torch.optim.Adam(sides[1], lr=0.5, weight_decay=0.1, fused=True)
            ours.load_state_dict(states[1])
            groups = theirs.state_dict()["param_groups"]
            theirs.load_state_dict({"state": states[0]["state"], "param_groups": groups})
            theirs.param_groups[0]["lr"] = ours.param_groups[0]["lr"]

    assert all(torch.equal(mine, other) for mine, other in zip(*sides, strict=True))
    mine, other = ours.state_dict()["state"], theirs.state_dict()["state"]
    assert mine.keys() == other.keys() == {0, 1}
    for number, slots in mine.items():
        assert slots.keys() == other[number].keys()
        assert all(torch.equal(value, other[number][name]) for name, value in slots.items())


def test_a_state_of_other_parameters_is_refused():
    one, two = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3))
    with pytest.raises(ValueError, match="2 parameters instead of 1"):
        adam([one], 0.1).load_state_dict(adam([one, two], 0.1).state_dict())


def test_training_does_not_import_the_compiler_of_torch():
    code = (
        "import sys, kgrec\n"
        "from kgrec.testing import worlds\n"
        "kgrec.fit('bprmf', worlds.toy(), epochs=1, dim=4)\n"
        "print([name for name in ('torch._dynamo', 'scipy.stats', 'sympy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
