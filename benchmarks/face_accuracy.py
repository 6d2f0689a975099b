"""Face measurements against ground truth: `python benchmarks/face_accuracy.py --data DIR`.

DIR holds `truth/`, `photos/`, `voxceleb1-mini/` and `weights/` as its own README describes. Each part is a module of
`benchmarks/accuracy/`. Prints the figures beside what they must reach, and writes them to `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from figures import show

from voxdata.faces.detect import LANDMARK_BACKENDS
from voxdata.format.errors import VoxdataError

PARTS = (
    "pose",
    "face_angle",
    "symmetry",
    "nodding",
    "eyes",
    "expression",
    "lighting",
    "occlusion",
    "masks",
    "purity",
    "duplicates",
    "portraits",
    "upside_down",
)
BY_BACKEND = ("pose", "face_angle", "eyes", "portraits")  # parts that a landmark backend decides


def main() -> None:
    """Measure the parts asked for, print, write."""
    parser = argparse.ArgumentParser(description="face measurements against ground truth")
    parser.add_argument("--data", type=Path, required=True, help="folder with truth/, photos/ and weights/")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    parser.add_argument(
        "--backend",
        choices=sorted(LANDMARK_BACKENDS),
        default="mediapipe",
        help=f"landmarks of the parts {', '.join(BY_BACKEND)}",
    )
    options = parser.parse_args()
    sections = []
    try:
        for part in options.only:
            chosen = {"backend": options.backend} if part in BY_BACKEND else {}
            sections.append(import_module(f"accuracy.{part}").measure(options.data, **chosen))
    except VoxdataError as error:
        parser.exit(error.exit_code, f"{error}\n")
    result = "face_accuracy" if set(options.only) == set(PARTS) else f"face_accuracy-{'-'.join(options.only)}"
    show(sections, result if options.backend == "mediapipe" else f"{result}-{options.backend}")


if __name__ == "__main__":
    main()
