"""Five painted people, built once for all workers of a test session; every test changes a copy."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forgetting.building import Copy, build
from voxdata.simulate.corpus import CorpusSettings, write_corpus

NAMED = {"id90005": "Tetifaith_Treadim"}  # whose folders bear the name instead of the id
CLEAN = {"truncated": 0.0, "html": 0.0, "no_face": 0.0, "wrong_person": 0.0, "several_people": 0.0, "tiny": 0.0}
SHARED = "shared.jpg"


@pytest.fixture(scope="session")
def _no_fsync() -> Iterator[None]:
    """Durability is the business of the storage's own tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, _no_fsync: None) -> Path:
    """A folder with `corpus` and `root`: the first worker builds, the others wait."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if os.environ.get("PYTEST_XDIST_WORKER") else folder) / "governance"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            _write(folder / "corpus")
            build(folder / "corpus", folder / "root")
            (folder / "done").touch()
    return folder


@pytest.fixture
def copy(built: Path, tmp_path: Path, _no_fsync: None, monkeypatch: pytest.MonkeyPatch) -> Copy:
    """The built root and the corpus, to be changed."""
    monkeypatch.setenv("VOXDATA_CACHE", str(tmp_path / "cache"))
    for name in ("corpus", "root"):
        shutil.copytree(built / name, tmp_path / name)
    return Copy(root=tmp_path / "root", corpus=tmp_path / "corpus")


def _write(corpus: Path) -> None:
    write_corpus(corpus, CorpusSettings(people=5, photos_per_person=3, clips_per_person=2, seed=3, **CLEAN))
    for identity, name in NAMED.items():
        for kind in ("photos", "wav"):
            (corpus / kind / identity).rename(corpus / kind / name)
        theirs = sorted((corpus / "photos" / name).iterdir())[0]
        shutil.copy(theirs, corpus / "photos" / "id90002" / SHARED)
