"""Contrasts, flip sets, why-not and what-if: every answer against models built anew without the
likes and facts.
"""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from kgrec.data.records.interactions import Interactions
from kgrec.errors import CapabilityError, ConfigError, ExplanationError, UnknownIdError
from kgrec.explanation.explainer import Explainer
from kgrec.models.baselines.popularity import Popularity, PopularityConfig
from kgrec.models.graph.lightgcn import LightGCN, LightGCNConfig
from kgrec.models.knowledge.kgat import KGAT, KGATConfig
from kgrec.models.linear.ease import EASE, EASEConfig
from kgrec.queries import queries


def lightgcn(data, seed=0, **config):
    config = {"dim": 8, "num_layers": 3, "knowledge": True} | config
    return (
        LightGCN.from_dataset(data, LightGCNConfig(**config), torch.Generator().manual_seed(seed))
        .double()
        .eval()
    )


def kgat(data, seed=0):
    model = (
        KGAT.from_dataset(
            data,
            KGATConfig(dim=8, relation_dim=8, layer_dims=(8, 4)),
            torch.Generator().manual_seed(seed),
        )
        .double()
        .eval()
    )
    model.refresh_attention()
    return model


def ease(data, seed=0):
    model = EASE.from_dataset(data, EASEConfig(l2=1.0), torch.Generator().manual_seed(seed))
    model.plan().fit()
    return model.eval()


def random_data(films, seed, users=12, items=14, per_user=5):
    """A larger world: random likes over the films' graph with further items."""
    import polars as pl

    from kgrec.data.records.vocabulary import Vocabulary

    rng = np.random.default_rng(seed)
    entities = items + 6
    head, tail = rng.integers(0, items, 30), items + rng.integers(0, 6, 30)
    keys = [f"x{n}" for n in range(entities)]
    triples = replace(
        films.triples,
        entities=Vocabulary(keys),
        head=head.astype(np.int32),
        relation=rng.integers(0, 4, 30).astype(np.int32),
        tail=tail.astype(np.int32),
        source=np.zeros(30, np.uint16),
        locator=np.arange(1, 31),
        labels=pl.Series("label", keys),
    )
    likes = sorted(
        {(u, int(i)) for u in range(users) for i in rng.choice(items, per_user, replace=False)}
    )
    return replace(
        films,
        users=Vocabulary([f"u{n}" for n in range(users)], kind="user"),
        items=Vocabulary([f"i{n}" for n in range(items)], kind="item"),
        triples=triples,
        train=Interactions(*np.array(likes, dtype=np.int32).T),
    )


def without(data, user, items):
    gone = (data.train.user == user) & np.isin(data.train.item, items)
    return replace(data, train=data.train.take(~gone))


def order(model, data, user, seen):
    with torch.inference_mode():
        scores = model.scorer()(queries(data.train, np.array([user])))[0].numpy().copy()
    scores[list(seen)] = -np.inf
    return np.argsort(-scores, kind="stable")


MODELS = {"lightgcn": lightgcn, "kgat": kgat}


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        *(("lightgcn", seed) for seed in range(4)),
        *(("kgat", seed) for seed in range(2)),
        *(pytest.param("kgat", seed, marks=pytest.mark.long) for seed in range(2, 4)),
    ],
)
def test_a_flip_set_changes_the_top_and_no_part_of_it_does(films, name, seed):
    data = random_data(films, seed)
    build = MODELS[name]
    model, found_any = build(data, seed), 0
    ex = Explainer(model, data)
    for user in range(6):
        likes = data.train.item[data.train.user == user].tolist()
        found = ex.flip(f"u{user}")
        top = order(model, data, user, likes)[0]
        assert found.item.key == f"i{top}"
        removed = [data.items.row(term.node.key) for term in found.removed]
        assert found.likes == len(likes)
        if removed:
            found_any += 1
            anew = order(build(without(data, user, removed), seed), data, user, likes)
            assert anew[0] != top
            assert found.verified
            assert found.after[0] < found.after[1]
            for size in range(1, len(removed)):
                for some in combinations(removed, size):
                    assert (
                        order(build(without(data, user, list(some)), seed), data, user, likes)[0]
                        == top
                    )
        else:
            assert "without all" in found.note
            kept = order(build(without(data, user, likes), seed), data, user, likes)[0] == top
            assert kept == ("keeps its place" in found.note)
    assert found_any


def test_flip_in_mask_mode_keeps_the_other_weights(films):
    data = random_data(films, 1)
    model = lightgcn(data, 1)
    ex = Explainer(model, data)
    modes = {mode: [ex.flip(f"u{n}", mode=mode) for n in range(8)] for mode in ("mask", "delete")}
    assert any(one.removed for one in modes["mask"])
    for one in modes["mask"]:
        if one.removed:
            user, target = data.users.row(one.user.key), data.items.row(one.item.key)
            removed = [data.items.row(term.node.key) for term in one.removed]
            ckg, node = model.ckg, model.ckg.user_node(user)
            facts = [
                n
                for n in range(len(ckg.head))
                if ckg.head[n] == node and ckg.relation[n] == 0 and ckg.tail[n] in removed
            ]
            rival = data.items.row(one.rival.key)
            after = [
                float(model.explanation_effects().rerun(user, item, [facts], keep_weights=True)[0])
                for item in (target, rival)
            ]
            assert after == pytest.approx(list(one.after), abs=1e-9)
            assert after[0] < after[1]
    with pytest.raises(CapabilityError, match="mask"):
        Explainer(kgat(data), data).flip("u0", mode="mask")


def test_history_models_flip_and_answer_too(films):
    data = random_data(films, 2, users=30)
    model = ease(data)
    ex = Explainer(model, data)
    flipped = [ex.flip(f"u{n}") for n in range(10)]
    assert any(one.removed for one in flipped)
    for number, one in enumerate(flipped):
        if one.removed:
            removed = [data.items.row(term.node.key) for term in one.removed]
            history = [
                int(i) for i in data.train.item[data.train.user == number] if i not in removed
            ]
            scores = model.explanation_effects().history_scores(number, [torch.tensor(history)])[0]
            assert float(scores[data.items.row(one.rival.key)]) > float(
                scores[data.items.row(one.item.key)]
            )
    with pytest.raises(CapabilityError, match="no fact"):
        ex.what_if("u0", remove_facts=[("x0", "x:genre", "x15")])


@pytest.mark.parametrize("name", ["lightgcn", "kgat"])
def test_contrasts_add_up_and_turn_around(films, name):
    data = random_data(films, 3)
    ex = Explainer(MODELS[name](data), data)
    for first, second in (("i0", "i7"), ("i3", "i12")):
        one, two = ex.compare("u1", first, second), ex.compare("u1", second, first)
        parts = (
            one.own
            + one.bias
            + sum(term.value for term in one.by_liked)
            + sum(one.other.values())
            + one.residual
        )
        assert parts == pytest.approx(one.difference, abs=1e-9)
        assert one.difference == pytest.approx(
            ex.explain("u1", first).score - ex.explain("u1", second).score
        )
        assert one.difference == -two.difference
        assert {t.node.key: t.value for t in one.by_liked} == pytest.approx(
            {t.node.key: -t.value for t in two.by_liked}
        )
        assert (one.only_first, one.shared, one.only_second) == (
            two.only_second,
            two.shared,
            two.only_first,
        )
    near = {f"x{t}" for h, t in zip(data.triples.head, data.triples.tail, strict=True) if h == 0}
    seven = {f"x{t}" for h, t in zip(data.triples.head, data.triples.tail, strict=True) if h == 7}
    told = ex.compare("u1", "i0", "i7")
    assert {node.key for node in told.only_first} == near - seven
    assert {node.key for node in told.shared} == near & seven


@pytest.mark.parametrize("name", ["lightgcn", "kgat"])
def test_what_if_equals_a_model_of_the_changed_data(films, name):
    data = random_data(films, 4)
    build = MODELS[name]
    ex = Explainer(build(data), data)
    likes = data.train.item[data.train.user == 2].tolist()
    added = next(i for i in range(14) if i not in likes)
    fact = (
        f"x{data.triples.head[0]}",
        data.triples.relations.key(int(data.triples.relation[0])),
        f"x{data.triples.tail[0]}",
    )
    told = ex.what_if(
        "u2",
        remove=[f"i{likes[0]}"],
        add=[f"i{added}"],
        items=["i13"],
        remove_facts=[fact],
        add_facts=[("x1", "x:genre", "x19")],
    )
    same = (data.triples.head == data.triples.head[0]) & (
        data.triples.relation == data.triples.relation[0]
    )
    kept = ~(same & (data.triples.tail == data.triples.tail[0]))
    columns = {
        c: getattr(data.triples, c)[kept] for c in ("head", "relation", "tail", "source", "locator")
    }
    new = {"head": 1, "relation": 2, "tail": 19, "source": 0, "locator": 99}
    triples = replace(
        data.triples,
        **{c: np.append(values, np.array([new[c]], values.dtype)) for c, values in columns.items()},
    )
    rows = sorted(
        {(int(u), int(i)) for u, i in zip(data.train.user, data.train.item, strict=True)}
        - {(2, likes[0])}
        | {(2, added)}
    )
    changed = replace(data, triples=triples, train=Interactions(*np.array(rows, dtype=np.int32).T))
    scores = Explainer(build(changed), changed).standing(2).scores
    ranked = [
        i for i in np.argsort(-scores, kind="stable").tolist() if i not in likes and i != added
    ]
    assert [(one.item.key, one.rank) for one in told.top] == [
        (f"i{i}", n) for n, i in enumerate(ranked[:10], 1)
    ]
    assert [one.score for one in told.top] == pytest.approx(scores[ranked[:10]].tolist(), abs=1e-9)
    assert [one.item.key for one in told.before] == [one.item.key for one in told.after]
    assert {(c.what, c.added) for c in told.changes} == {
        ("like", False),
        ("like", True),
        ("fact", False),
        ("fact", True),
    }
    assert next(
        one for one in told.after if one.item.key == f"i{added}"
    ).rank is None or f"i{added}" not in [o.item.key for o in told.after]


def test_additions_are_measured_and_bring_the_item_in(films):
    data = random_data(films, 5)
    model = lightgcn(data)
    ex = Explainer(model, data)
    user, ranked = 3, ex.standing(3).order()
    target = int(ranked[-1])
    told = ex.why_not("u3", f"i{target}", k=3)
    assert told.contrast.second.item.key == f"i{ranked[2]}"
    before = ex.standing(user).scores[target]
    for term in told.additions:
        rows = {(int(u), int(i)) for u, i in zip(data.train.user, data.train.item, strict=True)} | {
            (user, data.items.row(term.node.key))
        }
        changed = replace(data, train=Interactions(*np.array(sorted(rows), dtype=np.int32).T))
        assert term.value == pytest.approx(
            Explainer(lightgcn(changed), changed).standing(user).scores[target] - before, abs=1e-9
        )
        assert term.value > 0
    if told.enters:
        after = ex.what_if(
            "u3",
            add=[term.node.key for term in told.additions[: told.enters]],
            items=[f"i{target}"],
            k=3,
        )
        assert after.after[-1].rank <= 3
    else:
        assert "do not bring" in told.note or "No further" in told.note
    assert "already" in ex.why_not("u3", f"i{ranked[0]}", k=3).note


def test_bad_questions(films):
    data = random_data(films, 6)
    ex = Explainer(lightgcn(data), data)
    liked, unseen = (f"i{i}" for i in (ex.liked(0)[0], ex.standing(0).order()[0]))
    fact = ("x0", "x:genre", "x1")
    for error, ask in (
        (UnknownIdError, lambda: ex.flip("nobody")),
        (ConfigError, lambda: ex.flip("u0", liked)),
        (ConfigError, lambda: ex.flip("u0", mode="other")),
        (ConfigError, lambda: ex.flip("u0", max_size=0)),
        (ConfigError, lambda: ex.compare("u0", unseen, unseen)),
        (ConfigError, lambda: ex.why_not("u0", liked)),
        (ConfigError, lambda: ex.why_not("u0", unseen, k=0)),
        (ConfigError, lambda: ex.what_if("u0", remove=[unseen])),
        (ConfigError, lambda: ex.what_if("u0", add=[liked])),
        (ConfigError, lambda: ex.what_if("u0", remove=liked)),
        (UnknownIdError, lambda: ex.what_if("u0", remove_facts=[("x0", "x:genre", "x99")])),
        (UnknownIdError, lambda: ex.what_if("u0", add_facts=[("x0", "x:gerne", "x1")])),
        (UnknownIdError, lambda: ex.what_if("u0", remove_facts=[("x13", "x:writer", "x13")])),
    ):
        with pytest.raises(error) as caught:
            ask()
        assert "\n" not in str(caught.value)
    plain = Explainer(lightgcn(data, knowledge=False), data)
    with pytest.raises(CapabilityError, match="interactions alone"):
        plain.what_if("u0", add_facts=[fact])
    bound = Popularity.from_dataset(data, PopularityConfig(), torch.Generator())
    bound.plan().fit()
    with pytest.raises(CapabilityError, match="other interactions"):
        Explainer(bound, data).flip("u0")


def test_a_user_without_likes(films):
    data = random_data(films, 7)
    nobody = without(data, 4, range(14))
    ex = Explainer(lightgcn(nobody), nobody)
    for ask in (
        lambda: ex.explain("u4", "i0"),
        lambda: ex.flip("u4"),
        lambda: ex.why_not("u4", "i0"),
        lambda: ex.what_if("u4"),
    ):
        with pytest.raises(ExplanationError, match=r"'u4' has no training interactions"):
            ask()
    assert ex.explain("u3", "i0").score == pytest.approx(float(ex.standing(3).scores[0]))


def test_contrasts_of_a_model_that_reads_no_facts_name_the_neighbors_all_the_same(films):
    """Its graph holds the items alone: rows of entities are no users."""
    data = random_data(films, 0)
    ex = Explainer(lightgcn(data, knowledge=False), data)
    found = ex.compare(
        "u0", *[key for key in data.items if data.items.row(key) not in ex.liked(0)][:2]
    )
    assert {node.kind for node in (*found.only_first, *found.shared, *found.only_second)} <= {
        "item",
        "entity",
    }
    assert any(node.kind == "entity" for node in (*found.only_first, *found.only_second))


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(3, 12))]
)
def test_where_all_likes_together_flip_a_set_is_found(films, seed):
    data = random_data(films, seed)
    for model in (ease(data, seed), kgat(data, seed)):
        ex = Explainer(model, data)
        for user in range(6):
            found = ex.flip(f"u{user}")
            assert found.removed or "keeps its place without all" in found.note


def test_a_model_that_cannot_be_asked_says_why_in_words_that_hold_of_it(films):
    model = Popularity.from_dataset(films, PopularityConfig(), torch.Generator())
    with pytest.raises(CapabilityError, match="its scores stay what training made them"):
        Explainer(model, films).flip("ana")
