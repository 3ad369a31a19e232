"""A network of PyTorch Geometric as a recommender: R-GCN, a mean over the neighbors of each relation.

Schlichtkrull et al., Modeling Relational Data with Graph Convolutional Networks, ESWC 2018.
"""

import torch
from torch_geometric.nn import HeteroConv, SAGEConv

import kgrec
from kgrec.models import HeteroConfig, HeteroRecommender


class Layers(torch.nn.Module):
    """Layers of one convolution per edge type; a node's own vector is added to what it gathers."""

    def __init__(self, data, dim, num_layers):
        super().__init__()
        self.layers = torch.nn.ModuleList(
            HeteroConv({t: SAGEConv(dim, dim, root_weight=False) for t in data.edge_types})
            for _ in range(num_layers)
        )

    def forward(self, x_dict, edge_index_dict):
        """Return vectors by node type."""
        for layer in self.layers:
            gathered = layer(x_dict, edge_index_dict)  # of the types that any edge leads to
            x_dict = x_dict | {name: x_dict[name] + x.tanh() for name, x in gathered.items()}
        return x_dict


class RGCN(HeteroRecommender):
    """Rank by what R-GCN makes of the graph of interactions and facts."""

    def network(self, data, config: HeteroConfig):
        """Return the layers."""
        return Layers(data, config.dim, config.num_layers)


data = kgrec.load("films")
run = kgrec.fit(RGCN, data, dim=32, epochs=5, learning_rate=0.01, batch_size=4096, seed=0)
popular = kgrec.fit("popularity", data)
print(run.recommend("u0001", k=5))

ours, baseline = (one.evaluate(k=(20,)).metrics["ndcg@20"] for one in (run, popular))
print(f"ndcg@20: {ours:.4f}, popularity {baseline:.4f}")
assert ours > 1.1 * baseline

item = run.recommend("u0001", k=1)["item"][0]
why = run.explain("u0001", item, k=3)  # each drop is the difference of two runs of the network
print(why.to_text())
assert all(path.basis == "measured" for path in why.paths)
