"""The command line of the evaluation."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence

from models.errors import EvaluationError
from models.evaluate.protocol import evaluate
from models.evaluate.protocols import BY_DEFAULT, NAMES
from models.evaluate.report import markdown
from models.evaluate.side_by_side import beside_markdown, evaluate_beside
from voxdata.format.errors import VoxdataError


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate, print the table, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m models.evaluate", description="Evaluate a trained run.")
    parser.add_argument("run_dir", metavar="RUN_DIR", nargs="+", help="several: beside each other on the same pairs")
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--embedder", help="judge with this face embedder instead of the run's own")
    parser.add_argument("--weights", action="append", default=[], metavar="EMBEDDER=PATH", help="a published file")
    parser.add_argument("--root", help="where the snapshot lies, when not where the run was trained")
    parser.add_argument(
        "--protocol", action="append", choices=NAMES, help=f"repeatable; default {', '.join(BY_DEFAULT)}"
    )
    parser.add_argument("--enhance", metavar="NAME", help="measure what gfpgan, or an enhance run, does to identity")
    parser.add_argument("--lists", metavar="FOLDER", help="the list files that the protocols fame and pins go by")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    weights = dict(pair.partition("=")[::2] for pair in options.weights)
    try:
        if len(options.run_dir) > 1:
            print(markdown_of_several(options, weights))
            return 0
        result = evaluate(
            options.run_dir[0],
            split=options.split,
            embedder=options.embedder,
            weights=weights,
            root=options.root,
            protocols=options.protocol or BY_DEFAULT,
            enhance=options.enhance,
            lists=options.lists,
        )
    except VoxdataError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(markdown(result))
    return 0


def markdown_of_several(options: argparse.Namespace, weights: Mapping[str, str]) -> str:
    """The tables of several runs. Raises `TrainingError`."""
    if options.protocol or options.enhance:
        raise EvaluationError("--protocol and --enhance judge one run; give one RUN_DIR, or leave them out")
    return beside_markdown(
        evaluate_beside(
            options.run_dir,
            split=options.split,
            embedder=options.embedder,
            weights=weights,
            root=options.root,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
