"""Near duplicates by perceptual hash: altered copies that are found, and different photos that are joined.

Real photos of photos/web, photos/lfw-gray and voxceleb1-mini, all of which are different pictures. The limit is the
recipe's (`faces.link.max_hash_distance`); the halves go by the hash of the file name.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import numpy.typing as npt
from figures import Figure, Section, in_fitting_half, mean_figure
from PIL import Image, ImageEnhance

from voxdata.faces.copies import popcount
from voxdata.faces.decode import decode_photo, perceptual_hash, thumbnail
from voxdata.recipe.faces import Link

COLLECTIONS = ("photos/web", "photos/lfw-gray", "voxceleb1-mini/photos")
LIMITS = (4, 6, 8, 10, 12)
MAX_SIDE_PX = 1200
Hashes = npt.NDArray[np.uint64]


def _cropped(share: float) -> Callable[[Image.Image], Image.Image]:
    """Cut `share` off the left and the upper and lower edges together."""
    return lambda image: image.crop(
        (
            round(image.width * share),
            round(image.height * share / 2),
            image.width,
            round(image.height * (1 - share / 2)),
        )
    )


def _captioned(image: Image.Image) -> Image.Image:
    white = Image.new("RGB", (round(image.width * 0.6), round(image.height * 0.12)), "white")
    copy = image.copy()
    copy.paste(white, (0, image.height - white.height))
    return copy


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": lambda image: image.resize((max(1, image.width // 2), max(1, image.height // 2))),
    "brighter by a quarter": lambda image: ImageEnhance.Brightness(image).enhance(1.25),
    "gray": lambda image: image.convert("L"),
    "3 % cut off": _cropped(0.03),
    "6 % cut off": _cropped(0.06),
    "caption over a corner": _captioned,
}
SAME_PICTURE = ("half the size", "brighter by a quarter", "gray")


def measure(data: Path) -> Section:
    """The figures at the recipe's limit, and what other limits and a gradient hash would do."""
    files = [
        path for name in COLLECTIONS for path in sorted((data / name).glob("*/*")) if path.suffix in (".jpg", ".png")
    ]
    limit = Link().max_hash_distance
    halves = {name: [path for path in files if in_fitting_half(path.name) == fitting] for name, fitting in _HALVES}
    joined: list[dict[str, Any]] = []
    for name, paths in halves.items():
        for kind, of in (("DCT hash", _dct), ("gradient hash", _gradient)):
            distances = _pairs(np.array([of(path.read_bytes()) for path in paths], np.uint64))
            counts = {f"within {each}": int((distances <= each).sum()) for each in LIMITS}
            joined.append({"half": name, "hash": kind, "pairs": len(distances), **counts})
    reported = halves["reported"]
    found = _found(reported)
    same = np.concatenate([found[name] for name in SAME_PICTURE])
    wrong = next(row for row in joined if (row["half"], row["hash"]) == ("reported", "DCT hash"))
    return Section(
        title="Near duplicates: altered copies, and different photos",
        figures=[
            mean_figure(f"copies scaled, brightened or grayed, found within {limit} bits", same <= limit),
            Figure(name="different photos joined", value=float(wrong[f"within {limit}"]), n=wrong["pairs"]),
        ],
        tables={
            "different photos joined": joined,
            "copies found, reported half": [
                {"copy": name, "n": len(bits), **{f"within {each}": float((bits <= each).mean()) for each in LIMITS}}
                for name, bits in found.items()
            ],
        },
        notes=["A copy is saved again as JPEG of quality 75."],
    )


_HALVES = (("fitting", True), ("reported", False))


def _found(paths: Sequence[Path]) -> dict[str, npt.NDArray[np.int64]]:
    """Bits between each photo and its copies."""
    bits: dict[str, list[int]] = {name: [] for name in COPIES}
    for path in paths:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
        original = _dct(path.read_bytes())
        for name, change in COPIES.items():
            buffer = io.BytesIO()
            change(image).save(buffer, "JPEG", quality=75)
            bits[name].append((original ^ _dct(buffer.getvalue())).bit_count())
    return {name: np.array(values) for name, values in bits.items()}


def _dct(data: bytes) -> int:
    return int(perceptual_hash(thumbnail(decode_photo(data, max_megapixels=178).pixels)), 16)


def _gradient(data: bytes) -> int:
    return int(str(imagehash.dhash(Image.fromarray(thumbnail(decode_photo(data, max_megapixels=178).pixels)))), 16)


def _pairs(hashes: Hashes) -> npt.NDArray[np.int64]:
    left, right = np.array(list(itertools.combinations(range(len(hashes)), 2))).T
    return popcount(hashes[left] ^ hashes[right])
