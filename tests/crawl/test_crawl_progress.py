"""What a person reads while a crawl runs, and how long it still takes."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime

from voxdata.crawl.frontier import Waiting
from voxdata.pipeline.progress import said
from voxdata.sources.fetching import Figures


def test_progress_says_pace_what_is_left_why_some_failed_and_who_waits() -> None:
    until = datetime(2026, 11, 21, 9, 30, 5).timestamp()
    waiting = [Waiting(origin=f"https://{n}.example", until=until + n, why="429") for n in range(9)]
    figures = Figures(
        total=100,
        known=20,
        done=40,
        bytes=5_000_000,
        seconds=10.0,
        statuses=Counter(stored=36, not_found=3, failed=1),
        waiting=waiting,
    )
    text = said(figures)
    assert text.startswith(
        "60 of 100 photos, 4.0/s, 0.50 MB/s, about 0:00:10 left, 3 not_found, 1 failed, "
        "waiting: https://0.example until 09:30:05, "
    )
    assert re.search(r" and \d more$", text)


def test_nothing_to_do_has_no_time_left() -> None:
    assert said(Figures(total=5, known=5)) == "5 of 5 photos, 0.0/s, 0.00 MB/s"
