"""Agreement of reviewers while they work: the catalog's own query, over the words that there are now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from voxdata.catalog.database import create
from voxdata.catalog.named import named_query
from voxdata.store import journal

QUERY = "reviewer-agreement"


def agreement(words: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `voxdata sql --query reviewer-agreement` for words of the journal: a pair of reviewers each."""
    schema = pa.schema([("fact", pa.string()), *journal.SCHEMAS["reviews"]])
    given = pa.Table.from_pylist(list(words), schema=schema)
    with create() as connection:
        connection.register("in_reviews", given)
        connection.execute(
            "INSERT INTO reviews BY NAME SELECT * EXCLUDE (reviewed_at), reviewed_at AS stated_at FROM in_reviews"
        )
        rows: list[dict[str, Any]] = connection.sql(named_query(QUERY).sql).to_arrow_table().to_pylist()
    return rows
