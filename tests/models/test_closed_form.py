import numpy as np
import pytest
import torch

from kgrec.batches import Query
from kgrec.errors import KgrecError, TrainingError
from kgrec.queries import histories, queries
from kgrec.runs.fit import fit
from kgrec.runs.run import load_run
from kgrec.runs.settings import choose
from kgrec.testing import worlds

NAMES = ("itemknn", "ease", "ease-kg", "gfcf")
FOLDING = (*NAMES, "ials")


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def untrained(name, data):
    chosen = choose(name, "default", {})
    return chosen.model.from_dataset(data, chosen.config, torch.Generator().manual_seed(0))


def fits(model):
    """Return the name of what computes a model."""
    return "_fit" if hasattr(model, "_fit") else "fit"


@pytest.mark.parametrize("name", NAMES)
class TestClosedForm:
    def test_the_state_is_taken_over_and_not_computed_again(self, name, tmp_path, monkeypatch):
        run = fit(name, worlds.cold_items(), out=tmp_path / "run")
        model = type(run.model)
        monkeypatch.setattr(model, fits(model), lambda *given: pytest.fail("computed again"))
        loaded = load_run(tmp_path / "run")
        assert {key: value.dtype for key, value in loaded.model.state_dict().items()} == {
            key: value.dtype for key, value in run.model.state_dict().items()
        }
        for key, value in run.model.state_dict().items():
            assert torch.equal(value, loaded.model.state_dict()[key])
        query = queries(run.data.train, np.arange(5))
        assert torch.equal(run.scorer()(query), loaded.scorer()(query))

    def test_a_run_cut_off_before_its_fit_says_so_and_is_resumed(self, name, tmp_path, monkeypatch):
        data = worlds.cold_items()
        model = type(untrained(name, data))

        def cut_off(*given):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(model, fits(model), cut_off)
            with pytest.raises(KeyboardInterrupt):
                fit(name, data, out=tmp_path / "run")
        opened = load_run(tmp_path / "run")
        with pytest.raises(TrainingError, match="has not been fitted"):
            opened.recommend("u0")
        resumed, whole = fit(name, data, out=tmp_path / "run", resume=True), fit(name, data)
        query = queries(data.train, np.arange(5))
        assert torch.equal(resumed.scorer()(query), whole.scorer()(query))

    def test_weights_of_another_catalog_are_refused(self, name):
        state = fit(name, worlds.checkerboard()).model.state_dict()
        with pytest.raises(RuntimeError, match="size mismatch"):
            untrained(name, worlds.cold_items()).load_state_dict(state)

    def test_known_users_are_scored_by_their_training_items_whatever_the_query_says(self, name):
        run = fit(name, worlds.cold_items())
        plain = run.scorer()(queries(run.data.train, np.arange(4)))
        other = Query(torch.arange(4), torch.full((4, 2), 7), torch.ones(4, 2, dtype=torch.bool))
        assert torch.equal(run.scorer()(other), plain)

    def test_candidates_in_chunks_are_those_of_the_whole_table(self, name, monkeypatch):
        run = fit(name, worlds.cold_items())
        query = queries(run.data.train, np.arange(run.data.num_users))
        candidates = torch.randint(
            0,
            run.data.num_items,
            (run.data.num_users, 3),
            generator=torch.Generator().manual_seed(0),
        )
        expected = run.scorer()(query).gather(1, candidates)
        monkeypatch.setattr("kgrec.nn.history_scorer.chunk_rows", lambda *_: 7)
        torch.testing.assert_close(run.scorer()(query, candidates), expected)

    def test_similar_items_are_those_ranked_for_someone_who_used_one(self, name):
        run = fit(name, worlds.checkerboard())
        frame = run.similar_items("i3", k=5)
        assert "i3" not in frame["item"].to_list()
        assert set(frame["item"]) == {"i1", "i5", "i7", "i9", "i11"}
        expected = run.recommend(history=["i3"], k=5)
        assert frame["item"].to_list() == expected["item"].to_list()
        np.testing.assert_allclose(frame["score"], expected["score"])


@pytest.mark.parametrize("name", FOLDING)
def test_a_user_folded_in_from_the_own_training_items_gets_the_own_scores(name):
    data = worlds.cold_items()
    run = fit(name, data, epochs=40, patience=0, **({"dim": 4} if name == "ials" else {}))
    own = [data.train.item[data.train.user == user].tolist() for user in range(6)]
    shuffled_with_repeats = [[*items[::-1], items[0]] for items in own] if name in NAMES else own
    known = run.scorer()(queries(data.train, np.arange(6)))
    folded = run.scorer()(histories(shuffled_with_repeats))
    torch.testing.assert_close(folded, known, atol=1e-2 if name == "ials" else 0, rtol=0)


@pytest.mark.parametrize("name", FOLDING)
def test_the_unknown_and_the_known_stand_in_one_batch_and_an_empty_history_scores_nothing(name):
    data = worlds.cold_items()
    run = fit(name, data, epochs=2)
    mixed = Query(
        torch.tensor([2, -1, -1]),
        torch.tensor([[0, 1], [4, 0], [0, 0]]),
        torch.tensor([[True, True], [True, False], [False, False]]),
    )
    scores = run.scorer()(mixed)
    torch.testing.assert_close(scores[:1], run.scorer()(queries(data.train, np.array([2]))))
    torch.testing.assert_close(scores[1:2], run.scorer()(histories([[4]])))
    assert (scores[2] == 0).all()


FORMS = [
    ("itemknn", {}),
    ("ease", {}),
    ("ease-kg", {"form": "collective"}),
    ("ease-kg", {"form": "additive"}),
    ("gfcf", {"k": 4}),
]


@pytest.mark.parametrize(("name", "settings"), FORMS)
def test_a_like_taken_away_takes_exactly_its_part_away(name, settings, float64):
    """Parts against the scores of the history without the like, and their sum against the
    scorer.
    """
    data = worlds.cold_items(users=20)
    run = fit(name, data, **settings)
    model, scores = run.model, run.scorer()(queries(data.train, np.arange(20)))
    for user, item in ((0, 5), (3, 41), (11, 2)):
        got, own = (
            model.explanation_effects().score_parts(user, item),
            torch.from_numpy(data.train.item[data.train.user == user].astype(np.int64)),
        )
        assert (got.own, got.bias, got.other, got.basis) == (0.0, 0.0, {}, "exact")
        assert got.items.tolist() == sorted(own.tolist())
        assert got.liked.sum() == pytest.approx(float(scores[user, item]), abs=1e-10)
        edited = model.explanation_effects().history_scores(
            user, [own, *(own[own != item] for item in got.items)]
        )
        torch.testing.assert_close(edited[0], scores[user])
        np.testing.assert_allclose((edited[0] - edited[1:])[:, item].numpy(), got.liked, atol=1e-10)


def test_parts_of_ease_are_its_weights_and_of_nobody_nothing(float64):
    data = worlds.dataset(
        [(0, 0), (0, 1), (1, 1), (1, 2)], test=[(2, 0)], triples=[(0, 0, 3), (1, 0, 3)], num_items=3
    )
    for name in ("ease", "ease-kg"):
        model = fit(name, data).model
        got = model.explanation_effects().score_parts(0, 2)
        assert got.items.tolist() == [0, 1]
        assert got.liked.tolist() == pytest.approx(
            [float(model.weights[0, 2]), float(model.weights[1, 2])]
        )
        assert len(model.explanation_effects().score_parts(2, 0).liked) == 0
        assert model.explanation_effects().history_scores(2, []).shape == (0, 3)


@pytest.mark.parametrize("name", FOLDING)
def test_ranks_for_someone_unseen(name):
    run = fit(name, worlds.checkerboard(), epochs=5)
    assert set(run.recommend(history=["i0", "i2"], k=4)["item"]) == {"i4", "i6", "i8", "i10"}


@pytest.mark.parametrize("name", FOLDING)
def test_a_user_without_training_interactions_gets_equal_scores(name):
    data = worlds.dataset(
        [(0, 0), (0, 1), (1, 1), (1, 2)], test=[(2, 0)], triples=[(0, 0, 3), (1, 0, 3)], num_items=3
    )
    run = fit(name, data, epochs=3)
    assert (run.scorer()(queries(data.train, np.array([2]))) == 0).all()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("itemknn", {"k": 0}),
        ("itemknn", {"shrink": -1.0}),
        ("itemknn", {"alpha": 1.5}),
        ("ease", {"l2": 0.0}),
        ("ease", {"precision": "float16"}),
        ("ease-kg", {"attribute_weight": -0.5}),
        ("ease-kg", {"min_items": 0}),
        ("ease-kg", {"form": "other"}),
        ("ease-kg", {"attribute_l2": 0.0}),
        ("gfcf", {"k": 0}),
        ("gfcf", {"alpha": -0.1}),
        ("ials", {"l2": 0.0}),
        ("ials", {"exponent": 2.0}),
        ("ials", {"unobserved_weight": 0.0}),
    ],
)
def test_refuses_values_out_of_range(name, settings):
    with pytest.raises(KgrecError) as found:
        fit(name, worlds.toy(), **settings)
    assert "\n" not in str(found.value)


def test_attributes_need_triples():
    with pytest.raises(KgrecError, match="ease-kg needs triples"):
        fit("ease-kg", worlds.dataset([(0, 0), (1, 1)]))
