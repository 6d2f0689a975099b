"""How fast does a GPU train, what is each switch worth, and how far is that from what the card can do?

    python benchmarks/train_gpu.py [--device cuda] [--steps 50] [--only sf2f-64] [--minutes 12] [--small]

Needs torch, numpy, pyarrow and Pillow, and the folders `models/` and `benchmarks/` of this repository; no data and no
weights: the store is random and as large as HQ-VoxCeleb (3,638 people, 611,184 utterances, 38.5 GB of log-mels), and
FaceNet has random weights. Rates are of whole steps, data drawn and metrics added up, between two moments at which the
device was idle; the median of three stretches. The first rows of a system tell most: the plain eager step in float32,
then all switches, then whether recorded steps train as eager ones do; the worth of each switch comes last. Each row is
printed and written as it comes, so that a run cut short keeps what it had; after `--minutes` no further row begins, and
the last note names those that are missing. A row that fails says why, and the others go on. On a GPU the result goes to
`benchmarks/results/train_gpu.json`, or where `--result` says; `--device cpu --small` runs all of it that needs no GPU,
at a size that says nothing about speed.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from figures import Figure, Section, show, write
from train_bench import ALL, CASES, PLAIN, Bench, Case

from models.systems.sf2f.presets import PAPER
from models.training.switches import Switches

PAPER_STEPS, PAPER_FUSER_STEPS = PAPER.steps, PAPER.fuser_steps
V100 = 1.85  # steps per second, SF2F's paper
PLAIN_ROW = "plain eager, float32"
LADDER: Sequence[tuple[str, Mapping[str, bool]]] = (
    ("channels_last", {"channels_last": True}),
    ("fused_adam", {"fused_adam": True}),
    ("bf16", {"bf16": True}),
    ("folded_batchnorm", {"folded_batchnorm": True}),
    ("cached_features", {"cached_features": True}),
    ("cuda_graphs", {"cuda_graphs": True}),
    ("compile", {"compile": True}),
)


def rows_of(bench: Bench, case: Case) -> list[tuple[str, Switches]]:
    """Rows by name, the most telling first: the plain step, all switches, one after the other, all but one each."""
    on_gpu = bench.device.type == "cuda"
    everything = ALL if on_gpu else dataclasses.replace(ALL, cuda_graphs=False)
    rows, switches = [(PLAIN_ROW, PLAIN), ("all", everything)], PLAIN
    if case.must is None:
        return rows
    ladder = [(name, change) for name, change in LADDER if on_gpu or name not in ("cuda_graphs", "compile")]
    for name, change in ladder:
        switches = dataclasses.replace(switches, **change)
        rows.append((f"+ {name}", switches))
    for name, change in ladder:
        if name != "compile":
            rows.append((f"all but {name}", dataclasses.replace(everything, **dict.fromkeys(change, False))))
    return rows


class Account:
    """Sections as far as they go, written to the result's file at every row; and how long there is for them."""

    def __init__(self, result: str | None, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.sections: list[Section] = []
        self.result, self._clock, self._ends = result, clock, clock() + 60 * minutes

    @property
    def over(self) -> bool:
        """Whether no further row should begin."""
        return self._clock() >= self._ends

    def now(self, section: Section) -> None:
        """The present state of the last section."""
        if self.result is not None:
            write([*self.sections, section], self.result)


def case_section(bench: Bench, case: Case, ceiling: float, account: Account) -> Section:
    """Everything about one system, or what there was time for."""
    store_started = time.perf_counter()
    store = bench.store(case)
    opened = time.perf_counter() - store_started
    section = Section(
        title=case.name,
        figures=list[Figure](),
        tables={"switches": []},
        notes=[
            f"log-mels in {store.tier.name}: {store.tier.reason}; the store was made and filled in {opened:.1f} s.",
            f"{case.system}, preset {case.preset}, stage {case.stage}, crops rounded up to {case.lengths} frames.",
        ],
    )
    rows, missing = section.tables["switches"], list[str]()
    for name, switches in rows_of(bench, case):
        if account.over:
            missing.append(name)
            continue
        row = bench.measured(case, name, switches)
        rows.append(row | _compared(row, rows, ceiling))
        print(f"{case.name}, {name}: {row['failed'] or '{:.4g} steps/s'.format(row['steps/s'])}", flush=True)
        account.now(section)
        if name == "all":
            missing += _figures(bench, case, row["steps/s"] or float("nan"), section, account)
    if missing:
        cast(list[str], section.notes).append(f"No time was left for: {', '.join(missing)}.")
    return section


def _compared(row: Mapping[str, Any], before: Sequence[Mapping[str, Any]], ceiling: float) -> dict[str, Any]:
    """A row's rate over the plain one's, over that of the row which it adds a switch to, its share of the ceiling."""
    rate, plain = row["steps/s"], before[0]["steps/s"] if before else row["steps/s"]
    steps = [each["steps/s"] for each in before if each["row"].startswith("+") or each["row"] == PLAIN_ROW]
    climbed = rate / steps[-1] if rate and row["row"].startswith("+") and steps and steps[-1] else None
    return {
        "over the row before": climbed,
        "over plain": rate / plain if rate and plain else None,
        "share of bf16 ceiling": row["TFLOP/s"] / ceiling if row["TFLOP/s"] else None,
    }


def _figures(bench: Bench, case: Case, best: float, section: Section, account: Account) -> list[str]:
    """Add the figures beside the table; returns those for which no time was left."""
    figures, missing = cast(list[Figure], section.figures), []
    figures.append(Figure(name="steps/s, all switches", value=best, n=bench.steps, must=case.must, higher=True))
    account.now(section)
    if case.must is not None:
        if account.over:
            missing.append("recorded against eager losses")
        else:
            recorded, noise = bench.agreement(case)
            count, bound = bench.compared, max(3 * noise, 1e-3)
            what = f"losses, worst of {count} steps at three lengths"
            figures.append(Figure(name=f"eager against eager {what}", value=noise, n=count))
            figures.append(Figure(name=f"recorded against eager {what}", value=recorded, n=count, must=bound))
            account.now(section)
    if account.over:
        return [*missing, "batches/s of the store alone"]
    figures.append(Figure(name="batches/s of the store alone", value=bench.drawing(case), n=bench.steps))
    if case.name == "sf2f-64":
        figures += _projection(best, bench.fuser(case))
        cast(list[str], section.notes).append(
            f"The projection takes {PAPER_STEPS:,} steps at the rate above and {PAPER_FUSER_STEPS} of the fuser at its "
            "own, and assumes that rates hold for hours and that start-up, checkpoints, sample grids and evaluation "
            f"take no time. The paper's V100: {V100} steps/s."
        )
    account.now(section)
    return missing


def _projection(rate: float, fuser: float) -> list[Figure]:
    hours = (PAPER_STEPS / rate + PAPER_FUSER_STEPS / fuser) / 3600
    return [
        Figure(name="steps/s of the fuser", value=fuser, n=0),
        Figure(name="the paper's schedule, projected, hours", value=hours, n=0),
        Figure(name="steps/s over the paper's V100", value=rate / V100, n=0),
    ]


def main(arguments: Sequence[str] | None = None) -> list[Section]:
    """Measure, print, write. Returns what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=50, help="in a stretch")
    parser.add_argument("--only", choices=[case.name for case in CASES], help="one system")
    parser.add_argument("--small", action="store_true", help="tiny networks and store: to try the script out")
    parser.add_argument("--minutes", type=float, default=60.0, help="after which no further row begins")
    parser.add_argument("--result", default="train_gpu", help="name, or path without its suffix, of the JSON file")
    parser.add_argument("--data", help="not needed: everything is random")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.exit(0, "no GPU here: nothing is measured (--device cpu --small tries the script out)\n")
    account = Account(options.result if device.type == "cuda" and not options.small else None, options.minutes)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(device, small=options.small, steps=options.steps, folder=Path(folder))
        ceilings = bench.ceilings()
        machine = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
        note = f"{machine}, torch {torch.__version__}" + (", tiny sizes: no figure of speed" if options.small else "")
        account.sections.append(Section(title="the machine", tables={"measured here": ceilings}, notes=[note]))
        for case in CASES:
            if options.only in (None, case.name):
                account.sections.append(case_section(bench, case, ceilings[0]["measured"], account))
    show(account.sections, account.result)
    return account.sections


if __name__ == "__main__":
    main()
