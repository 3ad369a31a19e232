"""What a graph does by degrees: data made worse, and the curves."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from kgrec.cli import run as command
from kgrec.data.derive.degraded import (
    add_false_triples,
    cold_items,
    cold_users,
    distort_triples,
    keep_triples,
)
from kgrec.errors import ConfigError, DataError
from kgrec.random import numpy_generator
from kgrec.study.ablate import kger
from kgrec.study.curves import ablate_curves
from kgrec.testing import worlds


@pytest.fixture(scope="module")
def data():
    world = worlds.planted("both", users=24)
    if not len(world.valid):
        held = np.arange(len(world.train)) % 6 == 5
        world = replace(world, train=world.train.take(~held), valid=world.train.take(held))
    return world


def facts(data):
    columns = data.triples.head, data.triples.relation, data.triples.tail
    return list(zip(*(column.tolist() for column in columns), strict=True))


def draw(seed=0):
    return numpy_generator(seed, "test")


def test_smaller_shares_are_nested_and_of_the_right_size(data):
    whole = facts(data)
    held = [facts(keep_triples(data, share, generator=draw())) for share in (0, 0.25, 0.5, 1)]
    assert [len(each) for each in held] == [
        0,
        *(round(s * len(whole)) for s in (0.25, 0.5)),
        len(whole),
    ]
    assert set(held[1]) <= set(held[2]) <= set(whole)
    assert held[3] == whole


def test_distorted_triples_are_replaced_in_place(data):
    before, after = facts(data), facts(distort_triples(data, 0.5, generator=draw()))
    assert len(after) == len(before)
    changed = sum(one != other for one, other in zip(before, after, strict=True))
    wanted = round(0.5 * len(before))
    assert wanted * 0.8 <= changed <= wanted, "a drawn triple may be the one that was there"
    assert facts(distort_triples(data, 0.0, generator=draw())) == before


def test_false_triples_come_after_the_true_ones(data):
    before, after = facts(data), facts(add_false_triples(data, 0.5, generator=draw()))
    assert after[: len(before)] == before
    assert len(after) == len(before) + round(0.5 * len(before))
    assert max(max(head, tail) for head, _, tail in after) < data.num_entities


def pairs(part):
    return set(zip(part.user.tolist(), part.item.tolist(), strict=True))


def test_cold_users_keep_so_many_and_nothing_is_lost(data):
    cold, users = cold_users(data, 2, share=0.25, generator=draw())
    count = np.bincount(cold.train.user, minlength=data.num_users)
    assert (count[users] == 2).all()
    assert len(users) == round(0.25 * data.num_users)
    others = np.setdiff1d(np.arange(data.num_users), users)
    assert (count[others] == np.bincount(data.train.user, minlength=data.num_users)[others]).all()
    assert set(cold.test.user.tolist()) <= set(users.tolist())
    mine = {pair for part in (data.train, data.valid, data.test) for pair in pairs(part)}
    mine = {pair for pair in mine if pair[0] in users}
    kept = {pair for pair in pairs(cold.train) | pairs(cold.test) if pair[0] in users}
    assert kept == mine
    assert not set(cold.valid.user.tolist()) & set(users.tolist())
    with pytest.raises(DataError, match="no user has more than 1000"):
        cold_users(data, 1000, generator=draw())


def test_cold_items_are_tested_and_users_keep_something(data):
    cold, items = cold_items(data, share=0.2, generator=draw())
    assert not set(cold.train.item.tolist()) & set(items.tolist())
    assert not set(cold.valid.item.tolist()) & set(items.tolist())
    assert set(cold.test.item.tolist()) <= set(items.tolist())
    assert set(cold.train.user.tolist()) == set(data.train.user.tolist())
    moved = {pair for pair in pairs(data.train) | pairs(data.valid) if pair[1] in items}
    assert moved <= pairs(cold.test)


def test_kger_is_the_share_lost_over_the_share_taken():
    assert kger(0.1, 0.4, 0.5) == pytest.approx(0.5)
    assert kger(-0.1, 0.4, 1.0) == pytest.approx(-0.25)
    assert kger(0.1, 0.0, 1.0) is None
    assert kger(0.1, 0.4, 0.0) is None


def test_a_curve_holds_what_its_runs_gave(data, tmp_path):
    found = ablate_curves(
        data,
        "ease-kg",
        out=tmp_path / "c",
        kinds=["kept", "cold-users"],
        shares=[0.5],
        left=[2],
        seeds=2,
        metric="ndcg@10",
    )
    kept = {point.at: point for point in found.points if point.kind == "kept"}
    assert sorted(kept) == [0, 0.5, 1]
    means = {}
    for name in ("graph", "none", "kept-0.5"):
        frames = [
            pl.read_parquet(path).filter(pl.col("items") == "all users and items")
            for path in sorted((tmp_path / "c/runs").glob(f"{name}-[01].parquet"))
        ]
        means[name] = np.mean([frame["ndcg@10"].mean() for frame in frames])
    assert kept[1].mean == pytest.approx(means["graph"])
    assert kept[0].loss == pytest.approx(means["graph"] - means["none"])
    assert kept[0].kger == pytest.approx((means["graph"] - means["none"]) / means["graph"])
    lost = means["graph"] - means["kept-0.5"]
    assert kept[0.5].kger == pytest.approx(lost / means["graph"] / 0.5)
    cold = [point for point in found.points if point.kind == "cold-users"]
    assert [point.graph for point in cold] == [True, False]
    assert cold[0].loss == pytest.approx(cold[0].mean - cold[1].mean)
    assert "KGER" in found.verdicts["kept"]
    assert "2 left" in found.verdicts["cold-users"]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "c/runs").iterdir()}
    again = ablate_curves(
        data,
        "ease-kg",
        out=tmp_path / "c",
        kinds=["kept", "cold-users"],
        shares=[0.5],
        left=[2],
        seeds=2,
        metric="ndcg@10",
    )
    assert again.points == found.points
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "c/runs").iterdir()} == before


def test_the_command_line_draws_and_prints(data, tmp_path, capsys):
    data.save(tmp_path / "d")
    words = ["ablate", str(tmp_path / "d"), "--model", "ease-kg", "--seeds", "1", "--json"]
    words += ["--out", str(tmp_path / "c"), "--curves", "all", "--shares", "1", "--left", "2"]
    assert command(["-q", *words]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["verdicts"]) == {"kept", "distorted", "false", "cold-users", "cold-items"}
    assert (tmp_path / "c/curves.png").read_bytes().startswith(b"\x89PNG")
    assert pl.read_csv(tmp_path / "c/curves.csv").height == len(told["points"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kinds": ["kepts"]}, "unknown curve 'kepts'.*kept"),
        ({"kinds": []}, "at least one"),
        ({"kinds": ["kept", "kept"]}, "once"),
        ({"shares": [1.5]}, "between 0 and 1"),
        ({"shares": [float("nan")]}, "between 0 and 1"),
        ({"left": [0]}, "1 or more"),
        ({"seeds": 0}, "take at least 1"),
        ({"metric": "ndcg"}, "name@k"),
    ],
)
def test_bad_curves_are_said(change, message, data, tmp_path):
    with pytest.raises(ConfigError, match=message):
        ablate_curves(data, "ease-kg", out=tmp_path / "c", **change)
    with pytest.raises(ConfigError, match="uses no knowledge graph"):
        ablate_curves(data, "bprmf", out=tmp_path / "c")
    assert not (tmp_path / "c").exists()
