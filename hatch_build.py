"""Compile kgrec's C++ sources while the project is built; without a compiler it is built without
them.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = {  # what serves in the place of each library
    Path("kgrec/ops/backends/native.cpp"): "the kernels of torch will serve",
    Path("kgrec/data/native/ntriples.cpp"): "N-Triples will be read in Python",
    Path("kgrec/ops/folding.cpp"): "newcomers' vectors will take twice the time",
    Path("kgrec/serving/tables/pruning.cpp"): "lists will be made of the scores of all items",
}
FLAGS = (
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-shared",
    "-pthread",
    "-fno-math-errno",
    "-ffp-contract=fast",
)


class NativeKernels(BuildHookInterface):
    """Add the compiled kernels to a wheel or an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; on success mark the wheel as one for this platform."""
        if self.target_name != "wheel":
            return
        compiled = [target(source) for source in SOURCES if compile_source(Path(self.root), source)]
        if not compiled:
            return
        build_data["artifacts"] += [path.as_posix() for path in compiled]
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"


def target(source: Path) -> Path:
    """Return the library that a source is compiled to."""
    return source.with_name(f"_{source.stem}.so")


def compile_source(root: Path, source: Path) -> bool:
    """Compile a source in place and return whether that went well; what went wrong goes to standard
    error.
    """
    instead = SOURCES[source]
    compiler = os.environ.get("CXX") or next(
        (name for name in ("c++", "g++", "clang++") if shutil.which(name)), None
    )
    if compiler is None or sys.platform == "win32":
        print(f"kgrec: no C++ compiler found, {instead}.", file=sys.stderr)
        return False
    goal = root / target(source)
    scratch = goal.with_name(f"{goal.name}.{os.getpid()}")
    call = [*compiler.split(), *FLAGS, str(root / source), "-o", str(scratch)]
    try:
        done = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"kgrec: {compiler} could not be run ({error}), {instead}.", file=sys.stderr)
        return False
    if done.returncode:
        print(f"kgrec: {' '.join(call)} failed, {instead}.\n{done.stderr[-2000:]}", file=sys.stderr)
        scratch.unlink(missing_ok=True)
        return False
    scratch.replace(goal)  # whoever has the old one open keeps it
    return True


if __name__ == "__main__":
    sys.exit(not all([compile_source(Path(__file__).parent, source) for source in SOURCES]))
