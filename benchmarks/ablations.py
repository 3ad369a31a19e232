"""Does the graph of lastfm-dbpedia help? `kgrec ablate` for EASE with attributes and the graph
networks, and the page of their verdicts.

python benchmarks/ablations.py [ease-kg kgat kgin cke cfkg] [--seeds 3] [--out bench/ablations]
hours; goes on after an interruption python benchmarks/ablations.py --report [--out bench/ablations]
write docs/results/ablation.md

EASE with attributes leaves out every relation, one at a time; the networks the three largest.
`ease-kg` and `cfkg` take the settings that `benchmarks/results.py` found by validation (--tuned,
its folder), the others their preset "fast". The data are looked for in KGREC_SHARED_DATA, else in
../shared/data.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SHARED = Path(os.environ.get("KGREC_SHARED_DATA") or "../shared/data")
RELATIONS = {"ease-kg": "all", "kgat": "3", "kgin": "3", "cke": "3", "cfkg": "0"}
TUNED = ("ease-kg", "cfkg")


def run(model: str, seeds: int, tuned: Path, out: Path) -> None:
    """Ablate one model; what is there is not trained again."""
    words = [
        sys.executable,
        "-m",
        "kgrec",
        "ablate",
        str(SHARED / "lastfm-dbpedia"),
        "--model",
        model,
        "--seeds",
        str(seeds),
    ]
    words += ["--relations", RELATIONS[model], "--out", str(out / model)]
    best = tuned / model / "tune" / "best.toml"
    words += (
        ["--config", str(best)]
        if model in TUNED and best.exists()
        else []
        if model == "ease-kg"
        else ["--preset", "fast"]
    )
    subprocess.run(words, check=True)


def section(model: str, found: dict[str, Any]) -> list[str]:
    """Return one model's part of the page."""
    contrasts = [one for one in found["contrasts"] if one["group"] == "all users and items"]
    how = "tuned settings" if model in TUNED else 'preset "fast"'
    seeds = f"{found['seeds']} seed{'' if found['seeds'] == 1 else 's'}"
    lines = [
        f"## {model}",
        "",
        f"{how}, {seeds}. **{found['verdict']}**",
        "",
        "| variant | ndcg@10 | recall@20 | ndcg@20 |",
        "|---|---|---|---|",
    ]

    for variant, values in found["means"].items():
        lines.append(
            f"| {variant} | "
            + " | ".join(f"{values[name]:.4f}"[1:] for name in ("ndcg@10", "recall@20", "ndcg@20"))
            + " |"
        )

    lines += [
        "",
        "| difference in ndcg@10 | mean | 95 % interval | p, corrected |",
        "|---|---|---|---|",
    ]
    for one in contrasts:
        lines.append(
            f"| {one['first']} - {one['second']} | {one['mean']:+.4f} | {one['low']:+.4f} .. "
            f"{one['high']:+.4f} | {one['p_adjusted']:.2g} |"
        )

    return [*lines, ""]


def report(out: Path, page: Path) -> None:
    """Put the parts of all models that are there between the marks of the page."""
    parts: list[str] = []
    for model in RELATIONS:
        place = out / model / "ablation.json"
        if place.exists():
            parts += section(model, json.loads(place.read_text(encoding="utf-8")))

    before, _, rest = page.read_text(encoding="utf-8").partition("<!-- table -->")
    _, _, after = rest.partition("<!-- end of table -->")
    page.write_text(
        f"{before}<!-- table -->\n" + "\n".join(parts) + f"<!-- end of table -->{after}",
        encoding="utf-8",
    )


def main() -> None:
    """Run, or write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=list(RELATIONS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("bench/ablations"))
    parser.add_argument("--tuned", type=Path, default=Path("bench/lastfm-dbpedia"))
    parser.add_argument("--page", type=Path, default=Path("docs/results/ablation.md"))
    parser.add_argument("--report", action="store_true")
    chosen = parser.parse_args()
    if not chosen.report:
        for model in chosen.models:
            run(model, chosen.seeds, chosen.tuned, chosen.out)

    report(chosen.out, chosen.page)


if __name__ == "__main__":
    main()
