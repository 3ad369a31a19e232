"""Likes and facts apart in contrasts, flips, why-not, what-if and lists: each number against models
built again on edited data.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from kgrec.data.derive.removal import Removal, without
from kgrec.explanation.core.answers import FlipSet, Holding, ListReasons, Ranked
from kgrec.explanation.core.records import Flip, Node
from kgrec.explanation.explainer import Explainer
from kgrec.explanation.render.sentences import flip_sentence
from kgrec.explanation.training.removals import StatedFacts
from kgrec.queries import queries
from tests.explained import PAYLOADS, WHY
from tests.explanation.questions.test_counterfactuals import (
    ease,
    kgat,
    lightgcn,
    order,
    random_data,
)


@pytest.fixture(scope="module")
def data():
    from tests.explanation import conftest

    return random_data(conftest.films.__wrapped__(), 6)


def scores(build, data, user, removal):
    edited = without(data, removal)
    with torch.inference_mode():
        found = build(edited).scorer()(queries(edited.train, np.array([user])))
    return found[0].numpy()


def near(data, one, other):
    """Return the rows of the facts between two entities, either way."""
    triples = data.triples
    ends = np.stack([triples.head, triples.tail])
    found = (ends == [[one], [other]]).all(0) | (ends == [[other], [one]]).all(0)
    return tuple(np.flatnonzero(found).tolist())


def about(data, items):
    triples = data.triples
    found = np.isin(triples.head, items) | np.isin(triples.tail, items)
    return tuple(np.flatnonzero(found).tolist())


@pytest.mark.parametrize("build", [lightgcn, kgat])
def test_a_contrast_says_what_the_difference_loses_without_each(data, build):
    ex = Explainer(build(data), data, users="show")
    first, second = (data.items.key(int(i)) for i in ex.standing(1).order()[[0, 3]])
    found = ex.compare("u1", first, second, k=3)
    a, b = data.items.rows([first, second])
    stated, checked = StatedFacts(data), 0
    whole = scores(build, data, 1, Removal())
    assert found.difference == pytest.approx(whole[a] - whole[b], abs=1e-8)

    def lost(removal):
        now = scores(build, data, 1, removal)
        return found.difference - (now[a] - now[b])

    for explanation, effects in zip(found.explanations, found.effects, strict=True):
        assert len(explanation.paths) == len(effects)
        for path, effect in zip(explanation.paths, effects, strict=True):
            rests = stated.of(path)
            assert effect.like == pytest.approx(lost(rests.like), abs=1e-8)
            assert effect.facts == pytest.approx(lost(rests.facts), abs=1e-8)
            assert effect.whole == pytest.approx(lost(rests.like | rests.facts), abs=1e-8)
            assert effect.together == effect.whole - effect.like - effect.facts
            checked += 1

    assert checked > 3
    record = found.to_dict()["effects"][0][0]
    assert record.keys() == {"like", "facts", "whole", "together"}
    assert "without the interaction alone and the facts alone" in found.to_text(200)


def test_a_contrast_of_a_model_over_a_history_has_the_likes_alone(data):
    model = ease(data)
    ex = Explainer(model, data)
    first, second = (data.items.key(int(i)) for i in ex.standing(1).order()[:2])
    found = ex.compare("u1", first, second)
    terms = {term.node.key: term.value for term in found.by_liked}
    for explanation, effects in zip(found.explanations, found.effects, strict=True):
        for path, effect in zip(explanation.paths, effects, strict=True):
            assert effect.like == pytest.approx(terms[path.nodes[1].key], abs=1e-6)
            assert effect.facts == 0


@pytest.mark.parametrize("build", [lightgcn])
def test_a_flip_says_who_is_first_and_what_the_facts_do(data, build):
    ex = Explainer(build(data), data)
    said = 0
    for user in range(3):
        likes = data.train.item[data.train.user == user].tolist()
        found = ex.flip(f"u{user}")
        assert found.rank == 1
        target = data.items.row(found.item.key)
        facts = about(data, [target])
        gone = found.without_facts
        if facts:
            now = scores(build, data, user, Removal(triples=facts))
            assert gone.score == pytest.approx(now[target], abs=1e-8)
            edited = without(data, Removal(triples=facts))
            ranked = order(build(edited), edited, user, likes).tolist()
            assert (gone.facts, gone.rank) == (len(facts), ranked.index(target) + 1)
            assert gone.first.key == data.items.key(ranked[0])
            assert f'about "{found.item.label}", all interactions kept' in found.to_text(200)
        if found.removed:
            said += 1
            rows = data.items.rows([term.node.key for term in found.removed])
            pairs = tuple((user, int(row)) for row in rows)
            edited = without(data, Removal(interactions=pairs))
            first = order(build(edited), edited, user, likes)[0]
            assert found.sentence.endswith(f"you would see *{data.item_label(first)}* first.")
            assert found.to_dict()["text"] == found.sentence
            assert found.sentence in found.to_text(300)
            why = ex.explain(f"u{user}", found.item.key, k=1, flip=True)
            assert why.flip == found.short()
            assert why.to_dict()["flip"]["text"] == found.sentence
            assert found.sentence in why.to_text(300)
            plain = found.sentence.replace(f"*{found.rival.label}*", f"“{found.rival.label}”")
            assert plain.split("see ")[1] in why.to_html()
            assert type(why).from_json(why.to_json()) == why
            assert type(why).from_rdf(why.to_rdf()) == why
            assert why.verify(ex) == []
            other = replace(why, flip=replace(why.flip, rank=2))
            assert any(line.startswith("flip") for line in other.verify(ex))

    assert said


def test_flip_sentences():
    a, b, c, t = (Node("item", key, key.upper()) for key in "abct")
    assert flip_sentence(t, Flip((a,), c, 1, 9, True)) == "Without *A* you would see *C* first."
    words = "Without *A* and *B* you would see *C* before *T*."
    assert flip_sentence(t, Flip((a, b), c, 3, 9, True)) == words
    assert flip_sentence(t, Flip((a,), c, 1, 9, False)) == ""
    assert flip_sentence(t, Flip((), None, 1, 9, True)) == ""
    many = flip_sentence(t, Flip((a,) * 9, c, 1, 9, True))
    assert (
        many == "Without *A*, *A*, *A*, *A*, *A* and 4 more of your items you would see *C* first."
    )
    assert isinstance(FlipSet.sentence, property)


@pytest.mark.parametrize("build", [lightgcn, kgat])
def test_what_if_tells_likes_from_facts(data, build):
    ex = Explainer(build(data), data)
    like = int(data.train.item[data.train.user == 2][0])
    row = 4
    triples = data.triples
    fact = (
        f"x{triples.head[row]}",
        triples.relations.key(int(triples.relation[row])),
        f"x{triples.tail[row]}",
    )
    found = ex.what_if("u2", remove=[f"i{like}"], remove_facts=[fact], k=4)
    same = (triples.head == triples.head[row]) & (triples.tail == triples.tail[row])
    rows = tuple(np.flatnonzero(same & (triples.relation == triples.relation[row])).tolist())
    likes = Removal(interactions=((2, like),))
    facts = Removal(triples=rows)
    for ranked, removal in (
        (found.likes_alone, likes),
        (found.facts_alone, facts),
        (found.after, likes | facts),
    ):
        now = scores(build, data, 2, removal)
        for one in ranked:
            assert one.score == pytest.approx(now[data.items.row(one.item.key)], abs=1e-8)

    assert "interactions alone" in found.to_text(200)
    effect = found.effects[0]
    assert effect.whole == found.before[0].score - found.after[0].score
    alone = ex.what_if("u2", remove=[f"i{like}"], k=4)
    assert alone.likes_alone == alone.after
    assert alone.facts_alone == alone.before
    assert "interactions alone" not in alone.to_text(200)
    assert json.loads(found.to_json())["facts_alone"]


@pytest.mark.parametrize("build", [lightgcn])
def test_why_not_says_what_the_facts_of_the_item_do(data, build):
    ex = Explainer(build(data), data)
    item = int(ex.standing(3).order()[-1])
    found = ex.why_not("u3", data.items.key(item), k=3)
    whole = scores(build, data, 3, Removal())[item]
    assert found.facts or not about(data, [item])
    for term in found.facts:
        entity = data.triples.entities.row(term.node.key)
        now = scores(build, data, 3, Removal(triples=near(data, item, entity)))[item]
        assert term.value == pytest.approx(whole - now, abs=1e-8)

    if any(term.value < 0 for term in found.facts):
        assert "facts that hold it down" in found.to_text(200)


@pytest.mark.parametrize("build", [lightgcn, kgat])
def test_a_list_is_held_up_by_likes_and_by_facts(data, build):
    ex = Explainer(build(data), data)
    found = ex.list_reasons("u4", k=4, facts=4)
    likes = data.train.item[data.train.user == 4].tolist()
    listed = [data.items.row(one.item.key) for one in found.items]
    whole = scores(build, data, 4, Removal())

    def check(one, removal):
        edited = without(data, removal)
        kept = order(build(edited), edited, 4, likes)[:4].tolist()
        now = scores(build, data, 4, removal)
        assert one.drop == pytest.approx((whole[listed] - now[listed]).mean(), abs=1e-8)
        left = [data.items.key(i) for i in listed if i not in kept]
        assert [node.key for node in one.leave] == left

    assert {one.node.key for one in found.likes} == {f"i{i}" for i in likes}
    for one in found.likes:
        check(one, Removal(interactions=((4, data.items.row(one.node.key)),)))

    assert found.facts
    for one in found.facts:
        entity = data.triples.entities.row(one.node.key) if one.node.kind == "entity" else None
        if entity is None:
            entity = data.items.row(one.node.key)
        rows = sorted({row for item in listed for row in near(data, item, entity)})
        assert one.facts == len(rows)
        check(one, Removal(triples=tuple(rows)))

    check(found.all_likes, Removal(interactions=tuple((4, i) for i in likes)))
    check(found.all_facts, Removal(triples=about(data, listed)))
    keys = [(-len(one.leave), -round(one.drop, 12)) for one in found.likes]
    assert keys == sorted(keys)

    frame = found.to_frame()
    assert frame.height == len(found.likes) + len(found.facts) + 2
    assert frame["leave"][0] == len(found.likes[0].leave)
    assert found.to_dict()["kind"] == "list"
    assert "all facts about its items together" in found.to_text()


def test_a_list_of_a_model_that_reads_no_graph_has_likes_alone(data):
    found = Explainer(ease(data), data).list_reasons("u4", k=3)
    assert found.likes
    assert (found.facts, found.all_facts) == ((), None)
    assert "interactions alone are tried" in found.to_text()


@pytest.mark.parametrize("label", PAYLOADS)
def test_hostile_labels_are_inert(label):
    bad, user = Node("item", "i", label), Node("user", "u", label)
    flip = Flip((bad,), bad, 1, 2, True)
    why = replace(WHY, flip=flip, history=(label,))
    page = why.to_html()
    assert "<script" not in page
    assert "<img" not in page
    held = Holding(bad, (label,), 1, (bad,), (bad,), 0.1)
    together = replace(held, node=None)
    listed = ListReasons(
        user, (Ranked(bad, 1, 0.1),), (held,), (held,), together, together, (0, 0), note=label
    )
    for shown in (why.to_text(), listed.to_text()):
        assert not any(sign in shown for sign in "\x1b\x00\x9b\u2028\u202e")

    assert json.loads(listed.to_json())["note"] == label
    assert type(why).from_json(why.to_json()) == why
