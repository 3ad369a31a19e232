import numpy as np
import pytest
import torch
import worlds
from contracts import RecommenderContract

from kgrec.batches import PairwiseBatch, TripleBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.kgat import KGAT, KGATConfig

RELATIONS = ((0.1, 0), (0, 0.1), (-0.1, 0.1), (0.2, 0), (0, 0.2), (0.1, 0.1))


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def toy_model(**config):
    """Return the setting of models.md 1.3: one layer, all matrices the identity, no bias."""
    settings = {"dim": 2, "relation_dim": 2, "layer_dims": (2,), "loss": "bpr", "message_dropout": 0.0, **config}
    model = KGAT(CollaborativeKG.from_dataset(worlds.toy()), KGATConfig(**settings), torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.nodes.copy_(torch.tensor([*worlds.TOY_ENTITIES, *worlds.TOY_USERS]))
        model.relations.copy_(torch.tensor(RELATIONS))
        model.projections.copy_(torch.eye(2).expand(6, 2, 2))
        for layer in model.layers:
            layer.sum_weight.copy_(torch.eye(2))
            layer.product_weight.copy_(torch.eye(2))
            layer.sum_bias.zero_()
            layer.product_bias.zero_()
    return model


def edges(model):
    """Return the attention by (head, tail, relation)."""
    csr = model.graph.csr
    keys = zip(csr.destinations().tolist(), csr.idx.tolist(), csr.relation.tolist(), strict=True)
    return dict(zip(keys, model.attention.tolist(), strict=True))


U0, U1, I0, I1, I2, E3 = 4, 5, 0, 1, 2, 3


class TestKGAT(RecommenderContract):
    name = "kgat"
    settings = {"learning_rate": 0.02, "layer_dims": (32, 16), "message_dropout": 0.0}
    uses_knowledge = True

    def test_attention_of_the_toy_graph(self):
        """models.md 1.3: relation ids 0 interacts, 1 r0, 2 r1, then the inverses."""
        model = toy_model()
        model.refresh_attention()
        expected = {
            (U0, I0, 0): 0.598748,
            (U0, I1, 0): 0.401252,
            (U1, I1, 0): 1.0,
            (I0, U0, 3): 0.589315,
            (I0, E3, 1): 0.410685,
            (I1, U0, 3): 0.461237,
            (I1, U1, 3): 0.158765,
            (I1, E3, 1): 0.237458,
            (I1, I2, 2): 0.142540,
            (I2, I1, 5): 1.0,
            (E3, I0, 4): 0.711825,
            (E3, I1, 4): 0.288175,
        }
        got = edges(model)
        assert got.keys() == expected.keys()
        for edge, value in expected.items():
            assert got[edge] == pytest.approx(value, abs=1e-6), edge
        assert not model.attention.requires_grad

    @pytest.mark.parametrize(
        ("slope", "expected"),
        [
            (0.2, [[1.934543, 1.476708, -1.995682], [1.987402, 0.239156, -0.409065]]),
            (0.01, [[1.934543, 1.487976, -1.995682], [1.965215, 0.208385, -0.360067]]),
        ],
    )
    def test_scores_of_the_toy_graph(self, slope, expected):
        model = toy_model(leaky_slope=slope)
        model.refresh_attention()
        scorer = model.scorer()
        torch.testing.assert_close((scorer.users @ scorer.items.T).detach(), torch.tensor(expected), atol=1e-6, rtol=0)

    def test_static_weights_are_row_normalized_per_relation(self):
        model = toy_model(attention="static_si")
        sums = torch.zeros(6).index_add_(0, model.graph.csr.destinations(), model.attention)
        assert sums[[U0, U1, I0, I1, I2, E3]].tolist() == pytest.approx([1, 1, 2, 3, 1, 1])
        before = model.attention.clone()
        model.refresh_attention()
        assert torch.equal(model.attention, before)

    def test_transr_of_the_toy_graph(self):
        """models.md 1.3: energies 1.13 against 4.36, loss .038795."""
        model = toy_model(kg_l2_weight=0.0)
        batch = TripleBatch(*(torch.tensor([row]) for row in (I0, 1, E3, I2)))
        assert float(model.kg_loss(batch).detach()) == pytest.approx(0.038795, abs=1e-6)

    def test_interactions_leave_the_relations_alone_and_triples_the_layers(self):
        model = toy_model()
        cf, kg = model.plan().objectives
        assert all(p is not model.projections and p is not model.relations for p in cf.parameters)
        assert not {id(p) for p in kg.parameters} & {id(p) for p in model.layers.parameters()}
        model.bpr_loss(PairwiseBatch(torch.tensor([0]), torch.tensor([0]), torch.tensor([2]))).backward()
        assert model.projections.grad is None
        assert model.nodes.grad is not None

    def test_triples_with_inverses_and_interactions_are_trained_on(self):
        source = toy_model().plan().objectives[1].triples
        assert len(source.head) == 12
        assert sorted(set(source.relation.tolist())) == [0, 1, 2, 3, 4, 5]
        assert source.num_tails == 6

    @pytest.mark.parametrize("attention", ["live", "static_si"])
    @pytest.mark.parametrize("seed", range(4))
    def test_rerun_equals_a_model_built_on_the_edited_graph(self, seed, attention):
        """The same parameters over a graph without the facts, its attention computed from scratch."""
        ckg = CollaborativeKG.from_dataset(worlds.random_world(seed))
        config = KGATConfig(dim=4, relation_dim=3, layer_dims=(4, 2), attention=attention)
        model = KGAT(ckg, config, torch.Generator().manual_seed(seed)).eval()
        model.refresh_attention()
        rng = np.random.default_rng(seed)
        for size in (0, 1, 3, 8):
            group = sorted(int(f) for f in rng.choice(len(ckg.head), size, replace=False))
            kept = np.setdiff1d(np.arange(len(ckg.head)), group)
            parts = [part[kept] for part in (ckg.head, ckg.relation, ckg.tail, ckg.fact)]
            edited = CollaborativeKG(ckg.num_users, ckg.num_items, ckg.num_entities, ckg.num_relations, *parts)
            other = KGAT(edited, config, torch.Generator()).eval()
            other.load_state_dict({**model.state_dict(), "attention": other.attention})
            other.refresh_attention()
            scorer = other.scorer()
            expected = float((scorer.users[2] @ scorer.items[3]).detach())
            assert float(model.rerun(2, 3, [group])[0]) == pytest.approx(expected, abs=1e-10)

    def test_screen_is_the_derivative_of_the_score_by_the_logits(self):
        ckg = CollaborativeKG.from_dataset(worlds.random_world(2))
        model = KGAT(ckg, KGATConfig(dim=4, relation_dim=3, layer_dims=(4,)), torch.Generator().manual_seed(2)).eval()
        model.refresh_attention()
        effect, whole = model.screen(1, 2), float(model.rerun(1, 2, [[]])[0])
        attention, h = model.attention.clone(), 1e-6
        for fact in range(0, len(ckg.head), 3):
            edge = int(model.graph._edge[fact])
            scaled = attention.clone()
            for position in (edge, int(model.graph._rev[edge])):
                scaled[position] *= 1 - h
            total = torch.zeros(ckg.num_nodes).index_add_(0, model.graph.csr.destinations(), scaled)
            model.attention.copy_(scaled / total[model.graph.csr.destinations()])
            after = float(model.rerun(1, 2, [[]])[0])
            assert float(effect[fact]) == pytest.approx((whole - after) / h, abs=1e-4)

    def test_a_loaded_model_keeps_its_attention(self):
        model = toy_model()
        model.refresh_attention()
        assert "attention" in model.state_dict()

    def test_refuses_values_out_of_range(self):
        with pytest.raises(ConfigError):
            KGATConfig(message_dropout=1.0)
