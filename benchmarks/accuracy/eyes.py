"""Eye centres against the 68 annotated points of YouTube Faces frames.

The annotation has no pupils: its eye centres are the means of the six lid points of each eye. Beside the mesh's irises,
which portraits are aligned by, the means of its own six lid points are therefore compared: like with like. Errors are
shares of the annotated distance between the eye centres, the mean of both eyes.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from figures import Figure, Numbers, Section, in_fitting_half, interval

from voxdata.faces.decode import decode_photo
from voxdata.faces.eyes import find_pupils, lid_centres
from voxdata.faces.landmarks import Box, open_landmarker

MIN_SCORE = 0.5
EYES_68 = (slice(36, 42), slice(42, 48))


def measure(data: Path, backend: str = "mediapipe") -> Section:
    """Median errors."""
    landmarker = open_landmarker(backend)
    folder = data / "truth" / "landmarks-ytf"
    with open(folder / "keypoints.csv", newline="") as file:
        rows = list(csv.reader(file))[1:]
    names, lids, irises = [], [], []
    for path, *numbers in rows:
        truth = np.array([np.array(numbers, float).reshape(-1, 2)[eye].mean(axis=0) for eye in EYES_68])
        photo = decode_photo((folder / path).read_bytes(), max_megapixels=100, min_side_px=16)
        box = _around(landmarker.detect(photo.pixels, MIN_SCORE), truth)
        seen = None if box is None else landmarker.landmarks(photo.pixels, box)
        if seen is not None:
            names.append(path.rpartition("/")[2])
            lids.append(_shares(lid_centres(seen.points).as_array(), truth))
            irises.append(_shares(find_pupils(seen.points).as_array(), truth))
    lid, iris = np.array(lids), np.array(irises)
    held_out = np.array([not in_fitting_half(name) for name in names])
    shift = np.median(lid[~held_out].mean(axis=1), axis=0)
    figures = [
        median_figure("lid centres", lid, 0.055, 0.04),
        median_figure("lid centres, less the common shift, held-out half", lid[held_out] - shift, 0.055, 0.04),
        median_figure("irises", iris),
        median_figure("irises, less the same shift, held-out half", iris[held_out] - shift),
    ]
    low, middle, high = np.percentile(1 + (iris[:, 1] - iris[:, 0])[:, 0], [5, 50, 95])
    note = (
        f"{len(rows)} frames, {len(rows) - len(names)} without landmarks. Common shift (median of the fitting half): "
        f"both eyes of the annotation lie {-shift[0]:.3f} to the right of the mesh's and {-shift[1]:.3f} below. "
        f"Iris distance over the annotated one: {middle:.3f} (5 to 95 %: {low:.3f} to {high:.3f})."
    )
    return Section(title=f"Eye centres, YouTube Faces, median error, {backend}", figures=figures, notes=[note])


def median_figure(name: str, off: Numbers, must: float | None = None, stretch: float | None = None) -> Figure:
    """The median over faces of the mean error of both eyes, from shares (N, 2, 2)."""
    errors = np.hypot(off[..., 0], off[..., 1]).mean(axis=1)
    low, high = interval(errors, lambda drawn: float(np.median(drawn)))
    value = float(np.median(errors))
    return Figure(name=name, value=value, n=len(errors), low=low, high=high, must=must, stretch=stretch)


def _shares(found: Numbers, truth: Numbers) -> Numbers:
    """(2, 2): of each eye what it is off along and across the line of the true eyes, over their distance."""
    across = truth[1] - truth[0]
    frame = np.array([across, (-across[1], across[0])]) / (across @ across)
    off: Numbers = (found - truth) @ frame.T
    return off


def _around(boxes: list[Box], eyes: Numbers) -> Box | None:
    x, y = eyes.mean(axis=0)
    inside = [box for box in boxes if box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height]
    return inside[0] if inside else None
