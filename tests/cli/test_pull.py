"""``kgrec pull wikidata`` against a SPARQL server on loopback, and the dataset that follows."""

import gzip
import io
import json

import pyoxigraph as ox
import pytest
from loopback import Loopback, sparql

from kgrec.cli import run

SAMPLE = (
    """@prefix wd: <http://www.wikidata.org/entity/> . @prefix wdt: <http://www.wikidata.org/prop/direct/> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> . @prefix p: <http://www.wikidata.org/prop/> .
wd:P57 rdfs:label "director"@en, "Regie"@de . wd:P161 rdfs:label "cast member"@en .
"""
    + "\n".join(
        f"wd:Q{n} wdt:P345 'tt{n}' ; rdfs:label 'Film {n}'@en, 'Film {n}'@fr ; wdt:P57 wd:Q{100 + n % 2} ; "
        f"wdt:P161 wd:Q{200 + n % 3} ; wdt:P577 '1999' ; p:P57 wd:s{n} ."
        for n in range(1, 8)
    )
    + "\nwd:Q100 rdfs:label 'Ann'@en . wd:Q101 rdfs:label 'für alle'@mul, 'x'@ru ."
)


@pytest.fixture(scope="module")
def server():
    store = ox.Store()
    store.bulk_load(io.BytesIO(SAMPLE.encode()), ox.RdfFormat.TURTLE)
    with Loopback(sparql(store)) as running:
        yield running


def pulled(server, folder, *more, ids=("tt1", "tt2", "tt3", "tt4", "tt5", "tt99")):
    (folder / "items.csv").write_text("imdb_id,title\n" + "".join(f"{one},x\n" for one in ids))
    return run(
        [
            *("-q", "pull", "wikidata", "--items", str(folder / "items.csv"), "--id", "imdb_id"),
            *("--endpoint", server.url + "/sparql", "--sparql-set", f"cache={folder / 'cache'}"),
            *("--batch", "2", *more),
        ]
    )


def test_a_graph_about_the_items(server, tmp_path, capsys):
    out = tmp_path / "kg.nt.gz"
    asked = len(server.seen)
    assert pulled(server, tmp_path, "--property", "P345", "--out", str(out), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["ids"], said["missing"]) == (6, ["tt99"])
    assert len(server.seen) - asked == 4  # the labels of properties, and three batches
    lines = gzip.decompress(out.read_bytes()).decode().splitlines()
    assert said["statements"] == len(lines) == len(set(lines))
    text = "\n".join(lines)
    for n in range(1, 6):
        assert f'<http://www.wikidata.org/prop/direct/P345> "tt{n}"' in text
        assert f"entity/Q{n}> <http://www.wikidata.org/prop/direct/P57>" in text
    assert "P577" not in text
    assert "entity/Q6>" not in text
    assert '"Ann"@en' in text
    assert '"für alle"@mul' in text
    assert "@ru" not in text
    # Asked again, everything is in the cache, and the file the same.
    before, asked = out.read_bytes(), len(server.seen)
    assert pulled(server, tmp_path, "--property", "P345", "--out", str(out), "--json") == 0
    assert len(server.seen) == asked
    assert out.read_bytes() == before
    capsys.readouterr()

    (tmp_path / "clicks.csv").write_text(
        "user,item\n" + "".join(f"u{u},tt{n}\n" for u in range(4) for n in range(1, 6))
    )
    build = ["-q", "build", "--interactions", str(tmp_path / "clicks.csv"), "--kg", str(out)]
    build += ["--profile", "wikidata", "--link-by", "value:P345", "--out", str(tmp_path / "d")]
    assert run([*build, "--ratios", "0.6,0.2,0.2", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["counts"]["items in the graph"] == 5
    assert summary["triples"] == 10


def test_ids_of_wikidatas_own_and_chosen_relations(server, tmp_path, capsys):
    out = tmp_path / "kg.nt"
    more = ("--relations", "P57", "--language", "de,en", "--out", str(out))
    assert pulled(server, tmp_path, *more, ids=("Q1", "Q2", "Q77")) == 0
    assert "2 of 3 ids found" in capsys.readouterr().out
    text = out.read_text(encoding="utf-8")
    assert "P161" not in text
    assert '"Regie"@de' in text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--property", "345"), "is not a property of Wikidata"),
        (("--relations", "P57,x } DROP"), "is not a property of Wikidata"),
        (("--language", 'en")'), "is not a language"),
        ((), "'tt1' is not an id of Wikidata's own"),
        (("--property", "P345", "--id", "nothing"), "nothing"),
    ],
)
def test_what_is_no_name_reaches_no_query(server, tmp_path, capsys, more, message):
    asked = len(server.seen)
    assert pulled(server, tmp_path, *more, "--out", str(tmp_path / "kg.nt"), ids=("tt1",)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "kg.nt").exists()
    assert len(server.seen) - asked <= 1


def test_ids_with_quotes_are_texts(server, tmp_path, capsys):
    more = ("--property", "P345", "--out", str(tmp_path / "kg.nt"))
    assert pulled(server, tmp_path, *more, ids=("tt1", "a\\b", "it's")) == 0
    assert "1 of 3 ids found" in capsys.readouterr().out
