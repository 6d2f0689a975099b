"""A column, declared once, and a table of columns: what stages, journal, catalog, its document and pages say of both.

From a declaration derive the Arrow schema of the Parquet files, the DDL of the catalog with its checks, generated
columns and comments, `docs/catalog.md`, and the labels and units of the report and the review.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

S, B, I, L, F, D = pa.string(), pa.bool_(), pa.int32(), pa.int64(), pa.float32(), pa.float64()
TEXTS = pa.list_(S)

_SQL_TYPES: Mapping[pa.DataType, str] = {
    S: "VARCHAR",
    B: "BOOLEAN",
    I: "INTEGER",
    L: "BIGINT",
    F: "REAL",
    D: "DOUBLE",
}
# Units are in the names.
_UNITS: Mapping[str, str] = {
    "px": "px",
    "deg": "°",
    "s": "s",
    "hz": "Hz",
    "db": "dB",
    "dbfs": "dBFS",
    "st": "semitones",
    "bytes": "bytes",
}


@dataclass(frozen=True)
class Column:
    """A column: `doc` is its comment in the catalog, `label` its name on pages that show it."""

    name: str
    type: pa.DataType
    doc: str
    label: str = ""
    check: str = ""  # SQL that holds in the catalog; {} is the column
    required: bool = False  # never null in the catalog; Arrow schemas allow null everywhere
    computed: str = ""  # SQL of a value that is computed where it is asked for, not stored
    catalog: bool = True  # whether the catalog has it

    @property
    def unit(self) -> str:
        """The unit, which the name ends in; empty for a share, a score, a count or a text."""
        _, found, unit = self.name.rpartition("_")
        return _UNITS.get(unit, "") if found else ""

    def ddl(self, key: bool = False) -> str:
        """The column in `CREATE TABLE`; `key` makes it the primary key."""
        rules = [
            "NOT NULL" if self.required else "",
            "PRIMARY KEY" if key else "",
            f"GENERATED ALWAYS AS ({self.computed}) VIRTUAL" if self.computed else "",
            f"CHECK ({self.check.format(self.name)})" if self.check else "",
        ]
        return " ".join([self.name, sql_type(self.type), *filter(None, rules)])


@dataclass(frozen=True)
class Table:
    """A table: its columns in order and, in the catalog, its primary key."""

    name: str
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.columns)

    @property
    def schema(self) -> pa.Schema:
        """The table in Arrow and Parquet."""
        return pa.schema([(column.name, column.type) for column in self.columns])

    @property
    def loaded(self) -> pa.Schema:
        """The columns that the catalog is loaded from."""
        return pa.schema([(column.name, column.type) for column in self.columns if column.catalog])

    def pick(self, *names: str) -> tuple[Column, ...]:
        """Columns by name, in the order asked for."""
        return tuple(self[name] for name in names)

    def without(self, *names: str) -> tuple[Column, ...]:
        """The columns that the catalog has, but those of these names."""
        return tuple(column for column in self.columns if column.catalog and column.name not in names)

    def ddl(self) -> str:
        """`CREATE TABLE` and the comments."""
        lines = [column.ddl(key=self.key == (column.name,)) for column in self.columns]
        if len(self.key) > 1:
            lines.append(f"PRIMARY KEY ({', '.join(self.key)})")
        comments = [f"COMMENT ON COLUMN {self.name}.{each.name} IS {_text(each.doc)};" for each in self.columns]
        body = ",\n    ".join(lines)
        made = f"CREATE TABLE {self.name} (\n    {body}\n);\nCOMMENT ON TABLE {self.name} IS {_text(self.doc)};"
        return "\n".join([made, *comments]) + "\n"


@dataclass(frozen=True)
class View:
    """Some columns of a table of the catalog under the names of another one."""

    name: str
    doc: str
    columns: Mapping[str, str]  # name -> column of `source`
    source: str
    where: str

    def ddl(self) -> str:
        """`CREATE VIEW` and its comment."""
        chosen = ",\n    ".join(
            column if column == name else f"{column} AS {name}" for name, column in self.columns.items()
        )
        made = f"CREATE VIEW {self.name} AS\nSELECT\n    {chosen}\nFROM {self.source}\nWHERE {self.where};"
        return f"{made}\nCOMMENT ON VIEW {self.name} IS {_text(self.doc)};\n"


def sql_type(kind: pa.DataType) -> str:
    """An Arrow type in DuckDB's SQL."""
    if pa.types.is_map(kind):
        return f"MAP({sql_type(kind.key_type)}, {sql_type(kind.item_type)})"
    if pa.types.is_list(kind):
        return f"{sql_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(f'{field.name} {sql_type(field.type)}' for field in kind)})"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMPTZ"
    return _SQL_TYPES[kind]


def fits_catalog(column: Column) -> bool:
    """Whether a column that another package declares can stand in the catalog: by its name and its type."""
    return bool(re.fullmatch("[a-z][a-z0-9_]*", column.name)) and column.type in _SQL_TYPES


def one_of(*values: str) -> str:
    """The check that a column holds one of these texts."""
    return f"{{}} IN ({', '.join(map(_text, values))})"


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
