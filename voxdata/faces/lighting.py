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
import numpy.typing as npt

from voxdata.faces.patch import PATCH_PX, FacePatch

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
    if patch.skin.sum() < MIN_SKIN_PX:
        return UNLIT
    light = _LINEAR[patch.luma.astype(np.uint8)]
    skin_light = light[patch.skin]
    bright = max(float(np.percentile(skin_light, BRIGHT_PERCENTILE)), 1e-6)
    middle = PATCH_PX // 2
    rows = np.flatnonzero(patch.skin.any(axis=1))
    waist = int(rows[0] + rows[-1]) // 2
    return Lighting(
        left_right=_balance(light[:, :middle], patch.skin[:, :middle], light[:, middle:], patch.skin[:, middle:]),
        top_bottom=_balance(light[:waist], patch.skin[:waist], light[waist:], patch.skin[waist:]),
        highlight_share=float((patch.luma[patch.skin] >= CLIPPED_LEVEL).mean()),
        shadow_share=float((skin_light < bright * SHADOW_RATIO).mean()),
        level=float(np.median(skin_light)),
    )


def _balance(
    light_a: npt.NDArray[np.float64],
    skin_a: npt.NDArray[np.bool_],
    light_b: npt.NDArray[np.float64],
    skin_b: npt.NDArray[np.bool_],
) -> float:
    if not skin_a.any() or not skin_b.any():
        return 0.0
    a, b = float(np.median(light_a[skin_a])), float(np.median(light_b[skin_b]))
    return min(a, b) / max(a, b, 1e-6)
