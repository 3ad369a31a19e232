"""The wheel, as someone receives it."""

import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

LOAD = """
import kgrec, sys
from pathlib import Path
from kgrec.data.formats import bundled
assert "site-packages" in kgrec.__file__, kgrec.__file__
assert "films" in bundled.names()
data = kgrec.load("films")
assert data.num_items >= 300 and len(data.triples) >= 3000, data.summary()
print(kgrec.__file__)
"""


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, root],
        check=True,
        timeout=300,
        capture_output=True,
    )
    (found,) = out.glob("kgrec-*.whl")
    return found


@pytest.mark.slow
def test_the_wheel_holds_code_types_graphs_and_licence(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "kgrec/py.typed" in names
    assert {
        f"kgrec/serving/static/{name}"
        for name in ("inspector.css", "inspector.js", "screens/why.js")
    } <= set(names)
    assert {
        "kgrec/explanation/render/templates/page.html",
        "kgrec/reports/templates/dataset.html",
        "kgrec/serving/templates/page.html",
    } <= set(names)
    assert "kgrec/_graphs/films/manifest.toml" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "examples/", "graphs/"))]


@pytest.mark.slow
def test_a_bundled_graph_loads_from_the_installed_wheel(wheel, tmp_path):
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = home / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    (site,) = [p for p in home.rglob("site-packages") if p.is_dir()]
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)  # what an installer does with a pure wheel
    # The dependencies of this environment, without its editable kgrec: that one comes by a .pth
    # file, which is not read from here.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    done = subprocess.run(
        [python, "-c", LOAD], capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert str(site) in done.stdout
