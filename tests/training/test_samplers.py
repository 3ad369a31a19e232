import numpy as np
import pytest
import torch

from kgrec.batches import PairwiseBatch, PositiveBatch, Query, TripleBatch
from kgrec.errors import ConfigError
from kgrec.models.base import Objective
from kgrec.models.sources import Triples
from kgrec.runs.settings import choose
from kgrec.testing import worlds
from kgrec.training import samplers
from kgrec.training.config import TrainConfig
from kgrec.training.samplers import make_sampler

CPU = torch.device("cpu")
DATA = worlds.cold_items(users=30)
PAIRS = set(zip(DATA.train.user.tolist(), DATA.train.item.tolist(), strict=True))


def sampler(batch, *, seed=0, steps=0, triples=None, **config):
    objective = Objective(batch, lambda _: torch.zeros(()), source=triples)
    return make_sampler(objective, DATA, TrainConfig(**config), seed=seed, device=CPU, steps=steps)


def test_every_interaction_once_an_epoch_with_a_true_negative():
    batches = list(sampler(PairwiseBatch, batch_size=50).epoch(1))
    assert [len(b.user) for b in batches] == [50, 50, 50, 50, 40]
    drawn = [
        (u, i) for b in batches for u, i in zip(b.user.tolist(), b.positive.tolist(), strict=True)
    ]
    assert sorted(drawn) == sorted(PAIRS)
    assert not any(
        (u, n) in PAIRS
        for b in batches
        for u, n in zip(b.user.tolist(), b.negative.tolist(), strict=True)
    )


def test_an_epoch_depends_on_seed_and_number_alone():
    first = [b.negative for b in sampler(PairwiseBatch, batch_size=50).epoch(7)]
    fresh = sampler(PairwiseBatch, batch_size=50)
    list(fresh.epoch(1))
    assert all(
        torch.equal(a, b) for a, b in zip(first, (b.negative for b in fresh.epoch(7)), strict=True)
    )
    assert not torch.equal(first[0], next(iter(fresh.epoch(8))).negative)
    assert not torch.equal(
        first[0], next(iter(sampler(PairwiseBatch, batch_size=50, seed=1).epoch(7))).negative
    )


def test_user_uniform_draws_distinct_users_and_their_own_items():
    draws = sampler(PositiveBatch, batch_size=20, sampler="user_uniform")
    batches = list(draws.epoch(1))
    assert len(batches) == draws.steps() == len(DATA.train) // 20 + 1
    for batch in batches:
        assert len(set(batch.user.tolist())) == 20
        assert all(
            pair in PAIRS for pair in zip(batch.user.tolist(), batch.positive.tolist(), strict=True)
        )


def triple_source(by_head):
    t = DATA.triples
    return Triples(
        *(torch.from_numpy(part).long() for part in (t.head, t.relation, t.tail)),
        DATA.num_entities,
        by_head,
    )


@pytest.mark.parametrize("by_head", [False, True])
def test_triples_come_with_tails_that_are_not_known(by_head):
    draws = sampler(TripleBatch, steps=4, triples=triple_source(by_head))
    known = set(
        zip(
            DATA.triples.head.tolist(),
            DATA.triples.relation.tolist(),
            DATA.triples.tail.tolist(),
            strict=True,
        )
    )
    batches = list(draws.epoch(1))
    assert len(batches) == draws.steps() == 4
    rows = [
        row
        for b in batches
        for row in zip(
            *(x.tolist() for x in (b.head, b.relation, b.tail, b.negative_tail)), strict=True
        )
    ]
    assert all((h, r, t) in known and (h, r, n) not in known for h, r, t, n in rows)
    if by_head:
        assert all(len(set(b.head.tolist())) == len(b.head) for b in batches)
    else:
        assert sorted((h, r, t) for h, r, t, _ in rows) == sorted(known)


@pytest.mark.parametrize("by_head", [False, True])
def test_triples_that_come_first_have_batches_of_their_own_size(by_head):
    draws = sampler(TripleBatch, triples=triple_source(by_head), batch_size=16)
    sizes = [len(batch.head) for batch in draws.epoch(1)]
    assert draws.steps() == len(sizes) == -(-len(DATA.triples) // 16)
    assert sizes[:-1] == [16] * (len(sizes) - 1)


def test_a_limit_on_steps_takes_another_part_of_the_triples_each_epoch():
    draws = sampler(TripleBatch, triples=triple_source(False), kg_batch_size=16, kg_steps=2)
    first, second = (torch.cat([b.head for b in draws.epoch(epoch)]) for epoch in (1, 2))
    assert draws.steps() == 2
    assert len(first) == 32
    assert not torch.equal(first, second)


def test_more_steps_than_the_triples_last_begin_again_with_them_shuffled_anew():
    count = len(DATA.triples)
    size = count // 2 + 1  # two batches, the second one triple or two shorter
    draws = sampler(TripleBatch, triples=triple_source(False), kg_batch_size=size, kg_steps=5)
    batches = [batch.head * 1000 + batch.tail for batch in draws.epoch(1)]
    assert (
        [len(batch) for batch in batches]
        == draws.sizes()
        == [size, count - size, size, count - size, size]
    )
    assert draws.steps() == 5
    first, second = torch.cat(batches[:2]), torch.cat(batches[2:4])
    assert sorted(first.tolist()) == sorted(second.tolist())
    assert first.tolist() != second.tolist()


@pytest.mark.parametrize(("steps", "kg_steps"), [(4, 0), (4, 2), (4, 9), (0, 9)])
def test_steps_by_head_can_be_fewer_and_more(steps, kg_steps):
    draws = sampler(
        TripleBatch, steps=steps, triples=triple_source(True), kg_batch_size=7, kg_steps=kg_steps
    )
    assert [len(batch.head) for batch in draws.epoch(1)] == [7] * (kg_steps or steps)


@pytest.mark.parametrize("by_head", [False, True])
def test_tails_are_the_same_however_many_are_corrupted_at_once(by_head, monkeypatch):
    def drawn():
        batches = sampler(
            TripleBatch, steps=4, triples=triple_source(by_head), kg_batch_size=7, kg_steps=9
        ).epoch(2)
        return [
            part.tolist() for b in batches for part in (b.head, b.relation, b.tail, b.negative_tail)
        ]

    whole = drawn()
    for most in (1, 20):
        monkeypatch.setattr(samplers, "_TRIPLES_AT_ONCE", most)
        assert drawn() == whole


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
    assert (
        (counts - counts.mean()) ** 2 / counts.mean()
    ).sum() < 24.3  # chi-square, 7 degrees of freedom, p = .001


def test_a_batch_type_without_a_sampler_is_refused():
    with pytest.raises(ConfigError, match="Query"):
        sampler(Query)


def test_users_drawn_with_replacement_repeat_in_a_batch():
    batches = list(sampler(PairwiseBatch, batch_size=50, sampler="user_uniform_replace").epoch(1))
    assert [len(b.user) for b in batches] == [50, 50, 50, 50, 40]
    drawn = [
        (u, i) for b in batches for u, i in zip(b.user.tolist(), b.positive.tolist(), strict=True)
    ]
    assert set(drawn) <= PAIRS
    assert len(set(drawn)) < len(drawn)
    assert len(set(np.bincount([u for u, _ in drawn], minlength=30).tolist())) > 1


def test_users_are_drawn_evenly_whatever_their_number_of_items():
    """User 0 has one item, user 1 has nine; uniform over interactions would give user 0 a tenth of
    the draws.
    """
    data = worlds.dataset([(0, 0), *((1, item) for item in range(9))], num_items=20)
    config = TrainConfig(batch_size=5, sampler="user_uniform_replace")
    draws = make_sampler(
        Objective(PositiveBatch, lambda _: torch.zeros(())),
        data,
        config,
        seed=0,
        device=CPU,
        steps=0,
    )
    users = torch.cat([b.user for epoch in range(100) for b in draws.epoch(epoch)])
    assert len(users) == 1000
    assert 440 < int((users == 0).sum()) < 560  # within four standard deviations of a half


def test_a_quota_gives_every_user_the_same_number_of_interactions():
    """models.md 0.6: n_train // n_users each; here 13 // 3 for the three users that have any."""
    pairs = (
        [(0, item) for item in range(1)]
        + [(1, item) for item in range(4)]
        + [(3, item) for item in range(8)]
    )
    data = worlds.dataset(pairs, num_users=5, num_items=20)
    config = TrainConfig(batch_size=5, sampler="per_user_quota")
    draws = make_sampler(
        Objective(PairwiseBatch, lambda _: torch.zeros(())),
        data,
        config,
        seed=0,
        device=CPU,
        steps=0,
    )
    batches = list(draws.epoch(1))
    assert len(batches) == draws.steps() == 3
    rows = [
        (u, p, n)
        for b in batches
        for u, p, n in zip(b.user.tolist(), b.positive.tolist(), b.negative.tolist(), strict=True)
    ]
    assert np.bincount([u for u, _, _ in rows], minlength=5).tolist() == [4, 4, 0, 4, 0]
    assert all((u, p) in pairs and (u, n) not in pairs for u, p, n in rows)
    assert [u for u, _, _ in rows] != sorted(u for u, _, _ in rows)


@pytest.mark.parametrize("name", ["interaction", "user_uniform_replace", "per_user_quota"])
def test_a_short_last_batch_is_left_out_on_request(name):
    draws = sampler(PairwiseBatch, batch_size=50, sampler=name, drop_last=True)
    assert [len(b.user) for b in draws.epoch(1)] == [50, 50, 50, 50]
    assert draws.steps() == 4


def test_the_only_batch_is_never_left_out():
    draws = sampler(PairwiseBatch, batch_size=1000, drop_last=True)
    assert [len(b.user) for b in draws.epoch(1)] == [240] * draws.steps()


def test_what_is_left_out_changes_from_epoch_to_epoch():
    draws = sampler(PositiveBatch, batch_size=200, drop_last=True)
    first, second = (
        set(zip(b.user.tolist(), b.positive.tolist(), strict=True))
        for e in (1, 2)
        for b in draws.epoch(e)
    )
    assert len(first) == len(second) == 200
    assert first != second


@pytest.mark.parametrize("name", ["user_uniform", "user_uniform_replace", "per_user_quota"])
def test_every_sampler_depends_on_seed_and_epoch_alone(name):
    first, again = (
        sampler(PairwiseBatch, batch_size=50, sampler=name),
        sampler(PairwiseBatch, batch_size=50, sampler=name),
    )
    list(again.epoch(1))
    for a, b in zip(first.epoch(4), again.epoch(4), strict=True):
        assert all(
            torch.equal(x, y)
            for x, y in ((a.user, b.user), (a.positive, b.positive), (a.negative, b.negative))
        )


def test_an_unknown_sampler_is_refused_with_those_known():
    with pytest.raises(
        ConfigError,
        match=r"^sampler='uniform': expected one of interaction, user_uniform, "
        r"user_uniform_replace",
    ):
        choose("bprmf", "default", {"sampler": "uniform"})


@pytest.mark.parametrize(
    ("key", "value"),
    [("epochs", 0), ("batch_size", 0), ("kg_steps", -1), ("patience", -1), ("learning_rate", 0.0)],
)
def test_training_settings_out_of_range_are_refused_by_name(key, value):
    with pytest.raises(ConfigError, match=f"^[^\n]*{key}[^\n]*$"):
        TrainConfig(**{key: value})
