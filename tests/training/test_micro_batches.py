"""Batches in pieces: the same gradients, said once, and given up where no piece is small enough."""

import logging

import pytest
import torch

from kgrec.batches import PairwiseBatch, PositiveBatch, TripleBatch
from kgrec.models.base import Objective, Plan, Recommender
from kgrec.testing import worlds
from kgrec.training.config import TrainConfig
from kgrec.training.loop import train
from kgrec.training.micro_batches import Pieces, in_pieces


class Hungry(Recommender):
    """Matrix factorization on fewer rows at once than ``most``; more are too much for the
    memory.
    """

    def __init__(self, most, users, items, error=torch.OutOfMemoryError):
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.users = torch.nn.Parameter(torch.randn(users, 4, generator=draw))
        self.items = torch.nn.Parameter(torch.randn(items, 4, generator=draw))
        self.most, self.error, self.seen = most, error, []

    @classmethod
    def from_dataset(cls, data, config, generator):
        return cls(10_000, data.num_users, data.num_items)

    def loss(self, batch):
        if len(batch.user) > self.most:
            raise self.error(
                "CUDA out of memory"
                if self.error is torch.OutOfMemoryError
                else "[enforce fail] can't allocate memory"
            )
        self.seen.append(len(batch.user))
        user = self.users[batch.user]
        return torch.nn.functional.softplus(
            (user * (self.items[batch.negative] - self.items[batch.positive])).sum(1)
        ).mean()

    def plan(self):
        return Plan((Objective(PairwiseBatch, self.loss),))

    def scorer(self):
        return None


@pytest.fixture
def data():
    return worlds.cold_items(users=40)


def trained(data, most, **settings):
    model = Hungry(most, data.num_users, data.num_items, **settings)
    state = train(
        model, data, TrainConfig(epochs=2, batch_size=64), seed=0, device=torch.device("cpu")
    )
    return model, state


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_pieces_train_the_same_model_and_say_so_once_a_size(data, caplog, error):
    whole, expected = trained(data, 10_000)
    with caplog.at_level(logging.WARNING, logger="kgrec"):
        cut, state = trained(data, 20, error=error)
    told = [
        record.getMessage() for record in caplog.records if "memory ran out" in record.getMessage()
    ]
    assert len(told) == 2
    assert "4 pieces of up to 16 rows" in told[-1]
    assert max(cut.seen) <= 20
    assert max(whole.seen) == 64
    torch.testing.assert_close(cut.users, whole.users, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(cut.items, whole.items, atol=1e-5, rtol=1e-5)
    for one, other in zip(state.history, expected.history, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-6)


def test_what_no_piece_can_mend_is_raised(data):
    with pytest.raises(torch.OutOfMemoryError):
        trained(data, 0)
    model = Hungry(10_000, data.num_users, data.num_items)
    model.loss = lambda batch: (_ for _ in ()).throw(RuntimeError("another fault"))
    with pytest.raises(RuntimeError, match="another fault"):
        train(model, data, TrainConfig(epochs=1), seed=0, device=torch.device("cpu"))


def test_pieces_cover_a_batch_once():
    rows = torch.arange(10)
    pieces = list(in_pieces(TripleBatch(rows, rows, rows, rows), 4))
    assert [len(piece.head) for piece, _ in pieces] == [3, 3, 3, 1]
    assert torch.cat([piece.negative_tail for piece, _ in pieces]).tolist() == rows.tolist()
    assert sum(share for _, share in pieces) == pytest.approx(1)


def test_a_batch_of_another_make_is_not_cut():
    assert not Pieces().more(MemoryError(), [object()])
    assert not Pieces().more(MemoryError(), [PositiveBatch(torch.arange(1), torch.arange(1))])
    assert not Pieces().more(ValueError("no"), [PositiveBatch(torch.arange(8), torch.arange(8))])
