"""What tests of the crawl share: a root of their own, and a list of urls as a kind of source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crawl.url_list import url_lists
from voxdata.store.storage import LocalStorage, open_storage


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    opened = open_storage(tmp_path / "root", create=True)
    assert isinstance(opened, LocalStorage)
    return opened


@pytest.fixture
def lists() -> Iterator[None]:
    with url_lists():
        yield
