import numpy as np
import pytest
import torch
import worlds

from kgrec.batches import PairwiseBatch, PositiveBatch, Query, TripleBatch
from kgrec.errors import ConfigError
from kgrec.models.base import Objective, TripleSource
from kgrec.training.config import TrainConfig
from kgrec.training.samplers import make_sampler

CPU = torch.device("cpu")
DATA = worlds.cold_items(users=30)
PAIRS = set(zip(DATA.train.user.tolist(), DATA.train.item.tolist(), strict=True))


def sampler(batch, *, seed=0, steps=0, triples=None, **config):
    objective = Objective(batch, lambda _: torch.zeros(()), triples=triples)
    return make_sampler(objective, DATA, TrainConfig(**config), seed=seed, device=CPU, steps=steps)


def test_every_interaction_once_an_epoch_with_a_true_negative():
    batches = list(sampler(PairwiseBatch, batch_size=50).epoch(1))
    assert [len(b.user) for b in batches] == [50, 50, 50, 50, 40]
    drawn = [(u, i) for b in batches for u, i in zip(b.user.tolist(), b.positive.tolist(), strict=True)]
    assert sorted(drawn) == sorted(PAIRS)
    assert not any((u, n) in PAIRS for b in batches for u, n in zip(b.user.tolist(), b.negative.tolist(), strict=True))


def test_an_epoch_depends_on_seed_and_number_alone():
    first = [b.negative for b in sampler(PairwiseBatch, batch_size=50).epoch(7)]
    fresh = sampler(PairwiseBatch, batch_size=50)
    list(fresh.epoch(1))
    assert all(torch.equal(a, b) for a, b in zip(first, (b.negative for b in fresh.epoch(7)), strict=True))
    assert not torch.equal(first[0], next(iter(fresh.epoch(8))).negative)
    assert not torch.equal(first[0], next(iter(sampler(PairwiseBatch, batch_size=50, seed=1).epoch(7))).negative)


def test_user_uniform_draws_distinct_users_and_their_own_items():
    draws = sampler(PositiveBatch, batch_size=20, sampler="user_uniform")
    batches = list(draws.epoch(1))
    assert len(batches) == draws.steps() == len(DATA.train) // 20 + 1
    for batch in batches:
        assert len(set(batch.user.tolist())) == 20
        assert all(pair in PAIRS for pair in zip(batch.user.tolist(), batch.positive.tolist(), strict=True))


def triple_source(by_head):
    t = DATA.triples
    return TripleSource(*(torch.from_numpy(part).long() for part in (t.head, t.relation, t.tail)), DATA.num_entities, by_head)


@pytest.mark.parametrize("by_head", [False, True])
def test_triples_come_with_tails_that_are_not_known(by_head):
    draws = sampler(TripleBatch, steps=4, triples=triple_source(by_head))
    known = set(zip(DATA.triples.head.tolist(), DATA.triples.relation.tolist(), DATA.triples.tail.tolist(), strict=True))
    batches = list(draws.epoch(1))
    assert len(batches) == draws.steps() == 4
    rows = [row for b in batches for row in zip(*(x.tolist() for x in (b.head, b.relation, b.tail, b.negative_tail)), strict=True)]
    assert all((h, r, t) in known and (h, r, n) not in known for h, r, t, n in rows)
    if by_head:
        assert all(len(set(b.head.tolist())) == len(b.head) for b in batches)
    else:
        assert sorted((h, r, t) for h, r, t, _ in rows) == sorted(known)


def test_a_limit_on_steps_takes_another_part_of_the_triples_each_epoch():
    draws = sampler(TripleBatch, triples=triple_source(False), kg_batch_size=16, kg_steps=2)
    first, second = (torch.cat([b.head for b in draws.epoch(epoch)]) for epoch in (1, 2))
    assert draws.steps() == 2
    assert len(first) == 32
    assert not torch.equal(first, second)


def test_positions_of_one_user_are_drawn_evenly():
    picked = np.concatenate(
        [
            b.positive.numpy()[b.user.numpy() == 3]
            for e in range(1, 400)
            for b in sampler(PositiveBatch, batch_size=30, sampler="user_uniform").epoch(e)
        ]
    )
    counts = np.unique(picked, return_counts=True)[1]
    assert len(counts) == 8
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 24.3  # chi-square, 7 degrees of freedom, p = .001


def test_a_batch_type_without_a_sampler_is_refused():
    with pytest.raises(ConfigError, match="Query"):
        sampler(Query)
