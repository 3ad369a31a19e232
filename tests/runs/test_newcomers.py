"""Users and items that join a trained run, by the formulas, worked out again by hand."""

import numpy as np
import polars as pl
import pytest

import kgrec
from kgrec.cli import run as command
from kgrec.errors import CapabilityError, ConfigError, DataError, UnknownIdError
from kgrec.ops.strangers import KINDS
from kgrec.runs.newcomers import of_content
from kgrec.serving.tables.folder import open_tables
from kgrec.serving.tables.ranking import Person, Ranking
from kgrec.serving.write_tables import write_tables
from kgrec.testing import worlds

ITEMS = 30


@pytest.fixture(scope="module")
def run():
    rng = np.random.default_rng(3)
    train = {(user, int(i)) for user in range(40) for i in rng.choice(26, 6, replace=False)}
    facts = [(item, item % 2, ITEMS + item % 5) for item in range(28)]
    data = worlds.dataset(sorted(train), triples=facts, num_items=ITEMS)
    return kgrec.fit("lightgcn-kg", data, dim=8, epochs=2, batch_size=64, patience=0)


def facts_of(rows):
    return kgrec.read_triples(pl.DataFrame(rows, schema=["head", "relation", "tail"], orient="row"))


@pytest.fixture(scope="module")
def grown(run):
    facts = facts_of([("n0", "r0", "e32"), ("n1", "r1", "e31"), ("n1", "r0", "brand-new")])
    used = {"u3": ["n0"], "u4": ["n0"], "anna": ["n1", "i3", "i4"]}
    return run.add_items(facts, interactions=used).fold_in({"bert": ["i1", "n0"]})


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_everyone_before_keeps_vector_and_list(run, grown):
    scorer, before = grown.scorer(), run.scorer()
    np.testing.assert_array_equal(scorer.users[:40], before.users)
    np.testing.assert_array_equal(scorer.items[:ITEMS], before.items)
    assert grown.data.users.keys(range(40, 42)) == ["anna", "bert"]
    assert grown.data.items.keys(range(ITEMS, ITEMS + 2)) == ["n0", "n1"]
    old = [key for key in run.data.items]
    for user in ("u0", "u7"):
        again = grown.recommend(user, k=10, items=old)
        assert again.equals(run.recommend(user, k=10))


def test_a_new_item_is_placed_by_facts_and_first_users(run):
    facts = facts_of([("n0", "r0", "e32")])
    grown = run.add_items(facts, interactions={"u3": ["n0"], "u4": ["n0"]}, quota=1.0)
    users = run.scorer().users.double().numpy()
    items = run.scorer().items.double().numpy()
    # r0 holds for even items, e32 for items 2, 7, 12, ...: 2, 12 and 22 have the fact of n0. It is
    # their only one, so the regression gives their mean
    content = unit(unit(items[[2, 12, 22]]).mean(0))
    people = unit(unit(users[[3, 4]]).mean(0))
    average = unit(unit(users).mean(0))
    length = np.linalg.norm(items[[2, 12, 22]], axis=1).mean()
    expected = length * unit(content + 3 * 2 / (2 + 2) * (people - average / 2))
    np.testing.assert_allclose(grown.scorer().items[ITEMS], expected, rtol=1e-5)
    assert sorted(grown.model.newcomers().near[ITEMS].tolist()) == [-1, -1, 2, 12, 22]


def test_what_facts_say_is_the_ridge_regression_of_dense_tables():
    rng = np.random.default_rng(0)
    facts = sorted(
        {(n, int(r), 40 + int(t)) for n in range(40) for r, t in rng.integers(0, 6, (4, 2))}
    )
    data = worlds.dataset([(n % 5, n) for n in range(40)], triples=facts, num_items=40)
    vectors = rng.normal(size=(40, 8))
    known, rows = np.arange(0, 30), np.array([33, 31, 39])

    # a fact that n of the 40 items have weighs log(40 / n), one of a single item nothing
    names = sorted({fact[1:] for fact in facts})
    table = np.array([[(n, *name) in facts for name in names] for n in range(40)], dtype=float)
    shared = table[:, table.sum(0) > 1]
    table = unit(shared * np.log(40 / shared.sum(0)))
    inner = table[known].T @ table[known] + 10 * np.eye(table.shape[1])
    weights = np.linalg.solve(inner, table[known].T @ unit(vectors[known]))  # the primal form

    said, near = of_content(data, rows, known, vectors)
    np.testing.assert_allclose(said, table[rows] @ weights, atol=1e-6)
    for row, found in zip(rows, near, strict=True):
        likeness = table[known] @ table[row]
        assert found.tolist() == np.argsort(-likeness, kind="stable")[:5].tolist()


def test_a_new_user_has_the_vector_of_the_history(run, grown):
    keys = ["i3", "i4", "i9"]
    frame = run.fold_in({"c": keys}).recommend("c", k=5)
    by_history = run.recommend(history=keys, k=5)
    assert frame["item"].to_list() == by_history["item"].to_list()
    np.testing.assert_allclose(frame["score"], by_history["score"], rtol=1e-5)
    assert set(frame["kind"]) == {"history"}


def test_wishes_of_a_grown_run_are_about_its_own_items(run):
    """What orders lists was made for the items before, and is made again."""
    run.recommend("u3", k=3, diversity=0.5)
    grown = run.add_items(facts_of([("n0", "r0", "e32")]), quota=1.0)
    fresh = run.add_items(facts_of([("n0", "r0", "e32")]), quota=1.0)
    settings = {"k": ITEMS + 1, "diversity": 0.5, "allow_seen": True}
    listed = grown.recommend("u3", **settings)
    assert "n0" in listed["item"].to_list()
    assert listed.equals(fresh.recommend("u3", **settings))
    assert grown.reranker() is not run.reranker()


def test_kinds_are_honest_in_lists_tables_and_after_loading(grown, tmp_path):
    frame = grown.recommend(["u5", "bert"], k=ITEMS)
    kinds = {(user, kind) for user, kind in frame.select("user", "kind").rows()}
    assert kinds >= {("u5", "personal"), ("u5", "content"), ("bert", "history")}
    assert set(frame.filter(pl.col("kind") == "content")["item"]) >= {"n0", "n1"}
    assert "n0" not in frame.filter(pl.col("user") == "bert")["item"].to_list()

    loaded = kgrec.load_run(grown.save(tmp_path / "run"))
    assert loaded.recommend("all", k=6).equals(grown.recommend("all", k=6))
    assert loaded.summary["placed"]["items"] == 2
    write_tables(loaded, tmp_path / "tables")
    ranking = Ranking(open_tables(tmp_path / "tables"))
    for user in ("u5", "bert", "anna"):
        found = ranking.recommend(Person(ranking.user(user)), 8)
        listed = grown.recommend(user, k=8)
        assert [ranking.tables.items[c] for c in found.items.tolist()] == listed["item"].to_list()
        assert [KINDS[kind] for kind in found.kinds.tolist()] == listed["kind"].to_list()


def test_explanations_claim_no_cause(grown):
    found = grown.explain("u5", "n0")
    assert any("n0 was placed by its facts, near i" in note for note in found.notes)
    assert "because" not in found.to_text().lower()
    assert any("folded in after" in note for note in grown.explain("bert", "i5").notes)


@pytest.mark.parametrize("quota", [0.01, 0.1])
def test_a_quota_holds_and_leaves_the_order_of_the_new(run, quota):
    facts = facts_of([(f"n{n}", "r0", f"e{30 + n}") for n in range(5)])
    used = {f"u{user}": [f"n{user % 5}"] for user in range(20)}
    free = run.add_items(facts, interactions=used, quota=1.0)
    held = run.add_items(facts, interactions=used, quota=quota)
    assert held.summary["placed"]["share"] <= quota < free.summary["placed"]["share"]
    some = [f"n{n}" for n in range(5)]
    for user in ("u25", "u30"):
        orders = [one.recommend(user, k=5, items=some)["item"].to_list() for one in (free, held)]
        assert orders[0] == orders[1]


def test_a_table_of_one_product_is_read_as_the_first_table_was(tmp_path):
    rows = {"id": [], "brand": [], "tags": []}
    for item in range(12):
        rows["id"].append(f"i{item}")
        rows["brand"].append("x" if item % 2 else "y")
        rows["tags"].append("p|q" if item % 3 else "r")
    pairs = [(f"u{user}", f"i{(item + user) % 12}") for user in range(9) for item in range(10)]
    log = pl.DataFrame(pairs, schema=["user", "item"], orient="row")
    data = kgrec.Dataset.build(log, kgrec.triples_from_table(pl.DataFrame(rows), item="id"))
    run = kgrec.fit("lightgcn-kg", data, dim=4, epochs=1, patience=0)
    one = pl.DataFrame({"id": ["new"], "brand": ["x"], "tags": ["q|s"]})
    grown = run.add_items(one)
    triples = grown.data.triples
    said = {
        (triples.relations.key(r), triples.entities.key(t))
        for h, r, t in zip(triples.head, triples.relation, triples.tail, strict=True)
        if h == grown.data.items.row("new")
    }
    assert said == {("brand", "brand=x"), ("tags", "tags=q"), ("tags", "tags=s")}


def test_what_cannot_be_placed_is_refused(run, grown, capsys, tmp_path):
    with pytest.raises(DataError, match="no fact or text shared"):
        run.add_items(facts_of([("lonely", "r9", "nothing")]))
    with pytest.raises(DataError, match="no item is new"):
        run.add_items(facts_of([("i0", "r0", "e32")]))
    with pytest.raises(ConfigError, match="known already"):
        run.fold_in({"u0": ["i1"]})
    with pytest.raises(UnknownIdError, match="i999"):
        run.fold_in({"x": ["i999"]})
    with pytest.raises(DataError, match="no interaction with an item that the model"):
        run.fold_in({"x": ["i29"]})
    with pytest.raises(ConfigError, match="no interaction is given"):
        run.fold_in({})
    with pytest.raises(ConfigError, match="quota"):
        run.add_items(facts_of([("n", "r0", "e32")]), quota=0.0)
    itemknn = kgrec.fit("itemknn", run.data)
    with pytest.raises(CapabilityError, match="placed among its vectors"):
        itemknn.fold_in({"x": ["i1"]})
    with pytest.raises(CapabilityError, match="holds vectors alone"):
        grown.explain("u5", "i3", scope="training")
    assert command(["-q", "recommend", str(grown.save(tmp_path / "r")), "--user", "bert"]) == 0
    assert "history" in capsys.readouterr().out
