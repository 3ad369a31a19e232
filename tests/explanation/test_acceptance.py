"""What explanations promise, on trained models and real data: exact budgets, exact deletions, found
reasons, bounded hubs, speed.

ml-100k is given with DBpedia's facts about its films; a LightGCN of three layers over both is
trained here in seconds.
"""

import time
import tracemalloc

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import spearmanr
from shares import few_or

import kgrec
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.explanation.effects.closed_form import Edit
from kgrec.explanation.explainer import Explainer
from kgrec.explanation.search.all_paths import simple_paths
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.graph.lightgcn import LightGCN, LightGCNConfig

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(request, tmp_path_factory):
    folder = request.getfixturevalue("shared_data")("ml-100k")
    parts = {name: folder / "split" / f"{name}.tsv" for name in ("train", "valid", "test")}
    triples = kgrec.read_triples(folder / "dbpedia-films.nt")
    data = kgrec.Dataset.build(
        None, triples, links=folder / "dbpedia-films.link.tsv", split="given", **parts
    )
    return kgrec.fit("lightgcn-kg", data, preset="fast", num_layers=3, epochs=4)


@pytest.fixture(scope="module")
def explainer(run):
    return run.explainer()


def pairs(run, count, seed=0):
    """Draw users, and for each one of the first ten items of the list."""
    rng = np.random.default_rng(seed)
    users = rng.choice(run.data.num_users, count, replace=False)
    ids = [run.data.users.key(int(user)) for user in users]
    lists = run.recommend(ids, k=10)
    return [
        (user, lists.filter(pl.col("user") == user)["item"][int(rng.integers(10))]) for user in ids
    ]


def doubled(run):
    """The same parameters in float64."""
    old = run.model
    model = LightGCN(old.ckg, old.config, torch.Generator()).double()
    model.nodes.data.copy_(old.nodes.detach())
    model.graph.weight.copy_(torch.from_numpy(dense_weights(model)))
    return model.eval()


def dense_weights(model):
    degree = model.graph.csr.degree.numpy().astype(np.float64)
    return 1 / np.sqrt(
        np.repeat(degree, model.graph.csr.degree.numpy()) * degree[model.graph.csr.idx.numpy()]
    )


@few_or(200, 12)
def test_the_budget_of_recommendations_is_complete(count, run, explainer):
    precise = Explainer(doubled(run), run.data)
    worst = {"float32": 0.0, "float64": 0.0}
    shares = []
    for user, item in pairs(run, count):
        u, i = run.data.users.row(user), run.data.items.row(item)
        for name, ex in (("float32", explainer), ("float64", precise)):
            told = ex.budget(u, i)
            parts = told.own + told.bias + told.liked + sum(told.other.values())
            side = told.item_own + told.by_users + sum(term.value for term in told.by_property)
            assert told.supported + told.unsupported == pytest.approx(told.liked, abs=1e-9)
            worst[name] = max(
                worst[name],
                abs(parts - told.score) / abs(told.score),
                abs(side - told.score) / abs(told.score),
            )
        shares.append(
            (told.own / told.score, told.supported / told.score, told.on_graph / told.score)
        )
    own, _, on_graph = np.median(shares, axis=0)
    assert worst["float32"] < 1e-5
    assert worst["float64"] < 1e-10
    assert 0 < on_graph < 0.05 < own


@few_or(20, 5)
def test_deletions_are_exact_and_ten_times_faster(count, run, explainer):
    """Paths of some recommendations, the heaviest hubs and parallel relations among them, against propagating
    everything again.
    """
    model = doubled(run)
    ex = Explainer(model, run.data, screen_top=60, per_liked=60, per_middle=60, users="show")
    linear, ckg = ex.effects.linear, ex.graph.ckg
    worst, compared, explained, fast, slow = 0.0, 0, 0, 0.0, 0.0
    for user, item in pairs(run, count, seed=1):
        u, i = run.data.users.row(user), run.data.items.row(item)
        told = ex.explain(user, item, k=60)
        if not told.paths:
            continue
        began = time.perf_counter()
        pair = linear.at(ckg.user_node(u), i)
        edits = [
            Edit(
                np.array(
                    [
                        sorted(node_of(ex, node) for node in (hop.source, hop.target))
                        for hop in path.hops
                    ]
                )
            )
            for path in told.paths
        ]
        both = pair.scores(edits, ("delete", "mask"))
        fast += (time.perf_counter() - began) / len(edits) / 2
        explained += 1
        for number, path in enumerate(told.paths):
            assert pair.score - both[0, number] == pytest.approx(path.drop_delete, abs=1e-12)
            if number % 10 == 0:
                began = time.perf_counter()
                for row, mode in enumerate(("delete", "mask")):
                    anew = linear.ranking(ckg.user_node(u), ckg.num_items, edits[number], mode)[i]
                    worst = max(worst, abs(anew - both[row, number]))
                slow += (time.perf_counter() - began) / 2
            compared += 1
    ratio = (slow / (-(-compared // 10))) / (fast / explained)
    assert compared >= 25 * count
    assert worst < 1e-9
    assert ratio >= 10


def node_of(ex, node):
    if node.kind == "user":
        return ex.graph.ckg.user_node(ex.data.users.row(node.key))
    return (
        ex.data.items.row(node.key)
        if node.kind == "item"
        else ex.data.triples.entities.row(node.key)
    )


@few_or(200, 40)
def test_best_paths_drop_more_than_random_ones(count, run, explainer):
    """The five best against random connecting paths of equal length, and against
    the five largest drops there are.
    """
    rng = np.random.default_rng(3)
    best, chance, oracle, ranks = [], [], [], []
    for number, (user, item) in enumerate(pairs(run, count, seed=2)):
        ex = explainer
        u, i = run.data.users.row(user), run.data.items.row(item)
        effects = ex.effects.at(u, i)
        found = simple_paths(ex.graph, ex.graph.ckg.user_node(u), i, 3)
        edges = found.edges[2]
        if len(edges) < 20:
            continue
        screened = effects.removal(edges).sum(1)
        top = np.argsort(-screened, kind="stable")[:5]
        picked = rng.choice(len(edges), 20, replace=False)
        if number < count // 8:
            some = rng.choice(len(edges), min(len(edges), 400), replace=False)
            chosen = np.unique(np.concatenate([some, top]))
            scores = effects.without([edges[n] for n in chosen], ("delete", "mask"))
            drops = scores[:, :1] - scores[:, 1:]
            ranks.append(
                spearmanr(
                    effects.pair.edge_effects(
                        ex.graph.low[edges[chosen]], ex.graph.high[edges[chosen]]
                    ).sum(1),
                    drops[1],
                )[0]
            )
            oracle.append(
                drops[0][np.searchsorted(chosen, top)].mean() / np.sort(drops[0])[-5:].mean()
            )
        scores = effects.without([edges[n] for n in [*top, *picked]], ("delete",))
        drops = scores[0, 0] - scores[0, 1:]
        best.append(drops[:5].mean())
        chance.append(drops[5:].mean())
    ratio = np.mean(best) / np.mean(chance)
    assert len(best) > count / 2
    assert ratio >= 1.5
    assert np.mean(oracle) >= 0.95
    assert np.median(ranks) >= 0.95


def planted(seed, real=True, users=600, items=400, values=20, families=7, mine=6, noise=10):
    """Likes caused by one property of seven; ten random ones each. ``real=False``: likes are
    random, no property causes them.
    """
    rng = np.random.default_rng(seed)
    family = np.stack([rng.permutation(np.arange(items) % values) for _ in range(families)])
    taste, likes, held = rng.integers(0, values, users), set(), []
    for user in range(users):
        own = rng.permutation(np.flatnonzero(family[0] == taste[user]) if real else items)[
            : mine + 1
        ]
        likes |= {(user, int(item)) for item in own[:mine]}
        held.append(int(own[mine]))
        likes |= {
            (user, int(item))
            for item in rng.choice(np.setdiff1d(np.arange(items), own), noise, replace=False)
        }
    head, relation = np.tile(np.arange(items), families), np.repeat(np.arange(families), items)
    keys = [f"e{n}" for n in range(items + families * values)]
    triples = Triples(
        entities=Vocabulary(keys),
        relations=Vocabulary([f"r{n}" for n in range(families)], kind="relation"),
        head=head.astype(np.int32),
        relation=relation.astype(np.int32),
        tail=(items + relation * values + family.ravel()).astype(np.int32),
        source=np.zeros(len(head), np.uint16),
        locator=np.arange(1, len(head) + 1),
        sources=("planted",),
        formats=("made",),
        labels=pl.Series("label", keys),
        relation_labels=pl.Series("label", [None] * families, dtype=pl.String),
    )
    data = kgrec.Dataset(
        name="planted",
        users=Vocabulary([f"u{n}" for n in range(users)], kind="user"),
        items=Vocabulary([f"i{n}" for n in range(items)], kind="item"),
        triples=triples,
        train=Interactions(*np.array(sorted(likes), dtype=np.int32).T),
        valid=Interactions(np.arange(users, dtype=np.int32), np.array(held, dtype=np.int32)),
        test=Interactions(),
    )
    return data, held


def reasons(seed, real):
    """Return, per ranking, how often the best path passes through the true property, and the mean
    drop of the best paths.
    """
    data, held = planted(seed, real)
    ex = kgrec.fit("lightgcn-kg", data, preset="fast", seed=seed).explainer(users="hide")
    right, drops = {by: 0 for by in ("drop", "attribution", "weight")}, []
    for user in range(60):
        for by in right:
            best = ex.explain(f"u{user}", f"i{held[user]}", k=1, rank_by=by).paths[0]
            right[by] += best.length == 3 and 400 <= int(best.nodes[2].key[1:]) < 420
            drops += [best.drop_delete] if by == "drop" else []
    return {by: count / 60 for by, count in right.items()}, float(np.mean(drops))


@pytest.mark.long
def test_a_planted_reason_is_found_and_none_where_there_is_none():
    found = [reasons(seed, real=True) for seed in range(5)]
    shares = {
        by: float(np.mean([one[0][by] for one in found]))
        for by in ("drop", "attribution", "weight")
    }
    control = [reasons(seed, real=False) for seed in range(2)]
    true, none = np.mean([one[1] for one in found]), np.mean([one[1] for one in control])
    assert all(one[0]["drop"] >= 0.95 and one[0]["attribution"] >= 0.95 for one in found)
    assert shares["weight"] <= shares["drop"] - 0.20
    assert none < true / 3
    assert np.mean([one[0]["drop"] for one in control]) < 0.35  # one family of seven


def test_a_hub_is_bounded_exact_and_said():
    """A genre that a hundred thousand items share, and a film that as many users like."""
    hub, extra = 100_000, 300
    items, users, entities = hub + extra, 100_050, hub + extra + 200
    rng = np.random.default_rng(0)
    fans = np.stack([np.arange(100_000), np.zeros(100_000, np.int64)], 1)
    likes = np.concatenate(
        [
            fans,
            np.stack([np.repeat(np.arange(100_000, 100_050), 20), rng.integers(0, items, 1000)], 1),
        ]
    )
    mine = np.array([[100_000, 0], [100_000, 1], [100_000, 2]])
    likes = np.unique(np.concatenate([likes, mine]), axis=0)
    genre = np.stack([np.arange(hub), np.ones(hub, np.int64), np.full(hub, items)], 1)
    others = np.stack(
        [rng.integers(0, items, 2000), np.full(2000, 2), items + rng.integers(1, 200, 2000)], 1
    )
    facts = np.unique(np.concatenate([genre, others]), axis=0)
    ckg = CollaborativeKG(
        users,
        items,
        entities,
        3,
        np.concatenate([likes[:, 0] + entities, facts[:, 0]]),
        np.concatenate([np.zeros(len(likes), np.int64), facts[:, 1]]),
        np.concatenate([likes[:, 1], facts[:, 2]]),
        np.concatenate([np.full(len(likes), -1), np.arange(len(facts))]),
    )
    keys = [f"e{n}" for n in range(entities)]
    triples = Triples(
        entities=Vocabulary(keys),
        relations=Vocabulary(["genre", "other"], kind="relation"),
        head=facts[:, 0].astype(np.int32),
        relation=(facts[:, 1] - 1).astype(np.int32),
        tail=facts[:, 2].astype(np.int32),
        source=np.zeros(len(facts), np.uint16),
        locator=np.arange(1, len(facts) + 1),
        sources=("hub",),
        formats=("made",),
        labels=pl.Series("label", keys),
        relation_labels=pl.Series("label", [None, None], dtype=pl.String),
    )
    data = kgrec.Dataset(
        name="hub",
        users=Vocabulary([f"u{n}" for n in range(users)], kind="user"),
        items=Vocabulary([f"i{n}" for n in range(items)], kind="item"),
        triples=triples,
        train=Interactions(*likes.astype(np.int32).T),
        valid=Interactions(),
        test=Interactions(),
    )
    model = LightGCN(
        ckg, LightGCNConfig(dim=16, num_layers=3, knowledge=True), torch.Generator().manual_seed(0)
    ).eval()
    ex = Explainer(model, data)
    ex.explain("u100000", "i5")
    tracemalloc.start()
    began = time.perf_counter()
    told = ex.explain("u100000", "i5")
    seconds = time.perf_counter() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 4  # twice the goal: other work may run beside the test
    assert peak < 500 * 2**20
    assert not told.truncated
    neighbors = {int(row) for row in likes[likes[:, 0] == 100_000, 1]}
    near = [set(facts[facts[:, 0] == item, 2].tolist()) for item in (5, *neighbors)]
    through = sum(
        len(near[0] & one) for item, one in zip(neighbors, near[1:], strict=True) if item != 5
    )
    both = {int(u) for u in likes[likes[:, 1] == 5, 0]} - {100_000}
    through += sum(
        len(both & {int(u) for u in likes[likes[:, 1] == item, 0]})
        for item in neighbors
        if item != 5
    )
    assert told.counts["3"] == through
    capped = Explainer(model, data, budget=50_000).explain("u100000", "i5")
    assert capped.truncated
    assert any("hops" in note or "budget" in note for note in capped.notes)
    lifted = Explainer(model, data, budget=10**9).explain("u100000", "i5")
    assert lifted.to_dict()["paths"] == told.to_dict()["paths"]


def test_an_explanation_is_ten_times_cheaper_than_deleting_by_propagation(run, explainer):
    drawn = pairs(run, 30, seed=5)
    explainer.explain(*drawn[0])
    seconds, anew = [], []
    linear, ckg = explainer.effects.linear, explainer.graph.ckg
    for user, item in drawn:
        began = time.perf_counter()
        told = explainer.explain(user, item)
        seconds.append(time.perf_counter() - began)
        u = ckg.user_node(run.data.users.row(user))
        began = time.perf_counter()
        linear.ranking(
            u, ckg.num_items, Edit(np.array([[u, run.data.items.row(told.paths[0].nodes[1].key)]]))
        )
        anew.append(time.perf_counter() - began)
    measured = 30 * 2  # paths that are measured in two modes
    ratio = np.median(anew) * measured / np.median(seconds)
    assert ratio >= 10


def test_only_training_facts_explain(run, explainer):
    """Test and validation interactions are no paths, and every hop is in the training graph."""
    held = {
        (int(u), int(i))
        for part in (run.data.valid, run.data.test)
        for u, i in zip(part.user, part.item, strict=True)
    }
    seen = 0
    for user, item in pairs(run, 40, seed=6):
        for path in explainer.explain(user, item, users="show").paths:
            for hop in path.hops:
                if hop.liked:
                    who, what = (
                        (hop.source, hop.target)
                        if hop.source.kind == "user"
                        else (hop.target, hop.source)
                    )
                    pair = run.data.users.row(who.key), run.data.items.row(what.key)
                    assert pair not in held
                    assert explainer.train[pair] == 1
                    seen += 1
    assert seen > 200


@few_or(40, 12)
def test_other_embeddings_give_other_reasons(count, run, explainer):
    """A trained model's best paths against those of the same graph with random embeddings."""
    model = LightGCN(run.model.ckg, run.model.config, torch.Generator().manual_seed(7)).eval()
    other = Explainer(model, run.data)
    same = []
    for user, item in pairs(run, count, seed=8):
        one, two = (
            {tuple(node.key for node in path.nodes) for path in ex.explain(user, item, k=5).paths}
            for ex in (explainer, other)
        )
        same.append(len(one & two) / max(1, len(one | two)))
    assert np.mean(same) < 0.5
    drawn = pairs(run, 5, seed=8)
    assert [explainer.explain(*pair).to_json() for pair in drawn] == [
        run.explainer().explain(*pair).to_json() for pair in drawn
    ]
