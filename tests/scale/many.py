"""What the processes of the tests here do: run by rank, with a folder for what they find."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from kgrec.models.base import Span
from kgrec.runs.fit import fit
from kgrec.runs.processes.lists import recommend_all
from kgrec.runs.run import Run, build_model, load_run
from kgrec.runs.settings import choose
from kgrec.scale.columns import gather_columns, sum_partial
from kgrec.scale.rows import columns_to_rows, lookup_rows, row_range, rows_to_columns
from kgrec.scale.world import World
from kgrec.study.ablate import ablate
from kgrec.study.tune import tune
from kgrec.testing.worlds import dataset, planted
from kgrec.training.loop import rounds_of, train
from kgrec.training.parallel.columns import Apart

torch.set_num_threads(1)
CASES = {
    "bprmf": ("bprmf", {"clip_norm": 0.05}),
    "pairs": ("lightgcn-kg", {"loss": "bpr"}),
    "softmax": ("lightgcn-kg", {}),
    "drawn": ("lightgcn", {"negatives": 8, "edge_dropout": 0.2}),
    "views": ("sgl", {"contrast": "batch"}),
    "every": ("sgl", {"contrast": "all", "view": "walk", "loss": "bpr"}),
    "noise": ("simgcl", {}),
}
COMMON = {"dim": 8, "epochs": 2, "batch_size": 64, "learning_rate": 0.01}


def drawn(draw, *sizes, count):
    """So many rows of numbers, each below its size."""
    return draw.integers(0, sizes, (count, len(sizes))).tolist()


def toy():
    """80 users, 40 items, 20 further entities; everything drawn."""
    draw = np.random.default_rng(5)
    pairs = sorted(map(tuple, np.unique(drawn(draw, 80, 40, count=600), axis=0).tolist()))
    facts = drawn(draw, 60, 3, 60, count=200)
    sizes = {"num_users": 80, "num_items": 40, "num_entities": 60}
    return dataset(pairs[::2] + pairs[1::4], pairs[3::4], triples=facts, **sizes)


def trained(name, dtype, world):
    """Return losses of all epochs, the final tables, and the gradients of the first step."""
    torch.set_default_dtype(dtype)
    model_name, settings = CASES[name]
    chosen = choose(model_name, "default", {**COMMON, **settings})
    data = toy()
    found = {}
    for what in ("gradient", "final"):
        model = build_model(chosen, data, 0)
        plan = model.plan()
        apart = Apart(model, plan, world) if world.size > 1 else None
        if what == "gradient":
            device = torch.device("cpu")
            if plan.begin_epoch is not None:
                plan.begin_epoch(1, 0)
            (one,) = rounds_of(model, data, chosen.train, seed=0, device=device)
            value = plan.objectives[0].loss(next(iter(one.batches(1)))[0])
            total = sum(value.values()) if isinstance(value, dict) else value
            total.backward()
            tables = [table.grad for table in plan.split.tables]
            found["tables"] = [apart.columns.whole(table) if apart else table for table in tables]
        else:
            arguments = {"seed": 0, "device": torch.device("cpu"), "plan": plan, "apart": apart}
            state = train(model, data, chosen.train, **arguments)
            found["losses"] = [
                [v for k, v in record.items() if k not in ("epoch", "seconds")]
                for record in state.history
            ]
            found["final"] = [table.detach() for table in plan.split.tables]
    torch.set_default_dtype(torch.float32)
    return {
        "losses": found["losses"],
        **{key: [t.flatten().tolist() for t in found[key]] for key in ("tables", "final")},
    }


def counted(world):
    """Return the bytes that operations sent, and whether their numbers are right."""
    size, rank = world.size, world.rank
    draw = torch.Generator().manual_seed(3)
    table = torch.randn(10, 8, generator=draw, dtype=torch.float64)
    weights = torch.randn(10, 8, generator=draw, dtype=torch.float64)
    width = 8 // size
    own = table[:, rank * width : (rank + 1) * width].clone().requires_grad_()
    found = {}

    def sent(work):
        before = sum(world.sent.values())
        result = work()
        return result, sum(world.sent.values()) - before

    def gather():
        whole = gather_columns(own, world)
        share = row_range(10, world)
        (whole * weights)[share.start : share.stop].sum().backward()
        return torch.equal(whole.detach(), table)

    right, found["gather"] = sent(gather)
    mine = weights[:, rank * width : (rank + 1) * width]
    found["gather right"] = right and torch.allclose(own.grad, mine)
    total, found["scores"] = sent(lambda: sum_partial(own.detach().sum(1), world))
    found["scores right"] = torch.allclose(total, table.sum(1))

    own.grad = None
    rows = row_range(10, world)

    def turn():
        found["turned"] = columns_to_rows(own, world)
        (found["turned"] * weights[rows.start : rows.stop]).sum().backward()

    _, found["columns_to_rows"] = sent(turn)
    turned = found.pop("turned")
    back = rows_to_columns(turned.detach(), world, 10)
    found["turned right"] = (
        torch.equal(turned.detach(), table[rows.start : rows.stop])
        and torch.allclose(own.grad, mine)
        and torch.equal(back, own.detach())
    )

    mod = table[rank::size].clone().requires_grad_()
    asked = torch.arange(8) if rank else torch.tensor([3, 3, 0, 7, 6, 1, 4, 2])
    looked, found["lookup"] = sent(lambda: _looked(mod, asked, weights, world))
    expected = torch.zeros(10, 8, dtype=torch.float64)
    for other in range(size):
        every = torch.arange(8) if other else torch.tensor([3, 3, 0, 7, 6, 1, 4, 2])
        expected.index_add_(0, every, weights[:8])
    found["lookup right"] = torch.equal(looked, table[asked]) and torch.allclose(
        mod.grad, expected[rank::size]
    )
    return found


def _looked(mod, asked, weights, world):
    looked = lookup_rows(mod, asked, world)
    (looked * weights[:8]).sum().backward()
    return looked.detach()


def tied_run():
    """A run whose items have equal scores all over the catalog."""
    chosen = choose("bprmf", "default", {"dim": 4, "item_bias": False})
    draw = np.random.default_rng(1)
    pairs = np.unique(drawn(draw, 50, 300, count=2000), axis=0).tolist()
    data = dataset(pairs, num_users=50, num_items=300)
    model = build_model(chosen, data, 0)
    with torch.no_grad():
        model.items.copy_(model.items[torch.arange(300) % 7])
    model.eval()
    return Run("bprmf", model, data, chosen, 0, [], {}, {"name": "toy"})


def studied(folder, world):
    """Search settings, some of which are tuples, and ablate; return the trials and the best."""
    data = toy()
    held = np.arange(len(data.train)) % 8 == 7
    search = tune(
        replace(data, train=data.train.take(~held), valid=data.train.take(held)),
        "ngcf",
        out=folder / "tune",
        trials=3,
        minutes=100.0,
        space={"layer_dims": ((4,), (4, 4)), "learning_rate": Span(0.001, 0.1, log=True)},
        settings={"dim": 4, "epochs": 2, "batch_size": 64},
        final=False,
        world=world,
    )
    ablate(planted("knowledge"), "ease-kg", out=folder / "ablate", relations=1, world=world)
    names = ("number", "state", "value", "values", "epochs", "best_epoch", "settings")
    trials = [{name: getattr(trial, name) for name in names} for trial in search.tried]
    return json.loads(json.dumps({"trials": trials, "best": search.best}))


def fitted(folder, world):
    """Train into a folder, or go on there; return the losses."""
    last = float(os.environ.get("DIE_AT", "inf"))

    def watch(state):
        if state.epoch == last and world.rank == world.size - 1:
            os._exit(9)

    out = folder / "run"
    settings = {**COMMON, "epochs": 6, "parallel": "columns", "patience": 0}
    given = {"on_epoch": watch, "world": world, "resume": out.exists(), "fallback": "off"}
    import kgrec.runs.fit as runs

    runs._SECONDS_BETWEEN_CHECKPOINTS = 0.0
    fit("lightgcn-kg", toy(), out=out, **settings, **given)
    return [record["softmax"] for record in load_run(out).history]


def main():
    work, folder = sys.argv[1], Path(sys.argv[2])
    world = World.here()
    found = {}
    if work == "all":
        for name in CASES:
            found[name] = trained(name, torch.float64, world)
        found["float32"] = trained("softmax", torch.float32, world)
        if world.size > 1:
            found["counted"] = counted(world)
            try:
                world.agree({"dataset": "a" if world.first else "b"})
            except RuntimeError as error:
                found["disagreed"] = str(error)
        for share in (False, True):
            name = f"lists-{share}-{world.size}"
            recommend_all(tied_run(), folder / name, k=9, chunk=7, share_items=share, world=world)
    if work == "study":
        found = studied(folder, world)
    if work == "fit":
        found["losses"] = fitted(folder, world)
    if world.first:
        (folder / f"{work}-{world.size}.json").write_text(json.dumps(found))
    world.leave()


if __name__ == "__main__":
    main()
