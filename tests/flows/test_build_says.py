"""What a build says at its beginning and at its end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.flows.building import Voxdata, build_arguments

pytestmark = pytest.mark.long


def test_copies_are_counted_and_empty_splits_named(root: Path, corpus: Path, voxdata: Voxdata, tmp_path: Path) -> None:
    folder = tmp_path / "root"
    shutil.copytree(root, folder)
    done = voxdata(*build_arguments(corpus, folder, "splits.val_share=0", "splits.test_share=0"))
    lines = done.stderr.splitlines()
    assert (done.returncode, lines[0]) == (0, f"build voxceleb-folder into {folder}")
    assert "crawl: 1 of 48 photos: the same bytes as another of the same person, which is looked at once" in lines
    assert lines[-1].startswith(
        "nobody is in split val and test of 8 people: build with more people, or voxdata redecide "
    )


def test_a_wrong_recipe_is_refused_before_a_build_is_said_to_begin(voxdata: Voxdata, tmp_path: Path) -> None:
    done = voxdata("build", "voxceleb-folder", "--root", str(tmp_path / "root"), "--set", "faces.pose.max_angel_deg=8")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "max_angel_deg" in done.stderr
