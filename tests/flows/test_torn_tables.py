"""Tables of a root that a power cut left half: a build makes them anew, all else that reads them says what to do."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.flows.building import Voxdata, build_arguments, shard_bytes
from voxdata.catalog.snapshot import latest
from voxdata.store.storage import open_storage

pytestmark = pytest.mark.long


@pytest.fixture
def torn(root: Path, tmp_path: Path) -> list[Path]:
    """The tables of a whole build, each cut in half: not its parts, whose items would be measured again."""
    shutil.copytree(root, tmp_path / "root")
    tables = sorted((tmp_path / "root" / "fragments").glob("*/*.parquet"))
    assert {"identities", "faces.decide", "speech.decide", "speech.find"} <= {path.parent.name for path in tables}
    for path in tables:
        os.truncate(path, path.stat().st_size // 2)
    return tables


def test_a_build_makes_tables_that_are_not_whole_anew(
    torn: list[Path], root: Path, corpus: Path, voxdata: Voxdata, tmp_path: Path
) -> None:
    again = voxdata(*build_arguments(corpus, tmp_path / "root"))
    assert again.returncode == 0, again.stderr
    assert f"{len(torn)} files under" in again.stderr
    assert {path: (root / path.relative_to(tmp_path / "root")).read_bytes() for path in torn} == {
        path: path.read_bytes() for path in torn
    }
    assert latest(open_storage(tmp_path / "root")) == latest(open_storage(root))
    assert shard_bytes(tmp_path / "root") == shard_bytes(root)


@pytest.mark.parametrize(
    ("words", "todo"),
    [
        (["redecide", "--set", "faces.resolution.min_pupil_distance_px=40"], "delete it and run the build again"),
        (["forget", "id90002", "--reason", "letter 12", "--yes"], "delete it and run the build again"),
        (["optout", "id90002", "--reason", "letter 12"], "delete it and run the build again"),
        (["catalog", "rebuild"], "run: voxdata verify --root "),
    ],
    ids=lambda words: words[0],
)
def test_whatever_else_needs_them_ends_in_one_line_with_what_to_do(
    words: list[str], todo: str, torn: list[Path], voxdata: Voxdata, tmp_path: Path
) -> None:
    done = voxdata(*words, "--root", str(tmp_path / "root"))
    assert done.returncode == 1, done.stdout
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("voxdata")]
    assert "fragments/" in said
    assert todo in said
    assert "Traceback" not in done.stderr


def test_verify_names_each_and_says_what_to_do(torn: list[Path], voxdata: Voxdata, tmp_path: Path) -> None:
    done = voxdata("verify", "--root", str(tmp_path / "root"))
    assert done.returncode == 1
    named = [path for path in torn if path.name in done.stdout]
    assert {"identities", "faces.decide", "speech.decide", "speech.find"} <= {path.parent.name for path in named}
    assert done.stdout.count("delete it and run the build again: what it held is made anew") == len(named)
