"""Collecting photos on its own, before a build or between two: the crawl step of `build.py`, and nothing after it.

What it stores and finds out, the next build takes as if it had done so itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from voxdata.format.errors import SourceError
from voxdata.pipeline import steps
from voxdata.pipeline.corpora import photo_sources
from voxdata.pipeline.runner import Runner
from voxdata.pipeline.unpublished import note_crawl
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Recipe
from voxdata.sources.naming import photo_kind
from voxdata.store.locks import building
from voxdata.store.storage import Storage, open_storage
from voxdata.store.stored_table import read_table
from voxdata.store.torn import drop_torn


@dataclass(frozen=True, kw_only=True)
class Crawl:
    """Where photos are collected, and by which recipe."""

    storage: Storage
    recipe: Recipe


def open_crawl(root: str, recipe: str, settings: Sequence[str]) -> Crawl:
    """Read the order for a crawl, and look whether its sources are there.

    Raises `RecipeError`, `SourceError`, `StorageError`.
    """
    chosen = load_recipe(recipe, settings)
    given = [(setting, source) for _, setting, source in photo_sources(chosen) if source.given]
    if not given:
        raise SourceError(
            "the recipe names no photos; run again with --set sources.photos.path=FOLDER, or --set "
            "sources.photos.kind=wikimedia with a table of people, --set sources.metadata.path=vox1_meta.csv"
        )
    for setting, source in given:
        photo_kind(source, setting).check(source, setting)
    storage = open_storage(root, create=True)
    drop_torn(storage)
    return Crawl(storage=storage, recipe=chosen)


def crawl(order: Crawl, runner: Runner, below: int | None = None) -> pa.Table:
    """Collect photos; photos and people of each source that the root holds then.

    With `below`, sources that are asked person by person are asked for those who have fewer portraits in the current
    version, and for these anew, however lately they were looked for.
    """
    with building(order.storage, "a crawl"):
        note_crawl(order.storage, order.recipe)
        key = runner.step("crawl", steps.crawl, order.storage, order.recipe, runner.crawling, below=below)
        note_crawl(order.storage, order.recipe, key)
    held = read_table(order.storage, key, ["source", "person", "licence"])
    counted = held.group_by("source").aggregate([("person", "count"), ("person", "count_distinct")])
    names = {"source": "source", "person_count": "photos", "person_count_distinct": "people"}
    return (
        counted.rename_columns([names[name] for name in counted.column_names])
        .sort_by("source")
        .select(["source", "people", "photos"])
    )


def total(found: pa.Table) -> int:
    """All photos of a crawl's answer."""
    return int(pc.sum(found["photos"]).as_py() or 0)
