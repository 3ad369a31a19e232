import json
import os
import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import stats

from kgrec.cli import run as command
from kgrec.data.derive.variants import item_groups, user_groups, without_graph, without_relation
from kgrec.data.records.interactions import Interactions
from kgrec.errors import CheckpointError, ConfigError, DataError
from kgrec.evaluation.significance import holm
from kgrec.scale.world import World
from kgrec.study import ablate as study
from kgrec.study.ablate import (
    EVERYTHING,
    SHUFFLED,
    WITH,
    WITHOUT,
    Contrast,
    ablate,
    answer_of,
    paired_interval,
    training_noise,
)
from kgrec.testing import worlds

NETWORK = {"epochs": 40, "batch_size": 64, "dim": 32}
_TRUTHS = ("interactions", "knowledge")


@pytest.fixture(scope="module")
def data():
    return worlds.planted("knowledge")


@pytest.fixture(scope="module")
def found(data, tmp_path_factory):
    return ablate(data, "ease-kg", out=tmp_path_factory.mktemp("ablate") / "a", relations="all")


def contrast(found, first, second, group=EVERYTHING):
    return next(
        c for c in found.contrasts if (c.first, c.second, c.group) == (first, second, group)
    )


@pytest.mark.parametrize(
    ("truth", "answer"), [("interactions", "no"), ("knowledge", "yes"), ("both", "yes")]
)
def test_the_closed_form_is_on_the_side_of_the_truth(truth, answer, tmp_path):
    found = ablate(worlds.planted(truth), "ease-kg", out=tmp_path / "a", relations=0)
    assert found.answer == answer, found.verdict
    assert found.means[WITHOUT]["ndcg@10"] > 0.2 or truth == "knowledge"


@pytest.mark.parametrize(
    ("model", "truth", "more"),
    [
        pytest.param("lightgcn-kg", "interactions", {}, marks=pytest.mark.slow),
        *(
            pytest.param(model, truth, {}, marks=pytest.mark.long)
            for model, truth in (
                ("lightgcn-kg", "knowledge"),
                ("lightgcn-kg", "both"),
                *(("kgat", truth) for truth in _TRUTHS),
                *((model, truth) for model in ("kgin", "cfkg") for truth in _TRUTHS),
            )
        ),
        *(
            pytest.param(
                "cke", truth, {"kg_weight": 10.0, "learning_rate": 0.02}, marks=pytest.mark.long
            )
            for truth in _TRUTHS
        ),
    ],
)
def test_every_family_is_on_the_side_of_the_truth(model, truth, more, tmp_path):
    found = ablate(
        worlds.planted(truth), model, out=tmp_path / "a", relations=0, settings=NETWORK | more
    )
    assert found.answer == ("no" if truth == "interactions" else "yes"), found.verdict


def test_a_metric_that_is_off_by_default_can_be_judged_by(data, tmp_path):
    found = ablate(
        data, "ease-kg", out=tmp_path / "a", seeds=1, relations=0, metric="ndcg-retrieved@10"
    )
    assert found.means[WITH]["ndcg-retrieved@10"] >= found.means[WITH]["ndcg@10"]


def test_where_only_the_graph_knows_the_words_say_so_with_the_numbers(found):
    gain, real = contrast(found, WITH, WITHOUT), contrast(found, WITH, SHUFFLED)
    assert found.verdict.startswith("Yes.")
    assert (
        f"{gain.mean:+.4f} ndcg@10 (95 % interval {gain.low:+.4f} to {gain.high:+.4f}"
        in found.verdict
    )
    assert (
        f"{real.mean:+.4f} ndcg@10 (95 % interval {real.low:+.4f} to {real.high:+.4f}) over "
        "shuffled triples" in found.verdict
    )
    assert "cold items" in found.verdict


def test_differences_are_those_of_the_means(found):
    for c in found.contrasts:
        if c.group == EVERYTHING:
            assert c.mean == pytest.approx(
                found.means[c.first]["ndcg@10"] - found.means[c.second]["ndcg@10"], abs=1e-12
            )
            assert c.low < c.mean < c.high


def test_with_the_graph_is_what_training_gives(found, data):
    from kgrec import fit

    assert found.means[WITH]["recall@20"] == pytest.approx(
        fit("ease-kg", data).summary["test"]["recall@20"], abs=1e-12
    )
    shuffled = fit(
        "ease-kg",
        study.shuffle_triples(data, generator=study.numpy_generator(0, "shuffled triples")),
        **found.settings,
    )
    first = pl.read_parquet(found.out / "runs" / "shuffled-0.parquet").filter(
        pl.col("items") == EVERYTHING
    )
    assert shuffled.summary["test"]["ndcg@10"] == pytest.approx(first["ndcg@10"].mean(), abs=1e-12)


def test_groups_of_users_add_up_to_everybody():
    data = worlds.planted("both")
    users = np.unique(data.test.user)
    groups = user_groups(data, users)
    assert list(groups) == ["users with 2 interactions", "users with 8 interactions"]
    assert sum(inside.sum() for inside in groups.values()) == len(users)


def test_head_items_hold_half_of_the_interactions_and_cold_ones_none():
    train = [(user, item) for item, count in enumerate([6, 3, 2, 1, 0]) for user in range(count)]
    data = worlds.dataset(train, test=[(0, 4)], num_users=7)
    groups = item_groups(data)
    assert {name: np.flatnonzero(items).tolist() for name, items in groups.items()} == {
        "head items": [0],
        "tail items": [1, 2, 3],
        "cold items": [4],
    }


def test_variants_leave_ids_and_interactions_alone(data):
    bare = without_graph(replace(data, user_facts=np.zeros((2, 3), np.int32)))
    assert len(bare.triples) == len(bare.user_facts) == 0
    assert (bare.num_entities, bare.num_relations) == (data.num_entities, data.num_relations)
    assert bare.test is data.test
    left = without_relation(data, 1)
    assert left.triples.relation.tolist() == [0] * 250
    assert len(left.triples.source) == len(left.triples.locator) == len(left.triples.head) == 250


def test_trainings_never_see_the_test_part(data, tmp_path, monkeypatch):
    fit, seen = study.fit_chosen, []

    def watched(chosen, given, **more):
        seen.append((len(given.test), len(given.triples)))
        return fit(chosen, given, **more)

    monkeypatch.setattr(study, "fit_chosen", watched)
    ablate(data, "ease-kg", out=tmp_path / "a", seeds=1, relations=1)
    assert seen == [(0, 500), (0, 0), (0, 500), (0, 250)]


def test_what_is_there_is_not_trained_again(data, found, tmp_path, monkeypatch):
    fit, calls = study.fit_chosen, []

    def interrupted(chosen, given, **more):
        calls.append(given.name)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return fit(chosen, given, **more)

    monkeypatch.setattr(study, "fit_chosen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ablate(data, "ease-kg", out=tmp_path / "a", relations="all")
    again = ablate(data, "ease-kg", out=tmp_path / "a", relations="all")
    assert again.contrasts == found.contrasts
    count = len(calls)
    assert ablate(data, "ease-kg", out=tmp_path / "a", relations="all").contrasts == found.contrasts
    assert len(calls) == count
    # A model that draws nothing: twice with the graph, three shuffles, and the rest once; one call
    # was interrupted.
    assert count == 2 + 1 + 3 + 2 + 1


def test_the_folder_holds_differences_and_values_per_user(found):
    table = pl.read_csv(found.out / "differences.csv")
    assert table["mean"].to_list() == pytest.approx([c.mean for c in found.contrasts])
    assert json.loads((found.out / "ablation.json").read_text()) == json.loads(
        json.dumps(found.to_dict())
    )
    values = pl.read_parquet(found.out / "runs" / "graph-0.parquet")
    whole = values.filter(pl.col("items") == EVERYTHING)
    assert whole["user"].n_unique() == len(whole) == 60
    assert whole["ndcg@10"].mean() == pytest.approx(found.means[WITH]["ndcg@10"])


def test_the_variant_without_the_graph_may_have_its_own_settings(data, tmp_path):
    from kgrec import fit

    found = ablate(
        data, "ease-kg", out=tmp_path / "a", seeds=1, relations=0, without_settings={"l2": 3.0}
    )
    expected = study.fit_chosen(
        study.choose("ease-kg", "default", {"l2": 3.0}), without_graph(data)
    )
    assert found.means[WITHOUT]["ndcg@10"] == pytest.approx(
        expected.summary["test"]["ndcg@10"], abs=1e-12
    )
    assert found.means[WITH]["ndcg@10"] == pytest.approx(
        fit("ease-kg", data).summary["test"]["ndcg@10"], abs=1e-12
    )


def test_one_seed_gives_the_t_interval_over_users():
    values = np.random.default_rng(0).normal(0.3, 1, (40, 1))
    known = stats.ttest_1samp(values[:, 0], 0)
    mean, low, high, p = paired_interval(values)
    assert (mean, p) == (pytest.approx(values.mean()), pytest.approx(known.pvalue))
    assert (low, high) == pytest.approx(tuple(known.confidence_interval(0.95)))


def test_seeds_alone_give_the_t_interval_over_seeds():
    """Where all users differ alike, only seeds are drawn."""
    shifts = np.array([0.1, 0.4, 0.2])
    known = stats.ttest_1samp(shifts, 0)
    mean, low, high, p = paired_interval(np.tile(shifts, (50, 1)))
    assert (mean, p) == (pytest.approx(shifts.mean()), pytest.approx(known.pvalue))
    assert (low, high) == pytest.approx(tuple(known.confidence_interval(0.95)))


def test_no_difference_at_all_is_no_evidence():
    assert paired_interval(np.zeros((5, 2))) == (0.0, 0.0, 0.0, 1.0)
    assert paired_interval(np.full((5, 2), 0.5)) == (0.5, 0.5, 0.5, 0.0)
    with pytest.raises(DataError, match="two users"):
        paired_interval(np.ones((1, 3)))


@pytest.mark.parametrize(
    ("seeds", "variants", "noise"), [(1, 3, 0.0), (2, 6, 0.02), (3, 4, 0.05), (3, 4, 0.0)]
)
def test_intervals_hold_the_truth_as_often_as_they_say(seeds, variants, noise):
    rng = np.random.default_rng(0)
    inside, rounds, users = 0, 1000, 60
    for _ in range(rounds):
        alike = rng.normal(0, 0.3, (users, 1)) + rng.normal(0, 0.05, (1, seeds))
        tables = [
            alike
            + rng.normal(0, 0.1, (users, 1))
            + rng.normal(0, noise, (1, seeds))
            + rng.normal(0, 0.2, (users, seeds))
            for _ in range(variants)
        ]
        _, low, high, _ = paired_interval(tables[0] - tables[1], training_noise(tables))
        inside += low <= 0 <= high
    assert 0.93 <= inside / rounds <= 0.98


def test_training_noise_is_the_residual_of_variants_and_seeds():
    """Hand: residuals of means [[1, 3], [2, 2]] are +-1/2, so twice their squares' sum is 2 at one
    degree of freedom.
    """
    tables = [np.array([[1.0, 3.0]] * 4), np.array([[2.0, 1.0], [2.0, 3.0]] * 2)]
    assert training_noise(tables) is None, "the second does not vary"
    tables = [np.array([[1.0, 3.0]] * 4), np.array([[2.0, 3.0]] * 4)]
    assert training_noise(tables) == (pytest.approx(2 * 4 * 0.25**2), 1)


def verdict(none, shuffled, noise=(0.0, -0.01, 0.01), groups=(), relations=()):
    def made(first, second, group, numbers):
        mean, low, high, *p = numbers
        return Contrast(first, second, group, 10, mean, low, high, *(p * 2 or (0.5, 0.5)))

    whole = [
        made(WITH, WITHOUT, EVERYTHING, none),
        made(WITH, SHUFFLED, EVERYTHING, shuffled),
        made(SHUFFLED, WITHOUT, EVERYTHING, noise),
    ]
    whole += [made(WITH, WITHOUT, name, numbers) for name, numbers in groups]
    whole += [made(WITH, f"without {name}", EVERYTHING, numbers) for name, numbers in relations]
    return answer_of(whole, 0.2, "ndcg@10", 3)


def test_the_verdict_says_what_the_numbers_carry():
    gain, loss, nothing = (0.007, 0.004, 0.01), (-0.02, -0.03, -0.01), (0.0002, -0.002, 0.003)
    assert verdict(gain, gain)[0] == "yes"
    answer, text = verdict(gain, nothing)
    assert answer == "not the facts"
    assert text.startswith(
        "Not by what it says. The graph adds +0.0070 ndcg@10 (95 % interval +0.0040 to +0.0100, "
        "+3.5 %) over no graph"
    )
    assert "facts at random do as well" in text
    assert verdict(loss, nothing)[0] == "it hurts"
    answer, text = verdict(nothing, gain, noise=loss)
    assert answer == "no"
    assert "Facts at random do harm (-0.0200" in text


def test_the_verdict_names_the_groups_and_relations_that_matter():
    gain = (0.0069, 0.004, 0.01)
    _, text = verdict(
        gain,
        gain,
        groups=[
            ("cold items", (0.05, 0.04, 0.06, 0.001)),
            ("head items", (0.001, -0.01, 0.01, 0.9)),
        ],
        relations=[
            ("director", (0.003, 0.001, 0.005, 0.01)),
            ("genre", (-0.0001, -0.001, 0.001, 0.8)),
        ],
    )
    assert "Beyond chance by group: cold items +0.0500." in text
    assert "Of 2 relations left out one at a time, these matter: without director -0.0030." in text
    assert "head items" not in text
    assert "genre" not in text


def test_p_values_are_corrected_over_groups_and_over_relations(found):
    for second in (WITHOUT, SHUFFLED):
        groups = [
            c
            for c in found.contrasts
            if (c.first, c.second) == (WITH, second) and c.group != EVERYTHING
        ]
        assert [c.p_adjusted for c in groups] == pytest.approx(
            holm(np.array([c.p for c in groups])).tolist()
        )
    single = [c for c in found.contrasts if c.second.startswith("without ")]
    assert [c.p_adjusted for c in single] == pytest.approx(
        holm(np.array([c.p for c in single])).tolist()
    )


@pytest.mark.parametrize(
    ("model", "more", "error", "words"),
    [
        ("lightgnc-kg", {}, ConfigError, "lightgcn-kg"),
        ("lightgcn", {}, ConfigError, "uses no knowledge graph.*lightgcn-kg"),
        ("ease-kg", {"seeds": 0}, ConfigError, "at least 1"),
        ("ease-kg", {"relations": -1}, ConfigError, "0 or more"),
        ("ease-kg", {"metric": "ndgc@10"}, ConfigError, "ndgc"),
        ("ease-kg", {"metric": "ndcg"}, ConfigError, "name@k"),
        ("ease-kg", {"settings": {"dims": 4}}, ConfigError, "no setting"),
        ("ease-kg", {"without_settings": {"dims": 4}}, ConfigError, "no setting"),
        ("ease-kg", {"preset": "papre"}, ConfigError, "preset"),
    ],
)
def test_bad_input_is_refused_before_anything_is_computed(
    data, tmp_path, model, more, error, words
):
    with pytest.raises(error, match=words) as told:
        ablate(data, model, out=tmp_path / "a", **more)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "a").exists()


def test_a_dataset_without_triples_or_test_part_is_refused(data, tmp_path):
    with pytest.raises(DataError, match=r"no triples.*--kg"):
        ablate(without_graph(data), "ease-kg", out=tmp_path / "a")
    with pytest.raises(DataError, match="test part"):
        ablate(replace(data, test=Interactions()), "ease-kg", out=tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_foreign_folders_and_other_studies_are_left_alone(data, found, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.tex").write_text("x")
    with pytest.raises(CheckpointError, match="not made by this kgrec ablate"):
        ablate(data, "ease-kg", out=tmp_path / "a")
    assert os.listdir(tmp_path / "a") == ["thesis.tex"]
    for more, words in (
        ({"on": "valid"}, "on test, not valid"),
        ({"metric": "ndcg@20"}, "metric"),
        ({"settings": {"l2": 9}}, "settings"),
    ):
        with pytest.raises(CheckpointError, match=words):
            ablate(data, "ease-kg", out=found.out, **more)
    with pytest.raises(CheckpointError, match="another state of the dataset"):
        ablate(worlds.planted("knowledge", seed=1), "ease-kg", out=found.out)


def test_the_command_tells_the_same_and_draws_it(found, data, tmp_path, capsys):
    data.save(tmp_path / "d")
    arguments = [
        "-q",
        "ablate",
        str(tmp_path / "d"),
        "--model",
        "ease-kg",
        "--relations",
        "all",
        "--out",
        str(tmp_path / "a"),
    ]
    assert command([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["answer"] == "yes"
    assert told["verdict"] == found.verdict
    assert [c["mean"] for c in told["contrasts"]] == [c.mean for c in found.contrasts]
    for picture in ("groups.png", "relations.png"):
        assert (tmp_path / "a" / picture).read_bytes().startswith(b"\x89PNG")
    assert command(arguments) == 0
    assert found.verdict in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "kgta"], "kgat"),
        (["--model", "popularity"], "uses no knowledge graph"),
        (["--model", "kgat", "--seeds", "-2"], "at least 1"),
        (["--model", "kgat", "--relations", "-1"], "whole number"),
        (["--model", "kgat", "--relations", "some"], '"all"'),
        (["--model", "kgat", "--set", "dim"], "key=value"),
        (["--model", "kgat", "--config", "nowhere.toml"], "nowhere.toml"),
        ([], "--model"),
    ],
)
def test_bad_command_lines_are_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(["-q", "ablate", "films", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert words in told.err
    assert not list(tmp_path.iterdir())


def test_ctrl_c_says_how_to_go_on(data, tmp_path, monkeypatch, capsys):
    data.save(tmp_path / "d")

    def interrupted(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["kgrec.study.ablate"], "fit_chosen", interrupted)
    assert (
        command(
            [
                "-q",
                "ablate",
                str(tmp_path / "d"),
                "--model",
                "ease-kg",
                "--out",
                str(tmp_path / "a"),
            ]
        )
        == 130
    )
    assert "the same command continues" in capsys.readouterr().err


class Pair(World):
    """The first of two processes; the other one takes nothing."""

    def hear(self, value=None, *, patient=False):
        return value

    def gather(self, value, *, patient=False):
        return [value, value]

    def claim(self, what):
        self.sent[what] = self.sent.get(what, -1) + 1
        return self.sent[what]


def test_the_processes_share_every_study_anew(data, tmp_path, monkeypatch):
    world = Pair(0, 2)
    trained = []
    chosen = study.choose("ease-kg", "default", {})
    variants = [study.Variant(key, key, chosen, lambda given, seed: given) for key in ("x", "y")]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        work = study.Trainings(data, variants, "test", "ndcg@10", "cpu", tmp_path / name, world)
        monkeypatch.setattr(
            study.Trainings,
            "_values",
            lambda self, variant, *job: trained.append(self.folder.name + variant.key),
        )
        work.share(1)

    assert trained == ["ax", "ay", "bx", "by"]
