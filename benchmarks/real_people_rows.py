"""The rows of `real_people.py`: scores of every voice against every face of a fold, and figures over all folds.

Shapes: N people of a fold, E embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from figures import Figure, Section, interval
from real_people_data import MEL, MEL_FRONT_END, Material, fold_snapshot
from real_people_eyes import JUDGES, MOBILEFACENET, open_judge
from real_people_power import FOLDS, SEX, WITHIN, centred_scores, matched, regression_scores

from models.data.snapshots import open_snapshot
from models.evaluate.contestants import Evaluation
from models.evaluate.judge import Judge
from models.evaluate.metrics import FloatArray, IntArray
from models.evaluate.protocol import open_store
from models.generator import Generator
from models.train import train
from models.training.config import choose_device, make_config
from voxdata.format.atomic import write_atomic

ENDLESS = 10**6
ROUNDING = 1e-9
OVERRIDES = {
    "align": {"decoder_channels": (64, 32, 16, 16), "identity": 128, "align_steps": ENDLESS, "steps": ENDLESS},
    "sf2f": {"decoder_channels": (64, 32, 16, 16), "weight_perceptual": 0.3, "batch_size": 16, "steps": ENDLESS},
}
COSINE, SET = "centred cosine", "within one set"
LABELS = {
    SET: "1:2 matching within one set",
    SEX: "1:2 matching",
    WITHIN: "1:2 matching within one sex",
    COSINE: COSINE,
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where trainings are kept, of which version, how long each is, and the judges' files."""

    folder: Path
    snapshot: str
    seconds: float
    seed: int
    judges: Mapping[str, Path]


@dataclass(kw_only=True)
class Row:
    """One contestant before one judge: figure -> (own, shuffled), one value per person; NaN where nothing is known."""

    name: str
    judge: str
    values: dict[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)
    folds: int = 0

    def add(self, about: Material, people: IntArray, scores_NN: FloatArray, *, cosines: bool = True) -> None:
        """Take in the scores of these people's voices against their faces."""
        sexes = [about.sexes[person] for person in people]
        sets = ["pair" if about.people[person].startswith("pair") else "named" for person in people]
        found = {SEX: matched(scores_NN), SET: matched(scores_NN, sets), WITHIN: matched(scores_NN, sexes)}
        if cosines:
            own_N = np.diagonal(scores_NN)
            found[COSINE] = own_N, (scores_NN.sum(axis=0) - own_N) / (len(people) - 1)
        for figure, both in found.items():
            empty = np.full(len(about.people), np.nan)
            for kept, values in zip(self.values.setdefault(figure, (empty, empty.copy())), both, strict=True):
                kept[people] = values
        self.folds += 1


def rows_of(about: Material, front_ends: Sequence[str]) -> list[Row]:
    """The rows that need no training, before both judges."""
    rows = []
    for judge in JUDGES:
        named = {front_end: Row(name=f"voice regression, {front_end}", judge=judge) for front_end in front_ends}
        sex_only, mean_face = Row(name="sex only", judge=judge), Row(name="mean face", judge=judge)
        sex_N = np.asarray(about.sexes)
        for fold in range(FOLDS):
            test, training = np.flatnonzero(about.fold == fold), np.flatnonzero(about.fold != fold)
            for front_end, row in named.items():
                row.add(about, test, regression_scores(about.pool(front_end, judge), training, test))
            known = test[sex_N[test] != "unknown"]
            sex_only.add(about, known, (sex_N[known, None] == sex_N[known]).astype(float), cosines=False)
            liked_N = about.real[judge][test] @ about.real[judge][training].mean(axis=0)
            mean_face.add(about, test, np.tile(liked_N, (len(test), 1)), cosines=False)
        rows += [*named.values(), sex_only, mean_face]
    return rows


def trained_scores(setting: Setting, about: Material, system: str, say: Callable[[str], None]) -> list[Row]:
    """Train a system on every fold, unless that is done, and have both judges look at its faces."""
    rows = {judge: Row(name=f"{system}, {MEL}", judge=judge) for judge in setting.judges}
    for fold in range(FOLDS):
        path = setting.folder / "scores" / f"{system}-{fold}.npz"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            scores = _judged(setting, system, fold)
            write_atomic(path, lambda file, scores=scores: np.savez(file, **scores))  # type: ignore[misc]
            say(f"{system}, fold {fold + 1} of {FOLDS}: {int(scores['steps'])} steps")
        with np.load(path) as found:
            place = {person: number for number, person in enumerate(about.people)}
            people = np.asarray([place[str(person)] for person in found["people"]])
            for judge, row in rows.items():
                row.add(about, people, found[judge])
    return list(rows.values())


def _judged(setting: Setting, system: str, fold: int) -> dict[str, FloatArray]:
    root = setting.folder / "root"
    config = make_config(
        {
            "root": str(root),
            "snapshot": fold_snapshot(root, setting.snapshot, fold, setting.seed),
            "run_dir": str(root / "runs" / f"{system}-{fold}"),
            "system": system,
            "preset": "tiny",
            "overrides": OVERRIDES[system],
            "front_end": MEL_FRONT_END,
            "embedder": MOBILEFACENET,
            "weights": {MOBILEFACENET: str(setting.judges[MOBILEFACENET])},
            "seconds": setting.seconds,
            "clock": "cpu",
            "device": "cpu",
            "seed": 1,
        }
    )
    train(config)
    generator = Generator(Path(config.run_dir), choose_device("cpu"))
    snapshot = open_snapshot(config.root, config.snapshot)
    training, unseen = (open_store(config, generator, snapshot, split) for split in ("train", "test"))
    found = {"people": np.asarray(unseen.people), "steps": np.asarray(generator.step)}
    for name, file in setting.judges.items():
        judge = Judge(generator=generator, embedder=open_judge(name, file), seed=0)
        evaluation = Evaluation(judge, training, unseen, {})
        centre_E = judge.embed(judge.fused(training, evaluation.centre_people)).mean(axis=0)
        query_NE = judge.embed(judge.fused(unseen, evaluation.people))
        found[name] = centred_scores(query_NE, centre_E, evaluation.real, evaluation.training_real.mean(axis=0))
    return found


def row_section(about: Material, rows: Sequence[Row]) -> Section:
    """Own voices, shuffled ones, and the difference, each with an interval over the people of all folds."""
    figures, apart = [], []
    for row in rows:
        for key, (own_N, shuffled_N) in row.values.items():
            known = np.isfinite(own_N)
            name = f"{row.name}, {row.judge}: {LABELS[key]}"
            own, shuffled, better = (
                _figure(f"{name}{ending}", values_N[known])
                for ending, values_N in (
                    ("", own_N),
                    (", shuffled", shuffled_N),
                    (", less shuffled", own_N - shuffled_N),
                )
            )
            figures += [own, shuffled, better]
            told = {
                "intervals apart": _said(interval(own_N[known])[0] > interval(shuffled_N[known])[1]),
                "difference above 0": _said(interval((own_N - shuffled_N)[known])[0] > ROUNDING),
            }
            by_fold = [own_N[known & (about.fold == fold)] for fold in range(FOLDS)]
            spread = {f"fold {fold + 1}": float(values.mean()) for fold, values in enumerate(by_fold) if len(values)}
            apart.append({"row": row.name, "judge": row.judge, "figure": LABELS[key], "n": own.n, **told, **spread})
    counts = ", ".join(f"{about.sexes.count(sex)} {sex}" for sex in ("f", "m", "unknown"))
    return Section(
        title="real people",
        figures=figures,
        tables={"above shuffled voices": apart},
        notes=[
            f"{len(about.people)} people in {FOLDS} folds ({counts}); sex only and within one sex: those of known sex.",
            "Within one set: voxceleb1-mini or avspeech-mini alone, so that what tells these apart (cameras, "
            "microphones, compression) finds nobody.",
            "align and sf2f have MobileFaceNet in their losses: before it their figures are optimistic.",
        ],
    )


def _figure(name: str, values_N: FloatArray) -> Figure:
    low, high = interval(values_N)
    return Figure(name=name, value=float(values_N.mean()), n=len(values_N), low=low, high=high)


def _said(true: bool) -> str:
    return "yes" if true else "no"
