"""The benchmarks of the full size run on a five-hundredth of it: what they ask of the product is still there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chromium import needs_chromium

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "titles"),
    [
        (["catalog_scale.py", "--scale", "0.002"], ["Catalog", "Decide", "Link"]),
        (["full_scale.py", "--scale", "0.002"], ["Flow at scale 0.002"]),
        pytest.param(["browse_speed.py", "--faces", "2000"], ["Browse"], marks=needs_chromium),
    ],
    ids=lambda words: words[0].removesuffix(".py"),
)
def test_a_benchmark_of_the_full_size_runs(words: list[str], titles: list[str], tmp_path: Path) -> None:
    script, *options = words
    command = [sys.executable, str(REPOSITORY / "benchmarks" / script), *options, "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [title for title in titles if f"## {title}" not in done.stdout] == []
