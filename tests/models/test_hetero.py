"""Networks of PyTorch Geometric as recommenders: against dense matrices, and against graphs that
are built again without an edge.
"""

import dataclasses
import json
import sys

import numpy as np
import polars as pl
import pytest
import torch
from torch_geometric.nn import GATConv, HeteroConv, HGTConv, RGCNConv, SAGEConv, to_hetero

import kgrec
from kgrec.cli import run as command
from kgrec.data.derive.variants import without_graph
from kgrec.errors import CapabilityError, GraphError, ModelError
from kgrec.explanation.explainer import Explainer
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models import HeteroConfig, HeteroRecommender
from kgrec.models.catalog import config_of
from kgrec.queries import queries
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract

MODULE = '''
import torch
from torch_geometric.nn import HeteroConv, SAGEConv

from kgrec.models import HeteroConfig, HeteroRecommender
from kgrec.models.base import Span

SPACE = {"dim": (4, 8), "learning_rate": Span(5e-3, 2e-2, log=True)}


class Layers(torch.nn.Module):
    def __init__(self, data, dim, num_layers):
        super().__init__()
        self.layers = torch.nn.ModuleList(
            HeteroConv({t: SAGEConv(dim, dim, root_weight=False) for t in data.edge_types})
            for _ in range(num_layers)
        )

    def forward(self, x_dict, edge_index_dict):
        for layer in self.layers:
            gathered = layer(x_dict, edge_index_dict)  # of the types that any edge leads to
            x_dict = x_dict | {name: x_dict[name] + x.tanh() for name, x in gathered.items()}
        return x_dict


class RGCN(HeteroRecommender):
    """R-GCN."""

    def network(self, data, config: HeteroConfig):
        return Layers(data, config.dim, config.num_layers)
'''


def _module(name):
    made = type(sys)(name)
    exec(compile(MODULE, f"{name}.py", "exec"), vars(made))
    return made


_rgcn = _module("tests_of_rgcn")
RGCN = _rgcn.RGCN
Layers = _rgcn.Layers


@dataclasses.dataclass(frozen=True)
class HGTConfig(HeteroConfig):
    heads: int = 2


class Attention(torch.nn.Module):
    def __init__(self, data, config):
        super().__init__()
        sizes = (-1, config.dim, data.metadata(), config.heads)
        self.layers = torch.nn.ModuleList(HGTConv(*sizes) for _ in range(config.num_layers))

    def forward(self, x_dict, edge_index_dict):
        for layer in self.layers:
            x_dict = x_dict | layer(x_dict, edge_index_dict)
        return x_dict


class HGT(HeteroRecommender):
    config_class = HGTConfig

    def network(self, data, config):
        return Attention(data, config)


class Sage(torch.nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.first = SAGEConv((-1, -1), dim)
        self.dropout = torch.nn.Dropout(0.5)
        self.second = SAGEConv((-1, -1), dim)

    def forward(self, x, edge_index):
        return self.second(self.dropout(self.first(x, edge_index).relu()), edge_index)


class Converted(HeteroRecommender):
    """A network for one type of node, converted by PyG, with dropout."""

    def network(self, data, config):
        return to_hetero(Sage(config.dim), data.metadata())


class Looped(HeteroRecommender):
    """GAT: attention, and loops that the layer adds itself."""

    def network(self, data, config):
        def layer(edge_type):
            return GATConv(config.dim, config.dim, add_self_loops=edge_type[0] == edge_type[2])

        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = HeteroConv({t: layer(t) for t in data.edge_types})

            def forward(self, x_dict, edge_index_dict):
                gathered = self.layer(x_dict, edge_index_dict)
                return {name: x + gathered.get(name, 0) for name, x in x_dict.items()}

        return Net()


class Flat(torch.nn.Module):
    """RGCNConv over all nodes in one table: its messages are not those of one edge type."""

    def __init__(self, dim, node_types, edge_types):
        super().__init__()
        self.node_types = node_types
        self.edge_types = edge_types
        self.layers = torch.nn.ModuleList(RGCNConv(dim, dim, len(edge_types)) for _ in range(2))

    def forward(self, x_dict, edge_index_dict):
        sizes = [len(x_dict[name]) for name in self.node_types]
        start = dict(zip(self.node_types, np.cumsum([0, *sizes]).tolist(), strict=False))
        moved = [
            edge_index_dict[t] + torch.tensor([[start[t[0]]], [start[t[2]]]])
            for t in self.edge_types
        ]
        number = [torch.full((e.shape[1],), n) for n, e in enumerate(moved)]
        x = torch.cat([x_dict[name] for name in self.node_types])
        for layer in self.layers:
            x = layer(x, torch.cat(moved, 1), torch.cat(number)).tanh()
        return dict(zip(self.node_types, x.split(sizes), strict=True))


class FlatRGCN(HeteroRecommender):
    def network(self, data, config):
        return Flat(config.dim, data.node_types, data.edge_types)


EVERY = [RGCN, HGT, Converted, Looped, FlatRGCN]
HOOKED = EVERY[:-1]
SMALL = {"dim": 8, "batch_size": 64, "learning_rate": 0.02}


def build(model, data, **settings):
    config = config_of(model)(**{"dim": 6, "num_layers": 2, **settings})
    made = model.from_dataset(data, config, torch.Generator().manual_seed(0)).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():  # HGT's start would hide what attention does
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def score(model, user, item):
    with torch.no_grad():
        scorer = model.scorer()
    return float(scorer.users[user] @ scorer.items[item])


def all_scores(run):
    with torch.inference_mode():
        return run.scorer()(queries(run.data.train, np.arange(run.data.num_users)))


@pytest.fixture(autouse=True)
def draws():
    torch.manual_seed(0)


def typed(data):
    """Give a world classes: even entities and odd ones."""
    rows = np.arange(data.num_items, data.num_entities)
    kinds = ["http://x.org/Even", "http://x.org/Odd"]
    types = pl.DataFrame(
        {"entity": rows[1:], "type": [kinds[row % 2] for row in rows[1:]]},
        schema=data.triples.types.schema,
    )
    return dataclasses.replace(data, triples=dataclasses.replace(data.triples, types=types))


class TestRGCN(RecommenderContract):
    model = RGCN
    settings = {"dim": 16, "learning_rate": 0.02, "batch_size": 64}
    uses_knowledge = True
    user_tables = frozenset({"nodes_user"})
    idle = frozenset(  # what entities gather in the last layer reaches nobody
        f"net.layers.1.convs.<item___{relation}___entity>.lin_l.{kind}"
        for relation in ("r0", "r1")
        for kind in ("weight", "bias")
    )


def test_forward_is_that_of_dense_matrices():
    """One layer of R-GCN by hand: x + tanh(sum over relations of D^-1 A x W + b)."""
    data = worlds.toy()
    model = build(RGCN, data, num_layers=1)
    (layer,) = model.net.layers
    x = {name: getattr(model, f"nodes_{name}") for name in ("user", "item", "entity")}
    dense = {
        ("item", "rev_interacts", "user"): [[1, 1, 0], [0, 1, 0]],
        ("user", "interacts", "item"): [[1, 0], [1, 1], [0, 0]],
        ("entity", "rev_r0", "item"): [[1], [1], [0]],
        ("item", "r0", "entity"): [[1, 1, 0]],
        ("item", "r1", "item"): [[0, 0, 0], [0, 0, 0], [0, 1, 0]],
        ("item", "rev_r1", "item"): [[0, 0, 0], [0, 0, 1], [0, 0, 0]],
    }
    assert set(layer.convs.keys()) == set(dense)
    want = {name: torch.zeros_like(rows) for name, rows in x.items()}
    for (source, relation, target), rows in dense.items():
        a = torch.tensor(rows, dtype=torch.float64)
        mean = a / a.sum(1, keepdim=True).clamp(min=1)
        weights = layer.convs[source, relation, target].lin_l
        want[target] += mean @ x[source] @ weights.weight.T + weights.bias
    found = model()
    for name, rows in x.items():
        torch.testing.assert_close(found[name], rows + want[name].tanh())
    cosine = torch.nn.functional.normalize(found["item"])
    torch.testing.assert_close(model.scorer().items, cosine)
    torch.testing.assert_close(build(RGCN, data, loss="bpr").scorer().items.shape, (3, 6))


@pytest.mark.parametrize("types", ["role", "class"])
@pytest.mark.parametrize("model", EVERY)
def test_effect_of_a_fact_is_that_of_a_graph_built_again(model, types):
    """Every interaction and triple: the difference of two runs, the second on a rebuilt graph."""
    data = typed(worlds.random_world(1))
    whole = build(model, data, types=types)
    effects = whole.explanation_effects()
    facts = len(effects.ckg.head)
    before = score(whole, 0, 3)
    scores = effects.rerun(0, 3, [[], *([fact] for fact in range(facts))])
    assert abs(float(scores[0]) - before) < 1e-9
    moved = 0
    for fact in range(facts):
        fewer = {}
        for edge_type, ends in hand_built(data, whole.graph.types, fact).items():
            fewer[edge_type] = torch.tensor(sorted(ends), dtype=torch.int64).reshape(-1, 2).T
        with torch.no_grad():
            found = whole.net(inputs(whole), {t: fewer[t] for t in whole.graph.edges()})
        item = torch.nn.functional.normalize(found["item"])[3]
        want = float(found["user"][0] @ item)
        assert abs(float(scores[1 + fact]) - want) < 1e-6
        moved += abs(want - before) > 1e-6
    assert moved >= 3
    pair = [0, facts - 1]
    ckg = effects.ckg.take(np.setdiff1d(np.arange(facts), pair))
    assert abs(float(effects.rerun(0, 3, [pair])[0]) - score(effects.on_graph(ckg), 0, 3)) < 1e-9
    assert score(whole, 0, 3) == before


def inputs(model):
    return {name: getattr(model, f"nodes_{name}") for name in model.node_types}


def hand_built(data, types, omitted):
    """Return the edges by type from the dataset's rows, both directions, but for one fact."""
    ckg = CollaborativeKG.from_dataset(data)
    found = {}
    for fact, (head, relation, tail) in enumerate(
        zip(ckg.head.tolist(), ckg.relation.tolist(), ckg.tail.tolist(), strict=True)
    ):
        source = types.names[types.kind[head]]
        target = types.names[types.kind[tail]]
        name = types.relations[relation]
        ends = int(types.local[head]), int(types.local[tail])
        there = found.setdefault((source, name, target), [])
        back = found.setdefault((target, "rev_" + name, source), [])
        if fact != omitted:
            there.append(ends)
            back.append(ends[::-1])
    return found


@pytest.mark.parametrize("model", HOOKED)
def test_screen_is_the_derivative_by_a_factor_of_the_messages(model):
    data = worlds.random_world(2)
    made = build(model, data)
    effects = made.explanation_effects()
    assert effects.keeps_weights
    found = effects.screen(0, 3)
    step = 1e-5
    for fact in range(len(found)):
        values = torch.ones_like(found)
        ends = []
        for sign in (1, -1):
            values[fact] = 1 + sign * step
            with torch.no_grad():
                vectors = effects.masked(values)
            ends.append(effects.score_of(vectors, 0, 3))
        assert abs(float(ends[0] - ends[1]) / (2 * step) - float(found[fact])) < 1e-6
    assert bool((found != 0).any())


def test_kept_weights_leave_the_sums_and_take_the_messages():
    """A mean over two likes, one masked: half of the other is left."""
    data = worlds.dataset([(0, 0), (0, 1), (1, 1)], num_items=2)
    made = build(RGCN, data, num_layers=1)
    effects = made.explanation_effects()
    conv = made.net.layers[0].convs["item", "rev_interacts", "user"].lin_l
    half = made.nodes_item[1] @ conv.weight.T / 2 + conv.bias
    before = made()["user"]
    found = effects.masked(torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(found["user"][0], made.nodes_user[0] + half.tanh())
    assert torch.equal(made()["user"], before)  # no hook is left behind


def test_network_whose_messages_have_no_known_edge_is_explained_by_deletions_alone():
    data = worlds.cold_items(users=8, warm=8, cold=2, likes=3)
    made = build(FlatRGCN, data)
    effects = made.explanation_effects()
    assert not effects.keeps_weights
    facts = np.flatnonzero(effects.ckg.head == effects.ckg.user_node(0))
    screened = effects.screen(0, 4)
    scores = effects.rerun(0, 4, [[], [int(facts[0])]])
    assert float(screened[facts[0]]) == pytest.approx(float(scores[0] - scores[1]))
    with pytest.raises(CapabilityError, match="mode='delete'"):
        effects.rerun(0, 4, [[]], keep_weights=True)
    why = Explainer(made, data).explain("u0", "i4", k=3)
    assert why.paths
    assert all(path.drop_mask is None and path.basis == "measured" for path in why.paths)


def test_edges_may_be_added_of_types_that_the_network_knows():
    data = worlds.random_world(3)
    made = build(RGCN, data)
    effects = made.explanation_effects()
    ckg = effects.ckg
    liked = set(zip(*ckg.interactions(), strict=True))
    user, item = next((u, i) for u in range(6) for i in range(8) if (u, i) not in liked)
    more = dataclasses.replace(
        ckg,
        head=np.append(ckg.head, ckg.user_node(user)),
        relation=np.append(ckg.relation, 0),
        tail=np.append(ckg.tail, item),
        fact=np.append(ckg.fact, -1),
    )
    assert score(effects.on_graph(more), user, item) != score(made, user, item)
    strange = dataclasses.replace(more, head=np.append(ckg.head, item), tail=np.append(ckg.tail, 0))
    with pytest.raises(GraphError, match="item, interacts, item"):
        effects.on_graph(strange)


@pytest.mark.parametrize(
    ("model", "seeds", "of"),
    [
        (RGCN, range(1), min),
        pytest.param(RGCN, range(1, 4), min, marks=pytest.mark.long),
        # HGT is at 0, 1, 1, .51, 1, 1 with seeds 0 to 5: where nothing trains the start of a cold
        # item, its attention can turn the order around
        pytest.param(HGT, range(3), np.median, marks=pytest.mark.slow),
        pytest.param(HGT, range(5), np.median, marks=pytest.mark.long),
    ],
    ids=["RGCN", "RGCN more", "HGT", "HGT more"],
)
def test_facts_decide_where_they_alone_can(model, seeds, of):
    """Cold items, whose kind only triples say: found with them, not without."""
    data = worlds.cold_items()
    own = np.arange(40, 60)[None, :] % 2 == np.arange(60)[:, None] % 2

    def auc(dataset, seed):
        run = kgrec.fit(model, dataset, **SMALL | {"epochs": 10, "seed": seed})
        scores = all_scores(run)[:, 40:].numpy()
        pairs = [row[mask][:, None] > row[~mask] for row, mask in zip(scores, own, strict=True)]
        return np.mean(pairs)

    assert of([auc(data, seed) for seed in seeds]) > 0.9
    assert auc(without_graph(data), seeds[0]) < 0.7


def test_training_hides_its_positives_where_it_is_told_to():
    data = worlds.checkerboard(6)
    made = build(RGCN, data, hide_positives=True)
    batch = kgrec.batches.PositiveBatch(torch.tensor([0, 1]), torch.tensor([2, 3]))
    facts = [
        fact
        for fact, (user, item) in enumerate(
            zip(made.ckg.head - made.ckg.num_entities, made.ckg.tail, strict=True)
        )
        if made.ckg.relation[fact] == 0 and (user, item) in {(0, 2), (1, 3)}
    ]
    assert len(facts) == 2
    kept = made.graph.without_pairs(batch.user, batch.positive)
    assert torch.equal(kept, made.graph.without(facts))
    shown = build(RGCN, data)
    shown.load_state_dict(made.state_dict())
    hidden = made.softmax_loss(batch).item()
    assert hidden != shown.softmax_loss(batch).item()
    bare = shown.explanation_effects().on_graph(made.ckg.take(kept.numpy()))
    assert hidden == pytest.approx(bare.softmax_loss(batch).item())


def test_held_out_interactions_are_not_in_the_graph():
    data = worlds.planted("both", users=10)
    made = build(RGCN, data)
    pairs = set(zip(*made.ckg.interactions(), strict=True))
    assert pairs == set(zip(data.train.user.tolist(), data.train.item.tolist(), strict=True))
    assert not pairs & set(zip(data.valid.user.tolist(), data.valid.item.tolist(), strict=True))


@pytest.mark.parametrize("model", [RGCN, HGT, Converted])
def test_resumed_training_is_bit_equal_dropout_included(model, tmp_path, monkeypatch):
    data = worlds.cold_items(users=20, warm=16, cold=4).save(tmp_path / "data")
    whole = kgrec.fit(model, data, epochs=4, **SMALL)
    place = tmp_path / "run"

    class StoppedError(Exception):
        pass

    def stop(state):
        if state.epoch == 2:
            raise StoppedError

    monkeypatch.setattr("kgrec.runs.fit._SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    with pytest.raises(StoppedError):
        kgrec.fit(model, data, out=place, epochs=4, on_epoch=stop, **SMALL)
    torch.manual_seed(99)
    resumed = kgrec.fit(model, data, out=place, resume=True)
    assert torch.equal(all_scores(whole), all_scores(resumed))
    assert torch.equal(all_scores(kgrec.load_run(place, model)), all_scores(resumed))


def test_training_leaves_the_generator_of_pytorch_as_it_is():
    state = torch.get_rng_state()
    kgrec.fit(Converted, worlds.checkerboard(), epochs=1, **SMALL)
    assert torch.equal(torch.get_rng_state(), state)


def test_features_take_the_place_of_embeddings():
    class Featured(RGCN):
        @classmethod
        def add_features(cls, graph, data):
            graph["item"].x = torch.eye(graph["item"].num_nodes)

        def network(self, data, config):
            net = Layers(data, config.dim, config.num_layers)
            net.first = torch.nn.Linear(data["item"].num_features, config.dim)
            net.register_forward_pre_hook(
                lambda net, given: ({**given[0], "item": net.first(given[0]["item"])}, given[1])
            )
            return net

    made = build(Featured, worlds.toy())
    assert {name for name, _ in made.named_parameters(recurse=False)} == {
        "nodes_user",
        "nodes_entity",
    }
    assert made.features_item.dtype == torch.float64
    assert made.scorer().items.shape == (3, 6)

    class Rewired(RGCN):
        @classmethod
        def add_features(cls, graph, data):
            del graph["user", "interacts", "item"]

    with pytest.raises(ModelError, match="changed the edges"):
        build(Rewired, worlds.toy())


def test_configuration_of_a_class_is_its_own():
    assert config_of(RGCN) is HeteroConfig
    assert config_of(HGT) is HGTConfig
    run = kgrec.fit(HGT, worlds.checkerboard(), epochs=1, heads=4, **SMALL)
    assert run.config.heads == 4


class Returns(torch.nn.Module):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, x_dict, edge_index_dict):
        return self.change(dict(x_dict))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            lambda data: Returns(lambda x: x | {"user": None}),
            "no 'user' vectors, only entity, item",
        ),
        (lambda data: Returns(lambda x: {"user": x["user"]}), "no 'item' vectors, only user"),
        (
            lambda data: Returns(lambda x: x["user"].tanh()),
            "returns Tensor, not vectors by node type",
        ),
        (
            lambda data: Returns(lambda x: x | {"item": x["item"][:, :5]}),
            "'user' vectors of width 6 and 'item' vectors of width 5",
        ),
        (
            lambda data: Returns(lambda x: x | {"item": x["item"][:2]}),
            r"'item' vectors of shape \(2, 6\). Return \(3, width\)",
        ),
        (lambda data: Returns(lambda x: x | {"item": x["item"] / 0}), "not finite"),
        (lambda data: "network", "not a torch.nn.Module but str"),
        (
            lambda data: HeteroConv(
                {t: SAGEConv(6, 6) for t in [*data.edge_types, ("item", "directed_by", "entity")]}
            ),
            "edges of type item, directed_by, entity, and the graph has none.*item, r0, entity",
        ),
        (lambda data: HGTConv(7, 6, data.metadata()), "cannot be run on its graph: RuntimeError"),
        (
            lambda data: HGTConv(6, 6, (data.node_types, [("item", "no", "item")])),
            "cannot be run on its graph: KeyError",
        ),
    ],
)
def test_network_that_does_not_fit_is_one_line(made, said):
    class Wrong(HeteroRecommender):
        def network(self, data, config):
            return made(data)

    with pytest.raises(ModelError, match=said) as caught:
        build(Wrong, worlds.toy())
    assert "the network of Wrong" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_vectors_that_become_infinite_are_refused():
    made = build(RGCN, worlds.toy())
    with torch.no_grad():
        made.nodes_user[0, 0] = float("nan")
        with pytest.raises(ModelError, match="'user' vectors that are not finite"):
            made.scorer()


@pytest.mark.parametrize("setting", [{"dim": 0}, {"num_layers": -1}, {"l2_weight": -1.0}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(kgrec.errors.ConfigError, match="dim >= 1"):
        HeteroConfig(**setting)


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """A folder with the module and a dataset, and a trained run."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "my_rgcn.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    worlds.planted("both", users=12).save(folder / "data")
    sets = [word for pair in (("dim=8",), ("epochs=3",)) for word in ("--set", *pair)]
    call = ["train", str(folder / "data"), "--model", "my_rgcn:RGCN", *sets]
    assert command([*call, "--out", str(folder / "run")]) == 0
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("my_rgcn", None)


def test_commands_run_on_it(commands, capsys):
    place = str(commands / "run")
    allowed = ["--allow-class", "my_rgcn:RGCN"]
    run = kgrec.load_run(place, allow="my_rgcn:RGCN")
    ranked = run.recommend("u0", k=run.data.num_items)["item"]
    item = next(item for item in ranked if run.explain("u0", item).paths)
    for call in (
        ["evaluate", place],
        ["recommend", place, "--user", "u0"],
        ["similar", place, "--item", item],
        ["explain", place, "--user", "u0", "--item", item],
        ["explain", place, "--user", "u0", "--what-if", "--remove", "i0"],
        ["explain", place, "--user", "u0", "--flip"],
        ["export", place, "--embeddings", str(commands / "vectors")],
    ):
        done = command([*call, *allowed])
        said = capsys.readouterr()
        assert done == 0 or (done == 2 and "i0" in said.err and "--what-if" in call), (call, said)
    assert list((commands / "vectors").iterdir())


def test_explanations_of_a_run_can_be_verified(commands, capsys):
    place = str(commands / "run")
    call = ["explain", place, "--user", "u0", "--top", "1", "--allow-class", "my_rgcn:RGCN"]
    assert command([*call, "--format", "json"]) in (0, 3)
    why = commands / "why.json"
    why.write_text(capsys.readouterr().out)
    verify = ["explain", place, "--verify", str(why), "--allow-class", "my_rgcn:RGCN"]
    assert command(verify) == 0


@pytest.mark.slow
def test_ablation_and_tuning_run_on_it(commands, capsys):
    data = str(commands / "data")
    sets = ["--set", "dim=4", "--set", "epochs=1"]
    model = ["--model", "my_rgcn:RGCN"]
    place = str(commands / "ablation")
    call = ["ablate", data, *model, *sets, "--seeds", "1", "--relations", "1", "--out", place]
    assert command([*call, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "no graph" in told["means"]
    assert any(name.startswith("without r") for name in told["means"])
    call = ["tune", data, *model, "--set", "epochs=1", "--trials", "1"]
    assert command([*call, "--out", str(commands / "tuned")]) == 0
