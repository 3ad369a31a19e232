"""The JSON form of explanations: schema 2 is written, 1 and 2 are read, every value checked.

Schema 2 has like and facts apart: ``like_drop``, ``facts_drop`` and ``hop_drops`` of each path,
what may be claimed, and the words that say it (``text``). Schema 1, of version 0.1, had the drop of
both alone.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from kgrec.errors import ExplanationError
from kgrec.explanation.core.records import (
    PATH_NUMBERS,
    SCHEMAS,
    Budget,
    Explanation,
    FactRef,
    Flip,
    Hop,
    Node,
    Path,
    Relation,
    Term,
)
from kgrec.explanation.core.training_effects import TrainingEffects
from kgrec.explanation.core.words import Words

# ---- writing


def explanation_to_dict(
    explanation: Explanation, words: str, path_words: Sequence[str]
) -> dict[str, Any]:
    """Return the JSON form of an explanation as a dictionary.

    Args:
        explanation: The explanation.
        words: It in a sentence.
        path_words: Each path in words.
    """
    out: dict[str, Any] = {"schema": explanation.schema}
    for name in ("user", "item", "user_label", "item_label", "score", "rank", "margin"):
        out[name] = getattr(explanation, name)

    out["next_item"] = None
    if explanation.next_item is not None:
        out["next_item"] = asdict(explanation.next_item)

    out["budget"] = None
    if explanation.budget is not None:
        out["budget"] = _budget_to_dict(explanation.budget)

    out["against"] = [term_to_dict(term) for term in explanation.against]
    out["paths"] = [
        _path_to_dict(path, said) for path, said in zip(explanation.paths, path_words, strict=True)
    ]
    for name in ("counts", "truncated", "filters", "hidden", "manifest"):
        out[name] = getattr(explanation, name)

    out |= {"notes": list(explanation.notes), "text": words, "words": explanation.words.to_dict()}
    if explanation.training is not None:
        out["training"] = explanation.training.to_dict()

    if explanation.history:
        out["history"] = list(explanation.history)
    if explanation.flip is not None:
        out["flip"] = explanation.flip.to_dict()

    if explanation.schema == 1:
        return _as_schema_1(out)

    return out


def _as_schema_1(out: dict[str, Any]) -> dict[str, Any]:
    """Return what was read from a file of version 0.1 as it was written."""
    del out["text"], out["words"]
    for path in out["paths"]:
        for name in _SINCE_2:
            del path[name]

    if out["budget"] is not None and out["budget"]["basis"] == "linearized":
        out["budget"]["basis"] = "linearised"

    return out


def term_to_dict(term: Term) -> dict[str, Any]:
    """Return a node's keys beside ``value`` and ``supported``."""
    return asdict(term.node) | {"value": term.value, "supported": term.supported}


def _budget_to_dict(budget: Budget) -> dict[str, Any]:
    out = {name: getattr(budget, name) for name in budget.__dataclass_fields__}
    for name in ("by_liked", "by_property"):
        out[name] = [term_to_dict(term) for term in out[name]]
    return out | {"other": dict(budget.other)}


_SINCE_2 = (
    *("like_drop", "like_drop_mask", "facts_drop", "facts_drop_mask", "hop_drops", "placebo"),
    *("claims", "text"),
)
_PATH = (*PATH_NUMBERS, "basis", "users", "removed", "rank_after")


def _path_to_dict(path: Path, words: str) -> dict[str, Any]:
    out: dict[str, Any] = {"length": path.length}
    out |= {name: getattr(path, name) for name in _PATH}
    out["hop_drops"] = list(path.hop_drops)
    out["claims"] = {"like": path.like_claim, "facts": path.facts_claim}
    out["text"] = words
    return out | {"hops": [_hop_to_dict(hop) for hop in path.hops]}


def _hop_to_dict(hop: Hop) -> dict[str, Any]:
    """Return a hop with its first relation in it, and further parallel ones under "also"."""
    first, *others = [
        {
            "relation": r.key,
            "relation_label": r.label,
            "forward": r.forward,
            "facts": [_fact_to_dict(fact) for fact in r.facts],
        }
        for r in hop.relations
    ]
    return {"source": asdict(hop.source), "target": asdict(hop.target), **first, "also": others}


def _fact_to_dict(fact: FactRef) -> dict[str, Any]:
    """Return where a fact was read; column and graph only where there is one."""
    return {
        name: value
        for name, value in asdict(fact).items()
        if name not in ("column", "graph") or value
    }


# ---- reading


def explanation_from_dict(record: Mapping[str, Any]) -> Explanation:
    """Return the explanation of a dictionary made by ``explanation_to_dict``.

    Raises:
        ExplanationError: If the record has another schema or lacks a field.
    """
    if record.get("schema") not in SCHEMAS or isinstance(record["schema"], bool):
        raise ExplanationError(
            f"this is schema {record.get('schema')!r}; this version of kgrec reads schema "
            f"{' and '.join(map(str, SCHEMAS))}. Update kgrec, or explain again."
        )

    try:
        return _explanation_from_dict(record)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        if isinstance(error, ExplanationError):
            raise

        found = str(error).partition("\n")[0]
        raise ExplanationError(
            f"the record is not an explanation: {found}. Write it with Explanation.to_json."
        ) from error


def _explanation_from_dict(record: Mapping[str, Any]) -> Explanation:
    _check_types(record)
    known = Explanation.__dataclass_fields__
    fields = {name: value for name, value in record.items() if name in known}
    fields["paths"] = tuple(_path_from_dict(path) for path in record["paths"])
    fields["notes"] = tuple(record.get("notes", ()))
    fields["against"] = tuple(_term_from_dict(term) for term in record.get("against", ()))
    fields["budget"] = None
    if record.get("budget"):
        fields["budget"] = _budget_from_dict(record["budget"])

    fields["next_item"] = None
    if record.get("next_item"):
        fields["next_item"] = Node(**record["next_item"])

    fields["training"] = None
    if record.get("training"):
        fields["training"] = TrainingEffects.from_dict(record["training"])

    fields["words"] = Words()
    if record.get("words") and record["schema"] != 1:
        fields["words"] = Words.from_dict(record["words"])
    fields["history"] = tuple(record.get("history", ()))
    fields["flip"] = None
    if record.get("flip"):
        fields["flip"] = Flip.from_dict(record["flip"])

    return Explanation(**fields)


def _budget_from_dict(record: Mapping[str, Any]) -> Budget:
    known = Budget.__dataclass_fields__
    fields = {name: value for name, value in record.items() if name in known}
    if fields["basis"] == "linearised":  # as schema 1 spells it
        fields["basis"] = "linearized"

    for name in ("by_liked", "by_property"):
        fields[name] = tuple(_term_from_dict(term) for term in record[name])

    return Budget(**fields)


def _term_from_dict(record: Mapping[str, Any]) -> Term:
    """Return the term of a record with a node's keys, ``value`` and ``supported``."""
    return Term(
        Node(record["kind"], record["key"], record["label"]), record["value"], record["supported"]
    )


def _path_from_dict(record: Mapping[str, Any]) -> Path:
    path = Path(
        tuple(_hop_from_dict(hop) for hop in record["hops"]),
        hop_drops=tuple(record.get("hop_drops", ())),
        **{name: record[name] for name in _PATH if name in record},
    )
    if record["length"] != path.length:
        raise ExplanationError(f"a path says length {record['length']} and has {path.length} hops.")

    return path


def _hop_from_dict(record: Mapping[str, Any]) -> Hop:
    relations = tuple(
        Relation(
            part["relation"],
            part["relation_label"],
            part["forward"],
            tuple(FactRef(**fact) for fact in part["facts"]),
        )
        for part in (record, *record["also"])
    )
    return Hop(Node(**record["source"]), Node(**record["target"]), relations)


def read_json(text: str) -> Any:
    """Parse some JSON.

    Raises:
        ExplanationError: If it is not JSON, holds NaN or an infinity, is nested too deeply, has
            numbers of thousands of digits, or the same key twice in one object.
    """

    def refuse(constant: str) -> None:
        raise ExplanationError(
            f"the JSON holds {constant}, which is not a number of an explanation."
        )

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ExplanationError("in the JSON a key stands twice.")

        return found

    try:
        found = json.loads(text, parse_constant=refuse, object_pairs_hook=distinct)
        if "\\ud" in text.lower():
            json.dumps(found, ensure_ascii=False).encode()

        return found
    except json.JSONDecodeError as error:
        raise ExplanationError(
            f"line {error.lineno}, column {error.colno}: not JSON ({error.msg})."
        ) from error
    except RecursionError as error:
        raise ExplanationError("the JSON is nested too deeply.") from error
    except ExplanationError:
        raise
    except UnicodeEncodeError as error:
        raise ExplanationError(
            "the JSON holds half of a surrogate pair, which is not text."
        ) from error
    except ValueError as error:
        raise ExplanationError("the JSON holds a number with thousands of digits.") from error


_LARGEST, _MOST = sys.float_info.max, 2**62


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MOST


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


_TYPES: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(
        ("user", "item", "user_label", "item_label", "kind", "key", "label", "text"), _is_text
    ),
    **dict.fromkeys(("relation", "relation_label", "basis", "column", "graph"), _is_text),
    **dict.fromkeys(
        ("score", "margin", "own", "bias", "residual", "by_users", "item_own", "supported"),
        _is_number,
    ),
    **dict.fromkeys(("unsupported", "on_graph", "value"), _is_number),
    **dict.fromkeys(PATH_NUMBERS, _is_number),
    **dict.fromkeys(
        ("rank", "length", "users", "removed", "rank_after", "locator", "likes"), _is_count
    ),
    **dict.fromkeys(("truncated", "forward", "ordinal", "verified"), _is_flag),
}
_OPTIONAL = (
    *(
        "rank",
        "margin",
        "by_users",
        "item_own",
        "supported",
        "unsupported",
        "on_graph",
        "rank_after",
    ),
    *PATH_NUMBERS,
    "users",
)
_MAPS: dict[str, Callable[[object], bool]] = {
    "counts": _is_count,
    "hidden": lambda value: value is None or _is_number(value),
    "other": _is_number,
    "filters": lambda value: True,
    "manifest": lambda value: True,
    "words": lambda value: True,  # Words.from_dict looks at it
}


def _check_types(record: Mapping[str, Any]) -> None:
    """Refuse a record some of whose values are of a wrong type.

    Raises:
        TypeError: If one is; the caller says of what.
    """
    for name, value in record.items():
        if name in _MAPS:
            good = isinstance(value, dict) and all(map(_MAPS[name], value.values()))
        elif name == "hop_drops":
            good = isinstance(value, list) and all(map(_is_number, value))
        elif name in _TYPES:
            good = _TYPES[name](value) or (value is None and name in _OPTIONAL)
        else:
            good = name not in ("notes", "history") or (
                isinstance(value, list) and all(map(_is_text, value))
            )
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, dict):
                    _check_types(inner)
        if not good:
            raise TypeError(f"{name!r} has a value of a wrong type or size")
