"""Who is to be named for the portraits of an export: `attributions.csv` beside them, where a source says so."""

from __future__ import annotations

import csv
from pathlib import Path

from voxdata.catalog.named import named_query
from voxdata.dataset.opened import Dataset

NAME = "attributions.csv"
TELLING = ("author", "attribution", "licence_url", "restrictions")


def write_attributions(dataset: Dataset, folder: Path) -> int:
    """Write a line per portrait of the snapshot; return how many name somebody. No file where none does.

    Licences that want attribution (CC BY and others) want it wherever a copy goes. Raises `OSError`.
    """
    table = dataset.sql(named_query("attributions").sql)
    rows = table.rows()
    named = sum(any(row[name] for name in TELLING) for row in rows)
    if named:
        with (folder / NAME).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return named
