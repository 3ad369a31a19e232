"""``kgrec recommend``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from kgrec.cli.options import (
    AllowOption,
    CalibrateOption,
    DiversityByOption,
    DiversityOption,
    FormatOption,
    MostOption,
    NewItemsOption,
    OutFileOption,
    PopularityOption,
    RunArgument,
    ids_in,
    most_of,
    values,
)
from kgrec.cli.output import output_format, parts_line, show_frame
from kgrec.errors import ConfigError
from kgrec.scale.world import World


def recommend(
    run: RunArgument,
    user: Annotated[
        str | None, typer.Option(metavar="U", help="One user's id.", show_default=False)
    ] = None,
    users: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|all",
            help="A file with one user id a line, or everyone.",
            show_default=False,
        ),
    ] = None,
    history: Annotated[
        list[str] | None,
        typer.Option(
            metavar="I1,I2",
            help="Item ids of someone the model never saw; may be repeated.",
            show_default=False,
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Items per user.")] = 10,
    items: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Recommend only these, one id a line.", show_default=False
        ),
    ] = None,
    exclude: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Never recommend these, one id a line.", show_default=False
        ),
    ] = None,
    allow_seen: Annotated[
        bool, typer.Option("--allow-seen", help="Also recommend what the user already has.")
    ] = False,
    on_unknown: Annotated[
        Literal["error", "ignore"],
        typer.Option(
            help="What to do about ids that are not in the data; what is ignored is reported."
        ),
    ] = "error",
    diversity: DiversityOption = 0.0,
    diversity_by: DiversityByOption = "auto",
    popularity: PopularityOption = 0.0,
    calibrate: CalibrateOption = False,
    new_items: NewItemsOption = 0.0,
    most: MostOption = None,
    out: OutFileOption = None,
    form: FormatOption = None,
    ids: Annotated[
        Literal["keys", "rows"],
        typer.Option(help="Of a folder of parts: ids, or row numbers and two tables of ids."),
    ] = "keys",
    chunk: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Of a folder of parts: users in each.", show_default="4096"
        ),
    ] = None,
    share_items: Annotated[
        bool,
        typer.Option(
            "--share-items", help="Of several processes: each scores some items of every user."
        ),
    ] = False,
    allow_class: AllowOption = None,
) -> None:
    """List the best items for users or a history.

    The column kind says where a place comes from: personal, history, content or popular. What
    --diversity, --popularity, --new-items and --most cost: kgrec evaluate with the same options.

    With --users all and an --out that has no ending, DIR gets a Parquet part per chunk of users,
    then _SUCCESS.json; the same command goes on where it was interrupted. Processes that torchrun
    starts share the parts.
    """
    if sum(one is not None for one in (user, users, history)) != 1:
        raise ConfigError("recommend for whom? Pass exactly one of --user, --users and --history.")

    caps = most_of(most)
    folder = _folder(users, out, form)
    if folder is None:
        output_format(form, out)
        _refuse_parts(chunk is not None or share_items or ids != "keys")

    if history is None:
        liked = None
    else:
        liked = [item for one in history for item in values(one)]

    if liked == []:
        raise ConfigError("--history names no item. Pass item ids with commas between them.")

    chosen: list[str] | str | None = [user] if user is not None else users
    if users is not None and users != "all":
        chosen = ids_in(Path(users))

    if items is None:
        only = None
    else:
        only = ids_in(items)

    if exclude is None:
        never = []
    else:
        never = ids_in(exclude, empty=True)

    from kgrec.runs.run import load_run

    opened = load_run(run, allow=allow_class or ())
    if folder is not None:
        from kgrec.ops.reranking import Wishes
        from kgrec.runs.processes.lists import recommend_all
        from kgrec.runs.processes.parts import CHUNK

        count, there = recommend_all(
            opened,
            folder,
            k=k,
            items=only,
            exclude=never,
            allow_seen=allow_seen,
            on_unknown=on_unknown,
            ids=ids,
            chunk=chunk or CHUNK,
            share_items=share_items,
            wishes=Wishes(diversity, diversity_by, popularity, calibrate, new_items, caps),
            world=World.here(),
        )
        print(parts_line(folder, count, there))
        return

    if users == "all":
        chosen = list(opened.data.users)

    frame = opened.recommend(
        chosen,
        k=k,
        history=liked,
        items=only,
        exclude=never,
        allow_seen=allow_seen,
        on_unknown=on_unknown,
        diversity=diversity,
        diversity_by=diversity_by,
        popularity=popularity,
        calibrate=calibrate,
        new_items=new_items,
        most=caps,
    )
    show_frame(frame, form, out)


def _folder(users: str | None, out: Path | None, form: str | None) -> Path | None:
    """Return the folder that lists for everyone are to fill, None where a file or the terminal is
    asked for.
    """
    if users == "all" and out is not None and form is None and (out.is_dir() or not out.suffix):
        return out
    return None


def _refuse_parts(given: bool) -> None:
    """Refuse what only a folder of parts has, where none is asked for."""
    if given:
        raise ConfigError(
            "--chunk, --ids and --share-items are of a folder of parts: --users all --out DIR."
        )
    if World.here().size > 1:
        raise ConfigError(
            "several processes recommend into a folder: --users all --out DIR, without an ending "
            "and without --format."
        )
