"""Write the generated pages, docs/recipes.md and docs/catalog.md: `make docs`."""

from __future__ import annotations

from pathlib import Path

from voxdata.catalog.document import document
from voxdata.recipe.reference import recipe_reference

DOCS = Path(__file__).parents[1] / "docs"


def main() -> None:
    """Write both pages beside the sources."""
    for name, text in (("recipes.md", recipe_reference()), ("catalog.md", document())):
        (DOCS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
