"""A snapshot, opened for reading: portraits and log-mels of a split as arrays.

This is the one reader: `voxdata.open` and the trainings in `models/` both use it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from voxdata.format import portraits
from voxdata.format.errors import RootMissingError, SnapshotError, quoted
from voxdata.format.files import Files, LocalFiles
from voxdata.format.mels import MelTars
from voxdata.format.portraits import MappedPortraits, Uint8Array
from voxdata.format.sidecar import SOUND, Member, read_members
from voxdata.format.snapshot import SPLITS, Kind, ShardEntry, Snapshot, parse_snapshot, snapshot_key


class Reader:
    """Members of a snapshot and what is in them. Raises `SnapshotError`, `ShardError`.

    It can be pickled; sidecars are read once in each process, when they are first needed.
    """

    def __init__(self, files: Files, snapshot: Snapshot) -> None:
        self.files = files
        self.snapshot = snapshot
        self.id = snapshot.id
        self._members: dict[int, list[Member]] = {}

    @property
    def local(self) -> LocalFiles:
        """The root as a folder on this machine. Raises `SnapshotError` where it is on object storage."""
        if not isinstance(self.files, LocalFiles):
            raise SnapshotError(
                f"root {self.files.url}: pairs and pipelines map shards from a local disk; copy the version to this "
                f"machine and open the copy: voxdata pull --root {self.files.url} --snapshot {self.id} --to FOLDER"
            )
        return self.files

    def front_end(self, name: str) -> Mapping[str, Any]:
        """What the snapshot says about a mel front end: at least `n_mels` and `hop_s`."""
        front_ends = self.snapshot.front_ends
        if name not in front_ends:
            raise SnapshotError(
                f"snapshot {self.id} has no front end {name!r}; it has {', '.join(sorted(front_ends))}: choose one of "
                "them, or build with --set speech.measure.front_ends"
            )
        missing = [key for key in ("n_mels", "hop_s") if key not in front_ends[name]]
        if missing:
            raise SnapshotError(f"snapshot {self.id}: front end {name!r} does not say {', '.join(missing)}")
        return front_ends[name]

    def shards(self, kind: Kind, split: str | None = None) -> list[ShardEntry]:
        """The shards of a kind, of one split or of all. Raises `SnapshotError` for another kind or split."""
        return [self.snapshot.shards[shard] for shard in self._places(kind, split)]

    def portraits(self, split: str) -> list[Member]:
        """All portraits of a split, by shard and offset."""
        return [member for member in self._of("faces", split) if member.suffix in portraits.SUFFIXES]

    def decode_portraits(self, members: Sequence[Member], side_px: int, cache: Path) -> Uint8Array:
        """These portraits decoded, uint8 (N, 3, side, side), through the cache in a folder."""
        shards = sorted({member.shard for member in members})
        everybody = [each for shard in shards for each in self._in(shard) if each.suffix in portraits.SUFFIXES]
        mapped = self.mapped_portraits(everybody, side_px, cache)
        rows = portraits.rows(everybody)
        faces = np.empty((len(members), 3, side_px, side_px), np.uint8)
        for place, member in enumerate(members):
            faces[place] = mapped.array(member.shard)[rows[member.key]]
        return faces

    def mapped_portraits(self, members: Sequence[Member], side_px: int, cache: Path) -> MappedPortraits:
        """All portraits of some shards, by shard and offset, mapped from the cache in a folder."""
        return MappedPortraits(self.files, self.snapshot.shards, members, side_px, cache)

    def mels(self, split: str, front_end: str) -> list[Member]:
        """All log-mels of a split and front end, by shard and offset, held-out clips included."""
        return [member for member in self._of("speech", split) if member.suffix == f"{front_end}.npy"]

    def sounds(self, split: str) -> list[Member]:
        """The members with the sound of the clips of a split, by shard and offset; none where shards hold no sound."""
        return [member for member in self._of("speech", split) if member.suffix == SOUND]

    def mel_tars(self, front_end: str) -> MelTars:
        """What is in the log-mels of a front end."""
        return MelTars(self.local, self.snapshot.shards, int(self.front_end(front_end)["n_mels"]))

    def tar_sha256(self, member: Member) -> str:
        """The hash of the tar that holds a member, as the snapshot states it."""
        return self.snapshot.shards[member.shard].sha256

    def _of(self, kind: Kind, split: str) -> list[Member]:
        return [member for shard in self._places(kind, split) for member in self._in(shard)]

    def _places(self, kind: Kind, split: str | None) -> list[int]:
        if kind not in get_args(Kind):
            raise SnapshotError(f"no kind of shards {quoted(kind)}; there are {', '.join(get_args(Kind))}")
        if split is not None and split not in SPLITS:
            raise SnapshotError(f"no split {quoted(split)}; there are {', '.join(SPLITS)}")
        shards = enumerate(self.snapshot.shards)
        return [place for place, entry in shards if entry.kind == kind and split in (None, entry.split)]

    def _in(self, shard: int) -> list[Member]:
        if shard not in self._members:
            self._members[shard] = read_members(self.files, self.snapshot.shards[shard], shard)
        return self._members[shard]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_members": {}}


def open_local(root: str | Path, identifier: str) -> Reader:
    """A snapshot by its id, under a root on this machine. Raises `RootMissingError`, `SnapshotError`."""
    text = str(root)
    if "://" in text and not text.startswith("file://"):
        raise SnapshotError(
            f"root {text}: training maps shards from a local disk; copy the version there first: voxdata pull --root "
            f"{text} --snapshot {identifier} --to FOLDER"
        )
    files = LocalFiles(Path(text.removeprefix("file://")))
    if not files.path.is_dir():
        raise RootMissingError(f"root {text} does not exist; build one with: voxdata build RECIPE --root {text}")
    key = snapshot_key(identifier)
    if not files.local(key).exists():
        known = ", ".join(sorted(path.stem for path in files.local("snapshots").glob("*.json"))) or "none"
        raise SnapshotError(f"no snapshot {identifier!r} under {files.url}; there are: {known}")
    return Reader(files, parse_snapshot(files.read(key), key))
