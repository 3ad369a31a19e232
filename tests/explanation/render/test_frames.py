"""Frames, networkx, PyTorch Geometric: nothing lost, nothing turned round."""

import csv
from dataclasses import replace

import networkx as nx
import polars as pl
import pytest
import torch
from explained import ALIEN, PAYLOADS, RUNNER, SCOTT, WHY, hostile

from kgrec.escaping import csv_safe
from kgrec.explanation.render.frames import empty_frame


def test_a_frame_has_every_number_of_a_path_in_each_of_its_rows():
    frame = WHY.to_frame()
    assert frame.schema == empty_frame().schema
    assert frame["hop"].to_list() == [1, 2, 3, 3, 1, 2, 3]
    first = frame.row(2, named=True)
    assert (first["drop_delete"], first["drop_mask"], first["attribution"], first["joint"]) == (
        0.1 + 0.2,
        0.4,
        0.35,
        0.001,
    )
    assert (
        first["weight"],
        first["rank_after"],
        first["removed"],
        first["basis"],
        first["margin"],
    ) == (1e-17, 4, 4, "exact", 0.25)
    assert (first["source"], first["target"], first["forward"]) == (SCOTT.key, RUNNER.key, False)
    assert frame["users"].to_list() == [None] * 4 + [37] * 3
    assert pl.concat([empty_frame(), frame]).height == 7


def test_a_frame_survives_parquet(tmp_path):
    WHY.to_frame().write_parquet(tmp_path / "why.parquet")
    assert pl.read_parquet(tmp_path / "why.parquet").equals(WHY.to_frame())


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_cell_of_a_csv_is_a_formula(payload, tmp_path):
    csv_safe(hostile(payload).to_frame()).write_csv(tmp_path / "why.csv")
    with (tmp_path / "why.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7
    text = [name for name, kind in empty_frame().schema.items() if kind == pl.String]
    assert not any(
        row[name].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        for row in rows
        for name in text
    )


def test_networkx_edges_point_as_the_facts_do():
    graph = WHY.to_networkx()
    assert isinstance(graph, nx.MultiDiGraph)
    alien, runner, scott, others = (
        ("item", "f0"),
        ("item", "f2"),
        ("entity", SCOTT.key),
        ("users", "path 2"),
    )
    assert graph.nodes[alien] == {"kind": "item", "key": "f0", "label": "Alien", "score": 1.0}
    assert "score" not in graph.nodes[runner]
    assert graph.nodes[others]["label"] == "37 others"
    director = graph.edges[
        runner, scott, "http://x.org/director"
    ]  # the fact's way, though the path walks it backward
    assert director["facts"] == ["films.ttl triple 11", "b.nt:4"]
    assert (director["drop"], director["paths"], director["label"]) == (0.1 + 0.2, [1], "director")
    assert graph.has_edge(runner, scott, "x:wri ter")
    assert not graph.has_edge(scott, runner)
    liked = graph.edges[("user", "ana"), alien, "interacts"]
    assert (liked["paths"], liked["drops"], liked["drop"]) == ([1, 2], [0.1 + 0.2, -0.1], 0.1 + 0.2)
    assert graph.has_edge(others, alien)
    assert graph.has_edge(others, runner)


def test_pyg_masks_are_attributions_over_the_largest():
    pyg = WHY.to_pyg()
    assert pyg.validate()
    assert pyg.node_keys[pyg.user] == ("user", "ana")
    assert pyg.node_keys[pyg.item] == ("item", "f2")
    mask = {
        pyg.edge_keys[int(number)]: float(value)
        for number, value in zip(pyg.edge_id, pyg.edge_mask, strict=True)
    }
    assert (
        mask[("user", "ana"), "interacts", ("item", "f0")] == 1.0
    )  # on both paths: the larger one counts
    assert (
        mask[("users", "path 2"), "interacts", ("item", "f2")] == 0.0
    )  # a path that pulls the score down
    assert sorted(pyg.edge_attribution.tolist()) == [-0.15, -0.15, 0.35, 0.35, 0.35, 0.35]
    head, tail = pyg.edge_index[
        :, list(mask).index((("item", "f2"), "http://x.org/director", ("entity", SCOTT.key)))
    ].tolist()
    assert (pyg.node_labels[head], pyg.node_labels[tail]) == (RUNNER.label, SCOTT.label)
    cut = pyg.get_explanation_subgraph()
    assert [cut.edge_keys[int(number)] for number in cut.edge_id] == [
        edge for edge in mask if mask[edge] > 0
    ]


def test_pyg_metrics_and_explainers_take_it():
    from torch_geometric.explain import DummyExplainer, Explainer
    from torch_geometric.explain.metric import fidelity, unfaithfulness
    from torch_geometric.nn import GCNConv

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convolve = GCNConv(4, 3)

        def forward(self, x, edge_index):
            return self.convolve(x, edge_index).log_softmax(-1)

    pyg, net = WHY.to_pyg(), Net().eval()
    how = {"mode": "multiclass_classification", "task_level": "node", "return_type": "log_probs"}
    explainer = Explainer(
        net,
        DummyExplainer(),
        explanation_type="phenomenon",
        edge_mask_type="object",
        model_config=how,
    )
    with torch.no_grad():
        pyg.prediction = net(pyg.x, pyg.edge_index)
    pyg.target = pyg.prediction.argmax(-1)
    plus, minus = fidelity(explainer, pyg)
    assert 0 <= plus <= 1
    assert 0 <= minus <= 1
    assert 0 <= unfaithfulness(explainer, pyg) <= 1


def test_nothing_with_an_effect_is_an_empty_mask_and_not_a_division_by_zero():
    crowd = WHY.paths[1]
    none = replace(crowd, basis="post-hoc", drop_delete=0.0, attribution=None, like_drop=None)
    assert replace(WHY, paths=(none,)).to_pyg().edge_mask.tolist() == [0.0, 0.0, 0.0]
    empty = replace(WHY, paths=()).to_pyg()
    assert empty.validate()
    assert (empty.edge_index.shape, empty.num_nodes) == ((2, 0), 2)
    assert not replace(WHY, paths=()).to_networkx()
    assert ALIEN.label not in empty.node_labels.values()
