"""The answer of every named query about one version, counted in plain Python from the truth of a simulated corpus."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from truth_root import FIRST_AT, LIMITS, RECIPE, Row, angle_deg
from truth_world import World, by, people_of

from voxdata.faces.rules import RULES as FACE_RULES
from voxdata.recipe.sections import Recipe
from voxdata.speech.decide import decide as decide_clips
from voxdata.speech.rules import RULES as CLIP_RULES

Answer = Iterable[tuple[Any, ...]]


def outcomes(rows: Sequence[Row]) -> Answer:
    found = [
        (name, len(group), people_of(group), round(len(group) / len(rows), 4))
        for name, group in by(rows, "outcome").items()
    ]
    return sorted(found, key=lambda row: (row[0] == "kept", -row[1], row[0]))


def face_outcomes(world: World) -> list[Row]:
    return [*world.photos, *({**photo, "outcome": "face_too_small"} for photo in world.small_faces)]


HOSTS = {"corpus-0": "photos.example:8443", "corpus-1": "/data/more/"}


def funnel_by_host(world: World) -> Answer:
    groups = by(face_outcomes(world), "source")
    return [(HOSTS[source], *row) for source in ("corpus-1", "corpus-0") for row in outcomes(groups[source])]


def funnel(world: World) -> Answer:
    return outcomes(face_outcomes(world))


def speech_funnel(world: World) -> Answer:
    return outcomes(world.clips)


def rejects_by_identity(world: World) -> Answer:
    groups = by([row for row in face_outcomes(world) if row["outcome"] != "kept"], "identity", "outcome")
    found = [(*key, len(rows), sorted(row["photo_sha256"][:8] for row in rows)[:3]) for key, rows in groups.items()]
    return sorted(found, key=lambda row: (row[0], -row[2], row[1]))


BESIDE = {"forgotten", "opted_out", "human_reject", "reviewers_disagree", "duplicate", "not_reviewed"}
BESIDE |= {"too_few_portraits", "over_cap", "without_speech"}  # what people said, and what other photos decide
TONES = ((55, "very light"), (41, "light"), (28, "intermediate"), (10, "tan"), (-30, "brown"), (-91, "dark"))


def rejects_by_group(world: World) -> Answer:
    faces = world.rejections()
    tones = {person: typical_tone(rows) for person, rows in by(faces, "person").items()}
    found = []
    for rule in {reason for face in faces for reason in face["reasons"]} | {"any"}:
        needs = (
            0 if rule in ("any", "unreadable", "no_face") else 1 if rule in ("face_too_small", "no_landmarks") else 2
        )
        here = [
            {**face, "fails": bool(set(face["reasons"]) - BESIDE if rule == "any" else rule in face["reasons"])}
            for face in faces
            if face["reached"] >= needs
        ]
        for trait in ("sex", "skin tone, measured", "skin tone, stated", "nationality"):
            groups: dict[str, list[Row]] = defaultdict(list)
            for face in here:
                described = world.root.book.described(face["identity"])
                stated = tone_name([described.skin_tone_stated_deg])
                name = {"skin tone, measured": tones[face["person"]], "skin tone, stated": stated}.get(trait, "")
                name = name or getattr(described, trait)
                groups[name].append(face)
            least = min((share(rows) for name, rows in groups.items() if name != "unknown"), default=0)
            for name, rows in groups.items():
                times = round(share(rows) / least, 2) if least else None
                fails = sum(row["fails"] for row in rows)
                bounds = (round(bound, 4) for bound in wilson(rows))
                counts = (people_of(rows), len(rows), fails, round(share(rows), 4))
                place = (trait == "nationality", trait, rule != "any", -sum(face["fails"] for face in here), rule)
                order = [label for _, label in TONES].index(name) if name in dict(map(reversed, TONES)) else 0
                key = (*place, name == "unknown", order, -people_of(rows), name)
                found.append((key, (trait, rule, name, *counts, *bounds, times)))
    return [row for _, row in sorted(found)]


def typical_tone(faces: Sequence[Row]) -> str:
    return tone_name([face["skin_tone_deg"] for face in faces if not face["face_index"]])


def tone_name(angles: Sequence[float | None]) -> str:
    told = [angle for angle in angles if angle is not None]
    return next((name for darkest, name in TONES if told and float(np.median(told)) > darkest), "unknown")


def share(rows: Sequence[Row]) -> float:
    return sum(row["fails"] for row in rows) / len(rows)


def wilson(rows: Sequence[Row]) -> tuple[float, float]:
    """95 % of a share whose faces come in clusters, the people: as many independent ones as have its variance."""
    p = share(rows)
    clusters = [(len(group), sum(row["fails"] for row in group)) for group in by(rows, "person").values()]
    m = len(clusters)
    n = float(m)
    if 0 < p < 1 and m > 1:
        variance = m / (m - 1) * sum((x - p * size) ** 2 for size, x in clusters) / len(rows) ** 2
        n = max(1.0, min(len(rows), p * (1 - p) / max(variance, 1e-12)))
    z = 1.959964
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def people_below_minimum(world: World) -> Answer:
    groups = by([photo for photo in world.photos if photo["outcome"] == "too_few_portraits"], "person")
    found = [
        (person, len(rows), [row["face_id"] for row in sorted(rows, key=angle_deg)][:3])
        for person, rows in groups.items()
    ]
    return sorted(found, key=lambda row: (-row[1], row[0]))


def pose_histogram(world: World) -> Answer:
    posed = [photo for photo in world.photos if photo["people"] and photo["kind"] not in ("html", "truncated")]
    bins = by([{**photo, "bin": int(angle_deg(photo) // 5 * 5)} for photo in posed], "bin")
    return [(at, at + 5, len(bins[at]), sum(row["outcome"] == "kept" for row in bins[at])) for at in sorted(bins)]


def near_duplicates(world: World) -> Answer:
    seen = [photo for photo in world.photos if photo["people"] and photo["kind"] not in ("html", "truncated")]
    found = []
    for rows in by(seen, "original").values():
        hashes = sorted({row["photo_sha256"] for row in rows})
        if len(hashes) > 1 or people_of(rows) > 1:
            named = sorted({row["identity"] for row in rows})
            found.append((hashes[0], people_of(rows), len(hashes), named, [text[:16] for text in hashes]))
    return sorted(found, key=lambda row: (-row[1], -row[2], row[0]))


def identity_yield(world: World) -> Answer:
    found = []
    for identity, item in world.root.book.by_id.items():
        photos = [photo for photo in world.photos if photo["identity"] == identity]
        portraits = sum(photo["outcome"] == "kept" for photo in photos)
        faces = sum(photo["people"] for photo in photos if photo["kind"] not in ("html", "truncated"))
        kept = [clip for clip in world.kept if clip["identity"] == identity]
        share = round(portraits / max(1, len(photos)), 3)
        speech_s = round(sum(clip["speech_s"] for clip in kept), 1)
        counts = (len(photos), faces, portraits, share, len(kept), speech_s)
        found.append((identity, item.name, world.split(identity), *counts))
    return sorted(found, key=lambda row: (-row[6], -row[5], row[0]))


def hours_by_sex(world: World) -> Answer:
    groups = defaultdict(list)
    for identity, item in world.root.book.by_id.items():
        if world.split(identity):
            groups[item.sex, item.nationality].append(identity)
    found = []
    for key, names in groups.items():
        kept = [clip for clip in world.kept if clip["identity"] in names]
        portraits = sum(photo["identity"] in names for photo in world.portraits)
        hours = round(sum(clip["speech_s"] for clip in kept) / 3600, 3)
        found.append((*key, len({world.people[name] for name in names}), portraits, len(kept), hours))
    return sorted(found, key=lambda row: (-row[5], row[0], row[1]))


def licences(world: World) -> Answer:
    found = []
    for licence, rows in by(world.photos, "licence").items():
        portraits = [row for row in rows if row["outcome"] == "kept"]
        found.append((licence or "unknown", len(rows), len(portraits), people_of(portraits)))
    return sorted(found, key=lambda row: (-row[2], -row[1], row[0]))


def attributions(world: World) -> Answer:
    found = []
    for row in world.portraits:
        said = [row.get(name) for name in ("licence", "author", "attribution", "restrictions", "licence_url")]
        page = row.get("page_url") or row["source_key"]
        found.append((*said, page, row["identity"], row["face_id"]))
    return sorted(found, key=lambda row: [(value is None, value or "") for value in row])


def best_documented(world: World) -> Answer:
    found = []
    for person, rows in by(world.portraits, "person").items():
        kept = [clip for clip in world.kept if clip["person"] == person]
        speech_s = sum(clip["speech_s"] for clip in kept)
        best = round(1 - min(map(angle_deg, rows)) / 30, 3)
        videos = len({clip["video"] for clip in kept})
        name = world.root.book.by_id[person].name
        counts = (len(rows), best, len(kept), videos, round(speech_s / 60, 3))
        found.append((speech_s, (person, name, world.root.splits[person], *counts)))
    return [row for _, row in sorted(found, key=lambda each: (-each[1][3], -each[0], each[1][0]))]


def splits(world: World) -> Answer:
    found = []
    for name in ("total", "train", "val", "test"):
        inside = {person for person, split in world.root.splits.items() if name in ("total", split)}
        images, clips = (sum(row["person"] in inside for row in rows) for rows in (world.portraits, world.kept))
        found.append((name, len(inside), images, clips, 64.0))
    return found


def split_differences(world: World) -> Answer:
    """Who a row mod 10 would put elsewhere; the truth's split hashes the person."""
    found = []
    for person in world.root.book.by_id.values():
        canonical = world.root.book.by_id[world.people[person.identity]]
        split, released = world.split(person.identity), {8: "test", 9: "val"}.get(person.row % 10, "train")
        if split not in (None, released):
            own = (canonical.identity, person.identity, person.name, person.row, split, released)
            found.append((*own, canonical.name, canonical.row))
    return sorted(found)


def shard_balance(world: World) -> Answer:
    found = []
    for entry in world.now.shards:
        rows = world.portraits if entry.kind == "faces" else world.kept
        samples = sum(
            world.root.splits[row["person"]] == entry.split and entry.first_bucket <= row["bucket"] <= entry.last_bucket
            for row in rows
        )
        size_mb = round(world.root.storage.stat(entry.tar)[0] / 1e6, 2)
        found.append((entry.first_bucket, (entry.tar, entry.split, entry.kind, samples, size_mb)))
    return [row for _, row in sorted(found, key=lambda row: (row[1][2], row[1][1], row[0]))]


def provenance(world: World) -> Answer:
    tars = {(entry.kind, entry.split, entry.first_bucket // 2048): entry.tar for entry in world.now.shards}
    found = []
    for kind, name, content, rows in (
        ("faces", "face_id", "photo_sha256", world.portraits),
        ("speech", "utterance_id", "audio_sha256", world.kept),
    ):
        for row in rows:
            split = world.root.splits[row["person"]]
            location = {"photo/corpus-0": "https://photos.example:8443/", "photo/corpus-1": "/data/more/"}.get(
                f"{row['medium']}/{row['source']}", "/data/vox/"
            ) + row["source_key"].removeprefix("/")
            said = tuple(row.get(name) for name in ("licence", "author", "page_url"))
            place = (row[content], row["source"], row["source_key"], location, *said)
            found.append((kind, row[name], split, row["identity"], tars[kind, split, row["bucket"] // 2048], *place))
    return sorted(found, key=lambda row: row[:2])


def reviewer_agreement(world: World) -> Answer:
    words = [
        photo["words"]
        for photo in world.photos
        if set(photo["words"].values()) <= {"keep", "reject"} and photo["words"]
    ]
    counts = Counter((word["alice"], word["bob"]) for word in words)
    n = sum(counts.values())
    agreed = (counts["keep", "keep"] + counts["reject", "reject"]) / n
    keeps = [sum(word[who] == "keep" for word in words) / n for who in ("alice", "bob")]
    chance = keeps[0] * keeps[1] + (1 - keeps[0]) * (1 - keeps[1])
    split = (counts["keep", "reject"], counts["reject", "keep"])
    kappa = round((agreed - chance) / (1 - chance), 4)
    agreement = (round(agreed, 4), round(chance, 4), kappa)
    return [("alice", "bob", n, counts["keep", "keep"], counts["reject", "reject"], *split, *agreement)]


def reviewer_disagreements(world: World) -> Answer:
    found = []
    for photo in world.photos:
        words: Mapping[str, str] = photo["words"]
        sides = [sorted(who for who, said in words.items() if said == what) for what in ("keep", "reject")]
        if all(sides):
            found.append((photo["identity"], photo["face_id"], *sides, None, FIRST_AT))
    return sorted(found)


def repeated_clips(world: World) -> Answer:
    heard = [clip for clip in world.clips if clip["pcm_sha256"]]
    again = {clip["pcm_sha256"] for clip in heard if clip["repeats"]}
    groups = by([clip for clip in heard if clip["pcm_sha256"] in again], "pcm_sha256").values()
    found = [
        (
            people_of(rows),
            len(rows),
            sum(row["outcome"] == "kept" for row in rows),
            sorted(row["utterance_id"] for row in rows),
        )
        for rows in groups
    ]
    return sorted(found, key=lambda row: (-row[0], -row[1], row[3]))


def split_leaks(world: World) -> Answer:
    return []


def what_if_faces(world: World) -> Answer:
    """The decision itself, made again with every limit that the table of rules says is worth trying."""
    found = []
    for rule in FACE_RULES:
        if not rule.tried or not rule.applies(world.now.recipe):
            continue
        _, section, name = rule.setting.split(".")
        given = rule.limit(world.now.recipe)
        for limit in sorted({*rule.tried, *([] if given is None else [given])}, reverse=rule.side == "min"):
            faces = LIMITS.model_dump()
            faces[section][name] = limit
            rows = world.root.decided(Recipe.model_validate({**RECIPE.model_dump(), "faces": faces})).to_pylist()
            portraits = [row for row in rows if row["portrait"]]
            passing = sum(row["reason"] in (None, "too_few_portraits", "over_cap") for row in rows)
            people = {world.people[row["face_id"].split("/")[0]] for row in portraits}
            must = "at least" if rule.side == "min" else "at most"
            found.append((rule.reason, rule.column, must, limit, limit == given, passing, len(portraits), len(people)))
    return differing(found)


def what_if_clips(world: World) -> Answer:
    found = []
    rows = {clip["item_id"]: clip for clip in world.clips}
    pictured = {photo["person"] for photo in world.portraits}
    for rule in CLIP_RULES:
        clips = world.root.utterances
        if rule.column not in clips.column_names or clips[rule.column].null_count == clips.num_rows:
            continue
        name = rule.setting.rpartition(".")[2]
        given = getattr(RECIPE.speech.select, name)
        for limit in sorted({*rule.tried, given}, reverse=rule.side == "min"):
            select = RECIPE.speech.select.model_copy(update={name: limit})
            verdicts = decide_clips(world.root.utterances, select).to_pylist()
            passing = [rows[row["item_id"]] for row in verdicts if row["verdict"] == "keep"]
            kept = [clip for clip in passing if clip["person"] in pictured]
            hours = round(sum(clip["speech_s"] for clip in kept) / 3600, 4)
            must = "at least" if rule.side == "min" else "at most"
            found.append((rule.reason, rule.column, must, limit, limit == given, len(kept), hours, people_of(kept)))
    return differing(found)


def differing(found: list[tuple[Any, ...]]) -> Answer:
    """The limits in force, which all count what there is now, and of the others those that count something else."""
    (now,) = {row[5:] for row in found if row[4]}
    return sorted((row for row in found if row[4] or row[5:] != now), key=lambda row: row[:2])


OF_ONE_VERSION: dict[str, Callable[[World], Answer]] = {
    "attributions": attributions,
    "best-documented": best_documented,
    "funnel": funnel,
    "funnel-by-host": funnel_by_host,
    "hours-by-sex": hours_by_sex,
    "licences": licences,
    "near-duplicates": near_duplicates,
    "people-below-minimum": people_below_minimum,
    "pose-histogram": pose_histogram,
    "provenance": provenance,
    "rejects-by-group": rejects_by_group,
    "rejects-by-identity": rejects_by_identity,
    "repeated-clips": repeated_clips,
    "reviewer-agreement": reviewer_agreement,
    "reviewer-disagreements": reviewer_disagreements,
    "shard-balance": shard_balance,
    "speech-funnel": speech_funnel,
    "split-differences": split_differences,
    "split-leaks": split_leaks,
    "splits": splits,
    "what-if-clips": what_if_clips,
    "what-if-faces": what_if_faces,
    "yield": identity_yield,
}
