"""Compile the kernels of kgrec/ops/backends while the project is built; without a compiler it is built without them."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("kgrec/ops/backends/native.cpp")
TARGET = SOURCE.with_name("_native.so")
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-pthread", "-fno-math-errno", "-ffp-contract=fast")


class NativeKernels(BuildHookInterface):
    """Add the compiled kernels to a wheel or an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; on success mark the wheel as one for this platform."""
        if self.target_name != "wheel" or not compile_kernels(Path(self.root)):
            return
        build_data["artifacts"].append(TARGET.as_posix())
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"


def compile_kernels(root: Path) -> bool:
    """Compile the kernels in place and return whether that went well; what went wrong goes to standard error."""
    compiler = os.environ.get("CXX") or next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
    if compiler is None or sys.platform == "win32":
        print("kgrec: no C++ compiler found, the kernels of torch will serve.", file=sys.stderr)
        return False
    scratch = (root / TARGET).with_name(f"{TARGET.name}.{os.getpid()}")
    call = [*compiler.split(), *FLAGS, str(root / SOURCE), "-o", str(scratch)]
    try:
        done = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"kgrec: {compiler} could not be run ({error}), the kernels of torch will serve.", file=sys.stderr)
        return False
    if done.returncode:
        print(f"kgrec: {' '.join(call)} failed, the kernels of torch will serve.\n{done.stderr[-2000:]}", file=sys.stderr)
        scratch.unlink(missing_ok=True)
        return False
    scratch.replace(root / TARGET)  # whoever has the old one open keeps it
    return True


if __name__ == "__main__":
    sys.exit(not compile_kernels(Path(__file__).parent))
