"""What a step costs each of several processes: CPU time and bytes, beside the cost model.

    torchrun --standalone --nproc-per-node 2 benchmarks/scale.py DATASET [--model lightgcn] [--loss bpr]

Each process prints nothing but rank 0, which prints one line: processes, CPU milliseconds a step of
each rank, bytes sent a step and what the formulas say, the model's estimate.
"""

import argparse
import time

import torch

import kgrec
from kgrec.runs.run import build_model
from kgrec.runs.settings import choose
from kgrec.scale.cost import cpus, step_seconds
from kgrec.scale.world import World
from kgrec.training.loop import rounds_of
from kgrec.training.parallel.columns import Apart
from kgrec.training.parallel.decision import work_of


def main() -> None:
    """Time some steps of a model in this process, and print what all found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--model", default="lightgcn")
    parser.add_argument("--loss", default="bpr")
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    torch.set_num_threads(1)
    world = World.here()
    data = kgrec.load(given.dataset)
    chosen = choose(given.model, "default", {"loss": given.loss} if given.loss else {})
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
    began = time.process_time()
    for _ in range(given.steps):
        each.step(next(batches))

    seconds = (time.process_time() - began) / given.steps
    sent = (sum(world.sent.values()) - before) / given.steps
    every = world.gather([1e3 * seconds, sent])
    if world.first:
        estimate = step_seconds(work, cpus(1, 1 << 40), world.size)
        spent = ", ".join(f"{one[0]:.1f}" for one in every)
        print(
            f"{world.size} processes ({'columns' if apart else 'whole'}): {spent} CPU ms a step; "
            f"{sent:,.0f} bytes sent a step, by formula {work.sent(world.size):,}; the model says "
            f"{1e3 * estimate / world.size:.1f} CPU ms"
        )
    world.leave()


if __name__ == "__main__":
    main()
