"""Every command, ended at each of its file operations: what is left opens, goes on, and is written
again; see ``faults.py``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import faults
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")

_QUICK = ["build over", "train over", "recommend over", "explain-batch"]
_SLOW = [
    ["build", "convert over", "convert graphml", "convert neo4j"],
    ["train", "train closed form"],
    ["recommend", "evaluate", "compare", "export", "info"],
]
_LONG = [
    ["train refit"],
    ["train more"],
    ["tune"],
    ["ablate"],
    ["explain", "explain-summary", "explain-eval", "inspect"],
]
_GROUPS = [
    pytest.param(_QUICK, 7, id=f"{_QUICK[0]} 7th"),
    *(pytest.param(names, 13, id=f"{names[0]} 13th", marks=pytest.mark.slow) for names in _SLOW),
    # every command in each run of the tests, and each of its operations before a release
    *(pytest.param(names, 61, id=f"{names[0]} 61st", marks=pytest.mark.slow) for names in _LONG),
    *(
        pytest.param(names, 1, id=names[0], marks=pytest.mark.long)
        for names in [_QUICK, *_SLOW, *_LONG]
    ),
]


@pytest.mark.parametrize(("names", "states"), _GROUPS)
def test_whatever_ends_a_command_what_it_left_opens_goes_on_and_is_written_again(
    names, states, tmp_path
):
    found = swept(tmp_path, *names, states=states)
    assert [one["scenario"] for one in found] == names
    for one in found:
        assert one["operations"] >= 5
        assert one["ends"] >= one["operations"] // states
        wrong = {
            kind: one[kind]
            for kind in ("dead_ends", "names_lost", "leftovers", "different", "said")
            if one[kind]
        }
        assert not wrong, f"{one['scenario']}: {json.dumps(wrong, indent=1)}"


def swept(root, *names, states=1):
    """Sweep commands in a process that has computed nothing yet, so that it can be forked."""
    here = Path(faults.__file__)
    environment = {
        **os.environ,
        "POLARS_MAX_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(here.parent.parent),
    }
    every = 17 if states == 1 else 4 * states + 1  # a sample of the operations: one of the ends
    call = [sys.executable, str(here), str(root), *names]
    call += ["--every", str(every), "--states", str(states)]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]
