"""Make an environment for each of other toolkits, and say which of them start.

python benchmarks/peers/environments.py lenskit implicit pykeen surprise recbole hopwise --to PEERS

Each is PEERS/NAME with its own interpreter. Nothing of this project's own environment changes.
"""

import argparse
import subprocess
import sys
import venv
from pathlib import Path

_OLD = ["setuptools<81", "numpy==1.26.4", "pandas==2.2.3", "scipy==1.13.1", "scikit-learn==1.5.2"]
_RECBOLE = [*_OLD, "ray==2.6.3", "tqdm", "colorlog==4.7.2", "colorama==0.4.4", "pyyaml", "tabulate"]
_RECBOLE += ["tensorboard", "plotly", "texttable", "psutil"]
INSTALLED: dict[str, list[list[str]]] = {
    "lenskit": [["lenskit>=2025.3"]],
    "implicit": [["implicit>=0.7", "scipy", "threadpoolctl"]],
    "pykeen": [["pykeen>=1.11"]],
    "surprise": [["scikit-surprise>=1.1.5"]],
    # its own pins are of libraries that no longer have wheels: it goes in without them
    "recbole": [["torch>=2.11"], _RECBOLE, ["--no-deps", "recbole==1.2.1", "thop"]],
    "hopwise": [["hopwise"]],
}
"""What is installed, one call of pip after another."""


def make(name: str, place: Path) -> str:
    """Make an environment unless it is there; return what became of it."""
    python = place / "bin" / "python"
    if not python.exists():
        venv.create(place, with_pip=True)
        for packages in INSTALLED[name]:
            done = subprocess.run(
                [str(python), "-m", "pip", "install", "-q", *packages],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                return f"cannot be installed: {_last(done.stderr)}"

    done = subprocess.run(
        [str(python), "-c", f"import {name}"], capture_output=True, text=True, check=False
    )
    return f"does not start: {_last(done.stderr)}" if done.returncode else "starts"


def _last(text: str) -> str:
    return (text.strip() or "no message").splitlines()[-1][:200]


def main() -> None:
    """Make what is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("toolkits", nargs="+", choices=list(INSTALLED))
    parser.add_argument("--to", type=Path, required=True)
    chosen = parser.parse_args()
    chosen.to.mkdir(parents=True, exist_ok=True)
    found = {name: make(name, chosen.to / name) for name in chosen.toolkits}
    for name, state in found.items():
        print(f"{name}: {state}")

    sys.exit(any(state != "starts" for state in found.values()))


if __name__ == "__main__":
    main()
