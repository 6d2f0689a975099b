"""What the newest run of a root has learnt, beside its controls: recall at 5 of 20 people and at 10 of 100.

    python benchmarks/demo_learning.py [ROOT] [--corpus FOLDER]

ROOT holds a snapshot of the simulated corpus in FOLDER and a run that was trained on it; `make demo` leaves both as
demo/root and demo/corpus. The run is judged on its test people; its evaluation is written to it again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flows.demo_truth import judge_with_truth
from voxdata.format.errors import VoxdataError


def main() -> int:
    """Judge, print the table, return the exit status."""
    parser = argparse.ArgumentParser(description="Recall of a root's newest run beside its controls.")
    parser.add_argument("root", type=Path, metavar="ROOT", nargs="?", default=Path("demo/root"))
    parser.add_argument("--corpus", type=Path, default=Path("demo/corpus"), help="simulated corpus behind the root")
    parser.add_argument("--data", help="not needed: the corpus is simulated")
    options = parser.parse_args()
    runs = sorted(options.root.glob("runs/*/config.json"), key=lambda path: path.stat().st_mtime)
    if not runs:
        print(f"error: {options.root} has no run; train one with: voxdata train sf2f --root {options.root}")
        return 1
    try:
        print(judge_with_truth(runs[-1].parent, options.corpus))
    except VoxdataError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
