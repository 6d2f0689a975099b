"""The trainings of `learning.py`: data of each link, the embedders, a training and its evaluation per job.

Everything is kept in the folder of the `Setting`; what is there is neither made nor trained again.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch
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
OPTIMUM = "known optimum"
EYES = {"embedder.pt": 1, "judge.pt": 2}  # the one in the losses, and the one that gives the figures: their seeds
BOXES = {"avp_gan": 9.0, "voice2face": 9.0}
"""Times the box, for systems whose losses never compare a face with a portrait."""
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
    """One training and its evaluation; `without` is a loss that is left out, `variant` the end of the preset's name."""

    system: str
    link: float
    without: str = ""
    variant: str = ""

    @property
    def name(self) -> str:
        """The name of its run."""
        return "-".join([self.system, *(["without", self.without] if self.without else []), *self.ending])

    @property
    def ending(self) -> list[str]:
        """The end of the names of run and preset."""
        return [self.variant] if self.variant else []


JOBS = (
    *(Job(system=system, link=link) for link in LINKS[::-1] for system in ("sf2f", "align")),
    *(Job(system=system, link=link) for link in (1.0, 0.0) for system in ("avp_gan", "voice2face")),
    Job(system="avp_gan", link=1.0, variant="no-cbam"),
    *(Job(system="sf2f", link=1.0, without=loss) for loss in LOSSES),
)
SYSTEMS = tuple(dict.fromkeys(job.system for job in JOBS))


def other_setting(setting: Setting) -> str:
    """Why a folder cannot be gone on with; notes the setting in a new one."""
    path = setting.folder / "setting.json"
    wanted = {key: value for key, value in dataclasses.asdict(setting).items() if key != "folder"}
    if path.exists() and json.loads(path.read_text()) != wanted:
        return f"{setting.folder} holds trainings of another setting, {path.read_text().strip()}; give another --folder"
    setting.folder.mkdir(parents=True, exist_ok=True)
    write_json(path, wanted)
    return ""


def run_all(setting: Setting, workers: int, jobs: Sequence[Job]) -> Iterator[str]:
    """The data of each link, the embedders, then the trainings, side by side in processes of one thread."""
    os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that are started from here
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        links = sorted({job.link for job in jobs} | {1.0}, reverse=True)  # embedders are trained on the first
        for written in as_completed([pool.submit(_write_data, setting, link) for link in links]):
            written.result()
        pool.submit(_train_eyes, setting).result()
        for trained in as_completed([pool.submit(_train, setting, job) for job in jobs]):
            yield trained.result()


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
        "run_dir": str(folder_of(setting, job)),
        "system": job.system,
        "preset": "-".join([setting.preset, *job.ending]),
        "overrides": {**endless, **chosen} | ({f"weight_{job.without}": 0.0} if job.without else {}),
        "front_end": FRONT_END,
        "seconds": setting.seconds * BOXES.get(job.system, 1.0),
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


def rows_of(setting: Setting, job: Job) -> Rows:
    """Figures of a finished job by row: the system's are called `fused` and `one window`."""
    evaluation = json.loads((folder_of(setting, job) / "evaluation.json").read_text())
    short = {f"{job.system}, fused": "fused"}
    rows = {
        short.get(row["name"], row["name"]): row["figures"]
        | {"n": row["people"], "fused_better": row.get("other_better", {})}
        for row in evaluation["rows"]
    }
    return {"one window" if "no fuser" in name else name: row for name, row in rows.items()}


def folder_of(setting: Setting, job: Job) -> Path:
    """The folder of a job's run."""
    return setting.root(job.link) / "runs" / job.name
