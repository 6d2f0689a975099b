"""The recipes of publications, with their sources: `<root>/recipes/<hash>.yaml`.

A snapshot's own file leaves out where the sources lie, because it must not change when a folder moves. What decides
again needs them, so every publication names a file that holds every setting; it can also be given to `voxdata build`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from voxdata.catalog import unpublished
from voxdata.catalog.snapshot import published_recipe
from voxdata.format.digests import digest
from voxdata.format.errors import DecisionError, SnapshotError, StorageError
from voxdata.format.snapshot import Snapshot
from voxdata.recipe.faces import DECIDED
from voxdata.recipe.reading import (
    refuse_what_is_not_measured,
    refuse_without_effect,
    said_in,
    with_settings,
)
from voxdata.recipe.sections import Recipe, change_files, stated_sources
from voxdata.recipe.yaml_text import read_yaml
from voxdata.store.storage import Storage
from voxdata.weights import registry

FOLDER = "recipes"
# A change of these looks at sources, photos, faces, renders or clips again; everything else only decides.
MEASURED = (
    *("sources.", "crawl.", "faces.measure.", "faces.render."),
    *("speech.measure.", "speech.who.", "speech.pack."),
)
ONLY_DECIDED = {f"faces.render.{name}" for name in DECIDED}


def commit_recipe(storage: Storage, recipe: Recipe) -> str:
    """Commit a recipe, its relative paths made absolute, and return its key."""
    settings = _absolute(recipe.model_dump(mode="json"))
    key = f"{FOLDER}/{digest(settings)}.yaml"
    if not storage.exists(key):
        storage.commit(key, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).encode())
    return key


def recipe_of(storage: Storage, snapshot: Snapshot, sets: Iterable[str] = ()) -> Recipe:
    """The recipe that a snapshot was last published with, and `key=value` pairs on top.

    Raises `SnapshotError` where the root does not have it, `StorageError` where it is damaged, `RecipeError` for a
    pair that is wrong.
    """
    key = published_recipe(storage, snapshot)
    if key is None or not storage.exists(key):
        raise SnapshotError(
            f"snapshot {snapshot.id} under {storage.url} has no recipe with its sources; it was imported, "
            f"published by an older version, or {FOLDER}/ is gone; import again, or "
            f"run once: voxdata build RECIPE --root {storage.url}"
        )
    return with_settings(stated_settings(storage, key), sets, key)


def stated_settings(storage: Storage, key: str) -> dict[str, Any]:
    """What a published recipe states. Raises `StorageError` for a damaged one."""
    try:
        settings = read_yaml(storage.read(key))
    except ValueError as error:
        raise torn_recipe(storage, key, str(error)) from None
    if not isinstance(settings, dict) or not isinstance(settings.get("sources"), dict):
        raise torn_recipe(storage, key, "it states no sources")
    return settings


def torn_recipe(storage: Storage, key: str, said: str) -> StorageError:
    """A published recipe that cannot be read; a build states its own again where the file is gone."""
    return StorageError(
        f"{key} under {storage.url} is not a published recipe: {said}; restore it from a backup, or delete it and run: "
        f"voxdata build RECIPE --root {storage.url}"
    )


def damaged_recipes(storage: Storage) -> Iterator[tuple[str, str]]:
    """Key and message of every published recipe that cannot be read."""
    for key in storage.keys(FOLDER):
        if key.endswith(".yaml"):
            try:
                stated_settings(storage, key)
            except StorageError as error:
                yield key, str(error)


def build_command(storage: Storage, snapshot: Snapshot, sets: Iterable[str] = ()) -> str:
    """The command that builds again what a snapshot was built from, with `key=value` pairs on top."""
    return unpublished.build_command(storage, published_recipe(storage, snapshot), sets)


def redecided_recipe(storage: Storage, snapshot: Snapshot, sets: Sequence[str]) -> Recipe:
    """`recipe_of` for deciding again. Raises `DecisionError` where a pair needs new measurements."""
    built, recipe = recipe_of(storage, snapshot), recipe_of(storage, snapshot, sets)
    old, new = (dict(_leaves(each.model_dump(mode="json"))) for each in (built, recipe))
    for key in {**old, **new}:
        if old.get(key) != new.get(key) and f"{key}.".startswith(MEASURED) and key not in ONLY_DECIDED:
            raise DecisionError(
                f"{key} = {new.get(key)} needs new measurements, not only new decisions; run: "
                f"{build_command(storage, snapshot, sets)}"
            )
    refuse_what_is_not_measured(recipe, "of the snapshot")
    refuse_without_effect(recipe, said_in(sets), "of the snapshot")
    return recipe


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _absolute(settings: dict[str, Any]) -> dict[str, Any]:
    for source in stated_sources(settings["sources"]):
        path = source["path"]
        source["path"] = [_place(each) for each in path] if isinstance(path, list) else _place(path)
    for part in ("faces", "speech"):
        change_files(settings[part], _file)
    return settings


def _place(path: str | None) -> str | None:
    return path if path is None or "://" in path else str(Path(path).absolute())


def _file(name: str) -> str:
    """Where a pretrained file lies; a name of the registry stays one, whatever file here is called so."""
    return name if name in registry() or not Path(name).is_file() else str(Path(name).absolute())
