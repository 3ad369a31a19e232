"""The triple loss beside another one: its number, and the models that take it as an option."""

import numpy as np
import pytest
import torch

from kgrec.batches import CorruptedBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.catalog import MODELS
from kgrec.models.typed_facts import FactContrast, TripleLoss
from kgrec.runs.settings import choose
from kgrec.testing import worlds
from kgrec.training.config import TrainConfig
from kgrec.training.loop import samplers_of

NAMES = ("lightgcn-kg", "kgat", "kgin")


def test_the_loss_is_that_of_the_equation():
    """Two triples with two negatives each, in numpy."""
    torch.set_default_dtype(torch.float64)
    try:
        ckg = CollaborativeKG.from_dataset(worlds.toy())
        generator = torch.Generator().manual_seed(1)
        loss = FactContrast(ckg, 2.0, 3, generator, TripleLoss(2, 0.5, 0.1))
        nodes = torch.randn(ckg.num_nodes, 3, generator=generator)
        head, relation, tail = torch.tensor([[0, 1], [1, 2], [3, 4]])
        negative = torch.tensor([[4, 2], [3, 3]])
        batch = CorruptedBatch(head, relation, tail, negative, torch.zeros(2, dtype=torch.bool))
        found = float(loss.of(nodes, batch).detach())
        moves = loss.contrast.relations.detach().numpy()
    finally:
        torch.set_default_dtype(torch.float32)

    x = nodes.numpy()
    total = 0.0
    for n in range(2):
        h, r = x[head[n]], moves[relation[n]]
        tails = x[[int(tail[n]), *negative[n].tolist()]]
        moved = (h + r) / np.linalg.norm(h + r)
        logits = tails @ moved / np.linalg.norm(tails, axis=1) / 0.5
        total += np.log(np.exp(logits).sum()) - logits[0]
        total += 0.1 * (h @ h + r @ r + np.square(tails).sum()) / 2

    assert found == pytest.approx(total / 2)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_an_option_and_off_by_default(name):
    data = worlds.cold_items(users=12, warm=12, cold=4, likes=4)

    def built(**settings):
        chosen = choose(name, "default", {"dim": 4, **settings})
        generator = torch.Generator().manual_seed(0)
        return chosen.model.from_dataset(data, chosen.config, generator)

    plain, with_it = built(), built(kg_weight=4.0)
    state = with_it.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in plain.state_dict().items())
    assert [key for key in state if key.startswith("facts.")] == ["facts.contrast.relations"]
    assert "triples" not in {objective.name for objective in plain.plan().objectives}

    plan = with_it.plan()
    (place,) = (n for n, one in enumerate(plan.objectives) if one.name == "triples")
    assert plan.objectives[place].weight == 4.0
    batches = samplers_of(plan, data, TrainConfig(batch_size=16), 0, torch.device("cpu"))[place]
    batch = next(iter(batches.epoch(1)))
    triples = set(zip(data.triples.head, data.triples.relation + 1, data.triples.tail, strict=True))
    assert (
        set(zip(*(c.tolist() for c in (batch.head, batch.relation, batch.tail)), strict=True))
        <= triples
    )
    plan.objectives[place].loss(batch).backward()
    assert float(with_it.nodes.grad.abs().sum()) > 0
    assert 0.0 in MODELS[name].search_space()["kg_weight"]


@pytest.mark.parametrize(("name", "weight"), [("lightgcn", 1.0), *((n, -1.0) for n in NAMES)])
def test_a_weight_that_nothing_could_use_is_refused(name, weight):
    with pytest.raises(ConfigError, match="kg_weight"):
        choose(name, "default", {"kg_weight": weight})
