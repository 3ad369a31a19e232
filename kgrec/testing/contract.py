"""What every model must do: inherit, name a model and its settings, and pytest runs the cases.

from kgrec.testing.contract import RecommenderContract

class TestMine(RecommenderContract):
    model = Mine                     # or name = "lightgcn", a name of the catalog
    settings = {"dim": 8}
"""

import itertools
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from kgrec.testing import worlds


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Return the share of (positive, negative) pairs in the right order, ties counting half."""
    pairs = scores[positive][:, None] - scores[~positive][None, :]
    return float(((pairs > 0) + 0.5 * (pairs == 0)).mean())


def total(loss) -> torch.Tensor:
    """Return what is trained: a loss, or the sum of several by name."""
    return sum(loss.values()) if isinstance(loss, Mapping) else loss


def learn_without_gradients(plan) -> None:
    """Do what a plan without objectives does in one epoch."""
    if plan.fit is not None:
        plan.fit()
    elif not plan.objectives:
        plan.after_epoch()


class RecommenderContract:
    """Subclass and set ``model`` (a class) or ``name`` (a name of the catalog), and ``settings``.

    Attributes:
        model: The class, of a model that is not in the catalog.
        name: Name in the catalog.
        settings: Model and training settings of the cases: a small model that learns in 20 epochs.
        uses_knowledge: Whether triples must decide about items without interactions.
        personal: False for a model that ranks the same for everyone.
        seeded: False for a model that draws nothing.
        by_heart: Share of a batch's first loss that learning it by heart must come below; more for
            a loss whose least value is far from 0.
        idle: Names of parameters that the world gives nothing to do.
        user_tables: Names of parameters with a row per user.
        node_tables: Names of parameters with a row per node, the users last.
    """

    model: ClassVar[Any] = None
    name: ClassVar[str]
    settings: ClassVar[dict[str, Any]] = {}
    uses_knowledge: ClassVar[bool] = False
    personal: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    by_heart: ClassVar[float] = 0.4
    idle: ClassVar[frozenset[str]] = frozenset()
    user_tables: ClassVar[frozenset[str]] = frozenset({"users"})
    node_tables: ClassVar[frozenset[str]] = frozenset({"nodes", "projecting_nodes"})

    def prepared(self, data):
        """Give a world what the model needs beyond interactions and triples, for instance
        ``worlds.with_times(data)`` or ``worlds.with_texts(data)``.
        """
        return data

    def run(self, data, seed=0, **more):
        from kgrec import fit

        return fit(
            self.model or self.name,
            data,
            seed=seed,
            device="cpu",
            **{"epochs": 20, "batch_size": 64, **self.settings, **more},
        )

    def scores(self, run):
        from kgrec.queries import queries

        query = queries(run.data.train, np.arange(run.data.num_users))
        with torch.inference_mode():
            return run.scorer()(query)

    def build(self, data):
        from kgrec.runs.settings import choose
        from kgrec.training.streams import global_stream

        chosen = choose(self.model or self.name, "default", self.settings)
        with global_stream(0, "torch init"):
            return chosen.model.from_dataset(data, chosen.config, torch.Generator().manual_seed(0))

    def test_the_withheld_item_is_recommended_first(self):
        if not self.personal:
            pytest.skip("the same ranking for everyone")
        run = self.run(self.prepared(worlds.checkerboard()))
        if run.model.predicts_ratings:
            pytest.skip("predicts ratings, and these say nothing of who used what")
        frame = run.recommend("all", k=1)
        assert [item[1:] for item in frame["item"]] == [user[1:] for user in frame["user"]]

    @pytest.fixture
    def cold_seeds(self):
        return range(3)

    def test_cold_items_are_decided_by_the_knowledge_graph_alone(self, cold_seeds):
        found = []
        for seed in cold_seeds:
            data = self.prepared(worlds.cold_items(seed))
            scores = self.scores(self.run(data, seed=seed))[:, 40:].numpy()
            own = np.arange(40, 60)[None, :] % 2 == np.arange(60)[:, None] % 2
            found.append(np.mean([auc(row, mask) for row, mask in zip(scores, own, strict=True)]))

        if self.uses_knowledge:
            assert min(found) >= 0.8, found
        else:
            assert 0.3 <= np.mean(found) <= 0.7, found

    def test_items_none_agrees_with_explicit_candidates(self):
        from kgrec.queries import queries

        run = self.run(self.prepared(worlds.checkerboard()), epochs=2)
        query = queries(run.data.train, np.arange(4))
        everything = run.scorer()(query)
        candidates = torch.tensor([[3, 0, 7]]).expand(4, 3)
        torch.testing.assert_close(run.scorer()(query, candidates), everything[:, [3, 0, 7]])

    def test_one_user_at_a_time_equals_a_batch(self):
        run = self.run(self.prepared(worlds.checkerboard()), epochs=2)
        together = run.recommend("all", k=3)
        apart = [run.recommend(user, k=3) for user in run.data.users]
        assert together["item"].to_list() == list(
            itertools.chain.from_iterable(frame["item"] for frame in apart)
        )

    def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(self):
        data = self.prepared(worlds.checkerboard())
        first, again, other = (
            self.scores(self.run(data, seed=seed, epochs=3)) for seed in (5, 5, 6)
        )
        assert torch.equal(first, again)
        if self.seeded:
            assert not torch.equal(first, other)

    def test_saved_and_loaded_is_bit_equal(self, tmp_path):
        from kgrec import load_run

        run = self.run(self.prepared(worlds.cold_items()), epochs=3)
        run.save(tmp_path / "run")
        loaded = load_run(tmp_path / "run", self.model)
        assert torch.equal(self.scores(run), self.scores(loaded))
        assert loaded.config == run.config

    def test_every_parameter_gets_a_gradient_from_some_objective(self):
        from kgrec.training.config import TrainConfig
        from kgrec.training.loop import samplers_of

        data = self.prepared(worlds.cold_items())
        model = self.build(data)
        plan = model.plan()
        if plan.begin_epoch:
            plan.begin_epoch(1, 0)

        touched = {name: False for name, _ in model.named_parameters()}
        samplers = samplers_of(plan, data, TrainConfig(batch_size=64), 0, torch.device("cpu"))
        for objective, sampler in zip(plan.objectives, samplers, strict=True):
            model.zero_grad()
            total(objective.loss(next(iter(sampler.epoch(1))))).backward()
            for name, parameter in model.named_parameters():
                touched[name] |= parameter.grad is not None and bool((parameter.grad != 0).any())

        assert {name for name, moved in touched.items() if not moved} == self.idle, touched

    def test_renumbering_the_users_renumbers_the_scores(self):
        """With the initial rows renumbered alike, nothing but the order may change."""
        data = self.prepared(worlds.cold_items())
        order = np.random.default_rng(0).permutation(data.num_users)
        turned = worlds.dataset(
            [
                (int(order[u]), int(i))
                for u, i in zip(data.train.user, data.train.item, strict=True)
            ],
            test=[
                (int(order[u]), int(i)) for u, i in zip(data.test.user, data.test.item, strict=True)
            ],
            triples=np.stack([data.triples.head, data.triples.relation, data.triples.tail], 1),
            num_entities=data.num_entities,
        )
        models = [self.build(data).eval(), self.build(self.prepared(turned)).eval()]

        with torch.no_grad():
            source, target = ({name: p for name, p in model.named_parameters()} for model in models)
            for name, parameter in source.items():
                rows = parameter.clone()
                if name.rsplit(".", 1)[-1] in self.user_tables:
                    rows[torch.from_numpy(order)] = parameter
                elif name.rsplit(".", 1)[-1] in self.node_tables:
                    first = len(parameter) - data.num_users
                    rows[first + torch.from_numpy(order)] = parameter[first:]

                target[name].copy_(rows)

            for model in models:
                learn_without_gradients(model.plan())

            from kgrec.queries import queries

            plain, renumbered = (
                model.scorer()(queries(d.train, np.arange(data.num_users)))
                for model, d in zip(models, (data, turned), strict=True)
            )

        torch.testing.assert_close(renumbered[torch.from_numpy(order)], plain)

    def test_one_batch_can_be_learned_by_heart(self):
        from kgrec.training.config import TrainConfig
        from kgrec.training.loop import samplers_of

        data = self.prepared(worlds.cold_items())
        model = self.build(data)
        plan = model.plan()
        if not plan.objectives:
            pytest.skip("closed form")

        if plan.begin_epoch:
            plan.begin_epoch(1, 0)

        batch = next(
            iter(
                samplers_of(plan, data, TrainConfig(batch_size=16), 0, torch.device("cpu"))[
                    0
                ].epoch(1)
            )
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        losses = []

        for _ in range(60):
            optimizer.zero_grad()
            loss = total(plan.objectives[0].loss(batch))
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))

        assert losses[-1] < self.by_heart * losses[0]
