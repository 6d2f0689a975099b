"""What the queries about two versions answer, counted in plain Python from the truth of a simulated corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container
from typing import Any

import numpy as np
from truth_answers import Answer, funnel, speech_funnel
from truth_root import FIRST_AT, SECOND_AT, Row, angle_deg
from truth_world import STRICTER, World, clip_outcome


def versions(world: World) -> Answer:
    found: list[tuple[Any, ...]] = []
    totals = [
        {name: sum(of[name] for of in each.counts.values()) for name in ("identities", "portraits", "utterances")}
        for each in (world.before, world.now)
    ]
    listed = ((FIRST_AT, world.before, ["first"], world.now), (SECOND_AT, world.now, [], world.before))
    for place, (at, snapshot, tags, other) in enumerate(listed):
        theirs = {entry.tar for entry in other.shards}
        own_mb = round(sum(entry.bytes for entry in snapshot.shards if entry.tar not in theirs) / 1e6, 2)
        changes: list[Any] = []
        for name, count in totals[place].items():
            changes += [count, count - totals[0][name] if place else None]
        found.append((at, snapshot.id, tags, bool(place), *changes, own_mb))
    return found


def drift(world: World) -> Answer:
    """Portraits changed, and with them whose clips are in the version; these have the same measurements in both."""
    shown = by_version(world)
    spoken = [[clip for clip in world.passing if clip["person"] in people] for people in versions_people(world)]
    measured = {
        "face_angle_deg": angle_deg,
        "pupil_distance_px": lambda photo: photo["pupil_distance_px"],
        "smile": lambda photo: photo["smile"],
        "expression": lambda photo: photo["smile"],
        "eyes_open": lambda photo: 0.3,
        "light_evenness": lambda photo: 1 - photo["light_contrast"],
        "sharpness": lambda photo: 0.2,
        "skin_level": lambda photo: 0.3,
    }
    heard = {
        "duration_s": lambda clip: clip["duration_s"],
        "speech_s": lambda clip: clip["speech_s"],
        "vad_ratio": lambda clip: clip["vad_ratio"],
    }
    found = [moved(name, *(list(map(value, photos)) for photos in shown)) for name, value in measured.items()]
    found += [moved(name, *(list(map(value, clips)) for clips in spoken)) for name, value in heard.items()]
    return sorted(found, key=lambda row: (row[-1] is None, -abs(row[-1] or 0), row[0]))


def versions_people(world: World) -> tuple[Container[str], Container[str]]:
    return world.splits_before, world.root.splits


def by_version(world: World) -> tuple[list[Row], list[Row]]:
    of_face = {photo["face_id"]: photo for photo in world.photos if photo["face_id"]}
    earlier = [row["face_id"] for row in world.root.decided(STRICTER).to_pylist() if row["portrait"]]
    return [of_face[name] for name in earlier], world.portraits


def moved(name: str, before: list[float], now: list[float]) -> tuple[Any, ...]:
    old, new = (np.percentile(np.float32(values).astype(np.float64), [10, 50, 90]) for values in (before, now))
    pairs = [value for pair in zip(old, new, strict=True) for value in pair]
    spread = old[2] - old[0]
    return (name, len(before), len(now), *pairs, round((new[1] - old[1]) / spread, 4) if spread else None)


def funnel_change(world: World) -> Answer:
    faces = Counter("kept" if row["portrait"] else row["reason"] for row in world.root.decided(STRICTER).to_pylist())
    clips = Counter(clip_outcome(clip, world.splits_before) for clip in world.clips)
    found = []
    for kind, stricter, counted in (("faces", faces, funnel(world)), ("speech", clips, speech_funnel(world))):
        now = {row[0]: row for row in counted}
        for outcome in {*stricter, *now}:
            items = now[outcome][1] if outcome in now else 0
            share = (round(stricter[outcome] / sum(stricter.values()), 4), now[outcome][3] if outcome in now else 0)
            found.append((kind, outcome, stricter[outcome], items, items - stricter[outcome], *share))
    return sorted(found, key=lambda row: (-abs(row[4]), *row[:2]))


OF_TWO_VERSIONS: dict[str, Callable[[World], Answer]] = {
    "drift": drift,
    "funnel-change": funnel_change,
    "versions": versions,
}
