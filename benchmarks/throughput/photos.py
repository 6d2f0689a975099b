"""Photos that the face stage is timed on: real ones of a folder, and simulated ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from voxdata.simulate.photos import make_photo
from voxdata.simulate.settings import CorpusSettings
from voxdata.store.items import PhotoItem

PHOTO_PX = 512
PER_PERSON = 10
# 85 % of the photos break a rule of the paper: most are turned, some are small, crowded or no photos at all
MIX = CorpusSettings(
    photo_px=PHOTO_PX,
    photos_per_person=PER_PERSON + 1,
    clips_per_person=0,
    seed=85,
    wrong_person=0.0,
    exact_duplicate=0.0,
    near_duplicate=0.0,
    shared_duplicate=0.0,
    several_people=0.04,
    large_pose=0.37,
    smile=0.15,
    uneven_light=0.13,
    no_face=0.10,
    tiny=0.06,
    truncated=0.02,
    html=0.02,
)
THUMBNAILS_PX = (24, 48, 80)  # sides of small copies: a crawl has them, the paper's smallest photo is 47x59
CROWD_SIDE = 5  # of a crowd's grid of faces
CROWD_PX = 96  # of each face's photo in it


def item(data: bytes, person: str, name: str) -> PhotoItem:
    """A photo as the build hands it to the stage."""
    digest = hashlib.sha256(data).hexdigest()
    row = {"item_id": f"{person}/{name}/{digest}", "photo_sha256": digest, "identity": person, "person": person}
    return PhotoItem(row={**row, "bucket": 0}, data=lambda: data)


def real_photos(folder: Path) -> list[PhotoItem]:
    """All JPEG files under a folder, by path."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    return [item(path.read_bytes(), path.parent.name, path.name) for path in paths]


def simulated_photos(count: int) -> list[PhotoItem]:
    """Plain and faulty photos of about 512 px, in the shares of a simulated corpus."""
    settings = CorpusSettings(photo_px=PHOTO_PX, photos_per_person=PER_PERSON, clips_per_person=0, seed=7)
    return _made(settings, range(count), first=0)


def mixed_photos(count: int) -> list[PhotoItem]:
    """A crawl's mix: `MIX`, and of each twenty photos one is a thumbnail and one in forty is a crowd."""
    made = _made(MIX, range(count), first=1)
    for at in range(0, count, 20):
        side = THUMBNAILS_PX[at // 20 % len(THUMBNAILS_PX)]
        made[at] = item(_resized(made[at].data(), side), "thumbnail", str(at))
    for at in range(10, count, 40):
        faces = [made[other % count].data() for other in range(at + 1, at + 1 + CROWD_SIDE**2)]
        made[at] = item(_crowd(faces), "crowd", str(at))
    return made


def _made(settings: CorpusSettings, numbers: Iterable[int], first: int) -> list[PhotoItem]:
    files = (make_photo(settings, number // PER_PERSON, first + number % PER_PERSON) for number in numbers)
    return [item(file.data, Path(file.path).parent.name, Path(file.path).name) for file in files]


def _resized(data: bytes, side_px: int) -> bytes:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return data if pixels is None else _jpeg(cv2.resize(pixels, (side_px, side_px), interpolation=cv2.INTER_AREA))


def _crowd(photos: list[bytes]) -> bytes:
    grid = np.full((CROWD_SIDE, CROWD_SIDE, CROWD_PX, CROWD_PX, 3), 200, np.uint8)
    for at, data in enumerate(photos):
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if pixels is not None:
            row, column = divmod(at, CROWD_SIDE)
            grid[row, column] = cv2.resize(pixels, (CROWD_PX, CROWD_PX), interpolation=cv2.INTER_AREA)
    side = CROWD_SIDE * CROWD_PX
    return _jpeg(grid.transpose(0, 2, 1, 3, 4).reshape(side, side, 3))


def _jpeg(pixels: npt.NDArray[Any]) -> bytes:
    return bytes(cv2.imencode(".jpg", pixels)[1])
