"""The truth of a simulated corpus and of its two published versions, which the answers of queries are counted from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

from truth_root import FIRST_AT, RECIPE, SECOND_AT, Row, TruthRoot

from voxdata.catalog.named import named_query
from voxdata.catalog.tags import tag
from voxdata.catalog.versions import run_query_at
from voxdata.recipe.sections import Recipe
from voxdata.store.storage import LocalStorage

STRICTER = Recipe.model_validate(
    {**RECIPE.model_dump(), "faces": {**RECIPE.faces.model_dump(), "pose": {"max_angle_deg": 3}}}
)


class World:
    """The truth, and the two versions that were published: with the recipe, and before it with a stricter pose."""

    def __init__(self, folder: Path) -> None:
        self.root = TruthRoot(LocalStorage(folder / "root"), folder / "corpus")
        self.before = self.root.publish(STRICTER, at=FIRST_AT)
        self.splits_before = self.root.splits
        tag(self.root.storage, "first", self.before.id, at=FIRST_AT)
        self.now = self.root.publish(at=SECOND_AT)
        self.photos, self.clips = self.root.photos, self.root.clips
        self.portraits = [photo for photo in self.photos if photo["outcome"] == "kept"]
        self.small_faces = [
            photo for photo in self.photos if photo["people"] == 2 and photo["kind"] == "several_people"
        ]
        self.passing = [clip for clip in self.clips if clip_outcome(clip) == "kept"]
        for clip in self.clips:
            clip["outcome"] = clip_outcome(clip, self.root.splits)
        self.kept = [clip for clip in self.clips if clip["outcome"] == "kept"]
        self.people = {identity: self.root.who(identity)["person"] for identity in self.root.book.by_id}

    def ask(self, name: str) -> list[tuple[Any, ...]]:
        query = named_query(name)
        table = run_query_at(self.root.storage, query.sql, before="first" if query.compares else None)
        return [tuple(row.values()) for row in table.to_pylist()]

    def rejections(self) -> list[Row]:
        """Every face that was looked at, all rules that it failed, and how far it came: photo, face, measured face."""
        decided = self.root.decided(RECIPE)["reasons"].to_pylist()
        rows = self.root.faces.to_pylist()
        reached = [2 if row["measured_until"] == "all" else int(row["photo_status"] == "ok") for row in rows]
        return [
            {**row, "reasons": reasons, "reached": how_far}
            for row, reasons, how_far in zip(rows, decided, reached, strict=True)
        ]

    def split(self, identity: str) -> str | None:
        return self.root.splits.get(self.people[identity])


def clip_outcome(clip: Row, people: Container[str] | None = None) -> str:
    """What the rules make of a clip and, where the people of a version are given, whether it is in it."""
    if clip["speech_status"] != "ok":
        return str(clip["speech_status"])
    kinds = {"silent": "no_speech", "tone": "music", "noise": "noise"}
    if clip["kind"] in kinds:
        return kinds[clip["kind"]]
    if clip["speech_s"] < RECIPE.speech.select.min_speech_s - 1e-9:
        return "too_short"
    if clip["kind"] == "clipped":
        return "clipped"
    if clip["repeats"]:
        return str(clip["repeats"])
    return "kept" if people is None or clip["person"] in people else "without_portraits"


def by(rows: Iterable[Row], *names: str) -> dict[Any, list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in names) if len(names) > 1 else row[names[0]]].append(row)
    return groups


def people_of(rows: Iterable[Row]) -> int:
    return len({row["person"] for row in rows})
