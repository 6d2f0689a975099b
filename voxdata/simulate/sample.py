"""Portraits and speech of simulated people in memory, for learning experiments with thousands of people.

Suffixes: P people, K portraits or clips per person, S side in pixels, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from voxdata.simulate.face import Image, Scene, Shot, paint_scene, pupils_px
from voxdata.simulate.people import SimulatedPerson
from voxdata.simulate.voice import Samples, speak

PUPIL_Y = 0.475  # share of the side, as in the released HQ-VoxCeleb portraits
PUPIL_DISTANCE = 0.25
_PAINT_PX = 128  # smaller portraits are painted at this side and averaged down


@dataclass(frozen=True, kw_only=True)
class SimulatedPairs:
    """`portraits` (P, K, S, S, 3) uint8 RGB; `clips` (P, K, …) waveforms (N,), or what `features` made of them."""

    people: tuple[SimulatedPerson, ...]
    portraits: npt.NDArray[np.uint8]
    clips: npt.NDArray[Any]


def simulate_pairs(
    people: Sequence[SimulatedPerson],
    *,
    portraits_per_person: int,
    clips_per_person: int,
    seconds: float,
    seed: int,
    size_px: int = 64,
    features: Callable[[Samples], npt.NDArray[Any]] | None = None,
) -> SimulatedPairs:
    """Paint white-background portraits and let everyone speak for `seconds` at 16 kHz.

    `features` is applied to every waveform (a log-mel, for instance) and must return one shape. Portraits vary a little
    in pose, smile and light; people, portraits and clips depend on (seed, their numbers) alone.
    """
    portraits, clips = [], []
    for index, person in enumerate(people):
        shots = [_draw_shot([seed, index, number]) for number in range(portraits_per_person)]
        seeds = [_sub_seed([seed, index, number, 1]) for number in range(max(portraits_per_person, clips_per_person))]
        portraits += [
            paint_portrait(person, shot=shot, size_px=size_px, seed=one)
            for shot, one in zip(shots, seeds, strict=False)
        ]
        spoken = [speak(person, duration_s=seconds, seed=one) for one in seeds[:clips_per_person]]
        clips += [features(samples) if features else samples for samples in spoken]
    faces = np.array(portraits, np.uint8).reshape(len(people), portraits_per_person, size_px, size_px, 3)
    heard = np.array(clips)
    return SimulatedPairs(
        people=tuple(people),
        portraits=faces,
        clips=heard.reshape(len(people), clips_per_person, *heard.shape[1:]),
    )


def paint_portrait(person: SimulatedPerson, *, shot: Shot | None = None, size_px: int = 64, seed: int = 0) -> Image:
    """One aligned portrait on white, (size_px, size_px, 3) uint8: pupils level, a quarter of the side apart.

    `shot` gives pose, expression and light (frontal and neutral without it); its roll, size and place are replaced.
    """
    side = max(size_px, _PAINT_PX)
    upright = replace(shot or Shot(), roll_deg=0.0, head_share=0.8, centre=(0.5, 0.5))
    for _ in range(2):  # perspective moves the pupils a little when the head is moved
        left, right = pupils_px(person, upright, side)
        share = upright.head_share * PUPIL_DISTANCE * side / float(np.hypot(*(right - left)))
        middle = (left + right) / 2.0 / side - np.array(upright.centre)
        middle *= share / upright.head_share
        upright = replace(upright, head_share=share, centre=(0.5 - float(middle[0]), PUPIL_Y - float(middle[1])))
    image = paint_scene(Scene(background="white", noise=1.0, shots=((person, upright),)), size_px=side, seed=seed)
    if side != size_px:
        image = np.asarray(cv2.resize(image, (size_px, size_px), interpolation=cv2.INTER_AREA), np.uint8)
    return image


def _draw_shot(key: list[int]) -> Shot:
    rng = np.random.default_rng([*key, 0x54A7])
    yaw, pitch = rng.uniform(-3.0, 3.0, 2)
    return Shot(
        yaw_deg=float(yaw),
        pitch_deg=float(pitch),
        smile=float(0.2 * rng.random()),
        light_azimuth_deg=float(rng.uniform(-25, 25)),
        light_contrast=float(rng.uniform(0.05, 0.3)),
    )


def _sub_seed(key: list[int]) -> int:
    return int(np.random.default_rng([*key, 0x5EED]).integers(2**31))
