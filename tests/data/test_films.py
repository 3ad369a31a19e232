"""The bundled films graph: its sums, its claims, and the interactions that can be made again."""

import gzip
import hashlib
import tomllib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyoxigraph
import pytest

from kgrec.testing.simulate import films_world

FOLDER = Path(__file__).parents[2] / "graphs" / "films"
BASE = "https://example.org/films/"
SCHEMA = "https://schema.org/"
TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
LABEL = "http://www.w3.org/2000/01/rdf-schema#label"
YEAR = SCHEMA + "datePublished"

# kind of entity (first part of the path) -> its classes
CLASSES = {
    "film": {"Movie"},
    "person": {"Person"},
    "genre": {"DefinedTerm"},
    "country": {"Country"},
    "series": {"MovieSeries"},
    "work": {"Book", "Play", "ShortStory", "CreativeWork"},
}
# relation -> kinds of its subjects, kinds of its objects
SIGNATURES = {
    "director": ({"film"}, {"person"}),
    "actor": ({"film"}, {"person"}),
    "musicBy": ({"film"}, {"person"}),
    "genre": ({"film"}, {"genre"}),
    "countryOfOrigin": ({"film"}, {"country"}),
    "isPartOf": ({"film"}, {"series"}),
    "isBasedOn": ({"film"}, {"work", "film"}),
    "author": ({"work"}, {"person"}),
}


class Graph:
    def __init__(self, path: Path) -> None:
        self.num_statements = 0
        self.types: dict[str, set[str]] = defaultdict(set)
        self.labels: dict[str, list[pyoxigraph.Literal]] = defaultdict(list)
        self.years: dict[str, list[pyoxigraph.Literal]] = defaultdict(list)
        self.triples: list[tuple[str, str, str]] = []
        self.tails: dict[tuple[str, str], list[str]] = defaultdict(list)
        for quad in pyoxigraph.parse(path=str(path), format=pyoxigraph.RdfFormat.TURTLE):
            self.num_statements += 1
            head, relation, tail = quad.subject.value, quad.predicate.value, quad.object
            if relation == TYPE:
                self.types[head].add(tail.value.removeprefix(SCHEMA))
            elif relation == LABEL:
                self.labels[head].append(tail)
            elif relation == YEAR:
                self.years[head].append(tail)
            else:
                assert isinstance(tail, pyoxigraph.NamedNode)
                self.triples.append((head, relation, tail.value))
                self.tails[head, relation.removeprefix(SCHEMA)].append(tail.value)


def kind(entity: str) -> str:
    return entity.removeprefix(BASE).split("/")[0]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph(FOLDER / "films.ttl")


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    return tomllib.loads((FOLDER / "manifest.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def links() -> dict[str, str]:
    header, *rows = (FOLDER / "links.tsv").read_text(encoding="utf-8").splitlines()
    assert header == "item_id\tentity_iri"
    pairs = [row.split("\t") for row in rows]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@pytest.fixture(scope="module")
def interactions() -> str:
    return gzip.decompress((FOLDER / "interactions.tsv.gz").read_bytes()).decode()


@pytest.fixture(scope="module")
def rows(interactions: str) -> list[tuple[str, str, int]]:
    header, *lines = interactions.splitlines()
    assert header == "user_id\titem_id\ttimestamp"
    return [(user, item, int(time)) for user, item, time in (line.split("\t") for line in lines)]


def test_sums_and_sizes_hold(manifest: dict[str, Any]) -> None:
    listed = {entry["name"]: entry for entry in manifest["files"]}
    assert set(listed) | {"manifest.toml"} == {path.name for path in FOLDER.iterdir()}
    for name, entry in listed.items():
        content = (FOLDER / name).read_bytes()
        assert len(content) == entry["bytes"]
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]


def test_the_graph_is_small_and_says_what_is_simulated(manifest: dict[str, Any]) -> None:
    assert (FOLDER / "films.ttl").stat().st_size < 1_000_000
    assert manifest["license"] == "CC0-1.0"
    assert manifest["simulated"] is True
    assert manifest["simulated_parts"] == ["interactions.tsv.gz"]
    assert "SIMULATED" in manifest["simulated_note"]


def test_counts_are_as_claimed(
    manifest: dict[str, Any], graph: Graph, rows: list[tuple[str, str, int]]
) -> None:
    counts = manifest["counts"]
    classes = Counter(name for names in graph.types.values() for name in names)
    relations = Counter(relation.removeprefix(SCHEMA) for _, relation, _ in graph.triples)
    assert counts["classes"] == dict(classes)
    assert counts["relations"] == dict(relations)
    assert counts["films"] == counts["items"] == classes["Movie"] >= 360
    assert counts["entities"] == len(graph.types)
    assert counts["triples"] == len(graph.triples) >= 3_300
    assert counts["statements"] == graph.num_statements
    assert counts["users"] == len({user for user, _, _ in rows})
    assert counts["items"] == len({item for _, item, _ in rows})
    assert counts["interactions"] == len(rows)


def test_triples_are_distinct_and_follow_their_signature(graph: Graph) -> None:
    assert len(set(graph.triples)) == len(graph.triples)
    for head, relation, tail in graph.triples:
        heads, tails = SIGNATURES[relation.removeprefix(SCHEMA)]
        assert kind(head) in heads
        assert kind(tail) in tails
        assert head != tail


def test_every_entity_has_one_label_and_one_fitting_type(graph: Graph) -> None:
    mentioned = {entity for head, _, tail in graph.triples for entity in (head, tail)}
    assert mentioned == set(graph.types) == set(graph.labels)
    for entity, types in graph.types.items():
        assert len(types) == 1
        assert types <= CLASSES[kind(entity)]
        (label,) = graph.labels[entity]
        assert label.value == label.value.strip() != ""
        assert label.language in (None, "en")


@pytest.mark.parametrize("of_kind", ["person", "genre", "country", "series"])
def test_one_label_names_one_entity(graph: Graph, of_kind: str) -> None:
    names = Counter(
        graph.labels[entity][0].value for entity in graph.types if kind(entity) == of_kind
    )
    assert max(names.values()) == 1


def test_every_film_has_its_facts(graph: Graph) -> None:
    films = [entity for entity, types in graph.types.items() if "Movie" in types]
    assert set(graph.years) == set(films)
    for film in films:
        (year,) = graph.years[film]
        assert year.datatype.value == "http://www.w3.org/2001/XMLSchema#gYear"
        assert 1930 <= int(year.value) <= 2025
        assert film.endswith(f"-{year.value}")
        assert 1 <= len(graph.tails[film, "director"]) <= 2
        assert 1 <= len(graph.tails[film, "genre"]) <= 3
        assert 1 <= len(graph.tails[film, "countryOfOrigin"]) <= 4
        assert 3 <= len(graph.tails[film, "actor"]) <= 5
        assert len(graph.tails[film, "isPartOf"]) <= 1


def test_a_film_is_younger_than_the_film_it_is_based_on(graph: Graph) -> None:
    based = [
        (head, tail)
        for head, relation, tail in graph.triples
        if relation == SCHEMA + "isBasedOn" and kind(tail) == "film"
    ]
    assert based
    for head, tail in based:
        assert int(graph.years[head][0].value) > int(graph.years[tail][0].value)


def test_people_are_shared_between_films_and_roles(graph: Graph) -> None:
    roles: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for head, relation, tail in graph.triples:
        if kind(head) == "film" and kind(tail) == "person":
            roles[tail][relation.removeprefix(SCHEMA)].add(head)
    per_role = {
        role: sum(len(of[role]) >= 2 for of in roles.values())
        for role in ("director", "actor", "musicBy")
    }
    assert per_role["director"] >= 60
    assert per_role["actor"] >= 300
    assert per_role["musicBy"] >= 60
    both = [person for person, of in roles.items() if of["director"] and of["actor"]]
    assert BASE + "person/clint-eastwood" in both
    assert len(both) >= 10


def test_every_item_is_linked_to_a_labelled_film(
    graph: Graph, links: dict[str, str], rows: list[tuple[str, str, int]]
) -> None:
    assert {item for _, item, _ in rows} <= set(links)
    assert set(links.values()) == {
        entity for entity, types in graph.types.items() if "Movie" in types
    }
    for item, film in links.items():
        assert film == f"{BASE}film/{item}"
        assert film in graph.labels


def test_interactions_are_distinct_and_in_order(rows: list[tuple[str, str, int]]) -> None:
    assert len({(user, item) for user, item, _ in rows}) == len(rows)
    assert [(user, time) for user, _, time in rows] == sorted(
        (user, time) for user, _, time in rows
    )
    times = [time for _, _, time in rows]
    assert min(times) >= 1_577_836_800
    assert max(times) < 1_735_689_600
    assert min(Counter(user for user, _, _ in rows).values()) >= 10


def test_interactions_can_be_made_again(
    manifest: dict[str, Any], graph: Graph, links: dict[str, str], interactions: str
) -> None:
    years = {film: int(year.value) for film, (year,) in graph.years.items()}
    rng = np.random.default_rng(manifest["simulation"]["seed"])
    world = films_world(list(links.values()), graph.triples, years, rng=rng)
    assert world.to_tsv(list(links)) == interactions
