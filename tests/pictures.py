"""The picture of the report in README and the tutorial, from the folder that `voxdata demo` leaves:

    voxdata demo demo && python -m tests.pictures demo

Everybody in it is painted. The other pictures of docs/ show painted people, too, and were taken by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.chromium import launched

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
REPORT = {"width": 945, "height": 1840}


def main(demo: Path) -> None:
    with launched() as browser:
        tab = browser.new_page(viewport=REPORT)
        tab.goto((demo / "report.html").resolve().as_uri())
        tab.screenshot(path=IMAGES / "report.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
