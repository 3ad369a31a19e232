import hashlib

import pytest

from kgrec.data.formats import bundled
from kgrec.data.formats.load import load
from kgrec.errors import CheckpointError, GraphNotFoundError


def bundle(folder, files, extra=""):
    folder.mkdir(parents=True)
    entries = [f'name = "toy"\n{extra}']
    for name, (role, text, recorded) in files.items():
        (folder / name).write_text(text)
        digest = hashlib.sha256(recorded.encode()).hexdigest()
        entries.append(
            f'[[files]]\nname = "{name}"\nrole = "{role}"\nbytes = {len(recorded)}\nsha256 = "{digest}"\n'
        )
    (folder / bundled.MANIFEST).write_text("\n".join(entries))
    return folder


LOG = "user_id\titem_id\n" + "".join(f"u\ti{i}\n" for i in range(10))


def test_films_is_bundled_and_whole():
    data = load("films")
    assert "films" in bundled.names()
    assert data.settings["split"] == "random"
    assert data.report.counts["items without an entity"] == 0
    assert any("SIMULATED" in note for note in data.report.notes)
    assert len(data.train) + len(data.valid) + len(data.test) >= 30_000
    assert data.item_label(0) != data.items.key(0)


def test_an_unknown_name_says_where_was_looked():
    with pytest.raises(
        GraphNotFoundError, match=r"'filsm' in .*_graphs or .*graphs\. Nearest: films"
    ):
        bundled.folder("filsm")


def test_the_wheels_folder_is_looked_up_first(tmp_path, monkeypatch):
    places = (tmp_path / "_graphs", tmp_path / "graphs")
    monkeypatch.setattr(bundled, "folders_searched", lambda: places)
    for place in places:
        bundle(place / "toy", {"log.tsv": ("interactions", LOG, LOG)})
    assert bundled.names() == ["toy"]
    assert bundled.folder("toy") == places[0] / "toy"
    assert load("toy").num_items == 10


def test_damage_is_found(tmp_path):
    with pytest.raises(CheckpointError, match=r"log\.tsv: its size or SHA-256"):
        bundled.read(bundle(tmp_path / "a", {"log.tsv": ("interactions", LOG, LOG + "u\ti10\n")}))
    gone = bundle(tmp_path / "b", {"log.tsv": ("interactions", LOG, LOG)})
    (gone / "log.tsv").unlink()
    with pytest.raises(CheckpointError, match=r"named in manifest\.toml and not there"):
        bundled.read(gone)
    (gone / bundled.MANIFEST).write_text("[[files")
    with pytest.raises(CheckpointError, match="not readable as TOML"):
        bundled.read(gone)
    (gone / bundled.MANIFEST).write_text('[[files]]\nname = "../../etc/passwd"\n')
    with pytest.raises(CheckpointError, match=r"named in manifest\.toml and not there"):
        bundled.read(gone)
    (gone / bundled.MANIFEST).write_text("files = 3")
    with pytest.raises(CheckpointError, match="names no"):
        bundled.read(gone)
