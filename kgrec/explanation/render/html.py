"""Explanations as one HTML page that asks the network for nothing and runs no script.

The markup is in ``templates/``; here are the words and numbers that it shows.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from kgrec.escaping import html_text, terminal
from kgrec.explanation.core.records import Budget, Explanation, Hop, Path, Relation, Term
from kgrec.explanation.render.apart import person_lines, training_about, training_words
from kgrec.explanation.render.sentences import (
    as_shares,
    budget_parts,
    claim,
    hidden_line,
    joint_words,
    of_margin,
    of_score,
    percent,
    walks_line,
    wording,
)
from kgrec.templates import environment, source

_LEGEND = (
    "Each number is of a re-run: how much the score falls without the like alone, without the "
    "facts alone (the like kept), and what only both make together. Paths share likes and facts, "
    "so numbers of several paths do not add up."
)
_LEGEND_NOT_MEASURED = (
    "These paths connect the user and the item in the graph. What their facts do to the model's "
    "score was not measured."
)
_LEGEND_POST_HOC = (
    "These paths connect the user and the item in the graph. The model's score "
    "does not depend on them."
)
_BUDGET_NOTES = {
    "exact": "The parts add up to the score exactly; nothing is left out.",
    "linearized": "The parts add up to the score at this point; when likes or facts change, what "
    "the parts are worth moves as well.",
    "measured": "The part of a liked item is how far the score falls without that like, measured "
    "by running the model again.",
}
_SUPPORTED = "joined to a neighbor of this item by a fact, or one of them: what the graph can show"
_UNSUPPORTED = "by learned similarity alone: no fact joins the two"
_PART_NOTES = {
    "own taste": "the user's own trained vector, which no like and no fact carries",
    "liked items": "what the liked items give together",
    "bias": "what is the same for everybody",
    "rounding": "what rounding leaves",
}
_PART_KINDS = {
    "own taste": "own",
    "liked items": "supported",
    "bias": "bias",
    "rounding": "bias",
}
_QUOTES = ("\u201c", "\u201d")
_TERMS_SHOWN = 5
_PLACES_SHOWN = 5
_View = dict[str, Any]  # what a template shows of one thing


def page(
    explanations: Sequence[Explanation],
    title: str,
    intro: str = "",
    recommendations: Iterable[Mapping[str, Any]] = (),
) -> str:
    """Return one self-contained HTML page.

    It loads nothing, runs no script (its content security policy forbids both), follows the
    reader's light or dark scheme and fits a phone. Labels are escaped.

    Args:
        explanations: What to explain, in order.
        title: Heading and title of the page.
        intro: A paragraph under the heading.
        recommendations: Rows with ``rank``, ``item``, ``label`` and ``score``, as ``Run.recommend``
            gives them; a row whose item is explained below links there.
    """
    style = source(_templates(), "explanation.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )

    return (
        _templates()
        .get_template("page.html")
        .render(
            title=title,
            intro=intro,
            style=style,
            policy=Markup(policy),
            recommended=_recommended(list(recommendations), explanations),
            sections=_sections(explanations),
        )
    )


def notebook(explanation: Explanation) -> str:
    """Return an HTML fragment with its own style and no script, for notebooks."""
    style = source(_templates(), "explanation.css")
    (view,) = _sections([explanation])
    return _templates().get_template("notebook.html").render(style=style, view=view)


@cache
def _templates() -> jinja2.Environment:
    templates = environment("kgrec.explanation.render", terminal)
    templates.filters["paragraph"] = _paragraph
    return templates


def _paragraph(text: str) -> Markup:
    """Return a text of any length, escaped word by word: a label's cap is not a paragraph's."""
    return Markup(" ".join(html_text(word) for word in text.split()))


def _bar(share: float | int, words: str, down: bool = False) -> _View:
    """Return a bar that fills some share of its width."""
    kind = "fill"
    if down:
        kind = "fill down"
    return {"words": words, "kind": kind, "width": f"{100 * min(max(share, 0.0), 1.0):.1f}%"}


def _recommended(rows: list[Mapping[str, Any]], explanations: Sequence[Explanation]) -> list[_View]:
    """Return the rows of a list; those that are explained have the number of their section."""
    numbers: dict[str, int] = {}
    for number, explanation in enumerate(explanations, 1):
        numbers.setdefault(explanation.item, number)

    scores = [float(row["score"]) for row in rows]
    top = max(scores, default=0.0)
    if top <= 0:
        top = 1.0

    return [
        {
            "rank": int(row["rank"]),
            "number": numbers.get(str(row["item"]), 0),
            "label": str(row["label"]),
            "bar": _bar(score / top, f"score {score:.3g}"),
            "score": f"{score:.3f}",
        }
        for row, score in zip(rows, scores, strict=True)
    ]


def _sections(explanations: Sequence[Explanation]) -> list[_View]:
    """Return a section each; what the numbers mean is said where they first occur."""
    said: set[str] = set()
    sections = []

    for number, explanation in enumerate(explanations, 1):
        section = _section(number, explanation)
        legend = _legend(explanation)
        if legend not in said:
            section["legend"] = legend

        said.add(legend)
        sections.append(section)

    return sections


def _legend(explanation: Explanation) -> str:
    if not explanation.paths:
        return ""

    bases = {path.basis for path in explanation.paths}
    if bases == {"not measured"}:
        return _LEGEND_NOT_MEASURED
    if bases != {"post-hoc"} or any(path.like_drop for path in explanation.paths):
        return _LEGEND

    return _LEGEND_POST_HOC


def _section(number: int, explanation: Explanation) -> _View:
    rank = "Already in the user's history"
    if explanation.rank is not None:
        rank = f"Rank {explanation.rank} of the unseen items"

    drops = [drop for path in explanation.paths for _, drop in _parts(path)]
    largest = max(map(abs, drops), default=0.0)
    against = explanation.against[:_TERMS_SHOWN]
    view: _View = {
        "number": number,
        "item": explanation.item_label,
        "user": explanation.user_label,
        "rank": rank,
        "score": f"{explanation.score:.3f}",
        "next": "",
        "margin": "",
        "legend": "",
        "person": person_lines(explanation, _QUOTES),
        "training": training_about(explanation.training),
        "budget": None,
        "cards": [
            _card(number, path, largest, explanation)
            | {"training": training_words(explanation.training, number)}
            for number, path in enumerate(explanation.paths, 1)
        ],
        "against": _signed([(term.node.label, term.value) for term in against]),
        "more_against": len(explanation.against) - len(against),
        "searched": _searched(explanation),
        "notes": explanation.notes,
    }

    if explanation.margin is not None and explanation.next_item is not None:
        view["next"] = explanation.next_item.label
        view["margin"] = f"{explanation.margin:.3g}"

    if explanation.budget is not None:
        view["budget"] = _budget(explanation.budget)

    return view


def _budget(budget: Budget) -> _View:
    """Return a score's parts: a bar where they are shares, signed numbers where they are not."""
    view: _View = {"parts": None, "signed": []}
    if as_shares(budget):
        view["parts"] = _stacked(budget)
    else:
        view["signed"] = _signed(budget_parts(budget))

    strongest = sorted(budget.by_liked, key=lambda term: -term.value)[:_TERMS_SHOWN]
    terms = [term for term in strongest if term.value > 0]
    view["notes"] = f"{_BUDGET_NOTES[budget.basis]} {walks_line(budget)}"
    view["summary"] = f"The liked items that give most.{_rest(terms, budget)}"
    view["terms"] = _signed([(term.node.label, term.value) for term in terms])
    return view


def _stacked(budget: Budget) -> _View:
    """Return one bar of all parts with a legend that says what each is."""
    left = 0.0
    pieces = []

    for kind, name, note, value in _pieces(budget):
        share = max(value / budget.score, 0.0)
        width = min(share, max(1 - left, 0.0))
        pieces.append(
            {
                "kind": kind,
                "name": name,
                "note": note,
                "share": percent(share),
                "x": f"{100 * left:.2f}%",
                "width": f"{100 * width:.2f}%",
            }
        )
        left += width

    words = ", ".join(f"{piece['name']} {piece['share']}" for piece in pieces)
    return {"words": words, "pieces": pieces}


def _pieces(budget: Budget) -> list[tuple[str, str, str, float]]:
    """Return (kind, name, note, value) of the parts; liked items in two pieces where known."""
    pieces = []
    supported = budget.supported

    for name, value in budget_parts(budget):
        if name == "liked items" and supported is not None and 0 <= supported <= value:
            rest = value - supported
            pieces.append(("supported", "liked items, supported", _SUPPORTED, supported))
            pieces.append(("liked", "liked items, unsupported", _UNSUPPORTED, rest))
        else:
            note = _PART_NOTES.get(name, name)
            pieces.append((_PART_KINDS.get(name, "other"), name, note, value))

    return pieces


def _signed(rows: Sequence[tuple[str, float]]) -> list[_View]:
    """Return named numbers with bars, relative to the largest."""
    largest = max((abs(value) for _, value in rows), default=0.0) or 1.0
    return [
        {
            "name": name,
            "value": f"{value:+#.3g}",
            "bar": _bar(abs(value) / largest, f"{value:+.3g}", down=value < 0),
        }
        for name, value in rows
    ]


def _rest(terms: Sequence[Term], budget: Budget) -> str:
    """Return what the liked items that are not shown give."""
    more = len(budget.by_liked) - len(terms)
    rest = budget.liked - sum(term.value for term in terms)
    if more == 0:
        return ""
    if more == 1:
        return f" The other one gives {rest:+.3g}."

    return f" The other {more:,} together give {rest:+.3g}."


def _searched(explanation: Explanation) -> str:
    """Return what was searched, and what is not shown."""
    total = sum(explanation.counts.values())
    words = f"{total:,} path{_plural(total == 1)} found"
    lengths = [
        f"{count:,} of {length} hop{_plural(length == '1')}"
        for length, count in explanation.counts.items()
        if count
    ]
    if lengths:
        words += f" ({', '.join(lengths)})"

    words += "."
    if explanation.truncated:
        words += " The search stopped at its budget; some are missing."

    hidden = hidden_line(explanation)
    if hidden:
        words += f" {hidden[:1].upper()}{hidden[1:]}."

    return f"{words} Shown: {len(explanation.paths)}."


def _plural(one: bool) -> str:
    if one:
        return ""
    return "s"


def _card(number: int, path: Path, largest: float, explanation: Explanation) -> _View:
    first = path.hops[0].target.label
    removed = ""
    if path.removed:
        removed = f" ({path.removed:,} facts removed to measure)"

    view: _View = {
        "number": number,
        "lead": _LEADS[claim(path)].format(first),
        "parts": [],
        "effects": "",
        "hops": [_hop(hop) for hop in path.hops],
        "facts": [_fact(path, hop, relation) for hop in path.hops for relation in hop.relations],
        "removed": removed,
    }
    for name, drop in _parts(path):
        words = f"{name}: the score rises by {-drop:.3g} without it"
        if drop > 0:
            words = f"{name}: the score falls by {drop:.3g} without it"

        bar = _bar(abs(drop) / (largest or 1.0), words, down=drop < 0)
        view["parts"].append({"name": name, "bar": bar, "value": _drop(drop)})

    if path.drop_delete is not None and view["parts"]:
        view["basis"] = path.basis
        view["effects"] = _effects(path, path.drop_delete, explanation)

    return view


_LEADS = {
    "because of the like and the facts": "Because you liked {}, and because of what joins the two",
    "because of the like": "Because you liked {}; the two are also connected",
    "because of the facts": "Because of the facts from {} on",
    "depends on how you count": "Depends on how you count: {}",
    "is connected through": "Connected through {}",
}


def _parts(path: Path) -> list[tuple[str, float]]:
    """Return the drops of a path that were measured and are not 0 by declaration."""
    if path.like_drop is None and path.facts_drop is None:
        if path.basis == "post-hoc" or path.drop_delete is None:
            return []
        return [("like and facts", path.drop_delete)]

    named = [("like", path.like_drop), ("facts", path.facts_drop), ("together", path.together)]
    if path.basis == "post-hoc":
        named = named[:1]

    return [(name, drop) for name, drop in named if drop is not None]


def _drop(value: float) -> str:
    if abs(value) >= 0.001 or value == 0:
        return f"{value:.4f}"
    return f"{value:.2g}"


def _effects(path: Path, drop: float, explanation: Explanation) -> str:
    """Return the further numbers of a path."""
    words = [f"without like and facts {_drop(drop)}"]
    words += [of_margin(drop, explanation), of_score(drop, explanation)]
    if path.placebo is not None:
        words.append(f"unrelated facts do up to {_drop(path.placebo)}")

    if explanation.rank is not None and path.rank_after is not None:
        words.append(f"rank {explanation.rank} \u2192 {path.rank_after} without it")

    if path.drop_mask is not None:
        words.append(f"drop {_drop(path.drop_mask)} with the other weights kept")

    if explanation.filters.get("rank_by") == "joint":
        words.append(joint_words(path, explanation.budget))

    return ", ".join(word for word in words if word)


def _hop(hop: Hop) -> _View:
    """Return a hop: its relations as stated, and an arrow in the direction of the fact."""
    way = "backward"
    if hop.forward:
        way = "forward"

    return {
        "way": way,
        "words": f"{hop.source.label} {wording(hop.relations[0])} {hop.target.label}",
        "labels": [relation.label for relation in hop.relations],
        "kind": hop.target.kind,
        "target": hop.target.label,
    }


def _fact(path: Path, hop: Hop, relation: Relation) -> _View:
    """Return a relation of a hop in the direction of the fact, and where it is stated."""
    labels = []
    for node in (hop.source, hop.target):
        if node.kind == "user" and node == path.nodes[0]:
            labels.append("You")
        else:
            labels.append(node.label)

    if not relation.forward:
        labels.reverse()

    places = list(dict.fromkeys(relation.facts))

    return {
        "head": labels[0],
        "relation": relation.label,
        "tail": labels[1],
        "places": [{"whole": str(place), "short": place.short} for place in places[:_PLACES_SHOWN]],
        "more": max(len(places) - _PLACES_SHOWN, 0),
    }
