"""CHANGELOG.md is one of Keep a Changelog, and the citation names the version that the package has."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from voxdata.recipe.yaml_text import read_yaml

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


def test_the_citation_names_the_version_of_the_package() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = read_yaml((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert (str(cited["version"]), cited["license"]) == (project["version"], project["license"])
