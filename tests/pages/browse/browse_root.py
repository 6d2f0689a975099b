"""A root of invented people with every reason, measurements that differ, log-mels and sound; and its running page."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.pages.report.report_root import ReportRoot
from tests.served_page import Served, in_thread
from voxdata.catalog.query import run_query
from voxdata.pages.browse.routes import COMMAND, browse_page
from voxdata.pages.browse.session import Browsing
from voxdata.simulate.clips import encode_wav
from voxdata.store.storage import LocalStorage, open_storage

TONE_S = 0.5


class BrowseRoot(ReportRoot):
    """Sharpness and yaw differ from face to face. Of each person the first clip's file is there, the second's is
    another one by now, the third's is gone."""

    def __init__(self, storage: LocalStorage, sounds: Path, people: int = 40) -> None:
        super().__init__(storage, people)
        self.sounds = sounds
        sounds.mkdir(parents=True, exist_ok=True)

    def change_faces(self, row: dict[str, Any], index: int) -> dict[str, Any]:
        row = super().change_faces(row, index)
        if not row["face_id"]:
            return row
        return {**row, "sharpness": 0.01 * (index % 23), "yaw_deg": float(index % 41 - 20)}

    def change_utterance_files(self, row: dict[str, Any], index: int) -> dict[str, Any]:
        path = self.sounds / f"{index}.wav"
        data = encode_wav(np.sin(np.arange(int(16_000 * TONE_S)) * (0.1 + index / 1000)).astype(np.float32) * 0.5)
        kind = ("there", "changed", "gone")[index % 3]
        if kind != "gone":
            path.write_bytes(data)
        sha256 = hashlib.sha256(data if kind == "there" else b"before").hexdigest()
        return {**row, "path": str(path), "audio_sha256": sha256}


def ask(root: Path, sql: str) -> list[dict[str, Any]]:
    """Rows of a query on the root's catalog."""
    rows: list[dict[str, Any]] = run_query(open_storage(root), sql).to_pylist()
    return rows


@contextmanager
def serving(root: Path) -> Iterator[Served]:
    """The page of a root, from a thread of this process."""
    session = Browsing(open_storage(root))
    try:
        with in_thread(browse_page(session, lambda: "http://127.0.0.1:1/?token=review")) as served:
            yield served
    finally:
        session.close()


@contextmanager
def running(root: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Served, str]]:
    """`voxdata browse` on a free port, its page, and the line that it printed."""
    command = [sys.executable, "-m", "flows.cli", "browse", "--root", str(root), "--port", "0", *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen(command, **pipes) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise AssertionError(process.communicate(timeout=20)[1])
            yield process, Served(line.split()[0].partition("#")[0], COMMAND), line
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()
