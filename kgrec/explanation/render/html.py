"""Explanations as one HTML page that asks the network for nothing and runs no script."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kgrec.escaping import html_text
from kgrec.explanation.core.records import Budget, Explanation, Hop, Node, Path, Term
from kgrec.explanation.render.sentences import (
    as_shares,
    budget_parts,
    hidden_line,
    joint_words,
    of_margin,
    of_score,
    percent,
    walks_line,
    wording,
)

_STYLE = """
.kgrec { --paper: #fbfaf7; --card: #ffffff; --ink: #22262b; --soft: #5d656e; --line: #dfddd6; --item: #1f5f8b; --item-bg: #e7f0f6;
  --entity: #6b4a12; --entity-bg: #f6eedd; --person: #3d5a3c; --person-bg: #e8f0e6; --bar: #2f7f79; --down: #b4532f; --track: #ecebe5;
  --own: #5b6b9a; --supported: #2f7f79; --liked: #8fc1ba; --bias: #a9a497; --other: #c39a4a;
  color: var(--ink); background: var(--paper); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { .kgrec { --paper: #15181c; --card: #1d2126; --ink: #e6e4df; --soft: #a0a7ae; --line: #333940;
  --item: #9cc8e6; --item-bg: #1c3040; --entity: #e3c48b; --entity-bg: #352c1b; --person: #b3d1af; --person-bg: #22301f; --bar: #4fb3aa;
  --down: #e08a63; --track: #2a2f35; --own: #8f9fd0; --supported: #4fb3aa; --liked: #2f6a66; --bias: #6d6a62; --other: #b8924a; } }
.kgrec * { box-sizing: border-box; }
body.kgrec { margin: 0; }
.kgrec main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
.kgrec h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.01em; }
.kgrec h2 { font-size: 1.3rem; line-height: 1.3; margin: 0 0 .25rem; }
.kgrec h3 { font-size: 1rem; margin: 0 0 .6rem; }
.kgrec p { margin: 0 0 .75rem; max-width: 44rem; }
.kgrec a { color: var(--item); text-underline-offset: .15em; }
.kgrec .soft { color: var(--soft); }
.kgrec .small { font-size: .875rem; }
.kgrec .card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.1rem 1.25rem; margin: 1rem 0; }
.kgrec section { margin-top: 2.75rem; }
.kgrec .recommendations { list-style: none; margin: 0; padding: 0; }
.kgrec .recommendations li { display: grid; grid-template-columns: 2rem minmax(0, 1fr) 7rem 4.5rem; gap: .75rem; align-items: center;
  padding: .4rem 0; border-top: 1px solid var(--line); }
.kgrec .recommendations li:first-child { border-top: 0; }
.kgrec .number { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
.kgrec svg.bar { display: block; width: 100%; height: .5rem; border-radius: .25rem; }
.kgrec .track { fill: var(--track); } .kgrec .fill { fill: var(--bar); } .kgrec .fill.down { fill: var(--down); }
.kgrec .measure { display: grid; grid-template-columns: 1.6rem minmax(0, 1fr) 9rem auto; gap: .75rem; align-items: center;
  margin-bottom: .8rem; }
.kgrec .measure .place { color: var(--soft); font-variant-numeric: tabular-nums; }
.kgrec .drop { font-weight: 600; font-variant-numeric: tabular-nums; white-space: nowrap; }
.kgrec .badge { border: 1px solid var(--line); border-radius: 999px; padding: 0 .5rem; font-size: .75rem; color: var(--soft); }
.kgrec svg.parts { display: block; width: 100%; height: 1.1rem; border-radius: .3rem; margin: .2rem 0 .9rem; }
.kgrec .own { fill: var(--own); } .kgrec .supported { fill: var(--supported); } .kgrec .liked { fill: var(--liked); }
.kgrec .bias { fill: var(--bias); } .kgrec .other { fill: var(--other); }
.kgrec .legend { list-style: none; margin: 0; padding: 0; font-size: .875rem; }
.kgrec .legend li { display: grid; grid-template-columns: .8rem 3.1rem minmax(0, 1fr); gap: .6rem; padding: .2rem 0;
  align-items: baseline; }
.kgrec .legend svg { width: .75rem; height: .75rem; border-radius: 3px; align-self: center; }
.kgrec .terms { list-style: none; margin: .4rem 0 0; padding: 0; font-size: .875rem; }
.kgrec .terms li { display: grid; grid-template-columns: minmax(0, 1fr) 9rem 4.5rem; gap: .75rem; align-items: center; padding: .15rem 0; }
.kgrec .effects { margin: -.35rem 0 .8rem 2.35rem; max-width: none; }
.kgrec .badge { margin-right: .35rem; }
.kgrec .legend + p { margin: .9rem 0 .75rem; }
.kgrec .lane { list-style: none; margin: 0; padding: 0; display: flex; align-items: stretch; }
.kgrec .stop { flex: 0 1 auto; display: flex; align-items: center; justify-content: center; text-align: center; min-width: 3.25rem;
  max-width: 13rem; padding: .4rem .7rem; border-radius: 8px; line-height: 1.3; background: var(--entity-bg); color: var(--entity); }
.kgrec .stop.item { background: var(--item-bg); color: var(--item); font-weight: 600; }
.kgrec .stop.user, .kgrec .stop.users { background: var(--person-bg); color: var(--person); }
.kgrec .hop { flex: 1 1 6rem; min-width: 5.5rem; display: grid; grid-template-rows: 1fr auto 1fr; align-items: end; justify-items: center;
  text-align: center; color: var(--soft); font-size: .8125rem; line-height: 1.25; padding: 0 .3rem; }
.kgrec .arrow { display: block; position: relative; width: 100%; height: .5rem; }
.kgrec .arrow::before { content: ""; position: absolute; left: 0; right: 0; top: 50%; border-top: 1.5px solid var(--soft); }
.kgrec .arrow::after { content: ""; position: absolute; top: calc(50% - .27rem); width: .5rem; height: .5rem;
  border-top: 1.5px solid var(--soft); border-right: 1.5px solid var(--soft); }
.kgrec .forward .arrow::after { right: .05rem; transform: rotate(45deg); }
.kgrec .backward .arrow::after { left: .05rem; transform: rotate(-135deg); }
.kgrec details { margin-top: .8rem; font-size: .875rem; color: var(--soft); }
.kgrec summary { cursor: pointer; width: fit-content; }
.kgrec summary:focus-visible, .kgrec a:focus-visible { outline: 2px solid var(--bar); outline-offset: 3px; border-radius: 3px; }
.kgrec table { border-collapse: collapse; width: 100%; margin-top: .5rem; }
.kgrec th, .kgrec td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-top: 1px solid var(--line); }
.kgrec th { font-weight: 600; }
.kgrec code { font: .8125rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.kgrec .note { border-left: 3px solid var(--line); padding-left: .8rem; }
@media (max-width: 640px) {
  .kgrec main { padding: 1.5rem 1rem 3rem; }
  .kgrec h1 { font-size: 1.55rem; }
  .kgrec .card { padding: .9rem 1rem; }
  .kgrec .recommendations li { grid-template-columns: 1.4rem minmax(0, 1fr) 4rem; }
  .kgrec .recommendations svg.bar { display: none; }
  .kgrec .terms li { grid-template-columns: minmax(0, 1fr) 5rem 4rem; }
  .kgrec .effects { margin-left: 1.95rem; }
  .kgrec .measure { grid-template-columns: 1.2rem minmax(0, 1fr) auto; }
  .kgrec .measure svg.bar { grid-column: 2 / -1; grid-row: 2; }
  .kgrec .lane { flex-direction: column; align-items: flex-start; }
  .kgrec .stop { max-width: 100%; text-align: left; }
  .kgrec .hop { flex: none; display: flex; align-items: center; min-height: 2.1rem; padding: 0 0 0 1rem; gap: .6rem; text-align: left; }
  .kgrec .arrow { width: .75rem; height: 2.1rem; flex: none; order: -1; }
  .kgrec .arrow::before { left: 50%; right: auto; top: .2rem; bottom: .2rem; border-top: 0; border-left: 1.5px solid var(--soft); }
  .kgrec .forward .arrow::after { top: auto; right: auto; left: calc(50% - .22rem); bottom: .25rem; transform: rotate(135deg); }
  .kgrec .backward .arrow::after { top: .25rem; left: calc(50% - .22rem); transform: rotate(-45deg); }
  .kgrec th, .kgrec td { padding-right: .5rem; }
}
@media print { .kgrec .card { break-inside: avoid; } }
"""

_LEGEND = (
    "The drop beside a path is how much the score falls when the path's facts are taken out of "
    "the graph and everything is computed again; "
    "paths share facts, so the drops do not add up."
)
_LEGEND_POST_HOC = (
    "These paths connect the user and the item in the graph. The model's score "
    "does not depend on them."
)
_BUDGET_NOTES = {
    "exact": "The parts add up to the score exactly; nothing is left out.",
    "linearised": "The parts add up to the score at this point; when likes or facts change, what "
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
_TERMS_SHOWN = 5


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
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{html_text(title)}</title>",
            f"<style>{_STYLE}</style>",
            "</head>",
            '<body class="kgrec">',
            "<main>",
            "<header>",
            f"<h1>{html_text(title)}</h1>",
            f'<p class="soft">{_paragraph(intro)}</p>' if intro else "",
            "</header>",
            _recommended(list(recommendations), explanations),
            *_sections(explanations),
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def notebook(explanation: Explanation) -> str:
    """Return an HTML fragment with its own style and no script, for notebooks."""
    return f'<style>{_STYLE}</style><div class="kgrec"><main>{_sections([explanation])[0]}</main></div>'


def _paragraph(text: str) -> str:
    """Return a text of any length escaped, word by word, since one label's cap is not a
    paragraph's.
    """
    return " ".join(html_text(word) for word in text.split())


def _bar(share: float | int, words: str, down: bool = False) -> str:
    width = f"{100 * min(max(share, 0.0), 1.0):.1f}%"
    return (
        f'<svg class="bar" role="img" aria-label="{html_text(words)}"><rect class="track" width="100%" height="100%"/>'
        f'<rect class="fill{" down" if down else ""}" width="{width}" height="100%" rx="4"/></svg>'
    )


def _recommended(rows: list[Mapping[str, Any]], explanations: Sequence[Explanation]) -> str:
    if not rows:
        return ""
    place = {
        explanation.item: number
        for number, explanation in reversed(list(enumerate(explanations, 1)))
    }
    scores = [float(row["score"]) for row in rows]
    if max(scores) > 0:
        top = max(scores)
    else:
        top = 1.0
    lines = []
    for row, score in zip(rows, scores, strict=True):
        label = html_text(str(row["label"]))
        target = place.get(str(row["item"]))
        if target:
            name = f'<a href="#why-{target}">{label}</a>'
        else:
            name = label
        bar = _bar(score / top, f"score {score:.3g}")
        lines.append(
            f'<li><span class="soft number">{int(row["rank"])}</span><span>{name}</span>{bar}<span class="number">{score:.3f}</span></li>'
        )
    return f'<section><h2>Recommended</h2><div class="card"><ol class="recommendations">{"".join(lines)}</ol></div></section>'


def _sections(explanations: Sequence[Explanation]) -> list[str]:
    """Return a section each; what the numbers mean is said where they first occur."""
    said: set[str] = set()
    out = []
    for number, explanation in enumerate(explanations, 1):
        legend = _legend(explanation)
        out.append(_section(number, explanation, "" if legend in said else legend))
        said.add(legend)
    return out


def _legend(explanation: Explanation) -> str:
    if not explanation.paths:
        return ""
    if any(path.basis != "post-hoc" for path in explanation.paths):
        return _LEGEND
    return _LEGEND_POST_HOC


def _section(number: int, explanation: Explanation, legend: str) -> str:
    if explanation.rank is None:
        rank = "Already in the user's history"
    else:
        rank = f"Rank {explanation.rank} of the unseen items"
    largest = max((abs(path.drop_delete) for path in explanation.paths), default=0.0)
    head = [
        f'<section id="why-{number}">',
        f"<h2>Why {html_text(explanation.item_label)}?</h2>",
        f'<p class="soft">{rank} for {html_text(explanation.user_label)}, score {explanation.score:.3f}.{_ahead(explanation)}</p>',
        _budget(explanation.budget) if explanation.budget else "",
    ]
    if legend:
        head.append(f'<p class="small soft">{legend}</p>')
    cards = [
        _card(place, path, largest, explanation) for place, path in enumerate(explanation.paths, 1)
    ]
    return "\n".join([*head, *cards, _against(explanation), _searched(explanation), "</section>"])


def _ahead(explanation: Explanation) -> str:
    """Return how far the next item of the list is behind."""
    if explanation.margin is None or explanation.next_item is None:
        return ""
    return f" Next is {html_text(explanation.next_item.label)}, {explanation.margin:.3g} behind."


def _budget(budget: Budget) -> str:
    """Return what a score is made of: a bar where its parts are shares, signed numbers where they
    are not.
    """
    if as_shares(budget):
        told = _stacked(budget)
    else:
        largest = max((abs(value) for _, value in budget_parts(budget)), default=0.0)
        told = _signed_list([(name, value) for name, value in budget_parts(budget)], largest)
    if budget.on_graph is not None:
        walks = f" {walks_line(budget)}"
    else:
        walks = ""
    strongest = sorted(budget.by_liked, key=lambda term: -term.value)[:_TERMS_SHOWN]
    terms = _terms([term for term in strongest if term.value > 0], budget)
    return (
        f'<div class="card"><h3>What the score is made of</h3>{told}'
        f'<p class="small soft">{_BUDGET_NOTES[budget.basis]}{walks}</p>{terms}</div>'
    )


def _stacked(budget: Budget) -> str:
    """Return one bar of all parts with a legend that says what each is."""
    pieces: list[tuple[str, str, str, float]] = []
    for name, value in budget_parts(budget):
        if (
            name == "liked items"
            and budget.supported is not None
            and 0 <= budget.supported <= value
        ):
            pieces.append(("supported", "liked items, supported", _SUPPORTED, budget.supported))
            pieces.append(
                ("liked", "liked items, unsupported", _UNSUPPORTED, value - budget.supported)
            )
        else:
            kind = {
                "own taste": "own",
                "liked items": "supported",
                "bias": "bias",
                "rounding": "bias",
            }.get(name, "other")
            pieces.append((kind, name, _PART_NOTES.get(name, name), value))
    left = 0.0
    bars = []
    lines = []
    for kind, name, note, value in pieces:
        share = max(value / budget.score, 0.0)
        width = min(share, max(1 - left, 0.0))
        bars.append(
            f'<rect class="{kind}" x="{100 * left:.2f}%" width="{100 * width:.2f}%" height="100%"/>'
        )
        left += width
        swatch = f'<svg aria-hidden="true"><rect class="{kind}" width="100%" height="100%"/></svg>'
        lines.append(
            f'<li>{swatch}<span class="number">{percent(share)}</span><span><b>{html_text(name)}</b>: {html_text(note)}</span></li>'
        )
    words = html_text(
        ", ".join(
            f"{name} {percent(max(value / budget.score, 0.0))}" for _, name, _, value in pieces
        )
    )
    return f'<svg class="parts" role="img" aria-label="{words}">{"".join(bars)}</svg><ul class="legend">{"".join(lines)}</ul>'


def _signed_list(rows: Sequence[tuple[str, float]], largest: float) -> str:
    lines = [
        f"<li><span>{html_text(name)}</span>{_bar(abs(value) / largest if largest else 0.0, f'{value:+.3g}', down=value < 0)}"
        f'<span class="number">{value:+#.3g}</span></li>'
        for name, value in rows
    ]
    return f'<ul class="terms">{"".join(lines)}</ul>'


def _terms(terms: Sequence[Term], budget: Budget) -> str:
    """Return the liked items that give most."""
    if not terms:
        return ""
    more = len(budget.by_liked) - len(terms)
    if more == 1:
        others = "The other one gives"
    else:
        others = f"The other {more:,} together give"
    if more > 0:
        rest = f" {others} {budget.liked - sum(term.value for term in terms):+.3g}."
    else:
        rest = ""
    rows = _signed_list(
        [(term.node.label, term.value) for term in terms], max(term.value for term in terms)
    )
    return f"<details open><summary>The liked items that give most.{rest}</summary>{rows}</details>"


def _against(explanation: Explanation) -> str:
    """Return the liked items that pull the score down."""
    if not explanation.against:
        return ""
    shown = explanation.against[:_TERMS_SHOWN]
    if len(explanation.against) > len(shown):
        more = f'<p class="small soft">and {len(explanation.against) - len(shown):,} more</p>'
    else:
        more = ""
    rows = _signed_list(
        [(term.node.label, term.value) for term in shown], max(abs(term.value) for term in shown)
    )
    return f'<div class="card"><h3>What speaks against it: liked items that lower the score</h3>{rows}{more}</div>'


def _searched(explanation: Explanation) -> str:
    total = sum(explanation.counts.values())
    by_length = ", ".join(
        f"{count:,} of {length} hop{'' if length == '1' else 's'}"
        for length, count in explanation.counts.items()
        if count
    )
    found = (
        f"{total:,} path{'' if total == 1 else 's'} found"
        + (f" ({by_length})" if by_length else "")
        + "."
    )
    if explanation.truncated:
        cut = " The search stopped at its budget; some are missing."
    else:
        cut = ""
    hidden = hidden_line(explanation)
    if hidden:
        cut += f" {hidden[:1].upper()}{hidden[1:]}."
    else:
        cut += ""
    notes = "".join(
        f'<p class="note small soft">{_paragraph(note)}</p>' for note in explanation.notes
    )
    return f'<p class="small soft">{found}{cut} Shown: {len(explanation.paths)}.</p>{notes}'


def _card(place: int, path: Path, largest: float, explanation: Explanation) -> str:
    if path.basis != "post-hoc":
        if path.drop_delete > 0:
            words = f"the score falls by {path.drop_delete:.3g}"
        else:
            words = f"the score rises by {-path.drop_delete:.3g}"
        bar = _bar(
            abs(path.drop_delete) / largest if largest else 0.0, words, down=path.drop_delete < 0
        )
        number = (
            f'<span class="drop" title="{html_text(words)}">drop {_drop(path.drop_delete)}</span>'
        )
    else:
        bar = "<span></span>"
        number = '<span class="soft small">not a cause</span>'
    first = html_text(path.hops[0].target.label)
    if path.hops[0].liked:
        liked = f"you liked {first}"
    else:
        liked = f"of {first}"
    if path.causal:
        lead = f"Because {liked}"
    else:
        lead = f"Connected through {first}"
    lane = "".join(f"{_arrow(hop)}{_stop(hop.target)}" for hop in path.hops)
    return (
        f'<article class="card"><div class="measure"><span class="place">{place}</span><span class="soft">{lead}</span>{bar}{number}</div>'
        f'{_effects(path, explanation)}<ol class="lane"><li class="stop user">You</li>{lane}</ol>{_provenance(path)}</article>'
    )


def _drop(value: float) -> str:
    if abs(value) >= 0.001 or value == 0:
        return f"{value:.4f}"
    return f"{value:.2g}"


def _effects(path: Path, explanation: Explanation) -> str:
    """Return the further numbers of a path, and what kind of claim they are."""
    if path.basis == "post-hoc":
        return ""
    told = [
        part
        for part in (
            of_margin(path.drop_delete, explanation),
            of_score(path.drop_delete, explanation),
        )
        if part
    ]
    if explanation.rank is not None and path.rank_after is not None:
        told.append(f"rank {explanation.rank} \u2192 {path.rank_after} without it")
    if path.drop_mask is not None:
        told.append(f"drop {_drop(path.drop_mask)} with the other weights kept")
    if explanation.filters.get("rank_by") == "joint":
        told += [words for words in [joint_words(path, explanation.budget)] if words]
    return f'<p class="small soft effects"><span class="badge">{path.basis}</span> {html_text(", ".join(told))}</p>'


def _stop(node: Node) -> str:
    return f'<li class="stop {node.kind}">{html_text(node.label)}</li>'


def _arrow(hop: Hop) -> str:
    """Return a hop: its relation as stated, and an arrow in the direction of the fact."""
    labels = " / ".join(html_text(relation.label) for relation in hop.relations)
    if hop.forward:
        way = "forward"
    else:
        way = "backward"
    words = html_text(f"{hop.source.label} {wording(hop.relations[0])} {hop.target.label}")
    return f'<li class="hop {way}" title="{words}"><span>{labels}</span><span class="arrow" aria-hidden="true"></span></li>'


def _provenance(path: Path) -> str:
    rows = []
    for hop in path.hops:
        for relation in hop.relations:
            if relation.forward:
                ends = (hop.source, hop.target)
            else:
                ends = (hop.target, hop.source)
            head, tail = (
                "You" if node.kind == "user" and node == path.nodes[0] else html_text(node.label)
                for node in ends
            )
            places = list(dict.fromkeys(relation.facts))
            stated = "<br>".join(
                f'<code title="{html_text(str(place))}">{html_text(place.short)}</code>'
                for place in places[:5]
            )
            if len(places) > 5:
                more = f"<br>and {len(places) - 5} more"
            else:
                more = ""
            rows.append(
                f"<tr><td>{head} <b>{html_text(relation.label)}</b> "
                f"{tail}</td><td>{stated}{more}</td></tr>"
            )
    if path.removed:
        removed = f" ({path.removed:,} facts removed to measure)"
    else:
        removed = ""
    table = f"<table><tr><th>Fact</th><th>Stated in</th></tr>{''.join(rows)}</table>"
    return f"<details><summary>Where these facts come from{removed}</summary>{table}</details>"
