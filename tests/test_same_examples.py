"""The suite takes the same examples whatever modules a process has loaded before."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


def drawn() -> list[int]:
    found: list[int] = []

    @settings(max_examples=300)
    @given(st.integers())
    def look(number: int) -> None:
        found.append(number)

    look()
    return found


def test_constants_of_modules_are_no_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if settings.get_current_profile_name() != "voxdata":
        pytest.skip("make fuzz takes new examples, and these too")
    before = drawn()
    (tmp_path / "with_constants.py").write_text(f"NUMBERS = {list(range(7_000_000, 7_000_400))}")
    monkeypatch.syspath_prepend(tmp_path)
    import with_constants

    assert drawn() == before
    assert not set(with_constants.NUMBERS).intersection(drawn())
    del sys.modules["with_constants"]
