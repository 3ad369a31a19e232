"""Exported files alone, with what is said of them, rank as the run does."""

import json

import numpy as np
import polars as pl
import pytest

import kgrec
from kgrec.cli import run as command
from kgrec.models.base import SCORE_FUNCTIONS
from kgrec.testing import worlds

# What docs and vectors.json say, written down once more.
FUNCTIONS = {
    "inner_product": lambda u, i: u @ i.T,
    "negative_l1": lambda u, i: -np.abs(u[:, None] - i).sum(2),
    "negative_l2": lambda u, i: -np.sqrt(((u[:, None] - i) ** 2).sum(2)),
    "negative_squared_l2": lambda u, i: -((u[:, None] - i) ** 2).sum(2),
    "negative_complex_l1": lambda u, i: (
        -np.sqrt(((u[:, None] - i).reshape(len(u), len(i), 2, -1) ** 2).sum(2)).sum(2)
    ),
}
# models without vectors: they score by histories, or pairs
NONE = (
    *("itemknn", "userknn", "rp3beta", "ease", "ease-kg", "gfcf", "dkn"),
    *("kgcn", "kgnn-ls", "ripplenet", "ktup", "mlp", "neumf"),
    *("mmoe", "shared-bottom", "ntn-head", "ntn-rating", "ntn", "pgpr", "cafe"),
    *(f"{name}{kg}" for name in ("nfm", "deepfm", "widedeep", "multvae") for kg in ("", "-kg")),
    *("content", "content-text", "slim", "kgfuse"),
    *("gru4rec", "sasrec", "youtubednn", "youtubednn-seq", "lstm-cnn"),
)
CASES = [
    *((name, {}) for name in kgrec.MODELS if name not in NONE),
    ("lightgcn", {"num_layers": 0}),
    ("lightgcn-kg", {"loss": "bpr"}),
    ("kgat", {"layer_dims": ()}),
    ("kgin", {"num_layers": 2, "loss": "bpr"}),
    ("cke", {"loss": "bpr"}),
    ("cfkg", {"score": "inner"}),
    ("cfkg", {"score": "l1", "loss": "margin"}),
    ("cfkg", {"score": "l2", "loss": "sampling", "inverse": True}),
    ("transe", {"norm": "l1"}),
    ("transe", {"interactions": False}),
    ("transr", {"epochs": 8}),
]


def vectors(folder, name):
    frame = pl.read_parquet(folder / f"{name}.parquet")
    return frame["id"].to_list(), frame["vector"].to_numpy().astype(np.float64)


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_the_files_rank_as_the_run_does(name, settings, tmp_path, capsys):
    data = worlds.with_ratings(worlds.cold_items())
    run = kgrec.fit(name, data, **{"epochs": 2, "learning_rate": 0.05} | settings)
    run.save(tmp_path / "run")
    assert (
        command(["export", str(tmp_path / "run"), "--embeddings", str(tmp_path / "out"), "--json"])
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "out" / "vectors.json").read_text())
    assert {f"{table}.parquet" for table in told["tables"]} == {
        file.name for file in (tmp_path / "out").glob("*.parquet")
    }

    score = told["score"]
    (users, u), (items, i) = (
        vectors(tmp_path / "out", score["users"]),
        vectors(tmp_path / "out", score["items"]),
    )
    scores = FUNCTIONS[score["function"]](u, i)
    seen = {
        (user, item)
        for part in (data.train, data.valid)
        for user, item in zip(part.user.tolist(), part.item.tolist(), strict=True)
    }
    known = pl.read_parquet(tmp_path / "out" / f"{score['items']}.parquet")["known"].to_list()
    for row in range(0, 60, 7):
        free = [at for at in range(len(items)) if (row, at) not in seen and known[at]]
        best = sorted(free, key=lambda at: -scores[row, at])[:8]
        found = run.recommend(users[row], k=8)
        np.testing.assert_allclose(
            found["score"].to_numpy(), scores[row, best], rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(
            scores[row, [items.index(item) for item in found["item"]]],
            scores[row, best],
            rtol=1e-4,
            atol=1e-5,
        )


def test_every_function_has_a_formula():
    assert set(SCORE_FUNCTIONS) == set(FUNCTIONS)


def test_relations_go_out_by_id_their_inverses_apart(tmp_path):
    run = kgrec.fit("kgin", worlds.cold_items(), epochs=1)
    frames = run.vectors().frames
    known = run.model.relations.detach().numpy()
    assert (
        frames["relations"]["id"].to_list()
        == frames["relations_inverse"]["id"].to_list()
        == ["r0", "r1"]
    )
    np.testing.assert_array_equal(
        np.concatenate(
            [frames[name]["vector"].to_numpy() for name in ("relations", "relations_inverse")]
        ),
        known,
    )
    assert set(run.embeddings()) == {"users", "items", "relations"}


def test_the_inverse_relations_of_cfkg(tmp_path):
    run = kgrec.fit("cfkg", worlds.cold_items(), epochs=1, inverse=True, score="inner")
    frames, rows = (
        run.vectors().frames,
        run.model.relations.detach().numpy(),
    )  # interacts, relations, and the inverses of both
    np.testing.assert_array_equal(frames["relations"]["vector"].to_numpy(), rows[1:3])
    np.testing.assert_array_equal(frames["relations_inverse"]["vector"].to_numpy(), rows[4:6])
    np.testing.assert_array_equal(frames["interacts"]["vector"].to_numpy(), rows[:1])


@pytest.mark.parametrize("name", ["ease", "itemknn"])
def test_models_without_vectors_say_so(name, tmp_path, capsys):
    kgrec.fit(name, worlds.cold_items()).save(tmp_path / "run")
    assert command(["export", str(tmp_path / "run"), "--embeddings", str(tmp_path / "out")]) == 2
    assert "no fixed embeddings" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
