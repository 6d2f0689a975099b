"""Declarative data of the builder: recipes, schema, named queries, weights. No code lives here."""
