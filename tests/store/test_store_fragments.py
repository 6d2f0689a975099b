from __future__ import annotations

import io
import tarfile

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxdata.store.fragments import Fragment, FragmentStore, TarBytes, fingerprint, pack_blobs
from voxdata.store.storage import LocalStorage, open_storage


@pytest.fixture
def storage(tmp_path) -> LocalStorage:
    return open_storage(tmp_path)  # type: ignore[return-value]


def rows(*items: str) -> pa.Table:
    return pa.table({"item_id": list(items), "value": list(range(len(items)))})


def test_parts_accumulate_and_blobs_are_found(storage: LocalStorage) -> None:
    store = FragmentStore(storage, "faces.render", "f0")
    store.append(7, Fragment(rows("b", "a"), {"a": {"jpg": b"AAA"}, "b": {"jpg": b"B"}}))
    store.append(7, Fragment(rows("c")))
    store.append(8, Fragment(rows("d")))
    assert store.done(7) == {"a", "b", "c"}
    assert store.done() == {"a", "b", "c", "d"}
    table = store.read(7)
    assert table is not None
    by_item = {row["item_id"]: row for row in table.to_pylist()}
    member = by_item["a"]["members"][0]
    assert store.blob(by_item["a"]["part"], member["offset"], member["size"]) == b"AAA"
    assert by_item["c"]["members"] is None


def test_of_parts_that_overlap_an_item_has_the_rows_of_one(storage: LocalStorage) -> None:
    """As two builds at once have written them; an item may have several rows, as a photo has faces."""
    store = FragmentStore(storage, "s", "f")
    for items in (["a", "a", "b"], ["b", "c"], ["a", "a", "b", "c", "c"]):
        store.append(3, Fragment(rows(*items), {item: {"x": item.encode()} for item in items}))
    store.append(4, Fragment(rows("d"), {"d": {"x": b"d"}}))
    once = store.read()
    assert once is not None
    assert store.read(3, ["item_id"]).num_rows == once.num_rows - 1  # type: ignore[union-attr]
    parts: dict[str, set[str]] = {}
    for row in once.to_pylist():
        parts.setdefault(row["item_id"], set()).add(row["part"])
        (member,) = row["members"]
        assert store.blob(row["part"], member["offset"], member["size"]) == row["item_id"].encode()
    assert set(parts) == store.done() == set("abcd")
    assert {len(each) for each in parts.values()} == {1}
    assert [item for item in once["item_id"].to_pylist() if item == "a"] == ["a", "a"]


def test_part_without_its_marker_does_not_count(storage: LocalStorage) -> None:
    store = FragmentStore(storage, "s", "f")
    key = store.append(1, Fragment(rows("a"), {"a": {"x": b"1"}}))
    storage.delete(key)
    assert store.done() == set()
    assert store.append(1, Fragment(rows("a"), {"a": {"x": b"1"}})) == key


def test_fingerprints_keep_results_apart(storage: LocalStorage) -> None:
    names = {
        fingerprint("s", 1, {"a": 1}, {"mediapipe": "1"}),
        fingerprint("s", 2, {"a": 1}, {"mediapipe": "1"}),
        fingerprint("s", 1, {"a": 2}, {"mediapipe": "1"}),
        fingerprint("s", 1, {"a": 1}, {"mediapipe": "2"}),
        fingerprint("t", 1, {"a": 1}, {"mediapipe": "1"}),
    }
    assert len(names) == 5
    FragmentStore(storage, "s", "f").append(1, Fragment(rows("a")))
    assert FragmentStore(storage, "s", "g").done() == set()


@given(
    st.dictionaries(
        st.text("abcdef0123/_", min_size=1, max_size=120).filter(
            lambda name: name.strip("/") == name and "//" not in name
        ),
        st.dictionaries(st.sampled_from(["jpg", "json", "torch40.npy"]), st.binary(max_size=1500), min_size=1),
        min_size=1,
        max_size=6,
    )
)
def test_member_offsets_point_at_the_bytes(blobs: dict[str, dict[str, bytes]]) -> None:
    data, members = pack_blobs(blobs)
    again, _ = pack_blobs(dict(reversed(blobs.items())))
    assert data == again
    for item, wanted in blobs.items():
        for member in members[item]:
            at = member["offset"]
            assert data[at : at + member["size"]] == wanted[member["suffix"]]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert {info.name for info in tar} == {f"{item}.{suffix}" for item in blobs for suffix in blobs[item]}
        assert {(info.mtime, info.uid, info.uname) for info in tar} == {(0, 0, "")}


def test_a_tar_is_byte_for_byte_what_tarfile_writes() -> None:
    names = ["a/b.jpg", "é/b.jpg", "x" * 100, "x" * 101, "folder/" * 40 + "name.npy", "empty"]
    sizes = [1, 511, 512, 513, 10_240, 0]
    ours = TarBytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as theirs:
        for name, size in zip(names, sizes, strict=True):
            info = tarfile.TarInfo(name)
            info.size, info.mode = size, 0o644
            theirs.addfile(info, io.BytesIO(bytes([65]) * size))
            offset = ours.add(name, bytes([65]) * size)
            assert offset == theirs.offset - -(-size // 512) * 512
    assert ours.finished() == buffer.getvalue()
