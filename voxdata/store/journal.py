"""The journal: facts that no Parquet can rebuild, one small file each, never changed.

    <root>/journal/<table>/<number>-<hash>.json     <number> grows with every fact of the table, <hash> is of the row
    <root>/journal/<table>/<hash>.json              facts of older versions, which had no number

Where two facts contradict each other, the later one counts: the one with the higher number. A fact gets a number above
all that its writer can see, so what somebody says knowing another's word comes after it, whatever their clocks say. Two
who cannot see each other's words get the same number; of these, the one that protects people more counts as the later,
then the one with the later time. Facts without a number come before all others, in the order of their times; of one
moment the one that protects people more counts there, too.

The last column of every table says when the fact was stated (ISO 8601 in UTC, given by the caller). Times are compared
as times, however many digits they were written with. The catalog loads every table.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import pyarrow as pa

from voxdata.format.digests import digest
from voxdata.format.errors import StorageError, brief, quoted
from voxdata.format.json_text import fits, is_unicode, read_json, read_object
from voxdata.store.pulled import source_of
from voxdata.store.storage import Storage
from voxdata.tables import faces, models, people, shards
from voxdata.tables.column import TEXTS, B, D, F, I, L, S

SCHEMAS: Mapping[str, pa.Schema] = {
    table.name: table.schema
    for table in (
        *(faces.REVIEWS, people.OPTOUTS, people.TOMBSTONES, people.ALIASES),
        *(shards.OUTPUTS, shards.TAGS, shards.PUBLICATIONS),
        *(models.RUNS, models.EVALUATIONS, models.DECISIONS, models.PROMOTIONS),
    )
}
GIVES_WAY: Mapping[str, Sequence[str]] = {
    "optouts": ("withdrawn",),
    "reviews": ("keep", "withdrawn"),
    "aliases": ("refused",),  # a needless merge costs a person, a missed one puts a person on both sides of the split
}
"""Decisions that give way to others of the same number or moment, the weakest first."""

_RESTORED: Mapping[str, str] = {  # a file that protects somebody is never one to delete
    "optouts": (
        "restore it from a backup, or state it again with: voxdata optout PERSON --reason TEXT --root DIR, and move "
        "this file away only then: without it the person would be used"
    ),
    "tombstones": (
        "restore it from a backup: without it a build would bring a forgotten person back; where there is none, move "
        "this file away and state it again before any build with: voxdata forget PERSON --ahead --reason TEXT --root "
        "DIR"
    ),
}
_KINDS: Mapping[pa.DataType, Any] = {S: str, B: bool, I: int, L: int, F: float, D: float, TEXTS: list[str]}
_INNER: Mapping[str, Mapping[str, Any]] = {  # columns whose text is JSON
    "tombstones": {"words": list, "contents": list},
    "publications": {"tables": dict},
    "evaluations": {"metrics": dict},
    "decisions": {"record": dict},
    "runs": {"settings": dict},
}
T = TypeVar("T", dict[str, Any], list[Any])

logger = logging.getLogger("voxdata")

_COUNTING = threading.Lock()
_counted: dict[tuple[str, str], int] = {}  # root, table -> the highest number that this process has given


def append(storage: Storage, table: str, row: Mapping[str, Any], *, instead_of: str | None = None) -> str:
    """State one fact and return its key. Columns that `row` lacks are null, but for its time.

    The last fact of a table is not stated twice in a row. `instead_of` names a fact that this one replaces: it takes
    its place in the order. Raises `StorageError` for an unknown table or column, a row without its time, and a value
    that no reader would take: one such fact would close the root to everybody.
    """
    schema = _schema(table)
    unknown = sorted(set(row) - set(schema.names))
    if unknown:
        raise StorageError(f"journal {table} has no column {unknown[0]}; it has {', '.join(schema.names)}")
    time = schema.names[-1]
    if not row.get(time):
        raise StorageError(f"journal {table}: `{time}` is missing; say when, as in 2026-11-21T09:00:00Z")
    _instant(row[time], f"journal {table}: `{time}`")
    fact = {name: row.get(name) for name in schema.names}
    _check_values(table, fact)
    hashed = digest(fact)
    if instead_of is not None:
        name = hashed if _number(instead_of) == 0 else _named(_number(instead_of), hashed)
    else:
        last = _last_number(storage, table)
        name = _named(last, hashed) if last else ""
        if not name or not storage.exists(f"journal/{table}/{name}.json"):
            name = _named(last + 1, hashed)
    key = f"journal/{table}/{name}.json"
    storage.commit(key, json.dumps(fact, sort_keys=True, indent=1).encode())
    with _COUNTING:
        _counted[storage.url, table] = max(_counted.get((storage.url, table), 0), _number(name))
    _state_at_source(storage, table, fact)
    return key


def _check_values(table: str, fact: Mapping[str, Any]) -> None:
    for column in _schema(table):
        value = fact[column.name]
        if value is not None and not fits(value, _KINDS[column.type]):
            odd = isinstance(value, str) and not is_unicode(value)
            said = "is not Unicode; give it in UTF-8" if odd else f"is a value of another kind ({type(value).__name__})"
            raise StorageError(f"journal {table}: `{column.name}` {quoted(value)} {said}")


def _state_at_source(storage: Storage, table: str, fact: Mapping[str, Any]) -> None:
    """What is stated in a copy of a root is stated there, too, or at the next pull."""
    try:
        source = source_of(storage)
        if source is not None:
            append(source, table, fact)
    except StorageError as error:
        logger.warning("%s: stated in the copy %s alone, until the next pull: %s", table, storage.url, error)


def read(storage: Storage, table: str) -> pa.Table | None:
    """All facts of a table in the order they were stated, with `fact` naming each; None when there are none."""
    facts = read_new(storage, table)
    return pa.Table.from_pylist(facts, schema=pa.schema([("fact", pa.string()), *_schema(table)])) if facts else None


def read_new(storage: Storage, table: str, known: Container[str] = ()) -> list[dict[str, Any]]:
    """The facts that are not in `known` (names of facts), in the order they were stated, with `fact` naming each."""
    _schema(table)
    keys = [key for key in storage.keys(f"journal/{table}") if key.endswith(".json") and _fact(key) not in known]
    facts = [
        {"fact": _fact(key), **_load(storage, table, key, data)}
        for key, data in zip(keys, storage.reads(keys), strict=True)
    ]
    return sorted(facts, key=lambda fact: order(table, fact))


def order(table: str, fact: Mapping[str, Any]) -> tuple[int, int, datetime, int, str]:
    """What facts of a table are sorted by: see above. A fact that has no name has no number.

    Raises `StorageError` for a time that is none.
    """
    name = str(fact.get("fact", ""))
    weakest = GIVES_WAY.get(table, ())
    decision = fact.get("decision")
    rank = weakest.index(decision) if decision in weakest else len(weakest)
    number = _number(name)
    return number, rank if number else 0, stated_at(table, fact), rank, name


def stated_at(table: str, fact: Mapping[str, Any]) -> datetime:
    """When a fact was stated, as its writer's clock said. Raises `StorageError` for a time that is none."""
    time = SCHEMAS[table].names[-1]
    return _instant(fact[time], f"journal/{table}/{fact.get('fact', '')}.json: `{time}`")


def _last_number(storage: Storage, table: str) -> int:
    """The highest number of a table; what this process has written counts also where a listing is behind."""
    listed = max((_number(_fact(key)) for key in storage.keys(f"journal/{table}")), default=0)
    return max(listed, _counted.get((storage.url, table), 0))


def _named(number: int, hashed: str) -> str:
    return f"{number:08d}-{hashed}"


def _number(name: str) -> int:
    """The number in a fact's name, 0 where it has none."""
    number, dash, _ = name.partition("-")
    return int(number) if dash and number.isascii() and number.isdigit() else 0


def _instant(text: Any, of: str) -> datetime:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        raise StorageError(f"{of} is {quoted(text)}; a time is needed, as 2026-11-21T09:00:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _schema(table: str) -> pa.Schema:
    if table not in SCHEMAS:
        raise StorageError(f"no journal {table!r}; there are {', '.join(sorted(SCHEMAS))}")
    return SCHEMAS[table]


def damage(storage: Storage) -> Iterator[tuple[str, str]]:
    """Key and message of every fact, of any table, that cannot be read."""
    for table in SCHEMAS:
        keys = [key for key in storage.keys(f"journal/{table}") if key.endswith(".json")]
        for key, data in zip(keys, storage.reads(keys), strict=True):
            try:
                fact = {"fact": _fact(key), **_load(storage, table, key, data)}
                stated_at(table, fact)
                for column, kind in _INNER.get(table, {}).items():
                    inner(table, fact, column, kind)
            except StorageError as error:
                yield key, str(error)


def inner(table: str, fact: Mapping[str, Any], column: str, kind: type[T]) -> T:
    """What a fact states as JSON in a column: an object, or a list; an empty one where it states nothing.

    Raises `StorageError` for what is none.
    """
    try:
        found = read_json(fact[column]) if fact[column] else kind()
        if isinstance(found, kind):
            return found
        said = f"it states {type(found).__name__} where {kind.__name__} is needed"
    except ValueError as error:
        said = brief(error)
    name = fact.get("fact", "")
    raise StorageError(f"journal/{table}/{name}.json: `{column}` is damaged: {said}; {_mend(table)}")


def _mend(table: str) -> str:
    """What to do about a damaged fact."""
    return _RESTORED.get(table, "restore the file or delete it")


def _load(storage: Storage, table: str, key: str, data: bytes) -> dict[str, Any]:
    schema = _schema(table)
    try:
        fact = read_object(data)
        for column in schema:
            if fact.setdefault(column.name) is not None and not fits(fact[column.name], _KINDS[column.type]):
                raise ValueError(f"`{column.name}` has a value of another kind ({type(fact[column.name]).__name__})")
            if isinstance(fact[column.name], int | float):
                pa.scalar(fact[column.name], column.type)  # raises for a number that the column cannot hold
        for name in (schema.names[0], schema.names[-1]):
            if fact[name] is None:
                raise ValueError(f"`{name}` is missing")
    except ValueError as error:
        raise StorageError(
            f"{key} under {storage.url} is not JSON that states a fact: {brief(error)}; {_mend(table)}"
        ) from None
    return fact


def _fact(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".json")
