"""The face angle rule at 5 deg: on painted people, whose angles are known exactly, and on AFLW2000's few frontal faces.

The main sample is a simulated corpus as `voxdata simulate` draws it, every photo that shows one person: four of five
are frontal (drawn within 4 deg), the others turned by 12 to 35 deg, mostly sideways; some smile or are lit hard. The
other sample draws angles evenly over a disc, so that far more faces lie just within 5 deg.

What paint knows: the rotation of the solid that the features lie on. Its zero pitch is the solid's own, as AFLW2000's
is that of a 3D morphable model, and a landmark network that learned real faces reads proportions (a long nose, high
brows) as pitch, by about 2 deg per person.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from figures import Figure, Numbers, Section, in_fitting_half, interval

from accuracy.aflw import read_faces
from voxdata.faces.decode import Pixels, decode_photo
from voxdata.faces.detect.backends import open_landmarker
from voxdata.faces.geometry.looks import pose_of, second_look
from voxdata.faces.geometry.pose import face_angle
from voxdata.simulate.face import Scene, Shot, paint_scene
from voxdata.simulate.people import draw_person
from voxdata.simulate.photos import make_photo, photo_kinds
from voxdata.simulate.settings import PLAIN, CorpusSettings

CORPUS = CorpusSettings(people=450, photos_per_person=10, photo_px=320, seed=20)
CORPUS_PHOTOS = 3000  # the first of the corpus that show one person
PHOTOS = 1000  # evenly over the disc of each range
PEOPLE = 100
SEED = 20
SIZES_PX = (256, 320, 400)
RANGES_DEG = ((0.0, 5.0), (0.0, 5.0), (5.0, 12.0), (12.0, 35.0))  # a quarter of the photos each
LIMIT_DEG, TURNED_DEG = 5.0, 12.0
ONE_PERSON = (PLAIN, "wrong_person", "large_pose", "smile", "uneven_light")
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
        corpus = pool.map(partial(look_at_corpus, backend=backend), corpus_photos(), chunksize=50)
        photos = pool.map(partial(paint_and_look, backend=backend), range(PHOTOS), chunksize=50)
    truth, found, _ = _arrays(corpus)
    even_truth, even_found, people = _arrays(photos)
    fitting = np.array([in_fitting_half(person) for person in people])
    zero = round(float(np.nanmedian((even_found - even_truth)[fitting & _frontal(even_truth), 1])), 1)
    figures = [
        *_figures("photos of a simulated corpus", truth, found, 0.0, kept=(0.80, 0.95), through=(0.005, 0.001)),
        *_figures("painted evenly over the disc", even_truth, even_found, 0.0),
        *_figures(
            f"the same, zero pitch {zero:g} deg, found on the other people",
            even_truth[~fitting],
            even_found[~fitting],
            zero,
        ),
        *_figures("AFLW2000, held-out half", *_aflw(data, backend), 0.0),
    ]
    note = _spread_note("Photos of the corpus", truth, found, np.array([each.person for each in corpus]))
    more = _spread_note("Painted evenly", even_truth, even_found, people)
    return Section(title=f"Face angle, {backend}", figures=figures, notes=[note, more])


def corpus_photos() -> list[tuple[int, int]]:
    """(person, number) of the first `CORPUS_PHOTOS` photos of the corpus that show one person and are no copies."""
    chosen = [
        (index, number)
        for index in range(CORPUS.people)
        for number, kind in enumerate(photo_kinds(CORPUS, index))
        if kind in ONE_PERSON
    ]
    return chosen[:CORPUS_PHOTOS]


def look_at_corpus(photo: tuple[int, int], *, backend: str) -> Painted:
    """Paint a photo of the corpus and measure the angles of its largest face."""
    made = make_photo(CORPUS, *photo)
    pixels = decode_photo(made.data, max_megapixels=100, min_side_px=16).pixels
    truth = (float(made.truth["yaw_deg"]), float(made.truth["pitch_deg"]))
    return Painted(person=str(made.truth["shown_identity"]), truth=truth, found=look(pixels, backend))


def look(pixels: Pixels, backend: str) -> tuple[float, float] | None:
    """Measured yaw and pitch of the largest face."""
    landmarker = open_landmarker(backend)
    boxes = landmarker.detect(pixels, MIN_SCORE)
    seen = landmarker.landmarks(pixels, boxes[0]) if boxes else None
    if seen is None:
        return None
    pose = pose_of(seen, second_look(pixels, boxes[0], seen, landmarker))
    return pose.yaw_deg, pose.pitch_deg


def paint_and_look(index: int, *, backend: str) -> Painted:
    """Paint photo `index` and measure its angles."""
    rng = np.random.default_rng([SEED, index])
    person = draw_person(index // len(RANGES_DEG) % PEOPLE, seed=SEED, link=1.0)
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
    return Painted(person=person.identity, truth=(yaw, pitch), found=look(pixels, backend))


def _arrays(photos: Sequence[Painted]) -> tuple[Numbers, Numbers, npt.NDArray[np.str_]]:
    """True and found angles (N, 2), NaN where none were found, and whose (N,)."""
    found = np.array([photo.found or (np.nan, np.nan) for photo in photos])
    return np.array([photo.truth for photo in photos]), found, np.array([photo.person for photo in photos])


def _frontal(truth: Numbers) -> npt.NDArray[np.bool_]:
    flags: npt.NDArray[np.bool_] = face_angle(*truth.T) <= LIMIT_DEG
    return flags


def _spread_note(name: str, truth: Numbers, found: Numbers, people: npt.NDArray[np.str_]) -> str:
    frontal = _frontal(truth)
    error, whose = (found - truth)[frontal], people[frontal]
    seen = np.isfinite(error[:, 0])
    each = np.array([error[seen & (whose == one)].mean(axis=0) for one in sorted(set(whose[seen]))])
    return (
        f"{name}, truly within 5 deg: {int((~seen).sum())} without landmarks (not kept); mean error of yaw "
        f"{error[seen, 0].mean():.2f}, of pitch {error[seen, 1].mean():.2f} deg; its spread between people "
        f"{each[:, 0].std():.2f} and {each[:, 1].std():.2f} deg."
    )


def _angles(index: int, rng: np.random.Generator) -> tuple[float, float]:
    low, high = RANGES_DEG[index % len(RANGES_DEG)]
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


def _aflw(data: Path, backend: str) -> tuple[Numbers, Numbers]:
    faces = [face for face in read_faces(data, open_landmarker(backend)) if not in_fitting_half(face.name)]
    found = []
    for face in faces:
        pose = None if face.landmarks is None else pose_of(face.landmarks, face.mirrored)
        found.append((np.nan, np.nan) if pose is None else (pose.yaw_deg, pose.pitch_deg))
    return np.array([face.truth[:2] for face in faces]), np.array(found)
