"""The whole-dataset steps of a build: tables in, one committed table out, named by a hash of what it depends on.

Each step takes the root, the recipe and the keys of earlier tables, and returns the key of its own. A key that exists
is not computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.format.digests import digest
from voxdata.format.errors import BuildStoppedError, SourceError
from voxdata.people import splits
from voxdata.people.identities import IdentityBook
from voxdata.people.merging import aliases_in_force, with_persons
from voxdata.people.optouts import in_force as optouts_in_force
from voxdata.people.optouts import opted_out as opted_out_people
from voxdata.people.pending import words_being_forgotten
from voxdata.people.spelling import join_spellings
from voxdata.pipeline.clip_voices import with_voices
from voxdata.pipeline.corpora import book_at_hand, book_of, corpora, people_asked_for, photo_sources
from voxdata.pipeline.limits import Unreadable, stop_if_unreadable
from voxdata.pipeline.measured import measured_clips, portrait_people
from voxdata.pipeline.outcomes import packed_people, portraits_now
from voxdata.pipeline.progress import crawl_progress, logger, progress
from voxdata.pipeline.stages import SPEECH_MEASURE
from voxdata.recipe.sections import Recipe
from voxdata.sources.clips import FOUND, find_utterances, inventory
from voxdata.sources.crawl_names import decisions
from voxdata.sources.fetching import Figures
from voxdata.sources.originals import PhotoStore
from voxdata.speech.decide import decide as decide_speech_table
from voxdata.store import journal
from voxdata.store.fragments import commit_table
from voxdata.store.locks import building
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table
from voxdata.tables.schemas import IDENTITIES

Shown = Callable[[], AbstractContextManager[Callable[[Figures], None]]]

DECISION_VERSION = 6  # raised by hand when the same settings decide differently, or when the tables gain columns


def crawl(storage: Storage, recipe: Recipe, shown: Shown = crawl_progress, below: int | None = None) -> str:
    """Store new photos and commit the manifest of what the sources hold now (`schemas.PHOTOS`).

    `shown` shows how far it is. Stops the build when too many photos on the web could not be had. With `below`, only
    those who have fewer portraits in the current version are looked for by name, and these anew.
    """
    storage.sweep()
    at = datetime.now(UTC).isoformat(timespec="microseconds")
    book = join_spellings(storage, book_of(storage, recipe), (), at=at)
    asked, settings = people_asked_for(storage, recipe, book), recipe.crawl
    if below is not None:
        have = portraits_now(storage)
        everybody, asked = asked, [each for each in asked if have.get(book.person(each.identity), 0) < below]
        logger.info("%d of %d people have fewer than %d portraits", len(asked), len(everybody), below)
        settings = settings.model_copy(update={"recheck": settings.recheck.model_copy(update={"searched_days": 0.0})})
    with building(storage), PhotoStore(storage, book, settings, asked, decisions(storage)) as store:
        with progress("crawl.find", None) as advance:
            for name, setting, source in photo_sources(recipe):
                if source.given:
                    store.add(source, name, setting, advance)
        with shown() as watch:
            figures = store.fetch(watch)
        _say_what_failed(storage, figures)
        _stop_if_thin(recipe, figures)
        return store.commit_manifest()


def find_speech(storage: Storage, recipe: Recipe, keys: Mapping[str, str]) -> str:
    """The clips that the sources hold for people with portraits, or for all (`schemas.UTTERANCE_FILES`)."""
    found = _speech_in_sources(storage, recipe, keys["photos"])
    if recipe.speech.who == "portraits":
        found = _of_people(found, portrait_people(storage, keys))
    return _commit_clips(storage, _hashed(storage, found))


def carry_speech(
    storage: Storage, recipe: Recipe, keys: Mapping[str, str], before: Mapping[str, str], *, search: bool
) -> str:
    """The clips that were known before, of people who still have portraits; where `search`, also the clips that the
    sources hold for people who had none before. Raises `SourceError` when these sources cannot be read."""
    clips = read_table(storage, before["utterance_files"])
    if recipe.speech.who == "portraits":
        people, earlier = (portrait_people(storage, named) for named in (keys, before))
        clips = _of_people(clips, people)
        new = sorted(set(people) - set(earlier))
        if new and search:
            more = _hashed(storage, _of_people(_speech_in_sources(storage, recipe, keys["photos"]), new))
            clips = pa.concat_tables([clips, more], promote_options="default").sort_by("item_id")
    return _commit_clips(storage, clips)


def _of_people(clips: pa.Table, people: list[str]) -> pa.Table:
    return clips.filter(pc.is_in(clips["person"], value_set=pa.array(people, pa.string())))


def _speech_in_sources(storage: Storage, recipe: Recipe, photos_key: str) -> pa.Table:
    book = _book_with(storage, recipe, photos_key)
    sources = [(name, setting, corpus) for name, setting, corpus in corpora(recipe) if corpus.speech.given]
    tables = [find_utterances(corpus.speech, book, name, f"{setting}.speech") for name, setting, corpus in sources]
    if sources and not sum(table.num_rows for table in tables):
        _, setting, corpus = sources[0]
        raise SourceError(
            f"{setting}.speech ({corpus.speech.kind}, {corpus.speech.path}) holds no speech of anybody who was not "
            "forgotten; add other people's speech, or leave it out: --set sources.speech.path=null"
        )
    return _without_collisions(pa.concat_tables(tables) if tables else FOUND.empty_table())


def _hashed(storage: Storage, found: pa.Table) -> pa.Table:
    with progress("hash clips", found.num_rows) as advance:
        return inventory(storage, found, advance)


def _commit_clips(storage: Storage, clips: pa.Table) -> str:
    return commit_once(storage, "speech.find", clips.to_pylist(), lambda: clips)


def _without_collisions(found: pa.Table) -> pa.Table:
    """Two corpora may name a clip alike; the later one's id then names its corpus too."""
    seen: set[str] = set()
    names = []
    for name, source in zip(found["utterance_id"].to_pylist(), found["source"].to_pylist(), strict=True):
        names.append(f"{name}-{source}" if name in seen else name)
        seen.add(name)
    place = found.schema.get_field_index("utterance_id")
    return found.set_column(place, found.schema.field(place), pa.array(names, pa.string()))


def decide_speech(storage: Storage, recipe: Recipe, clips_key: str, *, stop: bool = True) -> str:
    """Verdicts of all clips (`schemas.UTTERANCE_VERDICTS`). With `stop`, stops where too many are unreadable."""
    clips = measured_clips(storage, recipe, clips_key)
    if stop:
        stop_if_unreadable(recipe, "clips", Unreadable.among(clips["item_id"], clips["speech_status"]))
    book = book_at_hand(storage, recipe)
    known = {*book.by_id, *(each for each in book.of_root if book.person(each) in book.by_id)}
    settings = recipe.speech.model_dump(include={"select"})["select"]
    depends = [clips_key, SPEECH_MEASURE.fingerprint(recipe), settings, sorted(known), DECISION_VERSION]

    def decided() -> pa.Table:
        return decide_speech_table(with_voices(storage, recipe, clips_key, clips), recipe.speech.select, known)

    return commit_once(storage, "speech.decide", depends, decided)


def list_identities(storage: Storage, recipe: Recipe, keys: Mapping[str, str]) -> str:
    """Everyone whom the sources name (`schemas.IDENTITIES`)."""
    book = book_at_hand(storage, recipe)
    seen: set[str] = set()
    for key in (keys[name] for name in ("photos", "utterance_files") if name in keys):
        seen.update(read_table(storage, key, ["identity"])["identity"].to_pylist())
    rows = [_identity_row(book, name) for name in sorted(seen)]
    return commit_once(storage, "identities", rows, lambda: pa.Table.from_pylist(rows, IDENTITIES))


def split(storage: Storage, recipe: Recipe, keys: Mapping[str, str]) -> str:
    """The split of every person with portraits and, where the recipe has speech, with clips (`schemas.SPLITS`)."""
    people = packed_people(storage, recipe, keys)
    identities = read_table(storage, keys["identities"])
    chosen = identities.filter(pc.is_in(identities["person"], value_set=pa.array(sorted(people), pa.string())))
    depends = [sorted(people), keys["identities"], recipe.splits.model_dump()]
    return commit_once(storage, "split", depends, lambda: splits.assign(chosen, recipe.splits))


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
    return book_at_hand(storage, recipe).with_ids(seen.to_pylist())


def with_current_people(storage: Storage, stage: str, key: str) -> str:
    """The key of an earlier table whose people are those of the aliases now in force; its own where nothing changed."""
    before = read_table(storage, key)
    after = with_persons(before, aliases_in_force(storage))
    return key if after is before else commit_once(storage, stage, [key, after["person"].to_pylist()], lambda: after)


def _say_what_failed(storage: Storage, figures: Figures) -> None:
    for status, example in figures.examples.items():
        count = figures.statuses[status]
        logger.warning("%d of %d photos ended as %s, for example %s", count, figures.total, status, example)
    if figures.examples:
        logger.warning("all of them by host and reason: voxdata sql --query crawl-failures --root %s", storage.url)


def _stop_if_thin(recipe: Recipe, figures: Figures) -> None:
    limit = recipe.crawl.max_failed_share
    if figures.total >= recipe.limits.min_items and figures.failed_share > limit:
        raise BuildStoppedError(
            f"{figures.failed} of {figures.total} photos on the web could not be had ({figures.failed_share:.0%}, "
            f"limit crawl.max_failed_share={limit}); what came is kept, and the same command asks for the rest; to "
            "build from what there is, raise the limit"
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
        "skin_tone_stated_deg": identity.skin_tone_stated_deg,
        "metadata_row": identity.row,
    }


def commit_once(storage: Storage, stage: str, depends: Iterable[Any], make: Callable[[], pa.Table]) -> str:
    """Commit the table of a step, unless that is there; its key, by what it depends on."""
    depends = list(depends)
    key = key_of(stage, depends)
    return key if storage.exists(key) else commit_table(storage, stage, digest(depends), make())


def key_of(stage: str, depends: list[Any]) -> str:
    """The key of a table of a step, by what it depends on."""
    return f"fragments/{stage}/{digest(depends)}.parquet"
