"""``kgrec explain`` in all its forms, and what it refuses."""

import csv
import io
import json
import re
import shutil

import polars as pl
import pytest
from explained import PAYLOADS

from kgrec.cli import run


@pytest.fixture
def ask(trained, capsys):
    """Return a function that asks about the trained run and gives code and output."""

    def asked(*more, code=0):
        capsys.readouterr()
        assert run(["-q", "explain", str(trained), *more]) == code
        out, err = capsys.readouterr()
        assert code != 2 or err.count("\n") == 1
        return err if code == 2 else out

    return asked


@pytest.fixture(scope="module")
def first(trained):
    from kgrec.runs.run import load_run

    return load_run(trained).recommend("u1", k=3)["item"].to_list()


def test_one_item_has_budget_paths_and_places(ask, first):
    shown = ask("--user", "u1", "--item", first[0])
    for words in (
        "rank 1, score",
        "(next: ",
        "budget   own taste",
        "liked items",
        "Walks in the graph",
        "exact",
        "facts: ",
        "kg.ttl triple",
    ):
        assert words in shown


def test_effects_through_training(ask, first):
    item = "--user", "u1", "--item", first[0], "--no-users", "-k", "2", "--scope", "training"
    assert "through training (an estimate, " in ask(*item)
    training = json.loads(ask(*item, "--format", "json"))["training"]
    assert training["exact"] is False
    assert training["paths"][0].keys() == {"like", "facts", "whole"}


def test_every_form_has_effects_through_training(ask, first, tmp_path):
    item = "--user", "u1", "--item", first[0], "--no-users", "-k", "2", "--scope", "training"
    effects = json.loads(ask(*item, "--format", "json"))["training"]
    rows = list(csv.DictReader(io.StringIO(ask(*item, "--format", "csv"))))
    for row in rows:
        path = effects["paths"][int(row["path"]) - 1]
        assert float(row["training_whole"]) == pytest.approx(path["whole"])
        assert row["training_label"] == effects["label"]

    assert ask(*item, "--out", str(tmp_path / "why.html")) == ""
    html = (tmp_path / "why.html").read_text()
    assert "Through training (an estimate, " in html
    assert html.count("(the like alone ") == len(effects["paths"])

    for name in ("why.json", "why.ttl"):
        ask(*item, "--out", str(tmp_path / name))
        assert "1 of 1 explanation hold" in ask("--verify", str(tmp_path / name))


def test_a_history_is_explained_like_it_is_recommended(ask, trained, tmp_path, capsys):
    assert (
        run(
            [
                "-q",
                "recommend",
                str(trained),
                "--history",
                "f1",
                "--history",
                "f2",
                "--format",
                "json",
            ]
        )
        == 0
    )
    listed = json.loads(capsys.readouterr().out)
    person = "--history", "f1", "--history", "f2"
    found = json.loads(ask(*person, "--top", "2", "--format", "json"))
    assert [one["item"] for one in found] == [one["item"] for one in listed[:2]]
    assert found[0]["score"] == pytest.approx(listed[0]["score"], abs=1e-6)
    assert found[0]["history"] == ["f1", "f2"]
    assert json.loads(ask("--history", "f1,f2", "--top", "2", "--format", "json")) == found

    shown = ask(*person, "--top", "2", "--flip")
    assert "history  f1, f2" in shown
    assert "Without *" in shown or "No set of the 2 liked items" in shown
    for question in (
        ("--flip",),
        ("--contrast", found[0]["item"], found[1]["item"]),
        ("--why-not", listed[-1]["item"], "-k", "1"),
        ("--what-if", "--remove", "f1"),
        ("--list", "2"),
    ):
        assert "someone new" in ask(*person, *question)

    file = str(tmp_path / "why.json")
    ask("--user", "u1", *person, "--top", "1", "--out", file)
    ask("--verify", file)
    assert json.loads((tmp_path / "why.json").read_text())[0]["user"] == "u1"


def test_what_if_facts_were_gone(ask, trained):
    from kgrec.runs.run import load_run

    data = load_run(trained).data
    triples = data.triples
    liked = data.items.key(int(data.train.item[data.train.user == data.users.row("u1")][0]))
    director = triples.relations.key(int(triples.relation[0]))
    ends = [triples.entities.key(int(column[0])) for column in (triples.head, triples.tail)]
    fact = f"{ends[0]},{director},{ends[1]}"
    shown = ask("--user", "u1", "--what-if", "--remove-fact", fact, "--remove", liked)
    assert "likes alone" in shown
    assert " taken away" in shown


def test_a_list_as_text_json_and_table(ask, first):
    shown = ask("--user", "u1", "--list", "3")
    assert "What holds the list of 3 up" in shown
    record = json.loads(ask("--user", "u1", "--list", "3", "--format", "json"))
    assert record["kind"] == "list"
    assert [one["item"]["key"] for one in record["items"]] == first
    rows = list(csv.DictReader(io.StringIO(ask("--user", "u1", "--list", "3", "--format", "csv"))))
    likes = [row for row in rows if row["what"] == "like"]
    assert [float(row["drop"]) for row in likes] == pytest.approx(
        [one["drop"] for one in (*record["likes"], record["all_likes"])]
    )


def test_a_tree_and_lines(ask, first, sources):
    shown = ask("--user", "u1", "--item", first[0], "--format", "tree", "--lines")
    assert "├── " in shown
    assert "kg.ttl:" in shown
    assert "triple" not in shown
    line = int(shown.split("kg.ttl:")[1].split()[0].rstrip(","))
    assert ":director" in (sources / "kg.ttl").read_text().splitlines()[line - 1]


def test_every_format_by_ending(ask, first, tmp_path):
    for ending in ("json", "csv", "parquet", "html", "txt", "ttl"):
        assert ask("--user", "u1", "--top", "2", "--out", str(tmp_path / f"why.{ending}")) == ""
    told = json.loads((tmp_path / "why.json").read_text())
    assert [one["item"] for one in told] == first[:2]
    table, parquet = pl.read_csv(tmp_path / "why.csv"), pl.read_parquet(tmp_path / "why.parquet")
    assert table.height == parquet.height
    assert parquet["drop_mask"].null_count() == 0
    assert (tmp_path / "why.ttl").read_text().count("a k:Explanation") == 2
    assert "<script" not in (tmp_path / "why.html").read_text()


@pytest.mark.parametrize("ending", ["json", "ttl", "jsonl"])
def test_what_was_written_verifies_and_a_changed_number_does_not(ask, trained, tmp_path, ending):
    out = tmp_path / f"why.{ending}"
    if ending == "jsonl":
        (tmp_path / "users.txt").write_text("u1\nu2\n")
        assert (
            run(
                [
                    "-q",
                    "explain-batch",
                    str(trained),
                    "--users",
                    str(tmp_path / "users.txt"),
                    "--out",
                    str(out),
                ]
            )
            == 0
        )
    else:
        ask("--user", "u1", "--top", "2", "--out", str(out))
    assert "2 of 2 explanations hold" in ask("--verify", str(out))
    text = out.read_text()
    wrong = (
        text.replace('"forward": true', '"forward": false', 1)
        if ending != "ttl"
        else text.replace("k:removed ", "k:removed 1", 1)
    )
    assert wrong != text
    out.write_text(wrong)
    shown = ask("--verify", str(out), code=1)
    assert "1 of 2 explanations hold" in shown
    assert "path 1" in shown


def test_another_run_does_not_verify(ask, dataset, tmp_path):
    other = tmp_path / "other"
    settings = ["--set", "dim=8", "--set", "epochs=3", "--set", "patience=0", "--seed", "5"]
    assert (
        run(["-q", "train", str(dataset), "--model", "lightgcn-kg", "--out", str(other), *settings])
        == 0
    )
    ask("--user", "u1", "--top", "1", "--out", str(tmp_path / "why.json"))
    assert run(["explain", str(other), "--verify", str(tmp_path / "why.json")]) == 1


def test_a_dataset_that_has_gone_takes_nothing_from_an_explanation(
    dataset, trained, tmp_path, capsys
):
    gone, moved, why = tmp_path / "gone", tmp_path / "moved", tmp_path / "why.json"
    shutil.copytree(dataset, gone)
    settings = ["--set", "dim=8", "--set", "epochs=1", "--set", "patience=0"]
    assert (
        run(["-q", "train", str(gone), "--model", "lightgcn-kg", "--out", str(moved), *settings])
        == 0
    )
    assert run(["-q", "explain", str(moved), "--user", "u1", "--top", "1", "--out", str(why)]) == 0
    shutil.rmtree(gone)
    assert run(["-q", "explain", str(moved), "--verify", str(why)]) == 0
    assert run(["-q", "explain", str(moved), "--user", "u1", "--top", "1"]) == 0
    assert "exact" in capsys.readouterr().out


def test_no_path_is_code_3_and_the_budget_is_there(ask, first):
    assert "budget   " in ask("--user", "u1", "--item", first[0], "--max-length", "1", code=3)
    shown = ask(
        "--user", "u1", "--item", first[0], "--not-relation", "director", "--no-users", code=3
    )
    assert "hidden by the filters: " in shown
    assert "100 % of all first-order effects" in shown
    assert "budget   " in shown


def test_filters_and_ranking(ask, first):
    own = ask("--user", "u1", "--item", first[0], "--relation", "director", "--format", "json")
    relations = {hop["relation"] for path in json.loads(own)["paths"] for hop in path["hops"]}
    assert relations == {"interacts", "http://x.org/director"}
    mask = json.loads(
        ask("--user", "u1", "--item", first[0], "--mode", "mask", "--no-users", "--format", "json")
    )
    drops = [path["drop_mask"] for path in mask["paths"]]
    assert drops == sorted(drops, reverse=True)
    ranked = json.loads(
        ask("--user", "u1", "--item", first[0], "--ranks", "-k", "2", "--format", "json")
    )
    assert all(path["rank_after"] >= 1 for path in ranked["paths"])
    assert "along this path" in ask(
        "--user", "u1", "--item", first[0], "--rank-by", "joint", "-k", "1"
    )
    least = json.loads(
        ask("--user", "u1", "--item", first[0], "--min-drop", "1000", "--format", "json", code=3)
    )
    assert least["hidden"]["below_min_drop"] > 0


def test_contrast_flip_why_not_and_what_if(ask, first):
    shown = ask("--user", "u1", "--contrast", first[0], first[1])
    assert "difference +" in shown
    told = json.loads(ask("--user", "u1", "--contrast", first[1], first[0], "--format", "json"))
    assert told["kind"] == "contrast"
    parts = (
        told["own"]
        + told["bias"]
        + sum(term["value"] for term in told["by_liked"])
        + sum(told["other"].values())
        + told["residual"]
    )
    assert parts == pytest.approx(told["difference"], abs=1e-5)
    flip = json.loads(ask("--user", "u1", "--flip", "--format", "json"))
    assert (flip["kind"], flip["mode"]) == ("flip", "delete")
    assert "liked items" in ask("--user", "u1", "--flip", "--mode", "mask")
    assert "is at rank 2" in ask("--user", "u1", "--why-not", first[1], "-k", "1")
    shown = ask("--user", "u1", "--what-if", "--add", first[0], "--item", first[1])
    assert "added" in shown
    assert "The list then:" in shown


def test_an_item_that_the_user_has(ask, trained):
    from kgrec.runs.run import load_run

    data = load_run(trained).data
    mine = data.items.key(int(data.train.item[data.train.user == data.users.row("u1")][0]))
    shown = ask("--user", "u1", "--item", mine)
    assert "not ranked" in shown
    assert "already has this item" in shown


def test_a_million_paths_are_bounded(ask, first):
    few = json.loads(ask("--user", "u1", "--item", first[0], "-k", "1000000", "--format", "json"))
    assert len(few["paths"]) <= 1000


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--item", "f1"], "Pass --user, or --history"),
        (["--user", "u1"], "--contrast"),
        (["--user", "u1", "--item", "f1", "--top", "2"], "--item and --top"),
        (["--user", "u1", "--flip", "--why-not", "f1"], "--flip and --why-not"),
        (["--user", "u1", "--why-not", "f1", "--top", "2"], "--why-not does not go with --top"),
        (["--user", "u1", "--list", "2", "--top", "2"], "--list does not go with --top"),
        (["--user", "u1", "--list", "2", "-k", "2"], "Omit -k"),
        (["--user", "u1", "--list", "2", "--format", "html"], "--list has no html form"),
        (["--user", "u1", "--list", "2", "--format", "parquet"], "--out FILE.parquet"),
        (["--history", "", "--top", "2"], "--history names no item"),
        (["--history", "f1,f99", "--top", "2"], "unknown item id 'f99'"),
        (["--history", "f1", "--item", "f2", "--scope", "training"], "never trained on"),
        (["--user", "u1", "--what-if", "--remove-fact", "f1,f2"], "head, relation and tail"),
        (["--user", "u1", "--what-if", "--remove-fact", "f1,x,f2"], "unknown relation"),
        (["--verify", "why.json", "--history", "f1"], "Omit --user, --history"),
        (
            ["--user", "u1", "--contrast", "f1", "f2", "--item", "f3"],
            "--contrast does not go with --item",
        ),
        (["--user", "u1", "--contrast", "f1"], "--contrast"),
        (["--user", "u1", "--what-if"], "--remove or --add"),
        (["--user", "u1", "--item", "f1", "--add", "f2"], "--what-if"),
        (["--user", "u1", "--flip", "--relation", "director"], "--relation chooses paths"),
        (["--user", "u1", "--why-not", "f1", "--no-users"], "--users chooses paths"),
        (["--user", "u1", "--item", "f1", "--no-users", "--users", "show"], "contradict"),
        (
            ["--user", "u1", "--item", "f1", "--mode", "mask", "--rank-by", "joint"],
            "--mode and --rank-by",
        ),
        (["--user", "u1", "--contrast", "f1", "f2", "--mode", "mask"], "--mode goes with"),
        (
            ["--user", "u1", "--flip", "--format", "html", "--out", "x.html"],
            "--flip has no html form",
        ),
        (["--user", "u1", "--item", "f1", "--format", "parquet"], "--out FILE.parquet"),
        (["--user", "u1", "--item", "f1", "--lines", "--format", "json"], "--lines"),
        (["--user", "u1", "--flip", "--lines"], "--lines"),
        (["--user", "u1", "--flip", "--scope", "training"], "--scope training goes with"),
        (["--user", "u1", "--item", "f1", "--scope", "trial"], "inference"),
        (["--verify", "why.json", "--user", "u1"], "--user"),
        (["--verify", "why.json", "--format", "json"], "--format"),
        (["--verify", "why.json", "--relation", "x"], "--relation"),
        (["--verify", "no-such.json"], "no-such.json"),
        (["--user", "u1", "--item", "f1", "--max-length", "0"], "--max-length"),
        (["--user", "u1", "--item", "f1", "--max-length", "50"], "--max-length"),
        (["--user", "u1", "--item", "f1", "-k", "0"], "-k"),
        (["--user", "u1", "--item", "f1", "--rank-by", "beauty"], "plausibility"),
        (["--user", "u1", "--item", "f1", "--relation", "directer"], "Nearest: director"),
        (["--user", "u1", "--item", "f1", "--type", "person"], "item, entity, users"),
        (["--user", "u1", "--item", "f1", "--rank-by", "plausibility"], "does not score facts"),
        (["--user", "u111", "--item", "f1"], "u1"),
        (["--user", "u1", "--item", "f9"], "Nearest: f"),
        (["--user", "u1", "--contrast", "f1", "f9"], "f9"),
        (["--user", "u1", "--what-if", "--add", "f9"], "f9"),
        (["--user", "u1", "--why-not", "f9"], "f9"),
    ],
)
def test_what_makes_no_sense_is_one_line(ask, more, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in ask(*more, code=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b"{"),
        ("a.json", b"[]"),
        ("a.json", b"3"),
        ("a.json", b'{"schema": 2}'),
        ("a.json", b'{"schema": 1, "user": 3}'),
        ("a.json", b"[" * 200_000),
        ("a.json", b""),
        ("a.json", b"\xff\xfe{"),
        ("a.jsonl", b"{}\n"),
        ("a.jsonl", b"\n\n"),
        ("a.ttl", b"<a> <b"),
        ("a.ttl", b""),
    ],
)
def test_a_file_that_holds_no_explanation_is_one_line(ask, name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert name in ask("--verify", str(tmp_path / name), code=2)


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory):
    """A run whose labels, ids and relation are what an attacker would call them."""
    folder = tmp_path_factory.mktemp("hostile")
    names = [payload for payload in PAYLOADS if payload]
    rows = [
        f"u{user}\ti{(user + step) % len(names)}\t{step}" for user in range(20) for step in range(4)
    ]
    (folder / "log.tsv").write_text("user\titem\ttimestamp\n" + "\n".join(rows) + "\n")

    def literal(text):
        return json.dumps(text, ensure_ascii=False)

    lines = [
        "@prefix x: <http://x.org/> .",
        "@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .",
    ]
    lines += [
        f"x:i{n} rdfs:label {literal(name)} ; x:made x:m{n % 3} ." for n, name in enumerate(names)
    ]
    lines += [f"x:m{n} rdfs:label {literal(name)} ." for n, name in enumerate(names[:3])] + [
        f"x:made rdfs:label {literal(names[0])} ."
    ]
    (folder / "kg.ttl").write_text("\n".join(lines) + "\n")
    (folder / "links.tsv").write_text(
        "item\tentity\n" + "".join(f"i{n}\thttp://x.org/i{n}\n" for n in range(len(names)))
    )
    parts = [
        "--interactions",
        str(folder / "log.tsv"),
        "--kg",
        str(folder / "kg.ttl"),
        "--links",
        str(folder / "links.tsv"),
    ]
    assert run(["-q", "build", *parts, "--split", "leave-one-out", "--out", str(folder / "d")]) == 0
    settings = ["--set", "dim=4", "--set", "epochs=1", "--set", "patience=0"]
    assert (
        run(
            [
                "-q",
                "train",
                str(folder / "d"),
                "--model",
                "lightgcn-kg",
                "--out",
                str(folder / "r"),
                *settings,
            ]
        )
        == 0
    )
    return folder / "r"


@pytest.mark.parametrize("form", ["text", "tree", "csv", "ttl", "json"])
def test_hostile_labels_on_the_command_line(hostile_run, form, capsys):
    for user in range(0, 20, 4):
        capsys.readouterr()
        assert (
            run(
                [
                    "-q",
                    "explain",
                    str(hostile_run),
                    "--user",
                    f"u{user}",
                    "--top",
                    "3",
                    "--format",
                    form,
                ]
            )
            == 0
        )
        shown = capsys.readouterr().out
        if form in ("text", "tree"):
            assert not [
                c
                for c in shown
                if c != "\n" and (ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2028\u2029")
            ]
        elif form == "csv":
            assert "\n=" not in shown
            assert ",=" not in shown
        elif form == "ttl":
            import rdflib

            rdflib.Graph().parse(data=shown, format="turtle")
        else:
            assert json.loads(shown)


def test_hostile_labels_in_answers(hostile_run, capsys):
    for more in (
        ["--contrast", "i0", "i1"],
        ["--flip"],
        ["--why-not", "i3", "-k", "1"],
        ["--what-if", "--add", "i2"],
    ):
        capsys.readouterr()
        if run(["-q", "explain", str(hostile_run), "--user", "u9", *more]) == 0:
            shown = capsys.readouterr().out
            assert not [
                c
                for c in shown
                if c != "\n" and (ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2028\u2029")
            ]


def test_batch(trained, tmp_path, capsys):
    users = tmp_path / "users.txt"
    users.write_text("u3\nu1\nu2\n")
    for ending, read in (("csv", pl.read_csv), ("parquet", pl.read_parquet)):
        out = tmp_path / f"why.{ending}"
        assert (
            run(
                [
                    "-q",
                    "explain-batch",
                    str(trained),
                    "--users",
                    str(users),
                    "--out",
                    str(out),
                    "--top",
                    "2",
                    "-k",
                    "2",
                ]
            )
            == 0
        )
        assert read(out)["user"].unique(maintain_order=True).to_list() == ["u3", "u1", "u2"]
    out = tmp_path / "why.jsonl"
    command = ["-q", "explain-batch", str(trained), "--users", str(users), "--out", str(out)]
    capsys.readouterr()
    assert run(command) == 0
    assert "3 explanations" in capsys.readouterr().out
    text = out.read_bytes()
    out.write_bytes(text[:-50])
    assert run(command) == 0
    assert "3 explanations, 2 of them there before" in capsys.readouterr().out
    assert out.read_bytes() == text
    assert (
        run(
            [
                "-q",
                "explain-batch",
                str(trained),
                "--users",
                "all",
                "--out",
                str(tmp_path / "all.jsonl"),
                "-k",
                "1",
            ]
        )
        == 0
    )
    assert len((tmp_path / "all.jsonl").read_text().splitlines()) == 24


def test_an_interrupted_batch_is_code_130_with_whole_lines(trained, tmp_path, capsys, monkeypatch):
    from kgrec.explanation.questions import batch

    real, calls = batch.explain, []

    def stop(*args, **settings):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args, **settings)

    monkeypatch.setattr(batch, "explain", stop)
    out = tmp_path / "why.jsonl"
    assert run(["-q", "explain-batch", str(trained), "--users", "all", "--out", str(out)]) == 130
    assert "the same command continues" in capsys.readouterr().err
    assert len(out.read_text().splitlines()) == 2


def test_a_batch_of_histories(ask, trained, tmp_path, capsys):
    def batch(file, out, *more):
        capsys.readouterr()
        command = ["-q", "explain-batch", str(trained), "--history", str(file), "--out", str(out)]
        assert run([*command, "--top", "2", "-k", "2", *more]) == 0
        return capsys.readouterr()

    def alone(*person):
        found = json.loads(ask(*person, "--top", "2", "-k", "2", "--format", "json"))
        return [(one["item"], one["score"], one["history"], one["text"]) for one in found]

    # A list a line, the same one twice: people without an id.
    lists = tmp_path / "lists.jsonl"
    lists.write_text('["f1", "f2", "f1"]\n\n["f4"]\n["f1","f2"]\n')
    out = tmp_path / "why.jsonl"
    batch(lists, out)
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(one["item"], one["score"], one["history"], one["text"]) for one in found] == alone(
        "--history", "f1,f2"
    ) + alone("--history", "f4")
    text = out.read_bytes()
    out.write_bytes(text[: text.index(b"\n", text.index(b"\n") + 1) + 40])
    assert "4 explanations, 2 of them there before" in batch(lists, out).out
    assert out.read_bytes() == text

    # A table: someone new, by the id that it has, and a user whom the model knows.
    table = tmp_path / "people.csv"
    table.write_text("user,item,time\nnew,f4,2\nu1,f5,1\nnew,f2,1\nu1,f99,3\n")
    told = batch(table, out.with_name("table.jsonl"), "--on-unknown", "ignore")
    assert "ignored 1 unknown item ids: 'f99'" in told.err
    found = [json.loads(line) for line in (tmp_path / "table.jsonl").read_text().splitlines()]
    assert [one["user"] for one in found] == ["new", "new", "u1", "u1"]
    assert [(one["item"], one["score"], one["history"]) for one in found] == [
        row[:3] for row in alone("--history", "f2,f4") + alone("--user", "u1", "--history", "f5")
    ]
    assert all("new" not in one["text"] for one in found)
    saved = tmp_path / "one.json"
    for one in found[::2]:
        saved.write_text(json.dumps(one))
        assert "1 of 1 explanation hold" in ask("--verify", str(saved))

    batch(table, tmp_path / "table.csv", "--on-unknown", "ignore")
    assert set(pl.read_csv(tmp_path / "table.csv")["user"]) == {"new", "u1"}


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        ('["f1"]\n["f1", "f99"]\n', (), "people:2: unknown item id 'f99'"),
        ('["f99"]\n', ("--on-unknown", "ignore"), "no history names a known item"),
        ('["f1"]\n[]\n', (), "people:2: the history is empty"),
        ('["f1", \n', (), "people:1: not JSON"),
        ("[" * 100_000, (), "people:1: not JSON"),
        ('["f1"]\n"f2"\n', (), "people:2: str, not a list"),
        ('["f1", 2.5]\n', (), "people:1: 2.5 is no id"),
        ('["f1", null]\n', (), "people:1: None is no id"),
        ('["f1", ["f2"]]\n', (), "people:1: ['f2'] is no id"),
        ("", (), "people"),
        ("user,item\nu1,f99\n", (), "user 'u1': unknown item id 'f99'"),
        ("one\ntwo\n", (), "people"),
        ('["f1"]\n', ("--users", "all"), "Pass one of --users and --history"),
        ('["f1"]\n', ("--out", "why.csv"), "people: its people have no ids"),
        ('["f1"]\n', ("--history", "nowhere"), "nowhere"),
    ],
)
def test_bad_histories_are_one_line(trained, text, more, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people").write_text(text)
    command = ["-q", "explain-batch", str(trained), "--history", "people", "--out", "why.jsonl"]
    capsys.readouterr()
    assert run([*command, *more]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert not (tmp_path / "why.jsonl").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--out", "why.jsonl"], "explain to whom?"),
        (["--users", "users.txt", "--out", "why.txt"], ".jsonl"),
        (["--users", "nowhere.txt", "--out", "why.jsonl"], "nowhere.txt"),
        (["--users", "users.txt", "--out", "why.jsonl"], "nobody"),
        (["--users", "all", "--out", "users.txt.jsonl"], "another file"),
        (["--users", "all", "--out", "why.jsonl", "--top", "0"], "--top"),
        (["--users", "all", "--out", "no/such/folder/why.jsonl"], "no/such/folder"),
        (["--users", "all", "--out", "why.jsonl", "--relation", "directer"], "Nearest: director"),
    ],
)
def test_bad_batches_are_one_line(trained, more, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "users.txt").write_text("u1\nnobody\n")
    (tmp_path / "users.txt.jsonl").write_text("not ours\n")
    capsys.readouterr()
    assert run(["-q", "explain-batch", str(trained), *more]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert (tmp_path / "users.txt.jsonl").read_text() == "not ours\n"


TABLE = "relation,phrase,inverse,language\nhttp://x.org/director,shot by,shot,\n"


@pytest.fixture(scope="module")
def in_words(sources, tmp_path_factory):
    """Return a run whose dataset has a verb and phrases of its own."""
    folder = tmp_path_factory.mktemp("words")
    (folder / "phrases.csv").write_text(TABLE)
    parts = ["--interactions", str(sources / "clicks.csv"), "--kg", str(sources / "kg.ttl")]
    parts += ["--links", str(sources / "links.csv"), "--split", "leave-one-out"]
    parts += ["--verb", "listened to", "--verb", "purchase=bought"]
    parts += ["--phrases", str(folder / "phrases.csv"), "--out", str(folder / "d")]
    assert run(["-q", "build", *parts]) == 0
    settings = ["--set", "dim=8", "--set", "epochs=1", "--set", "patience=0"]
    train = ["train", str(folder / "d"), "--model", "lightgcn-kg", "--out", str(folder / "r")]
    assert run(["-q", *train, *settings]) == 0
    return folder / "r"


def test_verbs_phrases_and_languages_reach_every_form(in_words, tmp_path, capsys):
    def shown(command, *more):
        capsys.readouterr()
        assert run(["-q", command, str(in_words), *more]) == 0
        return capsys.readouterr().out

    ask = ("--user", "u1", "--top", "1")
    english = " ".join(shown("explain", *ask).split())
    assert "You listened to *" in english
    assert re.search(r"- shot by - (Ridley Scott|Terry Gilliam) - shot - \*", english)
    german = json.loads(shown("explain", *ask, "--language", "de", "--format", "json"))[0]
    assert german["words"]["language"] == "de"
    assert any("hast *" in path["text"] for path in german["paths"])
    assert all("listened" not in path["text"] for path in german["paths"])
    mine = tmp_path / "mine.csv"
    mine.write_text("relation,phrase,inverse\ndirector,made by,made\n")
    made = " ".join(shown("explain", *ask, "--phrases", str(mine)).split())
    assert re.search(r"- made by - (Ridley Scott|Terry Gilliam) - made - \*", made)
    users = tmp_path / "users.txt"
    users.write_text("u1\nu2\n")
    out = tmp_path / "why.jsonl"
    shown("explain-batch", "--users", str(users), "--out", str(out), "--language", "de")
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["words"]["language"] for line in lines] == ["de", "de"]
    assert (
        run(["-q", "explain-batch", str(in_words), "--users", str(users), "--out", str(out)]) == 2
    )
    assert "language" in capsys.readouterr().err
    summary = shown("explain-summary", "--users", str(users), "-k", "1", "--language", "de")
    assert "Empfehlungen an 2 Personen" in summary
    page = tmp_path / "why.html"
    shown("explain", *ask, "--language", "de", "--out", str(page))
    assert '<html lang="de">' in page.read_text()
    assert "liked" not in page.read_text().partition("<body")[2]


@pytest.mark.parametrize(
    ("rows", "more", "says"),
    [
        ("r9,x,,\n", (), "relation 'r9' is not in the graph"),
        ("director,<i>x</i>,,\n", (), "holds '<'"),
        ("director,x,,\ndirector,y,,\n", (), "Keep one row"),
        ("director,x,,fr\n", (), "language 'fr' is unknown"),
        ("director,{head} x,,\n", (), "without markup and placeholders"),
        ("director,x,,\n", ("--language", "xx"), "language 'xx' is unknown"),
    ],
)
def test_words_that_cannot_be_said_are_one_line(ask, first, tmp_path, rows, more, says):
    table = tmp_path / "phrases.csv"
    table.write_text("relation,phrase,inverse,language\n" + rows)
    told = ask("--user", "u1", "--item", first[0], "--phrases", str(table), *more, code=2)
    assert says in told
