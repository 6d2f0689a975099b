"""Photos out of people's own videos: VoxCeleb's, or any that lie in a folder per person.

A video belongs to whom its place names, as a photo in a folder does (`sources/folder.py`, `sources/trees.py`). This
kind stands among faces because choosing frames needs a detector (`video_frames.py`). A person's best frames of all
videos come first, so that `crawl.photos_per_identity` cuts the second best of each.

Frames are stored as JPEG, quality 95 without chroma subsampling. Which ones a video gave is remembered under the root,
by its size and time, so that it is decoded once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby
from typing import IO, Literal

import cv2
from pydantic import Field, model_validator

from voxdata.faces.decode import Pixels
from voxdata.faces.video_frames import best_frames
from voxdata.format.errors import SourceError
from voxdata.format.json_text import read_json
from voxdata.format.temporary import temporary_files
from voxdata.recipe.sources import PhotoSource
from voxdata.sources.folder import SourceFile, check_folder, walk_files
from voxdata.sources.kinds import PhotoFile, PhotoKind, Visit
from voxdata.sources.listing import Listing, Unread
from voxdata.sources.magic import VIDEO_SUFFIXES
from voxdata.sources.trees import person_in, tree_depths

VERSION = 1  # raised when the frames that a video gives change
BELOW = 3  # a video of VoxCeleb lies at <identity>/<video>/<segment>.mp4
IN_MEMORY_BYTES = 64 << 20
TOLD_EVERY = 100  # videos between two lines of the log

logger = logging.getLogger(__name__)


class PhotoVideos(PhotoSource):
    """`<identity>/**.mp4` on disk."""

    kind: Literal["video"] = "video"
    frames_per_s: float = Field(2.0, gt=0, le=60, description="frames of a video that are looked at, per second")
    frames_per_track: int = Field(
        3, ge=1, le=100, description="frames taken of each face while it is shown without a cut, the best ones"
    )

    @model_validator(mode="after")
    def _is_on_disk(self) -> PhotoVideos:
        if self.url is not None:
            raise ValueError(f"url={self.url} is for kind=site; videos lie in a folder: give path instead")
        return self


@dataclass(frozen=True, kw_only=True)
class _Taken:
    """A frame that a video gave: `time_ms` after its start, and the bytes of its JPEG."""

    time_ms: int
    track: int
    rank: int
    size_bytes: int


async def find(settings: PhotoVideos, visit: Visit) -> AsyncIterator[Sequence[PhotoFile]]:
    """The frames of each person's videos, person by person. Raises `SourceError` where there is no video."""
    videos = list_videos(str(settings.path), f"{visit.setting}.path")
    count = len(videos)
    looked_at = 0
    for person, group in groupby(videos, key=lambda video: video.folder):
        if visit.is_forgotten(person):
            continue
        with ExitStack() as opened:
            spool = _Spool(opened.enter_context(tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)))
            offers: list[PhotoFile] = []
            for video in group:
                offers += _frames(settings, visit, video, spool)
                looked_at += 1
                if looked_at % TOLD_EVERY == 0:
                    logger.info("%s: %d of %d videos", visit.setting, looked_at, count)
            yield sorted(offers, key=lambda offer: (offer.rank or 0, offer.key))


def listed(settings: PhotoVideos, setting: str) -> Listing[Unread]:
    """Whose videos there are; how many photos each gives is seen when it is decoded. Raises `SourceError`."""
    videos = list_videos(str(settings.path), f"{setting}.path")
    return Listing(files=[Unread(words=video.folder) for video in videos], nothing="", several=True)


def check(settings: PhotoVideos, setting: str) -> None:
    """Raises `SourceError` where the folder cannot be listed."""
    check_folder(str(settings.path), f"{setting}.path")


PHOTO_VIDEOS = PhotoKind(settings=PhotoVideos, find=find, check=check, listed=listed)


def list_videos(folder: str, setting: str) -> list[SourceFile]:
    """Videos under `folder`, by person and key. Raises `SourceError` naming `setting` when there are none."""
    found = sorted(walk_files(folder, VIDEO_SUFFIXES, setting), key=lambda file: file.key)
    if not found:
        suffixes = " ".join(sorted(VIDEO_SUFFIXES))
        raise SourceError(f"{setting}={folder} holds no video ({suffixes}); expected <identity>/<video>.mp4")
    depths = tree_depths([file.key for file in found], below=BELOW)
    named = (
        replace(file, folder=person_in(file.key, depth)) if depth else file
        for file, depth in zip(found, depths, strict=True)
    )
    return sorted(named, key=lambda file: (file.folder, file.key))


class _Spool:
    """Encoded frames of one person, in memory or, where they are many, in a temporary file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._places: dict[tuple[str, int], tuple[int, int]] = {}

    def add(self, key: str, time_ms: int, data: bytes) -> None:
        with temporary_files():
            start = self._file.seek(0, 2)
            self._file.write(data)
        self._places[key, time_ms] = (start, len(data))

    def get(self, key: str, time_ms: int) -> bytes | None:
        if (key, time_ms) not in self._places:
            return None
        start, size = self._places[key, time_ms]
        self._file.seek(start)
        return self._file.read(size)


def _frames(settings: PhotoVideos, visit: Visit, video: SourceFile, spool: _Spool) -> Iterator[PhotoFile]:
    """What a video offers; one that cannot be read offers itself, and its row says why."""
    of_recipe = (VERSION, settings.frames_per_s, settings.frames_per_track)
    depends = (*of_recipe, video.key, video.size_bytes, video.modified_ns)
    key = f"{hashlib.sha256(json.dumps(depends).encode()).hexdigest()}.json"
    known = _remembered(visit.memory.read(key))
    if known is None:
        try:
            taken = _decoded(settings, video, spool)
        except OSError as error:
            yield _offer(video, video.key, video.path, 0, partial(_fail, str(error)))
            return
        visit.memory.write(key, json.dumps([asdict(one) for one in taken]).encode())
    else:
        taken = known
    for one in taken:
        at = f"#t={one.time_ms / 1000:.3f}"
        read = partial(_read, settings, video, one.time_ms, spool)
        offer = _offer(video, f"{video.key}{at}", f"{video.path}{at}", one.size_bytes, read)
        yield replace(offer, rank=one.rank)


def _remembered(data: bytes | None) -> list[_Taken] | None:
    """What was noted of a video; None where nothing was, or that is damaged: it is looked at again."""
    try:
        return None if data is None else [_Taken(**one) for one in read_json(data)]
    except (ValueError, TypeError):
        return None


def _offer(video: SourceFile, key: str, path: str, size_bytes: int, read: partial[bytes]) -> PhotoFile:
    return PhotoFile(
        words=video.folder, key=key, path=path, size_bytes=size_bytes, modified_ns=video.modified_ns, made=read
    )


def _decoded(settings: PhotoVideos, video: SourceFile, spool: _Spool) -> list[_Taken]:
    """Look at a video, and hold its frames; one that shows several faces is taken once. Raises `OSError`."""
    found = best_frames(video.path, rate_hz=settings.frames_per_s, per_track=settings.frames_per_track)
    taken: dict[int, _Taken] = {}
    for frame in sorted(found, key=lambda frame: (frame.rank, frame.track)):
        time_ms = round(1000 * frame.time_s)
        if time_ms not in taken:
            data = _jpeg(frame.pixels)
            spool.add(video.key, time_ms, data)
            taken[time_ms] = _Taken(time_ms=time_ms, track=frame.track, rank=frame.rank, size_bytes=len(data))
    return list(taken.values())


def _read(settings: PhotoVideos, video: SourceFile, time_ms: int, spool: _Spool) -> bytes:
    """A frame's JPEG: the one in hand, or that of the same video decoded again. Raises `OSError`."""
    data = spool.get(video.key, time_ms)
    if data is None:
        _decoded(settings, video, spool)
        data = spool.get(video.key, time_ms)
    if data is None:
        raise OSError(f"it has no frame at {time_ms / 1000:.3f} s any more")
    return data


def _fail(why: str) -> bytes:
    raise OSError(why)


def _jpeg(pixels: Pixels) -> bytes:
    options: Iterable[int] = (
        *(cv2.IMWRITE_JPEG_QUALITY, 95),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    )
    done, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), list(options))
    if not done:
        raise OSError("a frame cannot be encoded as JPEG")
    return data.tobytes()
