"""From a network's soft mask to an alpha: colours, parts that do not belong, edges; and the person's own colour there.

1. GrabCut (Rother, Kolmogorov and Blake 2004) on a small copy, seeded by what the mask is sure of, has a vote.
2. Parts whose sure core is small beside the largest one are dropped: people in the background.
3. A guided filter (He, Sun and Tang 2010) lets the mask follow the photo's edges, which gives hair a soft one.
4. The colour of half-covered pixels is that of the person near them, not the photo's mixture with the background (blur
   fusion, Forte and Pitie 2021, two passes).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from voxdata.faces.decode import Pixels, resize_area
from voxdata.format.errors import BackendError

VOTE_PX = 128  # longer side of the copy that is judged by colour
SURE_BACKGROUND, SURE_PERSON = 0.2, 0.8  # of the mask: seeds that GrabCut may not overrule
COLOUR_VOTE = 0.3  # weight of GrabCut's answer beside the mask's
CORE = 0.7  # of the mask: what parts are counted by
MIN_CORE_SHARE = 0.3  # of the largest core: a smaller one belongs to somebody else
GUIDE_RADIUS_SHARE = 0.008  # of the square root of the person's area, pixels
GUIDE_EPSILON = 1e-2  # of squared intensity, 0..1; smaller ones smear the mask instead of following edges
GUIDE_MAX_PX = 256  # longer side at which the filter's coefficients are computed (fast guided filter)
ALPHA_LOW, ALPHA_HIGH = 0.2, 0.75  # stretched to 0 and 1
FUSION_RADII = (0.18, 0.012)  # of the longer side: far colours first, then near ones
FUSION_PX = 128  # longer side of the copy in which far colours are blurred

Alpha = npt.NDArray[np.float32]
Colours = npt.NDArray[np.float32]


def refine(pixels: Pixels, mask: Alpha) -> Alpha:
    """Alpha float32 (H, W), 0..1, from a soft mask (H, W) of uint8 (H, W, 3). Raises `BackendError`."""
    voted = mask + _resized(_vote(pixels, mask), mask.shape)
    edged = _along_edges(pixels, np.clip(voted, 0.0, 1.0))
    alpha: Alpha = np.clip((edged - ALPHA_LOW) / (ALPHA_HIGH - ALPHA_LOW), 0.0, 1.0).astype(np.float32)
    return alpha


def foreground(pixels: Pixels, alpha: Alpha) -> Colours:
    """The person's own colour, float32 (H, W, 3), 0..255; the photo's where alpha is 1."""
    image = pixels.astype(np.float32)
    longer = max(alpha.shape)
    small = (max(1, round(alpha.shape[1] * FUSION_PX / longer)), max(1, round(alpha.shape[0] * FUSION_PX / longer)))
    if longer <= FUSION_PX:
        small = (alpha.shape[1], alpha.shape[0])
    far_alpha = np.asarray(cv2.resize(alpha, small, interpolation=cv2.INTER_AREA), np.float32)
    far_image = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.float32)
    near, behind = _fused(far_image, far_image, far_image, far_alpha, FUSION_RADII[0])
    person, background = _resized(near, alpha.shape), _resized(behind, alpha.shape)
    fused, _ = _fused(image, person, background, alpha, FUSION_RADII[1])
    return np.clip(fused, 0.0, 255.0, out=fused)


def _vote(pixels: Pixels, mask: Alpha) -> Alpha:
    """What colours and parts change of the mask, on the small copy."""
    height, width = mask.shape
    scale = min(1.0, VOTE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.float32)
    coloured = _by_colour(np.asarray(resize_area(pixels, size)), small)
    voted = COLOUR_VOTE * cv2.GaussianBlur(coloured, (0, 0), 1.0) + (1 - COLOUR_VOTE) * small
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
    """A fast guided filter: coefficients on a small copy, applied to the photo itself."""
    if not hasattr(cv2, "ximgproc"):
        raise BackendError(
            "cv2.ximgproc is missing: opencv-python overwrote opencv-contrib-python; "
            "run: pip install --force-reinstall --no-deps opencv-contrib-python==4.11.0.86"
        )
    radius = max(2, round(GUIDE_RADIUS_SHARE * float(np.sqrt((mask > 0.5).sum()))))
    scale = min(1.0, GUIDE_MAX_PX / max(mask.shape)) if radius >= 4 else 1.0
    guide = pixels.astype(np.float32) * np.float32(1 / 255)
    return np.asarray(cv2.ximgproc.guidedFilter(guide, mask, radius, GUIDE_EPSILON, scale=scale), np.float32)


def _fused(
    image: Colours, person: Colours, background: Colours, alpha: Alpha, radius_share: float
) -> tuple[Colours, Colours]:
    side = 2 * max(1, round(radius_share * max(alpha.shape))) + 1
    cover = alpha[:, :, None]
    share = cv2.blur(alpha, (side, side))[:, :, None]
    near = cv2.blur(person * cover, (side, side)) / (share + 1e-5)
    behind = cv2.blur(background * (1 - cover), (side, side)) / (1 - share + 1e-5)
    return near + cover * (image - cover * near - (1 - cover) * behind), behind


def _resized(small: npt.NDArray[np.float32], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)
