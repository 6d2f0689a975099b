"""What the tests of all pages share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Durability is the business of the storage's own tests."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
