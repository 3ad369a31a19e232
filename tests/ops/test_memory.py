import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import torch
from kgrec.ops.memory import keep_freed_memory
{call}
for _ in range(20):
    torch.empty(4 << 20).fill_(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.empty(4 << 20).fill_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is one of glibc")
def test_a_freed_table_is_taken_again_without_new_pages():
    def faults(call):
        return int(subprocess.run([sys.executable, "-c", FAULTS.format(call=call)], capture_output=True, text=True, check=True).stdout)

    assert faults("assert keep_freed_memory()") < faults("") / 10
