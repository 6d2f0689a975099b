"""Runs on the same pairs: per person, so that what one run does better can be told from who was asked.

A pair is a person's voice, the first seconds of their clips in order, and their portraits; nothing is drawn at random.
All runs answer for the same people, are looked at by one embedder, and are held against the same real portraits.
Shapes: N people, E embedding.
"""

from __future__ import annotations

import hashlib
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.data.snapshots import open_snapshot
from models.embedders import describe_embedder
from models.embedders.base import Embedder
from models.errors import EvaluationError
from models.evaluate.contestants import Evaluation
from models.evaluate.distributions import VFS_SPLITS, vggface_score
from models.evaluate.judge import Judge
from models.evaluate.metrics import FloatArray, IntArray, better_by, bootstrap_interval
from models.evaluate.protocol import open_embedder, open_store
from models.evaluate.realism import VFS, Look, vfs_network
from models.evaluate.rows import Centre, Protocol, person_values
from models.evaluate.tables import grouped, is_group
from models.generator import Generator
from models.training.config import RunConfig, choose_device, make_config
from models.training.inputs import check_judged
from voxdata.format.counting import Counting, silent
from voxdata.format.reader import Reader

LATENCY_VOICES = 20


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One run on the pairs: values per person (N,), and what the whole run is guarded by.

    `groups` is the mean cosine of each group of enough people, named `sex f`, `nationality …`; `nan_rate` the share of
    faces with a value that is not finite; `latency_ms` the median time from one voice to its face; `vfs` None where its
    network's file is not given.
    """

    run: str
    values: Mapping[str, FloatArray]
    groups: Mapping[str, float]
    nan_rate: float
    latency_ms: float
    vfs: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs on the same pairs, in the order in which they were asked for; `pairs` is a hash of all that they were held
    against, `embedder` who looked at the faces."""

    snapshot: str
    split: str
    pairs: str
    people: int
    seconds: float
    embedder: Mapping[str, str | None]
    runs: tuple[Measured, ...]


def compare(
    runs: Sequence[str | Path],
    *,
    snapshot_id: str,
    seconds: float,
    split: str = "test",
    embedder: str | None = None,
    weights: Mapping[str, str] | None = None,
    root: str | None = None,
    device: str = "auto",
    seed: int = 0,
    counting: Counting = silent,
) -> Comparison:
    """Ask runs about everybody whom all of them can answer for in a split of a snapshot. Raises `TrainingError`.

    `counting` is told of every run that was asked.
    Without `embedder` it is the first run's; one that was trained in a run is the first run's, too.
    """
    chosen = choose_device(device)
    opened = [Generator(Path(run), chosen) for run in runs]
    configs = [make_config(each.run["run"] | ({"root": root} if root else {})) for each in opened]
    files = {name: path for config in configs[::-1] for name, path in config.weights.items()} | dict(weights or {})
    name = embedder or configs[0].embedder
    eye = open_embedder(name, Path(runs[0]), files).to(chosen)
    snapshot = open_snapshot(configs[0].root, snapshot_id)
    for config in configs:
        check_judged(config, snapshot.snapshot)
    asked = [
        _Asked(Path(run).name, generator, config, snapshot, split, eye, seed)
        for run, generator, config in zip(runs, opened, configs, strict=True)
    ]
    people = sorted(set.intersection(*(set(each.evaluation.unseen.people) for each in asked)))
    if not people:
        raise EvaluationError(f"snapshot {snapshot_id}: nobody in split {split!r} is known to all of {len(runs)} runs")
    target = max(asked, key=lambda each: each.generator.preset.side_px)
    look = vfs_network(files, chosen)["vfs_bgr"] if VFS in files else None
    latencies, measured = _latencies(asked, people, seconds), []
    with counting("evaluate runs", len(asked)) as advance:
        for each, latency in zip(asked, latencies, strict=True):
            measured.append(each.measure(people, target, seconds, look, latency))
            advance(1)
    return Comparison(
        snapshot=snapshot_id,
        split=split,
        pairs=_pairs(snapshot, split, people, configs[0].front_end),
        people=len(people),
        seconds=seconds,
        embedder=describe_embedder(name, files),
        runs=tuple(measured),
    )


def paired(comparison: Comparison, metric: str, *, draws: int, seed: int) -> tuple[float, float, float, int]:
    """How much better the second run is than the first: mean over people, 95 % interval, and how many people.

    People are resampled (paired bootstrap); for `l1` and `median_rank` less is better, so the sign is turned. Who has
    no finite value in both runs is left out; with nobody left the figures are NaN. Raises `EvaluationError`.
    """
    known = set.intersection(*(set(run.values) for run in comparison.runs))
    if metric not in known:
        raise EvaluationError(
            f"metric {metric!r}: {comparison.people} people of split {comparison.split} give "
            f"{', '.join(sorted(known))}; choose one of these, or build with more people"
        )
    first, second = (run.values[metric] for run in comparison.runs)
    better_N = better_by(metric, second, first)
    if not len(better_N):
        return math.nan, math.nan, math.nan, 0
    low, high = bootstrap_interval(better_N, seed=seed, draws=draws)
    return float(better_N.mean()), low, high, len(better_N)


class _Asked:
    """A run that is asked, with the people of the split as it hears and sees them."""

    def __init__(
        self,
        name: str,
        generator: Generator,
        config: RunConfig,
        snapshot: Reader,
        split: str,
        eye: Embedder,
        seed: int,
    ) -> None:
        self.name = name
        self.generator = generator
        self.judge = Judge(generator=generator, embedder=eye, seed=seed)
        training, unseen = (open_store(config, generator, snapshot, each) for each in ("train", split))
        self.evaluation = Evaluation(self.judge, training, unseen, {})

    @cached_property
    def centre(self) -> FloatArray:
        """Mean embedding of the faces for training people's voices."""
        faces = self.judge.fused(self.evaluation.training, self.evaluation.centre_people)
        mean: FloatArray = self.judge.embed(faces).mean(axis=0)
        return mean

    def rows(self, people: Sequence[str]) -> IntArray:
        """Where these people are in the split as this run has it."""
        place = {person: row for row, person in enumerate(self.evaluation.unseen.people)}
        return np.asarray([place[person] for person in people], np.int64)

    def faces(self, people: Sequence[str], seconds: float) -> Tensor:
        """Faces (N, 3, S, S) for the first seconds of these people's speech."""
        return self.judge.fused(self.evaluation.unseen, self.rows(people), seconds=seconds)

    def measure(
        self, people: Sequence[str], target: _Asked, seconds: float, look: Look | None, latency_ms: float
    ) -> Measured:
        """Everything about this run; `target` has the portraits that all runs are held against."""
        faces = self.faces(people, seconds)
        broken_N = ~torch.isfinite(faces).flatten(1).all(dim=1).cpu().numpy()
        unseen, rows = self.evaluation.unseen, self.rows(people)
        values = person_values(
            [(self.judge.embed(faces), target.evaluation.real[target.rows(people)])],
            Centre(generated=self.centre, real=target.evaluation.training_real.mean(axis=0)),
            Protocol(seed=self.judge.seed, sexes=tuple(unseen.sexes[row] for row in rows)),
        )
        values = {name: np.where(broken_N, np.nan, value_N) for name, value_N in values.items()}
        labels = {
            "sex": [unseen.sexes[row] for row in rows],
            "nationality": [unseen.nationalities[row] for row in rows],
        }
        score = vggface_score(look(faces))[0] if look is not None and len(people) >= VFS_SPLITS else math.nan
        return Measured(
            run=self.name,
            values=values,
            groups=group_cosines(labels, values["cosine"]),
            nan_rate=float(broken_N.mean()),
            latency_ms=latency_ms,
            vfs=score if math.isfinite(score) else None,
        )


def group_cosines(labels: Mapping[str, Sequence[str]], cosine_N: FloatArray) -> dict[str, float]:
    """Mean cosine of each group of somebody known and of enough people, by attribute and label."""
    found = {}
    for attribute, label_N in labels.items():
        group_N = grouped(np.asarray(label_N))
        for group in sorted(set(group_N.tolist())):
            here_N = cosine_N[group_N == group]
            if is_group(group, len(here_N)):
                found[f"{attribute} {group}"] = float(np.nanmean(here_N)) if np.isfinite(here_N).any() else math.nan
    return found


def _latencies(asked: Sequence[_Asked], people: Sequence[str], seconds: float) -> list[float]:
    """Median milliseconds from one voice to its face, run by run in turn, so that a busy machine slows all of them."""
    times: list[list[float]] = [[] for _ in asked]
    for turn in range(-1, LATENCY_VOICES):
        person = people[turn % len(people)]
        for each, taken in zip(asked, times, strict=True):
            begun = time.perf_counter()
            each.faces([person], seconds).cpu()
            if turn >= 0:
                taken.append(1000 * (time.perf_counter() - begun))
    return [statistics.median(taken) for taken in times]


def _pairs(snapshot: Reader, split: str, people: Sequence[str], front_end: str) -> str:
    """A hash of whose voices and portraits the pairs are made of, down to the bytes of the tars that hold them."""
    wanted = set(people)
    members = [*snapshot.portraits(split), *snapshot.mels(split, front_end)]
    lines = sorted(f"{m.person} {m.key} {snapshot.tar_sha256(m)}" for m in members if m.person in wanted)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
