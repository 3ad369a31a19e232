"""Words: directions, and "because" only for measured causes."""

from dataclasses import replace

import pytest

from kgrec.explanation.schema import Explanation, FactRef, Hop, Node, Path, Relation
from kgrec.explanation.verbalize import claim, reason, sentence, text, wording

ANA, ALIEN = Node("user", "ana", "Ana"), Node("item", "f0", "Alien")
SCOTT, RUNNER = Node("entity", "x:Scott", "Ridley Scott"), Node("item", "f2", "Blade Runner")
LIKED = Relation("interacts", "liked", True, (FactRef("training interactions"),))
DIRECTOR = Relation("x:director", "director", True, (FactRef("films.ttl", 11),))
PATH = Path(
    (Hop(ANA, ALIEN, (LIKED,)), Hop(ALIEN, SCOTT, (DIRECTOR,)), Hop(SCOTT, RUNNER, (replace(DIRECTOR, forward=False),))), "measured", 0.25
)
OTHERS = Node("users", "", "37 others")
LIKED_BY = replace(LIKED, forward=False)
CROWD = Path((Hop(ANA, ALIEN, (LIKED,)), Hop(ALIEN, OTHERS, (LIKED_BY,)), Hop(OTHERS, RUNNER, (LIKED,))), "measured", 0.1, users=37)
WHY = Explanation("ana", "f2", "Ana", "Blade Runner", 1.5, 1, (PATH, CROWD), {"1": 0, "3": 7})


def test_a_path_reads_as_a_sentence_in_the_direction_of_its_facts():
    assert sentence(PATH) == "You liked *Alien* - directed by - Ridley Scott - directed - *Blade Runner*"
    assert sentence(CROWD) == "You liked *Alien* - also liked by - 37 others - who also liked - *Blade Runner*"


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


def test_because_needs_a_measured_positive_drop():
    assert claim(PATH) == "because"
    assert reason(WHY) == "*Blade Runner*: because you liked *Alien* - directed by - Ridley Scott - directed - *Blade Runner*"
    for path in (replace(PATH, drop_delete=0.0), replace(PATH, drop_delete=-0.1), replace(PATH, basis="post-hoc", drop_delete=0.0)):
        assert claim(path) == "is connected through"
        why = replace(WHY, paths=(path,))
        assert reason(why).startswith("*Blade Runner* is connected through: you liked *Alien*")
        assert "because" not in (reason(why) + text(why) + why._repr_html_()).lower()
    assert reason(replace(WHY, paths=())) == "*Blade Runner*: no path within the limits"


def test_text_fits_its_width_and_shows_number_and_source():
    shown = text(WHY, 60)
    assert max(len(line) for line in shown.splitlines()) <= 60
    assert "rank 1, score 1.5" in shown
    assert " 1  drop 0.25 (16.7% of the score)  because" in shown
    assert "films.ttl:11" in shown
    assert "0 of 1 hop, 7 of 3 hops" in shown
    assert "(truncated)" in text(replace(WHY, truncated=True))
    assert "drop" not in text(replace(WHY, paths=(replace(PATH, basis="post-hoc", drop_delete=0.0),)))


def test_hostile_labels_cannot_steer_the_terminal():
    bad = Node("item", "f2", "Bla\x1b[2Jde\r\nRun\u202ener\x9b31m\x00")
    path = replace(PATH, hops=(*PATH.hops[:2], replace(PATH.hops[2], target=bad)))
    shown = text(replace(WHY, paths=(path,), item_label=bad.label, user_label="\x07Ana"))
    assert not [letter for letter in shown if letter != "\n" and (ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 or letter == "\u202e")]
    assert r"Bla\x1b[2Jde\x0d\x0aRun\u202ener\x9b31m\x00" in shown


def test_a_relation_of_the_graph_that_is_called_interacts_is_not_liking():
    drug, protein = Relation("interacts", "interacts with", True), Node("entity", "p1", "P1")
    path = replace(PATH, hops=(PATH.hops[0], Hop(ALIEN, protein, (drug,)), Hop(protein, RUNNER, (replace(drug, forward=False),))))
    assert sentence(path) == "You liked *Alien* - interacts with - P1 - is interacts with of - *Blade Runner*"
