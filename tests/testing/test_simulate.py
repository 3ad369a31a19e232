import numpy as np
import pytest

from kgrec.errors import ConfigError, DataError, KgrecError
from kgrec.testing.simulate import Family, World, films_world, simulate_interactions

NUM_ITEMS = 300
FAMILIES = (
    Family("person", fewest=2, most=4, weight=2.5),
    Family("genre", fewest=1, most=2, weight=1.0),
)
NUM_PEOPLE, NUM_GENRES = 60, 8


def facts() -> tuple[np.ndarray, np.ndarray]:
    """Give each item two people and one genre, from a stream of its own."""
    rng = np.random.default_rng(99)
    people = np.stack(
        [np.repeat(np.arange(NUM_ITEMS), 2), rng.integers(0, NUM_PEOPLE, 2 * NUM_ITEMS)], axis=1
    )
    genres = np.stack(
        [np.arange(NUM_ITEMS), NUM_PEOPLE + rng.integers(0, NUM_GENRES, NUM_ITEMS)], axis=1
    )
    return np.concatenate([people, genres]), np.repeat([0, 1], [NUM_PEOPLE, NUM_GENRES])


def world(seed: int = 0, **settings: object) -> World:
    item_properties, property_family = facts()
    given: dict[str, object] = {
        "num_users": 120,
        "num_items": NUM_ITEMS,
        "num_interactions": 3_000,
    } | settings
    return simulate_interactions(
        item_properties, property_family, FAMILIES, rng=np.random.default_rng(seed), **given
    )  # type: ignore[arg-type]


def lift(made: World, family: str) -> float:
    """Share of choices that match a liked property of the family, over the share that choices by
    popularity would reach.
    """
    has = np.zeros((made.num_items, len(made.property_names)), dtype=bool)
    has[made.item_properties[:, 0], made.item_properties[:, 1]] = True
    of_family = np.array([name == family for name, _ in made.property_names])
    likes = np.zeros((made.num_users, len(of_family)), dtype=bool)
    likes[made.tastes.user, made.tastes.property] = True
    match = (likes[:, of_family].astype(int) @ has[:, of_family].T.astype(int)) > 0
    chosen = match[made.user, made.item].mean()
    by_item = np.bincount(made.item, minlength=made.num_items) / len(made.item)
    by_user = np.bincount(made.user) / len(made.user)
    return float(chosen / (by_user @ match @ by_item))


def same(left: World, right: World) -> bool:
    return all(
        np.array_equal(getattr(left, name), getattr(right, name))
        for name in ("user", "item", "time", "popularity")
    )


def test_same_seed_same_world() -> None:
    assert same(world(3), world(3))
    assert np.array_equal(world(3).tastes.weight, world(3).tastes.weight)


def test_other_seed_other_world() -> None:
    assert not same(world(3), world(4))


def test_global_random_state_is_neither_read_nor_moved() -> None:
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    first = world(5)
    assert np.array_equal(before, np.random.get_state()[1])
    np.random.seed(2)
    assert same(first, world(5))


def test_counts_are_met_exactly() -> None:
    made = world()
    assert len(made.user) == len(made.item) == len(made.time) == 3_000
    assert made.num_users == 120
    assert made.num_items == NUM_ITEMS
    assert (made.user.dtype, made.item.dtype, made.time.dtype) == (np.int32, np.int32, np.int64)


def test_pairs_are_distinct() -> None:
    made = world()
    assert len(np.unique(made.user.astype(np.int64) * NUM_ITEMS + made.item)) == 3_000


def test_activity_is_long_tailed_and_at_least_the_least() -> None:
    activity = np.bincount(world().user)
    assert activity.min() >= 10
    assert activity.max() > 2.5 * np.median(activity)


@pytest.mark.parametrize("total", [120 * 10, 120 * NUM_ITEMS])
def test_extreme_totals_are_met(total: int) -> None:
    made = world(num_interactions=total)
    assert len(made.user) == total
    assert np.unique(np.bincount(made.user)).tolist() == [total // 120]


def test_times_lie_in_range_and_ascend_within_users() -> None:
    made = world(start=1_000, end=90_000)
    assert made.time.min() >= 1_000
    assert made.time.max() < 90_000
    within = np.diff(made.user) == 0
    assert (np.diff(made.user) >= 0).all()
    assert (np.diff(made.time)[within] >= 0).all()


def test_popularity_is_a_zipf_law_and_shows_in_the_counts() -> None:
    made = world(taste_weight=0.0, zipf_exponent=1.2)
    ranked = np.sort(made.popularity)[::-1]
    assert made.popularity.sum() == pytest.approx(1.0)
    assert ranked[0] / ranked[9] == pytest.approx(10**1.2)
    counts = np.bincount(made.item, minlength=NUM_ITEMS)
    assert (
        np.corrcoef(np.argsort(np.argsort(counts)), np.argsort(np.argsort(made.popularity)))[0, 1]
        > 0.6
    )
    assert (counts < 5).mean() > 0.2


def test_tastes_keep_to_their_families() -> None:
    made = world()
    liked = np.array([made.property_names[row][0] == "person" for row in made.tastes.property])
    people = np.bincount(made.tastes.user[liked], minlength=120)
    genres = np.bincount(made.tastes.user[~liked], minlength=120)
    assert (people.min(), people.max(), genres.min(), genres.max()) == (2, 4, 1, 2)
    assert made.tastes.weight[liked].min() >= 1.25
    assert made.tastes.weight[liked].max() <= 3.75


def test_planted_tastes_show_in_the_choices() -> None:
    made = world(taste_weight=1.5)
    assert lift(made, "person") > 2.0
    assert lift(made, "genre") > 1.2


@pytest.mark.parametrize("family", ["person", "genre"])
def test_without_taste_weight_there_is_no_association(family: str) -> None:
    values = [lift(world(seed, taste_weight=0.0), family) for seed in range(8)]
    assert np.mean(values) == pytest.approx(1.0, abs=0.05)


def test_items_of_one_taste_lie_near_each_other_in_time() -> None:
    made = world(taste_weight=3.0, noise_weight=0.5)
    has = np.zeros((NUM_ITEMS, len(made.property_names)), dtype=bool)
    has[made.item_properties[:, 0], made.item_properties[:, 1]] = True
    spreads = []
    for user, prop in zip(made.tastes.user, made.tastes.property, strict=True):
        items = made.item[made.user == user]
        places = np.flatnonzero(has[items, prop]) / len(items)
        if made.property_names[prop][0] == "person" and len(places) >= 4:
            spreads.append(places.std())
    assert len(spreads) > 50
    assert np.mean(spreads) < 0.22  # 0.29 where places are uniform


def test_without_noise_the_best_items_are_taken() -> None:
    made = world(noise_weight=0.0, taste_weight=0.0)
    best = np.argsort(-made.popularity)
    for user in range(5):
        chosen = made.item[made.user == user]
        assert set(chosen) == set(best[: len(chosen)])


def test_a_world_without_properties_has_no_tastes() -> None:
    made = simulate_interactions(
        [], [], (), num_users=5, num_items=30, num_interactions=60, rng=np.random.default_rng(0)
    )
    assert len(made.user) == 60
    assert len(made.tastes.user) == 0
    assert made.property_names == ()


def test_to_tsv_writes_header_and_keys() -> None:
    made = simulate_interactions(
        [], [], (), num_users=1, num_items=10, num_interactions=10, rng=np.random.default_rng(0)
    )
    lines = made.to_tsv([f"item{row}" for row in range(10)]).splitlines()
    assert lines[0] == "user_id\titem_id\ttimestamp"
    assert lines[1] == f"u0001\titem{made.item[0]}\t{made.time[0]}"
    assert len(lines) == 11
    with pytest.raises(DataError, match="9 item keys for 10 items"):
        made.to_tsv(["x"] * 9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_users": 0},
        {"num_items": 0},
        {"least_activity": 0},
        {"least_activity": NUM_ITEMS + 1},
        {"num_interactions": 1_199},
        {"num_interactions": 120 * NUM_ITEMS + 1},
        {"taste_weight": -1.0},
        {"popularity_weight": float("nan")},
        {"noise_weight": float("inf")},
        {"zipf_exponent": -0.1},
        {"activity_spread": -0.1},
        {"start": 10, "end": 10},
    ],
    ids=str,
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        world(**wrong)
    assert isinstance(caught.value, KgrecError)


@pytest.mark.parametrize(
    "settings", [(-1, 2, 1.0), (3, 2, 1.0), (0, 1, -1.0), (0, 1, float("nan"))], ids=str
)
def test_family_refuses_nonsense(settings: tuple[int, int, float]) -> None:
    with pytest.raises(ConfigError, match="Family 'person'"):
        Family("person", *settings)


@pytest.mark.parametrize(
    ("item_properties", "property_family"),
    [
        ([[0, 2]], [0, 1]),
        ([[10, 0]], [0]),
        ([[-1, 0]], [0]),
        ([[0, 0]], [2]),
        ([[0, 0, 0]], [0]),
        ([[0.5, 0.0]], [0]),
        ([[0, 0]], [[0]]),
    ],
    ids=str,
)
def test_facts_that_do_not_fit_are_refused(
    item_properties: list[list[float]], property_family: list[int]
) -> None:
    with pytest.raises(DataError):
        simulate_interactions(
            item_properties,
            property_family,
            FAMILIES,
            num_users=1,
            num_items=10,
            num_interactions=10,
            rng=np.random.default_rng(0),
        )


def test_property_keys_must_match_the_properties() -> None:
    with pytest.raises(DataError, match="1 property keys"):
        world(property_keys=["only one"])


SCHEMA = "https://schema.org/"


def film_facts() -> tuple[list[str], list[tuple[str, str, str]], dict[str, int]]:
    films = [f"film/{row}" for row in range(40)]
    triples = [(film, SCHEMA + "director", f"person/{row % 5}") for row, film in enumerate(films)]
    triples += [(film, SCHEMA + "genre", f"genre/{row % 3}") for row, film in enumerate(films)]
    triples += [
        (films[0], SCHEMA + "isBasedOn", "work/1"),
        ("work/1", SCHEMA + "director", "person/1"),
    ]
    return films, triples, {film: 1950 + row for row, film in enumerate(films)}


def test_films_world_reads_relations_and_decades() -> None:
    films, triples, years = film_facts()
    made = films_world(
        films, triples, years, rng=np.random.default_rng(0), num_users=20, num_interactions=250
    )
    names = set(made.property_names)
    assert {family for family, _ in names} == {"director", "genre", "decade"}
    assert {key for family, key in names if family == "decade"} == {
        "1950s",
        "1960s",
        "1970s",
        "1980s",
    }
    assert len(made.item_properties) == 3 * 40


def test_films_world_does_not_depend_on_the_order_of_triples() -> None:
    films, triples, years = film_facts()
    settings = {"num_users": 20, "num_interactions": 250}
    first = films_world(films, triples, years, rng=np.random.default_rng(0), **settings)
    second = films_world(
        films, triples[::-1] + triples, years, rng=np.random.default_rng(0), **settings
    )
    assert same(first, second)
    assert first.property_names == second.property_names


def test_films_world_refuses_repeated_films() -> None:
    with pytest.raises(DataError, match="more than once"):
        films_world(["a", "a"], [], {}, rng=np.random.default_rng(0))
