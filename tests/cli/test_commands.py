"""Every command on a small world: what it prints, writes and returns."""

import json

import polars as pl
import pytest

from kgrec.cli import run


def document(capsys):
    """The one JSON document on standard output."""
    return json.loads(capsys.readouterr().out)


def test_build_says_what_it_kept(sources, tmp_path, capsys):
    parts = [
        "--interactions",
        str(sources / "clicks.csv"),
        "--kg",
        str(sources / "kg.ttl.gz"),
        "--links",
        str(sources / "links.csv"),
    ]
    columns = ["--user", "user_id", "--item", "item_id", "--rating", "stars", "--min-rating", "4"]
    assert (
        run(
            [
                "build",
                *parts,
                *columns,
                "--out",
                str(tmp_path / "d"),
                "--ratios",
                "0.5,0.25,0.25",
                "--json",
            ]
        )
        == 0
    )
    told = document(capsys)
    assert (told["users"], told["items"], told["entities"], told["relations"], told["triples"]) == (
        24,
        6,
        8,
        1,
        6,
    )
    assert sum(told["interactions"].values()) == 48
    assert [(lost["what"], lost["count"]) for lost in told["dropped"]] == [("interactions", 24 * 2)]


def test_the_same_seed_builds_the_same_dataset(sources, tmp_path, capsys):
    sums = []
    for seed, name in ((3, "a"), (3, "b"), (4, "c")):
        chosen = [
            "--ratios",
            "0.5,0.25,0.25",
            "--seed",
            str(seed),
            "--out",
            str(tmp_path / name / "d"),
        ]
        assert run(["-q", "build", "--interactions", str(sources / "clicks.csv"), *chosen]) == 0
        sums.append((tmp_path / name / "d" / "manifest.json").read_text())
    assert sums[0] == sums[1] != sums[2]


def test_info(dataset, capsys):
    assert run(["info", str(dataset)]) == 0
    told = capsys.readouterr().out
    assert "24 users, 6 items" in told
    assert "director" in told
    assert run(["info", str(dataset), "--json"]) == 0
    assert document(capsys)["interactions"]["test"] == 24


def test_train_says_what_it_cost(dataset, tmp_path, capsys):
    out = tmp_path / "r"
    (tmp_path / "s.toml").write_text("dim = 4\nepochs = 5\n")
    chosen = ["--config", str(tmp_path / "s.toml"), "--set", "epochs=2", "--set", "patience=0"]
    assert (
        run(["train", str(dataset), "--model", "BPR-MF", "--out", str(out), *chosen, "--json"]) == 0
    )
    told = document(capsys)
    assert (told["model"], told["epochs"]) == ("bprmf", 2)
    assert told["best_epoch"] in (1, 2)
    assert {"recall@20", "ndcg@20"} <= set(told["test"])
    assert told["peak_memory_bytes"] > 1e6
    assert json.loads((out / "config.json").read_text())["config"]["dim"] == 4


def test_train_can_be_read_by_people(dataset, tmp_path, capsys):
    assert run(["train", str(dataset), "--model", "popularity", "--out", str(tmp_path / "r")]) == 0
    told = capsys.readouterr().out
    assert "popularity" in told
    assert "ndcg@10" in told


def test_evaluate(trained, tmp_path, capsys):
    users = tmp_path / "users.parquet"
    assert run(["evaluate", str(trained), "--k", "1,3", "--per-user", str(users), "--json"]) == 0
    told = document(capsys)
    assert (told["model"], told["split"], told["users"]) == ("lightgcn-kg", "test", 24)
    frame = pl.read_parquet(users)
    assert frame.height == 24
    for name in ("recall@1", "ndcg@3"):
        assert frame[name].mean() == pytest.approx(told["metrics"][name])
    assert run(["evaluate", str(trained), "--on", "valid"]) == 0
    assert "ndcg@20" in capsys.readouterr().out


def test_recommend_for_one_all_and_some(trained, tmp_path, capsys):
    assert run(["recommend", str(trained), "--user", "u1", "-k", "2", "--format", "json"]) == 0
    one = document(capsys)
    assert [(row["user"], row["rank"]) for row in one] == [("u1", 1), ("u1", 2)]
    assert set(one[0]) == {"user", "rank", "item", "label", "score", "kind"}
    out = tmp_path / "all.parquet"
    assert run(["recommend", str(trained), "--users", "all", "-k", "1", "--out", str(out)]) == 0
    assert pl.read_parquet(out)["user"].n_unique() == 24
    (tmp_path / "users.txt").write_text("u3\nu1\n")
    assert (
        run(
            [
                "recommend",
                str(trained),
                "--users",
                str(tmp_path / "users.txt"),
                "-k",
                "1",
                "--format",
                "csv",
            ]
        )
        == 0
    )
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == [
        "user",
        "u3",
        "u1",
    ]


def test_recommend_filters(trained, tmp_path, capsys):
    (tmp_path / "only.txt").write_text("f4\nf5\nf1\n")
    (tmp_path / "never.txt").write_text("f5\n")
    filters = ["--items", str(tmp_path / "only.txt"), "--exclude", str(tmp_path / "never.txt")]
    assert (
        run(
            [
                "recommend",
                str(trained),
                "--user",
                "u1",
                *filters,
                "--allow-seen",
                "--format",
                "json",
            ]
        )
        == 0
    )
    assert {row["item"] for row in document(capsys)} == {"f4", "f1"}


def test_recommend_for_someone_new(trained, capsys):
    assert (
        run(["recommend", str(trained), "--history", "f4,f5", "-k", "6", "--format", "json"]) == 0
    )
    items = [row["item"] for row in document(capsys)]
    assert set(items) == {"f1", "f2", "f3", "f6"}


def test_a_table_shows_titles(trained, capsys):
    assert run(["recommend", str(trained), "--user", "u1", "--allow-seen"]) == 0
    assert "Blade Runner" in capsys.readouterr().out


def test_similar(trained, capsys):
    assert run(["similar", str(trained), "--item", "f4", "-k", "5", "--format", "json"]) == 0
    rows = document(capsys)
    assert len(rows) == 5
    assert "f4" not in {row["item"] for row in rows}
    assert all(-1.001 <= row["score"] <= 1.001 for row in rows)


def test_export(trained, tmp_path, capsys):
    assert run(["export", str(trained), "--embeddings", str(tmp_path / "vectors")]) == 0
    users, items = (
        pl.read_parquet(tmp_path / "vectors" / f"{name}.parquet") for name in ("users", "items")
    )
    assert (users.height, items.height) == (24, 6)
    assert set(items["id"]) == {"f1", "f2", "f3", "f4", "f5", "f6"}
    assert len(users["vector"][0]) == 8


def test_explain(trained, tmp_path, capsys):
    assert run(["explain", str(trained), "--user", "u1", "--top", "3", "-k", "3"]) == 0
    assert "Brazil" in capsys.readouterr().out
    assert run(["recommend", str(trained), "--user", "u1", "-k", "6", "--format", "json"]) == 0
    (ranked,) = [row for row in document(capsys) if row["item"] == "f4"]
    assert run(["explain", str(trained), "--user", "u1", "--item", "f4", "--format", "json"]) == 0
    told = document(capsys)
    assert (told["schema"], told["user"], told["item"], told["rank"]) == (
        2,
        "u1",
        "f4",
        ranked["rank"],
    )
    assert told["score"] == pytest.approx(ranked["score"], abs=1e-6)
    assert [(path["length"], path["basis"]) for path in told["paths"]] == [(3, "exact")] * len(
        told["paths"]
    )
    order = [
        (path["users"] is not None, -path["drop_delete"]) for path in told["paths"]
    ]  # own facts first, then other users
    assert order == sorted(order)
    page = tmp_path / "why.html"
    assert run(["explain", str(trained), "--user", "u1", "--top", "2", "--out", str(page)]) == 0
    assert page.read_text().lstrip().lower().startswith("<!doctype html")
    table = tmp_path / "why.csv"
    assert run(["explain", str(trained), "--user", "u1", "--item", "f4", "--out", str(table)]) == 0
    assert pl.read_csv(table).height >= len(order)


def test_nothing_to_explain_is_code_3(trained, capsys):
    assert (
        run(
            [
                "explain",
                str(trained),
                "--user",
                "u1",
                "--item",
                "f6",
                "--max-length",
                "1",
                "--format",
                "json",
            ]
        )
        == 3
    )
    assert document(capsys)["paths"] == []


def test_doctor(dataset, capsys):
    assert run(["doctor", "--json"]) == 0
    assert document(capsys)["prediction"] is None
    assert run(["doctor", str(dataset), "--model", "kgat", "--json"]) == 0
    told = document(capsys)["prediction"]
    assert told["model"] == "kgat"
    assert told["seconds_per_epoch"] > 0
    assert told["peak_memory_bytes"] > 1e6
    assert told["serving_bytes"] > 1e3
    assert run(["doctor", str(dataset), "--model", "popularity"]) == 0
    assert "closed form" in capsys.readouterr().out


def test_explain_names_counts_or_hides_other_users(trained, capsys):
    seen = {}
    for users in ("count", "hide", "show"):
        assert run(
            [
                "explain",
                str(trained),
                "--user",
                "u1",
                "--item",
                "f4",
                "--users",
                users,
                "--format",
                "json",
            ]
        ) in (0, 3)
        told = document(capsys)
        assert told["filters"]["users"] == users
        seen[users] = {
            node["kind"]
            for path in told["paths"]
            for hop in path["hops"][1:]
            for node in (hop["source"], hop["target"])
        }
    assert "users" in seen["count"]
    assert not seen["hide"] & {"user", "users"}
    assert "user" in seen["show"]


@pytest.mark.parametrize("form", ["text", "json", "csv", "html"])
def test_nobody_left_to_explain_is_code_3_in_every_format(form, trained, tmp_path, monkeypatch):
    from kgrec.runs.run import Run

    monkeypatch.setattr(
        Run, "recommend", lambda *_, **__: pl.DataFrame({"item": []}, schema={"item": pl.String})
    )
    out = tmp_path / f"why.{form}"
    assert (
        run(
            [
                "explain",
                str(trained),
                "--user",
                "u1",
                "--top",
                "1",
                "--format",
                form,
                "--out",
                str(out),
            ]
        )
        == 3
    )
    assert out.read_text()


def test_explanations_carry_no_folder_of_this_machine(trained, sources, tmp_path):
    for form in ("json", "csv", "html", "text"):
        out = tmp_path / f"why.{form}"
        assert (
            run(
                [
                    "explain",
                    str(trained),
                    "--user",
                    "u1",
                    "--item",
                    "f6",
                    "--format",
                    form,
                    "--out",
                    str(out),
                ]
            )
            == 0
        )
        assert "kg.ttl" in out.read_text()
        assert str(sources) not in out.read_text()


def test_facts_about_users_are_counted_with_their_relation(sources, tmp_path, capsys):
    (tmp_path / "users.csv").write_text(
        "user_id,shoe\n" + "".join(f"u{n},4{n}\n" for n in range(7))
    )
    parts = [
        "--interactions",
        str(sources / "clicks.csv"),
        "--user-attributes",
        str(tmp_path / "users.csv"),
    ]
    assert (
        run(["-q", "build", *parts, "--split", "leave-one-out", "--out", str(tmp_path / "d")]) == 0
    )
    (line,) = [
        line.split()
        for line in capsys.readouterr().out.splitlines()
        if line.split()[:1] == ["shoe"]
    ]
    assert line == ["shoe", "7", "shoe"]


def test_everyone_is_everyone_also_where_a_user_is_called_all(sources, tmp_path, capsys):
    (tmp_path / "log.csv").write_text((sources / "clicks.csv").read_text().replace("u0,", "all,"))
    assert (
        run(
            [
                "-q",
                "build",
                "--interactions",
                str(tmp_path / "log.csv"),
                "--split",
                "leave-one-out",
                "--out",
                str(tmp_path / "d"),
            ]
        )
        == 0
    )
    assert (
        run(
            [
                "-q",
                "train",
                str(tmp_path / "d"),
                "--model",
                "popularity",
                "--out",
                str(tmp_path / "r"),
            ]
        )
        == 0
    )
    capsys.readouterr()
    assert (
        run(
            [
                "-q",
                "recommend",
                str(tmp_path / "r"),
                "--users",
                "all",
                "-k",
                "1",
                "--format",
                "json",
            ]
        )
        == 0
    )
    assert len(document(capsys)) == 24


def test_a_folder_of_lists_is_ordered_as_wanted(trained, tmp_path):
    """The settings of lists hold there too, and parts of others are not mixed in."""
    wished = ["--popularity", "0.6", "--diversity", "0.5", "-k", "4"]
    base = ["-q", "recommend", str(trained), "--users", "all"]
    assert run([*base, *wished, "--out", str(tmp_path / "parts")]) == 0
    assert run([*base, *wished, "--out", str(tmp_path / "one.parquet")]) == 0
    assert run([*base, "-k", "4", "--out", str(tmp_path / "plain.parquet")]) == 0
    parts = pl.concat([pl.read_parquet(part) for part in (tmp_path / "parts").glob("part-*")])
    one, plain = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("one", "plain"))
    assert parts.rows() == one.select(parts.columns).rows()
    assert one["item"].to_list() != plain["item"].to_list()
    assert run([*base, "-k", "4", "--out", str(tmp_path / "parts")]) == 2
