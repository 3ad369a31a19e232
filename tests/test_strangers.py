"""Users and items that training has not touched: who is answered by what, for every model that
ranks.
"""

import json
from dataclasses import dataclass, replace

import networkx as nx
import numpy as np
import polars as pl
import pytest
import torch

import kgrec
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.tie_order import tie_order
from kgrec.errors import (
    CapabilityError,
    CheckpointError,
    ConfigError,
    ExplanationError,
    UnknownIdError,
)
from kgrec.evaluation.strangers import choose_fallback
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.models.base import Plan, Recommender
from kgrec.models.catalog import MODELS
from kgrec.models.fallback import Fallback, FallbackChoice, decayed_popularity
from kgrec.testing import worlds

WARM, TOLD, ALONE = 16, 16, 17  # item 16 has a fact, item 17 has none; neither has an interaction
LATE, STRANGER = (
    12,
    13,
)  # users with validation interactions alone, and with test interactions alone
TINY = {"epochs": 2, "batch_size": 32}
PAIRWISE = ("mmoe", "shared-bottom", "ntn-head", "ntn-rating", "ntn", "pgpr", "cafe")
NETWORKS = [f"{name}{kg}" for name in ("nfm", "deepfm", "widedeep") for kg in ("", "-kg")]
RANKING = [name for name, entry in MODELS.items() if "texts" not in entry.needs]


@dataclass(frozen=True, slots=True)
class NoConfig:
    """Nothing to set."""


def world():
    rng = np.random.default_rng(5)
    train = sorted(
        {
            (user, int(item))
            for user in range(12)
            for item in rng.choice(WARM, 5, replace=False)
            if item % 2 == user % 2
        }
    )
    train += [(user, item) for user, item in ((0, 1), (1, 0)) if (user, item) not in train]
    left = [
        (user, next(item for item in range(WARM) if (user, item) not in train))
        for user in range(12)
    ]
    kinds = [(item, 0, 18 + item % 2) for item in range(TOLD + 1)]
    made = worlds.dataset(
        train,
        valid=[*left[:6], (LATE, 2), (LATE, 4)],
        test=[*left[6:], (LATE, 6), (STRANGER, 3), (STRANGER, ALONE)],
        triples=kinds,
        num_items=18,
    )
    return worlds.with_ratings(made)


@pytest.fixture(scope="module")
def data():
    return world()


@pytest.fixture(scope="module")
def runs(data):
    timed = worlds.with_times(data)
    return {
        name: kgrec.fit(
            name,
            timed if "sequences" in MODELS[name].needs else data,
            fallback="popularity",
            **TINY,
        )
        for name in RANKING
    }


def popular(data, user):
    counts = np.bincount(data.train.item, minlength=data.num_items)
    own = {int(item) for part in (data.train, data.valid) for item in part.item[part.user == user]}
    return [
        f"i{row}"
        for row in sorted(range(data.num_items), key=lambda row: (-counts[row], f"i{row}"))
        if row not in own
    ]


@pytest.mark.parametrize("name", RANKING)
def test_a_stranger_gets_the_popular_items_and_is_told_so(runs, data, name):
    frame = runs[name].recommend(f"u{STRANGER}", k=8)
    assert frame["item"].to_list() == popular(data, STRANGER)[:8]
    assert set(frame["kind"]) == {"popular"}


def reads_graph(name):
    """Whether triples decide about items; of MKR and ACF they bind no vector of a
    candidate.
    """
    return "triples" in MODELS[name].needs and name not in ("mkr", "acf-kg")


@pytest.mark.parametrize("name", RANKING)
def test_no_list_holds_an_item_by_a_score_that_training_has_not_moved(runs, data, name):
    graph = reads_graph(name)
    for user in ("u0", "u7"):
        frame = runs[name].recommend(user, k=100)
        by_model = frame.filter(
            pl.col("kind") == ("popular" if name == "popularity" else "personal")
        )["item"].to_list()
        if name != "popularity":
            assert (f"i{TOLD}" in by_model) == graph
            assert f"i{ALONE}" not in by_model
        assert frame["item"].to_list()[: len(by_model)] == by_model, (
            "places that the model cannot fill come last"
        )
        assert f"i{ALONE}" in frame["item"].to_list()


@pytest.mark.parametrize("name", RANKING)
def test_someone_with_a_history_alone_is_ranked_for_by_it_where_the_model_reads_histories(
    runs, name
):
    run = runs[name]
    own = run.recommend(f"u{LATE}", k=5)
    expected = (
        "history"
        if getattr(run.scorer(), "reads_history", False) and name != "popularity"
        else "popular"
    )
    assert set(own["kind"]) == {expected}
    folds_in = MODELS[name].load()[0].folds_in
    assert (expected == "history") == (folds_in and name != "popularity")
    if expected == "history":
        by_hand = run.recommend(history=["i2", "i4"], k=5)
        assert own.drop("user").equals(by_hand.drop("user"))


def test_a_scorer_that_does_not_say_that_it_reads_histories_is_not_asked(data):
    class Table(Recommender):
        @classmethod
        def from_dataset(cls, data, config: NoConfig, generator):
            return cls()

        def plan(self):
            return Plan(fit=lambda: None)

        def scorer(self):
            table = torch.arange(14 * 18.0).view(14, 18)
            return lambda query, items=None: (
                table[query.user] if items is None else table[query.user].gather(1, items)
            )

    run = kgrec.fit(Table, data)
    with pytest.raises(CapabilityError, match="never saw"):
        run.recommend(history=["i2"])
    assert run.recommend("u0", k=1)["kind"].to_list() == ["personal"]
    assert run.recommend(f"u{STRANGER}", k=1)["kind"].to_list() == ["popular"]


def test_a_history_of_items_that_nobody_used_goes_by_their_attributes(data):
    choice = FallbackChoice("attributes")
    run = kgrec.fit("ease", data, fallback="attributes")
    frame = run.recommend(history=[f"i{TOLD}"], k=3)
    assert set(frame["kind"]) == {"content"}
    assert all(int(item[1:]) % 2 == TOLD % 2 for item in frame["item"])
    assert run.fallback.way == choice.way
    alone = run.recommend(history=[f"i{ALONE}"], k=3)
    assert set(alone["kind"]) == {"popular"}
    assert alone["item"].to_list() == popular(data, -1)[:3]


def test_a_list_of_new_items_alone_is_filled(data):
    run = kgrec.fit("ease", data, fallback="attributes")
    frame = run.recommend("u0", items=[f"i{TOLD}", f"i{ALONE}", "i3"], k=3, allow_seen=True)
    assert frame["item"].to_list() == ["i3", f"i{TOLD}", f"i{ALONE}"]
    assert frame["kind"].to_list() == ["personal", "content", "popular"]


@pytest.mark.parametrize("name", RANKING)
def test_similar_items_are_trained_ones(runs, name):
    run = runs[name]
    if name in ("popularity",):
        return
    # An item is another for each user.
    alone = ("kgcn", "kgnn-ls", "ripplenet", "ktup", "mlp", "neumf", "kgfuse")
    if name in (*alone, *NETWORKS, *PAIRWISE):
        with pytest.raises(CapabilityError, match="no item vectors"):
            run.similar_items("i0")
        return

    shown = run.similar_items("i0", k=50)["item"].to_list()
    assert f"i{ALONE}" not in shown
    assert (f"i{TOLD}" in shown) == reads_graph(name)
    with pytest.raises(CapabilityError, match="learned nothing about item 'i17'"):
        run.similar_items(f"i{ALONE}")


@pytest.mark.parametrize("name", ["bprmf", "ease", "lightgcn", "kgat"])
def test_nothing_is_explained_that_was_not_learned(runs, name):
    with pytest.raises(ExplanationError, match="'u13' has no training interactions"):
        runs[name].explain(f"u{STRANGER}", "i0")
    with pytest.raises(ExplanationError, match="learned nothing about item 'i17'"):
        runs[name].explain("u0", f"i{ALONE}")


def test_without_a_fallback_a_stranger_has_no_list_and_all_items_tie(data):
    run = kgrec.fit("bprmf", data, fallback="off", **TINY)
    assert run.recommend(["u0", f"u{STRANGER}"], k=4)["user"].to_list() == ["u0"] * 4
    report = run.evaluate(k=(4,), fallback=False)
    row = report.per_user.filter(pl.col("user") == f"u{STRANGER}").row(0, named=True)
    assert row["recall@4"] == pytest.approx(
        4 / 18
    )  # all 18 items tie, so each is among the first four so often
    assert run.evaluate(k=(4,)).metrics == report.metrics


def test_reports_give_figures_with_and_without_strangers(data):
    run = kgrec.fit("lightgcn", data, **TINY)
    report = run.evaluate(k=(5,))
    assert (report.users, report.cold_users, report.warm_user_part.users) == (8, 2, 6)
    warm = report.per_user.filter(~pl.col("cold"))
    assert report.warm_user_part.metrics["ndcg@5"] == pytest.approx(warm["ndcg@5"].mean())
    assert run.summary["cold_users"] == {"valid": 1, "test": 2}
    assert run.summary["warm"]["test"] == {
        "users": 6,
        "metrics": run.evaluate().warm_user_part.metrics,
    }
    assert json.loads(json.dumps(report.to_dict()))["warm_users"]["users"] == 6


def test_early_stopping_goes_by_users_whom_training_moves(data):
    run = kgrec.fit("bprmf", data, epochs=3, batch_size=32)
    best = max(record["ndcg@10"] for record in run.history)
    assert best == pytest.approx(run.evaluate("valid").warm_user_part.metrics["ndcg@10"])


def test_a_validation_part_of_strangers_stops_nothing(data):
    late = replace(data, valid=Interactions(np.array([LATE], np.int32), np.array([2], np.int32)))
    run = kgrec.fit("bprmf", late, epochs=3, batch_size=32, patience=1)
    assert len(run.history) == 3
    assert all("ndcg@10" not in record for record in run.history)


# Ids


@pytest.mark.parametrize(
    "given",
    [
        1,
        np.int64(1),
        "1",
        [1],
        ("1",),
        np.array([1]),
        np.array(["1"]),
        np.array(1),
        pl.Series([1]),
        {"1": 0},
        (n for n in [1]),
    ],
    ids=lambda given: type(given).__name__,
)
def test_ids_are_text_or_whole_numbers_one_or_many(given):
    run = _numbered()
    assert run.recommend(given, k=2)["user"].to_list() == ["1", "1"]


def _numbered():
    data = world()
    keys = {"users": data.users, "items": data.items}
    renamed = {
        name: type(own)([key[1:] for key in own], kind=own.kind) for name, own in keys.items()
    }
    return kgrec.fit("ease", replace(data, **renamed))


def test_one_rule_for_items_histories_and_explanations():
    run = _numbered()
    assert run.recommend(history="12", k=3).equals(run.recommend(history=[12], k=3))
    assert run.recommend(history=0, k=3).equals(run.recommend(history=["0"], k=3))
    both = run.recommend(history=np.array([12, 3]), k=3)
    assert both.equals(run.recommend(history=["12", "3"], k=3))
    assert run.recommend(0, items=np.array([1, 3]), allow_seen=True, k=9)["item"].n_unique() == 2
    assert 3 not in run.recommend(0, exclude=3, k=99)["item"].cast(int).to_list()
    assert run.similar_items(3, k=2).equals(run.similar_items("3", k=2))
    assert run.explain(0, 3).score == run.explain("0", "3").score
    for wrong in (1.5, None, True, b"1"):
        with pytest.raises(ConfigError, match="no id"):
            run.recommend([wrong])


def test_unknown_ids_are_refused_or_told_and_left_out(data, caplog):
    run = kgrec.fit("ease", data)
    for asked in (
        {"users": ["u0", "x"]},
        {"history": ["i0", "x"]},
        {"users": "u0", "items": ["i3", "x"]},
        {"users": "u0", "exclude": ["x"]},
    ):
        with pytest.raises(UnknownIdError, match="'x'"):
            run.recommend(**asked)
        caplog.clear()
        assert run.recommend(**asked, on_unknown="ignore").height
        assert "ignored 1 unknown" in caplog.text
        assert "'x'" in caplog.text
    for asked in ({"users": ["x", "y"]}, {"history": ["x"]}, {"users": "u0", "items": ["x"]}):
        with pytest.raises(UnknownIdError, match="none of"):
            run.recommend(**asked, on_unknown="ignore")
    with pytest.raises(ConfigError, match="on_unknown"):
        run.recommend("u0", on_unknown="guess")


# The fallback


def test_decayed_popularity_is_the_sum_over_interactions(data):
    rng = np.random.default_rng(1)
    time = rng.uniform(0, 100, len(data.train))
    timed = replace(data, train=replace(data.train, time=time))
    expected = np.zeros(18)
    for item, moment in zip(data.train.item, time, strict=True):
        expected[item] += 0.5 ** ((time.max() - moment) / 10)
    np.testing.assert_allclose(decayed_popularity(timed, 10.0), expected)
    np.testing.assert_array_equal(
        decayed_popularity(timed), np.bincount(data.train.item, minlength=18)
    )


def test_ties_go_to_the_more_popular_then_to_the_lower_id(data):
    counts = np.bincount(data.train.item, minlength=18)
    assert tie_order(data).tolist() == sorted(range(18), key=lambda row: (-counts[row], f"i{row}"))


def drifting():
    """Items 0..9 were popular long ago, items 10..19 are now; 40 new users in validation take what
    is popular now.
    """
    rng = np.random.default_rng(0)
    rows = [
        (user, item, day)
        for user in range(60)
        for item, day in zip(rng.choice(10, 4, replace=False), rng.uniform(0, 50, 4), strict=True)
    ]
    rows += [
        (60 + user, 10 + item, 90 + user / 10)
        for user in range(30)
        for item in rng.choice(10, 3, replace=False)
    ]
    user, item, day = np.array(rows).T
    order = np.lexsort((day, user))
    train = Interactions(
        user[order].astype(np.int32), item[order].astype(np.int32), day[order] * 86_400
    )
    fresh = [
        (90 + user, 10 + int(item))
        for user in range(40)
        for item in rng.choice(10, 2, replace=False)
    ]
    held = np.array(sorted(fresh), dtype=np.int32).T
    base = worlds.dataset([(0, 0)], num_users=130, num_items=20)
    return replace(
        base,
        train=train,
        valid=Interactions(held[0], held[1], np.full(len(held[0]), 95 * 86_400.0)),
    )


def test_a_half_life_is_chosen_where_tastes_drift():
    data = drifting()
    chosen = choose_fallback(data)
    span = float(data.train.time.max() - data.train.time.min())
    assert chosen.way == "popularity"
    assert chosen.half_life in (span / 2, span / 8, span / 32)
    assert "40 validation users without training interactions" in chosen.reason
    assert choose_fallback(data, half_life=0).half_life == 0
    assert choose_fallback(data, "popularity", 7).half_life == 7 * 86_400
    assert choose_fallback(data, "off").way == "off"
    run = kgrec.fit("ease", data, l2=1.0)
    assert {int(item[1:]) >= 10 for item in run.recommend("u95", k=3)["item"]} == {True}


def test_attributes_of_users_are_taken_where_they_tell_more():
    rng = np.random.default_rng(2)
    train = [
        (user, 2 * int(item) + user % 2)
        for user in range(60)
        for item in rng.choice(10, 4, replace=False)
    ]
    valid = [
        (60 + user, 2 * int(item) + user % 2)
        for user in range(40)
        for item in rng.choice(10, 2, replace=False)
    ]
    data = worlds.dataset(sorted(train), valid=sorted(valid), triples=[(0, 0, 20), (1, 0, 21)])
    facts = np.array([(user, 0, 20 + user % 2) for user in range(100)], dtype=np.int32)
    data = replace(data, user_facts=facts)
    chosen = choose_fallback(data)
    assert chosen.way == "attributes"
    run = kgrec.fit("gmf", data, epochs=1)  # which folds nobody in
    for user in (62, 63):
        frame = run.recommend(f"u{user}", k=4)
        assert set(frame["kind"]) == {"content"}
        assert {int(item[1:]) % 2 for item in frame["item"]} == {user % 2}
    # by hand: the share of each item among what users with the attribute used, smoothed by 100
    # interactions toward popularity
    from kgrec.batches import Query

    nobody = torch.zeros(1, 0, dtype=torch.int64)
    found = (
        Fallback(data, chosen).content(Query(torch.tensor([62]), nobody, nobody.bool()))[0].numpy()
    )
    counts = np.bincount(data.train.item, minlength=20)
    even = np.bincount(data.train.item[data.train.user % 2 == 0], minlength=20)
    np.testing.assert_allclose(found, (even + 100 * counts / counts.sum()) / (even.sum() + 100))


def test_bad_choices_are_refused(data):
    with pytest.raises(ConfigError, match="Nearest: popularity"):
        kgrec.fit("ease", data, fallback="popularty")
    with pytest.raises(ConfigError, match="no times"):
        kgrec.fit("ease", data, half_life=3)


def test_the_fallback_is_stored_and_a_run_without_one_opens(data, tmp_path):
    run = kgrec.fit("bprmf", data, out=tmp_path / "run", fallback="attributes", **TINY)
    loaded = kgrec.load_run(tmp_path / "run")
    assert loaded.fallback == run.fallback
    assert loaded.recommend(f"u{STRANGER}").equals(run.recommend(f"u{STRANGER}"))
    from kgrec.runs.folder import read_config, write_config

    record = read_config(tmp_path / "run")
    del record["fallback"]
    write_config(tmp_path / "run", record)
    assert kgrec.load_run(tmp_path / "run").fallback == FallbackChoice()
    write_config(tmp_path / "run", record | {"fallback": {"way": "guess"}})
    with pytest.raises(CheckpointError, match="fallback"):
        kgrec.load_run(tmp_path / "run")


# What training reaches


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("hops", [None, 0, 1, 2, 4])
def test_what_training_reaches_is_what_networkx_says(seed, hops):
    ckg = CollaborativeKG.from_dataset(worlds.random_world(seed))
    graph = nx.Graph()
    graph.add_nodes_from(range(ckg.num_nodes))
    graph.add_edges_from(zip(ckg.head.tolist(), ckg.tail.tolist(), strict=True))
    used = {int(node) for end in (ckg.head, ckg.tail) for node in end[ckg.relation == 0]}
    far = nx.multi_source_dijkstra_path_length(graph, used)
    near = {node for node, distance in far.items() if hops is None or distance <= hops}
    found = reached(ckg, hops)
    assert set(np.flatnonzero(found.items).tolist()) == {
        node for node in near if node < ckg.num_items
    }
    assert set(np.flatnonzero(found.users).tolist()) == {
        node - ckg.num_entities for node in near if node >= ckg.num_entities
    }


def test_comparisons_rest_on_users_with_training_interactions(data):
    from kgrec.study.compare import compare

    runs = [kgrec.fit(name, data, **TINY) for name in ("bprmf", "ease")]
    found = compare(runs)
    assert (found.users, found.strangers) == (6, 2)
    reports = [run.evaluate() for run in runs]
    for entry, report in zip(found.entries, reports, strict=True):
        assert entry.metrics["ndcg@10"] == pytest.approx(report.warm_user_part.metrics["ndcg@10"])
        assert entry.everyone["ndcg@10"] == pytest.approx(report.metrics["ndcg@10"])
        assert entry.strangers["ndcg@10"] == pytest.approx(report.cold_user_part.metrics["ndcg@10"])
    assert any("2 without" in note for note in found.notes)
    told = found.to_dict()
    assert told["cold_users"] == 2
    assert set(told["runs"][0]) >= {"metrics", "all_users", "cold_users"}
