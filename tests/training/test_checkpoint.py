import pytest
import torch

from kgrec.errors import CheckpointError
from kgrec.models.factorization.bprmf import BPRMF, BPRMFConfig
from kgrec.testing import worlds
from kgrec.training.checkpoint import read_state, read_tensors, write_state, write_tensors
from kgrec.training.config import TrainConfig
from kgrec.training.loop import TrainState, train


def trained(epochs, state=None, seen=None):
    data = worlds.cold_items(users=20)
    model = BPRMF.from_dataset(data, BPRMFConfig(dim=4), torch.Generator().manual_seed(0))

    def values(scorer):
        return float((scorer.users * 0.01).sum())

    return train(
        model,
        data,
        TrainConfig(epochs=epochs, batch_size=40, patience=0),
        seed=1,
        device=torch.device("cpu"),
        validate=values,
        state=state,
        on_epoch=seen,
    )


def test_going_on_from_a_file_equals_never_having_stopped(tmp_path):
    whole = trained(6)

    def stop(state: TrainState) -> None:
        if state.epoch == 3:
            write_state(tmp_path / "state", state, {"phase": "fit"})

    trained(4, seen=stop)
    state, identity = read_state(tmp_path / "state")
    assert (state.epoch, identity) == (3, {"phase": "fit"})
    resumed = trained(6, state=state)
    for name, value in whole.model.items():
        assert torch.equal(value, resumed.model[name])
        assert torch.equal(whole.best[name], resumed.best[name])
    assert resumed.stopping == whole.stopping


def test_every_damaged_byte_is_noticed(tmp_path):
    path = tmp_path / "weights"
    write_tensors(path, {"a": torch.arange(4.0), "b": torch.tensor(3)}, {"x": 1})
    tensors, record = read_tensors(path)
    assert torch.equal(tensors["a"], torch.arange(4.0))
    assert record == {"x": 1}
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        try:
            found = read_tensors(path)
        except CheckpointError:
            continue
        assert torch.equal(found[0]["a"], torch.arange(4.0))
        assert found[1] == {"x": 1}
    for length in (0, 5, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            read_tensors(path)


def test_a_missing_file_and_a_foreign_one_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="not there"):
        read_tensors(tmp_path / "none")
    write_tensors(tmp_path / "other", {"a": torch.zeros(1)}, {"x": 1})
    with pytest.raises(CheckpointError, match="not a training state"):
        read_state(tmp_path / "other")


def test_nothing_is_left_behind_when_writing_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "kgrec.data.io.writing.os.fsync",
        lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")),
    )
    with pytest.raises(OSError, match="No space"):
        write_tensors(tmp_path / "weights", {"a": torch.zeros(2)}, {})
    assert list(tmp_path.iterdir()) == []
