"""The named queries: SQL files of `catalogs/queries/`, which the command line, macros and pages ask by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from voxdata.catalog.what_if import filled, parameters
from voxdata.format.errors import QueryError, nearest
from voxdata.rules import Rule

BEFORE = "before"  # name of the other version's catalog


@dataclass(frozen=True)
class NamedQuery:
    """A query of `catalogs/queries/`: its name, what it answers, and its SQL."""

    name: str
    description: str
    sql: str
    parameters: Sequence[str] = ()  # of its macro (`macros.py`)

    @property
    def compares(self) -> bool:
        """Whether it asks two versions: its own, and another one as the schema `before`."""
        return f"{BEFORE}." in self.sql

    @property
    def asks_of_rules(self) -> bool:
        """Whether it reckons with the rules, some of which a snapshot may have from another package."""
        return self.name.startswith("what-if")


def named_queries() -> dict[str, NamedQuery]:
    """The shipped queries of one version by name, sorted."""
    return {name: query for name, query in shipped_queries().items() if not query.compares}


def comparing_queries() -> dict[str, NamedQuery]:
    """The shipped queries that compare two versions by name, sorted; see `versions.run_query_at`."""
    return {name: query for name, query in shipped_queries().items() if query.compares}


def shipped_queries(more: Sequence[Rule] = (), *, asking: bool = False) -> dict[str, NamedQuery]:
    """All shipped queries by name, sorted. `more` as in `named_query`; with `asking`, their SQL as that of macros."""
    folder = resources.files("catalogs").joinpath("queries")
    found = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".sql"):
            name, text = entry.name.removesuffix(".sql"), entry.read_text(encoding="utf-8")
            description = text.partition("\n")[0].removeprefix("--").strip()
            sql = filled(name, text, more, asking=asking)
            found[name] = NamedQuery(name, description, sql, parameters(name, text, more))
    return found


def named_query(name: str, more: Sequence[Rule] = ()) -> NamedQuery:
    """The shipped query of this name, `_` being the same as `-`. Raises `QueryError` with the names that there are.

    `more` are the rules that a snapshot states besides ours (`faces.columns.stated_rules`), for `asks_of_rules`.
    """
    queries = shipped_queries(more)
    name = name.replace("_", "-")
    if name not in queries:
        raise QueryError(f"no query {name!r}; there are {', '.join(queries)}{nearest(name, queries)}")
    return queries[name]
