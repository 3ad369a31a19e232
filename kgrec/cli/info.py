"""``kgrec info``."""

from typing import TYPE_CHECKING, Any

from kgrec.cli.options import DatasetArgument, JsonOption
from kgrec.cli.output import clean, show_json, show_table

if TYPE_CHECKING:
    from kgrec.data.dataset import Dataset


def info(dataset: DatasetArgument, json: JsonOption = False) -> None:
    """Say what a dataset holds.

    Counts, coverage, relations, and what was dropped and why.
    """
    from kgrec.data.formats import load

    data = load(dataset)
    if json:
        show_json(data.summary())
    else:
        show_dataset(data)


def show_dataset(data: "Dataset") -> None:
    """Print what a dataset holds."""
    told = data.summary()
    parts = ", ".join(f"{count:,} {part}" for part, count in told["interactions"].items())
    print(f"{clean(data.name)}: {told['users']:,} users, {told['items']:,} items, interactions: {parts}")
    print(f"knowledge graph: {told['triples']:,} triples, {told['entities']:,} entities (items included), {told['relations']:,} relations")
    _show_content(told)
    for name, count in told["counts"].items():
        print(f"{clean(name)}: {count:,}")
    if told["relations"]:
        _show_relations(data)
    for lost in told["dropped"]:
        print(f"dropped {lost['count']:,} {clean(lost['what'])}: {clean(lost['why'])}")
    for note in told["notes"]:
        print(clean(note))


def _show_content(told: dict[str, Any]) -> None:
    """Print what a dataset holds beyond interactions and triples, a line for each kind that is there."""
    content = told["content"]
    if content["texts"]:
        print(f"texts: {content['texts']:,} of {told['items']:,} items, {content['mentions']:,} mentions of entities")
    if content["features"]:
        print(f"features: {content['features']:,} numbers per item")
    if content["word_vectors"] or content["entity_vectors"]:
        print(f"vectors: {content['word_vectors']:,} words, {content['entity_vectors']:,} entities")
    for name, kind in (("negatives", "labelled negatives"), ("impressions", "impressions"), ("held_triples", "held-out triples")):
        if told[name]:
            print(f"{kind}: " + ", ".join(f"{count:,} {part}" for part, count in told[name].items()))


_MOST_RELATIONS = 20


def _show_relations(data: "Dataset") -> None:
    import numpy as np

    counts = np.bincount(data.triples.relation, minlength=data.num_relations)
    counts += np.bincount(data.user_facts[:, 1], minlength=data.num_relations)
    order = np.argsort(-counts, kind="stable")
    rows = [(data.triples.relation_label(r), f"{counts[r]:,}", data.triples.relations.key(r)) for r in order[:_MOST_RELATIONS]]
    show_table(("relation", "facts", "key"), rows, right=("facts",))
    if len(order) > _MOST_RELATIONS:
        print(f"and {len(order) - _MOST_RELATIONS:,} more relations with {counts[order[_MOST_RELATIONS:]].sum():,} facts")
