"""A training that ends between two epochs goes on to the bits of one that was never ended: models
with more than one phase, network or source of draws.
"""

import pytest
import torch

import kgrec
from kgrec.testing import worlds

SETTINGS = {
    "acf": {"hidden": 4},
    "acf-kg": {"hidden": 4},
    "mmoe": {"num_experts": 3},
    "shared-bottom": {},
    "ntn-head": {},
    "ntn-rating": {},
    "ntn": {"slices": 2, "negatives": 4},
    "irgan": {},
    "dualgan": {},
    "pgpr": {"hidden": (8,), "embed_epochs": 2, "walks": 2},
    "cafe": {"hidden": (8,), "embed_epochs": 2, "walks": 20},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_resumed_training_is_bit_equal(name, tmp_path, monkeypatch):
    data = worlds.with_ratings(worlds.checkerboard(8)).save(tmp_path / "data")
    settings = {"dim": 4, "epochs": 3, "batch_size": 16, "patience": 0} | SETTINGS[name]
    whole = kgrec.fit(name, data, **settings)
    one = kgrec.fit(name, data, **settings | {"epochs": 1}).model.state_dict()

    def stop(state):
        raise InterruptedError

    monkeypatch.setattr("kgrec.runs.fit._SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    with pytest.raises(InterruptedError):
        kgrec.fit(name, data, out=tmp_path / "run", on_epoch=stop, **settings)

    torch.manual_seed(99)
    resumed = kgrec.fit(name, data, out=tmp_path / "run", resume=True).model.state_dict()
    assert all(torch.equal(value, resumed[key]) for key, value in whole.model.state_dict().items())
    assert any(not torch.equal(value, resumed[key]) for key, value in one.items())
