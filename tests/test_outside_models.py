"""Models from outside kgrec: named by their class in every command, imported only where allowed."""

import json
import shutil
import sys
from importlib.metadata import EntryPoint

import pytest

import kgrec
from kgrec import load_run
from kgrec.cli import run as command
from kgrec.errors import CheckpointError, ConfigError, DataError, UnknownModelError
from kgrec.models import catalog
from kgrec.runs.settings import choose


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A folder on the path with a model as ``kgrec new-model`` writes it."""
    folder = tmp_path_factory.mktemp("outside")
    assert command(["new-model", "my_mf", "--out", str(folder)]) == 0
    (folder / "broken_mf.py").write_text("raise RuntimeError('two\\nlines')\n")
    (folder / "half_mf.py").write_text(
        "from typing import Any\nimport kgrec\nfrom my_mf import MyMf\n"
        "class Half(kgrec.Recommender):\n    from_dataset = MyMf.from_dataset\n"
        "class Vague(MyMf):\n    @classmethod\n"
        "    def from_dataset(cls, data, config: Any, generator): ...\n"
    )
    (folder / "needy_mf.py").write_text(
        "from my_mf import *\nNEEDS = ('interactions', 'texts')\n"
        "class Needy(MyMf):\n    '''Reads texts.'''\n"
    )
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for name in ("my_mf", "needy_mf", "broken_mf", "half_mf"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def trained(outside, tmp_path_factory):
    place = tmp_path_factory.mktemp("runs") / "mine"
    call = ["train", "films", "--model", "my_mf:MyMf", "--set", "epochs=2", "--set", "dim=4"]
    assert command([*call, "--out", str(place)]) == 0
    return place


@pytest.mark.slow
def test_what_new_model_writes_passes_its_own_tests(outside, forks):
    call = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_mf.py"]
    done = forks.run(call, outside, 300)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "skipped" not in done.stdout


def test_new_model_overwrites_nothing(outside, tmp_path, capsys):
    assert command(["new-model", "my_mf", "--out", str(outside)]) == 2
    assert "exists" in capsys.readouterr().err
    for name in ("Mine", "my-model", "1st", "../x", "a.b", ""):
        assert command(["new-model", name, "--out", str(tmp_path)]) == 2
    assert not list(tmp_path.iterdir())


def test_module_says_presets_space_and_needs(outside):
    chosen = choose("my_mf:MyMf", "default", {})
    assert chosen.name == "MyMf"
    assert chosen.outside == "my_mf:MyMf"
    assert chosen.train.batch_size == 1024
    assert catalog.find("my_mf:MyMf").search_space()["dim"] == (32, 64, 128)
    with pytest.raises(DataError, match="Needy needs texts"):
        kgrec.fit("needy_mf:Needy", "films")


@pytest.mark.slow
def test_run_is_opened_by_every_command_that_allows_the_class(trained, tmp_path, capsys):
    allowed = ["--allow-class", "my_mf:MyMf"]
    place = str(trained)
    users = tmp_path / "users.txt"
    users.write_text("u0001\n")
    item = load_run(trained, allow="my_mf:MyMf").data.items.key(0)
    calls = [
        ["evaluate", place],
        ["recommend", place, "--user", "u0001"],
        ["similar", place, "--item", item],
        ["export", place, "--embeddings", str(tmp_path / "vectors")],
        ["explain", place, "--user", "u0001", "--top", "1"],
        ["explain-batch", place, "--out", str(tmp_path / "b.jsonl"), "--users", str(users)],
        ["explain-summary", place, "--users", str(users)],
        ["inspect", place, "--export", str(tmp_path / "page.html"), "--user", "u0001"],
        ["compare", place, shutil.copytree(place, str(tmp_path / "copy"))],
    ]
    for call in calls:
        refused = command(call)
        said = capsys.readouterr().err
        assert refused == 2, call
        assert "--allow-class my_mf:MyMf" in said
        assert said.count("\n") == 1
        done = command([*call, *allowed])
        said = capsys.readouterr().err
        assert done in (0, 3) or "states no effects of facts" in said, (call, said)


def test_nothing_is_imported_that_is_not_allowed(outside, trained, tmp_path, forks):
    code = (
        "import sys, kgrec\n"
        f"sys.path.insert(0, {str(outside)!r})\n"
        "try:\n"
        f"    kgrec.load_run({str(trained)!r}, allow='other:Class')\n"
        "except kgrec.KgrecError as error:\n"
        "    print(error)\n"
        "assert 'my_mf' not in sys.modules\n"
    )
    done = forks.run(["-c", code], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "run the code of that module" in done.stdout


def test_folder_cannot_name_a_class_as_a_model(trained, tmp_path):
    from kgrec.runs.folder import read_config, write_config

    record = read_config(trained)
    del record["class"]
    place = tmp_path / "run"
    place.mkdir()
    write_config(place, record | {"model": "broken_mf:Mine"})
    with pytest.raises(CheckpointError, match="not a name"):
        load_run(place)


def test_going_on_names_the_class_again(trained, tmp_path, capsys):
    place = tmp_path / "run"
    call = ["train", "films", "--model", "my_mf:MyMf", "--set", "dim=4", "--out", str(place)]
    assert command([*call, "--set", "epochs=1"]) == 0
    capsys.readouterr()
    assert command(["train", "--resume", "--out", str(place), "--set", "epochs=2"]) == 2
    assert "my_mf:MyMf" in capsys.readouterr().err
    go_on = ["train", "--resume", "--model", "my_mf:MyMf", "--out", str(place)]
    assert command([*go_on, "--set", "epochs=2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_such_module:Mine", "importing no_such_module failed"),
        ("broken_mf:Mine", "RuntimeError: two lines"),
        ("my_mf:MyMF", "nearest: MyMf"),
        ("my_mf:MyMfConfig", "not a subclass"),
        ("half_mf:Half", "lacks plan, scorer"),
        ("half_mf:Vague", "does not annotate its config"),
        ("my_mf:", "pkg.module:Class"),
        (":Mine", "pkg.module:Class"),
        ("my mf:Mine", "pkg.module:Class"),
        ("os.path:join", "not a subclass"),
    ],
)
def test_a_class_that_cannot_be_had_is_one_line(outside, name, said, tmp_path, capsys):
    assert command(["train", "films", "--model", name, "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert said.lower() in err.lower()
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_installed_models_that_are_broken_are_named(monkeypatch):
    points = [EntryPoint("ours", "no_such_module:ENTRY", "kgrec.models")]
    monkeypatch.setattr(catalog, "entry_points", lambda group: points)
    with pytest.raises(ConfigError, match="'ours' cannot be imported: ModuleNotFoundError"):
        catalog.find("ours")
    with pytest.raises(UnknownModelError, match="lightgcn"):
        catalog.find("lightgnc")  # another's broken package does not hide what is meant
    points.append(EntryPoint("theirs", "kgrec.models.catalog:MODELS", "kgrec.models"))
    assert list(catalog.installed_models()) == []
    points[:] = [EntryPoint("ours", "os:sep", "kgrec.models")]
    with pytest.raises(ConfigError, match="not a ModelEntry but str"):
        catalog.find("ours")


def test_a_class_of_a_script_is_asked_for_in_python(tmp_path, forks):
    place = tmp_path / "run"
    code = (
        "import kgrec\nfrom kgrec.models.factorization.bprmf import BPRMF, BPRMFConfig\n"
        "class Local(BPRMF): pass\n"
        f"kgrec.fit(Local, 'films', epochs=1, dim=4, out={str(place)!r})\n"
    )
    done = forks.run(["-c", code], tmp_path)
    assert done.returncode == 0, done.stderr
    with pytest.raises(CheckpointError, match="class of a script"):
        load_run(place)
