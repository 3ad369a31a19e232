"""``kgrec explain``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kgrec.cli.options import RunArgument
from kgrec.cli.output import clean, to_json, whole
from kgrec.errors import ConfigError

if TYPE_CHECKING:
    from kgrec.explanation.schema import Explanation

_ENDINGS = {".json": "json", ".csv": "csv", ".html": "html", ".txt": "text"}


def explain(
    run: RunArgument,
    user: Annotated[str, typer.Option(metavar="U", help="The user's id.")],
    item: Annotated[str | None, typer.Option(metavar="I", help="The item's id.", show_default=False)] = None,
    top: Annotated[int | None, typer.Option(metavar="N", min=1, help="Explain the user's N best items.", show_default=False)] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Paths per item.")] = 10,
    max_length: Annotated[int, typer.Option(metavar="L", min=1, max=4, help="Longest path, in hops.")] = 3,
    users: Annotated[
        Literal["count", "hide", "show"], typer.Option(help="Other users on a path: count them, leave such paths out, or name them.")
    ] = "count",
    form: Annotated[
        Literal["text", "json", "csv", "html"] | None,
        typer.Option("--format", help="The ending of --out where left away, else text.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write there instead of to the terminal.", show_default=False)
    ] = None,
) -> None:
    """Show the paths from a user to an item.

    Paths are ranked by the measured drop of the score when the path's edges are removed and the model is run again; paths
    through other users come last.
    Exit code 3: there is no path within the limits.
    """
    if (item is None) == (top is None):
        raise ConfigError("explain what? Pass either --item or --top.")
    shown = form or (_ENDINGS.get(out.suffix.lower(), "text") if out else "text")
    if shown == "html" and out is None:
        raise ConfigError("--format html is a page for a browser. Pass --out FILE.html.")
    from kgrec.run import load_run

    opened = load_run(run)
    items = [item] if item is not None else opened.recommend([user], k=top or 1)["item"].to_list()
    explainer = opened.explainer(max_length=max_length, users=users)
    told = [explainer.explain(user, one, k=k) for one in items]
    text = _rendered(told, shown, user, single=item is not None)
    if out is None:
        print(text)
    else:
        whole(out, lambda path: path.write_text(text + "\n", encoding="utf-8"))
    if not any(one.paths for one in told):
        raise typer.Exit(3)


def _rendered(told: "list[Explanation]", form: str, user: str, single: bool) -> str:
    if form == "json":
        return to_json(told[0].to_dict() if single else [one.to_dict() for one in told])
    if form == "csv":
        import polars as pl

        from kgrec.explanation.schema import empty_frame
        from kgrec.explanation.sinks import csv_safe

        return csv_safe(pl.concat([empty_frame(), *(one.to_frame() for one in told)])).write_csv().rstrip("\n")
    if form == "html":
        from kgrec.explanation.render import page

        named = told[0].user_label if told else user
        return page(told, f"Why this recommendation for {named}?" if len(told) == 1 else f"Why these recommendations for {named}?")
    return "\n\n".join(one.to_text() for one in told) or f"No item is left to recommend to {clean(user)}."
