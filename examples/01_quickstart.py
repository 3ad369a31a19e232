"""Load the bundled films, train LightGCN over the knowledge graph, evaluate, recommend, explain."""

import kgrec

data = kgrec.load("films")  # true facts about films; the users and what they watched are simulated
print(f"{data.num_users} users, {data.num_items} films, {len(data.triples)} triples")

run = kgrec.fit("lightgcn-kg", data, epochs=15, learning_rate=0.01, seed=0)
baseline = kgrec.fit("popularity", data)

report = run.evaluate(k=(10, 20))
print({name: round(value, 3) for name, value in report.metrics.items()})

films = run.recommend("u0001", k=10)
print(films)

best = films["item"][0]
explanation = run.explain("u0001", best, k=3)
print(explanation.to_text())

assert report.metrics["ndcg@10"] > baseline.evaluate(k=(10,)).metrics["ndcg@10"], (
    "the graph should beat popularity"
)
