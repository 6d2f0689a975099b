"""Snapshots, sidecars and what they name, damaged in every way: read, or one line."""

from __future__ import annotations

import io
import json
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.mutations import DEEP, changed, changed_json, complaint, damaged, few, written
from voxdata.format.archives import members_in_place
from voxdata.format.errors import ShardError, SnapshotError, brief, quoted, several
from voxdata.format.files import LocalFiles
from voxdata.format.json_text import read_json
from voxdata.format.mels import MelTars
from voxdata.format.members import MemberIndex, TarFiles
from voxdata.format.portraits import decode
from voxdata.format.sidecar import read_members
from voxdata.format.snapshot import ShardEntry, parse_snapshot

OLD_ROOT = Path(__file__).resolve().parents[1] / "fixtures" / "root-0.1"
SNAPSHOT = next(iter(sorted((OLD_ROOT / "snapshots").glob("*.json"))))
CONTENT: dict[str, Any] = json.loads(SNAPSHOT.read_bytes())


class InMemory:
    """The files of a root by key."""

    url = "root"

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def read(self, key: str) -> bytes:
        return self._files[key]

    def read_range(self, key: str, offset: int, size: int) -> bytes:
        return self._files[key][offset : offset + size]


@cache
def shard(kind: str) -> tuple[ShardEntry, InMemory]:
    entry = next(each for each in parse_snapshot(SNAPSHOT.read_bytes(), "x").shards if each.kind == kind)
    files = {key: (OLD_ROOT / key).read_bytes() for key in (entry.tar, entry.sidecar)}
    return entry, InMemory(files)


@few(80)
@given(changed_json(CONTENT))
@example(DEEP[0].encode())
@example(written({**CONTENT, "tables": {"faces": "no list"}}))
@example(written({**CONTENT, "counts": {"train": {"identities": 10**400}}}))
@example(b"true")
@example(b"1")
@example(written({**CONTENT, "counts": 5}))
@example(written({**CONTENT, "name": "\ud800"}))
@example(written({**CONTENT, "format": [10**400] * 1000}))
def test_any_snapshot_is_read_or_refused_in_one_line(data: bytes) -> None:
    def opened() -> None:
        snapshot = parse_snapshot(data, "snapshots/x.json")
        json.dumps(snapshot.to_json()).encode()

    complaint(opened, SnapshotError, names="snapshots/x.json")


@few(60)
@given(st.data(), st.sampled_from(["faces", "speech"]))
def test_any_sidecar_is_read_or_refused_in_one_line(data: st.DataObject, kind: str) -> None:
    entry, files = shard(kind)
    files = InMemory({entry.sidecar: data.draw(damaged(files.read(entry.sidecar)))})

    def opened() -> None:
        MemberIndex(files, [entry])
        for member in read_members(files, entry):
            assert 0 <= member.offset <= member.offset + member.size <= entry.bytes
            member.name.encode()

    complaint(opened, ShardError, names=entry.sidecar)


@few(60)
@given(st.data())
def test_any_portrait_of_a_shard_is_decoded_or_refused_in_one_line(data: st.DataObject) -> None:
    entry, files = shard("faces")
    members = [each for each in read_members(files, entry) if each.suffix in ("jpg", "webp")][:1]
    tar = bytearray(files.read(entry.tar))
    place = slice(members[0].offset, members[0].offset + members[0].size)
    tar[place] = data.draw(damaged(bytes(tar[place])))[: members[0].size].ljust(members[0].size, b"\0")
    held = InMemory({entry.tar: bytes(tar)})
    complaint(lambda: decode(held, TarFiles(held), entry.tar, members, 32), ShardError, names=members[0].name)


def test_a_portrait_that_is_another_kind_of_file_is_not_decoded() -> None:
    entry, files = shard("faces")
    member = next(each for each in read_members(files, entry) if each.suffix in ("jpg", "webp"))
    held = InMemory(
        {entry.tar: bytes(member.offset) + b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n".ljust(member.size)}
    )
    with pytest.raises(ShardError, match="is damaged"):
        decode(held, TarFiles(held), entry.tar, [member], 32)


def npy(header: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


@few(80)
@given(data=st.data())
def test_any_log_mel_of_a_shard_is_read_or_refused_in_one_line(data: st.DataObject, tmp_path_factory: Any) -> None:
    entry, files = shard("speech")
    mel = next(each for each in read_members(files, entry) if each.suffix.endswith(".npy"))
    tar = bytearray(files.read(entry.tar))
    tar[mel.offset : mel.offset + 128] = data.draw(damaged(bytes(tar[mel.offset : mel.offset + 128])))[:128].ljust(128)
    folder = tmp_path_factory.mktemp("mel")
    (folder / entry.tar).parent.mkdir(parents=True)
    (folder / entry.tar).write_bytes(tar)
    complaint(lambda: MelTars(LocalFiles(folder), [entry] * 9, 40).check([mel]), ShardError, names=mel.name)


@few(100)
@given(
    st.recursive(st.none() | st.text() | st.floats() | st.just(5000).map(lambda digits: 10**digits), st.lists)
    | st.just("a\nb\x1b[2J\u202e")
)
def test_what_others_wrote_is_shown_as_one_line(value: Any) -> None:
    for said in (brief(value), quoted(value), several([value] * 30)):
        assert said.isprintable()
        assert len(said) < 1000


@pytest.mark.parametrize("text", [*DEEP, "9" * 5000, b"\xff", '{"a": NaN'])
def test_json_that_cannot_be_read_is_one_kind_of_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text)


# --- tars of others


def tar_of(*members: tuple[dict[str, Any], bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for fields, content in members:
            info = tarfile.TarInfo("a/x.jpg")
            info.size = len(content)
            for name, value in fields.items():
                setattr(info, name, value)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def summed(header: bytes) -> bytes:
    """A header of 512 bytes with its checksum put right."""
    whole = bytearray(header)
    whole[148:156] = b" " * 8
    whole[148:156] = b"%06o\0 " % sum(whole)
    return bytes(whole)


def sized(size: int) -> bytes:
    """A tar whose member states a size below zero, in the form for numbers that octal digits cannot write."""
    tar = bytearray(tar_of(({}, b"abcd")))
    tar[124:136] = size.to_bytes(12, "big", signed=True) if size < 0 else b"%011o\0" % size
    tar[:512] = summed(bytes(tar[:512]))
    return bytes(tar)


def leading_back() -> bytes:
    """A tar whose third member's size leads back to the header of the second."""
    tar = bytearray(tar_of(*[({"name": f"a/{n}.jpg"}, b"abcd") for n in range(3)]))
    tar[2048 + 124 : 2048 + 136] = (-1536).to_bytes(12, "big", signed=True)
    tar[2048:2560] = summed(bytes(tar[2048:2560]))
    return bytes(tar)


HOSTILE_TARS = {
    "a header that leads back": leading_back(),
    "a size below zero": sized(-1024),
    "a size below zero in its PAX header": tar_of(({"pax_headers": {"size": "-1024"}}, b"abcd")),
    "more than there is": sized(8**11 - 1),
    "more than there is in its PAX header": tar_of(({"pax_headers": {"size": "9" * 300}}, b"abcd")),
    "sparse that is no map": tar_of(({"pax_headers": {"GNU.sparse.map": "x,y", "GNU.sparse.size": "-1"}}, b"abcd")),
    "sparse": tar_of(({"pax_headers": {"GNU.sparse.map": "0,4", "GNU.sparse.size": "1000000000000"}}, b"abcd")),
    "long names without end": summed(tar_of(({"type": tarfile.GNUTYPE_LONGNAME}, b"x" * 512))[:512]) * 5000,
    "a number that is none": tar_of(({"pax_headers": {"mtime": "x", "uid": "1e999"}}, b"abcd")),
}


@pytest.mark.parametrize("name", HOSTILE_TARS)
def test_hostile_tars_are_read_or_refused_in_one_line(name: str) -> None:
    said = complaint(lambda: list(members_in_place(io.BytesIO(HOSTILE_TARS[name]))), tarfile.ReadError)
    assert (said is None) == (name == "a number that is none")


TAR = tar_of(
    ({}, b"abcd" * 200), ({"name": "b/" + "y" * 150 + ".json"}, b"{}"), ({"pax_headers": {"comment": "é"}}, b"")
)


@few(150)
@given(data=damaged(TAR))
def test_any_tar_is_read_or_refused_in_one_line(data: bytes) -> None:
    def opened() -> None:
        for _, member in members_in_place(io.BytesIO(data)):
            assert member.offset_data + member.size <= len(data)

    complaint(opened, tarfile.ReadError)


@few(20)
@given(st.data())
def test_a_changed_snapshot_keeps_to_its_types(data: st.DataObject) -> None:
    content = data.draw(changed(CONTENT))
    try:
        snapshot = parse_snapshot(written(content), "x")
    except SnapshotError:
        return
    assert isinstance(snapshot.id, str)
    assert all(isinstance(count, int) for split in snapshot.counts.values() for count in split.values())
