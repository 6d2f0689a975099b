"""From a training run back to every file and URL that its training split was made of.

Read from the sidecars and tables of the run's snapshot, so it answers for any snapshot that is still there.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from voxdata.catalog.query import answer
from voxdata.catalog.snapshot import load_snapshot
from voxdata.catalog.versions import opened_at
from voxdata.format.temporary import temporary_folder
from voxdata.store.storage import Storage

_TRAINED_ON = """
    SELECT provenance.*, speech.holdout IS TRUE AS held_out
    FROM provenance
    LEFT JOIN (SELECT utterance_id, any_value(holdout) AS holdout FROM utterances WHERE verdict = 'keep' GROUP BY ALL)
        AS speech ON provenance.kind = 'speech' AND speech.utterance_id = provenance.key
    WHERE split = 'train' ORDER BY kind, key"""


def run_sources(storage: Storage, snapshot: str) -> pa.Table:
    """A row per training sample of a snapshot: kind, key, identity, content_sha256, source, location, licence, …

    Clips that are held out of training are there, marked. Raises `SnapshotError` for one that is gone.
    """
    with (
        temporary_folder() as folder,
        opened_at(storage, load_snapshot(storage, snapshot), folder) as connection,
    ):
        return answer(connection, _TRAINED_ON)


def source_summary(sources: pa.Table) -> pa.Table:
    """Samples, people and files per kind, source and licence."""
    with duckdb.connect() as connection:
        connection.register("sources", sources)
        return connection.sql(
            "SELECT kind, source, licence, min(location) AS for_example, count(*) AS samples, "
            "count(DISTINCT identity) AS identities, count(DISTINCT content_sha256) AS files "
            "FROM sources WHERE NOT held_out GROUP BY ALL ORDER BY kind, samples DESC, source, licence"
        ).to_arrow_table()
