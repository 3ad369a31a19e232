"""The JSON form of explanations, schema 1: writing, and reading with a check of every value."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from kgrec.errors import ExplanationError
from kgrec.explanation.core.records import (
    SCHEMA,
    Budget,
    Explanation,
    FactRef,
    Hop,
    Node,
    Path,
    Relation,
    Term,
)
from kgrec.explanation.core.training_effects import TrainingEffects

# ---- writing


def explanation_to_dict(explanation: Explanation) -> dict[str, Any]:
    """Return the JSON form of an explanation as a dictionary."""
    out: dict[str, Any] = {"schema": SCHEMA}
    for name in ("user", "item", "user_label", "item_label", "score", "rank", "margin"):
        out[name] = getattr(explanation, name)
    out["next_item"] = None
    if explanation.next_item is not None:
        out["next_item"] = asdict(explanation.next_item)
    out["budget"] = None
    if explanation.budget is not None:
        out["budget"] = _budget_to_dict(explanation.budget)
    out["against"] = [term_to_dict(term) for term in explanation.against]
    out["paths"] = [_path_to_dict(path) for path in explanation.paths]
    for name in ("counts", "truncated", "filters", "hidden", "manifest"):
        out[name] = getattr(explanation, name)
    out["notes"] = list(explanation.notes)
    if explanation.training is not None:
        out["training"] = explanation.training.to_dict()
    return out


def term_to_dict(term: Term) -> dict[str, Any]:
    """Return a node's keys beside ``value`` and ``supported``."""
    return asdict(term.node) | {"value": term.value, "supported": term.supported}


def _budget_to_dict(budget: Budget) -> dict[str, Any]:
    out = {name: getattr(budget, name) for name in budget.__dataclass_fields__}
    for name in ("by_liked", "by_property"):
        out[name] = [term_to_dict(term) for term in out[name]]
    return out | {"other": dict(budget.other)}


_PATH = (
    *("drop_mask", "drop_delete", "basis", "attribution", "users", "removed"),
    *("joint", "weight", "plausibility", "rank_after"),
)


def _path_to_dict(path: Path) -> dict[str, Any]:
    out = {"length": path.length}
    out |= {name: getattr(path, name) for name in _PATH}
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
    if record.get("schema") != SCHEMA:
        raise ExplanationError(
            f"this is schema {record.get('schema')!r}; this version of kgrec reads schema "
            f"{SCHEMA}. Update kgrec, or explain again."
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
    return Explanation(**fields)


def _budget_from_dict(record: Mapping[str, Any]) -> Budget:
    known = Budget.__dataclass_fields__
    fields = {name: value for name, value in record.items() if name in known}
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
    **dict.fromkeys(("user", "item", "user_label", "item_label", "kind", "key", "label"), _is_text),
    **dict.fromkeys(("relation", "relation_label", "basis", "column", "graph"), _is_text),
    **dict.fromkeys(
        ("score", "margin", "own", "bias", "residual", "by_users", "item_own", "supported"),
        _is_number,
    ),
    **dict.fromkeys(("unsupported", "on_graph", "value"), _is_number),
    **dict.fromkeys(
        ("drop_delete", "drop_mask", "attribution", "joint", "weight", "plausibility"), _is_number
    ),
    **dict.fromkeys(("rank", "length", "users", "removed", "rank_after", "locator"), _is_count),
    **dict.fromkeys(("truncated", "forward", "ordinal"), _is_flag),
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
    *("drop_mask", "attribution", "joint", "weight", "plausibility", "users"),
)
_MAPS: dict[str, Callable[[object], bool]] = {
    "counts": _is_count,
    "hidden": lambda value: value is None or _is_number(value),
    "other": _is_number,
    "filters": lambda value: True,
    "manifest": lambda value: True,
}


def _check_types(record: Mapping[str, Any]) -> None:
    """Refuse a record some of whose values are of a wrong type.

    Raises:
        TypeError: If one is; the caller says of what.
    """
    for name, value in record.items():
        if name in _MAPS:
            good = isinstance(value, dict) and all(map(_MAPS[name], value.values()))
        elif name in _TYPES:
            good = _TYPES[name](value) or (value is None and name in _OPTIONAL)
        else:
            good = name != "notes" or (isinstance(value, list) and all(map(_is_text, value)))
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, dict):
                    _check_types(inner)
        if not good:
            raise TypeError(f"{name!r} has a value of a wrong type or size")
