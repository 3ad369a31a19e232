from dataclasses import dataclass

import numpy as np
import pytest
import torch

from kgrec.batches import PairwiseBatch
from kgrec.errors import DivergedError
from kgrec.models.base import Objective, Plan
from kgrec.models.factorization.bprmf import BPRMF, BPRMFConfig
from kgrec.models.sources import register_source
from kgrec.testing import worlds
from kgrec.training.config import TrainConfig
from kgrec.training.loop import train
from kgrec.training.samplers import make_sampler

CPU = torch.device("cpu")


def model_for(data, **config):
    return BPRMF.from_dataset(
        data, BPRMFConfig(dim=3, item_bias=False, **config), torch.Generator().manual_seed(0)
    )


def adam_by_hand(users, items, batches, rate, weight):
    """Return the embeddings after Adam on BPR with L2, written out in NumPy float64."""
    parameters = [users.copy(), items.copy()]
    first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    for step, (u, i, j) in enumerate(batches, start=1):
        p, q = parameters
        slope = -1 / (1 + np.exp((p[u] * (q[i] - q[j])).sum(1))) / len(u)
        gradients = [np.zeros_like(p), np.zeros_like(q)]
        np.add.at(gradients[0], u, slope[:, None] * (q[i] - q[j]) + weight * p[u] / len(u))
        np.add.at(gradients[1], i, slope[:, None] * p[u] + weight * q[i] / len(u))
        np.add.at(gradients[1], j, -slope[:, None] * p[u] + weight * q[j] / len(u))
        for n, gradient in enumerate(gradients):
            first[n] = 0.9 * first[n] + 0.1 * gradient
            second[n] = 0.999 * second[n] + 0.001 * gradient**2
            move = (first[n] / (1 - 0.9**step)) / (np.sqrt(second[n] / (1 - 0.999**step)) + 1e-8)
            parameters[n] = parameters[n] - rate * move
    return parameters


def test_two_epochs_of_fit_equal_adam_written_by_hand():
    """Catches gradients that are never cleared, steps that are skipped, and a loss that is summed
    instead of averaged.
    """
    data = worlds.cold_items(users=20)
    config = TrainConfig(epochs=2, batch_size=50, learning_rate=0.1, patience=0)
    model = model_for(data, l2_weight=0.3).double()
    users, items = (p.detach().numpy().copy() for p in (model.users, model.items))
    sampler = make_sampler(
        Objective(PairwiseBatch, model.cf_loss), data, config, seed=3, device=CPU, steps=0
    )
    batches = [
        (b.user.numpy(), b.positive.numpy(), b.negative.numpy())
        for epoch in (1, 2)
        for b in sampler.epoch(epoch)
    ]
    assert len(batches) == 8
    train(model, data, config, seed=3, device=CPU)
    expected = adam_by_hand(users, items, batches, 0.1, 0.3)
    np.testing.assert_allclose(model.users.detach().numpy(), expected[0], atol=1e-9)
    np.testing.assert_allclose(model.items.detach().numpy(), expected[1], atol=1e-9)


def test_the_best_epoch_is_kept_and_patience_ends_training():
    data, values = worlds.checkerboard(), iter([0.1, 0.5, 0.4, 0.5, 0.3, 0.9])
    model, seen = model_for(data), []

    def validate(scorer):
        seen.append(scorer.users.clone())
        return next(values)

    state = train(
        model,
        data,
        TrainConfig(epochs=50, patience=3, batch_size=8),
        seed=0,
        device=CPU,
        validate=validate,
    )
    assert state.epoch == 5
    assert state.stopping.best_epoch == 2
    assert torch.equal(model.users, seen[1])


def test_a_loss_that_is_not_finite_stops_with_epoch_and_step():
    data = worlds.checkerboard()

    class Diverging(BPRMF):
        def plan(self):
            calls = iter(range(100))
            return Plan(
                (
                    Objective(
                        PairwiseBatch,
                        lambda batch: (
                            self.cf_loss(batch) * (float("nan") if next(calls) == 9 else 1.0)
                        ),
                    ),
                )
            )

    model = Diverging(12, 12, BPRMFConfig(dim=2), torch.Generator().manual_seed(0))
    with pytest.raises(DivergedError, match=r"epoch 2, step 2.*learning_rate"):
        train(model, data, TrainConfig(epochs=5, batch_size=8), seed=0, device=CPU)


def test_joint_objectives_share_one_step():
    """Two halves of a loss trained jointly equal the whole loss."""
    data = worlds.cold_items(users=20)

    class Halves(BPRMF):
        def plan(self):
            half = Objective(PairwiseBatch, lambda batch: self.cf_loss(batch) / 2)
            return Plan((half, half), joint=True)

    whole = model_for(data)
    halves = Halves(
        whole.users.shape[0], whole.items.shape[0], whole.config, torch.Generator().manual_seed(0)
    )
    config = TrainConfig(epochs=2, batch_size=40, learning_rate=0.05)
    for model in (whole, halves):
        train(model, data, config, seed=0, device=CPU)
    torch.testing.assert_close(whole.users, halves.users)


def test_the_first_of_joint_objectives_sets_the_steps_and_shorter_ones_start_over():
    data, seen = worlds.cold_items(users=20), []

    @dataclass(frozen=True)
    class Short:
        def steps(self):
            return 2

        def epoch(self, epoch):
            yield from ((epoch, 0), (epoch, 1))

    register_source(Short, lambda source, context: source, gives=tuple)

    class Uneven(BPRMF):
        def plan(self):
            def note(batch):
                seen.append(batch)
                return self.users.sum() * 0

            second = Objective(tuple, note, source=Short())
            return Plan((Objective(PairwiseBatch, self.cf_loss), second), joint=True)

    model = Uneven(20, 60, BPRMFConfig(dim=2), torch.Generator().manual_seed(0))
    train(model, data, TrainConfig(epochs=2, batch_size=40), seed=0, device=CPU)
    assert seen == [(epoch, step) for epoch in (1, 2) for step in (0, 1, 0, 1)]


def test_alternating_objectives_have_their_own_optimizer_and_order():
    data, order = worlds.cold_items(users=20), []

    class Two(BPRMF):
        def plan(self):
            def note(name):
                def loss(batch):
                    order.append(name)
                    return self.cf_loss(batch)

                return loss

            return Plan(
                (
                    Objective(PairwiseBatch, note("a"), (self.users,), name="a"),
                    Objective(PairwiseBatch, note("b"), (self.items,), name="b"),
                ),
                after_epoch=lambda: order.append("end"),
            )

    model = Two(20, 60, BPRMFConfig(dim=2), torch.Generator().manual_seed(0))
    train(model, data, TrainConfig(epochs=2, batch_size=80), seed=0, device=CPU)
    assert order == [*"aabb", "end", *"aabb", "end"]
