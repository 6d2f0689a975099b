"""Faults at seeded moments of a small build: on a folder, on S3, on a Dask cluster. Nothing may be lost, nothing hang.

    python benchmarks/chaos.py [--only WORDS …] [--where local s3] [--points N] [--minutes M] [--result NAME]

Every attempt builds the same painted people in an empty root, lets one thing happen, mends it, runs the same command
once more, and compares every shard and snapshot with an undisturbed build's. `benchmarks/faults/table.py` is the list.
With fewer minutes than the whole takes, every fault is tried once before any is tried again; what was not reached is
said.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults.attempts import Fault, Outcome, attempt
from faults.places import Local, OnDask, OnS3, OnServer, Place, build, corpus_in
from faults.table import FAULTS, has_clock
from figures import Figure, Section, show

LIMIT_S = 300.0  # and ten times what the undisturbed build took, on a busy machine


def orders(faults: list[Fault], wheres: list[str], points: int) -> Iterator[tuple[Fault, str, int]]:
    """All that is to be tried; each fault in each place once before any of them is tried again."""
    for point in range(points):
        for fault in faults:
            for where in fault.where:
                if where in wheres:
                    yield fault, where, point


def place_of(where: str, folder: Path, corpus: Path, api: str) -> Place:
    """A new place of its kind."""
    if where == "dask":
        return OnDask(folder, corpus, api)
    return {"local": Local, "s3": OnS3, "server": OnServer}[where](folder, corpus)


def section(outcomes: list[Outcome], left: int, seconds: float) -> Section:
    """The figures and the table of what was tried."""
    counts = Counter(each.verdict for each in outcomes)
    tried = sum(counts.values()) - counts["too late"]
    figures = [
        Figure(name="tried", value=tried, n=len(outcomes)),
        Figure(name="survived", value=counts["survived"], n=tried),
        Figure(name="lost", value=counts["lost"], n=tried, must=0),
        Figure(name="hung", value=counts["hung"], n=tried, must=0),
        Figure(name="tracebacks", value=sum(each.tracebacks for each in outcomes), n=tried, must=0),
        Figure(name="minutes", value=seconds / 60, n=1, must=60),
    ]
    notes = [f"{counts['too late']} came too late: the build was done.", f"{left} were not reached."]
    if not has_clock():
        notes.append("No clock was set ahead: faketime is not installed.")
    notes.append(f"Load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")
    return Section(
        title="Faults", figures=figures, tables={"Attempts": [asdict(each) for each in outcomes]}, notes=notes
    )


def main() -> int:
    """Try, print, and return 0 where nothing was lost and nothing hung."""
    parser = argparse.ArgumentParser(description="Faults at seeded moments of a small build.")
    parser.add_argument("--only", nargs="+", metavar="WORDS", help="faults whose names have one of these words")
    parser.add_argument(
        "--where", nargs="+", choices=["local", "s3", "dask", "server"], default=["local", "s3", "dask", "server"]
    )
    parser.add_argument("--points", type=int, default=2, help="moments per fault and place")
    parser.add_argument("--minutes", type=float, default=60, help="begin no attempt after these")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--result", help="write benchmarks/results/NAME.json")
    parser.add_argument("--data", help="not needed: the corpus is simulated")
    options = parser.parse_args()
    faults = [fault for fault in FAULTS if options.only is None or any(words in fault.name for words in options.only)]
    if not faults:
        print(f"no fault is called {' or '.join(options.only)}; there are {', '.join(fault.name for fault in FAULTS)}")
        return 2
    began = time.monotonic()
    outcomes: list[Outcome] = []
    wanted = list(orders(faults, options.where, options.points))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        corpus = corpus_in(folder / "people")
        undisturbed = Local(folder / "undisturbed", corpus)
        done = build(undisturbed, 10 * LIMIT_S)
        limit_s = max(LIMIT_S, 10 * (time.monotonic() - began))
        if done.returncode != 0:
            print(f"the undisturbed build ended with {done.returncode}: {done.stderr.splitlines()[-1:]}")
            return 1
        expected = undisturbed.content()
        api = ""
        if any(where == "dask" for _, where, _ in wanted):
            from flows.prefect_api import running_flows

            api = stack.enter_context(running_flows())
        for number, (fault, where, point) in enumerate(wanted):
            if time.monotonic() - began > options.minutes * 60:
                break
            with closing(place_of(where, folder / str(number), corpus, api)) as place:
                found = attempt(fault, place, where, point, seed=options.seed, expected=expected, limit_s=limit_s)
            outcomes.append(found)
            said = f"{found.verdict:<9} {fault.name} ({where}, {found.moment}, {found.seconds:.0f} s)"
            print(said if found.verdict == "survived" else f"{said}: status {found.status}, {found.said}", flush=True)
    result = section(outcomes, len(wanted) - len(outcomes), time.monotonic() - began)
    show([result], options.result)
    return int(any(figure.reached == "missed" for figure in result.figures))


if __name__ == "__main__":
    sys.exit(main())
