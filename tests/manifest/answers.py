"""Tables of the catalog as digests: of all rows, in any order, and of every column."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import duckdb
import pyarrow as pa

# Not of the data: places (the host of a folder is the folder) and versions of the code; and every time, `…_at`.
OF_THE_RUN = {"address", "location", "host", "path", "fact", "code_version"}
DIGITS = 12


def answered(table: pa.Table) -> dict[str, Any]:
    """How many rows, a digest of them as a sorted list, and of each column by itself; columns of the run left out."""
    kept = table.select([name for name in table.column_names if name not in OF_THE_RUN and not name.endswith("_at")])
    rows = [json.dumps(row, sort_keys=True, default=str) for row in kept.to_pylist()]
    values = {name: kept[name].to_pylist() for name in kept.column_names}
    columns = {name: _digest(json.dumps(value, default=str) for value in values[name]) for name in values}
    return {"rows": len(rows), "digest": _digest(rows), "columns": columns}


def relation_columns(relation: duckdb.DuckDBPyRelation) -> list[str]:
    """The columns of a relation, in order, each with its type."""
    return [f"{name} {kind}" for name, kind in zip(relation.columns, relation.types, strict=True)]


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:DIGITS]
