"""Names that lead out of a folder: in tars of others they are names, in a snapshot they are refused."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from voxdata.catalog.snapshot import latest
from voxdata.format.errors import SnapshotError
from voxdata.format.snapshot import parse_snapshot, snapshot_key
from voxdata.people.identities import safe_key
from voxdata.sources.folder import SourceFile
from voxdata.sources.photo_tars import PhotoTars, tar_photos
from voxdata.store.storage import open_storage

WRITTEN = Path(__file__).parent / "fixtures" / "root-0.1"
OUTSIDE = ("../../evil/x.jpg", "/etc/evil/x.jpg", "a/../../evil/x.jpg")


def written() -> dict[str, Any]:
    storage = open_storage(WRITTEN)
    content: dict[str, Any] = json.loads(storage.read(snapshot_key(latest(storage))))
    return content


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "shards/../../x", "a\0b"])
@pytest.mark.parametrize(
    "put",
    [
        lambda content, name: content["shards"][0].update(tar=name),
        lambda content, name: content["shards"][0].update(sidecar=name),
        lambda content, name: next(iter(content["tables"].values())).append(name),
    ],
    ids=["tar", "sidecar", "table"],
)
def test_a_snapshot_that_names_files_outside_of_its_root_is_refused(
    name: object, put: Callable[[dict[str, Any], object], None]
) -> None:
    content = written()
    assert parse_snapshot(json.dumps(content).encode(), "snapshots/x.json").id == content["id"]
    put(content, name)
    said = f"snapshots/x.json names {re.escape(repr(name))}, which lies outside of its root"
    with pytest.raises(SnapshotError, match=said):
        parse_snapshot(json.dumps(content).encode(), "snapshots/x.json")


def test_a_tar_of_others_is_read_where_it_lies_and_nothing_of_it_is_written(tmp_path: Path) -> None:
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    kinds = {"link.jpg": tarfile.SYMTYPE, "hard.jpg": tarfile.LNKTYPE, "device.jpg": tarfile.CHRTYPE}
    with tarfile.open(here / "x.tar", "w") as tar:
        for name in OUTSIDE:
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"none"))
        for name, kind in kinds.items():
            member = tarfile.TarInfo(f"somebody/{name}")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    before = sorted(tmp_path.rglob("*"))
    found = (here / "x.tar").stat()
    file = SourceFile(
        folder="b", key="x", path=str(here / "x.tar"), size_bytes=found.st_size, modified_ns=found.st_mtime_ns
    )
    photos = tar_photos(file, PhotoTars(path=str(here)), [])
    assert {photo.member for photo in photos} <= set(OUTSIDE), "no link and no device is a photo"
    assert sorted(tmp_path.rglob("*")) == before
    for photo in photos:
        assert photo.path == str(here / "x.tar")
        assert re.fullmatch(r"[A-Za-z0-9_-]+", safe_key(photo.words))
