"""Batches: in order, whole lines, gone on with."""

import json

import pytest

from kgrec.errors import ConfigError, UnknownIdError
from kgrec.explanation.core.records import Explanation
from kgrec.explanation.questions import why
from kgrec.explanation.questions.batch import explanations, write_batch

USERS = ["u5", "u0", "u3", "u0", "u7"]


@pytest.fixture(scope="module")
def run():
    from kgrec.runs.fit import fit
    from kgrec.testing.worlds import dataset

    likes = [(user, item) for user in range(8) for item in range(8) if (user * 3 + item) % 4 < 2]
    return fit(
        "lightgcn-kg",
        dataset(likes, triples=[(item, 0, 8 + item % 3) for item in range(8)]),
        dim=8,
        epochs=1,
        patience=0,
    )


@pytest.fixture
def explainer(run):
    return run.explainer()


def test_users_in_order_once_each_items_best_first(run, explainer):
    found = list(explanations(explainer.search, USERS, 2, top=3))
    assert [one.user for one in found] == [
        user for user in ("u5", "u0", "u3", "u7") for _ in range(3)
    ]
    assert [one.rank for one in found] == [1, 2, 3] * 4
    assert [one.item for one in found[:3]] == run.recommend("u5", k=3)["item"].to_list()
    assert all(len(one.paths) <= 2 for one in found)


def test_a_user_with_few_candidates_gets_few(run, explainer):
    left = run.data.num_items - len(explainer.standing(0).seen)
    assert len(list(explanations(explainer.search, ["u0"], top=1000))) == left


def test_it_is_gone_on_with_after_any_byte(explainer, tmp_path):
    whole = tmp_path / "whole.jsonl"
    assert write_batch(explainer.search, USERS, whole, 2, top=2) == (0, 8)
    lines = whole.read_bytes()
    assert [Explanation.from_json(line).user for line in lines.decode().splitlines()] == [
        "u5"
    ] * 2 + ["u0"] * 2 + ["u3"] * 2 + ["u7"] * 2
    ends = [at for at, byte in enumerate(lines, 1) if byte == 10]
    for cut in (
        0,
        1,
        5,
        ends[0] - 1,
        ends[0],
        ends[0] + 1,
        ends[2],
        ends[3],
        ends[3] + 40,
        ends[-2] + 7,
        len(lines) - 1,
        len(lines),
    ):
        part = tmp_path / "part.jsonl"
        part.write_bytes(lines[:cut])
        there, added = write_batch(explainer.search, USERS, part, 2, top=2)
        assert (there, there + added) == (sum(end <= cut for end in ends), 8)
        assert part.read_bytes() == lines


def test_an_interrupt_leaves_whole_lines(explainer, tmp_path, monkeypatch):
    out = tmp_path / "b.jsonl"
    calls = []
    real = why.explain

    def stop(*args, **settings):
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*args, **settings)

    monkeypatch.setattr("kgrec.explanation.questions.batch.explain", stop)
    with pytest.raises(KeyboardInterrupt):
        write_batch(explainer.search, USERS, out, 2, top=2)
    assert len(out.read_bytes().splitlines()) == 3
    assert out.read_bytes().endswith(b"}\n")
    monkeypatch.undo()
    assert write_batch(explainer.search, USERS, out, 2, top=2) == (3, 5)


def test_an_interrupt_while_writing_takes_the_half_line_away(explainer, tmp_path, monkeypatch):
    out = tmp_path / "b.jsonl"
    write_batch(explainer.search, USERS[:1], out, 2, top=1)
    first = out.read_bytes()

    def half(self, indent=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(Explanation, "to_json", half)
    monkeypatch.setattr("kgrec.explanation.questions.batch._same_batch", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        write_batch(explainer.search, USERS, out, 2, top=1)
    assert out.read_bytes() == first


def test_another_batch_is_refused_and_left_as_it_is(run, explainer, tmp_path):
    out = tmp_path / "b.jsonl"
    write_batch(explainer.search, USERS, out, 2, top=2)
    before = out.read_bytes()
    lines = before.splitlines(keepends=True)
    refused = [
        ("value of 'settings'", lambda: write_batch(explainer.search, USERS, out, 3, top=2)),
        (
            "value of 'max_length'",
            lambda: write_batch(explainer.search, USERS, out, 2, top=2, max_length=2),
        ),
        (
            "has 2 items of user 'u5', not 3",
            lambda: write_batch(explainer.search, USERS, out, 2, top=3),
        ),
        (
            "has 2 items of user 'u5', not 1",
            lambda: write_batch(explainer.search, USERS, out, 2, top=1),
        ),
        (
            "user 'u0' is not the next",
            lambda: write_batch(explainer.search, ["u0", "u5"], out, 2, top=2),
        ),
        (
            "value of 'settings'",
            lambda: write_batch(run.explainer(screen_top=3).search, USERS, out, 2, top=2),
        ),
    ]
    for words, ask in refused:
        with pytest.raises(ConfigError, match=words) as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert out.read_bytes() == before
    for content in (
        b"my diary",
        b"my diary\n",
        b'{"schema": 1}\n',
        b'{"schema": 1, "user": "u5"}\n',
        b'{"schema":\xff\n',
        lines[0] + b"{}\n",
    ):
        out.write_bytes(content)
        with pytest.raises(ConfigError, match=r"b\.jsonl:[12]: .*another file"):
            write_batch(explainer.search, USERS, out, 2, top=2)
        assert out.read_bytes() == content
    with pytest.raises(ConfigError, match="is a folder"):
        write_batch(explainer.search, USERS, tmp_path)


def test_a_model_trained_anew_does_not_go_on_with_the_old_ones_file(run, explainer, tmp_path):
    out = tmp_path / "b.jsonl"
    write_batch(explainer.search, USERS[:2], out, 2)
    tensor = next(run.model.parameters()).data
    tensor += 1e-3
    try:
        with pytest.raises(ConfigError, match="value of 'parameters'"):
            write_batch(run.explainer().search, USERS, out, 2)
    finally:
        tensor -= 1e-3


def test_an_unknown_user_is_told_before_anything_is_written(explainer, tmp_path):
    with pytest.raises(UnknownIdError, match="nobody"):
        write_batch(explainer.search, ["u0", "nobody"], tmp_path / "b.jsonl")
    assert not (tmp_path / "b.jsonl").exists()
    with pytest.raises(ConfigError, match="at least one item"):
        list(explanations(explainer.search, ["u0"], top=0))


def test_no_users_are_an_empty_file(explainer, tmp_path):
    assert write_batch(explainer.search, [], tmp_path / "b.jsonl") == (0, 0)
    assert (tmp_path / "b.jsonl").read_bytes() == b""


def test_the_explainer_writes_batches_itself(explainer, tmp_path):
    assert explainer.batch(USERS, k=2, out=tmp_path / "b.jsonl", top=2) == (0, 8)


def test_lines_are_json_of_one_schema(explainer, tmp_path):
    write_batch(explainer.search, USERS, tmp_path / "b.jsonl", 1)
    assert {
        json.loads(line)["schema"] for line in (tmp_path / "b.jsonl").read_text().splitlines()
    } == {2}
