"""A build of the dataset's full size whose workers do nothing but write: what the flow costs, and what that means.

    python benchmarks/full_scale.py --folder /tmp/scale                     three builds, of 0.1, 0.3 and 1.0
    python benchmarks/full_scale.py --folder /tmp/scale --scales 0.02 0.05  and no result
    python benchmarks/full_scale.py --folder /tmp/scale --scales 1          memory and serial share alone
    python benchmarks/catalog_scale.py --folder /tmp/scale/root --only catalog

7,363 people, 2.2 million photos, 1.24 million clips (`scale_data.py`), from the manifests of photos and clips to the
published version: the order of the steps, the tasks, their checks, links, decisions, the snapshot and the catalog are
those of a build (`voxdata/pipeline`), in a process of its own whose memory is read after every step. The catalog is
built by a process that the flow starts: its CPU seconds are those of the step, its memory is said apart. Workers are
replaced by one process that commits the rows which a worker would have measured (`scale_writer.py`).

What the workers would have taken is arithmetic, no measurement: the tasks that the build really forms for 2, 64 and
512 workers, each with its items times a recorded rate (benchmarks/results), laid onto the cores in their order. Its
error is that of the recorded rates, from the cheapest to the dearest set that was measured. Crawling and hashing the
clips come before and are not in it. A serial step counts with its CPU seconds, of all its threads, since other work on
the machine lengthens its wall-clock. The root of the largest scale is kept in `--folder`.
"""

from __future__ import annotations

import argparse
import heapq
import json
import multiprocessing
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import scale_writer
from figures import RESULTS, Figure, Section, show, write
from scale_root import RECIPE, cpu_s, watching_catalogs

from voxdata.pipeline.build import choose_portraits, finish
from voxdata.pipeline.runner import Runner
from voxdata.pipeline.stages import FACES_MEASURE, STAGES
from voxdata.pipeline.steps import list_identities
from voxdata.pipeline.unpublished import attempted
from voxdata.recipe.sections import Work
from voxdata.store.storage import LocalStorage, Storage

P = ParamSpec("P")
R = TypeVar("R")
CORES = (2, 64, 512)
AT = 64  # cores, of the shares
CLIP_S = 8.2  # length of a clip in the mean
MEL_BYTES = 166_656  # of a kept clip, in two front ends


@dataclass
class Measured:
    """What a build came to.

    `steps`: name, CPU seconds, seconds, peak of memory in GB. `tasks`: stage -> cores -> the items of each task, in
    order. `written`: stage -> items, and the CPU seconds that writing their rows took. `others`: CPU seconds of each
    call of what else workers do. `catalog_gb`: peak of memory of the process that builds the catalog beside the flow's.
    """

    scale: float
    steps: list[tuple[str, float, float, float]] = field(default_factory=list)
    tasks: dict[str, dict[int, list[int]]] = field(default_factory=dict)
    written: dict[str, list[float]] = field(default_factory=dict)
    others: dict[str, list[float]] = field(default_factory=dict)
    kept_clips: int = 0
    catalog_gb: float = 0.0

    @property
    def serial_s(self) -> float:
        """CPU seconds of the process that holds the flow, and of the one that builds the catalog for it."""
        return sum(cpu for _, cpu, _, _ in self.steps)


class Recorded(Runner):
    """Runs the steps here, with a clock and an eye on memory; hands the calls of `each` to the process that writes."""

    def __init__(self, writer: ProcessPoolExecutor, found: Measured) -> None:
        self._writer = writer
        self.found = found
        self._waited = self._outside = 0.0

    def step(self, name: str, function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        with self.watched(name):
            return function(*arguments, **named)

    def workers(self, work: Work) -> int:
        return AT

    def each(self, name: str, function: Callable[..., R], calls: Sequence[Mapping[str, Any]]) -> Iterator[R]:
        started = time.perf_counter()
        if name in STAGES:
            told = {key: calls[0][key] for key in ("stage_name", "storage", "recipe", "key")}
            self.found.tasks[name] = self._writer.submit(scale_writer.tasks, cores=CORES, **told).result()
        for done, items, cpu in self._writer.map(scale_writer.call, [function] * len(calls), calls):
            if name in STAGES:
                written = self.found.written.setdefault(name, [0, 0.0])
                self.found.written[name] = [written[0] + items, written[1] + cpu]
            else:
                self.found.others.setdefault(function.__name__, []).append(cpu)
            self._waited += time.perf_counter() - started
            yield done
            started = time.perf_counter()

    @contextmanager
    def watched(self, name: str) -> Iterator[None]:
        """Note what is done inside as a step, less the steps that it holds; waiting for workers does not count."""
        peak_of_others = _reset_peak()
        before, waited = len(self.found.steps), self._waited
        self._outside = max(self._outside, peak_of_others)
        started, cpu = time.perf_counter(), cpu_s()
        with watching_catalogs() if name == "publish" else nullcontext([0.0]) as of_catalogs:
            yield
        self.found.catalog_gb = max(self.found.catalog_gb, *of_catalogs)
        inside = self.found.steps[before:]
        seconds = time.perf_counter() - started - (self._waited - waited) - sum(step[2] for step in inside)
        cpu = cpu_s() - cpu - sum(step[1] for step in inside)
        peak = max(_reset_peak(), self._outside if inside else 0.0)
        self._outside = 0.0 if inside else self._outside
        self.found.steps.append((name, cpu, seconds, peak))
        print(f"  {self.found.scale:g} {name}: {self.found.steps[-1][1:]}", file=sys.stderr, flush=True)


def _reset_peak() -> float:
    """The most memory that this process has had since the last call, in GB."""
    peak = _peak_gb()
    Path("/proc/self/clear_refs").write_text("5")
    return peak


def _peak_gb() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1e6


def build(scale: float, folder: Path) -> Measured:
    """Build a root of that scale in `folder`, which is empty."""
    storage: Storage = LocalStorage(folder)
    found = Measured(scale)
    with ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context("spawn"), initializer=scale_writer.begin, initargs=(scale,)
    ) as writer:
        runner = Recorded(writer, found)
        keys = writer.submit(scale_writer.manifests, storage).result()
        for stage in STAGES.values():
            stage.fingerprint(RECIPE)  # loads the libraries, before the first step
        with attempted(storage, RECIPE) as attempt:
            attempt.note(photos=keys["photos"])
            with runner.watched("faces.measure: tasks and checks"):
                attempt.do(FACES_MEASURE, keys["photos"], runner)
            with runner.watched("faces.link and faces.render: tasks and checks"):
                choose_portraits(storage, RECIPE, attempt, runner)
            attempt.note(utterance_files=keys["utterance_files"])
            attempt.note(identities=runner.step("identities", list_identities, storage, RECIPE, attempt.keys))
            with runner.watched("speech.measure and pack: tasks and checks"):
                finish(storage, RECIPE, attempt, runner)
        kept = writer.submit(scale_writer.kept_clips, storage, attempt.keys["utterance_verdicts"])
        found.kept_clips = kept.result()
    return found


@dataclass(frozen=True)
class Rates:
    """CPU seconds of an item in each stage, as recorded: the one that counts, the cheapest and the dearest."""

    seconds: Mapping[str, tuple[float, float, float]]
    pack_bytes_per_s: float


def recorded() -> Rates:
    """From benchmarks/results: faces with embeddings and emotions, portraits, clips by their container, tars."""
    faces = _sections("face_throughput")
    photo = "whole stage, ms per photo"
    web, painted = (
        1e-3 * _value(faces, f"{start}, with embeddings and emotions", photo)
        for start in ("photos/web", "simulated 512 px")
    )
    portrait = 1e-3 * _value(faces, "portraits of 512 px", "render, ms per portrait")
    clips = sorted(
        CLIP_S * 1e-6 * float(row["us per second of audio"])
        for section in _sections("speech_throughput")
        for rows in section["tables"].values()
        for row in rows
        if row.get("line", "").startswith("torch40 + torch64") and "us per second of audio" in row
    )
    note = next(note for each in _sections("catalog_scale") if each["title"] == "Tars" for note in each["notes"])
    return Rates(
        {
            "faces.measure": (web, min(web, painted), max(web, painted)),
            "faces.render": (portrait, portrait, portrait),
            "speech.measure": (clips[0], clips[0], clips[-1]),
        },
        1e6 * float(note.partition(" MB/s")[0].rpartition(" ")[2]),
    )


def _sections(name: str) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = json.loads((RESULTS / f"{name}.json").read_text())
    return read


def _value(sections: list[dict[str, Any]], title: str, figure: str) -> float:
    section = next(each for each in sections if each["title"].startswith(title))
    return float(next(each["value"] for each in section["figures"] if each["name"] == figure))


def makespan(tasks: Sequence[float], cores: int) -> float:
    """When the last of these tasks has ended: each core takes the next one when it is free."""
    free_at = [0.0] * cores
    for seconds in tasks:
        heapq.heapreplace(free_at, free_at[0] + seconds)
    return max(free_at)


def projected(found: Measured, rates: Rates, cores: int, which: int = 0) -> tuple[float, float]:
    """Seconds that the parallel stages take on so many cores, and the core seconds that they are."""
    took = work = 0.0
    for stage, by_cores in found.tasks.items():
        items, cpu = found.written[stage]
        each = rates.seconds[stage][which] + cpu / items
        took += makespan([each * count for count in by_cores[cores]], cores)
        work += each * sum(by_cores[cores])
    mels = MEL_BYTES * found.kept_clips / rates.pack_bytes_per_s
    for name, calls in found.others.items():
        more = mels / len(calls) if name == "pack_ranges" else 0.0
        took += makespan([cpu + more for cpu in calls], cores)
        work += sum(calls) + more * len(calls)
    return took, work


def report(builds: Sequence[Measured], rates: Rates) -> list[Section]:
    """The largest build's memory and serial share, the projections, and how far from linear the scales are."""
    largest = max(builds, key=lambda each: each.scale)
    shares = [_share(largest, rates, which) for which in range(3)]
    peak = max(largest.steps, key=lambda step: step[3])
    at_64 = {each.scale: (projected(each, rates, AT)[0] + each.serial_s) / each.scale for each in builds}
    off = {scale: value / at_64[largest.scale] - 1 for scale, value in at_64.items()}
    farthest = max(off.values(), key=abs)
    figures = [
        Figure(
            name=f"memory of the flow, peak GB ({peak[0]})",
            value=peak[3],
            n=1,
            must=2 if largest.scale >= 1 else None,  # it grows with the size
        ),
        Figure(
            name="memory of the process that builds the catalog beside it, peak GB",
            value=largest.catalog_gb,
            n=1,
            must=4 if largest.scale >= 1 else None,
        ),
        Figure(
            name=f"serial share of the time of {AT} cores, projected",
            value=shares[0],
            n=1,
            low=min(shares),
            high=max(shares),
            must=0.1,
        ),
    ]
    if len(builds) > 1:
        figures.append(Figure(name="farthest from linear in scale", value=abs(farthest), n=len(builds), must=0.15))
    return [
        Section(
            title=f"Flow at scale {largest.scale:g}",
            figures=figures,
            tables={
                "Projected, not measured": [_row(largest, rates, cores) for cores in CORES],
                "Serial steps of the flow": _steps(largest),
                "Workers, recorded rates and rows written": _stages(largest, rates),
                "What workers did here, as in a build": [
                    {"call": name, "calls": len(calls), "CPU s": sum(calls)} for name, calls in largest.others.items()
                ],
                "Linear in scale": _linear(builds, rates, off),
            },
            notes=[
                "Crawling and hashing clips are not in it. The error is that of the recorded rates, from the cheapest "
                f"to the dearest set. Tars: {rates.pack_bytes_per_s / 1e6:.0f} MB/s and core."
            ],
        )
    ]


def _share(found: Measured, rates: Rates, which: int) -> float:
    return found.serial_s / (found.serial_s + projected(found, rates, AT, which)[0])


def _row(found: Measured, rates: Rates, cores: int) -> dict[str, object]:
    times = [projected(found, rates, cores, which) for which in range(3)]
    totals = [(took + found.serial_s) / 60 for took, _ in times]
    took, work = times[0]
    return {
        "cores": cores,
        "minutes": totals[0],
        "low": min(totals),
        "high": max(totals),
        "serial share": found.serial_s / (took + found.serial_s),
        "busy while workers work": work / cores / took,
    }


def _steps(found: Measured) -> list[dict[str, object]]:
    names = ("step", "CPU s", "s", "peak GB")
    return [dict(zip(names, step, strict=True)) for step in found.steps]


def _stages(found: Measured, rates: Rates) -> list[dict[str, object]]:
    return [
        {
            "stage": stage,
            "items": items,
            "tasks for 64": len(found.tasks[stage][AT]),
            "ms per item": 1e3 * rates.seconds[stage][0],
            "low": 1e3 * rates.seconds[stage][1],
            "high": 1e3 * rates.seconds[stage][2],
            "rows written, ms per item": 1e3 * cpu / items,
        }
        for stage, (items, cpu) in found.written.items()
    ]


def _linear(builds: Sequence[Measured], rates: Rates, off: Mapping[float, float]) -> list[dict[str, object]]:
    return [
        {
            "scale": each.scale,
            "serial CPU s": each.serial_s,
            "serial CPU s per scale": each.serial_s / each.scale,
            "minutes on 64 cores": (projected(each, rates, AT)[0] + each.serial_s) / 60,
            "off linear": off[each.scale],
            "peak GB": max(step[3] for step in each.steps),
            "catalog, peak GB": each.catalog_gb,
        }
        for each in builds
    ]


def main() -> None:
    """Build at each scale, in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scales", type=float, nargs="+", default=[0.1, 0.3, 1.0], help="shares of the full size")
    parser.add_argument("--folder", type=Path, required=True, help="where roots are built; the last one is kept")
    parser.add_argument("--result", help="name of the JSON under benchmarks/results/")
    options = parser.parse_args()
    builds = []
    for scale in sorted(options.scales):
        root = options.folder / "root"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            builds.append(pool.submit(build, scale, root).result())
        if options.result:
            write(report(builds, recorded()), options.result)
    show(report(builds, recorded()), options.result)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    main()
