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

# Of each command, look at every n-th operation of what is kept; a process sweeps a line. In each
# run of the tests one command for each way of writing: over a dataset, a run, a file, line by line;
# a new dataset, another's format, several files, several beside each other; a training of two
# stages, a study. The others write in the same ways, and are ended two or three times each.
_QUICK = {"build over": 7, "train over": 13, "recommend over": 5, "explain-batch": 3}
_SLOW = {"build": 13, "convert over": 13, "convert neo4j": 5, "export": 13, "explain-eval": 6}
_SLOW |= {"train refit": 61, "tune": 61, "update": 41, "forget": 41, "export serving": 61}
_SLOW |= dict.fromkeys(("train", "train closed form", "train more", "ablate"), 97)
_SLOW |= dict.fromkeys(("convert graphml", "info", "recommend", "evaluate", "compare"), 97)
_SLOW |= dict.fromkeys(("explain", "explain-summary", "inspect"), 97)
_EVERY = 53  # of the operations that find the disk full
_LONG = [
    [*_QUICK],
    ["build", "convert over", "convert graphml", "convert neo4j"],
    ["train", "train closed form"],
    ["recommend", "evaluate", "compare", "export", "info"],
    ["train refit"],
    ["train more"],
    ["tune"],
    ["ablate"],
    ["explain", "explain-summary", "explain-eval", "inspect"],
    ["update", "forget", "export serving"],
]
_GROUPS = [
    pytest.param(_QUICK, 29, id=f"{next(iter(_QUICK))} sampled"),
    pytest.param(_SLOW, _EVERY, id="build sampled", marks=pytest.mark.slow),
    # every command and each of its operations before a release
    *(
        pytest.param(dict.fromkeys(names, 1), 17, id=names[0], marks=pytest.mark.long)
        for names in _LONG
    ),
]


def test_no_command_is_left_out():
    """Formats apart: two of them are swept, and all are written by the same hand."""
    swept_before_a_release = {name for names in _LONG for name in names}
    assert {*_QUICK, *_SLOW} == swept_before_a_release
    others = faults.SCENARIOS.keys() - swept_before_a_release
    assert all(name.startswith("convert ") for name in others), others


@pytest.mark.parametrize(("steps", "every"), _GROUPS)
def test_whatever_ends_a_command_what_it_left_opens_goes_on_and_is_written_again(
    steps, every, tmp_path
):
    found = swept(tmp_path, steps, every)
    assert [one["scenario"] for one in found] == list(steps)
    for one in found:
        assert one["operations"] >= 5
        assert one["ends"] >= one["operations"] // steps[one["scenario"]]
        wrong = {
            kind: one[kind]
            for kind in ("dead_ends", "names_lost", "leftovers", "different", "said")
            if one[kind]
        }
        assert not wrong, f"{one['scenario']}: {json.dumps(wrong, indent=1)}"


def swept(root, steps, every):
    """Sweep commands in a process that has computed nothing yet, so that it can be forked."""
    here = Path(faults.__file__)
    environment = {
        **os.environ,
        "POLARS_MAX_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(here.parent.parent),
    }
    names = [f"{name}={states}" for name, states in steps.items()]
    call = [sys.executable, str(here), str(root), *names, "--every", str(every)]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]
