"""From a network's soft mask to an alpha: colours, parts that do not belong, edges; and the person's own colour there.

1. GrabCut (Rother, Kolmogorov and Blake 2004) on a small copy, seeded by what the mask is sure of, has a vote.
2. Parts whose sure core is small beside the largest one are dropped: people in the background.
3. A guided filter (He, Sun and Tang 2010) lets the mask follow the photo's edges, which gives hair a soft one.
4. The colour of half-covered pixels is that of the person near them, not the photo's mixture with the background (blur
   fusion, Forte and Pitie 2021, two passes).
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from voxdata.faces.decode import Pixels, resize_area
from voxdata.format.errors import BackendError

VOTE_PERSON_PX = 44  # side of a square as large as the person, in the copy that is judged by colour
VOTE_BLUR = 1 / 128  # of GrabCut's answer, share of the copy's longer side
SURE_BACKGROUND, SURE_PERSON = 0.2, 0.8  # of the mask: seeds that GrabCut may not overrule
COLOUR_VOTE = 0.3  # weight of GrabCut's answer beside the mask's
CORE = 0.7  # of the mask: what parts are counted by
MIN_CORE_SHARE = 0.3  # of the largest core: a smaller one belongs to somebody else
GUIDE_RADIUS_SHARE = 0.008  # of the square root of the person's area, pixels
GUIDE_EPSILON = 1e-2  # of squared intensity, 0..1; smaller ones smear the mask instead of following edges
ALPHA_LOW, ALPHA_HIGH = 0.2, 0.75  # stretched to 0 and 1
FUSION_RADII = (0.18, 0.012)  # of the longer side: far colours first, then near ones
FUSION_PX = (128, 256)  # longer side of the copies in which far colours, and near ones, are blurred

Alpha = npt.NDArray[np.float32]
Colours = npt.NDArray[np.float32]


def refine(pixels: Pixels, mask: Alpha) -> Alpha:
    """Alpha float32 (H, W), 0..1, from a soft mask (H, W) of uint8 (H, W, 3). Raises `BackendError`."""
    voted = mask + _resized(_vote(pixels, mask), mask.shape)
    edged = _along_edges(pixels, np.clip(voted, 0.0, 1.0))
    alpha: Alpha = np.clip((edged - ALPHA_LOW) / (ALPHA_HIGH - ALPHA_LOW), 0.0, 1.0).astype(np.float32)
    return alpha


def own_colours(pixels: Pixels, alpha: Alpha, places: npt.NDArray[np.intp]) -> Colours:
    """The person's own colour, float32 (N, 3), 0..255, at `places` (N,) of the flat picture; the photo's at alpha 1."""
    sizes = [_fitted(alpha.shape, longer) for longer in FUSION_PX]
    near_alpha = np.asarray(cv2.resize(alpha, sizes[1], interpolation=cv2.INTER_AREA), np.float32)
    near = np.asarray(resize_area(pixels, sizes[1]))
    far_alpha = np.asarray(cv2.resize(near_alpha, sizes[0], interpolation=cv2.INTER_AREA), np.float32)
    far = np.asarray(resize_area(near, sizes[0]), np.float32)
    person, background = _around(far, far, far_alpha, FUSION_RADII[0])
    person = _unmixed(far, person, background, far_alpha[:, :, None])
    person, background = (_resized(each, near.shape) for each in (person, background))
    person, background = _around(person, background, near_alpha, FUSION_RADII[1])
    person, background = (_flat(_resized(each, alpha.shape), places) for each in (person, background))
    own = _unmixed(_flat(pixels, places), person, background, alpha.reshape(-1, 1)[places])
    return np.clip(own, 0.0, 255.0, out=own)


def _vote(pixels: Pixels, mask: Alpha) -> Alpha:
    """What colours and parts change of the mask, on the small copy."""
    person_px = math.sqrt(max(1, np.count_nonzero(mask > 0.5)))
    size = _fitted(mask.shape, round(max(mask.shape) * VOTE_PERSON_PX / person_px))
    small = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.float32)
    coloured = _by_colour(np.asarray(resize_area(pixels, size)), small)
    voted = COLOUR_VOTE * cv2.GaussianBlur(coloured, (0, 0), VOTE_BLUR * max(size)) + (1 - COLOUR_VOTE) * small
    return np.asarray(_main_parts(voted) - small, np.float32)


def _by_colour(pixels: Pixels, mask: Alpha) -> Alpha:
    labels = np.where(mask > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[mask < SURE_BACKGROUND] = cv2.GC_BGD
    labels[mask > SURE_PERSON] = cv2.GC_FGD
    if len(np.unique(labels)) < 3 or not {cv2.GC_BGD, cv2.GC_FGD} <= set(np.unique(labels)):
        return mask
    cv2.setRNGSeed(0)
    bgr = np.ascontiguousarray(pixels[:, :, ::-1])
    nowhere = (0, 0, 0, 0)  # the labels say it all
    cv2.grabCut(bgr, labels, nowhere, np.zeros((1, 65)), np.zeros((1, 65)), 1, cv2.GC_INIT_WITH_MASK)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)


def _main_parts(mask: Alpha) -> Alpha:
    """Zero where a watershed gives a pixel to a part with a small core."""
    count, cores, found, _ = cv2.connectedComponentsWithStats((mask > CORE).astype(np.uint8))
    if count <= 2:
        return mask
    areas = found[1:, cv2.CC_STAT_AREA]
    dropped = 1 + np.flatnonzero(areas < MIN_CORE_SHARE * areas.max())
    seeds = cores.astype(np.int32)
    seeds[mask < SURE_BACKGROUND] = count
    height = np.repeat((255 * np.clip(mask, 0, 1)).astype(np.uint8)[:, :, None], 3, axis=2)
    return np.where(np.isin(cv2.watershed(height, seeds), dropped), np.float32(0), mask)


def _along_edges(pixels: Pixels, mask: Alpha) -> Alpha:
    """A guided filter by brightness: by three channels the masks are no better, and it takes four times as long."""
    if not hasattr(cv2, "ximgproc"):
        raise BackendError(
            "cv2.ximgproc is missing: opencv-python overwrote opencv-contrib-python; "
            "run: pip install --force-reinstall --no-deps opencv-contrib-python==4.11.0.86"
        )
    radius = max(2, round(GUIDE_RADIUS_SHARE * float(np.sqrt((mask > 0.5).sum()))))
    guide = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.ximgproc.guidedFilter(guide, mask, radius, GUIDE_EPSILON * 255**2), np.float32)


def _around(person: Colours, background: Colours, alpha: Alpha, radius_share: float) -> tuple[Colours, Colours]:
    """Mean colour of the person, and of what is behind, within a square around each pixel."""
    side = 2 * max(1, round(radius_share * max(alpha.shape))) + 1
    cover = alpha[:, :, None]
    share = cv2.blur(alpha, (side, side))[:, :, None]
    near = cv2.blur(person * cover, (side, side)) / (share + 1e-5)
    behind = cv2.blur(background * (1 - cover), (side, side)) / (1 - share + 1e-5)
    return near, behind


def _unmixed(mixed: npt.NDArray[Any], person: Colours, background: Colours, cover: Alpha) -> Colours:
    """The person's colour in pixels that are `cover` of the person's and else of the background's."""
    return np.asarray(person + cover * (mixed - cover * person - (1 - cover) * background), np.float32)


def _flat(picture: npt.NDArray[Any], places: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    return picture.reshape(-1, picture.shape[2])[places]  # ten times as fast as a mask of the picture's shape


def _fitted(shape: tuple[int, ...], longer_px: int) -> tuple[int, int]:
    """Width and height of a copy of (H, W) whose longer side has at most `longer_px`."""
    scale = min(1.0, longer_px / max(shape[:2]))
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def _resized(small: npt.NDArray[np.float32], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)
