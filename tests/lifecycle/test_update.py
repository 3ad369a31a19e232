"""``kgrec update``: what is new comes in, and only a run that is not worse takes the place."""

import json
import shutil
import time
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

import kgrec
from kgrec.cli import run as command
from kgrec.data.records.interactions import Interactions
from kgrec.errors import CheckpointError, DataError
from kgrec.evaluation.significance import Difference
from kgrec.lifecycle import update as module
from kgrec.lifecycle.update import METRIC, Earlier, update
from kgrec.testing import worlds

START = 1_700_000_000.0


@pytest.fixture(scope="module")
def world():
    """Two tastes: even users take even items; the log has times."""
    rng = np.random.default_rng(2)
    pairs = [(u, int(i)) for u in range(30) for i in 2 * rng.choice(12, 7, replace=False) + u % 2]
    test = [(u, next(i for i in range(u % 2, 24, 2) if (u, i) not in pairs)) for u in range(12)]
    facts = [(item, 0, 24 + item % 2) for item in range(24)]
    data = worlds.dataset(pairs, test=test, triples=facts, num_items=24)

    def timed(part):
        times = START + np.arange(len(part), dtype=np.float64)
        return Interactions(part.user, part.item, times)

    return replace(data, train=timed(data.train), test=timed(data.test))


@pytest.fixture(scope="module")
def stored(world, tmp_path_factory):
    root = tmp_path_factory.mktemp("update")
    data = world.save(root / "data")
    made = {}

    def make(model):
        if model not in made:
            settings = {} if model == "ease" else {"dim": 8, "epochs": 3, "patience": 0}
            made[model] = kgrec.fit(model, data, **settings)
        return made[model]

    return make


@pytest.fixture
def news(world):
    """Forty new interactions: of known users and of five new ones, with two new items."""
    had = {*zip(world.train.user.tolist(), world.train.item.tolist(), strict=True)}
    had |= {*zip(world.test.user.tolist(), world.test.item.tolist(), strict=True)}
    rows = [
        (f"u{u}", f"i{i}") for u in range(12, 30) for i in range(u % 2, 24, 2) if (u, i) not in had
    ][:34]
    rows += [(f"n{n}", f"i{2 * n}") for n in range(5)] + [("u0", "fresh")]
    times = [START + 10_000 + at for at in range(len(rows))]
    return pl.DataFrame(rows, schema=["user", "item"], orient="row").with_columns(
        time=pl.Series(times)
    )


def test_what_is_new_is_in_and_ids_stay(stored, news, tmp_path):
    run = stored("lightgcn-kg")
    folder = run.save(tmp_path / "run")
    twice = pl.concat([news, news[:3]])
    done = update(folder, twice)
    assert (done.how, done.epochs, done.promoted) == ("warm start", 4, True)
    assert done.added == {"interactions": 40, "users": 5, "items": 1, "facts": 0, "known": 3}
    new = kgrec.load_run(folder)
    assert list(new.data.users) == [*run.data.users, *(f"n{n}" for n in range(5))]
    assert (new.data.num_items, len(new.data.valid)) == (25, 4)
    # what was held out before is trained on; the newest tenth is the validation part
    assert len(new.data.train) + 4 == 30 * 7 + 12 + 40
    assert set(new.data.items.keys(new.data.valid.item)) == {"i4", "i6", "i8", "fresh"}
    assert new.summary["start"]["kept"]["users"] == 30
    assert new.evaluate("valid").metrics["recall@20"] == pytest.approx(done.new["recall@20"])
    assert "fresh" in new.recommend("u3", k=25, allow_seen=True)["item"].to_list()


def test_a_closed_form_is_computed_again(stored, news, tmp_path):
    folder = stored("ease").save(tmp_path / "run")
    done = update(folder, news)
    assert done.how == "refit"
    again = kgrec.fit("ease", kgrec.load_run(folder).data)
    torch.testing.assert_close(done.run.model.state_dict(), again.model.state_dict())


@pytest.mark.parametrize(
    ("high", "users", "promoted"), [(-0.01, 20, False), (0.01, 20, True), (-0.01, 9, True)]
)
def test_a_run_that_is_worse_beyond_the_interval_is_refused(
    stored, news, tmp_path, monkeypatch, high, users, promoted
):
    folder = stored("ease").save(tmp_path / "run")
    before = (folder / "config.json").read_bytes()
    gap = Difference(users, high - 0.1, high - 0.2, high, -1.0, 0, users, 0.01, 0.01)
    monkeypatch.setattr(module, "_evaluated", lambda *_: ({METRIC: 0.4}, {METRIC: 0.3}, gap, users))
    done = update(folder, news)
    assert done.promoted == promoted
    assert ((folder / "config.json").read_bytes() == before) != promoted
    assert any("too few" in note for note in done.notes) == (users < 10)


def test_old_and_new_are_evaluated_alike(stored, world, news):
    """The same run is as good as itself; users of the newest interactions are paired."""
    run = stored("ease")
    data = replace(run.data, valid=world.test, test=Interactions())
    old, new, gap, users = module._evaluated(run, run.in_place_of(run, data=data), data)
    assert old == new
    assert (gap.mean, gap.low, gap.high, users) == (0, 0, 0, 12)


def test_time_ends_a_training_from_the_beginning(stored, news, tmp_path):
    folder = stored("lightgcn-kg").save(tmp_path / "run")
    done = update(folder, news, minutes=1e-9)
    assert (done.how, done.epochs) == ("retrained", 1)
    assert "start" not in done.run.summary


def test_an_earlier_run_shows_no_new_item_and_takes_new_users_for_strangers(stored):
    from kgrec.batches import Query

    scorer = stored("lightgcn-kg").scorer()
    query = Query(
        torch.tensor([3, 31]), torch.tensor([[0, 24], [2, 24]]), torch.ones(2, 2, dtype=torch.bool)
    )
    found = Earlier(scorer, 30, 24, 26)(query)
    asked = Query(
        torch.tensor([3, -1]), torch.tensor([[0], [2]]), torch.ones(2, 1, dtype=torch.bool)
    )
    torch.testing.assert_close(found[:, :24], scorer(asked))
    assert torch.isinf(found[:, 24:]).all()


def test_what_is_no_update_is_refused(stored, world, news, tmp_path):
    folder = stored("lightgcn-kg").save(tmp_path / "run")
    before = sorted((p.name, p.stat().st_mtime_ns) for p in folder.iterdir())
    old = pl.DataFrame({"user": ["u0"], "item": [f"i{world.train.item[0]}"], "time": [START]})
    with pytest.raises(DataError, match="no interaction is new"):
        update(folder, old)
    late = news.with_columns(time=pl.lit(time.time() + 90_000))
    with pytest.raises(DataError, match="of the future, the first of user 'u12'"):
        update(folder, late)
    with pytest.raises(DataError, match="no times"):
        update(folder, news.drop("time"))
    with pytest.raises(DataError, match="new item 'bare': no fact and no interaction"):
        update(folder, news, items=["bare"])
    assert before == sorted((p.name, p.stat().st_mtime_ns) for p in folder.iterdir())


def test_what_a_killed_update_left_is_removed_by_the_next_call(stored, news, tmp_path):
    folder = stored("ease").save(tmp_path / "run")
    folder.rename(tmp_path / ".run.old-0123abcd")  # between the two renames
    update(folder, news)
    shutil.copytree(folder, tmp_path / ".run.old-0123abcd")  # behind them
    with pytest.raises(DataError, match="no interaction is new"):
        update(folder, news)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_that_was_replaced_meanwhile_is_left(stored, news, tmp_path, monkeypatch):
    run = stored("lightgcn-kg")
    folder = run.save(tmp_path / "run")
    other = stored("ease")

    def judged(*_):
        other.save(folder)
        return {}, {}, None, 0

    monkeypatch.setattr(module, "_evaluated", judged)
    with pytest.raises(CheckpointError, match="replaced meanwhile"):
        update(folder, news)
    assert kgrec.load_run(folder).name == "ease"


def test_the_command_says_what_it_did(stored, news, tmp_path, capsys):
    folder = stored("lightgcn-kg").save(tmp_path / "run")
    news.write_csv(tmp_path / "new.csv")
    arguments = ["-q", "update", str(folder), "--interactions", str(tmp_path / "new.csv")]
    assert command([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["added"]["users"] == 5
    assert told["how"] == "warm start"
    assert command(arguments) == 2
    assert "no interaction is new" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["ease-kg", "kgfuse"])
def test_what_was_chosen_on_validation_stays(world, news, tmp_path, model):
    """An update has nothing to choose by; a warm start begins at the graph that was kept."""
    held = replace(world, valid=world.test, test=Interactions())
    settings = {} if model == "ease-kg" else {"dim": 8, "epochs": 2, "patience": 0}
    run = kgrec.fit(model, held, **settings)
    chosen = dict(run.model.settled())
    assert chosen
    done = update(run.save(tmp_path / "run"), news)
    found = dict(done.run.model.settled()) or {
        name: getattr(done.run.config, name) for name in chosen
    }
    assert found == chosen
    assert done.run.summary.get("start", {}).get("fresh", []) == []


def test_warm_starts_do_not_shorten_a_training_from_the_beginning(stored, news, tmp_path):
    folder = stored("lightgcn-kg").save(tmp_path / "run")
    best = kgrec.load_run(folder).summary["best_epoch"]
    update(folder, news[:20], epochs=1)
    assert update(folder, news[20:], minutes=10.0).epochs == best > 1
