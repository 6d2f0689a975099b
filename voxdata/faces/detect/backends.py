"""Which detector and landmarks a recipe asks for: `faces.measure.backend`, by the names that are registered."""

from __future__ import annotations

from voxdata.faces.detect.landmarks import Backend, Landmarker
from voxdata.format.errors import RecipeError
from voxdata.plugins import plugin
from voxdata.recipe.faces import FaceMeasure

GROUP = "voxdata.landmarks"


def find_backend(name: str) -> Backend:
    """The backend of a recipe name. Raises `RecipeError` with those that there are."""
    found = plugin(GROUP, name, setting="faces.measure.backend")
    if not isinstance(found, Backend):
        raise RecipeError(f"faces.measure.backend = {name!r}: {GROUP} names {found!r}; a Backend is needed")
    return found


def open_landmarker(backend: str, **files: str) -> Landmarker:
    """The backend by its recipe name, loaded once per process; its files by path or registry name.

    `files` are settings of `recipe.FaceMeasure` such as `landmarker_model`. Raises `RecipeError`, `BackendError`, and
    `WeightsError` with the address and the import command where a file is not at hand.
    """
    return find_backend(backend).open(FaceMeasure(backend=backend, **files))  # type: ignore[arg-type]


def landmarker_version(backend: str, **files: str) -> str:
    """What `Landmarker.version` will be, without loading a network: for fingerprints. Raises as `open_landmarker`."""
    return find_backend(backend).version(FaceMeasure(backend=backend, **files))  # type: ignore[arg-type]


def sees(backend: str) -> frozenset[str]:
    """What a backend sees besides the 68 points that all have (`Backend.yields`). Raises `RecipeError`."""
    return find_backend(backend).yields
