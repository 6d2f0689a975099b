"""The keys of the large tables, which have no primary key: over millions of texts, an index costs more space and time
than it is worth (`benchmarks/catalog_scale.py` prints both). The load counts instead.

`UNIQUE` are the keys of tables; a row that breaks one is a `CatalogError`. `REPEATABLE` are inputs in which a row may
come twice, because two builders measured an item at once or because two sources hold the same photo: it counts once.
"""

from __future__ import annotations

from typing import Any

import duckdb

from voxdata.format.errors import CatalogError

# Input -> its key, and the columns that say which of the rows with one key counts.
REPEATABLE = {
    "in_photos": ("item_id", "source, source_key"),
    "in_faces": ("item_id, face_index", "backend"),
    "in_renders": ("face_id", "scale"),
    "in_utterances": ("item_id", "decoder"),
    "in_utterance_files": ("item_id", "source, source_key"),
}
UNIQUE = (
    ("samples", "kind, key"),
    ("faces", "item_id, face_number"),
    ("faces", "face_id"),
    ("utterances", "item_id"),
)


def once(name: str) -> str:
    """What picks one of the rows with the same key of an input."""
    key, order = REPEATABLE[name]
    return f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1"


def repeats(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the key of some large table repeats."""
    return any(key_repeats(connection, table, key) for table, key in UNIQUE)


def check_unique(connection: duckdb.DuckDBPyConnection, root: str) -> None:
    """Raise `CatalogError` where two rows of a large table have one key."""
    for table, key in UNIQUE:
        if key_repeats(connection, table, key):
            found = connection.execute(
                f"SELECT {key}, count(*) AS n FROM {table} GROUP BY ALL HAVING n > 1 ORDER BY ALL LIMIT 1"
            ).fetchone()
            if found:
                raise _refused(root, f"{table} has {found[-1]} rows with one ({key})", found[:-1])


def key_repeats(connection: duckdb.DuckDBPyConnection, table: str, key: str) -> bool:
    """Whether keys repeat; hardly ever true where none does, as hashes are counted. Null is no key."""
    row = connection.execute(
        f"SELECT count(*), count(DISTINCT hash({key})) FROM {table} WHERE {key.partition(',')[0]} IS NOT NULL"
    ).fetchone()
    return row is not None and row[0] != row[1]


def _refused(root: str, what: str, key: tuple[Any, ...]) -> CatalogError:
    named = ", ".join(map(str, key))
    return CatalogError(f"catalog.duckdb under {root}: {what}: {named}; the old catalog stays; run: voxdata verify")
