"""All tables of the journal and of the catalog."""

from __future__ import annotations

from collections.abc import Mapping

from voxdata.tables import faces, models, people, shards, speech
from voxdata.tables.column import Table, View

JOURNAL: Mapping[str, Table] = {
    table.name: table
    for table in (
        *(faces.REVIEWS, people.OPTOUTS, people.TOMBSTONES, people.ALIASES),
        *(shards.OUTPUTS, shards.TAGS, shards.PUBLICATIONS),
        *(models.RUNS, models.EVALUATIONS, models.DECISIONS, models.PROMOTIONS),
    )
}
CATALOG: tuple[Table | View, ...] = (
    *(shards.ABOUT, shards.SNAPSHOTS, shards.SHARDS, shards.SAMPLES, shards.SOURCES),
    *(people.IDENTITIES_TABLE, people.ALIASES_TABLE, people.OPTOUTS_TABLE, people.TOMBSTONES_TABLE),
    *(faces.FACES_TABLE, faces.REVIEWS_TABLE, speech.UTTERANCES_TABLE, shards.OUTCOMES),
    *(models.RUNS_TABLE, models.MODELS_TABLE, models.EVALUATIONS_TABLE),
    *(faces.PHOTOS_VIEW, faces.LINKS_VIEW),
)
