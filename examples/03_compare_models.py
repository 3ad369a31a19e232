"""The same data and split, several models, and a control: the knowledge graph with its triples
shuffled.
"""

import numpy as np

import kgrec
from kgrec.data import shuffle_triples

data = kgrec.load("films")
control = shuffle_triples(data, generator=np.random.default_rng(0))

rows = {}
for label, model, source in (
    ("popularity", "popularity", data),
    ("lightgcn", "lightgcn", data),
    ("lightgcn-kg", "lightgcn-kg", data),
    ("lightgcn-kg, shuffled", "lightgcn-kg", control),
):
    run = kgrec.fit(model, source, epochs=8, learning_rate=0.02, seed=0)
    rows[label] = run.evaluate(k=(10, 20)).metrics

for label, metrics in rows.items():
    print(
        f"{label:24} recall@20 {metrics['recall@20']:.4f}   ndcg@20 {metrics['ndcg@20']:.4f}   "
        f"coverage@20 {metrics['coverage@20']:.3f}"
    )

# Facts in their true places say more than the same facts in random ones.
assert rows["lightgcn-kg"]["ndcg@20"] > rows["lightgcn-kg, shuffled"]["ndcg@20"]
