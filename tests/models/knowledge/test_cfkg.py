import itertools

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from kgrec.batches import CorruptedBatch, PositiveBatch, Query
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.knowledge.cfkg import CFKG, CFKGConfig, Translation
from kgrec.models.typed_facts import TypedSampler
from kgrec.runs.settings import choose
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract, auc
from kgrec.training.config import TrainConfig
from kgrec.training.samplers import make_sampler


def batches(objective, data, *, seed=0, steps=0):
    config = TrainConfig(batch_size=10_000)
    return make_sampler(objective, data, config, seed=seed, device=torch.device("cpu"), steps=steps)


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def toy_model(score, loss="sampling", **config):
    """Return the toy graph with r_purchase = (.1, 0) (models.md 1.5)."""
    settings = {"dim": 2, "l2_weight": 0.0, "kg_weight": 1.0, **config}
    ckg = CollaborativeKG.from_dataset(worlds.toy())
    model = CFKG(
        ckg, CFKGConfig(score=score, loss=loss, **settings), torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        model.nodes.copy_(torch.tensor([*worlds.TOY_ENTITIES, *worlds.TOY_USERS]))
        model.relations.zero_()
        model.relations[0, 0] = 0.1
    return model


def fact(model, user, item, *negatives):
    head = torch.tensor([model.ckg.user_node(user)])
    return CorruptedBatch(
        head,
        torch.tensor([0]),
        torch.tensor([item]),
        torch.tensor([negatives]),
        torch.tensor([False]),
    )


def everything(scorer, users):
    nothing = torch.zeros((len(users), 0), dtype=torch.int64)
    return scorer(Query(torch.tensor(users), nothing, nothing.bool()))


EXPECTED = {"inner": [1.1, 0.55, -1.1], "l1": [-1.1, -1.1, -2.6], "l2": [-1.01, -0.61, -4.66]}


class TestCFKG(RecommenderContract):
    name = "cfkg"
    settings = {"learning_rate": 0.02}
    uses_knowledge = True

    @pytest.mark.parametrize("score", ["inner", "cosine", "l1", "l2"])
    def test_parts_add_up_to_what_ranks_and_those_of_the_user_are_what_the_user_gives(self, score):
        """Without the relation, the part of the user (and the bias) is the whole score."""
        loss = "sampling"
        ckg = CollaborativeKG.from_dataset(worlds.random_world(0))
        model = CFKG(
            ckg,
            CFKGConfig(dim=4, score=score, loss=loss, init_scale=1.0),
            torch.Generator().manual_seed(0),
        )
        for relation in (model.relations[0].detach().clone(), torch.zeros(4)):
            with torch.no_grad():
                model.relations[0] = relation
            scores = everything(model.scorer(), [0, 2])
            for at, user, item in ((0, 0, 3), (1, 2, 7)):
                got = model.explanation_effects().score_parts(user, item)
                assert got.own + got.bias + sum(got.other.values()) == pytest.approx(
                    float(scores[at, item]), abs=1e-10
                )
                assert len(got.items) == 0
                assert len(got.other) == 1
                if score != "l1" and not relation.any():
                    assert list(got.other.values()) == pytest.approx([0.0])

    @pytest.mark.parametrize("score", ["inner", "cosine", "l1", "l2"])
    def test_plausibility_is_the_log_sigmoid_of_the_score_of_a_triple(self, score):
        ckg = CollaborativeKG.from_dataset(worlds.random_world(0))
        model = CFKG(
            ckg,
            CFKGConfig(dim=4, score=score, loss="sampling", init_scale=1.0),
            torch.Generator().manual_seed(0),
        )
        head, relation, tail = (
            torch.tensor([0, 5, 12]),
            torch.tensor([0, 2, 1]),
            torch.tensor([9, 1, 3]),
        )
        for got, h, r, t in zip(
            model.explanation_effects().plausibility(head, relation, tail),
            head,
            relation,
            tail,
            strict=True,
        ):
            a, b = (
                (model.nodes[h] + model.relations[r + 1]).detach().numpy(),
                model.nodes[t].detach().numpy(),
            )
            by_hand = {
                "inner": a @ b,
                "cosine": a @ b / np.linalg.norm(a) / np.linalg.norm(b) / 0.2,
            }
            by_hand |= {"l1": -np.abs(a - b).sum(), "l2": -((a - b) ** 2).sum()}
            assert float(got) == pytest.approx(-np.log1p(np.exp(-by_hand[score])), abs=1e-12)

    @pytest.mark.parametrize("score", ["inner", "l1", "l2"])
    def test_scores_of_the_toy_graph(self, score):
        """models.md 1.5; the three scores rank differently."""
        got = everything(toy_model(score).scorer(), [0])[0]
        torch.testing.assert_close(got, torch.tensor(EXPECTED[score]), atol=1e-6, rtol=0)

    @pytest.mark.parametrize("score", ["inner", "l1", "l2", "cosine"])
    def test_what_is_trained_is_what_ranks(self, score):
        model = toy_model(score)
        trained = model.scores(torch.tensor([[1.1, 0.0]]), model.nodes[:3].unsqueeze(0))[0]
        ranked = everything(model.scorer(), [0])[0]
        scale = (
            1.1 * model.config.temperature if score == "cosine" else 1.0
        )  # one factor for all of a user's items
        torch.testing.assert_close(trained * scale, ranked)

    def test_margin_loss_of_the_toy_graph(self):
        """models.md 1.5: L1 ties i0 and i1, so the margin is the loss."""
        model = toy_model("l1", "margin")
        assert float(model.sampled_loss(fact(model, 0, 0, 1)).detach()) == pytest.approx(
            1.0, abs=1e-6
        )
        assert float(model.sampled_loss(fact(model, 0, 0, 2)).detach()) == pytest.approx(
            0.0, abs=1e-6
        )

    def test_sampling_loss_of_the_toy_graph(self):
        """-log sigmoid(1.1) - log sigmoid(-.55) - log sigmoid(1.1)."""
        model = toy_model("inner")
        expected = np.log1p(np.exp(-1.1)) + np.log1p(np.exp(0.55)) + np.log1p(np.exp(-1.1))
        assert float(model.sampled_loss(fact(model, 0, 0, 1, 2)).detach()) == pytest.approx(
            expected, abs=1e-12
        )

    @pytest.mark.parametrize("score", ["inner", "cosine"])
    def test_softmax_is_over_items_that_have_interactions(self, score):
        model = toy_model(score, "softmax", temperature=0.5)
        items = np.array(worlds.TOY_ENTITIES[:2])
        logits = (
            1.1 * items[:, 0]
            if score == "inner"
            else items[:, 0] / np.linalg.norm(items, axis=1) / 0.5
        )
        expected = -np.log(np.exp(logits[1]) / np.exp(logits).sum())
        got = model.softmax_loss(PositiveBatch(torch.tensor([0]), torch.tensor([1])))
        assert float(got.detach()) == pytest.approx(expected, abs=1e-12)

    def test_sampled_softmax_of_a_triple(self):
        model = toy_model("inner", "softmax")
        logits = np.array([1.1, 0.55, -1.1])
        expected = -np.log(np.exp(logits[0]) / np.exp(logits).sum())
        assert float(model.kg_loss(fact(model, 0, 0, 1, 2)).detach()) == pytest.approx(
            expected, abs=1e-12
        )

    def test_norms_are_of_heads_relations_and_all_tails(self):
        model, weighted = toy_model("inner"), toy_model("inner", l2_weight=0.1)
        gained = weighted.sampled_loss(fact(model, 0, 0, 1, 2)) - model.sampled_loss(
            fact(model, 0, 0, 1, 2)
        )
        assert float(gained.detach()) == pytest.approx(
            0.1 * 0.5 * (1 + 0.01 + 2 + 0.5 + 1.25), abs=1e-12
        )

    def test_negatives_are_of_the_tails_type_and_never_the_tail_itself(self):
        rng = np.random.default_rng(0)
        head, relation, tail = (
            torch.from_numpy(rng.integers(high, size=400)) for high in (20, 4, 9)
        )
        relation[relation == 3] = torch.tensor(1)
        tail[relation == 1] += 20
        tail[relation == 2] = 50  # the only one of its type
        facts = (head, relation, tail)
        allowed = {r: set(tail[relation == r].tolist()) for r in range(3)}
        seen = {r: set() for r in allowed}
        batches = list(TypedSampler(facts, 7, 64, seed=0, name="test").epoch(1))
        for batch in batches:
            for r, t, drawn in zip(
                batch.relation.tolist(), batch.tail.tolist(), batch.negative.tolist(), strict=True
            ):
                seen[r] |= set(drawn)
                assert set(drawn) <= allowed[r]
                assert t not in drawn or r == 2
        assert seen == allowed
        triples = sorted(
            zip(
                *(
                    torch.cat([getattr(b, part) for b in batches]).tolist()
                    for part in ("head", "relation", "tail")
                ),
                strict=True,
            )
        )
        assert triples == sorted(zip(head.tolist(), relation.tolist(), tail.tolist(), strict=True))

    def test_negatives_are_uniform(self):
        facts = (
            torch.zeros(6, dtype=torch.int64),
            torch.zeros(6, dtype=torch.int64),
            torch.arange(6) * 3,
        )
        sampler = TypedSampler(facts, 3000, 6, seed=0, name="test")
        (batch,) = sampler.epoch(1)
        for tail, drawn in zip(batch.tail, batch.negative, strict=True):
            share = torch.bincount(drawn // 3, minlength=6) / 3000
            assert float(share[int(tail) // 3]) == 0
            assert 0.17 < float(share[share > 0].min()) <= float(share.max()) < 0.23

    def test_the_paper_draws_by_frequency_but_for_interactions(self):
        """Ai et al., Section 3.2: tails of every relation but ``purchase`` by their frequency,
        those of purchase uniformly.
        """
        rng = np.random.default_rng(0)
        pairs = [
            (user, item) for user in range(40) for item in {0, *rng.integers(0, 6, 2).tolist()}
        ]  # everybody used item 0
        facts = [
            (item, relation, 6 + min(int(rng.geometric(0.4)), 5))
            for item in range(6)
            for relation in range(2)
            for _ in range(30)
        ]
        data = worlds.dataset(
            pairs,
            triples=sorted(set(facts)),
            num_users=40,
            num_items=6,
            num_entities=12,
            num_relations=2,
        )
        config = choose("cfkg", "paper", {"negatives": 400}).config
        assert config.noise_power == 1.0
        model = CFKG.from_dataset(data, config, torch.Generator().manual_seed(0))

        for objective, power in zip(model.plan().objectives, (0, 1), strict=True):

            def make(seed, source=objective):
                return batches(source, data, seed=seed, steps=1)

            (batch,) = make(0).epoch(3)
            for relation in batch.relation.unique():
                of = batch.relation == relation
                times = torch.bincount(batch.tail[of], minlength=12).double().numpy()
                weight = np.where(times > 0, times**power, 0.0)
                own, drawn = batch.tail[of].numpy(), batch.negative[of].numpy()
                expected = np.zeros(12)
                for tail in own:
                    left = np.where(np.arange(12) == tail, 0.0, weight)
                    expected += 400 * left / left.sum()
                seen = np.bincount(drawn.ravel(), minlength=12)
                assert seen[expected == 0].sum() == 0
                assert chisquare(seen[expected > 0], expected[expected > 0]).pvalue > 0.001

            fresh = make(0)
            list(fresh.epoch(1))
            assert torch.equal(next(iter(fresh.epoch(3))).negative, batch.negative)
            assert not torch.equal(next(iter(fresh.epoch(4))).negative, batch.negative)
            assert not torch.equal(next(iter(make(1).epoch(3))).negative, batch.negative)

    def test_the_baseline_of_kgat_s_authors_takes_as_many_steps_as_the_interactions(self):
        """``Main.py`` there: n_train // batch_size + 1 batches of batch_size heads, whatever the
        number of facts.
        """
        data = worlds.cold_items()
        chosen = choose("cfkg", "official", {"batch_size": 32})
        model = CFKG.from_dataset(data, chosen.config, torch.Generator().manual_seed(0))
        (objective,) = model.plan().objectives
        draws = make_sampler(
            objective, data, chosen.train, seed=0, device=torch.device("cpu"), steps=0
        )
        assert [len(batch.head) for batch in draws.epoch(1)] == [32] * (480 // 32 + 1)

    @pytest.mark.parametrize("inverse", [False, True])
    def test_interactions_and_triples_are_kept_apart(self, inverse):
        model = CFKG.from_dataset(
            worlds.cold_items(),
            CFKGConfig(loss="sampling", inverse=inverse),
            torch.Generator().manual_seed(0),
        )
        first, second = (
            next(iter(batches(objective, worlds.cold_items(), steps=steps).epoch(1)))
            for objective, steps in zip(model.plan().objectives, (0, 1), strict=True)
        )
        assert len(first.head) == 480
        assert bool((first.relation == 0).all() and (first.negative < 40).all())
        assert len(second.head) == (120 + 600 if inverse else 120)
        assert not bool((second.relation == 0).any())

    def test_any_sampling_takes_all_facts_both_ways(self):
        config = CFKGConfig(score="l1", loss="margin", sampling="any", inverse=True)
        model = CFKG.from_dataset(worlds.toy(), config, torch.Generator().manual_seed(0))
        (objective,) = model.plan().objectives
        assert (
            len(objective.source.head),
            objective.source.num_tails,
            objective.source.by_head,
        ) == (12, 6, True)

    @pytest.mark.parametrize("norm", [1, 2])
    def test_distances_equal_a_broadcast(self, norm):
        users, items = torch.randn(7, 5), torch.randn(30, 5)
        scorer = Translation(users, items, norm)
        difference = users.unsqueeze(1) - items
        expected = -(difference.abs() if norm == 1 else difference.square()).sum(2)
        torch.testing.assert_close(everything(scorer, list(range(7))), expected)

    @pytest.mark.parametrize(
        "settings", [{}, {"score": "l1", "loss": "margin", "inverse": True}], ids=str
    )
    def test_vectors_go_out_by_id_and_similar_items_are_found(self, settings):
        run = self.run(worlds.cold_items(), epochs=10, **settings)
        frames = run.embeddings()
        assert {name: frame.height for name, frame in frames.items()} == {
            "users": 60,
            "items": 60,
            "entities": 74,
            "relations": 2,
        }
        near = run.similar_items("i0", k=5)
        assert near["item"].len() == 5
        assert "i0" not in near["item"]
        assert near["score"].is_between(-1.001, 1.001).all()

    @pytest.mark.parametrize(
        "settings",
        [
            {"score": "inner"},
            {"score": "inner", "loss": "sampling"},
            {"score": "l2", "loss": "margin", "kg_weight": 1.0, "epochs": 30},
            {"score": "l1", "loss": "margin", "kg_weight": 1.0, "epochs": 40},
            {"inverse": True},
        ],
        ids=str,
    )
    def test_every_score_places_items_that_nobody_used(self, settings):
        data = worlds.cold_items(0)
        scores = self.scores(self.run(data, **settings))[:, 40:].numpy()
        own = np.arange(40, 60)[None, :] % 2 == np.arange(60)[:, None] % 2
        assert np.mean([auc(row, mask) for row, mask in zip(scores, own, strict=True)]) > 0.8

    @pytest.mark.parametrize(
        "wrong",
        [
            {"temperature": 0.0},
            {"negatives": 0},
            {"noise_power": -0.5},
            {"kg_weight": -1.0},
            {"margin": 0.0},
            {"score": "l1"},
            {"score": "l2", "loss": "softmax"},
            {"sampling": "any"},
        ],
    )
    def test_refuses_values_out_of_range(self, wrong):
        with pytest.raises(ConfigError):
            CFKGConfig(**wrong)

    @pytest.mark.parametrize("preset", ["paper", "official", "fast"])
    def test_presets_train_and_rank(self, preset):
        run = self.run(worlds.checkerboard(), preset=preset, epochs=2)
        assert len(run.history) == 2
        together = run.recommend("all", k=3)["item"].to_list()
        apart = [run.recommend(user, k=3)["item"] for user in run.data.users]
        assert together == list(itertools.chain.from_iterable(apart))
