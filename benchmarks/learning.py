"""Do the systems learn? On simulated people whose voices say nothing, something or all there is to say of their faces.

    python benchmarks/learning.py [--seconds 100] [--workers 2] [--folder DIR] [--device cuda --preset small]

1,000 people train, 200 are held out; voices and faces are tied by a link of 0, 0.5 and 1. `sf2f` and `align` train at
every link, `avp_gan` and `voice2face` at 1, and `sf2f` at 1 without each of its losses. Every training has the same box
of time: of CPU seconds of its own process, which computes on one thread (`clock` of run.json), so that a busy machine
gives the same figures; of wall seconds on a GPU. Two trainings go side by side. Figures are centred recall of the
held-out people in galleries of 100 and, within one sex, of 20. Before any run two face embedders are trained on the
training people's portraits: one is in the losses, the other, which no system has seen, is the judge. The known optimum
paints the face that is expected given the voice.

Settings were chosen on other people (`--people-seed 41`). With `--folder` data and runs are kept: what is there is
neither made nor trained again. `benchmarks/results/learning.json` holds what was printed at full size.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import logging
import math
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import Figure, Section, show
from learning_data import FRONT_END, known_optimum, make_root

from models.data.snapshots import open_snapshot
from models.data.store import Store
from models.embedders.self_trained import save_embedder, train_embedder
from models.evaluate.protocol import evaluate
from models.systems.registry import system_spec
from models.train import train
from models.training.config import make_config
from voxdata.format.atomic import write_atomic, write_json

LINKS = (0.0, 0.5, 1.0)
PEOPLE_SEED = 40  # presets were chosen on other seeds
PEOPLE, UNSEEN = 1000, 200
R100, SAME_SEX = "centred_recall_at_10_of_100", "centred_same_sex_recall_at_5_of_20"
LABELS = {R100: "R@10 of 100", SAME_SEX: "R@5 of 20 of one sex"}
CHANCE = {R100: 0.10, SAME_SEX: 0.25}
OPTIMUM = "known optimum"
EYES = {"embedder.pt": 1, "judge.pt": 2}  # the one in the losses, and the one that gives the figures: their seeds
OF_OPTIMUM = 0.8
ABLATION = {R100: ("R@10 of 100", 1), "cosine": ("cosine", 1), "l1": ("L1", -1)}  # SF2F, Table 7; less L1 is better
LOSSES = ("l1", "adversarial", "identity", "perceptual")
CHOSEN: Mapping[str, Mapping[str, Any]] = {
    "sf2f": {"decoder_channels": (64, 32, 16, 16), "weight_perceptual": 0.3},
    "align": {"decoder_channels": (64, 32, 16, 16)},
}
"""For the preset tiny: decoders as good in a third of the time, and a perceptual loss that counts."""
CENTRE_PEOPLE = 128  # whose optimal portraits centre that row
Rows = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """What all trainings of one benchmark share."""

    folder: Path
    people: int
    unseen: int
    people_seed: int
    seconds: float
    preset: str
    device: str

    def root(self, link: float) -> Path:
        """The data of one link."""
        return self.folder / f"link-{link:g}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """One training and its evaluation; `without` is a loss that is left out."""

    system: str
    link: float
    without: str = ""

    @property
    def name(self) -> str:
        """The name of its run."""
        return f"{self.system}-without-{self.without}" if self.without else self.system


JOBS = (
    *(Job(system=system, link=link) for link in LINKS[::-1] for system in ("sf2f", "align")),
    *(Job(system=system, link=1.0) for system in ("avp_gan", "voice2face")),
    *(Job(system="sf2f", link=1.0, without=loss) for loss in LOSSES),
)


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
        if wrong := _other_setting(setting):
            print(f"error: {wrong}", file=sys.stderr)
            return 2
        begun = time.monotonic()
        _run_all(setting, options.workers)
        print(f"{(time.monotonic() - begun) / 60:.0f} minutes with {options.workers} workers", file=sys.stderr)
        found = {job: _rows(setting, job) for job in JOBS}
    whole = (options.people, options.unseen, options.people_seed) == (PEOPLE, UNSEEN, PEOPLE_SEED)
    show(sections(found), "learning" if whole else None)
    return 0


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
    parser.add_argument("--data", help="not needed: everybody is simulated")
    return parser.parse_args()


def _other_setting(setting: Setting) -> str:
    """Why a folder cannot be gone on with; notes the setting in a new one."""
    path = setting.folder / "setting.json"
    wanted = {key: value for key, value in dataclasses.asdict(setting).items() if key != "folder"}
    if path.exists() and json.loads(path.read_text()) != wanted:
        return f"{setting.folder} holds trainings of another setting, {path.read_text().strip()}; give another --folder"
    setting.folder.mkdir(parents=True, exist_ok=True)
    write_json(path, wanted)
    return ""


def _run_all(setting: Setting, workers: int) -> None:
    """The data of each link, the embedders, then the trainings, side by side in processes of one thread."""
    os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that are started from here
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        for written in as_completed([pool.submit(_write_data, setting, link) for link in LINKS[::-1]]):
            written.result()
        pool.submit(_train_eyes, setting).result()
        for trained in as_completed([pool.submit(_train, setting, job) for job in JOBS]):
            print(trained.result(), file=sys.stderr, flush=True)


def _one_thread() -> None:
    torch.set_num_threads(1)


def _write_data(setting: Setting, link: float) -> None:
    """Snapshot and known optimum of a link, unless they are there."""
    root, seed = setting.root(link), setting.people_seed
    if not (root / "snapshot.txt").exists():
        identifier = make_root(root, people=setting.people, unseen=setting.unseen, link=link, seed=seed)
        write_atomic(root / "snapshot.txt", lambda file: file.write(identifier.encode()))
    if not (root / "optimum.npz").exists():
        centre = range(min(CENTRE_PEOPLE, setting.people))
        asked = [*centre, *range(setting.people, setting.people + setting.unseen)]
        pictures = known_optimum(asked, link=link, seed=seed)
        write_atomic(root / "optimum.npz", lambda file: np.savez(file, **pictures))


def _train_eyes(setting: Setting) -> None:
    """Two embedders of the training people's portraits at link 1, unless they are there.

    Portraits alone tell nothing of the link, so they serve all. What a system paints to please the one in its losses
    need not please the other.
    """
    config = make_config(_run(setting, Job(system="sf2f", link=1.0)))
    store = Store(
        open_snapshot(config.root, config.snapshot),
        split="train",
        front_end=FRONT_END,
        side_px=config.numbers().side_px,
        cache=config.cache(),
        device=config.torch_device(),
    )
    for name, seed in EYES.items():
        if not (setting.folder / name).exists():
            eye = train_embedder(store, steps=config.numbers().embedder_steps, seed=seed, should_stop=lambda: False)
            if eye is not None:
                save_embedder(eye, setting.folder / name)


def _run(setting: Setting, job: Job) -> dict[str, Any]:
    """The run.json of a job: the preset's numbers but for `CHOSEN`, and no end by steps, but for sf2f's fuser."""
    fields = {field.name for field in dataclasses.fields(system_spec(job.system).make_preset(setting.preset, {}))}
    chosen = CHOSEN.get(job.system, {}) if setting.preset == "tiny" else {}
    endless: dict[str, Any] = {name: 10**6 for name in ("steps", "align_steps", "speaker_steps") if name in fields}
    root = setting.root(job.link)
    return {
        "root": str(root),
        "snapshot": (root / "snapshot.txt").read_text(),
        "run_dir": str(root / "runs" / job.name),
        "system": job.system,
        "preset": setting.preset,
        "overrides": {**endless, **chosen} | ({f"weight_{job.without}": 0.0} if job.without else {}),
        "front_end": FRONT_END,
        "seconds": setting.seconds,
        "clock": "cpu" if setting.device == "cpu" else "wall",
        "device": setting.device,
        "seed": 1,
    }


def _train(setting: Setting, job: Job) -> str:
    """Train and evaluate unless that is done; says what became of it."""
    config = make_config(_run(setting, job))
    run_dir, root = Path(config.run_dir), setting.root(job.link)
    if (run_dir / "evaluation.json").exists():
        return f"{job.name}, link {job.link:g}: is there"
    run_dir.mkdir(parents=True, exist_ok=True)
    own, judge = (setting.folder / name for name in EYES)
    shutil.copyfile(own, run_dir / "embedder.pt")
    trained = train(config)
    shutil.copyfile(judge, run_dir / "embedder.pt")
    with np.load(root / "optimum.npz") as pictures:
        evaluate(run_dir, references={OPTIMUM: dict(pictures)}, protocols=["full"], device=setting.device)
    return f"{job.name}, link {job.link:g}: {trained.steps} steps"


def _rows(setting: Setting, job: Job) -> Rows:
    """Figures of a finished job by row: the system's are called `fused` and `one window`."""
    evaluation = json.loads((setting.root(job.link) / "runs" / job.name / "evaluation.json").read_text())
    short = {f"{job.system}, fused": "fused"}
    rows = {short.get(row["name"], row["name"]): row["figures"] | {"n": row["people"]} for row in evaluation["rows"]}
    return {"one window" if "no fuser" in name else name: row for name, row in rows.items()}


def sections(found: Mapping[Job, Rows]) -> list[Section]:
    """What is printed, from the rows of all jobs."""
    by_link = {s: {link: found[Job(system=s, link=link)] for link in LINKS} for s in ("sf2f", "align")}
    others = {s: found[Job(system=s, link=1.0)] for s in ("avp_gan", "voice2face")}
    losses = {loss: found[Job(system="sf2f", link=1.0, without=loss)] for loss in LOSSES}
    return [
        *(_links(system, rows) for system, rows in by_link.items()),
        _beside("align beside sf2f at link 1", by_link["align"][1.0], by_link["sf2f"][1.0]),
        Section(
            title="the others at link 1",
            figures=[_plain(f"{s}, link 1", rows["fused"], key) for s, rows in others.items() for key in LABELS],
            tables={"all rows": [_line(s, name, row) for s, rows in others.items() for name, row in rows.items()]},
            notes=["No loss of any training here became NaN, which would have ended it."],
        ),
        _without(by_link["sf2f"][1.0], losses),
    ]


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
    table = [_line(f"link {link:g}", name, row) for link, rows in found.items() for name, row in rows.items()]
    return Section(title=f"{system}, three links", figures=figures, tables={"all rows": table})


def _beside(title: str, ours: Rows, theirs: Rows) -> Section:
    figures = [
        _above(f"{LABELS[key]}, align less sf2f", _of(ours["fused"], key)["value"] - _of(theirs["fused"], key)["value"])
        for key in (SAME_SEX, R100)
    ]
    return Section(title=title, figures=figures)


def _without(whole: Rows, found: Mapping[str, Rows]) -> Section:
    """SF2F at link 1 without one loss each; everything else as in the first section."""
    table = [_line("all losses", "fused", whole["fused"])]
    table += [_line(f"without {loss}", "fused", rows["fused"]) for loss, rows in found.items()]
    notes = [_moved(loss, whole["fused"], rows["fused"]) for loss, rows in found.items()]
    return Section(title="sf2f without each loss, link 1", tables={"fused": table}, notes=notes)


def _moved(loss: str, whole: Mapping[str, Any], less: Mapping[str, Any]) -> str:
    """One line: what a loss did to the paper's metrics, all of which get worse there without any of the losses."""
    said = []
    for key, (label, sign) in ABLATION.items():
        before, after = _of(whole, key), _of(less, key)
        gain, half = sign * (before["value"] - after["value"]), (before["high"] - before["low"]) / 2
        verdict = "as the paper says" if gain > half else "against the paper" if gain < -half else "within the interval"
        said.append(f"{label} {gain:+.3f} better with it ({verdict}, ±{half:.3f})")
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
