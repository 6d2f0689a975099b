"""Purity: strangers' photos put into people's folders, who is found, and who is rejected wrongly.

People are those of photos/web, photos/lfw-gray and voxceleb1-mini with at least four photos; a stranger is any other
person of the same half. Halves go by the hash of the person's name: one who is in two collections is in one half.
A photo counts as found, or as wrongly rejected, when every face in it fails a purity rule of the recipe.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from figures import Figure, Section, in_fitting_half, interval

from voxdata.faces import measure as faces_measure
from voxdata.faces.columns import FACES
from voxdata.faces.face_table import FaceTable
from voxdata.faces.link import link
from voxdata.faces.rules import REASONS
from voxdata.recipe.faces import FaceMeasure, Faces
from voxdata.store.items import PhotoItem

WEIGHTS = "weights/mobilefacenet_y1.onnx"
COLLECTIONS = ("photos/web", "photos/lfw-gray", "voxceleb1-mini/photos")
MIN_PHOTOS = 4
DRAWS = 50
RATES = (0.1, 0.2, 0.3)
PURITY_RULES = ("no_majority", "other_person")
LIMITS = (0.16, 0.20, 0.24, 0.28, 0.32)
AGREEMENTS = (0.25, 0.30, 0.35, 0.40, 0.45)
SITUATIONS = (("each another person", 6, False), ("one other person, as often", 4, True), ("one, 6 to 4", 6, True))

Rows = list[dict[str, Any]]
Counts = npt.NDArray[np.float64]  # per person: strangers put in, found, own photos, wrongly rejected, flagged


class Folders:
    """Face rows per person and photo, and the people's names."""

    def __init__(self, data: Path) -> None:
        names = _names(data)
        self.photos: dict[str, list[Rows]] = {}
        self.names: dict[str, str] = {}
        for collection in COLLECTIONS:
            files = sorted(path for path in (data / collection).glob("*/*") if path.suffix in (".jpg", ".png"))
            by_photo: dict[str, Rows] = defaultdict(list)
            for row in _measured(files, data / WEIGHTS):
                if row["embedding"] is not None:
                    by_photo[row["item_id"]].append(row)
            for photo in by_photo.values():
                person = f"{collection}/{photo[0]['person']}"
                self.photos.setdefault(person, []).append(photo)
                self.names[person] = names.get(photo[0]["person"], photo[0]["person"]).lower()

    def half(self, *, fitting: bool) -> list[str]:
        """People of one half, by the hash of their names."""
        return [person for person in self.photos if in_fitting_half(self.names[person]) == fitting]


def measure(data: Path) -> Section:
    """The figures at the recipe's settings, and what other settings would do on the fitting half."""
    folders = Folders(data)
    fitting, reporting = folders.half(fitting=True), folders.half(fitting=False)
    figures: list[Figure] = []
    both = []
    for rate in RATES:
        for name, people in (("fitting", fitting), ("reported", reporting)):
            counts = injected(folders, people, rate, Faces())
            both.append({"injected": rate, "half": name, **_row(counts)})
            if name == "reported":
                figures += _figures(counts, rate)
    sweep = [
        {"agreement_similarity": agreed, "min_similarity": limit, **_row(injected(folders, fitting, 0.1, settings, 20))}
        for agreed in AGREEMENTS
        for limit in LIMITS
        for settings in [Faces.model_validate({"link": _agreed(agreed), "purity": {"min_similarity": limit}})]
    ]
    return Section(
        title="Purity: other people's photos among a person's",
        figures=figures,
        tables={
            "both halves": both,
            "settings, fitting half, 10 %": sweep,
            "the person is in four photos; strangers are": [
                {"strangers": name, **_minority(folders, [*fitting, *reporting], extra, alike)}
                for name, extra, alike in SITUATIONS
            ],
        },
        notes=[
            f"{len(fitting)} people of the fitting half and {len(reporting)} of the other, of whom "
            f"{len(_tried(folders, fitting))} and {len(_tried(folders, reporting))} have {MIN_PHOTOS} photos; "
            f"{DRAWS} draws; intervals draw people. All four people of photos/web fall into the fitting half."
        ],
    )


def injected(folders: Folders, people: Sequence[str], rate: float, settings: Faces, draws: int = DRAWS) -> Counts:
    """Counts (people, 5) over all draws in which `rate` of the photos are strangers'."""
    tried = _tried(folders, people)
    counts = np.zeros((len(tried), 5))
    slots = [person for person in tried for _ in folders.photos[person]]
    for draw in range(draws):
        rng = np.random.default_rng([round(100 * rate), draw])
        extra = Counter(rng.choice(slots, round(rate / (1 - rate) * len(slots))).tolist())
        found = {person: _strangers(folders, people, person, extra[person], rng) for person in tried}
        counts += _judged(folders, found, settings)
    return counts


def _judged(folders: Folders, strangers: Mapping[str, list[Rows]], settings: Faces) -> Counts:
    """Counts of one draw, a row per person, by the recipe's own linking and rules."""
    rows = []
    for person, others in strangers.items():
        photos = [(photo, "own") for photo in folders.photos[person]] + [(photo, "other") for photo in others]
        for number, (photo, whose) in enumerate(photos):
            item = f"{whose}-{person}/{number}"
            rows += [
                {**row, "person": person, "item_id": item, "face_id": f"{item}_{i}"} for i, row in enumerate(photo)
            ]
    faces = pa.Table.from_pylist(rows, schema=FACES.schema)
    table = FaceTable(faces, link(faces, settings.link))
    flags = {name: REASONS[name].failing(table, {"faces": settings}) for name in PURITY_RULES}
    failing = np.logical_or.reduce(list(flags.values()))
    photos_out: dict[str, bool] = {}
    for item, out in zip(faces["item_id"].to_pylist(), failing.tolist(), strict=True):
        photos_out[item] = photos_out.get(item, True) and out
    flagged = {person for person, out in zip(table.texts("person"), flags["no_majority"], strict=True) if out}
    return np.array([_person(person, photos_out, person in flagged) for person in strangers], np.float64)


def _person(person: str, out: Mapping[str, bool], flagged: bool) -> list[int]:
    others = [out[item] for item in out if item.startswith(f"other-{person}/")]
    own = [out[item] for item in out if item.startswith(f"own-{person}/")]
    return [len(others), sum(others), len(own), sum(own), int(flagged)]


def _strangers(
    folders: Folders, people: Sequence[str], person: str, count: int, rng: np.random.Generator
) -> list[Rows]:
    """Photos of people of another name, drawn person first."""
    others = [other for other in people if folders.names[other] != folders.names[person]]
    found = []
    for _ in range(count):
        photos = folders.photos[others[rng.integers(len(others))]]
        found.append(photos[rng.integers(len(photos))])
    return found


def _minority(folders: Folders, people: Sequence[str], extra: int, alike: bool) -> dict[str, Any]:
    """What becomes of people whose own photos are not the majority, over `DRAWS` draws."""
    tried = _tried(folders, people)
    trimmed = Folders.__new__(Folders)
    trimmed.names = folders.names
    trimmed.photos = {person: folders.photos[person][: MIN_PHOTOS if person in tried else None] for person in people}
    often = [person for person in people if len(folders.photos[person]) >= extra]
    total = np.zeros(5)
    for draw in range(DRAWS):
        rng = np.random.default_rng([extra, int(alike), draw])
        chosen = {}
        for person in tried:
            others = [other for other in often if folders.names[other] != folders.names[person]]
            one = others[rng.integers(len(others))]
            chosen[person] = folders.photos[one][:extra] if alike else _strangers(trimmed, people, person, extra, rng)
        total += _judged(trimmed, chosen, Faces()).sum(axis=0)
    return {
        "cases": DRAWS * len(tried),
        "flagged no_majority": float(total[4] / (DRAWS * len(tried))),
        "strangers' photos out": float(total[1] / total[0]),
        "own photos out": float(total[3] / total[2]),
    }


def _figures(counts: Counts, rate: float) -> list[Figure]:
    first = rate == RATES[0]
    bounds = {"found": {"must": 0.95, "stretch": 0.99}, "wrongly rejected": {"must": 0.02, "stretch": 0.005}}
    parts = []
    for name, out, of in (("found", 1, 0), ("wrongly rejected", 3, 2)):
        low, high = interval(counts, lambda drawn, out=out, of=of: drawn[:, out].sum() / max(1, drawn[:, of].sum()))
        parts.append(
            Figure(
                name=f"purity, {rate:.0%} injected: {name}",
                value=float(counts[:, out].sum() / counts[:, of].sum()),
                n=int(counts[:, of].sum()),
                low=low,
                high=high,
                higher=name == "found",
                **(bounds[name] if first else {}),
            )
        )
    return parts


def _row(counts: Counts) -> dict[str, Any]:
    put, found, own, wrongly, flagged = counts.sum(axis=0).tolist()
    shares = {"found": found / put, "wrongly rejected": wrongly / own}
    return {"people": len(counts), "strangers": int(put), **shares, "people flagged, all draws": int(flagged)}


def _agreed(similarity: float) -> dict[str, float]:
    return {"agreement_similarity": similarity}


def _tried(folders: Folders, people: Sequence[str]) -> list[str]:
    return [person for person in people if len(folders.photos[person]) >= MIN_PHOTOS]


def _measured(files: Sequence[Path], weights: Path) -> Rows:
    items = []
    for path in files:
        data, who = path.read_bytes(), path.parent.name
        sha256 = hashlib.sha256(data).hexdigest()
        row = {"item_id": f"{who}/{sha256}", "identity": who, "person": who, "bucket": 0, "photo_sha256": sha256}
        items.append(PhotoItem(row=row, data=path.read_bytes))
    rows: Rows = faces_measure.run(items, FaceMeasure(embedding_model=str(weights))).rows.to_pylist()
    return rows


def _names(data: Path) -> dict[str, str]:
    with open(data / "voxceleb1-mini" / "vox1_meta.csv", newline="") as file:
        return {row[0]: row[1] for row in csv.reader(file, delimiter="\t")}
