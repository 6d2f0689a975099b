"""Face prints for `catalog_scale.py` and `full_scale.py`: as many as asked for, spread as those of real photos are.

Where ../shared/data is there, real photos of it are measured (VoxCeleb frames, web photos); elsewhere photos of painted
people, whose prints are more alike, so that more of them are proposed and compared. Drawn from the normal distribution
with their mean and covariance: what decides how often hashes of different faces agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from near_copies import print_of_photo

from voxdata.faces.copies import MIDDLE, OUTSIDE, PRINT_PX
from voxdata.simulate.photos import make_photo
from voxdata.simulate.settings import CorpusSettings

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FOLDERS = ("voxceleb1-mini/photos", "photos/web", "avspeech-mini")
PAINTED = CorpusSettings(people=60, photos_per_person=1)
NOISE = 8  # grey levels by which a copy's print differs, up to
_AT_ONCE = 1 << 16


def fitted() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], str]:
    """Mean (1024,) and a square root (N, 1024) of the covariance of the prints of N photos, and what these are."""
    measured = [print_of_photo(data)[0] for data in _photos()]
    prints = np.frombuffer(b"".join(each for each in measured if each), np.uint8).reshape(-1, PRINT_PX**2)
    levels = np.where(prints == OUTSIDE, np.float32(MIDDLE), prints).astype(np.float32)
    mean = levels.mean(axis=0)
    what = f"{len(prints)} {'real' if DATA.is_dir() else 'painted'} faces"
    return mean, (levels - mean) / np.float32(np.sqrt(len(prints))), what


def drawn(count: int, rng: np.random.Generator, copies: npt.NDArray[np.int64]) -> tuple[pa.Array, str]:
    """`count` prints, those at `copies` being near copies of the one before; and what they are drawn like."""
    mean, root, what = fitted()
    prints = draw(mean, root, count, rng, copies)
    kind = pa.binary(PRINT_PX**2)
    return pa.FixedSizeBinaryArray.from_buffers(kind, count, [None, pa.py_buffer(prints)]), what


def draw(
    mean: npt.NDArray[np.float32],
    root: npt.NDArray[np.float32],
    count: int,
    rng: np.random.Generator,
    copies: npt.NDArray[np.int64],
) -> npt.NDArray[np.uint8]:
    """`count` prints (count, 1024) of the distribution that was `fitted`, near copies of the one before at `copies`."""
    prints = np.empty((count, PRINT_PX**2), np.uint8)
    for start in range(0, count, _AT_ONCE):
        part = prints[start : start + _AT_ONCE]
        part[:] = np.clip(mean + rng.standard_normal((len(part), len(root)), np.float32) @ root, 1, 255)
    noise = rng.integers(-NOISE, NOISE + 1, (len(copies), PRINT_PX**2), np.int16)
    prints[copies] = np.clip(prints[copies - 1] + noise, 1, 255)
    return prints


def _photos() -> Iterator[bytes]:
    if not DATA.is_dir():
        yield from (make_photo(PAINTED, person, 0).data for person in range(PAINTED.people))
    for folder in FOLDERS:
        yield from (path.read_bytes() for path in sorted((DATA / folder).rglob("*.jpg")))
