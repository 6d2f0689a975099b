"""What a commit must be to be the release that its tag names: `make release-check` (CONTRIBUTING.md, A release).

The version is written once, in pyproject.toml, and is that of the release to come. It is held against what else names
it, and against the tags: `v` and the version. Without tags, as in a shallow clone or an archive, it is the same.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from voxdata.recipe.yaml_text import read_yaml

VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")  # the core of Semantic Versioning 2.0.0
SECTION = re.compile(
    r"^## \[(?P<version>[^]]+)\](?: - (?P<date>\S+))?\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL
)
IMAGE = re.compile(r"\bimage: voxdata:([\w.]+)")


def git(repository: Path, *words: str) -> str:
    """What a git command prints. Raises `CalledProcessError` where there is no repository."""
    done = subprocess.run(["git", "-C", str(repository), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def version_of(repository: Path) -> str:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def sections(repository: Path) -> dict[str, tuple[str, str]]:
    """Date and text of every section of the changelog, by version."""
    text = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    return {found["version"]: (found["date"] or "", found["text"].strip()) for found in SECTION.finditer(text)}


def tagged(repository: Path, *words: str) -> list[str]:
    """The versions that tags name; with `--points-at HEAD` those of this commit."""
    tags = git(repository, "tag", "--list", "v[0-9]*", "--sort=version:refname", *words).split()
    return [tag.removeprefix("v") for tag in tags]


def contradictions(repository: Path) -> list[str]:
    """What is wrong at any commit, released or not: where files, or files and tags, name different versions."""
    version, changes = version_of(repository), sections(repository)
    cited = read_yaml((repository / "CITATION.cff").read_text(encoding="utf-8"))
    date = changes[version][0] if version in changes else None
    wrong = []
    if not VERSION.fullmatch(version):
        wrong.append(f"the version {version} of pyproject.toml is not MAJOR.MINOR.PATCH")
    if str(cited["version"]) != version:
        wrong.append(f"CITATION.cff names version {cited['version']}, pyproject.toml {version}")
    if (released := cited.get("date-released")) is not None and str(released) != date:
        wrong.append(
            f"CITATION.cff was released on {released}, CHANGELOG.md says of {version}: {date or 'nothing yet'}"
        )
    for path in sorted((repository / "docs" / "examples").rglob("*.yaml")):
        named = set(IMAGE.findall(path.read_text(encoding="utf-8"))) - {version}
        wrong += [f"{path.relative_to(repository)} names the image voxdata:{each}, not :{version}" for each in named]
    here = tagged(repository, "--points-at", "HEAD")
    for each in tagged(repository):
        if each not in changes:
            wrong.append(f"the tag v{each} has no section in CHANGELOG.md")
        if each == version and each not in here:
            wrong.append(f"{version} is released, by the tag v{each}: give pyproject.toml the next version")
    return wrong


def missing(repository: Path) -> list[str]:
    """What this commit lacks of a release, besides `contradictions`."""
    version, changes = version_of(repository), sections(repository)
    cited = read_yaml((repository / "CITATION.cff").read_text(encoding="utf-8"))
    lacking = []
    if tagged(repository, "--points-at", "HEAD") != [version]:
        lacking.append(f"this commit has no tag v{version}, or has others: git tag --annotate v{version}")
    if git(repository, "status", "--porcelain", "--untracked-files=no"):
        lacking.append("tracked files differ from this commit")
    if version not in changes:
        lacking.append(f"CHANGELOG.md has no section ## [{version}] - DATE")
    elif not re.fullmatch(r"\d{4}-\d\d-\d\d", changes[version][0]) or list(changes)[:2] != ["Unreleased", version]:
        lacking.append(f"CHANGELOG.md has ## [{version}] without a date, or not right below Unreleased")
    if changes.get("Unreleased", ("", ""))[1]:
        lacking.append("CHANGELOG.md still has changes below Unreleased")
    if "date-released" not in cited:
        lacking.append("CITATION.cff has no date-released")
    return lacking


def main() -> int:
    repository = Path(__file__).resolve().parents[1]
    wrong = [*contradictions(repository), *missing(repository)]
    print("\n".join(wrong) or f"this commit is the release {version_of(repository)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
