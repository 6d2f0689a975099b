"""Do the systems learn? On simulated people whose voices say nothing, something or all there is to say of their faces.

    python benchmarks/learning.py [--seconds 100] [--workers 2] [--folder DIR] [--only avp_gan] [--device cuda]

1,000 people train, 200 are held out; voices and faces are tied by a link of 0, 0.5 and 1. `sf2f` and `align` train at
every link, `avp_gan` (with and without CBAM) and `voice2face` at 1 and 0, and `sf2f` at 1 without each of its losses.
Every training of `sf2f` and `align` has the same box of time. The two others have nine times that, as no loss of theirs
compares a face with a portrait. A box is of CPU seconds of its own process, which computes on one thread (`clock` of
run.json), so that a busy machine gives the same figures; of wall seconds on a GPU. Two trainings go side by side.
Figures are centred recall of the held-out people in galleries of 100 and, within one sex, of 20. Before any run two
face embedders are trained on the training people's portraits: one is in the losses, the other, which no system has
seen, is the judge. The known optimum paints the face that is expected given the voice.

Settings were chosen on other people (`--people-seed 41`). With `--folder` data and runs are kept: what is there is
neither made nor trained again. `benchmarks/results/learning.json` holds what was printed at full size; it is written
after each training, and sections of which nothing was trained stay as they are.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import math
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from figures import RESULTS, Figure, Section, show, write
from learning_data import SECONDS
from learning_jobs import (
    BOXES,
    JOBS,
    LINKS,
    LOSSES,
    OPTIMUM,
    SYSTEMS,
    Job,
    Rows,
    Setting,
    folder_of,
    other_setting,
    rows_of,
    run_all,
)

from models.evaluate.compare import compare, paired

PEOPLE_SEED = 40  # presets were chosen on other seeds
PEOPLE, UNSEEN = 1000, 200
R100, SAME_SEX = "centred_recall_at_10_of_100", "centred_same_sex_recall_at_5_of_20"
LABELS = {R100: "R@10 of 100", SAME_SEX: "R@5 of 20 of one sex"}
CHANCE = {R100: 0.10, SAME_SEX: 0.25}
OF_OPTIMUM = 0.8
ABLATION = {R100: "R@10 of 100", "cosine": "cosine", "l1": "L1"}  # SF2F, Table 7; less L1 is better


def main() -> int:
    """Simulate, train, judge, print; returns the exit status."""
    options = _options()
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        setting = Setting(
            folder=(options.folder or Path(temporary)).absolute(),
            people=options.people,
            unseen=options.unseen,
            people_seed=options.people_seed,
            seconds=options.seconds,
            preset=options.preset,
            device=options.device,
        )
        if wrong := other_setting(setting):
            print(f"error: {wrong}", file=sys.stderr)
            return 2
        whole = (options.people, options.unseen, options.people_seed) == (PEOPLE, UNSEEN, PEOPLE_SEED)
        begun = time.monotonic()
        for line in run_all(setting, options.workers, [job for job in JOBS if job.system in options.only]):
            print(line, file=sys.stderr, flush=True)
            if whole:
                write(_beside_kept(sections(setting)), "learning")
        print(f"{(time.monotonic() - begun) / 60:.0f} minutes with {options.workers} workers", file=sys.stderr)
        show(sections(setting), None)
    return 0


def _beside_kept(found: Sequence[Section]) -> list[Section]:
    """What was found, and the sections of the results file that it does not replace."""
    path, titles = RESULTS / "learning.json", [section.title for section in found]
    kept = json.loads(path.read_text()) if path.exists() else []
    others = [
        Section(
            **each
            | {"figures": [Figure(**{k: v for k, v in figure.items() if k != "reached"}) for figure in each["figures"]]}
        )
        for each in kept
        if each["title"] not in titles
    ]
    return [*others, *found]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=100.0, help="time box of each training")
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--unseen", type=int, default=UNSEEN)
    parser.add_argument("--people-seed", type=int, default=PEOPLE_SEED, help="which people are drawn")
    parser.add_argument("--folder", type=Path, help="keep data and runs here; a run that is there is not trained again")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=2, help="trainings side by side, one thread each")
    parser.add_argument("--only", nargs="+", default=SYSTEMS, choices=SYSTEMS, help="train these systems")
    parser.add_argument("--data", help="not needed: everybody is simulated")
    return parser.parse_args()


def sections(setting: Setting) -> list[Section]:
    """What is printed, from the rows of the jobs that are done."""
    done = {job: rows_of(setting, job) for job in JOBS if (folder_of(setting, job) / "evaluation.json").exists()}
    by_link = {s: {link: done.get(Job(system=s, link=link)) for link in LINKS} for s in ("sf2f", "align")}
    linked = {s: {link: rows for link, rows in found.items() if rows} for s, found in by_link.items()}
    whole = {s: found for s, found in linked.items() if len(found) == len(LINKS)}
    losses = {loss: rows for loss in LOSSES if (rows := done.get(Job(system="sf2f", link=1.0, without=loss)))}
    found = [_links(system, rows) for system, rows in whole.items()]
    if len(whole) == len(by_link):
        found.append(_beside(setting, whole["align"][1.0], whole["sf2f"][1.0]))
    others = {job: rows for job, rows in done.items() if job.system in BOXES}
    found += [_others(setting, others)] if others else []
    found += [_without(setting, whole["sf2f"][1.0], losses)] if "sf2f" in whole and len(losses) == len(LOSSES) else []
    return found


def _others(setting: Setting, found: Mapping[Job, Rows]) -> Section:
    """AVP-GAN with and without attention, and voice2face: both columns against sex alone, at link 0 against chance."""
    figures = []
    for job, rows in found.items():
        name = f"{job.name}, link {job.link:g}"
        if job.link == 0.0:
            figures.append(_chance(name, rows["fused"]))
            continue
        figures += [_plain(name, rows["fused"], key) for key in LABELS]
        figures += [
            _above(f"{name}: low end of {LABELS[key]} above sex alone", _of(rows["fused"], key)["low"] - alone)
            for key, alone in ((R100, rows["sex only"][R100]["value"]), (SAME_SEX, CHANCE[SAME_SEX]))
        ]
    figures += _with_attention(setting, found)
    ends = [{"run": job.name, "link": job.link, **_end(setting, job)} for job in found]
    table = [
        _line(f"{job.name}, link {job.link:g}", name, row) for job, rows in found.items() for name, row in rows.items()
    ]
    return Section(
        title="the others",
        figures=figures,
        tables={"ends": ends, "all rows": table},
        notes=["No loss of any training here became NaN, which would have ended it."],
    )


def _with_attention(setting: Setting, found: Mapping[Job, Rows]) -> list[Figure]:
    """AVP-GAN with CBAM less AVP-GAN without, paired over people, before the judge; the voices' first seconds."""
    runs = (Job(system="avp_gan", link=1.0, variant="no-cbam"), Job(system="avp_gan", link=1.0))
    if not set(runs) <= set(found):
        return []
    gains = _gains(setting, *runs, ("centred_cosine", R100))
    return [_gain(f"avp_gan: {key} with CBAM less without", gain) for key, gain in gains.items()]


Gain = tuple[float, float, float, int]  # mean of the differences person by person, its 95 % interval, people


def _gains(setting: Setting, before: Job, after: Job, keys: Iterable[str]) -> dict[str, Gain]:
    """How much better a job is than another, paired over people, for keys that there are; the first is the judge's."""
    snapshot = (setting.root(after.link) / "snapshot.txt").read_text()
    folders = [folder_of(setting, job) for job in (before, after)]
    both = compare(folders, snapshot_id=snapshot, seconds=SECONDS, device=setting.device)
    return {key: paired(both, key, draws=2000, seed=0) for key in keys if key in both.runs[0].values}


def _gain(name: str, gain: Gain) -> Figure:
    value, low, high, people = gain
    return Figure(name=name, value=value, low=low, high=high, n=people)


def _end(setting: Setting, job: Job) -> dict[str, Any]:
    """Where a training ended: its steps, and what its judge knew of people in real and in generated faces."""
    lines = (folder_of(setting, job) / "metrics.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    names = ("step", "elapsed_s", "discriminator_accuracy", "discriminator_identity", "identity")
    return {name: last.get(name) for name in names}


def _links(system: str, found: Mapping[float, Rows]) -> Section:
    fused, whole = {link: rows["fused"] for link, rows in found.items()}, found[1.0]
    figures = [_chance(f"{system}, link 0", fused[0.0])]
    figures += [_plain(f"{system}, link {link:g}", row, R100) for link, row in fused.items()]
    for lower, upper in itertools.pairwise(LINKS):
        rise = _of(fused[upper], R100)["value"] - _of(fused[lower], R100)["value"]
        figures.append(_above(f"{system}: R@10 of 100 at link {upper:g} less that at {lower:g}", rise))
    must = OF_OPTIMUM if system == "sf2f" else None
    figures.append(_of_optimum(f"{system}, link 1", whole, R100, must))
    figures.append(_of_optimum(f"{system}, link 1", whole, SAME_SEX, None))
    beyond = _of(fused[1.0], R100)["low"] - _of(whole["sex only"], R100)["value"]
    figures.append(_above(f"{system}, link 1: low end of R@10 of 100 above the sex-only oracle", beyond))
    figures.append(_plain(f"{system}, link 1", fused[1.0], SAME_SEX))
    within = _of(fused[1.0], SAME_SEX)["low"] - CHANCE[SAME_SEX]
    figures.append(_above(f"{system}, link 1: low end within one sex above that oracle, which is chance there", within))
    gain = _of(fused[1.0], R100)["value"] - _of(whole["one window"], R100)["value"]
    figures.append(_above(f"{system}, link 1: R@10 of 100 of the fused voice less that of one window", gain))
    if better := whole["one window"].get("fused_better", {}).get(R100):
        name = f"{system}, link 1: the same, paired over people"
        figures.append(_gain(name, (better["value"], better["low"], better["high"], better["people"])))
    table = [_line(f"link {link:g}", name, row) for link, rows in found.items() for name, row in rows.items()]
    return Section(title=f"{system}, three links", figures=figures, tables={"all rows": table})


def _beside(setting: Setting, ours: Rows, theirs: Rows) -> Section:
    figures = [
        _above(f"{LABELS[key]}, align less sf2f", _of(ours["fused"], key)["value"] - _of(theirs["fused"], key)["value"])
        for key in (SAME_SEX, R100)
    ]
    gains = _gains(setting, Job(system="sf2f", link=1.0), Job(system="align", link=1.0), (SAME_SEX, R100))
    figures += [_gain(f"{LABELS[key]}, align less sf2f, paired over people", gain) for key, gain in gains.items()]
    return Section(title="align beside sf2f at link 1", figures=figures)


def _without(setting: Setting, whole: Rows, found: Mapping[str, Rows]) -> Section:
    """SF2F at link 1 without one loss each; everything else as in the first section."""
    table = [_line("all losses", "fused", whole["fused"])]
    table += [_line(f"without {loss}", "fused", rows["fused"]) for loss, rows in found.items()]
    all_losses = Job(system="sf2f", link=1.0)
    notes = [
        _moved(loss, _gains(setting, Job(system="sf2f", link=1.0, without=loss), all_losses, ABLATION))
        for loss in found
    ]
    return Section(title="sf2f without each loss, link 1", tables={"fused": table}, notes=notes)


def _moved(loss: str, gains: Mapping[str, Gain]) -> str:
    """One line: what a loss did to the paper's metrics, all of which get worse there without any of the losses."""
    said = []
    for key, (gain, low, high, people) in gains.items():
        verdict = "as the paper says" if low > 0 else "against the paper" if high < 0 else "not told apart"
        said.append(f"{ABLATION[key]} {gain:+.3f} [{low:+.3f}, {high:+.3f}] better with it, n = {people} ({verdict})")
    return f"- `{loss}`: {'; '.join(said)}."


def _of(row: Mapping[str, Any], key: str) -> Mapping[str, float]:
    """A figure of a row; not a number where there are too few people for its gallery."""
    return row.get(key) or dict.fromkeys(("value", "low", "high"), math.nan)


def _plain(name: str, row: Mapping[str, Any], key: str) -> Figure:
    figure = _of(row, key)
    return Figure(
        name=f"{name}: {LABELS[key]}", value=figure["value"], n=row["n"], low=figure["low"], high=figure["high"]
    )


def _above(name: str, value: float) -> Figure:
    return Figure(name=name, value=value, n=0, must=0.0, higher=True)


def _chance(name: str, row: Mapping[str, Any]) -> Figure:
    """0 where the interval of recall holds chance."""
    figure = _of(row, R100)
    outside = max(0.0, figure["low"] - CHANCE[R100], CHANCE[R100] - figure["high"])
    return Figure(name=f"{name}: how far chance is outside the interval of R@10 of 100", value=outside, n=0, must=0.0)


def _of_optimum(name: str, rows: Rows, key: str, must: float | None) -> Figure:
    reached, optimum = (_of(rows[row], key)["value"] - CHANCE[key] for row in ("fused", OPTIMUM))
    label = f"{name}: share of the way from chance to the known optimum, {LABELS[key]}"
    return Figure(name=label, value=reached / optimum if optimum else math.nan, n=0, must=must, higher=True)


def _line(what: str, name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a table: each figure and, behind them, the ends of its 95 % interval."""
    found = {key: _of(row, key) for key in (R100, SAME_SEX, "centred_cosine", "cosine", "l1")}
    values = {key: figure["value"] for key, figure in found.items()}
    ends = {f"{key}, {end}": figure.get(end, math.nan) for key, figure in found.items() for end in ("low", "high")}
    return {"run": what, "row": name, **values, **ends}


if __name__ == "__main__":
    sys.exit(main())
