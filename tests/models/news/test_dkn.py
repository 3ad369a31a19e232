from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from kgrec.batches import ImpressionBatch, Query
from kgrec.data.records.content import Vectors
from kgrec.data.records.interactions import concatenate
from kgrec.errors import ConfigError, DataError
from kgrec.models.news.dkn import DKN, PRESETS, DKNConfig
from kgrec.queries import queries
from kgrec.runs.settings import choose
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract

SMALL = {
    "num_filters": 8,
    "filter_widths": (1, 2),
    "word_dim": 6,
    "entity_dim": 5,
    "max_words": 6,
    "kg_epochs": 3,
    "dropout": 0.0,
}
WORDS_ALONE = {"use_entities": False, "use_context": False}


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def built(data, seed=0, **config):
    model = DKN.from_dataset(
        data, DKNConfig(**{**SMALL, **config}), torch.Generator().manual_seed(seed)
    )
    model.begin_epoch(1, seed)
    return model.eval()


def board(**more):
    return worlds.news_board(0, users=8, news=6, impressions=2, **more)


def batch(history, candidates, label, mask=None):
    """Return lists of users 0, 1, ...; histories of any length."""
    length = max(map(len, history))
    rows = torch.tensor([own + [0] * (length - len(own)) for own in history])
    held = torch.tensor([[True] * len(own) + [False] * (length - len(own)) for own in history])
    shown = (
        torch.ones(len(history), len(candidates[0]), dtype=torch.bool)
        if mask is None
        else torch.tensor(mask)
    )
    values = torch.tensor(label, dtype=torch.get_default_dtype())
    return ImpressionBatch(
        torch.arange(len(history)), rows, held, torch.tensor(candidates), values, shown
    )


class TestDKN(RecommenderContract):
    name = "dkn"
    settings = {
        **SMALL,
        "num_filters": 16,
        "word_dim": 16,
        "entity_dim": 16,
        "kg_epochs": 40,
        "learning_rate": 0.02,
        "epochs": 12,
    }
    uses_knowledge = True
    idle = frozenset({"no_history"})

    def prepared(self, data):
        return worlds.with_texts(data)


class TestAttention:
    @pytest.mark.parametrize(
        ("mask", "weights", "logit"),
        [
            ([True] * 3, [0.506480, 0.186324, 0.307196], 0.660078),
            ([True, True, False], [0.731059, 0.268941], 0.731059),
        ],
    )
    def test_dot_attention_by_hand(self, float64, mask, weights, logit):
        """models.md 1.7 (b)."""
        model = built(board(), attention="dot", scorer="dot", num_filters=1)
        history = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
        tables = model.tables(torch.cat([history, torch.tensor([[1.0, 0.0], [0.0, 1.0]])]))
        found = model.logits(
            tables, torch.tensor([[0, 1, 2]]), torch.tensor([mask]), torch.tensor([[3, 4]])
        ).detach()
        user = (torch.tensor(weights).unsqueeze(1) * history[: len(weights)]).sum(0)
        assert float(found[0, 0]) == pytest.approx(logit, abs=1e-6)
        assert float(user[0]) == pytest.approx(logit, abs=2e-6)
        assert float(torch.sigmoid(found[0, 0])) == pytest.approx(
            0.659278 if len(weights) == 3 else 0.675038, abs=1e-6
        )

    def test_networks_follow_the_equations(self, float64):
        """Against H and G applied pair by pair."""
        model = built(board(), attention_dims=(4,), scorer_dims=(3, 2))
        news = torch.randn(5, model.kcnn.dim, generator=torch.Generator().manual_seed(1))

        def net(pairing, left, right):
            return pairing.pairs(
                *(side.unsqueeze(0) for side in (pairing.sides(left)[0], pairing.sides(right)[1]))
            ).squeeze(0)

        found = model.logits(
            model.tables(news),
            torch.tensor([[0, 1, 2]]),
            torch.tensor([[True, True, False]]),
            torch.tensor([[3, 4]]),
        )
        for at, candidate in enumerate((3, 4)):
            weight = net(model.attention, news[:2], news[[candidate] * 2]).softmax(0)
            user = (weight.unsqueeze(1) * news[:2]).sum(0, keepdim=True)
            torch.testing.assert_close(found[0, at], net(model.click, user, news[[candidate]])[0])

    def test_an_item_is_no_part_of_its_own_history(self, float64):
        model = built(board())
        query = Query(
            torch.tensor([0]), torch.tensor([[4, 7, 9]]), torch.ones(1, 3, dtype=torch.bool)
        )
        without = Query(
            torch.tensor([0]), torch.tensor([[4, 9, 0]]), torch.tensor([[True, True, False]])
        )
        scorer = model.scorer()
        torch.testing.assert_close(
            scorer(query, torch.tensor([[7]])), scorer(without, torch.tensor([[7]]))
        )
        assert not torch.isclose(
            scorer(query, torch.tensor([[8]])), scorer(without, torch.tensor([[8]]))
        )

    @pytest.mark.parametrize("history", [[], [3]])
    def test_an_empty_history_is_a_learned_vector(self, float64, history):
        """Also a history of nothing but the candidate."""
        model = built(board())
        query = Query(
            torch.tensor([0]),
            torch.tensor([history], dtype=torch.int64),
            torch.ones(1, len(history), dtype=torch.bool),
        )
        news = model.encode(torch.tensor([3]))
        left, right = model.click.sides(torch.cat([model.no_history.unsqueeze(0), news]))
        expected = model.click.pairs(left[:1].unsqueeze(0), right[1:].unsqueeze(0))
        torch.testing.assert_close(model.scorer()(query, torch.tensor([[3]])), expected)
        model.scorer()(query, torch.tensor([[3]])).sum().backward()
        assert bool((model.no_history.grad != 0).any())

    def test_the_last_items_of_a_long_history_are_read(self, float64):
        model = built(board(), max_history=2)
        everything = torch.arange(model.num_items).unsqueeze(0)
        long = Query(
            torch.tensor([0]),
            torch.tensor([[5, 6, 7, 0]]),
            torch.tensor([[True, True, True, False]]),
        )
        short = Query(torch.tensor([0]), torch.tensor([[6, 7]]), torch.ones(1, 2, dtype=torch.bool))
        torch.testing.assert_close(
            model.scorer()(long, everything), model.scorer()(short, everything)
        )

    def test_blocks_and_batches_change_nothing(self, float64, monkeypatch):
        model = built(board())
        history = torch.randint(model.num_items, (6, 5), generator=torch.Generator().manual_seed(0))
        mask = torch.arange(5) < torch.tensor([5, 0, 3, 1, 4, 2]).unsqueeze(1)
        query = Query(torch.full((6,), -1), history * mask, mask)
        whole = model.scorer()(query)
        monkeypatch.setattr("kgrec.nn.block_scorer._VALUES_AT_ONCE", 1000)
        torch.testing.assert_close(model.scorer()(query), whole)
        monkeypatch.setattr("kgrec.models.news.dkn._NEWS_AT_ONCE", 3)
        torch.testing.assert_close(model.scorer()(query), whole)


def known(data):
    """Return what a run recommends by."""
    return concatenate([data.train, data.valid])


class TestParts:
    """One part per clicked title, against the equations of the attention and the score."""

    def by_hand(self, model, user, item, data):
        """Return the titles read, what the candidate attends to each, and both networks as
        functions of news vectors.
        """
        every = [
            *zip(data.train.user, data.train.item, strict=True),
            *zip(data.valid.user, data.valid.item, strict=True),
        ]
        read = [int(i) for u, i in every if u == user][-model.config.max_history :]
        read = [i for i in read if i != item]
        vectors = {i: model.encode(torch.tensor([i])).detach()[0] for i in {*read, item}}

        def net(pairing, left, right):
            if pairing.__class__.__name__ == "DotPairing":
                return float(left @ right)
            x = torch.cat([left, right]) @ pairing.first.detach() + pairing.biases[0].detach()
            for at, weight in enumerate(pairing.weights, 1):
                x = x.relu() @ weight.detach() + (
                    pairing.biases[at].detach() if at < len(pairing.biases) else 0
                )
            return float(x)

        logits = np.array([net(model.attention, vectors[i], vectors[item]) for i in read])
        attention = np.exp(logits) / np.exp(logits).sum()
        return read, attention, vectors, lambda interest: net(model.click, interest, vectors[item])

    @pytest.mark.parametrize("attention", ["dot", "net"])
    def test_of_a_dot_product_are_attention_times_product(self, float64, attention):
        data = board()
        model = built(data, attention=attention, scorer="dot", max_history=4)
        for user, item in (
            (0, 3),
            (2, int(data.train.item[-1])),
            (int(data.train.user[-1]), int(data.train.item[-1])),
        ):
            read, weight, vectors, _ = self.by_hand(model, user, item, data)
            got = model.explanation_effects().score_parts(user, item)
            expected = {
                i: w * float(vectors[i] @ vectors[item]) for i, w in zip(read, weight, strict=True)
            }
            assert dict(zip(got.items.tolist(), got.liked.tolist(), strict=True)) == pytest.approx(
                expected, abs=1e-12
            )
            assert got.liked.sum() == pytest.approx(
                float(model.scorer()(queries(known(data), np.array([user])))[0, item].detach()),
                abs=1e-12,
            )
            assert (got.own, got.bias, got.other, got.basis) == (0.0, 0.0, {}, "linearized")

    def test_of_a_network_are_integrated_gradients(self, float64):
        """Against differences of 2,000 steps on the way from no interest to the user's."""
        data = board()
        model = built(data, scorer_dims=(6, 5), max_history=3)
        with torch.no_grad():
            for bias in model.click.biases:
                bias.uniform_(-0.05, 0.05, generator=torch.Generator().manual_seed(3))
        for user, item in ((0, 3), (1, 8)):
            read, weight, vectors, score = self.by_hand(model, user, item, data)
            shares = {i: w * vectors[i] for i, w in zip(read, weight, strict=True)}
            whole, h, steps = sum(shares.values()), 1e-5, 2000
            expected = dict.fromkeys(shares, 0.0)
            for t in (np.arange(steps) + 0.5) / steps:
                for i, share in shares.items():
                    expected[i] += (score(t * whole + h * share) - score(t * whole - h * share)) / (
                        2 * h * steps
                    )
            got = model.explanation_effects().score_parts(user, item)
            assert dict(zip(got.items.tolist(), got.liked.tolist(), strict=True)) == pytest.approx(
                expected, abs=2e-3
            )
            assert got.other["the title itself"] == pytest.approx(
                score(torch.zeros_like(whole)), abs=1e-12
            )
            total = got.liked.sum() + sum(got.other.values())
            assert total == pytest.approx(
                float(model.scorer()(queries(known(data), np.array([user])))[0, item].detach()),
                abs=1e-12,
            )
            assert abs(got.other["missed by the integration"]) < 0.01 * np.abs(got.liked).sum()

    def test_without_a_history_everything_is_of_the_empty_one(self, float64):
        data = worlds.with_texts(
            worlds.dataset(
                [(0, 0), (0, 1), (1, 1)], test=[(2, 0)], triples=[(0, 0, 3)], num_items=3
            )
        )
        model = built(data, max_words=4)
        for user, item in ((2, 0), (1, 1)):  # the second's one title is the candidate itself
            got = model.explanation_effects().score_parts(user, item)
            assert len(got.items) == 0
            assert list(got.other) == [
                "the empty history",
                "the title itself",
                "missed by the integration",
            ]
            score = model.scorer()(queries(known(data), np.array([user])))[0, item]
            assert sum(got.other.values()) == pytest.approx(float(score.detach()), abs=1e-12)

    def test_padding_that_is_read_is_told_apart(self, float64):
        data = board()
        model = built(data, mask=False, scorer="dot", attention="dot")
        got = model.explanation_effects().score_parts(0, 3)
        assert list(got.other) == ["padding of the history"]
        score = model.scorer()(queries(known(data), np.array([0])))[0, 3]
        assert got.liked.sum() + got.other["padding of the history"] == pytest.approx(
            float(score.detach()), abs=1e-12
        )
        assert model.num_items not in got.items

    def test_scores_of_other_histories_are_those_of_the_scorer(self, float64):
        data = board()
        model = built(data)
        own = queries(data.train, np.array([1]))
        edited = [
            own.history[0],
            own.history[0, 1:],
            torch.tensor([4, 9]),
            torch.empty(0, dtype=torch.int64),
        ]
        got = model.explanation_effects().history_scores(1, edited)
        torch.testing.assert_close(got[:1], model.scorer()(own).detach())
        alone = Query(torch.tensor([1]), torch.tensor([[4, 9]]), torch.ones(1, 2, dtype=torch.bool))
        torch.testing.assert_close(got[2:3], model.scorer()(alone).detach())


class TestNews:
    def test_padding_changes_nothing(self, float64):
        """models.md 1.7 (c): more room for words, all of it padding."""
        data = board()
        short, long = built(data, max_words=6), built(data, max_words=9)
        long.load_state_dict(
            {name: value for name, value in short.state_dict().items() if name != "words"},
            strict=False,
        )
        every = torch.arange(data.num_items)
        torch.testing.assert_close(short.encode(every), long.encode(every))

    def test_what_stands_at_padding_counts_only_without_a_mask(self, float64):
        data = board()
        every = torch.arange(data.num_items)
        for mask in (True, False):
            model = built(data, max_words=9, mask=mask)
            before = model.encode(every).detach()
            with torch.no_grad():
                model.word[0] += 1.0
            assert torch.equal(model.encode(every), before) == mask

    def test_words_without_an_entity(self, float64):
        """Nothing in the channel where masked, tanh(b) where not."""
        data = board()
        for mask in (True, False):
            model = built(data, mask=mask, use_context=False)
            model.entities.zero_()
            before = model.encode(torch.arange(5)).detach()
            with torch.no_grad():
                model.channels["entity"].bias += 0.5
            assert torch.equal(model.encode(torch.arange(5)), before) == mask

    def test_without_a_mask_histories_are_padded_with_empty_texts(self, float64):
        model = built(board(), mask=False, max_history=4)
        history, mask = model.histories(
            torch.tensor([[3, 5, 0]]), torch.tensor([[True, True, False]])
        )
        assert history.tolist() == [[3, 5, model.num_items, model.num_items]]
        assert bool(mask.all())
        assert bool((model.words[model.num_items] == 0).all())

    def test_an_item_without_a_text_is_scored(self):
        data = board()
        texts = data.content.texts.to_list()
        texts[2] = None
        model = built(
            replace(
                data, content=replace(data.content, texts=pl.Series("text", texts, dtype=pl.String))
            )
        )
        assert bool((model.encode(torch.tensor([2])) == 0).all())
        assert bool(
            model.scorer()(Query(torch.tensor([-1]), torch.tensor([[2]]), torch.tensor([[True]])))
            .isfinite()
            .all()
        )

    def test_every_parameter_has_its_gradient(self, float64):
        """Against finite differences, with both networks, an empty history and padding among what
        is shown.
        """
        model = built(board(), num_filters=2, word_dim=3, l2_weight=0.01, train_entities=True)
        shown = batch(
            [[1, 2], []], [[3, 4], [5, 0]], [[1, 0], [0, 0]], mask=[[True, True], [True, False]]
        )
        loss = model.loss(shown)
        loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            flat, step = parameter.detach().view(-1), 1e-6
            for at in (0, int(parameter.grad.abs().argmax())):
                value = float(flat[at])
                ends = []
                for moved in (value + step, value - step):
                    flat[at] = moved
                    ends.append(float(model.loss(shown).detach()))
                flat[at] = value
                assert float(parameter.grad.view(-1)[at]) == pytest.approx(
                    (ends[0] - ends[1]) / (2 * step), abs=1e-7
                ), name


class TestLosses:
    SHOWN = (
        ([[1, 2], [3]], [[4, 5, 6], [7, 8, 0]], [[1, 0, 0], [1, 0, 0]]),
        [[True] * 3, [True, True, False]],
    )

    def logits(self, model):
        history = [[1, 2], [3]]
        return [
            model.scorer()(
                Query(
                    torch.tensor([0]),
                    torch.tensor([own]),
                    torch.ones(1, len(own), dtype=torch.bool),
                ),
                torch.tensor([shown]),
            )[0]
            for own, shown in zip(history, ([4, 5, 6], [7, 8]), strict=True)
        ]

    def test_log_loss_over_what_was_shown(self, float64):
        model = built(board(), l2_weight=0.0)
        arguments, mask = self.SHOWN
        labels = torch.tensor([1.0, 0, 0, 1, 0])
        expected = binary_cross_entropy_with_logits(torch.cat(self.logits(model)), labels)
        torch.testing.assert_close(model.loss(batch(*arguments, mask=mask)), expected)

    def test_softmax_of_a_click_among_its_negatives(self, float64):
        model = built(board(), l2_weight=0.0, loss="softmax")
        arguments, mask = self.SHOWN
        expected = sum(cross_entropy(row, torch.tensor(0)) for row in self.logits(model)) / 2
        torch.testing.assert_close(model.loss(batch(*arguments, mask=mask)), expected)

    def test_l2_is_half_the_squares_of_the_matrices(self, float64):
        arguments, mask = self.SHOWN
        plain, heavy = (built(board(), l2_weight=weight, **WORDS_ALONE) for weight in (0.0, 0.1))
        shown = batch(*arguments, mask=mask)
        matrices = [
            heavy.word,
            heavy.kcnn.filters,
            heavy.attention.first,
            heavy.click.first,
            *heavy.attention.weights,
            *heavy.click.weights,
        ]
        expected = 0.05 * sum(float(matrix.detach().square().sum()) for matrix in matrices)
        assert float((heavy.loss(shown) - plain.loss(shown)).detach()) == pytest.approx(
            expected, abs=1e-9
        )


class TestKnowledge:
    def with_vectors(self, data, keys):
        values = np.random.default_rng(0).normal(size=(len(keys), 7)).astype(np.float32)
        return replace(
            data, content=replace(data.content, entities=Vectors(pl.Series(keys), values))
        ), values

    def test_vectors_of_the_dataset(self):
        data = board()
        mentioned = np.unique(data.content.mentions[:, 3])
        neighbor = {
            int(h): int(t) for h, t in zip(data.triples.head, data.triples.tail, strict=True)
        }
        known = [int(mentioned[0]), neighbor[int(mentioned[0])]]
        given, values = self.with_vectors(data, [data.triples.entities.key(row) for row in known])
        model = built(given)
        assert model.channels.source == "file"
        entity, context = (model.channels[kind].vectors.numpy() for kind in ("entity", "context"))
        assert entity.shape == (len(mentioned) + 1, 7)
        np.testing.assert_array_equal(entity[1], values[0])
        assert not entity[[0, *range(2, len(entity))]].any()
        np.testing.assert_array_equal(context[1], values[1])  # its one neighbor

    @pytest.mark.parametrize("kind", ["transe", "transr", "transd"])
    def test_vectors_trained_on_the_triples(self, kind):
        model = built(board(), entity_vectors=kind)
        assert (
            not DKN.from_dataset(board(), model.config, torch.Generator().manual_seed(0))
            .channels["entity"]
            .vectors.any()
        )
        for channel in model.channels.values():
            assert bool(channel.vectors[1:].any(1).all())
            assert not channel.vectors[0].any()
            assert isinstance(channel.vectors, torch.nn.Parameter) == model.config.train_entities
        again, other = (
            built(board(), entity_vectors=kind),
            built(board(), seed=1, entity_vectors=kind),
        )
        assert torch.equal(again.channels["context"].vectors, model.channels["context"].vectors)
        assert not torch.equal(other.channels["context"].vectors, model.channels["context"].vectors)

    def test_an_entity_that_no_triple_names_has_no_vector(self):
        data = board()
        lonely = int(data.content.mentions[:, 3].min())
        keep = (data.triples.head != lonely) & (data.triples.tail != lonely)
        triples = replace(
            data.triples,
            **{
                name: getattr(data.triples, name)[keep]
                for name in ("head", "relation", "tail", "source", "locator")
            },
        )
        model = built(replace(data, triples=triples))
        assert int(model.channels.knowledge.mentioned[0]) == lonely
        assert not model.channels["entity"].vectors[1].any()
        assert bool(model.channels["entity"].vectors[2:].any(1).all())

    @pytest.mark.parametrize(
        ("config", "channels"),
        [
            ({}, ["entity", "context"]),
            ({"use_context": False}, ["entity"]),
            ({"use_entities": False}, ["context"]),
            (WORDS_ALONE, []),
        ],
    )
    def test_channels(self, config, channels):
        model = built(board(), **config)
        assert list(model.channels) == channels
        assert model.kcnn.filters.shape[0] == 1 + len(channels)

    def test_the_authors_code_has_no_context_unless_asked(self):
        """``--use_context`` of its ``main.py`` is False; the paper and the other public
        implementation have contexts.
        """
        channels = {}
        for preset in ("official", "paper", "recommenders"):
            config = choose("dkn", preset, {"word_dim": 4, "num_filters": 2}).config
            settings = {
                name: getattr(config, name)
                for name in ("use_entities", "use_context", "train_entities")
            }
            channels[preset] = list(built(board(), **settings).channels)
        assert channels == {
            "official": ["entity"],
            "paper": ["entity", "context"],
            "recommenders": ["entity", "context"],
        }

    def test_without_triples_vectors_are_learned_and_there_is_no_context(self):
        data = board()
        model = built(
            replace(
                data,
                triples=worlds.knowledge(
                    np.empty((0, 3), np.int64), list(data.triples.entities), 0
                ),
            )
        )
        assert (model.channels.source, list(model.channels)) == ("learned", ["entity"])
        assert isinstance(model.channels["entity"].vectors, torch.nn.Parameter)
        assert bool(model.channels["entity"].vectors[1:].any())

    @pytest.mark.parametrize(("kind", "remedy"), [("file", "--entity-vectors"), ("transd", "--kg")])
    def test_what_the_data_lacks_is_named(self, kind, remedy):
        data = board()
        bare = replace(
            data,
            triples=worlds.knowledge(np.empty((0, 3), np.int64), list(data.triples.entities), 0),
        )
        with pytest.raises(ConfigError, match=remedy):
            built(bare, entity_vectors=kind)

    def test_given_word_vectors_bring_their_size(self):
        data = board()
        words = Vectors(pl.Series(["Today", "nowhere"]), np.full((2, 9), 2.0, dtype=np.float32))
        model = built(replace(data, content=replace(data.content, words=words)))
        assert model.word.shape[1] == 9
        assert int((model.word == 2.0).all(1).sum()) == 1
        assert not model.word[1].any()


class TestRuns:
    def test_a_run_trained_on_lists_is_bit_equal_when_loaded(self, tmp_path):
        import kgrec

        data = board().save(tmp_path / "data")
        run = kgrec.fit(
            "dkn",
            data,
            device="cpu",
            epochs=2,
            batch_size=16,
            out=tmp_path / "run",
            metric="auc",
            **SMALL,
        )
        loaded = kgrec.load_run(tmp_path / "run")
        query = Query(
            torch.tensor([-1]), torch.tensor([[1, 2, 3]]), torch.ones(1, 3, dtype=torch.bool)
        )
        with torch.inference_mode():
            assert torch.equal(run.scorer()(query), loaded.scorer()(query))
        assert "auc" in run.history[-1]

    def test_someone_unseen_is_served_by_history(self):
        import kgrec

        run = kgrec.fit("dkn", board(), device="cpu", epochs=1, **SMALL)
        frame = run.recommend(history=["i1", "i2"], k=3)
        assert frame.height == 3
        assert not {"i1", "i2"} & set(frame["item"])

    def test_needs_texts(self):
        import kgrec

        with pytest.raises(DataError, match="needs texts"):
            kgrec.fit("dkn", worlds.toy())

    @pytest.mark.parametrize("preset", list(PRESETS))
    def test_presets_train(self, preset):
        import kgrec

        settings = {"epochs": 1, "kg_epochs": 2, "num_filters": 4}
        run = kgrec.fit("dkn", board(), preset=preset, device="cpu", **settings)
        assert np.isfinite(run.history[0]["bce"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_filters": 0},
        {"filter_widths": ()},
        {"filter_widths": (0,)},
        {"filter_widths": (5,), "max_words": 4},
        {"attention_dims": ()},
        {"scorer_dims": (4, 0)},
        {"dropout": 1.0},
        {"l2_weight": -1.0},
    ],
)
def test_refuses_values_out_of_range(wrong):
    with pytest.raises(ConfigError):
        DKNConfig(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"attention": "sum"}, {"loss": "hinge"}, {"entity_vectors": "transh"}, {"transform": "relu"}],
)
def test_refuses_unknown_choices(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        choose("dkn", "default", wrong)


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 5))]
)
def test_entities_decide_on_held_out_news(seed):
    """Words alone cannot tell news about new persons apart; entity and context vectors trained here
    can.
    """
    import kgrec
    from kgrec.evaluation.impressions import evaluate_impressions

    data = worlds.news_board(seed)
    found = []
    for config in ({}, WORDS_ALONE):
        run = kgrec.fit(
            "dkn",
            data,
            device="cpu",
            seed=seed,
            metric="auc",
            batch_size=64,
            epochs=25,
            patience=6,
            **config,
        )
        found.append(evaluate_impressions(run.scorer(), data).metrics["auc"])
    assert found[0] >= 0.7, found
    assert found[0] - found[1] >= 0.15, found
