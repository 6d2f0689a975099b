"""What lists of trials name, found in a snapshot, heard and seen: voices and faces of any split, by their paths.

A face is found by where it lies in the source of photos (`source_key`), a clip by its identity, video and segment; the
end of what the snapshot has must be what the list has. Shapes: V voices, F faces, T trials, D draws, E embedding.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.data.store import Store
from models.errors import EvaluationError, SnapshotReadError
from models.evaluate.metrics import IntArray
from models.evaluate.trial_lists import Line, Trial, number, place
from models.evaluate.verification import BoolArray
from voxdata.format.portraits import SUFFIXES
from voxdata.format.reader import Reader
from voxdata.format.sidecar import read_sidecar

_VIDEO_AND_SEGMENT = re.compile(r"(.+)_(\d+)")
_WHERE = ("identity", "source_key", "video", "segment", "sex")


@dataclass(frozen=True, slots=True)
class Item:
    """A portrait or a clip of a snapshot: its place by path, whose it is, and the split that it is in."""

    place: tuple[str, ...]
    key: str
    split: str
    person: str
    identity: str
    sex: str


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """The trials of a list that can be asked: rows among the voices and the faces, labels, and the trials themselves.

    `lacking` counts those that cannot, by why, and has the first line of each.
    """

    trials: tuple[Trial, ...]
    voices: IntArray
    faces: IntArray
    lacking: Missing

    @property
    def same(self) -> BoolArray:
        """Labels (T,), of a list that has them."""
        return np.asarray([bool(trial.same) for trial in self.trials], np.bool_)


@dataclass(kw_only=True)
class Missing:
    """What a list names and cannot be asked about, by why, with an example."""

    asked: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, why: str, line: Line, what: str) -> None:
        """Count a line."""
        self.counts[why] += 1
        self.first.setdefault(why, f"line {line.number}: {what}")

    def note(self, name: str, snapshot: str) -> list[str]:
        """One line about all of them; none where nothing lacks."""
        if not self.counts:
            return []
        parts = [f"{count} {why} ({self.first[why]})" for why, count in sorted(self.counts.items())]
        return [
            f"{name}: {self.counts.total():,} of {self.asked:,} trials cannot be asked of snapshot {snapshot} and are "
            f"left out: {'; '.join(parts)}"
        ]


class Material:
    """The members of a snapshot that trials may name; `stores` opens a split as the run hears and sees it.

    `trained` is the snapshot that the run was trained on, which may be another; `ids` are identities by the names that
    lists have. `identities` are all names that somebody has in the snapshot, `owners` the person of each identity,
    `training` the people whom the run was trained on and `heard` their clips; `voices` and `faces` are those that were
    asked for, in the order in which rows count them. Raises `EvaluationError` where the snapshot does not say where its
    photos and clips come from.
    """

    def __init__(
        self,
        snapshot: Reader,
        front_end: str,
        stores: Callable[[str], Store],
        trained: Reader,
        ids: Mapping[str, str] | None = None,
    ) -> None:
        self.snapshot = snapshot
        self._trained = trained
        self._open = stores
        self._stores: dict[str, Store | None] = {}
        self._rows: dict[tuple[str, str], dict[str, int]] = {}
        self._ids = dict(ids or {})
        self._voices, self._faces = _Index(), _Index()
        self.identities: set[str] = set()
        heard = [clip for clip in trained.mels("train", front_end) if not clip.holdout]
        self.training = {clip.person for clip in heard} | {face.person for face in trained.portraits("train")}
        self.heard = {clip.key for clip in heard}
        self.owners: dict[str, str] = {}
        self._read(front_end)
        self.voices: list[Item] = []
        self.faces: list[Item] = []
        self._taken: dict[tuple[str, str], int] = {}

    def notes(self) -> list[str]:
        """What cannot be told where the lists are of another root: whether anybody of the training has another name."""
        if self.snapshot is self._trained or self.training & set(self.owners.values()):
            return []
        return [
            f"none of the {len(self.training):,} people of the training has the same name in snapshot "
            f"{self.snapshot.id}: they are others, or the two roots call people differently, and then people of the "
            "training count as unseen; build both with the same table of names (sources.metadata.path)"
        ]

    def _read(self, front_end: str) -> None:
        for entry in self.snapshot.snapshot.shards:
            table = read_sidecar(self.snapshot.files, entry.sidecar, ("key", "suffix", "person"), where_there=_WHERE)
            needed = ("source_key",) if entry.kind == "faces" else ("identity", "segment")
            lacking = [name for name in needed if name not in table.column_names]
            if lacking:
                raise EvaluationError(
                    f"snapshot {self.snapshot.id}: sidecar {entry.sidecar} has no {lacking[0]}, so nobody can tell "
                    "which of its samples a list names; judge on a version that voxdata build has made"
                )
            index = self._faces if entry.kind == "faces" else self._voices
            for row in table.to_pylist():
                kept = row["suffix"] in SUFFIXES if entry.kind == "faces" else row["suffix"] == f"{front_end}.npy"
                if kept:
                    index.add(self._item(row, entry.kind, entry.split))

    def _item(self, row: Mapping[str, object], kind: str, split: str) -> Item:
        identity = str(row.get("identity") or row["person"])
        if kind == "faces":
            where = place(str(row["source_key"]))
        else:
            where = voice_place("/".join(str(part) for part in (identity, row.get("video"), row["segment"]) if part))
        self.identities |= {identity, str(row["person"]), where[0]}
        self.owners[identity] = str(row["person"])
        sex = str(row.get("sex"))
        return Item(
            place=where,
            key=str(row["key"]),
            split=split,
            person=str(row["person"]),
            identity=identity,
            sex=sex if sex in ("m", "f") else "unknown",
        )

    def languages(self, names: Iterable[str]) -> Counter[str]:
        """How many clips of training people that are trained on lie in a folder of each of these names."""
        wanted, found = set(names), Counter[str]()
        for entry in self._trained.shards("speech", "train"):
            rows = read_sidecar(
                self._trained.files, entry.sidecar, ("key", "suffix"), where_there=("video",)
            ).to_pylist()
            found.update(
                part
                for row in rows
                if row["suffix"].endswith(".npy") and row["key"] in self.heard
                for part in set(str(row.get("video")).split("/")) & wanted
            )
        return found

    def everything(self, people: set[str]) -> tuple[IntArray, IntArray]:
        """Rows of all voices and faces of some people that can be asked about."""
        voices = [self._take(item, "speech") for item in self._voices.items() if item.person in people]
        faces = [self._take(item, "faces") for item in self._faces.items() if item.person in people]
        return _known(voices), _known(faces)

    def voice(self, path: str) -> Item | None:
        """The clip that a path names; None where there is none. Raises `EvaluationError` for several."""
        return self._voices.found(self._forms(voice_place(path)), path)

    def face(self, path: str) -> Item | None:
        """The portrait that a path names; None where there is none. Raises `EvaluationError` for several."""
        return self._faces.found(self._forms(place(path)), path)

    def names_somebody(self, path: str) -> bool:
        """Whether a path begins with somebody whom the snapshot has."""
        return any(form[0] in self.identities for form in self._forms(place(path)))

    def _forms(self, where: tuple[str, ...]) -> list[tuple[str, ...]]:
        other = self._ids.get(where[0])
        return [where] if other is None else [where, (other, *where[1:])]

    def row(self, kind: str, item: Item | None) -> int | None:
        """Where an item is among the voices or faces of this evaluation; None where it cannot be asked about."""
        return None if item is None else self._take(item, kind)

    def _take(self, item: Item, kind: str) -> int | None:
        if item.key not in self._rows_of(item.split, kind):
            return None
        gathered = self.faces if kind == "faces" else self.voices
        at = self._taken.setdefault((kind, item.key), len(gathered))
        if at == len(gathered):
            gathered.append(item)
        return at

    def _rows_of(self, split: str, kind: str) -> dict[str, int]:
        if (split, kind) not in self._rows:
            store = self.store(split)
            keys = [] if store is None else store.face_keys if kind == "faces" else store.utterance_keys
            self._rows[split, kind] = {key: row for row, key in enumerate(keys)}
        return self._rows[split, kind]

    def store(self, split: str) -> Store | None:
        """A split, opened once; None where nobody in it has portraits and speech."""
        if split not in self._stores:
            try:
                self._stores[split] = self._open(split)
            except SnapshotReadError:
                self._stores[split] = None
        return self._stores[split]

    def resolve(self, trials: Sequence[Trial], *, people: bool, allowed: Allowed | None = None) -> Resolved:
        """The trials that can be asked; `people` says that paths begin with whose they are, `allowed` why not, else."""
        missing, kept = Missing(asked=len(trials)), []
        for trial in trials:
            voice, face = self.voice(trial.voice), self.face(trial.face)
            rows = self.row("speech", voice), self.row("faces", face)
            if rows[0] is not None and rows[1] is not None and voice is not None and face is not None:
                why = allowed(voice, face) if allowed else None
                if why is None:
                    kept.append((trial, rows[0], rows[1]))
                    continue
                missing.add(why, trial.line, f"{trial.voice} {trial.face}")
                continue
            absent = [path for path, row in zip((trial.voice, trial.face), rows, strict=True) if row is None]
            strangers = [path for path in absent if people and not self.names_somebody(path)]
            if strangers:
                missing.add("name somebody who is not in it", trial.line, strangers[0])
            else:
                what = "without clip and portrait" if len(absent) == 2 else "without clip" if rows[0] is None else ""
                missing.add(what or "without portrait", trial.line, absent[0])
        return Resolved(
            trials=tuple(trial for trial, _, _ in kept),
            voices=np.asarray([voice for _, voice, _ in kept], np.int64),
            faces=np.asarray([face for _, _, face in kept], np.int64),
            lacking=missing,
        )

    def index(self) -> dict[str, int]:
        """Numbers of all people whose voices or faces were gathered, by name."""
        return {name: at for at, name in enumerate(sorted({item.person for item in (*self.voices, *self.faces)}))}

    def people(self, voice_T: IntArray, face_T: IntArray, index: Mapping[str, int]) -> IntArray:
        """Whose voice and whose face trials have, by their numbers (T, 2)."""
        voices = [index[self.voices[voice].person] for voice in voice_T.tolist()]
        faces = [index[self.faces[face].person] for face in face_T.tolist()]
        return np.asarray([voices, faces], np.int64).reshape(2, -1).T

    def rows_in_stores(self, kind: str) -> Iterator[tuple[Store, IntArray, IntArray]]:
        """Per split: its store, rows in it, and where these are among the voices or faces."""
        gathered = self.faces if kind == "faces" else self.voices
        for split in dict.fromkeys(item.split for item in gathered):
            here = np.asarray([at for at, item in enumerate(gathered) if item.split == split], np.int64)
            rows = self._rows_of(split, kind)
            store = self.store(split)
            if store is not None:
                yield store, np.asarray([rows[gathered[at].key] for at in here], np.int64), here


Allowed = Callable[[Item, Item], "str | None"]
"""Why a voice and a face that are there must not be asked; None where they may."""


class _Index:
    """Items by every end of their places."""

    def __init__(self) -> None:
        self._by_end: dict[tuple[str, ...], list[Item]] = {}
        self._items: list[Item] = []

    def add(self, item: Item) -> None:
        self._items.append(item)
        for start in range(max(1, len(item.place) - 1)):
            self._by_end.setdefault(item.place[start:], []).append(item)

    def items(self) -> list[Item]:
        return self._items

    def found(self, forms: Iterable[tuple[str, ...]], path: str) -> Item | None:
        for form in forms:
            items = self._by_end.get(form, [])
            if len(items) > 1:
                raise EvaluationError(
                    f"lists: {path} may be {items[0].key} or {items[1].key} of the snapshot; build from folders that "
                    "keep the paths of the lists"
                )
            if items:
                return items[0]
        return None


def voice_place(path: str) -> tuple[str, ...]:
    """`place` of a clip; `<video>_<segment>` is the same as `<video>/<segment>`."""
    *folders, name = place(path)
    split = _VIDEO_AND_SEGMENT.fullmatch(name)
    return (*folders, split[1], number(split[2])) if split else (*folders, name)


def _known(rows: Iterable[int | None]) -> IntArray:
    return np.asarray([row for row in rows if row is not None], np.int64)
