"""Faults at seeded moments of a small build: on a folder, a share, S3, a Dask cluster. Nothing may be lost or hang.

    python benchmarks/chaos.py [--only WORDS …] [--where local s3] [--points N] [--minutes M] [--result NAME]

Every attempt builds the same painted people in an empty root, lets one thing happen, mends it, runs the same command
once more, and compares every shard and snapshot with an undisturbed build's. `benchmarks/faults/table.py` is the list.
With fewer minutes than the whole takes, every fault is tried once before any is tried again; what was not reached is
said. `--keep FOLDER` leaves what the commands said of attempts that did not go well.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults.attempts import Fault, Outcome, attempt
from faults.machine import lacking
from faults.object_storage import OnS3
from faults.places import Local, OnDask, OnServer, Place, Shared, build, corpus_in
from faults.table import FAULTS
from figures import Figure, Section, show

LIMIT_S = 300.0  # and ten times what the undisturbed build took, on a busy machine
WHERE = ("local", "s3", "dask", "server", "shared")
Order = tuple[int, Fault, str, int]


def orders(faults: list[Fault], wheres: list[str], points: int) -> Iterator[tuple[Fault, str, int]]:
    """All that is to be tried; each fault in each place once before any of them is tried again."""
    for point in range(points):
        for fault in faults:
            for where in fault.where:
                if (
                    where in wheres
                    and fault.needs not in lacking()
                    and not (where == "shared" and "namespaces" in lacking())
                ):
                    yield fault, where, point


def place_of(where: str, folder: Path, corpus: Path, api: str) -> Place:
    """A new place of its kind."""
    if where == "dask":
        return OnDask(folder, corpus, api)
    kinds: dict[str, type[Local] | type[OnS3]] = {"local": Local, "s3": OnS3, "server": OnServer, "shared": Shared}
    return kinds[where](folder, corpus)


class Lane:
    """Attempts one after the other, with a corpus of their own; several lanes go beside each other."""

    def __init__(self, folder: Path, api: str, seed: int) -> None:
        self._folder = folder
        self._corpus = corpus_in(folder / "people")
        self._api = api
        self._seed = seed
        self._expected: dict[frozenset[tuple[str, str]], dict[str, str]] = {}
        self._limit_s = LIMIT_S

    def expect(self, fault: Fault | None = None) -> dict[str, str]:
        """What an undisturbed build leaves, in the environment that a fault has always. Raises `RuntimeError`."""
        always = frozenset(fault.always.items() if fault else ())
        if always not in self._expected:
            began = time.monotonic()
            with closing(Local(self._folder / f"undisturbed-{len(self._expected)}", self._corpus)) as undisturbed:
                done = build(undisturbed, 10 * LIMIT_S, **dict(always))
                if done.returncode != 0:
                    raise RuntimeError(f"the undisturbed build ended with {done.returncode}: {done.stderr[-2000:]}")
                self._expected[always] = undisturbed.content()
            self._limit_s = max(self._limit_s, 10 * (time.monotonic() - began))
            if always and self._expected[always] == self.expect():
                raise RuntimeError(f"{dict(always)} changes nothing")
        return self._expected[always]

    def attempt(self, order: Order) -> Outcome:
        """Try one thing; what the benchmark itself could not do is an outcome, too."""
        number, fault, where, point = order
        began = time.monotonic()
        try:
            expected = self.expect(fault)
            with closing(place_of(where, self._folder / str(number), self._corpus, self._api)) as place:
                return attempt(fault, place, where, point, seed=self._seed, expected=expected, limit_s=self._limit_s)
        except Exception as error:
            traceback.print_exc()
            return Outcome(
                fault=fault.name,
                where=where,
                point=point,
                moment="",
                verdict="not done",
                status=None,
                said=f"{type(error).__name__}: {error}"[:300],
                tracebacks=0,
                untold=0,
                seconds=time.monotonic() - began,
            )


def try_all(wanted: list[tuple[Fault, str, int]], lanes: list[Lane], until: float, keep: Path | None) -> list[Outcome]:
    """Outcomes of what was begun before `until`, by the monotonic clock, in any order."""
    left = iter([(number, *each) for number, each in enumerate(wanted)])
    outcomes: list[Outcome] = []
    lock = threading.Lock()

    def work(lane: Lane) -> None:
        lane.expect()
        while time.monotonic() < until:
            with lock:
                order = next(left, None)
            if order is None:
                return
            found = lane.attempt(order)
            with lock:
                outcomes.append(found)
                _print(found)
            _put_away(lane, order, keep)

    threads = [threading.Thread(target=work, args=(lane,)) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def _print(found: Outcome) -> None:
    said = f"{found.verdict:<9} {found.fault} ({found.where}, {found.moment}, {found.seconds:.0f} s)"
    went_well = found.verdict == "survived" and not found.tracebacks and not found.untold
    print(said if went_well else f"{said}: status {found.status}, {found.said}", flush=True)


def _put_away(lane: Lane, order: Order, keep: Path | None) -> None:
    number, fault, where, _ = order
    folder = lane._folder / str(number)
    if keep is not None:
        for log in folder.glob("*.log"):
            shutil.copy(log, keep / f"{number:03d}-{fault.name.replace(' ', '-').replace('/', '-')}-{where}-{log.name}")
    shutil.rmtree(folder, ignore_errors=True)


def sections(outcomes: list[Outcome], left: int, seconds: float, lanes: int) -> list[Section]:
    """The figures, a count by place and one by fault, and every attempt."""
    counts = Counter(each.verdict for each in outcomes)
    tried = counts["survived"] + counts["lost"] + counts["hung"]
    figures = [
        Figure(name="tried", value=tried, n=len(outcomes), must=60, higher=True),
        Figure(name="survived", value=counts["survived"], n=tried),
        Figure(name="lost", value=counts["lost"], n=tried, must=0),
        Figure(name="hung", value=counts["hung"], n=tried, must=0),
        Figure(name="tracebacks", value=sum(each.tracebacks for each in outcomes), n=tried, must=0),
        Figure(name="errors without a line", value=sum(each.untold for each in outcomes), n=tried, must=0),
        Figure(name="minutes", value=seconds / 60, n=1, must=60),
    ]
    notes = [
        f"{counts['too late']} came too late: the build was done. {counts['not done']} could not be tried.",
        f"{left} were not reached.",
        f"{lanes} at a time; load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.",
    ]
    if lacking():
        notes.append(f"This machine allows no {', '.join(lacking())}.")
    tables = {"Places": _counted(outcomes, "where"), "Faults": _counted(outcomes, "fault")}
    attempts = Section(title="Attempts", tables={"All": [asdict(each) for each in outcomes]})
    return [Section(title="Faults", figures=figures, tables=tables, notes=notes), attempts]


def _counted(outcomes: list[Outcome], by: str) -> list[dict[str, object]]:
    rows: dict[str, Counter[str]] = {}
    for each in outcomes:
        rows.setdefault(getattr(each, by), Counter())[each.verdict] += 1
    verdicts = ("survived", "lost", "hung", "too late", "not done")
    return [
        {by: name, "tried": sum(found[verdict] for verdict in verdicts[:3]), **{each: found[each] for each in verdicts}}
        for name, found in sorted(rows.items())
    ]


def main() -> int:
    """Try, print, and return 0 where nothing was lost and nothing hung."""
    parser = argparse.ArgumentParser(description="Faults at seeded moments of a small build.")
    parser.add_argument("--only", nargs="+", metavar="WORDS", help="faults whose names have one of these words")
    parser.add_argument("--where", nargs="+", choices=WHERE, default=list(WHERE))
    parser.add_argument("--points", type=int, default=2, help="moments per fault and place")
    parser.add_argument("--minutes", type=float, default=55, help="begin no attempt after these")
    parser.add_argument("--lanes", type=int, default=2, help="attempts at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave what was said where something went wrong")
    parser.add_argument("--result", help="write benchmarks/results/NAME.json")
    parser.add_argument("--data", help="not needed: the corpus is simulated")
    options = parser.parse_args()
    faults = [fault for fault in FAULTS if options.only is None or any(words in fault.name for words in options.only)]
    if not faults:
        print(f"no fault is called {' or '.join(options.only)}; there are {', '.join(fault.name for fault in FAULTS)}")
        return 2
    began = time.monotonic()
    wanted = list(orders(faults, options.where, options.points))
    print(f"{len(wanted)} to try, of {len(faults)} faults", flush=True)
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        api = ""
        if any(where == "dask" for _, where, _ in wanted):
            from flows.prefect_api import running_flows

            api = stack.enter_context(running_flows())
        lanes = [Lane(folder / f"lane-{number}", api, options.seed) for number in range(options.lanes)]
        outcomes = try_all(wanted, lanes, began + options.minutes * 60, options.keep)
    found = sections(outcomes, len(wanted) - len(outcomes), time.monotonic() - began, options.lanes)
    show(found, options.result)
    return int(any(figure.reached == "missed" for figure in found[0].figures if figure.name != "tried"))


if __name__ == "__main__":
    sys.exit(main())
