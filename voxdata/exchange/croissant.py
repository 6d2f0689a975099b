"""Croissant 1.0 metadata (Akhtar et al. 2024; mlcommons.org/croissant) of an export, and of the shards themselves.

Every file is listed with its size and sha256. A record set per kind says what a row is, column by column; readers such
as `mlcroissant` load rows through it from the folder in which the metadata lie. Responsible-AI properties (RAI 1.0)
repeat what the datasheet says at length.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from voxdata.dataset.opened import Dataset
from voxdata.exchange.export_facts import Facts
from voxdata.exchange.export_texts import BIASES, LIMITATIONS, USES, collection, sensitive
from voxdata.format.sidecar import read_sidecar
from voxdata.format.snapshot import Kind

CONFORMS_TO = ("http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0")
PARQUET, TAR = "application/x-parquet", "application/x-tar"
_TYPES = {pa.string(): "sc:Text", pa.bool_(): "sc:Boolean", pa.int32(): "sc:Integer", pa.int64(): "sc:Integer"} | {
    pa.float32(): "sc:Float",
    pa.float64(): "sc:Float",
}
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        name: f"cr:{name}"
        for name in (
            "citeAs",
            "column",
            "equivalentProperty",
            "extract",
            "field",
            "fileProperty",
            "fileObject",
            "fileSet",
        )
    },
    **{name: f"cr:{name}" for name in ("format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField")},
    **{name: f"cr:{name}" for name in ("path", "recordSet", "references", "regex", "repeated", "replace", "separator")},
    **{name: f"cr:{name}" for name in ("samplingRate", "source", "subField", "transform")},
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file, its path relative to the metadata."""

    path: str
    sha256: str
    size_bytes: int
    mime: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """Parquet files of one schema that are one record set."""

    id: str
    about: str
    schema: pa.Schema
    files: Sequence[DataFile]


def croissant(facts: Facts, tables: Sequence[Table], others: Sequence[DataFile] = ()) -> dict[str, Any]:
    """The metadata of tables and of other files as JSON-LD."""
    splits = {row["split"]: row for row in facts.rows["splits"]}
    total = splits["total"]
    listed = [*(file for table in tables for file in table.files), *others]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": list(CONFORMS_TO),
        "name": facts.name,
        "description": f"Faces and voices of {total['identities']} people: {total['images']} portraits and "
        f"{total['utterances']} utterances as {'log-mels' if facts.audio_part is None else 'log-mels and sound'}. "
        f"Snapshot {facts.snapshot_id}.",
        "version": f"{facts.number}.0.0+{facts.snapshot_id}",
        "license": facts.licences or ["unknown"],
        "keywords": ["face", "speech", "speech to face"],
        "citeAs": _citation(facts),
        **({"datePublished": facts.published_at} if facts.published_at else {}),
        "isLiveDataset": False,
        "rai:dataCollection": collection(facts.recipe, imported=facts.imported),
        "rai:dataUseCases": list(USES),
        "rai:dataLimitations": list(LIMITATIONS),
        "rai:dataBiases": list(BIASES),
        "rai:personalSensitiveInformation": list(sensitive(facts.audio_part)),
        "distribution": [*map(_file_object, listed), *map(_file_set, tables)],
        "recordSet": [_record_set(table) for table in tables],
    }


def shard_metadata(dataset: Dataset, facts: Facts) -> dict[str, Any]:
    """The metadata of the snapshot's shards; it belongs into the root, beside `shards/`."""
    tables, tars = [], []
    for kind in ("faces", "speech"):
        entries = dataset.shards(kind)
        if not entries:
            continue
        files = [_sidecar_file(dataset, entry.sidecar) for entry in entries]
        schema = read_sidecar(dataset.storage, entries[0].sidecar).schema
        tables.append(Table(id=kind, about=_SIDECARS[kind], schema=schema, files=files))
        tars += [DataFile(path=each.tar, sha256=each.sha256, size_bytes=each.bytes, mime=TAR) for each in entries]
    return croissant(facts, tables, tars)


def _citation(facts: Facts) -> str:
    """A BibTeX entry of this version; a paper about it is the publisher's to add."""
    year = (facts.published_at or "")[:4]
    fields = {
        "title": facts.name,
        **({"year": year} if year else {}),
        "note": f"snapshot {facts.snapshot_id}, made with voxdata {facts.code_version}",
    }
    inside = ", ".join(f"{name} = {{{value}}}" for name, value in fields.items())
    return f"@misc{{{re.sub('[^A-Za-z0-9-]', '-', facts.name)}-{facts.snapshot_id}, {inside}}}"


_SIDECARS: dict[Kind, str] = {
    "faces": "Files of portraits in the tars: place, sha256, who it is and what was measured",
    "speech": "Files of utterances in the tars: place, sha256, who it is and what was measured",
}


def _sidecar_file(dataset: Dataset, key: str) -> DataFile:
    data = dataset.storage.read(key)
    return DataFile(path=key, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data), mime=PARQUET)


def _file_object(file: DataFile) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": f"{file.size_bytes} B",
        "encodingFormat": file.mime,
        "sha256": file.sha256,
    }


def _file_set(table: Table) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{table.id}-files",
        "name": f"{table.id}-files",
        "description": table.about,
        "encodingFormat": PARQUET,
        "includes": [file.path for file in table.files],
    }


def _record_set(table: Table) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": table.id,
        "name": table.id,
        "description": table.about,
        "key": {"@id": f"{table.id}/{'member' if 'member' in table.schema.names else 'key'}"},
        "field": [_field(table, field) for field in table.schema],
    }


def _field(table: Table, field: pa.Field) -> dict[str, Any]:
    source: dict[str, Any] = {"fileSet": {"@id": f"{table.id}-files"}, "extract": {"column": field.name}}
    said: dict[str, Any] = {"@type": "cr:Field", "@id": f"{table.id}/{field.name}", "name": field.name}
    if pa.types.is_struct(field.type):
        source["transform"] = {"jsonPath": "bytes"}
        return said | {"dataType": f"sc:{'AudioObject' if field.name == 'audio' else 'ImageObject'}", "source": source}
    if pa.types.is_list(field.type):
        return said | {"dataType": "sc:Float", "repeated": True, "source": source}
    return said | {"dataType": _TYPES[field.type], "source": source}
