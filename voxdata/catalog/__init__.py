"""The DuckDB index over a root: schema, publish, query."""
