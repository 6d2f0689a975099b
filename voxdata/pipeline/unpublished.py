"""A build that has no version: what it states while it goes on, and the catalog of what it has measured.

`attempted` is around every build and redecision. After each step it states which tables there are, so that also a build
that was killed leaves what it has measured. Where an error ends it, the error says what can be done with that, and the
catalog is there; where it was interrupted, `settle` makes what its catalog lacks when somebody first asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.catalog import unpublished
from voxdata.catalog.database import UNPUBLISHED_CATALOG_KEY
from voxdata.catalog.publish import rebuild_unpublished
from voxdata.catalog.published_recipe import commit_recipe, recipe_of
from voxdata.catalog.query import open_readonly
from voxdata.catalog.snapshot import published
from voxdata.catalog.unpublished import Unpublished
from voxdata.format.digests import digest
from voxdata.format.errors import CatalogError, DecisionError, SnapshotError, VoxdataError
from voxdata.pipeline import steps
from voxdata.pipeline.face_verdicts import Decision
from voxdata.pipeline.limits import what_to_relax
from voxdata.pipeline.linking import link_faces
from voxdata.pipeline.measured import MeasuredFaces
from voxdata.pipeline.progress import logger
from voxdata.pipeline.runner import InOneProcess, Runner
from voxdata.pipeline.stages import FACES_MEASURE, FACES_RENDER, SPEECH_AUDIO, SPEECH_MEASURE, Stage, do
from voxdata.recipe.sections import Recipe
from voxdata.store.fragments import FragmentStore, commit_table
from voxdata.store.locks import building
from voxdata.store.storage import Storage
from voxdata.store.stored_table import read_table

# Stage of the catalog -> the stage that has its parts.
PARTS: Mapping[str, Stage] = {
    "faces": FACES_MEASURE,
    "renders": FACES_RENDER,
    "utterances": SPEECH_MEASURE,
    "clip_audio": SPEECH_AUDIO,
}


COLLECTED = (
    "none of its photos is measured: candidates, attempts and hosts are here; photos, faces and licences come with "
    "voxdata build"
)


class Attempt:
    """What a pipeline has come to so far. `keys` names its tables, by the names that the catalog has for them."""

    def __init__(self, storage: Storage, recipe: Recipe, before: Mapping[str, str]) -> None:
        self.keys = dict(before)
        self._storage = storage
        self._recipe = recipe
        self._folders: dict[str, str] = {}

    @property
    def has_measured(self) -> bool:
        """Whether it came as far as to measure faces; what an earlier one has left is not its own."""
        return "faces" in self._folders

    def note(self, **keys: str) -> None:
        """State tables that were committed."""
        self.keys.update(keys)
        self._state()

    def do(self, stage: Stage, key: str, runner: Runner) -> None:
        """`stages.do`; where its parts will be is stated first."""
        self.has(stage)
        do(stage, self._storage, self._recipe, key, runner)

    def has(self, stage: Stage) -> None:
        """State where the parts of a stage are."""
        name = next(name for name, each in PARTS.items() if each is stage)
        self._folders[name] = stage.store(self._storage, self._recipe).folder
        self._state()

    def _state(self) -> None:
        found = Unpublished(
            name=self._recipe.name,
            settings=self._recipe.result_settings(),
            recipe=commit_recipe(self._storage, self._recipe),
            code_version=version("voxdata"),
            at=_now(),
            tables={name: [key] for name, key in sorted(self.keys.items())},
            folders=self._folders,
        )
        unpublished.state(self._storage, found)


@contextmanager
def attempted(storage: Storage, recipe: Recipe, before: Mapping[str, str] | None = None) -> Iterator[Attempt]:
    """What is done inside is stated as it goes; an error that ends it says what can be done with what was measured."""
    attempt = Attempt(storage, recipe, before or {})
    try:
        yield attempt
    except VoxdataError as error:
        further = _left(storage, error) if attempt.has_measured else ""
        if further:
            error.args = (f"{error}; {further}",)
        raise


def _left(storage: Storage, error: VoxdataError) -> str:
    """What to do with what a failed build has measured; empty where that is nothing."""
    found = unpublished.load(storage)
    if found is None or not unpublished.has_faces(storage, found):
        return ""
    try:
        settle(storage, ended=str(error))
        relaxed = what_to_relax(storage, error)
    except VoxdataError as second:
        logger.warning("what was measured stays, but its catalog cannot be built: %s", second)
        return ""
    flag = " --unpublished" if published(storage) else ""
    root = f"{flag} --root {storage.url}"
    return (
        f"what was measured is kept, unpublished: see it with voxdata report{root}, what each limit costs with voxdata "
        f"sql --query what-if-faces{root}, and publish it with voxdata redecide{root}"
        f"{f' --set {relaxed}' if relaxed else ', once that is mended'}"
    )


def note_crawl(storage: Storage, recipe: Recipe, photos: str | None = None) -> None:
    """State what a crawl has collected, where nothing was measured yet: `photos` is the key of its manifest.

    Without it, state that one begins: whatever ends it, SQL can be asked why. What an earlier one has collected stays.
    """
    if published(storage):
        return
    left = unpublished.load(storage)
    if photos is None and left is None:
        Attempt(storage, recipe, {}).note()
    elif photos is not None and (left is None or not unpublished.has_faces(storage, left)):
        Attempt(storage, recipe, {}).note(photos=photos)


def settle(storage: Storage, *, ended: str | None = None, collected: bool = False) -> Unpublished:
    """What was left, with the tables of its catalog made where they lack, and the catalog built where it is not there.

    Items that were not measured yet are left out; with `collected`, a crawl is enough, however it ended. Raises
    `SnapshotError` where nothing was left or nothing is measured, `DecisionError` where another version of the code
    measured it.
    """
    found = unpublished.load(storage)
    if found is None:
        raise SnapshotError(
            f"nothing is unpublished under {storage.url}; run: voxdata build RECIPE --root {storage.url}"
        )
    if not unpublished.has_faces(storage, found):
        if collected:
            return _collected(storage, found)
        build = "a build was interrupted before it had measured a face"
        what = build if found.folders else "its photos are only collected"
        raise SnapshotError(
            f"nothing is published under {storage.url}, and {what}; go on with: "
            f"{unpublished.build_command(storage, found.recipe)}"
        )
    parts = _parts(storage, found)
    grown = any(found.shown.get(name, []) != keys for name, keys in parts.items())
    if grown or not found.shown or ended is not None:
        with building(storage, "a look at what is unpublished"):
            found = replace(found, shown={**_completed(storage, found, parts), **parts}, ended=ended or found.ended)
            unpublished.state(storage, found)
    if not _has_catalog(storage):
        rebuild_unpublished(storage, found)
    return found


def _collected(storage: Storage, found: Unpublished) -> Unpublished:
    """What a crawl has left: whom its photos are of; candidates, attempts and hosts come with every catalog."""
    if not found.shown:
        with building(storage, "a look at what was collected"):
            keys = {name: listed[0] for name, listed in found.tables.items()}
            keys["identities"] = steps.list_identities(storage, recipe_of(storage, found.as_snapshot()), keys)
            shown = {name: [key] for name, key in keys.items()}
            found = replace(found, shown=shown, ended=COLLECTED)
            unpublished.state(storage, found)
    if not _has_catalog(storage):
        rebuild_unpublished(storage, found)
    return found


def _has_catalog(storage: Storage) -> bool:
    try:
        open_readonly(storage, UNPUBLISHED_CATALOG_KEY).close()
    except CatalogError:
        return False  # none, or one of another version
    return True


def keys_of(found: Unpublished) -> dict[str, str]:
    """The tables of what was settled, as a pipeline goes on from them: with clips that nobody has heard yet."""
    stated = {name: found.tables[name] for name in ("utterance_files",) if name in found.tables}
    tables = {name: keys for name, keys in found.shown.items() if name not in PARTS}
    return {name: keys[0] for name, keys in {**tables, **stated}.items()}


def _parts(storage: Storage, found: Unpublished) -> dict[str, list[str]]:
    stores = {name: FragmentStore(storage, *folder.split("/")[1:]) for name, folder in found.folders.items()}
    return {name: store.live() for name, store in stores.items()}


def _completed(storage: Storage, found: Unpublished, parts: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The tables of the catalog: those that were stated, of unfinished stages over what they have measured."""
    recipe = recipe_of(storage, found.as_snapshot())
    for name, folder in found.folders.items():
        if PARTS[name].store(storage, recipe).folder != folder:
            raise DecisionError(
                f"what was measured under {storage.url} was measured by another version of the code or of a model; "
                f"measure it again with: {unpublished.build_command(storage, found.recipe)}"
            )
    keys = {name: listed[0] for name, listed in found.tables.items()}
    photos = _measured(storage, "crawl", keys["photos"], parts["faces"])
    if photos != keys["photos"] or "face_verdicts" not in keys:
        keys["photos"] = photos
        faces = MeasuredFaces(storage, recipe, photos)
        keys["links"] = link_faces(storage, recipe, faces, InOneProcess(), stop=False)
        keys["face_verdicts"] = Decision(storage, recipe, faces, keys["links"], InOneProcess()).first()
    if "utterance_files" in keys:
        clips = _measured(storage, "speech.find", keys["utterance_files"], parts.get("utterances", []))
        if clips != keys["utterance_files"] or "utterance_verdicts" not in keys:
            keys["utterance_verdicts"] = steps.decide_speech(storage, recipe, clips, stop=False)
            keys["utterance_files"] = clips
    if "identities" not in keys:
        keys["identities"] = steps.list_identities(storage, recipe, keys)
    return {name: [key] for name, key in keys.items()}


def _measured(storage: Storage, stage: str, key: str, parts: list[str]) -> str:
    """The key of a manifest of those of its items that have rows in `parts`; its own where all have."""
    columns = [read_table(storage, part, ["item_id"])["item_id"] for part in parts]
    done = pc.unique(pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string()))
    manifest = read_table(storage, key)
    here = manifest.filter(pc.is_in(manifest["item_id"], value_set=done))
    if here.num_rows == manifest.num_rows:
        return key
    name = digest(["measured of", key, here["item_id"].to_pylist()])
    return commit_table(storage, stage, name, here)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
