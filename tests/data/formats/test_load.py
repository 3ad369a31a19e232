import gzip

import pytest

from kgrec.data.formats.load import load, read_sources
from kgrec.errors import ConfigError, FormatError, MissingFileError


def fill(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return str(folder)


ATOMIC = {
    "toy__inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    + "".join(f"u{u}\t{i}\t{1 + i % 5}\t{i}\n" for u in range(3) for i in range(10)),
    "toy__kg": "head_id:token\trelation_id:token\ttail_id:token\nm.0\tfilm.director\tm.9\nm.1\tfilm.director\tm.9\n",
    "toy__link": "item_id:token\tentity_id:token\n0\tm.0\n1\tm.1\n",
    "toy__item": "item_id:token\tmovie_title:token_seq\tclass:token_seq\n0\tAlien\tHorror\n1\tBlade "
    "Runner\t\n",
    "toy__user": "user_id:token\tjob:token\nu0\tcook\n",
    "toy__nt": "<http://e/0> <http://e/directed> <http://e/9> .\n",
}


def test_recbole(tmp_path):
    data = load(fill(tmp_path / "toy", **ATOMIC))
    assert (data.name, data.num_users, data.num_items, len(data.triples)) == ("toy", 3, 10, 2)
    assert (data.item_label(0), data.item_label(2)) == ("Alien", "2")
    assert data.triples.entities.key(1) == "m.1"
    assert data.settings["split"] == "random"
    assert len(data.user_facts) == 0
    unused = " ".join(data.report.notes)
    assert "toy.user: user attributes are unused" in unused
    assert "toy.nt: a graph file that is not read" in unused
    assert "columns class are unused" in unused


def test_parts_named_by_the_caller_replace_the_folders_own(tmp_path):
    folder = fill(tmp_path / "toy", **ATOMIC, links__tsv="item_id\tentity_iri\n0\thttp://e/0\n")
    data = load(
        folder,
        kg=f"{folder}/toy.nt",
        links=f"{folder}/links.tsv",
        user_attributes=True,
        min_rating=2,
        seed=5,
    )
    assert data.triples.entities.key(0) == "http://e/0" or data.triples.entities.key(0).isdigit()
    assert list(data.triples.relations) == ["job", "http://e/directed"]
    assert len(data.user_facts) == 1
    assert not any("not read" in note for note in data.report.notes)
    assert ("interactions", "rating below 2", 6) in {
        (d.what, d.why, d.count) for d in data.report.dropped
    }
    split = load(
        folder,
        train=f"{folder}/toy.inter",
        test=fill(tmp_path / "t", test__tsv="user_id\titem_id\nu0\t77\n") + "/test.tsv",
    )
    assert (split.settings["split"], len(split.test)) == ("given", 1)


def test_recbole_with_a_given_split(tmp_path):
    head = "user_id:token\titem_id:token\n"
    folder = fill(
        tmp_path / "b",
        b__train__inter=head + "u\ti\nu\tj\n",
        b__valid__inter=head + "u\tk\n",
        b__test__inter=head + "u\tl\n",
    )
    data = load(folder)
    assert (
        data.name,
        data.settings["split"],
        len(data.train),
        len(data.valid),
        len(data.test),
    ) == ("b", "given", 2, 1, 1)


def test_lightgcn_and_kgat_text(tmp_path):
    folder = fill(tmp_path / "g", train__txt="0 0 1 2\n1 1 2 3\n2\n", test__txt="0 3\n1 0\n2\n")
    data = load(folder)
    assert (data.num_users, data.num_items, len(data.test), len(data.triples)) == (2, 4, 2, 0)
    assert any("held out" in note for note in data.report.notes)
    fill(tmp_path / "g", kg_final__txt="0 0 7\n3 1 7\n7 0 8\n")
    data = load(folder)
    assert (len(data.triples), data.num_entities, data.report.counts["items in the graph"]) == (
        3,
        6,
        2,
    )
    again = load(folder, split="random", ratios=(0.5, 0.25, 0.25))
    assert again.settings["split"] == "random"
    assert len(again.train) + len(again.valid) + len(again.test) == 8


def test_split_tables_beside_rdf(tmp_path):
    head = "user_id\titem_iri\n"
    folder = fill(
        tmp_path / "music",
        train__tsv=head + "1\thttp://e/a\n1\thttp://e/b\n",
        val__tsv=head + "1\thttp://e/c\n",
        test__tsv=head + "1\thttp://e/d\n",
    )
    (tmp_path / "music" / "graph.nt.gz").write_bytes(
        gzip.compress(b"<http://e/a> <http://e/r> <http://e/b> .\n", mtime=0)
    )
    data = load(folder)
    assert (
        len(data.train),
        len(data.valid),
        len(data.test),
        data.num_items,
        len(data.triples),
    ) == (2, 1, 1, 4, 1)
    assert (data.triples.head.tolist(), data.triples.tail.tolist()) == ([0], [1])


def test_a_dataset_built_before(tmp_path):
    load(fill(tmp_path / "toy", **ATOMIC)).save(tmp_path / "d")
    assert load(tmp_path / "d").num_users == 3
    with pytest.raises(ConfigError, match="built before; seed cannot be applied"):
        load(tmp_path / "d", seed=1)


def test_what_is_not_recognized(tmp_path):
    with pytest.raises(
        FormatError, match=r"not a recognized folder\. Found: a\.doc\. Recognized: .*recbole"
    ):
        load(fill(tmp_path / "x", a__doc="text"))
    with pytest.raises(
        FormatError, match=r"Found: train\.txt, test\.txt|Found: test\.txt, train\.txt"
    ):
        load(fill(tmp_path / "pairs", train__txt="a\tb\n", test__txt="a\tb\n"))
    with pytest.raises(MissingFileError, match="no such folder"):
        load(str(tmp_path / "nothing"))
    with pytest.raises(FormatError, match="is a file"):
        load(str(tmp_path / "x" / "a.doc"))
    with pytest.raises(FormatError, match=r"several \.kg files"):
        load(fill(tmp_path / "two", **ATOMIC, b__kg="a"))
    with pytest.raises(FormatError, match=r"several \.inter files"):
        load(fill(tmp_path / "three", a__inter="", b__inter=""))
    with pytest.raises(ConfigError, match=r"unknown setting 'split_ratio'.*Nearest: .*ratios"):
        load("films", split_ratio=1)
    with pytest.raises(ConfigError, match="there are none"):
        load("films", user_attributes=True)


def test_bundled_by_name_and_by_folder():
    parts = read_sources("films")
    assert parts.name == "films"
    assert read_sources(str(parts.interactions).rpartition("/")[0]) == parts
