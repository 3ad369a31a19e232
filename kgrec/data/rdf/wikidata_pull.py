"""A graph about items from Wikidata: a query for each batch of ids, through the SPARQL reader."""

import gzip
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyoxigraph as ox

from kgrec.data.io.files import FilePath
from kgrec.data.io.writing import write_file
from kgrec.data.rdf.collect import RdfOptions
from kgrec.data.rdf.sparql import SparqlQuery, answers
from kgrec.data.shaping.namespaces import PREFIXES
from kgrec.data.shaping.wikidata import PROPERTIES
from kgrec.errors import ConfigError

BATCH = 100

_PROPERTY = re.compile(r"P[1-9]\d*")
_ITEM = re.compile(r"Q[1-9]\d*")
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")
_PREFIXES = "".join(
    f"PREFIX {name}: <{PREFIXES[name]}>\n" for name in ("wd", "wdt", "rdfs", "wikibase")
)


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came.

    Attributes:
        ids: Ids that were asked for.
        missing: Those that no entity has.
        statements: Lines written.
        path: The file.
    """

    ids: int
    missing: tuple[str, ...]
    statements: int
    path: str


@dataclass(frozen=True, slots=True)
class Pull:
    """What is asked of Wikidata about items.

    Attributes:
        identifier: Property whose values are the ids, such as "P345"; None where these are Wikidata's
            own (Q11).
        relations: Properties of the facts, such as "P57".
        languages: Of the labels, besides those for all languages.

    Raises:
        ConfigError: If a property or a language is none.
    """

    identifier: str | None
    relations: tuple[str, ...] = tuple(PROPERTIES)
    languages: tuple[str, ...] = ("en",)

    def __post_init__(self) -> None:
        """Check the names, which become part of queries."""
        for name in (*self.relations, *((self.identifier,) if self.identifier else ())):
            if not _PROPERTY.fullmatch(name):
                raise ConfigError(f"{name[:40]!r} is not a property of Wikidata, such as P57.")

        for tag in self.languages:
            if not _LANGUAGE.fullmatch(tag):
                raise ConfigError(f"{tag[:40]!r} is not a language, such as en.")

        if not self.relations or not self.languages:
            raise ConfigError("relations and languages: name at least one of each.")

    def query(self, ids: Sequence[str]) -> str:
        """Return the query for facts and labels of a batch of ids.

        Raises:
            ConfigError: If an id of Wikidata's own is none.
        """
        given = ""
        if self.identifier is not None:
            values = " ".join(str(ox.Literal(one)) for one in ids)
            found = f"VALUES ?id {{ {values} }} ?item wdt:{self.identifier} ?id ."
            given = f"?item wdt:{self.identifier} ?id . "
        else:
            wrong = next((one for one in ids if not _ITEM.fullmatch(one)), None)
            if wrong is not None:
                raise ConfigError(
                    f"{wrong[:40]!r} is not an id of Wikidata's own, such as Q11. Name the property "
                    "whose values the ids are, such as P345."
                )
            found = f"VALUES ?item {{ {' '.join(f'wd:{one}' for one in ids)} }}"

        relations = " ".join(f"wdt:{one}" for one in self.relations)
        return (
            f"{_PREFIXES}CONSTRUCT {{ {given}?item ?relation ?other . ?item rdfs:label ?name . "
            "?other rdfs:label ?called }\nWHERE {\n"
            f"  {found}\n  {{ ?item rdfs:label ?name {self._wanted('?name')} }}\n"
            f"  UNION {{ VALUES ?relation {{ {relations} }} ?item ?relation ?other FILTER(isIRI(?other))\n"
            f"    OPTIONAL {{ ?other rdfs:label ?called {self._wanted('?called')} }} }}\n}}\n"
        )

    def label_query(self) -> str:
        """Return the query for the labels of the properties."""
        names = " ".join(f"wd:{one}" for one in self.relations)
        return (
            f"{_PREFIXES}CONSTRUCT {{ ?property rdfs:label ?name }}\n"
            f"WHERE {{ VALUES ?property {{ {names} }} ?property rdfs:label ?name "
            f"{self._wanted('?name')} }}\n"
        )

    def _wanted(self, variable: str) -> str:
        tags = ", ".join(f'"{tag}"' for tag in dict.fromkeys((*self.languages, "mul")))
        return f"FILTER(LANG({variable}) IN ({tags}))"


def pull(
    ids: Sequence[str], wanted: Pull, out: FilePath, asking: SparqlQuery, batch: int = BATCH
) -> Pulled:
    """Write what Wikidata says of items as N-Triples, gzipped where the file is called so.

    The file is whole or not there; what has come stays in the cache, so that an interrupted pull
    asks only for the rest.

    Args:
        ids: Ids of items; each is asked for once.
        wanted: What is asked.
        out: File to write.
        asking: Endpoint, cache and manners; its own query is not sent.
        batch: Ids in one query.

    Raises:
        FetchError: If the endpoint does not answer.
        ConfigError: If there are no ids, or a batch is smaller than one.
    """
    distinct = list(dict.fromkeys(ids))
    if not distinct or batch < 1:
        raise ConfigError(f"{len(distinct)} ids in batches of {batch}. Give at least one of each.")

    texts = [wanted.label_query()]
    texts += [
        wanted.query(distinct[start : start + batch]) for start in range(0, len(distinct), batch)
    ]
    seen: dict[bytes, None] = {}
    for number, text in enumerate(texts):
        query = replace(asking, query=text, name=f"batch {number} of {len(texts) - 1}", page=0)
        for line in _lines(query):
            seen.setdefault(line)

    data = b"".join(line + b"\n" for line in seen)
    path = Path(out)
    packed = gzip.compress(data, mtime=0) if path.suffix == ".gz" else data
    write_file(path, lambda file: file.write_bytes(packed))
    known = _known_ids(data, wanted.identifier)
    missing = tuple(one for one in distinct if one not in known)
    return Pulled(len(distinct), missing, len(seen), str(path))


def _lines(query: SparqlQuery) -> Iterator[bytes]:
    for body in answers(query, RdfOptions()):
        yield from (line for line in body.split(b"\n") if line)


def _known_ids(data: bytes, identifier: str | None) -> set[str]:
    """Return the ids of which something was said."""
    own = f"{PREFIXES['wdt']}{identifier}"
    found = set()
    for quad in ox.parse(data, format=ox.RdfFormat.N_TRIPLES):
        value = quad.object
        if identifier is None and isinstance(quad.subject, ox.NamedNode):
            found.add(quad.subject.value.removeprefix(PREFIXES["wd"]))
        elif quad.predicate.value == own and isinstance(value, ox.Literal):
            found.add(value.value)

    return found
