"""Does a measure of focus find blur, and equally on dark and on light skin? The rule's, and another.

    python benchmarks/focus.py --data DIR --fit     AUC and limits, by the fitting half of the people alone
    python benchmarks/focus.py --data DIR           the reported half, into benchmarks/results/focus.json

`sharpness` is what the rule `blurred` judges by: detail over contrast. `detail` compares detail with detail: the energy
of bands one octave apart, so that contrast and brightness cancel. Both are of the patch (`focus_cases.py` has the
cases); limits are those that reject no, 1 % and 3 % of the real sharp faces of the fitting half.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from figures import DRAWS, Figure, Section, show
from focus_cases import SKINS, Job, cases, find_jobs

from voxdata.faces.geometry.patch import FacePatch
from voxdata.faces.measures.sharpness import measure_sharpness

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
FINEST_PX = 0.8  # of 0.8, 1 and 1.4 the highest AUC on the fitting half
SHARES = (0.0, 0.01, 0.03)  # of real sharp faces of the fitting half that a limit rejects
TERCILES = ("darker third", "middle third", "lighter third")


def detail(patch: FacePatch) -> float:
    """Root mean square of the band 0.8 to 1.6 px over that of 1.6 to 3.2 px, on the face; 0 without contrast."""
    if not patch.face.any():
        return 0.0
    smooth = [cv2.GaussianBlur(patch.luma, (0, 0), FINEST_PX * times) for times in (1, 2, 4)]
    fine, coarse = (float(np.square((a - b)[patch.face]).mean()) for a, b in pairwise(smooth))
    return float(np.sqrt(fine / coarse)) if coarse > 0 else 0.0


MEASURES: Mapping[str, Callable[[FacePatch], float]] = {"sharpness": measure_sharpness, "detail": detail}
# as `--fit` prints them, by SHARES
LIMITS: Mapping[str, Sequence[float]] = {
    "sharpness": (0.04806, 0.06717, 0.07502),
    "detail": (0.33347, 0.43422, 0.47282),
}


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A case without its pixels."""

    person: str
    skin: str
    tone_deg: float | None
    kind: str
    scores: Mapping[str, float]


def main() -> None:
    """Fit, or measure, print, write."""
    parser = argparse.ArgumentParser(description="measures of focus, by skin tone")
    parser.add_argument("--data", type=Path, required=True, help="folder with truth/ and photos/")
    parser.add_argument("--fit", action="store_true", help="on the fitting half, and write nothing")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    jobs = find_jobs(options.data, fitting=options.fit)
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        rows = [row for found in pool.map(scored, jobs, chunksize=4) for row in found]
    if options.fit:
        fit(rows)
        return
    show([section(rows)], "focus")


def scored(job: Job) -> list[Scored]:
    """The scores of the cases of a photo."""
    return [
        Scored(
            person=case.person,
            skin=case.skin,
            tone_deg=case.tone_deg,
            kind=case.kind,
            scores={name: measure(case.patch) for name, measure in MEASURES.items()},
        )
        for case in cases(job)
    ]


def fit(rows: Sequence[Scored]) -> None:
    """Print the AUC on real faces, and the limits."""
    real = [row for row in rows if not row.skin]
    sharp = np.array([row.kind == "sharp" for row in real])
    for name in MEASURES:
        scores = np.array([row.scores[name] for row in real])
        limits = [round(float(limit), 5) for limit in np.quantile(scores[sharp], SHARES)]
        print(f"{name}: {len(real)} real cases, AUC {auc(scores, sharp):.4f}, limits {limits}")


def auc(scores: Floats, sharp: Flags) -> float:
    """How often a sharp case has more than a blurred one."""
    ordered = np.sort(scores[~sharp])
    below = np.searchsorted(ordered, scores[sharp], "left") + np.searchsorted(ordered, scores[sharp], "right")
    return float(below.mean() / 2 / len(ordered))


def section(rows: Sequence[Scored]) -> Section:
    """AUC and recall of both measures, by thirds of the real faces' tone and by the paint's skin."""
    groups = _groups(rows)
    sharp = np.array([row.kind == "sharp" for row in rows])
    people, of = np.unique([row.person for row in rows], return_inverse=True)
    figures, table = [], []
    for name in MEASURES:
        scores = np.array([row.scores[name] for row in rows])
        table += [
            {"measure": name, "faces": group, "cases": int(chosen.sum()), "AUC": auc(scores[chosen], sharp[chosen])}
            | {"share": share, "sharp rejected": float((scores < limit)[chosen & sharp].mean())}
            | {"blurred rejected": float((scores < limit)[chosen & ~sharp].mean())}
            for group, chosen in groups.items()
            for share, limit in zip(SHARES, LIMITS[name], strict=True)
        ]
        for share, limit in zip(SHARES, LIMITS[name], strict=True):
            out = (scores < limit) & ~sharp
            for pair in (("painted light", "painted dark"), ("lighter third", "darker third")):
                asked = f"{name}, limit of {share:.0%}: blurred rejected, {pair[0]} over {pair[1]}"
                figures.append(_ratio(asked, out, ~sharp, [groups[group] for group in pair], of, len(people)))
    return Section(
        title="Blur found",
        figures=figures,
        tables={"reported half": table},
        notes=["Limits reject `share` of the real sharp faces of the fitting half."],
    )


def _groups(rows: Sequence[Scored]) -> dict[str, Flags]:
    """Real faces, their thirds by tone, and painted faces by skin: rows (N,) of each."""
    skin = np.array([row.skin for row in rows])
    tone = np.array([np.nan if row.tone_deg is None else row.tone_deg for row in rows])
    bounds = np.nanpercentile(tone[skin == ""], [100 / 3, 200 / 3])
    third = np.where(np.isnan(tone), -1, np.digitize(tone, bounds))
    found: dict[str, Flags] = {"real": skin == ""}
    found |= {name: (skin == "") & (third == number) for number, name in enumerate(TERCILES)}
    return found | {f"painted {name}": skin == name for name in SKINS}


def _ratio(name: str, out: Flags, asked: Flags, pair: Sequence[Flags], of: Any, people: int) -> Figure:
    """Rate of the first group over that of the second, people drawn with replacement."""
    rejected, cases_of = (
        np.array([np.bincount(of, weights=flags & group, minlength=people) for group in pair]) for flags in (out, asked)
    )
    drawn = np.random.default_rng(0).integers(0, people, (DRAWS, people))

    def ratio(counts: Any, total: Any) -> Any:
        rates = np.maximum(counts, 0.5) / np.maximum(total, 1)
        return rates[0] / rates[1]

    low, high = np.percentile(ratio(rejected[:, drawn].sum(axis=2), cases_of[:, drawn].sum(axis=2)), [2.5, 97.5])
    value = float(ratio(rejected.sum(axis=1), cases_of.sum(axis=1)))
    return Figure(name=name, value=value, n=int(rejected.sum()), low=float(low), high=float(high))


if __name__ == "__main__":
    main()
