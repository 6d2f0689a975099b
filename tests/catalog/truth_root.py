"""A root that was built from a simulated corpus by somebody who measures without error: all numbers are the truth's.

Links, decisions, splits, shards and the catalog are the toolkit's. `TruthRoot.photos` and `.clips` say what is true of
each file, once per person who has it, and what follows for it from the recipe, found again here by plain counting.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from small_root import FACE_ROW, SPEECH_ROW

from voxdata.catalog.publish import publish
from voxdata.catalog.published_recipe import commit_recipe
from voxdata.catalog.snapshot import write_snapshot
from voxdata.faces.columns import FACES
from voxdata.faces.decide import decide as decide_faces
from voxdata.faces.link import link
from voxdata.format.digests import digest
from voxdata.format.snapshot import ShardEntry, Snapshot
from voxdata.people.identities import load_book
from voxdata.people.splits import assign, holdouts
from voxdata.recipe.sections import Recipe
from voxdata.shards.write import Member, Sample, pack, plan_ranges
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.speech.decide import decide as decide_clips
from voxdata.store import journal
from voxdata.store.fragments import commit_table
from voxdata.store.storage import LocalStorage
from voxdata.tables import schemas

CORPUS = CorpusSettings(
    people=12,
    photos_per_person=12,
    clips_per_person=6,
    clip_s=1.0,
    photo_px=128,
    seed=11,
    exact_duplicate=0.06,
    near_duplicate=0.08,
    shared_duplicate=0.04,
    several_people=0.07,
)
RECIPE = Recipe.model_validate(
    {
        "name": "truth",
        "sources": {
            "photos": {"kind": "site", "url": "https://me:secret@photos.example:8443/people/"},
            "speech": {"path": "/data/vox"},
            "also": [{"photos": {"path": "/data/more"}}],
        },
        "faces": {
            "measure": {"min_face_px": 16},
            "pose": {"max_angle_deg": 12},
            "link": {"max_own_zero_deg": 0},  # pose by the angle that the truth knows
            "resolution": {"min_pupil_distance_px": 14},
            "quality": dict.fromkeys(("resolution", "expression", "light", "focus", "diversity_margin"), 0)
            | {"pose": 1},
            "select": {"min_per_identity": 4, "max_per_identity": 5},
        },
        "speech": {"select": {"min_speech_s": 0.6}},
        "splits": {"test_share": 0.25, "val_share": 0.25, "holdout_share": 0.2},
        "shards": {"buckets_per_shard": 2048},
    }
)
LIMITS = RECIPE.faces
ALIAS = ("id90012", "id90001")  # two identities, one person
UNNAMED_COUNTRY = ("id90009", "id90010", "id90011", "id90012")  # they are in a table like VoxCeleb2's
LICENCES = ("CC0 1.0", "CC BY 4.0", None)
AUTHORS = ("Jo", None, "The Museum")
FIRST_AT, SECOND_AT = "2026-11-20T09:00:00Z", "2026-11-21T09:00:00Z"
Row = dict[str, Any]


class TruthRoot:
    """`publish` decides, packs and publishes with a recipe; everything else is read from it."""

    def __init__(self, storage: LocalStorage, corpus: Path) -> None:
        self.storage = storage
        truth = write_corpus(corpus, CORPUS).to_pylist()
        self.book = replace(load_book(_metadata(corpus)), aliases=dict([ALIAS]))
        said = {"identity": ALIAS[0], "person": ALIAS[1], "decision": "confirmed", "evidence": "a test", "at": FIRST_AT}
        journal.append(storage, "aliases", said)
        self.photos = self._photos([row for row in truth if row["medium"] == "photo"])
        self.clips = self._clips([row for row in truth if row["medium"] == "clip"])
        _follow_rules(self.photos)
        for photo, reviewer, decision, at in _reviews(self.photos):
            photo["words"][reviewer] = decision
            journal.append(storage, "reviews", _fact(photo, reviewer, decision, at))
        _follow_rules(self.photos)
        self.faces = pa.Table.from_pylist(
            [_filled(face, FACES.schema) for photo in self.photos for face in _face_rows(photo)], FACES.schema
        )
        self.links = link(self.faces, LIMITS.link)
        self.utterances = _table(self.clips, schemas.UTTERANCES)

    def who(self, identity: str) -> Row:
        return {"identity": identity, "person": self.book.person(identity), "bucket": self.book.bucket(identity)}

    def publish(self, recipe: Recipe = RECIPE, *, at: str = FIRST_AT) -> Snapshot:
        verdicts = self.decided(recipe)
        reviews = journal.read(self.storage, "reviews")
        renders = self._renders(decide_faces(self.faces, self.links, recipe.faces, reviews=reviews))
        heard = decide_clips(self.utterances, recipe.speech.select)
        identities = self._identities()
        shown = {row["face_id"] for row in verdicts.to_pylist() if row["portrait"]}
        kept = {row["item_id"] for row in heard.to_pylist() if row["verdict"] == "keep"}
        faces = [face for face in self.faces.to_pylist() if face["face_id"] in shown]
        spoken = [clip for clip in self.clips if clip["item_id"] in kept]
        people = {face["person"] for face in faces} & {clip["person"] for clip in spoken}
        chosen = [row for row in identities.to_pylist() if row["person"] in people]
        splits = assign(pa.Table.from_pylist(chosen, schemas.IDENTITIES), recipe.splits)
        self.splits = {row["person"]: row["split"] for row in splits.to_pylist()}
        given = {
            "identities": identities,
            "photos": _table(self.photos, schemas.PHOTOS),
            "faces": self.faces,
            "links": self.links,
            "face_verdicts": verdicts,
            "renders": renders,
            "utterance_files": _table(self.clips, schemas.UTTERANCE_FILES),
            "utterances": self.utterances,
            "utterance_verdicts": heard,
            "splits": splits,
        }
        tables = {name: [commit_table(self.storage, name, _name(table), table)] for name, table in given.items()}
        snapshot = write_snapshot(
            self.storage,
            recipe=recipe,
            code_version="1",
            shards=self._pack(recipe, faces, spoken),
            front_ends={"torch40": {"n_mels": 40, "hop_s": 0.01}},
            tables=tables,
            versions={},
        )
        publish(self.storage, snapshot.id, at=at, tables=tables, recipe=commit_recipe(self.storage, recipe))
        return snapshot

    def decided(self, recipe: Recipe) -> pa.Table:
        """The verdicts of a recipe where every candidate can be rendered."""
        reviews = journal.read(self.storage, "reviews")
        first = decide_faces(self.faces, self.links, recipe.faces, reviews=reviews)
        return decide_faces(self.faces, self.links, recipe.faces, renders=self._renders(first), reviews=reviews)

    def _renders(self, verdicts: pa.Table) -> pa.Table:
        chosen = {row["face_id"] for row in verdicts.to_pylist() if row["candidate"]}
        made = {"render_status": "ok", "size_px": 64, "scale": 2.0, "format": "jpg"}
        rows = [
            {**row, **made, "item_id": row["face_id"]} for row in self.faces.to_pylist() if row["face_id"] in chosen
        ]
        return _table(rows, schemas.RENDERS)

    def _pack(self, recipe: Recipe, faces: list[Row], clips: list[Row]) -> list[ShardEntry]:
        marked = holdouts(clips, recipe.splits).to_pylist()
        held = {row["utterance_id"]: row["holdout"] for row in marked}
        entries = []
        for first, last in plan_ranges(recipe.shards.buckets_per_shard):
            for split in ("train", "val", "test"):
                here = {person for person, where in self.splits.items() if where == split}
                inside = [row for row in (*faces, *clips) if row["person"] in here and first <= row["bucket"] <= last]
                pictures = [_sample(row, row["face_id"], "jpg", FACE_ROW) for row in inside if "face_id" in row]
                spoken = [row for row in inside if "utterance_id" in row]
                heard = [{**row, "holdout": split == "train" and held[row["utterance_id"]]} for row in spoken]
                voices = [_sample(row, row["utterance_id"], "torch40.npy", SPEECH_ROW) for row in heard]
                place: Row = {"split": split, "first_bucket": first, "last_bucket": last}
                entries.append(pack(self.storage, kind="faces", samples=pictures, schema=FACE_ROW, **place))
                entries.append(pack(self.storage, kind="speech", samples=voices, schema=SPEECH_ROW, **place))
        return [entry for entry in entries if entry is not None]

    def _identities(self) -> pa.Table:
        rows = [
            {**vars(item), **self.who(item.identity), "metadata_row": item.row, "name": item.name}
            for item in self.book.by_id.values()
        ]
        return _table(rows, schemas.IDENTITIES)

    def _photos(self, truth: list[Row]) -> list[Row]:
        """One row per photo of an identity: the truth, where it came from, and its cluster."""
        of_path = {row["path"]: row for row in truth}
        found: dict[str, Row] = {}
        for number, row in enumerate(sorted(truth, key=lambda row: str(row["path"]))):
            item = f"{row['identity']}/{row['sha256']}"
            place = {"source": f"corpus-{number % 2}", "source_key": "/" * (number % 2 == 0) + row["path"]}
            original = of_path[row["copy_of"]]["sha256"] if row["copy_of"] else row["sha256"]
            stated = (
                {"author": AUTHORS[number % 3], "page_url": f"https://photos.example/{number}"} if number % 2 else {}
            )
            stated |= {"attribution": "as named"} if number % 4 == 1 else {}
            made = {
                **stated,
                "licence": LICENCES[number % 3],
                "photo_sha256": row["sha256"],
                "original": original,
                "words": {},
            }
            found.setdefault(item, {**row, **self.who(row["identity"]), **place, **made, "item_id": item})
        return list(found.values())

    def _clips(self, truth: list[Row]) -> list[Row]:
        """One row per clip; 90005's third sounds like 90002's third, 90004's second like the first."""
        rows = [self._clip(row) for row in sorted(truth, key=lambda row: str(row["path"]))]
        of_identity: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            of_identity[row["identity"]].append(row)
        shared, twice = [of_identity["id90002"][2], of_identity["id90005"][2]], of_identity["id90004"][:2]
        for first, second in (shared, twice):
            second["pcm_sha256"] = first["pcm_sha256"]
        for row, repeats in ((shared[0], "shared_clip"), (shared[1], "shared_clip"), (twice[1], "duplicate")):
            row["repeats"] = repeats
        return rows

    def _clip(self, row: Row) -> Row:
        _, identity, video, segment = Path(row["path"]).with_suffix("").parts
        name = f"{identity}/{video}_{segment}".replace(".", "_")
        bad = {None: "ok", "half": "ok", "empty": "empty", "text": "unreadable"}[row["damage"]]
        share = 0.5 + 0.1 * (int(row["sha256"], 16) % 6)
        heard = {"duration_s": CORPUS.clip_s, "speech_s": CORPUS.clip_s * share} if bad == "ok" else {}
        kind = row["kind"]
        gates = {"vad_ratio": float(kind != "silent"), "gate_ratio": float(kind != "noise")}
        gates |= {"music_ratio": float(kind == "tone"), "clipped_share": 0.2 * (kind == "clipped")}
        names = {"utterance_id": name, "video": video, "segment": segment, "audio_sha256": row["sha256"]}
        place = {"source": "corpus-0", "source_key": row["path"], "item_id": f"{name}@{row['sha256'][:16]}"}
        states = {"speech_status": bad, "pcm_sha256": row["sha256"], "repeats": None}
        return {**row, **self.who(identity), **names, **place, **states, **heard, **(gates if bad == "ok" else {})}


def _metadata(corpus: Path) -> list[Path]:
    """The corpus's table, cut in two: the later people in the form of VoxCeleb2's."""
    with (corpus / "vox1_meta.csv").open() as file:
        rows = list(csv.reader(file, delimiter="\t"))
    first = [row for row in rows if row[0] not in UNNAMED_COUNTRY]
    second = [f"{row[1]} ,{row[0]} ,x ,{row[2]} ,{row[4]}" for row in rows[1:] if row[0] in UNNAMED_COUNTRY]
    paths = [corpus / "first.csv", corpus / "second.csv"]
    paths[0].write_text("".join("\t".join(row) + "\n" for row in first))
    paths[1].write_text("\n".join(["Name ,VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set", *second]) + "\n")
    return paths


def angle_deg(photo: Row) -> float:
    return math.degrees(
        math.acos(math.cos(math.radians(photo["yaw_deg"])) * math.cos(math.radians(photo["pitch_deg"])))
    )


def tone_deg(photo: Row) -> float | None:
    """Skin tone of the pixels: the person's own, moved by the light of the photo; every seventh photo is gray."""
    number = int(photo["sha256"][:8], 16)
    return None if number % 7 == 0 else float(int(photo["identity"][2:]) * 23 % 120 - 50 + number % 5)


def _face_rows(photo: Row) -> list[Row]:
    """What a measurer without error writes down: the face that the truth tells of, and a small second one."""
    base = {**photo, "photo_status": "ok", "measured_until": "all", "face_count": photo["people"], "backend": "truth"}
    if photo["kind"] in ("html", "truncated"):
        return [{**base, "photo_status": "unreadable", "measured_until": "decode"}]
    base |= {"photo_phash": photo["original"][:16], "photo_width_px": photo["width_px"]}
    base |= {"photo_height_px": photo["height_px"]}
    if not photo["people"]:
        return [{**base, "photo_status": "no_face", "measured_until": "detect"}]
    measured = {"face_angle_deg": angle_deg(photo), "light_evenness": 1 - photo["light_contrast"], "sharpness": 0.2}
    measured |= {"eyes_open": 0.3, "expression": photo["smile"], "skin_level": 0.3}
    measured |= {"head_cut_share": 0.0, "square_outside_share": 0.0, "eyes_hidden": 0.0, "lower_face_hidden": 0.0}
    measured |= {"skin_tone_deg": tone_deg(photo)}
    measured |= {"highlight_share": 0.0, "shadow_share": 0.0, "box_width_px": 40.0, "box_height_px": 40.0}
    names = [{"face_index": n, "face_id": f"{photo['item_id'][:24]}_{n}"} for n in range(photo["people"])]
    small = {**base, "measured_until": "detect", "box_width_px": 8.0, "box_height_px": 8.0}
    unseen = {name: None for name in small if name.startswith("pupil_") or name in ("yaw_deg", "pitch_deg", "roll_deg")}
    unseen |= {"smile": None, "mouth_open": None}
    return [{**base, **measured, **names[0]}, *({**small, **unseen, **name} for name in names[1:])]


def _reviews(photos: list[Row]) -> list[tuple[Row, str, str, str]]:
    """Two reviewers: they agree twice, disagree once, and alice takes a word back."""
    alone = [photo for photo in photos if photo["cluster_people"] == 1 and photo["people"] == 1]
    turned = next(photo for photo in alone if photo["outcome"] == "face_angle")
    kept = [photo for photo in alone if photo["outcome"] == "kept"]
    said = [(turned, "keep", "keep"), (kept[0], "keep", "reject"), (kept[9], "reject", "reject")]
    said += [(kept[12], "reject", "keep"), (kept[14], "keep", "keep")]
    words = [
        (photo, who, what, FIRST_AT) for photo, *both in said for who, what in zip(("alice", "bob"), both, strict=True)
    ]
    return [*words, (kept[12], "alice", "withdrawn", SECOND_AT)]


def _fact(photo: Row, reviewer: str, decision: str, at: str) -> Row:
    x = (photo["pupil_left_x_px"] + photo["pupil_right_x_px"]) / 2 / photo["width_px"]
    y = (photo["pupil_left_y_px"] + photo["pupil_right_y_px"]) / 2 / photo["height_px"]
    place = {"photo_sha256": photo["photo_sha256"], "pupils_x": x, "pupils_y": y}
    return {**place, "decision": decision, "reviewer": reviewer, "reason": None, "reviewed_at": at}


def _follow_rules(photos: list[Row]) -> None:
    """Give each photo `outcome`, what the recipe makes of its wanted face, found from the truth alone."""
    clusters = defaultdict(set)
    for photo in photos:
        photo["face_id"] = f"{photo['item_id'][:24]}_0" if photo["people"] else None
        clusters[photo["original"]].add(photo["person"])
    for photo in photos:
        photo["cluster_people"] = len(clusters[photo["original"]])
        photo["outcome"] = _first_rule(photo)
        photo["by_hand"] = _words(photo) == {"keep"}
    left: dict[str, list[Row]] = defaultdict(list)
    seen = set()
    passing = [photo for photo in photos if photo["outcome"] == "kept"]
    for photo in sorted(passing, key=lambda photo: (not photo["by_hand"], angle_deg(photo), photo["face_id"])):
        key = (photo["person"], photo["original"])
        photo["outcome"] = "duplicate" if key in seen and not photo["by_hand"] else "kept"
        seen.add(key)
        left[photo["person"]] += [photo] if photo["outcome"] == "kept" else []
    for kept in left.values():
        for position, photo in enumerate(kept):
            photo["outcome"] = "kept" if position < LIMITS.select.max_per_identity else "over_cap"
            if len(kept) < LIMITS.select.min_per_identity:
                photo["outcome"] = "too_few_portraits"


def _first_rule(photo: Row) -> str:
    if photo["kind"] in ("html", "truncated"):
        return "unreadable"
    if not photo["people"]:
        return "no_face"
    if "reject" in _words(photo):
        return "reviewers_disagree" if "keep" in _words(photo) else "human_reject"
    if "keep" in _words(photo):
        return "kept"
    failing = {
        "shared_photo": photo["cluster_people"] > 1,
        "low_resolution": photo["pupil_distance_px"] < LIMITS.resolution.min_pupil_distance_px,
        "face_angle": angle_deg(photo) > LIMITS.pose.max_angle_deg,
        "uneven_light": 1 - photo["light_contrast"] < LIMITS.lighting.min_evenness,
        "smiling": photo["smile"] > LIMITS.expression.max_smile,
        "mouth_open": photo["mouth_open"] > LIMITS.expression.max_mouth_open,
    }
    return next((reason for reason, fails in failing.items() if fails), "kept")


def _words(photo: Row) -> set[str]:
    return set(photo["words"].values()) - {"withdrawn"}


def _sample(row: Row, key: str, suffix: str, schema: pa.Schema) -> Sample:
    content = {"quality": None, **row}
    return Sample(key, {suffix: Member.of(key.encode())}, {name: content.get(name) for name in schema.names})


def _table(rows: list[Row], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([_filled(row, schema) for row in rows], schema)


def _filled(row: Row, schema: pa.Schema) -> Row:
    return {name: row.get(name) for name in schema.names}


def _name(table: pa.Table) -> str:
    return hashlib.sha256(digest(table.to_pylist()).encode()).hexdigest()[:16]
