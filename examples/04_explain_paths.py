"""Why was this recommended? Paths with measured numbers, as text, frame, graph, JSON and a page."""

from pathlib import Path

import kgrec
from kgrec.explanation import page

data = kgrec.load("films")
run = kgrec.fit("lightgcn-kg", data, epochs=15, learning_rate=0.01, seed=0)

user = "u0003"
item = run.recommend(user, k=1)["item"][0]
explanation = run.explain(user, item, k=5)

print(explanation.to_text())
print(
    explanation.to_frame()
    .select("path", "source_label", "relation_label", "target_label", "drop_delete")
    .head(9)
)
print(explanation.to_networkx())
Path("why.json").write_text(explanation.to_json(indent=1), encoding="utf-8")
Path("why.html").write_text(page([explanation], f"Why {explanation.item_label}?"), encoding="utf-8")

# The order is that of the likes (paths through other users come last): the score without the like
# that a path starts with, in closed form for this model. What its facts do is another number.
order = [(path.users is not None, -path.like_drop) for path in explanation.paths]
assert order == sorted(order)
assert all(path.basis == "exact" for path in explanation.paths)

# The whole score, nothing left out; which likes hold the item's place; and everything computed
# again.
explainer = run.explainer()
budget = explanation.budget
assert (
    abs(
        budget.own + budget.liked + sum(budget.other.values()) + budget.residual - explanation.score
    )
    < 1e-6
)
print(explainer.flip(user).to_text())
print(explainer.summary(k=3).to_text())
assert explanation.verify(explainer) == []
