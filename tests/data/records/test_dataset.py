import json

import polars as pl

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import InteractionLog


def test_summary_is_json_and_counts():
    log = InteractionLog(
        pl.DataFrame({"user": ["u"] * 10, "item": [f"i{n}" for n in range(10)]}),
        sources=("log.csv",),
    )
    triples = pl.DataFrame({"head": ["i0"], "relation": ["r"], "tail": ["t"]})
    data = Dataset.build(log, triples, seed=1, name="toy")
    summary = json.loads(json.dumps(data.summary()))
    assert {
        key: summary[key] for key in ("users", "items", "entities", "relations", "triples")
    } == {
        "users": 1,
        "items": 10,
        "entities": 11,
        "relations": 1,
        "triples": 1,
    }
    assert summary["interactions"] == {"train": 8, "valid": 1, "test": 1}
    assert (summary["sources"], summary["settings"]["seed"]) == (["log.csv", "the frame"], 1)
    assert (data.item_label(3), data.user_label(0)) == ("i3", "u")
