"""How fast the engine is: training steps, whole epochs and full rankings, beside peers in the same
run.

python benchmarks/engine.py                                        every track without peers from
outside python benchmarks/engine.py A B --peers ENV/bin/python             with RecBole 1.2.1 and
implicit, in an environment of their own
        --repeats 3 --doc docs/performance.md --history docs/performance.jsonl

Tracks: spmm, A (LightGCN, Gowalla, published setting), A' (ml-100k, RecBole's settings), B (full
ranking with metrics), C (KGAT, a million interactions and as many triples), C' (KGAT at
Amazon-Book's size), D (Recall@20 after five epochs), start. Contestants take turns within a repeat,
each in a process of its own with the same threads; the table holds medians, the spread, ratios, and
the share of what memory bandwidth allows, measured in the same run. A contestant above a minute an
epoch is timed over warm steps and scaled by their number. The peers' script is `run_recbole.py` in
--peer-scripts (default ../shared/peers); data lie in KGREC_SHARED_DATA, else ../shared/data.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers import IN_ORDER, SEQUENTIAL
from torch.nn.functional import embedding_bag

import kgrec
from kgrec.data.records.interactions import Interactions

SHARED = Path(os.environ.get("KGREC_SHARED_DATA") or "../shared/data").resolve()
TRACKS = ("spmm", "A", "A'", "B", "C", "C'", "D", "start")
FIELDS = {
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "negatives": 1,
    "init_scale": 0.01,
}
SMALL = {
    "bprmf": ("BPR", {"learning_rate": 1e-3, "item_bias": False}, 3),
    "lightgcn": ("LightGCN", {"num_layers": 2, "loss": "bpr", "learning_rate": 5e-3}, 5),
    "cke": ("CKE", {"loss": "bpr", "learning_rate": 5e-3}, 5),
    "kgat": (
        "KGAT",
        {
            "loss": "bpr",
            "layer_dims": (64, 32, 16),
            "learning_rate": 5e-3,
            "kg_sampling": "triple",
            "kg_batch_size": 2048,
            "kg_steps": 45,
            "warm_start_epochs": 0,
        },
        5,
    ),
    "kgin": ("KGIN", {"loss": "bpr", "num_layers": 3, "learning_rate": 5e-3}, 5),
    "ngcf": ("NGCF", {"sampler": "interaction", "learning_rate": 1e-3}, 5),
    "sgl": ("SGL", {"contrast_weight": 0.05, "contrast_temperature": 0.5}, 5),
    "kgcn": ("KGCN", {"num_hops": 1, "learning_rate": 1e-3}, 5),
    "kgnn-ls": ("KGNNLS", {"num_neighbors": 4, "ls_weight": 0.5, "learning_rate": 1e-3}, 5),
    "ripplenet": ("RippleNet", {"memory": 16, "learning_rate": 1e-3}, 5),
    "mkr": ("MKR", {"learning_rate": 1e-3}, 5),
    "ktup": ("KTUP", {"learning_rate": 1e-3}, 5),
    "mcclk": ("MCCLK", {"learning_rate": 1e-3, "l2_weight": 1e-5}, 5),
    "fm": ("FM", FIELDS, 3),
    "ffm": ("FFM", FIELDS | {"dim": 10}, 3),
    "nfm": ("NFM", FIELDS | {"layers": (64, 64, 64), "dropout": 0.0}, 3),
    "deepfm": ("DeepFM", FIELDS | {"layers": (128, 128, 128), "dropout": 0.2}, 3),
    "widedeep": ("WideDeep", FIELDS | {"layers": (32, 16, 8), "dropout": 0.1}, 3),
    "multvae": ("MultiVAE", {}, 5),
    # 40 histories of 50 have about as many targets as RecBole's batch of 2,048 prefixes
    "gru4rec": (
        "GRU4Rec",
        {
            "hidden": 128,
            "dropout": 0.3,
            "tied": True,
            "loss": "softmax",
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "batch_size": 40,
        },
        5,
    ),
    "sasrec": (
        "SASRec",
        {
            "num_heads": 2,
            "dropout": 0.5,
            "loss": "softmax",
            "windows": True,
            "learning_rate": 1e-3,
            "batch_size": 40,
        },
        5,
    ),
}
# What RecBole trains on all interactions; its models with triples leave out what has no link. Its
# KTUP is not here: an epoch there is of one task, in turns, ours is of both.
WITHOUT_TRIPLES = ("bprmf", "lightgcn", "ngcf", "sgl")
WITHOUT_TRIPLES += ("fm", "ffm", "nfm", "deepfm", "widedeep", "multvae")
# An epoch is a pass over all interactions but the first of each user on both sides; RecBole reads
# each target's history by itself, ours reads a history once for all of its targets.
PUBLISHED = {"num_layers": 3, "dim": 64}
STEPS = 60


def made(
    users: int, items: int, entities: int, likes: int, facts: int, relations: int, seed: int = 0
) -> kgrec.Dataset:
    """Return a dataset with Zipf tails, made here."""
    import polars as pl

    from kgrec.data.records.triples import Triples
    from kgrec.data.records.vocabulary import Vocabulary

    rng = np.random.default_rng(seed)

    def zipf(size: int, count: int) -> np.ndarray:
        weight = 1 / np.arange(1, size + 1) ** 0.8
        return rng.permutation(size)[rng.choice(size, count, p=weight / weight.sum())]

    def distinct(columns: list[np.ndarray], count: int) -> np.ndarray:
        rows = np.unique(np.stack(columns, 1), axis=0)
        return rows[np.sort(rng.permutation(len(rows))[:count])]

    pairs = distinct([zipf(users, int(likes * 1.3)), zipf(items, int(likes * 1.3))], likes)
    triples = distinct(
        [
            zipf(entities, int(facts * 1.1)),
            rng.integers(0, relations, int(facts * 1.1)),
            zipf(entities, int(facts * 1.1)),
        ],
        facts,
    )
    train, rest = np.split(rng.permutation(len(pairs)), [int(0.8 * len(pairs))])
    valid, test = np.array_split(rest, 2)
    keys = [f"e{n}" for n in range(entities)]
    parts = [
        Interactions(*pairs[np.sort(part)].astype(np.int32).T) for part in (train, valid, test)
    ]

    return kgrec.Dataset(
        name="made",
        users=Vocabulary([f"u{n}" for n in range(users)], kind="user"),
        items=Vocabulary([f"i{n}" for n in range(items)], kind="item"),
        triples=Triples(
            entities=Vocabulary(keys),
            relations=Vocabulary([f"r{n}" for n in range(relations)], kind="relation"),
            head=triples[:, 0].astype(np.int32),
            relation=triples[:, 1].astype(np.int32),
            tail=triples[:, 2].astype(np.int32),
            source=np.zeros(len(triples), np.uint16),
            locator=np.arange(1, len(triples) + 1),
            sources=("made",),
            formats=("made",),
            labels=pl.Series("label", [None] * entities, dtype=pl.String),
            relation_labels=pl.Series("label", [None] * relations, dtype=pl.String),
        ),
        train=parts[0],
        valid=parts[1],
        test=parts[2],
    )


def dataset(name: str, work: Path) -> Path:
    """Return the folder of a dataset, built where it is not there yet."""
    place = work / name
    if place.is_dir():
        return place

    if name == "gowalla":
        kgrec.load(SHARED / "gowalla").save(place)
    elif name == "ml-100k-last":
        kgrec.Dataset.build(SHARED / "ml-100k" / "ml-100k.inter", split="leave-one-out").save(place)
    elif name.startswith("ml-100k"):
        folder, split = SHARED / "ml-100k", name.removeprefix("ml-100k-")
        parts = {part: folder / split / f"{part}.tsv" for part in ("train", "valid", "test")}
        kgrec.Dataset.build(
            None, [folder / "ml-100k.kg"], links=folder / "ml-100k.link", split="given", **parts
        ).save(place)
    else:
        made(20_000, 20_000, 100_000, 1_000_000, 1_000_000, 20).save(place)

    return place


def peak() -> float:
    """Return the most memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def epochs(
    data: str, model: str, preset: str, settings: dict[str, Any], count: int
) -> dict[str, Any]:
    """Train by the loop of `kgrec train`, validation apart; the first epoch is warm-up where there
    is more than one.
    """
    run = kgrec.fit(
        model,
        data,
        preset=preset,
        epochs=count,
        patience=0,
        validate_every=count,
        refit=False,
        **settings,
    )
    seconds = [record["seconds"] for record in run.history]

    return {
        "seconds": statistics.median(seconds[1:] or seconds),
        "losses": [record for record in run.history],
        "peak_mib": peak(),
    }


def pyg(data: str, steps: int) -> dict[str, Any]:
    """LightGCN of PyG's layers: EdgeIndex kept sorted with its cached transpose, fused Adam,
    vectorized uniform negatives.
    """
    from torch_geometric import EdgeIndex

    opened = kgrec.load(data)
    users, items = opened.num_users, opened.num_items
    user, item = (
        torch.from_numpy(opened.train.user.astype(np.int64)),
        torch.from_numpy(opened.train.item.astype(np.int64)) + users,
    )
    index = torch.stack([torch.cat([user, item]), torch.cat([item, user])])
    edges = (
        EdgeIndex(index, sparse_size=(users + items, users + items), is_undirected=True)
        .sort_by("row")
        .values.fill_cache_()
    )
    degree = torch.bincount(edges[0], minlength=users + items).clamp(min=1).float()
    weight = (degree[edges[0]] * degree[edges[1]]).rsqrt()
    x = torch.nn.Parameter(
        0.1 * torch.randn(users + items, 64, generator=torch.Generator().manual_seed(0))
    )
    optimizer = torch.optim.Adam([x], lr=1e-3, fused=True)
    order = torch.randperm(len(user))

    def step(number: int) -> None:
        pick = order[(number * 2048) % (len(order) - 2048) :][:2048]
        u, p, n = user[pick], item[pick], users + torch.randint(items, (2048,))
        layer = total = x

        for _ in range(3):
            layer = edges.matmul(layer, input_value=weight)
            total = total + layer

        z = total / 4
        loss = torch.nn.functional.softplus((z[u] * (z[n] - z[p])).sum(1)).mean()
        loss = loss + 1e-4 * (x[u].square().sum() + x[p].square().sum() + x[n].square().sum()) / (
            2 * 2048
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return scaled(step, steps, published_steps(data))


def scaled(step: Callable[[int], None], steps: int, of: int) -> dict[str, Any]:
    """Time warm steps and scale them to an epoch."""
    for number in range(5):
        step(number)

    times = []
    for number in range(steps):
        began = time.perf_counter()
        step(number + 5)
        times.append(time.perf_counter() - began)

    return {
        "seconds": statistics.median(times) * of,
        "step_ms": 1e3 * statistics.median(times),
        "scaled": True,
        "peak_mib": peak(),
    }


def embeddings(data: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random vectors of users and items, 64 numbers each."""
    draw = torch.Generator().manual_seed(0)
    return torch.randn(data.num_users, 64, generator=draw), torch.randn(
        data.num_items, 64, generator=draw
    )


def rank(data: str) -> dict[str, Any]:
    """Full ranking with Recall and NDCG@20 of all users: ours; and the lists alone by chunked
    torch, to be held against.
    """
    from kgrec.evaluation.report import evaluate
    from kgrec.models.base import DotProduct
    from kgrec.ops.ranking import topk_masked

    opened = kgrec.load(data)
    users, items = embeddings(opened)
    scorer = DotProduct(users, items)
    seen = opened.train.csr(opened.num_users, opened.num_items)
    ptr, idx = (
        torch.from_numpy(seen.indptr.astype(np.int64)),
        torch.from_numpy(seen.indices.astype(np.int64)),
    )
    evaluate(scorer, opened, ks=(20,), metrics=("recall", "ndcg"))
    whole = timed(lambda: evaluate(scorer, opened, ks=(20,), metrics=("recall", "ndcg")))
    lists = timed(lambda: topk_masked(users, items, 20, ptr, idx))
    best = min(
        (timed(lambda size=size: chunked(users, items, ptr, idx, size)), size)
        for size in (128, 256, 1024)
    )
    ours, plain = topk_masked(users, items, 20, ptr, idx)[1], chunked(users, items, ptr, idx, 256)
    other = (ours != plain).any(1).nonzero().squeeze(1)
    gap = ((users[other].unsqueeze(1) * (items[ours[other]] - items[plain[other]])).sum(2)).abs()
    different = (
        int((gap.amax(1) > 1e-4).sum()) if len(other) else 0
    )  # up to ties: the scores of both orders agree

    return {
        "seconds": whole,
        "lists_seconds": lists,
        "torch_seconds": best[0],
        "torch_chunk": best[1],
        "rows_with_other_ids": different,
        "limit": 2 * 64 * len(users) * len(items) / machine()["gflop_s"] / 1e9 / whole,
        "peak_mib": peak(),
    }


def chunked(
    users: torch.Tensor, items: torch.Tensor, ptr: torch.Tensor, idx: torch.Tensor, size: int
) -> torch.Tensor:
    """Top 20 by torch alone: a product, the seen items at minus infinity, `topk`, chunk by
    chunk.
    """
    out = []
    for start in range(0, len(users), size):
        scores = users[start : start + size] @ items.T
        low, high = int(ptr[start]), int(ptr[min(start + size, len(users))])
        rows = torch.repeat_interleave(
            torch.arange(len(scores)), ptr[start : start + len(scores) + 1].diff()
        )
        scores[rows, idx[low:high]] = -torch.inf
        out.append(scores.topk(20).indices)

    return torch.cat(out)


def timed(call: Callable[[], object]) -> float:
    """Return seconds."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def median_of(call: Callable[[], object], times: int = 15) -> float:
    """Return the median seconds of a warm call."""
    call()
    return statistics.median(timed(call) for _ in range(times))


def machine() -> dict[str, float]:
    """Measure what the limits rest on: rows gathered from tables in and beyond the cache, memory
    read and written in a row, products.
    """
    draw = torch.Generator().manual_seed(0)
    found = {}

    for name, rows in (("gather_gb_s", 70_839), ("gather_large_gb_s", 184_166)):
        table = torch.randn(rows, 64, generator=draw)
        picked = torch.randint(rows, (1_500_000,), generator=draw)
        bags = partial(embedding_bag, picked, table, torch.arange(0, len(picked), 25), mode="sum")
        seconds = median_of(bags)
        found[name] = len(picked) * 4 * 64 / seconds / 1e9

    a, b, c = (torch.randn(1 << 24, generator=draw) for _ in range(3))
    found["stream_gb_s"] = 3 * 4 * len(a) / median_of(lambda: torch.add(a, b, out=c)) / 1e9
    square = torch.randn(1536, 1536, generator=draw)
    found["gflop_s"] = 2 * 1536**3 / median_of(lambda: square @ square) / 1e9
    return found


def spmm(data: str) -> dict[str, Any]:
    """Sparse times dense on Gowalla's graph, 64 columns: ours, torch's CSR and COO; and what the
    memory gives.
    """
    from kgrec.ops.backends import native
    from kgrec.ops.propagate import propagate

    graph = _pairs(data)
    csr, x = graph.csr, torch.randn(graph.num_nodes, 64)
    matrix = torch.sparse_csr_tensor(
        csr.ptr, csr.idx.long(), graph.weight, (csr.num_nodes, csr.num_nodes)
    )
    coo = matrix.to_sparse_coo().coalesce()
    ours = median_of(lambda: propagate(x, csr, graph.weight, graph.weight))

    return {
        "seconds": ours,
        "csr_ratio": median_of(lambda: torch.sparse.mm(matrix, x, "sum")) / ours,
        "coo_ratio": median_of(lambda: torch.sparse.mm(coo, x)) / ours,
        "limit": spmm_bytes(csr.num_nodes, csr.num_edges) / 1e9 / machine()["gather_gb_s"] / ours,
        "backend": native.name(),
    }


def _pairs(data: str) -> Any:
    from kgrec.graph.ckg import CollaborativeKG
    from kgrec.graph.symmetric import PairGraph

    return PairGraph(CollaborativeKG.from_dataset(kgrec.load(data), knowledge=False))


def published_steps(data: str) -> int:
    """Return the steps of an epoch of the published setting, which trains on the validation part
    too; a peer's step is scaled by it.
    """
    opened = kgrec.load(data)
    return -(-(len(opened.train) + len(opened.valid)) // 2048)


def spmm_bytes(nodes: int, edges: int, dim: int = 64) -> float:
    """Return the bytes that a product has to move (engine.md, "Limits")."""
    return edges * (4.0 * dim + 4) + 4.0 * nodes * dim + 8.0 * nodes


def published(data: str) -> dict[str, Any]:
    """Train LightGCN by its published setting; hold one batch's gradient against float64, and the
    step against the limit.
    """
    found = epochs(data, "lightgcn", "official", PUBLISHED, 2)
    graph, steps = _pairs(data), published_steps(data)
    n, m = graph.num_nodes, graph.csr.num_edges
    batch = torch.randint(
        len(kgrec.load(data).train), (2048,), generator=torch.Generator().manual_seed(0)
    ).numpy()
    error, share = _gradient_error(data, batch)
    of = machine()
    limit = (4 + 2 * share) * spmm_bytes(n, m) / of["gather_gb_s"] / 1e9 + 28.0 * n * 64 / of[
        "stream_gb_s"
    ] / 1e9
    loss = found.pop("losses")[0]["bpr"]

    return (
        found
        | {
            "step_ms": 1e3 * found["seconds"] / steps,
            "steps": steps,
            "first_epoch_loss": loss,
            "gradient_error": error,
        }
        | {"limit": limit * steps / found["seconds"]}
    )


def _gradient_error(data: str, picked: np.ndarray) -> tuple[float, float]:
    """Return how far a batch's gradient is from autograd's in float64 over torch's sparse product,
    and the share of edges at its rows.
    """
    from kgrec.batches import PairwiseBatch
    from kgrec.models.graph.lightgcn import LightGCN, LightGCNConfig

    opened = kgrec.load(data)
    model = LightGCN.from_dataset(
        opened, LightGCNConfig(loss="bpr", num_layers=3), torch.Generator().manual_seed(0)
    )
    user, positive = (
        torch.from_numpy(part[picked].astype(np.int64))
        for part in (opened.train.user, opened.train.item)
    )
    batch = PairwiseBatch(
        user,
        positive,
        torch.randint(opened.num_items, user.shape, generator=torch.Generator().manual_seed(1)),
    )
    (got,) = torch.autograd.grad(model.pairwise_loss(batch), model.nodes)
    csr, x = model.graph.csr, model.nodes.detach().double().requires_grad_()
    matrix = torch.sparse_coo_tensor(
        torch.stack([csr.destinations(), csr.idx.long()]),
        model.graph.weight.double(),
        (csr.num_nodes,) * 2,
    )
    layer = total = x

    for _ in range(3):
        layer = torch.sparse.mm(matrix, layer)
        total = total + layer

    rows = batch.user + opened.num_items, batch.positive, batch.negative
    u, p, n = (total[part] / 4 for part in rows)
    squares = sum(x[part].square().sum() for part in rows)
    loss = torch.nn.functional.softplus((u * (n - p)).sum(1)).mean() + 1e-4 * squares / (
        2 * len(user)
    )
    (expected,) = torch.autograd.grad(loss, x)
    touched = torch.zeros(csr.num_nodes, dtype=torch.bool)
    touched[torch.cat(rows)] = True
    return float((got - expected).norm() / expected.norm()), float(
        csr.degree[touched].sum() / csr.num_edges
    )


def amazon_book() -> dict[str, Any]:
    """KGAT at Amazon-Book's size: the attention of all edges, and a step of each phase."""
    from kgrec.models.knowledge.kgat import KGAT, KGATConfig
    from kgrec.ops.memory import keep_freed_memory
    from kgrec.ops.optimizer import adam
    from kgrec.training.config import TrainConfig
    from kgrec.training.samplers import make_sampler

    keep_freed_memory()
    data = made(70_679, 24_915, 113_487, 652_514, 2_557_746, 39)
    model = KGAT.from_dataset(
        data, KGATConfig(loss="bpr", layer_dims=(64, 32, 16)), torch.Generator().manual_seed(0)
    )
    model.refresh_attention()
    attention = statistics.median(timed(model.refresh_attention) for _ in range(3))
    config = TrainConfig(batch_size=1024, kg_batch_size=2048, epochs=1)
    csr, of = model.graph.csr, machine()
    n, m, relations = csr.num_nodes, csr.num_edges, 2 * model.ckg.num_relations
    pairs = len(torch.unique(csr.destinations() * relations + csr.relation))
    flops, rows = 1e9 * of["gflop_s"], 1e9 * of["gather_large_gb_s"]
    adam_seconds = 28.0 * n * 64 / of["stream_gb_s"] / 1e9
    dense = sum(
        6 * 2.0 * n * a * b for a, b in ((64, 64), (64, 32))
    )  # the last layer is computed for the batch alone
    limits = {
        "attention": 4.0 * pairs * 64 * 64 / flops + 4.0 * m * 64 / rows,
        "cf": 4 * spmm_bytes(n, m) / rows + dense / flops + adam_seconds,
        "kg": 3 * 3 * 2.0 * 2048 * 64 * 64 / flops + adam_seconds,
    }

    out: dict[str, Any] = {
        "seconds": attention,
        "edges": m,
        "pairs": pairs,
        "limit": limits["attention"] / attention,
    }
    model.train()

    for objective, name in zip(model.plan().objectives, ("cf", "kg"), strict=True):
        sampler = make_sampler(objective, data, config, seed=0, device=torch.device("cpu"), steps=0)
        optimizer = adam(objective.parameters or model.parameters(), 1e-3)
        times = []

        for batch in sampler.epoch(1):
            began = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(objective.loss(batch))
            optimizer.step()
            times.append(time.perf_counter() - began)
            if len(times) == 9:
                break

        out[f"{name}_step_s"] = statistics.median(times[2:])
        out[f"{name}_limit"] = limits[name] / out[f"{name}_step_s"]

    return out | {"peak_mib": peak()}


def quality(data: str) -> dict[str, Any]:
    """Recall@20 after five epochs of the published recipe."""
    began = time.perf_counter()
    run = kgrec.fit("lightgcn", data, preset="official", epochs=5, seed=0)
    return {"seconds": time.perf_counter() - began, "recall@20": run.summary["test"]["recall@20"]}


def start() -> dict[str, Any]:
    """Seconds of `kgrec --help` and `import kgrec`."""

    def run(*words: str) -> float:
        return min(
            timed(lambda: subprocess.run([sys.executable, *words], check=True, capture_output=True))
            for _ in range(5)
        )

    bare = run("-c", "pass")

    return {
        "seconds": run("-m", "kgrec", "--help"),
        "import_seconds": run("-c", "import kgrec"),
        "python_seconds": bare,
    }


JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    "epochs": epochs,
    "published": published,
    "pyg": pyg,
    "rank": rank,
    "spmm": spmm,
    "amazon-book": amazon_book,
    "quality": quality,
    "start": start,
}


def in_process(job: str, threads: int, **arguments: Any) -> dict[str, Any]:
    """Run a job in a process of its own."""
    env = os.environ | {"OMP_NUM_THREADS": str(threads)}
    words = [sys.executable, __file__, "--job", job, "--arguments", json.dumps(arguments)]
    done = subprocess.run(words, capture_output=True, text=True, env=env)
    if done.returncode:
        sys.exit(f"{job} {arguments}\n{done.stderr[-2000:]}")

    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class Peers:
    """RecBole and implicit in an environment of their own.

    Args:
        python: Its interpreter; None leaves them out.
        scripts: Folder with `run_recbole.py`.
        work: Scratch folder.
        threads: Threads.
    """

    def __init__(self, python: Path | None, scripts: Path, work: Path, threads: int) -> None:
        self.python, self.scripts, self.work, self.threads = (
            python,
            scripts.resolve(),
            work,
            threads,
        )

    def recbole(
        self, model: str, folder: Path, count: int = 3, **settings: Any
    ) -> dict[str, Any] | None:
        """Return seconds an epoch of a model on a folder in RecBole's format; None without an
        environment.
        """
        if self.python is None:
            return None

        out = self.work / "peer.json"
        words = [
            str(self.python),
            str(self.scripts / "run_recbole.py"),
            "--model",
            model,
            "--data-path",
            str(folder.parent),
        ]
        words += ["--dataset", folder.name, "--out", str(out), "--epochs", str(count), "--no-test"]
        words += ["--set", "eval_step=0", *(f"{name}={value}" for name, value in settings.items())]
        env = os.environ | {"OMP_NUM_THREADS": str(self.threads), "PEER_CK": str(self.work / "ck")}
        done = subprocess.run(words, capture_output=True, text=True, env=env, cwd=self.work)
        if done.returncode:
            sys.exit(f"RecBole {model}\n{done.stderr[-2000:]}")

        found = json.loads(out.read_text())

        return {
            "seconds": statistics.median(found["epoch_s"][1:] or found["epoch_s"]),
            "peak_mib": found["rss_mb"],
        }

    def recbole_steps(
        self, model: str, folder: Path, *words: str, epoch: int = 0, **settings: Any
    ) -> dict[str, Any] | None:
        """Return what `benchmarks/peers/recbole_steps.py` measures, an epoch of so many steps if
        any; None without an environment.
        """
        if self.python is None:
            return None

        out = self.work / "peer.json"
        call = [
            str(self.python),
            str(Path(__file__).parent / "peers" / "recbole_steps.py"),
            "--scripts",
            str(self.scripts),
            "--model",
            model,
        ]
        call += ["--folder", str(folder), "--out", str(out), *words]
        call += (
            ["--set", *(f"{name}={json.dumps(value)}" for name, value in settings.items())]
            if settings
            else []
        )
        env = os.environ | {"OMP_NUM_THREADS": str(self.threads), "PEER_CK": str(self.work / "ck")}
        done = subprocess.run(call, capture_output=True, text=True, env=env, cwd=self.work)
        if done.returncode:
            sys.exit(f"RecBole {model}\n{done.stderr[-2000:]}")

        found = dict(json.loads(out.read_text()))
        return found | (
            {"seconds": found["step_ms"] * epoch / 1e3, "steps": epoch} if epoch else {}
        )

    def implicit(self, data: Path) -> dict[str, Any] | None:
        """Return the seconds of implicit's top 20 for all users."""
        if self.python is None:
            return None

        opened = kgrec.load(data)
        users, items = embeddings(opened)
        seen = opened.train.csr(opened.num_users, opened.num_items)
        np.savez(
            self.work / "rank.npz", users=users, items=items, ptr=seen.indptr, idx=seen.indices
        )
        code = (
            "import numpy as np, scipy.sparse as sp, time, json; from implicit.cpu.topk import "
            "topk; f = np.load('rank.npz');"
            "m = sp.csr_matrix((np.ones(len(f['idx']), 'f4'), f['idx'], f['ptr']), "
            "shape=(len(f['users']), len(f['items'])));"
            "go = lambda: topk(f['items'], f['users'], 20, filter_query_items=m, "
            f"num_threads={self.threads});"
            "go(); t = time.perf_counter(); go(); print(json.dumps({'seconds': "
            "time.perf_counter() - t}))"
        )
        env = os.environ | {"OMP_NUM_THREADS": str(self.threads), "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            [str(self.python), "-c", code], capture_output=True, text=True, env=env, cwd=self.work
        )
        if done.returncode:
            sys.exit(f"implicit\n{done.stderr[-2000:]}")

        return dict(json.loads(done.stdout.splitlines()[-1]))


def contestants(
    track: str, work: Path, peers: Peers, threads: int
) -> dict[str, Callable[[], dict[str, Any] | None]]:
    """Return who runs on a track, by name: kgrec first."""
    if track == "start":
        return {"kgrec": lambda: in_process("start", threads)}
    if track == "C'":
        return {"kgrec": lambda: in_process("amazon-book", threads)}

    if track == "A'":
        runs: dict[str, Callable[[], dict[str, Any] | None]] = {}
        for model, (peer, settings, _) in SMALL.items():
            own = {"dim": 64, "batch_size": 2048} | settings
            ordered = IN_ORDER if model in SEQUENTIAL else {}
            name = "ml-100k-last" if model in SEQUENTIAL else "ml-100k-split"
            if model not in (*SEQUENTIAL, *WITHOUT_TRIPLES):
                name = "ml-100k-split-linked"

            folder = dataset(name, work)
            runs[f"kgrec {model}"] = lambda model=model, own=own, folder=folder: in_process(  # type: ignore[misc]
                "epochs",
                threads,
                data=str(folder),
                model=model,
                preset="paper",
                settings=own,
                count=4,
            )
            runs[f"RecBole {model}"] = lambda peer=peer, ordered=ordered: peers.recbole(  # type: ignore[misc]
                peer, SHARED / "ml-100k", count=4, **ordered
            )

        return runs

    if track == "C":
        folder = dataset("made", work)
        own = {
            "loss": "bpr",
            "layer_dims": (64, 32, 16),
            "batch_size": 2048,
            "warm_start_epochs": 0,
        }

        own |= {
            "kg_sampling": "triple",
            "kg_batch_size": 2048,
            "kg_steps": -(-1_000_000 // 2048),
        }  # as many as RecBole takes

        return {
            "kgrec": lambda: in_process(
                "epochs",
                threads,
                data=str(folder),
                model="kgat",
                preset="paper",
                settings=own,
                count=2,
            ),
            "RecBole": lambda: peers.recbole_steps(
                "KGAT", _recbole_folder(folder, work), "--steps", str(STEPS)
            ),
        }

    folder = dataset("gowalla", work)
    if track == "spmm":
        return {"kgrec": lambda: in_process("spmm", threads, data=str(folder))}
    if track == "D":
        return {"kgrec": lambda: in_process("quality", threads, data=str(folder))}

    if track == "B":
        size = 256 * kgrec.load(folder).num_items
        return {
            "kgrec": lambda: in_process("rank", threads, data=str(folder)),
            "RecBole, default": lambda: peers.recbole_steps(
                "BPR", _recbole_folder(folder, work), "--rank", "4096"
            ),
            "RecBole, 256 users a batch": lambda: peers.recbole_steps(
                "BPR", _recbole_folder(folder, work), "--rank", str(size)
            ),
            "implicit (lists alone)": lambda: peers.implicit(folder),
        }

    steps = published_steps(str(folder))

    return {
        "kgrec": lambda: in_process("published", threads, data=str(folder)),
        "PyG EdgeIndex, fused Adam": lambda: in_process(
            "pyg", threads, data=str(folder), steps=STEPS
        ),
        "RecBole, default": lambda: peers.recbole_steps(
            "LightGCN",
            _recbole_folder(folder, work),
            "--steps",
            str(STEPS),
            epoch=steps,
            n_layers=3,
        ),
        "RecBole, fused Adam": lambda: peers.recbole_steps(
            "LightGCN",
            _recbole_folder(folder, work),
            "--steps",
            str(STEPS),
            "--fused",
            epoch=steps,
            n_layers=3,
        ),
    }


def _recbole_folder(folder: Path, work: Path) -> Path:
    """Return a dataset in RecBole's format."""
    out = work / f"{folder.name}-recbole" / folder.name
    if not out.is_dir():
        out.parent.mkdir(parents=True, exist_ok=True)
        kgrec.load(folder).convert("recbole", out)
    return out


def main() -> None:
    """Run the tracks and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tracks", nargs="*", default=list(TRACKS))
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--peer-scripts", type=Path, default=Path("../shared/peers"))
    parser.add_argument("--models", nargs="+", choices=tuple(SMALL), help="of A' only these")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--doc", type=Path)
    parser.add_argument("--history", type=Path)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--arguments", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.job:
        print(json.dumps(JOBS[chosen.job](**json.loads(chosen.arguments)), default=float))
        return

    for model in set(SMALL).difference(chosen.models or SMALL):
        del SMALL[model]

    with tempfile.TemporaryDirectory() as scratch:
        work = (chosen.work or Path(scratch)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        peers = Peers(
            chosen.peers.absolute() if chosen.peers else None,
            chosen.peer_scripts,
            work,
            chosen.threads,
        )

        found = {
            track: measured(contestants(track, work, peers, chosen.threads), chosen.repeats, track)
            for track in chosen.tracks
        }

    table = "\n".join(_rows(found))
    print(table)
    if chosen.doc:
        _write(chosen.doc, table)

    if chosen.history:
        record = {
            "date": time.strftime("%Y-%m-%d"),
            "kgrec": kgrec.__version__,
            "torch": torch.__version__,
            "cpu": platform.machine(),
        }
        with chosen.history.open("a", encoding="utf-8") as file:
            file.write(
                json.dumps(record | {"threads": chosen.threads, "tracks": found}, default=float)
                + "\n"
            )


def measured(
    runs: dict[str, Callable[[], dict[str, Any] | None]], repeats: int, track: str
) -> dict[str, list[dict[str, Any]]]:
    """Let all contestants run in turns; return their results."""
    found: dict[str, list[dict[str, Any]]] = {}
    for repeat in range(repeats):
        for name, run in runs.items():
            result = run()
            if result is None:
                continue

            result.pop("losses", None)
            found.setdefault(name, []).append(result)
            print(
                f"{track}: {name}, run {repeat + 1} of {repeats}: {result['seconds']:.4g} s, "
                f"load {os.getloadavg()[0]:.1f}",
                file=sys.stderr,
            )

    return found


def _rows(found: dict[str, dict[str, list[dict[str, Any]]]]) -> list[str]:
    rows = [
        "| track | contestant | median s | spread | against kgrec | further |",
        "|---|---|---|---|---|---|",
    ]
    for track, results in found.items():
        own = 0.0
        for name, runs in results.items():
            seconds = [run["seconds"] for run in runs]
            median = statistics.median(seconds)
            own = median if name.startswith("kgrec") else own
            ratio = "" if name.startswith("kgrec") else f"{median / own:.2f}x"
            further = {
                key: statistics.median(run[key] for run in runs)
                for key in runs[0]
                if key not in ("seconds",) and _number(runs[0][key])
            }
            told = ", ".join(f"{key} {value:.4g}" for key, value in further.items())
            rows.append(
                f"| {track} | {name} | {median:.4g} | {min(seconds):.4g} - {max(seconds):.4g} | "
                f"{ratio} | {told} |"
            )

    return rows


def _number(value: object) -> bool:
    return isinstance(value, int | float)


def _write(page: Path, table: str) -> None:
    before, _, rest = page.read_text(encoding="utf-8").partition("<!-- table -->")
    page.write_text(
        f"{before}<!-- table -->\n{table}\n<!-- end of table "
        f"-->{rest.partition('<!-- end of table -->')[2]}",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
