"""Rows of PostgreSQL, SQLite and DuckDB by address; no secret anywhere; one clear line."""

import json
import sqlite3
import threading
import time

import numpy as np
import polars as pl
import pytest
import shop as shops
from postgres import PASSWORD, Between, server

import kgrec
from kgrec.cli import run as main
from kgrec.data.io import databases
from kgrec.data.io.databases import DatabaseQuery, query_of
from kgrec.errors import ConfigError, FetchError, FormatError, MissingFileError

START = 1_700_000_000


def clicks():
    return [
        (n, f"u{n % 5}", f"{(n * 7) % 11:04}", START + n * 3600, 1.5 * (n % 3), n)
        for n in range(60)
    ]


COLUMNS = ("event_id", "user_id", "item_id", "ts", "price", "big")


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("csv") / "clicks.csv"
    pl.DataFrame(clicks(), schema=COLUMNS, orient="row").write_csv(path)
    return path


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory):
    path = tmp_path_factory.mktemp("sqlite") / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE clicks (event_id INT, user_id TEXT, item_id TEXT, ts INT, price REAL, "
            "big INT)"
        )
        connection.executemany("INSERT INTO clicks VALUES (?, ?, ?, ?, ?, ?)", clicks())
    connection.close()
    return path


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, server(tmp_path_factory.mktemp("pg") / "s") as url:
        patch.setenv("PGPASSWORD", PASSWORD)
        from adbc_driver_postgresql import dbapi

        with dbapi.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE clicks (event_id int, user_id text, item_id text, ts timestamptz, "
                "price numeric(8, 2), big bigint)"
            )
            rows = ", ".join(
                f"({e}, '{u}', '{i}', to_timestamp({t}), {p}, {b})" for e, u, i, t, p, b in clicks()
            )
            cursor.execute(f"INSERT INTO clicks VALUES {rows}")
            connection.commit()
        yield url


def same(source, csv):
    found = kgrec.read_interactions(source).frame
    assert found.sort("time").equals(kgrec.read_interactions(csv).frame.sort("time"))


def test_sqlite_gives_the_rows_of_the_file(sqlite, csv):
    same(f"sqlite:///{sqlite}#clicks", csv)
    same(DatabaseQuery(f"sqlite:///{sqlite}", "SELECT user_id, item_id, ts FROM clicks;"), csv)


def test_duckdb_gives_the_rows_of_the_file(tmp_path, csv):
    duckdb = pytest.importorskip("duckdb", reason="needs pip install 'kgrec[sql]'")
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            f"CREATE TABLE clicks AS SELECT * FROM read_csv('{csv}', types={{'item_id': 'VARCHAR'}})"
        )
    same(f"duckdb:///{path}#clicks", csv)
    with pytest.raises(FormatError, match=r"is a DuckDB database\. Name a table: duckdb:///"):
        kgrec.read_interactions(path)


def test_postgresql_gives_the_rows_of_the_file(postgres, csv):
    same(f"{postgres}#clicks", csv)
    same(DatabaseQuery(postgres, "SELECT user_id, item_id, ts FROM clicks WHERE big >= 0"), csv)
    prices = kgrec.read_interactions(f"{postgres}#public.clicks", rating="price").frame["rating"]
    assert sorted(prices) == sorted(row[4] for row in clicks())


@pytest.mark.parametrize("system", ["sqlite", "postgres"])
@pytest.mark.parametrize(
    "query",
    [
        "-- clicks; all of them\nSELECT user_id, item_id, ts, price FROM clicks -- and no more",
        "/* of May */ select user_id, item_id, ts, price from clicks; -- done\n",
        "SELECT user_id, item_id, ts, price FROM clicks WHERE user_id <> '; --'\n;\n\n",
        "WITH one AS (SELECT * FROM clicks) SELECT user_id, item_id, ts, price FROM one;;",
    ],
)
def test_queries_may_have_comments(request, csv, system, query):
    where = request.getfixturevalue(system)
    address = where if system == "postgres" else f"sqlite:///{where}"
    same(DatabaseQuery(address, query), csv)


def test_a_dataset_from_postgresql_keeps_no_secret(postgres, csv, tmp_path, capsys):
    out, query = tmp_path / "d", tmp_path / "q.sql"
    query.write_text("SELECT user_id, item_id, ts FROM clicks")
    arguments = ["build", "--interactions", str(query), "--database", postgres, "--out", str(out)]
    assert main([*arguments, "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    host = postgres.split("@")[1]
    assert found["sources"] == [f"postgresql://{host} (query)"]
    assert [role["column"] for role in found["roles"]] == ["user_id", "item_id", "ts"]
    stored = b"".join(path.read_bytes() for path in out.iterdir())
    for secret in (PASSWORD, "shop@"):
        assert secret not in said.out + said.err
        assert secret.encode() not in stored
    other = tmp_path / "csv"
    assert main(["build", "--interactions", str(csv), "--out", str(other)]) == 0
    for path in out.glob("*.npy"):
        assert path.read_bytes() == (other / path.name).read_bytes()


def test_postgresql_refuses_in_one_line(postgres, monkeypatch):
    with pytest.raises(FetchError, match="does not exist"):
        kgrec.read_interactions(f"{postgres}#nothing")
    with pytest.raises(FormatError, match="which column is the user"):
        kgrec.read_interactions(DatabaseQuery(postgres, "SELECT event_id, price, ts FROM clicks"))
    deleting = "WITH x AS (DELETE FROM clicks RETURNING *) SELECT * FROM x"
    with pytest.raises(FetchError):
        kgrec.read_interactions(DatabaseQuery(postgres, deleting))
    assert kgrec.read_interactions(f"{postgres}#clicks").frame.height == 60
    slow = DatabaseQuery(f"{postgres}?statement_timeout=1", "SELECT pg_sleep(5) AS user_id")
    with pytest.raises(FetchError, match="statement timeout"):
        kgrec.read_interactions(slow)
    monkeypatch.setenv("PGPASSWORD", "wrong-" + PASSWORD)
    with pytest.raises(FetchError, match="password authentication failed") as raised:
        kgrec.read_interactions(f"{postgres}#clicks")
    assert PASSWORD not in str(raised.value)
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("HOME", "/nowhere")
    with pytest.raises(FetchError, match=r"no password supplied.* PGPASSWORD"):
        kgrec.read_interactions(f"{postgres}#clicks")


def test_a_server_that_is_down():
    pytest.importorskip("adbc_driver_postgresql", reason="needs pip install 'kgrec[sql]'")
    with pytest.raises(FetchError, match=r"Connection refused.* Is the server running") as raised:
        kgrec.read_interactions("postgresql://127.0.0.1:9/shop#clicks")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("postgresql://shop:hunter2@h/db#clicks", ConfigError, "holds a password.*PGPASSWORD"),
        ("postgresql://h/db?password=hunter2#clicks", ConfigError, "holds a password"),
        ("postgresql://h/db", ConfigError, r"which table\? Write postgresql://h/db#TABLE"),
        ("mysql://h/db#t", ConfigError, "mysql: not a database that is read"),
        ("sqlite:///nothing.db#t", MissingFileError, "no such file"),
    ],
)
def test_addresses(source, error, message):
    with pytest.raises(error, match=message) as raised:
        kgrec.read_interactions(source)
    assert "hunter2" not in str(raised.value)


def test_sqlite_says_what_is_wrong(sqlite, tmp_path):
    with pytest.raises(FetchError, match=r"no such table: click\..* Tables: clicks"):
        kgrec.read_interactions(f"sqlite:///{sqlite}#click")
    with pytest.raises(FormatError, match=r"is an SQLite database\. Name a table: .*#clicks"):
        kgrec.read_interactions(sqlite)
    deleting = DatabaseQuery(f"sqlite:///{sqlite}", "WITH x AS (SELECT 1) DELETE FROM clicks")
    with pytest.raises(FetchError, match="readonly"):
        kgrec.read_interactions(deleting)
    damaged = tmp_path / "bad.db"
    damaged.write_bytes(b"SQLite format 3\0" + b"x" * 4000)
    with pytest.raises(FetchError):
        kgrec.read_interactions(f"sqlite:///{damaged}#clicks")
    assert query_of("clicks", f"sqlite:///{sqlite}").statement == 'SELECT * FROM "clicks"'


def summed_by_hand(one):
    """Weight and first time of each pair of a user and a listed product, written as listed."""
    listed = set(one.products["product_id"])
    columns = ("user_id", "sku", "event_type", "quantity")
    rows = zip(*(one.events[name] for name in columns), one.seconds.tolist(), strict=True)
    found = {}
    for user, item, event, quantity, second in set(rows):
        weight = shops.WEIGHTS[event] * quantity
        if weight > 0 and item in listed:
            before, first = found.get((user, item), (0, second))
            found[user, item] = before + weight, min(first, second)
    return found


def known(data):
    """The same of a dataset."""
    return {
        (data.users.key(user), data.items.key(item)): (float(weight), int(second))
        for part in (data.train, data.valid, data.test)
        for user, item, weight, second in zip(
            part.user, part.item, part.weight, part.time, strict=True
        )
    }


@pytest.mark.parametrize(
    "size",
    [
        {"products": 120, "rows": 4_000, "program_rows": 600},
        pytest.param(
            {"products": 3_000, "rows": 200_000, "program_rows": 3_000}, marks=pytest.mark.long
        ),
    ],
    ids=["small", "full"],
)
def test_a_shop_is_the_same_from_every_source(postgres, tmp_path, size):
    one = shops.shop(**size)
    makers = {"csv": shops.as_csv, "parquet": shops.as_parquet, "sqlite": shops.as_sqlite}
    for name in makers:
        (tmp_path / name).mkdir()
    sources = {name: make(one, tmp_path / name) for name, make in makers.items()}
    sources["postgresql"] = shops.as_postgresql(one, postgres)
    settings = {
        "catalog": "items",
        "event": "event_type",
        "weights": shops.WEIGHTS,
        "quantity": "quantity",
        "item_attributes": True,
    }
    built = {}
    for name, source in sources.items():
        log = source.pop("interactions")
        with pytest.raises(FormatError, match=r"'ts' has times of several units.*time_format"):
            kgrec.Dataset.build(log, **source, **settings)
        built[name] = kgrec.Dataset.build(log, **source, **settings, time_format="epoch")

    first = built["csv"]
    assert known(first) == summed_by_hand(one)
    assert set(first.items) == set(one.products["product_id"])
    said = [warning.what for warning in first.report.warnings]
    assert any(all(name in what for name in one.programs) for what in said)
    counted = one.events.filter(
        pl.col("event_type") != "impression",
        pl.col("quantity") > 0,
        pl.Series(one.written) != pl.col("sku"),
    )
    wrong = {
        kind: len({item for item in counted["sku"] if fits(item)})
        for kind, fits in (
            ("a .0 at the end", lambda item: item.endswith(".0")),
            ("case", lambda item: item.startswith("SKU")),
        )
    }
    for kind, count in wrong.items():
        assert count > 5
        assert any(f"{count:,} differ by {kind}" in what for what in said)

    stored = {name: tmp_path / f"{name}.dataset" for name in built}
    for name, data in built.items():
        data.save(stored[name])
        assert data.report.dropped == first.report.dropped
        assert [role.column for role in data.report.roles] == [
            role.column for role in first.report.roles
        ]

    # What is said of the sources differs; and rows of a text file are lines, the header the first.
    own = {"dataset.json", "manifest.json", "triple_locator.npy"}
    for path in stored["csv"].iterdir():
        for other in stored.values():
            assert path.name in own or path.read_bytes() == (other / path.name).read_bytes()

    lines = {name: np.load(path / "triple_locator.npy") for name, path in stored.items()}
    assert set(lines["csv"] - lines["parquet"]) <= {0, 1}
    for name in ("sqlite", "postgresql"):
        assert np.array_equal(lines[name], lines["parquet"])


MANY = """SELECT 'u' || n % 50 AS user_id, 'i' || n % 700 AS item_id FROM generate_series(1, 60000) n
{} WHERE n > 0"""


def refused(address, query, folder, capsys):
    """Build from a query that fails, and return the one line that is said."""
    out = folder / "dataset"
    before = sorted(folder.iterdir())
    arguments = ["build", "--interactions", query, "--database", address, "--out", str(out)]
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert sorted(folder.iterdir()) == before
    assert said.out == ""
    assert PASSWORD not in said.err
    lines = [line for line in said.err.splitlines() if line.startswith("kgrec: ")]
    assert len(lines) == 1
    assert "Traceback" not in said.err
    return lines[0]


def through(address, port):
    """The address, behind another port."""
    return f"{address.rpartition(':')[0]}:{port}/postgres"


def test_a_connection_that_the_server_ends_amid_the_rows(postgres, tmp_path, capsys):
    from adbc_driver_postgresql import dbapi

    waiting = ", LATERAL (SELECT CASE WHEN n = 50000 THEN pg_sleep(30)::text END) AS pause"
    found = []

    def end():
        with dbapi.connect(postgres, autocommit=True) as connection:
            until = time.monotonic() + 25
            while not found and time.monotonic() < until:
                with connection.cursor() as cursor:
                    cursor.execute(
                        "SELECT pg_terminate_backend(pid) AS done FROM pg_stat_activity "
                        "WHERE wait_event = 'PgSleep'"
                    )
                    found.extend(pl.DataFrame(cursor.fetch_polars())["done"])

    other = threading.Thread(target=end)
    other.start()
    line = refused(postgres, MANY.format(waiting), tmp_path, capsys)
    other.join()
    assert found == [True]
    assert "terminating connection due to administrator command" in line
    assert line.endswith("The connection was cut: try again.")


@pytest.mark.parametrize("most", [1, 300, 2_000, 200_000])
def test_a_connection_that_is_cut(postgres, tmp_path, capsys, most):
    port = int(postgres.rpartition(":")[2].partition("/")[0])
    with Between(port, most=most) as other:
        line = refused(through(postgres, other), MANY.format(""), tmp_path, capsys)
    assert line.endswith("The connection was cut: try again.")


def test_a_server_that_falls_silent(postgres, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(databases, "_SPARE_SECONDS", -2)
    port = int(postgres.rpartition(":")[2].partition("/")[0])
    with Between(port, most=200_000, stays=True) as other:
        address = through(postgres, other) + "?statement_timeout=1&connect_timeout=2"
        line = refused(address, MANY.format(""), tmp_path, capsys)
    assert line.endswith("no answer within 2 s. The connection was cut: try again.")


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"stays": True}, "Is the server there, and are host and port right?"),
        ({}, "The connection was cut: try again."),
        ({"first": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, "Is this a PostgreSQL server"),
        ({"first": b"N"}, "The connection was cut: try again."),
        ({"first": b"\0" * 64}, "Is this a PostgreSQL server"),
    ],
    ids=["silent", "closes", "http", "closes later", "zeros"],
)
def test_what_is_no_server(tmp_path, capsys, settings, what):
    pytest.importorskip("adbc_driver_postgresql", reason="needs pip install 'kgrec[sql]'")
    with Between(**settings) as port:
        address = f"postgresql://shop@127.0.0.1:{port}/postgres?connect_timeout=2"
        assert what in refused(address, "clicks", tmp_path, capsys)


def test_who_may_not_read(postgres, tmp_path, capsys):
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(postgres, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE clerk LOGIN PASSWORD '{PASSWORD}'")
        cursor.execute("CREATE TABLE hidden AS SELECT 1 AS user_id, 2 AS item_id")

    address = postgres.replace("shop@", "clerk@")
    assert refused(address, "hidden", tmp_path, capsys).endswith("GRANT SELECT.")


@pytest.mark.parametrize("setting", ["statement_timeout=soon", "connect_timeout=1e3"])
def test_limits_that_are_none(setting):
    pytest.importorskip("adbc_driver_postgresql", reason="needs pip install 'kgrec[sql]'")
    with pytest.raises(ConfigError, match="is not a whole number of seconds"):
        kgrec.read_interactions(f"postgresql://127.0.0.1:9/shop?{setting}#clicks")


def test_a_file_that_another_program_locks(sqlite, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(databases, "_LOCK_SECONDS", 0.1)
    with sqlite3.connect(sqlite) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        line = refused(f"sqlite:///{sqlite}", "clicks", tmp_path, capsys)
    connection.close()
    assert line.endswith("Another program writes there: try again, or copy the file.")
