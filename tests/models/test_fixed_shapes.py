"""On a CUDA device a step computes every node, so that its shapes stay the same; here that form is
held to the one of the CPU.
"""

import pytest
import torch

from kgrec.batches import PairwiseBatch
from kgrec.models.graph import base as light
from kgrec.models.graph.lightgcn import LightGCN, LightGCNConfig
from kgrec.models.knowledge import kgat
from kgrec.models.knowledge.kgat import KGAT, KGATConfig
from kgrec.testing import worlds

MODELS = [
    (light, LightGCN, LightGCNConfig(dim=8, num_layers=3, loss="bpr", l2_weight=0.1)),
    (
        kgat,
        KGAT,
        KGATConfig(
            dim=8,
            relation_dim=4,
            layer_dims=(8, 4),
            loss="bpr",
            message_dropout=0.0,
            cf_l2_weight=0.1,
        ),
    ),
]


@pytest.mark.parametrize(("module", "model", "config"), MODELS)
def test_loss_and_gradients_are_the_same(monkeypatch, module, model, config):
    data = worlds.random_world(3)
    made = model.from_dataset(data, config, torch.Generator().manual_seed(0))
    draw = torch.Generator().manual_seed(1)
    batch = PairwiseBatch(
        *(
            torch.randint(size, (40,), generator=draw)
            for size in (data.num_users, data.num_items, data.num_items)
        )
    )
    objective = made.plan().objectives[0]
    assert objective.capturable
    moved = [*(objective.parameters or made.parameters())]

    def run():
        loss = objective.loss(batch)
        return loss.detach(), *torch.autograd.grad(loss, moved)

    by_rows = run()
    monkeypatch.setattr(module, "fixed_shapes", lambda batch: True)
    for got, expected in zip(run(), by_rows, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)
