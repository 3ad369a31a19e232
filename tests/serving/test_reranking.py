"""Lists people want: by a sum that is written out, the same from the run and from its tables, and
with their price.
"""

import json

import numpy as np
import polars as pl
import pytest

import kgrec
from kgrec.cli import run as command
from kgrec.errors import CapabilityError, ConfigError
from kgrec.ops.reranking import Places, Rows, Traits, Wishes, reranked, thirds_of
from kgrec.ops.strangers import KINDS
from kgrec.serving.tables.folder import open_tables
from kgrec.serving.tables.ranking import Person, Ranking
from kgrec.serving.write_tables import Choice, write_tables
from kgrec.testing import worlds

USERS, ITEMS, USED = 30, 160, 150
WISHES = [
    {"diversity": 0.6},
    {"diversity": 1.0, "diversity_by": "facts"},
    {"popularity": 0.7},
    {"popularity": -1.0},
    {"popularity": 0.5, "calibrate": True},
    {"new_items": 0.25},
    {"most": {"r0": 1}},
    {"diversity": 0.3, "popularity": 0.2, "new_items": 0.2, "most": {"r0": 2, "r1": 1}},
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Items 0 to 149 are used, the low ones often; 150 to 155 have facts alone, four nothing."""
    rng = np.random.default_rng(0)
    weight = 1 / np.arange(1, USED + 1)
    train = {
        (user, int(i))
        for user in range(USERS - 1)
        for i in rng.choice(USED, 12, replace=False, p=weight / weight.sum())
    }
    train |= {(int(rng.integers(USERS - 1)), i) for i in range(USED)}
    left = [(u, i) for u in range(1, 20) for i in range(40, 44) if (u, i) not in train]
    left.append((USERS - 1, 3))
    facts = [(i, 0, ITEMS + i % 7) for i in range(USED + 6)]
    facts += [(i, 1, ITEMS + 7 + i // 20) for i in range(USED)]
    world = worlds.dataset(sorted(train), test=left, triples=facts, num_items=ITEMS)
    return world.save(tmp_path_factory.mktemp("data") / "d")


@pytest.fixture(scope="module")
def made(data, tmp_path_factory):
    root = tmp_path_factory.mktemp("lists")
    found = {}

    def make(name):
        if name not in found:
            settings = {} if name == "itemknn" else {"dim": 8, "epochs": 1, "batch_size": 64}
            run = kgrec.fit(name, data, fallback="attributes", **settings)
            write_tables(run, root / name, Choice(lists=120) if name == "bprmf" else None)
            found[name] = run, Ranking(open_tables(root / name))
        return found[name]

    return make


def by_hand(pool, traits, k, wishes, alike):
    """The sum of the docstring, written out."""
    left = dict(zip(pool.items.tolist(), pool.scores.tolist(), strict=True))
    spread = max(left.values()) - min(left.values())
    popular = {i: np.log1p(traits.counts[i]) for i in left}
    low, high = min(popular.values()), max(popular.values())
    chosen = []
    while len(chosen) < k and len(chosen) < len(left):
        best = None
        for item, score in left.items():
            if item in chosen:
                continue
            worth = (score - min(left.values())) / spread
            worth -= wishes.popularity * (popular[item] - low) / (high - low)
            near = max((alike[item, other] for other in chosen), default=0.0)
            share = 1 - wishes.diversity / 2
            value = share * worth - (1 - share) * near
            if best is None or value > best[0] + 1e-6:
                best = value, item
        chosen.append(best[1])
    return chosen


def test_the_order_is_the_sum_of_the_docstring():
    rng = np.random.default_rng(1)
    for _ in range(20):
        vectors = rng.normal(size=(40, 5))
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        counts = rng.integers(1, 200, 40)
        items = rng.permutation(40)[:25]
        scores = np.sort(rng.normal(size=25))[::-1]
        pool = Places(items, scores, np.zeros(25, np.int64))
        traits = Traits(counts, thirds_of(counts), vectors)
        wishes = Wishes(diversity=float(rng.random()), popularity=float(rng.uniform(-1, 1)))
        found = reranked(lambda length, pool=pool: pool, None, 8, wishes, traits)
        assert found.items.tolist() == by_hand(pool, traits, 8, wishes, unit @ unit.T)


def test_facts_are_compared_by_their_weights():
    facts = Rows(np.array([0, 1, 2, 3, 3]), np.array([5, 5, 9]), np.array([1.0, 1.0, 1.0]))
    counts = np.array([4, 4, 4, 4])
    pool = Places(np.arange(4), np.array([1.0, 0.9, 0.6, 0.0]), np.zeros(4, np.int64))
    traits = Traits(counts, thirds_of(counts), None, facts)
    found = reranked(lambda n: pool, None, 4, Wishes(diversity=1.0), traits)
    assert found.items.tolist() == [0, 2, 3, 1]  # 1 is 0's double: .45 - .5 is least of all
    with pytest.raises(CapabilityError, match="no item vectors"):
        reranked(lambda n: pool, None, 4, Wishes(diversity=1.0, diversity_by="vectors"), traits)


def test_calibration_gives_the_person_the_mixture_of_the_own_items():
    counts = np.array([60] * 10 + [6] * 100 + [1] * 600)
    thirds = thirds_of(counts)
    assert np.bincount(thirds).tolist() == [10, 100, 600]
    rng = np.random.default_rng(0)
    items = np.concatenate([np.arange(10), 10 + np.arange(40), 110 + np.arange(50)])
    scores = np.sort(rng.random(100))[::-1]
    pool = Places(items, scores, np.zeros(100, np.int64))
    had = np.concatenate([rng.integers(10, 110, 5), rng.integers(110, 710, 5)])
    traits = Traits(counts, thirds)

    def shares(wishes):
        found = reranked(lambda n: pool, None, 10, wishes, traits, had=had)
        return np.bincount(thirds[found.items], minlength=3) / 10

    assert shares(Wishes(popularity=0.0, diversity=0.0)).tolist() == [1, 0, 0]
    np.testing.assert_allclose(shares(Wishes(popularity=1.0, calibrate=True)), [0, 0.5, 0.5])


@pytest.mark.parametrize("name", ["lightgcn-kg", "bprmf", "itemknn", "kgat"])
def test_tables_give_the_lists_of_the_run(made, name):
    run, ranking = made(name)
    for wishes in WISHES:
        for user, history, k in (
            (3, [], 8),
            (7, ["i2", "i90"], 8),
            (USERS - 1, [], 5),
            (4, [], 20),
        ):
            if name == "bprmf" and user == USERS - 1:
                history = ["i155"]
            frame = run.recommend(f"u{user}", k=k, history=history or None, **wishes)
            person = Person(ranking.user(f"u{user}"), ranking.columns(history)[0])
            found = ranking.recommend(person, k, wishes=Wishes(**wishes))
            assert [ranking.tables.items[c] for c in found.items.tolist()] == frame[
                "item"
            ].to_list()
            np.testing.assert_allclose(found.scores, frame["score"], rtol=2e-5, atol=1e-6)
            assert [KINDS[kind] for kind in found.kinds] == frame["kind"].to_list()


def test_many_users_get_what_each_gets(made):
    run, _ = made("lightgcn-kg")
    users = [f"u{n}" for n in range(USERS)]
    together = run.recommend(users, k=7, diversity=0.5, most={"r1": 1})
    for user in users:
        alone = run.recommend(user, k=7, diversity=0.5, most={"r1": 1})
        assert together.filter(pl.col("user") == user)["item"].equals(alone["item"])


def test_a_shorter_list_is_the_beginning_of_a_longer_one(made):
    run, _ = made("lightgcn-kg")
    for wishes in WISHES:
        long = run.recommend("u5", k=40, **wishes)["item"].to_list()
        assert run.recommend("u5", k=9, **wishes)["item"].to_list() == long[:9]
        assert len(set(long)) == len(long)


def test_caps_hold_and_go_beyond_the_pool(made, data):
    run, _ = made("lightgcn-kg")
    triples = data.triples
    brand = dict(
        zip(triples.head[triples.relation == 0], triples.tail[triples.relation == 0], strict=True)
    )
    frame = run.recommend("u2", k=60, most={"r0": 2})
    rows = data.items.rows(frame["item"].to_list())
    counts = np.bincount([brand[row] for row in rows if row in brand])
    assert counts.max() == 2
    without = [row for row in rows if row not in brand]
    assert len(rows) == counts.sum() + len(without)  # all that may be there
    assert counts.sum() == 14
    with pytest.raises(ConfigError, match=r"unknown facet 'r00'\. Nearest: r0"):
        run.recommend("u2", most={"r00": 2})


def test_new_items_have_their_places(made, data):
    run, _ = made("lightgcn-kg")
    new = {f"i{n}" for n in range(USED, USED + 6)}
    frame = run.recommend("u2", k=20, new_items=0.2)
    places = [
        place for place, item in zip(frame["rank"], frame["item"], strict=True) if item in new
    ]
    assert places[0] <= 5
    assert all(sum(p <= k for p in places) >= int(0.2 * k) for k in range(1, 21))
    nothing = {f"i{n}" for n in range(USED + 6, ITEMS)}  # nothing speaks for these
    assert not nothing & {*frame["item"]}
    with pytest.raises(ConfigError, match="less than one of 10 places"):
        run.recommend("u2", k=10, new_items=0.05)
    assert not new & {*run.recommend("u2", k=20)["item"]}


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"diversity": 1.1}, "from 0 to 1"),
        ({"diversity": float("nan")}, "from 0 to 1"),
        ({"popularity": -2.0}, "from -1 to 1"),
        ({"calibrate": True}, "needs a weight"),
        ({"diversity_by": "colour"}, "vectors, facts"),
        ({"most": {"r0": 0}}, "from 1 on"),
        ({"most": {str(n): 1 for n in range(17)}}, "at most 16"),
    ],
)
def test_wishes_out_of_range_are_refused(wishes, words):
    with pytest.raises(ConfigError, match=words):
        Wishes(**wishes)


def test_evaluation_shows_the_price_of_each_wish(made, data, tmp_path, capsys):
    run, _ = made("lightgcn-kg")
    report = run.evaluate(k=(5, 10), diversity=0.8, most={"r0": 1}, new_items=0.2)
    names = [price.name for price in report.prices]
    assert names == ["plain", "diversity 0.8", "new_items 0.2", "most r0=1", "all together"]
    plain, diverse, new, *_ = report.prices
    for metric in ("recall@5", "ndcg@10"):
        assert plain.metrics[metric] == pytest.approx(report.metrics[metric], abs=0.02)
    # recall of the lists themselves, counted here
    users = [f"u{n}" for n in sorted({int(u) for u in data.test.user})]
    shown = run.recommend(users, k=10, diversity=0.8)
    counted = []
    for user in users:
        wanted = {
            f"i{i}" for u, i in zip(data.test.user, data.test.item, strict=True) if f"u{u}" == user
        }
        items = shown.filter(pl.col("user") == user)["item"].to_list()
        counted.append(len(wanted & {*items}) / len(wanted))
    assert diverse.metrics["recall@10"] == pytest.approx(np.mean(counted))
    change = diverse.changes["recall@10"]
    assert change.mean == pytest.approx(diverse.metrics["recall@10"] - plain.metrics["recall@10"])
    assert change.low <= change.mean <= change.high
    assert new.bought["new@10"] == pytest.approx(0.2, abs=0.02)  # nothing speaks for one user's
    assert plain.bought["new@10"] == 0
    with pytest.raises(ConfigError, match="Nearest: diversity"):
        run.evaluate(diversty=0.3)
    with pytest.raises(ConfigError, match="protocol ranking"):
        run.evaluate(protocol="sampled", diversity=0.3)

    path = str(run.save(tmp_path / "r"))
    options = ["--diversity", "0.8", "--most", "r0=1"]
    done = command(["evaluate", path, *options, "--json"])
    assert done == 0, capsys.readouterr().err
    said = json.loads(capsys.readouterr().out)["prices"]
    assert [one["name"] for one in said] == ["plain", "diversity 0.8", "most r0=1", "all together"]
    assert command(["evaluate", path, *options]) == 0
    assert "difference to the plain lists" in capsys.readouterr().out
    assert command(["recommend", path, "--user", "u1", *options, "--format", "json"]) == 0
    listed = [row["item"] for row in json.loads(capsys.readouterr().out)]
    assert listed == run.recommend("u1", diversity=0.8, most={"r0": 1})["item"].to_list()
    assert command(["recommend", path, "--user", "u1", "--most", "r0"]) == 2
    assert "FACET=N" in capsys.readouterr().err
