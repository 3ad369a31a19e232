"""What verification notices, and what it lets pass."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from kgrec.explanation.core.records import Explanation, FactRef, Hop, Node, Path, Relation
from kgrec.explanation.fingerprint import graph_sum, parameters_sum
from kgrec.explanation.verify import arguments_of, settings_of, verify


@pytest.fixture(scope="module")
def run():
    from kgrec.runs.fit import fit
    from kgrec.testing.worlds import dataset

    likes = [(user, item) for user in range(8) for item in range(8) if (user * 3 + item) % 4 < 2]
    facts = [(item, item % 2, 8 + item % 3) for item in range(8)] + [(0, 0, 11), (5, 0, 11)]
    return fit("lightgcn-kg", dataset(likes, triples=facts), dim=8, epochs=2, patience=0, seed=1)


@pytest.fixture(scope="module")
def explainer(run):
    return run.explainer()


@pytest.fixture(scope="module")
def why(run, explainer):
    found = explainer.explain("u0", run.recommend("u0", k=1)["item"][0], k=5)
    assert len(found.paths) > 1
    assert any(hop.relation.startswith("r") for path in found.paths for hop in path.hops)
    return found


def test_what_was_just_computed_holds_also_after_json_and_rdf(run, why):
    fresh = run.explainer()
    assert why.verify(fresh) == []
    assert Explanation.from_json(why.to_json()).verify(fresh) == []
    assert Explanation.from_rdf(why.to_rdf()).verify(fresh) == []


@pytest.mark.parametrize(
    "how",
    [
        {"rank_by": "attribution"},
        {"users": "hide"},
        {"users": "show", "k": 3},
        {"max_length": 2},
        {"relations": {"deny": ["r0"]}},
        {"relations": {"allow": ["r1"]}, "min_drop": -0.5},
        {"types": ["item", "entity"], "max_degree": 9},
        {"ranks": True},
        {"k": 1_000_000},
    ],
)
def test_it_is_computed_again_as_it_was_asked(explainer, why, how):
    asked = {"k": 5} | how
    saved = explainer.explain("u0", why.item, **asked)
    assert Explanation.from_json(saved.to_json()).verify(explainer) == []
    assert arguments_of(saved)["k"] == asked["k"]


def test_the_explainer_is_set_as_it_was(run, why):
    saved = run.explainer(
        screen_top=7, per_liked=1, max_length=2, users="hide", modes=("delete",)
    ).explain("u0", why.item)
    told = settings_of(Explanation.from_json(saved.to_json()))
    assert saved.verify(run.explainer(**told)) == []
    assert any("screen_top" in line for line in saved.verify(run.explainer()))


def wrong_number(path: Path, name: str, by: float) -> Path:
    return replace(path, **{name: getattr(path, name) + by})


def test_every_changed_number_is_named(why, explainer):
    path = why.paths[0]
    budget = why.budget
    terms = (
        replace(budget.by_liked[0], value=budget.by_liked[0].value + 0.1),
        *budget.by_liked[1:],
    )
    changed = {
        "score": replace(why, score=why.score + 0.001, budget=None),
        "margin": replace(why, margin=why.margin + 0.001),
        "rank": replace(why, rank=why.rank + 1),
        "truncated": replace(why, truncated=True),
        "counts": replace(why, counts={**why.counts, "3": 999}),
        "next item": replace(
            why,
            next_item=Node("item", "i7", "i7")
            if why.next_item.key != "i7"
            else Node("item", "i6", "i6"),
        ),
        "item_label": replace(why, item_label="another"),
        "budget own": replace(
            why, budget=replace(budget, own=budget.own + 0.1, residual=budget.residual - 0.1)
        ),
        "budget by_liked": replace(
            why, budget=replace(budget, by_liked=terms, residual=budget.residual - 0.1)
        ),
        "budget on_graph": replace(why, budget=replace(budget, on_graph=budget.on_graph + 0.01)),
        "path 1, drop_delete": replace(
            why, paths=(wrong_number(path, "drop_delete", 0.001), *why.paths[1:])
        ),
        "path 1, drop_mask": replace(
            why, paths=(wrong_number(path, "drop_mask", 0.001), *why.paths[1:])
        ),
        "path 1, attribution": replace(
            why, paths=(wrong_number(path, "attribution", 0.001), *why.paths[1:])
        ),
        "path 1, joint": replace(
            why, paths=(replace(path, joint=path.joint * 1.001), *why.paths[1:])
        ),
        "path 1, removed": replace(
            why, paths=(replace(path, removed=path.removed + 1), *why.paths[1:])
        ),
        "path 1, basis": replace(why, paths=(replace(path, basis="measured"), *why.paths[1:])),
        "a path is found now that is not in the file": replace(why, paths=why.paths[1:]),
        "notes": replace(why, notes=("Trust me.",)),
        "model": replace(why, manifest={**why.manifest, "model": "kgat"}),
        "sum of the graph": replace(why, manifest={**why.manifest, "graph": "0" * 32}),
        "settings screen_top": replace(
            why,
            manifest={**why.manifest, "settings": {**why.manifest["settings"], "screen_top": 31}},
        ),
    }
    for words, saved in changed.items():
        found = verify(saved, explainer)
        assert any(line.startswith(words) for line in found), (words, found)
    assert verify(replace(why, score=why.score * (1 + 1e-9), budget=None), explainer) == verify(
        replace(why, budget=None), explainer
    )


def with_fact(why: Explanation, change) -> tuple[Explanation, int]:
    """Return an explanation with one fact of the graph on its first such hop changed, and the
    number of the path.
    """
    for rank, path in enumerate(why.paths):
        for place, hop in enumerate(path.hops):
            if hop.relation.startswith("r"):
                hops = [*path.hops]
                hops[place] = Hop(hop.source, hop.target, tuple(map(change, hop.relations)))
                return replace(
                    why,
                    paths=(
                        *why.paths[:rank],
                        replace(path, hops=tuple(hops)),
                        *why.paths[rank + 1 :],
                    ),
                ), rank + 1
    raise AssertionError("no path through a fact")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda relation: replace(relation, forward=not relation.forward),
            "is not a fact of the training graph",
        ),
        (
            lambda relation: replace(relation, key="r1" if relation.key == "r0" else "r0"),
            "is not a fact of the training graph",
        ),
        (
            lambda relation: replace(relation, facts=(FactRef("world", 99),)),
            "is not in world:99",
        ),
        (lambda relation: replace(relation, key="invented"), "unknown relation"),
    ],
)
def test_an_invented_fact_is_found_without_the_search(why, explainer, change, words):
    saved, rank = with_fact(why, change)
    assert any(f"path {rank}, hop" in line and words in line for line in saved.verify(explainer))


def test_a_like_that_is_none_is_found(run, explainer, why):
    mine = set(explainer.liked(0).tolist())
    strange = next(
        item for item in range(run.data.num_items) if item not in mine and f"i{item}" != why.item
    )
    node = Node("item", f"i{strange}", f"i{strange}")
    path = why.paths[0]
    hops = (
        replace(path.hops[0], target=node),
        Hop(node, path.hops[1].target, path.hops[1].relations),
        *path.hops[2:],
    )
    saved = replace(why, paths=(replace(path, hops=hops), *why.paths[1:]))
    assert any("is not a training interaction" in line for line in saved.verify(explainer))


@pytest.mark.parametrize("bit", [0, 22, 25])
def test_one_flipped_bit_of_the_model_is_noticed(run, why, bit):
    name, tensor = max(run.model.named_parameters(), key=lambda pair: pair[1].numel())
    assert tensor.dtype == torch.float32, name
    flat = tensor.data.view(-1).view(torch.int32)
    unrelated = flat.numel() - 1
    flat[unrelated] ^= 1 << bit
    try:
        found = why.verify(run.explainer())
    finally:
        flat[unrelated] ^= 1 << bit
    assert any(line.startswith("sum of the parameters") for line in found)
    assert why.verify(run.explainer()) == []


def test_another_graph_is_noticed(run, why):
    data = run.data
    for changed in (
        replace(data, triples=data.triples.take(np.arange(1, len(data.triples)))),
        replace(data, triples=replace(data.triples, locator=data.triples.locator + 1)),
    ):
        assert graph_sum(changed) != graph_sum(data)
        other = replace_data(run, changed)
        assert any(line.startswith("sum of the graph") for line in why.verify(other.explainer()))


def replace_data(run, data):
    from kgrec.runs.run import Run, build_model

    model = build_model(run.chosen, data, run.seed)
    model.load_state_dict(run.model.state_dict())
    return Run(run.name, model, data, run.chosen, run.seed, [], {}, run.dataset)


def test_a_user_or_item_that_is_gone_is_one_line(why, explainer):
    node = Node("user", "nobody", "nobody")
    paths = tuple(
        replace(path, hops=(replace(path.hops[0], source=node), *path.hops[1:]))
        for path in why.paths
    )
    (line,) = replace(why, user="nobody", paths=paths).verify(explainer)
    assert "cannot be computed again" in line
    assert "nobody" in line


@pytest.mark.parametrize(
    "filters",
    [
        {"users": 3},
        {"relations": "r0"},
        {"relations": {"allow": [1]}},
        {"max_length": "3"},
        {"max_length": 50},
        {"types": "item"},
        {"min_drop": []},
        {"rank_by": "__class__"},
        {"rank_by": "plausibility"},
        {"users": "everyone"},
        {"max_degree": 0},
        {"relations": {"deny": ["nothing like it"]}},
    ],
)
def test_filters_that_make_no_sense_are_one_line(why, explainer, filters):
    (line,) = replace(why, filters=filters).verify(explainer)
    assert line.startswith("it cannot be computed again")


def test_settings_of_a_hostile_file_are_bounded(why):
    settings = {
        "screen_top": 10**18,
        "budget": -1,
        "per_liked": "7",
        "per_middle": True,
        "max_length": 50,
        "users": "root",
        "k": [1],
    }
    saved = replace(why, manifest={"settings": settings})
    assert settings_of(saved) == {"screen_top": 20_000_000, "modes": ("delete", "mask")}
    assert arguments_of(replace(saved, filters={}))["k"] == len(why.paths)
    assert settings_of(replace(why, manifest={"settings": "none"})) == {"modes": ("delete", "mask")}


def test_sums_see_names_shapes_types_and_ids(run):
    one = torch.tensor([1.0, 2.0])
    sums = [
        parameters_sum(state)
        for state in (
            {"a": one},
            {"b": one},
            {"a": one.reshape(2, 1)},
            {"a": one.double()},
            {"a": torch.empty(0)},
            {},
        )
    ]
    assert len(set(sums)) == len(sums)
    assert parameters_sum({"a": one, "b": one}) == parameters_sum({"b": one, "a": one})
    from kgrec.data.records.vocabulary import Vocabulary

    users = [f"u{n}" for n in range(8)]
    renamed = replace(run.data, users=Vocabulary([*users[:-2], "u6u", "7"], kind="user"))
    assert graph_sum(renamed) != graph_sum(run.data)


def test_relations_with_a_user_that_are_no_likes_are_left_to_the_search(why, explainer):
    first = why.paths[0].hops[0]
    both = replace(first, relations=(*first.relations, Relation("age", "age", True)))
    saved = replace(
        why, paths=(replace(why.paths[0], hops=(both, *why.paths[0].hops[1:])), *why.paths[1:])
    )
    assert saved.verify(explainer)
