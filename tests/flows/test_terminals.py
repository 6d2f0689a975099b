"""Poor surroundings: a terminal that is not UTF-8 gets escapes, and a home that is read-only is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.building import Voxdata, build_arguments

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.long
@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        (ASCII, "José ✓"),
        ({**ASCII, "PYTHONIOENCODING": "ascii"}, "Jos\\xe9 \\u2713"),
        ({"PYTHONIOENCODING": "utf-8"}, "José ✓"),
    ],
)
def test_a_word_beyond_ascii_comes_through(
    environment: dict[str, str], shown: str, root: Path, voxdata: Voxdata
) -> None:
    done = voxdata("sql", "SELECT 'José ✓' AS said", "--format", "csv", "--root", str(root), **environment)
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout


@pytest.mark.long
def test_a_home_that_cannot_be_written_is_said_before_a_server_starts(
    corpus: Path, voxdata: Voxdata, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    home = {"PREFECT_HOME": str(tmp_path / "file" / "home")}
    done = voxdata(*build_arguments(corpus, tmp_path / "root"), "--prefect", **home)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("voxdata build: Prefect keeps its database and settings in ")
    assert "export PREFECT_HOME=FOLDER" in done.stderr
    assert "Traceback" not in done.stderr
