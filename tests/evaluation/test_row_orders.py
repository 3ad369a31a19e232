"""Figures do not move with the order of the lines: the program that shows it, on a small world and
on ml-100k.
"""

import importlib.util

import polars as pl
import pytest

import kgrec


@pytest.fixture(scope="module")
def program(root):
    """The program, which is no module of the package."""
    spec = importlib.util.spec_from_file_location(
        "row_orders", root / "benchmarks" / "row_orders.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_orders_hold_the_same_rows(program):
    log = pl.DataFrame({"user_id": list("abcabc"), "item_id": list("xxxxyz")})
    found = dict(program.orders(log))
    assert all(sorted(rows.rows()) == sorted(log.rows()) for rows in found.values())
    assert found["as published"].equals(log)
    assert found["popular first"]["item_id"].to_list()[:4] == ["x"] * 4
    assert found["rare first"]["item_id"].to_list()[2:] == ["x"] * 4


FEW, ALL = (
    ["popularity", "ease"],
    ["popularity", "itemknn", "ease", "ials", "gfcf", "ease-kg", "lightgcn"],
)


@pytest.mark.parametrize(
    "models", [FEW, pytest.param(ALL, marks=pytest.mark.long)], ids=["few", "all"]
)
def test_models_in_four_orders(program, shared_data, models):
    """A temporal split of ml-100k, most of whose test users are strangers; exactly equal, since the
    datasets are.
    """
    found = program.measure(shared_data("ml-100k"), models, "temporal", 1, 1)
    for model, rows in found.items():
        first, *others = rows.values()
        assert list(rows) == ["as published", "shuffled", "popular first", "rare first"]
        assert all(dict(other) == dict(first) for other in others), model
        assert first["ndcg@20"] > 0.01, model


def test_lists_that_people_see_are_the_same_too():
    rows = [(f"u{n % 7}", f"i{n * n % 11}", n % 5) for n in range(60)]
    frames = [
        pl.DataFrame(own, schema=["user", "item", "time"], orient="row")
        for own in (rows, rows[::-1])
    ]
    runs = [
        kgrec.fit(
            "bprmf",
            kgrec.Dataset.build(frame, split="leave-one-out"),
            epochs=3,
            dim=8,
            device="cpu",
        )
        for frame in frames
    ]
    users = [f"u{n}" for n in range(7)]
    assert runs[0].recommend(users, k=5).equals(runs[1].recommend(users, k=5))
