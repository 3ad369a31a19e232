"""Words: directions, and "because" only for measured causes."""

import json
import re
from dataclasses import replace

import pytest
from explained import BUDGET, PAYLOADS, answers, hostile
from explained import WHY as FULL

from kgrec.explanation.core.answers import FlipSet
from kgrec.explanation.core.records import Explanation, FactRef, Hop, Node, Path, Relation
from kgrec.explanation.render.answer_text import answer_text
from kgrec.explanation.render.sentences import because, reason, sentence, wording
from kgrec.explanation.render.text import budget_line, text, walks_line
from kgrec.explanation.render.tree import tree

ANA, ALIEN = Node("user", "ana", "Ana"), Node("item", "f0", "Alien")
SCOTT, RUNNER = Node("entity", "x:Scott", "Ridley Scott"), Node("item", "f2", "Blade Runner")
LIKED = Relation("interacts", "liked", True, (FactRef("training interactions"),))
DIRECTOR = Relation("x:director", "director", True, (FactRef("films.ttl", 11),))
PATH = Path(
    (
        Hop(ANA, ALIEN, (LIKED,)),
        Hop(ALIEN, SCOTT, (DIRECTOR,)),
        Hop(SCOTT, RUNNER, (replace(DIRECTOR, forward=False),)),
    ),
    "measured",
    0.25,
    like_drop=0.2,
    facts_drop=0.04,
    hop_drops=(0.2, 0.01, 0.03),
    placebo=0.01,
)
OTHERS = Node("users", "", "37 others")
LIKED_BY = replace(LIKED, forward=False)
CROWD = Path(
    (Hop(ANA, ALIEN, (LIKED,)), Hop(ALIEN, OTHERS, (LIKED_BY,)), Hop(OTHERS, RUNNER, (LIKED,))),
    "measured",
    0.1,
    users=37,
)
WHY = Explanation("ana", "f2", "Ana", "Blade Runner", 1.5, 1, (PATH, CROWD), {"1": 0, "3": 7})


def test_a_path_reads_as_a_sentence_in_the_direction_of_its_facts():
    assert (
        sentence(PATH)
        == "You liked *Alien* - directed by - Ridley Scott - directed - *Blade Runner*"
    )
    assert (
        sentence(CROWD)
        == "You liked *Alien* - also liked by - 37 others - who also liked - *Blade Runner*"
    )


@pytest.mark.parametrize(
    ("label", "forward", "words"),
    [
        ("director", True, "directed by"),
        ("director", False, "directed"),
        ("Actor", False, "acted in"),
        ("starring", False, "acted in"),
        ("genre", False, "is the genre of"),
        ("music by", False, "composed the music of"),
        ("shot in", True, "shot in"),
        ("godparent", False, "is godparent of"),
    ],
)
def test_relations_read_both_ways(label, forward, words):
    assert wording(Relation("x", label, forward)) == words


def test_parallel_relations_are_both_named():
    both = (replace(DIRECTOR, forward=False), Relation("x:writer", "writer", False))
    path = replace(PATH, hops=(*PATH.hops[:2], Hop(SCOTT, RUNNER, both)))
    assert sentence(path).endswith("Ridley Scott - directed and wrote - *Blade Runner*")


POST_HOC = {
    "basis": "post-hoc",
    "drop_delete": 0.0,
    "like_drop": None,
    "facts_drop": 0.0,
    "facts_drop_mask": None,
    "hop_drops": (),
}
CHAIN = "*Alien* - directed by - Ridley Scott - directed - *Blade Runner*"
LIKE_ALONE = f"because you liked *Alien*. The two are also connected: {CHAIN}"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, f"because you liked *Alien*, and because of what joins the two: {CHAIN}"),
        ({"placebo": 0.05}, LIKE_ALONE),  # unrelated facts do as much
        ({"placebo": None}, LIKE_ALONE),  # nobody has looked what unrelated facts do
        ({"facts_drop": -0.01}, LIKE_ALONE),
        ({"facts_drop": 0.04, "facts_drop_mask": -0.01}, LIKE_ALONE),
        ({"hop_drops": (0.2, 0.0, 0.04)}, LIKE_ALONE),  # a fact that the model does not see
        ({"like_drop": -0.1}, f"because of what joins it to *Alien*: {CHAIN}"),
        ({"like_drop_mask": -0.1}, f"because of what joins it to *Alien*: {CHAIN}"),
        (
            {"like_drop_mask": -0.1, "placebo": None},
            f"depends on how you count whether this is a reason: you liked {CHAIN}",
        ),
        ({"like_drop": -0.1, "placebo": None}, f"is connected through: you liked {CHAIN}"),
        (
            {
                "like_drop": None,
                "facts_drop": None,
                "hop_drops": (),
            },  # schema 1: told apart by none
            f"is connected through: you liked {CHAIN}",
        ),
        (
            {"basis": "not measured", "drop_delete": None, "facts_drop": None, "hop_drops": ()},
            f"because you liked *Alien*. What joins the two was not measured: {CHAIN}",
        ),
    ],
)
def test_no_more_is_said_than_was_measured(changed, said):
    path = replace(PATH, **changed)
    assert because(path) == said
    why = replace(WHY, paths=(path,))
    for shown in (reason(why), text(why), tree(why), why._repr_html_(), why.to_json()):
        assert ("because" in shown.lower()) == said.startswith("because")
    assert reason(replace(WHY, paths=())) == "*Blade Runner*: no path within the limits"


def test_the_headline_is_the_first_path_whose_facts_are_a_cause():
    plain = replace(PATH, placebo=None)
    assert "and because of what joins" in reason(replace(WHY, paths=(plain, CROWD, PATH)))
    assert reason(replace(WHY, paths=(plain, CROWD))).endswith(LIKE_ALONE)
    low = Hop(ANA, ALIEN, (replace(LIKED, label="rated 2 of 5"),))
    disliked = replace(PATH, hops=(low, *PATH.hops[1:]))
    assert reason(replace(WHY, paths=(disliked, plain))).endswith(LIKE_ALONE)
    connected = f"is connected through: you rated *Alien* 2 of 5 {CHAIN[8:]}"
    assert reason(replace(WHY, paths=(disliked,))) == f"*Blade Runner* {connected}"


@pytest.mark.parametrize(
    ("changed", "small"),
    [
        ({"like_drop": 0.001, "placebo": None}, True),  # the like is what is claimed
        ({"drop_delete": 0.001, "placebo": None}, False),
        ({"like_drop": -0.1, "facts_drop": 0.001, "placebo": 0.0}, True),
        ({"like_drop": 0.001}, False),  # like and facts are, and make .25
        ({"drop_delete": 0.001}, True),
    ],
)
def test_a_small_cause_is_said_to_be_small(changed, small):
    said = reason(replace(WHY, paths=(replace(PATH, **changed),)))
    assert "because" in said
    assert said.endswith("(a small part: less than a thousandth of the score)") == small


def test_text_fits_its_width_and_shows_number_and_source():
    shown = text(WHY, 60)
    assert max(len(line) for line in shown.splitlines()) <= 60
    assert "rank 1, score 1.5" in shown
    assert " 1  drop 0.25 (17 % of the score): like 0.2, facts 0.04" in shown
    assert "because of the like and the facts" in " ".join(shown.split())
    assert "films.ttl:11" in shown
    assert "0 of 1 hop, 7 of 3 hops" in shown
    assert "(truncated: " in text(replace(WHY, truncated=True))
    assert "drop" not in text(replace(WHY, paths=(replace(PATH, **POST_HOC),)))


def test_hostile_labels_cannot_steer_the_terminal():
    bad = Node("item", "f2", "Bla\x1b[2Jde\r\nRun\u202ener\x9b31m\x00")
    path = replace(PATH, hops=(*PATH.hops[:2], replace(PATH.hops[2], target=bad)))
    shown = text(replace(WHY, paths=(path,), item_label=bad.label, user_label="\x07Ana"))
    assert not [
        letter
        for letter in shown
        if letter != "\n" and (ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 or letter == "\u202e")
    ]
    assert r"Bla\x1b[2Jde\x0d\x0aRun\u202ener\x9b31m\x00" in shown


def test_a_relation_of_the_graph_that_is_called_interacts_is_not_liking():
    drug, protein = Relation("interacts", "interacts with", True), Node("entity", "p1", "P1")
    path = replace(
        PATH,
        hops=(
            PATH.hops[0],
            Hop(ALIEN, protein, (drug,)),
            Hop(protein, RUNNER, (replace(drug, forward=False),)),
        ),
    )
    assert (
        sentence(path)
        == "You liked *Alien* - interacts with - P1 <- interacts with - *Blade Runner*"
    )


def test_the_budget_is_shares_where_they_are_true_and_numbers_where_not():
    assert (
        budget_line(BUDGET)
        == "own taste 47 % | liked items 53 % (supported by a fact <= 3 hops: 6 %)"
    )
    mixed = replace(BUDGET, own=-0.2, score=0.6)
    assert (
        budget_line(mixed)
        == "own taste -0.2 | liked items +0.8 (supported by a fact <= 3 hops: +0.09)"
    )
    assert "%" not in budget_line(replace(mixed, own=-2.0, score=-1.2))
    assert (
        budget_line(
            replace(
                BUDGET, own=0.0, score=0.8, supported=None, other={"knowledge of the item": 0.0}
            )
        )
        == "liked items 100 %"
    )
    assert "nothing" in budget_line(
        replace(BUDGET, own=0.0, by_liked=(), score=0.0, supported=None)
    )
    assert "bias +0.5" in budget_line(replace(mixed, bias=0.5, score=1.1))


def test_what_walks_carry_is_a_share_only_where_it_is_one():
    assert "carry 0.67 % of the score" in walks_line(BUDGET)
    for budget in (
        replace(BUDGET, own=-0.2, score=0.6),
        replace(BUDGET, on_graph=9.0),
        replace(BUDGET, own=-2.0, score=-1.2),
    ):
        assert "%" not in walks_line(budget)
        assert f"{budget.score:.3g} together" in walks_line(budget)
    assert walks_line(replace(BUDGET, on_graph=None)) == ""


def test_the_full_text_says_every_number_with_what_it_is():
    shown = " ".join(text(FULL).split())
    for words in (
        'f2 "Blade Runner" for Ana',
        'rank 1, score 1.5 (next: "Thief" at 1.25, margin 0.25)',
        "budget own taste 47 %",
        "Walks in the graph from the user to the item carry 0.67 % of the score; the rest is "
        "learned similarity",
        "1 drop 0.3 (120 % of the margin, rank 1 -> 4, 0.4 with the other weights kept): like 0.2, "
        "facts 0.06 (unrelated facts: up to 0.02), together 0.04 exact because of the like and the "
        "facts",
        "2 drop -0.1 (-0.2 with the other weights kept): like -0.1, facts 0, together 0; the score "
        "is higher without it exact depends on how you count",
        'against "Heat" -0.2',
        "412 of 3 hops (truncated",
        "hidden by the filters: 2,458 paths, 98 % of all first-order effects; 3 of those "
        "measured, with a smaller drop",
        "note: Second note.",
    ):
        assert words in shown
    for basis, words in (
        ("linearized", "what the parts are worth moves"),
        ("measured", "without that like, measured by running"),
    ):
        assert words in " ".join(text(replace(FULL, budget=replace(BUDGET, basis=basis))).split())


def test_no_output_calls_what_walks_carry_a_share_of_the_score():
    joint = re.compile(r"along this path")
    ranked = replace(FULL, filters={"rank_by": "joint"})
    for why in (FULL, ranked):
        for shown in (text(why, 200), tree(why, 200), why.to_html()):
            said = [line for line in re.split(r"\n|</p>", shown) if joint.search(line)]
            assert bool(said) == (why is ranked and "along" in shown)
            assert all(
                "that all walks in the graph carry" in line
                and "of the score" not in line.split("along this path")[1]
                for line in said
            )
            assert (
                not said
                or "Walks in the graph from the user to the item carry 0.67 % of the score"
                in " ".join(shown.split())
            )
    assert "along this path" in text(ranked)
    assert "along this path" not in text(
        replace(ranked, budget=None)
    )  # without what all walks carry, it is not said at all
    record = json.dumps(FULL.to_dict())
    assert "joint" in record
    assert "on_graph" in record


@pytest.mark.parametrize("basis", ["exact", "measured", "post-hoc"])
@pytest.mark.parametrize("drop", [0.2, 0.0, -0.2])
def test_because_is_said_of_measured_positive_drops_alone_in_every_form(basis, drop):
    like = replace(FULL.paths[0], **POST_HOC, like_drop_mask=drop)
    path = replace(like, basis=basis, drop_delete=drop, like_drop=drop)
    why = replace(FULL, paths=(path,), notes=())
    for shown in (text(why), tree(why), why.to_html(), reason(why), why._repr_html_()):
        assert ("because" in shown.lower()) == (drop > 0)


def test_a_tree_groups_by_liked_item_and_its_arrows_point_as_the_facts_do():
    shown = tree(FULL, 120)
    assert shown.count('liked "Alien"  gives +1 of the score') == 1
    assert '-director-> "Ridley Scott" <-director and writer- "Blade Runner"' in shown
    assert '<-liked- "37 others" -liked-> "Blade Runner"' in shown
    assert max(map(len, tree(FULL, 60).splitlines())) <= 60
    assert "\x1b" not in shown
    assert "\x1b[" in tree(FULL, 120, color=True)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_text_steers_a_terminal_or_is_markup(payload):
    bad = hostile(payload)
    shown = [text(bad), tree(bad), *(answer_text(answer) for answer in answers(payload or "x"))]
    for one in shown:
        assert not [
            c
            for c in one
            if c != "\n"
            and (ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2028\u2029\ufeff")
        ]
    assert "[red]markup" not in payload or all("[red]markup[/red]" in one for one in shown)
    assert len(text(hostile("x" * 1_000_000))) < 20_000


def test_answers_read_as_what_they_are():
    contrast, flip, none, why_not, what_if, summary = (
        " ".join(answer_text(answer, 200).split()) for answer in answers()
    )
    assert "difference +1 = own taste +0.3 | liked items +0.7" in contrast
    assert 'for the first, of the liked items: "Alien" +0.9' in contrast
    assert 'for the second, of the liked items: "Heat" -0.2' in contrast
    assert 'only "Blade Runner": "Ridley Scott"' in contrast
    assert (
        'Without 1 of the 12 liked items, "Heat" is ahead of "Blade Runner" for Ana (everything computed again).'
        in flip
    )
    assert "verified: the whole ranking was computed again" in flip
    assert "no set of the 12 liked items was found" in none
    assert "note: The user's own taste carries it." in none
    assert '"Blade Runner" is at rank 57, and the list has 10.' in why_not
    assert "The first 2 of them together bring it into the list." in why_not
    assert 'the like of "Alien" taken away' in what_if
    assert 'the fact "Blade Runner" x:director "Ridley Scott" added' in what_if
    assert '"Blade Runner" rank 1 -> 3, score 1.5 -> 1.1' in what_if
    assert (
        "60 % director +300, 812 facts, ndcg@20 -0.0120 without it, 83 % of the lists stay"
        in summary
    )
    assert "what the parts are worth moves" in summary
    assert all("because" not in words for words in (flip, none, what_if, summary))


def test_an_unverified_flip_set_says_so():
    flip = answers()[1]
    assert isinstance(flip, FlipSet)
    assert "not verified" in answer_text(replace(flip, verified=False))


def test_a_summary_without_a_starting_score_has_words():
    summary = replace(answers()[-1], without_graph=None, residual=None, basis="measured")
    shown = answer_text(summary)
    assert "sum of scores 900:" in shown
    assert "without any edge" not in shown


def test_answers_keep_to_a_width():
    for answer in answers():
        assert max(map(len, answer_text(answer, 60).splitlines())) <= 60


def test_a_supported_piece_larger_than_its_whole_has_the_rest_beside_it():
    budget = replace(BUDGET, supported=1.0, unsupported=-0.2)
    assert "(supported by a fact <= 3 hops: 67 %, the rest: -13 %)" in budget_line(budget)
    assert "the rest" not in budget_line(BUDGET)


def test_likes_that_carry_a_score_are_named_where_no_path_has_an_effect():
    post_hoc = replace(PATH, **POST_HOC)
    assert 'for      "Alien" +1' in text(replace(FULL, paths=(post_hoc,)))
    assert "for      " not in text(FULL)
