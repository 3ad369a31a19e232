"""Explanations as one HTML page that asks the network for nothing and runs no script.

The markup is in ``templates/``; here are the words and numbers that it shows.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import jinja2
from markupsafe import Markup

from kgrec.escaping import html_text, terminal
from kgrec.explanation.core.records import Budget, Explanation, Hop, Node, Path, Relation, Term
from kgrec.explanation.core.words import Words
from kgrec.explanation.render.sentences import claim_kind, hop_words, liked_because, plain
from kgrec.explanation.render.text import (
    as_shares,
    basis_word,
    budget_parts,
    hidden_line,
    joint_words,
    of_margin,
    of_score,
    part_name,
    percent,
    person_lines,
    training_words,
    walks_line,
)
from kgrec.languages import spoken
from kgrec.templates import environment, source

_PART_KINDS = {
    "own taste": "own",
    "liked items": "supported",
    "bias": "bias",
    "rounding": "bias",
}
_PIECES = {"supported": "supported", "unsupported": "liked"}
_TERMS_SHOWN = 5
_PLACES_SHOWN = 5
_ENGLISH = Words()
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
    words = explanations[0].words if explanations else _ENGLISH
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
            recommended=_recommended(list(recommendations), explanations, words),
            sections=_sections(explanations),
            language=words.language,
            say=partial(_say, words),
        )
    )


def notebook(explanation: Explanation) -> str:
    """Return an HTML fragment with its own style and no script, for notebooks."""
    style = source(_templates(), "explanation.css")
    (view,) = _sections([explanation])
    say = partial(_say, explanation.words)
    return _templates().get_template("notebook.html").render(style=style, view=view, say=say)


def page_title(user: str, many: bool = False, words: Words = _ENGLISH) -> str:
    """Return the title of a page that explains one recommendation to a user, or many."""
    return _say(words, "title_many" if many else "title_one", user=user)


def _say(words: Words, frame: str, **values: object) -> str:
    return words.lang.say(f"page.{frame}", **values)


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


def _recommended(
    rows: list[Mapping[str, Any]], explanations: Sequence[Explanation], words: Words
) -> list[_View]:
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
            "bar": _bar(score / top, _say(words, "score_of", score=f"{score:.3g}")),
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
        return _say(explanation.words, "legend_unmeasured")
    if bases != {"post-hoc"} or any(path.like_drop for path in explanation.paths):
        return _say(explanation.words, "legend")

    return _say(explanation.words, "legend_post_hoc")


def _between_quotes(node: Node, words: Words) -> str:
    return f"\u201c{plain(node, words)}\u201d"


def _section(number: int, explanation: Explanation) -> _View:
    words = explanation.words
    rank = _say(words, "has")
    if explanation.rank is not None:
        rank = _say(words, "rank", rank=explanation.rank)

    score = f"{explanation.score:.3f}"
    item = spoken(explanation.item_label, explanation.item_label in words.whole)

    drops = [drop for path in explanation.paths for _, drop in _parts(path)]
    largest = max(map(abs, drops), default=0.0)
    against = explanation.against[:_TERMS_SHOWN]
    view: _View = {
        "number": number,
        "title": _say(words, "why", item=item),
        "standing": _say(
            words, "standing", rank=rank, user=terminal(explanation.user_label), score=score
        ),
        "next": "",
        "legend": "",
        "person": person_lines(explanation, _between_quotes),
        "training": (
            "" if explanation.training is None else explanation.training.about(words.language)
        ),
        "budget": None,
        "cards": [
            _card(number, path, largest, explanation)
            | {"training": training_words(explanation.training, number, words)}
            for number, path in enumerate(explanation.paths, 1)
        ],
        "against": _signed([(plain(term.node, words), term.value) for term in against]),
        "more_against": len(explanation.against) - len(against),
        "searched": _searched(explanation),
        "notes": explanation.notes,
    }

    if explanation.margin is not None and explanation.next_item is not None:
        following = plain(explanation.next_item, words)
        view["next"] = _say(words, "next", item=following, margin=f"{explanation.margin:.3g}")

    if explanation.budget is not None:
        view["budget"] = _budget(explanation.budget, words)

    return view


def _budget(budget: Budget, words: Words) -> _View:
    """Return a score's parts: a bar where they are shares, signed numbers where they are not."""
    view: _View = {"parts": None, "signed": []}
    if as_shares(budget):
        view["parts"] = _stacked(budget, words)
    else:
        view["signed"] = _signed(
            [(part_name(name, words), value) for name, value in budget_parts(budget)]
        )

    strongest = sorted(budget.by_liked, key=lambda term: -term.value)[:_TERMS_SHOWN]
    terms = [term for term in strongest if term.value > 0]
    view["notes"] = f"{_say(words, budget.basis)} {walks_line(budget, words)}"
    view["summary"] = f"{_say(words, 'strongest')}{_rest(terms, budget, words)}"
    view["terms"] = _signed([(plain(term.node, words), term.value) for term in terms])
    return view


def _stacked(budget: Budget, words: Words) -> _View:
    """Return one bar of all parts with a legend that says what each is."""
    left = 0.0
    pieces = []

    for kind, name, note, value in _pieces(budget, words):
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

    spelled = ", ".join(f"{piece['name']} {piece['share']}" for piece in pieces)
    return {"words": spelled, "pieces": pieces}


def _pieces(budget: Budget, words: Words) -> list[tuple[str, str, str, float]]:
    """Return (kind, name, note, value) of the parts; liked items in two pieces where known."""
    pieces = []
    supported = budget.supported

    for name, value in budget_parts(budget):
        if name == "liked items" and supported is not None and 0 <= supported <= value:
            rest = value - supported
            for kind, part in (("supported", supported), ("unsupported", rest)):
                title = _say(words, f"liked_{kind}")
                pieces.append((_PIECES[kind], title, _say(words, kind), part))
        else:
            title = part_name(name, words)
            note = _say(words, name.replace(" ", "_")) if name in _PART_KINDS else title
            pieces.append((_PART_KINDS.get(name, "other"), title, note, value))

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


def _rest(terms: Sequence[Term], budget: Budget, words: Words) -> str:
    """Return what the liked items that are not shown give."""
    more = len(budget.by_liked) - len(terms)
    rest = budget.liked - sum(term.value for term in terms)
    if more == 0:
        return ""
    if more == 1:
        return _say(words, "other_one", value=f"{rest:+.3g}")

    return _say(words, "other_many", count=f"{more:,}", value=f"{rest:+.3g}")


def _searched(explanation: Explanation) -> str:
    """Return what was searched, and what is not shown."""
    words = explanation.words
    lang = words.lang
    total = sum(explanation.counts.values())
    said = _say(words, "found_one" if total == 1 else "found", count=f"{total:,}")
    lengths = [
        lang.say(
            "text.of_hop" if length == "1" else "text.of_hops", count=f"{count:,}", length=length
        )
        for length, count in explanation.counts.items()
        if count
    ]
    if lengths:
        said += f" ({', '.join(lengths)})"

    said += "."
    if explanation.truncated:
        said += f" {_say(words, 'budget_end')}"

    hidden = hidden_line(explanation)
    if hidden:
        said += f" {hidden[:1].upper()}{hidden[1:]}."

    return f"{said} {_say(words, 'shown', count=len(explanation.paths))}"


def _card(number: int, path: Path, largest: float, explanation: Explanation) -> _View:
    words = explanation.words
    removed = ""
    if path.removed:
        removed = _say(words, "removed", count=f"{path.removed:,}")

    view: _View = {
        "number": number,
        "lead": _lead(path, words),
        "parts": [],
        "effects": "",
        "hops": [_hop(hop, words) for hop in path.hops],
        "facts": [
            _fact(path, hop, relation, words) for hop in path.hops for relation in hop.relations
        ],
        "removed": removed,
    }
    for name, drop in _parts(path):
        part = _say(words, name)
        change = _say(words, "falls" if drop > 0 else "rises", name=part, drop=f"{abs(drop):.3g}")
        bar = _bar(abs(drop) / (largest or 1.0), change, down=drop < 0)
        view["parts"].append({"name": part, "bar": bar, "value": _drop(drop)})

    if path.drop_delete is not None and view["parts"]:
        view["basis"] = basis_word(path.basis, words)
        view["effects"] = _effects(path, path.drop_delete, explanation)

    return view


def _lead(path: Path, words: Words) -> str:
    """Return what is claimed of a path, as a heading."""
    kind = claim_kind(path)
    first = path.hops[0]
    item = plain(first.target, words)
    if kind in ("both", "like") and first.liked:
        said = _say(words, f"lead_{kind}", because=liked_because(first, words).replace("*", ""))
        return said[:1].upper() + said[1:]

    return _say(words, f"lead_{kind}", item=item)


def _parts(path: Path) -> list[tuple[str, float]]:
    """Return the drops of a path that were measured and are not 0 by declaration."""
    if path.like_drop is None and path.facts_drop is None:
        if path.basis == "post-hoc" or path.drop_delete is None:
            return []
        return [("both", path.drop_delete)]

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
    words = explanation.words
    said = [_say(words, "without_both", drop=_drop(drop))]
    said += [of_margin(drop, explanation), of_score(drop, explanation)]
    if path.placebo is not None:
        said.append(_say(words, "placebo", bar=_drop(path.placebo)))

    if explanation.rank is not None and path.rank_after is not None:
        said.append(_say(words, "rank_after", rank=explanation.rank, after=path.rank_after))

    if path.drop_mask is not None:
        said.append(_say(words, "mask", drop=_drop(path.drop_mask)))

    if explanation.filters.get("rank_by") == "joint":
        said.append(joint_words(path, explanation.budget, words))

    return ", ".join(one for one in said if one)


def _hop(hop: Hop, words: Words) -> _View:
    """Return a hop: its relations as stated, and an arrow in the direction of the fact."""
    way = "backward"
    if hop.forward:
        way = "forward"

    return {
        "way": way,
        "words": f"{plain(hop.source, words)} {hop_words(hop, words)} {plain(hop.target, words)}",
        "labels": [relation.label for relation in hop.relations],
        "kind": hop.target.kind,
        "target": plain(hop.target, words),
    }


def _fact(path: Path, hop: Hop, relation: Relation, words: Words) -> _View:
    """Return a relation of a hop in the direction of the fact, and where it is stated."""
    labels = []
    for node in (hop.source, hop.target):
        if node.kind == "user" and node == path.nodes[0]:
            labels.append(_say(words, "you"))
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
