"""Where temporary files cannot be, a command says where that is and what to do, in one line."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from voxdata.format.errors import StorageError, StorageFullError
from voxdata.format.temporary import temporary_files, temporary_folder


def test_a_folder_lasts_as_long_as_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder() as folder:
        (folder / "x").write_text("x")
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    monkeypatch.setattr(tempfile, "tempdir", str(gone))
    with pytest.raises(StorageError, match=rf"cannot be written in {gone}: No such file .* TMPDIR"), temporary_folder():
        pass


def test_where_no_folder_can_be_written_all_that_were_tried_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full or read-only system: Python then has no folder for temporary files at all."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "a"), str(tmp_path / "b")])
    with pytest.raises(StorageError, match=rf"in any of '{tmp_path}/a', '{tmp_path}/b': .*TMPDIR"), temporary_folder():
        pass


def test_one_that_somebody_clears_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def cleared() -> None:
        with temporary_folder() as folder:
            shutil.rmtree(folder)
            (folder / "x").write_text("x")

    with pytest.raises(StorageError, match=f"cannot be written in {tmp_path}: No such file"):
        cleared()


def test_errors_of_other_files_are_theirs(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), temporary_folder():
        (tmp_path / "none" / "x").write_text("x")


def test_no_room_is_said() -> None:
    with pytest.raises(StorageFullError, match="no space left for temporary files"), temporary_files():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
