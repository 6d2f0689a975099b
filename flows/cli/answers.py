"""How commands print and write their answers: tables, JSON, files that `voxdata forget` knows of."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

from flows.cli.options import Output
from voxdata.format.errors import QueryError

if TYPE_CHECKING:
    import pyarrow as pa

    from voxdata.store.storage import Storage


def say_json(value: Any) -> int:
    """Print JSON, what JSON has no word for (NaN, infinity) as null; returns the exit status 0."""
    from voxdata.catalog.query import json_text

    print(json_text(value))
    return 0


def say_table(table: pa.Table) -> None:
    """Print an aligned table."""
    from voxdata.catalog.query import format_table

    sys.stdout.write(str(format_table(table, "table", terminal_width())))


def terminal_width() -> int | None:
    """The cells of a line of the terminal; None where the output is piped or written, and nothing may be cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def show(table: pa.Table, output: Output, storage: Storage, *snapshot_ids: str) -> int:
    """Print a table, or write it to `--out` as an output of these snapshots; returns the exit status 0."""
    from voxdata.catalog.query import encoded, format_table
    from voxdata.forgetting.outputs import write_noted

    said = format_table(table, output.asked, None if output.out else terminal_width())
    if output.out is not None:
        write_noted(storage, "table", output.out, lambda: snapshot_ids, lambda: encoded(said))
    elif isinstance(said, bytes):
        raise QueryError("--format parquet writes a file; add --out FILE.parquet")
    else:
        sys.stdout.write(said)
    return 0
