"""Eye centres against the 68 annotated points of YouTube Faces frames.

The annotation has no pupils: its eye centres are the means of the six lid points of each eye. Beside the mesh's irises,
which portraits are aligned by, the means of its own six lid points are therefore compared: like with like. Errors are
shares of the annotated distance between the eye centres, the mean of both eyes.

The annotation counts pixels from 1, this project from 0 (`voxdata.faces.detect.landmarks`). That matters in frames
whose eyes are 14 to 85 px apart, so it was tested on the fitting half: a common shift of both eyes that came from
faces would grow with them; this one is about a pixel at any size.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
from figures import Figure, Numbers, Section, in_fitting_half, interval
from scipy.stats import theilslopes

from voxdata.faces.decode import Pixels, decode_photo
from voxdata.faces.detect.backends import open_landmarker
from voxdata.faces.detect.landmarks import Box, Landmarker
from voxdata.faces.geometry.eyes import find_pupils, lid_centres

MIN_SCORE = 0.5
EYES_68 = (slice(36, 42), slice(42, 48))
COUNTED_FROM = 1.0  # the annotation's first pixel


def measure(data: Path, backend: str = "mediapipe") -> Section:
    """Median errors."""
    landmarker = open_landmarker(backend)
    folder = data / "truth" / "landmarks-ytf"
    with open(folder / "keypoints.csv", newline="") as file:
        rows = list(csv.reader(file))[1:]
    names, truths, lids, irises, mirrored = [], [], [], [], []
    for path, *numbers in rows:
        truth = np.array([np.array(numbers, float).reshape(-1, 2)[eye].mean(axis=0) for eye in EYES_68]) - COUNTED_FROM
        photo = decode_photo((folder / path).read_bytes(), max_megapixels=100, min_side_px=16)
        box = _around(landmarker.detect(photo.pixels, MIN_SCORE), truth)
        seen = None if box is None else landmarker.landmarks(photo.pixels, box)
        if seen is not None:
            names.append(path.rpartition("/")[2])
            truths.append(truth)
            lids.append(lid_centres(seen.points).as_array())
            irises.append(find_pupils(seen.points).as_array())
            mirrored.append(_mirrored(photo.pixels, box, landmarker))
    true, lid, iris, there = np.array(truths), np.array(lids), np.array(irises), np.array(mirrored)
    fitting = np.array([in_fitting_half(name) for name in names])
    across = _shares(iris, true)
    low, middle, high = np.percentile(1 + (across[:, 1] - across[:, 0])[:, 0], [5, 50, 95])
    distance_px = np.linalg.norm(true[:, 1] - true[:, 0], axis=1)
    twice = np.isfinite(there).all(axis=(1, 2))
    notes = [
        f"{len(rows)} frames, {len(rows) - len(names)} without landmarks. Iris distance over the annotated one: "
        f"{middle:.3f} (5 to 95 %: {low:.3f} to {high:.3f}).",
        "The annotation's own numbers lie right of and below the mesh by "
        + _line(true[fitting] + COUNTED_FROM - lid[fitting], distance_px[fitting]),
        "Pupils in a frame and in its mirror image: x + x' is the frame's width plus "
        + _line((iris + there)[twice, :, :1], distance_px[twice])
        + " It is the width where pixels are counted by their edges, one less where by their centres.",
    ]
    figures = [
        median_figure("lid centres", _shares(lid, true), 0.055, 0.04),
        median_figure("lid centres, held-out half", _shares(lid, true)[~fitting], 0.055, 0.04),
        median_figure("lid centres, annotation taken as counted from 0", _shares(lid, true + COUNTED_FROM)),
        median_figure("irises", across),
        median_figure("irises, held-out half", across[~fitting]),
    ]
    return Section(title=f"Eye centres, YouTube Faces, median error, {backend}", figures=figures, notes=notes)


def median_figure(name: str, off: Numbers, must: float | None = None, stretch: float | None = None) -> Figure:
    """The median over faces of the mean error of both eyes, from shares (N, 2, 2)."""
    errors = np.hypot(off[..., 0], off[..., 1]).mean(axis=1)
    low, high = interval(errors, lambda drawn: float(np.median(drawn)))
    value = float(np.median(errors))
    return Figure(name=name, value=value, n=len(errors), low=low, high=high, must=must, stretch=stretch)


def _shares(found: Numbers, truth: Numbers) -> Numbers:
    """(N, 2, 2): of each eye what it is off along and across the line of the true eyes, over their distance."""
    across = truth[:, 1] - truth[:, 0]
    frame = np.stack([across, across[:, ::-1] * (-1.0, 1.0)], axis=1) / (across**2).sum(axis=1)[:, None, None]
    off: Numbers = np.einsum("nex,nax->nea", found - truth, frame)
    return off


def _mirrored(pixels: Pixels, box: Box | None, landmarker: Landmarker) -> Numbers:
    """(2, 2): x less the width, and y, of the pupils in the mirror image, as sides of the frame; NaN where unseen."""
    if box is None:
        return np.full((2, 2), np.nan)
    width = pixels.shape[1]
    seen = landmarker.landmarks(np.ascontiguousarray(pixels[:, ::-1]), replace(box, x=width - box.x - box.width))
    return np.full((2, 2), np.nan) if seen is None else find_pupils(seen.points).as_array()[::-1] - (width, 0)


def _line(off_px: Numbers, distance_px: Numbers) -> str:
    """What of an offset (N, 2, axes), mean over eyes and axes, is constant and what grows with the face."""
    samples = np.column_stack([distance_px, off_px.mean(axis=(1, 2))])

    def line(drawn: Numbers) -> tuple[float, float]:
        slope, constant, *_ = theilslopes(drawn[:, 1], drawn[:, 0])
        return float(constant), float(slope)

    (constant, slope), spans = line(samples), [interval(samples, lambda d, at=at: line(d)[at]) for at in (0, 1)]
    (low, high), (least, most) = spans
    return (
        f"{constant:.2f} px (95 %: {low:.2f} to {high:.2f}) plus {slope:.3f} ({least:.3f} to {most:.3f}) of the "
        f"distance between the eyes (Theil-Sen, n = {len(samples)})."
    )


def _around(boxes: list[Box], eyes: Numbers) -> Box | None:
    x, y = eyes.mean(axis=0)
    inside = [box for box in boxes if box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height]
    return inside[0] if inside else None
