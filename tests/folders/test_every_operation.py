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
    _QUICK,
    *(pytest.param(names, marks=pytest.mark.slow) for names in _SLOW),
    *(pytest.param(names, marks=pytest.mark.long) for names in _LONG),
]


@pytest.mark.parametrize("names", _GROUPS, ids=lambda names: names[0])
def test_whatever_ends_a_command_what_it_left_opens_goes_on_and_is_written_again(names, tmp_path):
    found = swept(tmp_path, *names)
    assert [one["scenario"] for one in found] == names
    for one in found:
        assert one["operations"] >= 5
        assert one["ends"] >= one["operations"]
        wrong = {
            kind: one[kind]
            for kind in ("dead_ends", "names_lost", "leftovers", "different", "said")
            if one[kind]
        }
        assert not wrong, f"{one['scenario']}: {json.dumps(wrong, indent=1)}"


def swept(root, *names):
    """Sweep commands in a process that has computed nothing yet, so that it can be forked."""
    here = Path(faults.__file__)
    environment = {
        **os.environ,
        "POLARS_MAX_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(here.parent.parent),
    }
    call = [sys.executable, str(here), str(root), *names, "--every", "17"]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]
