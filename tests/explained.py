"""Explanations made by hand, with every field filled."""

from dataclasses import replace

from kgrec.explanation.core.answers import (
    Change,
    Contrast,
    FlipSet,
    Ranked,
    Share,
    Summary,
    WhatIf,
    WhyNot,
)
from kgrec.explanation.core.records import (
    Budget,
    Explanation,
    FactRef,
    Hop,
    Node,
    Path,
    Relation,
    Term,
)

ANA, ALIEN, RUNNER = (
    Node("user", "ana", "Ana"),
    Node("item", "f0", "Alien"),
    Node("item", "f2", "Blade Runner"),
)
HEAT, SCOTT = Node("item", "f1", "Heat"), Node("entity", "http://x.org/Scott", "Ridley Scott")
OTHERS = Node("users", "", "37 others")
LIKED = Relation("interacts", "liked", True, (FactRef("training interactions"),))
DIRECTOR = Relation(
    "http://x.org/director",
    "director",
    True,
    (FactRef("films.ttl", 11, True, graph="http://x.org/g"), FactRef("b.nt", 4)),
)
WRITER = Relation("x:wri ter", "writer", True, (FactRef("films.csv", -7, column="writer"),))


def backward(relation: Relation) -> Relation:
    return replace(relation, forward=False)


PATH = Path(
    (
        Hop(ANA, ALIEN, (LIKED,)),
        Hop(ALIEN, SCOTT, (DIRECTOR,)),
        Hop(SCOTT, RUNNER, (backward(DIRECTOR), backward(WRITER))),
    ),
    "exact",
    0.1 + 0.2,
    drop_mask=0.4,
    attribution=0.35,
    removed=4,
    joint=0.001,
    weight=1e-17,
    rank_after=4,
    like_drop=0.2,
    like_drop_mask=0.3,
    facts_drop=0.06,
    facts_drop_mask=0.05,
    hop_drops=(0.2, 0.01, 0.05),
    placebo=0.02,
)
CROWD = Path(
    (
        Hop(ANA, ALIEN, (LIKED,)),
        Hop(ALIEN, OTHERS, (backward(LIKED),)),
        Hop(OTHERS, RUNNER, (LIKED,)),
    ),
    "exact",
    -0.1,
    drop_mask=-0.2,
    attribution=-0.15,
    users=37,
    removed=75,
    joint=0.002,
    like_drop=-0.1,
    like_drop_mask=-0.2,
    facts_drop=0.0,
    facts_drop_mask=0.01,
)
BUDGET = Budget(
    1.5,
    0.7,
    0.0,
    (Term(ALIEN, 1.0, 0.1), Term(HEAT, -0.2, -0.01)),
    {},
    0.0,
    "exact",
    by_property=(Term(SCOTT, 0.5),),
    by_users=0.6,
    item_own=0.4,
    supported=0.09,
    unsupported=0.71,
    on_graph=0.01,
)
WHY = Explanation(
    "ana",
    "f2",
    "Ana",
    "Blade Runner",
    1.5,
    1,
    (PATH, CROWD),
    counts={"1": 0, "2": 0, "3": 412},
    truncated=True,
    filters={"users": "count", "max_length": 3, "relations": {"allow": None, "deny": ["x:genre"]}},
    notes=("Other users are counted.", "Second note."),
    manifest={
        "model": "lightgcn-kg",
        "dataset": "films",
        "checksum": "ab12",
        "settings": {"k": 2},
        "versions": {"kgrec": "0"},
    },
    budget=BUDGET,
    margin=0.25,
    next_item=Node("item", "f3", "Thief"),
    against=(Term(HEAT, -0.2, -0.01),),
    hidden={"paths": 2458, "below_min_drop": 3, "share": 0.98},
)

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</style><script>alert(1)</script>",
    "javascript:alert(1)",
    "<!-- ]]> &lt;b&gt;",
    "{{7*7}} ${7*7} %s %(a)s \\u0041",
    "\u2028\u2029\u202e\x1b[31m\x00\x9b2J",
    "=cmd|'/c calc'!A1",
    "[red]markup[/red][link=http://evil]x[/link]",
    '"""\n\\" . <http://evil> a <http://evil> .',
    'http://x.org/a b<>"{}|^`\\',
    "e" + "\u0301" * 500,
    "",
    "\U0001f4a9 \ufeff",
)


def hostile(label: str, why: Explanation = WHY) -> Explanation:
    """Return an explanation whose every text is ``label``, as far as it still is one."""

    def fact(place: FactRef) -> FactRef:
        return replace(place, source=label, column=label, graph=label)

    def relation(one: Relation) -> Relation:
        key = one.key if one.key == "interacts" else label
        return replace(one, key=key, label=label, facts=tuple(map(fact, one.facts)))

    def node(one: Node) -> Node:
        key = "" if one.kind == "users" else f"{label}{one.key}"
        return Node(one.kind, key, label)

    def hop(one: Hop) -> Hop:
        return Hop(node(one.source), node(one.target), tuple(map(relation, one.relations)))

    def term(one: Term) -> Term:
        return replace(one, node=node(one.node))

    budget = why.budget and replace(
        why.budget,
        by_liked=tuple(map(term, why.budget.by_liked)),
        by_property=tuple(map(term, why.budget.by_property)),
        other={label or "other": 0.0},
    )
    return replace(
        why,
        user=f"{label}{why.user}",
        item=f"{label}{why.item}",
        user_label=label,
        item_label=label,
        paths=tuple(replace(path, hops=tuple(map(hop, path.hops))) for path in why.paths),
        filters={label: label},
        notes=(label,),
        manifest={"model": label, "checksum": label, "settings": {label: [label]}},
        budget=budget,
        next_item=why.next_item and node(why.next_item),
        against=tuple(map(term, why.against)),
    )


def answers(label: str = "") -> tuple[Contrast, FlipSet, FlipSet, WhyNot, WhatIf, Summary]:
    """Return one answer of each kind (and a flip set that is none), all labels being ``label``
    where given.
    """

    def named(node: Node) -> Node:
        return replace(node, label=label or node.label)

    ana, alien, runner, heat, scott = map(named, (ANA, ALIEN, RUNNER, HEAT, SCOTT))
    first, second = Ranked(runner, 1, 1.5), Ranked(heat, 9, 0.5)
    why = hostile(label) if label else WHY
    contrast = Contrast(
        ana,
        first,
        second,
        1.0,
        0.3,
        0.0,
        (Term(alien, 0.9), Term(heat, -0.2)),
        {label or "gate": 0.0},
        0.0,
        "exact",
        (scott,),
        (),
        (alien,),
        (why, why),
    )
    worse = replace(contrast, first=Ranked(runner, 57, 0.1), difference=-0.4, own=-1.1)
    return (
        contrast,
        FlipSet(
            ana, runner, (Term(alien, 0.9),), heat, (1.5, 0.5), (0.4, 0.6), "delete", True, 12, 7
        ),
        FlipSet(
            ana,
            runner,
            (),
            None,
            (1.5, 1.4),
            None,
            "mask",
            False,
            12,
            40,
            note=label or "The user's own taste carries it.",
        ),
        WhyNot(worse, 10, (Term(alien, 0.4), Term(heat, 0.1)), 2),
        WhatIf(
            ana,
            (
                Change("like", False, ana, "interacts", alien),
                Change("fact", True, runner, label or "x:director", scott),
            ),
            (first,),
            (Ranked(runner, 3, 1.1),),
            (Ranked(heat, 1, 1.2), Ranked(runner, 3, 1.1)),
        ),
        Summary(
            "relation",
            2000,
            200,
            900.0,
            500.0,
            (
                Share(
                    label or "x:director",
                    label or "director",
                    300.0,
                    0.6,
                    812,
                    {"ndcg@20": -0.012},
                    0.83,
                ),
                Share("x:g", label or "genre", -100.0, 0.2),
            ),
            0.0,
            "linearized",
            {},
            note=label,
        ),
    )
