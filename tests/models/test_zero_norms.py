"""Norms of zero have gradient 0, at any depth; models without layers do all that others do."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

import kgrec
from kgrec.models.knowledge.kgat import KGAT, KGATConfig
from kgrec.models.knowledge.kgin import KGIN, KGINConfig
from kgrec.nn.losses import cosine_softmax
from kgrec.ops.rows import inverse_length, unit_rows
from kgrec.testing import worlds


def test_unit_rows_have_the_gradient_of_torch_but_0_at_zeros():
    x = torch.randn(5, 4, dtype=torch.float64)
    x[2] = 0
    upstream = torch.randn(5, 4, dtype=torch.float64)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    unit_rows(ours).backward(upstream)
    normalize(theirs, dim=1).backward(upstream)
    kept = [0, 1, 3, 4]
    torch.testing.assert_close(ours.grad[kept], theirs.grad[kept])
    assert (ours.grad[2] == 0).all()
    assert theirs.grad[2].abs().max() > 1e9  # what would overflow after a few layers
    torch.testing.assert_close(unit_rows(x), normalize(x, dim=1))


def test_the_inverse_of_a_length_is_0_for_zeros():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    inverse = inverse_length(x)
    assert inverse.tolist() == pytest.approx([0.2, 0.0])
    inverse.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[-3 / 125, -4 / 125], [0, 0]], rtol=1e-5)


def test_a_user_of_zeros_moves_nothing_in_the_cosine_loss():
    users = torch.zeros(2, 3, requires_grad=True)
    cosine_softmax(users, torch.randn(4, 3), torch.tensor([0, 1]), 0.2).backward()
    assert (users.grad == 0).all()


def test_deep_kgin_trains_on_the_films():
    run = kgrec.fit("kgin", "films", num_layers=6, epochs=2, dim=16, batch_size=8192)
    assert all(np.isfinite(record["softmax"]) for record in run.history)
    assert run.history[1]["softmax"] < run.history[0]["softmax"]
    best = run.recommend("u0001", k=1)
    explained = run.explain("u0001", best["item"][0], k=2)
    assert explained.score == pytest.approx(best["score"][0], rel=1e-5)
    assert all(np.isfinite(path.drop_delete) for path in explained.paths)


@pytest.mark.parametrize("form", ["code", "paper"])
@pytest.mark.parametrize("loss", ["softmax", "bpr"])
def test_gradients_of_deep_kgin_are_finite_differences(form, loss):
    """Entities without triples become rows of zeros after a layer: in the graph of cold items and
    in one whose last entity is alone.
    """
    data = worlds.dataset(
        [(0, 0), (0, 1), (1, 2)],
        triples=[(0, 0, 3), (1, 1, 3)],
        num_items=3,
        num_entities=5,
        num_relations=2,
    )
    config = KGINConfig(
        dim=4, num_layers=6, form=form, loss=loss, node_dropout=0.0, message_dropout=0.0
    )
    model = KGIN.from_dataset(data, config, torch.Generator().manual_seed(0)).double()
    (objective,) = model.plan().objectives
    batch = objective.batch(
        *(
            torch.tensor(part)
            for part in ([0, 0, 1], [0, 1, 2], [2, 2, 0])[: 3 if loss == "bpr" else 2]
        )
    )
    moved = list(model.parameters())
    gradients = torch.autograd.grad(objective.loss(batch), moved)
    with torch.no_grad():
        for parameter, gradient in zip(moved, gradients, strict=True):
            for place in range(0, parameter.numel(), 7):
                flat, old = parameter.view(-1), parameter.view(-1)[place].item()
                values = []
                for step in (1e-6, -1e-6):
                    flat[place] = old + step
                    values.append(float(objective.loss(batch)))
                flat[place] = old
                assert float(gradient.view(-1)[place]) == pytest.approx(
                    (values[0] - values[1]) / 2e-6, abs=1e-7
                )


NO_LAYERS = [
    ("lightgcn", {"num_layers": 0}),
    ("lightgcn-kg", {"num_layers": 0, "loss": "bpr"}),
    ("kgat", {"layer_dims": ()}),
]


@pytest.mark.parametrize(("name", "settings"), NO_LAYERS, ids=str)
def test_without_layers_the_vectors_are_all(name, settings):
    data = worlds.cold_items()
    run = kgrec.fit(name, data, epochs=3, **settings)
    best = run.recommend("u4", k=2)
    first, second = best["item"]
    explained = run.explain("u4", first)
    nodes = run.model.nodes.detach().double()
    user, item = nodes[run.model.ckg.user_node(4)], nodes[data.items.row(first)]
    bare = float(user @ item) / (1.0 if settings.get("loss") == "bpr" else float(item.norm()))
    assert explained.score == pytest.approx(bare, rel=1e-5)
    assert explained.budget.own == pytest.approx(bare, rel=1e-5)
    assert all(
        path.drop_delete == path.drop_mask == 0 and not path.causal for path in explained.paths
    )
    assert run.explainer().compare("u4", first, second).to_text()
    assert run.explainer().why_not("u4", second, k=1).to_text()
    assert run.explainer().flip("u4").to_text()
    # nothing of a history is passed on to a vector; someone unseen gets the mean of the items
    assert set(run.recommend(history=["i1"], k=3)["kind"]) == {"history"}


def test_the_note_says_that_no_fact_is_read():
    run = kgrec.fit("lightgcn", worlds.cold_items(), epochs=1, num_layers=0)
    explained = run.explain("u4", run.recommend("u4", k=1)["item"][0])
    assert any("No fact of the graph has an effect" in note for note in explained.notes)


def test_an_item_vector_of_zeros_scores_0_and_is_explained():
    run = kgrec.fit("lightgcn-kg", worlds.cold_items(), epochs=1)
    with torch.no_grad():
        run.model.nodes.zero_()
    explained = run.explain("u4", "i44")
    assert explained.score == explained.budget.own == explained.budget.residual == 0
    assert all(path.drop_delete == 0 for path in explained.paths)


def test_a_state_of_zeros_carries_nothing_in_kgat():
    data = worlds.cold_items()
    model = KGAT.from_dataset(
        data, KGATConfig(dim=4, layer_dims=(4, 4)), torch.Generator().manual_seed(0)
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    parts = model.explanation_effects().score_parts(4, 44)
    assert parts.own == parts.bias == 0
    assert not parts.liked.any()
    assert torch.isfinite(model.explanation_effects().screen(4, 44)).all()
