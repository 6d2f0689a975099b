"""Handler of `voxdata review`: the page for human filtering."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys

from voxdata.review.access import is_loopback
from voxdata.review.book import reviewer_name
from voxdata.review.desk import Desk
from voxdata.review.server import serve
from voxdata.storage import open_storage

TOKEN_BYTES = 24


def review(options: argparse.Namespace) -> int:
    """`voxdata review --root DIR`: serve the page until Ctrl-C."""
    reviewer = reviewer_name(options.reviewer) if options.reviewer else ""
    desk = Desk(open_storage(options.root))
    if not is_loopback(options.host):
        print(
            f"--host {options.host}: other machines can reach the page, unencrypted; whoever has its address sees the "
            "photos and can decide about them",
            file=sys.stderr,
        )

    def ready(url: str) -> None:
        print(f"{url} shows {len(desk.sheets.people)} people of {options.root}; Ctrl-C ends it.", flush=True)
        print("What you decide is kept at once and acts in the next publish.", flush=True)

    token = secrets.token_urlsafe(TOKEN_BYTES)
    asyncio.run(serve(desk, token, options.host, options.port, reviewer, ready))
    print(f"words added to the journal of {options.root}: {desk.book.said}")
    return 0
