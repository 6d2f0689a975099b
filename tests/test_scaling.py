"""The arithmetic of docs/scaling.md follows from the rates that were measured."""

from __future__ import annotations

import json
import re

import pytest

from tests.documented_figures import REPOSITORY, RESULTS

PAGE = (REPOSITORY / "docs" / "scaling.md").read_text(encoding="utf-8")
PHOTOS, CLIPS, CLIP_S, PORTRAITS = 2_200_000, 1_240_000, 8.2, 8_028
BUSY = 0.95


def figure(file: str, title: str, name: str) -> float:
    (section,) = (part for part in json.loads((RESULTS / file).read_text()) if part["title"].startswith(title))
    (value,) = (float(each["value"]) for each in section["figures"] if each["name"] == name)
    return value


def speech(kind: str) -> float:
    (section,) = (
        part
        for part in json.loads((RESULTS / "speech_throughput.json").read_text())
        if part["title"].startswith(f"{kind}:")
    )
    (rate,) = (row for row in section["tables"]["Lines"] if row["line"] == "torch40 + torch64")
    return CLIPS * CLIP_S * float(rate["us per second of audio"]) / 1e6 / 3600


def hours() -> dict[str, float]:
    ms = {
        "faces, with embeddings and emotions": (PHOTOS, "photos/web, with", "whole stage, ms per photo"),
        "faces, without": (PHOTOS, "photos/web:", "whole stage, ms per photo"),
        "portraits, two for each that is wanted": (2 * PORTRAITS, "portraits of 512 px", "render, ms per portrait"),
    }
    return {
        **{
            row: count * figure("face_throughput.json", title, name) / 3.6e6 for row, (count, title, name) in ms.items()
        },
        "log-mels and voice activity, WAV": speech("wav"),
        "log-mels and voice activity, M4A": speech("m4a"),
    }


@pytest.mark.parametrize("row", hours())
def test_core_hours_are_items_times_the_measured_rate(row: str) -> None:
    (said,) = re.findall(rf"^\| {re.escape(row)} \|.*\| ([\d.]+) \|$", PAGE, re.MULTILINE)
    assert float(said) == pytest.approx(hours()[row], abs=0.05)


def test_the_projection_is_core_hours_over_busy_cores() -> None:
    found = hours()
    total = found["faces, with embeddings and emotions"] + found["log-mels and voice activity, WAV"]
    assert f"The projection is {total:.0f} core hours over the cores" in PAGE
    (said,) = re.findall(
        r"^\| faces and speech, projected \| (\d+) h \| (\d+) min \| (\d+) min \|$", PAGE, re.MULTILINE
    )
    for cores, minutes in zip((4, 64, 256), (int(said[0]) * 60, int(said[1]), int(said[2])), strict=True):
        assert minutes == pytest.approx(total / cores / BUSY * 60, rel=0.1)
