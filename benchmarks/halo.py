"""Halo beside hair and neck: how white a portrait is where it should be, `python benchmarks/halo.py --data DIR`.

What should be white lies outside the person's true mask and within `BAND_PX` of its edge. Truth: hand-made masks of
CelebAMask-HQ, beside hair and neck alone, and the exact alpha of painted people on backgrounds of any colour. A pixel
or two along the edge are half covered in truth, so the band begins `EDGE_PX` off it. The figure is the 5th percentile
of the grey level over the band's pixels of all portraits. Constants go by the fitting half; the other is reported.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from accuracy.masks import SIZE_PX, painted_truth, png
from figures import Figure, Section, in_fitting_half, interval, show
from PIL import Image

from voxdata.faces import measure as face_measure
from voxdata.faces.align import align_matrix, warp
from voxdata.faces.geometry.eyes import Pupils
from voxdata.faces.portrait.matting import on_white, person_alpha
from voxdata.recipe.faces import FaceMeasure
from voxdata.simulate.face import Shot
from voxdata.simulate.people import draw_people
from voxdata.store.items import PhotoItem

Pixels = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

BAND_PX = 10  # of a 512 px portrait
EDGE_PX = 2
HAIR, NECK = 13, 17  # numbers in CelebAMask-HQ's masks
MUST = 245.0
PAINTED = 40
PERCENTILE = 5


def main() -> None:
    """Measure the reported half, or with `--fitting` the other, print, write."""
    parser = argparse.ArgumentParser(description="white beside the person")
    parser.add_argument("--data", type=Path, required=True, help="folder with truth/")
    parser.add_argument("--fitting", action="store_true", help="the fitting half; nothing is written")
    options = parser.parse_args()
    sets = {
        "CelebAMask-HQ, beside hair and neck": real(options.data, fitting=options.fitting),
        "painted people": painted(fitting=options.fitting),
    }
    found = {name: [levels(*each) for each in portraits] for name, portraits in sets.items()}
    section = Section(
        title="White within 10 px of the person",
        figures=[_figure(*each) for each in found.items()],
        tables={"shares": [_shares(*each) for each in found.items()]},
    )
    show([section], None if options.fitting else "halo")


def real(data: Path, *, fitting: bool) -> Iterator[tuple[Pixels, Flags, Flags]]:
    """Aligned portraits, what of them the person takes, and which of that are hair and neck."""
    folder = data / "truth" / "mask-celebamask"
    for path in sorted((folder / "images").iterdir()):
        if in_fitting_half(path.name) != fitting:
            continue
        mask = np.asarray(Image.open(folder / "masks" / f"{path.stem}.png"))
        pixels = np.asarray(Image.open(path).convert("RGB").resize(mask.shape[::-1]))
        pupils = _pupils(path.name, pixels)
        if pupils is None:
            continue
        matrix = align_matrix(pupils, SIZE_PX)
        there, beside = (
            warp(flags.astype(np.uint8) * 255, matrix, SIZE_PX, 0) > 127
            for flags in (mask > 0, np.isin(mask, (HAIR, NECK)))
        )
        inside = warp(np.full(mask.shape, 255, np.uint8), matrix, SIZE_PX, 0) > 254
        yield warp(pixels, matrix, SIZE_PX), there | ~inside, beside


def painted(*, fitting: bool) -> Iterator[tuple[Pixels, Flags, Flags]]:
    """The same of painted people before backgrounds of one colour with blurred spots."""
    for number, person in enumerate(draw_people(2 * PAINTED, seed=5, link=1.0)):
        if in_fitting_half(person.identity) != fitting:
            continue
        alpha, own = painted_truth(person, Shot(roll_deg=4.0 * (number % 3 - 1)), number)
        rng = np.random.default_rng(number)
        back = np.full((SIZE_PX, SIZE_PX, 3), rng.integers(0, 256, 3), np.float32)
        back += cv2.GaussianBlur(rng.normal(0, 400, back.shape).astype(np.float32), (0, 0), 20)
        photo = np.clip(own + (1 - alpha[:, :, None]) * np.clip(back, 0, 255), 0, 255).astype(np.uint8)
        there = alpha > 0.02
        yield photo, there, there


def levels(portrait: Pixels, person: Flags, beside: Flags) -> npt.NDArray[np.uint8]:
    """Grey levels (N,) of a portrait on white in the band beside what counts, outside the person."""
    white = on_white(portrait, person_alpha(portrait))
    grey = np.asarray(cv2.cvtColor(white, cv2.COLOR_RGB2GRAY))
    return grey[_near(beside, BAND_PX) & ~_near(person, EDGE_PX)]


def _near(flags: Flags, reach_px: int) -> Flags:
    distance = cv2.distanceTransform((~flags).astype(np.uint8), cv2.DIST_L2, 5)
    near: Flags = distance <= reach_px
    return near


def _pupils(name: str, pixels: Pixels) -> Pupils | None:
    who = {"item_id": name, "identity": name, "person": name, "bucket": 0, "photo_sha256": name}
    item = PhotoItem(row=who, data=lambda: png(pixels))
    for row in face_measure.run([item], FaceMeasure()).rows.to_pylist():
        if row["measured_until"] == "all":
            left, right = ((row[f"pupil_{side}_x_px"], row[f"pupil_{side}_y_px"]) for side in ("left", "right"))
            return Pupils(left=left, right=right)
    return None


def _figure(name: str, found: list[npt.NDArray[np.uint8]]) -> Figure:
    """The percentile over all pixels, with an interval of portraits drawn with replacement."""
    counts = np.array([np.bincount(each, minlength=256) for each in found], np.float64)

    def level(drawn: npt.NDArray[np.float64]) -> float:
        share = np.cumsum(drawn.sum(axis=0))
        return float(np.searchsorted(share, PERCENTILE / 100 * share[-1]))

    low, high = interval(counts, level)
    title = f"{name}: {PERCENTILE}th percentile of the grey level"
    return Figure(name=title, value=level(counts), n=len(found), low=low, high=high, must=MUST, higher=True)


def _shares(name: str, found: list[npt.NDArray[np.uint8]]) -> dict[str, Any]:
    """How many portraits reach the level by themselves, and how much of the band is below it, or dark."""
    pixels = np.concatenate(found)
    white = [bool(np.percentile(each, PERCENTILE) >= MUST) for each in found if len(each)]  # a hat leaves no such band
    return {
        "set": name,
        "portraits": len(found),
        "that reach it": float(np.mean(white)),
        "pixels below it": float((pixels < MUST).mean()),
        "pixels below 128": float((pixels < 128).mean()),
    }


if __name__ == "__main__":
    main()
