"""Soft painted faces: one or several simulated people in a square photo.

A photo is painted in flat colours (background, hair, shoulders, ears, skin, features), then multiplied by a small, soft
map of light and shade, then blurred a little and given sensor noise. All features lie on the head's solid
(`voxdata.simulate.head`), so that pose is the truth and not a distortion of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from voxdata.simulate.features import paint_features, shade_features
from voxdata.simulate.head import Head, Points, Pose, rounded, shape_head
from voxdata.simulate.palette import Palette, choose_clothes, choose_palette, paint_background
from voxdata.simulate.people import SimulatedPerson
from voxdata.simulate.strokes import Canvas

Image = npt.NDArray[np.uint8]
SHADE_PX = 128
SUBJECT_SHARE = 0.60


@dataclass(frozen=True, kw_only=True)
class Shot:
    """How one person is photographed.

    Angles as in `head.Pose`. `smile` and `mouth_open` are 0..1, `eyes_open` 0 closed, 1 open. `light_azimuth_deg` is
    where the light comes from (-90 left of the image, 90 right), `light_contrast` 0 even, 1 hard. `head_share` is the
    head's height over the image's; `centre` the middle of the head, as a share of the image.
    """

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    smile: float = 0.0
    mouth_open: float = 0.0
    eyes_open: float = 1.0
    light_azimuth_deg: float = 0.0
    light_contrast: float = 0.25
    head_share: float = SUBJECT_SHARE
    centre: tuple[float, float] = (0.5, 0.46)

    def pose(self, size_px: int) -> Pose:
        """The pose in pixels of a `size_px` square."""
        return Pose(
            yaw_deg=self.yaw_deg,
            pitch_deg=self.pitch_deg,
            roll_deg=self.roll_deg,
            centre_px=(self.centre[0] * size_px, self.centre[1] * size_px),
            unit_px=self.head_share * size_px / 2.0,
        )


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is around the people: `background` is one of `palette.BACKGROUNDS`, `warmth` -1 cold, 1 warm."""

    background: str = "gradient"
    warmth: float = 0.0
    noise: float = 2.0
    shots: tuple[tuple[SimulatedPerson, Shot], ...] = field(default=())


def paint_photo(
    person: SimulatedPerson,
    *,
    yaw_deg: float = 0.0,
    pitch_deg: float = 0.0,
    roll_deg: float = 0.0,
    smile: float = 0.0,
    mouth_open: float = 0.0,
    eyes_open: float = 1.0,
    light_azimuth_deg: float = 0.0,
    light_contrast: float = 0.25,
    background: str = "gradient",
    head_share: float = SUBJECT_SHARE,
    size_px: int = 256,
    seed: int = 0,
) -> Image:
    """Paint one person; (size_px, size_px, 3) uint8 RGB. The arguments are those of `Shot` and `Scene`."""
    shot = Shot(
        yaw_deg=yaw_deg,
        pitch_deg=pitch_deg,
        roll_deg=roll_deg,
        smile=smile,
        mouth_open=mouth_open,
        eyes_open=eyes_open,
        light_azimuth_deg=light_azimuth_deg,
        light_contrast=light_contrast,
        head_share=head_share,
    )
    return paint_scene(Scene(background=background, shots=((person, shot),)), size_px=size_px, seed=seed)


def paint_scene(scene: Scene, *, size_px: int, seed: int) -> Image:
    """Paint all people of a scene, the first one last (in front); (size_px, size_px, 3) uint8 RGB.

    `seed` draws what does not belong to a person: colours of background and clothes, sensor noise.
    """
    rng = np.random.default_rng([seed, 0xFACE])
    canvas = Canvas(size_px, min(size_px, SHADE_PX))
    canvas.colour[:] = paint_background(scene.background, size_px, rng)
    for person, shot in reversed(scene.shots):
        _paint_person(canvas, person, shot, clothes=choose_clothes(rng))
    return _develop(canvas, scene, rng)


def pupils_px(person: SimulatedPerson, shot: Shot, size_px: int) -> Points:
    """(2, 2) pixels of the two pupils, the left of the image first."""
    head = shape_head(person.face)
    eyes = head.surface([[-head.eye_x, 0.0], [head.eye_x, 0.0]])
    return shot.pose(size_px).project(eyes)


def painted_points_px(person: SimulatedPerson, shot: Shot, size_px: int) -> dict[str, tuple[float, float]]:
    """Pixels of `nose_tip`, `chin`, `mouth`, `pupil_left` and `pupil_right` (left of the image)."""
    head = shape_head(person.face)
    left, right = pupils_px(person, shot, size_px)
    lifted = head.surface([[0.0, head.nose_y], [0.0, -0.97], [0.0, head.mouth_y]], [0.2, 0.0, 0.03])
    nose, chin, mouth = shot.pose(size_px).project(lifted)
    named = {"nose_tip": nose, "chin": chin, "mouth": mouth, "pupil_left": left, "pupil_right": right}
    return {name: (float(point[0]), float(point[1])) for name, point in named.items()}


def _paint_person(canvas: Canvas, person: SimulatedPerson, shot: Shot, clothes: npt.NDArray[np.float64]) -> None:
    head, palette, pose = shape_head(person.face), choose_palette(person.face), shot.pose(canvas.size_px)
    length = 0.55 * person.face.hair_length + 1.35 * person.face.femininity - 0.55
    _paint_back_hair(canvas, head, palette, pose, length)
    _paint_shoulders(canvas, head, palette, pose, clothes, person.face.femininity)
    _paint_ears(canvas, head, palette, pose)
    _paint_head(canvas, head, palette, pose, length)
    _light_head(canvas, head, pose, shot)
    shade_features(canvas, head, person.face, pose, shot.smile)
    paint_features(canvas, head, palette, pose, smile=shot.smile, mouth_open=shot.mouth_open, eyes_open=shot.eyes_open)


def _paint_back_hair(canvas: Canvas, head: Head, palette: Palette, pose: Pose, length: float) -> None:
    if length <= 0.15:
        return
    bottom = -0.35 - 0.75 * min(length, 1.6)
    side = head.half_width * 1.17
    half = [[0.0, 1.08], [side * 0.75, 0.98], [side, 0.5], [side * 1.06, -0.2], [side * 1.02, bottom], [0.45, bottom]]
    outline = rounded_pair(half)
    canvas.polygon(pose.project(np.column_stack([outline, np.full(len(outline), -0.35)])), palette.hair * 0.72)


def _paint_shoulders(
    canvas: Canvas, head: Head, palette: Palette, pose: Pose, clothes: npt.NDArray[np.float64], femininity: float
) -> None:
    upright = Pose(
        yaw_deg=0, pitch_deg=0, roll_deg=0.35 * pose.roll_deg, centre_px=pose.centre_px, unit_px=pose.unit_px
    )
    neck = head.half_width * (0.66 - 0.13 * femininity)
    wide = 1.62 - 0.2 * femininity
    body = [[0.0, -1.30], [neck * 1.1, -1.28], [1.05, -1.50], [wide, -1.72], [wide + 0.22, -2.4], [wide + 0.2, -4.5]]
    throat = [[neck, -0.45], [neck * 0.98, -1.05], [neck * 1.14, -1.30], [neck * 0.7, -1.52], [0.0, -1.58]]
    outline = rounded_pair(throat)
    canvas.polygon(upright.project(flat(rounded_pair(body), -0.4)), clothes)
    canvas.polygon(upright.project(flat(outline, -0.25)), palette.skin * 0.93)
    under_chin = [[0.0, -0.8], [neck * 1.2, -0.75], [neck * 1.02, -1.12], [0.0, -1.30]]
    canvas.shade(upright.project(flat(rounded_pair(under_chin), -0.2)), 0.66, blur=0.10 * pose.unit_px)
    collar = [[0.0, -1.52], [neck * 0.8, -1.46], [neck * 1.2, -1.26], [neck * 1.28, -1.34], [neck * 0.8, -1.60]]
    canvas.shade(upright.project(flat(rounded_pair([*collar, [0.0, -1.66]]), -0.3)), 0.8, blur=0.05 * pose.unit_px)


def _paint_ears(canvas: Canvas, head: Head, palette: Palette, pose: Pose) -> None:
    turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    for side in (-1.0, 1.0):
        y = 0.02 + 0.21 * np.sin(turn) + 0.03 * np.cos(turn)
        out = head.half_width * 0.985 + 0.045 + 0.07 * np.cos(turn) * (1 + 0.3 * np.sin(turn))
        z = -0.02 - 0.12 * np.cos(turn)
        canvas.polygon(pose.project(np.column_stack([side * out, y, z])), palette.skin * 0.94)
        inner = np.column_stack([side * (0.35 * (out - head.half_width) + head.half_width + 0.02), 0.65 * y, z])
        canvas.shade(pose.project(inner), 0.74, blur=0.035 * pose.unit_px)


def _paint_head(canvas: Canvas, head: Head, palette: Palette, pose: Pose, length: float) -> None:
    """Hair around the upper head, the skin below the hairline, then locks that fall over it."""
    around = np.arange(0.0, 360.0, 12.0)
    heights = np.sin(np.radians(np.linspace(-84, 84, 15)))
    low = -0.02 if length > 0.15 else 0.12
    upper = heights[heights > low]
    volume = 1.075 + 0.035 * np.clip(length, 0, 1)
    canvas.hull(pose.project(head.shell(np.append(upper, low)[:, None], around[None], volume)), palette.hair)
    front = np.linspace(-100.0, 100.0, 21)
    hairline = head.hairline_at(front)
    skin = [head.shell(np.full(front.shape, y), front) for y in heights[heights <= 0.0]]
    canvas.hull(pose.project(np.concatenate([*skin, head.shell(hairline, front * 0.97)])), palette.skin)
    strip = np.concatenate([head.shell(hairline + 0.08, front * 0.97), head.shell(hairline - 0.02, front * 0.97)[::-1]])
    canvas.shade(pose.project(strip), 0.80, blur=0.05 * pose.unit_px)
    _paint_locks(canvas, head, palette, pose, volume)


def _paint_locks(canvas: Canvas, head: Head, palette: Palette, pose: Pose, volume: float) -> None:
    """Strands from the parting to just past the hairline, lighter and darker in turn."""
    ends = np.linspace(-96.0, 96.0, 35)
    parting = 11.0 * head.parting
    tips = head.hairline_at(ends) - 0.03 - 0.018 * np.sin(2.3 * np.arange(ends.size) + 3.0 * head.parting)
    down = np.linspace(0.0, 1.0, 8)
    longitudes = parting + (ends[:, None] - parting) * down**0.7
    heights = 0.985 - (0.985 - tips[:, None]) * down**1.5
    lifted = head.shell(heights, longitudes) * np.tile(volume - (volume - 1.0) * down**3, ends.size)[:, None]
    strands = pose.project(lifted).reshape(ends.size, down.size, 2)
    tones = (0.0, -12.0, 5.0, -7.0, 12.0)
    facing = (lifted @ pose.rotation[2]).reshape(ends.size, down.size)[:, -1] > -0.12
    for index, strand in enumerate(strands):
        if not facing[index]:
            continue
        tone = tones[index % len(tones)]
        canvas.line(strand, palette.hair * (1.0 + 0.004 * tone) + tone, 0.125 * pose.unit_px)


def _light_head(canvas: Canvas, head: Head, pose: Pose, shot: Shot) -> None:
    """Multiply the head's region of the shade map by Lambert's law on an ellipsoid, lit from `light_azimuth_deg`."""
    size, ratio = canvas.shade_px, canvas.shade_px / canvas.size_px
    silhouette = head.shell(np.sin(np.radians(np.linspace(-88, 88, 12)))[:, None], np.arange(0.0, 360.0, 20.0)[None])
    mask = canvas.soft_mask(pose.project(silhouette * 1.03), blur=0.025 * pose.unit_px, hull=True)
    columns = (np.arange(size, dtype=np.float32) / ratio - pose.centre_px[0]) / pose.unit_px
    rows = (pose.centre_px[1] - np.arange(size, dtype=np.float32) / ratio) / pose.unit_px
    roll = np.radians(pose.roll_deg)
    x = (columns[None, :] * np.cos(roll) - rows[:, None] * np.sin(roll)) / (1.12 * head.half_width)
    y = (columns[None, :] * np.sin(roll) + rows[:, None] * np.cos(roll)) / 1.22
    z = np.sqrt(np.maximum(1.0 - x * x - y * y, 0.02))
    azimuth = np.radians(shot.light_azimuth_deg)
    facing = x * np.sin(azimuth) * 0.92 + y * 0.34 + z * (0.35 + 0.65 * np.cos(azimuth))
    ambient = 1.0 - 0.42 * shot.light_contrast
    lit = ambient + (0.06 + 0.9 * shot.light_contrast) * (facing - 0.72) - 0.30 * (1.0 - z) ** 2
    canvas.multiply_shade(np.clip(lit + 0.06, 0.10, 1.25), mask)


def _develop(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> Image:
    tint = np.array([1.0 + 0.06 * scene.warmth, 1.0, 1.0 - 0.08 * scene.warmth])
    image = np.asarray(cv2.GaussianBlur(canvas.lit(tint), (0, 0), 0.55), np.uint8)
    if scene.noise > 0:
        tile = rng.normal(0.0, scene.noise, (SHADE_PX, SHADE_PX, 1)).astype(np.float32)
        repeats = -(-image.shape[0] // SHADE_PX)
        grain = np.tile(np.rint(tile), (repeats, repeats, 3))[: image.shape[0], : image.shape[1]]
        image = np.asarray(cv2.add(image, grain, dtype=cv2.CV_8U), np.uint8)
    return image


def rounded_pair(half_N2: Sequence[Sequence[float]]) -> Points:
    """A closed smooth outline, symmetric about x = 0, from the control points of its right half (top to bottom)."""
    right = np.asarray(half_N2, dtype=float)
    left = right[::-1] * np.array([-1.0, 1.0])
    return rounded(np.concatenate([right, left]))


def flat(outline_N2: Points, z: float) -> Points:
    """(N, 2) -> (N, 3) in the plane at depth z."""
    return np.column_stack([outline_N2, np.full(len(outline_N2), z)])
