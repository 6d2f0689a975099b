"""A real root of painted people, built by the stages themselves in this process, and a running review page."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.in_process import build_here
from tests.served_page import Served, in_thread
from voxdata.catalog.query import run_query
from voxdata.pages.review.routes import COMMAND, review_page
from voxdata.pages.review.session import ReviewSession
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Recipe
from voxdata.store.storage import open_storage

CAP = 2


def recipe_of(corpus: Path) -> Recipe:
    """Two portraits per person, so that further candidates wait behind them."""
    return load_recipe(
        "voxceleb-folder",
        [
            f"sources.photos.path={corpus / 'photos'}",
            f"sources.metadata.path={corpus / 'vox1_meta.csv'}",
            "faces.pose.max_angle_deg=12",
            "faces.select.min_per_identity=1",
            f"faces.select.max_per_identity={CAP}",
            "limits.min_items=1000",
        ],
    )


def build_root(root: Path, corpus: Path) -> str:
    """What `voxdata build` does; again on the same root it does what has changed."""
    return build_here(recipe_of(corpus), root)


def ask(root: Path, sql: str) -> list[dict[str, Any]]:
    """Rows of a query on the root's catalog."""
    rows: list[dict[str, Any]] = run_query(open_storage(root), sql).to_pylist()
    return rows


class Page(Served):
    """The review page of a root."""

    def say(self, key: str, decision: str, reviewer: str = "ann") -> tuple[int, Any]:
        """State a word."""
        body = {"reviewer": reviewer, "key": key, "decision": decision}
        return self.request("POST", "/api/say", body)[:2]

    def undo(self, reviewer: str = "ann") -> tuple[int, Any]:
        """Take the last word back."""
        return self.request("POST", "/api/undo", {"reviewer": reviewer})[:2]


@contextmanager
def serving(root: Path, reviewer: str = "") -> Iterator[Page]:
    """The review page of a root, from a thread of this process."""
    session = ReviewSession(open_storage(root))
    try:
        with in_thread(review_page(session, reviewer)) as served:
            yield Page(served.url, COMMAND)
    finally:
        session.sheets.close()


@contextmanager
def running(root: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Page]]:
    """`voxdata review` on a free port, and its page."""
    command = [sys.executable, "-m", "flows.cli", "review", "--root", str(root), "--port", "0", *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen(command, **pipes) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise AssertionError(process.communicate(timeout=20)[1])
            yield process, Page(line.split()[0], COMMAND)
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()
