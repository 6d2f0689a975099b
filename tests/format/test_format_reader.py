"""The one reader: what `.pairs()` and a training's store see, and what the cache on disk may hold."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from snapshot_writer import TinySnapshot, write_snapshot

import voxdata
from models.data.snapshots import open_snapshot
from models.data.store import Store
from voxdata.format.errors import SnapshotError
from voxdata.format.members import MemberIndex
from voxdata.format.portraits import cached_files
from voxdata.format.reader import Reader, open_local
from voxdata.format.snapshot import parse_snapshot

SIDE = 24  # a quarter of the portraits' 96 pixels, so that JPEG's own halving would be seen


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinySnapshot:
    return write_snapshot(tmp_path_factory.mktemp("tiny") / "root", {"train": 5, "test": 2}, normalisation=True)


@pytest.fixture
def reader(tiny: TinySnapshot) -> Reader:
    return open_local(tiny.root, tiny.id)


@pytest.mark.parametrize("normalise", ["none", "stated", "utterance"])
@pytest.mark.parametrize("shared_cache", [True, False])
def test_pairs_and_the_store_of_a_training_see_the_same(
    tiny: TinySnapshot, tmp_path: Path, normalise: str, shared_cache: bool
) -> None:
    store = Store(
        open_snapshot(tiny.root, tiny.id),
        split="train",
        front_end="torch40",
        side_px=SIDE,
        cache=tmp_path,
        device=torch.device("cpu"),
        normalise=normalise,
    )
    cache = tmp_path if shared_cache else "memory"
    options = {"side_px": SIDE, "frames": 40, "length": 40, "cache": cache, "normalise": normalise}
    pairs = voxdata.open(tiny.root, tiny.id).pairs("train", **options)
    assert pairs.people == store.people
    opened = open_local(tiny.root, tiny.id)
    portraits = sorted(each.key for each in opened.portraits("train"))
    clips = sorted(each.key for each in opened.mels("train", "torch40") if not each.holdout)
    _, _, _, starts, _ = pairs._draws()
    for index in range(40):
        face, clip = pairs.keys(index)
        pair = pairs[index]
        assert torch.equal(pair["portrait"], store.faces[portraits.index(face)])
        crop = store.crops(np.array([clips.index(clip)]), starts[index : index + 1], 40)[0]
        torch.testing.assert_close(pair["mel"].float(), crop, rtol=1e-6, atol=1e-6)
        if normalise == "none":
            assert torch.equal(pair["mel"].float(), crop)


def test_portraits_are_scaled_from_all_their_pixels(reader: Reader, tmp_path: Path) -> None:
    (portrait, *_) = portraits = reader.portraits("test")
    stored = MemberIndex(reader.files, reader.snapshot.shards).read(portrait.key, "jpg")
    with Image.open(io.BytesIO(stored)) as image:
        expected = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    with Image.open(io.BytesIO(stored)) as image:
        image.draft("RGB", (SIDE, SIDE))
        halved = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    assert (expected != halved).any()
    (decoded, *_) = reader.decode_portraits(portraits, SIDE, tmp_path)
    np.testing.assert_array_equal(decoded, expected.transpose(2, 0, 1))


def test_a_cache_of_before_is_neither_read_nor_kept_from_forgetting(reader: Reader, tmp_path: Path) -> None:
    portraits = reader.portraits("test")
    sha256 = reader.tar_sha256(portraits[0])
    for shape in ((len(portraits), SIDE, SIDE, 3), (len(portraits), 3, SIDE, SIDE)):
        np.save(tmp_path / f"{sha256[:16]}-{SIDE}px.npy", np.zeros(shape, np.uint8))
        assert reader.decode_portraits(portraits, SIDE, tmp_path).any()
    (tmp_path / f".tmp-1-{sha256[:16]}-{SIDE}px.npy").write_bytes(b"half of it")
    (tmp_path / f"{'0' * 16}-{SIDE}px.npy").write_bytes(b"of others")
    reader.decode_portraits(portraits, 2 * SIDE, tmp_path)
    names = {path.name for path in cached_files(tmp_path, sha256)}
    assert names == {path.name for path in tmp_path.iterdir()} - {f"{'0' * 16}-{SIDE}px.npy"}
    assert len(names) == 4


def test_a_pickled_reader_reads_the_same(reader: Reader, tmp_path: Path) -> None:
    mels, tars = reader.mels("train", "torch40"), reader.mel_tars("torch40")
    first = tars.whole(mels[0])
    again, tars_again = pickle.loads(pickle.dumps((reader, tars)))
    assert again.mels("train", "torch40") == mels
    np.testing.assert_array_equal(tars_again.whole(mels[0]), first)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "has format 2; this code reads 1"),
        ({"format": True}, "has format True; this code reads 1"),
        ({"recipe": None, "later": 1}, "says 'later', which this code does not know: use the version that wrote it"),
        ({"shards": None}, "lists no shards"),
        ({"shards": [[]]}, "a shard in snapshots/x.json is no JSON object"),
        (
            {"shards": [{"tar": "a.tar"}]},
            "a shard in snapshots/x.json does not say 'sidecar'; restore it from a backup, or delete ",
        ),
    ],
)
def test_what_is_wrong_with_a_snapshot_file_is_one_line(tiny: TinySnapshot, change: dict, says: str) -> None:
    content = json.loads((tiny.root / "snapshots" / f"{tiny.id}.json").read_text())
    assert parse_snapshot(json.dumps(content).encode(), "snapshots/x.json").to_json() == content
    with pytest.raises(SnapshotError, match=says):
        parse_snapshot(json.dumps({**content, **change}).encode(), "snapshots/x.json")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'"a"', b"\xff", b"{}"])
def test_a_file_that_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(SnapshotError, match=r"snapshots/x.json (is not JSON|is no JSON object|has format)"):
        parse_snapshot(data, "snapshots/x.json")
