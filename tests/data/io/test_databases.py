"""Rows of PostgreSQL, SQLite and DuckDB by address; no secret anywhere; one clear line."""

import json
import sqlite3

import polars as pl
import pytest
from postgres import PASSWORD, server

import kgrec
from kgrec.cli import run as main
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
