"""What stands above every local page: its name, the dataset and version that it shows, and what must be known of it.

`shared/` has its markup, style and script. A page's own page.html takes the style and the script along, marks around
its tools where the head goes, and has its content in the element `main`:

    <link rel="stylesheet" href="/assets/head.css">
    <script type="module" src="/assets/head.js"></script>
    <!-- head --> … <!-- /head -->
    <main id="main" tabindex="-1"> … </main>
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template

from voxdata.format.snapshot import Snapshot

MARKED = re.compile("<!-- head -->(.*?)<!-- /head -->", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Head:
    """The words of a page's head. `warning` stands in front of `advice`; `help` is the command that
    prints it: the pages of docs/ are not installed.

    `dataset` is asked whenever the page is opened: a page that stays open sees other versions.
    """

    title: str
    warning: str
    advice: str
    help: str
    dataset: Callable[[], str]

    def into(self, page: bytes) -> bytes:
        """A page.html with this head, around the tools that stand at its mark. Raises `ValueError` without one mark."""
        fragment = Template(shared()["head.html"].decode())
        words = {name: escape(getattr(self, name)) for name in ("title", "warning", "advice", "help")}
        words["dataset"] = escape(self.dataset())
        made, marks = MARKED.subn(lambda found: fragment.substitute(words, tools=found[1]), page.decode())
        if marks != 1:
            raise ValueError(f"the page {self.title!r} has {marks} marks <!-- head --> … <!-- /head -->, not one")
        return made.encode()


def dataset_words(root: str, snapshot: Snapshot) -> str:
    """A dataset and its version as every head names it: its root, its recipe's name, the version's id."""
    return f"{root} · {snapshot.name}, version {snapshot.id}"


def shared() -> dict[str, bytes]:
    """name -> content of the files that all local pages have."""
    files = resources.files("voxdata.pages").joinpath("shared").iterdir()
    return {file.name: file.read_bytes() for file in files if file.is_file()}
