"""A real root of painted people, built by the stages themselves in this process, and a running review page."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows import packing, tables
from flows.stages import FACES_MEASURE, FACES_RENDER, plan, work_on
from voxdata.catalog.query import run_query
from voxdata.recipe import Recipe
from voxdata.recipe_file import load_recipe
from voxdata.storage import open_storage

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
    keys = {"photos": tables.crawl(where, recipe)}
    _pixels(FACES_MEASURE, where, recipe, keys["photos"], "item_id")
    keys["links"] = tables.link_faces(where, recipe, keys["photos"])
    first = tables.decide_faces(where, recipe, keys["photos"], keys["links"], rendered=False)
    _pixels(FACES_RENDER, where, recipe, tables.candidates(where, recipe, keys["photos"], first), "face_id")
    keys["face_verdicts"] = tables.decide_faces(where, recipe, keys["photos"], keys["links"], rendered=True)
    keys["utterance_files"] = tables.find_speech(where, recipe, keys["photos"], keys["face_verdicts"])
    keys["utterance_verdicts"] = tables.decide_speech(where, recipe, keys["utterance_files"])
    keys["identities"] = tables.list_identities(where, recipe, keys["photos"], keys["utterance_files"])
    keys["splits"] = tables.split(where, recipe, keys)
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


class Page:
    """A running `voxdata review`, spoken to by plain HTTP."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url
        found = re.fullmatch(r"http://([\d.]+):(\d+)/\?token=(\S+)", url)
        assert found, url
        self.host, self.port, self.token = found[1], int(found[2]), found[3]

    def request(
        self, method: str, path: str, body: Any = None, *, token: str | None = "", **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, content (JSON decoded) and headers; `_` in a header's name stands for `-`."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            given["X-Review-Token"] = token or self.token
        if body is not None:
            given.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host="Host" in given)
            data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
            if data:
                given["Content-Length"] = str(len(data))
            for name, value in given.items():
                connection.putheader(name, value)
            connection.endheaders(data or None)
            answer = connection.getresponse()
            content = answer.read()
            received = {name.lower(): value for name, value in answer.getheaders()}
            is_json = received.get("content-type", "").startswith("application/json")
            return answer.status, json.loads(content) if is_json else content, received
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """The content of a read that must succeed."""
        status, content, _ = self.request("GET", path)
        assert status == 200, content
        return content

    def say(self, key: str, decision: str, reviewer: str = "ann") -> tuple[int, Any]:
        """State a word."""
        body = {"reviewer": reviewer, "key": key, "decision": decision}
        return self.request("POST", "/api/say", body)[:2]

    def undo(self, reviewer: str = "ann") -> tuple[int, Any]:
        """Take the last word back."""
        return self.request("POST", "/api/undo", {"reviewer": reviewer})[:2]

    def stop(self) -> tuple[int, str, str]:
        """Ctrl-C: exit status, stdout and stderr."""
        self.process.send_signal(signal.SIGINT)
        output, errors = self.process.communicate(timeout=20)
        return self.process.returncode, output, errors


@contextmanager
def serving(root: Path, *arguments: str) -> Iterator[Page]:
    """`voxdata review` on a free port."""
    command = [sys.executable, "-m", "flows.cli", "review", "--root", str(root), "--port", "0", *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen(command, **pipes) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise AssertionError(process.communicate(timeout=20)[1])
            yield Page(process, line.split()[0])
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()
