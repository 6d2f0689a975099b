"""Writing to a path that a user gives: what is there may be a link, or a stream."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from voxdata.format.atomic import write_atomic


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    real, link = tmp_path / "deep" / "real.png", tmp_path / "link.png"
    link.symlink_to(real)
    for content in (b"first", b"second"):
        write_atomic(link, lambda file, content=content: file.write(content))
        assert (link.is_symlink(), real.read_bytes()) == (True, content)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deep", "link.png", "real.png"]


def test_a_stream_is_written_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    came: list[bytes] = []
    reader = threading.Thread(target=lambda: came.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_atomic(pipe, lambda file: file.write(b"whole"))
    reader.join(30)
    assert (came, pipe.is_fifo()) == ([b"whole"], True)
