"""What carries a reason: the like, the facts, or only both together; per model and data set.

python benchmarks/apart.py                           films, the models that read a graph
python benchmarks/apart.py --data films ml-100k --models lightgcn-kg kgat kgat-3 --doc docs/results/apart.md

Each model is trained once by its fast preset; of sampled users the first item is explained, five
paths each, other users hidden. Per row: medians over "because" paths (the like holds the score up)
of the like's and the facts' part of the whole drop, the share of paths without whose facts the score
falls, and the share whose facts are called a cause, with 95 % intervals by bootstrap over users.
Data other than films lie in KGREC_SHARED_DATA, else ../shared/data.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from results import SHARED, built, tables

import kgrec

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "lightgcn-kg": ("lightgcn-kg", {}),
    "kgat": ("kgat", {}),
    "kgat-3": ("kgat", {"layer_dims": (64, 32, 16)}),
    "kgin": ("kgin", {}),
    "cfkg": ("cfkg", {}),
    "ease-kg": ("ease-kg", {"preset": "default"}),
}
PATHS = 5


def dataset(name: str) -> kgrec.Dataset:
    """Return a data set with its graph."""
    if name == "films":
        return kgrec.load("films")

    name = {"ml-100k": "ml-100k-dbpedia"}.get(name, name)
    if name in tables():
        return built(name)

    return kgrec.load(SHARED / name)


def measure(data: kgrec.Dataset, model: str, epochs: int | None, users: int) -> list[str]:
    """Train and explain; return a row of the table."""
    name, settings = MODELS[model]
    more = {} if epochs is None or model == "ease-kg" else {"epochs": epochs}
    run = kgrec.fit(name, data, seed=0, **({"preset": "fast"} | more | settings))
    began = time.perf_counter()
    run.estimate_placebos(users)
    seconds = time.perf_counter() - began

    explainer = run.explainer(users="hide")
    generator = np.random.default_rng(0)
    known = [row for row in range(data.num_users) if explainer.explains(row)]
    chosen = generator.choice(known, min(users, len(known)), replace=False)
    rows = []

    for user in sorted(chosen.tolist()):
        (item, *_) = explainer.standing(user).order()[:1].tolist()
        keys = data.users.key(user), data.items.key(item)
        for path in explainer.explain(*keys, PATHS).paths:
            if path.like_claim == "cause" and path.facts_drop is not None and path.drop_delete:
                whole = path.drop_delete
                parts = path.like_drop / whole, path.facts_drop / whole
                claimed = path.facts_claim == "cause"
                rows.append((user, *parts, path.facts_drop > 0, claimed))

    return [model, str(len(rows)), *_figures(np.array(rows, dtype=float)), f"{seconds:.0f} s"]


def _figures(rows: np.ndarray) -> list[str]:
    if not len(rows):
        return ["-"] * 4

    of = [np.flatnonzero(rows[:, 0] == user) for user in np.unique(rows[:, 0])]
    generator = np.random.default_rng(0)
    drawn = [
        rows[np.concatenate([of[n] for n in generator.integers(0, len(of), len(of))])]
        for _ in range(1000)
    ]
    out = []

    for column, middle in ((1, np.median), (2, np.median), (3, np.mean), (4, np.mean)):
        low, high = np.quantile([middle(one[:, column]) for one in drawn], [0.025, 0.975])
        out.append(f"{middle(rows[:, column]):.3f} [{low:.3f}, {high:.3f}]")

    return out


def main() -> None:
    """Print the table, and write it where a file is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", default=["films"])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--doc", type=Path)
    arguments = parser.parse_args()

    lines = [
        "| data | model | paths | like / drop | facts / drop | facts > 0 | facts a cause "
        "| placebos |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in arguments.data:
        data = dataset(name)
        for model in arguments.models:
            cells = measure(data, model, arguments.epochs, arguments.users)
            lines.append(f"| {name} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)

    if arguments.doc is not None:
        arguments.doc.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
