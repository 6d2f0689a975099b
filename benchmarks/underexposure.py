"""Does a measure of light find underexposed photos, and equally of dark and of light skin?

    python benchmarks/underexposure.py --data DIR --fit     limits, by the fitting half of the people
    python benchmarks/underexposure.py --data DIR           the other half, into benchmarks/results/underexposure.json

`skin_level`, the median of the skin, is what the rule `too_dark` judges by, with the recipe's limit. `brightest` is the
level that 0.3 % of the face exceed: whites of eyes, teeth and gloss, which every skin has. Its limit rejects 0.5 % of
the real photos of the fitting half as they are. Photos and people are those of `focus_cases.py`.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from figures import Section, show
from focus_cases import SKINS, Job, close_up, find_jobs, photo_of
from hidden_cases import find_face

from voxdata.faces.geometry.eyes import find_pupils
from voxdata.faces.geometry.patch import FacePatch, face_patch
from voxdata.faces.measures.lighting import measure_lighting
from voxdata.faces.measures.skin_tone import skin_colour, typology_angle_deg
from voxdata.recipe.reading import load_recipe

EXPOSURES = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16)  # of linear light
MIN_PUPILS_PX = 30.0
BRIGHTEST = 99.7  # per cent of the face below; of 90 to 99.7 the one that rejects no painted face as it is
FALSE_ALARMS = 0.005


def brightest(patch: FacePatch) -> float:
    """Linear light, 0 to 1, of the face's brightest points."""
    return float(np.percentile((patch.luma[patch.face] / 255) ** 2.2, BRIGHTEST)) if patch.face.any() else 0.0


MEASURES: Mapping[str, Callable[[FacePatch], float]] = {
    "skin_level": lambda patch: measure_lighting(patch).level,
    "brightest": brightest,
}
LIMITS: Mapping[str, float] = {
    "skin_level": load_recipe("hq-voxceleb-automatic").faces.lighting.min_skin_level,
    "brightest": 0.2508,  # as `--fit` prints it
}


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A photo with a share of its light; `skin` is of the paint, `tone_deg` of the photo as it is."""

    skin: str
    tone_deg: float | None
    exposure: float
    scores: Mapping[str, float]


def main() -> None:
    """Fit, or measure, print, write."""
    parser = argparse.ArgumentParser(description="measures of light, by skin tone")
    parser.add_argument("--data", type=Path, required=True, help="folder with truth/ and photos/")
    parser.add_argument("--fit", action="store_true", help="on the fitting half, and write nothing")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    jobs = find_jobs(options.data, fitting=options.fit)
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        rows = [row for found in pool.map(scored, jobs, chunksize=4) for row in found]
    if not options.fit:
        show([section(rows)], "underexposure")
        return
    as_is = [row.scores["brightest"] for row in rows if not row.skin and row.exposure == 1]
    print(f"brightest: {len(as_is)} real photos, limit {np.quantile(as_is, FALSE_ALARMS):.4f}")


def scored(job: Job) -> list[Scored]:
    """The scores of a photo at every exposure; none without a face, and where it is small."""
    face = find_face(photo_of(job))
    if face is None or face.pupils.distance_px < MIN_PUPILS_PX:
        return []
    colour = skin_colour(face.patch)
    tone_deg = None if colour is None else typology_angle_deg(colour)
    shown, points = close_up(face)
    made = []
    for exposure in EXPOSURES:
        photo = np.round(255 * ((shown / 255) ** 2.2 * exposure) ** (1 / 2.2)).astype(np.uint8)
        patch = face_patch(photo, points, find_pupils(points))
        scores = {name: measure(patch) for name, measure in MEASURES.items()}
        made.append(Scored(skin=job.skin, tone_deg=tone_deg, exposure=exposure, scores=scores))
    return made


def section(rows: Sequence[Scored]) -> Section:
    """The share that each limit rejects, by exposure, of real photos in thirds of tone and of painted ones by skin."""
    tones = [row.tone_deg for row in rows if not row.skin and row.exposure == 1 and row.tone_deg is not None]
    low, high = np.percentile(tones, [100 / 3, 200 / 3])

    def group(row: Scored) -> str:
        if row.skin or row.tone_deg is None:
            return f"painted {row.skin}" if row.skin else ""
        return "darker third" if row.tone_deg < low else "middle third" if row.tone_deg < high else "lighter third"

    table = []
    for name, limit in LIMITS.items():
        for asked in ("darker third", "middle third", "lighter third", *(f"painted {skin}" for skin in SKINS)):
            of = [row for row in rows if group(row) == asked]
            shares = {
                f"{exposure:g} of the light": float(
                    np.mean([row.scores[name] < limit for row in of if row.exposure == exposure])
                )
                for exposure in EXPOSURES
            }
            table.append({"measure": name, "limit": limit, "faces": asked, "n": len(of) // len(EXPOSURES), **shares})
    return Section(title="Underexposed photos rejected", tables={"reported half": table})


if __name__ == "__main__":
    main()
