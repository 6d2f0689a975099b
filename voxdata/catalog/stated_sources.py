"""The folders and sites that a snapshot was built from, as its published recipe states them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from voxdata.catalog.snapshot import published_recipe
from voxdata.format.errors import CatalogError, RecipeError, brief
from voxdata.format.snapshot import Snapshot
from voxdata.recipe.yaml_text import read_yaml
from voxdata.sources.naming import source_name, stated_place
from voxdata.store.storage import Storage
from voxdata.tables.shards import SOURCES


def sources(storage: Storage, snapshot: Snapshot) -> pa.Table:
    """A row per source of photos and of speech; none where the snapshot was published without its recipe.

    `address` continued by a file's `source_key` is the path or URL of the file. Raises `CatalogError` where the recipe
    cannot be read.
    """
    key = published_recipe(storage, snapshot)
    if key is None or not storage.exists(key):
        return SOURCES.schema.empty_table()
    try:
        given = read_yaml(storage.read(key))["sources"]
        rows = [row for n, corpus in enumerate([given, *given["also"]]) for row in _rows(f"corpus-{n}", corpus)]
    except (KeyError, TypeError, ValueError, RecipeError) as error:
        said = brief(" ".join(str(error).split()))
        raise CatalogError(
            f"{key} under {storage.url} is not a published recipe: {said}; delete it and run the build again"
        ) from None
    return pa.Table.from_pylist(rows, SOURCES.schema)


def _rows(source: str, corpus: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for medium in ("photos", "speech"):
        several = corpus[medium] if isinstance(corpus[medium], list) else [corpus[medium]]
        for number, stated in enumerate(several):
            place = stated_place(medium, stated)
            if place is not None:
                row = {"source": source_name(source, number), "medium": medium, "kind": stated["kind"]}
                yield row | {"address": place.address, "host": place.host}
