import os
import platform
import subprocess
import sys

import pytest
import torch

from kgrec.ops.memory import available_memory

FAULTS = """
import resource
import torch
from kgrec.ops.memory import keep_freed_memory
assert keep_freed_memory()
def step():
    tables = [torch.empty(4 << 20).fill_(1) for _ in range(8)]


for _ in range(20):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is one of glibc")
def test_freed_tables_are_taken_again_without_new_pages():
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 10_000  # of the 320,000 pages that the tables have


def test_what_is_left_is_less_than_there_is():
    left = available_memory(torch.device("cpu"))
    assert left > 0
    if sys.platform == "linux":
        assert left < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
