import pytest

from kgrec.data.building.options import BuildOptions
from kgrec.data.building.sources import sources_and_options
from kgrec.errors import ConfigError


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("catalog", "every", "catalog: 'every' is unknown"),
        ("leaks", "maybe", "leaks: 'maybe' is unknown"),
        ("on_error", "ignore", "on_error: 'ignore' is unknown"),
        ("k_core", (1, 2, 3), "k_core: 3 numbers"),
        ("k_core", -1, "k_core: -1 is negative"),
        ("min_relation", -2, "min_relation: -2 is negative"),
        ("ratios", (0.5, 0.2), "ratios: .* are 2 numbers"),
        ("triple_ratios", (0.5, 0.2, 0.2), "triple_ratios: .* sum to 1"),
        ("item_year", "year", "belong to link_by"),
        ("reading", {"sameas": "merge"}, "Nearest: same_as"),
        ("item_attributes", {"bin": 3}, "Nearest: bins"),
    ],
)
def test_options_are_checked_when_they_are_made(option, value, message):
    with pytest.raises(ConfigError, match=message):
        BuildOptions(**{option: value})


def test_cores_are_one_number_or_two():
    assert BuildOptions(k_core=5).cores == (5, 5)
    assert BuildOptions(k_core=(5, 10)).cores == (5, 10)


def test_only_what_changed_something_is_recorded():
    assert BuildOptions().recorded() == {}
    options = BuildOptions(
        triple_ratios=(0.8, 0.1, 0.1), leaks="drop", item_attributes=True, reading={"labels": "a,b"}
    )
    assert options.recorded() == {
        "triple_ratios": [0.8, 0.1, 0.1],
        "reading": {"labels": ["a", "b"]},
        "item_attributes": {"columns": None},
        "leaks": "drop",
    }


def test_names_are_taken_apart_and_unknown_ones_refused():
    sources, options = sources_and_options({"kg": "g.nt", "items": "i.csv", "seed": 3})
    assert (sources.kg, sources.items, options.seed) == ("g.nt", "i.csv", 3)
    with pytest.raises(ConfigError, match=r"unknown setting 'kcore'\. Nearest: k_core"):
        sources_and_options({"kcore": 5})
    with pytest.raises(ConfigError, match="unknown setting 'notes'"):
        sources_and_options({"notes": ("a",)})
    assert sources_and_options({"notes": ("a",)}, unknown=())[0].notes == ("a",)
