"""Handler of `voxdata review`: the page for human filtering."""

from __future__ import annotations

import argparse

from flows.pages import serve_page
from voxdata.pages.review.decisions import reviewer_name
from voxdata.pages.review.routes import review_page
from voxdata.pages.review.session import Desk
from voxdata.store.storage import open_storage


def review(options: argparse.Namespace) -> int:
    """`voxdata review --root DIR`: serve the page until Ctrl-C."""
    reviewer = reviewer_name(options.reviewer) if options.reviewer else ""
    desk = Desk(open_storage(options.root))
    try:
        serve_page(
            review_page(desk, reviewer),
            options.host,
            options.port,
            about=f"shows {len(desk.sheets.people)} people of {options.root}; Ctrl-C ends it.\n"
            "What you decide is kept at once and acts in the next publish.",
            others="whoever has its address sees the photos and can decide about them",
        )
    finally:
        desk.sheets.close()
    print(f"words added to the journal of {options.root}: {desk.book.said}")
    return 0
