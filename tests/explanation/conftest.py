"""A small world of films and a dense LightGCN in float64 that is slow, short and right."""

import pytest


@pytest.fixture
def films():
    """Three users and five films. Ana liked 0 and 1; film 2 shares a director with 0; film 3 two
    relations with a person of 1.
    """
    import numpy as np
    import polars as pl

    from kgrec.data.records.dataset import Dataset
    from kgrec.data.records.interactions import Interactions
    from kgrec.data.records.triples import Triples
    from kgrec.data.records.vocabulary import Vocabulary

    def ids(*values):
        return np.array(values, dtype=np.int32)

    labels = [
        "Alien",
        "Heat",
        "Blade Runner",
        "Thief",
        "Solaris",
        "Ridley Scott",
        "Michael Mann",
        "science fiction",
    ]
    facts = [
        (0, 0, 5),
        (2, 0, 5),
        (1, 0, 6),
        (3, 0, 6),
        (3, 1, 6),
        (0, 2, 7),
        (2, 2, 7),
        (4, 2, 7),
        (1, 3, 3),
    ]
    triples = Triples(
        entities=Vocabulary([f"x:{name}" for name in labels]),
        relations=Vocabulary(["x:director", "x:writer", "x:genre", "x:resembles"], kind="relation"),
        head=ids(*(f[0] for f in facts)),
        relation=ids(*(f[1] for f in facts)),
        tail=ids(*(f[2] for f in facts)),
        source=np.zeros(len(facts), dtype=np.uint16),
        locator=np.array([11, 12, 13, 14, 15, 16, 17, 18, -19], dtype=np.int64),
        sources=("films.ttl",),
        formats=("Turtle",),
        labels=pl.Series("label", labels, dtype=pl.String),
        relation_labels=pl.Series("label", [None] * 4, dtype=pl.String),
    )
    return Dataset(
        name="films",
        users=Vocabulary(["ana", "bo", "cy"], kind="user"),
        items=Vocabulary(["f0", "f1", "f2", "f3", "f4"], kind="item"),
        triples=triples,
        train=Interactions(ids(0, 0, 1, 1, 2, 2, 2), ids(0, 1, 0, 2, 1, 2, 0)),
        valid=Interactions(),
        test=Interactions(),
    )


@pytest.fixture
def toy():
    """Return a function that builds the dense model of a dataset."""
    import numpy as np
    import torch

    from kgrec.graph.ckg import CollaborativeKG
    from kgrec.models.capabilities import Rerunnable

    class Dense(Rerunnable):
        """LightGCN over the CKG; parallel facts are one edge (``merges``), or add up as separate
        ones.
        """

        def __init__(self, data, merges, seed=0, layers=3):
            self.ckg = CollaborativeKG.from_dataset(data)
            self.merges_relations = merges
            self.through_users = True
            self.layers = layers
            self.base = torch.from_numpy(
                np.random.default_rng(seed).normal(size=(self.ckg.num_nodes, 6))
            )

        def weights(self, removed=(), keep_weights=False):
            """Return the normalized matrix and the pairs' number of facts that are left."""
            left = np.ones(len(self.ckg.head), dtype=bool)
            left[list(removed)] = False
            count = torch.zeros(self.ckg.num_nodes, self.ckg.num_nodes, dtype=torch.float64)
            for h, t in zip(
                self.ckg.head[left].tolist(), self.ckg.tail[left].tolist(), strict=True
            ):
                count[h, t] += 1
                count[t, h] += 1
            most = 1 if self.merges_relations else float("inf")
            full = count.clamp(max=most)
            degree = (
                (self.weights()[1].clamp(max=most) if keep_weights else full).sum(1).clamp(min=1)
            )
            return full / (degree[:, None] * degree[None, :]).sqrt(), count

        def embed(self, weight):
            layer = total = self.base
            for _ in range(self.layers):
                layer = weight @ layer
                total = total + layer
            return total / (self.layers + 1)

        def score(self, user, item, removed=(), keep_weights=False):
            z = self.embed(self.weights(removed, keep_weights)[0])
            return z[self.ckg.user_node(user)] @ z[item]

        def screen(self, user, item):
            weight, count = self.weights()
            weight.requires_grad_()
            z = self.embed(weight)
            (gradient,) = torch.autograd.grad(z[self.ckg.user_node(user)] @ z[item], weight)
            effect = (weight * gradient).detach()
            effect = effect + effect.T
            per_fact = effect[self.ckg.head, self.ckg.tail]
            return (
                per_fact
                if self.merges_relations
                else per_fact / count[self.ckg.head, self.ckg.tail]
            )

        def rerun(self, user, item, removed, keep_weights=False):
            return torch.stack([self.score(user, item, group, keep_weights) for group in removed])

        def scorer(self, query, items=None):
            z = self.embed(self.weights()[0])
            return z[self.ckg.num_entities :][query.user] @ z[: self.ckg.num_items].T

    return Dense
