"""What an export says about its snapshot, asked of the catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voxdata.catalog.rejections import rejections_sql
from voxdata.catalog.snapshot import published
from voxdata.dataset.opened import Dataset
from voxdata.format.snapshot import Snapshot
from voxdata.people.optouts import in_force
from voxdata.rules import setting

Row = dict[str, Any]

_QUERIES = {
    "splits": "SELECT * FROM split_summary",
    "sexes": """
        SELECT coalesce(sex, 'unknown') AS sex, count(DISTINCT samples.person) AS people
        FROM samples LEFT JOIN identities USING (identity) GROUP BY ALL ORDER BY people DESC, sex""",
    "nationalities": """
        SELECT coalesce(nationality, 'unknown') AS nationality, count(DISTINCT samples.person) AS people
        FROM samples LEFT JOIN identities USING (identity) GROUP BY ALL ORDER BY people DESC, nationality""",
    "licences": """
        SELECT coalesce(nullif(concat_ws(' ', sources.kind, sources.host), ''), provenance.source, 'unknown') AS source,
            coalesce(provenance.licence, 'unknown') AS licence, count(*) AS portraits
        FROM provenance LEFT JOIN sources ON sources.source = provenance.source AND sources.medium = 'photos'
        WHERE provenance.kind = 'faces' GROUP BY ALL ORDER BY portraits DESC, source, licence""",
    "authors": """
        SELECT author, coalesce(licence, 'unknown') AS licence, count(*) AS portraits
        FROM provenance WHERE kind = 'faces' AND author IS NOT NULL
        GROUP BY ALL ORDER BY portraits DESC, author, licence""",
    "funnel": "SELECT kind, outcome, items, people FROM funnel ORDER BY kind, items DESC, outcome",
    "rejections": rejections_sql(),
    "makers": """
        SELECT DISTINCT coalesce(backend, 'unknown') AS backend, backend_version, matting_backend, matting_version
        FROM portraits ORDER BY ALL""",
    "faces": """
        SELECT count(*) AS portraits, count(*) FILTER (WHERE backend = 'import') AS imported,
            min(size_px) AS least_size_px, median(size_px) AS median_size_px, max(size_px) AS most_size_px,
            quantile_cont(face_angle_deg, 0.5) AS median_face_angle_deg,
            quantile_cont(face_angle_deg, 0.95) AS q95_face_angle_deg,
            median(pupil_distance_px) AS median_pupil_distance_px
        FROM portraits""",
    "speech": """
        SELECT count(*) AS utterances, count(*) FILTER (WHERE decoder = 'import') AS imported,
            coalesce(sum(speech_s), 0) / 3600 AS hours, median(speech_s) AS median_speech_s,
            median(snr_db) AS median_snr_db, count(*) FILTER (WHERE holdout) AS held_out
        FROM speech""",
    "per_person": """
        SELECT min(portraits) AS least, median(portraits) AS median, max(portraits) AS most
        FROM (SELECT count(*) AS portraits FROM samples WHERE kind = 'faces' GROUP BY person)""",
    "withheld": """
        SELECT (SELECT count(*) FROM tombstones) AS forgotten, (SELECT count(*) FROM review_words) AS reviews""",
    "versions": "SELECT published_at, tags FROM snapshots WHERE snapshot_id = '{id}'",
}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Figures of one snapshot; `rows` are the answers of the queries above, by their names."""

    name: str
    snapshot_id: str
    number: int  # of the publication, from 1
    published_at: str | None
    recipe: Mapping[str, Any]
    recipe_hash: str
    code_version: str
    versions: Mapping[str, str]
    front_ends: Mapping[str, Mapping[str, Any]]
    audio_part: str | None  # of the clips whose sound is in it: `whole` or `speech`; None where none is
    redacted: bool
    optouts: int  # in force now
    rows: Mapping[str, Sequence[Row]]

    def one(self, query: str) -> Row:
        """The only row of a query."""
        (row,) = self.rows[query]
        return row

    @property
    def imported(self) -> bool:
        """Whether all portraits came as others made them."""
        faces = self.one("faces")
        return bool(faces["portraits"] == faces["imported"] > 0)

    @property
    def licences(self) -> list[str]:
        """The licences of the portraits' photos, the most frequent first."""
        return list(dict.fromkeys(row["licence"] for row in self.rows["licences"]))


def audio_part(snapshot: Snapshot) -> str | None:
    """Which part of its clips a version holds as sound; None where it holds log-mels alone."""
    recipe = snapshot.recipe
    return None if setting(recipe, "speech.pack.audio") in (None, "none") else setting(recipe, "speech.pack.audio_part")


def facts_of(dataset: Dataset) -> Facts:
    """Ask the catalog of the dataset's snapshot. Raises `CatalogError`, `QueryError`."""
    snapshot = dataset.snapshot
    rows = {name: dataset.sql(sql.replace("{id}", snapshot.id)).rows() for name, sql in _QUERIES.items()}
    order = published(dataset.storage)
    (version,) = rows["versions"] or [{"published_at": None}]
    return Facts(
        name=snapshot.name,
        snapshot_id=snapshot.id,
        number=order.index(snapshot.id) + 1 if snapshot.id in order else 0,
        published_at=version["published_at"],
        recipe=snapshot.recipe,
        recipe_hash=snapshot.recipe_hash,
        code_version=snapshot.code_version,
        versions=snapshot.versions,
        front_ends=snapshot.front_ends,
        audio_part=audio_part(snapshot),
        optouts=len(in_force(dataset.storage)),
        redacted=snapshot.redacted,
        rows=rows,
    )
