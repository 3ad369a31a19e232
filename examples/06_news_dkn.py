"""News in MIND's format with a graph of the entities they name, and DKN: words against words plus
entities.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

import kgrec

TOPICS = {
    "football": ("goal", "coach", "stadium"),
    "cinema": ("film", "scene", "actor"),
    "space": ("orbit", "probe", "launch"),
}
rng = np.random.default_rng(0)
folder = Path(tempfile.mkdtemp())

# People of a topic work for its three houses. Those of the later news are new, and so are the words
# around them.
facts, news, topic_of = [], {"train": [], "test": []}, {}
for number, (topic, words) in enumerate(TOPICS.items()):
    for part, people in (("train", range(0, 15)), ("test", range(15, 30))):
        for person in people:
            key = f"Q{1000 * number + person}"
            facts.append(f"{key}\tworks for\tQ{9000 + 10 * number + person % 3}")
            for _ in range(3):
                name = f"P{number}n{person}"
                title = (
                    f"{name} and the {rng.choice(words) if part == 'train' else 'future'} of today"
                )
                entity = {
                    "WikidataId": key,
                    "Label": name,
                    "OccurrenceOffsets": [0],
                    "SurfaceForms": [name],
                }
                news[part].append(f"N{len(topic_of)}")
                topic_of[news[part][-1]] = (topic, title, entity)
facts += [
    f"Q{9000 + 10 * n + house}\tin\tQ{9500 + n}" for n in range(len(TOPICS)) for house in range(3)
]
(folder / "people.tsv").write_text("\n".join(facts) + "\n")


def lists(part: str, users: int) -> str:
    """Return impressions: six news shown to a reader of one topic, who mostly clicks on that."""
    lines = []
    for row in range(users * (8 if part == "train" else 3)):
        liked = list(TOPICS)[row % users % len(TOPICS)]
        read = rng.choice([n for n in news["train"] if topic_of[n][0] == liked], 4, replace=False)
        shown = [
            f"{n}-{int(rng.random() < (0.8 if topic_of[n][0] == liked else 0.1))}"
            for n in rng.choice(news[part], 6, replace=False)
        ]
        lines.append(
            f"{row}\tU{row % users}\t11/12/2019 2:14:46 PM\t{' '.join(read)}\t{' '.join(shown)}"
        )

    return "\n".join(lines) + "\n"


for part in ("train", "test"):
    inside = folder / part
    inside.mkdir()
    (inside / "news.tsv").write_text(
        "".join(
            f"{n}\tnews\tnews\t{topic_of[n][1]}\t\t\t{json.dumps([topic_of[n][2]])}\t[]\n"
            for n in (*news["train"], *news["test"])
        )
    )
    (inside / "behaviors.tsv").write_text(lists(part, users=40))

data = kgrec.load(folder, kg=str(folder / "people.tsv"))
print(data)
print("note:", *data.report.notes, sep="\n  ")

figures = {}
for label, settings in (
    ("words alone", {"use_entities": False, "use_context": False}),
    ("words and entities", {}),
):
    run = kgrec.fit(
        "dkn",
        data,
        preset="fast",
        metric="auc",
        epochs=30,
        patience=10,
        batch_size=64,
        device="cpu",
        seed=0,
        **settings,
    )
    report = run.evaluate(protocol="impressions")
    figures[label] = report.metrics
    print(
        f"{label:20}" + "".join(f"{name} {value:.3f}   " for name, value in report.metrics.items())
    )

print(run.recommend(history=[news["train"][0], news["train"][1]], items=news["test"], k=3))

# Nothing but the graph says what the later news are about.
assert figures["words and entities"]["auc"] > figures["words alone"]["auc"] + 0.1
