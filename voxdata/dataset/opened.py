"""`voxdata.open`: one dataset version, opened for reading."""

from __future__ import annotations

import io
import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args, overload

from voxdata.catalog.asked import add_asked
from voxdata.catalog.query import answer
from voxdata.catalog.snapshot import load_snapshot
from voxdata.catalog.thumbnails import Portraits
from voxdata.catalog.versions import opened_at
from voxdata.catalog.withheld import everyone, hidden_in
from voxdata.dataset.html import facts_html, figure, image
from voxdata.dataset.result import Result, Samples
from voxdata.format.errors import QueryError, ShardError, SnapshotError, quoted
from voxdata.format.files import LocalFiles
from voxdata.format.members import MemberIndex
from voxdata.format.reader import Reader
from voxdata.format.sidecar import SOUND, keys_of, read_sidecar, sample_rows, without_people
from voxdata.format.snapshot import Kind, ShardEntry, Snapshot
from voxdata.format.temporary import temporary_files
from voxdata.people.optouts import hidden
from voxdata.store.storage import Storage, open_storage

if TYPE_CHECKING:
    from PIL.Image import Image
    from webdataset import WebDataset

    from voxdata.dataset.pairs import IterablePairs, Pairs
    from voxdata.dataset.sound import Sound

logger = logging.getLogger(__name__)

OptedOut: TypeAlias = Literal["leave_out", "keep"]
HTML_PORTRAITS = 8


class Dataset:
    """A dataset version. It never changes under its reader; a build that publishes beside it is not seen.

    `len()` is the number of its samples, portraits and utterances; iterating gives a dict per sample, in the order of
    the shards: `kind`, `key`, `split`, `identity`, `person`, `tar`. Both leave out people who opted out since, or whose
    forgetting has begun, as do `image`, `audio`, what notebooks show, and `portraits`, `utterances`, `pairs` and
    `webdataset`. These four say once, as a warning, how many people they leave out; with `opted_out="keep"` they give
    the version as it was published, to compute again what was computed on it. `read`, `shards` and `sql` always do.

    It can be pickled and used in DataLoader workers, forked or spawned. Use it as a context manager or `close()` it.
    """

    def __init__(self, root: str | Path, snapshot: str | None = None) -> None:
        self.storage: Storage = open_storage(root)
        self.snapshot: Snapshot = load_snapshot(self.storage, snapshot)
        self._reader = Reader(self.storage, self.snapshot)
        self._index: MemberIndex | None = None
        self._folder: str | None = None
        self._said = False

    @property
    def id(self) -> str:
        """The snapshot's id: name it with whatever was made from this dataset."""
        return self.snapshot.id

    def __repr__(self) -> str:
        return f"voxdata.open({self.storage.url!r}, snapshot={self.id!r})"

    def sql(self, statement: str) -> Result:
        """Ask the catalog of this snapshot; it can only be read. Tables and views: docs/catalog.md.

        Another snapshot than the current one gets a catalog of its own, built once in a temporary folder. Raises
        `QueryError` for SQL that fails or writes.
        """
        if not isinstance(statement, str):
            raise QueryError(f"{quoted(statement)} is no SQL; give a text, as in: voxdata.open(…).sql('FROM funnel')")
        if self._folder is None:
            with temporary_files():
                self._folder = tempfile.mkdtemp(prefix="voxdata-")
            weakref.finalize(self, _remove, self._folder, os.getpid())
        with opened_at(self.storage, self.snapshot, Path(self._folder)) as connection:
            add_asked(connection, self.storage, statement)
            return Result(answer(connection, statement), self._shown)

    def portraits(self, split: str | None = None, *, opted_out: OptedOut = "leave_out") -> Samples:
        """A row per portrait, of one split or of all: key, split, tar and all measurements, in the order of the shards.

        Its bytes: `read(key, row["format"])`. Raises `SnapshotError` for an unknown split, `ShardError`.
        """
        shards, gone = self.shards("faces", split), self._left_out(opted_out)
        return Samples(without_people(sample_rows(self.storage, shards), gone), self._shown)

    def utterances(self, split: str | None = None, *, opted_out: OptedOut = "leave_out") -> Samples:
        """A row per utterance, as `portraits`; `holdout` marks clips of training people for closed-set tests."""
        shards, gone = self.shards("speech", split), self._left_out(opted_out)
        return Samples(without_people(sample_rows(self.storage, shards), gone))

    def image(self, key: str) -> Image:
        """A portrait as a PIL image, RGB, S x S px. Raises `ShardError` for a key that is none, or may not be shown."""
        _check_key(key)
        shown = self._shown()
        data = shown.read(key)
        shown.close()
        if data is None:
            why = "its person opted out since" if key in shown.withheld else "there is no portrait of this key"
            raise ShardError(f"{key}: {why}; those there are: voxdata.open(…).portraits()")
        from PIL import Image

        return Image.open(io.BytesIO(data)).convert("RGB")

    def audio(self, key: str) -> Sound:
        """The speech of an utterance: float32 (N,) at 16,000 Hz, mono.

        It comes from the shards where the recipe's `speech.pack.audio` put it there (its file: `read(key, "flac")`),
        else from the file that the clip was made of. Raises `SourceError` where that file is not on this machine any
        more, `ShardError` for a key that is none, or may not be heard.
        """
        from voxdata.dataset.sound import Sound, decoded, read_sound

        _check_key(key)
        of_key = key.replace("'", "''")
        found = self.sql(
            f"SELECT location, content_sha256, identity FROM provenance WHERE kind = 'speech' AND key = '{of_key}'"
        ).rows()
        if not found:
            raise ShardError(f"{key}: there is no utterance of this key; those there are: voxdata.open(…).utterances()")
        if hidden(self.storage) & {found[0]["identity"], key.partition("/")[0]}:
            raise ShardError(f"{key}: its person opted out since")
        if self._members().has(key, SOUND):
            return Sound(decoded(self.read(key, SOUND)))
        return read_sound(key, found[0]["location"], found[0]["content_sha256"], self.storage.url)

    def __len__(self) -> int:
        if not hidden(self.storage):
            return sum(entry.samples for entry in self.snapshot.shards)
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        """A dataset is one, also without samples."""
        return True

    def __iter__(self) -> Iterator[dict[str, Any]]:
        gone = hidden(self.storage)
        columns = ("key", "kind", "split", "identity", "person")
        for entry in self.snapshot.shards:
            rows = read_sidecar(self.storage, entry.sidecar, columns).to_pylist()
            for key, members in groupby(rows, key=lambda row: row["key"]):
                row = next(members)
                if not gone & {row["person"], row["identity"]}:
                    yield {"kind": row["kind"], "key": key, **row, "tar": entry.tar}

    def _shown(self) -> Portraits:
        return Portraits(self.storage, self.snapshot)

    def _repr_html_(self) -> str:
        shown = self._shown()
        some = [
            image(data, f"portrait {key}") for key in shown.keys()[:HTML_PORTRAITS] if (data := shown.thumbnail(key))
        ]
        shown.close()
        counts = {
            split: ", ".join(f"{number} {what}" for what, number in count.items())
            for split, count in self.snapshot.counts.items()
        }
        facts = {"root": self.storage.url, "version": f"{self.id} ({self.snapshot.name})", **counts}
        return facts_html("voxdata dataset", facts, figure(some, "some portraits") if some else "")

    def read(self, key: str, suffix: str) -> bytes:
        """The bytes of `<key>.<suffix>`, one positioned read: `jpg`, `torch40.npy`, `flac`, … Raises `ShardError`.

        The first call reads the places of all members; training processes should call it once before they fork.
        """
        return self._members().read(key, suffix)

    def _members(self) -> MemberIndex:
        if self._index is None:
            self._index = MemberIndex(self.storage, self.snapshot.shards)
        return self._index

    def front_end(self, name: str) -> Mapping[str, Any]:
        """What the snapshot says about a mel front end: `n_mels`, `hop_s`, `normalisation` with mean and std, …"""
        return self._reader.front_end(name)

    @overload
    def pairs(
        self, split: str = ..., *, iterable: Literal[False] = ..., opted_out: OptedOut = ..., **options: Any
    ) -> Pairs: ...

    @overload
    def pairs(
        self, split: str = ..., *, iterable: Literal[True], opted_out: OptedOut = ..., **options: Any
    ) -> IterablePairs: ...

    def pairs(
        self, split: str = "train", *, iterable: bool = False, opted_out: OptedOut = "leave_out", **options: Any
    ) -> Pairs | IterablePairs:
        """A portrait and a stretch of log-mels of the same person, people drawn uniformly, as a torch dataset.

        `options` are those of `voxdata.dataset.pairs.Pairs`: seed, front_end, side_px, frames, length, holdout, cache,
        normalise, audio; with `iterable`, also batch_size, rank and world_size. Whoever opts out later is still in
        pairs that were made before. Needs torch and a root on this machine.
        """
        from voxdata.dataset.pairs import IterablePairs, Pairs

        kind = IterablePairs if iterable else Pairs
        return kind(self._reader, split, leave_out=self._left_out(opted_out), **options)

    def webdataset(
        self, split: str, kind: Kind, *, shuffle: int = 0, seed: int = 0, opted_out: OptedOut = "leave_out"
    ) -> WebDataset:
        """The shards of a split as a `webdataset` pipeline that splits them among nodes and workers and decodes.

        A face sample has `jpg` or `webp` (PIL RGB image) and `json` (dict), a speech sample `<front end>.npy` arrays,
        `json` and, where shards hold sound, `flac` (float32 (N,) at 16,000 Hz); both have `__key__`. With `shuffle`,
        shards and that many samples are shuffled. Raises `ShardError` where a tar is not as long as the snapshot says.
        """
        from voxdata.dataset.webdataset import pipeline

        files, shards = self.local(), self.shards(kind, split)
        left_out = keys_of(files, shards, self._left_out(opted_out))
        return pipeline(files, shards, shuffle=shuffle, seed=seed, left_out=left_out)

    def shards(self, kind: Kind, split: str | None = None) -> list[ShardEntry]:
        """The shards of a kind and split. Raises `SnapshotError` for an unknown kind or split."""
        return self._reader.shards(kind, split)

    def _left_out(self, opted_out: OptedOut) -> frozenset[str]:
        """People in the version who are left out now; the first time it says how many they are."""
        if opted_out not in get_args(OptedOut):
            raise SnapshotError(f"opted_out = {quoted(opted_out)}: it is one of {', '.join(get_args(OptedOut))}")
        found = {} if opted_out == "keep" else hidden_in(self.storage, self.snapshot.shards)
        if found and not self._said:
            self._said = True
            people = len(everyone(found))
            logger.warning(
                "snapshot %s: %d %s who opted out since, or whose forgetting has begun, %s left out; the version as it "
                'was published: opted_out="keep"',
                self.id,
                people,
                "person" if people == 1 else "people",
                "is" if people == 1 else "are",
            )
        return everyone(found)

    def local(self) -> LocalFiles:
        """The root as a folder on this machine. Raises `SnapshotError` where it is on object storage."""
        return self._reader.local

    def close(self) -> None:
        """Close files and remove the temporary catalog; a later call opens them again."""
        if self._index is not None:
            self._index.close()
        if self._folder is not None:
            _remove(self._folder, os.getpid())
            self._folder = None

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_folder": None}


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise ShardError(f"{quoted(key)} is no key; keys are texts: the column key of voxdata.open(…).portraits()")


def _remove(folder: str, owner: int) -> None:
    """A process that was forked off leaves the folder to its parent."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
