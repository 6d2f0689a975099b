"""Write the generated pages, and the generated parts of others: `make docs`.

docs/recipes.md, docs/catalog.md and docs/errors.md are written as a whole; in other pages a part stands between
`<!-- generated: NAME -->` and `<!-- end of NAME -->`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from flows.error_page import error_page
from models.systems.registry import OURS, system_spec
from models.training.config import RunConfig
from models.training.settings import table
from voxdata.catalog.document import document
from voxdata.pipeline.reference import recipe_reference

DOCS = Path(__file__).parents[1] / "docs"


def pages() -> dict[str, str]:
    """What is generated as a whole, by the name of its page."""
    return {"recipes.md": recipe_reference(), "catalog.md": document(), "errors.md": error_page()}


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


def written() -> dict[Path, str]:
    """Every page that has something generated in it, as it must be now."""
    whole = {DOCS / name: text for name, text in pages().items()}
    with_some = {
        DOCS / name: with_parts((DOCS / name).read_text(encoding="utf-8"), found) for name, found in parts().items()
    }
    return whole | with_some


def main(arguments: Sequence[str] | None = None) -> int:
    """Write all of them beside the sources; with `--check`, only name those that are not current, and fail."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a page is not current")
    options = parser.parse_args(arguments)
    stale = [(path, text) for path, text in written().items() if path.read_text(encoding="utf-8") != text]
    for path, text in stale:
        if options.check:
            print(f"docs/{path.name} is not current; run: make docs")
        else:
            path.write_text(text, encoding="utf-8")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
