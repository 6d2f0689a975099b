"""`index.duckdb`: a version for whoever has DuckDB and nothing of ours, `ATTACH 'https://HOST/index.duckdb' AS data`.

A database of views over the sidecars of the version where these are published, and of nothing else: a few hundred
kilobytes, whatever the version holds. DuckDB reads of the files what a question needs. It states their addresses, which
are absolute, since DuckDB takes a relative one from the folder where it runs.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from voxdata.dataset.opened import Dataset
from voxdata.format.errors import StorageError, brief
from voxdata.format.sidecar import SIDECAR, read_sidecar
from voxdata.format.snapshot import Kind, ShardEntry
from voxdata.format.temporary import temporary_folder

READABLE_SINCE = "v1.0.0"  # the oldest DuckDB that reads the file
SAMPLES: dict[Kind, str] = {"faces": "portraits", "speech": "utterances"}
_OF_FILES = '"member", "suffix", "offset", "size", "sha256", "kind", "filename"'
_TAR = "regexp_replace(filename, 'parquet$', 'tar') AS tar"
# What DuckDB reads from: by its extensions httpfs and azure, as files, or with a file system of fsspec registered.
SCHEMES = ("https", "http", "s3", "s3a", "s3n", "gs", "gcs", "r2", "hf", "az", "azure", "abfss", "abfs", "file")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s]+(/\S*)?")
_PASSWORD = re.compile(r"://[^/@]*:[^/]*@")  # abfss://CONTAINER@ACCOUNT has none
_PATTERN = re.compile(r"[*?#\[\]]")


def index_of(dataset: Dataset, url: str | None = None) -> bytes:
    """The database of a version whose root is, or will be, published at `url` (default: where it is now).

    Raises `StorageError` where `url` is no address of a folder, `ShardError` for a damaged sidecar.
    """
    base = _base(dataset.storage.url if url is None else url)
    with temporary_folder() as folder, closing(duckdb.connect()) as connection:
        place = folder / "index.duckdb"
        if scheme := base.partition("://")[0] if "://" in base else None:
            connection.register_filesystem(_Schemas(scheme, dataset, base))
        connection.execute(f"ATTACH {_text(place)} AS made (STORAGE_VERSION '{READABLE_SINCE}')")
        try:
            for statement in _statements(dataset, base):
                connection.execute(statement)
        except duckdb.Error as error:
            raise StorageError(
                f"--url {url}: {brief(error)}; name the place of the root that is published, or leave it out"
            ) from None
        connection.execute("DETACH made")
        return place.read_bytes()


def _base(url: str) -> str:
    if _PASSWORD.search(url):
        raise StorageError(
            "--url has a password in it, which everybody who gets the index would read; leave it out: whoever asks the "
            "index gives DuckDB a key by CREATE SECRET"
        )
    if sign := _PATTERN.search(url):
        raise StorageError(
            f"--url {brief(url.partition('?')[0])}: {sign[0]} ends an address or makes it a pattern; "
            "name a folder without it"
        )
    url = url.removeprefix("file://") if url.startswith("file:///") else url
    if "://" not in url and Path(url).is_absolute():
        return url.rstrip("/")
    if not _ADDRESS.fullmatch(url):
        raise StorageError(
            f"--url {brief(url)} is no address; give that of the published root, such as https://HOST/FOLDER or "
            "s3://BUCKET/FOLDER, or an absolute path"
        )
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES:
        raise StorageError(
            f"--url {brief(url)}: DuckDB attaches nothing by {scheme}; publish the root where it reads "
            f"({', '.join(SCHEMES)}), and give that address"
        )
    return url.rstrip("/")


def _statements(dataset: Dataset, base: str) -> list[str]:
    """The views and what is said of them."""
    snapshot, found = dataset.snapshot, []
    for kind, name in SAMPLES.items():
        if entries := dataset.shards(kind):
            columns, files = f"* EXCLUDE ({_OF_FILES}), {_TAR}", _files(dataset, entries, base)
            found += [
                f"CREATE VIEW made.{name} AS SELECT {columns} FROM {files} WHERE suffix = 'json'",
                f"COMMENT ON VIEW made.{name} IS 'A row each, with all that was measured'",
            ]
    places = ", ".join(f'"{name}"' for name, _ in SIDECAR)
    everything = _files(dataset, snapshot.shards, base)
    shards = ", ".join(_shard(each, base) for each in snapshot.shards)
    return [
        *found,
        f"CREATE VIEW made.members AS SELECT {places}, person, {_TAR} FROM {everything}",
        "COMMENT ON VIEW made.members IS 'A row per file in a tar: its bytes are size bytes at offset'",
        "CREATE VIEW made.shards AS "
        f"SELECT * FROM (VALUES {shards}) AS shard(tar, sidecar, split, kind, bytes, sha256)",
        f"CREATE VIEW made.snapshot AS SELECT {_text(snapshot.id)} AS id, {_text(snapshot.name)} AS name",
    ]


def _files(dataset: Dataset, entries: Sequence[ShardEntry], base: str) -> str:
    schemas = {read_sidecar(dataset.storage, entry.sidecar).schema.to_string() for entry in entries}
    listed = ", ".join(_text(f"{base}/{entry.sidecar}") for entry in entries)
    by_name = ", union_by_name = true" if len(schemas) > 1 else ""
    return f"read_parquet([{listed}], filename = true{by_name})"


def _shard(entry: ShardEntry, base: str) -> str:
    texts = (f"{base}/{entry.tar}", f"{base}/{entry.sidecar}", entry.split, entry.kind)
    return f"({', '.join(map(_text, texts))}, {entry.bytes}, {_text(entry.sha256)})"


def _text(value: object) -> str:
    quoted = str(value).replace("'", "''")
    return f"'{quoted}'"


class _Schemas(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """The sidecars of a version as if they were at their address, without rows.

    DuckDB looks at the columns of files when it makes a view, and nothing may be published yet.
    """

    cachable = False

    def __init__(self, scheme: str, dataset: Dataset, base: str) -> None:
        super().__init__()
        self.protocol = scheme
        self._base = base
        self._dataset = dataset

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path

    def _empty(self, path: str) -> bytes:
        table = read_sidecar(self._dataset.storage, path.removeprefix(f"{self._base}/"))
        data = io.BytesIO()
        pq.write_table(pa.schema([(field.name, field.type) for field in table.schema]).empty_table(), data)
        return data.getvalue()

    def _open(self, path: str, mode: str = "rb", **options: Any) -> io.BytesIO:
        return io.BytesIO(self._empty(path))

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """What fsspec asks of a file."""
        return {"name": path, "size": len(self._empty(path)), "type": "file"}

    def modified(self, path: str) -> datetime:
        """Never."""
        return datetime.fromtimestamp(0, UTC)
