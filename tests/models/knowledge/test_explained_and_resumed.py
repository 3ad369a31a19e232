"""What every model over triples must do beside its contract: resume, and be explained truly."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

import kgrec
from kgrec.evaluation.ctr import labeled_pairs
from kgrec.models.capabilities import Rerunnable
from kgrec.models.catalog import MODELS
from kgrec.queries import queries
from kgrec.testing import worlds
from kgrec.testing.contract import auc

SETTINGS = {
    "kgcn": {"num_neighbors": 4},
    "kgnn-ls": {"num_neighbors": 4},
    "ripplenet": {"memory": 8},
    "mkr": {},
    "ckan": {"user_size": 8, "item_size": 8},
    "ktup": {},
    "lightkg": {"negatives": 2},
    "kgcl": {},
    "kgrec": {},
    "mcclk": {},
    "kguf": {},
    "diffkg": {"hidden": 8},
}
READS_NO_FACT = {"mkr", "ktup"}


def fitted(name, data, **more):
    settings = {"dim": 4, "batch_size": 32, "device": "cpu", **SETTINGS[name], **more}
    return kgrec.fit(name, data, **settings)


def all_scores(run):
    with torch.inference_mode():
        return run.scorer()(queries(run.data.train, np.arange(run.data.num_users)))


class StoppedError(Exception):
    """A training that somebody cut off."""


def stop(state):
    if state.epoch == 1:
        raise StoppedError


@pytest.mark.parametrize("name", SETTINGS)
def test_resumed_training_is_bit_equal(name, tmp_path, monkeypatch):
    data = worlds.checkerboard(8).save(tmp_path / "data")
    place = tmp_path / "run"
    whole = fitted(name, data, epochs=2)
    monkeypatch.setattr("kgrec.runs.fit._SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    with pytest.raises(StoppedError):
        fitted(name, data, epochs=2, out=place, on_epoch=stop)
    torch.manual_seed(99)
    resumed = kgrec.fit(name, data, out=place, resume=True)
    assert torch.equal(all_scores(whole), all_scores(resumed))


@pytest.mark.parametrize("name", SETTINGS)
def test_an_explanation_is_what_the_model_would_score_without_its_facts(name):
    run = fitted(name, worlds.checkerboard(8), epochs=2)
    found = run.explain("u0", "i0")  # of the hub that the user's items are of
    assert found.score == pytest.approx(float(all_scores(run)[0, 0]), abs=1e-5)
    assert found.paths
    assert found.to_text()
    effects = run.model.explanation_effects()
    assert MODELS[name].load()[0].scores_read_graph == (name not in READS_NO_FACT)
    if name in READS_NO_FACT:
        assert not isinstance(effects, Rerunnable)
        return

    ckg = effects.ckg
    path = found.paths[0]
    assert path.drop_delete is not None
    assert path.basis == ("exact" if name == "lightkg" else "measured")
    # deletion is a run without the facts of the path's edges
    nodes = {"u0": ckg.user_node(0), **{f"i{n}": n for n in range(8)}, "e8": 8, "e9": 9}
    ends = [{nodes[a.key], nodes[b.key]} for a, b in pairwise(path.nodes)]
    pairs = zip(ckg.head.tolist(), ckg.tail.tolist(), strict=True)
    facts = [n for n, pair in enumerate(pairs) if set(pair) in ends]
    assert len(facts) == len(ends)
    if isinstance(effects, Rerunnable):
        whole, without = effects.rerun(0, 0, [[], facts]).tolist()
    else:
        edited = effects.on_graph(ckg.take(np.setdiff1d(np.arange(len(ckg.head)), facts)))
        with torch.inference_mode():
            asked = queries(run.data.train, np.arange(1))
            whole, without = (
                float(each.scorer()(asked)[0, 0]) for each in (run.model.eval(), edited)
            )

    assert whole == pytest.approx(found.score, abs=1e-5)
    assert path.drop_delete == pytest.approx(whole - without, abs=1e-5)


@pytest.mark.parametrize("name", ["kgcn", "ripplenet", "ckan"])
def test_weights_of_another_graph_leave_the_samples_alone(name):
    """Samples are positions among edges; an edited graph has others, and draws alike."""
    model, config, _ = MODELS[name].load()
    data = worlds.cold_items(users=12, warm=12, cold=4, likes=4)
    graphs = [data, replace(data, triples=data.triples.take(np.arange(1, len(data.triples))))]
    built = [
        model.from_dataset(each, config(dim=4, **SETTINGS[name]), torch.Generator().manual_seed(0))
        for each in graphs
    ]
    whole, edited = built
    own = {k: v.clone() for k, v in edited.state_dict().items()}
    edited.load_state_dict(whole.state_dict())
    samples = {"kgcn": "neighbors", "ripplenet": "ripples", "ckan": "item_sets"}[name]
    assert torch.equal(edited.get_buffer(samples), own[samples])
    assert torch.equal(edited.entities, whole.entities)
    # what both graphs have in common is drawn alike: all but the sets that held the triple
    tails = [each.facts.tail[each.get_buffer(samples)].flatten(1) for each in built]
    alike = (tails[0] == tails[1]).all(1)
    assert alike.float().mean() >= 0.5


@pytest.mark.parametrize("name", SETTINGS)
def test_it_trains_and_ranks_without_a_triple(name):
    """``kgrec ablate`` takes all triples away."""
    data = worlds.checkerboard(6)
    entry = MODELS[name]
    model, config, _ = entry.load()
    bare = replace(data, triples=worlds.dataset([(0, 0)], num_items=6, num_users=6).triples)
    small = config(dim=4, **SETTINGS[name])
    built = model.from_dataset(bare, small, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        scores = built.eval().scorer()(queries(bare.train, np.arange(6)))
    assert scores.shape == (6, 6)
    assert torch.isfinite(scores).all()


@pytest.mark.parametrize("name", ["kgcn", "ripplenet", "ktup"])
def test_labeled_pairs_are_ranked_by_the_scores_of_the_catalog(name):
    run = fitted(name, worlds.checkerboard(8), epochs=2)
    pairs = labeled_pairs(run.data, "test")
    scores = all_scores(run).numpy()[pairs.user, pairs.item]
    report = run.evaluate(on="test", protocol="ctr")
    assert report.metrics["auc"] == pytest.approx(auc(scores, pairs.label))
