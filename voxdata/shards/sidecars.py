"""The columns of a sidecar after the common ones (`format.sidecar.SIDECAR`): who it is, and every measurement."""

from __future__ import annotations

import pyarrow as pa

from voxdata.faces.columns import FACES
from voxdata.tables.faces import FOR_LINKS
from voxdata.tables.schemas import FACE_VERDICTS, IDENTITIES, PHOTOS, RENDERS
from voxdata.tables.speech import SIDECAR_CLIP

WHO_COLUMNS = ("identity", "person", "bucket", "name", "sex", "nationality")
PHOTO_COLUMNS = ("licence", "source_key")
VERDICT_COLUMNS = ("quality", "rank")
LATER = ("decoded_share", "skin_tone_deg")  # came after the first shards: in the catalog only; shards keep their bytes


def _schema(*parts: tuple[pa.Schema, tuple[str, ...]]) -> pa.Schema:
    fields: dict[str, pa.Field] = {}
    for schema, names in parts:
        for name in names:
            fields.setdefault(name, schema.field(name))
    return pa.schema(list(fields.values()))


def _others(schema: pa.Schema, *without: str) -> tuple[str, ...]:
    return tuple(name for name in schema.names if name not in without)


FACE_SIDECAR = _schema(
    (IDENTITIES, WHO_COLUMNS),
    (FACES.schema, _others(FACES.schema, "item_id", *FOR_LINKS, *LATER)),
    (FACE_VERDICTS, VERDICT_COLUMNS),
    (PHOTOS, PHOTO_COLUMNS),
    (RENDERS, _others(RENDERS, "item_id")),
)
SPEECH_SIDECAR = pa.schema(
    [*_schema((IDENTITIES, WHO_COLUMNS), (SIDECAR_CLIP.schema, SIDECAR_CLIP.names)), ("holdout", pa.bool_())]
)
