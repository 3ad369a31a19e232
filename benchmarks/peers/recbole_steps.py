"""Time RecBole's training steps and its full ranking; run by `benchmarks/engine.py` in RecBole's
own environment.

ENV/bin/python benchmarks/peers/recbole_steps.py --scripts ../shared/peers --model LightGCN --folder
DATA --out OUT.json --steps 60

An epoch is the median of warm steps, sampling included, times their number; for KGAT both phases
and the attention. ``--fused`` takes torch's fused Adam, the one change to RecBole's own step.
``--rank SIZE`` times one evaluation instead, SIZE scores a batch.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path

import torch

WARM = 5


def main():
    """Build the model as RecBole does and time it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scripts", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--fused", action="store_true")
    parser.add_argument("--set", nargs="*", default=[])
    chosen = parser.parse_args()
    sys.path.insert(0, chosen.scripts)
    import peer_patches
    import yaml

    peer_patches.patch_torch_load()
    peer_patches.patch_scipy_dok()
    peer_patches.patch_torch_scatter()
    if chosen.model == "KGAT":
        peer_patches.patch_kgat_without_dgl("recbole")

    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer, init_logger, init_seed

    settings = {
        "data_path": str(chosen.folder.parent),
        "benchmark_filename": ["train", "valid", "test"],
        "use_gpu": False,
        "show_progress": False,
        "train_batch_size": 2048,
        "eval_batch_size": chosen.rank or 4096,
        "metrics": ["Recall", "NDCG"],
        "topk": [20],
        "valid_metric": "NDCG@20",
        "embedding_size": 64,
        "checkpoint_dir": os.environ.get("PEER_CK", "recbole-ck"),
        "state": "WARNING",
        **{
            name: yaml.safe_load(value)
            for name, value in (pair.split("=", 1) for pair in chosen.set)
        },
    }
    sys.argv = sys.argv[:1]
    config = Config(model=chosen.model, dataset=chosen.folder.name, config_dict=settings)
    init_seed(config["seed"], config["reproducibility"])
    init_logger(config)
    dataset = create_dataset(config)
    train, _, test = data_preparation(config, dataset)
    model = get_model(config["model"])(config, train._dataset)
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)

    if chosen.fused:
        trainer.optimizer = torch.optim.Adam(
            model.parameters(), lr=config["learning_rate"], fused=True
        )

    found = {"users": dataset.user_num - 1, "items": dataset.item_num - 1}
    if chosen.rank:
        began = time.perf_counter()
        trainer.evaluate(test, load_best_model=False, show_progress=False)
        found["seconds"] = time.perf_counter() - began
    else:
        found |= epoch(model, trainer, train, chosen.steps)

    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    chosen.out.write_text(json.dumps(found))


def epoch(model, trainer, train, steps):
    """Return the seconds of an epoch by its parts."""
    if not hasattr(model, "update_attentive_A"):
        step, count = timed(model.calculate_loss, trainer.optimizer, train, steps)
        return {"step_ms": 1e3 * step, "steps": count, "seconds": step * count}

    from recbole.utils import KGDataLoaderState

    train.set_mode(KGDataLoaderState.RS)
    cf, interactions = timed(model.calculate_loss, trainer.optimizer, train, steps)
    train.set_mode(KGDataLoaderState.KG)
    kg, triples = timed(model.calculate_kg_loss, trainer.optimizer, train, steps)

    with torch.no_grad():
        began = time.perf_counter()
        model.update_attentive_A()
        attention = time.perf_counter() - began

    parts = {
        "cf_step_ms": 1e3 * cf,
        "cf_steps": interactions,
        "kg_step_ms": 1e3 * kg,
        "kg_steps": triples,
        "attention_s": attention,
    }

    return parts | {"seconds": cf * interactions + kg * triples + attention}


def timed(loss, optimizer, batches, steps):
    """Return the median seconds of a warm step, its batch's making included, and the number of
    steps in an epoch.
    """
    times, feed = [], iter(batches)
    for _ in range(min(steps, len(batches))):
        began = time.perf_counter()
        batch = next(feed)
        optimizer.zero_grad()
        value = loss(batch)
        value = sum(value) if isinstance(value, tuple) else value
        value.backward()
        optimizer.step()
        times.append(time.perf_counter() - began)

    return statistics.median(times[min(WARM, len(times) - 1) :]), len(batches)


if __name__ == "__main__":
    main()
