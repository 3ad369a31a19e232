"""What an explanation costs, and what it rests on: ml-100k with DBpedia's facts, and a made graph
of Amazon-Book's size with a hub.

python benchmarks/explain.py                       both; KGREC_SHARED_DATA, else ../shared/data,
holds ml-100k python benchmarks/explain.py ml-100k --pairs 50    one of them, fewer recommendations
python benchmarks/explain.py --doc FILE            put the tables between the markers of a page as
well

A LightGCN of three layers and 64 dimensions over the collaborative knowledge graph; ml-100k's is
trained for eight epochs, the large one has random embeddings. Explanations are those of the command
line: up to three hops, ten paths, both drops, budget. Beside them, what one deletion costs when
everything is propagated again.
"""

import argparse
import os
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from scipy.stats import spearmanr

import kgrec
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.explanation.effects.closed_form import Edit
from kgrec.explanation.explainer import Explainer
from kgrec.explanation.search.all_paths import simple_paths
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.graph.lightgcn import LightGCN, LightGCNConfig

SHARED = Path(os.environ.get("KGREC_SHARED_DATA") or "../shared/data")
GOALS = {"ml-100k": (40, 120, 500, 300, 5), "amazon-book": (200, 500, 2000, 3000, 60)}


def ml_100k() -> Explainer:
    """Return an explainer of a model trained on ml-100k with the facts of DBpedia."""
    folder = SHARED / "ml-100k"
    parts = {name: folder / "split" / f"{name}.tsv" for name in ("train", "valid", "test")}
    triples = kgrec.read_triples(folder / "dbpedia-films.nt")
    data = kgrec.Dataset.build(
        None, triples, links=folder / "dbpedia-films.link.tsv", split="given", **parts
    )
    return kgrec.fit("lightgcn-kg", data, preset="fast", num_layers=3, epochs=8).explainer()


def amazon_book(seed: int = 0) -> Explainer:
    """Return an explainer of a random model over a graph of Amazon-Book's published size, Zipf
    tails, one hub of degree 100,000.
    """
    users, items, entities, likes, facts = 70_679, 24_915, 113_487, 652_514, 2_557_746
    rng = np.random.default_rng(seed)

    def zipf(size: int, count: int) -> np.ndarray:
        weight = 1 / np.arange(1, size + 1) ** 0.8
        return rng.permutation(size)[rng.choice(size, count, p=weight / weight.sum())]

    pairs = np.unique(
        np.stack([zipf(users, int(likes * 1.15)), zipf(items, int(likes * 1.15))], 1), axis=0
    )[:likes]
    head, tail = zipf(items, facts), items + zipf(entities - items, facts)
    hub = entities - 1
    head = np.concatenate([head, np.arange(items), rng.integers(items, entities - 1, 75_100)])
    tail = np.concatenate([tail, np.full(items, hub), np.full(75_100, hub)])
    triples = np.unique(np.stack([head, rng.integers(0, 39, len(head)), tail], 1), axis=0)
    keys = [f"e{n}" for n in range(entities)]
    data = kgrec.Dataset(
        name="amazon-book size",
        users=Vocabulary([f"u{n}" for n in range(users)], kind="user"),
        items=Vocabulary([f"i{n}" for n in range(items)], kind="item"),
        triples=Triples(
            entities=Vocabulary(keys),
            relations=Vocabulary([f"r{n}" for n in range(39)], kind="relation"),
            head=triples[:, 0].astype(np.int32),
            relation=triples[:, 1].astype(np.int32),
            tail=triples[:, 2].astype(np.int32),
            source=np.zeros(len(triples), np.uint16),
            locator=np.arange(1, len(triples) + 1),
            sources=("made",),
            formats=("made",),
            labels=pl.Series("label", keys),
            relation_labels=pl.Series("label", [None] * 39, dtype=pl.String),
        ),
        train=Interactions(*pairs.astype(np.int32).T),
        valid=Interactions(),
        test=Interactions(),
    )
    config = LightGCNConfig(num_layers=3, knowledge=True)
    model = LightGCN(
        CollaborativeKG.from_dataset(data), config, torch.Generator().manual_seed(seed)
    ).eval()
    return Explainer(model, data)


def drawn(ex: Explainer, count: int, seed: int = 0) -> list[tuple[int, int]]:
    """Draw users with a history, and of each one of the first ten items."""
    rng = np.random.default_rng(seed)
    active = np.flatnonzero(np.diff(ex.train.indptr) > 0)
    users = rng.choice(active, min(count, len(active)), replace=False)
    return [
        (int(user), int(ex.standing(int(user)).order()[int(rng.integers(10))])) for user in users
    ]


def timed(call: Any) -> tuple[float, Any]:
    """Return milliseconds and the result of a call."""
    began = time.perf_counter()
    out = call()
    return 1e3 * (time.perf_counter() - began), out


def measure(name: str, ex: Explainer, count: int) -> list[tuple[str, str, str]]:
    """Return rows (what, figure, goal)."""
    pairs = drawn(ex, count)
    ids = [(ex.data.users.key(user), ex.data.items.key(item)) for user, item in pairs]
    ex.explain(*ids[0])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spent, told = zip(*(timed(lambda pair=pair: ex.explain(*pair)) for pair in ids), strict=True)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    p50, p95, worst, longer, shares = GOALS[name]
    deeper = [
        timed(lambda pair=pair: ex.explain(*pair, max_length=4, users="hide"))[0]
        for pair in ids[:20]
    ]
    by_relation = timed(lambda: ex.summary(k=10))[0] / 1e3
    again = [again(ex, *pair) for pair in pairs[:5]]
    graph = ex.graph

    return [
        ("nodes, edges both ways", f"{graph.ckg.num_nodes:,}, {2 * graph.num_edges:,}", ""),
        ("an explanation, ms: median", f"{np.median(spent):.0f}", f"{p50}"),
        ("95 of 100", f"{np.quantile(spent, 0.95):.0f}", f"{p95}"),
        ("worst", f"{max(spent):.0f}", f"{worst}"),
        ("up to four hops, ms: median", f"{np.median(deeper):.0f}", f"{longer}"),
        ("shares of relations of 2,000 recommendations, s", f"{by_relation:.1f}", f"{shares}"),
        (
            "memory above model and graph, MiB",
            f"{memory:.0f}",
            "200" if name == "ml-100k" else "1,000",
        ),
        ("one deletion by propagating again, ms", f"{np.median(again):.0f}", ""),
        ("paths found, median and most", _counts(told), ""),
        *_parts(told),
        *(_fidelity(ex, pairs) if name == "ml-100k" else []),
    ]


def again(ex: Explainer, user: int, item: int) -> float:
    """Return the milliseconds of one deletion by propagating everything again."""
    node = ex.graph.ckg.user_node(user)
    edit = Edit(np.array([[node, ex.liked(user)[0]]]))
    return timed(lambda: ex.effects.linear.ranking(node, ex.graph.ckg.num_items, edit))[0]


def _counts(told: Any) -> str:
    counts = [sum(one.counts.values()) for one in told]
    return f"{np.median(counts):,.0f}, {max(counts):,}"


def _parts(told: Any) -> list[tuple[str, str, str]]:
    names = {
        "the user's own vector": "own",
        "liked items": "liked",
        "of it supported by a fact": "supported",
        "real walks": "on_graph",
    }

    rows = [
        (
            f"part of the score, median: {what}",
            f"{np.median([getattr(t.budget, n) / t.score for t in told]):.4f}",
            "",
        )
        for what, n in names.items()
    ]
    worst = max(abs(one.budget.residual) / max(1.0, abs(one.score)) for one in told)
    return [*rows, ("largest residual of a budget", f"{worst:.1e}", "1e-5")]


def _fidelity(ex: Explainer, pairs: list[tuple[int, int]]) -> list[tuple[str, str, str]]:
    rng = np.random.default_rng(1)
    best, chance, ranks, modes = [], [], [], []

    for user, item in pairs:
        effects = ex.effects.at(user, item)
        edges = simple_paths(ex.graph, ex.graph.ckg.user_node(user), item, 3).edges[2]
        if len(edges) < 40:
            continue

        top = np.argsort(-effects.removal(edges).sum(1), kind="stable")[:5]
        chosen = [*top, *rng.choice(len(edges), 40, replace=False)]
        scores = effects.without([edges[n] for n in chosen], ("delete", "mask"))
        drops = scores[:, :1] - scores[:, 1:]
        best.append(drops[0, :5].mean())
        chance.append(drops[0, 5:].mean())
        kept = effects.pair.edge_effects(
            ex.graph.low[edges[chosen]], ex.graph.high[edges[chosen]]
        ).sum(1)
        ranks.append(spearmanr(kept, drops[1])[0])
        modes.append((drops[1].mean(), drops[0].mean()))

    mask, delete = np.mean(modes, axis=0)

    return [
        (
            "drop of the five best paths over random ones of equal length",
            f"{np.mean(best) / np.mean(chance):.2f}",
            "1.5",
        ),
        (
            "rank correlation of screen and exact drop, weights kept",
            f"{np.median(ranks):.3f}",
            ".95",
        ),
        ("mean drop, weights kept and degrees recomputed", f"{mask:.4f}, {delete:.4f}", ""),
    ]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data", nargs="?", choices=GOALS, help="one of them; both where none is named"
    )
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--doc", type=Path)
    chosen = parser.parse_args()
    tables = []

    for name in [chosen.data] if chosen.data else GOALS:
        rows = measure(name, ml_100k() if name == "ml-100k" else amazon_book(), chosen.pairs)
        lines = [
            f"**{name}**, {chosen.pairs} recommendations",
            "",
            "| | figure | goal |",
            "|---|---|---|",
        ]
        tables.append(
            "\n".join([*lines, *(f"| {what} | {figure} | {goal} |" for what, figure, goal in rows)])
        )
        print(tables[-1], flush=True)

    if chosen.doc:
        before, _, rest = chosen.doc.read_text(encoding="utf-8").partition("<!-- table -->")
        _, _, after = rest.partition("<!-- end of table -->")
        text = "\n\n".join(tables)
        chosen.doc.write_text(
            f"{before}<!-- table -->\n{text}\n<!-- end of table -->{after}", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
