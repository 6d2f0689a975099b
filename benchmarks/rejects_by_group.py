"""Do rules reject one group more often than another? Simulated people in equal photos.

    python benchmarks/rejects_by_group.py         into benchmarks/results/rejects_by_group.json

Each person is painted six times, as a woman and as a man, each with dark, middle and light skin, in the same shots,
light and weather: what differs between groups is the group. A shot strains one rule or two, so that each rejects some.
The recipe is `hq-voxceleb-automatic` with the paint's own zero of pitch; intervals draw people with replacement.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from accuracy import coverings
from accuracy.masks import png
from figures import DRAWS, Figure, Section, show
from hidden_cases import find_face

from voxdata.faces import decide, link, measure
from voxdata.faces.columns import FACES
from voxdata.people.identities import bucket_of
from voxdata.recipe.reading import load_recipe
from voxdata.simulate.face import Scene, Shot, paint_scene
from voxdata.simulate.people import SCORE_LIMIT, SimulatedPerson, draw_people
from voxdata.store.items import PhotoItem

SEED, SIZE_PX = 11, 420
TONES: Mapping[str, float] = {"dark": -SCORE_LIMIT, "middle": 0.0, "light": SCORE_LIMIT}
SEXES: Mapping[str, float] = {"female": 1.0, "male": 0.0}
KINDS = ("plain", "pose", "smile", "eyes", "light", "dark", "bright", "blurred", "small", "glasses", "mask", "cut")
ACROSS = {"shared_photo", "duplicate"}  # say something of photos beside each other, which are alike here by design
UNEVEN_TIMES = 1.25
FEW = 10  # rejections of a rule, in the group that it rejects most: with fewer, a ratio says nothing

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A shot that every variant of a person is taken in; what is done to the pixels comes after the paint."""

    kind: str
    shot: Shot
    scene: Mapping[str, Any] = field(default_factory=dict)
    exposure: float = 1.0
    blur_px: float = 0.0
    size_px: int = SIZE_PX
    cut: float = 0.0  # of the photo's height, at its top
    seed: int = 0


def main() -> None:
    """Paint, measure, decide, compare, write."""
    parser = argparse.ArgumentParser(description="rejection rates of equal photos")
    parser.add_argument("--people", type=int, default=24)
    parser.add_argument("--shots", type=int, default=2, help="of each kind")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data", help="not needed: the people are simulated")
    options = parser.parse_args()
    people = draw_people(options.people, seed=SEED, link=1.0)
    jobs = [(number, person, options.shots) for number, person in enumerate(people)]
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        rows = [row for found in pool.map(rejections, jobs) for row in found]
    show([section(rows, options.people, options.shots)], "rejects_by_group")


def rejections(job: tuple[int, SimulatedPerson, int]) -> list[dict[str, Any]]:
    """A row per photo of a person: person, sex, tone, kind, measured tone, and the rules that reject it."""
    number, person, shots = job
    cases = draw_cases(np.random.default_rng([SEED, number]), shots)
    recipe = load_recipe("hq-voxceleb-automatic", ["faces.measure.frontal_pitch_deg=0"]).faces
    found = []
    for sex, femininity in SEXES.items():
        for tone, skin in TONES.items():
            face = replace(person.face, femininity=femininity, skin=skin)
            items = [_item(f"{number}-{sex}-{tone}", png(painted(replace(person, face=face), case))) for case in cases]
            faces = measure.run(items, recipe.measure).rows.select(FACES.names)
            verdicts = decide.decide(faces, link.link(faces, recipe.link), recipe)
            found += _per_photo(items, faces, verdicts, cases, {"person": number, "sex": sex, "tone": tone})
    return found


def draw_cases(rng: np.random.Generator, shots: int) -> list[Case]:
    return [draw_case(kind, rng) for _ in range(shots) for kind in KINDS]


def draw_case(kind: str, rng: np.random.Generator) -> Case:
    """A plain shot but for what its kind strains, around the limits of the recipe."""
    shot = Shot(
        yaw_deg=float(rng.uniform(-4, 4)),
        pitch_deg=float(rng.uniform(-4, 4)),
        roll_deg=float(rng.uniform(-6, 6)),
        smile=float(0.15 * rng.random()),
        light_azimuth_deg=float(rng.uniform(-25, 25)),
        light_contrast=float(rng.uniform(0.05, 0.3)),
        head_share=float(rng.uniform(0.42, 0.6)),
    )
    strained: dict[str, Any] = {
        "pose": {"yaw_deg": float(rng.uniform(-16, 16)), "pitch_deg": float(rng.uniform(-14, 14))},
        "smile": {"smile": float(rng.uniform(0.3, 1)), "mouth_open": float(rng.uniform(0, 0.4))},
        "eyes": {"eyes_open": float(rng.uniform(0, 0.6))},
        "light": {
            "light_azimuth_deg": float(rng.choice([-1, 1]) * rng.uniform(30, 80)),
            "light_contrast": float(rng.uniform(0.4, 1)),
        },
        "cut": {"centre": (0.5, float(rng.uniform(0.3, 0.42)))},
    }
    changed: dict[str, Any] = {
        "dark": {"exposure": float(rng.uniform(0.08, 0.5))},
        "bright": {"exposure": float(rng.uniform(1.1, 1.7))},
        "blurred": {"blur_px": float(rng.uniform(1.5, 8))},
        "small": {"size_px": int(rng.integers(70, 200))},
        "cut": {"cut": float(rng.uniform(0, 0.25))},
    }
    scene = {"background": str(rng.choice(["plain", "gradient", "blobs", "room"])), "warmth": float(rng.uniform(-1, 1))}
    return Case(
        kind=kind,
        shot=replace(shot, **strained.get(kind, {})),
        scene=scene | {"noise": float(rng.uniform(0.5, 4))},
        seed=int(rng.integers(2**31)),
        **changed.get(kind, {}),
    )


def painted(person: SimulatedPerson, case: Case) -> Pixels:
    """The photo of a case, uint8 (H, W, 3)."""
    pixels = paint_scene(Scene(shots=((person, case.shot),), **case.scene), size_px=case.size_px, seed=case.seed)
    if case.kind in ("glasses", "mask") and (face := find_face(pixels)) is not None:
        cover = coverings.dark_glasses if case.kind == "glasses" else coverings.surgical_mask
        pixels = cover(pixels, face.points, np.random.default_rng(case.seed))
    pixels = pixels[round(case.cut * case.size_px) :]
    if case.blur_px:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), case.blur_px), np.uint8)
    light = (pixels / 255) ** 2.2 * case.exposure  # exposure is of linear light
    return np.round(255 * np.clip(light, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def _item(who: str, data: bytes) -> PhotoItem:
    sha256 = hashlib.sha256(data).hexdigest()
    named = {"identity": who, "person": who, "bucket": bucket_of(who)}
    return PhotoItem(row={"item_id": f"{who}/{sha256}", "photo_sha256": sha256, **named}, data=lambda: data)


def _per_photo(
    items: Sequence[PhotoItem], faces: pa.Table, verdicts: pa.Table, cases: Sequence[Case], group: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The first face of each photo, which is the largest."""
    first: dict[str, tuple[Any, Any]] = {}
    for face, verdict in zip(faces.to_pylist(), verdicts.to_pylist(), strict=True):
        first.setdefault(face["item_id"], (face, verdict))
    found = []
    for item, case in zip(items, cases, strict=True):
        face, verdict = first[item.row["item_id"]]
        reasons = {reason for reason in verdict["reasons"] if reason not in ACROSS}
        found.append({**group, "kind": case.kind, "tone_deg": face["skin_tone_deg"], "reasons": reasons})
    return found


def section(rows: Sequence[Mapping[str, Any]], people: int, shots: int) -> Section:
    """For each rule its rate in each group, and the ratio of the most to the least often rejected one."""
    rules = sorted({reason for row in rows for reason in row["reasons"]})
    lines, figures, uneven = [], [], []
    for trait, groups in (("sex", SEXES), ("tone", TONES)):
        for rule in ("any", *rules):
            line, figure = _compared(rows, rule, trait, list(groups), people)
            lines.append(line)
            if figure is not None:
                figures.append(figure)
                uneven += _by_kind(rows, rule, trait, list(groups)) if figure.value > UNEVEN_TIMES else []
    tones = [
        {"painted": tone, "median measured angle": float(np.median(angles)), "photos": len(angles)}
        for tone in TONES
        for angles in [[row["tone_deg"] for row in rows if row["tone"] == tone and row["tone_deg"] is not None]]
    ]
    return Section(
        title="Rejections of equal photos",
        figures=figures,
        tables={
            f"{len(rows)} photos, {people} people, {shots} shots of each kind": lines,
            "uneven rules, photos rejected": uneven,
        }
        | {"skin tone": tones},
        notes=[f"A rule is compared where it rejects {FEW} photos of a group."],
    )


def _by_kind(rows: Sequence[Mapping[str, Any]], rule: str, trait: str, groups: Sequence[str]) -> list[dict[str, Any]]:
    """How many photos of each kind the rule rejects in each group."""
    found = []
    for kind in KINDS:
        of_kind = [row for row in rows if row["kind"] == kind]
        counts = {group: sum(rule in row["reasons"] for row in of_kind if row[trait] == group) for group in groups}
        if any(counts.values()):
            found.append({"rule": rule, "kind": kind, **counts, "of": len(of_kind) // len(groups)})
    return found


def _compared(
    rows: Sequence[Mapping[str, Any]], rule: str, trait: str, groups: Sequence[str], people: int
) -> tuple[dict[str, Any], Figure | None]:
    counts = np.zeros((people, len(groups)))  # rejected photos of each person in each group, which have equally many
    for row in rows:
        rejected = bool(row["reasons"]) if rule == "any" else rule in row["reasons"]
        counts[row["person"], groups.index(row[trait])] += rejected
    photos = len(rows) / len(groups)
    total = counts.sum(axis=0)
    line: dict[str, Any] = {"trait": trait, "rule": rule}
    line |= {group: float(total[at] / photos) for at, group in enumerate(groups)}
    if total.max() < FEW:
        return line, None
    most, least = int(total.argmax()), len(groups) - 1 - int(total[::-1].argmin())
    drawn = counts[np.random.default_rng(0).integers(0, people, (DRAWS, people))].sum(axis=1)
    low, high = np.percentile(drawn[:, most] / np.maximum(drawn[:, least], 0.5), [2.5, 97.5])
    name = f"{rule}: {groups[most]} over {groups[least]}"
    ratio = float(total[most] / max(total[least], 0.5))
    return line, Figure(name=name, value=ratio, n=int(total.sum()), low=float(low), high=float(high), must=UNEVEN_TIMES)


if __name__ == "__main__":
    main()
