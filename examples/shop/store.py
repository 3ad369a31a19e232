"""The shop's database: products and clicks, in PostgreSQL or DuckDB."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

TABLES = (
    "CREATE TABLE products (item_id VARCHAR(40) PRIMARY KEY, title VARCHAR(200) NOT NULL, "
    "brand VARCHAR(80) NOT NULL, category VARCHAR(80) NOT NULL, material VARCHAR(80) NOT NULL, "
    "price DOUBLE PRECISION NOT NULL)",
    "CREATE TABLE clicks (user_id VARCHAR(80) NOT NULL, item_id VARCHAR(40) NOT NULL, "
    "clicked_at BIGINT NOT NULL)",
)

AT_ONCE = 100


class Store:
    """A database by its address: ``postgresql://host/db`` or ``duckdb:///shop.duckdb``.

    Passwords come from PGPASSWORD or ~/.pgpass. A file of DuckDB is open only while it is used, so
    that ``kgrec build`` can read it as well.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[Any]:
        if self.address.startswith("duckdb:///"):
            import duckdb

            with duckdb.connect(self.address.removeprefix("duckdb:///")) as database:
                yield database
            return

        import adbc_driver_postgresql.dbapi as postgresql

        with postgresql.connect(self.address) as database, database.cursor() as cursor:
            yield cursor
            database.commit()  # once: each waits for the disk

    def _placed(self, query: str) -> str:
        """Return a query with the placeholders of the database."""
        for number in range(1, query.count("?") + 1):
            query = query.replace("?", f"${number}", 1)
        return query

    def create(self) -> None:
        """Make the tables."""
        with self._cursor() as cursor:
            for statement in TABLES:
                cursor.execute(statement)

    def add(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows, many a statement: a server is asked seldom."""
        with self._cursor() as cursor:
            for start in range(0, len(rows), AT_ONCE):
                part = rows[start : start + AT_ONCE]
                row = f"({', '.join('?' * len(part[0]))})"
                query = f"INSERT INTO {table} VALUES {', '.join([row] * len(part))}"
                cursor.execute(self._placed(query), [value for each in part for value in each])

    def rows(self, query: str, given: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query; what comes from outside is never a part of its text."""
        with self._cursor() as cursor:
            cursor.execute(self._placed(query), list(given))
            if hasattr(cursor, "fetch_arrow"):  # ADBC's own rows need pyarrow
                return pl.DataFrame(cursor.fetch_arrow()).rows()
            return [tuple(row) for row in cursor.fetchall()]

    def click(self, user: str, item: str) -> bool:
        """Keep a click; return False where there is no such product."""
        if not self.rows("SELECT 1 FROM products WHERE item_id = ?", [item]):
            return False
        self.add("clicks", [(user, item, int(time.time()))])
        return True

    def clicked(self, user: str, most: int = 50) -> list[str]:
        """Return what somebody clicked last, oldest first, each once."""
        query = (
            "SELECT item_id FROM clicks WHERE user_id = ? GROUP BY item_id ORDER BY max(clicked_at) DESC, "
            f"item_id LIMIT {int(most)}"
        )
        return [item for (item,) in self.rows(query, [user])][::-1]
