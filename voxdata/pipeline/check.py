"""What the sources of a recipe hold, looked at before any work; no byte is changed anywhere.

Files are listed and not read, but for lists of urls, the first bytes of files whose suffix says nothing, and the
indices of tars. Videos are not decoded.
People are matched as a build matches them (`people/identities.py`). Sources on the web are not asked. What a build
could stop on only later, after all faces were measured, is found here.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TypeAlias

from voxdata.faces.measures.embedding import usual_limits
from voxdata.format.errors import RecipeError, SourceError, WeightsError
from voxdata.people.book import open_book
from voxdata.people.identities import STATED, UNKNOWN, Identity, IdentityBook, load_book, read_metadata
from voxdata.people.roll_call import Called, RollCall, names_of
from voxdata.people.spelling import join_spellings
from voxdata.pipeline.check_people import Photos, some, who_can_be_used
from voxdata.pipeline.corpora import corpora, metadata_files, photo_sources
from voxdata.pipeline.findings import Findings, ModelFile, Said, Some, Source, Table
from voxdata.pipeline.stages import FACES_MEASURE, FACES_RENDER
from voxdata.recipe.effect import PretrainedFile, settings_of, without_effect
from voxdata.recipe.sections import Recipe
from voxdata.recipe.sources import PhotoSource, SpeechSource
from voxdata.sources.clips import UNKNOWN_IDENTITY
from voxdata.sources.kinds import Clip, PhotoFile
from voxdata.sources.listing import Listing, Unread
from voxdata.sources.naming import photo_kind, speech_kind
from voxdata.sources.reading import is_remote
from voxdata.store.storage import Storage
from voxdata.weights.cache import command_for, resolve, sha256_of
from voxdata.weights.entries import Weight, known_by_digest, registry

REFUSED = 5  # folders that several people are called by, each with a line of its own
FRONT_ENDS = "speech.measure.front_ends"
TOO_LARGE = "over crawl.max_file_mb"

AnyListing: TypeAlias = Listing[PhotoFile | Unread | Clip]


def check(recipe: Recipe, storage: Storage | None = None) -> Findings:
    """Look at the sources of a recipe; with `storage` as a build under that root does, with its names and opt-outs.

    Raises `StorageError` where the root cannot be read.
    """
    said = Said(notes=list(map(str, without_effect(recipe))))
    tables, repeated = _tables(recipe, said)
    joined = said.attempt(_book, storage, tables)
    said.notes += repeated if joined is not None else []
    book = joined or _book(storage, ())
    roll, names = RollCall(book), names_of(book)
    sources: list[Source] = []
    called: dict[str, list[Called | None]] = {"photos": [], "speech": []}
    photos = Photos()
    places: dict[tuple[str, str], str] = {}
    for medium, setting, source in _given(recipe):
        listing = said.attempt(_listing, setting, source, recipe, said)
        words = None if listing is None else _call(roll, setting, listing, said)
        called[medium].append(words)
        again = _again(places, medium, setting, source, said)
        if medium == "photos" and listing is not None and words is not None and not again:
            photos.add(words.files, recipe.crawl.photos_per_identity, several=listing.several)
        sources.append(_described(medium, setting, source, listing, words, names))
    if not called["photos"]:
        said.stops.append(SourceError("the recipe names no photos; run again with --set sources.photos.path=FOLDER"))
    readable = len(tables) == len(metadata_files(recipe)) and joined is not None
    whole = readable and None not in (*called["photos"], *called["speech"])
    people = who_can_be_used(recipe, called, photos, book, storage, said) if whole and called["photos"] else None
    files = _files(recipe, said)
    return Findings(metadata=tables, sources=sources, people=people, files=files, notes=said.notes, stops=said.stops)


def _tables(recipe: Recipe, said: Said) -> tuple[list[Table], list[str]]:
    """The tables that can be read, and what is to be said of rows that repeat an id."""
    found = []
    met: dict[str, Identity] = {}
    again: Counter[str] = Counter()
    differing: set[str] = set()
    for path in metadata_files(recipe):
        rows = said.attempt(read_metadata, Path(path))
        if rows is None:
            continue
        people, named = ({each.identity for each in some} for some in (rows, (row for row in rows if row.names)))
        found.append(Table(path=str(path), rows=len(rows), people=len(people), named=len(named)))
        for row in rows:
            first = met.setdefault(row.identity, row)
            again[row.identity] += first is not row
            if any(UNKNOWN != getattr(row, key) != getattr(first, key) != UNKNOWN for key in STATED):
                differing.add(row.identity)
    repeated = [identity for identity, count in again.items() if count]
    if not repeated:
        return found, []
    unlike = f"; those of {len(differing)}, such as {min(differing)}, contradict each other" if differing else ""
    repeats = "1 row repeats" if again.total() == 1 else f"{again.total()} rows repeat"
    return found, [
        f"metadata: {repeats} the id of an earlier one, the first is {repeated[0]}: the rows of an id are joined, and "
        f"the first that says something holds{unlike}"
    ]


def _book(storage: Storage | None, tables: Sequence[Table]) -> IdentityBook:
    """As a build has it, of the tables that can be read; nothing is written."""
    paths = [table.path for table in tables]
    if storage is None:
        return load_book(paths)
    return join_spellings(storage, open_book(storage, paths), (), at=None)


def _given(recipe: Recipe) -> Iterator[tuple[str, str, PhotoSource | SpeechSource]]:
    """(medium, setting, source), all photos first: the order in which a build meets their people."""
    for _, setting, source in photo_sources(recipe):
        if source.given:
            yield "photos", setting, source
    for _, setting, corpus in corpora(recipe):
        if corpus.speech.given:
            yield "speech", f"{setting}.speech", corpus.speech


def _listing(setting: str, source: PhotoSource | SpeechSource, recipe: Recipe, said: Said) -> AnyListing | None:
    """What a source holds; None where nobody is asked. Raises `SourceError`, `RecipeError`."""
    if isinstance(source, SpeechSource):
        speech = speech_kind(source, setting)
        speech.check(source, setting)
        if speech.listed is not None:
            return speech.listed(source, setting)
        return Listing(files=list(speech.find(source, setting)), nothing=f"{setting} holds no speech")
    photos = photo_kind(source, setting)
    photos.check(source, setting)
    if photos.listed is None:
        said.notes.append(
            f"{setting}: {_address(source) or source.kind} is not asked here; who is on it shows when a build crawls it"
        )
        return None
    listing = photos.listed(source, setting)
    fit = [file for file in listing.files if file.size_bytes <= recipe.crawl.max_file_mb * 1e6]
    large = len(listing.files) - len(fit)
    passed = {**listing.passed, TOO_LARGE: large} if large else listing.passed
    return replace(listing, files=fit, passed=passed)


def _again(
    places: dict[tuple[str, str], str], medium: str, setting: str, source: PhotoSource | SpeechSource, said: Said
) -> bool:
    """Whether a source lies where one that was looked at lies, which is said: a build takes its files once."""
    if not source.path:
        return False
    where = source.path.rstrip("/") if is_remote(source.path) else str(Path(source.path).resolve())
    first = places.setdefault((medium, where), setting)
    if first != setting:
        said.notes.append(f"{setting}.path={source.path} is where {first} lies, too; what both hold counts once")
    return first != setting


def _call(roll: RollCall, setting: str, listing: AnyListing, said: Said) -> Called:
    called = roll.call((file.words for file in listing.files), UNKNOWN_IDENTITY)
    if not listing.files:
        said.stops.append(SourceError(listing.nothing))
    said.stops += [SourceError(f"{setting}: {line}") for line in called.refused[:REFUSED]]
    if len(called.refused) > REFUSED:
        said.stops.append(SourceError(f"{setting}: so are {len(called.refused) - REFUSED} more folders"))
    if called.forgotten:
        said.notes.append(f"{setting}: {called.forgotten} files of people who were forgotten are passed over")
    if called.nameless:
        said.notes.append(f"{setting}: {called.nameless} clips name nobody, and are left out as unknown_identity")
    return called


def _described(
    medium: str,
    setting: str,
    source: PhotoSource | SpeechSource,
    listing: AnyListing | None,
    called: Called | None,
    names: Mapping[str, str],
) -> Source:
    address = _address(source)
    if listing is None or called is None:
        return Source(medium=medium, setting=setting, kind=source.kind, address=address)
    counts = sorted(called.files.values())
    return Source(
        medium=medium,
        setting=setting,
        kind=source.kind,
        address=address,
        files=len(listing.files),
        several=listing.several,
        people=len(counts),
        per_person=(counts[0], median(counts), counts[-1]) if counts else None,
        matched={str(step): count for step, count in called.steps.items()},
        unmatched=some(called.new, names) if names else Some(),
        passed=listing.passed,
        remarks=[line for _, line in listing.remarks],
        advice=[line for level, line in listing.remarks if level >= logging.WARNING],
    )


def _address(source: PhotoSource | SpeechSource) -> str:
    """The URL or path of a source; nothing for a search that is made where its kind says."""
    return str(getattr(source, "url", None) or source.path or "")


def _files(recipe: Recipe, said: Said) -> list[ModelFile]:
    """The pretrained files that the recipe has used; a missing one, and one that does not fit, ends a build."""
    found = []
    for setting in settings_of(recipe):
        stated = next((rule for rule in setting.stated if isinstance(rule, PretrainedFile)), None)
        if stated is None or setting.missing(recipe):
            continue
        usual = stated.usual if stated.usual_with is None or stated.usual_with.holds(recipe) else None
        if setting.value or usual:
            found.append(_file(setting.key, setting.value or str(usual), said))
    found += [_file(FRONT_ENDS, name, said) for name in _encoders(recipe)]
    _judge_embedder(recipe, said)
    if all(each.there for each in found):
        for stage in (FACES_MEASURE, FACES_RENDER):  # speech's needs torch, which takes seconds to load
            said.attempt(stage.fingerprint, recipe)
    return found


def _encoders(recipe: Recipe) -> list[str]:
    """The front ends that are networks of the registry: nothing is imported, as torch takes seconds to load."""
    known = registry()
    return [name for name in recipe.speech.measure.front_ends if name in known and FRONT_ENDS in known[name].used_by]


def _judge_embedder(recipe: Recipe, said: Said) -> None:
    """Limits of purity are an embedder's own: another network's would reject everybody, or nobody."""
    faces, model = recipe.faces, recipe.faces.measure.embedding_model
    if model is None or usual_limits(model):
        return
    limits = {
        "faces.link.agreement_similarity": faces.link.model_fields_set,
        "faces.purity.min_similarity": faces.purity.model_fields_set,
    }
    unset = [key for key, written in limits.items() if key.rpartition(".")[2] not in written]
    if unset:
        said.stops.append(
            RecipeError(
                f"faces.measure.embedding_model = {model}: nobody has found limits of purity for it, and another "
                f"network's would be wrong; add: {' '.join(f'--set {key}=COSINE' for key in unset)}"
            )
        )


def _file(key: str, name: str, said: Said) -> ModelFile:
    """Whether a file is there and is for this setting; a file that is given by its path is told by its digest."""
    known = registry().get(name)
    try:
        _refuse_for_another(key, name, known)
        file = resolve(name)
        _refuse_for_another(key, name, known or known_by_digest(sha256_of(file)))
    except WeightsError as error:
        said.stops.append(WeightsError(f"{key} = {name}: {str(error).removeprefix(f'{name}: ')}"))
        brings = known is not None and key in known.used_by
        return ModelFile(setting=key, name=name, there=False, command=command_for(known) if known and brings else None)
    return ModelFile(setting=key, name=name, there=True)


def _refuse_for_another(key: str, name: str, known: Weight | None) -> None:
    """Raises `WeightsError` for a file that the registry has for something else."""
    if known is None or not known.used_by or key in known.used_by:
        return
    fitting = [each.name for each in registry().values() if key in each.used_by]
    raise WeightsError(
        f"that file is {'' if known.name == name else f'{known.name}, which is '}for {', '.join(known.used_by)}; "
        f"for {key} there {'is' if len(fitting) == 1 else 'are'} {', '.join(fitting)}"
    )
