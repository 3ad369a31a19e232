"""Tables served by numpy alone: whole or not at all, and lists equal to ``Run.recommend``."""

import json
import shutil
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch

import kgrec
from kgrec.cli import run as command
from kgrec.data.io.folders import MANIFEST
from kgrec.data.shaping.facets import facets_of_cells
from kgrec.errors import CapabilityError, CheckpointError, ConfigError, MissingFileError
from kgrec.ops.folding import MeanFold, SquaresFold, unit
from kgrec.ops.strangers import KINDS
from kgrec.runs.doctor import served_bytes
from kgrec.serving.tables.best import best
from kgrec.serving.tables.folder import open_tables
from kgrec.serving.tables.ranking import Person, Ranking
from kgrec.serving.write_tables import Choice, _Writer, write_tables
from kgrec.testing import worlds

USERS, ITEMS = 40, 30
LATE, STRANGER = USERS - 2, USERS - 1  # validation interactions alone, and none
NAMES = ["bprmf", "lightgcn-kg", "kgat", "ials", "itemknn", "ease", "gfcf", "transe", "popularity"]
NAMES += ["kgfuse", "ultragcn"]
SETTINGS = {"lightgcn-kg": {"dim": 8}, "kgat": {"dim": 8}, "bprmf": {"dim": 8}, "ials": {"dim": 4}}
SETTINGS["kgfuse"] = {"dim": 8, "steps": 2, "trial_epochs": 1, "item_weights": (0.5,)}


@pytest.fixture(scope="module")
def data():
    """Items 0 to 25 are used, 26 and 27 have facts, 28 and 29 nothing; users 0 to 37 have a log."""
    rng = np.random.default_rng(3)
    train = {(user, int(i)) for user in range(LATE) for i in rng.choice(26, 6, replace=False)}
    train |= {(0, item) for item in range(24)}  # more than the fold takes without steps
    left = [(u, next(i for i in range(26) if (u, i) not in train)) for u in range(1, 9)]
    facts = [(item, item % 2, ITEMS + item % 5) for item in range(28)]
    return worlds.dataset(
        sorted(train),
        valid=[*left, (LATE, 2), (LATE, 4)],
        test=[(STRANGER, 3)],
        triples=facts,
        num_items=ITEMS,
    )


@pytest.fixture(scope="module")
def served(data, tmp_path_factory):
    """Return a run and its ranking by name; each is made once."""
    root = tmp_path_factory.mktemp("served")
    made = {}
    patch = pytest.MonkeyPatch()
    patch.setattr("kgrec.serving.write_tables._SEARCHED", 0)  # as a large catalog is searched

    def serve(name):
        if name not in made:
            fallback = "attributes" if name == "ease" else "popularity"
            run = kgrec.fit(
                name, data, epochs=2, batch_size=64, fallback=fallback, **SETTINGS.get(name, {})
            )
            write_tables(run, root / name)
            made[name] = run, Ranking(open_tables(root / name))
        return made[name]

    yield serve
    patch.undo()


def listed(ranking, found):
    tables = ranking.tables
    items = [tables.items[column] for column in found.items.tolist()]
    return items, found.scores.tolist(), [KINDS[kind] for kind in found.kinds.tolist()]


def assert_equal(ranking, found, frame):
    """The ids are equal where scores differ by more than rounding, and the scores and kinds are."""
    items, scores, kinds = listed(ranking, found)
    assert kinds == frame["kind"].to_list()
    np.testing.assert_allclose(scores, frame["score"].to_numpy(), rtol=2e-5, atol=1e-6)
    wanted = dict(zip(frame["item"].to_list(), frame["score"].to_list(), strict=True))
    for place, (item, other) in enumerate(zip(items, wanted, strict=True)):
        tied = wanted.get(item, wanted[other])  # the last place may be one of several that tie
        assert item == other or tied == pytest.approx(scores[place], rel=2e-5, abs=1e-6)


def of(ranking, user=None, history=()):
    columns, _ = ranking.columns([f"i{item}" for item in history])
    return Person(None if user is None else ranking.user(f"u{user}"), columns)


@pytest.mark.parametrize("name", NAMES)
def test_lists_equal_those_of_the_run(served, name):
    run, ranking = served(name)
    some = np.array([0, 3, 4, 7, 12, 26, 28])
    only, _ = ranking.columns([f"i{item}" for item in some])
    for user in (*range(10), LATE, STRANGER):
        person = of(ranking, user)
        assert_equal(ranking, ranking.recommend(person, 8), run.recommend(f"u{user}", k=8))
        # a list as long as the catalog: nothing is there twice, and what is unknown comes last
        whole = ranking.recommend(person, ITEMS, allow_seen=True)
        assert_equal(ranking, whole, run.recommend(f"u{user}", k=ITEMS, allow_seen=True))
        assert len(set(whole.items.tolist())) == len(whole.items)
        assert_equal(
            ranking,
            ranking.recommend(person, 4, candidates=np.sort(only), exclude=only[:1]),
            run.recommend(f"u{user}", k=4, items=[f"i{i}" for i in some], exclude=[f"i{some[0]}"]),
        )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("history", [[1], [2, 28, 5], [28], list(range(23))])
def test_histories_are_folded_in_as_the_run_does(served, name, history):
    run, ranking = served(name)
    keys = [f"i{item}" for item in history]
    if name == "ultragcn":
        with pytest.raises(CapabilityError):
            run.recommend(history=keys)
        assert ranking.recommend(of(ranking, None, history), 5).kind == KINDS.index("popular")
    else:
        found = ranking.recommend(of(ranking, None, history), 5)
        assert_equal(ranking, found, run.recommend(history=keys, k=5))

    for user in (0, 3, LATE, STRANGER):
        found = ranking.recommend(of(ranking, user, history), 5)
        assert_equal(ranking, found, run.recommend(f"u{user}", history=keys, k=5))
        assert not {*found.items.tolist()} & {*ranking.columns(keys)[0].tolist()}


def test_a_stranger_with_few_candidates_gets_each_once(served):
    run, ranking = served("bprmf")
    keys = ["i28", "i3"]
    frame = run.recommend(f"u{STRANGER}", items=keys, k=5)
    assert frame["item"].to_list() == ["i3", "i28"]
    only = np.sort(ranking.columns(keys)[0])
    found = ranking.recommend(of(ranking, STRANGER), 5, candidates=only)
    assert_equal(ranking, found, frame)


def test_new_clicks_move_a_known_user(served):
    for name in ("lightgcn-kg", "ials", "itemknn", "kgat"):
        run, ranking = served(name)
        before = run.recommend("u5", k=ITEMS)["item"].to_list()
        new = [int(item[1:]) for item in before if int(item[1:]) < 26][-6:]
        after = ranking.recommend(of(ranking, 5, new), ITEMS)
        kept = [item for item in before if int(item[1:]) not in new]
        assert sorted(listed(ranking, after)[0]) == sorted(kept)
        assert after.kind == KINDS.index("personal")
        assert after.new == 6
        moved = ranking.recommend(of(ranking, 5), ITEMS).scores[: len(kept)]
        assert not np.allclose(moved, after.scores)


@pytest.mark.parametrize("name", ["lightgcn-kg", "ials", "itemknn", "ease", "gfcf"])
def test_similar_items_are_those_of_the_run(served, name):
    run, ranking = served(name)
    (column,) = ranking.columns(["i3"])[0].tolist()
    items, scores, _ = listed(ranking, ranking.similar(column, 6))
    frame = run.similar_items("i3", k=6)
    assert items == frame["item"].to_list()
    np.testing.assert_allclose(scores, frame["score"], rtol=2e-5, atol=1e-6)
    (alone,) = ranking.columns(["i29"])[0].tolist()
    with pytest.raises(CapabilityError, match="learned nothing"):
        ranking.similar(alone)


def test_best_is_a_stable_sort():
    rng = np.random.default_rng(0)
    for _ in range(300):
        scores = rng.integers(0, 5, rng.integers(1, 12)).astype(np.float32)
        scores[rng.random(len(scores)) < 0.3] = -np.inf
        expected = [i for i in np.argsort(-scores, kind="stable") if scores[i] > -np.inf]
        k = int(rng.integers(1, 14))
        assert best(scores, k).tolist() == expected[:k]


def test_the_mean_is_the_formula_and_the_steps_descend():
    rng = np.random.default_rng(1)
    items = unit(rng.normal(size=(50, 6))).astype(np.float32)
    average = unit(rng.normal(size=6))
    for temperature in (0.2, 0.0):
        fold = MeanFold(items, average, np.arange(45), temperature)
        for n in (1, 2, 5):
            mean = items[:n].astype(np.float64).mean(0)
            expected = mean / np.linalg.norm(mean) + min(1, 2 / n) * average
            np.testing.assert_allclose(fold.vector(np.arange(n)), expected, atol=1e-6)

        def loss(vector, history, temperature=temperature):
            if not temperature:
                rest = np.setdiff1d(np.arange(45), history)
                gaps = (items[history] @ vector)[:, None] - (items[rest] @ vector)
                return np.logaddexp(0, -gaps).mean()
            logits = items[:45] @ unit(vector) / temperature
            return (np.logaddexp.reduce(logits) - logits[history]).mean()

        history = np.arange(25)
        start = unit(items[history].mean(0))
        found = fold.vector(history) - 2 / 25 * average
        assert loss(found, history) < loss(start, history) or not temperature
        descended = fold.moved(start, history)  # of pairs the length counts: the vector is a unit
        assert loss(descended, history) < loss(start, history)
        own = rng.normal(size=6).astype(np.float32) * 3
        moved = fold.moved(own, history)
        assert loss(unit(moved), history) < loss(unit(own), history) or not temperature
        if temperature:
            assert np.linalg.norm(moved) == pytest.approx(np.linalg.norm(own), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.2, 0.0])
def test_slopes_are_the_gradients_of_the_losses(temperature):
    rng = np.random.default_rng(2)
    items = rng.normal(size=(12, 4))
    items = unit(items) if temperature else items
    history, contrast = np.array([1, 4, 7]), np.arange(10)
    vector = torch.tensor(rng.normal(size=4), requires_grad=True)
    table = torch.from_numpy(items)
    if temperature:
        logits = table @ (vector / vector.norm()) / temperature
        loss = (logits[:10].logsumexp(0) - logits[history]).mean()
    else:
        rest = np.setdiff1d(contrast, history)
        gaps = (table[history] @ vector)[:, None] - (table[rest] @ vector)[None, :]
        loss = torch.nn.functional.softplus(-gaps).mean()
    loss.backward()
    # the first step of Adam is the sign of the gradient times the rate
    fold = MeanFold(items, np.zeros(4), contrast, temperature)
    steps = fold.slope(vector.detach().numpy(), history)
    np.testing.assert_allclose(steps, vector.grad.numpy(), rtol=1e-6, atol=1e-9)


def test_least_squares_are_those_of_the_model(served):
    run, _ = served("ials")
    history = np.array([2, 5, 11])
    fold = run.model.own_fold()
    assert isinstance(fold, SquaresFold)
    expected = run.model.solve(run.model.items, torch.tensor([0, 3]), torch.from_numpy(history))
    np.testing.assert_allclose(fold.vector(history), expected[0], rtol=1e-4, atol=1e-6)


def test_neither_torch_nor_polars_is_imported(served, root):
    _, ranking = served("lightgcn-kg")
    code = (
        "import sys\n"
        "from kgrec.serving.tables.folder import open_tables\n"
        "from kgrec.serving.tables.ranking import Person, Ranking\n"
        f"r = Ranking(open_tables({str(ranking.tables.path)!r}))\n"
        "print(r.tables.items[r.recommend(Person(r.user('u3')), 1).items[0]])\n"
        "sys.exit(', '.join({'torch', 'polars', 'scipy', 'pandas'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=root
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == served("lightgcn-kg")[0].recommend("u3", k=1)["item"][0]


def test_lists_that_are_computed_before_are_the_same(served, tmp_path):
    run, ranking = served("kgat")
    about = write_tables(run, tmp_path / "t", Choice(lists=7))
    assert about.lists == 7
    again = Ranking(open_tables(tmp_path / "t"))
    for user in (0, 4, LATE, STRANGER):
        for k in (3, 7, 9):
            assert_equal(again, again.recommend(of(again, user), k), run.recommend(f"u{user}", k=k))
    assert ranking.tables.about.run == again.tables.about.run


def test_without_users_histories_alone_are_served(served, tmp_path):
    run, _ = served("lightgcn-kg")
    write_tables(run, tmp_path / "t", Choice(with_users=False))
    names = {path.name for path in (tmp_path / "t").iterdir()}
    assert not [name for name in names if name.startswith("users.")]
    ranking = Ranking(open_tables(tmp_path / "t"))
    assert ranking.user("u1") is None
    found = ranking.recommend(of(ranking, None, [1, 2]), 5)
    assert_equal(ranking, found, run.recommend(history=["i1", "i2"], k=5))
    with pytest.raises(ConfigError, match="belong to users"):
        Choice(with_users=False, lists=3)


def test_an_item_matrix_is_cut_with_its_price_or_refused(served, tmp_path):
    run, _ = served("ease")
    with pytest.raises(ConfigError, match="GiB"):
        write_tables(run, tmp_path / "t", Choice(most_bytes=100))
    assert not (tmp_path / "t").exists()
    whole = write_tables(run, tmp_path / "t")
    assert (whole.kept, whole.agreement) == (0, 1.0)
    cut = write_tables(run, tmp_path / "t", Choice(neighbors=5))
    assert cut.kept == 5
    matrix = open_tables(tmp_path / "t").source.sparse
    assert max(np.diff(matrix.ptr)) == 5
    weights = run.model.weights.numpy()
    column = {int(row): n for n, row in enumerate(open_tables(tmp_path / "t").source.rows)}
    largest = np.sort(np.abs(weights[7]))[-5:]
    np.testing.assert_allclose(np.sort(np.abs(matrix.weights(column[7]))), largest, rtol=1e-6)

    rows = open_tables(tmp_path / "t").source.rows
    full = weights[np.ix_(rows, rows)]
    few = np.stack([matrix.total([n], np.dtype(np.float32)) for n in range(ITEMS)])
    shares = []
    for user in range(LATE):
        own = [column[int(i)] for i in run.data.train.item[run.data.train.user == user]]
        lists = []
        for table in (full, few):
            scores = table[own].sum(0)
            scores[own] = -np.inf
            lists.append({*best(scores, 20).tolist()})
        shares.append(len(lists[0] & lists[1]) / len(lists[0]))
    assert cut.agreement == pytest.approx(np.mean(shares), abs=0.01)


@pytest.mark.parametrize("sparse", [0.0, 0.02, 1.0])
def test_products_are_made_once_and_are_the_same_however_kept(
    served, tmp_path, monkeypatch, sparse
):
    """A matrix that turns out too full after some rows is written whole from them on."""
    run, ranking = served("itemknn")
    made = []
    plain = _Writer._blocks

    def counted(self, kept=0):
        for block in plain(self, kept):
            made.append(len(block))
            yield block

    monkeypatch.setattr("kgrec.serving.write_tables._SPARSE", sparse)
    monkeypatch.setattr("kgrec.serving.write_tables.chunk_rows", lambda *_: 4)
    monkeypatch.setattr(_Writer, "_blocks", counted)
    write_tables(run, tmp_path / "t")
    assert sum(made) == ITEMS
    source = open_tables(tmp_path / "t").source
    assert (source.dense is None) == (sparse == 1.0)
    np.testing.assert_allclose(
        np.stack([source.similar(n) for n in range(ITEMS)]),
        np.stack([ranking.source.similar(n) for n in range(ITEMS)]),
        rtol=1e-6,
    )


def test_models_that_score_themselves_are_refused(data, tmp_path):
    run = kgrec.fit("userknn", data)
    with pytest.raises(CapabilityError, match="kgrec serve RUN"):
        write_tables(run, tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_a_fold_of_an_outside_model_stays_as_it_is(data, tmp_path, monkeypatch):
    run = kgrec.fit("lightgcn", data, dim=4, epochs=1)
    monkeypatch.setattr(type(run.model), "folds_in", False)
    with torch.inference_mode():
        own = run.model.scorer().fold(torch.tensor([[1, 2]]), torch.ones(1, 2, dtype=torch.bool))
        kept = run.scorer().fold(torch.tensor([[1, 2]]), torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(kept, own)
    assert write_tables(run, tmp_path / "t").fold is None
    ranking = Ranking(open_tables(tmp_path / "t"))
    assert KINDS[ranking.recommend(of(ranking, None, [1, 2]), 3).kind] in ("content", "popular")


def test_filters_are_facts_literals_and_columns(data, tmp_path):
    run = kgrec.fit("itemknn", data)
    frame = pl.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(10)],
            "in_stock": ["yes", "no"] * 5,
            "price": [float(n) for n in range(10)],
        }
    )
    frame.write_csv(tmp_path / "items.csv")
    about = write_tables(run, tmp_path / "t", Choice(items=tmp_path / "items.csv"))
    assert {"in_stock", "price"} <= {facet.name for facet in about.facets}
    tables = open_tables(tmp_path / "t")

    def names(where):
        return {tables.items[column] for column in tables.facets.columns(where).tolist()}

    from kgrec.serving.tables.facets import Range

    assert names({"in_stock": ["yes"]}) == {f"i{n}" for n in range(0, 10, 2)}
    assert names({"price": Range(3, 5)}) == {"i3", "i4", "i5"}
    assert names({"price": Range(min=8), "in_stock": ["yes", "no"]}) == {"i8", "i9"}
    triples = data.triples
    relation, entity = triples.relations.key(0), triples.entities.key(int(triples.tail[0]))
    held = {
        f"i{h}"
        for h, r, t in zip(triples.head, triples.relation, triples.tail, strict=True)
        if r == 0 and triples.entities.key(int(t)) == entity
    }
    assert held
    assert names({relation: [entity]}) == held
    assert names({relation: ["nothing like it"]}) == set()
    with pytest.raises(ConfigError, match=r"unknown facet 'pric'\. Nearest: price"):
        names({"pric": Range(1)})
    with pytest.raises(ConfigError, match="expected"):
        names({"price": ["3"]})


def test_ids_of_any_text_are_found(tmp_path):
    from kgrec.serving.tables.columns import Ids, id_arrays

    keys = ["", "007", "7", "a/b?c=%2F", "ü" * 2000, "\x1f", "\U0001f600", "line\nbreak", " x "]
    ids = Ids(id_arrays("x", keys), "x")
    assert [ids.row(key) for key in keys] == list(range(len(keys)))
    assert [ids[row] for row in range(len(keys))] == keys
    assert ids.row("07") is None


def test_the_command_writes_tables_and_says_what_they_are(served, tmp_path, capsys):
    run, _ = served("lightgcn-kg")
    run.save(tmp_path / "run")
    goal = str(tmp_path / "t")
    assert command(["export", str(tmp_path / "run"), "--serving", goal, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["model"], said["form"], said["items"]) == ("lightgcn-kg", "vectors", ITEMS)
    arrays = open_tables(goal).arrays
    numbers = [arrays[n].nbytes for n in ("users.vectors", "items.vectors", "items.columns")]
    assert served_bytes(run.scorer(), run.data) == sum(numbers)
    assert said["bytes"] > sum(numbers)
    for more, words in (
        ([], "export what"),
        (["--serving", goal, "--embeddings", goal], "export what"),
        (["--embeddings", goal, "--lists", "3"], "go with --serving"),
        (["--serving", str(tmp_path / "run")], "not a serving folder"),
        (["--serving", goal, "--reasons", str(tmp_path / "none")], "no such file"),
    ):
        assert command(["export", str(tmp_path / "run"), *more]) == 2
        assert words in capsys.readouterr().err
    assert open_tables(goal).about.run == said["run"]


@pytest.fixture
def folder(served, tmp_path):
    _, ranking = served("lightgcn-kg")
    return shutil.copytree(ranking.tables.path, tmp_path / "moved")


def test_a_folder_moves_and_a_damaged_one_is_refused(folder):
    open_tables(folder)
    file = folder / "items.vectors.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"\x01")
    with pytest.raises(CheckpointError, match="SHA-256"):
        open_tables(folder)
    file.write_bytes(whole[:-4])
    with pytest.raises(CheckpointError, match="bytes"):
        open_tables(folder)
    file.unlink()
    with pytest.raises(CheckpointError, match="missing"):
        open_tables(folder)
    with pytest.raises(MissingFileError):
        open_tables(folder.parent / "none")
    with pytest.raises(CheckpointError, match="not a kgrec serving"):
        open_tables(folder.parent)


def test_another_version_is_refused(folder):
    record = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(record | {"version": 1}))
    with pytest.raises(CheckpointError, match="format version 1"):
        open_tables(folder)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("users.seen.idx", lambda a: a + 1_000),
        ("users.seen.ptr", lambda a: a[::-1]),
        ("items.vectors", lambda a: a[:-1]),
        ("items.ids.rows", lambda a: a - 5),
        ("items.known", lambda a: a.astype(np.int64)),
        ("fold.average", None),
        ("facet.items.idx", lambda a: a + 10_000),
    ],
)
def test_tables_that_do_not_fit_are_refused_though_the_sums_hold(folder, name, change):
    from kgrec.data.io.files import sha256

    file = folder / f"{name}.npy"
    if change is None:
        file.write_bytes(b"\x93NUMPY no array")
    else:
        np.save(file, change(np.load(file)))
    record = json.loads((folder / MANIFEST).read_text())
    record["files"][file.name] = {"bytes": file.stat().st_size, "sha256": sha256(file)}
    (folder / MANIFEST).write_text(json.dumps(record))
    with pytest.raises(CheckpointError):
        open_tables(folder)


def test_a_folder_of_something_else_stays(served, tmp_path):
    run, _ = served("itemknn")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(CheckpointError, match="not a serving folder"):
        write_tables(run, tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_a_full_disk_leaves_the_folder_before(served, tmp_path, monkeypatch):
    run, _ = served("itemknn")
    write_tables(run, tmp_path / "t")
    before = (tmp_path / "t" / MANIFEST).read_text()

    def full(*args, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space left"):
        write_tables(run, tmp_path / "t")
    assert (tmp_path / "t" / MANIFEST).read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_long_texts_are_no_facet_and_cost_no_table_of_their_length():
    cells = pl.Series(["short"] * 2_000 + ["x" * 20_000])
    items = np.arange(len(cells))
    assert list(facets_of_cells("plot", items, cells, items)) == []
    found = list(facets_of_cells("kind", items[:6], pl.Series(["a", "b"] * 3), items[:6]))
    assert [name for name, _ in found[0].values] == ["a", "b"]
