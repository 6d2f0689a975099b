"""The cases of `hidden_faces.py`: photos of real and of simulated people, as they are and with something painted on."""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from accuracy import coverings
from accuracy.masks import png
from figures import in_fitting_half

from voxdata.faces.decode import decode_photo
from voxdata.faces.detect.backends import find_backend
from voxdata.faces.detect.landmarks import Landmarker
from voxdata.faces.detect.upside_down import PhotoFaces
from voxdata.faces.face import Face
from voxdata.faces.measures import hidden
from voxdata.recipe.faces import FaceMeasure
from voxdata.simulate.face import Scene, Shot, paint_scene
from voxdata.simulate.people import draw_people

Pixels = npt.NDArray[np.uint8]
FOLDERS = (
    "truth/mask-celebamask/images",
    "truth/pose-aflw2000",
    "voxceleb1-mini/photos",
    "avspeech-mini",
    "photos/web",
    "photos/lfw-gray",
    "truth/landmarks-ytf",
    "truth/mask-human/images",
)
EVERY = 3  # of the real photos, on which something is painted
SIMULATED = 120
MAX_YAW_DEG = 30.0  # further turned faces fall to other rules
PAINT_PX = 640  # longer side of what is painted on


@dataclass(frozen=True, kw_only=True)
class Case:
    """A face as it was measured; `kind` is `bare`, `listed` and its word, or what was painted."""

    person: str
    kind: str
    simulated: bool
    features: Mapping[str, Mapping[str, float]]


@functools.cache
def _landmarker() -> Landmarker:
    settings = FaceMeasure()
    return find_backend(settings.backend).open(settings)


def find_face(pixels: Pixels) -> Face | None:
    """The largest face of a photo, None without one and beyond `MAX_YAW_DEG`."""
    photo = decode_photo(png(pixels), max_megapixels=178, min_side_px=8, min_decoded_share=0)
    faces = PhotoFaces(photo.pixels, _landmarker())
    boxes = faces.detect(FaceMeasure().min_detection_score)
    landmarks = faces.landmarks(boxes[0]) if boxes else None
    face = None if landmarks is None else Face(photo=photo, box=boxes[0], landmarks=landmarks)
    return face if face is not None and abs(face.pose.yaw_deg) <= MAX_YAW_DEG else None


def read_listed(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    lines = (line.split("\t") for line in path.read_text("utf-8").splitlines() if line.strip())
    return {name: f"listed {kind}" for kind, name in lines}


def person_of(path: Path) -> str:
    """Whose photo it is, as far as its name tells; photos of AFLW2000 that may be of one person go together."""
    if path.parent.parent.name in ("photos", "web"):
        return path.parent.name
    if "aflw" in str(path):
        return f"aflw {int(re.findall(r'[0-9]+', path.name)[0]) // 200}"
    if "avspeech" in str(path):
        return path.name[:11]
    return re.sub(r"_\d+$", "", path.stem)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A photo to be measured: a file, or a simulated person by number. `paints`: also with something painted on it."""

    person: str
    kind: str
    path: Path | None = None
    number: int = 0
    paints: bool = True


def find_jobs(data: Path, listed: Mapping[str, str], *, fitting: bool) -> Iterator[Job]:
    for folder in FOLDERS:
        paths = sorted(each for each in (data / folder).rglob("*") if each.suffix.lower() in (".jpg", ".jpeg", ".png"))
        for path in paths:
            person, name = person_of(path), str(path.relative_to(data))
            if in_fitting_half(person) == fitting:
                paints = zlib.crc32(name.encode()) % EVERY == 0
                yield Job(person=person, kind=listed.get(name, "bare"), path=path, paints=paints)
    for number, person in enumerate(draw_people(SIMULATED, seed=21, link=1.0)):
        if in_fitting_half(person.identity) == fitting:
            yield Job(person=person.identity, kind="bare", number=number)


def measured(job: Job) -> list[Case]:
    """The photo as it is, and with glasses, dark or clear, and with a mask or a scarf."""
    pixels = _simulated(job.number) if job.path is None else _smaller(job.path)
    simulated = job.path is None
    face = find_face(pixels)
    if face is None:
        return []
    cases = [_case(job.person, job.kind, face, simulated)]
    if not job.paints or job.kind != "bare":
        return cases
    rng = np.random.default_rng([zlib.crc32(job.person.encode()), zlib.crc32(pixels.tobytes())])
    dark, mask = rng.random() < 0.6, rng.random() < 0.7
    for drawn, paint in (
        ("dark", coverings.dark_glasses) if dark else ("clear", coverings.clear_glasses),
        ("mask", coverings.surgical_mask) if mask else ("scarf", coverings.scarf),
    ):
        covered = find_face(paint(pixels, face.points, rng))
        if covered is not None:
            cases.append(_case(job.person, drawn, covered, simulated))
    return cases


def _simulated(number: int) -> Pixels:
    rng = np.random.default_rng([number, 1])
    scene = Scene(
        background=str(rng.choice(["plain", "gradient", "blobs", "room"])),
        shots=((draw_people(number + 1, seed=21, link=1.0)[number], draw_shot(rng)),),
    )
    return paint_scene(scene, size_px=int(rng.integers(220, 600)), seed=number)


def draw_shot(rng: np.random.Generator) -> Shot:
    return Shot(
        yaw_deg=float(rng.uniform(-8, 8)),
        pitch_deg=float(rng.uniform(-5, 5)),
        roll_deg=float(rng.uniform(-8, 8)),
        smile=float(0.3 * rng.random()),
        light_azimuth_deg=float(rng.uniform(-60, 60)),
        light_contrast=float(rng.uniform(0.05, 0.7)),
    )


def _case(person: str, kind: str, face: Face, simulated: bool) -> Case:
    regions = hidden.region_colours(face.patch)
    features = {"eyes": hidden.eye_features(regions), "lower face": hidden.lower_features(regions)}
    return Case(person=person, kind=kind, simulated=simulated, features=features)


def _smaller(path: Path) -> Pixels:
    """A photo, `PAINT_PX` on its longer side at most."""
    pixels = decode_photo(path.read_bytes(), max_megapixels=178, min_side_px=8, min_decoded_share=0).pixels
    scale = min(1.0, PAINT_PX / max(pixels.shape[:2]))
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    return pixels if scale == 1 else np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
