"""CHANGELOG.md is one of Keep a Changelog."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
VERSION = re.compile(r"## \[(Unreleased|\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d)\]?")


def test_every_change_stands_below_a_version_and_a_kind() -> None:
    versions: list[str] = []
    kind: str | None = None
    for line in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            assert VERSION.fullmatch(line), line
            versions.append(line)
            kind = None
        elif line.startswith("### "):
            kind = line.removeprefix("### ")
            assert kind in KINDS, line
        elif line.startswith("- "):
            assert versions, line
            assert kind is not None, line
    assert versions[0] == "## [Unreleased]"
    assert len(set(versions)) == len(versions)
