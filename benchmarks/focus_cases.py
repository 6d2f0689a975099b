"""The cases of `focus.py`: faces of real and of simulated people, as they are and blurred, at a portrait's scale.

A case is blurred first and photographed then: less light, the sensor's noise, 8 bits, and in half of the cases JPEG. So
what is sharp has the same exposures, noise and compression as what is not. Lengths are in pixels at 64 px between the
pupils, the scale of `voxdata.faces.geometry.patch`; landmarks are those of the face as it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from figures import in_fitting_half
from hidden_cases import Pixels, draw_shot, find_face, person_of

from voxdata.faces.decode import decode_photo
from voxdata.faces.face import Face
from voxdata.faces.geometry.eyes import find_pupils
from voxdata.faces.geometry.patch import FacePatch, face_patch
from voxdata.faces.measures.skin_tone import skin_colour, typology_angle_deg
from voxdata.simulate.face import Scene, paint_scene
from voxdata.simulate.people import SCORE_LIMIT, draw_people

PATCH_PUPILS_PX = 64.0
FOLDERS = ("truth/mask-celebamask/images", "photos/web", "truth/pose-aflw2000", "photos/misc")
MIN_PUPILS_PX = 64.0  # of a photo as it is: with fewer, the portrait is soft before anything is done to it
WORKED_PUPILS_PX = 128.0  # to which larger faces are reduced before they are blurred
AROUND = 2.2  # pupil distances to each side of the point between the eyes that are worked on
SKINS = {"dark": -SCORE_LIMIT, "middle": 0.0, "light": SCORE_LIMIT}
PAINTED = 40  # simulated people, each with every skin in one shot
EXPOSURES = (1.0, 0.5, 0.25)
GAUSSIAN_PX = (1.5, 2.0, 3.0, 4.0, 6.0)
MOTION_PX = (8.0, 12.0, 18.0)
SAMPLED_PX = (20.0, 14.0, 10.0)  # pupil distance of the small photo that is enlarged again
SHARP = 3  # cases of a face that are not blurred

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A real photo, or a simulated person by number; `skin` is of the paint."""

    person: str
    path: Path | None = None
    number: int = 0
    skin: str = ""


@dataclass(frozen=True, kw_only=True)
class Case:
    """`kind` is `sharp`, `gaussian`, `motion` or `sampled`, `size_px` by how much; `tone_deg`: of the photo."""

    person: str
    skin: str
    tone_deg: float | None
    kind: str
    size_px: float
    exposure: float
    patch: FacePatch


def find_jobs(data: Path, *, fitting: bool) -> list[Job]:
    """The photos and simulated people of one half."""
    jobs = []
    for folder in FOLDERS:
        paths = sorted(each for each in (data / folder).rglob("*") if each.suffix.lower() in (".jpg", ".png"))
        jobs += [Job(person=person_of(path), path=path) for path in paths]
    for number, person in enumerate(draw_people(PAINTED, seed=33, link=1.0)):
        jobs += [Job(person=person.identity, number=number, skin=skin) for skin in SKINS]
    return [job for job in jobs if in_fitting_half(job.person) == fitting]


def cases(job: Job) -> list[Case]:
    """The face of a photo as it is, and blurred; none without a face, and where the face is small."""
    face = find_face(photo_of(job))
    if face is None or face.pupils.distance_px < MIN_PUPILS_PX:
        return []
    colour = skin_colour(face.patch)
    tone_deg = None if colour is None else typology_angle_deg(colour)
    shown, points = close_up(face)
    rng = np.random.default_rng([zlib.crc32(job.person.encode()), job.number])  # the same for every skin
    made = []
    for kind, size_px, blurred in _blurred(shown, points, rng):
        exposure = float(rng.choice(EXPOSURES))
        photo = _photographed(blurred, exposure, rng)
        patch = face_patch(photo, points, find_pupils(points))
        said: dict[str, Any] = {"person": job.person, "skin": job.skin, "tone_deg": tone_deg, "exposure": exposure}
        made.append(Case(kind=kind, size_px=size_px, patch=patch, **said))
    return made


def photo_of(job: Job) -> Pixels:
    """Read, or painted, uint8 (H, W, 3)."""
    if job.path is None:
        return _painted(job)
    return decode_photo(job.path.read_bytes(), max_megapixels=178, min_side_px=8, min_decoded_share=0).pixels


def _painted(job: Job) -> Pixels:
    rng = np.random.default_rng([job.number, 5])
    person = draw_people(PAINTED, seed=33, link=1.0)[job.number]
    person = replace(person, face=replace(person.face, skin=SKINS[job.skin], femininity=float(job.number % 2)))
    background = str(rng.choice(["plain", "gradient", "blobs", "room"]))
    scene = Scene(background=background, shots=((person, draw_shot(rng)),), noise=float(rng.uniform(0, 2)))
    return paint_scene(scene, size_px=int(rng.integers(512, 700)), seed=job.number)


def close_up(face: Face) -> tuple[Pixels, Floats]:
    """The face's surroundings, `WORKED_PUPILS_PX` between the pupils at most, and the landmarks in them."""
    pupils = face.pupils
    middle = (np.array(pupils.left) + np.array(pupils.right)) / 2
    reach = AROUND * pupils.distance_px
    left, top = np.maximum(np.floor(middle - reach), 0).astype(int)
    right, bottom = np.ceil(middle + reach).astype(int)
    cut = face.pixels[top:bottom, left:right]
    points = face.points - np.array([left, top, 0])
    scale = min(1.0, WORKED_PUPILS_PX / pupils.distance_px)
    if scale == 1:
        return cut, points
    size = (round(cut.shape[1] * scale), round(cut.shape[0] * scale))
    small = np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.uint8)
    points[:, :2] = (points[:, :2] + 0.5) * np.array(size) / np.array(cut.shape[1::-1]) - 0.5
    return small, points


def _blurred(pixels: Pixels, points: Floats, rng: np.random.Generator) -> Iterator[tuple[str, float, Floats]]:
    """Linear light (H, W, 3), 0 to 1, of every case: blur is a mean of light."""
    light = (pixels / 255) ** 2.2
    per_px = find_pupils(points).distance_px / PATCH_PUPILS_PX  # photo pixels per pixel of the patch
    for _ in range(SHARP):
        yield "sharp", 0.0, light
    for size in GAUSSIAN_PX:
        yield "gaussian", size, np.asarray(cv2.GaussianBlur(light, (0, 0), size * per_px), np.float64)
    for size in MOTION_PX:
        streak = _streak(size * per_px, float(rng.uniform(0, np.pi)))
        yield "motion", size, np.asarray(cv2.filter2D(light, -1, streak), np.float64)
    for size in SAMPLED_PX:
        small = cv2.resize(light, None, fx=(times := size / PATCH_PUPILS_PX / per_px), fy=times, interpolation=3)
        large = cv2.resize(small, light.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        yield "sampled", size, np.asarray(large, np.float64)


def _streak(length: float, angle: float) -> Floats:
    """A line of a length and direction, as a kernel that sums to 1."""
    half = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    for along in np.linspace(-length / 2, length / 2, 8 * half):
        x, y = half + along * np.cos(angle), half + along * np.sin(angle)
        kernel[round(y), round(x)] += 1
    kernel /= kernel.sum()
    return kernel


def _photographed(light: Floats, exposure: float, rng: np.random.Generator) -> Pixels:
    """With less light and the sensor's noise, in 8 bits, in half of the cases as JPEG of quality 30 to 90."""
    levels = 255 * np.clip(light * exposure, 0, 1) ** (1 / 2.2)
    levels += rng.normal(0, rng.uniform(0, 2), light.shape)
    pixels: Pixels = np.clip(np.round(levels), 0, 255).astype(np.uint8)
    quality = int(rng.integers(30, 91))
    if rng.random() < 0.5:
        return pixels
    data = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1], np.uint8)
