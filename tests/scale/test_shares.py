"""Two and four processes that share their batches, against one: numbers, bytes, draws, tables apart."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from kgrec.batches import SequenceBatch
from kgrec.errors import ConfigError, ModelError
from kgrec.models.base import Objective
from kgrec.runs.fit import fit
from kgrec.runs.run import build_model
from kgrec.runs.settings import choose
from kgrec.scale.cost import bytes_of
from kgrec.scale.world import World
from kgrec.testing.worlds import with_texts, with_times
from kgrec.training.micro_batches import in_pieces
from kgrec.training.parallel.columns import check_parallel
from kgrec.training.parallel.data import TABLE_BYTES, Shared, table_bytes
from kgrec.training.parallel.draws import Part, SharedBatch
from tests.scale.many import toy
from tests.scale.shares import CASES, LATER
from tests.scale.test_many import start

WORKER = Path(__file__).with_name("shares.py")


@pytest.fixture(scope="module")
def found(tmp_path_factory, root):
    """What one process and two find."""
    folder = tmp_path_factory.mktemp("shares")
    for size in (1, 2):
        codes, errors = start(size, root, str(WORKER), "some", str(folder))
        assert codes == [0] * size, errors
    return folder


def told(folder, size, rank=0, work="some"):
    return json.loads((folder / f"{work}-{size}-{rank}.json").read_text())


def difference(one, two):
    """The greatest one of all values, over the greatest value of each name."""
    assert one.keys() == two.keys()
    return max(
        np.abs(np.subtract(one[name], two[name])).max() / max(1e-9, np.abs(one[name]).max())
        for name in one
    )


def check(one, many, last):
    """The same losses, gradients, parameters and batch statistics; the same bits in all ranks."""
    assert np.abs(np.subtract(one["losses"], many["losses"])).max() <= 1e-10
    # Adam makes steps of the rounding of what the loss does not depend on, as a softmax on a shift
    still = {name for name, values in one["gradients"].items() if np.abs(values).max() < 1e-12}
    for key in ("gradients", "final", "buffers"):
        parts = [{k: v for k, v in each[key].items() if k not in still} for each in (one, many)]
        if parts[0]:
            assert difference(*parts) <= 1e-10, key
    assert many["final"] == last["final"]


@pytest.mark.parametrize("case", [name for name in CASES if name not in LATER])
def test_two_processes_train_as_one(found, case):
    """In float64: dropout, drawn items and batch statistics too, tables whole or apart."""
    check(*(told(found, *which)[case] for which in ((1, 0), (2, 0), (2, 1))))


def test_float32_agrees_to_rounding(found):
    one, two = (told(found, size)["float32"] for size in (1, 2))
    assert difference(one["gradients"], two["gradients"]) <= 1e-5
    assert np.abs(np.subtract(one["losses"], two["losses"])).max() <= 1e-5


def test_bytes_are_those_of_the_formulas(found):
    """Gradients exactly; what is looked up is counted by both processes together."""
    ranks = [told(found, 2, rank) for rank in (0, 1)]
    for case in ("sasrec", "gru4rec", "fm", "neumf"):
        one = ranks[0][case]
        expected = bytes_of("gradients", rows=one["numbers"], size=8, world=2)
        assert one["sent"]["all_reduce"] == expected
    # NeuMF: 64 interactions with 4 negatives, a user and an item in tables of 4 columns each
    # twice; about half of the rows are the other's, and 8 bytes of each lookup say how many
    sent = sum(rank["neumf"]["sent"]["all_to_all"] for rank in ranks) - 2 * 4 * 8
    foreign = 2 * sum(rank["neumf"]["foreign"] for rank in ranks)
    assert sent == bytes_of("lookup", rows=2 * foreign, dim=4, size=8, world=2)
    assert sent == pytest.approx(
        bytes_of("lookup", rows=64 * 5 * 4, dim=4, size=8, world=2), rel=0.15
    )


def test_neighbors_are_drawn_alike_for_all_columns(found):
    one, two = (told(found, size)["neighbors"] for size in (1, 2))
    assert np.abs(np.subtract(one["losses"], two["losses"])).max() <= 1e-10
    assert np.abs(np.subtract(one["final"][0], two["final"][0])).max() <= 1e-10


def test_tables_lie_apart_by_size(found):
    assert told(found, 2)["gru4rec"]["apart"] == ["items"]
    assert told(found, 2)["fm"]["apart"] == ["users", "items"]
    assert told(found, 2)["sasrec"]["apart"] == []


def test_a_continued_training_has_the_same_bytes_and_opens_alone(found):
    """Two processes with tables apart stop after two epochs and go on; one process goes on too."""
    weights = [(found / name / "model.safetensors").read_bytes() for name in ("whole", "continued")]
    assert weights[0] == weights[1]
    settings = {**CASES["neumf"][1], "learning_rate": 0.01, "parallel": "data"}
    alone = fit(
        "neumf", toy(), out=found / "alone", patience=0, fallback="off", epochs=6, **settings
    )
    gone_on = fit(out=found / "whole", resume=True, epochs=6)
    losses = [[record["bce"] for record in run.history] for run in (alone, gone_on)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_draws_are_parts_of_those_of_the_whole_batch():
    rows, terms = Part(2, 5, 9), Part(4, 11, 20)
    ones = torch.ones(9, 4, 6)
    by_column = ones.transpose(0, 1).contiguous().transpose(0, 1)  # in memory as a GRU gives it
    for whole in (ones, by_column):
        torch.manual_seed(1)
        expected = functional.dropout(whole, 0.4)
        others = functional.dropout(torch.ones(20, 3), 0.5)
        drawn = torch.randint(100, (9, 2))
        torch.manual_seed(1)
        with SharedBatch(World(), [rows, terms]):
            assert torch.equal(functional.dropout(whole[2:5], 0.4), expected[2:5])
            assert torch.equal(torch.nn.Dropout(0.5)(torch.ones(7, 3)), others[4:11])
            assert torch.equal(torch.randint(100, (3, 2)), drawn[2:5])
            assert torch.equal(functional.dropout(whole[:1], 0.4, training=False), whole[:1])
            with pytest.raises(ModelError, match="dropout over 8 rows"):
                functional.dropout(torch.ones(8, 3), 0.5)


def sequences(*lengths):
    mask = torch.arange(3) < torch.tensor(lengths).unsqueeze(1)
    rows = torch.arange(len(lengths))
    return SequenceBatch(rows, mask.long(), mask, mask.long(), mask)


def test_a_share_counts_by_its_targets(monkeypatch):
    """Histories of 1, 2, 3, 1 and 1 targets: the second of two processes reads the last three."""
    model = build_model(choose("sasrec", "default", {"dim": 8}), with_times(toy()), 0)
    shared = Shared(model, model.plan(), World(1, 2))
    (objective,) = model.plan().objectives
    own, weight, _ = shared.share(objective, sequences(1, 2, 3, 1, 1))
    assert own.user.tolist() == [2, 3, 4]
    assert weight == 5 / 8
    own, weight, _ = shared.share(objective, sequences(3))  # too few for two: both read all
    assert (own.user.tolist(), weight) == ([0], 0.5)
    assert [share for _, share in in_pieces(sequences(1, 2, 3, 1, 1), 2, objective.terms)] == [
        0.75,
        0.25,
    ]
    with pytest.raises(ModelError, match="no rows"):
        shared.share(Objective(int, model.loss), 5)


def test_bad_settings_are_refused(monkeypatch):
    data = with_texts(with_times(toy()))

    def checked(name, parallel, **settings):
        chosen = choose(name, "default", {"parallel": parallel, **settings})
        model = build_model(chosen, data, 0)
        check_parallel(model, model.plan(), chosen.train)

    checked("sasrec", "data")
    with pytest.raises(ConfigError, match="SASRec is trained by shares of the batch"):
        checked("sasrec", "columns")
    with pytest.raises(ConfigError, match="LightGCN is not trained that way"):
        checked("lightgcn", "data")
    with pytest.raises(ConfigError, match="GRU4Rec is not trained that way"):
        checked("gru4rec", "data", loss="top1")
    with pytest.raises(ConfigError, match="SASRec is not trained that way"):
        checked("sasrec", "data", form="official")
    for wrong in ("a lot", "-1", "nan"):
        monkeypatch.setenv(TABLE_BYTES, wrong)
        with pytest.raises(ConfigError, match="no number of bytes"):
            table_bytes()


@pytest.mark.long
def test_four_processes_and_every_model(tmp_path, root):
    for size in (1, 4):
        codes, errors = start(size, root, str(WORKER), "all", str(tmp_path))
        assert codes == [0] * size, errors
    for case in CASES:
        which = ((1, 0), (4, 0), (4, 3))
        check(*(told(tmp_path, size, rank, "all")[case] for size, rank in which))
    one, four = (told(tmp_path, size, work="all")["neighbors"] for size in (1, 4))
    assert np.abs(np.subtract(one["losses"], four["losses"])).max() <= 1e-10
