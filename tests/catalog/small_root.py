"""A root of ten invented people whose whole truth is known, built through the public functions."""

from __future__ import annotations

import hashlib
import io
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from voxdata.catalog.publish import publish
from voxdata.catalog.snapshot import write_snapshot
from voxdata.faces.columns import FACES
from voxdata.format.digests import digest
from voxdata.format.snapshot import ShardEntry, Snapshot
from voxdata.people.identities import bucket_of
from voxdata.people.splits import assign
from voxdata.recipe.sections import Recipe
from voxdata.shards.write import Member, Sample, pack, plan_ranges
from voxdata.speech.audio import flac
from voxdata.store.fragments import Fragment, FragmentStore, commit_table, parquet_table
from voxdata.store.storage import Storage
from voxdata.tables import schemas

FACE_ROW = pa.schema([*schemas.WHO, ("photo_sha256", pa.string()), ("face_angle_deg", pa.float32())])
SPEECH_ROW = pa.schema(
    [*schemas.WHO, ("audio_sha256", pa.string()), ("speech_s", pa.float32()), ("holdout", pa.bool_())]
)
AT = "2026-11-21T09:00:00Z"
RECIPE = Recipe.model_validate({"name": "small", "splits": {"rule": "paper"}, "shards": {"buckets_per_shard": 2048}})


def with_settings(recipe: Recipe, **sections: Any) -> Recipe:
    return Recipe.model_validate({**recipe.model_dump(), **sections})


def sha(*parts: object) -> str:
    return hashlib.sha256(":".join(map(str, parts)).encode()).hexdigest()


def table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)


def who(number: int) -> dict[str, Any]:
    identity = f"id{number:05d}"
    return {"identity": identity, "person": identity, "bucket": bucket_of(identity)}


class SmallRoot:
    """Person n has two photos, one portrait (face angle n deg), one rejected face, one photo without a face, and
    three clips of 2 s, of which the third is rejected. Metadata rows are n, so 8 is test, 9 is val."""

    def __init__(
        self,
        storage: Storage,
        people: int = 10,
        *,
        jpeg_colour: int = 0,
        sound: Literal["whole", "speech"] | None = None,
    ) -> None:
        self.storage = storage
        self.people = range(people)
        self.jpeg_colour = jpeg_colour
        self.tables: dict[str, list[str]] = {}
        self.recipe, self.measures = RECIPE, dict[str, Any]()
        self.sound = sound
        if sound is not None:
            self.recipe = with_settings(RECIPE, speech={"pack": {"audio": "flac", "audio_part": sound}})
        self.renders = FragmentStore(storage, "faces.render", "f0")
        self.utterances = FragmentStore(storage, "speech.measure", "f0")

    def build(self) -> Snapshot:
        self.stage_tables()
        return self.build_staged()

    def build_staged(self) -> Snapshot:
        entries = self.pack()
        return write_snapshot(
            self.storage,
            recipe=self.recipe,
            code_version="1",
            shards=entries,
            front_ends={"torch40": {"n_mels": 40, "hop_s": 0.01, "vad": "webrtc-1-30ms-300ms"}},
            tables=self.tables,
            versions={"pyarrow": pa.__version__},
            measures=self.measures,
        )

    def publish(self, *, at: str = AT) -> Snapshot:
        self.stage_tables()
        return self.publish_staged(at=at)

    def publish_staged(self, *, at: str = AT) -> Snapshot:
        """Publish the tables as they are now, which a test may have changed."""
        snapshot = self.build_staged()
        publish(self.storage, snapshot.id, at=at, tables=self.tables)
        return snapshot

    def stage_tables(self) -> None:
        identities = [
            {**who(n), "name": f"Person_{n}", "sex": "mf"[n % 2], "nationality": "unknown", "metadata_row": n}
            for n in self.people
        ]
        self.commit("identities", table(identities, schemas.IDENTITIES))
        self.commit("photos", table([p for n in self.people for p in photos(n)], schemas.PHOTOS))
        self.commit("faces", table([f for n in self.people for f in faces(n)], FACES.schema))
        self.commit("face_verdicts", table([v for n in self.people for v in verdicts(n)], schemas.FACE_VERDICTS))
        self.commit("links", table([link for n in self.people for link in links(n)], schemas.LINKS))
        self.commit("utterance_verdicts", table([v for n in self.people for v in heard(n)], schemas.UTTERANCE_VERDICTS))
        self.commit("utterance_files", table([c for n in self.people for c in clips(n)], schemas.UTTERANCE_FILES))
        self.commit("splits", assign(self.read("identities"), RECIPE.splits))
        for n in self.people:
            self.fragments(n)
        self.tables["renders"] = self.renders.parts()
        self.tables["utterances"] = self.utterances.parts()

    def fragments(self, n: int) -> None:
        done = self.renders.done(who(n)["bucket"])
        face = faces(n)[0]
        if face["face_id"] in done:
            return
        render = {**face, "item_id": face["face_id"], "render_status": "ok", "size_px": 16, "scale": 0.5}
        blobs = {face["face_id"]: {"jpg": jpeg(n, self.jpeg_colour)}}
        self.renders.append(who(n)["bucket"], Fragment(table([render], schemas.RENDERS), blobs))
        sounds = {} if self.sound is None else {"flac": flac(wave(n))}
        mels = {
            clip["item_id"]: {"torch40.npy": mel(n, 40), "torch64.npy": mel(n, 64), **sounds} for clip in clips(n)[:2]
        }
        self.utterances.append(who(n)["bucket"], Fragment(table(clips(n), schemas.UTTERANCES), mels))

    def pack(self) -> list[ShardEntry]:
        splits = {row["person"]: row["split"] for row in self.read("splits").to_pylist()}
        entries = []
        for first, last in plan_ranges(RECIPE.shards.buckets_per_shard):
            for split in ("train", "val", "test"):
                people = [n for n in self.people if splits[who(n)["person"]] == split]
                inside = [n for n in people if first <= who(n)["bucket"] <= last]
                for kind, make, schema in (("faces", face_samples, FACE_ROW), ("speech", speech_samples, SPEECH_ROW)):
                    place = {"kind": kind, "split": split, "first_bucket": first, "last_bucket": last}
                    chosen = [sample for n in inside for sample in make(self, n)]
                    entries.append(pack(self.storage, **place, samples=chosen, schema=schema))
        return [entry for entry in entries if entry is not None]

    def commit(self, stage: str, content: pa.Table) -> None:
        self.tables[stage] = [commit_table(self.storage, stage, digest(content.to_pylist()), content)]

    def read(self, stage: str) -> pa.Table:
        return parquet_table(self.storage.read(self.tables[stage][0]))


def face_samples(root: SmallRoot, n: int) -> list[Sample]:
    (row,) = [row for row in root.renders.read(who(n)["bucket"]).to_pylist() if row["identity"] == f"id{n:05d}"]
    content = {**dict.fromkeys(FACE_ROW.names), **faces(n)[0], "quality": 0.5}
    return [Sample(row["face_id"], members(root.renders, row), {name: content[name] for name in FACE_ROW.names})]


def speech_samples(root: SmallRoot, n: int) -> list[Sample]:
    """The first kept clip of every training person is held out."""
    rows = root.utterances.read(who(n)["bucket"]).to_pylist()
    kept = [row for row in rows if row["identity"] == f"id{n:05d}" and row["speech_status"] == "ok"]
    found = []
    for position, row in enumerate(kept):
        content = {**row, "holdout": position == 0 and n not in (8, 9)}
        chosen = {name: content[name] for name in SPEECH_ROW.names}
        found.append(Sample(row["utterance_id"], members(root.utterances, row), chosen))
    return found


def members(store: FragmentStore, row: dict[str, Any]) -> dict[str, Member]:
    return {
        where["suffix"]: Member(
            partial(store.blob, row["part"], where["offset"], where["size"]), where["sha256"], where["size"]
        )
        for where in row["members"]
    }


def photos(n: int) -> list[dict[str, Any]]:
    found = []
    for number in range(3):
        digest_ = sha("photo", n, number)
        place = {"source": "folder", "source_key": f"id{n:05d}/{number}.jpg", "licence": "cc0", "size_bytes": 100}
        found.append({"item_id": f"id{n:05d}/{digest_}", **who(n), "photo_sha256": digest_, **place})
    return found


def faces(n: int) -> list[dict[str, Any]]:
    kept, rejected, empty = photos(n)
    measured = {"photo_status": "ok", "measured_until": "all", "face_index": 0, "face_count": 1, "backend": "none"}
    return [
        {**kept, **measured, "face_id": face_id(kept), "face_angle_deg": float(n), "yaw_deg": float(n)},
        {**rejected, **measured, "face_id": face_id(rejected), "face_angle_deg": 40.0, "yaw_deg": 40.0},
        {**empty, "photo_status": "no_face", "measured_until": "detect", "face_count": 0},
    ]


def face_id(photo: dict[str, Any]) -> str:
    return f"{photo['identity']}/{photo['photo_sha256'][:16]}_0"


def verdicts(n: int) -> list[dict[str, Any]]:
    kept, rejected, empty = faces(n)
    good = {"verdict": "keep", "reasons": [], "quality": 0.5, "rank": 1, "candidate": True, "portrait": True}
    bad = {"verdict": "reject", "candidate": False, "portrait": False}
    return [
        {**kept, **good},
        {**rejected, **bad, "reason": "face_angle", "reasons": ["face_angle"]},
        {**empty, **bad, "reason": "no_face", "reasons": ["no_face"]},
    ]


def links(n: int) -> list[dict[str, Any]]:
    """The rejected photos of people 0 and 1 are one cluster."""
    found = []
    for position, face in enumerate(faces(n)[:2]):
        shared = position == 1 and n < 2
        cluster = min(faces(0)[1]["photo_sha256"], faces(1)[1]["photo_sha256"]) if shared else face["photo_sha256"]
        size = 2 if shared else 1
        found.append({**face, "photo_cluster": cluster, "cluster_people": size, "cluster_photos": size})
    return found


def clips(n: int) -> list[dict[str, Any]]:
    found = []
    for number in range(3):
        digest_ = sha("clip", n, number)
        utterance = f"id{n:05d}/video_{number:05d}"
        place = {"source": "folder", "source_key": f"wav/id{n:05d}/video/{number:05d}.wav", "audio_sha256": digest_}
        measured = {"duration_s": 3.0, "speech_s": 2.0, "vad_ratio": 0.9, "sample_rate_hz": 16000, "channels": 1}
        status = {"speech_status": "ok" if number < 2 else "unreadable"}
        names = {"item_id": f"{utterance}@{digest_[:16]}", "utterance_id": utterance, "video": "video"}
        found.append({**who(n), **names, **place, **measured, **status})
    return found


def heard(n: int) -> list[dict[str, Any]]:
    first, second, third = clips(n)
    good = {"verdict": "keep", "reasons": []}
    return [{**first, **good}, {**second, **good}, {**third, "verdict": "reject", "reason": "unreadable"}]


def jpeg(n: int, colour: int) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (16, 16), (n, colour, 0)).save(sink, "JPEG")
    return sink.getvalue()


def wave(n: int) -> npt.NDArray[np.int16]:
    """20 frames of 10 ms, whose every sample says which person and frame it is of."""
    return (1000 * n + np.arange(20).repeat(160)).astype(np.int16)


def mel(n: int, bins: int) -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.full((bins, 20), n, np.float16))
    return sink.getvalue()
