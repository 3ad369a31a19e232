"""How a graph is shaped after its files are parsed, and the one function that does so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kgrec.data.graphs.assemble import Joined
from kgrec.data.records.report import Caution
from kgrec.data.shaping.axioms import AXIOMS, without_axioms
from kgrec.data.shaping.classes import CYCLES, closed, hierarchy_key, types_as_edges
from kgrec.data.shaping.edit import counting
from kgrec.data.shaping.flatten import blank_with_one_head, flattened, reified_as_edges
from kgrec.data.shaping.lists import lists_as_edges
from kgrec.data.shaping.namespaces import BROADER, NARROWER, expanded
from kgrec.data.shaping.profiles import check_profile, plumbing, profiled
from kgrec.errors import ConfigError

_SHARE_TO_TELL = 0.05
_PLUMBING = "statements of plumbing"
IDLE = "statements that fit the rule "


@dataclass(frozen=True, slots=True)
class ShapeOptions:
    """How a graph is shaped.

    Attributes:
        profile: Vocabulary whose plumbing is taken out: wikidata, dbpedia, schema, skos, owl.
        types: "keep" ``rdf:type`` as a description, or "edges" to classes as entities too.
        min_class: Entities that a class needs to become one.
        max_class: Share of the typed entities that a class may have at most.
        closure: Hierarchies that edges and types are followed up: "subclass"
            (``rdfs:subClassOf``), "broader" (``skos:broader``), or IRIs of relations.
        closure_depth: Levels of these, 0 for all.
        axioms: "keep" statements about terms of ontologies, or "drop" them.
        blank: "flatten" lists, reified statements and blank nodes that one entity points to.

    Raises:
        ConfigError: If one is unknown or out of range.
    """

    profile: str | None = None
    types: str = "keep"
    min_class: int = 2
    max_class: float = 1.0
    closure: tuple[str, ...] = ()
    closure_depth: int = 0
    axioms: str = "keep"
    blank: str = "keep"

    def __post_init__(self) -> None:
        """Check the options."""
        check_profile(self.profile)
        known: dict[str, Sequence[str]] = {"types": ("keep", "edges"), "axioms": ("keep", "drop")}
        for name, choices in known.items():
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(
                    f"{name}: {value!r} is neither {' nor '.join(map(repr, choices))}."
                )

        if self.min_class < 1 or self.closure_depth < 0 or not 0 < self.max_class <= 1:
            raise ConfigError(
                f"min_class is {self.min_class} and must be at least 1, closure_depth is "
                f"{self.closure_depth} and must be at least 0, max_class is {self.max_class} and "
                "must be above 0 and at most 1."
            )

    def shape(self, joined: Joined) -> Joined:
        """Return a graph shaped so; one that nothing is wanted of comes back with counts alone."""
        closure = {name: expanded(hierarchy_key(name)) for name in self.closure}
        if closure:
            joined = _telling_idle(joined, closure)
            joined = closed(joined, tuple(closure.values()), self.closure_depth)
        if self.profile is not None:
            joined = profiled(joined, self.profile)
        if self.axioms == "drop":
            joined = without_axioms(joined)
        if self.blank == "flatten":
            joined = reified_as_edges(lists_as_edges(joined))
            joined = flattened(joined, blank_with_one_head(joined))
        if self.types == "edges":
            joined = types_as_edges(joined, self.min_class, self.max_class)

        return joined if self.profile is not None else _with_counts(joined, self.axioms == "keep")


def _telling_idle(joined: Joined, closure: Mapping[str, str]) -> Joined:
    """Return the graph with a count of 0 for each hierarchy that none of its statements is of."""
    used = joined.terms.gather(np.unique(joined.triples["relation"])).to_list()
    idle = {
        f"{IDLE}closure={name}": 0
        for name, key in closure.items()
        if key not in used and not (key == BROADER and NARROWER in used)
    }
    return replace(joined, counts={**joined.counts, **idle})


def _with_counts(joined: Joined, axioms_kept: bool) -> Joined:
    """Return the graph with counts of its plumbing, where this is a share worth telling."""
    total = len(joined.triples["head"])
    for name, count in plumbing(joined).items():
        if count < _SHARE_TO_TELL * total or (name == AXIOMS and not axioms_kept):
            continue

        known = AXIOMS if name == AXIOMS else f"{_PLUMBING} of {name}"
        joined = counting(joined, **{known.replace(" ", "_"): count})

    return joined


def cautions(counts: Mapping[str, int], total: int) -> list[Caution]:
    """Return what the counts of a graph of ``total`` triples say that is worth acting on."""
    found = []
    several = sum(name.startswith(f"{_PLUMBING} of ") for name in counts) > 1
    one = (
        " A graph is read with one profile: kgrec info FILE --profile NAME shows what each leaves."
        if several
        else ""
    )
    for name, count in counts.items():
        share = f"{count:,} of {total:,} triples ({100 * count / max(total, 1):.0f} %)"
        if name == AXIOMS:
            found.append(
                Caution(
                    f"{share} are axioms of ontologies, which say nothing of any item",
                    "Leave them out with axioms=drop (--kg-set axioms=drop), or read restrictions as "
                    "edges with profile owl (--profile owl).",
                )
            )
        elif name.startswith(f"{_PLUMBING} of "):
            profile = name.removeprefix(f"{_PLUMBING} of ")
            found.append(
                Caution(
                    f"{share} are plumbing of the vocabulary {profile}",
                    f"Read the graph with profile {profile} (--profile {profile}).{one}",
                )
            )
        elif name == CYCLES:
            found.append(
                Caution(
                    f"{count:,} terms are above themselves in a hierarchy that the closure follows",
                    "Correct the cycle where it is wrong; all terms in it count as above one "
                    "another.",
                )
            )
        elif name.startswith(IDLE):
            found.append(
                Caution(
                    f"The rule {name.removeprefix(IDLE)} fits nothing in the graph",
                    "Compare it with the IRIs and languages that kgrec info GRAPH shows.",
                )
            )

    return found
