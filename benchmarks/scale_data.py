"""Rows of a dataset of the paper's size, made at once as Arrow columns: what `catalog_scale.py` builds its root from.

Of the photos, one in twelve shows no face, one in nine a face too small to measure, one in fifty is a near duplicate.
Every measured face has all its measurements. The 3,638 people with portraits are those of the paper, and the kept clips
are theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from voxdata.faces.columns import FACES
from voxdata.faces.measures.emotion import EMOTIONS
from voxdata.people.identities import bucket_of
from voxdata.tables import schemas

PEOPLE, PHOTOS, CLIPS, KEPT_CLIPS, PORTRAITS = 7363, 2_200_000, 1_240_000, 609_700, 8028
SPEAKERS, RICH = 3638, 752  # people with portraits, two each; the rich have many faces that pass, and three
GOOD_FACE = {
    "yaw_deg": 2.0,
    "pitch_deg": 2.0,
    "roll_deg": 2.0,
    "face_angle_deg": 2.0,
    "asymmetry": 0.01,
    "smile": 0.0,
    "mouth_open": 0.0,
    "eyes_open": 0.3,
    "expression": 0.2,
    "glasses": 0.1,
    "occlusion": 0.05,
    "skin_level": 0.4,
    "light_left_right": 0.9,
    "light_top_bottom": 0.9,
    "highlight_share": 0.0,
    "shadow_share": 0.0,
    "sharpness": 0.15,
    "pupil_distance_px": 80.0,
}  # passes every rule with the default limits, also with 1 % added
CLIPS_PER_VIDEO = 8
GOOD_CLIP = {"vad_ratio": 0.6, "gate_ratio": 0.8, "music_ratio": 0.1, "speech_s": 5.0, "clipped_share": 0.0}
BACKEND = "mediapipe"

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Texts = npt.NDArray[Any]


@dataclass(frozen=True)
class ScaleData:
    """The tables of a dataset at `scale` times the full size; people in the order of their buckets."""

    scale: float
    seed: int = 0

    @cached_property
    def rng(self) -> np.random.Generator:
        """One stream of draws for all tables, in the order in which they are asked for."""
        return np.random.default_rng(self.seed)

    @cached_property
    def identities(self) -> pa.Table:
        """`schemas.IDENTITIES`."""
        names = [f"id{10001 + n}" for n in range(max(20, int(PEOPLE * self.scale)))]
        names.sort(key=lambda name: (bucket_of(name), name))
        count = len(names)
        columns = {
            "identity": pa.array(names),
            "person": pa.array(names),
            "bucket": pa.array([bucket_of(name) for name in names], pa.int32()),
            "name": pa.array([f"Person_{name}" for name in names]),
            "sex": _choice(self.rng, ["m", "f"], count),
            "nationality": _choice(self.rng, ["USA", "UK", "India", "Canada", "Germany", "unknown"], count),
            "published_set": _choice(self.rng, ["dev", "test"], count),
            "metadata_row": pa.array(np.arange(count)),
        }
        return _table(columns, schemas.IDENTITIES)

    @property
    def people(self) -> int:
        """How many."""
        return int(self.identities.num_rows)

    @cached_property
    def speakers(self) -> Ints:
        """Rows of the people who get portraits and speech."""
        return np.sort(self.rng.permutation(self.people)[: max(10, int(SPEAKERS * self.scale))])

    @cached_property
    def splits(self) -> pa.Table:
        """`schemas.SPLITS`: tenths for validation and test."""
        names = np.where(np.arange(len(self.speakers)) % 10 == 8, "test", "train").astype(object)
        names[np.arange(len(self.speakers)) % 10 == 9] = "val"
        return _table(
            {"person": self.identities["person"].take(self.speakers), "split": pa.array(names)}, schemas.SPLITS
        )

    @cached_property
    def photo_owner(self) -> Ints:
        """Row of the person of each photo, ascending."""
        return np.sort(self.rng.integers(self.people, size=int(PHOTOS * self.scale)))

    @cached_property
    def photo_hashes(self) -> pa.Array:
        """sha256 of each photo, ascending within a person, so that rows are in the order of their item ids."""
        return _hex(self.rng, self.photo_owner)

    @cached_property
    def measured(self) -> Flags:
        """Photos with a face that was measured to the end."""
        return self._status < 0.81

    @cached_property
    def _status(self) -> npt.NDArray[np.float64]:
        return self.rng.random(len(self.photo_owner))

    def photos(self) -> pa.Table:
        """`schemas.PHOTOS`."""
        count = len(self.photo_owner)
        hosts = _choice(self.rng, [f"site{n}.example" for n in range(40)], count).to_pylist()
        numbers = self.rng.integers(10**9, size=count).tolist()
        columns = {
            **self._who(self.photo_owner),
            "item_id": self._photo_items(),
            "photo_sha256": self.photo_hashes,
            "size_bytes": pa.array(self.rng.integers(20_000, 900_000, count)),
            "source": pa.repeat("site", count),
            "source_key": pa.array([f"https://{host}/p/{n:x}.jpg" for host, n in zip(hosts, numbers, strict=True)]),
            "licence": _choice(self.rng, ["unknown", "CC BY-SA 4.0", "CC BY 2.0", "public domain"], count),
        }
        return _table(columns, schemas.PHOTOS)

    def faces(self) -> pa.Table:
        """`FACES.schema` without embeddings, one row per photo."""
        count = len(self.photo_owner)
        found, measured = self._status < 0.92, self.measured
        columns = {
            **self._who(self.photo_owner),
            "item_id": self._photo_items(),
            "photo_sha256": self.photo_hashes,
            "face_id": _where(found, self.face_ids()),
            "face_index": pa.array(np.zeros(count, np.int32), mask=~found),
            "face_count": pa.array(found.astype(np.int32)),
            "photo_status": pa.array(np.where(found, "ok", "no_face")),
            "measured_until": pa.array(np.where(measured, "all", "detect")),
            "backend": pa.repeat(BACKEND, count),
            "backend_version": pa.repeat("0.10.21", count),
            "photo_width_px": pa.array(self.rng.integers(200, 2000, count), pa.int32()),
            "photo_height_px": pa.array(self.rng.integers(200, 2000, count), pa.int32()),
            "photo_phash": self.phashes(),
            "grayscale": pa.array(self.rng.random(count) < 0.05),
            "embedding_model": _where(measured, pa.repeat("facenet", count)),
        }
        given = {"emotion_model", "embedding", *(f"emotion_{name}" for name in EMOTIONS)}
        for field in FACES.schema:
            if field.type == pa.float32() and field.name not in given and not field.name.startswith("blend_"):
                seen = found if field.name.startswith("box_") or field.name == "detection_score" else measured
                columns[field.name] = self._measurement(field.name, seen)
        halves = columns["light_left_right"], columns["light_top_bottom"]
        columns["light_evenness"] = pc.min_element_wise(*halves, skip_nulls=False)
        return _table(columns, FACES.schema)

    def links(self) -> pa.Table:
        """`schemas.LINKS`."""
        rows = np.flatnonzero(self.measured)
        owner = self.photo_owner[rows]
        repeated = (self.rng.random(len(rows)) < 0.02) & ~self.good[rows]
        first = np.where(repeated & (np.arange(len(rows)) > 0), rows - 1, rows)
        columns = {
            "face_id": self.face_ids().take(rows),
            "photo_sha256": self.photo_hashes.take(rows),
            "photo_cluster": self.photo_hashes.take(first),
            "cluster_people": pa.array(1 + (repeated & (self.rng.random(len(rows)) < 0.2)), pa.int32()),
            "cluster_photos": pa.array(1 + repeated, pa.int32()),
            "centroid_similarity": pa.array(self.rng.uniform(0.3, 0.9, len(rows)), pa.float32()),
            "person_agreement": pa.array(self.rng.uniform(0.6, 1, self.people)[owner], pa.float32()),
            "rival_agreement": pa.array(self.rng.uniform(0, 0.4, self.people)[owner], pa.float32()),
        }
        return _table(columns, schemas.LINKS)

    def face_ids(self) -> pa.Array:
        """Key of the face of each photo."""
        return self._photo_names(16, "_0")

    def phashes(self) -> pa.Array:
        """Perceptual hash of each photo; one in fifty within two bits of the photo before it."""
        bits = self.rng.integers(2**63, size=len(self.photo_owner)).astype(np.uint64) * np.uint64(2)
        near = np.flatnonzero(self.rng.random(len(bits)) < 0.02)[1:]
        bits[near] = bits[near - 1] ^ (np.uint64(1) << self.rng.integers(64, size=len(near)).astype(np.uint64))
        text = bits.byteswap().tobytes().hex().encode()
        return _fixed_texts(text, 16)

    @cached_property
    def good(self) -> Flags:
        """Photos whose face passes every rule."""
        rows = np.flatnonzero(self.measured)
        owner = self.photo_owner[rows]
        place = np.arange(len(rows)) - np.searchsorted(owner, owner)
        rich = np.isin(owner, self.speakers[:: max(1, SPEAKERS // RICH)])
        passes = (place < 2) | (rich & ((place < 40) | (self.rng.random(len(rows)) < 0.4)))
        flags = np.zeros(len(self.photo_owner), bool)
        flags[rows[passes & np.isin(owner, self.speakers)]] = True
        return flags

    @cached_property
    def clip_owner(self) -> Ints:
        """Row of the person of each clip, ascending."""
        return np.sort(self.rng.integers(self.people, size=int(CLIPS * self.scale)))

    @cached_property
    def clip_hashes(self) -> pa.Array:
        """sha256 of each clip."""
        return _hex(self.rng, np.arange(len(self.clip_owner)))

    @cached_property
    def utterance_ids(self) -> list[str]:
        """`<identity>/<video>_<segment>`, ascending within a person."""
        names = self.identities["identity"].to_pylist()
        place = np.arange(len(self.clip_owner)) - np.searchsorted(self.clip_owner, self.clip_owner)
        videos = (self.clip_owner * 1_000_003 + place // CLIPS_PER_VIDEO * 7919).tolist()
        owners = self.clip_owner.tolist()
        return [
            f"{names[owner]}/{place:03d}{video % 36**6:08x}_{segment:05d}"
            for owner, place, video, segment in zip(
                owners,
                (place // CLIPS_PER_VIDEO).tolist(),
                videos,
                (place % CLIPS_PER_VIDEO + 1).tolist(),
                strict=True,
            )
        ]

    def utterances(self) -> pa.Table:
        """`schemas.UTTERANCES`."""
        count = len(self.clip_owner)
        ids = self.utterance_ids
        columns = {
            **self._who(self.clip_owner),
            "item_id": self._clip_items(),
            "utterance_id": pa.array(ids),
            "video": pa.array([text[8:19] for text in ids]),
            "segment": pa.array([text[20:] for text in ids]),
            "audio_sha256": self.clip_hashes,
            "pcm_sha256": _hex(self.rng, np.arange(count)),
            "speech_status": pa.repeat("ok", count),
            "decoder": pa.repeat("soundfile", count),
            "sample_rate_hz": pa.repeat(pa.scalar(16000, pa.int32()), count),
            "channels": pa.repeat(pa.scalar(1, pa.int32()), count),
            "vad": pa.repeat("webrtc-1-30-300", count),
            "segments": pa.array(self.rng.integers(1, 9, count), pa.int32()),
            "front_ends": self._front_ends(count),
        }
        absent = {"silero_ratio", "loop_s", "loop_similarity"}
        for field in schemas.UTTERANCES:
            if field.type == pa.float32() and field.name not in absent:
                values = self.rng.random(count, np.float32)
                good = GOOD_CLIP.get(field.name)
                kept = values if good is None else good * (1 + values / 10)
                columns[field.name] = pa.array(np.where(self.kept, kept, 10 * values).astype(np.float32))
        return _table(columns, schemas.UTTERANCES)

    def _front_ends(self, count: int) -> pa.Array:
        """Frames of two front ends per clip, heard under the clip's own voice activity setting."""
        kind = schemas.UTTERANCES.field("front_ends").type
        nulls = {name: pa.nulls(2 * count, kind.item_type.field(name).type) for name in ("vad", "vad_ratio")}
        frames = pa.array(self.rng.integers(300, 2000, 2 * count), pa.int32())
        heard = pa.StructArray.from_arrays([frames, *nulls.values()], ["frames", *nulls])
        names = pa.array(["torch40", "torch64"]).take(np.tile([0, 1], count))  # as one chunk, however many there are
        return pa.MapArray.from_arrays(np.arange(0, 2 * count + 1, 2, np.int32), names, heard).cast(kind)

    def utterance_files(self) -> pa.Table:
        """Sources of the clips, as `schemas.UTTERANCE_FILES`."""
        ids = self.utterance_ids
        columns = {
            **self._who(self.clip_owner),
            "item_id": self._clip_items(),
            "utterance_id": pa.array(ids),
            "source": pa.repeat("folder", len(ids)),
            "source_key": pa.array([f"wav/{text[:19]}/{text[20:]}.wav" for text in ids]),
        }
        return _table(columns, schemas.UTTERANCE_FILES)

    def utterance_verdicts(self) -> pa.Table:
        """`schemas.UTTERANCE_VERDICTS`."""
        kept = self.kept
        reason = _choice(self.rng, ["too_short", "noisy", "music", "clipped"], len(kept))
        reason = _where(~kept, reason)
        lists = pa.ListArray.from_arrays(np.concatenate([[0], np.cumsum(~kept)]).astype(np.int32), reason.drop_null())
        columns = {
            **self._who(self.clip_owner),
            "item_id": self._clip_items(),
            "utterance_id": pa.array(self.utterance_ids),
            "verdict": pa.array(np.where(kept, "keep", "reject")),
            "reason": reason,
            "reasons": lists,
        }
        return _table(columns, schemas.UTTERANCE_VERDICTS)

    @cached_property
    def kept(self) -> Flags:
        """Clips that are kept: of people with portraits, all but a few."""
        chosen = np.flatnonzero(np.isin(self.clip_owner, self.speakers))[: max(1, int(KEPT_CLIPS * self.scale))]
        flags = np.zeros(len(self.clip_owner), bool)
        flags[chosen] = True
        return flags

    def embeddings(self, width: int = 128) -> tuple[npt.NDArray[np.float32], Ints]:
        """Unit embeddings of the measured faces (N, width) around a centre per person, one face in ten a stranger."""
        rows = np.flatnonzero(self.measured)
        centres = self.rng.standard_normal((self.people, width), np.float32)
        shown = np.where(
            self.rng.random(len(rows)) < 0.1, self.rng.integers(self.people, size=len(rows)), self.photo_owner[rows]
        )
        found = centres[shown] + 0.7 * self.rng.standard_normal((len(rows), width), np.float32)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        return found, rows

    def _who(self, owner: Ints) -> dict[str, pa.Array]:
        rows = pa.array(owner)
        return {name: self.identities[name].combine_chunks().take(rows) for name in ("identity", "person", "bucket")}

    def _photo_items(self) -> pa.Array:
        return self._photo_names(64, "")

    def _photo_names(self, digits: int, end: str) -> pa.Array:
        names = self.identities["identity"].combine_chunks().take(pa.array(self.photo_owner))
        hashes = pc.utf8_slice_codeunits(self.photo_hashes, 0, digits)
        return pc.binary_join_element_wise(names, pc.binary_join_element_wise(hashes, end, ""), "/")

    def _clip_items(self) -> pa.Array:
        hashes = pc.utf8_slice_codeunits(self.clip_hashes, 0, 16)
        return pc.binary_join_element_wise(pa.array(self.utterance_ids), hashes, "@")

    def _measurement(self, name: str, seen: Flags) -> pa.Array:
        count = len(seen)
        spread = {"_deg": 20.0, "_px": 300.0}.get(name[name.rfind("_") :], 1.0)
        values = self.rng.random(count, np.float32) * np.float32(spread)
        if name in ("yaw_deg", "face_angle_deg"):
            values += np.float32(20)
        if name in GOOD_FACE:
            values = np.where(self.good, GOOD_FACE[name] + values / 10_000, values)
        return pa.array(values, mask=~seen)


def _table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    """A table of the schema; columns that are not given are null."""
    count = len(next(iter(columns.values())))
    return pa.table({field.name: columns.get(field.name, pa.nulls(count, field.type)) for field in schema}).cast(schema)


def _choice(rng: np.random.Generator, names: list[str], count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(rng.integers(len(names), size=count), names).dictionary_decode()


def _where(flags: Flags, values: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(flags), values, pa.scalar(None, values.type))


def _hex(rng: np.random.Generator, owner: Ints) -> pa.Array:
    """64 random hex digits per row, ascending among rows of the same owner."""
    words = rng.integers(256, size=(len(owner), 32), dtype=np.uint8)
    order = np.lexsort((words[:, 1], words[:, 0], owner)) if len(np.unique(owner)) < len(owner) else slice(None)
    return _fixed_texts(words[order].tobytes().hex().encode(), 64)


def _fixed_texts(text: bytes, width: int) -> pa.Array:
    count = len(text) // width
    offsets = np.arange(count + 1, dtype=np.int64) * width
    return pa.LargeStringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(text)).cast(pa.string())
