"""A log as the first version wrote it."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa

from voxdata.store.fragments import parquet_bytes


def old_log(url: str, status: str) -> bytes:
    """One attempt at a url, made now."""
    columns = {
        "source": pa.string(),
        "source_path": pa.string(),
        "identity": pa.string(),
        "size_bytes": pa.int64(),
        "modified_ns": pa.int64(),
        "sha256": pa.string(),
        "http_status": pa.int32(),
        "status": pa.string(),
        "detail": pa.string(),
        "attempted_at": pa.timestamp("us", tz="UTC"),
    }
    row = {"source_path": url, "status": status, "attempted_at": datetime.now(UTC)}
    return parquet_bytes(pa.Table.from_pylist([row], pa.schema(list(columns.items()))))
