"""LightGCN trained on drawn neighbors."""

import pytest
import torch

from kgrec.errors import ConfigError
from kgrec.runs.run import build_model
from kgrec.runs.settings import choose
from kgrec.testing.worlds import planted
from kgrec.training.loop import train

SMALL = {"dim": 6, "epochs": 2, "batch_size": 64, "learning_rate": 0.05}


def trained(name, **settings):
    """Return the losses and the table after two epochs, in float64."""
    torch.set_default_dtype(torch.float64)
    try:
        chosen = choose(name, "default", {**SMALL, **settings})
        data = planted("knowledge")
        model = build_model(chosen, data, 0)
        state = train(model, data, chosen.train, seed=0, device=torch.device("cpu"))
    finally:
        torch.set_default_dtype(torch.float32)
    losses = [[v for k, v in each.items() if k != "seconds"] for each in state.history]
    return torch.tensor(losses), model.nodes.detach()


@pytest.mark.parametrize(
    ("name", "settings"),
    [("lightgcn", {"loss": "bpr"}), ("lightgcn-kg", {"negatives": 4, "kg_weight": 0.5})],
)
def test_enough_neighbors_train_as_the_whole_graph(name, settings):
    whole, drawn = trained(name, **settings), trained(name, fanouts=(999, 999), **settings)
    for one, two in zip(whole, drawn, strict=True):
        assert torch.allclose(one, two, atol=1e-10)
    few, again = (trained(name, fanouts=(2, 1), **settings) for _ in range(2))
    assert torch.equal(few[1], again[1])
    assert not torch.allclose(few[1], whole[1], atol=1e-3)
    assert float(few[0][-1, 1]) < float(few[0][0, 1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fanouts": (5,)}, "for each of 2 layers"),
        ({"fanouts": (5, 0)}, "at least 1"),
        ({"fanouts": (5, 5)}, "a softmax over all items"),
        ({"fanouts": (5, 5), "loss": "bpr", "edge_dropout": 0.1}, "edge_dropout"),
    ],
)
def test_what_reads_the_whole_graph_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        choose("lightgcn", "default", settings)
