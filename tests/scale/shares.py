"""What the processes of ``test_shares.py`` do: models that share their batches."""

import json
import os
import sys
from pathlib import Path

import torch

from kgrec.batches import PointwiseBatch
from kgrec.runs import fit as fits
from kgrec.runs.fit import fit
from kgrec.runs.run import build_model
from kgrec.runs.settings import choose
from kgrec.scale.world import World
from kgrec.testing.worlds import news_board, with_texts, with_times
from kgrec.training.loop import samplers_of, train
from kgrec.training.micro_batches import Pieces
from kgrec.training.parallel.data import TABLE_BYTES, Shared
from kgrec.training.step import TrainingStep
from tests.scale import many
from tests.scale.many import toy

torch.set_num_threads(1)
SEQUENCES = {"dim": 8, "length": 6, "dropout": 0.3, "batch_size": 13}
TOWER = {**SEQUENCES, "layers": (8, 6)}
FIELDS = {"dim": 4, "batch_size": 64, "min_count": 1}
NEWS = {"num_filters": 4, "filter_widths": (1, 2), "word_dim": 4, "entity_dim": 4, "kg_epochs": 2}
CASES = {  # a model, its settings, and from how many bytes on its tables lie apart
    "sasrec": ("sasrec", {**SEQUENCES, "clip_norm": 0.5}, 1e9),
    "sasrec-drawn": ("sasrec", {**SEQUENCES, "loss": "bce", "beta2": 0.98}, 1e9),
    "gru4rec": ("gru4rec", {**SEQUENCES, "hidden": 7, "tied": False}, 0),
    "youtubednn": ("youtubednn", {**TOWER, "negatives": 9}, 0),
    "lstmcnn": ("lstmcnn", {**SEQUENCES, "hidden": 6, "word_dim": 4, "num_filters": 4}, 0),
    "fm": ("fm-kg", FIELDS, 0),
    "ffm": ("ffm-kg", FIELDS, 0),
    "nfm": ("nfm-kg", {**FIELDS, "batch_norm": True, "layers": (5,), "dropout": 0.2}, 1e9),
    "deepfm": ("deepfm-kg", {**FIELDS, "layers": (6, 5), "dropout": 0.2}, 0),
    "widedeep": ("widedeep-kg", {**FIELDS, "layers": (6, 5), "buckets": 50}, 0),
    "neumf": (
        "neumf",
        {"dim": 4, "layers": (8, 4), "pretrain_epochs": 1, "clip_norm": 0.1, "batch_size": 64},
        0,
    ),
    "dkn": ("dkn", {**NEWS, "dropout": 0.0, "batch_size": 32}, 1e9),
}
LATER = ("ffm", "deepfm", "widedeep", "lstmcnn", "sasrec-drawn")
"""Cases that the longer tests alone have."""
COMMON = {"epochs": 2, "learning_rate": 0.01, "parallel": "data"}


def world_of(name):
    """The data of a model."""
    if name == "dkn":
        return news_board(0, users=12, news=20, impressions=5)
    return with_texts(with_times(toy()))


def trained(name, dtype, world):
    """Return losses of all epochs, final parameters, the gradients of the first step, the bytes of
    a step, and how many numbers that was.
    """
    torch.set_default_dtype(dtype)
    model_name, settings, least = CASES[name]
    os.environ[TABLE_BYTES] = str(least)
    chosen = choose(model_name, "default", {**COMMON, **settings})
    data = world_of(model_name)

    def made():
        model = build_model(chosen, data, 0)
        plan = model.plan()
        assert plan.parallel == "data"
        return model, plan, Shared(model, plan, world) if world.size > 1 else None

    model, plan, apart = made()
    gradients, sent, numbers, foreign = first_step(model, plan, chosen, data, apart)
    model, plan, apart = made()
    device = torch.device("cpu")
    state = train(model, data, chosen.train, seed=0, device=device, plan=plan, apart=apart)
    found = {
        "losses": [
            [v for k, v in record.items() if k not in ("epoch", "seconds")]
            for record in state.history
        ],
        "gradients": gradients,
        "final": flat(dict(model.named_parameters())),
        "buffers": flat({n: b for n, b in model.named_buffers() if "running" in n}),
        "sent": sent,
        "numbers": numbers,
        "foreign": foreign,
        "apart": list(apart.names) if apart else [],
    }
    torch.set_default_dtype(torch.float32)
    return found


def first_step(model, plan, chosen, data, apart):
    """Return the gradients of the first step, the bytes it sent, how many numbers were added up,
    and how many users and items of this process's part are of rows that another holds.
    """
    if plan.begin_epoch is not None:
        plan.begin_epoch(1, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    step = TrainingStep(plan.objectives, optimizer, plan, Pieces(), 0.0, apart)
    samplers = samplers_of(plan, data, chosen.train, 0, torch.device("cpu"))
    batches = [next(iter(sampler.epoch(1))) for sampler in samplers]
    before = dict(apart.world.sent) if apart else {}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        step(batches)

    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    if apart is None:
        return flat(gradients), {}, 0, 0

    sent = {kind: size - before.get(kind, 0) for kind, size in apart.world.sent.items()}
    alone = [p for name, p in model.named_parameters() if name not in apart.names]
    numbers = sum(p.numel() for p in alone) + len(alone) + len(step.names)
    for name in apart.names:
        gradients[name] = apart.columns.whole(gradients[name])
    own, *_ = apart.share(plan.objectives[0], batches[0])
    ids = torch.cat([own.user, own.item]) if isinstance(own, PointwiseBatch) else torch.empty(0)
    foreign = int((ids % apart.world.size != apart.world.rank).sum())
    return flat(gradients), sent, numbers, foreign


def flat(values):
    return {name: value.detach().flatten().tolist() for name, value in values.items()}


def fitted(out, world, epochs):
    """Train with tables apart into a folder, or go on there."""
    os.environ[TABLE_BYTES] = "0"
    settings = {**CASES["neumf"][1], **COMMON, "epochs": epochs, "patience": 0}
    given = {"on_epoch": many.dying(world), "world": world, "resume": out.exists()}
    fit("neumf", toy(), out=out, fallback="off", **given, **settings)


def main():
    work, folder = sys.argv[1], Path(sys.argv[2])
    world = World.here()
    if work == "fit":
        fits._SECONDS_BETWEEN_CHECKPOINTS = 0.0
        fitted(folder / "run", world, int(os.environ["EPOCHS"]))
        world.leave()
        return

    names = [name for name in CASES if work == "all" or name not in LATER]
    found = {name: trained(name, torch.float64, world) for name in names}
    found["float32"] = trained("sasrec", torch.float32, world)
    many.CASES["neighbors"] = ("lightgcn", {"loss": "bpr", "fanouts": (3, 2)})
    found["neighbors"] = many.trained("neighbors", torch.float64, world)
    if world.size > 1:
        for name, steps in (("whole", (4,)), ("continued", (2, 4))):
            for epochs in steps:
                fitted(folder / name, world, epochs)
    (folder / f"{work}-{world.size}-{world.rank}.json").write_text(json.dumps(found))
    world.leave()


if __name__ == "__main__":
    main()
