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
import functools
import multiprocessing
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from accuracy import coverings
from accuracy.masks import png
from figures import Section, in_fitting_half, show
from PIL import Image

from voxdata.faces.decode import decode_photo
from voxdata.faces.detect.backends import find_backend
from voxdata.faces.detect.landmarks import Landmarker
from voxdata.faces.detect.upside_down import PhotoFaces
from voxdata.faces.face import Face
from voxdata.faces.measures import framing, hidden
from voxdata.recipe.faces import FaceMeasure
from voxdata.recipe.reading import load_recipe
from voxdata.simulate.face import Scene, Shot, paint_scene
from voxdata.simulate.head import shape_head
from voxdata.simulate.people import draw_people

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

FOLDERS = (
    "truth/mask-celebamask/images",
    "truth/pose-aflw2000",
    "voxceleb1-mini/photos",
    "avspeech-mini",
    "photos/web",
    "photos/lfw-gray",
    "truth/landmarks-ytf",
    "truth/mask-human/images",
)
EVERY = 3  # of the real photos, on which something is painted
SIMULATED = 120
MAX_YAW_DEG = 30.0  # further turned faces fall to other rules
PAINT_PX = 640  # longer side of what is painted on
FOLDS = 10
CUTS = (-0.05, 0.1, 0.2)  # of the head's height, below its top or above its chin; negative: beside it
CUT_FROM, WHOLE_UP_TO = 0.1, 0.02
HEAD_LABELS = tuple(range(1, 15))  # of CelebAMask-HQ: skin, features, glasses, hair, hat


@dataclass(frozen=True, kw_only=True)
class Case:
    """A face as it was measured; `kind` is `bare`, `listed` and its word, or what was painted."""

    person: str
    kind: str
    simulated: bool
    features: Mapping[str, Mapping[str, float]]


def main() -> None:
    """Fit, or measure, print, write."""
    parser = argparse.ArgumentParser(description="rules of hidden and cut faces")
    parser.add_argument("--data", type=Path, required=True, help="folder with truth/, photos/ and the video frames")
    parser.add_argument("--listed", type=Path, help="file of real photos that were looked at")
    parser.add_argument("--fit", action="store_true", help="fit on the fitting half, and write nothing")
    parser.add_argument("--workers", type=int, default=2, help="processes that measure")
    options = parser.parse_args()
    jobs = list(_jobs(options.data, _listed(options.listed), fitting=options.fit))
    heads = list(_heads(options.data, fitting=options.fit))
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        cases = [case for found in pool.map(_measured, jobs, chunksize=8) for case in found]
        cuts = [cut for found in pool.map(_cut_head, heads, chunksize=4) for cut in found]
    if options.fit:
        for rule in RULES:
            _fit(rule, cases)
        _show_cuts(cuts)
        return
    show([_hidden_section(cases), _cut_section(cuts)], "hidden_faces")


@functools.cache
def _landmarker() -> Landmarker:
    settings = FaceMeasure()
    return find_backend(settings.backend).open(settings)


def _find(pixels: Pixels) -> Face | None:
    """The largest face of a photo, None without one and beyond `MAX_YAW_DEG`."""
    photo = decode_photo(png(pixels), max_megapixels=178, min_side_px=8, min_decoded_share=0)
    faces = PhotoFaces(photo.pixels, _landmarker())
    boxes = faces.detect(FaceMeasure().min_detection_score)
    landmarks = faces.landmarks(boxes[0]) if boxes else None
    face = None if landmarks is None else Face(photo=photo, box=boxes[0], landmarks=landmarks)
    return face if face is not None and abs(face.pose.yaw_deg) <= MAX_YAW_DEG else None


def _listed(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    lines = (line.split("\t") for line in path.read_text("utf-8").splitlines() if line.strip())
    return {name: f"listed {kind}" for kind, name in lines}


def _person(path: Path) -> str:
    """Whose photo it is, as far as its name tells; photos of AFLW2000 that may be of one person go together."""
    if path.parent.parent.name in ("photos", "web"):
        return path.parent.name
    if "aflw" in str(path):
        return f"aflw {int(re.findall(r'[0-9]+', path.name)[0]) // 200}"
    if "avspeech" in str(path):
        return path.name[:11]
    return re.sub(r"_\d+$", "", path.stem)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A photo to be measured: a file, or a simulated person by number. `paints`: also with something painted on it."""

    person: str
    kind: str
    path: Path | None = None
    number: int = 0
    paints: bool = True


def _jobs(data: Path, listed: Mapping[str, str], *, fitting: bool) -> Iterator[Job]:
    for folder in FOLDERS:
        paths = sorted(each for each in (data / folder).rglob("*") if each.suffix.lower() in (".jpg", ".jpeg", ".png"))
        for path in paths:
            person, name = _person(path), str(path.relative_to(data))
            if in_fitting_half(person) == fitting:
                paints = zlib.crc32(name.encode()) % EVERY == 0
                yield Job(person=person, kind=listed.get(name, "bare"), path=path, paints=paints)
    for number, person in enumerate(draw_people(SIMULATED, seed=21, link=1.0)):
        if in_fitting_half(person.identity) == fitting:
            yield Job(person=person.identity, kind="bare", number=number)


def _measured(job: Job) -> list[Case]:
    """The photo as it is, and with glasses, dark or clear, and with a mask or a scarf."""
    pixels = _simulated(job.number) if job.path is None else _smaller(job.path)
    simulated = job.path is None
    face = _find(pixels)
    if face is None:
        return []
    cases = [_case(job.person, job.kind, face, simulated)]
    if not job.paints or job.kind != "bare":
        return cases
    rng = np.random.default_rng([zlib.crc32(job.person.encode()), zlib.crc32(pixels.tobytes())])
    dark, mask = rng.random() < 0.6, rng.random() < 0.7
    for drawn, paint in (
        ("dark", coverings.dark_glasses) if dark else ("clear", coverings.clear_glasses),
        ("mask", coverings.surgical_mask) if mask else ("scarf", coverings.scarf),
    ):
        covered = _find(paint(pixels, face.points, rng))
        if covered is not None:
            cases.append(_case(job.person, drawn, covered, simulated))
    return cases


def _simulated(number: int) -> Pixels:
    rng = np.random.default_rng([number, 1])
    scene = Scene(
        background=str(rng.choice(["plain", "gradient", "blobs", "room"])),
        shots=((draw_people(number + 1, seed=21, link=1.0)[number], _shot(rng)),),
    )
    return paint_scene(scene, size_px=int(rng.integers(220, 600)), seed=number)


def _shot(rng: np.random.Generator) -> Shot:
    return Shot(
        yaw_deg=float(rng.uniform(-8, 8)),
        pitch_deg=float(rng.uniform(-5, 5)),
        roll_deg=float(rng.uniform(-8, 8)),
        smile=float(0.3 * rng.random()),
        light_azimuth_deg=float(rng.uniform(-60, 60)),
        light_contrast=float(rng.uniform(0.05, 0.7)),
    )


def _case(person: str, kind: str, face: Face, simulated: bool) -> Case:
    regions = hidden.region_colours(face.patch)
    features = {"eyes": hidden.eye_features(regions), "lower face": hidden.lower_features(regions)}
    return Case(person=person, kind=kind, simulated=simulated, features=features)


def _smaller(path: Path) -> Pixels:
    """A photo, `PAINT_PX` on its longer side at most."""
    pixels = decode_photo(path.read_bytes(), max_megapixels=178, min_side_px=8, min_decoded_share=0).pixels
    scale = min(1.0, PAINT_PX / max(pixels.shape[:2]))
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    return pixels if scale == 1 else np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


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
        face = _find(np.ascontiguousarray(pixels[row:] if end == "top" else pixels[:row]))
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
    face = _find(pixels)
    if face is None:
        return None
    person = np.isin(mask, HEAD_LABELS) if "celebamask" in str(path) else mask > 127
    near = slice(*np.clip(face.points[list(framing.SIDES), 0], 0, pixels.shape[1]).astype(int))
    rows = np.flatnonzero(person[:, near].any(axis=1))
    if not rows.size or not 2 < rows[0] < face.points[framing.FOREHEAD, 1]:
        return None
    return pixels, float(rows[0]), float(face.points[framing.CHIN, 1])


def _painted_head(number: int) -> tuple[Pixels, float, float]:
    person, shot = draw_people(number + 1, seed=22, link=1.0)[number], _shot(np.random.default_rng([number, 2]))
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
