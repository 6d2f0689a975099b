"""A real root of painted people, built by the stages themselves in this process, and a running review page."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.served_page import Served, in_thread
from voxdata.catalog.query import run_query
from voxdata.pages.review.routes import COMMAND, review_page
from voxdata.pages.review.session import Desk
from voxdata.pipeline import packing, steps
from voxdata.pipeline.stages import FACES_MEASURE, FACES_RENDER, plan, work_on
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
    """What `voxdata build` does, stage by stage, without Prefect; again on the same root it does what has changed."""
    recipe, where = recipe_of(corpus), str(root)
    keys = {"photos": steps.crawl(where, recipe)}
    _pixels(FACES_MEASURE, where, recipe, keys["photos"], "item_id")
    keys["links"] = steps.link_faces(where, recipe, keys["photos"])
    first = steps.decide_faces(where, recipe, keys["photos"], keys["links"], rendered=False)
    _pixels(FACES_RENDER, where, recipe, steps.candidates(where, recipe, keys["photos"], first), "face_id")
    keys["face_verdicts"] = steps.decide_faces(where, recipe, keys["photos"], keys["links"], rendered=True)
    keys["utterance_files"] = steps.find_speech(where, recipe, keys["photos"], keys["face_verdicts"])
    keys["utterance_verdicts"] = steps.decide_speech(where, recipe, keys["utterance_files"])
    keys["identities"] = steps.list_identities(where, recipe, keys["photos"], keys["utterance_files"])
    keys["splits"] = steps.split(where, recipe, keys)
    wanted = packing.plan_packing(where, recipe, keys)
    entries = [entry for one in wanted for entry in packing.pack_range(where, recipe, keys, **one)]
    return packing.publish(where, recipe, keys, entries)


def _pixels(stage: Any, root: str, recipe: Recipe, key: str, item_column: str) -> None:
    for buckets in plan(stage, open_storage(root), recipe, key, item_column).tasks:
        work_on(stage.name, root, recipe, key, item_column, buckets)


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
    desk = Desk(open_storage(root))
    try:
        with in_thread(review_page(desk, reviewer)) as served:
            yield Page(served.url, COMMAND)
    finally:
        desk.sheets.close()


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
