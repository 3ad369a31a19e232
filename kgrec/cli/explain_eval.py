"""``kgrec explain-eval``."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgrec.cli.options import AllowOption, JsonOption, RunArgument, SeedOption, ids_in
from kgrec.cli.output import show_json, to_json, whole
from kgrec.errors import ConfigError
from kgrec.escaping import clean
from kgrec.log import logger

if TYPE_CHECKING:
    from kgrec.explanation.explainer import Explainer
    from kgrec.explanation.quality.report import Quality
    from kgrec.runs.run import Run


def explain_eval(
    run: RunArgument,
    users: Annotated[
        str | None,
        typer.Option(
            metavar="N|FILE|all",
            help="Draw N users, or a file with one user id a line, or all; 50 if not given.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[int, typer.Option(metavar="K", min=1, help="Recommendations of each user.")] = 5,
    k: Annotated[
        int, typer.Option("-k", metavar="PATHS", min=1, help="Paths per explanation.")
    ] = 5,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN2",
            help="Another run, such as one of another seed: how far do the paths agree?",
            show_default=False,
        ),
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME]",
            help="Other explainers on the same recommendations: leave-one-out, lime, prince, "
            "gnnexplainer.",
            show_default=False,
        ),
    ] = None,
    seed: SeedOption = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Write the report there, and as Markdown beside it in FILE.md.",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png|svg",
            help="Draw drops and AOPC against the controls.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
    allow_class: AllowOption = None,
) -> None:
    """Measure how good the explanations of a run are, against random and degree-matched paths.

    Exit code 1 where a gate does not hold: budgets that do not add up, hops that are not training
    facts, held-out facts in the graph, or recommendations that cannot be explained.
    """
    if plot is not None and plot.suffix.lower() not in (".png", ".svg"):
        raise ConfigError(f"--plot {plot}: name it FILE.png or FILE.svg.")
    if out is not None and out.suffix.lower() != ".json":
        raise ConfigError(f"--out {out}: name it FILE.json. The Markdown goes beside it.")

    chosen = _chosen_users(users)
    others = _others(beside)
    from kgrec.runs.run import load_run

    opened = load_run(run, allow=allow_class or ())
    if against is None:
        other = None
    else:
        other = load_run(against, allow=allow_class or ()).explainer()

    found = _explainer(opened).evaluate(chosen, top, k, seed, other, others)
    if out is not None:
        whole(out, lambda path: path.write_text(to_json(found.to_dict()) + "\n", encoding="utf-8"))
        whole(
            out.with_suffix(".md"),
            lambda path: path.write_text(found.to_markdown(), encoding="utf-8"),
        )

    if plot is not None:
        _draw(found, plot)

    if json:
        show_json(found.to_dict())
    elif out is None:
        print(found.to_text())
    else:
        _say(found, out)

    for gate in found.failed:
        logger.warning(
            "gate %s does not hold: %s",
            gate.name,
            clean(gate.note) or f"{gate.value:.3g}, allowed {gate.limit:.3g}",
        )

    if found.failed:
        raise typer.Exit(1)


def _chosen_users(users: str | None) -> list[str] | str | int | None:
    if users is None or users == "all":
        return users

    if users.isascii() and users.isdigit():
        if int(users) < 1:
            raise ConfigError(f"--users {users}: draw at least one.")
        return int(users)

    return ids_in(Path(users))


def _others(beside: str | None) -> tuple[str, ...]:
    """Return the names of other explainers, known before anything is loaded."""
    if beside is None:
        return ()
    from kgrec.explanation.beside.names import check_names

    return check_names(name.strip() for name in beside.split(","))


def _explainer(run: "Run") -> "Explainer":
    """Return the run's explainer, with the test part of its dataset where that is still in its
    place: leaks are looked for there.
    """
    from kgrec.data.storage import open_dataset
    from kgrec.explanation.explainer import Explainer

    data = run.data
    path = run.dataset.get("path")
    if not len(data.test) and path and not run.refit and Path(path).is_dir():
        stored = open_dataset(path)
        if stored.checksum == run.dataset.get("checksum"):
            data = replace(data, test=stored.test, held_triples=stored.held_triples)

    explainer = Explainer(run.model, data, run.scorer(), model_name=run.name)
    explainer.search.placebos = run.placebos()
    return explainer


def _say(found: "Quality", out: Path) -> None:
    words = {True: "holds", False: "DOES NOT HOLD", None: "not evaluated"}
    gates = ", ".join(f"{gate.name} {words[gate.held]}" for gate in found.gates)
    print(f"{clean(str(out))}: {found.pairs:,} recommendations of {found.users:,} users; {gates}")


def _draw(found: "Quality", plot: Path) -> None:
    from kgrec.reports.plots import plot_quality

    if not found.curves:
        raise ConfigError(
            f"--plot {plot}: there is nothing to draw. Drops of {found.model}: "
            f"{found['necessity.drop.delete'].note}."
        )

    whole(plot, lambda path: plot_quality(found, path, plot.suffix[1:].lower()))
