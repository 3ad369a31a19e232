"""``kgrec explain``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kgrec.cli.options import AllowOption, RunArgument, values
from kgrec.cli.output import to_json, whole
from kgrec.errors import ConfigError, ExplanationError
from kgrec.escaping import clean

if TYPE_CHECKING:
    from kgrec.explanation.core.answers import Answer
    from kgrec.explanation.core.records import Explanation
    from kgrec.explanation.explainer import Explainer
    from kgrec.runs.run import Run

Format = Literal["text", "tree", "json", "csv", "parquet", "html", "ttl"]
RankBy = Literal[
    "like",
    "facts",
    "drop",
    "drop_mask",
    "attribution",
    "joint",
    "weight",
    "plausibility",
    "length",
]
Users = Literal["count", "hide", "show"]
MaxLengthOption = Annotated[
    int | None,
    typer.Option(metavar="L", min=1, max=6, help="Longest path, in hops: 3.", show_default=False),
]
RankByOption = Annotated[
    RankBy | None, typer.Option(help="What paths are ranked by: like.", show_default=False)
]
RelationOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="R",
        help="Follow only this relation after the first hop; may be repeated.",
        show_default=False,
    ),
]
NotRelationOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="R", help="Never follow this relation; may be repeated.", show_default=False
    ),
]
LanguageOption = Annotated[
    str, typer.Option(metavar="CODE", help="Language of the sentences: en or de.")
]
PhrasesOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="How relations read: a table of relation, phrase, inverse, language; before the "
        "dataset's own.",
        show_default=False,
    ),
]
_ENDINGS = {
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
    ".html": "html",
    ".txt": "text",
    ".ttl": "ttl",
}
_FILES = ("html", "parquet")  # nothing for a terminal
_PATHS = 10
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class _Request:
    """What was asked, as given."""

    user: str | None
    item: str | None
    top: int | None
    contrast: tuple[str, str] | None
    flip: bool
    why_not: str | None
    what_if: bool
    remove: tuple[str, ...]
    add: tuple[str, ...]
    verify: Path | None
    k: int | None
    limits: dict[str, Any]
    mode: str | None
    lines: bool
    scope: str = "inference"
    words: dict[str, Any] = field(default_factory=dict)
    history: tuple[str, ...] = ()
    on_unknown: str = "error"
    listed: int | None = None
    remove_facts: tuple[tuple[str, str, str], ...] = ()
    add_facts: tuple[tuple[str, str, str], ...] = ()

    @property
    def changes(self) -> bool:
        """Whether likes or facts are to be taken away or added."""
        return bool(self.remove or self.add or self.remove_facts or self.add_facts)

    def question(self) -> str:
        """Return the one thing that is asked for.

        Raises:
            ConfigError: If it is none, several, or something that needs or forbids another option.
        """
        forms = {
            "--contrast": self.contrast is not None,
            "--flip": self.flip,
            "--why-not": self.why_not is not None,
            "--what-if": self.what_if,
            "--list": self.listed is not None,
            "--verify": self.verify is not None,
        }
        found = [name for name, given in forms.items() if given]
        items = [
            name
            for name, given in (("--item", self.item is not None), ("--top", self.top is not None))
            if given
        ]
        if not found and not items:
            raise ConfigError(
                "explain what? Pass --item, --top, --contrast, --flip, --why-not, --what-if, --list "
                "or --verify."
            )

        if len(found) > 1 or len(items) > 1:
            if len(found) > 1:
                both = found
            else:
                both = items
            raise ConfigError(f"{both[0]} and {both[1]} ask different things. Pass either of them.")

        if found == ["--flip"] and items == ["--top"]:
            found = []  # the items are explained, with the likes that hold the first one

        if found:
            form = found[0]
        else:
            form = items[0]

        if found and items and (form not in ("--flip", "--what-if") or items == ["--top"]):
            raise ConfigError(f"{form} does not go with {items[0]}. Pass either of them.")

        self._check(form)
        return form

    def _check(self, form: str) -> None:
        """Refuse options that the form cannot heed, and the lack of one that it needs."""
        self._check_person(form)
        if self.changes and form != "--what-if":
            raise ConfigError(
                "--remove, --add, --remove-fact and --add-fact change what there is. Pass --what-if "
                "as well."
            )
        if form == "--what-if" and not self.changes:
            raise ConfigError(
                "what if what? Pass items with --remove or --add, or facts with --remove-fact or "
                "--add-fact."
            )

        if self.limits and form not in ("--item", "--top"):
            name = next(iter(self.limits))
            raise ConfigError(
                f"--{name.replace('_', '-')} chooses paths. It goes with --item or --top, not "
                f"with {form}."
            )

        self._check_mode(form)

    def _check_person(self, form: str) -> None:
        person = self.user is not None or bool(self.history)
        if form == "--verify" and (person or self.k is not None):
            raise ConfigError(
                "--verify takes user, history, item and paths from the file. Omit --user, --history "
                "and -k."
            )
        if form == "--list" and self.k is not None:
            raise ConfigError("--list N says how long the list is. Omit -k.")
        if form != "--verify" and not person:
            raise ConfigError("explain to whom? Pass --user, or --history.")
        if self.scope == "training" and self.history:
            raise ConfigError(
                "--scope training is of interactions in the training data, and a history was never "
                "trained on. Omit --history."
            )

    def _check_mode(self, form: str) -> None:
        if self.mode is not None and form not in ("--item", "--top", "--flip"):
            raise ConfigError(f"--mode goes with --item, --top or --flip, not with {form}.")
        if self.mode is not None and self.limits.get("rank_by") not in (None, "drop"):
            raise ConfigError(
                "--mode and --rank-by both say what paths are ranked by. Pass either of them."
            )
        if self.lines and form not in ("--item", "--top"):
            raise ConfigError(f"--lines goes with --item or --top, not with {form}.")
        if self.scope == "training" and form not in ("--item", "--top"):
            raise ConfigError(f"--scope training goes with --item or --top, not with {form}.")


def explain(
    run: RunArgument,
    user: Annotated[
        str | None, typer.Option(metavar="U", help="The user's id.", show_default=False)
    ] = None,
    item: Annotated[
        str | None, typer.Option(metavar="I", help="The item's id.", show_default=False)
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Explain the user's N best items; with --flip also say which items of the history hold the "
            "first one.",
            show_default=False,
        ),
    ] = None,
    history: Annotated[
        list[str] | None,
        typer.Option(
            metavar="I1,I2",
            help="Item ids of someone the model never saw; with --user, items that the user has "
            "besides. May be repeated.",
            show_default=False,
        ),
    ] = None,
    on_unknown: Annotated[
        Literal["error", "ignore"],
        typer.Option(
            help="What to do about ids in --history that are not in the data; what is ignored is "
            "reported."
        ),
    ] = "error",
    listed: Annotated[
        int | None,
        typer.Option(
            "--list",
            metavar="N",
            min=1,
            help="Which interactions and which facts hold the user's first N items up?",
            show_default=False,
        ),
    ] = None,
    contrast: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Why item A and not B?", show_default=False),
    ] = None,
    flip: Annotated[
        bool,
        typer.Option(
            "--flip",
            help="Which items of the history, if gone, take the item (or the first one) from the top?",
        ),
    ] = False,
    why_not: Annotated[
        str | None,
        typer.Option(
            metavar="X",
            help="Why is item X not among the first k, and what would bring it in?",
            show_default=False,
        ),
    ] = None,
    what_if: Annotated[
        bool, typer.Option("--what-if", help="What if interactions were removed or added?")
    ] = False,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            metavar="J",
            help="What if the user did not have item J; may be repeated.",
            show_default=False,
        ),
    ] = None,
    add: Annotated[
        list[str] | None,
        typer.Option(
            metavar="J", help="What if the user had item J; may be repeated.", show_default=False
        ),
    ] = None,
    remove_fact: Annotated[
        list[str] | None,
        typer.Option(
            metavar="H,R,T",
            help="What if the fact (head, relation, tail) were not in the graph; may be repeated.",
            show_default=False,
        ),
    ] = None,
    add_fact: Annotated[
        list[str] | None,
        typer.Option(
            metavar="H,R,T",
            help="What if the fact were in the graph; may be repeated.",
            show_default=False,
        ),
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Compute a saved explanation (.json, .jsonl, .ttl) again.",
            show_default=False,
        ),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option(
            "-k",
            min=1,
            help="Paths per item (10; 5 with --contrast); with --why-not and --what-if, length "
            "of the list.",
        ),
    ] = None,
    max_length: MaxLengthOption = None,
    rank_by: RankByOption = None,
    mode: Annotated[
        Literal["delete", "mask"] | None,
        typer.Option(
            help="Rank by the drop with everything computed again (delete), or other weights "
            "kept (mask).",
            show_default=False,
        ),
    ] = None,
    relation: RelationOption = None,
    not_relation: NotRelationOption = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="item|entity|users",
            help="Pass only through stops of this kind after the first hop; may be repeated.",
            show_default=False,
        ),
    ] = None,
    max_degree: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Pass through no stop with more edges.", show_default=False
        ),
    ] = None,
    min_drop: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Only paths whose drop is at least this.", show_default=False
        ),
    ] = None,
    ranks: Annotated[
        bool, typer.Option("--ranks", help="Also find the item's rank without each path; slower.")
    ] = False,
    users: Annotated[
        Users | None,
        typer.Option(
            help="Other users on a path: count them (as without this), leave such paths out, or "
            "name them.",
            show_default=False,
        ),
    ] = None,
    no_users: Annotated[bool, typer.Option("--no-users", help="The same as --users hide.")] = False,
    lines: Annotated[
        bool,
        typer.Option(
            "--lines",
            help="Give the line of facts that are counted as triples, read from the file as it "
            "is now.",
        ),
    ] = False,
    scope: Annotated[
        Literal["inference", "training"],
        typer.Option(
            help="training: also what the score would be had each path's interaction or facts never been "
            "in the data.",
        ),
    ] = "inference",
    language: LanguageOption = "en",
    phrases: PhrasesOption = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format", help="The ending of --out if omitted, else text.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write there instead of to the terminal.",
            show_default=False,
        ),
    ] = None,
    allow_class: AllowOption = None,
) -> None:
    """Say why an item is recommended, what a score is made of, and what would change it.

    Paths are ranked by the drop of the score without the like, then by that without the facts; those
    through other users come last. Exit code 3: there is no path within the limits. Exit code 1: --verify found
    what does not hold.
    """
    if no_users and users not in (None, "hide"):
        raise ConfigError(
            f"--no-users and --users {users} contradict each other. Pass either of them."
        )

    given = {
        "max_length": max_length,
        "rank_by": rank_by,
        "relation": relation,
        "not_relation": not_relation,
        "type": kind,
        "max_degree": max_degree,
        "min_drop": min_drop,
        "ranks": ranks or None,
        "users": "hide" if no_users else users,
    }
    limits = {name: value for name, value in given.items() if value not in (None, [])}
    likes = tuple(remove or ()), tuple(add or ())
    question_of = (user, item, top, contrast, flip, why_not, what_if, *likes)
    said = in_words(language, phrases)
    person = (history_of(history), on_unknown)
    facts = _facts_of("--remove-fact", remove_fact), _facts_of("--add-fact", add_fact)
    how = (verify, k, limits, mode, lines, scope, said)
    request = _Request(*question_of, *how, *person, listed, *facts)
    question = request.question()
    if question == "--verify":
        _refuse_output(form, out)
        assert verify is not None
        _verify(run, verify, allow_class, phrases)
    elif question in ("--item", "--top"):
        _explain(run, request, _form(form, out, request), out, allow_class)
    else:
        _put_answer(run, request, question, form, out, allow_class)


def history_of(given: list[str] | None) -> tuple[str, ...]:
    """Return the items of ``--history I1,I2``, which may be repeated; () without it.

    Raises:
        ConfigError: If it is given and names no item.
    """
    if given is None:
        return ()

    found = tuple(item for one in given for item in values(one))
    if not found:
        raise ConfigError("--history names no item. Pass item ids with commas between them.")

    return found


def _facts_of(option: str, given: list[str] | None) -> tuple[tuple[str, str, str], ...]:
    """Return facts as (head, relation, tail).

    Raises:
        ConfigError: If one has not three parts.
    """
    found = []
    for one in given or ():
        parts = values(one)
        if len(parts) != 3:
            raise ConfigError(
                f"{option} {one}: expected head, relation and tail with commas between them; a part "
                "with a comma in it goes between double quotes."
            )
        found.append((parts[0], parts[1], parts[2]))

    return tuple(found)


def _put_answer(
    run: Path,
    request: _Request,
    question: str,
    form: str | None,
    out: Path | None,
    allow: list[str] | None,
) -> None:
    """Answer a question other than why an item is recommended."""
    shown = form or (_ENDINGS.get(out.suffix.lower(), "text") if out else "text")
    table = question == "--list" and shown in ("csv", "parquet")
    if shown not in ("text", "json") and not table:
        other = "text, json, csv or parquet" if question == "--list" else "text or json"
        raise ConfigError(f"{question} has no {shown} form. Pass --format {other}.")
    if shown == "parquet" and out is None:
        raise ConfigError("--format parquet is a file. Pass --out FILE.parquet.")

    explainer, user = _person(_open(run, allow).explainer(**request.words), request)
    if question == "--list":
        reasons = explainer.list_reasons(user, request.listed or _PATHS)
        if table:
            _put_table(reasons.to_frame(), shown, out)
            return

        answer: Answer = reasons
    else:
        answer = _answer(explainer, user, question, request)

    _put(to_json(answer.to_dict()) if shown == "json" else answer.to_text(_WIDTH), out)


def _person(explainer: "Explainer", request: _Request) -> "tuple[Explainer, str]":
    """Return who is explained to, and what explains to them."""
    if not request.history:
        assert request.user is not None
        return explainer, request.user

    other = explainer.with_history(request.history, request.user, on_unknown=request.on_unknown)
    assert other.person is not None
    return other, other.person


def _put_table(frame: Any, shown: str, out: Path | None) -> None:
    from kgrec.data.io.files import write_parquet
    from kgrec.escaping import csv_safe

    if shown == "parquet":
        assert out is not None
        whole(out, lambda path: write_parquet(frame, path))
    else:
        _put(str(csv_safe(frame).write_csv()).rstrip("\n"), out)


def _refuse_output(form: str | None, out: Path | None) -> None:
    if form is not None or out is not None:
        raise ConfigError(
            "--verify says what differs, and writes nothing. Omit --format and --out."
        )


def _open(run: Path, allow: list[str] | None) -> "Run":
    from kgrec.runs.run import load_run

    return load_run(run, allow=allow or ())


def _put(text: str, out: Path | None) -> None:
    if out is None:
        print(text)
    else:
        whole(out, lambda path: path.write_text(text + "\n", encoding="utf-8"))


def _form(form: str | None, out: Path | None, request: _Request) -> str:
    """Return the form to show, refused where it cannot go where it was sent."""
    shown = form or (_ENDINGS.get(out.suffix.lower(), "text") if out else "text")
    if shown in _FILES and out is None:
        raise ConfigError(f"--format {shown} is a file. Pass --out FILE.{shown}.")
    if request.lines and shown not in ("text", "tree", "html"):
        raise ConfigError(
            f"--lines applies to text formats, and {shown} keeps locators as they were read. "
            "Omit it."
        )
    return shown


def in_words(language: str, phrases: Path | None) -> dict[str, Any]:
    """Return the settings of an ``Explainer`` that say in which words it answers.

    Raises:
        ConfigError: If there is no table of the language.
    """
    from kgrec.languages import check_language

    settings: dict[str, Any] = {"language": check_language(language)}
    if phrases is not None:
        settings["phrases"] = str(phrases)

    return settings


def path_settings(limits: dict[str, Any], mode: str | None = None) -> dict[str, Any]:
    """Return options that choose paths as arguments of ``Explainer.explain``."""
    out = {
        name: value
        for name, value in limits.items()
        if name not in ("relation", "not_relation", "type")
    }
    if mode is not None:
        out["rank_by"] = {"delete": "drop", "mask": "drop_mask"}[mode]

    relations = {"allow": limits.get("relation"), "deny": limits.get("not_relation", [])}
    if relations["allow"] is not None or relations["deny"]:
        if relations["allow"] is not None:
            out["relations"] = relations
        else:
            out["relations"] = {"deny": relations["deny"]}

    return out | ({"types": limits["type"]} if "type" in limits else {})


def _first(run: "Run", explainer: "Explainer", user: str, top: int) -> list[str]:
    """Return a user's first items, without places at the end that the model could not fill."""
    if explainer.history:
        (row,) = explainer.rows(user)
        return explainer.data.items.keys(explainer.standing(row).order()[:top])

    listed = run.recommend([user], k=top)
    if listed.height:
        return listed.filter(listed["kind"] == listed["kind"][0])["item"].to_list()
    return []


def _explain(
    run: Path, request: _Request, shown: str, out: Path | None, allow: list[str] | None
) -> None:
    opened = _open(run, allow)
    explainer, user = _person(opened.explainer(**request.words), request)

    if request.item is not None:
        items = [request.item]
    else:
        items = _first(opened, explainer, user, request.top or 1)

    settings = path_settings(request.limits, request.mode)
    explanations = [
        explainer.explain(
            user, one, request.k or _PATHS, flip=request.flip and one == items[0], **settings
        )
        for one in items
    ]
    if request.scope == "training":
        explanations = [opened.effects_through_training(one) for one in explanations]

    if request.lines:
        from kgrec.explanation.render.source_lines import with_lines

        explanations = with_lines(explanations, opened.data.triples)

    if shown == "parquet":
        _put_table(_frame(explanations), shown, out)
    else:
        _put(
            _rendered(
                explanations,
                shown,
                user,
                single=request.item is not None,
                to_file=out is not None,
            ),
            out,
        )

    if not any(one.paths for one in explanations):
        raise typer.Exit(3)


def _answer(explainer: "Explainer", user: str, question: str, request: _Request) -> "Answer":
    if question == "--contrast":
        assert request.contrast is not None
        return explainer.compare(user, *request.contrast, k=request.k or 5)

    if question == "--flip":
        return explainer.flip(user, request.item, mode=request.mode or "delete")
    if question == "--why-not":
        return explainer.why_not(user, request.why_not or "", k=request.k or _PATHS)

    items = () if request.item is None else (request.item,)
    return explainer.what_if(
        user,
        remove=request.remove,
        add=request.add,
        items=items,
        remove_facts=request.remove_facts,
        add_facts=request.add_facts,
        k=request.k or _PATHS,
    )


def _frame(explanations: "list[Explanation]") -> Any:
    import polars as pl

    from kgrec.explanation.render.frames import empty_frame

    training = any(one.training is not None for one in explanations)
    return pl.concat([empty_frame(training), *(one.to_frame() for one in explanations)])


def _rendered(
    explanations: "list[Explanation]", form: str, user: str, single: bool, to_file: bool
) -> str:
    if form == "json":
        return to_json(
            explanations[0].to_dict() if single else [one.to_dict() for one in explanations]
        )

    if form == "csv":
        from kgrec.escaping import csv_safe

        return str(csv_safe(_frame(explanations)).write_csv()).rstrip("\n")

    if form == "ttl":
        return "\n".join(one.to_rdf() for one in explanations).rstrip("\n")

    if form == "html":
        from kgrec.explanation.core.words import Words
        from kgrec.explanation.render.html import page, page_title

        named = user
        words = Words()
        if explanations:
            named = explanations[0].user_label
            words = explanations[0].words

        return page(
            explanations,
            page_title(named, len(explanations) != 1, words),
        )

    nothing = f"No item is left to recommend to {clean(user)}."

    return (
        "\n\n".join(
            map(_drawn, explanations)
            if form == "tree" and not to_file
            else _plain(explanations, form)
        )
        or nothing
    )


def _drawn(one: "Explanation") -> str:
    """Return a tree as wide as the terminal, colored where there is one."""
    import os
    import shutil
    import sys

    from kgrec.explanation.render.tree import tree

    terminal = sys.stdout.isatty()
    if terminal:
        width = shutil.get_terminal_size((_WIDTH, 24)).columns
    else:
        width = _WIDTH

    return tree(one, width, color=terminal and not os.environ.get("NO_COLOR"))


def _plain(explanations: "list[Explanation]", form: str) -> list[str]:
    from kgrec.explanation.render.tree import tree

    return [tree(one, _WIDTH) if form == "tree" else one.to_text(_WIDTH) for one in explanations]


def _verify(run: Path, file: Path, allow: list[str] | None, phrases: Path | None) -> None:
    saved = read_explanations(file)
    opened = _open(run, allow)
    from kgrec.explanation.verify import settings_of

    explainers: dict[str, Explainer] = {}
    wrong = 0

    for number, one in enumerate(saved, 1):
        settings = settings_of(one)
        if phrases is not None:
            settings["phrases"] = str(phrases)

        explainer = explainers.setdefault(str(settings), opened.explainer(**settings))
        found = one.verify(explainer)
        wrong += bool(found)
        for line in found:
            print(clean(f"{file}, explanation {number} ({one.user}, {one.item}): {line}"))

    print(
        f"{clean(str(file))}: {len(saved) - wrong} of {len(saved)} "
        f"explanation{'' if len(saved) == 1 else 's'} hold"
    )
    if wrong:
        raise typer.Exit(1)


def read_explanations(file: Path) -> "list[Explanation]":
    """Return the explanations of a file: one as JSON, a list of them, one a line, or Turtle.

    Raises:
        ExplanationError: If the file holds something else.
    """
    from kgrec.data.io.files import read_text
    from kgrec.explanation.core.json_form import read_json
    from kgrec.explanation.core.records import Explanation

    text = read_text(file)
    try:
        if file.suffix.lower() == ".ttl":
            from kgrec.explanation.render.rdf import read_rdf

            found = read_rdf(text)
        elif file.suffix.lower() == ".jsonl":
            found = [Explanation.from_json(line) for line in text.split("\n") if line.strip()]
        else:
            read = read_json(text)
            found = [
                Explanation.from_record(one) for one in (read if isinstance(read, list) else [read])
            ]
    except ExplanationError as error:
        raise ExplanationError(f"{file}: {error}") from None

    if not found:
        raise ExplanationError(f"{file}: holds no explanation.")

    return found
