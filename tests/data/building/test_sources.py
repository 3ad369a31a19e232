import polars as pl

from kgrec.data.building.build import build_dataset
from kgrec.data.building.options import BuildOptions
from kgrec.data.building.sources import DatasetSources, override, prepared
from kgrec.data.records.interactions import InteractionLog


def test_a_log_replaces_a_split_and_a_split_keeps_the_log():
    folder = DatasetSources(train="a", valid="b", test="c", kg=("g",), notes=("n",))
    assert override(folder, DatasetSources(interactions="x")) == DatasetSources(
        interactions="x", kg=("g",), notes=("n",)
    )
    assert override(folder, DatasetSources(links="l")) == DatasetSources(
        train="a", valid="b", test="c", kg=("g",), links="l", notes=("n",)
    )
    own = override(
        DatasetSources(interactions="x", valid="old"), DatasetSources(train="a", test="c")
    )
    assert own == DatasetSources(interactions="x", train="a", test="c")


def test_column_names_reach_the_readers(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("when,who,what,stars\n" + "".join(f"{i},u,i{i},{i % 3}\n" for i in range(12)))
    sources = DatasetSources(
        interactions=str(path), user="who", item="what", time="when", rating="stars", name="mine"
    )
    data = build_dataset(*prepared(sources, BuildOptions(split="leave-one-out", min_rating=1)))
    assert (data.name, data.num_items, data.test.time.tolist(), data.settings["min_rating"]) == (
        "mine",
        8,
        [11.0],
        1,
    )


def test_links_without_a_graph_are_noted():
    log = InteractionLog(pl.DataFrame({"user": ["u"] * 9, "item": list("abcdefghi")}))
    data = build_dataset(
        *prepared(DatasetSources(interactions=log, links="links.tsv"), BuildOptions())
    )
    assert any("links are unused" in note for note in data.report.notes)
