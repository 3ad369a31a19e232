"""A shop's log and its catalog with what such tables have: several writings of one id, products
that are not listed, programs among the visitors, times of three kinds, rows sent twice.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

WEIGHTS = {"view": 1, "cart": 3, "purchase": 5, "impression": 0}
START = 1_704_000_000
DAYS = 120
FAMILIES = ("Home > Kitchen", "Home > Garden", "Sport > Ball games", "Toys")


@dataclass(frozen=True, slots=True)
class Shop:
    """The tables, and what is in them.

    Attributes:
        events: The log, ids and times as text.
        products: The catalog.
        written: Id per event as the catalog writes it, "" where it is not listed.
        seconds: Time per event.
        programs: Users that are programs.
    """

    events: pl.DataFrame
    products: pl.DataFrame
    written: np.ndarray
    seconds: np.ndarray
    programs: tuple[str, ...]


def shop(*, products: int, rows: int, program_rows: int, seed: int = 0) -> Shop:
    """Simulate a shop.

    Args:
        products: Products of the catalog; half of them have numbers, half codes.
        rows: Rows of the log, but for the 1 % that are sent twice.
        program_rows: Of these, the rows of each of three programs.
        seed: Of the draws.
    """
    random = np.random.default_rng(seed)
    numbers = np.arange(products)
    ids = np.where(
        numbers % 2 == 0, (100_000 + numbers).astype(str), np.char.add("Sku-", numbers.astype(str))
    )
    catalog = pl.DataFrame(
        {
            "product_id": ids,
            "title": [f"Product {n}" for n in numbers],
            "brand": random.choice([f"brand {n}" for n in range(products // 20 + 2)], products),
            "category": random.choice(FAMILIES, products),
            "price": [f"{cents / 100:.2f} €" for cents in random.integers(99, 20_000, products)],
        }
    )

    users = np.char.add("u", random.integers(0, max(rows // 10, 12), rows).astype(str))
    users = users.astype(object)
    programs = tuple(f"crawler-{n}" for n in range(3))
    places = random.permutation(rows)
    for place, name in enumerate(programs):
        users[places[place * program_rows : (place + 1) * program_rows]] = name

    chosen = np.minimum((random.pareto(1.1, rows) * products / 30).astype(int), products - 1)
    written = ids[chosen].astype(object)
    spelled = written.copy()
    dirt = random.random(rows)
    for row in np.flatnonzero(dirt < 0.04):
        one = written[row]
        spelled[row] = f"{one}.0" if one.isdigit() else one.upper()
    for row in np.flatnonzero(dirt >= 0.95):
        spelled[row] = f"gone-{chosen[row] % 97}"
        written[row] = ""

    seconds = START + random.integers(0, DAYS * 86_400, rows)
    moments = pl.Series(seconds).cast(pl.Int64) * 1_000
    kinds = random.integers(0, 3, rows)
    iso = moments.cast(pl.Datetime("ms")).dt.strftime("%Y-%m-%dT%H:%M:%SZ").to_numpy()
    times = np.select(
        [kinds == 0, kinds == 1],
        [iso.astype(object), seconds.astype(str).astype(object)],
        moments.cast(pl.String).to_numpy().astype(object),
    )
    events = pl.DataFrame(
        {
            "event_id": np.arange(rows),
            "user_id": users.astype(str),
            "sku": spelled.astype(str),
            "event_type": random.choice(list(WEIGHTS), rows, p=[0.6, 0.2, 0.1, 0.1]),
            "quantity": random.choice([1, 1, 1, 2, 3, -1], rows),
            "ts": times.astype(str),
        }
    )
    again = random.choice(rows, rows // 100, replace=False)
    order = np.concatenate([np.arange(rows), again])
    return Shop(events[order], catalog, written[order], seconds[order], programs)


def as_csv(one: Shop, folder: Path) -> dict[str, str]:
    """Write CSV files, and return the sources by what they are."""
    one.events.write_csv(folder / "events.csv")
    one.products.write_csv(folder / "products.csv")
    return {"interactions": str(folder / "events.csv"), "items": str(folder / "products.csv")}


def as_parquet(one: Shop, folder: Path, files: int = 7) -> dict[str, str]:
    """Write folders of Parquet files, likewise."""
    sources = {}
    for name, frame in (("interactions", one.events), ("items", one.products)):
        parts = folder / name
        parts.mkdir()
        each = -(-frame.height // files)
        for number in range(files):
            frame.slice(number * each, each).write_parquet(parts / f"part-{number}.parquet")
        (parts / "_SUCCESS").touch()
        sources[name] = str(parts)
    return sources


def as_sqlite(one: Shop, folder: Path) -> dict[str, str]:
    """Write an SQLite file, likewise."""
    path = folder / "shop.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        for name, frame in (("events", one.events), ("products", one.products)):
            kinds = (
                f"{column} {'INTEGER' if kind.is_integer() else 'TEXT'}"
                for column, kind in frame.schema.items()
            )
            connection.execute(f"CREATE TABLE {name} ({', '.join(kinds)})")
            marks = ", ".join("?" * frame.width)
            connection.executemany(f"INSERT INTO {name} VALUES ({marks})", frame.iter_rows())
    return {"interactions": f"sqlite:///{path}#events", "items": f"sqlite:///{path}#products"}


def as_postgresql(one: Shop, address: str) -> dict[str, str]:
    """Fill two tables of a server, likewise."""
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(address) as connection, connection.cursor() as cursor:
        for name, frame in (("events", one.events), ("products", one.products)):
            cursor.adbc_ingest(name, frame, mode="replace")
        connection.commit()
    return {"interactions": f"{address}#events", "items": f"{address}#products"}
