"""Progress without a terminal: a line per epoch, bounded, as text or JSON; what is long elsewhere
every few seconds.
"""

import json

import pytest

import kgrec
from kgrec import log
from kgrec.testing import worlds

WORLD = worlds.dataset(
    [(u, (u + n) % 6) for u in range(6) for n in range(3)],
    valid=[(u, (u + 3) % 6) for u in range(6)],
)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [100.0]
    monkeypatch.setattr(log.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture(autouse=True)
def _unshown():
    yield
    log.show(0)
    for handler in list(log.logger.handlers):
        log.logger.removeHandler(handler)


def lines(capsys):
    return capsys.readouterr().err.splitlines()


def test_every_epoch_has_a_line(capsys):
    log.show()
    kgrec.fit("bprmf", worlds.checkerboard(), epochs=3, patience=0)
    told = lines(capsys)
    assert [line.partition(":")[0] for line in told] == [f"bprmf epoch {n}/3" for n in (1, 2, 3)]
    assert all("bpr 0." in line and line.endswith(" s") for line in told)


def test_a_closed_form_has_one(capsys):
    log.show()
    kgrec.fit("ease", WORLD)
    (told,) = lines(capsys)
    assert told.startswith("ease epoch 1/1: ndcg@10 0.")


def test_json_lines_hold_the_record(capsys):
    log.show()
    log.as_json()
    run = kgrec.fit("lightgcn", WORLD, epochs=2, refit=True)
    told = [json.loads(line) for line in lines(capsys)]
    assert [(line["event"], line["title"]) for line in told[:2]] == [("epoch", "lightgcn")] * 2
    assert {"epoch", "softmax", "ndcg@10", "seconds"} <= set(told[0])
    assert told[1]["softmax"] == pytest.approx(
        kgrec.fit("lightgcn", WORLD, epochs=2).history[1]["softmax"]
    )
    assert told[-1]["title"] == "lightgcn refit"
    assert len(told) == 2 + run.summary["best_epoch"]


def test_thousands_of_fast_epochs_have_a_line_a_second_and_the_last(capsys, clock):
    log.show()
    with log.progress("m", 5000, epochs=True) as bar:
        for epoch in range(1, 5001):
            bar.update(epoch, "loss 1")
            clock[0] += 0.001
    told = lines(capsys)
    assert told[0] == "m epoch 1/5,000: loss 1"
    assert told[-1] == "m epoch 5,000/5,000: loss 1"
    assert len(told) == 6


def test_other_work_is_told_every_few_seconds_and_short_work_never(capsys, clock):
    log.show()
    with log.progress("explaining", 100) as bar:
        for done in range(1, 101):
            bar.update(done)
            clock[0] += 0.1
    told = lines(capsys)
    assert told[-1] == "explaining 100/100"
    assert len(told) == 2
    with log.progress("explaining", 100) as bar:
        bar.update(100)
    assert not lines(capsys)


def test_work_within_work_and_quiet_are_silent(capsys, clock):
    log.show()
    with log.progress("outer", 1, epochs=True), log.progress("inner", 1, epochs=True) as bar:
        bar.update(1)
    log.show(0)
    with log.progress("quiet", 1, epochs=True) as bar:
        bar.update(1)
    assert not lines(capsys)


def test_large_files_tell_how_far_they_are(capsys, clock, tmp_path, monkeypatch):
    log.show()
    from kgrec.data.io import files

    monkeypatch.setattr(files, "_LARGE", 1000)
    monkeypatch.setattr(log, "_SECONDS", 0.0)
    (tmp_path / "a.csv").write_text("user,item\n" + "u,i\n" * 600_000)
    with files.reading(tmp_path / "a.csv") as stream:
        assert len(stream.read(1_000_000)) == 1_000_000
    assert lines(capsys)[-1].startswith("reading a.csv, MB 1/2")
