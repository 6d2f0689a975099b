"""The colours of outcomes are told apart without red or green cones, too.

Matrices: Machado, Oliveira and Fernandes, A physiologically-based model for simulation of color vision deficiency,
2009, severity 1, on linear RGB. Distances are those of CIE L*a*b*, in which 2.3 is just seen; small frames need far
more.
"""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest

from tests.documented import REPOSITORY

ASSETS = REPOSITORY / "voxdata" / "pages" / "browse" / "assets"
APART = 15.0
SEEN_BY = {
    "all cones": np.eye(3),
    "no green cones": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "no red cones": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])


def lab(colour: str, seen: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """CIE L*a*b* of a colour as #rrggbb, as somebody sees it."""
    rgb = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    relative = XYZ @ np.clip(seen @ linear, 0, 1) / WHITE
    x, y, z = np.where(relative > 0.008856, np.cbrt(relative), 7.787 * relative + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def outcomes(ink: str) -> list[str]:
    """Kept, the reasons with a colour of their own, and the others."""
    text = (ASSETS / "colours.js").read_text(encoding="utf-8")
    return re.findall(r'"(#[0-9a-f]{6})"', text.replace("var(--ink)", ink))


INKS, KEPT, REJECTED = (
    re.findall(rf"--{name}: (#[0-9a-f]{{6}})", (ASSETS / "page.css").read_text(encoding="utf-8"))
    for name in ("ink", "kept", "rejected")
)


@pytest.mark.parametrize("seen", SEEN_BY)
@pytest.mark.parametrize("ink", INKS, ids=["light", "dark"])
def test_frames_of_outcomes_are_told_apart(ink: str, seen: str) -> None:
    colours = outcomes(ink)
    assert len(colours) == 9
    near = [
        pair
        for pair in combinations(colours, 2)
        if np.linalg.norm(lab(pair[0], SEEN_BY[seen]) - lab(pair[1], SEEN_BY[seen])) < APART
    ]
    assert near == []


@pytest.mark.parametrize("seen", SEEN_BY)
def test_bars_of_kept_and_rejected_faces_are_told_apart(seen: str) -> None:
    for kept, rejected in zip(KEPT, REJECTED, strict=True):
        assert np.linalg.norm(lab(kept, SEEN_BY[seen]) - lab(rejected, SEEN_BY[seen])) > 2 * APART
