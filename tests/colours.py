"""How far colours are apart for people who see no red or no green.

Their view is simulated by the matrices of Machado, Oliveira and Fernandes, A Physiologically-based Model for Simulation
of Color Vision Deficiency (IEEE TVCG 15(6), 2009), at severity 1.0, on linear RGB; distances are CIEDE2000.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.color import deltaE_ciede2000, rgb2lab

VISIONS = {
    "full": np.eye(3),
    "without red": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "without green": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
# Two patches that are told apart without being looked for; 1 is what can just be seen, side by side.
FLOOR = 15.0

Colours = npt.NDArray[np.float64]  # (..., 3) sRGB within 0 to 1


def seen(colours: Colours, vision: str) -> Colours:
    """sRGB colours as people with a vision of `VISIONS` see them."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    left = np.clip(linear @ VISIONS[vision].T, 0, 1)
    return np.asarray(np.where(left <= 0.0031308, left * 12.92, 1.055 * left ** (1 / 2.4) - 0.055))


def lightness(colours: Colours, vision: str) -> Colours:
    """CIE L* (...) of colours (..., 3), 0 to 100."""
    return np.asarray(rgb2lab(seen(colours, vision))[..., 0])


def confused(colours: Mapping[str, Colours], floor: float = FLOOR) -> list[str]:
    """Pairs of named colours that are closer than `floor` in some vision."""
    return [
        f"{first} and {second}, {vision}: {apart:.1f}"
        for first, second in combinations(colours, 2)
        for vision in VISIONS
        if (apart := distance(colours[first], colours[second], vision)) < floor
    ]


def distance(first: Colours, second: Colours, vision: str) -> float:
    """CIEDE2000 between two colours (3,)."""
    return float(deltaE_ciede2000(*(rgb2lab(seen(each, vision)) for each in (first, second))))


def drawn(tab: Any, selector: str, what: str) -> Colours:
    """The colour (3,) of a property of a page's element as it is drawn; it must not let through what is behind."""
    said = tab.eval_on_selector(
        selector,
        """(one, what) => { const style = getComputedStyle(one);
        return `${style.getPropertyValue(what)} ${style.opacity}`; }""",
        what,
    )
    found = re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\) 1", said)
    assert found, f"{selector} {what}: {said}"
    return np.array([int(each) / 255 for each in found.groups()])
