import pytest
import torch

from kgrec.batches import PointwiseBatch, TripleBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.knowledge.mkr import MKR, CrossCompress, MKRConfig
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


pytestmark = pytest.mark.usefixtures("_float64")


def built(data, **config):
    settings = MKRConfig(**{"dim": 4, "num_low": 2, "num_high": 2, **config})
    graph = CollaborativeKG.from_dataset(data)
    return MKR(graph, settings, torch.Generator().manual_seed(0)).eval()


def test_a_unit_is_that_computed_by_hand():
    """v = (1, .5), e = (.5, -1): C = [[.5, -1], [.25, -.5]]."""
    unit = CrossCompress(2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        unit.weights.copy_(torch.tensor([[1.0, 0, 1, 0.5], [0, 1, 1, 0]]))
    v, e = unit(torch.tensor([[1.0, 0.5]]), torch.tensor([[0.5, -1.0]]))
    torch.testing.assert_close(v.detach(), torch.tensor([[0.75, -0.25]]))
    torch.testing.assert_close(e.detach(), torch.tensor([[-0.25, -0.75]]))


def crossed_by_hand(model, item):
    v, e = model.items[item], model.entities[item]
    for unit in model.units:
        c = torch.outer(v, e)
        w_vv, w_ev, w_ve, w_ee = unit.weights.unbind(1)
        v, e = (
            c @ w_vv + c.T @ w_ev + unit.biases[0],
            c @ w_ve + c.T @ w_ee + unit.biases[1],
        )
    return v, e


def test_scores_and_plausibilities_are_the_equations():
    model = built(worlds.random_world(1))
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
        ranked = model.scorer()
        u = model.users[2]
        for layer in model.user_layers[::2]:
            u = torch.relu(layer.weight @ u + layer.bias)
        v, e = crossed_by_hand(model, 5)
        torch.testing.assert_close(ranked.users[2] @ ranked.items[5], u @ v)

        hidden = torch.cat([e, model.relations[4]])
        hidden = torch.relu(model.predicted[0].weight @ hidden + model.predicted[0].bias)
        predicted = torch.sigmoid(model.predicted[2].weight @ hidden + model.predicted[2].bias)
        t = model.entities[9]
        for layer in model.tail_layers[::2]:
            t = torch.relu(layer.weight @ t + layer.bias)
        found = model.plausibilities(torch.tensor([5]), torch.tensor([4]), torch.tensor([9]))
        torch.testing.assert_close(found[0], t @ predicted)


@pytest.mark.parametrize("form", ["paper", "code"])
def test_the_loss_of_triples_holds_false_ones_against_true_ones_in_the_paper_alone(form):
    model = built(worlds.random_world(0), form=form, l2_weight=0.0)
    batch = TripleBatch(
        torch.tensor([0, 3]), torch.tensor([1, 4]), torch.tensor([9, 2]), torch.tensor([11, 12])
    )
    true = torch.sigmoid(model.plausibilities(batch.head, batch.relation, batch.tail))
    false = torch.sigmoid(model.plausibilities(batch.head, batch.relation, batch.negative_tail))
    expected = false.mean() - true.mean() if form == "paper" else -true.mean()
    torch.testing.assert_close(model.triple_loss(batch), expected)


def test_a_step_on_triples_moves_items_and_leaves_users():
    model = built(worlds.random_world(0))
    pairs, triples = model.plan().objectives
    assert triples.rate == 1.0
    assert (triples.source.head < 8).all()
    named = {id(p) for p in triples.parameters}
    assert id(model.users) not in named
    assert id(model.items) in named
    batch = PointwiseBatch(torch.tensor([0]), torch.tensor([1]), torch.tensor([1.0]))
    pairs.loss(batch).backward()
    assert model.entities.grad[1].abs().sum() > 0  # interactions move the entity of the item


def test_plausibility_reads_a_triple_from_its_item():
    model = built(worlds.random_world(0))
    effects = model.explanation_effects()
    own = effects.plausibility(torch.tensor([2]), torch.tensor([1]), torch.tensor([9]))
    turned = effects.plausibility(torch.tensor([9]), torch.tensor([1]), torch.tensor([2]))
    alone = effects.plausibility(torch.tensor([9]), torch.tensor([1]), torch.tensor([10]))
    with torch.no_grad():
        forward = model.plausibilities(torch.tensor([2]), torch.tensor([1]), torch.tensor([9]))
        backward = model.plausibilities(torch.tensor([2]), torch.tensor([4]), torch.tensor([9]))
    torch.testing.assert_close(own, torch.nn.functional.logsigmoid(forward))
    torch.testing.assert_close(turned, torch.nn.functional.logsigmoid(backward))
    assert float(alone) == pytest.approx(-0.693147, abs=1e-6)


def test_items_without_interactions_are_not_ranked():
    """Triples reach them, but bind no more than e' (Eq. 2): the contract finds their scores to be
    chance.
    """
    data = worlds.cold_items()
    known = built(data).can_rank(data)
    assert known.users.all()
    assert known.items.tolist() == [True] * 40 + [False] * 20


@pytest.mark.parametrize("wrong", [{"num_low": 0}, {"kg_rate": 0.0}, {"negatives": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="MKR needs"):
        MKRConfig(**wrong)


class TestContract(RecommenderContract):
    name = "mkr"
    settings = {"dim": 8, "learning_rate": 0.05}

    @pytest.fixture(autouse=True)
    def _float32(self, _float64):
        torch.set_default_dtype(torch.float32)

    def run(self, data, seed=0, **more):
        size = 16 if data.num_users < 20 else 128
        return super().run(data, seed, **{"batch_size": size, **more})
