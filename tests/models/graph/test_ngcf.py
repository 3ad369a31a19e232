import numpy as np
import pytest
import torch
from dense import BATCH, adjacency, bpr, built, rows_of

from kgrec.batches import PairwiseBatch, PositiveBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.graph.ngcf import NGCF, NGCFConfig
from kgrec.runs.fit import fit
from kgrec.runs.settings import choose
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


def toy_model(form):
    """Return one layer on the toy graph, W = I and b = 0, in float64."""
    ckg = CollaborativeKG.from_dataset(worlds.toy(), knowledge=False)
    config = NGCFConfig(
        dim=2, layer_dims=(2,), form=form, loss="bpr", message_dropout=0.0, l2_weight=0.0
    )
    model = NGCF(ckg, config, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        model.nodes.copy_(torch.tensor([*worlds.TOY_ENTITIES[:3], *worlds.TOY_USERS]))
        for table in (*model.sums, *model.products):
            table.copy_(torch.eye(2))
        for table in (*model.sum_bias, *model.product_bias):
            table.zero_()
    return model.eval()


def layers(model):
    """Return e* by dense matrices and the formulas of the docstring."""
    plain = (adjacency(model) > 0).double()
    degree = plain.sum(1)
    one = torch.eye(len(plain), dtype=torch.float64)
    scale = torch.where(degree > 0, degree.clamp(min=1).rsqrt(), 0.0)
    laplacian = scale[:, None] * plain * scale
    e, found = model.nodes, [model.nodes]
    for number in range(len(model.sums)):
        w1, w2 = model.sums[number], model.products[number]
        if model.config.form == "paper":
            e = torch.nn.functional.leaky_relu(
                (laplacian + one) @ e @ w1 + ((laplacian @ e) * e) @ w2, 0.2
            )
        else:
            side = (plain + one) / (degree + 1)[:, None] @ e
            e = torch.nn.functional.leaky_relu(
                side @ w1 + model.sum_bias[number], 0.2
            ) + torch.nn.functional.leaky_relu((side * e) @ w2 + model.product_bias[number], 0.2)
        found.append(torch.nn.functional.normalize(e, dim=1))
    return torch.cat(found, 1)


class TestNGCF(RecommenderContract):
    name = "ngcf"
    settings = {"learning_rate": 0.02, "dim": 8, "layer_dims": (8,), "message_dropout": 0.0}
    settings |= {"batch_size": 64, "epochs": 15}

    @pytest.mark.parametrize(
        ("form", "expected"),
        [
            ("code", [[1.934488, 1.495229, -0.206029], [1.8, 0.113941, 1.437994]]),
            ("paper", [[1.972020, 1.484020, -1.223028], [1.955591, 0.254921, 0.806324]]),
        ],
    )
    def test_scores_of_the_toy_graph(self, form, expected):
        scorer = toy_model(form).scorer()
        got = (scorer.users @ scorer.items.T).detach()
        torch.testing.assert_close(got, torch.tensor(expected).double(), atol=1e-6, rtol=0)

    @pytest.mark.parametrize("form", ["code", "paper"])
    def test_loss_and_gradients_by_dense_matrices(self, form):
        config = NGCFConfig(
            dim=4, layer_dims=(3, 5), form=form, loss="bpr", message_dropout=0.0, l2_weight=0.1
        )
        model = built(NGCF, config)
        e = layers(model)
        torch.testing.assert_close(model(), e)
        squares = sum(rows.square().sum() for rows in rows_of(model, e))
        expected = bpr(model, e) + 0.1 * squares / 2 / 5
        got = model.bpr_loss(BATCH)
        torch.testing.assert_close(got, expected)
        moved = list(model.parameters())
        for ours, theirs in zip(
            torch.autograd.grad(got, moved), torch.autograd.grad(expected, moved), strict=True
        ):
            torch.testing.assert_close(ours, theirs)

    def test_softmax_loss_and_gradients_by_dense_matrices(self):
        config = NGCFConfig(dim=4, layer_dims=(3,), message_dropout=0.0, l2_weight=0.1)
        model = built(NGCF, config)
        e = layers(model)
        warm = torch.from_numpy(model.ckg.warm_items()[0])
        user, item = e[BATCH.user + 8], e[BATCH.positive]
        unit = torch.nn.functional.normalize(e, dim=1)
        logits = unit[BATCH.user + 8] @ unit[warm].T / 0.2
        target = (BATCH.positive.unsqueeze(1) == warm).double().argmax(1)
        expected = torch.nn.functional.cross_entropy(logits, target)
        expected = expected + 0.1 * (user.square().sum() + item.square().sum()) / 2 / 5
        got = model.softmax_loss(PositiveBatch(BATCH.user, BATCH.positive))
        torch.testing.assert_close(got, expected)
        for ours, theirs in zip(
            torch.autograd.grad(got, [*model.parameters()]),
            torch.autograd.grad(expected, [*model.parameters()]),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs)

    @pytest.mark.parametrize("kind", ["message_dropout", "node_dropout"])
    def test_dropout_is_of_the_epoch_and_of_training_alone(self, kind):
        settings = {"message_dropout": 0.0, kind: 0.5}
        model = built(NGCF, NGCFConfig(dim=4, layer_dims=(4,), **settings))
        begin = model.plan().begin_epoch
        values = []
        for epoch in (1, 2, 1):
            begin(epoch, 0)
            values.append(float(model.bpr_loss(BATCH).detach()))
        assert values[0] == values[2] != values[1]
        torch.testing.assert_close(model.eval()(), layers(model))

    def test_gradients_with_entries_left_out_are_finite_differences(self):
        config = NGCFConfig(dim=3, layer_dims=(3, 3), node_dropout=0.4, message_dropout=0.0)
        model = built(NGCF, config)
        begin = model.plan().begin_epoch

        def loss():
            begin(1, 0)
            return model.bpr_loss(BATCH)

        (gradient,) = torch.autograd.grad(loss(), model.nodes)
        flat = model.nodes.detach().view(-1)
        for place in range(0, len(flat), 5):
            values = []
            for step in (1e-6, -2e-6):
                flat[place] += step
                values.append(float(loss().detach()))
            flat[place] += 1e-6
            assert float(gradient.view(-1)[place]) == pytest.approx(
                (values[0] - values[1]) / 2e-6, abs=1e-7
            )

    def test_scores_are_explained_by_runs_on_edited_graphs(self):
        run = self.run(worlds.checkerboard(), epochs=3)
        user, item = 2, 4
        explained = run.explain(f"u{user}", f"i{item}", k=3)
        assert {path.basis for path in explained.paths} == {"measured"}
        model = run.model.eval()
        ckg = model.ckg
        for path in explained.paths:
            ends = {ckg.user_node(user), int(path.hops[0].target.key[1:])}
            pairs = zip(ckg.head.tolist(), ckg.tail.tolist(), strict=True)
            kept = np.array([set(pair) != ends for pair in pairs])
            assert kept.sum() == len(kept) - 1
            other = NGCF(ckg.take(kept), model.config, torch.Generator()).eval()
            other.load_state_dict(model.state_dict())
            scorer = other.scorer()
            score = float((scorer.users[user] @ scorer.items[item]).detach())
            assert path.like_drop == pytest.approx(explained.score - score, abs=1e-5)

    def test_a_resumed_training_is_bit_equal(self, tmp_path):
        data = worlds.checkerboard()
        small = {"dim": 8, "layer_dims": (8,), "batch_size": 16, "patience": 0}
        small |= {"node_dropout": 0.2, "message_dropout": 0.2}
        whole = fit("ngcf", data, epochs=4, **small)
        fit("ngcf", data, epochs=2, out=tmp_path / "run", **small)
        resumed = fit("ngcf", data, epochs=4, out=tmp_path / "run", resume=True, **small)
        for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
            assert torch.equal(ours, theirs)

    def test_presets(self):
        paper, official = (choose("ngcf", name, {}) for name in ("paper", "official"))
        assert (paper.config.form, official.config.form) == ("paper", "code")
        assert paper.config.layer_dims == (64, 64, 64)
        assert (paper.train.batch_size, paper.train.sampler) == (1024, "user_uniform")

    @pytest.mark.parametrize(
        "config",
        [
            {"dim": 0},
            {"layer_dims": ()},
            {"l2_weight": -1.0},
            {"message_dropout": 1.0},
            {"node_dropout": -0.1},
            {"leaky_slope": -1.0},
        ],
    )
    def test_refuses_values_out_of_range(self, config):
        with pytest.raises(ConfigError, match=r"^NGCF needs [^\n]*" + next(iter(config))):
            NGCFConfig(**config)


def test_the_toy_loss_is_that_of_its_scores():
    model = toy_model("code")
    batch = PairwiseBatch(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([2, 0]))
    margins = torch.tensor([1.934488 + 0.206029, 0.113941 - 1.8]).double()
    expected = torch.nn.functional.softplus(-margins).mean()
    torch.testing.assert_close(model.bpr_loss(batch).detach(), expected, atol=1e-6, rtol=0)
