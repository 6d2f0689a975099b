"""Dark glasses, covered lower faces and heads that the photo's border cuts: precision and recall of their rules.

    python benchmarks/hidden_faces.py --data DIR --fit     weights and limits, by the fitting half of the people alone
    python benchmarks/hidden_faces.py --data DIR           the reported half, into benchmarks/results/hidden_faces.json

Cases are painted on real photos and on simulated people (`accuracy/coverings.py`), or cut out of photos whose heads
hand-made masks show. `--listed` names a file of real photos that were looked at, one a line: `dark`, `covered` or
`unclear`, a tab, and the path under DIR; every other real photo counts as neither. It stays outside the repository, as
it names photos of people. Halves go by person.
"""

from __future__ import annotations

import argparse
import multiprocessing
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from figures import Section, in_fitting_half, show
from hidden_cases import SIMULATED, Case, Pixels, draw_shot, find_face, find_jobs, measured, read_listed
from PIL import Image

from voxdata.faces.measures import framing, hidden
from voxdata.recipe.reading import load_recipe
from voxdata.simulate.face import Scene, paint_scene
from voxdata.simulate.head import shape_head
from voxdata.simulate.people import draw_people

Floats = npt.NDArray[np.float64]

FOLDS = 10
CUTS = (-0.05, 0.1, 0.2)  # of the head's height, below its top or above its chin; negative: beside it
CUT_FROM, WHOLE_UP_TO = 0.1, 0.02
HEAD_LABELS = tuple(range(1, 15))  # of CelebAMask-HQ: skin, features, glasses, hair, hat


def main() -> None:
    """Fit, or measure, print, write."""
    parser = argparse.ArgumentParser(description="rules of hidden and cut faces")
    parser.add_argument("--data", type=Path, required=True, help="folder with truth/, photos/ and the video frames")
    parser.add_argument("--listed", type=Path, help="file of real photos that were looked at")
    parser.add_argument("--fit", action="store_true", help="fit on the fitting half, and write nothing")
    parser.add_argument("--workers", type=int, default=2, help="processes that measure")
    options = parser.parse_args()
    jobs = list(find_jobs(options.data, read_listed(options.listed), fitting=options.fit))
    heads = list(_heads(options.data, fitting=options.fit))
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        cases = [case for found in pool.map(measured, jobs, chunksize=8) for case in found]
        cuts = [cut for found in pool.map(_cut_head, heads, chunksize=4) for cut in found]
    if options.fit:
        for rule in RULES:
            _fit(rule, cases)
        _show_cuts(cuts)
        return
    show([_hidden_section(cases), _cut_section(cuts)], "hidden_faces")


@dataclass(frozen=True, kw_only=True)
class Covered:
    """A rule: which kinds it should reject, which it should not, and how its score is made."""

    name: str
    reason: str
    rejects: tuple[str, ...]
    passes: tuple[str, ...]
    weights: Mapping[str, float]
    setting: str
    listed: str

    def chosen(self, cases: Sequence[Case]) -> list[Case]:
        """Those that say something about it."""
        return [case for case in cases if case.kind in (*self.rejects, *self.passes) and self.told(case)]

    def told(self, case: Case) -> bool:
        """Whether enough of the face lies in the photo."""
        return bool(np.isfinite(list(case.features[self.name].values())).all())

    def found(self, cases: Sequence[Case], limit: float) -> npt.NDArray[np.bool_]:
        """(N,) whether the score of each is beyond a limit."""
        weights = np.array([self.weights[name] for name in [*cases[0].features[self.name], ""]])
        return np.asarray(1 / (1 + np.exp(-self.matrix(cases) @ weights)) > limit, np.bool_)

    def should(self, cases: Sequence[Case]) -> npt.NDArray[np.bool_]:
        """(N,) whether each is to be rejected."""
        return np.array([case.kind in self.rejects for case in cases], bool)

    def matrix(self, cases: Sequence[Case]) -> Floats:
        """Features (N, F), and a column of ones."""
        return np.array([[*case.features[self.name].values(), 1.0] for case in cases])


RULES = (
    Covered(
        name="eyes",
        reason="eyes_hidden",
        rejects=("dark", "listed dark"),
        passes=("bare", "clear"),
        weights=hidden.EYES_WEIGHTS,
        setting="max_eyes_hidden",
        listed="listed dark",
    ),
    Covered(
        name="lower face",
        reason="lower_face_hidden",
        rejects=("mask", "scarf"),  # fitted on these alone; what is listed is of other kinds
        passes=("bare", "clear", "dark"),
        weights=hidden.LOWER_WEIGHTS,
        setting="max_lower_face_hidden",
        listed="listed covered",
    ),
)


def _fit(rule: Covered, cases: Sequence[Case]) -> None:
    """Print weights, and precision and recall of limits in cross-validation by person."""
    chosen = rule.chosen(cases)
    features, should = rule.matrix(chosen), rule.should(chosen).astype(float)
    fold = np.array([zlib.crc32(case.person.encode()) % FOLDS for case in chosen])
    scores = np.zeros(len(chosen))
    for each in range(FOLDS):
        weights = _logistic(features[fold != each], should[fold != each])
        scores[fold == each] = 1 / (1 + np.exp(-features[fold == each] @ weights))
    names = [*chosen[0].features[rule.name], ""]
    print(f"\n{rule.name}: {len(chosen)} cases, {int(should.sum())} to reject")
    print({name: round(float(weight), 4) for name, weight in zip(names, _logistic(features, should), strict=True)})
    real = np.array([case.kind == "bare" and not case.simulated for case in chosen])
    for limit in np.arange(0.1, 0.96, 0.05):
        out = scores > limit
        print(
            f"{limit:.2f}: precision {should[out].mean():.3f}, recall {out[should == 1].mean():.3f}, "
            f"bare real faces {out[real].mean():.4f}, bare simulated {out[(should == 0) & ~real].mean():.4f}"
        )


def _logistic(features: Floats, should: Floats, steps: int = 60) -> Floats:
    """Weights (F,) of a logistic regression with a penalty of 1 on standardised features, none on the constant."""
    mean, spread = features[:, :-1].mean(axis=0), features[:, :-1].std(axis=0)
    given = np.column_stack([(features[:, :-1] - mean) / spread, features[:, -1]])
    penalty = np.eye(given.shape[1])
    penalty[-1, -1] = 1e-6
    weights = np.zeros(given.shape[1])
    for _ in range(steps):
        likely = 1 / (1 + np.exp(-np.clip(given @ weights, -30, 30)))
        slope = given.T @ (likely - should) + penalty @ weights
        weights = weights - np.linalg.solve((given * (likely * (1 - likely))[:, None]).T @ given + penalty, slope)
    scaled = weights[:-1] / spread
    return np.append(scaled, weights[-1] - mean @ scaled)


def _hidden_section(cases: Sequence[Case]) -> Section:
    limits = load_recipe("hq-voxceleb-automatic").faces.occlusion
    tables = {}
    for rule in RULES:
        limit = getattr(limits, rule.setting)
        painted = [case for case in rule.chosen(cases) if not case.kind.startswith("listed")]
        found = rule.should(painted)
        out, simulated = rule.found(painted, limit), np.array([case.simulated for case in painted])
        tables[rule.reason] = [
            _row("painted on simulated people", found[simulated], out[simulated]),
            _row("painted on photos of real people", found[~simulated], out[~simulated]),
        ]
        seen = [case for case in cases if not case.simulated and case.kind in ("bare", rule.listed)]
        seen = [case for case in seen if rule.told(case)]
        worn = np.array([case.kind == rule.listed for case in seen], bool)
        tables[rule.reason].append(_row("real photos as they are", worn, rule.found(seen, limit)))
    return Section(
        title="Hidden faces",
        tables=tables,
        notes=[
            "People of the reported half, within 30 deg of yaw. Of the real photos as they are, those count as hidden "
            "that a file lists; nobody in them wears a mask, and the covered mouths are behind hands and things."
        ],
    )


def _row(cases: str, should: npt.NDArray[np.bool_], did: npt.NDArray[np.bool_]) -> dict[str, Any]:
    right = int((should & did).sum())
    return {
        "cases": cases,
        "should reject": int(should.sum()),
        "did": right,
        "should not": int((~should).sum()),
        "did all the same": int((did & ~should).sum()),
        "precision": right / max(int(did.sum()), 1),
        "recall": right / max(int(should.sum()), 1),
    }


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A photo that was cut: how much of the head's height is gone, and the share that was measured."""

    simulated: bool
    end: str
    share: float
    measured: float


def _heads(data: Path, *, fitting: bool) -> Iterator[Path | int]:
    """Photos with masks, and numbers of simulated people."""
    for name in ("mask-celebamask", "mask-human"):
        paths = sorted((data / "truth" / name / "images").iterdir())
        yield from (path for path in paths if in_fitting_half(path.name) == fitting)
    people = draw_people(SIMULATED // 4, seed=22, link=1.0)
    yield from (number for number, person in enumerate(people) if in_fitting_half(person.identity) == fitting)


def _cut_head(source: Path | int) -> list[Cut]:
    """A photo in which all of the head is to be seen, cut at and through the head's top and the chin."""
    found = _painted_head(source) if isinstance(source, int) else _masked_head(source)
    if found is None:
        return []
    pixels, top, chin = found
    cuts = []
    for end, share in product(("top", "chin"), CUTS):
        row = round(top + share * (chin - top)) if end == "top" else round(chin - share * (chin - top))
        row = min(max(row, 0), len(pixels))
        gone = (row - top if end == "top" else chin - row) / (chin - top)
        face = find_face(np.ascontiguousarray(pixels[row:] if end == "top" else pixels[:row]))
        if face is not None:
            middle = face.pupils.as_array().mean(axis=0)
            measured = framing.head_cut_share(face.points, middle, face.pixels.shape)
            cuts.append(Cut(simulated=isinstance(source, int), end=end, share=gone, measured=measured))
    return cuts


def _masked_head(path: Path) -> tuple[Pixels, float, float] | None:
    """A photo with the rows of the head's top, by its mask, and of the chin; None where the head is not whole."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    labels = Image.open(path.parents[1] / "masks" / f"{path.stem}.png").resize(
        pixels.shape[1::-1], Image.Resampling.NEAREST
    )
    mask = np.asarray(labels)
    face = find_face(pixels)
    if face is None:
        return None
    person = np.isin(mask, HEAD_LABELS) if "celebamask" in str(path) else mask > 127
    near = slice(*np.clip(face.points[list(framing.SIDES), 0], 0, pixels.shape[1]).astype(int))
    rows = np.flatnonzero(person[:, near].any(axis=1))
    if not rows.size or not 2 < rows[0] < face.points[framing.FOREHEAD, 1]:
        return None
    return pixels, float(rows[0]), float(face.points[framing.CHIN, 1])


def _painted_head(number: int) -> tuple[Pixels, float, float]:
    person, shot = draw_people(number + 1, seed=22, link=1.0)[number], draw_shot(np.random.default_rng([number, 2]))
    pixels = paint_scene(Scene(shots=((person, shot),)), size_px=400, seed=number)
    head = shape_head(person.face)
    ends = shot.pose(400).project(np.vstack([[0.0, 1.08, 0.0], head.surface([[0.0, -0.97]])[0]]))
    return pixels, float(ends[0, 1]), float(ends[1, 1])


def _judged(cuts: Sequence[Cut], limit: float, **which: Any) -> dict[str, Any]:
    chosen = [
        cut
        for cut in cuts
        if (cut.share >= CUT_FROM or cut.share <= WHOLE_UP_TO) and all(getattr(cut, k) == v for k, v in which.items())
    ]
    name = " ".join(
        [
            "simulated people" if which["simulated"] else "photos of real people",
            *([which["end"]] if "end" in which else []),
        ]
    )
    should = np.array([cut.share >= CUT_FROM for cut in chosen], bool)
    return _row(name, should, np.array([np.float32(cut.measured) > np.float32(limit) for cut in chosen], bool))


def _show_cuts(cuts: Sequence[Cut]) -> None:
    print("\nhead cut")
    for limit in (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08):
        rows = [
            _judged(cuts, limit, simulated=simulated, end=end) for simulated in (False, True) for end in ("top", "chin")
        ]
        print(
            limit,
            *(
                f"{row['cases']}: {row['did']}/{row['should reject']} {row['did all the same']}/{row['should not']}"
                for row in rows
            ),
            sep="; ",
        )


def _cut_section(cuts: Sequence[Cut]) -> Section:
    limit = load_recipe("hq-voxceleb-automatic").faces.render.max_head_cut
    rows = [_judged(cuts, limit, simulated=simulated) for simulated in (True, False)]
    rows += [
        _judged(cuts, limit, simulated=simulated, end=end) for simulated in (True, False) for end in ("top", "chin")
    ]
    return Section(
        title="Heads that the photo's border cuts",
        tables={"head_cut": rows},
        notes=["A head counts as cut from 10 % of its height on, hair included, and as whole up to 2 %."],
    )


if __name__ == "__main__":
    main()
