"""RecBole beside us, by the budget of our own rows: a search on validation, then several seeds on
one split. Used by results.py; RecBole runs by its own interpreter, a process a training.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# The split is drawn from RecBole's seed, which must stay; its second call of `init_seed` is the
# one that comes before the model is built, and takes the seed of the row.
_ONE = """
import os, runpy, sys
sys.path.insert(0, os.environ["PEER_SCRIPTS"])
if os.environ["PEER_CLOCK"] == "processor":
    import time
    time.time = time.process_time
import peer_patches
peer_patches.patch_torch_load()
peer_patches.patch_scipy_dok()
exec(os.environ["PEER_BEFORE"])
import recbole.utils as utils
calls, init_seed = [], utils.init_seed
def seeded(seed, *rest):
    calls.append(seed)
    init_seed(seed + (int(os.environ["PEER_SEED"]) if len(calls) > 1 else 0), *rest)
utils.init_seed = seeded
sys.argv[0] = os.path.join(os.environ["PEER_SCRIPTS"], "run_recbole.py")
runpy.run_path(sys.argv[0], run_name="__main__")
"""

RATES = (1e-4, 5e-4, 1e-3, 5e-3, 1e-2)
DECAYS = (1e-5, 1e-4, 1e-3, 1e-2)
SPACES: dict[str, tuple[str, dict[str, tuple[Any, ...]]]] = {
    "ngcf": (
        "NGCF",
        {
            "learning_rate": RATES,
            "node_dropout": (0.0, 0.1, 0.2),
            "message_dropout": (0.0, 0.1, 0.2, 0.3),
            "reg_weight": DECAYS,
        },
    ),
    "sgl": (
        "SGL",
        {
            "learning_rate": RATES,
            "drop_ratio": (0.1, 0.2, 0.4, 0.5),
            "ssl_tau": (0.1, 0.2, 0.5, 1.0),
            "ssl_weight": (0.005, 0.05, 0.1, 0.5),
            "reg_weight": DECAYS,
        },
    ),
    "kgcn": (
        "KGCN",
        {
            "learning_rate": RATES,
            "n_iter": (1, 2),
            "aggregator": ("sum", "concat", "neighbor"),
            "reg_weight": (1e-3, 1e-5, 1e-7),
            "neighbor_sample_size": (4, 8),
        },
    ),
    "kgnn-ls": (
        "KGNNLS",
        {
            "learning_rate": RATES,
            "n_iter": (1, 2),
            "reg_weight": (1e-3, 1e-5, 1e-7),
            "ls_weight": (0.01, 0.1, 0.5, 1.0),
            "neighbor_sample_size": (4, 8),
        },
    ),
    "ripplenet": (
        "RippleNet",
        {
            "learning_rate": RATES,
            "n_memory": (4, 8, 16, 32),
            "kg_weight": (0.01, 0.1),
            "reg_weight": (1e-7, 1e-5),
        },
    ),
    "mkr": (
        "MKR",
        {
            "learning_rate": RATES,
            "low_layers_num": (1, 2, 3),
            "high_layers_num": (1, 2),
            "reg_weight": (1e-6, 1e-5),
            "kge_interval": (1, 3, 5),
        },
    ),
    "ktup": (
        "KTUP",
        {
            "learning_rate": RATES,
            "L1_flag": (True, False),
            "use_st_gumbel": (True, False),
            "train_rec_step": (8, 10),
            "train_kg_step": (1, 2, 5),
        },
    ),
    "mcclk": (
        "MCCLK",
        {
            "learning_rate": RATES,
            "node_dropout_rate": (0.1, 0.3, 0.5),
            "mess_dropout_rate": (0.0, 0.1),
            "build_graph_separately": (True, False),
        },
    ),
    "fm": ("FM", {"learning_rate": RATES}),
    "ffm": ("FFM", {"learning_rate": RATES, "embedding_size": (4, 10, 16)}),
    "nfm": (
        "NFM",
        {
            "learning_rate": RATES,
            "dropout_prob": (0.0, 0.1, 0.2, 0.3),
            "mlp_hidden_size": ([64], [64, 64, 64], [20, 20, 20]),
        },
    ),
    "deepfm": (
        "DeepFM",
        {
            "learning_rate": RATES,
            "dropout_prob": (0.0, 0.1, 0.2, 0.3),
            "mlp_hidden_size": ([128, 128, 128], [256, 256, 256], [64, 64, 64]),
        },
    ),
    "widedeep": (
        "WideDeep",
        {
            "learning_rate": RATES,
            "dropout_prob": (0.0, 0.1, 0.2, 0.3),
            "mlp_hidden_size": ([32, 16, 8], [128, 64], [64, 64, 64]),
        },
    ),
    "multvae": (
        "MultiVAE",
        {
            "learning_rate": RATES,
            "latent_dimension": (64, 128, 200),
            "anneal_cap": (0.1, 0.2, 0.5),
            "total_anneal_steps": (1000, 10_000, 200_000),
        },
    ),
    "slim": (
        "SLIMElastic",
        {"alpha": (0.05, 0.1, 0.2, 0.5, 0.8), "l1_ratio": (0.1, 0.05, 0.02, 0.01)},
    ),
    "gru4rec": (
        "GRU4Rec",
        {
            "learning_rate": RATES,
            "num_layers": (1, 2, 3),
            "hidden_size": (64, 128),
            "dropout_prob": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
        },
    ),
    "sasrec": (
        "SASRec",
        {
            "learning_rate": RATES,
            "n_layers": (1, 2),
            "n_heads": (1, 2),
            "hidden_dropout_prob": (0.2, 0.5),
            "attn_dropout_prob": (0.2, 0.5),
        },
    ),
}
GRAPH_ALONE = ("ngcf", "sgl", "fm", "ffm", "nfm", "deepfm", "widedeep", "multvae", "slim")
SEQUENTIAL = ("gru4rec", "sasrec")
IN_ORDER = {
    "eval_args": {
        "split": {"LS": "valid_and_test"},
        "order": "TO",
        "group_by": "user",
        "mode": "full",
    },
    "train_neg_sample_args": "~",
}
"""What RecBole's models over histories are given beside their settings: the last item of each user
for test, the one before for validation, and a softmax over all items."""


@dataclass(frozen=True)
class Budget:
    """What one model may use: trials, minutes of all trials, seconds of one training."""

    trials: int
    minutes: float
    cap: float


@dataclass(frozen=True)
class Peer:
    """RecBole's interpreter, the folder of its scripts and the folder of data, and whether its
    seconds are processor time.
    """

    python: Path
    scripts: Path
    data: Path
    processor: bool = False

    def train(
        self,
        model: str,
        settings: dict[str, Any],
        cap: float,
        *,
        seed: int = 0,
        test: bool = True,
        name: str = "ml-100k",
        before: str = "",
    ) -> dict[str, Any]:
        """Train once; return what its script measured, or how it failed.

        Args:
            model: RecBole's name of it.
            settings: What is not as shipped.
            cap: Seconds after which no further epoch begins.
            seed: Of the row.
            test: Whether to rank the test part.
            name: Of the data set, a folder of ``data``.
            before: Python that is run in its process first.
        """
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "out.json"
            call = [str(self.python), "-c", _ONE, "--model", model, "--out", str(out)]
            call += ["--data-path", str(self.data), "--dataset", name, "--cap", str(cap)]
            call += [] if test else ["--no-test"]
            ordered = IN_ORDER if model in {SPACES[name][0] for name in SEQUENTIAL} else {}
            call += ["--set", *(f"{n}={value}" for n, value in (ordered | settings).items())]
            environment = {
                **os.environ,
                "PEER_SCRIPTS": str(self.scripts),
                "PEER_SEED": str(seed),
                "PEER_CLOCK": "processor" if self.processor else "wall",
                "PEER_CK": scratch,
                "PEER_BEFORE": before,
            }
            # One epoch may run on past the cap, and must end some time.
            limit = (9 if self.processor else 3) * cap + 300
            try:
                # RecBole writes logs where it runs.
                done = subprocess.run(
                    call,
                    capture_output=True,
                    text=True,
                    env=environment,
                    timeout=limit,
                    cwd=scratch,
                )
            except subprocess.TimeoutExpired:
                return {"failed": f"no epoch within {limit:.0f} s"}

            if done.returncode:
                return {"failed": (done.stderr.strip() or "no message").splitlines()[-1]}

            found: dict[str, Any] = json.loads(out.read_text())
            return found


def drawn(space: dict[str, tuple[Any, ...]], trials: int) -> list[dict[str, Any]]:
    """Return the settings to try: the shipped ones first, then draws without repetition."""
    generator = np.random.default_rng(0)
    tried: list[dict[str, Any]] = [{}]
    most = min(trials, math.prod(map(len, space.values())))
    while len(tried) < most:
        one = {name: values[generator.integers(len(values))] for name, values in space.items()}
        if one not in tried:
            tried.append(one)

    return tried


def search(peer: Peer, name: str, out: Path, budget: Budget) -> dict[str, Any]:
    """Return the best settings on validation; each trial is kept, and not run twice."""
    model, space = SPACES[name]
    kept = out / "peers" / name / "trials.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    trials = json.loads(kept.read_text()) if kept.is_file() else []

    for settings in drawn(space, budget.trials)[len(trials) :]:
        left = budget.minutes * 60 - sum(trial["seconds"] for trial in trials)
        if left <= 0:
            break

        found = peer.train(model, settings, min(left, budget.cap), test=False)
        trials.append(
            {
                "settings": settings,
                "valid": found.get("best_valid"),
                "seconds": found.get("t_fit", 0.0),
                "epochs": found.get("epochs", 0),
                "capped": found.get("capped"),
                "failed": found.get("failed"),
            }
        )
        kept.write_text(json.dumps(trials, indent=1) + "\n")
        print(f"RecBole {model} {settings}: {trials[-1]['valid']}", flush=True)

    done = [trial for trial in trials if trial["valid"] is not None]
    if not done:
        sys.exit(f"RecBole {model}: no trial ended: {trials[-1]['failed']}.")

    return dict(max(done, key=lambda trial: trial["valid"])["settings"])


def rows(peer: Peer, name: str, out: Path, budget: Budget, seeds: list[int]) -> None:
    """Search and measure one model of RecBole; what is there is not run again."""
    settings = search(peer, name, out, budget)
    for seed in seeds:
        kept = out / "peers" / name / f"seed-{seed}.json"
        if kept.is_file():
            continue

        found = peer.train(SPACES[name][0], settings, budget.cap, seed=seed)
        kept.write_text(json.dumps({"settings": settings, **found}, indent=1) + "\n")
        print(f"RecBole {name} seed {seed}: {found.get('test') or found['failed']}", flush=True)
