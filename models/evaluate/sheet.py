"""The contact sheet of an evaluation: unseen people's real portraits above the faces made from their voices."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.evaluate.contestants import Bench
from models.images import grid, to_uint8, write_png

PEOPLE = 12
NOTICE = (
    "people of the evaluation: first row real portraits, then faces generated from their voices (fused; one window; "
    "another person's voice) and the mean face; generated faces show no real person and identify nobody"
)


def write_sheet(bench: Bench, path: Path) -> None:
    """One column per person, at most twelve, evenly over the split."""
    chosen = np.unique(np.linspace(0, bench.count - 1, min(PEOPLE, bench.count)).round().astype(np.int64))
    judge, unseen = bench.judge, bench.unseen
    fused = to_uint8(judge.fused(unseen, chosen))
    rows = [
        to_uint8(unseen.images(unseen.face_groups.first[chosen])),
        fused,
        to_uint8(judge.crops(unseen, chosen, 0)),
        np.roll(fused, 1, axis=0),
        np.repeat(to_uint8(bench.mean_face[None]), len(chosen), axis=0),
    ]
    write_png(path, grid(rows), NOTICE)
