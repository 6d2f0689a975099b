"""The face angle rule at 5 deg: on painted people, whose angles are known exactly, and on AFLW2000's few frontal faces.

What paint knows: the rotation of the solid that the features lie on. Its zero pitch is the solid's own, as AFLW2000's
is that of a 3D morphable model, and a landmark network that learned real faces reads proportions (a long nose, high
brows) as pitch, by about 2 deg per person. Angles are drawn evenly over the disc of each range.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from figures import Figure, Numbers, Section, in_fitting_half, interval, mean_figure

from accuracy.aflw import read_faces
from voxdata.faces.geometry import pose_of, second_look
from voxdata.faces.landmarks import open_landmarker
from voxdata.faces.pose import face_angle
from voxdata.simulate.face import Scene, Shot, paint_scene
from voxdata.simulate.people import draw_person
from voxdata.simulate.photos import PLAIN_ANGLE_DEG

PHOTOS = 3000
PEOPLE = 300
SEED = 20
SIZES_PX = (256, 320, 400)
RANGES_DEG = ((0.0, 5.0), (5.0, 12.0), (12.0, 35.0))  # a third of the photos each
LIMIT_DEG, TURNED_DEG = 5.0, 12.0
WORKERS = 2
MIN_SCORE = 0.5


@dataclass(frozen=True, kw_only=True)
class Painted:
    """True and measured yaw and pitch in degrees; None where no landmarks were found."""

    person: str
    truth: tuple[float, float]
    found: tuple[float, float] | None


def measure(data: Path, backend: str = "mediapipe") -> Section:
    """Shares of truly frontal faces kept and of truly turned ones let through."""
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        photos = pool.map(partial(paint_and_look, backend=backend), range(PHOTOS), chunksize=50)
    truth = np.array([photo.truth for photo in photos])
    found = np.array([photo.found or (np.nan, np.nan) for photo in photos])
    fitting = np.array([in_fitting_half(photo.person) for photo in photos])
    frontal = face_angle(*truth.T) <= LIMIT_DEG
    zero = round(float(np.nanmedian((found - truth)[fitting & frontal, 1])), 1)
    figures = [
        *_figures("3,000 painted photos", truth, found, 0.0, kept=(0.80, 0.95), through=(0.005, 0.001)),
        _kept_of_plain(truth, found),
        *_figures(f"zero pitch {zero:g} deg, found on the other people", truth[~fitting], found[~fitting], zero),
        *_figures("AFLW2000, held-out half", *_aflw(data, backend), 0.0),
    ]
    error = (found - truth)[frontal]
    people = np.array([photo.person for photo in photos])[frontal]
    each = np.array([np.nanmean(error[people == name], axis=0) for name in sorted(set(people))])
    notes = [
        f"Painted and truly within 5 deg: {int(np.isnan(error[:, 0]).sum())} without landmarks (not kept); mean error "
        f"of yaw {np.nanmean(error[:, 0]):.2f}, of pitch {np.nanmean(error[:, 1]):.2f} deg; its spread between people "
        f"{np.nanstd(each[:, 0]):.2f} and {np.nanstd(each[:, 1]):.2f} deg."
    ]
    return Section(title=f"Face angle, {backend}", figures=figures, notes=notes)


def paint_and_look(index: int, *, backend: str) -> Painted:
    """Paint photo `index` and measure its angles."""
    rng = np.random.default_rng([SEED, index])
    person = draw_person(index % PEOPLE, seed=SEED, link=1.0)
    yaw, pitch = _angles(index, rng)
    shot = Shot(
        yaw_deg=yaw,
        pitch_deg=pitch,
        roll_deg=float(np.clip(4.0 * rng.standard_normal(), -12, 12)),
        smile=float(0.2 * rng.random() ** 2),
        light_azimuth_deg=float(rng.uniform(-25, 25)),
        light_contrast=float(rng.uniform(0.05, 0.3)),
        head_share=float(rng.uniform(0.42, 0.66)),
    )
    scene = Scene(warmth=float(rng.uniform(-1, 1)), noise=float(rng.uniform(0.5, 4.0)), shots=((person, shot),))
    pixels = paint_scene(scene, size_px=int(rng.choice(SIZES_PX)), seed=index)
    landmarker = open_landmarker(backend)
    boxes = landmarker.detect(pixels, MIN_SCORE)
    seen = landmarker.landmarks(pixels, boxes[0]) if boxes else None
    if seen is None:
        return Painted(person=person.identity, truth=(yaw, pitch), found=None)
    pose = pose_of(seen, second_look(pixels, boxes[0], seen, landmarker))
    return Painted(person=person.identity, truth=(yaw, pitch), found=(pose.yaw_deg, pose.pitch_deg))


def _angles(index: int, rng: np.random.Generator) -> tuple[float, float]:
    low, high = RANGES_DEG[index // PEOPLE % len(RANGES_DEG)]
    size = np.sqrt(rng.uniform(low**2, high**2))
    direction = rng.uniform(0, 2 * np.pi)
    return float(size * np.cos(direction)), float(size * np.sin(direction))


def _figures(
    group: str,
    truth: Numbers,
    found: Numbers,
    frontal_pitch_deg: float,
    *,
    kept: tuple[float | None, float | None] = (None, None),
    through: tuple[float | None, float | None] = (None, None),
) -> Iterator[Figure]:
    true_angle = face_angle(*truth.T)
    passes = (face_angle(found[:, 0], found[:, 1] - frontal_pitch_deg) <= LIMIT_DEG).astype(float)  # NaN does not pass
    for name, rows, bounds, higher in (
        (f"truly <= {LIMIT_DEG:g} deg kept", true_angle <= LIMIT_DEG, kept, True),
        (f"truly > {TURNED_DEG:g} deg let through", true_angle > TURNED_DEG, through, False),
    ):
        low, high = interval(passes[rows])
        yield Figure(
            name=f"{name}, {group}",
            value=float(passes[rows].mean()),
            n=int(rows.sum()),
            low=low,
            high=high,
            must=bounds[0],
            stretch=bounds[1],
            higher=higher,
        )


def _kept_of_plain(truth: Numbers, found: Numbers) -> Figure:
    rows = face_angle(*truth.T) <= PLAIN_ANGLE_DEG
    passes = (face_angle(*found[rows].T) <= LIMIT_DEG).astype(float)
    name = f"kept, those within {PLAIN_ANGLE_DEG:g} deg, which is how a simulated corpus draws frontal faces"
    return mean_figure(name, passes, must=0.80, stretch=0.95, higher=True)


def _aflw(data: Path, backend: str) -> tuple[Numbers, Numbers]:
    faces = [face for face in read_faces(data, open_landmarker(backend)) if not in_fitting_half(face.name)]
    found = []
    for face in faces:
        pose = None if face.landmarks is None else pose_of(face.landmarks, face.mirrored)
        found.append((np.nan, np.nan) if pose is None else (pose.yaw_deg, pose.pitch_deg))
    return np.array([face.truth[:2] for face in faces]), np.array(found)
