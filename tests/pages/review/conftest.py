from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages.review.review_root import Page, build_root, serving
from voxdata.simulate.corpus import CorpusSettings, write_corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three painted people with eight photos each."""
    folder = tmp_path_factory.mktemp("review") / "corpus"
    write_corpus(folder, CorpusSettings(people=3, photos_per_person=8, clips_per_person=1, seed=5))
    return folder


@pytest.fixture(scope="session")
def built(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published root. Copy it before anything is decided about it."""
    root = tmp_path_factory.mktemp("review") / "root"
    build_root(root, corpus)
    return root


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Path:
    """A copy of the published root of its own."""
    return Path(shutil.copytree(built, tmp_path / "root"))


@pytest.fixture
def page(root: Path) -> Iterator[Page]:
    """A review page of that root."""
    with serving(root) as running:
        yield running


@pytest.fixture(scope="session")
def reader(built: Path) -> Iterator[Page]:
    """A review page of the published root that nobody decides on."""
    with serving(built) as running:
        yield running
