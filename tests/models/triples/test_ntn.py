import pytest
import torch

from kgrec.batches import CorruptedBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.triples.ntn import NTN, NTNConfig
from kgrec.nn.neural_tensor import NeuralTensor
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


def score(layer, nodes, head, relation, tail):
    """Eq. (1), a slice at a time."""
    h, t, total = nodes[head], nodes[tail], 0.0
    forms = layer.bilinear[relation].view(layer.slices, layer.dim, layer.dim)
    linear = layer.linear[relation].view(layer.slices, 2 * layer.dim)
    for s in range(layer.slices):
        inner = h @ forms[s] @ t + linear[s] @ torch.cat([h, t]) + layer.bias[relation, s]
        total = total + layer.out[relation, s] * torch.tanh(inner)
    return float(total.detach())


def test_a_layer_is_that_computed_by_hand():
    """h = (1, 2), t = (.5, -1): h W_1 t = 3, V_1 (h || t) = .25, b_1 = .05; the second slice is
    h . t = -1.5 alone: 2 tanh(3.3) - tanh(-1.5)."""
    layer = NeuralTensor(1, 2, 2, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        layer.bilinear[0] = torch.tensor([1.0, 0.0, 0.5, -1.0, 1.0, 0.0, 0.0, 1.0])
        layer.linear[0] = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.0, 0.0, 0.0, 0.0])
        layer.bias[0] = torch.tensor([0.05, 0.0])
        layer.out[0] = torch.tensor([2.0, -1.0])
    h, t = torch.tensor([[1.0, 2.0], [0.5, -1.0]]).double().split(1)
    relation = torch.tensor([0])
    by_tail = layer.scores(layer.tail_query(h, relation), t)
    by_head = layer.scores(layer.head_query(relation, t), h)
    assert by_tail.item() == pytest.approx(2.899714, abs=1e-6)
    assert by_head.item() == pytest.approx(by_tail.item())


@pytest.fixture
def toy():
    config = NTNConfig(dim=3, slices=2, interactions=False, penalty_weight=0.1)
    ckg = CollaborativeKG.from_dataset(worlds.toy())
    model = NTN(ckg, config, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        model.tables.layer.bias.normal_(generator=torch.Generator().manual_seed(1))
        model.tables.nodes.mul_(10)
    return model


def test_the_loss_and_both_directions_by_hand(toy):
    layer, nodes = toy.tables.layer, toy.tables.nodes

    def hand(h, r, t):
        return score(layer, nodes, h, r, t)

    columns = ([0, 1], [1, 2], [3, 2], [[1, 2], [0, 3]], [True, False])
    batch = CorruptedBatch(*map(torch.tensor, columns))
    hinge = 0.0
    for h, r, t, wrong, by_head in zip(*columns, strict=True):
        for w in wrong:
            other = hand(w, r, t) if by_head else hand(h, r, w)
            hinge += max(0.0, 1.0 - hand(h, r, t) + other)
    squares = sum(float(p.detach().square().sum()) for p in layer.parameters()) / 2
    squares += sum(float(nodes[e].detach().square().sum()) for e in (0, 1, 3, 2)) / 2
    assert toy.loss(batch).item() == pytest.approx(hinge / 4 + 0.1 * squares)

    tails = toy.score_tails(torch.tensor([0]), torch.tensor([1])).detach()
    heads = toy.score_heads(torch.tensor([1]), torch.tensor([0])).detach()
    assert tails[0].tolist() == pytest.approx([hand(0, 2, e) for e in range(4)])
    assert heads[0].tolist() == pytest.approx([hand(e, 2, 0) for e in range(4)])


def test_values_out_of_range_are_refused():
    for wrong in ({"slices": 0}, {"margin": 0.0}, {"penalty_weight": -1.0}):
        with pytest.raises(ConfigError, match="NTN"):
            NTNConfig(**wrong)


class TestNTN(RecommenderContract):
    name = "ntn"
    settings = {"dim": 8, "slices": 2, "negatives": 8, "learning_rate": 0.03, "epochs": 30}
    uses_knowledge = True
