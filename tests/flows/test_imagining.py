"""A folder of voices becomes a folder of faces and a list; what is no voice is in the list with its reason."""

from __future__ import annotations

import csv
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flows import imagining
from models.errors import ClipError
from voxdata.forgetting import outputs
from voxdata.format.errors import SourceError
from voxdata.store.storage import LocalStorage


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, int]]:
    """The flow's own function over `voices`, with a grey face for every file that says `voice`."""

    def face(file: Path) -> Any:
        if file.read_text() != "voice":
            raise (ClipError if file.read_text() == "short" else SourceError)(f"{file.read_text()} is no voice")
        return np.full((8, 8, 3), 128, np.uint8)

    @contextmanager
    def shown(stage: str, total: int) -> Any:
        yield lambda more: None

    (tmp_path / "root").mkdir()
    monkeypatch.setattr(imagining, "named_run", lambda storage, run, system: tmp_path / "root")
    monkeypatch.setattr(imagining, "read_run_config", lambda folder: {"snapshot": "s"})
    monkeypatch.setattr(imagining, "_asking", lambda storage, folder, device: face)
    monkeypatch.setattr(imagining, "shown_counts", shown)
    monkeypatch.setattr(imagining, "show_faces", lambda rows, run: None)

    def run(out: Path, voices: Path = tmp_path / "voices") -> dict[str, int]:
        return imagining.imagine_batch.fn(root=str(tmp_path / "root"), voices=str(voices), out=str(out))

    return run


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_every_file_has_a_row_and_every_voice_a_face(asked: Callable[..., dict[str, int]], tmp_path: Path) -> None:
    write(tmp_path / "voices", a_wav="voice", a_mp3="voice", deep__b_wav="voice", notes_txt="text", tiny_wav="short")
    assert asked(tmp_path / "faces") == {"face": 3, "no face": 2}
    with (tmp_path / "faces" / "faces.csv").open() as file:
        rows = {row["voice"]: row for row in csv.DictReader(file)}
    assert rows["notes.txt"] == {"voice": "notes.txt", "face": "", "status": "no face", "detail": "text is no voice"}
    assert rows["tiny.wav"]["detail"] == "short is no voice"
    for name in ("a.wav.png", "a.mp3.png", "deep/b.wav.png"):
        with Image.open(tmp_path / "faces" / name) as picture:
            assert "identifies nobody" in picture.info["Description"]
    noted = outputs.known(LocalStorage(tmp_path / "root"))
    assert [(each.kind, each.path, each.snapshot_id) for each in noted] == [("faces", str(tmp_path / "faces"), "s")]
    assert asked(tmp_path / "faces") == {"face": 3, "no face": 2}


def test_where_faces_may_not_go(asked: Callable[..., dict[str, int]], tmp_path: Path) -> None:
    """Forgetting somebody deletes the folder as a whole, so it must hold nothing else."""
    write(tmp_path / "voices", a_wav="voice")
    write(tmp_path / "taken", thesis_tex="years of work")
    for out, message in (
        (tmp_path / "taken", "has files of others"),
        (tmp_path / "voices" / "faces", "lies in the folder of the voices"),
        (tmp_path, "or around it"),
        (tmp_path / "taken" / "thesis.tex", "cannot be written"),
    ):
        with pytest.raises(SourceError, match=message):
            asked(out)
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["thesis.tex"]


def test_folders_without_a_voice(asked: Callable[..., dict[str, int]], tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        asked(tmp_path / "faces")
    (tmp_path / "voices").mkdir()
    with pytest.raises(SourceError, match="holds no file"):
        asked(tmp_path / "faces")
    write(tmp_path / "voices", notes_txt="text")
    with pytest.raises(SourceError, match=r"none of 1 files under .* gives a face; the first: text is no voice"):
        asked(tmp_path / "faces")
