"""Which kind a recipe names for a source, what the source is called, and where a published one lay."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from voxdata.format.errors import RecipeError
from voxdata.plugins import plugin, plugins
from voxdata.recipe.section import RegisteredKind
from voxdata.recipe.sources import PHOTO_KINDS, SPEECH_KINDS, PhotoSource, SpeechSource
from voxdata.sources.kinds import PhotoKind, Place, SpeechKind, place_of

logger = logging.getLogger(__name__)


def source_name(corpus: str, number: int) -> str:
    """The name of a corpus's photo source in tables; the first one's is the corpus's own, as that of a single one."""
    return f"{corpus}.{number}" if number else corpus


def photo_kind(settings: PhotoSource, setting: str) -> PhotoKind:
    """The kind that a recipe names for a photo source. Raises `RecipeError`."""
    kind: PhotoKind = _kind(PHOTO_KINDS, settings.kind, setting, PhotoKind)
    return kind


def speech_kind(settings: SpeechSource, setting: str) -> SpeechKind:
    """The kind that a recipe names for a speech source. Raises `RecipeError`."""
    kind: SpeechKind = _kind(SPEECH_KINDS, settings.kind, setting, SpeechKind)
    return kind


def stated_place(medium: str, stated: Mapping[str, Any]) -> Place | None:
    """Where a published recipe says that its photos or its speech lie; None where it names none.

    What was published stays readable without the package of its kind: its `url` or `path` say where it lies then, and
    a warning says so. Raises `ValueError`, `RecipeError` for what is no section of the kind.
    """
    kinds, base = (PHOTO_KINDS, PhotoSource) if medium == "photos" else (SPEECH_KINDS, SpeechSource)
    name = stated["kind"]
    if name not in plugins(kinds.group):
        logger.warning("nothing is installed for %s of kind %r; its address is what its recipe states", medium, name)
        known = base.model_validate({key: value for key, value in stated.items() if key in base.model_fields})
        return place_of(known) if known.given else None
    settings = kinds.section(name).model_validate(dict(stated))
    if not settings.given:  # type: ignore[attr-defined]
        return None
    place: Place = plugin(kinds.group, name, setting="kind").place(settings)
    return place


def _kind(kinds: RegisteredKind, name: str, setting: str, record: type[Any]) -> Any:
    found = plugin(kinds.group, name, setting=f"{setting}.kind")
    if not isinstance(found, record):
        raise RecipeError(
            f"{setting}.kind = {name!r}: its entry point in {kinds.group} names {found!r}; "
            f"a {record.__module__}.{record.__name__} is needed"
        )
    return found
