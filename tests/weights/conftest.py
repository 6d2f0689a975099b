"""A cache and a registry of the test's own, and a web server on loopback that fails as told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import Enter, FileServer

from voxdata.weights import CACHE_VARIABLE, REGISTRY_VARIABLE


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and no entries of a site."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(REGISTRY_VARIABLE, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def enter(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Enter:
    """Add an entry to the site's registry file; `data` gives its size and digest, other keys are as given."""
    own = tmp_path / "own.toml"
    own.touch()
    monkeypatch.setenv(REGISTRY_VARIABLE, str(own))

    def add(name: str, data: bytes | None = None, kind: str = "weights", **keys: object) -> None:
        entry: dict[str, object] = {}
        if kind == "weights":
            entry |= {"file": f"{name}.bin", "format": "torch", "digest": "hashed"}
            entry |= {"licence": "MIT", "commercial": "yes", "trained_on": "nothing"}
        if data is not None:
            entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        entry |= keys
        lines = [f"{key} = {value!r}" for key, value in entry.items() if value is not None]
        own.write_text("\n".join([own.read_text(), f"[{kind}.{name}]", *lines]))

    return add


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        yield running
