"""The colours of outcomes are told apart without red or green cones, too."""

from __future__ import annotations

import re
from importlib import resources

import numpy as np
import pytest

from tests.colours import Colours, confused

PAGES = resources.files("voxdata.pages")
REASON_COLOURS = 7


def read(path: str) -> str:
    return PAGES.joinpath(path).read_text(encoding="utf-8")


def stated(path: str, name: str) -> list[str]:
    """A colour of a style, light and dark."""
    found = re.findall(rf"--{name}: (#[0-9a-f]{{6}})", read(path))
    assert len(found) == 2, name
    return found


def named(**colours: str) -> dict[str, Colours]:
    return {
        name: np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]) for name, colour in colours.items()
    }


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_frames_of_outcomes_are_told_apart(scheme: int) -> None:
    ink = stated("shared/head.css", "ink")[scheme]
    frames = re.findall(r'"(#[0-9a-f]{6})"', read("browse/assets/colours.js").replace("var(--ink)", ink))
    assert len(frames) == REASON_COLOURS + 2  # kept, the others
    assert confused(named(**{f"frame {number}": colour for number, colour in enumerate(frames)})) == []


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_bars_of_kept_and_rejected_faces_are_told_apart(scheme: int) -> None:
    bars = {name: stated("browse/assets/page.css", name)[scheme] for name in ("kept", "rejected")}
    assert confused(named(**bars)) == []
