"""``kgrec evaluate``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kgrec.cli.options import (
    AllowOption,
    CalibrateOption,
    DatasetOption,
    DiversityByOption,
    DiversityOption,
    JsonOption,
    MostOption,
    NewItemsOption,
    PopularityOption,
    RunArgument,
    SeedOption,
    cutoffs,
    most_of,
    values,
)
from kgrec.cli.output import show_json, show_table, whole
from kgrec.errors import ConfigError
from kgrec.escaping import clean

if TYPE_CHECKING:
    from kgrec.evaluation.prices import Price
    from kgrec.evaluation.report import Report
    from kgrec.lifecycle.newcomers import Figure

Protocol = Literal[
    "ranking", "ctr", "rating", "impressions", "sampled", "next-item", "triples", "fold-in"
]


def evaluate(
    run: RunArgument,
    on: Annotated[
        Literal["test", "valid"], typer.Option(help="Which part to evaluate on.")
    ] = "test",
    protocol: Annotated[
        Protocol,
        typer.Option(
            help="ranking: the whole catalog; ctr: pairs; rating: errors of ratings; impressions: "
            "lists shown; sampled: a few items; next-item: each item after those before it; "
            "triples: links; fold-in: users and items that are left out of a training and folded "
            "in, which trains twice more."
        ),
    ] = "ranking",
    k: Annotated[
        str | None,
        typer.Option(
            "--k", metavar="K1,K2", help="Cut-offs; 10,20, of impressions 5,10.", show_default=False
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="ranking: recall,ndcg,precision,hit,mrr,map,coverage if omitted; "
            "ndcg-retrieved is KGAT's own.",
            show_default=False,
        ),
    ] = None,
    per_user: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.parquet", help="Also write every user's values.", show_default=False
        ),
    ] = None,
    negatives: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="sampled: items drawn per held-out item, 100 if omitted.",
            show_default=False,
        ),
    ] = None,
    seed: SeedOption = 0,
    legacy_batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="ROWS",
            help="ctr: mean over mini-batches, as some published code does.",
            show_default=False,
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="fold-in: users, and items, left out; 100 if omitted, at most a tenth.",
            show_default=False,
        ),
    ] = None,
    fallback: Annotated[
        Literal["on", "off"],
        typer.Option(
            help="Answer users without training interactions as the run does, or not at all."
        ),
    ] = "on",
    diversity: DiversityOption = 0.0,
    diversity_by: DiversityByOption = "auto",
    popularity: PopularityOption = 0.0,
    calibrate: CalibrateOption = False,
    new_items: NewItemsOption = 0.0,
    most: MostOption = None,
    dataset: DatasetOption = None,
    json: JsonOption = False,
    allow_class: AllowOption = None,
) -> None:
    """Measure a run on held-out interactions.

    Every item is ranked for every user with held-out interactions; what the user already has is
    left out. Other protocols evaluate labeled pairs, ratings, lists that were shown, or held-out
    items among sampled ones.

    --diversity, --popularity, --new-items and --most, as of recommend: what each costs beside the
    plain lists, with 95 % intervals, and what it buys.
    """
    wishes: dict[str, Any] = {
        "diversity": diversity,
        "diversity_by": diversity_by,
        "popularity": popularity,
        "calibrate": calibrate,
        "new_items": new_items,
        "most": most_of(most),
    }
    if k is None:
        counts = None
    else:
        counts = cutoffs(k)

    if per_user is not None and per_user.suffix != ".parquet":
        raise ConfigError(f"--per-user {per_user}: is written as Parquet. Name it FILE.parquet.")

    settings = _settings(protocol, metrics, negatives, legacy_batch, sample)
    if protocol == "fold-in":
        from kgrec.ops.reranking import Wishes

        if counts is not None or per_user is not None or on != "test":
            raise ConfigError(
                "--protocol fold-in reports recall@20 on the test part, by its own cut-offs. Leave "
                "--k, --per-user and --on out."
            )
        if Wishes(**wishes) or fallback == "off":
            raise ConfigError(
                "--protocol fold-in measures plain lists, with the fallback. Leave settings of "
                "lists and --fallback out."
            )
        _fold_in(run, sample, seed, dataset, json, allow_class or ())
        return

    from kgrec.data.io.files import write_parquet
    from kgrec.runs.run import load_run

    opened = load_run(run, dataset=dataset, allow=allow_class or ())
    report = opened.evaluate(
        on=on,
        k=counts,
        protocol=protocol,
        seed=seed,
        fallback=fallback == "on",
        **settings,
        **wishes,
    )
    if per_user is not None:
        whole(per_user, lambda path: write_parquet(report.per_user, path))

    if json:
        show_json(report.to_dict())
    else:
        _show(report)


def _settings(
    protocol: str,
    metrics: str | None,
    negatives: int | None,
    legacy_batch: int | None,
    sample: int | None,
) -> dict[str, Any]:
    """Return the settings of one protocol; those of another are refused."""
    owned = (
        ("--metrics", metrics, "ranking"),
        ("--negatives", negatives, "sampled"),
        ("--legacy-batch", legacy_batch, "ctr"),
        ("--sample", sample, "fold-in"),
    )
    for option, value, owner in owned:
        if value is not None and protocol != owner:
            raise ConfigError(
                f"{option} {value}: belongs to --protocol {owner}, not to {protocol}. Leave it "
                "away, or change the protocol."
            )

    if metrics is not None and not values(metrics):
        raise ConfigError("--metrics: name at least one, for instance recall,ndcg.")

    given = {
        "metrics": metrics and values(metrics),
        "negatives": negatives,
        "legacy_batch": legacy_batch,
    }

    return {"beyond": protocol == "ranking"} | {
        name: value for name, value in given.items() if value is not None
    }


def _fold_in(
    run: Path,
    sample: int | None,
    seed: int,
    dataset: Path | None,
    json: bool,
    allow: Sequence[str],
) -> None:
    from kgrec.lifecycle.newcomers import SAMPLE, evaluate_newcomers
    from kgrec.runs.run import load_run

    opened = load_run(run, allow=allow)
    report = evaluate_newcomers(opened, sample=sample or SAMPLE, seed=seed, dataset=dataset)
    if json:
        show_json(report.to_dict())
        return

    def cell(figure: "Figure") -> str:
        return f"{figure.value:.3f} ({figure.gap:+.3f}, {figure.low:+.3f} to {figure.high:+.3f})"

    users = ("recall@20", "ndcg@20")
    show_table(
        ("events known", *users),
        [
            ("trained with them", *(f"{report.trained[name]:.3f}" for name in users)),
            *((row, *(cell(f[name]) for name in users)) for row, f in report.folded.items()),
        ],
        title=f"{clean(report.model)}: {report.users} users left out of the training and folded in",
        right=users,
    )
    if report.placed is not None and report.items_trained is not None:
        names = ("among", "share", "all")
        without = report.items_left_out or {}
        show_table(
            ("first clicks", *names),
            [
                ("trained with them", *(f"{report.items_trained[name]:.3f}" for name in names)),
                ("left out", "", "", f"{without['all']:.3f}"),
                *((row, *(cell(f[name]) for name in names)) for row, f in report.placed.items()),
            ],
            title=f"{report.items} items left out and placed, {report.evaluated:,} users",
            right=names,
        )
        print(
            "among: recall@10 among the items left out. share: of the places of lists of 20. all: "
            "recall@20 over everything."
        )

    print("In brackets: what is lacking to the training with them, and its 95 % interval.")


def _show(report: "Report") -> None:
    parts = {
        "warm users": report.warm_user_part,
        "warm": report.warm_part,
        "cold items": report.cold_item_part,
        "cold users": report.cold_user_part,
    }

    shown = {
        name: part
        for name, part in parts.items()
        if part.users and (report.cold_items or report.cold_users)
    }
    columns = ("value", *shown)
    rows = [
        (
            name,
            f"{value:.4f}",
            *(
                f"{part.metrics[name]:.4f}" if name in part.metrics else ""
                for part in shown.values()
            ),
        )
        for name, value in report.metrics.items()
    ]

    if report.protocol == "triples":
        evaluated = f"{report.details['triples']:,} triples"
    else:
        evaluated = f"{report.users:,} users"

    if report.protocol in ("ranking", "triples"):
        protocol = ""
    else:
        protocol = f", {report.protocol}"

    if "selection" in report.details:
        selected = f" ({report.details['selection']})"
    else:
        selected = ""

    title = f"{clean(str(report.model))}{selected} on {report.split}, {evaluated}{protocol}"
    show_table(
        ("metric", *columns),
        rows,
        title=title,
        right=columns,
    )

    if shown:
        sizes = ", ".join(f"{name} of {part.users:,} users" for name, part in shown.items())
        print(
            f"Means over users and relevant items with and without training interactions: {sizes}."
        )

    if report.beyond:
        show_table(
            ("beyond accuracy", "value"),
            [(name, f"{value:.4f}") for name, value in report.beyond.items()],
            title="",
            right=("value",),
        )

    if report.prices:
        _show_prices(report.prices)

    for note in report.notes:
        print(clean(note))


def _show_prices(found: "Sequence[Price]") -> None:
    """Print what each kind of lists costs, and what it buys."""
    metrics = list(found[0].metrics)
    rows = []
    for price in found:
        cells = [clean(price.name)]
        for name in metrics:
            change = price.changes.get(name)
            cells.append(
                f"{price.metrics[name]:.4f}"
                if change is None
                else f"{change.mean:+.4f} [{change.low:+.4f}, {change.high:+.4f}]"
            )
        rows.append(tuple(cells))

    show_table(
        ("lists", *metrics),
        rows,
        title="price: difference to the plain lists, 95 % interval",
        right=metrics,
    )
    bought = list(found[0].bought)
    show_table(
        ("lists", *bought),
        [(clean(p.name), *(f"{p.bought.get(name, 0.0):.4f}" for name in bought)) for p in found],
        title="what the lists are worth beside hits",
        right=bought,
    )
