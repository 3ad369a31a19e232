"""Everything that needs a CUDA device, in one run: the kernels against their references, what they
reach of the bandwidth, whole epochs.

python benchmarks/gpu.py --out gpu.json                     made data of Gowalla's and Amazon-Book's
size python benchmarks/gpu.py --data DIR ... --quality 1000      a saved Gowalla too: its epochs,
and its Recall@20 after so many

Needs a CUDA build of torch with Triton. Prints a line per check; exit code 1 if a result is wrong
(not if it is slow).
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from engine import made, spmm_bytes

import kgrec
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.symmetric import PairGraph
from kgrec.models.knowledge.kgat import KGAT, KGATConfig
from kgrec.ops.backends import gpu
from kgrec.ops.contrast import softmax_of_some, softmax_rows, softmax_sets
from kgrec.ops.propagate import matrix
from kgrec.ops.ranking import topk_masked, topk_scores
from kgrec.queries import queries
from kgrec.testing import worlds
from kgrec.testing.worlds import with_texts
from kgrec.training.config import TrainConfig
from kgrec.training.loop import rounds_of

DEVICE = torch.device("cuda")


def timed(call: Callable[[], object], times: int = 20) -> float:
    """Return the median seconds of a warm call on the device."""
    for _ in range(3):
        call()

    seconds = []
    for _ in range(times):
        torch.cuda.synchronize()
        began = time.perf_counter()
        call()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)

    return statistics.median(seconds)


def bandwidth() -> float:
    """Return bytes a second of a copy that no cache holds."""
    a = torch.empty(1 << 28, device=DEVICE)
    b = torch.empty_like(a)
    return 2 * 4 * len(a) / timed(lambda: b.copy_(a))


def kernels(data: kgrec.Dataset) -> dict[str, Any]:
    """Sparse products of a graph against float64, the same twice, and beside cuSPARSE; float32 and
    bfloat16 rows.
    """
    graph = PairGraph(CollaborativeKG.from_dataset(data, knowledge=False)).to(DEVICE)
    csr, x = graph.csr, torch.randn(graph.num_nodes, 64, device=DEVICE)
    out = torch.full_like(x, torch.nan)
    gpu.spmm(csr.ptr, csr.idx, graph.weight, x, out)
    exact = torch.sparse.mm(matrix(csr, graph.weight).double(), x.double())
    again = gpu.spmm(csr.ptr, csr.idx, graph.weight, x, torch.empty_like(x))
    half = x.bfloat16()
    seconds = timed(lambda: gpu.spmm(csr.ptr, csr.idx, graph.weight, x, out))
    a, b = torch.randn_like(x), torch.randn_like(x)
    edges = (a.double()[csr.destinations()] * b.double()[csr.idx.long()]).sum(1)

    return {
        "error": float((out - exact).norm() / exact.norm()),
        "same_twice": torch.equal(out, again),
        "edge_product_error": float(
            (gpu.sddmm(csr.ptr, csr.idx, a, b) - edges).norm() / edges.norm()
        ),
        "ms": 1e3 * seconds,
        "cusparse_ms": 1e3 * timed(lambda: torch.sparse.mm(matrix(csr, graph.weight), x)),
        "bfloat16_ms": 1e3 * timed(lambda: gpu.spmm(csr.ptr, csr.idx, graph.weight, half, out)),
        "limit": spmm_bytes(csr.num_nodes, csr.num_edges) / bandwidth() / seconds,
    }


def softmaxes(data: kgrec.Dataset) -> dict[str, Any]:
    """A row of scores per user against one per interaction, over the users of an eighth of the
    interactions: numbers and gradients, and milliseconds. Chosen tails against torch's own.
    """
    draw = torch.Generator().manual_seed(0)
    matrix = data.train.csr(data.num_users, data.num_items)
    count = data.num_users // 8
    pairs = int(matrix.indptr[count])
    row = torch.repeat_interleave(
        torch.arange(count), torch.from_numpy(np.diff(matrix.indptr[: count + 1])).long()
    ).to(DEVICE)
    positive = torch.from_numpy(matrix.indices[:pairs]).long().to(DEVICE)
    users, items = (
        torch.randn(size, 64, generator=draw).to(DEVICE).requires_grad_()
        for size in (count, data.num_items)
    )
    chosen = torch.randint(data.num_items, (count, 9), generator=draw).to(DEVICE)

    def by_user() -> list[torch.Tensor]:
        loss = softmax_sets(users, items, row, positive)
        return [loss, *torch.autograd.grad(loss, (users, items))]

    def by_pair() -> list[torch.Tensor]:
        loss = softmax_rows(users[row], items, positive)
        return [loss, *torch.autograd.grad(loss, (users, items))]

    def of_some() -> list[torch.Tensor]:
        loss = softmax_of_some(users, items, chosen)
        return [loss, *torch.autograd.grad(loss, (users, items))]

    def of_some_plainly() -> list[torch.Tensor]:
        scores = (users.unsqueeze(1) * items[chosen]).sum(2)
        loss = (scores.logsumexp(1) - scores[:, 0]).mean()
        return [loss, *torch.autograd.grad(loss, (users, items))]

    def apart(first: list[torch.Tensor], second: list[torch.Tensor]) -> float:
        gaps = [float((a - b).norm() / b.norm()) for a, b in zip(first, second, strict=True)]
        return max(gaps)

    return {
        "error": max(apart(by_user(), by_pair()), apart(of_some(), of_some_plainly())),
        "same_twice": all(map(torch.equal, of_some(), of_some())),
        "by_user_ms": 1e3 * timed(by_user, 5),
        "by_interaction_ms": 1e3 * timed(by_pair, 5),
        "of_some_ms": 1e3 * timed(of_some, 5),
    }


def epochs(data: kgrec.Dataset, model: str, count: int, **settings: Any) -> dict[str, Any]:
    """Train on the device and on the CPU with the same draws of parameters; seconds of the last
    epoch, and both losses of the first.
    """
    done = {}
    for device, times in (("cuda", count), ("cuda again", count), ("cpu", 1)):
        run = kgrec.fit(
            model,
            data,
            device=device.split()[0],
            epochs=times,
            patience=0,
            validate_every=times,
            refit=False,
            **settings,
        )
        done[device] = run

    first = {
        device: {k: v for k, v in run.history[0].items() if k != "seconds"}
        for device, run in done.items()
    }
    same = all(
        torch.equal(a, b)
        for a, b in zip(
            done["cuda"].model.parameters(), done["cuda again"].model.parameters(), strict=True
        )
    )

    return {
        "seconds": statistics.median(record["seconds"] for record in done["cuda"].history[1:]),
        "cpu_seconds": done["cpu"].history[0]["seconds"],
        "first_epoch": first,
        "same_twice": same,
        "peak_mib": torch.cuda.max_memory_allocated() / 2**20,
    }


def ranking(data: kgrec.Dataset) -> dict[str, Any]:
    """Top 20 of all users and the whole evaluation; the lists against a full sort."""
    from kgrec.evaluation.report import evaluate
    from kgrec.models.base import DotProduct

    draw = torch.Generator().manual_seed(0)
    users, items = (
        torch.randn(size, 64, generator=draw).to(DEVICE)
        for size in (data.num_users, data.num_items)
    )
    seen = data.train.csr(data.num_users, data.num_items)
    ptr, idx = (torch.from_numpy(part).long().to(DEVICE) for part in (seen.indptr, seen.indices))
    _, ids = topk_masked(users[:500], items, 20, ptr[:501], idx)
    scores = users[:500] @ items.T
    rows = torch.repeat_interleave(torch.arange(500, device=DEVICE), ptr[:501].diff())
    scores[rows, idx[: int(ptr[500])]] = -torch.inf
    sorted_ids = scores.sort(1, descending=True, stable=True).indices[:, :20]
    scorer = DotProduct(users, items)

    return {
        "wrong_rows": int((ids != sorted_ids).any(1).sum()) - _ties(scores, ids, sorted_ids),
        "lists_ms": 1e3 * timed(lambda: topk_masked(users, items, 20, ptr, idx), 5),
        "evaluation_ms": 1e3
        * timed(lambda: evaluate(scorer, data, ks=(20,), metrics=("recall", "ndcg")), 5),
        "of_scores": bool(topk_scores(scores[:5].clone(), 20)[1].shape == (5, 20)),
    }


def _ties(scores: torch.Tensor, ids: torch.Tensor, others: torch.Tensor) -> int:
    """Return the rows whose lists differ among scores that agree to float32."""
    rows = (ids != others).any(1).nonzero().squeeze(1)
    gap = (scores.gather(1, ids)[rows] - scores.gather(1, others)[rows]).abs()
    return int((gap.amax(1) <= 1e-4).sum()) if len(rows) else 0


def kgat_steps() -> dict[str, Any]:
    """KGAT at Amazon-Book's size: attention, a step of each phase, and the epoch that they make."""
    data = made(70_679, 24_915, 113_487, 652_514, 2_557_746, 39)
    model = KGAT.from_dataset(
        data, KGATConfig(loss="bpr", layer_dims=(64, 32, 16)), torch.Generator().manual_seed(0)
    ).to(DEVICE)
    out = {"attention_ms": 1e3 * timed(model.refresh_attention, 5)}
    seconds = out["attention_ms"] / 1e3
    model.train()

    for each in rounds_of(
        model,
        data,
        TrainConfig(batch_size=1024, kg_batch_size=2048, epochs=1),
        seed=0,
        device=DEVICE,
    ):
        batches = each.batches(1)
        step = timed(lambda each=each, batches=batches: each.step(next(batches)), 30)  # type: ignore[misc]
        out[f"{each.objectives[0].name}_step_ms"] = 1e3 * step
        seconds += step * each.feeds[0].steps()

    return out | {"epoch_s": seconds, "peak_mib": torch.cuda.max_memory_allocated() / 2**20}


GRAPH_MODELS = {
    "ngcf": {"message_dropout": 0.0},
    "sgl": {},
    "simgcl": {},
    "xsimgcl": {},
    "directau": {},
    "ultragcn": {"init_scale": 0.1},
}
FACTOR_MODELS: dict[str, dict[str, Any]] = {
    "gmf": {},
    "mlp": {},
    "neumf": {},
    "acf": {},
    "irgan": {"pretrain_epochs": 1},
    "dualgan": {"pretrain_epochs": 1},
}
TWO_TASK_MODELS: dict[str, dict[str, Any]] = {
    "mmoe": {},
    "shared-bottom": {},
    "ntn-head": {},
    "ntn-rating": {},
}
FIELD_MODELS: dict[str, dict[str, Any]] = {
    **{
        f"{name}{ending}": {}
        for name in ("fm", "ffm", "nfm", "deepfm", "widedeep")
        for ending in ("", "-kg")
    },
    "multvae": {"layers": (32,)},
    "multvae-kg": {"layers": (32,)},
}
SEQUENCES: dict[str, dict[str, Any]] = {
    "gru4rec": {},
    "sasrec": {"item_init": "transe"},
    "youtubednn": {"negatives": 100},
    "youtubednn-seq": {},
    "lstm-cnn": {"item_init": "complex"},
}


def agreement(models: dict[str, dict[str, Any]], *, rated: bool = False) -> dict[str, float]:
    """Return the largest difference of scores between the device and the CPU, in units of their
    spread, after one epoch of each model with the same draws.
    """
    data = made(2_000, 3_000, 3_000, 60_000, 1_000, 1)
    if rated:
        data = worlds.with_ratings(data)

    query = queries(data.train, np.arange(500))
    found = {}
    for model, settings in models.items():
        scores = {}
        for device in ("cuda", "cpu"):
            run = kgrec.fit(
                model, data, device=device, epochs=1, patience=0, refit=False, **settings
            )
            with torch.inference_mode():
                scores[device] = run.scorer()(query.to(device)).cpu()

        difference = (scores["cuda"] - scores["cpu"]).abs().max()
        found[model] = float(difference / scores["cpu"].std())

    return found


KNOWLEDGE = {
    "kgat": {},
    "kgin": {"kg_weight": 1.0},
    "lightgcn-kg": {"kg_weight": 1.0},
    "kgfuse": {
        "item_weights": (0.1,),
        "attribute_weights": (3.0,),
        "triple_weights": (4.0,),
        "temperatures": (0.15,),
    },
    "cke": {},
    "cfkg": {},
    "kgcn": {"num_neighbors": 4},
    "kgnn-ls": {"num_neighbors": 4},
    "ripplenet": {"memory": 16},
    "mkr": {},
    "ckan": {"user_size": 16, "item_size": 16},
    "ktup": {},
    "lightkg": {},
    "kgcl": {},
    "kgrec": {},
    "mcclk": {},
    "diffkg": {},
    "kguf": {},
    "acf-kg": {},
    "ntn": {},
    "pgpr": {"embed_epochs": 1},
    "cafe": {"embed_epochs": 1},
}


def on_both(models: dict[str, dict[str, Any]], data: kgrec.Dataset) -> dict[str, Any]:
    """One epoch of each model, on the device and on the CPU: the loss, the scores of one state on
    both, seconds.
    """
    query = queries(data.train, np.arange(min(64, data.num_users)))
    found = {}
    for name, settings in models.items():
        one = {"epochs": 1, "dim": 16, "batch_size": 1024, "patience": 0, **settings}
        runs = {device: kgrec.fit(name, data, device=device, **one) for device in ("cpu", "cuda")}
        model = runs["cpu"].model.eval()
        with torch.inference_mode():
            plain = model.scorer()(query)
            moved = model.to(DEVICE).scorer()(query.to(DEVICE)).cpu()

        first = {device: run.history[0] for device, run in runs.items()}
        found[name] = {
            "scores_apart": float((plain - moved).abs().max() / plain.abs().max().clamp(min=1e-9)),
            "seconds": {device: record["seconds"] for device, record in first.items()},
            "losses": {
                device: {k: v for k, v in record.items() if isinstance(v, float)}
                for device, record in first.items()
            },
        }

    return found


def several() -> dict[str, Any]:
    """Trainings of two processes with a device each, over NCCL, beside one process: losses apart,
    and whether two runs have the same bytes. Says so where there is one device.
    """
    if torch.cuda.device_count() < 2:
        return {"not measured": f"{torch.cuda.device_count()} device, two are needed"}

    together = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    settings = ("epochs=3", "patience=0", "validate_every=3")
    found = {}
    for model, way in (("lightgcn-kg", "columns"), ("bprmf", "columns"), ("sasrec", "data")):
        with tempfile.TemporaryDirectory() as scratch:
            runs = []
            for name, start in (("one", []), ("two", together), ("again", together)):
                words = ["-m", "kgrec", "train", "films", "--model", model, "--device", "cuda"]
                for one in (*settings, f"parallel={way}"):
                    words += ["--set", one]
                out = Path(scratch) / name
                subprocess.run(
                    [sys.executable, *start, *words, "--out", str(out)], check=True, timeout=600
                )
                runs.append(out)

            first, second = (kgrec.load_run(out).history[0] for out in runs[:2])
            weights = [(out / "model.safetensors").read_bytes() for out in runs[1:]]
            loss = next(name for name in first if name not in ("epoch", "seconds"))
            apart = abs(first[loss] - second[loss]) / abs(first[loss])
            found[model] = {"losses_apart": apart, "same_twice": weights[0] == weights[1]}

    return found


def main() -> None:
    """Run all checks and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="a saved Gowalla; made data of its size else")
    parser.add_argument(
        "--quality", type=int, default=0, help="epochs of the published recipe on --data"
    )
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    if not torch.cuda.is_available() or not gpu.takes(torch.zeros(1, device="cuda")):
        sys.exit("no CUDA device with Triton: nothing to measure.")

    data = (
        kgrec.load(chosen.data)
        if chosen.data
        else made(29_858, 40_981, 40_981, 1_027_370, 1_000, 1)
    )
    published = {"preset": "official", "num_layers": 3, "dim": 64}
    found: dict[str, Any] = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}

    for name, job in {
        "spmm": lambda: kernels(data),
        "softmaxes": lambda: softmaxes(data),
        "lightgcn": lambda: epochs(data, "lightgcn", 4, **published),
        "bprmf": lambda: epochs(data, "bprmf", 3, preset="paper"),
        "ranking": lambda: ranking(data),
        "graph models": lambda: agreement(GRAPH_MODELS),
        "factor models": lambda: agreement(FACTOR_MODELS),
        "two-task models": lambda: agreement(TWO_TASK_MODELS, rated=True),
        "field models": lambda: on_both(FIELD_MODELS, kgrec.load("films")),
        "kgat": kgat_steps,
        "knowledge": lambda: on_both(KNOWLEDGE, kgrec.load("films")),
        "sequences": lambda: on_both(SEQUENCES, with_texts(kgrec.load("films"))),
        "several devices": several,
        "quality": lambda: quality(data, chosen.quality, published) if chosen.quality else {},
    }.items():
        torch.cuda.reset_peak_memory_stats()
        found[name] = job()
        print(name, json.dumps(found[name], default=float), flush=True)

    if chosen.out:
        chosen.out.write_text(json.dumps(found, indent=1, default=float))

    wrong = (
        found["spmm"]["error"] > 1e-5
        or found["softmaxes"]["error"] > 1e-3
        or not found["spmm"]["same_twice"]
        or found["ranking"]["wrong_rows"]
        or any(
            max(found[part].values()) > 0.02
            for part in ("graph models", "factor models", "two-task models")
        )
        or any(
            each["scores_apart"] > 1e-3
            for part in ("knowledge", "field models", "sequences")
            for each in found[part].values()
        )
        or any(
            each["losses_apart"] > 1e-3
            for each in found["several devices"].values()
            if isinstance(each, dict)
        )
    )
    sys.exit(
        1 if wrong or not (found["lightgcn"]["same_twice"] and found["bprmf"]["same_twice"]) else 0
    )


def quality(data: kgrec.Dataset, count: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Recall@20 of the published recipe after so many epochs, three seeds."""
    out = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(3):
            began = time.perf_counter()
            run = kgrec.fit(
                "lightgcn",
                data,
                device="cuda",
                epochs=count,
                seed=seed,
                out=str(Path(scratch) / str(seed)),
                **settings,
            )
            out.append(
                {
                    "recall@20": run.summary["test"]["recall@20"],
                    "seconds": time.perf_counter() - began,
                }
            )

    return {"seeds": out}


if __name__ == "__main__":
    main()
