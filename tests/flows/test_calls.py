"""`voxdata.build`, `voxdata.train` and `voxdata.imagine`: what they give, and that their errors are ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import voxdata
from tests.flows.trained_root import PEOPLE, SMALL, publish_people
from voxdata import calls
from voxdata.format.errors import RecipeError, RootMissingError, SourceError, VoxdataError

NOBODY = "it shows no real person and identifies nobody"


@pytest.mark.long
def test_errors_of_a_command_are_raised_by_their_class(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="nowhere"):
        voxdata.build("nowhere", tmp_path / "root")
    with pytest.raises(SourceError):
        voxdata.build("voxceleb-folder", tmp_path / "root", {"sources.photos.path": str(tmp_path / "none")})
    with pytest.raises(RootMissingError):
        voxdata.train("sf2f", tmp_path / "none")
    with pytest.raises(VoxdataError, match="is not a training run"):
        voxdata.imagine(tmp_path / "voice.wav", tmp_path / "none")


@pytest.mark.long
def test_settings_are_what_python_has(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none #1"
    with pytest.raises(SourceError, match="none #1"):
        voxdata.build("voxceleb-folder", tmp_path / "root", {"sources.photos.path": missing})
    with pytest.raises(RecipeError, match=r"faces\.pose\.max_angle_deg = 720\.0"):
        voxdata.build("demo", tmp_path / "root", {"faces.pose.max_angle_deg": np.float32(720)})
    said = capfd.readouterr().err
    assert "none #1" not in said  # what is raised is not said as well
    assert "max_angle_deg" not in said


@pytest.mark.parametrize("value", [{1, 2}, np.zeros(3), object(), {(1, 2): 3}, b"x"])
def test_a_setting_that_is_none_is_refused_in_a_line(value: object, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"settings: sources\.photos = .* cannot be written as JSON") as raised:
        voxdata.build("demo", tmp_path, {"sources.photos": value})
    assert "\n" not in str(raised.value)


def test_paths_and_numbers_of_numpy_are_taken_inside_of_others() -> None:
    settings = {"a": [{"path": Path("B")}, np.int64(3)], "b": np.bool_(True), "c": Path("x"), "d": None, "e": "1e3"}
    assert calls._sets(settings) == [
        '--set=a=[{"path": "B"}, 3]',
        "--set=b=true",
        "--set=c=x",
        "--set=d=null",
        "--set=e=1e3",
    ]


def test_a_word_that_looks_like_an_option_is_none(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no recipe '--help'"):
        voxdata.build("--help", tmp_path / "root")
    with pytest.raises(RecipeError, match="has a NUL"):
        voxdata.build("a\0b", tmp_path / "root")
    with pytest.raises(RecipeError, match="is no Unicode text"):
        voxdata.build("demo", tmp_path / "root", {"name": "\ud800"})
    with pytest.raises(RecipeError, match="has 200011 bytes, a command can be given 131071 in one word"):
        voxdata.build("demo", tmp_path / "root", {"name": "x" * 200_000})
    with pytest.raises(VoxdataError, match="voxdata train printed no result but: Usage"):
        voxdata.train("sf2f", tmp_path, help=True)


def test_what_is_called_imports_nothing_into_the_caller(tmp_path: Path) -> None:
    """A user's own folder `flows` stays theirs."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").write_text("raise SystemExit('the wrong flows')")
    script = (
        "import sys, voxdata\n"
        "try: voxdata.build('nowhere', 'root')\n"
        "except voxdata.VoxdataError as error: print(type(error).__name__, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["RecipeError", "False"]


@pytest.mark.long
def test_a_build_opens_the_version_that_it_published(corpus: Path, tmp_path: Path) -> None:
    settings = {
        "sources.photos.path": str(corpus / "photos"),
        "sources.speech.path": str(corpus / "wav"),
        "sources.metadata.path": str(corpus / "vox1_meta.csv"),
        "faces.pose.max_angle_deg": 12,
        "faces.select.min_per_identity": 1,
        "work.workers": 1,
    }
    with voxdata.build("demo", tmp_path / "root", settings) as data:
        assert data.id == voxdata.open(tmp_path / "root").id
        assert len(data) > 0


@pytest.mark.long
def test_a_training_gives_a_run_that_imagines_faces(corpus: Path, tmp_path: Path) -> None:
    storage = publish_people(tmp_path / "root", "s1", PEOPLE, "2026-01-01T00:00:00Z")
    run = voxdata.train("sf2f", storage.url, SMALL, run=tmp_path / "run", seconds=2)
    assert (run, (run / "config.json").is_file()) == (tmp_path / "run", True)
    with pytest.raises(VoxdataError):
        voxdata.imagine(tmp_path / "none.wav", run)
