"""A network of PyTorch Geometric as a recommender: HGT, attention by node and edge types.

Hu et al., Heterogeneous Graph Transformer, WWW 2020.
"""

from dataclasses import dataclass

import torch
from torch_geometric.nn import HGTConv

import kgrec
from kgrec.models import HeteroConfig, HeteroRecommender


@dataclass(frozen=True)
class HGTConfig(HeteroConfig):
    """Hyper-parameters of HGT: those of every network, and its own."""

    heads: int = 2


class Layers(torch.nn.Module):
    """Layers of attention, each added to what it starts from."""

    def __init__(self, data, config):
        super().__init__()
        sizes = (config.dim, config.dim, data.metadata(), config.heads)
        self.layers = torch.nn.ModuleList(HGTConv(*sizes) for _ in range(config.num_layers))

    def forward(self, x_dict, edge_index_dict):
        """Return vectors by node type."""
        for layer in self.layers:
            x_dict = x_dict | layer(x_dict, edge_index_dict)
        return x_dict


class HGT(HeteroRecommender):
    """Rank by what HGT makes of the graph of interactions and facts."""

    config_class = HGTConfig

    def network(self, data, config: HGTConfig):
        """Return the layers."""
        return Layers(data, config)


data = kgrec.load("films")
settings = {"dim": 32, "num_layers": 1, "learning_rate": 0.02, "batch_size": 4096}
run = kgrec.fit(HGT, data, epochs=8, validate_every=4, **settings)
popular = kgrec.fit("popularity", data)
print(run.recommend("u0001", k=5))

ours, baseline = (one.evaluate(k=(20,)).metrics["ndcg@20"] for one in (run, popular))
print(f"ndcg@20: {ours:.4f}, popularity {baseline:.4f}")
assert ours > baseline
