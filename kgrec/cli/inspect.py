"""``kgrec inspect``."""

import os
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgrec.cli.explain import PhrasesOption
from kgrec.cli.options import AllowOption, RunArgument
from kgrec.cli.output import whole
from kgrec.errors import ConfigError
from kgrec.escaping import clean

if TYPE_CHECKING:
    from kgrec.serving.inspector import Inspector

_NEEDS = ("starlette", "uvicorn")
_EXPORTED = 5
_REFUSED = 3


def inspect(
    run: RunArgument,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="P",
            min=0,
            max=65535,
            help="Port on 127.0.0.1; a free one if omitted.",
            show_default=False,
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="Write one offline page instead of serving.",
            show_default=False,
        ),
    ] = None,
    user: Annotated[
        list[str] | None,
        typer.Option(
            metavar="U",
            help="A user of the offline page; may be repeated. Else the first five.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[
        int, typer.Option(metavar="N", min=1, max=50, help="Items per user of the offline page.")
    ] = 10,
    phrases: PhrasesOption = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN2",
            help="A second run, shown beside RUN for one user.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            metavar="FILE:COLUMN|RELATION",
            help="Pictures of items: http(s) addresses in a column of a table, or a relation of "
            "the graph such as schema:image. The browser then loads them from those hosts.",
            show_default=False,
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser", help="Open the address in a browser.")
    ] = False,
    allow_class: AllowOption = None,
) -> None:
    """Look at a run in the browser: users, recommendations, and the paths behind them.

    The server answers on this machine alone, to whoever has the address it prints. Ctrl-C ends it.
    """
    if export is None and user:
        raise ConfigError(
            "--user chooses whom the offline page shows. Pass --export FILE.html as well."
        )
    if export is not None and (port is not None or browser):
        raise ConfigError("--export writes a file and serves nothing. Omit --port and --browser.")
    if export is not None and (against is not None or images is not None):
        raise ConfigError(
            "--export writes a file that holds one run and loads no pictures. Omit --against and "
            "--images."
        )

    if export is None:
        missing = [name for name in _NEEDS if find_spec(name) is None]
        if missing:
            raise ConfigError(
                f"the inspector needs {' and '.join(missing)}. Install kgrec[inspect], or write "
                "a page with --export FILE.html."
            )

        with closing(_listening(port)) as listening:
            inspector = _inspector(run, against, images, phrases, allow_class or ())
            _serve(inspector, listening, browser)
    else:
        _export(run, allow_class or (), export, user or [], top, phrases)


def _export(
    run: Path,
    allow: Sequence[str],
    export: Path,
    users: list[str],
    top: int,
    phrases: Path | None,
) -> None:
    from kgrec.runs.run import load_run
    from kgrec.serving.export import export_page
    from kgrec.serving.inspector import Inspector

    inspector = Inspector(load_run(run, allow=allow), phrases=phrases)
    chosen = users or [row["user"] for row in inspector.users(limit=_EXPORTED)["rows"]]
    page = export_page(inspector, chosen, top)
    whole(export, lambda path: path.write_text(page, encoding="utf-8"))
    print(
        f"{export}: {len(chosen)} user{'' if len(chosen) == 1 else 's'}, "
        f"{len(page.encode()) / 1e6:.1f} MB. It holds their histories."
    )


def _listening(port: int | None) -> socket.socket:
    """Return an open port before the run is loaded: one in use is known at once."""
    from kgrec.serving.server import open_socket

    return open_socket(port)


def _inspector(
    run: Path,
    against: Path | None,
    images: str | None,
    phrases: Path | None,
    allow: Sequence[str],
) -> "Inspector":
    from kgrec.runs.run import load_run
    from kgrec.serving.images import read_images
    from kgrec.serving.inspector import Inspector

    loaded = load_run(run, allow=allow)
    pictures = None if images is None else read_images(loaded.data, images)
    if pictures is not None:
        for refused in pictures.refused[:_REFUSED]:
            print(f"kgrec: no picture for {clean(refused)}", file=sys.stderr)
        if len(pictures.refused) > _REFUSED:
            more = len(pictures.refused) - _REFUSED
            print(f"kgrec: no pictures for {more:,} more items", file=sys.stderr)

    other = None if against is None else Inspector(load_run(against, allow=allow), phrases=phrases)
    return Inspector(loaded, phrases=phrases, images=pictures, other=other)


def _serve(inspector: "Inspector", listening: socket.socket, browser: bool) -> None:
    from kgrec.serving.server import Service

    service = Service(inspector, listening)
    print(
        f"{service.address}\nOpen this address in a browser on this machine. Ctrl-C ends the "
        "inspector.",
        flush=True,
    )

    if browser:
        import webbrowser

        webbrowser.open(service.address)

    idle = service.run()
    print("stopped.", file=sys.stderr, flush=True)
    if not idle:
        os._exit(0)  # what is still being computed would keep the process for as long as it takes
