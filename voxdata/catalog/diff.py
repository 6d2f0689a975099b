"""What changed from one snapshot to another: who and what came and went, what was decided otherwise, and why.

Both catalogs are attached to one connection, as `before` and `after`. Only their tables are asked, no views.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from voxdata.catalog.snapshot import load_snapshot
from voxdata.catalog.versions import built_aside
from voxdata.format.snapshot import Snapshot
from voxdata.format.temporary import temporary_folder
from voxdata.store.storage import Storage

_ITEMS = {
    "people": "SELECT DISTINCT person AS key, person FROM {at}.samples",
    "portraits": "SELECT key, person FROM {at}.samples WHERE kind = 'faces'",
    "utterances": "SELECT key, person FROM {at}.samples WHERE kind = 'speech'",
    "photos seen": "SELECT item_id AS key, person FROM {at}.faces WHERE face_number <= 1",
    "clips heard": "SELECT item_id AS key, person FROM {at}.utterances",
}
_DECISIONS = {
    "face": """SELECT item_id || '#' || face_number AS key, person,
        coalesce(reason, 'kept') AS outcome FROM {at}.faces""",
    "clip": "SELECT item_id AS key, person, coalesce(reason, 'kept') AS outcome FROM {at}.utterances",
    "split": "SELECT DISTINCT identity AS key, person, split AS outcome FROM {at}.samples",
    "holdout": """SELECT u.item_id AS key, u.person,
            CASE WHEN u.holdout THEN 'held out' ELSE 'trained on' END AS outcome
        FROM {at}.samples s JOIN {at}.utterances u ON u.utterance_id = s.key AND u.verdict = 'keep'
        WHERE s.kind = 'speech' AND s.split = 'train'""",
}
_MEASURED = {"faces": "portrait", "utterances": "verdict = 'keep'"}
_DRIFT = pa.schema(
    [
        *(("table", pa.string()), ("measure", pa.string()), ("before", pa.int64()), ("after", pa.int64())),
        *((f"{name}_{when}", pa.float64()) for name in ("p10", "median", "p90") for when in ("before", "after")),
        *(("ks_distance", pa.float64()), ("ks_limit", pa.float64())),
    ]
)
_KS_1_PERCENT = (
    1.628  # two samples of one distribution are further apart than this / sqrt(nm / (n + m)) in 1 % of cases
)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The difference of two snapshots.

    `totals` has what, before, after, added, dropped; `redecided` has kind, reason_before, reason_after, items, people,
    example; `changes` has a row per item that came, went or was decided otherwise: what, change, key, person,
    before_, after_; `drift` has a row per measurement of the portraits and kept utterances, furthest apart first:
    numbers, 10th, 50th and 90th percentile, the Kolmogorov-Smirnov distance, and what chance alone exceeds in 1 %.
    """

    before: Snapshot
    after: Snapshot
    totals: pa.Table
    redecided: pa.Table
    changes: pa.Table
    drift: pa.Table


def diff(storage: Storage, before: str, after: str | None = None) -> Difference:
    """The difference of two snapshots, each an id or a tag; `after` is the current one where it is not given.

    Raises `SnapshotError`, and `StorageError` where a table of an old snapshot is gone.
    """
    old, new = load_snapshot(storage, before), load_snapshot(storage, after)
    with temporary_folder() as folder, duckdb.connect() as connection:
        for name, snapshot in (("before", old), ("after", new)):
            place = folder / name
            place.mkdir()
            path = str(built_aside(storage, snapshot, place)).replace("'", "''")
            connection.execute(f"ATTACH '{path}' AS {name} (READ_ONLY)")
        connection.execute(f"CREATE TEMP TABLE changes AS {_changes_sql()}")
        return Difference(
            before=old,
            after=new,
            totals=connection.sql(_totals_sql()).to_arrow_table(),
            redecided=connection.sql(_REDECIDED).to_arrow_table(),
            changes=connection.sql("FROM changes ORDER BY what, change, key").to_arrow_table(),
            drift=_drift(connection),
        )


_REDECIDED = """
    SELECT what AS kind, before_ AS reason_before, after_ AS reason_after, count(*) AS items,
        count(DISTINCT person) AS people, min(key) AS example
    FROM changes WHERE change = 're-decided' GROUP BY ALL ORDER BY kind, items DESC, reason_before, reason_after"""


def _changes_sql() -> str:
    parts = []
    for what, select in _ITEMS.items():
        old, new = (f"({select.format(at=at)})" for at in ("before", "after"))
        for change, here, there in (("added", new, old), ("dropped", old, new)):
            parts.append(
                f"SELECT '{what}' AS what, '{change}' AS change, h.key, h.person, NULL::VARCHAR AS before_, "
                f"NULL::VARCHAR AS after_ FROM {here} h ANTI JOIN {there} t USING (key)"
            )
    for what, select in _DECISIONS.items():
        old, new = (f"({select.format(at=at)})" for at in ("before", "after"))
        parts.append(
            f"SELECT '{what}', 're-decided', o.key, o.person, o.outcome, n.outcome "
            f"FROM {old} o JOIN {new} n USING (key) WHERE o.outcome IS DISTINCT FROM n.outcome"
        )
    return " UNION ALL ".join(parts)


def _totals_sql() -> str:
    parts = []
    for position, (what, select) in enumerate(_ITEMS.items()):
        counts = (f"(SELECT count(*) FROM ({select.format(at=at)}))" for at in ("before", "after"))
        parts.append(f"SELECT {position} AS position, '{what}' AS what, {', '.join(counts)}")
    return f"""
        SELECT t.what, t.before, t.after,
            count(c.key) FILTER (WHERE c.change = 'added') AS added,
            count(c.key) FILTER (WHERE c.change = 'dropped') AS dropped
        FROM ({" UNION ALL ".join(parts)}) t (position, what, before, after) LEFT JOIN changes c USING (what)
        GROUP BY t.position, t.what, t.before, t.after ORDER BY t.position"""


def _drift(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    rows = []
    for table, chosen in _MEASURED.items():
        old, new = (_measurements(connection, at, table, chosen) for at in ("before", "after"))
        for name in old:
            before, after = (_sorted(values.get(name)) for values in (old, new))
            if len(before) and len(after):
                rows.append({"table": table, "measure": name, **compare(before, after)})
    rows.sort(key=lambda row: (-row["ks_distance"], row["table"], row["measure"]))
    return pa.Table.from_pylist(rows, schema=_DRIFT)


def compare(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Numbers, percentiles and the two-sample Kolmogorov-Smirnov distance of two sorted samples, none of them empty."""
    percentiles = {
        f"{name}_{when}": float(np.percentile(values, share))
        for name, share in (("p10", 10), ("median", 50), ("p90", 90))
        for when, values in (("before", before), ("after", after))
    }
    values = np.concatenate([before, after])
    shares = [np.searchsorted(each, values, side="right") / len(each) for each in (before, after)]
    n, m = len(before), len(after)
    return {
        "before": n,
        "after": m,
        **percentiles,
        "ks_distance": round(float(np.abs(shares[0] - shares[1]).max()), 6),
        "ks_limit": round(_KS_1_PERCENT * float(np.sqrt((n + m) / (n * m))), 6),
    }


def _measurements(
    connection: duckdb.DuckDBPyConnection, at: str, table: str, chosen: str
) -> dict[str, npt.NDArray[np.float32]]:
    columns = connection.execute(
        "SELECT column_name FROM duckdb_columns() WHERE database_name = ? AND table_name = ? "
        "AND data_type IN ('FLOAT', 'DOUBLE') AND column_name NOT SIMILAR TO '(box|pupil_left|pupil_right)_.*'",
        [at, table],
    ).fetchall()
    names = ", ".join(name for (name,) in columns)
    found: dict[str, Any] = connection.execute(f"SELECT {names} FROM {at}.{table} WHERE {chosen}").fetchnumpy()
    return {name: _with_nan(values) for name, values in found.items()}


def _with_nan(values: Any) -> npt.NDArray[np.float32]:
    if isinstance(values, np.ma.MaskedArray):
        values = values.filled(np.nan)  # type: ignore[no-untyped-call]
    plain: npt.NDArray[np.float32] = values
    return plain


def _sorted(values: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float64]:
    given = np.empty(0) if values is None else np.asarray(values, np.float64)
    return np.sort(given[np.isfinite(given)])
