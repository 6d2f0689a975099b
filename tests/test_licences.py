"""Every file says whose it is and under which licence, as REUSE 3.3 (https://reuse.software) wants it.

`pipx run reuse lint` looks at the same, and at more; it is no dependency of ours.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from fnmatch import fnmatch
from typing import Any

import pytest

from tests.documented import REPOSITORY

OURS = "Apache-2.0"


def annotations() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads((REPOSITORY / "REUSE.toml").read_text(encoding="utf-8"))["annotations"]
    return found


def licence_of(path: str) -> str | None:
    """The licence of the last annotation that a path is among."""
    stated = [each["SPDX-License-Identifier"] for each in annotations() if fnmatch(path, each["path"])]
    return stated[-1] if stated else None


def test_the_text_of_every_licence_is_there_and_no_other() -> None:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in (REPOSITORY / "LICENSES").iterdir()}
    assert set(texts) == {each["SPDX-License-Identifier"] for each in annotations()}
    assert texts[OURS] == (REPOSITORY / "LICENSE").read_text(encoding="utf-8")


def test_every_file_has_an_owner() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no checkout: git ls-files finds no files here")
    assert [path for path in listed.stdout.splitlines() if licence_of(path) is None] == []
    assert all(each["SPDX-FileCopyrightText"] for each in annotations())


def test_what_notice_lists_is_not_ours() -> None:
    notice = (REPOSITORY / "NOTICE").read_text(encoding="utf-8")
    names = re.findall(r"^[0-9a-f]{64}  (\S+)$", notice, re.MULTILINE)
    assert names
    for name in names:
        (path,) = REPOSITORY.glob(f"voxdata/**/{name}")
        assert licence_of(str(path.relative_to(REPOSITORY))) != OURS, name
