"""What the report asks the catalog: plain rows and columns of the current snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np

from voxdata.catalog.unpublished import Unpublished
from voxdata.format.sidecar import SOUND
from voxdata.format.snapshot import Snapshot
from voxdata.pages.report.charts import Numbers
from voxdata.pages.report.measures import FACE_MEASURES, Measure
from voxdata.people import optouts
from voxdata.rules import setting
from voxdata.store.storage import Storage

PORTRAITS = 48
REJECTS_PER_REASON = 6
TRUE_FACES = 4
CLIPS = 12
PAPER_PHOTOS = 300  # of a person (SF2F, App. B.1)

Row = dict[str, Any]

_SHOWN = "NOT list_contains($hidden::VARCHAR[], {0}.person) AND NOT list_contains($hidden::VARCHAR[], {0}.identity)"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A root, its snapshot, a connection to its catalog, and who must not be shown; `left` where it is no snapshot but
    what a build without a version has left."""

    storage: Storage
    snapshot: Snapshot
    connection: duckdb.DuckDBPyConnection
    hidden: Sequence[str]
    left: Unpublished | None = None

    def rows(self, sql: str, **values: Any) -> list[Row]:
        """All rows of a query as dictionaries."""
        result = self.connection.execute(sql, values or None)
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def totals(self) -> Row:
        """Counts over everything that was looked at and kept."""
        return self.rows(
            """SELECT
                (SELECT count(*) FROM photos) AS photos,
                (SELECT count(DISTINCT item_id) FROM faces WHERE portrait) AS photos_used,
                (SELECT count(face_id) FROM faces) AS faces,
                (SELECT count(DISTINCT person) FROM samples) AS people,
                (SELECT count(*) FROM samples WHERE kind = 'faces') AS portraits,
                (SELECT count(*) FROM samples WHERE kind = 'speech') AS utterances,
                (SELECT count(*) FROM utterances) AS clips,
                (SELECT coalesce(sum(speech_s), 0) / 3600 FROM speech) AS hours"""
        )[0]

    def funnel(self, kind: str) -> list[Row]:
        """Outcomes of `faces` or `speech`: outcome, items, people."""
        return self.rows("SELECT outcome, items, people FROM funnel WHERE kind = $kind", kind=kind)

    def values(self, kind: str, measure: Measure) -> tuple[Numbers, Numbers]:
        """All values of a measurement: of kept items, and of the others."""
        source, kept = ("faces", "portrait") if kind == "faces" else ("utterances", "verdict = 'keep'")
        found = self.connection.execute(
            f"SELECT * FROM (SELECT ({measure.expression()})::DOUBLE AS value, coalesce({kept}, false) AS kept "
            f"FROM {source}) WHERE isfinite(value)"
        ).fetchnumpy()
        values = np.asarray(found["value"], np.float64)
        kept_rows = np.asarray(found["kept"], bool)
        return values[kept_rows], values[~kept_rows]

    def portraits(self) -> list[Row]:
        """At most `PORTRAITS` face samples, as many people as possible, best portraits first; sorted by person."""
        chosen = self.rows(
            f"""SELECT samples.*, identities.name, identities.sex, faces.face_angle_deg, faces.rank
            FROM samples
            LEFT JOIN identities USING (identity)
            LEFT JOIN faces ON faces.face_id = samples.key AND faces.portrait
            WHERE samples.kind = 'faces' AND {_SHOWN.format("samples")}
            ORDER BY row_number() OVER (PARTITION BY samples.person ORDER BY faces.rank, samples.key),
                md5(samples.person), samples.key
            LIMIT {PORTRAITS}""",
            hidden=list(self.hidden),
        )
        return sorted(chosen, key=lambda row: (row["person"], row["rank"] or 0, row["key"]))

    def rejects(self) -> dict[str, list[Row]]:
        """Per reason at most `REJECTS_PER_REASON` faces that it rejected; the same ones every time."""
        derived = ", ".join(f"{measure.sql} AS {measure.key}" for measure in FACE_MEASURES if measure.sql)
        rows = self.rows(
            f"""SELECT *, {derived}, photo_source_key AS source_key
            FROM faces
            WHERE NOT coalesce(portrait, false) AND reason IS NOT NULL AND {_SHOWN.format("faces")}
                AND NOT list_has_any(coalesce(reasons, []), ['forgotten', 'opted_out'])
            QUALIFY row_number() OVER (PARTITION BY reason ORDER BY md5(item_id), face_number)
                <= {REJECTS_PER_REASON}
            ORDER BY reason, md5(item_id), face_number""",
            hidden=list(self.hidden),
        )
        found: dict[str, list[Row]] = {}
        for row in rows:
            found.setdefault(row["reason"], []).append(row)
        return found

    def samples_of(self, person: str, kind: str) -> list[Row]:
        """The samples of one person, best portraits or longest speech first; none of a person who is not shown."""
        order = "faces.rank" if kind == "faces" else "utterances.speech_s DESC"
        return self.rows(
            f"""SELECT samples.*, identities.name, utterances.speech_s, utterances.pitch_median_hz
            FROM samples
            LEFT JOIN identities USING (identity)
            LEFT JOIN faces ON samples.kind = 'faces' AND faces.face_id = samples.key AND faces.portrait
            LEFT JOIN utterances ON samples.kind = 'speech' AND utterances.utterance_id = samples.key
                AND utterances.verdict = 'keep'
            WHERE samples.person = $person AND samples.kind = $kind AND {_SHOWN.format("samples")}
            ORDER BY {order}, samples.key""",
            person=person,
            kind=kind,
            hidden=list(self.hidden),
        )

    def clips(self) -> list[Row]:
        """Of at most `CLIPS` people the shortest clip that has sound; none where the shards hold no sound."""
        return self.rows(
            f"""SELECT samples.*, identities.name FROM samples LEFT JOIN identities USING (identity)
            WHERE kind = 'speech' AND {_SHOWN.format("samples")}
                AND list_contains(list_transform(members, lambda each: each['suffix']), '{SOUND}')
            QUALIFY row_number() OVER (PARTITION BY samples.person ORDER BY size_bytes, key) = 1
            ORDER BY md5(samples.person), key LIMIT {CLIPS}""",
            hidden=list(self.hidden),
        )

    def people_by_sex(self) -> list[Row]:
        """People of the dataset per split and sex."""
        return self.rows(
            """SELECT split, coalesce(sex, 'unknown') AS sex, count(DISTINCT samples.person) AS people
            FROM samples LEFT JOIN identities USING (identity, split) GROUP BY ALL ORDER BY ALL"""
        )

    def licences(self) -> list[Row]:
        """Photos per source and licence, the portraits that they gave, and whose these are."""
        return self.rows(
            """SELECT coalesce(photo_source, 'unknown') AS source, coalesce(photo_licence, 'unknown') AS licence,
                count(*) FILTER (WHERE face_number <= 1) AS photos, count(*) FILTER (WHERE portrait) AS portraits,
                count(DISTINCT person) FILTER (WHERE portrait) AS people
            FROM faces GROUP BY ALL ORDER BY source, licence"""
        )

    @property
    def photos_wanted(self) -> int:
        """How many photos of a person the recipe asks for; the paper's number where it does not say."""
        said = setting(self.snapshot.recipe, "crawl.photos_per_identity")
        return PAPER_PHOTOS if said is None else int(said)

    def yields(self) -> list[Row]:
        """Of each source: people, photos of each (least, median, most), and who has as many as were asked for."""
        wanted = self.photos_wanted
        return self.rows(
            f"""SELECT source, any_value(kind) AS kind, count(*) AS people, min(photos) AS least,
                median(photos) AS median, max(photos) AS most,
                count(*) FILTER (WHERE photos >= {wanted}) AS full_people, sum(portraits) / count(*) AS portraits
            FROM (SELECT coalesce(photo_source, 'unknown') AS source, person,
                    count(*) FILTER (WHERE face_number <= 1) AS photos, count(*) FILTER (WHERE portrait) AS portraits
                FROM faces GROUP BY ALL)
            LEFT JOIN (SELECT source, kind FROM sources WHERE medium = 'photos') USING (source)
            GROUP BY source ORDER BY source"""
        )

    def backends(self) -> list[Row]:
        """What measured faces and cut portraits out, with versions."""
        return self.rows(
            """SELECT DISTINCT backend AS name, backend_version AS version FROM faces WHERE backend IS NOT NULL
            UNION SELECT DISTINCT matting_backend, matting_version FROM faces WHERE matting_backend IS NOT NULL
            ORDER BY ALL"""
        )


def hidden_people(storage: Storage) -> list[str]:
    """Persons and identities who opted out or are being forgotten, as the journal says now."""
    return sorted(optouts.hidden(storage))


def person_name(row: Row) -> str:
    """The name in the metadata, as a reader writes it, or the identity."""
    return str(row["name"]).replace("_", " ") if row["name"] else str(row["identity"])
