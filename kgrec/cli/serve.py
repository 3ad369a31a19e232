"""``kgrec serve``."""

import gc
import hashlib
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from kgrec.cli.options import AllowOption
from kgrec.errors import ConfigError
from kgrec.escaping import clean
from kgrec.log import as_json

_NEEDS = ("starlette", "uvicorn")
_LOCAL = ("127.0.0.1", "::1", "localhost")
_SHORTEST_KEY = 16


def serve(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|RUN",
            help="Tables from kgrec export --serving, or a run, whose tables are made beside it.",
            show_default=False,
        ),
    ],
    host: Annotated[
        str, typer.Option(metavar="H", help="Address; others than this machine's own need keys.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="P", min=0, max=65535, help="Port; 0 takes a free one.")
    ] = 8000,
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, max=256, help="Processes; they share the tables.")
    ] = 1,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="API keys, one a line; sent as Authorization: Bearer or X-API-Key.",
            show_default=False,
        ),
    ] = None,
    admin_key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keys that may also reload; else every key may.",
            show_default=False,
        ),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Answer anyone who reaches the address.")
    ] = False,
    drain: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="After a signal to end: no longer ready, but answering for so long.",
        ),
    ] = 0.0,
    limit_concurrency: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Requests that a worker has open at once."),
    ] = 256,
    cors: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="A site whose pages may ask; may be repeated.",
            show_default=False,
        ),
    ] = None,
    log: Annotated[
        str, typer.Option(metavar="json|none", help="A line of JSON per request, or none.")
    ] = "json",
    log_users: Annotated[bool, typer.Option("--log-users", help="Name users in the log.")] = False,
    no_torch: Annotated[
        bool,
        typer.Option("--no-torch", help="Of a run, serve its tables alone: no live reasons."),
    ] = False,
    allow_class: AllowOption = None,
) -> None:
    """Serve lists over HTTP: recommend, similar, score, explain; /openapi.json describes it.

    Newer tables at the same path are taken over while it runs. SIGTERM or Ctrl-C ends it.
    """
    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing:
        raise ConfigError(f"serving needs {' and '.join(missing)}. Install kgrec[serve].")
    if log not in ("json", "none"):
        raise ConfigError(f"--log {log}: choose json or none.")
    if "*" in (cors or ()):
        raise ConfigError("--cors *: name the sites whose pages may ask.")

    # one thread per worker: the products are small, and workers share the cores
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")

    if log == "json":
        as_json()

    keys = _keys(api_key_file)
    admin = _keys(admin_key_file)
    if host not in _LOCAL and not (keys or admin) and not no_auth:
        raise ConfigError(
            f"--host {host}: others can reach it. Pass --api-key-file FILE, or --no-auth to answer "
            "anyone."
        )

    with _collecting_later():
        from kgrec.data.io.folders import folder_kind
        from kgrec.serving.http import worker
        from kgrec.serving.http.app import Access

        with closing(worker.open_socket(host, port)) as listening:
            bound = listening.getsockname()[1]
            hosts: tuple[str, ...] = ()
            if host in _LOCAL and not (keys or admin) and not no_auth:
                hosts = tuple(f"{name}:{bound}" for name in ("127.0.0.1", "localhost", "[::1]"))

            run = None
            tables = source
            if folder_kind(source) != "serving" and (source / "config.json").is_file():
                run = source
                tables = worker.tables_of(source, allow_class or ())

            settings = worker.Settings(
                tables,
                None if no_torch else run,
                tuple(allow_class or ()),
                Access(keys, admin, hosts, tuple(cors or ())),
                workers,
                drain,
                limit_concurrency,
                log == "json",
                log_users,
            )
            shown = f"[{host}]" if ":" in host else host
            code = worker.serve(
                settings,
                listening,
                lambda: _say(f"http://{clean(shown)}:{bound}/"),
            )

    if code:
        raise typer.Exit(code)


@contextmanager
def _collecting_later() -> Iterator[None]:
    """Collect no garbage while modules are imported and tables opened, which leave none: it would
    take a tenth of the CPU time of starting.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _say(address: str) -> None:
    """Say where lists are served; garbage is collected from now on."""
    gc.freeze()  # what is there now stays: it need not be looked through again
    gc.enable()
    print(address, flush=True)


def _keys(path: Path | None) -> tuple[bytes, ...]:
    """Return the SHA-256 of every key of a file.

    Raises:
        ConfigError: If there is none, or one is short.
    """
    if path is None:
        return ()

    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise ConfigError(f"{path}: holds no key. Write one a line.")
    if any(len(key) < _SHORTEST_KEY for key in keys):
        raise ConfigError(
            f"{path}: a key has fewer than {_SHORTEST_KEY} characters. Make one: "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))'."
        )

    return tuple(hashlib.sha256(key.encode()).digest() for key in keys)
