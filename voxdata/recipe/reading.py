"""Recipes from YAML: a shipped one by name or a file by path, `extends:`, and `key=value` pairs on top.

Every mistake becomes one line that names the key, the value and the limit.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from voxdata.format.digests import digest
from voxdata.format.errors import RecipeError, brief, nearest, quoted
from voxdata.plugins import plugins
from voxdata.recipe.effect import INHERITED, SET, WRITTEN, contradicts, without_effect
from voxdata.recipe.pairs import apply_pairs, section_of
from voxdata.recipe.sections import Corpus, Recipe
from voxdata.recipe.yaml_text import read_yaml

CHECKS = "voxdata.recipe_checks"
MISTAKES = 100  # of one recipe, that are told


def shipped_recipes() -> list[str]:
    """Names of the recipes in `catalogs/recipes/`."""
    folder = resources.files("catalogs").joinpath("recipes")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_recipe(name: str, sets: Iterable[str] = ()) -> Recipe:
    """Load a shipped recipe by name or a file by path and apply `key=value` pairs. Raises `RecipeError`.

    A limit on what is not measured is refused, and what was written and can have no effect; `with_settings` lets both
    pass, so that what was built with one opens.
    """
    pairs = list(sets)
    said: dict[str, int] = {}
    recipe = with_settings(_load_settings(name, said), pairs, name)
    refuse_what_is_not_measured(recipe, name)
    refuse_without_effect(recipe, {**said, **said_in(pairs)}, name)
    return recipe


def said_in(pairs: Iterable[str]) -> dict[str, int]:
    """The settings of `key=value` pairs, as `refuse_without_effect` wants them."""
    return {pair.partition("=")[0]: SET for pair in pairs}


def refuse_without_effect(recipe: Recipe, said: Mapping[str, int], name: str) -> None:
    """Refuse settings that can have no effect, of those that `said` has from the person (`effect.py`).

    Raises `RecipeError`.
    """
    found = [each for each in without_effect(recipe) if contradicts(each, said)]
    lines = [f"recipe {name}: {each}; leave it out, or change {each.missing[0].setting}, too" for each in found]
    if lines:
        raise RecipeError("\n".join(lines))


def refuse_what_is_not_measured(recipe: Recipe, name: str) -> None:
    """Refuse limits on what the recipe does not measure: the rooms that measure know. Raises `RecipeError`."""
    try:
        for refuse in plugins(CHECKS).values():
            refuse(recipe)
    except RecipeError as error:
        raise RecipeError("\n".join(f"recipe {name}: {line}" for line in str(error).splitlines())) from None


def with_settings(settings: Mapping[str, Any], sets: Iterable[str], name: str) -> Recipe:
    """Settings with `key=value` pairs on top, validated. Raises `RecipeError`."""
    changed = copy.deepcopy(dict(settings))
    apply_pairs(changed, list(sets))
    return validate_recipe(changed, name)


def validate_recipe(settings: Mapping[str, Any], name: str) -> Recipe:
    """Validate settings; every mistake becomes a line `recipe NAME: key = value: limit`."""
    try:
        return Recipe.model_validate(dict(settings))
    except ValidationError as error:
        lines = [f"recipe {name}: {_explain(dict(item), settings)}" for item in error.errors()[:MISTAKES]]
        raise RecipeError("\n".join(lines)) from None


def _load_settings(name: str, said: dict[str, int], seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """The settings of a recipe and of those that it extends; `said` is told who said which."""
    if name in seen:
        raise RecipeError(f"recipe {name}: extends itself through {' -> '.join([*seen, name])}")
    try:
        text = _recipe_text(name)
    except RecipeError as error:
        if seen:
            raise RecipeError(f"recipe {brief(seen[-1])}: extends: {error}") from None
        raise
    try:
        settings = read_yaml(text)
    except ValueError as error:
        raise RecipeError(f"recipe {brief(name)} is not YAML that can be read: {error}") from None
    if not isinstance(settings, dict):
        raise RecipeError(f"recipe {name} holds {type(settings).__name__}; a mapping of settings is needed")
    base = settings.pop("extends", None)
    merged = _merge(_load_settings(str(base), said, (*seen, name)), settings) if base else settings
    said |= dict.fromkeys(_leaves(settings), INHERITED if seen or not _is_own(name, settings) else WRITTEN)
    return merged


def _is_own(name: str, settings: Mapping[str, Any]) -> bool:
    """Whether a person wrote a recipe: it is not shipped, and no publication wrote it with all that was in force."""
    path = Path(name)
    return path.suffix in (".yaml", ".yml") and path.stem != digest(settings)


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _recipe_text(name: str) -> str:
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:  # ValueError: no UTF-8, or NUL in the name
            raise RecipeError(f"recipe {brief(name)} cannot be read: {brief(error)}") from None
    known = shipped_recipes()
    if name not in known:
        raise RecipeError(
            f"no recipe {quoted(name)}; shipped are {', '.join(known)}, or give a .yaml "
            f"file{nearest(name[:200], known)}"
        )
    return resources.files("catalogs").joinpath("recipes", f"{name}.yaml").read_text(encoding="utf-8")


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _explain(error: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    location = _written([part for part in error["loc"] if not str(part).startswith("function-")], settings)
    key = brief(".".join(str(part) for part in location))
    if error["type"] == "extra_forbidden":
        return f"{key} = {quoted(error['input'])}: no such key{_suggestion(location, settings)}"
    if error["type"] == "missing":
        return f"{key}: is missing"
    value = "" if isinstance(error["input"], dict) else f" = {quoted(error['input'])}"
    if error["type"] == "model_type" and location:
        return f"{key}{value}: is a section of settings; set one of them: {', '.join(_keys(location, settings))}"
    return f"{key}{value}: {brief(error['msg'].removeprefix('Value error, '), 1000)}"


def _written(location: list[Any], settings: Any) -> list[Any]:
    """A place in the recipe as its author wrote it: one section that stands for a list of one has no number."""
    kept = []
    for part in location:
        if part == 0 and not isinstance(settings, list):
            continue
        kept.append(part)
        known = isinstance(settings, Mapping) and part in settings
        settings = settings[part] if known or (isinstance(settings, list) and isinstance(part, int)) else None
    return kept


def _suggestion(location: list[Any], settings: Any) -> str:
    known = _keys(location[:-1], settings)
    there = f"; {'.'.join(map(str, location[:-1])) or 'a recipe'} has {', '.join(known)}"
    return f"{nearest(str(location[-1])[:200], known)}{there}"


def _keys(location: list[Any], settings: Any) -> list[str]:
    """The keys of the section at a place."""
    section: Any = Recipe
    for part in location:
        settings = settings[part]
        if isinstance(part, int):
            continue
        kind = settings.get("kind") if isinstance(settings, dict) else None
        section = section_of(section.model_fields[part], kind) or Corpus
    return sorted(section.model_fields)
