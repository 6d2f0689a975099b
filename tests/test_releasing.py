"""The version of the package: one number, which tags, changelog, citation and examples agree on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.releasing import contradictions, git, missing, version_of

REPOSITORY = Path(__file__).resolve().parents[1]
WHO = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false")
FILES = {
    "pyproject.toml": '[project]\nversion = "0.2.0"\n',
    "CITATION.cff": "version: 0.2.0\ndate-released: 2026-11-30\n",
    "CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-11-30\n\n### Added\n\n- This.\n",
    "docs/examples/job.yaml": "image: voxdata:0.2.0  # built here\n",
}


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, *WHO, "commit", "--quiet", "--allow-empty", "--message", "x")


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A repository whose commit is the release 0.2.0."""
    git(tmp_path, "init", "--quiet")
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    commit(tmp_path)
    git(tmp_path, *WHO, "tag", "--annotate", "v0.2.0", "--message", "0.2.0")
    return tmp_path


def test_files_and_tags_of_this_repository_name_one_version() -> None:
    assert contradictions(REPOSITORY) == []


def test_a_release_lacks_nothing(released: Path) -> None:
    assert (contradictions(released), missing(released)) == ([], [])


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("CITATION.cff", "version: 0.2.0", "version: 0.1.0", "CITATION.cff names version 0.1.0, pyproject.toml 0.2.0"),
        (
            "CITATION.cff",
            "-11-30",
            "-11-29",
            "CITATION.cff was released on 2026-11-29, CHANGELOG.md says of 0.2.0: 2026-11-30",
        ),
        (
            "docs/examples/job.yaml",
            "0.2.0",
            "0.1.0",
            "docs/examples/job.yaml names the image voxdata:0.1.0, not :0.2.0",
        ),
        ("CHANGELOG.md", "## [0.2.0]", "## [0.1.0]", "the tag v0.2.0 has no section in CHANGELOG.md"),
        ("pyproject.toml", "0.2.0", "0.2", "the version 0.2 of pyproject.toml is not MAJOR.MINOR.PATCH"),
    ],
)
def test_a_contradiction_is_said(name: str, old: str, new: str, said: str, released: Path) -> None:
    (released / name).write_text(FILES[name].replace(old, new))
    assert said in contradictions(released)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("CHANGELOG.md", "## [0.2.0]", "## [0.1.0]", "CHANGELOG.md has no section ## [0.2.0] - DATE"),
        (
            "CHANGELOG.md",
            " - 2026-11-30",
            "",
            "CHANGELOG.md has ## [0.2.0] without a date, or not right below Unreleased",
        ),
        (
            "CHANGELOG.md",
            "[Unreleased]\n",
            "[Unreleased]\n\n- That.\n",
            "CHANGELOG.md still has changes below Unreleased",
        ),
        ("CITATION.cff", "date-released: 2026-11-30\n", "", "CITATION.cff has no date-released"),
    ],
)
def test_what_a_release_lacks_is_said(name: str, old: str, new: str, said: str, released: Path) -> None:
    (released / name).write_text(FILES[name].replace(old, new))
    assert set(missing(released)) == {said, "tracked files differ from this commit"}


def test_the_commit_after_a_release_has_the_next_version(released: Path) -> None:
    commit(released)
    assert contradictions(released) == ["0.2.0 is released, by the tag v0.2.0: give pyproject.toml the next version"]
    for name in ("pyproject.toml", "CITATION.cff", "docs/examples/job.yaml"):
        text = FILES[name].replace("0.2.0", "0.3.0").replace("date-released: 2026-11-30\n", "")
        (released / name).write_text(text)
    commit(released)
    assert contradictions(released) == []
    assert missing(released)[0].endswith("git tag --annotate v0.3.0")


def test_a_clone_without_tags_has_the_same_version(released: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(
        ["git", "clone", "--quiet", "--depth", "1", "--no-tags", f"file://{released}", str(clone)], check=True
    )
    assert git(clone, "tag") == ""
    assert version_of(clone) == version_of(released) == "0.2.0"
    assert contradictions(clone) == []
