"""All tables of the catalog, and its `faces`: what every stage says of a face, in one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from voxdata.faces.columns import FACES
from voxdata.tables import faces, models, people, shards, speech
from voxdata.tables.column import Column, I, S, Table, View

_IDS = ("item_id", "identity", "person", "bucket", "photo_sha256", "face_id", "face_index", "face_count")

FACES_TABLE = replace(
    FACES,
    columns=(
        faces.ITEM_ID,
        Column("face_number", I, "face_index + 1; 0 for a photo without a face", required=True, check="{} >= 0"),
        *people.WHO,
        faces.PHOTO_SHA256,
        *(replace(column, name=f"photo_{column.name}") for column in faces.OF_PHOTOS),
        faces.FACE_ID,
        Column("face_folder", S, "Folder of its shard key, where that is not the identity"),
        *FACES.pick("face_index", "face_count"),
        *faces.OF_VERDICTS,
        *FACES.without(*_IDS),
        faces.LINKS["photo_cluster"],
        Column("duplicate_cluster", S, "photo_cluster of a photo that has near duplicates; null otherwise"),
        *faces.OF_LINKS,
        *faces.OF_RENDERS,
    ),
)
PHOTOS_VIEW = View(
    faces.PHOTOS.name,
    faces.PHOTOS.doc,
    {name: name if name in FACES_TABLE.names else f"photo_{name}" for name in faces.PHOTOS.names},
    source=FACES_TABLE.name,
    where="face_number <= 1",
)
LINKS_VIEW = View(
    faces.LINKS.name,
    faces.LINKS.doc,
    {name: name for name in faces.LINKS.names},
    source=FACES_TABLE.name,
    where="cluster_photos IS NOT NULL OR centroid_similarity IS NOT NULL",
)
CATALOG: tuple[Table | View, ...] = (
    *(shards.ABOUT, shards.SNAPSHOTS, shards.SHARDS, shards.SAMPLES, shards.SOURCES),
    *(people.IDENTITIES_TABLE, people.ALIASES_TABLE, people.OPTOUTS_TABLE, people.TOMBSTONES_TABLE),
    *(FACES_TABLE, faces.REVIEWS_TABLE, speech.UTTERANCES_TABLE),
    *(shards.OUTCOMES, shards.PHOTO_HOSTS, shards.REJECTIONS),
    *(models.RUNS_TABLE, models.MODELS_TABLE, models.EVALUATIONS_TABLE),
    *(PHOTOS_VIEW, LINKS_VIEW),
)


def with_columns(more: Sequence[Column]) -> tuple[Table | View, ...]:
    """`CATALOG`, with columns that measures of other packages add to `faces`."""
    return tuple(
        replace(each, columns=(*FACES_TABLE.columns, *more)) if each is FACES_TABLE else each for each in CATALOG
    )
