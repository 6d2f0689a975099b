"""What hinders `voxdata forget`: a mistake, a name of two people, a build, a failing disk, file or server."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.catalog.small_root import SmallRoot
from tests.forgetting.building import Copy
from tests.forgetting.commands import (
    AT,
    FOLDER,
    PERSON,
    forget,
    run,
)
from voxdata.catalog.snapshot import latest
from voxdata.forgetting import outputs
from voxdata.store import journal
from voxdata.store.locks import building
from voxdata.store.storage import LocalStorage, open_storage

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Tetifait_Traedim", "--reason", "x"], f"the nearest are {PERSON} ({FOLDER})"),
        (["zzzz", "--reason", "x"], "nobody called 'zzzz'"),
        (["unknown", "--reason", "x"], "'unknown'"),
        (["", "--reason", "x", "--ahead"], "nobody called ''"),
        ([PERSON], "--reason TEXT is needed"),
        ([PERSON, "--reason", " "], "--reason TEXT is needed"),
        ([PERSON, "--reason", "Mr Tetifaith Treadim wrote"], "must not name the person"),
        (["--reason", "x"], "name one person"),
        ([PERSON, "--resume", "--reason", "x"], "name one person"),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(
    built: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    root = built / "root"
    before = set(LocalStorage(root).keys("")) | {".lock"}
    status, _, err = run(capsys, "forget", *arguments, "--root", root)
    assert (status, said in err, err.count("\n")) == (1, True, 1)
    assert set(LocalStorage(root).keys("")) <= before


def test_an_output_that_cannot_be_deleted_is_tried_again(
    copy: Copy, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "report.html"
    page.write_text("-")
    outputs.record(copy.storage, "report", page, latest(copy.storage), at=AT)

    def refuse(place: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(outputs, "remove", refuse)
        status, _, err = forget(copy, capsys)
    assert (status, "cannot be deleted, Permission denied" in err, "--resume" in err) == (1, True, True)
    assert run(capsys, "verify", "--forgotten", "--root", copy.root)[0] == 1
    assert forget(copy, capsys)[0] == 0
    assert not page.exists()
    assert run(capsys, "verify", "--forgotten", "--root", copy.root)[0] == 0


def test_what_could_not_be_judged_or_asked_is_named(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    """A champion whose folder is gone, and a Prefect server that does not answer and may keep its sample pictures."""
    folder = copy.root / "runs" / "gone"
    fact = {"run_id": "gone", "snapshot_id": latest(copy.storage), "status": "finished", "path": str(folder), "at": AT}
    journal.append(copy.storage, "runs", fact)
    journal.append(copy.storage, "promotions", {"model": "sf2f", "run_id": "gone", "stage": "champion", "at": AT})
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        status, _, err = forget(copy, capsys)
    assert (status, f"run: voxdata evaluate {folder}" in err) == (1, True)
    assert "http://127.0.0.1:9/api does not answer" in err
    assert "sample pictures of gone" in err


def test_a_root_that_cannot_be_written(
    copy: Copy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a read-only file system: the superuser, too, is refused there."""
    before = copy.files()
    opened = os.open

    def refuse(path: str, flags: int, *more: int) -> int:
        if flags & os.O_RDWR and str(path).startswith(str(copy.root)):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(path, flags, *more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        status, _, err = forget(copy, capsys)
    assert (status, "Read-only file system" in err, err.count("\n")) == (1, True, 1)
    assert copy.files() == before


def test_a_full_disk_in_the_middle(
    copy: Copy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, done = os.replace, []

    def refuse(source: object, target: object) -> None:
        done.append(target)
        if len(done) > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        status, _, err = forget(copy, capsys)
    assert (status, "no space left" in err, "run the same command again" in err) == (1, True, True)
    assert run(capsys, "verify", "--root", copy.root)[0] == 0


def test_a_name_of_two_people_must_be_an_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the other one is told: the tombstone holds their name, too."""
    SmallRoot(open_storage(tmp_path / "root", create=True), people=2).build()
    metadata = tmp_path / "meta.csv"
    metadata.write_text("id,name\nid00000,Ann Lee\nid00001,Ann_Lee\n")
    common = ["--reason", "x", "--metadata", metadata, "--root", tmp_path / "root"]
    status, _, err = run(capsys, "forget", "ann lee", *common)
    assert (status, "the name of 2 people: id00000, id00001" in err) == (1, True)
    status, out, _ = run(capsys, "forget", "id00001", *common, "--yes")
    assert (status, "id00000 bears the same name" in out) == (0, True)


def test_nobody_is_forgotten_beside_a_build(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    with building(copy.storage):
        status, _, err = forget(copy, capsys)
    assert (status, "a build of" in err, "writes under it" in err) == (1, True, True)


def test_names_that_a_damaged_version_would_tell_are_missed_aloud(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who stands in the metadata alone is unknown then, which is no proof that the root has nobody of that name."""
    for snapshot in (copy.root / "snapshots").glob("*.json"):
        snapshot.write_bytes(b"{")
    status, _, said = run(capsys, "optout", "id90002", "--reason", "letter 3", "--root", copy.root)
    assert status == 0
    assert "is not JSON" in said
    assert said.endswith("only what the root itself knows of names is used: give --metadata FILE\n")


def test_a_root_without_a_version_misses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_storage(tmp_path / "root", create=True)
    status, _, said = run(capsys, "optout", "Ann", "--ahead", "--reason", "letter 3", "--root", tmp_path / "root")
    assert (status, said) == (0, "")
