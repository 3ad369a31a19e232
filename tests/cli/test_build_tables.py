"""``kgrec build`` on logs as shops have them: what is printed, and one line for bad input."""

import json
import sqlite3

import numpy as np
import polars as pl
import pytest

from kgrec.cli import run

START, DAY = 1_700_000_000, 86_400


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop's log with its dirt, a fiftieth of 200,000 events, as CSV, Parquet and SQLite."""
    folder = tmp_path_factory.mktemp("shop")
    random = np.random.default_rng(7)
    rows = 4_000
    popular = (random.pareto(1.0, rows) * 4).astype(int) % 60
    users = np.where(
        random.random(rows) < 0.3,
        "bot",
        "c" + pl.Series(random.integers(0, 200, rows)).cast(pl.String).to_numpy().astype(str),
    )
    log = pl.DataFrame(
        {
            "event_id": np.arange(rows),
            "visitor": users,
            "sku": [f"{n:05}" for n in popular],
            "event_type": random.choice(["view"] * 8 + ["cart", "purchase"], rows),
            "qty": random.choice([1, 1, 2, -1], rows),
            "ts": START + random.integers(0, 300 * DAY, rows),
        }
    )
    log = pl.concat([log, log.tail(50)])
    products = pl.DataFrame(
        {
            "sku": [f"{n:05}" for n in range(50)] + ["99999"],
            "title": [f"Product {n}" for n in range(51)],
            "category": ["Shoes > Running", "Shoes > City", "Bags"] * 17,
            "price": [f"{n + 1},90 €" for n in range(50)] + ["—"],
        }
    )
    log.write_csv(folder / "clicks.csv")
    products.write_csv(folder / "products.csv")
    (folder / "parts").mkdir()
    for number in range(3):
        log[number::3].write_parquet(folder / "parts" / f"{number}.parquet")
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute("CREATE TABLE clicks (event_id, visitor, sku, event_type, qty, ts)")
        connection.executemany("INSERT INTO clicks VALUES (?, ?, ?, ?, ?, ?)", log.iter_rows())
    connection.close()
    return folder


def build(shop, capsys, out, *arguments):
    code = run(["build", *map(str, arguments), "--out", str(out)])
    return code, capsys.readouterr()


WEIGHED = (
    *("--event", "event_type", "--weights", "view=1,cart=3,purchase=5", "--quantity", "qty"),
    *("--half-life", "60", "--cap", "40", "--min-events", "3", "--split", "temporal"),
)


def test_the_same_dataset_from_every_source(shop, tmp_path, capsys):
    found = {}
    for name, source in (
        ("csv", shop / "clicks.csv"),
        ("folder", shop / "parts"),
        ("sqlite", f"sqlite:///{shop / 'shop.db'}#clicks"),
    ):
        arguments = ["--interactions", source, "--items", shop / "products.csv", *WEIGHED]
        code, said = build(
            shop, capsys, tmp_path / name, *arguments, "--catalog", "items", "--json"
        )
        assert code == 0, said.err
        found[name] = json.loads(said.out)

    first = found["csv"]
    assert {(r["role"], r["column"]) for r in first["roles"]} >= {
        ("user", "visitor"),
        ("item", "sku"),
        ("time", "ts"),
        ("event", "event_type"),
        ("quantity", "qty"),
    }
    assert first["items"] == 51
    assert first["settings"]["events"] == ["purchase", "cart", "view"]
    assert first["settings"]["weights"] == {"view": 1.0, "cart": 3.0, "purchase": 5.0}
    why = {dropped["why"]: dropped["count"] for dropped in first["dropped"]}
    assert why["the same as another one, time included"] == 50
    assert why["their quantity is not above 0: returns?"] > 0
    assert why["their item is not in the table of items"] > 0
    assert any("bot (" in warning["what"] for warning in first["warnings"])
    for name in ("folder", "sqlite"):
        for path in (tmp_path / "csv").iterdir():
            if path.suffix in (".npy", ".parquet"):
                assert path.read_bytes() == (tmp_path / name / path.name).read_bytes(), path.name


def test_columns_are_printed(shop, tmp_path, capsys):
    code, said = build(shop, capsys, tmp_path / "d", "--interactions", shop / "clicks.csv")
    assert code == 0
    line = (
        f"columns of {shop / 'clicks.csv'}: user = visitor (by its name), item = sku (by its name)"
    )
    assert line in said.out
    assert "rows count alike, whatever 'event_type' (event: --event), 'qty'" in said.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights", "view=1,cart=3", "--event", "event_type"], "without a weight: purchase ("),
        (["--weights", "view=-1", "--event", "event_type"], "view=-1 is negative"),
        (["--weights", "view", "--event", "event_type"], "'view' is not a type and a number"),
        (["--weight", "qty"], "rows have a negative weight"),
        (["--item", "product"], "no column 'product'"),
        (["--time-format", "hours"], "time_format: 'hours' is unknown"),
        (["--links-set", "a=b"], "link_columns: 'a' is unknown"),
        (["--catalog", "items"], "needs a table of items"),
        (["--database", "sqlite:///nothing.db", "--item", "sku", "--items", "x"], "no such file"),
        (["--database", "postgresql://u:pw@h/d", "--items", "x"], "holds a password"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(shop, tmp_path, capsys, arguments, message):
    out = tmp_path / "d"
    code, said = build(shop, capsys, out, "--interactions", shop / "clicks.csv", *arguments)
    assert code == 2
    assert message in said.err
    assert "pw" not in said.err
    assert said.err.rstrip("\n").rpartition("kgrec: ")[2].count("\n") == 0
    assert list(tmp_path.iterdir()) == []


def test_the_item_is_the_column_that_the_items_name(tmp_path, capsys):
    rows = [(n, f"u{n % 6}", f"p{n % 5}", f"x{n % 3}") for n in range(60)]
    log = pl.DataFrame(rows, schema=["event_id", "user_id", "foo", "bar"], orient="row")
    log.write_csv(tmp_path / "clicks.csv")
    code, said = build(None, capsys, tmp_path / "d", "--interactions", tmp_path / "clicks.csv")
    assert code == 2
    assert "which column is the item (foo or bar)?" in said.err
    pl.DataFrame({"key": [f"p{n}" for n in range(5)], "color": list("aabbc")}).write_csv(
        tmp_path / "items.csv"
    )
    arguments = ["--interactions", tmp_path / "clicks.csv", "--items", tmp_path / "items.csv"]
    code, said = build(None, capsys, tmp_path / "d", *arguments)
    assert code == 0
    assert "item = foo (its values are those of" in said.out


def test_ids_that_differ_by_form_are_said(tmp_path, capsys):
    pl.DataFrame(
        {"user_id": [f"u{n % 5}" for n in range(40)], "item_id": [n % 8 for n in range(40)]}
    ).write_csv(tmp_path / "clicks.csv")
    (tmp_path / "items.csv").write_text(
        "item_id,genre\n" + "".join(f"{n}.0,g{n % 2}\n" for n in range(8))
    )
    arguments = ["--interactions", tmp_path / "clicks.csv", "--items", tmp_path / "items.csv"]
    code, said = build(None, capsys, tmp_path / "d", *arguments)
    assert code == 0
    assert "8 differ by a .0 at the end ('0' and '0.0')" in said.out
