"""Write the generated pages, and the generated parts of others: `make docs`.

docs/recipes.md and docs/catalog.md are written as a whole; in other pages a part stands between
`<!-- generated: NAME -->` and `<!-- end of NAME -->`.
"""

from __future__ import annotations

from pathlib import Path

from models.systems.registry import OURS, system_spec
from models.training.config import RunConfig
from models.training.settings import table
from voxdata.catalog.document import document
from voxdata.recipe.reference import recipe_reference

DOCS = Path(__file__).parents[1] / "docs"


def pages() -> dict[str, str]:
    """What is generated as a whole, by the name of its page."""
    return {"recipes.md": recipe_reference(), "catalog.md": document()}


def parts() -> dict[str, dict[str, str]]:
    """What is generated inside of a page: page -> name of the part -> text."""
    return {
        "training.md": {
            "what is trained": table(RunConfig, quick=False),
            "how it is trained": table(RunConfig, quick=True),
        },
        "models.md": {"systems": _systems()},
    }


def with_parts(page: str, found: dict[str, str]) -> str:
    """A page's text with its generated parts as they are now."""
    for name, text in found.items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not closed:
            raise ValueError(f"no part {name!r}: {begin} and {end} must both be in the page, in this order")
        page = f"{before}{begin}\n{text}{end}{after}"
    return page


def _systems() -> str:
    rows = [f"| `{name}` | {system_spec(name).about} |" for name in OURS]
    return "\n".join(["| system | what |", "|---|---|", *rows]) + "\n"


def main() -> None:
    """Write all of them beside the sources."""
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
    for name, found in parts().items():
        path = DOCS / name
        path.write_text(with_parts(path.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
