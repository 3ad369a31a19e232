"""What the processes of the tests here do: run by rank, with a folder for what they find."""

import json
import os
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from kgrec.evaluation.validation import validator
from kgrec.models.base import Span
from kgrec.runs import fit as fits
from kgrec.runs.fit import fit
from kgrec.runs.processes.lists import recommend_all
from kgrec.runs.processes.reasons import explain_all
from kgrec.runs.run import Run, build_model, load_run
from kgrec.runs.settings import choose
from kgrec.scale.columns import gather_columns, sum_partial
from kgrec.scale.cost import bytes_of, dense_bytes
from kgrec.scale.rows import columns_to_rows, lookup_rows, row_range, rows_to_columns
from kgrec.scale.world import World
from kgrec.serving.write_tables import Choice, write_tables
from kgrec.study.ablate import ablate
from kgrec.study.tune import tune
from kgrec.testing.worlds import dataset, planted, with_texts
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
    "layer": ("xsimgcl", {}),
    "triples": ("lightgcn-kg", {"kg_weight": 1.0}),
    "lightkg": ("lightkg", {"negatives": 3, "user_weight": 0.01, "item_weight": 0.01}),
    "cfkg": ("cfkg", {}),
    "distance": (
        "cfkg",
        {"score": "l1", "loss": "margin", "sampling": "any", "inverse": True, "clip_norm": 0.1},
    ),
    "cke": ("cke", {"relation_dim": 3}),
    "contents": ("cke", {"relation_dim": 3, "loss": "bpr", "item_prior": "sum", "text": "on"}),
    "kgfuse": ("kgfuse", {"triple_weights": (0.0, 1.0), "trial_epochs": 1, "steps": 3}),
    "by pairs": ("kgfuse", {"triple_weights": (2.0,), "rows": "interaction"}),
    "kgin": ("kgin", {"loss": "bpr", "num_layers": 2}),
    "paper": ("kgin", {"form": "paper", "kg_weight": 1.0}),
    "kgat": (
        "kgat",
        {"loss": "bpr", "layer_dims": (8, 4), "relation_dim": 4, "warm_start_epochs": 1},
    ),
    "sage": (
        "kgat",
        {"aggregator": "graphsage", "layer_dims": (4,), "relation_dim": 4, "kg_weight": 1.0},
    ),
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
    return with_texts(dataset(pairs[::2] + pairs[1::4], pairs[3::4], triples=facts, **sizes))


SINGLE = ("softmax", "lightkg", "cfkg", "cke", "kgfuse", "kgin", "kgat")
MOVED = {
    "kgat": {"layer_dims": (4,), "relation_dim": 4, "kg_weight": 1.0},
    "kgin": {"num_layers": 2},
    "kgfuse": {"triple_weights": (0.0, 1.0), "trial_epochs": 3, "steps": 3},
}


def trained(name, dtype, world, whats=("gradient", "final")):
    """Return losses of all epochs, the final state, and the gradients of the first steps."""
    torch.set_default_dtype(dtype)
    model_name, settings = CASES[name]
    chosen = choose(model_name, "default", {**COMMON, **settings})
    data = toy()
    found = {}
    for what in whats:
        model = build_model(chosen, data, 0)
        plan = model.plan()
        apart = Apart(model, plan, world) if world.size > 1 else None
        if what == "gradient":
            found |= first_steps(name, model, chosen.train, world, apart)
        else:
            found |= all_epochs(model, chosen.train, apart, plan)
    torch.set_default_dtype(torch.float32)
    return found


def first_steps(name, model, config, world, apart):
    """Return the gradient of the first step of each round, and the bytes that it sent."""
    plan = model.plan()
    if plan.begin_epoch is not None:
        plan.begin_epoch(1, 0)
    sums = {}
    found = {"sent": [], "predicted": []}
    for one in rounds_of(model, toy(), config, seed=0, device=torch.device("cpu")):
        model.zero_grad()
        batches = next(iter(one.batches(1)))
        before = sum(world.sent.values())
        losses = []
        for objective, batch in zip(one.objectives, batches, strict=True):
            value = objective.loss(batch)
            every = value.values() if isinstance(value, dict) else [value]
            losses += [objective.weight * part for part in every]
        torch.stack(losses).sum().backward()
        found["sent"].append(sum(world.sent.values()) - before)
        formula = getattr(Bytes(world.size), name, None)
        found["predicted"].append(formula and formula(model, *batches))
        for key, value in model.named_parameters():
            if value.grad is not None:
                here = apart is not None and any(
                    value is table for table in apart.plan.split.tables
                )
                whole = apart.columns.whole(value.grad) if here else value.grad
                sums[key] = sums.get(key, 0) + whole
    found["tables"] = [sums[key].flatten().tolist() for key in sorted(sums)]
    return found


def all_epochs(model, config, apart, plan):
    """Return the losses, and the state at the end."""
    data, device = toy(), torch.device("cpu")
    arguments = {"seed": 0, "device": device, "plan": plan, "apart": apart}
    if plan.compare is not None:
        arguments["validate"] = validator("ndcg@10", data, device, model)
    state = train(model, data, config, **arguments)
    losses = [
        [v for k, v in record.items() if k != "epoch" and not k.endswith("seconds")]
        for record in state.history
    ]
    final = [value.double().flatten().tolist() for _, value in sorted(model.state_dict().items())]
    return {"losses": losses, "final": final}


class Bytes:
    """The bytes of a step by the formulas, of the cases that have one here."""

    def __init__(self, world):
        self.shared = {"size": 8, "world": world}

    def added(self, count):
        return bytes_of("scores", rows=count, **self.shared)

    def gathered(self, count):
        return bytes_of("gather", rows=count, dim=8, **self.shared)

    def told_apart(self, batch):
        """Lengths of heads and tails, gradients of both; scores, and L2."""
        tails = batch.negative.numel() + len(batch.head)
        return self.added(2 * (tails + len(batch.head))) + self.added(tails + 1)

    def lightkg(self, model, batch):
        ends = [torch.unique(x) for x in (batch.user, batch.user, batch.positive, batch.negative)]
        scores = len(batch.user) + batch.negative.numel() + len(model.numbers) + 2
        return self.added(scores) + self.gathered(sum(map(len, ends)))

    def cfkg(self, model, batch, facts):
        rows = len(batch.user) + model.warm.count
        return self.gathered(rows) + self.added(2 * rows + 2) + self.told_apart(facts)

    def cke(self, model, batch, facts):
        rows = len(batch.user) + model.contrast.count
        return self.gathered(rows) + self.added(2) + self.added(3 * len(facts.head) * 3)

    def kgfuse(self, model, batch, facts):
        rows = model.graphs.best.warm.count + len(batch.user)
        rivals = model.graphs.trained().values()  # half of them have a triple loss
        half = 2 * self.gathered(rows) + self.added(4) + self.told_apart(facts)
        return len(rivals) // 2 * half

    def kgin(self, model, batch):
        logits = 2 * model.intent_logits.numel()  # of both layers
        return self.added(model.plan().split.sums + logits + 2 * len(batch.user) + 1)

    def kgat(self, model, batch):
        if hasattr(batch, "head"):
            return self.added(3 * len(batch.head) * model.config.relation_dim)
        nodes = [batch.user + model.ckg.num_entities, batch.positive, batch.negative]
        rows = len(torch.unique(torch.cat(nodes)))
        weights = sum(value.numel() for value in model.layers.parameters())
        widths, count = model.plan().split.widths, len(model.nodes)
        dense = dense_bytes(widths, nodes=count, rows=rows, **self.shared)
        return dense + self.added(4 * rows + weights + len(batch.user) + 1)


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


def dying(world):
    """Return what watches epochs, and kills a process as ``kill -9`` does: DIE_AT says which rank,
    after how many epochs of this start, and how many seconds later.
    """
    rank, epochs, later = os.environ.get("DIE_AT", "-1 0 0").split()
    seen = []

    def watch(state):
        seen.append(state.epoch)
        if (world.rank, len(seen)) == (int(rank), int(epochs)):
            threading.Timer(float(later), os.kill, (os.getpid(), signal.SIGKILL)).start()

    return watch


def fitted(folder, world):
    """Train into a folder, or go on there; return the losses."""
    out = folder / "run"
    epochs = int(os.environ.get("EPOCHS", "6"))
    settings = {**COMMON, "epochs": epochs, "parallel": "columns", "patience": 0}
    given = {"on_epoch": dying(world), "world": world, "resume": out.exists(), "fallback": "off"}
    fit("lightgcn-kg", toy(), out=out, **settings, **given)
    return [record["softmax"] for record in load_run(out).history]


def moved(name, folder, world, last=float("inf")):
    """Train in float64 into a folder until an epoch, or go on there; return losses and weights."""

    def watch(state):
        if state.epoch == last:
            raise KeyboardInterrupt

    out = folder / name
    settings = {**COMMON, **MOVED[name], "epochs": 4, "parallel": "columns"}
    given = {"on_epoch": watch, "world": world, "resume": out.exists(), "fallback": "off"}
    torch.set_default_dtype(torch.float64)
    try:
        run = fit(name, toy(), out=out, **settings, **given)
    finally:
        torch.set_default_dtype(torch.float32)
    losses = [
        [v for k, v in sorted(one.items()) if not k.endswith("seconds")] for one in run.history
    ]
    return losses, run.model.state_dict()


def everything(folder, world):
    """What all that is compared in one go finds."""
    found = {name: trained(name, torch.float64, world) for name in CASES}
    for name in SINGLE:
        found[f"{name} single"] = trained(name, torch.float32, world, ["gradient"])
    found["float32"] = trained("softmax", torch.float32, world, ["final"])
    if world.size > 1:
        found["counted"] = counted(world)
        try:
            world.agree({"dataset": "a" if world.first else "b"})
        except RuntimeError as error:
            found["disagreed"] = str(error)
        for name in MOVED:
            with suppress(KeyboardInterrupt):
                moved(name, folder / f"begun-{world.size}", world, last=2)
    for share in (False, True):
        name = f"lists-{share}-{world.size}"
        recommend_all(tied_run(), folder / name, k=9, chunk=7, share_items=share, world=world)
    explained_and_exported(folder, world)
    return found


def explained_and_exported(folder, world):
    """Explain the best item of everyone in parts, and write tables that serve lists and reasons."""
    run = fit("ease-kg", toy(), fallback="off")
    reasons, tables = (folder / f"{name}-{world.size}" for name in ("reasons", "tables"))
    explain_all(run, list(run.data.users), reasons, k=2, chunk=9, world=world)
    write_tables(run, tables, Choice(lists=5, reasons=reasons), world=world)


def main():
    work, folder = sys.argv[1], Path(sys.argv[2])
    world = World.here()
    found = {}
    fits._SECONDS_BETWEEN_CHECKPOINTS = 0.0
    if work == "all":
        found = everything(folder, world)
    if work == "study":
        found = studied(folder, world)
    if work == "fit":
        found["losses"] = fitted(folder, world)
    if world.first:
        (folder / f"{work}-{world.size}.json").write_text(json.dumps(found))
    world.leave()


if __name__ == "__main__":
    main()
