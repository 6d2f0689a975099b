"""The examples of docs/examples run as they stand, on a root of painted people."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from voxdata.catalog.publish import rebuild
from voxdata.catalog.snapshot import latest
from voxdata.store.storage import open_storage

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLES = REPOSITORY / "docs" / "examples"
SELF = Path(__file__).read_text()
WRITTEN = Path(__file__).parent / "fixtures" / "root-0.1"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples") / "root"
    shutil.copytree(WRITTEN, folder)
    storage = open_storage(folder)
    rebuild(storage, latest(storage))
    return folder


def run(*command: object, root: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "VOXDATA_CACHE": str(root.parent / "cache")}
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=root.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_listed_and_tested() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    manifests = (REPOSITORY / "tests" / "flows" / "test_compose.py").read_text()
    for example in sorted(EXAMPLES.iterdir()):
        said, tested = (f"examples/{example.name}", manifests) if example.is_dir() else (f'"{example.name}"', SELF)
        assert example.name == "README.md" or (f"[{example.name}]" in listed and said in tested), example


def test_look_around(root: Path) -> None:
    printed = run(EXAMPLES / "look_around.py", root, root=root)
    assert "40 mel bins" in printed
    assert "px, turned by" in printed


@pytest.mark.long
def test_pairs_for_torch(root: Path) -> None:
    printed = run(EXAMPLES / "pairs_for_torch.py", root, root=root)
    assert "'portrait': (4, 3, 64, 64), 'mel': (4, 40, 125)" in printed


@pytest.mark.long
def test_plain_webdataset(root: Path) -> None:
    listed = run("-m", "flows.cli", "shards", "--root", root, "--split", "train", "--kind", "faces", root=root)
    (root.parent / "train.txt").write_text(listed)
    printed = run(EXAMPLES / "plain_webdataset.py", root.parent / "train.txt", root=root)
    portraits = duckdb.connect(str(root / "catalog.duckdb"), read_only=True)
    expected = portraits.execute("SELECT key FROM portraits WHERE split = 'train' ORDER BY 1").fetchall()
    portraits.close()
    assert sorted(line.split()[0] for line in printed.splitlines()) == [name for (name,) in expected]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "'' is no file; give a list of tars, which voxdata shards writes"),
        (["none.txt"], "'none.txt' is no file; give a list of tars, which voxdata shards writes"),
        (["."], "'.' is no file; give a list of tars, which voxdata shards writes"),
        (["empty.txt"], "empty.txt lists no tars; write it with voxdata shards, which says why there are none"),
    ],
)
def test_plain_webdataset_says_what_it_wants(given: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    words = [sys.executable, str(EXAMPLES / "plain_webdataset.py"), *given]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr.strip()) == (1, said)


def test_questions(root: Path) -> None:
    with duckdb.connect(str(root / "catalog.duckdb"), read_only=True) as connection:
        statements = connection.extract_statements((EXAMPLES / "questions.sql").read_text())
        answers = [connection.execute(statement).fetchall() for statement in statements]
    assert len(answers) == 4
    assert all(answers)
