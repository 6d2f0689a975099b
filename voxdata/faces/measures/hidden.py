"""Eyes behind dark glasses, and a lower face behind a mask or a cloth. Scores 0..1 without a network of its own.

Both compare mean colours (CIELAB) of regions that the mesh marks on the face's patch. Dark lenses make the skin under
both eyes darker than cheeks and forehead, take its colour, and leave neither sclera nor glints. A mask gives nose,
upper lip and chin one colour that is not the upper face's, and has no lips. A beard is another colour, too: it leaves
the nose and the lips. Each score is a logistic function of a few such differences.

Source of the weights: `python benchmarks/hidden_faces.py --fit`, on glasses, masks and cloths that were painted on
one half of the people, real and simulated; the other half is reported in docs/faces.md. A hand or a microphone before
the mouth is not found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from voxdata.faces.detect.backends import sees
from voxdata.faces.face import Face, Measure, Row, Settings
from voxdata.faces.geometry.patch import FacePatch
from voxdata.tables.column import Column, F

_UPPER_LIDS = ((246, 161, 160, 159, 158, 157, 173), (466, 388, 387, 386, 385, 384, 398))
_LOWER_LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362))
_ABOVE = ((113, 225, 224, 223, 222, 221, 189), (342, 445, 444, 443, 442, 441, 413))
_UNDER = ((130, 25, 110, 24, 23, 22, 26, 112, 243), (359, 255, 339, 254, 253, 252, 256, 341, 463))
_BELOW = ((226, 31, 228, 229, 230, 231, 232, 233, 244), (446, 261, 448, 449, 450, 451, 452, 453, 464))
_LOWEST = ((143, 111, 117, 118, 119, 120, 121, 128, 245), (372, 340, 346, 347, 348, 349, 350, 357, 465))


def _pair(
    name: str, first: tuple[tuple[int, ...], ...], second: tuple[tuple[int, ...], ...]
) -> dict[str, tuple[int, ...]]:
    """Two regions, each between a line of landmarks and another."""
    return {f"{name} {side}": (*first[side], *second[side][::-1]) for side in (0, 1)}


REGIONS: Mapping[str, tuple[int, ...]] = {  # outlines on the mesh
    **_pair("eye", _LOWER_LIDS, _UPPER_LIDS),
    **_pair("lens", _BELOW, _ABOVE),
    **_pair("under", _UNDER, _BELOW),
    **_pair("upper cheek", _BELOW, _LOWEST),
    "cheek 0": (50, 101, 36, 205, 187, 123),
    "cheek 1": (280, 330, 266, 425, 411, 352),
    "forehead": (67, 109, 10, 338, 297, 299, 337, 9, 108, 69),
    "bridge": (193, 168, 417, 351, 6, 122),
    "nose": (48, 115, 220, 45, 4, 275, 440, 344, 278, 19),
    "upper lip": (98, 97, 2, 326, 327, 391, 393, 164, 167, 165),
    "lips": (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146),
    "around lips": (57, 186, 92, 165, 167, 164, 393, 391, 322, 410, 287, 273, 335, 406, 313, 18, 83, 182, 106, 43),
    "chin": (182, 83, 18, 313, 406, 335, 428, 199, 208, 106),
}
_WITHOUT = {"lens 0": "eye 0", "lens 1": "eye 1", "around lips": "lips"}  # what is left out of a region
UPPER_FACE = ("forehead", "bridge", "upper cheek 0", "upper cheek 1")
MIN_PX = 4  # of a region, at half the patch's scale: with fewer, the score is null
LIGHTNESS_WEIGHT = 0.4  # of a colour difference: light changes it more than it changes the hue
LIGHT_FLOOR = 0.02  # of linear light: keeps noise in the dark from counting
COLOUR_FLOOR = 2.0  # of CIELAB: differences below it are noise

# feature -> weight, and "" -> constant
EYES_WEIGHTS: Mapping[str, float] = {
    "under to cheek": -2.4256,
    "under to forehead": -2.485,
    "colour of under": 0.1967,
    "eye to cheek": -0.2041,
    "lens deviation": -0.1601,
    "": -6.0987,
}
LOWER_WEIGHTS: Mapping[str, float] = {
    "nose": -0.1567,
    "cheeks": -1.3489,
    "upper lip": 0.7725,
    "chin": 2.2969,
    "chin's hue": 0.1477,
    "upper lip to chin": 0.5971,
    "lips to around": -3.924,
    "lips' hue": 0.68,
    "lips' red": -0.1021,
    "lips' deviation": -4.8819,
    "deviation around": 2.0641,
    "": 3.3621,
}

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """Both 0..1, null where too little of the face lies in the photo."""

    eyes: float | None
    lower_face: float | None


def measure_hidden(patch: FacePatch) -> Hidden:
    """Scores of a patch."""
    regions = region_colours(patch)
    return Hidden(
        eyes=_score(eye_features(regions), EYES_WEIGHTS), lower_face=_score(lower_features(regions), LOWER_WEIGHTS)
    )


def region_colours(patch: FacePatch) -> dict[str, Floats]:
    """Region -> mean and deviation of its L, a, b (2, 3); NaN where too few of its pixels lie in the photo."""
    face = np.ascontiguousarray(patch.face[::2, ::2]).view(np.uint8)
    smooth = cv2.GaussianBlur(patch.colours, (3, 3), 0)
    lab = np.asarray(cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB), np.uint8)
    points = np.nan_to_num(patch.points / 2 - 0.25, nan=-1e3)
    outlines = {
        name: np.round(np.clip(points[list(numbers)], -1e3, 1e3)).astype(np.int32) for name, numbers in REGIONS.items()
    }
    return {
        name: _colour(lab, face, outline, outlines.get(_WITHOUT.get(name, ""))) for name, outline in outlines.items()
    }


def _colour(
    lab: npt.NDArray[np.uint8],
    face: npt.NDArray[np.uint8],
    outline: npt.NDArray[np.int32],
    without: npt.NDArray[np.int32] | None,
) -> Floats:
    left, top = np.maximum(outline.min(axis=0), 0)
    right, bottom = np.maximum(outline.max(axis=0) + 1, 0)
    part = face[top:bottom, left:right]
    if not part.size:
        return np.full((2, 3), np.nan)
    shape = np.zeros(part.shape, np.uint8)
    cv2.fillPoly(shape, [outline], (1,), offset=(-int(left), -int(top)))
    if without is not None:
        cv2.fillPoly(shape, [without], (0,), offset=(-int(left), -int(top)))
    shape *= part
    if np.count_nonzero(shape) < MIN_PX:
        return np.full((2, 3), np.nan)
    mean, deviation = cv2.meanStdDev(lab[top:bottom, left:right], mask=shape)
    colour: Floats = np.stack([mean[:, 0], deviation[:, 0]]) * (100 / 255, 1.0, 1.0) - ((0, 128, 128), (0, 0, 0))
    return colour


def eye_features(regions: Mapping[str, Floats]) -> dict[str, float]:
    """What tells dark glasses, of the eye that shows them less."""
    under, cheeks, eyes, lenses = (
        np.stack([regions[f"{name} {side}"] for side in (0, 1)]) for name in ("under", "cheek", "eye", "lens")
    )  # each (2, 2, 3): eyes; mean and deviation; L, a, b
    light, cheek_light = _log_light(under[:, 0, 0]), _log_light(cheeks[:, 0, 0])
    forehead_light = _log_light(regions["forehead"][0, 0])
    brightest = _log_light(eyes[:, :, 0].sum(axis=1))
    return {
        "under to cheek": float(np.max(light - cheek_light)),
        "under to forehead": float(np.max(light) - forehead_light),
        "colour of under": float(np.hypot(*(under - cheeks)[:, 0, 1:].T).min()),
        "eye to cheek": float(np.max(brightest - cheek_light)),
        "lens deviation": float(lenses[:, 1, 0].min()),
    }


def lower_features(regions: Mapping[str, Floats]) -> dict[str, float]:
    """What tells a mask or a cloth over the lower face."""
    upper = np.median([regions[name][0] for name in UPPER_FACE], axis=0)
    cheek = (regions["cheek 0"][0] + regions["cheek 1"][0]) / 2
    lips, around = regions["lips"], regions["around lips"]
    nose, lip, chin = (regions[name] for name in ("nose", "upper lip", "chin"))
    return {
        "nose": _difference(nose[0], upper),
        "cheeks": _difference(cheek, upper),
        "upper lip": _difference(lip[0], upper),
        "chin": _difference(chin[0], upper),
        "chin's hue": _difference(chin[0], upper, 0.0),
        "upper lip to chin": _difference(lip[0], chin[0]),
        "lips to around": _difference(lips[0], around[0]),
        "lips' hue": _difference(lips[0], upper, 0.0),
        "lips' red": float(lips[0, 1] - around[0, 1]),
        "lips' deviation": float(np.log(lips[1, 0] + COLOUR_FLOOR)),
        "deviation around": float(np.log(around[1, 0] + COLOUR_FLOOR)),
    }


def _difference(one: Floats, other: Floats, lightness: float = LIGHTNESS_WEIGHT) -> float:
    """Logarithm of a difference of colours (3,)."""
    apart = (one - other) * (lightness, 1.0, 1.0)
    return float(np.log(np.sqrt(apart @ apart) + COLOUR_FLOOR))


def _log_light(lightness: Floats) -> Floats:
    """Logarithm of the linear light of CIELAB lightnesses."""
    light: Floats = np.log(((lightness + 16) / 116) ** 3 + LIGHT_FLOOR)
    return light


def _score(features: Mapping[str, float], weights: Mapping[str, float]) -> float | None:
    total = weights[""] + sum(weights[name] * value for name, value in features.items())
    return float(1 / (1 + np.exp(-np.clip(total, -50, 50)))) if np.isfinite(total) else None


def _take(face: Face) -> Row:
    found = measure_hidden(face.patch)
    return {"eyes_hidden": found.eyes, "lower_face_hidden": found.lower_face}


def _unmeasured(settings: Settings) -> Iterable[str]:
    """The regions lie between points that only the mesh has."""
    return () if "mesh" in sees(settings["backend"]) else ("eyes_hidden", "lower_face_hidden")


MEASURE = Measure(
    name="hidden",
    columns=(
        Column("eyes_hidden", F, "How surely dark glasses hide the eyes, 0 to 1", "Eyes hidden"),
        Column(
            "lower_face_hidden", F, "How surely a mask or a cloth covers the lower face, 0 to 1", "Lower face hidden"
        ),
    ),
    take=_take,
    unmeasured=_unmeasured,
    measured_with="faces.measure.backend=mediapipe",
)
