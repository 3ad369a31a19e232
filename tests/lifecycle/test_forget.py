"""``kgrec forget``: a person is out of everything, and nobody else is."""

import errno
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

import kgrec
from kgrec.cli import run as command
from kgrec.data.derive.without_user import without_user
from kgrec.data.records.content import Impressions
from kgrec.data.records.report import Caution
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.storage import open_dataset
from kgrec.errors import CheckpointError, UnknownIdError
from kgrec.lifecycle import forget as module
from kgrec.lifecycle.forget import forget
from kgrec.lifecycle.update import update
from kgrec.serving.write_tables import write_tables
from kgrec.testing import worlds

GONE = "u7"


@pytest.fixture
def places(tmp_path):
    rng = np.random.default_rng(4)
    pairs = {(u, int(i)) for u in range(12) for i in rng.choice(10, 5, replace=False)}
    test = [(u, next(i for i in range(10) if (u, i) not in pairs)) for u in range(12)]
    facts = [(item, 0, 10 + item % 3) for item in range(10)]
    data = worlds.dataset(sorted(pairs), test=test, triples=facts, num_items=10)
    data = replace(data, user_facts=np.array([[7, 0, 10], [9, 0, 11]], dtype=np.int32))
    return tmp_path, data.save(tmp_path / "data")


def test_a_dataset_is_what_it_would_be_without(places):
    data = places[1]
    shown = Impressions(
        user=np.array([7, 8], np.int32),
        start=np.array([0, 2, 3]),
        item=np.array([1, 2, 3], np.int32),
        clicked=np.array([True, False, True]),
        history_start=np.array([0, 1, 3]),
        history=np.array([4, 5, 6], np.int32),
    )
    left = without_user(replace(data, impressions={"train": shown}), GONE)
    assert list(left.users) == [f"u{n}" for n in range(12) if n != 7]
    for name in ("train", "test"):
        before, after = (getattr(one, name) for one in (data, left))
        pairs = [
            {(one.users.key(u), int(i)) for u, i in zip(part.user, part.item, strict=True)}
            for one, part in ((data, before), (left, after))
        ]
        assert pairs[1] == {pair for pair in pairs[0] if pair[0] != GONE}
    assert left.user_facts.tolist() == [[8, 0, 11]]
    only = left.impressions["train"]
    assert (only.user.tolist(), only.item.tolist(), only.history.tolist()) == ([7], [3], [5, 6])
    assert (only.start.tolist(), only.history_start.tolist()) == ([0, 1], [0, 2])


@pytest.mark.parametrize("model", ["ease", "itemknn", "popularity", "gfcf"])
def test_a_closed_form_is_the_refit_without(places, model):
    root, data = places
    kgrec.fit(model, data).save(root / "run")
    receipt = forget(root / "run", GONE)
    assert receipt.exact
    assert receipt.interactions == 5
    run = kgrec.load_run(root / "run")
    clean = kgrec.fit(model, without_user(data, GONE), fallback="popularity")
    torch.testing.assert_close(run.model.state_dict(), clean.model.state_dict(), rtol=0, atol=0)
    assert (
        run.recommend("u8", k=4)["item"].to_list() == clean.recommend("u8", k=4)["item"].to_list()
    )
    assert run.evaluate().metrics == pytest.approx(clean.evaluate().metrics)  # the dataset is found
    assert GONE not in open_dataset(root / "data").users


def test_a_network_keeps_everyone_else_and_asks_for_a_training(places, caplog):
    root, data = places
    run = kgrec.fit("bprmf", data, dim=4, epochs=2, patience=0, out=root / "run")
    run.estimate_placebos(users=4)
    before = run.scorer()
    receipt = forget(root / "run", GONE)
    assert not receipt.exact
    left = kgrec.load_run(root / "run")
    assert "Train again" in caplog.text
    others = [n for n in range(12) if n != 7]
    torch.testing.assert_close(left.scorer().users, before.users[others], rtol=0, atol=0)
    torch.testing.assert_close(left.scorer().items, before.items, rtol=0, atol=0)
    assert not (root / "run" / "state.safetensors").exists()  # moments had a row of the person
    assert not (root / "run" / "placebos.json").exists()
    for path in (root / "run").rglob("*"):
        assert not path.is_file() or b"u7" not in path.read_bytes()


def test_a_graph_model_keeps_the_vectors_it_was_trained_to(places):
    root, data = places
    kgrec.fit("kgat", data, dim=4, relation_dim=4, layer_dims="4", epochs=1, patience=0).save(
        root / "run"
    )
    old = dict(kgrec.load_run(root / "run").model.named_parameters())
    forget(root / "run", GONE)
    new = dict(kgrec.load_run(root / "run").model.named_parameters())
    for name, value in new.items():
        expected = old[name]
        if len(expected) != len(value):
            row = data.num_entities + 7
            expected = torch.cat([expected[:row], expected[row + 1 :]])
        torch.testing.assert_close(value, expected, rtol=0, atol=0)


def test_the_receipt_names_runs_and_not_the_person(places, capsys):
    root, data = places
    for name in ("run", "other", "far"):
        kgrec.fit("popularity", data).save(root / name)
    write_tables(kgrec.load_run(root / "run"), root / "run.serving")
    write_tables(kgrec.load_run(root / "run"), root / "elsewhere")
    arguments = ["-q", "forget", str(root / "run"), "--user", GONE]
    assert command([*arguments, "--json", "--receipt", str(root / "receipt.json")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((root / "receipt.json").read_text())
    assert GONE not in json.dumps(told)
    assert [path.rsplit("/", 1)[-1] for path in told["runs_changed"]] == ["far", "other"]
    assert told["still_open"] == told["runs_changed"]
    assert [path.rsplit("/", 1)[-1] for path in told["tables_open"]] == ["elsewhere"]
    assert not (root / "run.serving").exists()
    assert module._hash(GONE, told["salt"]) == told["hash"]
    assert command(arguments) == 2
    assert "was forgotten on 20" in capsys.readouterr().err
    assert command([*arguments[:-1], "stranger"]) == 2
    said = capsys.readouterr().err
    assert "neither in" in said
    assert said.count("\n") == 1

    # the next run still holds the person; the dataset no longer does
    assert command(["-q", "forget", str(root / "other"), "--user", GONE]) == 0
    assert kgrec.load_run(root / "other").evaluate().users == 11


@pytest.mark.parametrize("stop", ["_store", "discard"])
def test_killed_in_between_the_same_call_does_the_rest(places, monkeypatch, stop):
    root, data = places
    kgrec.fit("ease", data).save(root / "run")
    write_tables(kgrec.load_run(root / "run"), root / "run.serving")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, stop, killed)
        with pytest.raises(KeyboardInterrupt):
            forget(root / "run", GONE)

    assert kgrec.load_run(root / "run").recommend("u8", k=2).height == 2  # whole at any moment
    forget(root / "run", GONE)
    assert kgrec.load_run(root / "run").evaluate().users == 11
    assert GONE not in kgrec.load_run(root / "run").data.users
    with pytest.raises(UnknownIdError, match="was forgotten"):
        forget(root / "run", GONE)
    assert not (root / "run.serving").exists()


def test_what_a_killed_call_left_beside_is_removed_though_nothing_else_is_to_do(places):
    """Killed after its last rename, the run before lies beside the new one, and holds the person."""
    root, data = places
    kgrec.fit("popularity", data).save(root / "run")
    before = shutil.copytree(root / "run", root / "kept")
    forget(root / "run", GONE)
    left = [root / f".{name}-0123abcd" for name in ("run.old", "data.old", "run.serving.gone")]
    for place in left:
        shutil.copytree(before, place)
    with pytest.raises(UnknownIdError, match="Nothing is left"):
        forget(root / "run", GONE)
    assert not [place for place in left if place.exists()]

    # killed between the two renames of the dataset, that has its name again
    shutil.rmtree(root / "run")
    before.rename(root / "run")
    (root / "data").rename(root / ".data.old-0123abcd")
    assert forget(root / "run", GONE).dataset["path"] == str(root / "data")
    assert sorted(path.name for path in root.iterdir()) == ["data", "run"]


def test_a_full_disk_is_told_with_what_is_left_to_do(places, monkeypatch, capsys):
    root, data = places
    kgrec.fit("popularity", data).save(root / "run")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(root / "run"))

    monkeypatch.setattr(module, "_store", full)
    assert command(["-q", "forget", str(root / "run"), "--user", GONE]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{root / 'run'}: {os.strerror(errno.ENOSPC)}. The person is not forgotten yet" in said


def test_a_fusion_keeps_what_it_chose_and_computes_the_rest_without(places):
    """The graph's vectors stay but for the person's; item weights are computed again."""
    root, data = places
    kgrec.fit("kgfuse", data, dim=4, epochs=2, patience=0).save(root / "run")
    old = kgrec.load_run(root / "run")
    assert not forget(root / "run", GONE).exact
    new = kgrec.load_run(root / "run")
    assert dict(new.model.settled()) == dict(old.model.settled())
    nodes = [dict(one.model.graphs.best.named_parameters())["nodes"] for one in (old, new)]
    row = data.num_entities + 7
    torch.testing.assert_close(nodes[1], torch.cat([nodes[0][:row], nodes[0][row + 1 :]]))
    ridge = new.model.item_weights
    again = type(ridge).from_dataset(new.data, new.config, torch.Generator())
    again.fit(*ridge.relation_weights.tolist())
    torch.testing.assert_close(ridge.weights, again.weights)
    assert new.recommend("u8", k=3).height == 3


def test_a_run_that_was_updated_beside_it_is_named(places):
    root, data = places
    for name in ("run", "other"):
        kgrec.fit("popularity", data).save(root / name)
    update(root / "other", pl.DataFrame({"user": ["u1"], "item": ["i_new"]}))
    receipt = forget(root / "run", GONE)
    assert receipt.runs_changed == ()
    assert [path.rsplit("/", 1)[-1] for path in receipt.still_open] == ["other"]


def test_an_update_does_not_undo_that_it_is_to_be_trained_again(places):
    root, data = places
    kgrec.fit("bprmf", data, dim=4, epochs=2, patience=0).save(root / "run")
    forget(root / "run", GONE)
    news = pl.DataFrame({"user": ["n1", "n2"], "item": ["i1", "i2"]})
    assert update(root / "run", news).how == "warm start"
    assert kgrec.load_run(root / "run").summary["forgotten"]["retrain"]
    assert update(root / "run", news.with_columns(user=pl.lit("n3")), minutes=1.0).epochs == 2
    assert "forgotten" not in kgrec.load_run(root / "run").summary


def test_a_training_that_starts_from_such_a_run_says_so_as_well(places):
    root, data = places
    settings = {"dim": 4, "epochs": 2, "patience": 0}
    kgrec.fit("bprmf", data, **settings).save(root / "run")
    forget(root / "run", GONE)
    left = open_dataset(root / "data")
    kgrec.fit("bprmf", left, start=root / "run", out=root / "next", **settings)
    assert kgrec.load_run(root / "next").summary["forgotten"] == {"people": 1, "retrain": True}
    kgrec.fit("bprmf", left, resume=True, out=root / "next", epochs=3)
    assert kgrec.load_run(root / "next").summary["forgotten"]["retrain"]
    assert "forgotten" not in kgrec.fit("bprmf", left, **settings).summary


def test_a_run_that_is_replaced_meanwhile_is_left(places, monkeypatch):
    root, data = places
    run = kgrec.fit("popularity", data)
    run.save(root / "run")
    other = kgrec.fit("itemknn", data)

    def replaced(*_):
        other.save(root / "run")
        return run, True

    monkeypatch.setattr(module, "_without", replaced)
    with pytest.raises(CheckpointError, match="replaced meanwhile"):
        forget(root / "run", GONE)
    assert kgrec.load_run(root / "run").name == "itemknn"
    assert GONE in open_dataset(root / "data").users


def test_neither_attributes_of_the_person_alone_nor_cautions_keep_a_name(places):
    """An entity that others share, and the rows of all entities, stay."""
    root, data = places
    entities = Vocabulary([*data.triples.entities, "name:Jane", "name:Jo"], kind="entity")
    labels = pl.Series("label", [*data.triples.labels, "Jane", "Jo"], dtype=pl.String)
    count = len(entities)
    facts = [[7, 0, count - 2], [7, 0, count - 1], [9, 0, count - 1], [7, 0, 10]]
    cautions = tuple(Caution(f"1 users: {key} (3,007)", "Look.") for key in (GONE, "xu7", "u70"))
    data = replace(
        data,
        triples=replace(data.triples, entities=entities, labels=labels),
        user_facts=np.array(facts, dtype=np.int32),
        report=replace(data.report, warnings=cautions),
    ).save(root / "data")
    kgrec.fit("bprmf", data, dim=4, epochs=1).save(root / "run")
    forget(root / "run", GONE)
    for place in (root / "data", root / "run" / "data"):
        left = open_dataset(place)
        assert [*left.triples.entities][:-2] == [*entities][:-2]
        assert [*left.triples.entities][-2:] == ["forgotten:0", "name:Jo"]
        assert left.triples.labels.to_list()[-2:] == [None, "Jo"]
        assert [one.what.split()[2] for one in left.report.warnings] == ["xu7", "u70"]
    assert kgrec.load_run(root / "run").recommend("u8", k=2).height == 2
