"""Light on the face: evenness, clipped highlights, deep shadows.

SF2F, App. B.1: generally uniform, without noticeable shadow or sharp change. Evenness and shadows are ratios of linear
light over the face's own skin, so that they do not depend on how light or dark the skin is;
`benchmarks/accuracy/lighting.py` shows it. Highlights are where the photo clips. The level of the skin is no ratio: it
only serves to tell a face that lies in the dark from one with dark skin, which reflects a few percent.

Source of the constants: 250 of 255 is where 8-bit sRGB photos clip; a sixth of the skin's bright level (2.6 stops) is
a shadow that one notices. The recipe's limits are chosen on the released HQ-VoxCeleb portraits (docs/faces.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from voxdata.faces.decode import Pixels
from voxdata.faces.face import Face, Measure, Row
from voxdata.faces.geometry.patch import FacePatch
from voxdata.tables.column import Column, F

CLIPPED_LEVEL = 250.0
BRIGHT_PERCENTILE = 90.0
SHADOW_RATIO = 1.0 / 6.0
MIN_SKIN_PX = 200  # of the patch; below, the face lies outside the photo
_LINEAR = (np.arange(256) / 255.0) ** 2.2


@dataclass(frozen=True, kw_only=True)
class Lighting:
    """`left_right`, `top_bottom`: darker half over brighter half; shares are of the skin; `level` 0 black, 1 white."""

    left_right: float
    top_bottom: float
    highlight_share: float
    shadow_share: float
    level: float

    @property
    def evenness(self) -> float:
        """1 even, 0 one half dark: the worse of both directions."""
        return min(self.left_right, self.top_bottom)


UNLIT = Lighting(left_right=0.0, top_bottom=0.0, highlight_share=0.0, shadow_share=1.0, level=0.0)


def measure_lighting(patch: FacePatch) -> Lighting:
    """Compare left with right and top with bottom by their median linear light."""
    if np.count_nonzero(patch.skin) < MIN_SKIN_PX:
        return UNLIT
    levels = patch.luma.astype(np.uint8)
    skin_levels = levels[patch.skin]
    bright = max(_light_at(skin_levels, BRIGHT_PERCENTILE / 100), 1e-6)
    middle = max(0, patch.middle)
    rows = np.flatnonzero(patch.skin.any(axis=1))
    waist = int(rows[0] + rows[-1]) // 2
    return Lighting(
        left_right=_balance(levels[:, :middle][patch.skin[:, :middle]], levels[:, middle:][patch.skin[:, middle:]]),
        top_bottom=_balance(levels[:waist][patch.skin[:waist]], levels[waist:][patch.skin[waist:]]),
        highlight_share=float((skin_levels >= CLIPPED_LEVEL).mean()),
        shadow_share=float((bright * SHADOW_RATIO > _LINEAR)[skin_levels].mean()),
        level=_light_at(skin_levels, 0.5),
    )


def _balance(levels_a: Pixels, levels_b: Pixels) -> float:
    if not levels_a.size or not levels_b.size:
        return 0.0
    a, b = _light_at(levels_a, 0.5), _light_at(levels_b, 0.5)
    return min(a, b) / max(a, b, 1e-6)


def _light_at(levels: Pixels, share: float) -> float:
    """Quantile of the linear light of uint8 levels (N,), between two neighbours in proportion, as NumPy has it.

    Light grows with the level, so the small integers are put in order, not the light.
    """
    at = (len(levels) - 1) * share
    low = int(at)
    high = min(low + 1, len(levels) - 1)
    ordered = np.partition(levels, (low, high))
    below, above = float(_LINEAR[ordered[low]]), float(_LINEAR[ordered[high]])
    return below + (above - below) * (at - low)


def _take(face: Face) -> Row:
    light = measure_lighting(face.patch)
    return {
        "light_left_right": light.left_right,
        "light_top_bottom": light.top_bottom,
        "light_evenness": light.evenness,
        "skin_level": light.level,
        "highlight_share": light.highlight_share,
        "shadow_share": light.shadow_share,
    }


MEASURE = Measure(
    name="lighting",
    columns=(
        Column(
            "light_left_right",  # linear light
            F,
            "Darker half of the face over the brighter one, left against right",
            "Light, left to right",
        ),
        Column(
            "light_top_bottom",
            F,
            "Darker half of the face over the brighter one, top against bottom",
            "Light, top to bottom",
        ),
        Column(
            "light_evenness",
            F,
            "The smaller of the two: 1 for even light, 0 where half of the face is dark",
            "Light evenness",
        ),
        Column("skin_level", F, "Median linear light of the skin: 0 black, 1 white", "Light on the skin"),
        Column("highlight_share", F, "Share of clipped highlights on the face", "Clipped highlights"),
        Column("shadow_share", F, "Share of crushed shadows on the face", "Crushed shadows"),
    ),
    take=_take,
)
