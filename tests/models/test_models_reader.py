"""The reader and the store against a snapshot written by hand."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from snapshot_writer import N_MELS, TinySnapshot

from models.data.snapshots import open_snapshot
from models.data.store import Store
from models.data.tiers import Memory, PackedMels, ReadMels, choose_tier
from models.errors import SnapshotReadError
from voxdata.format.errors import RootMissingError, ShardError, SnapshotError
from voxdata.format.members import MemberIndex, TarFiles
from voxdata.format.normalise import Normalisation
from voxdata.format.reader import Reader
from voxdata.format.sidecar import Member

GIB = 2**30


def open_store(snapshot: TinySnapshot, cache: Path, **options: object) -> Store:
    defaults = {"split": "train", "front_end": "torch40", "side_px": 64, "device": torch.device("cpu")}
    return Store(open_snapshot(snapshot.root, snapshot.id), cache=cache, **{**defaults, **options})  # type: ignore[arg-type]


def shard_of(snapshot: Reader, member: Member) -> str:
    return snapshot.snapshot.shards[member.shard].tar


def test_members_are_what_tarfile_finds(tiny_snapshot: TinySnapshot) -> None:
    snapshot = open_snapshot(tiny_snapshot.root, tiny_snapshot.id)
    contents = {}
    for path in tiny_snapshot.root.glob("shards/train-*.tar"):
        with tarfile.open(path) as tar:
            for info in tar:
                extracted = tar.extractfile(info)
                assert extracted is not None
                contents[info.name] = extracted.read()
    portraits, mels = snapshot.portraits("train"), snapshot.mels("train", "torch40")
    assert (len(portraits), len(mels)) == (12 * 2, 12 * 3)
    tars = TarFiles(snapshot.files)
    for member in (*portraits, *mels):
        assert tars.read(shard_of(snapshot, member), member.name, member.offset, member.size) == contents[member.name]
    for member in mels:
        stored = np.load(io.BytesIO(contents[member.name]))
        np.testing.assert_array_equal(snapshot.mel_tars("torch40").whole(member), stored)
        np.testing.assert_array_equal(snapshot.mel_tars("torch40").read(member), stored)


def test_portraits_are_decoded_once(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    snapshot = open_snapshot(tiny_snapshot.root, tiny_snapshot.id)
    portraits = snapshot.portraits("test")
    chosen = [portraits[3], portraits[0]]
    first = snapshot.decode_portraits(chosen, 32, tmp_path)
    stored = MemberIndex(snapshot.files, snapshot.snapshot.shards).read(portraits[3].key, "jpg")
    expected = Image.open(io.BytesIO(stored)).resize((32, 32), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(first[0], np.asarray(expected).transpose(2, 0, 1))
    (cached,) = tmp_path.iterdir()
    np.save(cached, np.full((len(portraits), 3, 32, 32), 7, np.uint8))
    assert (snapshot.decode_portraits(chosen, 32, tmp_path) == 7).all()
    cached.write_bytes(cached.read_bytes()[:100])
    np.testing.assert_array_equal(snapshot.decode_portraits(chosen, 32, tmp_path), first)


def test_store_keeps_only_people_with_both_and_drops_holdouts(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    store = open_store(tiny_snapshot, tmp_path)
    assert store.people == sorted(person for person in tiny_snapshot.traits if person.startswith("train"))
    assert store.utterance_groups.count.tolist() == [2] * 12
    assert open_store(tiny_snapshot, tmp_path, holdouts="keep").utterance_groups.count.tolist() == [3] * 12
    assert store.images(np.array([0, 5])).shape == (2, 3, 64, 64)
    assert float(store.images(np.array([0])).max()) == pytest.approx(1.0, abs=0.05)


def test_crops_are_normalised_slices_that_wrap(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    store = open_store(tiny_snapshot, tmp_path, normalisation=Normalisation(mean=10.0, std=2.0))
    snapshot = open_snapshot(tiny_snapshot.root, tiny_snapshot.id)
    members = [m for m in sorted(snapshot.mels("train", "torch40"), key=lambda m: m.key) if not m.holdout]
    utterance = 3
    mel = snapshot.mel_tars("torch40").whole(members[utterance]).astype(np.float32)
    frames = mel.shape[1]
    assert store.frames[utterance] == frames
    crop = store.crops(np.array([utterance]), np.array([frames - 10]), 25)[0].numpy()
    expected = (np.concatenate([mel[:, -10:], mel[:, :15]], axis=1) - 10) / 2
    np.testing.assert_allclose(crop, expected, atol=1e-5)


def test_a_short_clip_can_end_in_log_mels_of_zero(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    store = open_store(tiny_snapshot, tmp_path)
    frames = int(store.frames[0])
    crop = store.crops(np.array([0]), np.array([7]), frames + 5, wrap=False)[0]
    torch.testing.assert_close(crop[:, :frames], store.crops(np.array([0]), np.array([0]), frames)[0])
    zero = -store.normalisation.mean / store.normalisation.std
    torch.testing.assert_close(crop[:, frames:], torch.full((crop.shape[0], 5), zero))
    inside = store.crops(np.array([0]), np.array([2]), frames - 4, wrap=False)
    torch.testing.assert_close(inside, store.crops(np.array([0]), np.array([2]), frames - 4))


def test_people_of_one_sex_and_normalisations_that_are_asked_for(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    women = open_store(tiny_snapshot, tmp_path, sex="f")
    assert (len(women.people), set(women.sexes)) == (6, {"f"})
    plain = open_store(tiny_snapshot, tmp_path, normalise="none")
    own = open_store(tiny_snapshot, tmp_path, normalise="utterance")
    frames = int(plain.frames[0])
    mel = plain.crops(np.array([0]), np.array([0]), frames)[0]
    assert float(mel.mean()) > 5
    scaled = own.crops(np.array([0]), np.array([0]), frames)[0]
    expected = (mel - mel.mean(dim=1, keepdim=True)) / mel.std(dim=1, correction=0, keepdim=True)
    torch.testing.assert_close(scaled, expected, rtol=1e-3, atol=1e-3)
    with pytest.raises(SnapshotReadError, match="people with portraits of sex 'x'"):
        open_store(tiny_snapshot, tmp_path, sex="x")


def test_windows_join_utterances_and_mask_what_is_missing(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    store = open_store(tiny_snapshot, tmp_path)
    orders = [np.array([1, 0]), np.array([2])]
    mels, mask = store.windows(orders, 200, window=50, hop=25)
    available = min(200, int(store.frames[[1, 0]].sum()))
    counts = [1 + (available - 50) // 25, 1 + (min(200, int(store.frames[2])) - 50) // 25]
    assert mask.sum(dim=1).tolist() == counts
    assert mels.shape == (2, max(counts), N_MELS, 50)
    whole = [store.crops(np.array([u]), np.array([0]), int(store.frames[u]))[0] for u in (1, 0)]
    joined = torch.cat(whole, dim=1)
    for index in range(counts[0]):
        torch.testing.assert_close(mels[0, index], joined[:, index * 25 : index * 25 + 50])


def test_a_clip_under_one_window_still_gives_one(tiny_snapshot: TinySnapshot, tmp_path: Path) -> None:
    store = open_store(tiny_snapshot, tmp_path)
    mels, mask = store.windows([np.array([0])], 500, window=int(store.frames[0]) + 20, hop=10)
    assert mask.tolist() == [[True]]
    torch.testing.assert_close(mels[0, 0, :, -20:], mels[0, 0, :, :20])


def test_read_and_packed_mels_agree() -> None:
    rng = np.random.default_rng(0)
    views = [rng.normal(size=(6, frames)).astype(np.float16) for frames in (9, 4, 30)]
    lengths, cpu = np.array([9, 4, 30]), torch.device("cpu")
    utterances, frames = np.array([[0, 0, 2], [1, 2, 1]]), np.array([[8, 0, 29], [3, 5, 0]])
    packed = PackedMels(views, lengths, "memory", cpu).gather(utterances, frames)
    torch.testing.assert_close(packed, ReadMels(views.__getitem__, 6).gather(utterances, frames))
    torch.testing.assert_close(packed, ReadMels.streamed(views.__getitem__, 6).gather(utterances, frames))
    np.testing.assert_array_equal(packed[1, 1].numpy(), views[2][:, 5])
    part = PackedMels(views[1:], lengths[1:], "memory", cpu, start=1).gather(utterances[1:], frames[1:])
    torch.testing.assert_close(packed[1:], part)


@pytest.mark.parametrize(
    ("needed", "gpu", "host", "tier"),
    [
        (1 * GIB, 100 * GIB, 64 * GIB, "gpu"),
        (90 * GIB, 100 * GIB, 256 * GIB, "pinned"),
        (1 * GIB, None, 64 * GIB, "memory"),
        (40 * GIB, None, 64 * GIB, "mmap"),
        (90 * GIB, 100 * GIB, 64 * GIB, "mmap"),
    ],
)
def test_tier_follows_free_memory(needed: int, gpu: int | None, host: int, tier: str) -> None:
    assert choose_tier(needed, Memory(gpu=gpu, host=host)).name == tier


def test_normalisation_is_the_published_one_or_measured(
    make_snapshot: Callable[..., TinySnapshot], tiny_snapshot: TinySnapshot, tmp_path: Path
) -> None:
    published = open_store(make_snapshot({"train": 2}, normalisation=True), tmp_path / "a")
    assert published.normalisation == Normalisation(mean=10.0, std=2.0)
    measured = open_store(tiny_snapshot, tmp_path / "b")
    crops = [measured.crops(np.array([u]), np.array([0]), int(f))[0] for u, f in enumerate(measured.frames)]
    values = torch.cat(crops, dim=1)
    assert float(values.mean()) == pytest.approx(0, abs=1e-3)
    assert float(values.std()) == pytest.approx(1, abs=1e-2)


def test_a_front_end_may_be_normalised_clip_by_clip(make_snapshot: Callable[..., TinySnapshot], tmp_path: Path) -> None:
    store = open_store(make_snapshot({"train": 2}, normalisation="utterance"), tmp_path)
    for utterance, frames in enumerate(store.frames):
        whole_FT = store.crops(np.array([utterance]), np.array([0]), int(frames))[0]
        np.testing.assert_allclose(whole_FT.mean(dim=1), 0, atol=1e-3)
        np.testing.assert_allclose(whole_FT.std(dim=1, correction=0), 1, atol=1e-3)
        np.testing.assert_allclose(store.normalisation(store_view(store, utterance)), whole_FT, atol=1e-4)


def store_view(store: Store, utterance: int) -> np.ndarray:
    frame_1T = np.arange(store.frames[utterance])[None]
    return store._mels.gather(np.full_like(frame_1T, utterance), frame_1T)[0].numpy().T


def test_a_normalisation_of_a_later_version_is_refused(
    make_snapshot: Callable[..., TinySnapshot], tmp_path: Path
) -> None:
    with pytest.raises(SnapshotError, match=r"'percentile'.*global and utterance"):
        open_store(make_snapshot({"train": 2}, normalisation="percentile"), tmp_path)


def test_what_is_wrong_with_a_snapshot_is_said(make_snapshot: Callable[..., TinySnapshot], tmp_path: Path) -> None:
    made = make_snapshot({"train": 2})
    with pytest.raises(SnapshotError, match=r"no snapshot 'other'.*tiny0001"):
        open_snapshot(made.root, "other")
    with pytest.raises(RootMissingError, match="does not exist"):
        open_snapshot(tmp_path / "nowhere", made.id)
    with pytest.raises(SnapshotError, match=r"no front end 'sphinx64'.*torch40"):
        open_store(made, tmp_path, front_end="sphinx64")
    with pytest.raises(SnapshotReadError, match="nobody in split 'val'"):
        open_store(made, tmp_path, split="val")
    path = made.root / "snapshots" / f"{made.id}.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "redacted": True}))
    with pytest.raises(SnapshotReadError, match="redacted"):
        open_snapshot(made.root, made.id)
    path.write_text(json.dumps({**document, "format": 2}))
    with pytest.raises(SnapshotError, match="format 2"):
        open_snapshot(made.root, made.id)


def test_damaged_shards_name_the_member(make_snapshot: Callable[..., TinySnapshot], tmp_path: Path) -> None:
    made = make_snapshot({"train": 2})
    (speech,) = made.root.glob("shards/train-speech-*.tar")
    whole = speech.read_bytes()
    speech.write_bytes(whole[:4000])
    with pytest.raises(ShardError, match=r"shards/train-speech-.*tar has 4000 bytes, promised are .*voxdata repair"):
        open_store(made, tmp_path)
    speech.write_bytes(whole.replace(b"\x93NUMPY", b"\x93OTHER", 1))
    with pytest.raises(ShardError, match=r"train000/v_0.torch40.npy in .* is not a log-mel of ours.*voxdata verify"):
        open_store(made, tmp_path)
    (faces,) = made.root.glob("shards/train-faces-*.tar")
    data = bytearray(faces.read_bytes())
    data[512:1024] = bytes(512)
    faces.write_bytes(data)
    with pytest.raises(ShardError, match=r"train000/0.jpg in .* is damaged"):
        open_store(made, tmp_path / "other-cache")
    for sidecar in made.root.glob("shards/*.parquet"):
        sidecar.write_text("not parquet")
    with pytest.raises(ShardError, match=r"sidecar .* cannot be read"):
        open_store(made, tmp_path)
