"""The report on explanations: each number against brute force on small worlds; gates that bite;
what models cannot be asked.
"""

import json
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from kgrec.data.records.interactions import Interactions
from kgrec.errors import ConfigError, UnknownIdError
from kgrec.explanation.effects.sufficiency import scores_alone
from kgrec.explanation.explainer import Explainer
from kgrec.explanation.quality import sample as quality_sample
from kgrec.explanation.quality.metrics import smoothed
from kgrec.explanation.quality.stability import path_key
from kgrec.explanation.search.all_paths import simple_paths
from kgrec.models.effects import HistorySumEffects
from kgrec.models.graph.lightgcn import LightGCN, LightGCNConfig
from kgrec.models.knowledge.kgin import KGIN, KGINConfig
from kgrec.models.linear.ease import EASE
from tests.explanation.questions.test_counterfactuals import ease, kgat, lightgcn, random_data

WIDE = {"screen_top": 10_000, "per_liked": 10_000, "per_middle": 10_000}


def kgin(data, seed=0):
    return (
        KGIN.from_dataset(
            data, KGINConfig(dim=8, num_layers=2), torch.Generator().manual_seed(seed)
        )
        .double()
        .eval()
    )


@pytest.fixture
def data(films):
    return random_data(films, 8)


@pytest.fixture
def every_control(monkeypatch):
    """Take all controls instead of some, so that nothing is left to chance."""
    for name in ("_CONTROLS", "_FEW_CONTROLS", "_ORACLE", "_FEW_ORACLE", "_COUNTED_ORACLE"):
        monkeypatch.setattr(quality_sample, name, 100_000)


def by_user(values):
    """Return the mean over users of means over their values."""
    found: dict = {}
    for user, value in values:
        found.setdefault(user, []).append(value)
    return float(np.mean([np.mean(part) for part in found.values()]))


def anew(ex, user, item, facts, mode="delete"):
    """Return the score without facts, by running the whole model on another graph."""
    if mode == "mask":
        pairs = np.unique(
            np.sort(np.stack([ex.graph.ckg.head[facts], ex.graph.ckg.tail[facts]], 1), 1), axis=0
        )
        from kgrec.explanation.effects.closed_form import Edit

        return ex.effects.linear.ranking(
            ex.graph.ckg.user_node(user), ex.graph.ckg.num_items, Edit(pairs), "mask"
        )[item]
    return ex.standing(user, ex.without(facts)).scores[item]


def lists(ex, users, top):
    return [(user, int(item)) for user in users for item in ex.standing(user).order()[:top]]


def edges_between(ex, path):
    """Return the edges of a path that names every stop."""
    nodes = [
        ex.graph.ckg.user_node(ex.data.users.row(n.key))
        if n.kind == "user"
        else ex.data.items.row(n.key)
        if n.kind == "item"
        else ex.data.triples.entities.row(n.key)
        for n in path.nodes
    ]
    found = [
        np.flatnonzero((ex.graph.low == min(a, b)) & (ex.graph.high == max(a, b)))
        for a, b in pairwise(nodes)
    ]
    return np.concatenate(found)


@pytest.mark.parametrize("mode", ["delete", "mask"])
def test_necessity_equals_running_the_model_anew(data, every_control, mode):
    ex = Explainer(lightgcn(data), data, users="show", **WIDE)
    told = ex.evaluate(["u0", "u3", "u5"], top=2, k=3)
    best, random, matched, paired, grown = [], [], [], [], []
    for user, item in lists(ex, (0, 3, 5), 2):
        shown = ex.explain(f"u{user}", f"i{item}", k=3).paths
        score = ex.standing(user).scores[item]
        sets = [edges_between(ex, path) for path in shown]

        def drop(edges, user=user, item=item, score=score):
            return score - anew(ex, user, item, ex.graph.facts_of(np.unique(edges)), mode)

        found = simple_paths(ex.graph, ex.graph.ckg.user_node(user), item, 3)
        before = len(matched)
        for path, edges in zip(shown, sets, strict=True):
            best.append((user, drop(edges)))
            nodes, others = found.nodes[path.length - 1], found.edges[path.length - 1]
            drops = np.array([drop(one) for one in others])
            random.append((user, drops.mean()))
            mine = next(n for n, one in enumerate(others) if set(one) == set(edges))
            degree = ex.graph.degree(nodes[:, 1:-1])
            alike = [
                n
                for n in range(len(nodes))
                if n != mine
                and all(
                    d <= 2 * e and e <= 2 * d for d, e in zip(degree[n], degree[mine], strict=True)
                )
            ]
            matched += [(user, drops[alike].mean())] if alike else []
            paired += [best[-1]] if alike else []
        if len(matched) == before + 3:
            grown.append((user, np.mean([drop(np.concatenate(sets[: m + 1])) for m in range(3)])))
    assert told[f"necessity.drop.{mode}"].value == pytest.approx(by_user(best), abs=1e-7)
    assert told[f"necessity.random.{mode}"].value == pytest.approx(by_user(random), abs=1e-7)
    assert told[f"necessity.matched.{mode}"].value == pytest.approx(by_user(matched), abs=1e-7)
    assert told[f"necessity.matched.{mode}"].count == len(matched)
    assert told[f"necessity.ratio.random.{mode}"].value == pytest.approx(
        by_user(best) / by_user(random), rel=1e-4
    )
    curve = next(c for c in told.curves if (c.paths, c.mode) == ("best", mode))
    assert [point.count for point in curve.points] == [len(grown)] * 3
    assert curve.points[2].value == pytest.approx(by_user(grown), abs=1e-7)
    assert told[f"necessity.paired.{mode}"].value == pytest.approx(by_user(paired), abs=1e-7)
    assert told.paths == len(best) == told["necessity.drop.delete"].count


@pytest.mark.parametrize("build", [lightgcn, kgat, kgin])
def test_scores_alone_equal_the_model_on_these_edges(data, build):
    ex = Explainer(build(data), data)
    rng = np.random.default_rng(0)
    for user, item in lists(ex, (0, 1, 2), 1):
        groups = [
            np.empty(0, np.int64),
            *(np.sort(rng.choice(ex.graph.num_edges, size, replace=False)) for size in (1, 4, 12)),
        ]
        found = scores_alone(ex.effects, ex.graph, user, item, groups, "delete")
        for edges, score in zip(groups, found, strict=True):
            kept = ex.graph.facts_of(edges)
            rest = np.setdiff1d(np.arange(len(ex.graph.ckg.head)), kept)
            assert score == pytest.approx(anew(ex, user, item, rest), abs=1e-6)
            if build is lightgcn:
                (masked,) = scores_alone(ex.effects, ex.graph, user, item, [edges], "mask")
                assert masked == pytest.approx(anew(ex, user, item, rest, "mask"), abs=1e-6)


def test_models_that_rank_by_direction_keep_the_norm_in_scores_alone(data):
    ex = Explainer(lightgcn(data, loss="softmax"), data)
    assert ex.effects.linear.by_direction
    edges = np.arange(6)
    rest = np.setdiff1d(np.arange(len(ex.graph.ckg.head)), ex.graph.facts_of(edges))
    (score,) = scores_alone(ex.effects, ex.graph, 0, 3, [edges], "delete")
    assert score == pytest.approx(anew(ex, 0, 3, rest), abs=1e-6)


def test_sufficiency_ranks_and_the_oracle_by_hand(data, every_control):
    ex = Explainer(lightgcn(data), data, users="show", **WIDE)
    told = ex.evaluate(["u0", "u4"], top=3, k=2)
    everything = np.arange(len(ex.graph.ckg.head))
    enough, first, both, out, stays, chosen, best = [], [], [], [], [], [], []
    for user, item in lists(ex, (0, 4), 3):
        shown = ex.explain(f"u{user}", f"i{item}", k=2).paths
        sets = [ex.graph.facts_of(edges_between(ex, path)) for path in shown]
        union = np.unique(np.concatenate(sets))
        score, nothing = ex.standing(user).scores[item], anew(ex, user, item, everything)
        alone = anew(ex, user, item, np.setdiff1d(everything, union))
        enough.append((user, (alone - nothing) / (score - nothing)))
        if item != ex.standing(user).order()[0]:
            continue
        ranks = [
            ex.standing(user, ex.without(gone)).rank(item)
            for gone in (sets[0], union, np.setdiff1d(everything, union))
        ]
        first.append(ranks[0] - 1)
        both.append(ranks[1] - 1)
        out.append(ranks[1] > 3)
        stays.append(ranks[2] <= 3)
        found = simple_paths(ex.graph, ex.graph.ckg.user_node(user), item, 3)
        drops = sorted(
            score - anew(ex, user, item, ex.graph.facts_of(one))
            for part in found.edges
            for one in part
        )
        chosen.append(np.mean([path.drop_delete for path in shown]))
        best.append(np.mean(drops[-2:]))
    users = {}
    for user, value in enough:
        users.setdefault(user, []).append(value)
    assert told["sufficiency.all.delete"].value == pytest.approx(
        np.median([np.median(part) for part in users.values()]), rel=1e-4
    )
    assert told["lists.rank.first"].value == pytest.approx(np.mean(first))
    assert told["lists.rank.all"].value == pytest.approx(np.mean(both))
    assert told["lists.pn"].value == pytest.approx(np.mean(out))
    assert told["lists.ps"].value == pytest.approx(np.mean(stays))
    assert told["choice.oracle"].value == pytest.approx(np.mean(chosen) / np.mean(best), rel=1e-4)
    assert 0.9 < told["choice.oracle"].value <= 1 + 1e-6  # shown by like, not by the whole drop


def test_variety_costs_some_of_the_largest_drops(data, every_control):
    tight = Explainer(lightgcn(data), data, users="show", per_liked=1, per_middle=1)
    assert tight.evaluate("all", top=2, k=4)["choice.oracle"].value < 0.999


def test_flips_are_those_of_the_explainer(data):
    ex = Explainer(lightgcn(data), data)
    told = ex.evaluate("all", top=1, k=1)
    found = [ex.flip(f"u{user}") for user in range(12)]
    sizes = [len(one.removed) for one in found if one.removed]
    assert told["lists.flip.size"].value == np.median(sizes)
    assert told["lists.flip.none"].value == pytest.approx(1 - len(sizes) / 12)
    assert told["lists.flip.verified"].value == 1


def test_support_coverage_and_style_by_hand(data):
    time = np.random.default_rng(0).permutation(len(data.train)).astype(np.float64)
    few = {
        name: getattr(data.triples, name)[:6]
        for name in ("head", "relation", "tail", "source", "locator")
    }
    data = replace(data, train=replace(data.train, time=time), triples=replace(data.triples, **few))
    ex = Explainer(lightgcn(data), data, users="hide")
    told = ex.evaluate("all", top=3, k=2)
    first, covered, supported, recency, popular, entities = {}, {}, [], [], [], []
    degree = ex.graph.degree(np.arange(data.num_entities))
    for user, item in lists(ex, range(12), 3):
        one = ex.explain(f"u{user}", f"i{item}", k=2)
        covered[user] = covered.get(user, 0) + bool(one.paths)
        supported += [(user, one.budget.supported / one.score)] if one.score > 0 else []
        if one.paths:
            first.setdefault(user, []).append(one.paths[0])
    for user, paths in first.items():
        mine = np.flatnonzero(data.train.user == user)
        place = dict(
            zip(data.train.item[mine].tolist(), smoothed(time[mine]).tolist(), strict=True)
        )
        recency.append(np.mean([place[data.items.row(path.nodes[1].key)] for path in paths]))
        shared = [path.nodes[-2] for path in paths]
        ranked = smoothed(degree[data.num_items :])
        of = [
            ranked[data.triples.entities.row(n.key) - data.num_items]
            for n in shared
            if n.kind == "entity"
        ]
        popular += [np.mean(of)] if of else []
        entities.append(len({n.key for n in shared}) / len(shared))
    assert 0 < len(first) < 12
    assert told["support.coverage"].value == pytest.approx(
        np.mean([covered[user] / 3 for user in range(12)])
    )
    assert told["style.fidelity"].value == told["support.coverage"].value
    assert told["style.lir"].value == pytest.approx(np.mean(recency))
    assert told["style.sep"].value == pytest.approx(np.mean(popular))
    assert told["style.sed"].value == pytest.approx(np.mean(entities))
    assert told["style.sed"].count == len(first)
    assert told["style.pfr"].value == told["whole.validity"].value == 1
    users = {}
    for user, value in supported:
        users.setdefault(user, []).append(value)
    assert told["support.supported"].value == pytest.approx(
        np.median([np.median(part) for part in users.values()])
    )


def test_groups_part_the_paths(data):
    ex = Explainer(lightgcn(data), data)
    told = ex.evaluate([f"u{user}" for user in range(6)], top=2, k=3)
    for by in ("length", "activity", "popularity"):
        assert sum(group.paths for group in told.groups if group.by == by) == told.paths
    length = {group.key: group for group in told.groups if group.by == "length"}
    drops = [
        (user, path.drop_delete)
        for user, item in lists(ex, range(6), 2)
        for path in ex.explain(f"u{user}", f"i{item}", k=3).paths
        if path.length == 3
    ]
    assert length["3 hops"].drop.value == pytest.approx(by_user(drops))
    assert length["3 hops"].paths == len(drops)


def test_the_same_seed_gives_the_same_report(data):
    def plain(seed):
        told = Explainer(lightgcn(data), data).evaluate(3, top=1, k=2, seed=seed).to_dict()
        return {name: value for name, value in told.items() if name != "figures"}, [
            f for f in told["figures"] if "latency" not in f["key"]
        ]

    assert plain(1) == plain(1)
    assert plain(1) != plain(2)


def test_stability_within_a_run_between_runs_and_against_chance(data):
    ex = Explainer(lightgcn(data), data)
    told = ex.evaluate(5, top=1, k=5, against=Explainer(lightgcn(data, seed=1), data))
    assert told["stability.same"].value == 1
    assert told["stability.against"].value < 1
    assert told["stability.random"].value < 1
    assert ex.evaluate(3, top=1, against=ex)["stability.against"].value == 1
    before = ex.model.nodes.detach().clone()
    assert torch.equal(ex.model.nodes, before)


def test_gated_models_are_measured_and_the_toy_says_what_it_lacks(data, films, toy):
    told = Explainer(kgat(data), data).evaluate(2, top=1, k=2)
    assert told.basis == "measured"
    assert told["stability.same"].value == 1
    assert told["lists.ps"].value is not None
    assert {curve.mode for curve in told.curves} == {"delete", "mask"}
    model = toy(films, True)
    told = Explainer(model, films, scorer=model.scorer).evaluate(top=2, k=2)
    assert "edited graph" in told["lists.pn"].note
    assert told["sufficiency.all.delete"].value is not None
    assert told["stability.random"].value is None


class Silent(LightGCN):
    """Reads the graph, and does not say what facts do."""

    def explanation_effects(self):
        return None


def test_a_model_that_states_no_effects_is_reported_as_not_measured(data):
    model = Silent.from_dataset(data, LightGCNConfig(dim=8, knowledge=True), torch.Generator())
    report = Explainer(model.eval(), data).evaluate(5, top=2, k=2, beside=["lime"])
    text = report.to_text()
    assert "no fact has an effect" not in text
    assert "whether they cause anything is not known" in text
    assert report["necessity.drop.delete"].value is None
    assert report["necessity.drop.delete"].note == report["lists.pn"].note == report.beside[0].note


def test_no_figure_says_that_anyone_liked_anything(data):
    text = Explainer(lightgcn(data), data).evaluate(3, top=1, k=2, beside=["prince"]).to_text()
    assert not re.search(r"\blike[sd]?\b", text.replace("What the paths are like", ""))


@pytest.mark.parametrize("build", [ease, "cke"])
def test_models_without_effects_have_drop_0_and_null_for_what_rests_on_it(data, build):
    import kgrec

    ex = (
        kgrec.fit("cke", data, dim=8, relation_dim=8, epochs=1, patience=0, seed=0).explainer()
        if build == "cke"
        else Explainer(ease(data), data)
    )
    told = ex.evaluate(5, top=2, k=2)
    assert told.basis == "post-hoc"
    assert told["necessity.drop.delete"].value == 0
    assert "by construction" in told["necessity.drop.delete"].note
    for key in (
        "necessity.ratio.random.delete",
        "sufficiency.all.delete",
        "choice.oracle",
        "lists.rank.first",
        "lists.pn",
        "support.supported",
    ):
        assert told[key].value is None
        assert told[key].note
    assert (told.curves, told.groups, told.failed) == ((), (), ())
    assert (told["stability.random"].value is None) == (build is ease)
    assert told["style.lid"].value is not None
    assert "they do not cause" in told.to_text()


class WrongEffects(HistorySumEffects):
    """Parts that do not add up."""

    def score_parts(self, user, item):
        found = super().score_parts(user, item)
        return replace(found, own=found.own + self._model.off)


class Wrong(EASE):
    """EASE with such parts."""

    off = 5e-5

    def explanation_effects(self):
        return WrongEffects(self, self.train_items.device)


def wrong(data, off):
    model = ease(data)
    model.__class__ = type("Wrong", (Wrong,), {"off": off})
    return model


@pytest.mark.parametrize("off", [5e-5, 0.5])
def test_a_budget_that_does_not_add_up_fails_its_gate(data, off):
    assert not Explainer(wrong(data, 0.0), data).evaluate(3, top=1).failed
    told = Explainer(wrong(data, off), data).evaluate(3, top=1)
    assert [gate.name for gate in told.failed] == ["completeness"]
    assert told.failed[0].value == told["whole.completeness"].value > off / 20
    assert "NO" in told.to_text()


def test_a_budget_that_is_no_number_fails_its_gate_and_says_so(data):
    told = Explainer(wrong(data, float("nan")), data).evaluate(3, top=1)
    assert [gate.name for gate in told.failed] == ["completeness", "explained"]
    assert "not a finite number" in told.failed[0].note
    assert (told.pairs, told.failed[1].value) == (0, 3)
    json.loads(told.to_json())


def test_a_path_over_a_fact_that_is_not_in_training_fails_its_gate(data):
    """The model's graph states other facts than the data does."""
    triples = data.triples
    moved = triples.tail.copy()
    moved[::2] = data.num_items + (moved[::2] - data.num_items + 1) % 6
    told = Explainer(
        lightgcn(data), replace(data, triples=replace(triples, tail=moved)), users="hide"
    ).evaluate("all", top=4)
    assert [gate.name for gate in told.failed] == ["validity", "leak"]
    assert told["whole.validity"].value < 1
    assert told["style.pfr"].value < 1
    assert "not training facts" in told.failed[0].note


def test_a_test_edge_in_the_graph_fails_the_gate(data):
    """Once a model was trained on it alone, once it stands in the training part as well."""
    bait = Interactions(
        np.array([2], np.int32),
        np.array(
            [next(i for i in range(14) if i not in data.train.item[data.train.user == 2])], np.int32
        ),
    )
    both = np.concatenate(
        [np.stack([data.train.user, data.train.item]), np.stack([bait.user, bait.item])], 1
    )
    both = both[:, np.lexsort(both[::-1])]
    leaky, held = replace(data, train=Interactions(*both)), replace(data, test=bait)
    assert not Explainer(lightgcn(held), held).evaluate(3, top=1).failed
    told = Explainer(lightgcn(leaky), held).evaluate("all", top=1)
    assert "leak" in [gate.name for gate in told.failed]
    (gate,) = [gate for gate in told.failed if gate.name == "leak"]
    assert gate.value == 1
    assert "held-out" in gate.note
    told = Explainer(lightgcn(leaky), replace(leaky, test=bait)).evaluate(3, top=1)
    assert [(gate.name, gate.value) for gate in told.failed] == [("leak", 1.0)]
    alone = Explainer(lightgcn(leaky), data).evaluate(
        3, top=1
    )  # no test part at hand: it still is no training fact
    assert "leak" in [gate.name for gate in alone.failed]


def test_held_out_triples_in_the_graph_are_a_leak(data):
    row = np.array(
        [[data.triples.head[0], data.triples.relation[0], data.triples.tail[0]]], np.int32
    )
    told = Explainer(lightgcn(data), replace(data, held_triples={"test": row})).evaluate(3, top=1)
    assert [gate.name for gate in told.failed] == ["leak"]


def test_no_path_at_all_is_a_report_too(films):
    told = Explainer(lightgcn(films), films, max_length=1).evaluate(top=2)
    assert told.paths == 0
    assert told["support.coverage"].value == 0
    assert told["necessity.drop.delete"].value is None
    assert [gate.held for gate in told.gates] == [True, None, True, True, None]
    assert not told.failed
    assert "not evaluated" in told.to_text()


def test_bad_questions_are_refused(data):
    ex = Explainer(lightgcn(data), data)
    for bad in ({"top": 0}, {"k": 0}, {"users": 0}, {"users": []}):
        with pytest.raises(ConfigError):
            ex.evaluate(**bad)
    with pytest.raises(UnknownIdError):
        ex.evaluate(["nobody"])
    assert ex.evaluate("u3", top=1).users == 1
    assert ex.evaluate("u3", top=1)["necessity.drop.delete"].low is None  # one user has no interval


def test_hostile_labels_stay_labels(data):
    import polars as pl

    name = "a|b\x1b[31m<script>`x`"
    triples = replace(data.triples, relation_labels=pl.Series("label", [name] * 4))
    told = Explainer(lightgcn(data), replace(data, triples=triples), users="hide").evaluate(
        "all", top=4
    )
    text, page = told.to_text(), told.to_markdown()
    assert "\x1b" not in text + page
    assert "<script>" not in page.replace("\\<script\\>", "")
    heads = [
        line for line in page.splitlines() if line.startswith("| interacted") and "a\\|b" in line
    ]
    assert heads
    assert all(line.replace("\\|", "").count("|") == 8 for line in heads)


def test_the_json_form_holds_every_number(data):
    told = Explainer(lightgcn(data), data).evaluate(4, top=2, k=2)
    record = json.loads(told.to_json())
    assert (record["schema"], record["kind"]) == (2, "quality")
    assert {figure["key"]: figure["value"] for figure in record["figures"]} == {
        figure.key: figure.value for figure in told.figures
    }
    assert len({figure["key"] for figure in record["figures"]}) == len(record["figures"])
    assert record["manifest"]["settings"]["top"] == 2
    with pytest.raises(KeyError):
        told["nothing.of.that.name"]
    assert isinstance(Explainer(lightgcn(data), data).model, LightGCN)


def test_path_keys_tell_directions_and_relations_apart(films, toy):
    model = toy(films, False)
    paths = (
        Explainer(model, films, scorer=model.scorer, users="show", **WIDE)
        .explain("ana", "f3", k=100)
        .paths
    )
    assert len({path_key(path) for path in paths}) == len(paths)
