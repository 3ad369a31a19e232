"""What a step costs each of several processes, in CPU time and bytes, beside the cost model.

    python benchmarks/scale.py DATASET [--processes 1,2,4] [--model lightgcn] [--loss bpr]

Starts ``torchrun`` for each number of processes, every process with one thread, and prints a table.
The model has a core of its own for each process: what it says is CPU time, exchanges included.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from statistics import median

import torch

import kgrec
from kgrec.runs.run import build_model
from kgrec.runs.settings import choose
from kgrec.scale.cost import Hardware, cpus, step_seconds
from kgrec.scale.world import World
from kgrec.training.loop import rounds_of
from kgrec.training.parallel.columns import Apart
from kgrec.training.parallel.decision import work_of

TABLE = """\
| processes | CPU ms a step, each rank | the model | MiB sent a step | by formula |
|---|---|---|---|---|"""


def own_core() -> Hardware:
    """Return a machine whose processes share no core and no memory."""
    given = cpus(1, 1 << 40)
    return replace(given, ranks=1, network=given.link, network_delay=given.link_delay)


def main() -> None:
    """Start the processes one number after the other, or be one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--processes", default="1,2,4")
    parser.add_argument("--model", default="lightgcn")
    parser.add_argument("--loss", default="bpr")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    if "RANK" in os.environ:
        measure(given)
        return

    print(TABLE)
    for size in map(int, given.processes.split(",")):
        words = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={size}"]
        done = subprocess.run(
            [sys.executable, *words, *sys.argv],
            env=dict(os.environ, OMP_NUM_THREADS="1"),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found = json.loads(done.stdout.splitlines()[-1])
        spent = ", ".join(f"{one:.1f}" for one in found["spent"])
        mib = [f"{one / 2**20:.3f}" for one in (max(found["sent"]), found["formula"])]
        print(f"| {size} | {spent} | {found['model']:.1f} | {' | '.join(mib)} |", flush=True)


def measure(given: argparse.Namespace) -> None:
    """Time some steps of a model in this process; the first one prints what all found."""
    torch.set_num_threads(1)
    world = World.here()
    data = kgrec.load(given.dataset)
    settings = dict(one.split("=", 1) for one in given.set)
    if given.loss:
        settings["loss"] = given.loss

    chosen = choose(given.model, "default", {k: _value(v) for k, v in settings.items()})
    model = build_model(chosen, data, 0)
    plan = model.plan()
    work = work_of(model, plan, chosen.train, len(data.train))
    assert work is not None, f"{given.model} cannot be split"
    # the optimizers of the rounds must move the columns of this process
    apart = Apart(model, plan, world) if world.size > 1 else None
    (each,) = rounds_of(model, data, chosen.train, seed=0, device=torch.device("cpu"))
    model.train()
    batches = iter(each.batches(1))
    each.step(next(batches))  # the first one makes buffers, and the process group
    before = sum(world.sent.values())
    times = []
    for _ in range(given.steps):
        batch = next(batches)
        began = time.process_time()
        each.step(batch)
        times.append(time.process_time() - began)

    sent = (sum(world.sent.values()) - before) / given.steps
    every = world.gather([1e3 * median(times), sent])
    if world.first:
        estimate = step_seconds(work, own_core(), world.size)
        print(
            json.dumps(
                {
                    "columns": apart is not None,
                    "spent": [one[0] for one in every],
                    "sent": [one[1] for one in every],
                    "formula": work.sent(world.size),
                    "model": 1e3 * estimate,
                }
            )
        )
    world.leave()


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


if __name__ == "__main__":
    main()
