"""Tables of databases by address: PostgreSQL, SQLite, DuckDB.

Nothing is written: connections are read-only. No secret passes through here: PostgreSQL's own
library finds passwords in ``PGPASSWORD``, ``~/.pgpass`` or the file ``PGPASSFILE`` names.
"""

import importlib
import multiprocessing
import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import polars as pl

from kgrec.errors import ConfigError, FetchError, FormatError, MissingFileError, nearest

_SCHEME = re.compile(r"^(postgresql|postgres|sqlite|duckdb):", re.IGNORECASE)
_OTHER = re.compile(
    r"^(mysql|mariadb|mssql|oracle|snowflake|bigquery|redshift|clickhouse)(\+\w+)?://", re.I
)
_SECRET = re.compile(r"(?i)(password\s*=\s*)[^\s&]+|(://[^/@:\s]+:)[^@/\s]+(?=@)")
_QUERY = re.compile(
    r"(?:\s|--[^\n]*+\n|/\*(?:[^*]|\*(?!/))*+\*/|\()*+(?:select|with|table|values|from)\b", re.I
)
_END = re.compile(r"\s*;[\s;]*(?:--[^\n']*\s*)*$")  # what may follow the last statement
_AT_ONCE = 50_000
_CONNECT_SECONDS, _STATEMENT_SECONDS = 10, 600
_SPARE_SECONDS = 5
_LOCK_SECONDS = 5.0
# A host that is gone is noticed after a minute, where the system can be asked for it.
_ALIVE = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
_SHOWN = 20
_DIGITS = 7  # of seconds: PostgreSQL's milliseconds have 31 bits
_ARROW_TYPES = (
    *(pl.String, pl.Boolean, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Float32, pl.Float64),
    *(pl.Date, pl.Datetime, pl.List, pl.Array),
)


@dataclass(frozen=True, slots=True)
class DatabaseQuery:
    """Rows of a database.

    Attributes:
        address: ``postgresql://host/db``, ``sqlite:///file.db`` or ``duckdb:///file.duckdb``;
            without a password.
        query: A table's or a view's name, or a SELECT.

    Raises:
        ConfigError: If the address is none, or holds a password.
    """

    address: str
    query: str

    def __post_init__(self) -> None:
        """Refuse what is no address, and secrets."""
        _checked(self.address)
        if not self.query.strip():
            raise ConfigError(f"{self.shown}: an empty query. Name a table, or give a SELECT.")

    @property
    def shown(self) -> str:
        """What may be printed and stored: system, host, database and table."""
        parts = urlsplit(self.address)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
        place = f"{parts.scheme}://{host}{port}{parts.path}"
        if _QUERY.match(self.query):
            return f"{place} (query)"
        return f"{place}#{self.query.strip()}"

    @property
    def statement(self) -> str:
        """The SELECT, without what ends it."""
        bare = _END.sub("", self.query.strip())
        if _QUERY.match(bare):
            return bare
        return "SELECT * FROM " + ".".join(f'"{name}"' for name in bare.split("."))


def is_address(source: object) -> bool:
    """Return whether a source is the address of a database."""
    return isinstance(source, str) and bool(_SCHEME.match(source) or _OTHER.match(source))


def query_of(source: str, database: str | None = None) -> DatabaseQuery:
    """Return the query that an address with ``#table`` names; or one of a database: a SELECT, a
    file of one that ends in ``.sql``, or the name of a table.

    Raises:
        ConfigError: If the address is none, or names no table.
    """
    if database is not None:
        if source.lower().endswith(".sql"):
            path = Path(source)
            if not path.is_file():
                raise MissingFileError(f"{source}: no such file. Check the path.")
            source = path.read_text(encoding="utf-8")
        return DatabaseQuery(database, source)

    _checked(source)
    address, _, table = source.partition("#")
    if not table:
        shown = DatabaseQuery(address, "?").shown.removesuffix("#?")
        raise ConfigError(
            f"{shown}: which table? Write {shown}#TABLE, or give a query beside --database."
        )
    return DatabaseQuery(address, unquote(table))


def _checked(address: str) -> None:
    """Refuse an address that is none, or holds a password; the message never repeats one."""
    other = _OTHER.match(address)
    if other:
        raise ConfigError(
            f"{other[1]}: not a database that is read. Known: postgresql, sqlite, duckdb; of "
            "others, write the rows as Parquet or CSV."
        )
    if not _SCHEME.match(address):
        raise ConfigError(
            "database: not an address. Write postgresql://host/db, sqlite:///file.db or "
            "duckdb:///file.duckdb."
        )

    try:
        parts = urlsplit(address.partition("#")[0])
        port = parts.port
    except ValueError:
        raise ConfigError("database: not a valid address. Check host and port.") from None

    del port
    named = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if parts.password is not None or named & {"password", "sslpassword"}:
        raise ConfigError(
            f"{parts.scheme}://{parts.hostname or ''}: the address holds a password, which others "
            "can see and files would keep. Leave it out, and give it in PGPASSWORD, ~/.pgpass or "
            "the file that PGPASSFILE names."
        )


def read_database(query: DatabaseQuery) -> pl.DataFrame:
    """Return the rows of a query; nothing is written.

    Raises:
        ConfigError: If the library for the database is not installed.
        FetchError: If the database does not answer, refuses, or the query fails.
    """
    scheme = urlsplit(query.address).scheme.lower()
    readers = {"sqlite": _from_sqlite, "duckdb": _from_duckdb}
    frame = readers.get(scheme, _from_postgresql)(query)
    names = frame.columns
    if len(set(names)) < len(names):
        raise FormatError(f"{query.shown}: two columns of one name. Give each its own with AS.")

    return _plain(frame)


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Return exact decimals as text, as they are written."""
    return frame.with_columns(
        frame[name].cast(pl.String).alias(name)
        for name, kind in frame.schema.items()
        if isinstance(kind, pl.Decimal)
    )


def _file(query: DatabaseQuery) -> Path:
    parts = urlsplit(query.address)
    named = unquote(parts.netloc + parts.path)
    path = Path(named.removeprefix("/"))
    if named.startswith("//") or not path.is_file():
        path = Path("/" + named.lstrip("/"))

    if not path.is_file():
        raise MissingFileError(
            f"{query.shown}: no such file. Three strokes begin a path from here, four one from the "
            f"root: {parts.scheme}:///shop.db, {parts.scheme}:////data/shop.db."
        )

    return path


def _failed(query: DatabaseQuery, error: BaseException) -> FetchError:
    """Return an error in one line, without what may be secret."""
    why = " ".join(str(error).split())
    why = _SECRET.sub(lambda found: f"{found[1] or found[2]}***", why)[:300]
    return FetchError(f"{query.shown}: {why.rstrip('.?')}. {_remedy(why.lower())}")


_CUT = ("terminat", "closed the connection", "reset by peer", "broken pipe", "no answer", "eof")


def _remedy(why: str) -> str:
    remedies = (
        ("no password", "Give it in PGPASSWORD, ~/.pgpass or the file that PGPASSFILE names."),
        ("password", "Is the password in PGPASSWORD or ~/.pgpass that of this user?"),
        ("refused", "Is the server running, and are host and port right?"),
        ("statement timeout", "Ask for less, or raise statement_timeout in the address."),
        ("timeout", "Is the server there, and are host and port right?"),
        ("could not translate", "Is the host right?"),
        ("does not exist", "Check the names of user, database, table and columns."),
        ("no such table", "Check the name of the table."),
        ("permission denied", "Ask for the right to read it: GRANT SELECT."),
        ("pg_hba.conf", "The server does not let this user in from here: see its pg_hba.conf."),
        ("locked", "Another program writes there: try again, or copy the file."),
        ("starting up", "Try again when it has started."),
        ("shutting down", "Try again when it has started."),
        ("too many", "Try again when others have left."),
        ("invalid response", "Is this a PostgreSQL server, and are host and port right?"),
        ("ssl", "Does the server speak TLS? ?sslmode= says what is wanted."),
        *((words, "The connection was cut: try again.") for words in _CUT),
        ("connection", "Is this a PostgreSQL server, and are host and port right?"),
    )
    return next((remedy for part, remedy in remedies if part in why), "Check the query.")


def _sqlite(path: Path) -> sqlite3.Connection:
    address = f"{path.resolve().as_uri()}?mode=ro"
    return sqlite3.connect(address, uri=True, timeout=_LOCK_SECONDS)


def _from_sqlite(query: DatabaseQuery) -> pl.DataFrame:
    path = _file(query)
    try:
        with closing(_sqlite(path)) as connection:
            cursor = connection.execute(query.statement)
            names = [column[0] for column in cursor.description or ()]
            chunks = list(iter(lambda: cursor.fetchmany(_AT_ONCE), []))
            if not names:
                raise FormatError(f"{query.shown}: the statement gives no rows. Give a SELECT.")
    except sqlite3.Error as error:
        tables = _sqlite_tables(path)
        said = _failed(query, error)
        if "no such table" in str(error):
            raise FetchError(
                f"{said}{nearest(query.query, tables)} Tables: {', '.join(tables[:_SHOWN])}."
            ) from None
        raise said from None

    if len(set(names)) < len(names):
        raise FormatError(f"{query.shown}: two columns of one name. Give each its own with AS.")

    return pl.DataFrame([_column(query, name, place, chunks) for place, name in enumerate(names)])


def _column(
    query: DatabaseQuery, name: str, place: int, chunks: Sequence[Sequence[tuple[Any, ...]]]
) -> pl.Series:
    """Return a column of SQLite, whose cells may be of several types: text then."""
    kinds = {type(row[place]) for rows in chunks for row in rows} - {type(None)}
    if bytes in kinds:
        raise FormatError(f"{query.shown}: column {name!r} holds bytes. Leave it out.")
    if kinds <= {int}:
        kind: type[pl.DataType] = pl.Int64
    else:
        kind = pl.Float64 if kinds <= {int, float} else pl.String

    parts = []
    for rows in chunks:
        cells = [row[place] for row in rows]
        if kind == pl.String:
            cells = [cell if cell is None else str(cell) for cell in cells]
        parts.append(pl.Series(name, cells, dtype=kind))

    return pl.concat(parts) if parts else pl.Series(name, [], dtype=pl.String)


def _sqlite_tables(path: Path) -> list[str]:
    with closing(_sqlite(path)) as connection:
        try:
            rows = connection.execute(
                "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
            ).fetchall()
        except sqlite3.Error:
            return []
    return [row[0] for row in rows]


def tables_in(path: Path) -> list[str]:
    """Return the tables and views of an SQLite file, none where it is damaged."""
    return _sqlite_tables(path)


def _library(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ConfigError(
            f"{extra} databases need another package. Install it: pip install 'kgrec[sql]'."
        ) from None


def _from_duckdb(query: DatabaseQuery) -> pl.DataFrame:
    duckdb = _library("duckdb", "DuckDB")
    path = _file(query)
    try:
        with closing(duckdb.connect(str(path), read_only=True)) as connection:
            return pl.DataFrame(connection.sql(query.statement))
    except (duckdb.Error, pl.exceptions.PolarsError, TypeError) as error:
        raise _failed(query, error) from None


def _from_postgresql(query: DatabaseQuery) -> pl.DataFrame:
    driver = _library("adbc_driver_postgresql.dbapi", "PostgreSQL")
    parts = urlsplit(query.address)
    settings = dict(parse_qsl(parts.query))
    seconds = _seconds(query, settings.pop("statement_timeout", str(_STATEMENT_SECONDS)))
    waiting = settings.setdefault("connect_timeout", str(_CONNECT_SECONDS))
    longest = 2 * seconds + _seconds(query, waiting) + _SPARE_SECONDS
    limits = f"-c default_transaction_read_only=on -c statement_timeout={seconds * 1000}"
    settings["options"] = f"{settings.get('options', '')} {limits}".strip()
    uri = f"postgresql://{parts.netloc}{parts.path}?{urlencode(_ALIVE | settings, quote_via=quote)}"

    def read() -> pl.DataFrame:
        with closing(driver.connect(uri)) as connection, closing(connection.cursor()) as cursor:
            statement = _readable(cursor, query.statement)
            cursor.execute(statement)
            return pl.DataFrame(cursor.fetch_polars())

    try:
        return _within(longest if seconds else None, read)
    except (driver.Error, pl.exceptions.PolarsError, TimeoutError) as error:
        raise _failed(query, error) from None


def _seconds(query: DatabaseQuery, text: str) -> int:
    """Return a limit as the address says it.

    Raises:
        ConfigError: If it is not a whole number of seconds.
    """
    if not (text.isascii() and text.isdigit() and len(text) < _DIGITS):
        raise ConfigError(
            f"{query.shown}: {text[:_SHOWN]!r} is not a whole number of seconds. Write "
            "connect_timeout=5 or statement_timeout=60; 0 is without end."
        )
    return int(text)


def _within(seconds: float | int | None, read: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    """Return what a function returns, called in a thread that is left to itself when the seconds
    are over: the library for PostgreSQL waits without end for a server that has fallen silent.

    Raises:
        TimeoutError: If they are over.
    """
    pool = ThreadPool(1)
    try:
        return pool.apply_async(read).get(seconds)
    except multiprocessing.TimeoutError:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    finally:
        pool.close()


def _readable(cursor: Any, statement: str) -> str:
    """Return a statement whose columns of other types than Arrow has (numeric, uuid) are text."""
    cursor.execute(f"SELECT * FROM ({statement}\n) AS found LIMIT 0")
    schema = cursor.fetch_polars().schema
    columns = [(name, not isinstance(kind, _ARROW_TYPES)) for name, kind in schema.items()]
    if not any(odd for _, odd in columns):
        return statement

    listed = ", ".join(
        f"{_quoted(name)}::text AS {_quoted(name)}" if odd else _quoted(name)
        for name, odd in columns
    )
    return f"SELECT {listed} FROM ({statement}\n) AS found"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
