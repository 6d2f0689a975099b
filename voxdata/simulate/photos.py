"""The photos of a simulated corpus: what each shows, its bytes and its truth.

Photo `number` of person `index` is a pure function of (settings, index, number), so any process can make any photo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from voxdata.simulate.face import Image, Scene, Shot, paint_scene, pupils_px
from voxdata.simulate.palette import BACKGROUNDS
from voxdata.simulate.people import SimulatedPerson, draw_person
from voxdata.simulate.settings import PHOTO_KINDS, PLAIN, CorpusSettings

JPEG_QUALITY = 92
PLAIN_ANGLE_DEG = 4.0
_SIZE_SHARES = (0.625, 0.875, 1.0, 1.25)  # of CorpusSettings.photo_px
_COPIES = ("exact_duplicate", "near_duplicate")
_BACKGROUND_SHARES = (0.15, 0.20, 0.28, 0.32, 0.05)
_HTML = (
    "<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head>\n"
    "<body><h1>Not Found</h1><p>The photo {name} has moved.</p></body></html>\n"
)


@dataclass(frozen=True, kw_only=True)
class MadeFile:
    """One file of a corpus: its path under the corpus, its bytes, and its row of the truth."""

    path: str
    data: bytes
    truth: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Plan:
    scene: Scene
    size_px: int  # side of the square that is painted
    crop_px: tuple[int, int, int, int]  # left, top, right, bottom of what the photo keeps
    shown: str | None  # the identity whose face is the largest
    seed: int


def make_photo(settings: CorpusSettings, index: int, number: int) -> MadeFile:
    """Make photo `number` of person `index`."""
    kind = photo_kinds(settings, index)[number]
    path = photo_path(settings, index, number)
    rng = _rng(settings, index, number, 1)
    if kind in _COPIES:
        earlier = photo_kinds(settings, index)[:number]
        original = int(rng.choice([at for at, name in enumerate(earlier) if name == PLAIN]))
        return _copy(kind, path, make_photo(settings, index, original), settings, index, rng)
    if kind == "shared_duplicate":
        return _copy(kind, path, make_photo(settings, _other(settings, index, rng), 0), settings, index, rng)
    person = _person(settings, index)
    if kind == "html":
        data = _HTML.format(name=path.rpartition("/")[2]).encode()
        return MadeFile(path=path, data=data, truth=_truth(path, person, kind, None, None))
    plan = _plan(settings, index, kind, rng)
    left, top, right, bottom = plan.crop_px
    image = paint_scene(plan.scene, size_px=plan.size_px, seed=plan.seed)[top:bottom, left:right]
    data = _encode(image, JPEG_QUALITY)
    if kind == "truncated":
        data = data[: int(len(data) * rng.uniform(0.3, 0.7))]
    return MadeFile(path=path, data=data, truth=_truth(path, person, kind, plan, None))


def photo_kinds(settings: CorpusSettings, index: int) -> list[str]:
    """The kind of every photo of person `index`; the first is plain."""
    rng = _rng(settings, index, 0, 0)
    shares = settings.shares(PHOTO_KINDS)
    drawn = [str(kind) for kind in rng.choice([*PHOTO_KINDS, PLAIN], size=settings.photos_per_person, p=shares)]
    alone = ("wrong_person", "several_people", "shared_duplicate")
    if settings.people == 1:
        drawn = [PLAIN if kind in alone else kind for kind in drawn]
    return [PLAIN, *drawn[1:]] if drawn else []


def photo_path(settings: CorpusSettings, index: int, number: int) -> str:
    """`photos/<id>/<nn>.jpg`."""
    return f"photos/{_person(settings, index).identity}/{number:02d}.jpg"


def _plan(settings: CorpusSettings, index: int, kind: str, rng: np.random.Generator) -> _Plan:
    size_px = round(settings.photo_px * float(rng.choice(_SIZE_SHARES)))
    if kind == "tiny":
        size_px = int(rng.integers(40, 97))
    person = _person(settings, index)
    shot = _draw_shot(kind, rng)
    shots: tuple[tuple[SimulatedPerson, Shot], ...] = ((person, shot),)
    if kind in ("wrong_person", "several_people"):
        other = _person(settings, _other(settings, index, rng))
        shots = ((other, shot),)
        if kind == "several_people":
            shots = (
                (person, _placed(shot, 0.42, (0.31, 0.44))),
                (other, _placed(_draw_shot(PLAIN, rng), float(rng.uniform(0.28, 0.40)), (0.75, 0.5))),
            )
    if kind == "no_face":
        shots = ()
    scene = Scene(
        background=str(rng.choice(BACKGROUNDS, p=_BACKGROUND_SHARES)),
        warmth=float(rng.uniform(-1, 1)),
        noise=float(rng.uniform(0.5, 4.0)),
        shots=shots,
    )
    shown = shots[0][0].identity if shots else None
    crop_px = _draw_crop(shots, size_px, rng)
    return _Plan(scene=scene, size_px=size_px, crop_px=crop_px, shown=shown, seed=int(rng.integers(2**31)))


def _draw_shot(kind: str, rng: np.random.Generator) -> Shot:
    angle, direction = PLAIN_ANGLE_DEG * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    yaw, pitch = angle * np.cos(direction), angle * np.sin(direction)
    if kind == "large_pose":
        turned = float(rng.uniform(12, 35)) * float(rng.choice([-1.0, 1.0]))
        yaw, pitch = (turned, pitch) if rng.random() < 0.75 else (yaw, 0.7 * turned)
    hard = kind == "uneven_light"
    smiles = kind == "smile"
    return Shot(
        yaw_deg=float(yaw),
        pitch_deg=float(pitch),
        roll_deg=float(np.clip(4.0 * rng.standard_normal(), -12, 12)),
        smile=float(rng.uniform(0.75, 1.0) if smiles else 0.2 * rng.random() ** 2),
        mouth_open=float(rng.uniform(0.25, 0.6) if smiles else 0.0),
        light_azimuth_deg=float(rng.choice([-1.0, 1.0]) * rng.uniform(60, 80) if hard else rng.uniform(-25, 25)),
        light_contrast=float(rng.uniform(0.85, 1.0) if hard else rng.uniform(0.05, 0.3)),
        head_share=float(rng.uniform(0.42, 0.66)),
        centre=(float(rng.uniform(0.44, 0.56)), float(rng.uniform(0.42, 0.50))),
    )


def _draw_crop(
    shots: tuple[tuple[SimulatedPerson, Shot], ...], size_px: int, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """A photo is rarely square: cut the sides, and the top and bottom without touching the head."""
    left, right, bottom = rng.uniform(0.0, 0.16), 1.0 - rng.uniform(0.0, 0.16), 1.0 - rng.uniform(0.0, 0.18)
    head_top = min((shot.centre[1] - 0.6 * shot.head_share for _, shot in shots), default=0.1)
    top = max(head_top, 0.0) * rng.random()
    if len(shots) > 1:
        left, right = 0.0, 1.0
    edges = [round(edge * size_px) for edge in (left, top, right, bottom)]
    return edges[0], edges[1], edges[2], edges[3]


def _placed(shot: Shot, head_share: float, centre: tuple[float, float]) -> Shot:
    return replace(shot, head_share=head_share, centre=centre)


def _copy(
    kind: str, path: str, original: MadeFile, settings: CorpusSettings, index: int, rng: np.random.Generator
) -> MadeFile:
    changed: dict[str, Any] = {"path": path, "kind": kind, "copy_of": original.path}
    changed["identity"] = _person(settings, index).identity
    if kind != "near_duplicate":
        return MadeFile(path=path, data=original.data, truth={**original.truth, **changed})
    image = cv2.imdecode(np.frombuffer(original.data, np.uint8), cv2.IMREAD_COLOR)
    scale = float(rng.uniform(0.6, 0.9))
    width_px, height_px = (round(side * scale) for side in image.shape[1::-1])
    smaller = cv2.resize(image, (width_px, height_px), interpolation=cv2.INTER_AREA)
    changed |= {name: original.truth[name] * width_px / image.shape[1] for name in _PUPIL_COLUMNS}
    changed |= {"width_px": width_px, "height_px": height_px}
    data = _encode(np.asarray(smaller[:, :, ::-1], np.uint8), int(rng.integers(45, 75)))
    return MadeFile(path=path, data=data, truth={**original.truth, **changed})


_PUPIL_COLUMNS = ("pupil_left_x_px", "pupil_left_y_px", "pupil_right_x_px", "pupil_right_y_px", "pupil_distance_px")


def _truth(path: str, person: SimulatedPerson, kind: str, plan: _Plan | None, copy_of: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {"path": path, "identity": person.identity, "medium": "photo", "kind": kind}
    row |= {"copy_of": copy_of, "people": len(plan.scene.shots) if plan else 0}
    if plan is None:
        return row
    row |= {"background": plan.scene.background, "shown_identity": plan.shown}
    edges = plan.crop_px
    row |= {"width_px": edges[2] - edges[0], "height_px": edges[3] - edges[1]}
    if plan.scene.shots:
        shown, shot = plan.scene.shots[0]
        for name in ("yaw_deg", "pitch_deg", "roll_deg", "smile", "mouth_open", "light_azimuth_deg", "light_contrast"):
            row[name] = getattr(shot, name)
        left, right = pupils_px(shown, shot, plan.size_px) - np.array(edges[:2])
        values = [*left, *right, float(np.hypot(*(right - left)))]
        row |= {name: float(value) for name, value in zip(_PUPIL_COLUMNS, values, strict=True)}
    return row


def _encode(image: Image, quality: int) -> bytes:
    done, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("cv2 could not encode a JPEG")
    return bytes(data)


def _person(settings: CorpusSettings, index: int) -> SimulatedPerson:
    return draw_person(index, seed=settings.seed, link=settings.link)


def _other(settings: CorpusSettings, index: int, rng: np.random.Generator) -> int:
    return int((index + 1 + rng.integers(settings.people - 1)) % settings.people)


def _rng(settings: CorpusSettings, index: int, number: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, index, number, stream, 0xF070])
