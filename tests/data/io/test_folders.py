import json
import os

import pytest

from kgrec.data.io.folders import (
    MANIFEST,
    beside,
    check_folder,
    check_replaceable,
    combined_sum,
    folder_kind,
    new_folder,
)
from kgrec.data.io.writing import locked
from kgrec.errors import CheckpointError, MissingFileError


def write(path, text="hello", kind="thing", version=1):
    with new_folder(path, kind, version) as folder:
        (folder / "a.txt").write_text(text)


def fail(path, error):
    with new_folder(path, "thing", 1) as folder:
        (folder / "half.txt").write_text("x")
        raise error


def edit(path, change):
    manifest = json.loads((path / MANIFEST).read_text())
    change(manifest)
    (path / MANIFEST).write_text(json.dumps(manifest))


def test_a_folder_is_written_checked_and_replaced(tmp_path):
    place = tmp_path / "deep" / "er"
    write(place)
    first = check_folder(place, "thing", 1)
    assert list(first) == ["a.txt"]
    assert folder_kind(place) == "thing"
    write(place, "other")
    assert (place / "a.txt").read_text() == "other"
    assert combined_sum(first) != combined_sum(check_folder(place, "thing", 1))
    assert [p.name for p in place.parent.iterdir()] == ["er"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing_new_and_the_old_whole(tmp_path, error):
    for place in (tmp_path / "new", tmp_path / "old"):
        if place.name == "old":
            write(place)
        with pytest.raises(type(error)):
            fail(place, error)
    assert [p.name for p in tmp_path.iterdir()] == ["old"]
    assert list(check_folder(tmp_path / "old", "thing", 1)) == ["a.txt"]


def test_what_is_not_ours_is_not_replaced(tmp_path):
    theirs, file, link, other = (
        tmp_path / "theirs",
        tmp_path / "file",
        tmp_path / "link",
        tmp_path / "other",
    )
    theirs.mkdir()
    (theirs / "thesis.doc").write_text("precious")
    file.write_text("precious")
    link.symlink_to(theirs)
    write(other, kind="run")
    for place in (theirs, file, link, other):
        with pytest.raises(CheckpointError, match=r"exists and is (not )?a"):
            write(place)
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty")
    check_replaceable(tmp_path / "nothing", "thing")
    assert (theirs / "thesis.doc").read_text() == "precious"


def test_kind_of_other_folders(tmp_path):
    assert folder_kind(tmp_path) is None
    for text in ("no json", "[]", '{"format": 3}', '{"format": "zip"}'):
        (tmp_path / MANIFEST).write_text(text)
        assert folder_kind(tmp_path) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(version=2), "format version 2, this kgrec reads 1. Update kgrec"),
        (lambda m: m.update(file=[]), "unknown field 'file'. Nearest: files"),
        (
            lambda m: m.update(format="kgrec-run"),
            "is a 'kgrec-run' folder, expected 'kgrec-thing'. Name another",
        ),
        (lambda m: m.update(files=[]), "names no files"),
        (lambda m: m.pop("files"), "names no files"),
        (
            lambda m: m["files"].update({"../a.txt": m["files"]["a.txt"]}),
            "not a file of this folder",
        ),
        (lambda m: m["files"].update({"/etc/passwd": {}}), "not a file of this folder"),
        (lambda m: m["files"].update({"..": {}}), "not a file of this folder"),
        (lambda m: m["files"].update({"a.txt": 3}), "not a file of this folder"),
        (lambda m: m["files"].update({"b.txt": {}}), "b.txt: missing"),
        (lambda m: m["files"]["a.txt"].update(bytes=4), "5 bytes, not 4"),
        (lambda m: m["files"]["a.txt"].update(sha256="0" * 64), "SHA-256"),
    ],
)
def test_a_manifest_that_does_not_fit(tmp_path, change, message):
    place = tmp_path / "x"
    write(place)
    edit(place, change)
    with pytest.raises(CheckpointError, match=message):
        check_folder(place, "thing", 1)


def test_changed_missing_and_linked_files(tmp_path):
    place = tmp_path / "x"
    write(place)
    (place / "a.txt").write_text("jello")
    with pytest.raises(CheckpointError, match=r"a\.txt: its SHA-256"):
        check_folder(place, "thing", 1)
    (place / "a.txt").unlink()
    with pytest.raises(CheckpointError, match=r"a\.txt: missing"):
        check_folder(place, "thing", 1)
    (tmp_path / "b").write_text("hello")
    os.symlink(tmp_path / "b", place / "a.txt")
    with pytest.raises(CheckpointError, match=r"a\.txt: missing"):
        check_folder(place, "thing", 1)
    (place / MANIFEST).write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match="not valid JSON"):
        check_folder(place, "thing", 1)
    (place / MANIFEST).unlink()
    with pytest.raises(CheckpointError, match="not a kgrec thing folder"):
        check_folder(place, "thing", 1)
    with pytest.raises(MissingFileError):
        check_folder(tmp_path / "nowhere", "thing", 1)


def test_a_link_is_left_alone_and_the_disk_s_errors_name_the_place(tmp_path):
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    with pytest.raises(CheckpointError, match="is a link"), beside(tmp_path / "nowhere"):
        pass
    assert os.listdir(tmp_path) == ["nowhere"]
    with pytest.raises(OSError, match="No space left") as full, beside(tmp_path / "d"):
        raise OSError(28, "No space left on device")
    assert full.value.filename == str(tmp_path / "d")
    with pytest.raises(FileNotFoundError) as gone, beside(tmp_path / "d") as fresh:
        (fresh / "deep" / "x").write_text("x")
    assert gone.value.filename == str(tmp_path / "d")
    with pytest.raises(FileNotFoundError) as other, beside(tmp_path / "d"):
        (tmp_path / "elsewhere" / "x").write_text("x")
    assert other.value.filename == str(tmp_path / "elsewhere" / "x")


def test_what_a_killed_replacement_left_is_found_again(tmp_path):
    write(tmp_path / "d")
    (tmp_path / "d").rename(tmp_path / ".d.old-12ab34cd")
    assert list(check_folder(tmp_path / "d", "thing", 1)) == ["a.txt"]
    assert os.listdir(tmp_path) == ["d"]
    (tmp_path / "d").rename(tmp_path / ".d.old-12ab34cd")
    with (
        locked(tmp_path / "d"),
        pytest.raises(MissingFileError, match=r"\.d\.old-12ab34cd: rename it to d\."),
    ):
        check_folder(tmp_path / "d", "thing", 1)


def test_what_the_dead_left_is_removed_by_the_next_writer_of_the_name_alone(tmp_path):
    for name in (
        ".d.new-12ab34cd",
        ".d.old-12ab34cd",
        ".d.gone-12ab34cd",
        ".e.new-12ab34cd",
        ".d.new-draft",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("x")
    (tmp_path / ".d.lock").write_text("")
    (tmp_path / "d").mkdir()
    write(tmp_path / "d")
    assert sorted(os.listdir(tmp_path)) == [".d.new-draft", ".e.new-12ab34cd", "d"]
    with (
        locked(tmp_path / "d"),
        pytest.raises(CheckpointError, match="another kgrec is at work there"),
    ):
        write(tmp_path / "d")
    assert (tmp_path / "d" / "a.txt").read_text() == "hello"
