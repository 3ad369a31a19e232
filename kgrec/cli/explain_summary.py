"""``kgrec explain-summary``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kgrec.cli.explain import LanguageOption, in_words
from kgrec.cli.options import AllowOption, JsonOption, RunArgument, SeedOption, ids_in
from kgrec.cli.output import show_json, show_table, whole
from kgrec.errors import ConfigError
from kgrec.escaping import clean
from kgrec.languages import repaired

if TYPE_CHECKING:
    from kgrec.explanation.core.answers import Summary


def explain_summary(
    run: RunArgument,
    by: Annotated[
        Literal["relation", "type", "pattern"], typer.Option(help="What to add up by.")
    ] = "relation",
    users: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|all",
            help="A file with one user id a line, or all; 200 random ones if not given.",
            show_default=False,
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Recommendations of each user.")] = 10,
    knock_out: Annotated[
        bool,
        typer.Option(
            "--knock-out",
            help="Take each of the 20 largest relations away as a whole; see what lists and "
            "figures do.",
        ),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png|svg", help="Draw the shares.", show_default=False),
    ] = None,
    seed: SeedOption = 0,
    language: LanguageOption = "en",
    json: JsonOption = False,
    allow_class: AllowOption = None,
) -> None:
    """Show what drives the recommendations of many users: shares of relations, of kinds of edges,
    or of path patterns.

    Of linear models (lightgcn, lightgcn-kg) the shares are exact: they add up to what the graph
    adds to the scores. What a relation carries and what is lost without it are two questions;
    --knock-out answers the second, on the validation part.
    """
    if plot is not None and plot.suffix.lower() not in (".png", ".svg"):
        raise ConfigError(f"--plot {plot}: name it FILE.png or FILE.svg.")
    if knock_out and by != "relation":
        raise ConfigError(
            f"--knock-out takes relations away. It goes with --by relation, not with --by {by}."
        )

    said = in_words(language, None)
    from kgrec.evaluation.report import evaluate
    from kgrec.models.base import Scorer
    from kgrec.runs.run import load_run

    opened = load_run(run, allow=allow_class or ())

    def measure(scorer: Scorer) -> dict[str, float]:
        return evaluate(
            scorer, opened.data, on="valid", ks=(20,), metrics=("recall", "ndcg")
        ).metrics

    chosen = users if users in (None, "all") else ids_in(Path(users))
    evaluated = measure if knock_out and len(opened.data.valid) else None
    found = opened.explainer(**said).summary(
        chosen, k=k, by=by, knock_out=knock_out, judge=evaluated, seed=seed
    )
    if plot is not None:
        whole(plot, lambda path: _draw(found, path, plot.suffix))

    if json:
        show_json(found.to_dict())
    else:
        _show(found)


def _show(found: "Summary") -> None:

    knocked = any(share.overlap is not None for share in found.shares)
    metrics = list(next((share.change for share in found.shares if share.change), {}))
    lang = found.words.lang
    by = lang.say(f"answers.{found.by}")
    columns = [by, *(lang.say(f"page.column_{name}") for name in ("part", "share", "facts"))]
    if found.by == "pattern":
        columns = [by, lang.say("page.column_drop"), "", lang.say("page.column_paths")]

    if knocked:
        columns.append(lang.say("page.column_stay"))

    columns += [lang.say("page.column_without", metric=name) for name in metrics]
    rows = []

    for share in found.shares:
        part = "" if share.share is None else f"{share.share:.1%}"
        row = [clean(repaired(share.label)), f"{share.value:.4g}", part, f"{share.facts:,}"]

        if knocked:
            row += ["" if share.overlap is None else f"{share.overlap:.0%}"]
        else:
            row += []

        rows.append(
            [*row, *(f"{share.change[name]:+.4f}" if share.change else "" for name in metrics)]
        )

    show_table(
        columns,
        rows,
        lang.say(
            "page.summary", pairs=f"{found.pairs:,}", users=f"{found.users:,}", basis=found.basis
        ),
        right=columns[1:],
    )
    if found.without_graph is not None:
        print(
            lang.say(
                "page.summary_sum",
                score=f"{found.score:.5g}",
                without=f"{found.without_graph:.5g}",
                residual=f"{found.residual:.2g}",
            )
        )

    print(found.note)


def _draw(found: "Summary", path: Path, ending: str) -> None:
    from kgrec.reports.plots import plot_shares

    shown = [share for share in found.shares if share.value][:20]
    title = f"What carries {found.pairs:,} recommendations, by {found.by}"
    labels = [clean(repaired(share.label)) for share in shown]
    values = [share.value for share in shown]
    plot_shares(labels, values, title, f"{found.basis}. {found.note}", path, ending[1:].lower())
