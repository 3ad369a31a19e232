"""Vectors for other programs: an index is measured, and refused where it loses the lists."""

import json
import re

import numpy as np
import polars as pl
import pytest

import kgrec
from kgrec.cli import run as command
from kgrec.errors import CapabilityError, ConfigError
from kgrec.serving.publishing.vector_index import build_index


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("vectors")
    kgrec.fit("lightgcn-kg", kgrec.load("films"), dim=16, epochs=1).save(root / "run")
    return root


def numbers(seed, items=400, users=60, dim=12):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(items, dim)).astype(np.float32), rng.normal(size=(users, dim))


@pytest.mark.parametrize("kind", ["usearch", "faiss"])
def test_the_command_writes_an_index_that_finds_the_lists(folder, kind, capsys):
    if kind == "usearch":
        library = pytest.importorskip("usearch.index", reason="needs kgrec[index]")
    else:
        library = pytest.importorskip("faiss", reason="needs kgrec[index]")
    goal = folder / kind
    arguments = ["export", str(folder / "run"), "--embeddings", str(goal), "--index", kind]
    assert command([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert json.loads((goal / "vectors.json").read_text()) == said
    about = said["index"]
    assert about["recall@20"] >= 0.95
    items = pl.read_parquet(goal / "items.parquet")
    users = pl.read_parquet(goal / "users.parquet").filter("known")["vector"].to_numpy()
    matrix = items["vector"].to_numpy()
    known = items["known"].to_numpy()
    assert about["rows"] == known.sum()
    hits = 0
    for query in users[:50]:
        if kind == "usearch":
            index = library.Index.restore(str(goal / about["file"]))
            index.expansion_search = about["ef"]
            found = index.search(query, 20).keys
        else:
            index = library.read_index(str(goal / about["file"]))
            found = index.search(query[None], 20)[1][0]
        scores = np.where(known, matrix @ query, -np.inf)
        hits += len({*found.tolist()} & {*np.argsort(-scores)[:20].tolist()})
    assert hits / 1_000 >= 0.95
    assert command(arguments) == 0
    assert "of the exact lists" in capsys.readouterr().out
    assert command(arguments[:-2]) == 0
    assert not (goal / about["file"]).exists()  # its keys are rows of tables that were replaced
    assert "index" not in json.loads((goal / "vectors.json").read_text())


@pytest.mark.parametrize("kind", ["usearch", "faiss"])
def test_distances_are_searched_as_distances_and_unknown_items_are_not(kind):
    pytest.importorskip(kind, reason="needs kgrec[index]")
    items, users = numbers(0)
    known = np.arange(400) % 3 > 0
    made = build_index(kind, items, known, users, "negative_l2")
    assert (made.about["metric"], made.about["rows"]) == ("l2", known.sum())
    assert made.about["recall@20"] >= 0.95


def test_what_would_lose_the_lists_is_refused(folder, capsys, monkeypatch):
    pytest.importorskip("usearch", reason="needs kgrec[index]")
    items, users = numbers(1)
    everything = np.ones(400, dtype=bool)
    with pytest.raises(ConfigError, match="length 1, these have"):
        build_index("usearch", items, everything, users, "inner_product", "int8")
    unit = items / np.linalg.norm(items, axis=1, keepdims=True)
    assert (
        build_index("usearch", unit, everything, users, "inner_product", "int8").about["ef"] >= 64
    )
    with pytest.raises(CapabilityError, match="negative_complex_l1"):
        build_index("usearch", items, everything, users, "negative_complex_l1")
    for kind, dtype, words in (
        ("hnswlib", "float32", "usearch, faiss"),
        ("faiss", "int8", "with --index usearch"),
        ("usearch", "float16", "choose float32"),
    ):
        with pytest.raises(ConfigError, match=words):
            build_index(kind, items, everything, users, "inner_product", dtype)

    # a graph that finds half: one line, and nothing is written
    monkeypatch.setattr("kgrec.serving.publishing.vector_index._recall", lambda found, exact: 0.5)
    goal = folder / "refused"
    arguments = ["export", str(folder / "run"), "--embeddings", str(goal), "--index", "usearch"]
    assert command(arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "0.500 with 16 links, 0.500 with 32 links of the best 20" in said[0]
    assert not goal.exists()
    monkeypatch.setattr("kgrec.serving.publishing.vector_index.find_spec", lambda name: None)
    assert command(arguments) == 2
    assert "kgrec[index]" in capsys.readouterr().err
    assert command(["export", str(folder / "run"), "--serving", str(goal), "--index", "faiss"]) == 2
    for goes in ("--serving", "--embeddings"):
        words = ["export", str(folder / "run"), goes, str(goal), "--index-dtype", "int8"]
        assert command(words) == 2
    said = capsys.readouterr().err
    assert "goes with --embeddings" in said
    assert said.count("--index-dtype int8: goes with --index") == 2


def test_effort_is_raised_until_the_lists_are_found(monkeypatch):
    pytest.importorskip("faiss", reason="needs kgrec[index]")
    shares = iter([0.5, 0.8, 0.96])
    monkeypatch.setattr(
        "kgrec.serving.publishing.vector_index._recall", lambda found, exact: next(shares)
    )
    made = build_index(
        "faiss", *numbers(2)[:1], np.ones(400, dtype=bool), numbers(2)[1], "inner_product"
    )
    assert (made.about["ef"], made.about["recall@20"], made.about["links"]) == (256, 0.96, 16)


def test_the_lines_for_other_stores_do_what_they_say(folder, root, tmp_path, monkeypatch, capsys):
    faiss = pytest.importorskip("faiss", reason="needs kgrec[index]")
    assert command(["export", str(folder / "run"), "--embeddings", str(tmp_path / "vectors")]) == 0
    page = (root / "docs/vectors.md").read_text()
    code = page.partition("## Vector stores")[2].partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)
    held = {}
    exec(code, held)
    index = faiss.IndexFlatIP(held["matrix"].shape[1])
    index.add(held["matrix"])
    user = pl.read_parquet("vectors/users.parquet")["vector"].to_numpy()[:1]
    found = index.search(np.ascontiguousarray(user), 5)[1][0]
    np.testing.assert_array_equal(found, np.argsort(-(held["matrix"] @ user[0]))[:5])
    first = held["points"][3]
    assert (first["id"], first["payload"]["item"]) == (3, held["items"]["id"][3])
    written = pl.read_csv("items.csv", schema_overrides={"id": pl.String})
    vector = np.array(json.loads(written["vector"][3]))
    np.testing.assert_allclose(vector, held["matrix"][3], rtol=1e-6)
    assert written["known"].dtype == pl.Boolean


@pytest.mark.slow
def test_postgresql_parses_the_statements_for_pgvector(root, tmp_path, monkeypatch):
    """Each is the body of a function, which is parsed and not run: the types need not be there.
    With the extension, all of them run.
    """
    import adbc_driver_postgresql.dbapi as adbc
    import postgres

    monkeypatch.setenv("PGPASSWORD", postgres.PASSWORD)
    text = (root / "docs/serving/pgvector.sql").read_text()
    bare = re.sub(r"^--.*$", "", text, flags=re.M)
    statements = [part.strip() for part in bare.split(";") if part.strip()]
    assert len(statements) == 6
    with (
        postgres.server(tmp_path / "server") as address,
        adbc.connect(address, autocommit=True) as database,
        database.cursor() as cursor,
    ):
        for number, one in enumerate(statements):
            body = re.sub(r"^SELECT", "PERFORM", one)
            cursor.execute(
                f"CREATE FUNCTION parsed_{number}() RETURNS void LANGUAGE plpgsql "
                f"AS $$ BEGIN {body}; END $$"
            )
        with pytest.raises(adbc.ProgrammingError, match="syntax"):
            cursor.execute(
                "CREATE FUNCTION x() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SELEC 1; END $$"
            )
        cursor.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'")
        if pl.DataFrame(cursor.fetch_arrow()).item():  # fetchone needs pyarrow
            cursor.execute("CREATE TABLE clicks (user_id text, item_id text)")
            for one in statements:
                cursor.execute(one)
