import math

import torch

from kgrec.nn.init import glorot_uniform, normal


def test_glorot_bound_of_a_stack_counts_as_tensorflow_does():
    values = glorot_uniform(50, 8, 4, generator=torch.Generator().manual_seed(0))
    bound = math.sqrt(6 / (50 * 12))
    assert float(values.abs().max()) <= bound
    assert float(values.abs().max()) > 0.98 * bound


def test_normal_has_the_scale_asked_for():
    assert (
        abs(float(normal(20000, scale=0.1, generator=torch.Generator().manual_seed(0)).std()) - 0.1)
        < 0.002
    )
