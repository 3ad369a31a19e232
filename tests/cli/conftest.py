"""A small world on disk, and one trained run of it."""

import gzip

import pytest

FILMS = {
    "f1": "Alien",
    "f2": "Blade Runner",
    "f3": "Legend",
    "f4": "Brazil",
    "f5": "Time Bandits",
    "f6": "The Fisher King",
}
DIRECTORS = {
    "f1": "scott",
    "f2": "scott",
    "f3": "scott",
    "f4": "gilliam",
    "f5": "gilliam",
    "f6": "gilliam",
}


@pytest.fixture(autouse=True)
def _quiet():
    """Leave no log handler behind that writes to a captured stream."""
    yield
    from kgrec import log

    for handler in list(log.logger.handlers):
        log.logger.removeHandler(handler)


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """Interactions of 24 users, half of whom keep to each director; a Turtle graph; links."""
    folder = tmp_path_factory.mktemp("sources")
    lines = ["user_id,item_id,timestamp,stars"]
    for user in range(24):
        own = [film for film in FILMS if DIRECTORS[film] == ("scott" if user % 2 else "gilliam")]
        other = [film for film in FILMS if film not in own]
        start = user // 2 % 3
        watched = [other[user % 3], *own[start:], *own[:start]]
        lines += [
            f"u{user},{film},{100 * user + place},{5 - place}" for place, film in enumerate(watched)
        ]
    (folder / "clicks.csv").write_text("\n".join(lines) + "\n")
    graph = [
        "@prefix : <http://x.org/> .",
        "@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .",
    ]
    graph += [
        f':{film} rdfs:label "{title}" ; :director :{DIRECTORS[film]} .'
        for film, title in FILMS.items()
    ]
    graph += [':scott rdfs:label "Ridley Scott" .', ':gilliam rdfs:label "Terry Gilliam" .']
    (folder / "kg.ttl").write_text("\n".join(graph) + "\n")
    (folder / "kg.ttl.gz").write_bytes(gzip.compress((folder / "kg.ttl").read_bytes()))
    (folder / "links.csv").write_text(
        "item,entity\n" + "".join(f"{film},http://x.org/{film}\n" for film in FILMS)
    )
    return folder


@pytest.fixture(scope="session")
def dataset(sources, tmp_path_factory):
    from kgrec.cli import run

    out = tmp_path_factory.mktemp("dataset") / "d"
    parts = [
        "--interactions",
        str(sources / "clicks.csv"),
        "--kg",
        str(sources / "kg.ttl"),
        "--links",
        str(sources / "links.csv"),
    ]
    assert run(["-q", "build", *parts, "--split", "leave-one-out", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="session")
def trained(dataset, tmp_path_factory):
    from kgrec.cli import run

    out = tmp_path_factory.mktemp("runs") / "r"
    settings = ["--set", "dim=8", "--set", "epochs=3", "--set", "patience=0"]
    assert (
        run(["-q", "train", str(dataset), "--model", "lightgcn-kg", "--out", str(out), *settings])
        == 0
    )
    return out
