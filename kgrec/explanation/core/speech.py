"""From a dataset to the words of its explanations, in one language."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np
import polars as pl

from kgrec.data.readers.phrases import read_phrases
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.triples import readable
from kgrec.data.records.wording import DEFAULT_VERB, INTERACTS, can_be_said, event_verb
from kgrec.explanation.core.answers import (
    Answer,
    Change,
    Contrast,
    Holding,
    Ranked,
    WhyNot,
    WithoutFacts,
)
from kgrec.explanation.core.records import Explanation, Flip, Hop, Node, Term
from kgrec.explanation.core.words import Words
from kgrec.languages import (
    DEFAULT,
    LIKED,
    ambiguous,
    check_language,
    language,
    may_tell_apart,
    title_of,
)

INVERSE_OF = "http://www.w3.org/2002/07/owl#inverseOf"
_MOST_OF_A_SCALE = 100  # larger numbers are counts, not ratings
Said = TypeVar("Said", bound=Answer)


class Speech:
    """The words of a dataset in one language.

    A relation reads as a table says: the one given here, else the dataset's own; else as the
    language has it for its label, the graph's label in that language before any other; from tail to
    head also as its inverse does, where the graph states one (``owl:inverseOf``).

    Args:
        data: Labels, verbs, phrases, and facts about relations.
        code: Language of the sentences.
        phrases: A table of phrases that go before the dataset's own.

    Attributes:
        language: The table of sentences.
        events: Names of the dataset's event types.

    Raises:
        ConfigError: If the language is unknown, or a phrase cannot be said.
    """

    def __init__(self, data: Dataset, code: str = DEFAULT, phrases: object | None = None) -> None:
        self._data = data
        self.events = tuple(map(str, data.settings.get("events", ())))
        self.language = language(check_language(code), self._verb_of_all())
        self._given = phrases
        given = () if phrases is None else read_phrases(phrases, data.triples)
        self._phrases = {
            one.relation: (one.phrase, one.inverse)
            for one in (*data.wording.phrases, *given)
            if one.language == code
        }
        self._english = {
            one.relation: one.phrase
            for one in (*data.wording.phrases, *given)
            if one.language == DEFAULT
        }

    def into(self, code: str) -> "Speech":
        """Return the same words in another language."""
        return Speech(self._data, code, self._given)

    def verb(self, event: str = "", rated: bool = False) -> str:
        """Return what a user did.

        Args:
            event: Type of the event, "" where it is not known.
            rated: Whether the user gave a rating that is not below the middle of its scale.
        """
        own = self.own_verb(event)
        if own is not None:
            return own
        return LIKED if rated else DEFAULT_VERB

    def own_verb(self, event: str = "") -> str | None:
        """Return the verb that the dataset itself has for a type of event: given at build, or said
        by the event's name; of an unknown type the one that all its types share. None without any.
        """
        if event or not self.events:
            return self._data.wording.verb(event) or event_verb(event)

        shared = set(map(self.own_verb, self.events))
        return shared.pop() if len(shared) == 1 else None

    def _verb_of_all(self) -> str:
        """Return what users did with the items of their histories, whatever the event."""
        own = self.own_verb()
        if own is not None:
            return own

        rated = not self.events and rating_scale(self._data.train.rating) is not None
        return LIKED if rated else DEFAULT_VERB

    def words(self, nodes: Iterable[Node] = (), hops: Iterable[Hop] = ()) -> Words:
        """Return what the sentences of an answer need.

        Args:
            nodes: What is named beside the hops.
            hops: Of its paths.
        """
        labels: dict[str, None] = {node.label: None for node in nodes}
        relations: dict[str, str] = {}
        for hop in hops:
            labels |= {hop.source.label: None, hop.target.label: None}
            if not hop.liked:
                relations |= {one.key: one.label for one in hop.relations}

        whole = tuple(label for label in labels if label in self._whole)
        return replace(self.of_relations(relations), whole=whole)

    def of_relations(self, relations: Mapping[str, str]) -> Words:
        """Return what sentences need for relations, by key and label."""
        found = {key: self._phrase(key) for key in relations}
        stated = self._data.wording.labels.get(self.language.code, {})
        return Words(
            self.language.code,
            {key: both for key, both in found.items() if any(both)},
            self._verbs,
            labels={
                key: stated[key]
                for key, label in relations.items()
                if stated.get(key, label) != label
            },
            verb=self._said_of_all,
        )

    def explanation(self, found: Explanation) -> Explanation:
        """Return an explanation in these words, its numbers as they are."""
        nodes = [Node("item", found.item, found.item_label)]
        nodes += [term.node for term in found.against]
        if found.next_item is not None:
            nodes.append(found.next_item)

        if found.flip is not None:
            nodes += _nodes(found.flip)

        if found.budget is not None:
            nodes += [term.node for term in (*found.budget.by_liked, *found.budget.by_property)]

        hops = [hop for path in found.paths for hop in path.hops]
        notes = tuple(self.language.translated("notes", note) for note in found.notes)
        return replace(found, words=self.words(nodes, hops), notes=notes)

    def answer(self, found: Said) -> Said:
        """Return another answer in these words."""
        changes: dict[str, object] = {"words": self.words(_nodes(found))}
        note = getattr(found, "note", "")
        if note:
            changes["note"] = self.language.translated("notes", note)

        if isinstance(found, WhyNot):
            changes["contrast"] = self.answer(found.contrast)
        elif isinstance(found, Contrast):
            changes["explanations"] = tuple(map(self.explanation, found.explanations))

        return cast(Said, replace(cast(Any, found), **changes))

    @property
    def _said_of_all(self) -> str:
        """The verb of all interactions, in English as a table says it."""
        verb = self.language.verb
        return self._verbs.get(verb, verb) if self.language.code == DEFAULT else verb

    @cached_property
    def _verbs(self) -> dict[str, str]:
        """Words of this language for the dataset's verbs."""
        found = {}
        for event in dict.fromkeys(("", *self._data.wording.verbs, *self.events)):
            verb = self.verb(event)
            name = f"{INTERACTS}:{event}" if event else INTERACTS
            if name in self._phrases and (verb != DEFAULT_VERB or not event):
                found[verb] = self._phrases[name][0]

        if INTERACTS in self._phrases and not self._data.wording.verbs:
            found[LIKED] = self._phrases[INTERACTS][0]

        return found

    @cached_property
    def _whole(self) -> frozenset[str]:
        """Labels that are the same as another one without the year or "(film)" at their end."""
        labels = self._data.triples.labels.drop_nulls().unique()
        closed = labels.str.ends_with(")")
        telling = list(filter(may_tell_apart, labels.filter(closed)))
        titles = pl.Series(list({title_of(label) for label in telling}), dtype=pl.String)
        # Of the others, which may be millions, only those that can be the same are looked at.
        inverted = labels.str.contains(r", \S{1,4}$")
        same = labels.str.to_lowercase().is_in(titles.implode()) | inverted
        return ambiguous(telling, labels.filter(~closed & same))

    def _phrase(self, key: str) -> tuple[str, str]:
        forward, backward = self._phrases.get(key, ("", ""))
        if not forward and self.language.code != DEFAULT and key in self._english:
            forward, backward = self.language.relation(self._english[key])

        if not backward:
            backward = self._of_inverse(key)

        return forward, backward

    def _of_inverse(self, key: str) -> str:
        """Return how the relation reads that the graph states to be the inverse, "" if none is."""
        for other, label in self._inverses.get(key, ()):
            if other in self._phrases:
                return self._phrases[other][0]

            stated = self._data.wording.labels.get(self.language.code, {})
            words = self.language.relation(stated.get(other, label), other in stated)[0]
            if words and can_be_said(words):
                return words

        return ""

    @cached_property
    def _inverses(self) -> dict[str, list[tuple[str, str]]]:
        """Key and label of the stated inverses of each relation, by its key."""
        found: dict[str, list[tuple[str, str]]] = {}
        for head, tail in self._stated():
            found.setdefault(head[0], []).append(tail)
            found.setdefault(tail[0], []).append(head)

        return found

    def _stated(self) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
        triples = self._data.triples
        row = triples.relations.get(INVERSE_OF)
        if row is None:
            return

        for fact in (triples.relation == row).nonzero()[0].tolist():
            yield self._named(int(triples.head[fact])), self._named(int(triples.tail[fact]))

    def _named(self, entity: int) -> tuple[str, str]:
        """Return key and label of a relation that the graph speaks about as an entity."""
        triples = self._data.triples
        key = triples.entities.key(entity)
        row = triples.relations.get(key)
        if row is not None:
            return key, triples.relation_label(row)

        found = triples.labels[entity]
        return key, readable(key) if found is None else str(found)


def rating_scale(ratings: np.ndarray | None) -> tuple[float, float] | None:
    """Return the ends of the scale that ratings use; None without ratings, or where the numbers are
    no ratings: one value of at most 1, or counts.

    A scale begins at 1 at the highest: where low ratings were left out, 4 of 5 is still good.
    """
    if ratings is None or not np.isfinite(ratings).any():
        return None

    low, high = min(float(np.nanmin(ratings)), 1.0), float(np.nanmax(ratings))
    if low < high <= _MOST_OF_A_SCALE:
        return low, high

    return None


def _nodes(value: object) -> Iterator[Node]:
    """Yield the nodes that an answer names."""
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _nodes(one)
    elif isinstance(value, (Answer, Term, Ranked, Change, Flip, Holding, WithoutFacts)):
        for field in fields(cast(Any, value)):
            yield from _nodes(getattr(value, field.name))
