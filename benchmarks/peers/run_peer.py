"""Train one model of another toolkit and write its lists; run by `beside.py` in that toolkit's
environment.

PEERS/lenskit/bin/python run_peer.py lenskit als --split DIR --out lists.npz --settings '{...}'

DIR has train.tsv, valid.tsv and test.tsv (user and item numbers) and triples.tsv (numbers of
entities, the first of which are the items). The lists hold K items of every user of the part
ranked for, best first, those of training left out, and of validation where test is ranked for.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np


def read(path):
    """Return the pairs, or triples, of a file."""
    return np.loadtxt(path, dtype=np.int64, delimiter="\t", ndmin=2)


def matrix(pairs, shape):
    """Return interactions as a sparse matrix of ones."""
    from scipy.sparse import csr_matrix

    return csr_matrix((np.ones(len(pairs), dtype=np.float32), pairs.T), shape=shape)


def implicit(model, settings, seed, data):
    """Return the scores of every item for some users: ALS, BPR and BM25 of implicit."""
    import implicit as toolkit

    likes = matrix(data["train"], data["shape"])
    kinds = {
        "als": toolkit.als.AlternatingLeastSquares,
        "bpr": toolkit.bpr.BayesianPersonalizedRanking,
    }
    if model == "bm25":
        found = toolkit.nearest_neighbours.BM25Recommender(**settings)
        found.fit(likes, show_progress=False)
        return lambda users: (likes[users] @ found.similarity).toarray()

    found = kinds[model](random_state=seed, **settings)
    found.fit(likes, show_progress=False)
    return lambda users: found.user_factors[users] @ found.item_factors.T


def lenskit(model, settings, seed, data):
    """Return the scores of every item for some users: ALS, item k-NN and EASE of LensKit."""
    import pandas as pd
    from lenskit import batch
    from lenskit.als import ImplicitMFScorer
    from lenskit.data import ItemList, ItemListCollection, from_interactions_df
    from lenskit.knn import ItemKNNScorer
    from lenskit.pipeline import predict_pipeline

    if model == "ease":
        from lenskit.knn.ease import EASEScorer  # not in every version

        kind = EASEScorer
    else:
        kind = {"als": ImplicitMFScorer, "itemknn": ItemKNNScorer}[model]

    if model == "itemknn":
        settings = {"feedback": "implicit", **settings}
    frame = pd.DataFrame(data["train"], columns=["user_id", "item_id"])
    pipe = predict_pipeline(kind(**settings), fallback=False)
    pipe.train(from_interactions_df(frame))
    items = ItemList(item_ids=np.unique(data["train"][:, 1]))

    def scores(users):
        every = ItemListCollection.from_dict({int(user): items for user in users}, key="user_id")
        found = batch.predict(pipe, every, n_jobs=1)
        table = np.full((len(users), data["shape"][1]), -np.inf)
        for row, user in enumerate(users):
            one = found.lookup(user_id=int(user))
            table[row, one.ids()] = np.nan_to_num(one.scores(), nan=-np.inf)
        return table

    return scores


def pykeen(model, settings, seed, data):
    """Return the scores of every item as the tail of (user, interacts, ?): TransE, ComplEx, RotatE
    of PyKEEN over triples and training interactions.
    """
    import torch
    from pykeen.pipeline import pipeline
    from pykeen.triples import CoreTriplesFactory

    triples, likes = data["triples"], data["train"]
    entities = max(data["shape"][1], int(triples[:, [0, 2]].max(initial=0)) + 1)
    relations = int(triples[:, 1].max(initial=-1)) + 1
    own = np.stack([entities + likes[:, 0], np.full(len(likes), relations), likes[:, 1]], axis=1)
    whole = torch.from_numpy(np.concatenate([triples, own]))
    factory = CoreTriplesFactory(whole, entities + data["shape"][0], relations + 1)
    dim, epochs = settings.pop("embedding_dim", 64), settings.pop("num_epochs", 30)
    found = pipeline(
        training=factory,
        testing=CoreTriplesFactory(whole[:1], factory.num_entities, factory.num_relations),
        model=model,
        model_kwargs={"embedding_dim": dim},
        optimizer_kwargs=settings or None,
        training_kwargs={"num_epochs": epochs, "use_tqdm": False, "batch_size": 2048},
        random_seed=seed,
        use_tqdm=False,
        evaluator_kwargs={"batch_size": 1},
    ).model.eval()

    def scores(users):
        asked = torch.tensor([[entities + int(user), relations] for user in users])
        with torch.inference_mode():
            return found.score_t(asked)[:, : data["shape"][1]].numpy()

    return scores


def ranked(scores, users, seen, count):
    """Return the best items of each user, those seen left out."""
    lists = np.full((len(users), count), -1)
    for begin in range(0, len(users), 256):
        rows = users[begin : begin + 256]
        table = np.array(scores(rows), dtype=np.float64)
        for row, user in enumerate(rows.tolist()):
            table[row, seen.get(user, [])] = -np.inf
        order = np.argsort(-table, axis=1, kind="stable")[:, :count]
        finite = np.isfinite(np.take_along_axis(table, order, axis=1))
        lists[begin : begin + len(rows), : order.shape[1]] = np.where(finite, order, -1)

    return lists


def main():
    """Train, rank and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("toolkit", choices=["implicit", "lenskit", "pykeen"])
    parser.add_argument("model")
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--settings", default="{}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--on", choices=["valid", "test"], default="valid")
    chosen = parser.parse_args()

    parts = {name: read(chosen.split / f"{name}.tsv") for name in ("train", "valid", "test")}
    about = json.loads((chosen.split / "about.json").read_text())
    triples = read(chosen.split / "triples.tsv").reshape(-1, 3)
    data = {"train": parts["train"], "triples": triples, "shape": (about["users"], about["items"])}
    hidden = [parts["train"]] + ([parts["valid"]] if chosen.on == "test" else [])
    seen = {}
    for user, item in np.concatenate(hidden).tolist():
        seen.setdefault(user, []).append(item)

    began = time.perf_counter()
    scores = globals()[chosen.toolkit](chosen.model, json.loads(chosen.settings), chosen.seed, data)
    seconds = time.perf_counter() - began
    users = np.unique(parts[chosen.on][:, 0])
    lists = ranked(scores, users, seen, 20)
    np.savez(chosen.out, users=users, lists=lists, seconds=seconds)


if __name__ == "__main__":
    main()
