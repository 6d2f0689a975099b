"""Face measurements against ground truth: `python benchmarks/face_accuracy.py --data DIR [--only PART ...]`.

DIR holds `truth/`, `photos/`, `voxceleb1-mini/` and `weights/` as its own README describes. Each part is a module of
`benchmarks/accuracy/`. Prints the figures beside what they must reach, and writes them to `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from figures import show

PARTS = ("pose", "face_angle", "eyes", "expression", "lighting", "masks", "purity", "portraits")


def main() -> None:
    """Measure the parts asked for, print, write."""
    parser = argparse.ArgumentParser(description="face measurements against ground truth")
    parser.add_argument("--data", type=Path, required=True, help="folder with truth/, photos/ and weights/")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    options = parser.parse_args()
    sections = [import_module(f"accuracy.{part}").measure(options.data) for part in options.only]
    show(sections, "face_accuracy" if set(options.only) == set(PARTS) else f"face_accuracy-{'-'.join(options.only)}")


if __name__ == "__main__":
    main()
