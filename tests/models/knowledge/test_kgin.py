import dataclasses
from collections import Counter
from itertools import chain

import numpy as np
import pytest
import torch

from kgrec.batches import PairwiseBatch, PositiveBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.knowledge.kgin import KGIN, KGINConfig
from kgrec.nn.independence import distance_correlations, intent_information
from kgrec.runs.settings import choose
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract

BATCH = PairwiseBatch(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([2, 0]))


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def toy_model(**config):
    """Return the setting of models.md 1.6: one hop, no dropout."""
    settings = {
        "dim": 2,
        "num_layers": 1,
        "num_intents": 2,
        "loss": "bpr",
        "node_dropout": 0.0,
        "message_dropout": 0.0,
        **config,
    }
    model = KGIN(
        CollaborativeKG.from_dataset(worlds.toy()),
        KGINConfig(**settings),
        torch.Generator().manual_seed(0),
    )
    with torch.no_grad():
        model.nodes.copy_(torch.tensor([*worlds.TOY_ENTITIES, *worlds.TOY_USERS]))
        model.relations.copy_(
            torch.tensor([(0.5, 1), (1, 0.5), (1, 1), (0.2, 0.2)])
        )  # r0, r1, then their inverses
        model.intent_logits.copy_(torch.tensor([[0, 0, 0, 0], [np.log(3), 0, 0, 0]]))
        if model.keys is not None:
            model.keys.copy_(torch.eye(2))
    return model


def random_model(seed=0, **config):
    ckg = CollaborativeKG.from_dataset(worlds.random_world(seed))
    return KGIN(
        ckg,
        KGINConfig(**{"dim": 4, "num_intents": 3, "num_layers": 2, **config}),
        torch.Generator().manual_seed(seed),
    )


def by_hand(model, users_seen, triples):
    """Return the final embeddings of users and items, edge by edge, from the equations."""
    config, ckg, softmax = (
        model.config,
        model.ckg,
        lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
    )
    table, vectors, logits = (
        p.detach().numpy() for p in (model.nodes, model.relations, model.intent_logits)
    )
    intents = softmax(logits) @ vectors
    keys = model.keys.detach().numpy() if config.form == "code" else intents
    entities, ego = table[: ckg.num_entities], table[ckg.num_entities :]
    users, totals = ego, [ego, entities]
    for _ in range(config.num_layers):
        new_entities, new_users = np.zeros_like(entities), np.zeros_like(users)
        for v in range(len(entities)):
            messages = [vectors[r] * entities[t] for h, r, t in triples if h == v]
            new_entities[v] = np.mean(messages, 0) if messages else 0
        for u in range(len(users)):
            mean = (
                np.mean([entities[i] for i in users_seen[u]], 0)
                if users_seen[u]
                else np.zeros(config.dim)
            )
            beta = softmax(keys @ (users if config.form == "code" else ego)[u])
            new_users[u] = mean * (beta @ intents) + (mean if config.form == "code" else 0)
        entities, users = (
            x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
            for x in (new_entities, new_users)
        )
        totals = [totals[0] + users, totals[1] + entities]
    return totals[0], totals[1][: ckg.num_items]


def by_fact(model, weights, user, item):
    """Return (score, steps) from one weight per directed use of a fact, edge by edge; steps are the
    entities each layer starts from, and per layer each user's choice of intents and the length of
    the message.
    """
    config, ckg, softmax = model.config, model.ckg, lambda x: np.exp(x) / np.exp(x).sum()
    table, vectors, logits = (
        p.detach().numpy() for p in (model.nodes, model.relations, model.intent_logits)
    )
    intents = np.array([softmax(row) for row in logits]) @ vectors
    keys = model.keys.detach().numpy() if config.form == "code" else intents
    entities, ego = table[: ckg.num_entities], table[ckg.user_node(user)]
    own, user_total, item_total, starts, gates = ego, ego, entities[item], [], []
    for _ in range(config.num_layers):
        starts.append(entities)
        after, mean = np.zeros_like(entities), np.zeros(config.dim)
        for (to, relation, source), weight in weights.items():
            if to < ckg.num_entities:
                after[to] += weight * vectors[relation] * entities[source]
            elif to == ckg.user_node(user):
                mean = mean + weight * entities[source]
        beta = softmax(keys @ (own if config.form == "code" else ego))
        message = mean * (beta @ intents) + (mean if config.form == "code" else 0)
        gates.append((beta, max(np.linalg.norm(message), 1e-12)))
        own = message / gates[-1][1]
        entities = after / np.maximum(np.linalg.norm(after, axis=1, keepdims=True), 1e-12)
        user_total, item_total = user_total + own, item_total + entities[item]
    z = item_total / np.linalg.norm(item_total) if config.loss == "softmax" else item_total
    return float(user_total @ z), (starts, gates, intents, z)


def uses(model):
    """Return per fact the (row, relation, source) of its uses: both ways of a triple, an
    interaction by the user alone.
    """
    ckg, count = model.ckg, model.ckg.num_relations - 1
    found = []
    for h, r, t in zip(ckg.head.tolist(), ckg.relation.tolist(), ckg.tail.tolist(), strict=True):
        found.append([(h, None, t)] if r == 0 else [(h, r - 1, t), (t, r - 1 + count, h)])
    return found


def means(model, removed=(), kept=False):
    """Return the weight of every use without some facts: 1 / uses of its row, counted without them
    or, where kept, with them.
    """
    every = uses(model)
    left = [use for fact, own in enumerate(every) if fact not in set(removed) for use in own]
    sizes = Counter(use[0] for use in (chain.from_iterable(every) if kept else left))
    return {use: 1 / sizes[use[0]] for use in left}


class TestKGIN(RecommenderContract):
    name = "kgin"
    settings = {
        "learning_rate": 0.03,
        "num_layers": 2,
        "node_dropout": 0.0,
        "message_dropout": 0.0,
        "epochs": 12,
    }
    uses_knowledge = True

    def test_embeddings_and_scores_of_the_toy_graph(self):
        """models.md 1.6, computed by hand."""
        scorer = toy_model().scorer()
        expected_items = [[1.242536, 1.970143], [-0.310679, 0.085491], [-0.292893, -0.207107]]
        torch.testing.assert_close(
            scorer.items.detach(), torch.tensor(expected_items), atol=1e-6, rtol=0
        )
        torch.testing.assert_close(
            scorer.users.detach(),
            torch.tensor([[1.946097, 0.323885], [0.681225, 0.267926]]),
            atol=1e-6,
            rtol=0,
        )
        expected = [[3.056193, -0.576923, -0.637077], [1.374300, -0.188737, -0.255016]]
        torch.testing.assert_close(
            (scorer.users @ scorer.items.T).detach(), torch.tensor(expected), atol=1e-6, rtol=0
        )

    def test_steps_of_the_toy_graph(self):
        """Aggregates of entities, intents, and aggregates of users, before they are normalized."""
        from kgrec.ops.typed import typed_sum

        model = toy_model()
        entities, users = model.nodes[:4].detach(), model.nodes[4:].detach()
        vectors = torch.cat([model.relations.detach(), torch.ones(1, 2)])
        got, mean = typed_sum(
            entities, model.graph.everywhere.edges, model.graph.everywhere.weight, vectors
        ).split([4, 2])
        torch.testing.assert_close(
            got,
            torch.tensor([[0.1, 0.4], [-0.45, 0.325], [0.1, -0.1], [0.75, 0.25]]),
            atol=1e-6,
            rtol=0,
        )
        expected = torch.tensor([[0.675, 0.675], [0.616667, 0.783333]])
        torch.testing.assert_close(model.intent_vectors().detach(), expected, atol=1e-6, rtol=0)
        got = model.aggregate_users(mean, users, users).detach()
        torch.testing.assert_close(
            got, torch.tensor([[1.244484, 0.426034], [0.816177, -0.877099]]), atol=1e-6, rtol=0
        )

    def test_intents_are_chosen_by_themselves_and_by_the_user_s_own_vector_in_the_paper(self):
        """Eqs. (8)-(9) of the toy graph: logits of u0 = (1, 0) are .675 and .616667, of u1 = (0, 1)
        .675 and .783333.
        """
        model, users = toy_model(form="paper"), torch.tensor(worlds.TOY_USERS)
        elsewhere = torch.full((2, 2), 7.0)  # the user's vector at the layer takes no part
        expected = torch.tensor([[0.514579, 0.485421], [0.472943, 0.527057]])
        torch.testing.assert_close(
            model.choice(elsewhere, users).detach(), expected, atol=1e-6, rtol=0
        )

        got = model.aggregate_users(torch.tensor([[0.75, 0.25], [0.5, -0.5]]), elsewhere, users)
        expected = torch.tensor([[0.485013, 0.181897], [0.322128, -0.366049]])
        torch.testing.assert_close(got.detach(), expected, atol=2e-6, rtol=0)
        assert "keys" not in dict(model.named_parameters())

    def test_weights_of_the_paper_s_form_from_version_0_1_rank_as_they_did(self):
        """They hold keys, which chose the intents in both forms then."""
        model = toy_model(form="paper")
        model.load_state_dict(toy_model(form="code").state_dict())
        users = torch.tensor(worlds.TOY_USERS)
        expected = torch.tensor([[0.731059, 0.268941], [0.268941, 0.731059]])
        torch.testing.assert_close(
            model.choice(users * 3, users).detach(), expected, atol=1e-6, rtol=0
        )

        names = [name for name, _ in toy_model(form="code").named_parameters()]
        assert [
            name for name, _ in model.named_parameters()
        ] == names  # an optimizer's state goes by this order
        again = toy_model(form="paper")
        again.load_state_dict(model.state_dict())
        assert torch.equal(again.scorer().users, model.scorer().users)

    @pytest.mark.parametrize("form", ["paper", "code"])
    @pytest.mark.parametrize("seed", range(3))
    def test_layers_equal_a_loop_over_edges(self, seed, form):
        data = worlds.random_world(seed)
        model = random_model(seed, form=form, num_layers=3, loss="bpr").eval()
        seen = [
            sorted(
                {int(i) for w, i in zip(data.train.user, data.train.item, strict=True) if w == u}
            )
            for u in range(data.num_users)
        ]
        t, count = data.triples, data.num_relations
        facts = [
            (int(h), int(r), int(x)) for h, r, x in zip(t.head, t.relation, t.tail, strict=True)
        ]
        facts += [(x, r + count, h) for h, r, x in facts]
        scorer = model.scorer()
        users, items = by_hand(model, seen, facts)
        np.testing.assert_allclose(scorer.users.detach().numpy(), users, atol=1e-12)
        np.testing.assert_allclose(scorer.items.detach().numpy(), items, atol=1e-12)

    @pytest.mark.parametrize(
        ("other", "expected"), [([1.0, 0.0, 0.0, 1.0], 0.526624), ([2.0, 4.0, 6.0, 8.0], 1.0)]
    )
    def test_distance_correlation(self, other, expected):
        """models.md 1.6; its tolerance."""
        got = distance_correlations(torch.tensor([[1.0, 2.0, 3.0, 4.0], other]))[0, 1]
        assert float(got) == pytest.approx(expected, abs=1e-4)

    def test_squared_cosine_and_mutual_information_by_hand(self):
        """Rows (3, 4) and (4, -3) are at right angles, (3, 4) and (4, 3) have cosine 24 / 25."""
        model = toy_model(independence="cosine")
        with torch.no_grad():
            model.intent_logits.copy_(torch.tensor([[3.0, 4, 0, 0], [4.0, 3, 0, 0]]))
        assert float(model.independence().detach()) == pytest.approx((24 / 25) ** 2, abs=1e-12)
        got = float(intent_information(torch.tensor([[3.0, 4.0], [4.0, -3.0], [6.0, 8.0]])))
        e5 = np.exp(5)
        assert got == pytest.approx(
            2 * np.log((2 * e5 + 1) / e5) + np.log((e5 + 2) / e5), abs=1e-12
        )

    @pytest.mark.parametrize("form", ["paper", "code"])
    def test_pairs_of_intents_are_kept_apart_and_weighted(self, form):
        """The whole loss from its parts; the paper compares intents, the code the logits behind
        them.
        """
        model = toy_model(form=form, independence_weight=0.3, l2_weight=0.7)
        rows = (model.intent_logits if form == "code" else model.intent_vectors()).detach()
        scorer = model.scorer()
        users, items = scorer.users.detach().numpy(), scorer.items.detach().numpy()
        above, below = (users * items[[0, 1]]).sum(1), (users * items[[2, 0]]).sum(1)
        norms = (users**2).sum() + (items[[0, 1]] ** 2).sum() + (items[[2, 0]] ** 2).sum()
        expected = (
            np.log1p(np.exp(below - above)).mean()
            + 0.7 * norms / 4
            + 0.3 * float(distance_correlations(rows)[0, 1])
        )
        assert float(model.bpr_loss(BATCH).detach()) == pytest.approx(expected, abs=1e-9)

    def test_gradients_equal_finite_differences(self):
        model = random_model(
            1,
            loss="bpr",
            num_layers=3,
            node_dropout=0.0,
            message_dropout=0.0,
            independence_weight=0.1,
        )
        loss = model.bpr_loss(BATCH)
        loss.backward()
        rng = np.random.default_rng(0)
        for name, parameter in model.named_parameters():
            for _ in range(4):
                at = tuple(int(rng.integers(size)) for size in parameter.shape)
                with torch.no_grad():
                    parameter[at] += 1e-6
                    up = float(model.bpr_loss(BATCH))
                    parameter[at] -= 2e-6
                    down = float(model.bpr_loss(BATCH))
                    parameter[at] += 1e-6
                assert float(parameter.grad[at]) == pytest.approx((up - down) / 2e-6, abs=1e-7), (
                    name
                )

    def test_dropped_edges_are_the_same_after_reseeding_and_absent_in_evaluation(self):
        model = random_model(2, loss="softmax")
        batch = PositiveBatch(torch.tensor([0, 1]), torch.tensor([0, 0]))
        model.plan().begin_epoch(3, 7)
        first = [float(model.softmax_loss(batch).detach()) for _ in range(2)]
        model.plan().begin_epoch(3, 7)
        assert [float(model.softmax_loss(batch).detach()) for _ in range(2)] == first
        assert first[0] != first[1]
        model.eval()
        assert float(model.softmax_loss(batch).detach()) == float(
            model.softmax_loss(batch).detach()
        )

    def test_kept_edges_weigh_more(self):
        """Half of the edges kept, each with twice its weight."""
        model = random_model(0)
        model.plan().begin_epoch(1, 0)
        weight = model.node_dropout(model.graph.everywhere.weight)
        kept = weight > 0
        assert 0 < int(kept.sum()) < len(kept)
        torch.testing.assert_close(weight[kept], 2 * model.graph.everywhere.weight[kept])

    def test_items_gather_from_entities_and_never_from_users(self):
        model = random_model(0).eval()
        before = model.scorer().items
        with torch.no_grad():
            model.nodes[model.ckg.num_entities :] += 1
        assert torch.equal(model.scorer().items, before)

    def test_someone_unseen_is_described_by_their_history(self):
        """A known user whose embedding is the mean of the users, against the same history folded
        in.
        """
        model = random_model(0).eval()
        first = model.ckg.num_entities
        with torch.no_grad():
            model.nodes[first:] = model.nodes[first:].mean(0)
        user, item = model.ckg.interactions()
        history = torch.from_numpy(item[user == user[0]])
        assert len(history) > 1
        padded = torch.cat([history, torch.zeros(2, dtype=torch.int64)])
        scorer = model.scorer()
        got = scorer.fold(
            padded.unsqueeze(0), (torch.arange(len(padded)) < len(history)).unsqueeze(0)
        )
        torch.testing.assert_close(got[0], scorer.users[int(user[0])])

    @pytest.mark.parametrize("form", ["paper", "code"])
    @pytest.mark.parametrize(("num_layers", "loss"), [(1, "softmax"), (2, "bpr"), (3, "softmax")])
    def test_reruns_of_both_kinds_equal_the_equations(self, num_layers, loss, form):
        model = random_model(1, num_layers=num_layers, loss=loss, form=form).eval()
        rng, count = np.random.default_rng(0), len(model.ckg.head)
        groups = [
            sorted(int(f) for f in rng.choice(count, size, replace=False)) for size in (0, 1, 3, 8)
        ] + [list(range(count))]
        for user, item in ((0, 3), (2, 0)):
            for kept in (False, True):
                expected = [
                    by_fact(model, means(model, group, kept), user, item)[0] for group in groups
                ]
                np.testing.assert_allclose(
                    model.explanation_effects()
                    .rerun(user, item, groups, keep_weights=kept)
                    .numpy(),
                    expected,
                    atol=1e-10,
                )
        assert len(model.explanation_effects().rerun(0, 3, [])) == 0

    @pytest.mark.parametrize("num_layers", [1, 3])
    def test_what_other_users_like_has_no_effect_at_all(self, num_layers):
        model = random_model(2, num_layers=num_layers).eval()
        user, _ = model.ckg.interactions()
        others = np.flatnonzero(model.ckg.relation == 0)[user != 1].tolist()
        assert not model.explanation_effects().through_users
        for kept in (False, True):
            whole, without = (
                model.explanation_effects().rerun(1, 2, [[], others], keep_weights=kept).tolist()
            )
            assert whole == without
        assert not model.explanation_effects().screen(1, 2)[others].any()

    @pytest.mark.parametrize("form", ["paper", "code"])
    @pytest.mark.parametrize("num_layers", [1, 2, 3])
    def test_screen_is_the_derivative_of_the_score_on_the_way_to_the_graph_without_the_fact(
        self, num_layers, form
    ):
        model = random_model(3, num_layers=num_layers, form=form).eval()
        weights, h, effect = means(model), 1e-6, model.explanation_effects().screen(1, 2)
        whole = by_fact(model, weights, 1, 2)[0]
        for fact in range(len(model.ckg.head)):
            without = means(model, [fact])
            onward = {
                use: weight + h * (without.get(use, 0.0) - weight)
                for use, weight in weights.items()
            }
            assert float(effect[fact]) == pytest.approx(
                (whole - by_fact(model, onward, 1, 2)[0]) / h, abs=1e-5
            )

    @pytest.mark.parametrize("form", ["paper", "code"])
    def test_pieces_of_the_screen_add_up_and_each_is_the_derivative_of_its_own(self, form):
        model = random_model(3, num_layers=2, form=form).eval()
        weights, h, pieces = means(model), 1e-6, model.explanation_effects().screen_pieces(1, 2)
        assert list(pieces) == ["own vector", "items as such", "intent 1", "intent 2", "intent 3"]
        torch.testing.assert_close(
            sum(pieces.values()), model.explanation_effects().screen(1, 2), atol=1e-12, rtol=0
        )

        def third(weights):
            """Return what intent 3 makes of the score."""
            _, (starts, gates, intents, z) = by_fact(model, weights, 1, 2)
            return sum(
                weight * gates[k][0][2] / gates[k][1] * (intents[2] * starts[k][use[2]] * z).sum()
                for k in range(2)
                for use, weight in weights.items()
                if use[0] == model.ckg.user_node(1)
            )

        for fact in range(0, len(model.ckg.head), 3):
            without = means(model, [fact])
            onward = {
                use: weight + h * (without.get(use, 0.0) - weight)
                for use, weight in weights.items()
            }
            assert float(pieces["intent 3"][fact]) == pytest.approx(
                (third(weights) - third(onward)) / h, abs=1e-5
            )

    @pytest.mark.parametrize("form", ["paper", "code"])
    @pytest.mark.parametrize(("num_layers", "loss"), [(1, "softmax"), (3, "bpr")])
    def test_parts_and_their_cut_by_intent_are_those_of_the_equations(self, num_layers, loss, form):
        model = random_model(1, num_layers=num_layers, loss=loss, form=form).eval()
        scorer = model.scorer()
        for user, item in ((0, 3), (3, 5)):
            weights = means(model)
            _, (starts, gates, intents, z) = by_fact(model, weights, user, item)
            liked = sorted(use[2] for use in weights if use[0] == model.ckg.user_node(user))
            got = model.explanation_effects().score_parts(user, item)
            assert got.items.tolist() == liked
            assert got.own == pytest.approx(
                float(model.nodes[model.ckg.user_node(user)].detach().numpy() @ z), abs=1e-12
            )
            for at, j in enumerate(liked):
                base = sum(
                    (start[j] * z).sum() / norm
                    for start, (_, norm) in zip(starts, gates, strict=True)
                ) / len(liked)
                assert got.pieces["items as such"][at] == pytest.approx(
                    base if form == "code" else 0, abs=1e-12
                )
                for p, intent in enumerate(intents):
                    terms = [
                        beta[p] * (intent * start[j] * z).sum() / norm
                        for start, (beta, norm) in zip(starts, gates, strict=True)
                    ]
                    assert got.pieces[f"intent {p + 1}"][at] == pytest.approx(
                        sum(terms) / len(liked), abs=1e-12
                    )
            np.testing.assert_allclose(sum(got.pieces.values()), got.liked, atol=1e-12)
            assert got.own + got.liked.sum() == pytest.approx(
                float((scorer.users[user] @ scorer.items[item]).detach()), abs=1e-10
            )
            assert (got.bias, got.other, got.basis) == (0.0, {}, "linearized")

    def test_on_another_graph_the_parameters_stay(self):
        data = dataclasses.replace(
            worlds.random_world(4), user_facts=np.array([(0, 1, 9), (2, 2, 10)], dtype=np.int32)
        )
        ckg, gone = CollaborativeKG.from_dataset(data), [1, 7, 12]
        model = KGIN(ckg, KGINConfig(dim=4, num_layers=2), torch.Generator().manual_seed(0)).eval()
        assert len(model.ckg.head) == len(ckg.head) - 2
        torch.testing.assert_close(
            model.explanation_effects().on_graph(model.ckg).scorer().items, model.scorer().items
        )
        other = model.explanation_effects().on_graph(
            model.ckg.take(np.setdiff1d(np.arange(len(model.ckg.head)), gone))
        )
        scorer = other.scorer()
        expected = by_fact(model, means(model, gone), 2, 3)[0]
        assert float((scorer.users[2] @ scorer.items[3]).detach()) == pytest.approx(
            expected, abs=1e-10
        )
        assert other.nodes is model.nodes

    @pytest.mark.parametrize(
        "config",
        [
            {"dim": 0},
            {"num_layers": 0},
            {"num_intents": 0},
            {"node_dropout": 1.0},
            {"message_dropout": -0.1},
            {"l2_weight": -1.0},
            {"temperature": 0.0},
        ],
    )
    def test_refuses_values_out_of_range(self, config):
        with pytest.raises(ConfigError, match=r"^KGIN needs [^\n]*" + next(iter(config))):
            KGINConfig(**config)

    @pytest.mark.parametrize(
        ("key", "value"), [("independence", "hsic"), ("form", "book"), ("loss", "hinge")]
    )
    def test_refuses_words_it_does_not_know(self, key, value):
        with pytest.raises(ConfigError, match=f"^{key}='{value}': expected one of "):
            choose("kgin", "default", {key: value})
