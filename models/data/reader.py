"""The only place in `models/` that knows how a snapshot lies on disk.

    <root>/snapshots/<id>.json   {"format": 1, "id", "shards": [{"tar", "sidecar", "split", "kind", "sha256", "bytes"}],
                                  "front_ends": {name: {"n_mels", "hop_s", "normalisation": {"kind", "mean", "std"}}}}
    <root>/<tar>                 plain WebDataset tar
    <root>/<sidecar>             Parquet, one row per tar member: key, member, offset, size, sha256, split, kind,
                                 identity, person, sex, for speech `holdout` and, where they were
                                 measured, pitch_median_hz and pitch_range_st; further columns are not read
    portraits                    members `<face key>.jpg` or `.webp`, square RGB
    log-mels                     members `<utterance key>.<front end>.npy`, float16 (F, T), little-endian, C order

Members are read at (offset, size) from the mapped tar: no tar parsing, no copy of a log-mel. Portraits are decoded once
to uint8 at the training size and kept as `<cache>/<tar sha256[:16]>-<side>px.npy`.
"""

from __future__ import annotations

import io
import json
import mmap
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from models.errors import SnapshotReadError
from models.files import write_atomic

FORMAT = 1
SPLITS = ("train", "val", "test")
_COLUMNS = ("key", "member", "offset", "size", "identity", "person", "sex")
_WHERE_MEASURED = ("holdout", "pitch_median_hz", "pitch_range_st", "nationality")
_PORTRAIT_SUFFIXES = (".jpg", ".webp")

Uint8Array = npt.NDArray[np.uint8]
Float16Array = npt.NDArray[np.float16]


@dataclass(frozen=True, kw_only=True)
class Member:
    """One file in a tar: a portrait or a log-mel. `sex` is `m`, `f` or `unknown`; a pitch that is not there is None."""

    shard: int
    key: str
    name: str
    offset: int
    size: int
    identity: str
    person: str
    sex: str
    holdout: bool
    nationality: str = "unknown"
    pitch_median_hz: float | None = None
    pitch_range_st: float | None = None


class Snapshot:
    """An immutable dataset version, opened for reading. Raises `SnapshotReadError` for everything that is wrong."""

    def __init__(self, root: str | Path, snapshot_id: str) -> None:
        self.root = _local_root(root)
        self._document = _read_document(self.root, snapshot_id)
        self.id = snapshot_id
        self.name = str(self._document.get("name", ""))
        self._shards: list[Mapping[str, Any]] = self._document["shards"]
        self._maps: dict[int, mmap.mmap] = {}
        self._descriptors: dict[int, int] = {}
        self._lock = threading.Lock()
        self._sidecars: dict[int, list[Member]] = {}

    def front_end(self, name: str) -> Mapping[str, Any]:
        """What the snapshot says about a mel front end: at least `n_mels` and `hop_s`."""
        front_ends = self._document.get("front_ends", {})
        if name not in front_ends:
            raise SnapshotReadError(
                f"snapshot {self.id} has no front end {name!r}; it has {sorted(front_ends)}: "
                "choose one with front_end in run.json, or build with speech.measure.front_ends"
            )
        front_end: Mapping[str, Any] = front_ends[name]
        missing = [key for key in ("n_mels", "hop_s") if key not in front_end]
        if missing:
            raise SnapshotReadError(f"snapshot {self.id}: front end {name!r} does not say {', '.join(missing)}")
        return front_end

    def portraits(self, split: str) -> list[Member]:
        """All portraits of a split, by shard and offset."""
        return [member for member in self._members(split, "faces") if member.name.endswith(_PORTRAIT_SUFFIXES)]

    def mels(self, split: str, front_end: str) -> list[Member]:
        """All log-mels of a split and front end, by shard and offset, held-out clips included."""
        return [member for member in self._members(split, "speech") if member.name.endswith(f".{front_end}.npy")]

    def tar_sha256(self, member: Member) -> str:
        """The hash of the tar that holds a member, as the snapshot states it."""
        return str(self._shards[member.shard]["sha256"])

    def read(self, member: Member) -> memoryview:
        """The bytes of one member, not copied."""
        tar = self._tar(member.shard)
        end = member.offset + member.size
        if member.offset < 0 or end > len(tar):
            raise self._damaged(member, f"ends at byte {end} of {len(tar)}")
        return memoryview(tar)[member.offset : end]

    def mel(self, member: Member) -> Float16Array:
        """One log-mel, float16 (F, T), a view into the mapped tar."""
        return self._mel(member, self.read(member))

    def read_mel(self, member: Member) -> Float16Array:
        """One log-mel, float16 (F, T), read in one go and not mapped; from any thread."""
        with self._lock:
            if member.shard not in self._descriptors:
                with self._open(member.shard) as file:
                    descriptor = self._descriptors[member.shard] = os.dup(file.fileno())
                weakref.finalize(self, os.close, descriptor)
        return self._mel(member, memoryview(os.pread(self._descriptors[member.shard], member.size, member.offset)))

    def _mel(self, member: Member, data: memoryview) -> Float16Array:
        header = io.BytesIO(bytes(data[:256]))
        try:
            np.lib.format.read_magic(header)  # type: ignore[no-untyped-call]
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(header)  # type: ignore[no-untyped-call]
            if dtype != np.float16 or fortran or len(shape) != 2:
                raise ValueError(f"is {dtype} {shape}, not a C-ordered float16 (F, T)")
            return np.frombuffer(data, np.float16, shape[0] * shape[1], header.tell()).reshape(shape)
        except ValueError as error:
            raise self._damaged(member, str(error)) from None

    def decode_portraits(self, members: Sequence[Member], side_px: int, cache: Path) -> Uint8Array:
        """Decode portraits to uint8 (N, side, side, 3), through the cache on disk."""
        faces = np.empty((len(members), side_px, side_px, 3), np.uint8)
        for shard in sorted({member.shard for member in members}):
            all_portraits = [member for member in self._sidecar(shard) if member.name.endswith(_PORTRAIT_SUFFIXES)]
            decoded = self._decoded_shard(shard, all_portraits, side_px, cache)
            place = {member.name: row for row, member in enumerate(all_portraits)}
            for row, member in enumerate(members):
                if member.shard == shard:
                    faces[row] = decoded[place[member.name]]
        return faces

    def _decoded_shard(self, shard: int, members: Sequence[Member], side_px: int, cache: Path) -> Uint8Array:
        path = cache / f"{self._shards[shard]['sha256'][:16]}-{side_px}px.npy"
        shape = (len(members), side_px, side_px, 3)
        if path.exists():
            try:
                cached: Uint8Array = np.load(path, mmap_mode="r")
                if cached.shape == shape and cached.dtype == np.uint8:
                    return cached
            except ValueError:
                path.unlink(missing_ok=True)
        decoded = np.stack([self._decode(member, side_px) for member in members])
        write_atomic(path, lambda file: np.save(file, decoded))
        return decoded

    def _decode(self, member: Member, side_px: int) -> Uint8Array:
        try:
            with Image.open(io.BytesIO(self.read(member))) as image:
                small = image.convert("RGB").resize((side_px, side_px), Image.Resampling.LANCZOS)
                return np.asarray(small, np.uint8)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise self._damaged(member, str(error)) from None

    def _members(self, split: str, kind: str) -> list[Member]:
        if split not in SPLITS:
            raise SnapshotReadError(f"split {split!r}: is one of {', '.join(SPLITS)}")
        chosen = [
            index for index, shard in enumerate(self._shards) if shard["split"] == split and shard["kind"] == kind
        ]
        return [member for index in chosen for member in self._sidecar(index)]

    def _sidecar(self, shard: int) -> list[Member]:
        if shard not in self._sidecars:
            self._sidecars[shard] = self._read_sidecar(shard)
        return self._sidecars[shard]

    def _read_sidecar(self, shard: int) -> list[Member]:
        path = self.root / str(self._shards[shard]["sidecar"])
        try:
            schema = pq.read_schema(path)
            columns = [*_COLUMNS, *(name for name in _WHERE_MEASURED if name in schema.names)]
            missing = set(_COLUMNS) - set(schema.names)
            table = pq.read_table(path, columns=[c for c in columns if c not in missing], partitioning=None)
        except (OSError, pa.ArrowException) as error:
            raise SnapshotReadError(
                f"snapshot {self.id}: sidecar {path} cannot be read ({_first_line(error)}); "
                f"run: voxdata verify --root {self.root}"
            ) from None
        if missing:
            raise SnapshotReadError(f"snapshot {self.id}: sidecar {path} lacks the columns {sorted(missing)}")
        rows = sorted(table.to_pylist(), key=lambda row: int(row["offset"]))
        return [
            Member(
                shard=shard,
                key=row["key"],
                name=row["member"],
                offset=row["offset"],
                size=row["size"],
                identity=row["identity"],
                person=row["person"],
                sex=row["sex"] if row["sex"] in ("m", "f") else "unknown",
                holdout=bool(row.get("holdout")),
                nationality=row.get("nationality") or "unknown",
                pitch_median_hz=row.get("pitch_median_hz"),
                pitch_range_st=row.get("pitch_range_st"),
            )
            for row in rows
        ]

    def _tar(self, shard: int) -> mmap.mmap:
        if shard not in self._maps:
            with self._open(shard) as file:
                try:
                    self._maps[shard] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                except (OSError, ValueError) as error:
                    raise self._unreadable(shard, error) from None
        return self._maps[shard]

    def _open(self, shard: int) -> BinaryIO:
        try:
            return open(self.root / str(self._shards[shard]["tar"]), "rb")
        except OSError as error:
            raise self._unreadable(shard, error) from None

    def _unreadable(self, shard: int, error: Exception) -> SnapshotReadError:
        path = self.root / str(self._shards[shard]["tar"])
        return SnapshotReadError(
            f"snapshot {self.id}: shard {path} cannot be read ({error}); run: voxdata verify --root {self.root}"
        )

    def _damaged(self, member: Member, why: str) -> SnapshotReadError:
        tar = self._shards[member.shard]["tar"]
        return SnapshotReadError(
            f"snapshot {self.id}: {member.name} in {tar} is damaged: {why}; run: voxdata verify --root {self.root}"
        )


def _local_root(root: str | Path) -> Path:
    text = str(root)
    if "://" in text and not text.startswith("file://"):
        raise SnapshotReadError(f"root {text}: training maps shards from a local disk; copy the snapshot there first")
    path = Path(text.removeprefix("file://"))
    if not path.is_dir():
        raise SnapshotReadError(f"root {path} does not exist; build one with: voxdata build RECIPE --root {path}")
    return path


def _read_document(root: Path, snapshot_id: str) -> dict[str, Any]:
    path = root / "snapshots" / f"{snapshot_id}.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.json"))) or "none"
        raise SnapshotReadError(f"no snapshot {snapshot_id!r} under {root}; there are: {known}") from None
    except (OSError, ValueError) as error:
        raise SnapshotReadError(f"snapshot {path} cannot be read: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT or "shards" not in document:
        found = document.get("format") if isinstance(document, dict) else document
        raise SnapshotReadError(f"snapshot {path} has format {found!r}; this version reads format {FORMAT}")
    if document.get("redacted"):
        raise SnapshotReadError(
            f"snapshot {snapshot_id} is redacted: somebody in it was forgotten; train on a newer one "
            f"(voxdata sql --query snapshots --root {root})"
        )
    return document


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
