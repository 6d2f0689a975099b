"""Light: do the scores move with skin tone, and which faces are too dark?

Painted people (voxdata.simulate), each in the same shots and lights, repainted with skins from the darkest to the
lightest that the simulation has: whatever changes in a score is due to the skin. Shares of real frames beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from figures import Figure, Section

from voxdata.faces import measure as face_stage
from voxdata.recipe.face_limits import Lighting
from voxdata.recipe.faces import FaceMeasure
from voxdata.simulate.face import paint_photo
from voxdata.simulate.people import SCORE_LIMIT, SimulatedPerson, draw_people
from voxdata.store.items import PhotoItem

PEOPLE, SEED, SIZE_PX = 16, 5, 320
TONES = tuple(float(tone) for tone in np.linspace(-SCORE_LIMIT, SCORE_LIMIT, 5))
LIGHTS = ((0.1, 0.0), (0.3, 25.0), (0.6, -45.0), (1.0, 70.0))  # contrast, azimuth in deg
SCORES = ("light_left_right", "light_top_bottom", "light_evenness", "shadow_share", "highlight_share", "skin_level")
MUST = {"light_evenness": 0.06, "shadow_share": 0.06}
DIM = 0.12  # light skin times this is a face in the dark
REAL = ("truth/hq-voxceleb-samples", "truth/mask-celebamask/images", "voxceleb1-mini/photos", "avspeech-mini")

Scores = npt.NDArray[np.float64]


def measure(data: Path) -> Section:
    """How far each score moves over the tones, by how much it follows them, and what `too_dark` rejects."""
    people = draw_people(PEOPLE, seed=SEED, link=1.0)
    scores = np.array([_over_tones(person, number, light) for number, person in enumerate(people) for light in LIGHTS])
    shots = int(np.isfinite(scores).all(axis=(1, 2)).sum())
    figures = []
    for place, name in enumerate(SCORES[:-1]):
        found = scores[:, :, place]
        figures.append(
            Figure(
                name=f"{name}: largest shift of one shot over {len(TONES)} skin tones",
                value=float(np.nanmax(np.ptp(found, axis=1))),
                n=shots,
                must=MUST.get(name),
            )
        )
        figures.append(Figure(name=f"{name}: correlation with skin tone", value=_correlation(found), n=found.size))
    limits = Lighting()
    even, level = scores[:, :, SCORES.index("light_evenness")], scores[:, :, SCORES.index("skin_level")]
    flips = int(np.ptp((even < limits.min_evenness).astype(int), axis=1).sum())
    figures += [
        Figure(name="shots whose evenness verdict depends on the skin tone", value=float(flips), n=shots),
        Figure(name="skin level of the darkest skin in the hardest light", value=float(np.nanmin(level)), n=level.size),
        _dim(people),
    ]
    return Section(
        title="Lighting",
        figures=figures,
        tables={
            "mean score by skin tone, -2.2 the darkest": [
                {"tone": tone} | {name: float(np.nanmean(scores[:, at, place])) for place, name in enumerate(SCORES)}
                for at, tone in enumerate(TONES)
            ],
            f"skin level of real faces; too_dark below {limits.min_skin_level:g}": _real_levels(data),
        },
        notes=["Highlights are where the photo clips: the lightest skin does so first."],
    )


def _over_tones(person: SimulatedPerson, seed: int, light: tuple[float, float]) -> Scores:
    """(tones, scores); NaN where no face was found."""
    photos = [
        paint_photo(
            replace(person, face=replace(person.face, skin=tone)),
            size_px=SIZE_PX,
            seed=seed,
            light_contrast=light[0],
            light_azimuth_deg=light[1],
        )
        for tone in TONES
    ]
    return np.array([[row[name] for name in SCORES] for row in _measured(photos)], float)


def _dim(people: Sequence[SimulatedPerson]) -> Figure:
    light = [replace(person, face=replace(person.face, skin=SCORE_LIMIT)) for person in people]
    photos = [paint_photo(person, size_px=SIZE_PX, seed=seed) * DIM for seed, person in enumerate(light)]
    rows = _measured([photo.astype(np.uint8) for photo in photos])
    dark = np.array([row["skin_level"] for row in rows], float)
    found = dark[np.isfinite(dark)]
    return Figure(
        name=f"light skin at {DIM:g} of its pixel values: share that too_dark rejects",
        value=float((found < Lighting().min_skin_level).mean()),
        n=len(found),
        higher=True,
    )


def _real_levels(data: Path) -> list[dict[str, Any]]:
    table = []
    for folder in REAL:
        paths = sorted(path for path in (data / folder).rglob("*") if path.suffix in (".jpg", ".png"))
        rows = _rows([path.read_bytes() for path in paths])
        levels = np.array([row["skin_level"] for row in rows if row["skin_level"] is not None])
        cells = {f"{percent} %": float(np.percentile(levels, percent)) for percent in (0, 1, 5, 50)}
        too_dark = int((levels < Lighting().min_skin_level).sum())
        table.append({"folder": folder, "faces": len(levels), **cells, "too dark": too_dark})
    return table


def _correlation(found: Scores) -> float:
    """Between tone and score, each shot's own mean taken off; 0 where the score never changes."""
    off = (found - np.nanmean(found, axis=1, keepdims=True)).ravel()
    tones = np.tile(TONES, len(found))
    known = np.isfinite(off)
    return float(np.corrcoef(tones[known], off[known])[0, 1]) if np.ptp(off[known]) > 0 else 0.0


def _measured(photos: Sequence[npt.NDArray[np.uint8]]) -> list[dict[str, Any]]:
    """The largest face of each photo; an empty row where there is none."""
    rows = _rows([bytes(cv2.imencode(".png", photo[:, :, ::-1])[1]) for photo in photos])
    return [row if row["skin_level"] is not None else dict.fromkeys(SCORES, np.nan) for row in rows]


def _rows(files: Sequence[bytes]) -> list[dict[str, Any]]:
    """The largest face's row of each file, in order."""
    items = [
        PhotoItem(
            row={"item_id": str(number), "identity": "x", "person": "x", "bucket": 0, "photo_sha256": digest},
            data=lambda data=data: data,  # type: ignore[misc]
        )
        for number, data in enumerate(files)
        for digest in [hashlib.sha256(data).hexdigest()]
    ]
    rows = face_stage.run(items, FaceMeasure()).rows.to_pylist()
    return list({row["item_id"]: row for row in reversed(rows)}.values())[::-1]
