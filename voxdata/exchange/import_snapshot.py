"""A layout of finished portraits and log-mels becomes a snapshot: the same shards, tables and catalog as a build's.

Nothing is measured: a portrait is packed as it is, its measurements stay null, and what measures in a build
is `import` here (`backend` and `matting_backend` of faces, `decoder` of utterances; the snapshot's front end says
`imported`). Photos and clips name their origin, `import:<layout>`. People who opted out or were forgotten under this
root are left out, and so is every file whose bytes were a forgotten person's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from voxdata.catalog.publish import publish
from voxdata.catalog.snapshot import write_snapshot
from voxdata.exchange.import_layouts import FRONT_ENDS, Layout, Person
from voxdata.exchange.import_members import SHARED, Imported, read_mels, read_portraits, shared_portraits, who_of
from voxdata.faces.columns import FACES
from voxdata.format.digests import digest
from voxdata.format.errors import RecipeError, SourceError
from voxdata.format.snapshot import SPLITS, Kind, ShardEntry, Snapshot
from voxdata.people import splits
from voxdata.people.book import open_book
from voxdata.people.identities import BUCKETS, IdentityBook
from voxdata.people.optouts import hidden
from voxdata.people.tombstones import Tombstones
from voxdata.recipe.reading import with_settings
from voxdata.recipe.sections import Recipe
from voxdata.shards.sidecars import FACE_SIDECAR, SPEECH_SIDECAR
from voxdata.shards.write import Member, Sample, pack, plan_ranges
from voxdata.sources.folder import SourceFile
from voxdata.speech.front_ends.front_end import stated
from voxdata.store.fragments import commit_table
from voxdata.store.locks import building
from voxdata.store.storage import Storage
from voxdata.tables import schemas
from voxdata.tables.speech import front_end_columns

Row = dict[str, Any]
_SCHEMAS = {
    "identities": schemas.IDENTITIES,
    "photos": schemas.PHOTOS,
    "faces": FACES.schema,
    "face_verdicts": schemas.FACE_VERDICTS,
    "renders": schemas.RENDERS,
    "utterances": schemas.UTTERANCES,
    "utterance_files": schemas.UTTERANCE_FILES,
    "utterance_verdicts": schemas.UTTERANCE_VERDICTS,
    "splits": schemas.SPLITS,
}
_KINDS: tuple[tuple[Kind, pa.Schema], ...] = (("faces", FACE_SIDECAR), ("speech", SPEECH_SIDECAR))
SHARD_BYTES = 512 << 20  # files of a range; a pickled mel of float64 becomes a quarter of it


@dataclass(frozen=True, kw_only=True)
class Result:
    """The snapshot of an import; people left out by their own wish, portraits that lie with two people, and files that
    could not be read."""

    snapshot: Snapshot
    withheld: int
    shared: int
    unreadable: Sequence[str]


def import_recipe(layout: Layout, people: Sequence[Person], sets: Iterable[str] = ()) -> Recipe:
    """The recipe `imported-<layout>`, with shards of a sensible size. Raises `RecipeError`.

    Of `sets`, those of `splits`, `shards`, `name` and `sources.photos.licence` have an effect.
    """
    total = sum(file.size_bytes for person in people for file in _files(person))
    shards = 1
    while shards < BUCKETS and total > shards * SHARD_BYTES:
        shards *= 2
    settings = {
        "name": f"imported-{layout}",
        "description": f"portraits and log-mels as the layout {layout} had them",
        "speech": {"measure": {"front_ends": [FRONT_ENDS[layout]]}},
        "faces": {"select": {"min_per_identity": 1}},
        "shards": {"buckets_per_shard": BUCKETS // shards},
    }
    recipe = with_settings(settings, sets, f"imported-{layout}")
    if recipe.speech.pack.has_audio:
        raise RecipeError(
            f"speech.pack.audio = {recipe.speech.pack.audio}: {layout} has finished log-mels and no sound; leave it "
            "out, or build from the clips: voxdata build RECIPE"
        )
    return recipe


def import_people(
    storage: Storage,
    layout: Layout,
    people: Sequence[Person],
    metadata: Iterable[str],
    recipe: Recipe,
    *,
    at: str,
    code: str,
    report: Callable[[int], None] = lambda count: None,
) -> Result:
    """Pack the people of a layout, publish them as the current snapshot, and return it.

    `metadata` are tables of who is who, `at` is the time, `code` the version of this code; `report` hears of people
    done. Raises `SourceError` where nobody is left, `DecisionError` where the split rule needs metadata that are not
    there, `StorageError` while somebody is forgotten.
    """
    with building(storage, "an import"):
        book = open_book(storage, metadata).with_ids(person.identity.identity for person in people)
        run = _Run(storage, layout, book, hidden(storage, book), recipe, report)
        allowed = [person for person in people if not run.is_withheld(person)]
        run.pack_all(allowed)
        if not run.entries:
            raise SourceError(
                f"nobody of the {len(people)} people is left: {len(people) - len(allowed)} opted out or were "
                f"forgotten, {len(run.unreadable)} files cannot be read, the first is {next(iter(run.unreadable), '-')}"
            )
        snapshot = run.write(code)
        publish(storage, snapshot.id, at=at, tables=run.tables)
    withheld = len(people) - len(allowed)
    return Result(snapshot=snapshot, withheld=withheld, shared=len(run.shared), unreadable=run.unreadable)


@dataclass
class _Run:
    storage: Storage
    layout: Layout
    book: IdentityBook
    hidden: frozenset[str]  # who opted out or is being forgotten
    recipe: Recipe
    report: Callable[[int], None]
    entries: list[ShardEntry] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    tables: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in _SCHEMAS})

    def __post_init__(self) -> None:
        self.front_end = FRONT_ENDS[self.layout]
        self.shared: frozenset[str] = frozenset()
        self._tombstones = Tombstones(self.storage)

    def is_withheld(self, person: Person) -> bool:
        """Whether they opted out, or were forgotten, by any name that the layout or the metadata have for them."""
        known = person.identity
        words = (known.identity, known.name, self.book.person(known.identity), *person.folders)
        return not self.hidden.isdisjoint(words) or any(self.book.forgotten(word) for word in words if word)

    def pack_all(self, people: Sequence[Person]) -> None:
        """Range by range, so that only one range's bytes are held."""
        identities = [self._identity_row(person) for person in people]
        known = _table(identities, schemas.IDENTITIES)
        self.assigned = splits.assign(known, self.recipe.splits)
        split_of = splits.split_of_identities(known, self.assigned)
        self._commit("identities", identities)
        self.shared = shared_portraits(people, self.book)
        for first, last in plan_ranges(self.recipe.shards.buckets_per_shard):
            here = [person for person in people if first <= self.book.bucket(person.identity.identity) <= last]
            if here:
                self._pack_range(here, first, last, split_of)

    def write(self, code: str) -> Snapshot:
        """The snapshot of what was packed."""
        said = stated(self.storage, self.entries, self.front_end, self.recipe.speech.measure)
        return write_snapshot(
            self.storage,
            recipe=self.recipe,
            code_version=code,
            shards=self.entries,
            front_ends={self.front_end: said | {"imported": True}},
            tables=self.tables,
            versions={"pyarrow": pa.__version__},
        )

    def _pack_range(self, people: Sequence[Person], first: int, last: int, split_of: Mapping[str, str]) -> None:
        faces: dict[str, list[Imported]] = {}
        clips: dict[str, list[Imported]] = {}
        refused = self._tombstones.holds_content
        origin = {"source": f"import:{self.layout}", "licence": self.recipe.sources.photos[0].licence}
        for person in people:
            who = who_of(person, self.book)
            faces.setdefault(who["person"], []).extend(read_portraits(person, who, origin, refused, self.shared))
            clips.setdefault(who["person"], []).extend(read_mels(person, who, origin, self.front_end, refused))
            self.report(1)
        ranks = {who: _ranked(found) for who, found in faces.items()}
        self._commit_rows([each for found in ranks.values() for each in found], [c for f in clips.values() for c in f])
        both = sorted(who for who in faces if _good(ranks[who]) and _good(clips[who]))
        self._commit("splits", [row for row in self.assigned.to_pylist() if row["person"] in both])
        good = [[each for who in both for each in _good(found[who])] for found in (ranks, clips)]
        for split in SPLITS:
            shown, heard = ([each for each in found if split_of[each.row["identity"]] == split] for found in good)
            samples = {
                "faces": [_sample(each, "face_id", FACE_SIDECAR) for each in shown],
                "speech": self._speech(heard, split),
            }
            for kind, schema in _KINDS:
                entry = pack(
                    self.storage,
                    kind=kind,
                    split=split,
                    first_bucket=first,
                    last_bucket=last,
                    samples=samples[kind],
                    schema=schema,
                )
                self.entries += [entry] if entry is not None else []

    def _speech(self, clips: Sequence[Imported], split: str) -> list[Sample]:
        marked = splits.holdouts([clip.row for clip in clips], self.recipe.splits).to_pylist()
        held = {row["utterance_id"]: split == "train" and row["holdout"] for row in marked}
        for clip in clips:
            clip.row.update(front_end_columns(clip.row), holdout=held[clip.row["utterance_id"]])
        return [_sample(clip, "utterance_id", SPEECH_SIDECAR) for clip in clips]

    def _commit_rows(self, faces: Sequence[Imported], clips: Sequence[Imported]) -> None:
        rows = [face.row for face in faces]
        self._commit("photos", rows)
        self._commit("faces", rows)
        self._commit("face_verdicts", rows)
        self._commit("renders", [{**row, "item_id": row["face_id"]} for row in rows if row.get("face_id")])
        heard = [{**clip.row, **_verdict(clip)} for clip in clips]
        for stage in ("utterances", "utterance_files", "utterance_verdicts"):
            self._commit(stage, heard)
        self.unreadable += [each.row["source_key"] for each in (*faces, *clips) if each.reason not in (None, SHARED)]

    def _commit(self, stage: str, rows: Sequence[Row]) -> None:
        if rows:
            content = _table(rows, _SCHEMAS[stage])
            name = digest({"import": self.recipe.name, "rows": content.to_pylist()})
            self.tables[stage].append(commit_table(self.storage, stage, name, content))

    def _identity_row(self, person: Person) -> Row:
        known = person.identity
        said = {"published_set": known.published_set, "skin_tone_stated_deg": known.skin_tone_stated_deg}
        return {**who_of(person, self.book), **said, "metadata_row": known.row}


def _files(person: Person) -> Iterator[SourceFile]:
    yield from person.portraits
    yield from (mel.file for mel in person.mels)


def _ranked(portraits: Sequence[Imported]) -> list[Imported]:
    """The portraits of one person with their verdicts, ranked in the order of their names."""
    found: list[Imported] = []
    rank = 0
    for portrait in portraits:
        good = portrait.reason is None
        rank += good
        place = {"rank": rank if good else None, "candidate": good, "portrait": good}
        found.append(replace(portrait, row={**portrait.row, **_verdict(portrait), **place}))
    return found


def _verdict(each: Imported) -> Row:
    if each.reason is None:
        return {"verdict": "keep", "reason": None, "reasons": []}
    return {"verdict": "reject", "reason": each.reason, "reasons": [each.reason]}


def _good(found: Sequence[Imported]) -> list[Imported]:
    return [each for each in found if each.reason is None]


def _sample(each: Imported, key: str, schema: pa.Schema) -> Sample:
    members = {suffix: Member.of(data) for suffix, data in each.members.items()}
    return Sample(key=each.row[key], members=members, row={name: each.row.get(name) for name in schema.names})


def _table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)
