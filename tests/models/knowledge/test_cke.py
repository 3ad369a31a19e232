import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from kgrec.batches import PairwiseBatch, PositiveBatch, TripleBatch
from kgrec.data.records.content import Content
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.knowledge.cke import CKE, PRESETS, CKEConfig
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract, auc


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def toy_model(**config):
    """Return the model of models.md 1.4: q and p of the toy graph, v = 0.1 q for items, W = I, e_r
    = (0, .1).
    """
    settings = {
        "dim": 2,
        "relation_dim": 2,
        "loss": "bpr",
        "cf_l2_weight": 0.0,
        "kg_l2_weight": 0.0,
        **config,
    }
    model = CKE(
        CollaborativeKG.from_dataset(worlds.toy()),
        {},
        CKEConfig(**settings),
        torch.Generator().manual_seed(0),
    )
    with torch.no_grad():
        model.users.copy_(torch.tensor(worlds.TOY_USERS))
        model.items.copy_(torch.tensor(worlds.TOY_ENTITIES[:3]))
        model.entities.copy_(torch.tensor(worlds.TOY_ENTITIES))
        model.entities[:3] *= 0.1
        model.relations.copy_(torch.tensor([[0.0, 0.1], [0.0, 0.1]]))
        model.projections.copy_(torch.eye(2).expand(2, 2, 2))
    return model


PAIRS = PairwiseBatch(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([2, 0]))
TRIPLES = TripleBatch(*(torch.tensor([row]) for row in (0, 0, 3, 2)))


def with_features(seed):
    """Cold items whose triples say nothing; features say of which kind an item is, in noise."""
    data, rng = worlds.cold_items(seed), np.random.default_rng(seed)
    triples = np.stack(
        [rng.permutation(60), rng.integers(2, size=60), 60 + rng.integers(14, size=60)], 1
    )
    features = rng.normal(size=(60, 10)).astype(np.float32)
    features[:, :5] += 3 * (np.arange(60) % 2 - 0.5)[:, None]
    facts = worlds.knowledge(triples, data.triples.entities.series.to_list(), 2)
    return replace(data, triples=facts, content=Content(features=features))


class TestCKE(RecommenderContract):
    name = "cke"
    settings = {"learning_rate": 0.02, "epochs": 40}
    uses_knowledge = True

    @pytest.mark.parametrize("loss", ["bpr", "softmax"])
    def test_parts_are_the_products_with_each_piece_of_the_item(self, loss):
        data = replace(
            with_features(0),
            content=Content(
                features=with_features(0).content.features,
                texts=worlds.with_texts(worlds.cold_items()).content.texts,
            ),
        )
        config = CKEConfig(
            dim=4, relation_dim=3, loss=loss, text="on", zero_offsets=False, hidden_dims=(5,)
        )
        model = CKE.from_dataset(data, config, torch.Generator().manual_seed(0)).eval()
        scorer = model.scorer()
        for user, item in ((0, 1), (3, 50)):
            p, q, v = (
                rows.detach().numpy()
                for rows in (model.users[user], model.items[item], model.entities[item])
            )
            codes = [
                model.encoders[name](model.get_buffer(f"{name}_input"))[0][item].detach().numpy()
                - 0.5
                for name in ("features", "text")
            ]
            length = np.linalg.norm(q + v + codes[0] + codes[1]) if loss == "softmax" else 1.0
            got = model.explanation_effects().score_parts(user, item)
            expected = {
                "collaborative offset": p @ q,
                "knowledge embedding": p @ v,
                "features": p @ codes[0],
                "text": p @ codes[1],
            }
            assert got.other == pytest.approx(
                {f"{name} of the item": value / length for name, value in expected.items()},
                abs=1e-12,
            )
            assert sum(got.other.values()) == pytest.approx(
                float((scorer.users[user] @ scorer.items[item]).detach()), abs=1e-10
            )
            assert (got.own, got.bias, len(got.items)) == (0.0, 0.0, 0)

    def test_plausibility_is_the_log_sigmoid_of_minus_the_energy(self):
        model = CKE.from_dataset(
            worlds.random_world(0),
            CKEConfig(dim=4, relation_dim=3),
            torch.Generator().manual_seed(0),
        ).eval()
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
            w, e = model.projections[r].detach().numpy(), model.entities.detach().numpy()
            a, b, c = (
                x / np.linalg.norm(x)
                for x in (e[h] @ w, model.relations[r].detach().numpy(), e[t] @ w)
            )
            assert float(got) == pytest.approx(
                -np.log1p(np.exp(((a + b - c) ** 2).sum())), abs=1e-12
            )

    @pytest.mark.parametrize("loss", ["bpr", "softmax"])
    def test_scores_of_the_toy_graph(self, loss):
        """models.md 1.4: v_i = 0.1 q_i; the softmax ranks by unit item vectors."""
        scorer = toy_model(loss=loss).scorer()
        length = 1.0 if loss == "bpr" else torch.tensor([2.42, 0.605, 1.5125]).sqrt()
        torch.testing.assert_close(
            scorer.users[0] @ scorer.items.T,
            torch.tensor([1.1, 0.55, -1.1]) / length,
            atol=1e-6,
            rtol=0,
        )

    def test_energies_and_loss_of_the_toy_triple(self):
        """models.md 1.4, with v = q: normalized, W = I, h = i0, t = e3, corrupted i2: loss
        .032054.
        """
        model = toy_model()
        with torch.no_grad():
            model.entities.copy_(torch.tensor(worlds.TOY_ENTITIES))
        assert float(model.kg_loss(TRIPLES).detach()) == pytest.approx(0.032054, abs=1e-6)

    def test_bpr_and_the_norms_of_the_toy_graph(self):
        """Score differences 2.2 and -1.65; norms by hand, of the offsets and (official) of the
        sums.
        """
        plain = np.log1p(np.exp([-2.2, 1.65])).mean()
        assert float(toy_model().bpr_loss(PAIRS).detach()) == pytest.approx(plain, abs=1e-12)
        offset = 0.5 * (2 + (2 + 0.5) + (1.25 + 2)) / 2
        total = 0.5 * (2 + 1.21 * (2 + 0.5 + 1.25 + 2)) / 2
        assert float(toy_model(cf_l2_weight=0.1).bpr_loss(PAIRS).detach()) == pytest.approx(
            plain + 0.1 * offset, abs=1e-12
        )
        got = float(toy_model(cf_l2_weight=0.1, item_prior="sum").bpr_loss(PAIRS).detach())
        assert got == pytest.approx(plain + 0.1 * total, abs=1e-12)

    def test_the_official_loss_is_that_of_the_kgat_authors(self):
        """The norms of a full batch are added up there, not averaged, with weight 1e-5; those of
        unit vectors are a constant.
        """
        rng, size = np.random.default_rng(0), 1024
        model = toy_model(**{**PRESETS["official"].config, "kg_l2_weight": 0.0})
        user, positive, negative = (
            rng.integers(2, size=size),
            rng.integers(3, size=size),
            rng.integers(3, size=size),
        )
        p, e = np.array(worlds.TOY_USERS), 1.1 * np.array(worlds.TOY_ENTITIES[:3])
        u, i, j = p[user], e[positive], e[negative]
        base = -np.log(1e-10 + 1 / (1 + np.exp(-(u * i).sum(1) + (u * j).sum(1)))).mean()
        expected = base + 1e-5 * 0.5 * ((u**2).sum() + (i**2).sum() + (j**2).sum())
        got = model.bpr_loss(
            PairwiseBatch(*(torch.from_numpy(part) for part in (user, positive, negative)))
        )
        assert float(got.detach()) == pytest.approx(expected, abs=1e-8)

    def test_the_norm_of_triples_is_of_the_rows_before_they_are_normalized(self):
        weight = 0.1
        v = np.array(worlds.TOY_ENTITIES) * np.array([[0.1], [0.1], [0.1], [1.0]])
        norms = (v[0] ** 2).sum() + 0.01 + (v[3] ** 2).sum() + (v[2] ** 2).sum()
        gained = toy_model(kg_l2_weight=weight).kg_loss(TRIPLES) - toy_model().kg_loss(TRIPLES)
        assert float(gained.detach()) == pytest.approx(weight * 0.5 * norms, abs=1e-12)

    @pytest.mark.parametrize("loss", ["bpr_loss", "softmax_loss"])
    def test_both_losses_move_what_the_graph_says_of_an_item(self, loss):
        model = toy_model()
        (
            model.bpr_loss(PAIRS)
            if loss == "bpr_loss"
            else model.softmax_loss(PositiveBatch(PAIRS.user, PAIRS.positive))
        ).backward()
        assert bool((model.entities.grad[:2] != 0).any())
        model.zero_grad()
        model.kg_loss(TRIPLES).backward()
        assert bool((model.entities.grad[0] != 0).any())
        assert model.users.grad is None

    def test_softmax_is_cosine_cross_entropy_over_warm_items(self):
        model = toy_model(temperature=0.5)
        e = np.array(worlds.TOY_ENTITIES[:2])
        logits = (e / np.linalg.norm(e, axis=1, keepdims=True))[
            :, 0
        ] / 0.5  # of u0 = (1, 0); i2 has no interaction
        expected = -np.log(np.exp(logits[1]) / np.exp(logits).sum())
        got = model.softmax_loss(PositiveBatch(torch.tensor([0]), torch.tensor([1])))
        assert float(got.detach()) == pytest.approx(expected, abs=1e-12)

    def test_triples_are_trained_forward_and_tails_come_from_the_entities(self):
        data = worlds.toy()
        source = CKE.from_dataset(data, CKEConfig(), torch.Generator()).plan().objectives[1].source
        assert (source.head.tolist(), source.relation.tolist(), source.tail.tolist()) == (
            [0, 1, 1],
            [0, 0, 1],
            [3, 3, 2],
        )
        assert source.num_tails == data.num_entities

    @pytest.mark.parametrize("seeds", [[0], pytest.param([0, 1, 2], marks=pytest.mark.long)])
    def test_features_place_items_that_nobody_used(self, seeds):
        """Without them, nothing but chance does."""
        on, off = (
            [self._cold_auc(with_features(seed), features=asked) for seed in seeds]
            for asked in ("auto", "off")
        )
        assert np.mean(on) > 0.85, on
        assert 0.3 < np.mean(off) < 0.7, off

    def test_texts_place_items_that_nobody_used(self):
        texts = pl.Series(
            [f"the {'heist' if item % 2 else 'waltz'} of number {item}" for item in range(60)]
        )
        assert (
            self._cold_auc(replace(with_features(0), content=Content(texts=texts)), text="on") > 0.9
        )

    def _cold_auc(self, data, **settings):
        scores = self.scores(self.run(data, epochs=20, **settings))[:, 40:].numpy()
        own = np.arange(40, 60)[None, :] % 2 == np.arange(60)[:, None] % 2
        return np.mean([auc(row, mask) for row, mask in zip(scores, own, strict=True)])

    def test_features_with_noise_are_saved_and_loaded_and_resumed_alike(self, tmp_path):
        from kgrec import fit, load_run

        data = with_features(0)
        options = {"device": "cpu", "batch_size": 64, "patience": 0}
        whole = fit("cke", data, epochs=4, **options)
        whole.save(tmp_path / "run")
        assert torch.equal(self.scores(whole), self.scores(load_run(tmp_path / "run")))
        assert torch.equal(self.scores(whole), self.scores(fit("cke", data, epochs=4, **options)))

    def test_the_ranking_loss_reaches_every_encoder(self):
        data = with_features(0)
        data = replace(
            data, content=replace(data.content, texts=pl.Series(["one word", "word"] * 30))
        )
        assert set(self.build(data).encoders) == {"features"}
        model = CKE.from_dataset(
            data, CKEConfig(text="on", content_weight=0.0), torch.Generator().manual_seed(0)
        )
        assert set(model.encoders) == {"features", "text"}
        model.softmax_loss(PositiveBatch(torch.tensor([0]), torch.tensor([1]))).backward()
        for encoder in model.encoders.values():
            depth = encoder.depth
            assert all(
                weight.grad is not None and bool((weight.grad != 0).any())
                for weight in list(encoder.weights)[:depth]
            )

    @pytest.mark.parametrize(("part", "remedy"), [("features", "--features"), ("text", "--texts")])
    def test_what_is_asked_for_and_missing_is_said(self, part, remedy):
        with pytest.raises(
            ConfigError, match=f"{part}=on, but the dataset has no {part}.*{re.escape(remedy)}"
        ):
            self.run(worlds.toy(), **{part: "on"})

    def test_texts_without_a_common_word_are_refused(self):
        data = replace(worlds.toy(), content=Content(texts=pl.Series(["one", "two", None])))
        with pytest.raises(ConfigError, match=r"no word occurs in two.*text=off"):
            self.run(data, text="on")

    @pytest.mark.parametrize("loss", ["bpr", "softmax"])
    def test_without_triples_it_is_factorization_alone(self, loss):
        data = worlds.dataset([(0, 0), (1, 1), (0, 2)])
        model = CKE.from_dataset(data, CKEConfig(loss=loss), torch.Generator().manual_seed(0))
        assert [objective.name for objective in model.plan().objectives] == [loss]
        assert model.scorer().items.shape == (3, 64)

    def test_features_are_scaled_by_column(self):
        features = np.array([[1, 5, 0], [3, 5, -1], [2, 5, 1]], dtype=np.float32)
        model = self.build(replace(worlds.toy(), content=Content(features=features)))
        torch.testing.assert_close(
            model.features_input, torch.tensor([[0.0, 0, 0.5], [1, 0, 0], [0.5, 0, 1]])
        )

    @pytest.mark.parametrize(
        "wrong",
        [
            {"temperature": 0.0},
            {"dim": 0},
            {"hidden_dims": (0,)},
            {"noise": 1.0},
            {"kg_weight": -1.0},
        ],
    )
    def test_refuses_values_out_of_range(self, wrong):
        with pytest.raises(ConfigError):
            CKEConfig(**wrong)

    def test_vectors_go_out_by_id(self):
        run = self.run(worlds.cold_items(), epochs=2)
        frames = run.embeddings()
        assert {name: frame.height for name, frame in frames.items()} == {
            "users": 60,
            "items": 60,
            "entities": 74,
            "relations": 2,
        }
        assert run.similar_items("i0", k=5)["item"].len() == 5

    @pytest.mark.parametrize("preset", ["paper", "official", "fast"])
    def test_presets_train(self, preset):
        assert len(self.run(worlds.cold_items(), preset=preset, epochs=2).history) == 2
