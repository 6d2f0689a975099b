"""Skin tone of a photo: the individual typology angle of its skin pixels.

The angle is atan((L* - 50) / b*) in CIELAB, in degrees (Chardon, Cretois, Hourseau 1991, "Skin colour typology and
suntanning pathways"): about 70 very light, about -50 very dark. It is taken of the skin above the nose's base, without
eyes and brows, as Merler et al. 2019 ("Diversity in Faces") take it of regions of a face, and of the skin's brighter
half only: its median colour stays as it is where a shadow lies over the other half.

It measures pixels, not a person: exposure, white balance, make-up and hair over the forehead move it, and photos of one
person differ by ten degrees and more. It serves to see whom the rules reject (the query `rejects-by-group`); no rule
judges by it.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from voxdata.faces.face import Face, Measure, Row
from voxdata.faces.geometry.patch import FacePatch
from voxdata.tables.column import Column, F

MIN_SKIN_PX = 50  # of the patch at half its scale, as `lighting.MIN_SKIN_PX` at the whole
LEAST_YELLOW = 2.0  # of b*: below, light or film has the skin's colour, and the angle says nothing


def typology_angle_deg(rgb: npt.NDArray[np.float64]) -> float | None:
    """Individual typology angle of an sRGB colour (3,), 0..255; None where it has no yellow in it, as gray has none."""
    lightness, _, yellow = cv2.cvtColor((rgb / 255).astype(np.float32)[None, None], cv2.COLOR_RGB2LAB)[0, 0].tolist()
    return None if yellow < LEAST_YELLOW else float(np.degrees(np.arctan2(lightness - 50, yellow)))


def skin_colour(patch: FacePatch) -> npt.NDArray[np.float64] | None:
    """Median sRGB colour (3,), 0..255, of the skin's brighter half; None where too little skin lies in the photo."""
    skin, luma = patch.colours[patch.skin[::2, ::2]], patch.luma[::2, ::2][patch.skin[::2, ::2]]
    return np.median(skin[luma >= np.median(luma)], axis=0) if len(skin) >= MIN_SKIN_PX else None


def _take(face: Face) -> Row:
    colour = skin_colour(face.patch)
    return {"skin_tone_deg": None if colour is None else typology_angle_deg(colour)}


MEASURE = Measure(
    name="skin_tone",
    columns=(
        Column(
            "skin_tone_deg",
            F,
            "Individual typology angle of the face's skin pixels in this photo, -90 to 90, light above dark: it is "
            "measured on pixels, moves with the light, and says nothing about the person; null in other tints and gray",
            "Skin tone of the pixels",
        ),
    ),
    take=_take,
)
