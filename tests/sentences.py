"""Sentences of explanations, read as a person reads them and held against the model run again.

What a sentence claims is read from its words (the tables of ``kgrec.languages``), not from the
record behind it; whether that is true, from the whole model on the graph without the edge, or over
the history without the item, not from the closed forms that made the numbers.
"""

import re
from dataclasses import replace

import numpy as np

from kgrec.explanation.questions.world import World
from kgrec.explanation.render.sentences import because
from kgrec.languages import LANGUAGES, language
from kgrec.models.capabilities import GraphEditable, HistoryEditable, Rerunnable

_CAUSES = {
    "both": ("like", "facts"),
    "facts": ("facts",),
    "facts_alone": ("facts",),
    "like": ("like",),
    "like_unmeasured": ("like",),
    "depends": (),
    "none": (),
}
"""Sentences by their names in a table, the longest first, and what they call a cause."""


def claimed(sentence, code="en"):
    """Return what a sentence calls a cause: "like", "facts", both or nothing."""
    frames = language(code).table["sentence"]
    for name, causes in _CAUSES.items():
        if _matches(frames[name], sentence, code):
            return causes

    starts = [frames["because"] for frames in _of_interactions(code)]
    assert any(_matches(start, sentence, code) for start in starts), sentence
    return ("like",)


def _matches(frame, sentence, code):
    pattern = re.escape(frame)
    if "{because}" in frame:
        starts = [_pattern(frames["because"]) for frames in _of_interactions(code)]
        pattern = pattern.replace(re.escape("{because}"), f"(?:{'|'.join(starts)})")

    return re.fullmatch(re.sub(r"\\{\w+\\}", ".+", pattern), sentence, re.S)


def _pattern(frame):
    return re.sub(r"\\{\w+\\}", ".+", re.escape(frame))


def _of_interactions(code):
    """Yield every table that says what a user did."""
    table = language(code).table
    yield table["rated"]
    yield table["interaction"]
    yield from (frames for frames in table["verbs"].values() if isinstance(frames, dict))
    if "neutral" in table:
        yield table["neutral"]


def untrue(explainer, found, most=3):
    """Return the claims of an explanation's sentences, in every language, that a re-run refutes."""
    effects = explainer.explained.model_effects
    wrong = []
    for path in found.paths[:most]:
        falls = {}  # languages call the same causes by their names
        for code in LANGUAGES:
            words = replace(found.words, language=code)
            sentence = because(path, words)
            for cause in claimed(sentence, code):
                hop = path.hops[0]
                if cause == "like" and hop.rating is not None:
                    wrong.append((sentence, "rated below the middle of the scale"))
                if not isinstance(effects, (GraphEditable, HistoryEditable, Rerunnable)):
                    wrong.append((sentence, "nothing can be run again"))
                    continue

                if cause not in falls:
                    falls[cause] = _fall(explainer, found, path, cause)

                drop, least = falls[cause]
                if drop <= least:
                    wrong.append((sentence, f"without the {cause} the score falls by {drop}"))

    return wrong


def _fall(explainer, found, path, cause):
    """Return how far the score falls without a cause, the whole model run again, and what rounding
    leaves of 0.
    """
    user, item = explainer.rows(found.user, found.item)
    effects = explainer.explained.model_effects
    whole = explainer.standing(user).scores[item]
    least = -1e-5 * max(1.0, abs(whole))
    edges = np.flatnonzero(_edges(explainer, path.hops[:1] if cause == "like" else path.hops[1:]))

    if isinstance(effects, GraphEditable):
        left = explainer.standing(user, explainer.without(edges)).scores[item]
    elif isinstance(effects, Rerunnable):
        whole, left = effects.rerun(user, item, [[], edges.tolist()]).tolist()
    else:
        assert cause == "like"
        liked = explainer.data.items.row(path.hops[0].target.key)
        left = World(explainer.explained, user).standing(np.array([liked])).scores[item]

    return whole - left, least


def _edges(explainer, hops):
    """Return which edges of the model's graph hops walk over, found by their ends and relation."""
    ckg = explainer.graph.ckg
    chosen = np.zeros(len(ckg.head), dtype=bool)
    for hop in hops:
        source, target = (_node(explainer, node) for node in (hop.source, hop.target))
        for relation in hop.relations:
            row = 0
            if relation.key != "interacts":
                row = explainer.data.triples.relations.row(relation.key) + 1

            head, tail = (source, target) if relation.forward else (target, source)
            chosen |= (ckg.head == head) & (ckg.relation == row) & (ckg.tail == tail)

    return chosen


def _node(explainer, node):
    if node.kind == "user":
        return explainer.graph.ckg.user_node(explainer.data.users.row(node.key))
    if node.kind == "item":
        return explainer.data.items.row(node.key)

    return explainer.data.triples.entities.row(node.key)
