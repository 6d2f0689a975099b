from __future__ import annotations

import os
import uuid
from collections.abc import Callable

import fsspec
import pytest

from flows.cli import main
from tests.catalog.small_root import SmallRoot
from voxdata.store.storage import open_storage

Voxdata = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Durability is the business of the storage's own tests."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def voxdata_(capsys: pytest.CaptureFixture[str]) -> Voxdata:
    """Runs a command; gives its exit status, output and messages."""

    def run(*words: object) -> tuple[int, str, str]:
        status = main(["--quiet", *map(str, words)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def source(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> SmallRoot:
    """Ten people published on S3."""
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    bucket = f"small-{uuid.uuid4().hex[:8]}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdirs(bucket, exist_ok=True)
    small = SmallRoot(open_storage(f"s3://{bucket}/root"))
    small.publish()
    return small
