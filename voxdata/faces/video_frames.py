"""The frames of a video that are worth measuring: a few of each face, apart from each other.

Every `1 / rate` seconds a frame is looked at with one face detector, which costs little beside a full measurement.
Where the colours of the whole picture change at once a new shot begins; within a shot a face that overlaps the one
before is the same track. Of each track the best frames are taken, by a score that knows size, sharpness and how far the
nose is from between the eyes. It orders frames of one face; judging them is what the rules are for.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np

from voxdata.faces.decode import Pixels
from voxdata.faces.detect.landmarks import Floats
from voxdata.faces.detect.mediapipe_wheel import mediapipe_solutions, process_quietly, quiet_native_logs
from voxdata.sources.magic import FFMPEG_FORMATS

NEW_SHOT = 0.5  # Hellinger distance of colour histograms, 0 to 1
SAME_FACE = 0.3  # least intersection over union of one face in two frames that are looked at
SEARCH_PX = 640  # longer side of the picture that the detector sees
LEAST_PX = 8.0  # between the eyes
ENOUGH_PX = 60.0  # between the eyes: a larger face is no better
FACE_PX = 64  # side at which faces are compared and their sharpness is taken
NEAR_COPY = 0.97  # correlation of two aligned faces of one track; a face that keeps still reaches it
_BINS = (8, 8, 4)
WIDEST_PIXEL = 8  # width over height, or height over width, of a pixel; more is a mistake
MAX_FRAME_PX = 1 << 26  # 8K film has half of it; a header can claim gigabytes
HD_LINES = 720  # from here on video that does not say so is in the colours of BT.709


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A chosen frame: when it is shown, its place among those of its track (0: the best), and its pixels.

    `pixels` are RGB, uint8 (H, W, 3), upright and with square pixels.
    """

    time_s: float
    track: int
    rank: int
    score: float
    pixels: Pixels


@dataclass(kw_only=True)
class _Seen:
    time_s: float
    box: tuple[float, float, float, float]
    score: float
    face: Floats
    pixels: Pixels


@dataclass(kw_only=True)
class _Track:
    number: int
    last: tuple[float, float, float, float]
    best: list[_Seen] = field(default_factory=list)


def best_frames(path: str, *, rate_hz: float, per_track: int) -> list[Frame]:
    """The best `per_track` frames of each face in a video, by track and rank.

    Raises `OSError` with one line for a file that is no video, or breaks before its first frame; a video that breaks
    later gives the frames before.
    """
    done: list[_Track] = []
    running: list[_Track] = []
    colours: Floats | None = None
    tracks = 0
    for time_s, pixels in sampled(path, rate_hz):
        here = _colours(pixels)
        if colours is not None and cv2.compareHist(colours, here, cv2.HISTCMP_HELLINGER) > NEW_SHOT:
            done, running = done + running, []
        colours = here
        going: list[_Track] = []
        for seen in _faces(time_s, pixels):
            before = max(running, key=lambda track: _overlap(track.last, seen.box), default=None)
            if before is None or _overlap(before.last, seen.box) < SAME_FACE:
                before = _Track(number=tracks, last=seen.box)
                tracks += 1
            else:
                running.remove(before)
            before.last = seen.box
            _keep(before, seen, per_track)
            going.append(before)
        done += running
        running = going
    return [
        Frame(time_s=seen.time_s, track=track.number, rank=rank, score=seen.score, pixels=seen.pixels)
        for track in sorted(done + running, key=lambda track: track.number)
        for rank, seen in enumerate(track.best)
    ]


def sampled(path: str, rate_hz: float) -> Iterator[tuple[float, Pixels]]:
    """Time and pixels of a frame every `1 / rate_hz` seconds, the first one included.

    Raises `OSError` where there is none.
    """
    next_s, shown = 0.0, False
    try:
        with av.open(path, metadata_errors="replace", options={"format_whitelist": FFMPEG_FORMATS}) as container:
            if not container.streams.video:
                raise OSError("no video stream in it")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise OSError("nothing here decodes its codec")
            stream.thread_type = "AUTO"
            stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PX)}
            for frame in container.decode(stream):
                time_s = float(frame.time or 0.0) - float((stream.start_time or 0) * (stream.time_base or 0))
                if time_s + 1e-6 >= next_s:
                    shown = True
                    yield time_s, _upright(frame, stream.sample_aspect_ratio)
                    next_s = max(next_s, time_s) + 1.0 / rate_hz
    except (av.FFmpegError, ValueError) as error:
        if not shown:
            raise OSError(f"no frame can be decoded: {' '.join(str(error).split())}") from None
    if not shown:
        raise OSError("no frame can be decoded")


def _upright(frame: Any, aspect: Fraction | None) -> Pixels:
    """RGB with square pixels, turned as the video says that it is shown."""
    standard = frame.colorspace if frame.colorspace in (1, 5, 6) else (1 if frame.height >= HD_LINES else 5)
    pixels = frame.to_ndarray(format="rgb24", src_colorspace=standard)
    if aspect and 1 / WIDEST_PIXEL <= aspect <= WIDEST_PIXEL and aspect != 1:
        width = round(pixels.shape[1] * float(aspect))
        pixels = cv2.resize(pixels, (width, pixels.shape[0]), interpolation=cv2.INTER_AREA)
    turns = round(-frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, -turns)) if turns else pixels


def _colours(pixels: Pixels) -> Any:
    small = cv2.resize(pixels, (96, 54), interpolation=cv2.INTER_AREA)
    counts = cv2.calcHist([cv2.cvtColor(small, cv2.COLOR_RGB2HSV)], [0, 1, 2], None, _BINS, [0, 180, 0, 256, 0, 256])
    return counts / counts.sum()


@functools.cache
def _detector() -> Any:
    with quiet_native_logs():
        model = mediapipe_solutions().face_detection.FaceDetection(model_selection=1, min_detection_confidence=0.5)
        process_quietly(model, np.zeros((64, 64, 3), np.uint8))
    return model


def _faces(time_s: float, pixels: Pixels) -> Iterator[_Seen]:
    """The faces of a frame, the largest first."""
    height, width = pixels.shape[:2]
    factor = min(1.0, SEARCH_PX / max(height, width))
    small = pixels
    if factor < 1.0:
        small = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA).astype(np.uint8)
    found = []
    for detection in process_quietly(_detector(), small).detections or ():
        points = np.array([(p.x * width, p.y * height) for p in detection.location_data.relative_keypoints])
        right, left, nose = points[:3]  # of the person: the right eye is on the left of the picture
        apart = float(np.hypot(*(left - right)))
        if apart >= LEAST_PX:
            face = _aligned(pixels, right, left)
            aside = abs(float(np.dot(nose - (right + left) / 2, left - right))) / apart**2
            box = detection.location_data.relative_bounding_box
            where = (box.xmin * width, box.ymin * height, box.width * width, box.height * height)
            straight = max(0.0, 1.0 - 2.0 * aside)
            score = min(1.0, apart / ENOUGH_PX) * _sharpness(face) * straight
            if straight:
                found.append(_Seen(time_s=time_s, box=where, score=score, face=face, pixels=pixels))
    yield from sorted(found, key=lambda seen: (-seen.box[2] * seen.box[3], seen.box))


def _aligned(pixels: Pixels, right: Floats, left: Floats) -> Floats:
    """Gray face, (64, 64), with the eyes at fixed places."""
    side = float(FACE_PX)
    there = np.array([(0.3 * side, 0.35 * side), (0.7 * side, 0.35 * side)])
    turn = complex(*(there[1] - there[0])) / complex(*(left - right))
    moved = there[0] - np.array([(turn * complex(*right)).real, (turn * complex(*right)).imag])
    matrix = np.array([[turn.real, -turn.imag, moved[0]], [turn.imag, turn.real, moved[1]]])
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    warped = cv2.warpAffine(gray, matrix, (FACE_PX, FACE_PX), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    return warped.astype(np.float64)


def _sharpness(face: Floats) -> float:
    """0 to 1: mean |Laplacian| over contrast, which grows with focus and falls with motion."""
    contrast = float(face.std())
    return min(1.0, float(np.abs(cv2.Laplacian(face, cv2.CV_64F)).mean()) / contrast) if contrast >= 1.0 else 0.0


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union of two boxes (left, top, width, height)."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared) if shared else 0.0


def _keep(track: _Track, seen: _Seen, most: int) -> None:
    """Put a face among the best of its track; of faces that look the same the better one stays."""
    alike = [other for other in track.best if _correlation(other.face, seen.face) > NEAR_COPY]
    if any(other.score >= seen.score for other in alike):
        return
    stay = [other for other in track.best if not any(other is one for one in alike)]
    track.best = sorted([*stay, seen], key=lambda each: (-each.score, each.time_s))[:most]


def _correlation(one: Floats, other: Floats) -> float:
    return float(cv2.matchTemplate(one.astype(np.float32), other.astype(np.float32), cv2.TM_CCOEFF_NORMED)[0, 0])
