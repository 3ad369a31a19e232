"""``kgrec update``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgrec.cli.options import AllowOption, DatasetOption, JsonOption, RunArgument
from kgrec.cli.output import show_json, show_table
from kgrec.escaping import clean

if TYPE_CHECKING:
    from kgrec.lifecycle.update import Updated


def update(
    run: RunArgument,
    interactions: Annotated[
        Path, typer.Option(metavar="FILE", help="New interactions.", show_default=False)
    ],
    new_items: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="New items: a table with the columns of the dataset's own, or triples (.nt, .ttl, "
            "...).",
            show_default=False,
        ),
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of users.", show_default=False)
    ] = None,
    item: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of items.", show_default=False)
    ] = None,
    time: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of times.", show_default=False)
    ] = None,
    rating: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of ratings.", show_default=False)
    ] = None,
    min_rating: Annotated[
        float | None,
        typer.Option(help="Leave lower ratings out; the dataset's own threshold if omitted."),
    ] = None,
    item_id: Annotated[
        str | None,
        typer.Option(metavar="COL", help="Column of ids in --new-items.", show_default=False),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of a warm start.")] = 4,
    minutes: Annotated[
        float | None,
        typer.Option(
            metavar="M",
            help="Train from the beginning instead, for at most so long.",
            show_default=False,
        ),
    ] = None,
    dataset: DatasetOption = None,
    json: JsonOption = False,
    allow_class: AllowOption = None,
) -> None:
    """Bring a run up to date with new interactions and items.

    The newest tenth of them evaluates the new run beside the old one. The new one takes its place in
    one step, and a running kgrec serve takes it over, unless it is worse beyond a paired 95 %
    interval: then RUN stays as it is, and the exit code is 1.
    """
    from kgrec.lifecycle.read import read_new
    from kgrec.lifecycle.update import update as bring

    columns = {"user": user, "item": item, "time": time, "rating": rating}
    found = read_new(
        run,
        interactions,
        new_items,
        columns=columns,
        min_rating=min_rating,
        item_id=item_id,
        allow=allow_class or (),
    )
    done = bring(
        run,
        found.log,
        items=found.items,
        facts=found.facts,
        epochs=epochs,
        minutes=minutes,
        dataset=dataset,
        allow=allow_class or (),
    )
    if json:
        show_json(done.to_dict())
    else:
        _show(done, run)

    if not done.promoted:
        raise typer.Exit(1)


def _show(done: "Updated", run: Path) -> None:
    added = done.added
    print(
        f"{added['interactions']:,} new interactions ({added['known']:,} were known), "
        f"{added['users']:,} new users, {added['items']:,} new items, {added['facts']:,} facts"
    )
    print(f"{clean(done.run.name)}: {done.how}, {done.epochs} epochs")
    if done.old:
        names = [name for name in done.old if name.startswith(("recall", "ndcg"))]
        show_table(
            ("run", *names),
            [
                (title, *(f"{values[name]:.4f}" for name in names))
                for title, values in (("old", done.old), ("new", done.new))
            ],
            title=f"the newest {done.held:,} interactions, {done.users:,} users",
            right=names,
        )
    if done.difference is not None:
        gap = done.difference
        print(
            f"recall@20: {gap.mean:+.4f} (95 % interval {gap.low:+.4f} to {gap.high:+.4f}), new "
            "minus old"
        )
    for note in done.notes:
        print(clean(note))

    if done.promoted:
        print(f"{clean(str(run))}: replaced by the new run.")
    else:
        print(f"{clean(str(run))}: the new run is worse and was not kept; the old one stays.")
