"""Models as outside code would write them, one for each source: they learn a world's answer, and go
on as if never stopped.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

import kgrec
from kgrec.batches import (
    FieldBatch,
    PairwiseBatch,
    PointwiseBatch,
    PositiveBatch,
    Query,
    SampledBatch,
    SequenceBatch,
    TripleBatch,
    UserBatch,
)
from kgrec.data.records.interactions import Interactions
from kgrec.errors import ConfigError, DataError
from kgrec.graph import FieldTable
from kgrec.models import (
    DotProduct,
    Fields,
    NegativeSource,
    Objective,
    Pairs,
    Plan,
    Points,
    Sequences,
    Users,
    register_source,
)
from kgrec.models.sources import needs_of, source_of
from kgrec.queries import queries
from kgrec.random import derive
from kgrec.testing import worlds
from kgrec.testing.contract import auc
from kgrec.training.config import TrainConfig
from kgrec.training.loop import train
from kgrec.training.micro_batches import in_pieces
from kgrec.training.samplers import make_sampler

CPU = torch.device("cpu")


def draws(batch, source, data, *, seed=0, **config):
    objective = Objective(batch, lambda _: torch.zeros(()), source=source)
    return make_sampler(objective, data, TrainConfig(**config), seed=seed, device=CPU, steps=0)


def chain(users=80, items=30, length=8, seed=0):
    """After item n everyone takes item n + 1, from a start of their own; the test item is the next
    one.
    """
    start = np.random.default_rng(seed).integers(items, size=users)
    pairs = [(u, int(start[u] + step) % items) for u in range(users) for step in range(length)]
    test = [(u, int(start[u] + length) % items) for u in range(users)]
    return worlds.with_times(worlds.dataset(pairs, test=test, num_items=items))


def rated(users=30, items=20, seed=0):
    """Users rate items of their own kind 5, of the other kind 1; a third of the pairs is known."""
    rng = np.random.default_rng(seed)
    pairs = [(u, i) for u in range(users) for i in range(items) if rng.random() < 0.4]
    data = worlds.dataset(pairs, num_users=users, num_items=items)
    same = data.train.user % 2 == data.train.item % 2
    return replace(data, train=replace(data.train, rating=np.where(same, 5, 1).astype(np.float32)))


@dataclass(frozen=True)
class ToyConfig:
    dim: int = 16
    distribution: str = "uniform"
    label: str = "click"
    targets: str = "every"


class Toy(kgrec.Recommender):
    """Vectors of users and items."""

    def __init__(self, data, config, generator):
        super().__init__()
        self.config = config
        self.users = self.table(data.num_users, config.dim, generator)
        self.items = self.table(data.num_items, config.dim, generator)

    @staticmethod
    def table(rows, dim, generator):
        return nn.Parameter(torch.randn(rows, dim, generator=generator) / 10)

    @classmethod
    def from_dataset(cls, data, config: ToyConfig, generator):
        return cls(data, config, generator)

    def score(self, user, items):
        return (self.users[user].unsqueeze(1) * self.items[items]).sum(2)

    def scorer(self):
        return DotProduct(self.users, self.items)


class Sampled(Toy):
    """Softmax of an item against four others."""

    def loss(self, batch):
        every = torch.cat([batch.positive.unsqueeze(1), batch.negative], 1)
        return -self.score(batch.user, every).log_softmax(1)[:, 0].mean()

    def plan(self):
        negatives = NegativeSource(4, self.config.distribution, score=self.score, pool=10)
        return Plan((Objective(SampledBatch, self.loss, source=Pairs(negatives)),))


class Pointwise(Toy):
    """Matrix factorization of clicks by cross-entropy, or of ratings by squares."""

    def __init__(self, data, config, generator):
        super().__init__(data, config, generator)
        self.mean = nn.Parameter(torch.zeros(()))

    def loss(self, batch):
        score = self.mean + self.score(batch.user, batch.item.unsqueeze(1)).squeeze(1)
        if self.config.label == "rating":
            return (score - batch.label).square().mean()
        return nn.functional.binary_cross_entropy_with_logits(score, batch.label)

    def plan(self):
        source = Points(self.config.label, NegativeSource(2))
        return Plan((Objective(PointwiseBatch, self.loss, source=source),))


class MultVAE(Toy):
    """A variational autoencoder of a user's items with a multinomial likelihood, as Liang et al.,
    WWW 2018, in a few lines.
    """

    def __init__(self, data, config, generator):
        super().__init__(data, config, generator)
        self.spread = self.table(data.num_items, config.dim, generator)
        self.decoder = self.table(data.num_items, config.dim, generator)
        self.num_items, self.key = data.num_items, (0, 0, 0)

    def encoded(self, table, items, mask):
        weight = mask / mask.sum(1, keepdim=True).clamp(min=1).sqrt()
        return (table[items] * weight.unsqueeze(2)).sum(1)

    def loss(self, batch):
        mean = self.encoded(self.items, batch.items, batch.mask)
        log_variance = self.encoded(self.spread, batch.items, batch.mask)
        seed, epoch, step = self.key
        self.key = (seed, epoch, step + 1)
        generator = torch.Generator().manual_seed(derive(seed, "noise", epoch, step))
        noise = torch.randn(mean.shape, generator=generator)
        logits = (mean + noise * (log_variance / 2).exp()) @ self.decoder.T
        likelihood = (logits.log_softmax(1).gather(1, batch.items) * batch.mask).sum(1)
        divergence = (log_variance.exp() + mean.square() - 1 - log_variance).sum(1) / 2
        return (0.1 * divergence - likelihood).mean() + 0 * self.users.sum()

    def begin(self, epoch, seed):
        self.key = (seed, epoch, 0)

    def plan(self):
        return Plan((Objective(UserBatch, self.loss),), begin_epoch=self.begin)

    def scorer(self):
        def rank(query, items=None):
            every = self.encoded(self.items, query.history, query.history_mask) @ self.decoder.T
            return every if items is None else every.gather(1, items)

        return rank


class SASRec(Toy):
    """One layer of causal attention over a user's items, as Kang and McAuley, ICDM 2018, without
    the trimmings.
    """

    length = 6

    def __init__(self, data, config, generator):
        super().__init__(data, config, generator)
        dim = config.dim
        self.places = self.table(self.length, dim, generator)
        self.inward = self.table(3 * dim, dim, generator)
        self.outward = self.table(dim, dim, generator)

    def states(self, history, mask):
        x = self.items[history] + self.places[: history.shape[1]]
        ask, key, value = (x @ self.inward.T).chunk(3, 2)
        weight = ask @ key.transpose(1, 2) / self.config.dim**0.5
        seen = torch.ones(weight.shape[1:]).tril().bool() & mask.unsqueeze(1)
        weight = weight.masked_fill(~seen, -1e9).softmax(2)
        return x + weight @ value @ self.outward.T

    def last(self, history, mask):
        return (mask.sum(1) - 1).clamp(min=0), self.states(history, mask)

    def loss(self, batch):
        if self.config.targets == "next":
            last, states = self.last(batch.history, batch.history_mask)
            states = states[torch.arange(len(last)), last].unsqueeze(1)
        else:
            states = self.states(batch.history, batch.history_mask)
        right = (states @ self.items.T).log_softmax(2).gather(2, batch.target.unsqueeze(2))
        return -(right.squeeze(2) * batch.target_mask).sum() / batch.target_mask.sum()

    def plan(self):
        source = Sequences(self.length, self.config.targets)
        return Plan((Objective(SequenceBatch, self.loss, source=source),))

    def scorer(self):
        def rank(query, items=None):
            size = query.history_mask.sum(1, keepdim=True)
            at = (size - self.length).clamp(min=0) + torch.arange(self.length)
            mask = at < size
            history = query.history.gather(1, at.clamp(max=query.history.shape[1] - 1))
            last, states = self.last(torch.where(mask, history, 0), mask)
            every = states[torch.arange(len(last)), last] @ self.items.T
            return every if items is None else every.gather(1, items)

        return rank


class FM(Toy):
    """A factorization machine over user, item and the item's facts, Rendle, ICDM 2010, Eq. (1)."""

    def __init__(self, data, config, generator):
        super().__init__(data, config, generator)
        del self.users, self.items
        self.fields = FieldTable.from_dataset(data, most=2)
        self.offsets = torch.tensor(self.fields.offsets)
        self.bias = nn.Parameter(torch.zeros(self.fields.num_values))
        self.vectors = self.table(self.fields.num_values, config.dim, generator)

    def value(self, columns):
        there = torch.ones_like(columns)
        there[:, 2:] = columns[:, 2:] > 0
        at = columns + self.offsets
        vectors = self.vectors[at] * there.unsqueeze(2)
        pairs = (vectors.sum(1).square() - vectors.square().sum(1)).sum(1) / 2
        return (self.bias[at] * there).sum(1) + pairs

    def loss(self, batch):
        return nn.functional.binary_cross_entropy_with_logits(self.value(batch.fields), batch.label)

    def plan(self):
        negatives = NegativeSource(1, "popularity", 0)  # items never seen are left to their fields
        source = Fields(self.fields, Points(negatives=negatives))
        return Plan((Objective(FieldBatch, self.loss, source=source),))

    def scorer(self):
        def rank(query, items=None):
            if items is None:
                items = torch.arange(len(self.fields.items)).expand(len(query.user), -1)
            pairs = (query.user.repeat_interleave(items.shape[1]), items.flatten())
            return self.value(self.fields.rows(*pairs)).view(items.shape)

        return rank


CASES = {
    "mult-vae": (MultVAE, worlds.checkerboard, {"batch_size": 4}),
    "sasrec": (SASRec, chain, {"batch_size": 16}),
    "next item": (SASRec, chain, {"batch_size": 64, "targets": "next"}),
    "clicks": (Pointwise, worlds.checkerboard, {"batch_size": 16}),
    "ratings": (Pointwise, rated, {"batch_size": 32, "label": "rating"}),
    "fm": (FM, worlds.cold_items, {"batch_size": 64}),
    **{
        name: (Sampled, worlds.checkerboard, {"batch_size": 16, "distribution": name})
        for name in ("uniform", "popularity", "in-batch", "hard")
    },
}


def fit(name, data=None, **more):
    model, world, settings = CASES[name]
    if data is None:
        data = world()
    settings = {"learning_rate": 0.02, "epochs": 30, "patience": 0, **settings, **more}
    return kgrec.fit(model, data, device="cpu", seed=1, **settings)


def scores(run):
    with torch.inference_mode():
        return run.scorer()(queries(run.data.train, np.arange(run.data.num_users)))


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case[1] is worlds.checkerboard])
def test_the_withheld_item_of_the_own_kind_comes_first(name):
    frame = fit(name).recommend("all", k=1)
    right = [item[1:] == user[1:] for item, user in zip(frame["item"], frame["user"], strict=True)]
    assert np.mean(right) > 0.9  # one in seven at random


@pytest.mark.parametrize("name", ["sasrec", "next item"])
def test_what_comes_next_is_read_off_the_order_of_times(name):
    run = fit(name, epochs=60)
    frame = run.recommend("all", k=1)
    item = [run.data.items.row(key) for key in frame["item"]]
    assert np.mean(np.array(item) == run.data.test.item) > 0.9  # one in twenty-two at random


def test_ratings_not_seen_are_those_of_the_kind():
    run = fit("ratings")
    found = scores(run).numpy()
    same = np.arange(30)[:, None] % 2 == np.arange(20) % 2
    unseen = ~run.data.train.csr(30, 20).toarray().astype(bool)
    assert auc(found[unseen], same[unseen]) > 0.95


def test_cold_items_are_decided_by_their_fields():
    run = fit("fm")
    found = scores(run)[:, 40:].numpy()
    own = np.arange(40, 60) % 2 == np.arange(60)[:, None] % 2
    assert np.mean([auc(row, mask) for row, mask in zip(found, own, strict=True)]) > 0.8


@pytest.mark.parametrize("name", CASES)
def test_a_resumed_training_is_the_uninterrupted_one(name, tmp_path):
    model, world, _ = CASES[name]
    data = world()
    whole = fit(name, data, epochs=4)
    fit(name, data, epochs=2, out=tmp_path / "run")
    resumed = kgrec.fit(
        model, data, out=tmp_path / "run", resume=True, epochs=4, device="cpu", patience=0
    )
    assert [r["loss"] for r in resumed.history] == [r["loss"] for r in whole.history]
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key


@pytest.mark.parametrize("name", ["mult-vae", "sasrec", "clicks", "fm", "hard"])
def test_batches_in_pieces_train_the_same_model(name, monkeypatch):
    """The first steps run out of memory where more than five rows come at once."""
    model, world, settings = CASES[name]
    data = world()
    config = TrainConfig(epochs=1, batch_size=16)
    toy = ToyConfig(**{k: v for k, v in settings.items() if k != "batch_size"})

    def trained(most):
        built = model.from_dataset(data, toy, torch.Generator().manual_seed(0))
        loss = built.loss
        rows = []

        def hungry(batch):
            column = batch.label if isinstance(batch, FieldBatch) else batch.user
            if len(column) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            rows.append(len(column))
            if isinstance(built, MultVAE):
                built.key = (0, 0, 0)
            return loss(batch)

        built.loss = hungry
        train(built, data, config, seed=0, device=CPU)
        return max(rows)

    assert trained(10_000) > 5
    assert trained(5) <= 5


@pytest.mark.parametrize(
    ("batch", "source"),
    [
        (UserBatch, Users()),
        (SequenceBatch, Sequences(3)),
        (SequenceBatch, Sequences(3, "next")),
        (SequenceBatch, Sequences(3, "windows")),
        (PointwiseBatch, Points(negatives=NegativeSource(3))),
        (SampledBatch, Pairs(NegativeSource(3, "popularity"))),
        (SampledBatch, Pairs(NegativeSource(3, "in-batch"))),
    ],
    ids=str,
)
def test_draws_depend_on_seed_and_epoch_alone_and_can_be_cut(batch, source):
    data = worlds.with_times(worlds.cold_items())
    first, again = (draws(batch, source, data, batch_size=16) for _ in range(2))
    list(again.epoch(1))
    one, other = list(first.epoch(3)), list(again.epoch(3))
    assert len(one) == first.steps() > 1
    for a, b in zip(one, other, strict=True):
        for name in batch.__slots__:
            assert torch.equal(getattr(a, name), getattr(b, name))
        pieces = [piece for piece, _ in in_pieces(a, 3)]
        for name in batch.__slots__:
            whole = torch.cat([getattr(piece, name) for piece in pieces])
            assert torch.equal(whole, getattr(a, name))
    assert not torch.equal(one[0].user, next(iter(first.epoch(4))).user)
    other = draws(batch, source, data, batch_size=16, seed=1)
    assert not torch.equal(one[0].user, next(iter(other.epoch(3))).user)
    assert draws(batch, source, data, batch_size=25, drop_last=True).steps() == first_steps(
        batch, source, data
    )


def first_steps(batch, source, data):
    """Return how many whole batches of 25 there are."""
    rows = sum(1 for _ in draws(batch, source, data, batch_size=1).epoch(1))
    return rows // 25


def test_users_come_once_with_all_their_items():
    data = worlds.dataset([(0, 5), (0, 1), (2, 3), (3, 0), (3, 2), (3, 4)], num_users=5)
    batches = list(draws(UserBatch, None, data, batch_size=2).epoch(1))
    assert [len(b.user) for b in batches] == [2, 1]
    found = {
        int(u): items[mask].tolist()
        for b in batches
        for u, items, mask in zip(b.user, b.items, b.mask, strict=True)
    }
    assert found == {0: [1, 5], 2: [3], 3: [0, 2, 4]}
    assert all((b.items[~b.mask] == 0).all() for b in batches)


def listed(batches):
    return {
        (int(u), *h[m].tolist()): t[n].tolist()
        for b in batches
        for u, h, m, t, n in zip(
            b.user, b.history, b.history_mask, b.target, b.target_mask, strict=True
        )
    }


def test_sequences_are_in_the_order_of_their_times():
    data = worlds.with_times(
        worlds.dataset([(0, 4), (0, 9), (0, 7), (0, 5), (1, 6), (2, 8), (2, 1)])
    )
    every = draws(SequenceBatch, Sequences(10), data, batch_size=10)
    assert listed(every.epoch(1)) == {(0, 4, 9, 7): [9, 7, 5], (2, 8): [1]}
    short = draws(SequenceBatch, Sequences(2), data, batch_size=1)
    assert listed(short.epoch(1)) == {(0, 9, 7): [7, 5], (2, 8): [1]}
    after = draws(SequenceBatch, Sequences(2, "next"), data, batch_size=3)
    assert listed(after.epoch(1)) == {
        (0, 4): [9],
        (0, 4, 9): [7],
        (0, 9, 7): [5],
        (2, 8): [1],
    }
    windows = draws(SequenceBatch, Sequences(2, "windows"), data, batch_size=2)
    assert listed(windows.epoch(1)) == {(0, 4): [9], (0, 9, 7): [7, 5], (2, 8): [1]}
    whole = draws(SequenceBatch, Sequences(3, "windows"), data, batch_size=2)
    assert listed(whole.epoch(1)) == {(0, 4, 9, 7): [9, 7, 5], (2, 8): [1]}
    for sampler in (every, short, after, windows):
        for batch in sampler.epoch(2):
            assert (batch.history[~batch.history_mask] == 0).all()
            assert (batch.target[~batch.target_mask] == 0).all()


def test_points_are_labeled_negatives_sampled_ones_or_ratings():
    data = worlds.dataset([(0, 0), (0, 1), (1, 1)], num_items=4)

    def rows(source, data):
        return sorted(
            zip(b.user.tolist(), b.item.tolist(), b.label.tolist(), strict=True)
            for b in draws(PointwiseBatch, source, data, batch_size=100).epoch(1)
        )

    (sampled,) = (list(each) for each in rows(Points(negatives=NegativeSource(2)), data))
    clicks = [(0, 0, 1.0), (0, 1, 1.0), (1, 1, 1.0)]
    assert sorted(row for row in sampled if row[2]) == clicks
    assert len(sampled) == 9
    assert not {row[:2] for row in sampled if not row[2]} & {row[:2] for row in clicks}

    passed = Interactions(np.array([1], np.int32), np.array([3], np.int32))
    labeled = replace(data, negatives={"train": passed})
    one_label = replace(data, negatives={"test": passed})
    with pytest.raises(DataError, match="every labeled row of the training part has label 1"):
        rows(Points(), one_label)
    (found,) = (list(each) for each in rows(Points(), labeled))
    assert sorted(found) == [*clicks, (1, 3, 0.0)]

    stars = replace(data.train, rating=np.array([2.5, 4.0, 1.0], np.float32))
    (found,) = (list(each) for each in rows(Points("rating"), replace(data, train=stars)))
    assert sorted(found) == [(0, 0, 2.5), (0, 1, 4.0), (1, 1, 1.0)]
    with pytest.raises(DataError, match="needs ratings and world has not one for every"):
        draws(PointwiseBatch, Points("rating"), data)


def test_fields_are_the_columns_of_the_pairs():
    data = worlds.toy()
    table = FieldTable.from_dataset(data)
    (batch,) = draws(FieldBatch, Fields(table), data, batch_size=10).epoch(1)
    (points,) = draws(PointwiseBatch, Points(), data, batch_size=10).epoch(1)
    assert torch.equal(batch.fields, table.rows(points.user, points.item))
    assert torch.equal(batch.label, points.label)


@dataclass(frozen=True)
class Own:
    """A source from outside: one interaction at a time, in order."""

    most: int = 3


class OwnSampler:
    def __init__(self, source, context):
        self.source, self.context = source, context

    def steps(self):
        return self.source.most

    def epoch(self, epoch):
        train = self.context.data.train
        for row in range(self.source.most):
            yield OwnBatch(torch.tensor([train.user[row]]), self.context.config.learning_rate)


@dataclass(frozen=True)
class OwnBatch:
    user: torch.Tensor
    rate: float


def test_a_source_from_outside_is_drawn_from_and_sees_every_setting():
    register_source(Own, OwnSampler, gives=OwnBatch, needs=lambda source: ("times",))
    register_source(Own, OwnSampler, gives=OwnBatch, needs=lambda source: ("times",))
    data = worlds.with_times(worlds.toy())
    batches = list(draws(OwnBatch, None, data, learning_rate=0.25).epoch(1))
    assert len(batches) == 3
    assert {batch.rate for batch in batches} == {0.25}
    assert draws(OwnBatch, Own(2), data).steps() == 2
    with pytest.raises(DataError, match="objective 'loss' needs times and world has"):
        draws(OwnBatch, Own(2), worlds.toy())


def test_a_kind_belongs_to_the_module_that_registered_it():
    with pytest.raises(ConfigError, match=r"Users are drawn from by kgrec.training.lists already"):
        register_source(Users, OwnSampler, gives=UserBatch)
    with pytest.raises(ConfigError, match="int is not a dataclass"):
        register_source(int, OwnSampler, gives=UserBatch)


@pytest.mark.parametrize(
    ("batch", "source", "said"),
    [
        (Query, None, "objective 'loss': no source gives Query"),
        (TripleBatch, None, r"TripleBatch needs a source. .*source=Triples\(\.\.\.\)"),
        (FieldBatch, None, r"FieldBatch needs a source"),
        (UserBatch, Pairs(), "Pairs gives PairwiseBatch or SampledBatch, not UserBatch"),
        (UserBatch, Users, "is no source"),
        (UserBatch, 3, "3 is no source"),
        (PairwiseBatch, Pairs(NegativeSource(2)), "PairwiseBatch has one negative, not 2"),
    ],
)
def test_a_source_that_cannot_be_is_one_line(batch, source, said):
    with pytest.raises(ConfigError, match=f"^[^\n]*{said}[^\n]*$"):
        draws(batch, source, worlds.toy())


def test_batch_types_have_a_source_of_their_own():
    for batch, kind in ((PairwiseBatch, Pairs), (SequenceBatch, Sequences), (UserBatch, Users)):
        assert source_of(Objective(batch, lambda _: torch.zeros(()))) == kind()
    assert needs_of(Sequences()) == ("sequences",)
    assert needs_of(Points("rating")) == ("ratings",)
    (batch,) = draws(PositiveBatch, None, worlds.toy()).epoch(1)
    assert len(batch.user) == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sequences(0),
        lambda: Sequences(targets="last"),
        lambda: Points("likes"),
        lambda: NegativeSource(0),
        lambda: NegativeSource(exponent=-1.0),
        lambda: NegativeSource(distribution="popular"),
        lambda: NegativeSource(4, "hard"),
        lambda: NegativeSource(4, "hard", pool=3, score=lambda user, items: items),
    ],
)
def test_sources_out_of_range_are_refused(make):
    with pytest.raises((ConfigError, TypeError)):  # words: the type checks of tests come first
        make()
