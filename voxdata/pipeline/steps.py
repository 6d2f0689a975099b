"""The whole-dataset steps of a build: tables in, one committed table out, named by a hash of what it depends on.

Each step takes the root, the recipe and the keys of earlier tables, and returns the key of its own. A key that exists
is not computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.faces.decide import decide as decide_faces_table
from voxdata.faces.link import link as link_table
from voxdata.faces.measure import schema as faces_schema
from voxdata.format.digests import digest
from voxdata.format.errors import BuildStoppedError, SourceError
from voxdata.people import splits
from voxdata.people.book import open_book
from voxdata.people.identities import IdentityBook
from voxdata.people.merging import aliases_in_force, with_persons
from voxdata.people.optouts import in_force as optouts_in_force
from voxdata.people.optouts import opted_out as opted_out_people
from voxdata.people.pending import words_being_forgotten
from voxdata.people.spelling import join_spellings
from voxdata.pipeline.progress import progress
from voxdata.pipeline.stages import FACES_MEASURE, FACES_RENDER, SPEECH_MEASURE, rows_of
from voxdata.recipe.sections import Corpus, Recipe
from voxdata.sources.clips import inventory
from voxdata.sources.originals import PhotoStore
from voxdata.sources.speech_files import find_utterances
from voxdata.speech.decide import decide as decide_speech_table
from voxdata.store import journal
from voxdata.store.fragments import commit_table, parquet_table
from voxdata.store.root_tables import read_table
from voxdata.store.storage import Storage, open_storage
from voxdata.tables.schemas import IDENTITIES, RENDERS, UTTERANCE_FILES, UTTERANCES

# Raised by hand when the same settings link or decide differently, or when the tables gain columns.
LINK_VERSION, DECISION_VERSION = 2, 5


def corpora(recipe: Recipe) -> list[tuple[str, str, Corpus]]:
    """(name, setting, corpus) of the recipe's corpora, for example ("corpus-1", "sources.also.0", …)."""
    further = [
        (f"corpus-{n}", f"sources.also.{n - 1}", corpus) for n, corpus in enumerate(recipe.sources.also, start=1)
    ]
    return [("corpus-0", "sources", recipe.sources), *further]


def book_of(storage: Storage, recipe: Recipe) -> IdentityBook:
    """The identities of all metadata tables of the recipe, with the aliases and tombstones of the root."""
    paths: list[str] = []
    for _, _, corpus in corpora(recipe):
        given = corpus.metadata.path
        paths += [given] if isinstance(given, str) else given or []
    return open_book(storage, paths)


def crawl(root: str, recipe: Recipe) -> str:
    """Store new photos and commit the manifest of what the sources hold now (`schemas.PHOTOS`)."""
    storage = open_storage(root, create=True)
    storage.sweep()
    at = datetime.now(UTC).isoformat(timespec="microseconds")
    book = join_spellings(storage, book_of(storage, recipe), (), at=at)
    store = PhotoStore(storage, book, recipe.crawl)
    sources = [(name, setting, corpus) for name, setting, corpus in corpora(recipe) if corpus.photos.given]
    if not sources:
        raise SourceError("the recipe names no photos; run again with --set sources.photos.path=FOLDER")
    with progress("crawl", None) as advance:
        for name, setting, corpus in sources:
            store.add(corpus.photos, name, f"{setting}.photos", advance)
    manifest = store.manifest()
    depends = [*manifest["item_id"].to_pylist(), *manifest["source_key"].to_pylist(), *manifest["person"].to_pylist()]
    return _commit_once(storage, "crawl", depends, lambda: manifest)


def measured_faces(storage: Storage, recipe: Recipe, photos_key: str, buckets: Iterable[int] | None = None) -> pa.Table:
    """All face rows of the photos in a manifest (`measure.schema` of the recipe); of `buckets` or of all."""
    photos = parquet_table(storage.read(photos_key))
    columns = faces_schema(recipe.faces.measure)
    return rows_of(FACES_MEASURE, storage, recipe, photos["item_id"], columns, buckets).select(columns.names)


def link_faces(root: str, recipe: Recipe, photos_key: str) -> str:
    """Duplicates and purity (`schemas.LINKS`). Stops the build when too many photos are unreadable."""
    storage = open_storage(root)
    faces = measured_faces(storage, recipe, photos_key)
    _stop_if_unreadable(recipe, "photos", faces["item_id"], faces["photo_status"])
    depends = [photos_key, _print(FACES_MEASURE, recipe), recipe.faces.link.model_dump(), LINK_VERSION]
    return _commit_once(storage, "faces.link", depends, lambda: link_table(faces, recipe.faces.link))


def decide_faces(root: str, recipe: Recipe, photos_key: str, links_key: str, *, rendered: bool) -> str:
    """Verdicts of all faces (`schemas.FACE_VERDICTS`); `rendered` says whether the candidates have been rendered."""
    storage = open_storage(root)
    reviews, opted_out, forgotten = journalled(storage, recipe, photos_key)
    depends = [
        links_key,
        recipe.faces.model_dump(mode="json"),
        DECISION_VERSION,
        rendered,
        _print(FACES_RENDER, recipe),
    ]
    depends += [reviews.to_pylist() if reviews is not None else None, sorted(opted_out), sorted(forgotten)]

    def table() -> pa.Table:
        faces = measured_faces(storage, recipe, photos_key)
        return decide_faces_table(
            faces,
            parquet_table(storage.read(links_key)),
            recipe.faces,
            renders=rows_of(FACES_RENDER, storage, recipe, faces["face_id"], RENDERS) if rendered else None,
            reviews=reviews,
            opted_out=opted_out,
            forgotten=forgotten,
        )

    return _commit_once(storage, "faces.decide", depends, table)


def candidates(root: str, recipe: Recipe, photos_key: str, verdicts_key: str) -> str:
    """The face rows to be rendered: the best 2 x cap of each person."""
    storage = open_storage(root)

    def table() -> pa.Table:
        chosen = parquet_table(storage.read(verdicts_key)).filter(pc.field("candidate"))["face_id"]
        faces = measured_faces(storage, recipe, photos_key)
        return faces.filter(pc.is_in(faces["face_id"], value_set=pc.unique(chosen))).drop_columns(["embedding"])

    return _commit_once(storage, "faces.candidates", [photos_key, verdicts_key], table)


def portrait_faces(
    storage: Storage, recipe: Recipe, photos_key: str, verdicts_key: str, buckets: Iterable[int] | None = None
) -> pa.Table:
    """The face rows of the final portraits."""
    chosen = parquet_table(storage.read(verdicts_key)).filter(pc.field("portrait"))["face_id"]
    faces = measured_faces(storage, recipe, photos_key, buckets)
    return faces.filter(pc.is_in(faces["face_id"], value_set=pc.unique(chosen)))


def find_speech(root: str, recipe: Recipe, photos_key: str, verdicts_key: str) -> str:
    """The clips that the sources hold for people with portraits, or for all (`schemas.UTTERANCE_FILES`)."""
    storage = open_storage(root)
    found = _speech_in_sources(storage, recipe, photos_key)
    if recipe.speech.who == "portraits":
        people = portrait_people(storage, recipe, {"photos": photos_key, "face_verdicts": verdicts_key})
        found = found.filter(pc.is_in(found["person"], value_set=pa.array(people, pa.string())))
    return _commit_clips(storage, _hashed(storage, found))


def carry_speech(root: str, recipe: Recipe, keys: Mapping[str, str], before: Mapping[str, str], *, search: bool) -> str:
    """The clips that were known before, of people who still have portraits; where `search`, also the clips that the
    sources hold for people who had none before. Raises `SourceError` when these sources cannot be read."""
    storage = open_storage(root)
    clips = parquet_table(storage.read(before["utterance_files"]))
    if recipe.speech.who == "portraits":
        people, earlier = (set(portrait_people(storage, recipe, named)) for named in (keys, before))
        clips = clips.filter(pc.is_in(clips["person"], value_set=pa.array(sorted(people), pa.string())))
        new = pa.array(sorted(people - earlier), pa.string())
        if len(new) and search:
            found = _speech_in_sources(storage, recipe, keys["photos"])
            more = _hashed(storage, found.filter(pc.is_in(found["person"], value_set=new)))
            clips = pa.concat_tables([clips, more], promote_options="default").sort_by("item_id")
    return _commit_clips(storage, clips)


def portrait_people(storage: Storage, recipe: Recipe, keys: Mapping[str, str]) -> list[str]:
    """The people who have portraits, sorted, as the aliases now in force name them."""
    portraits = parquet_table(storage.read(keys["face_verdicts"])).filter(pc.field("portrait"))
    if "person" in portraits.column_names:
        portraits = with_persons(portraits, aliases_in_force(storage))
    else:  # decided by an older version
        portraits = portrait_faces(storage, recipe, keys["photos"], keys["face_verdicts"])
    return sorted(set(portraits["person"].to_pylist()))


def _speech_in_sources(storage: Storage, recipe: Recipe, photos_key: str) -> pa.Table:
    book = _book_with(storage, recipe, photos_key)
    sources = [(name, setting, corpus) for name, setting, corpus in corpora(recipe) if corpus.speech.path]
    tables = [find_utterances(str(corpus.speech.path), book, name) for name, _, corpus in sources]
    if sources and not sum(table.num_rows for table in tables):
        _, setting, corpus = sources[0]
        raise SourceError(
            f"{setting}.speech.path={corpus.speech.path} holds no speech file; "
            "expected wav/<identity>/<video>/<segment>.wav"
        )
    return _without_collisions(pa.concat_tables(tables) if tables else UTTERANCE_FILES.empty_table())


def _hashed(storage: Storage, found: pa.Table) -> pa.Table:
    with progress("hash clips", found.num_rows) as advance:
        return inventory(storage, found, advance)


def _commit_clips(storage: Storage, clips: pa.Table) -> str:
    return _commit_once(storage, "speech.find", clips.to_pylist(), lambda: clips)


def _without_collisions(found: pa.Table) -> pa.Table:
    """Two corpora may name a clip alike; the later one's id then names its corpus too."""
    seen: set[str] = set()
    names = []
    for name, source in zip(found["utterance_id"].to_pylist(), found["source"].to_pylist(), strict=True):
        names.append(f"{name}-{source}" if name in seen else name)
        seen.add(name)
    place = found.schema.get_field_index("utterance_id")
    return found.set_column(place, found.schema.field(place), pa.array(names, pa.string()))


def measured_clips(storage: Storage, recipe: Recipe, clips_key: str, buckets: Iterable[int] | None = None) -> pa.Table:
    """All utterance rows of the clips in a manifest, with the columns `part` and `members`."""
    clips = parquet_table(storage.read(clips_key))
    return rows_of(SPEECH_MEASURE, storage, recipe, clips["item_id"], UTTERANCES, buckets)


def decide_speech(root: str, recipe: Recipe, clips_key: str) -> str:
    """Verdicts of all clips (`schemas.UTTERANCE_VERDICTS`). Stops the build when too many are unreadable."""
    storage = open_storage(root)
    clips = measured_clips(storage, recipe, clips_key).select(UTTERANCES.names)
    _stop_if_unreadable(recipe, "clips", clips["item_id"], clips["speech_status"])
    book = book_of(storage, recipe)
    known = {*book.by_id, *(each for each in book.of_root if book.person(each) in book.by_id)}
    depends = [clips_key, _print(SPEECH_MEASURE, recipe), recipe.speech.select.model_dump(), sorted(known)]
    return _commit_once(
        storage,
        "speech.decide",
        [*depends, DECISION_VERSION],
        lambda: decide_speech_table(clips, recipe.speech.select, known),
    )


def list_identities(root: str, recipe: Recipe, photos_key: str, clips_key: str) -> str:
    """Everyone whom the sources name (`schemas.IDENTITIES`)."""
    storage = open_storage(root)
    book = book_of(storage, recipe)
    seen: set[str] = set()
    for key in (photos_key, clips_key):
        seen.update(parquet_table(storage.read(key))["identity"].to_pylist())
    rows = [_identity_row(book, name) for name in sorted(seen)]
    return _commit_once(storage, "identities", rows, lambda: pa.Table.from_pylist(rows, IDENTITIES))


def split(root: str, recipe: Recipe, keys: Mapping[str, str]) -> str:
    """The split of every person with portraits and, where the recipe has speech, with clips (`schemas.SPLITS`)."""
    storage = open_storage(root)
    people = set(portrait_people(storage, recipe, keys))
    if any(corpus.speech.path for _, _, corpus in corpora(recipe)):
        people &= set(kept_clips(storage, recipe, keys)["person"].to_pylist())
    identities = parquet_table(storage.read(keys["identities"]))
    chosen = identities.filter(pc.is_in(identities["person"], value_set=pa.array(sorted(people), pa.string())))
    depends = [sorted(people), keys["identities"], recipe.splits.model_dump()]
    return _commit_once(storage, "split", depends, lambda: splits.assign(chosen, recipe.splits))


def kept_clips(
    storage: Storage, recipe: Recipe, keys: Mapping[str, str], buckets: Iterable[int] | None = None
) -> pa.Table:
    """The utterance rows that the speech decision keeps, with the columns `part` and `members`."""
    clips = measured_clips(storage, recipe, keys["utterance_files"], buckets)
    verdicts = parquet_table(storage.read(keys["utterance_verdicts"]))
    kept = verdicts.filter(pc.field("verdict") == "keep")["item_id"]
    return clips.filter(pc.is_in(clips["item_id"], value_set=pc.unique(kept)))


def journalled(
    storage: Storage, recipe: Recipe, photos_key: str
) -> tuple[pa.Table | None, frozenset[str], frozenset[str]]:
    """Reviews, the people who opted out, and those whose forgetting has begun and not ended."""
    anybody = optouts_in_force(storage)
    opted_out = opted_out_people(storage, _book_with(storage, recipe, photos_key)) if anybody else frozenset()
    return journal.read(storage, "reviews"), opted_out, words_being_forgotten(storage)


def _book_with(storage: Storage, recipe: Recipe, photos_key: str) -> IdentityBook:
    """The book, which knows whose photos there are: speech and opt-outs may spell them in another way."""
    seen = pc.unique(read_table(storage, photos_key, ["identity"])["identity"])
    return book_of(storage, recipe).with_ids(seen.to_pylist())


def with_current_people(storage: Storage, stage: str, key: str) -> str:
    """The key of an earlier table whose people are those of the aliases now in force; its own where nothing changed."""
    before = parquet_table(storage.read(key))
    after = with_persons(before, aliases_in_force(storage))
    return key if after is before else _commit_once(storage, stage, [key, after["person"].to_pylist()], lambda: after)


def _stop_if_unreadable(recipe: Recipe, what: str, items: pa.ChunkedArray, statuses: pa.ChunkedArray) -> None:
    states = dict(zip(items.to_pylist(), statuses.to_pylist(), strict=True))
    bad = [item for item, state in states.items() if state == "unreadable"]
    share = len(bad) / max(1, len(states))
    if len(states) >= recipe.limits.min_items and share > recipe.limits.max_unreadable_share:
        raise BuildStoppedError(
            f"{len(bad)} of {len(states)} {what} are unreadable ({share:.0%}, limit limits.max_unreadable_share="
            f"{recipe.limits.max_unreadable_share}), the first is {bad[0]}; repair the source or raise the limit"
        )


def _identity_row(book: IdentityBook, name: str) -> dict[str, Any]:
    identity = book.described(name)
    return {
        "identity": name,
        "person": book.person(name),
        "bucket": book.bucket(name),
        "name": identity.name or None,
        "sex": identity.sex,
        "nationality": identity.nationality,
        "published_set": identity.published_set,
        "metadata_row": identity.row,
    }


def _print(stage: Any, recipe: Recipe) -> str:
    value: str = stage.fingerprint(stage.settings(recipe))
    return value


def _commit_once(storage: Storage, stage: str, depends: Iterable[Any], make: Callable[[], pa.Table]) -> str:
    name = digest(list(depends))
    key = f"fragments/{stage}/{name}.parquet"
    return key if storage.exists(key) else commit_table(storage, stage, name, make())
