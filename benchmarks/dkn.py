"""DKN on the news data: docs/results/dkn.md.

python benchmarks/dkn.py [--seeds 0 1 2 3 4] [--parts mind-sample dkn-news news_board]

The data are looked for in KGREC_SHARED_DATA, else in ../shared/data; news_board is made here. One
core, about five minutes.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import scipy.sparse as sp
from scipy.optimize import minimize
from scipy.special import expit

import kgrec
from kgrec.data.records.interactions import concatenate
from kgrec.data.texts.news_catalog import NewsCatalog
from kgrec.evaluation.ctr import LabeledPairs, labeled_pairs
from kgrec.evaluation.ranking import Lists, score_candidates
from kgrec.evaluation.significance import Statistic, bootstrap_pooled, pooled_auc, pooled_f1

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("KGREC_SHARED_DATA", "../shared/data"))
PAGE = ROOT / "docs/results/dkn.md"
METRICS = ("auc", "mrr", "ndcg@5", "ndcg@10")
VARIANTS: dict[str, dict[str, bool]] = {
    "DKN": {},
    "DKN without context": {"use_context": False},
    "DKN without entities and context": {"use_entities": False, "use_context": False},
}
WITH, WITHOUT = "DKN", "DKN without entities and context"


def spread(values: Sequence[float]) -> str:
    """Return mean and standard deviation as text."""
    return f"{mean(values):.3f} ± {stdev(values):.3f}" if len(values) > 1 else f"{values[0]:.3f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def mind_sample(seeds: Sequence[int]) -> list[str]:
    """Read, train and judge by impressions; too few are left to say anything of quality."""
    data = kgrec.load(SHARED / "mind-sample")
    counts = {part: len(shown) for part, shown in data.impressions.items()}
    dropped = ", ".join(
        f"{d.count:,} {d.what} ({d.why})" for d in data.report.dropped if d.what != "interactions"
    )
    runs = [
        kgrec.fit(
            "dkn", data, metric="auc", batch_size=32, epochs=10, patience=3, device="cpu", seed=seed
        )
        for seed in seeds
    ]
    reports = [run.evaluate(protocol="impressions") for run in runs]
    rows = [["DKN", *(spread([report.metrics[name] for report in reports]) for name in METRICS)]]
    judged = reports[0].to_dict()["impressions"]

    return [
        "## mind-sample",
        "",
        f"{data.num_items:,} news, impressions {counts}; left out while reading: {dropped}. "
        f"{judged} test impressions are judged, "
        "so the figures show that reader, training and protocol run, and nothing else. Mean "
        f"over {len(seeds)} seeds.",
        "",
        *table(["model", *METRICS], rows),
        "",
    ]


def news_board(seeds: Sequence[int]) -> list[str]:
    """The planted world where only the graph joins held-out news to those of training."""
    sys.path.insert(0, str(ROOT / "tests"))
    from kgrec.testing import worlds

    found: dict[str, list[dict[str, float]]] = {label: [] for label in VARIANTS}
    for seed in seeds:
        data = worlds.news_board(seed)
        for label, config in VARIANTS.items():
            run = kgrec.fit(
                "dkn",
                data,
                metric="auc",
                batch_size=64,
                epochs=25,
                patience=6,
                device="cpu",
                seed=seed,
                **config,
            )
            found[label].append(run.evaluate(protocol="impressions").metrics)

    rows = [
        [label, *(spread([one[name] for one in own]) for name in METRICS)]
        for label, own in found.items()
    ]
    margins = [a["auc"] - b["auc"] for a, b in zip(found[WITH], found[WITHOUT], strict=True)]

    return [
        "## news_board",
        "",
        "A planted world (`tests/worlds.py`): held-out news are about new persons in new words, "
        "and only the triples of those persons "
        f"join them to training. Entity vectors are trained here (TransD). {len(seeds)} seeds of "
        "world and model; mean ± deviation.",
        "",
        *table(["model", *METRICS], rows),
        "",
        "AUC of DKN less that of DKN without entities and context, by seed: "
        f"{', '.join(f'{margin:+.3f}' for margin in margins)}; "
        f"the smallest is {min(margins):+.3f}.",
        "",
    ]


def dkn_news(seeds: Sequence[int]) -> list[str]:
    """DKN's sample, labelled pairs: DKN with and without entities, and logistic regression on the
    words of the title.
    """
    data = kgrec.load(SHARED / "dkn-news")
    test = labeled_pairs(data, "test")
    scores: dict[str, list[np.ndarray]] = {
        "logistic regression on title words": [regression(data, test)]
    }

    for label in (WITH, WITHOUT):
        runs = [
            kgrec.fit(
                "dkn",
                data,
                metric="auc",
                epochs=8,
                patience=2,
                device="cpu",
                seed=seed,
                **VARIANTS[label],
            )
            for seed in seeds
        ]
        scores[label] = [scored(run, test) for run in runs]

    def over_seeds(label: str) -> tuple[Statistic, Statistic]:
        aucs = [pooled_auc(own, test.label) for own in scores[label]]
        f1s = [pooled_f1(own > 0, test.label) for own in scores[label]]
        return (lambda w: np.mean([auc(w) for auc in aucs], axis=0)), (
            lambda w: np.mean([f1(w) for f1 in f1s], axis=0)
        )

    def interval(statistic: Statistic) -> tuple[float, float, float]:
        return bootstrap_pooled(statistic, test.user, generator=np.random.default_rng(0))

    rows = []
    for label in scores:
        cells = [interval(statistic) for statistic in over_seeds(label)]
        rows.append(
            [label, *(f"{value:.3f} ({low:.3f} .. {high:.3f})" for value, low, high in cells)]
        )

    verdicts = []
    for other in ("logistic regression on title words", WITHOUT):
        for at, name in enumerate(("AUC", "F1")):
            ours, theirs = over_seeds(WITH)[at], over_seeds(other)[at]
            gap, low, high = interval(lambda w, ours=ours, theirs=theirs: ours(w) - theirs(w))
            verdict = (
                "no difference shown" if low <= 0 <= high else "better" if gap > 0 else "worse"
            )
            verdicts.append(
                [f"DKN, against {other}", name, f"{gap:+.3f} ({low:+.3f} .. {high:+.3f})", verdict]
            )

    everything = pooled_f1(np.ones_like(test.label), test.label)(np.ones((1, len(test.label))))[0]

    return [
        "## dkn-news",
        "",
        f"{len(test.label)} labelled test pairs ({int(test.label.sum())} clicks) of "
        f"{len(np.unique(test.user))} users; a tenth of the "
        "training rows held out for early stopping. The sample brings no graph: entity vectors "
        "are learned with the rest, and there is no "
        f"context. DKN: mean over {len(seeds)} seeds. In brackets 95 % intervals by bootstrap "
        "over users. Calling every pair a click has "
        f"F1 {everything:.3f}: at this share of clicks, F1 says little.",
        "",
        *table(["model", "AUC", "F1 at probability .5"], rows),
        "",
        *table(["difference", "metric", "value", "verdict"], verdicts),
        "",
    ]


def scored(run: kgrec.Run, rows: LabeledPairs) -> np.ndarray:
    """Return a run's log-odds of test pairs."""
    users, sizes = np.unique(rows.user, return_counts=True)
    pairs = Lists(*map(_tensor, (np.concatenate([[0], np.cumsum(sizes)]), rows.item)))
    known = concatenate([run.data.train, run.data.valid])

    return (
        score_candidates(run.scorer(), users, pairs, history=Lists.of(known, users))
        .double()
        .numpy()
    )


def regression(data: kgrec.Dataset, test: LabeledPairs) -> np.ndarray:
    """Return log-odds of the test pairs by logistic regression on the words that DKN sees too; the
    penalty is chosen on validation.
    """
    catalog = NewsCatalog.from_dataset(data)
    places = np.nonzero(catalog.words)
    words = sp.csr_matrix(
        (np.ones(len(places[0])), (places[0], catalog.words[places])),
        shape=(data.num_items, catalog.words.max() + 1),
    )
    words.data[:] = 1.0
    train = np.concatenate([data.train.item, data.negatives["train"].item])
    label = np.arange(len(train)) < len(data.train)
    valid = labeled_pairs(data, "valid")
    x = words[train]

    def fitted(penalty: float) -> np.ndarray:
        def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
            score = x @ weights[:-1] + weights[-1]
            gap = expit(score) - label
            decay = np.append(weights[:-1], 0.0) * penalty
            return float(
                np.logaddexp(0, score).sum() - score[label].sum() + decay @ weights / 2
            ), np.append(x.T @ gap, gap.sum()) + decay

        found = minimize(
            loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 200}
        )
        return np.asarray(words @ found.x[:-1] + found.x[-1])

    def quality(score: np.ndarray) -> float:
        return float(pooled_auc(score[valid.item], valid.label)(np.ones((1, len(valid.label))))[0])

    return max((fitted(penalty) for penalty in (0.3, 1.0, 3.0, 10.0, 30.0)), key=quality)[test.item]


def _tensor(values: np.ndarray) -> object:
    import torch

    return torch.from_numpy(values.astype(np.int64))


def main() -> None:
    """Measure and write the page."""
    import torch

    makers = {"mind-sample": mind_sample, "dkn-news": dkn_news, "news_board": news_board}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--parts", nargs="+", choices=list(makers), default=list(makers))
    parser.add_argument("--page", type=Path, default=PAGE)
    chosen = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if not SHARED.is_dir() and chosen.parts != ["news_board"]:
        sys.exit(f"{SHARED}: not there. Set KGREC_SHARED_DATA to the folder with the data sets.")

    lines = ["# DKN", "", "Written by `python benchmarks/dkn.py`.", ""]
    for part in chosen.parts:
        began, worked = time.perf_counter(), time.process_time()
        lines += makers[part](chosen.seeds[:3] if part == "dkn-news" else chosen.seeds)
        print(
            f"{part}: {time.perf_counter() - began:.0f} s, {time.process_time() - worked:.0f} s "
            "of processor time",
            file=sys.stderr,
            flush=True,
        )

    chosen.page.parent.mkdir(parents=True, exist_ok=True)
    chosen.page.write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
