"""Bytes of shards, for `catalog_scale.py`: random reads, writing, and pairs for training beside the released loader.

The released SF2F loader is re-enacted after its design, not its code: a folder per person with JPEG portraits and
pickled log-mels of whole utterances; for each pair, the folders are listed, a pickle is loaded whole, cut, and a JPEG
is decoded at full size and resized. Both loaders draw from the same portraits and log-mels.
"""

from __future__ import annotations

import io
import os
import pickle
import random
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from figures import Figure, Section
from PIL import Image
from scale_root import RECIPE
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from voxdata.catalog.snapshot import state_publication, write_snapshot
from voxdata.dataset.opened import Dataset
from voxdata.format.snapshot import ShardEntry
from voxdata.shards.write import Member, Sample, pack
from voxdata.store.storage import LocalStorage
from voxdata.tables import schemas

PEOPLE, PORTRAITS, CLIPS = 300, 3, 20  # per person
SIDE_PX, MELS, FRAMES = 512, 40, (300, 1000)
PICTURES = 48  # different JPEGs; people share them
CUT, SMALL_PX, BATCH, WORKERS = 125, 64, 256, 2
READS, ROUNDS = 200_000, 3
SECONDS = 10.0
FACE_ROW = pa.schema([*schemas.WHO, ("photo_sha256", pa.string()), ("yaw_deg", pa.float32()), ("size_px", pa.int32())])
SPEECH_ROW = pa.schema(
    [*schemas.WHO, ("audio_sha256", pa.string()), ("speech_s", pa.float32()), ("holdout", pa.bool_())]
)


def read_and_write(scale: float, folder: Path) -> Section:
    """Write shards beside a plain file of the same bytes, then read random members."""
    shares, rates = [], []
    with tempfile.TemporaryDirectory(dir=_disk(folder)) as temporary:
        everything = {"faces": list(_faces()), "speech": list(_speech())}
        for number in range(ROUNDS):
            storage = LocalStorage(Path(temporary) / str(number))
            started = time.perf_counter()
            entries = _pack(storage, everything)
            packed = time.perf_counter() - started
            data = [storage.read(key) for entry in entries for key in (entry.tar, entry.sidecar)]
            plain = _write_plainly(Path(temporary) / f"plain-{number}", data)
            shares.append(plain / packed)
            rates.append(sum(map(len, data)) / 1e6 / packed)
        reads = [_read_at_random(storage, entries) for _ in range(ROUNDS)]
    size = sum(map(len, data)) / 1e6
    return Section(
        title="Tars",
        figures=[
            Figure(
                name="random member reads per s, one thread, warm",
                value=max(reads),
                n=READS,
                must=60_000,
                stretch=120_000,
                higher=True,
            ),
            Figure(
                name="writing shards, share of plain sequential writing",
                value=statistics.median(shares),
                n=ROUNDS,
                must=0.5,
                stretch=0.8,
                higher=True,
            ),
        ],
        notes=[
            f"{size:.0f} MB in {len(entries)} tars, hashed by member and whole, written and fsynced as is the "
            f"plain file; {statistics.median(rates):.0f} MB/s; shares {', '.join(f'{share:.2f}' for share in shares)}."
        ],
    )


def draw_pairs(scale: float, folder: Path) -> Section:
    """Pairs per second of `.pairs()` and of the released design, both with 2 workers."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=_disk(folder)) as temporary:
        faces, speech = list(_faces()), list(_speech())
        root, released = Path(temporary) / "root", Path(temporary) / "released"
        _publish(LocalStorage(root), {"faces": faces, "speech": speech})
        _write_released(released, faces, speech)
        with Dataset(root) as dataset:
            started = time.perf_counter()
            ours = dataset.pairs(iterable=True, batch_size=BATCH, length=10**7, cache=Path(temporary) / "cache")
            decoded_s = time.perf_counter() - started
            loader = DataLoader(ours, batch_size=None, num_workers=WORKERS)
            fast = _rate(batch["portrait"] for batch in loader)
        theirs = DataLoader(ReleasedPairs(released), batch_size=BATCH, num_workers=WORKERS, shuffle=True)
        slow = _rate(portraits for portraits, _ in _for_ever(theirs))
    return Section(
        title="Pairs for training",
        figures=[
            Figure(name="times the released design", value=fast / slow, n=1, must=50, stretch=300, higher=True),
            Figure(name=".pairs(), pairs per s", value=fast, n=1),
            Figure(name="released design, pairs per s", value=slow, n=1),
        ],
        notes=[
            f"{PEOPLE} people, {PORTRAITS} portraits of {SIDE_PX} px and {CLIPS} log-mels each, to {SMALL_PX} px and "
            f"{CUT} frames; decoding all portraits once took {decoded_s:.1f} s and is not counted."
        ],
    )


class ReleasedPairs(TorchDataset[tuple[Tensor, Tensor]]):
    """The released design: an item is a person; all files are found, read and decoded for each pair."""

    def __init__(self, folder: Path) -> None:
        self.faces, self.mels = folder / "faces", folder / "mels"
        self.people = sorted(os.listdir(self.faces))

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        person = self.people[index]
        face = self.faces / person / random.choice(os.listdir(self.faces / person))
        with Image.open(face) as picture:
            small = picture.convert("RGB").resize((SMALL_PX, SMALL_PX), Image.Resampling.BILINEAR)
        portrait = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).float() / 255
        with open(self.mels / person / random.choice(os.listdir(self.mels / person)), "rb") as file:
            mel_TF = pickle.load(file)["LogMel_Features"]
        start = random.randrange(len(mel_TF) - CUT + 1)
        return (portrait - 0.5) / 0.5, torch.from_numpy(mel_TF[start : start + CUT].T.copy())


def _for_ever(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def _rate(batches: Iterator[Tensor]) -> float:
    """Samples per second, after the first batches have started the workers."""
    for _ in range(2 * WORKERS):
        next(batches)
    samples, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < SECONDS:
        samples += len(next(batches))
    return samples / passed


def _pack(storage: LocalStorage, everything: dict[str, list[Sample]]) -> list[ShardEntry]:
    place = {"split": "train", "first_bucket": 0, "last_bucket": 4095}
    schemas_of = {"faces": FACE_ROW, "speech": SPEECH_ROW}
    found = [
        pack(storage, kind="faces" if kind == "faces" else "speech", samples=samples, schema=schemas_of[kind], **place)
        for kind, samples in everything.items()
    ]
    return [entry for entry in found if entry is not None]


def _publish(storage: LocalStorage, everything: dict[str, list[Sample]]) -> None:
    snapshot = write_snapshot(
        storage,
        recipe=RECIPE,
        code_version="0",
        shards=_pack(storage, everything),
        front_ends={"torch40": {"n_mels": MELS, "hop_s": 0.01}},
        tables={},
        versions={},
    )
    state_publication(storage, snapshot, {}, at="2026-11-21T09:00:00Z")


def _write_plainly(path: Path, data: list[bytes]) -> float:
    """Seconds to write the same bytes to one file, and to the disk."""
    started = time.perf_counter()
    with open(path, "wb") as file:
        for part in data:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - started


def _read_at_random(storage: LocalStorage, entries: list[ShardEntry]) -> float:
    """Members per second, by key, as `Dataset.read` finds them."""
    snapshot = write_snapshot(
        storage, recipe=RECIPE, code_version="0", shards=entries, front_ends={}, tables={}, versions={}
    )
    state_publication(storage, snapshot, {}, at="2026-11-21T09:00:00Z")
    with Dataset(storage.path) as dataset:
        members = [
            (sample.key, suffix) for sample in [*_names("jpg"), *_names("torch40.npy")] for suffix in sample.members
        ]
        wanted = [members[n] for n in np.random.default_rng(0).integers(len(members), size=READS)]
        for key, suffix in members:
            dataset.read(key, suffix)
        started = time.perf_counter()
        for key, suffix in wanted:
            dataset.read(key, suffix)
        return READS / (time.perf_counter() - started)


def _names(suffix: str) -> Iterator[Sample]:
    nothing = Member(bytes, "", 0)
    count = PORTRAITS if suffix == "jpg" else CLIPS
    for person in range(PEOPLE):
        for number in range(count):
            yield Sample(_key(person, number, suffix), {suffix: nothing, "json": nothing}, {})


def _key(person: int, number: int, suffix: str) -> str:
    return f"id{person:05d}/{'portrait' if suffix == 'jpg' else 'clip'}{number:03d}"


def _who(person: int) -> dict[str, Any]:
    return {"identity": f"id{person:05d}", "person": f"id{person:05d}", "bucket": person}


def _faces() -> Iterator[Sample]:
    pictures = [Member.of(_picture(number)) for number in range(PICTURES)]
    for person in range(PEOPLE):
        for number in range(PORTRAITS):
            member = pictures[(person * PORTRAITS + number) % PICTURES]
            row = {**_who(person), "photo_sha256": member.sha256, "yaw_deg": 1.5, "size_px": SIDE_PX}
            yield Sample(_key(person, number, "jpg"), {"jpg": member}, row)


def _speech() -> Iterator[Sample]:
    rng = np.random.default_rng(1)
    for person in range(PEOPLE):
        for number in range(CLIPS):
            sink = io.BytesIO()
            np.save(sink, rng.standard_normal((MELS, rng.integers(*FRAMES)), np.float32).astype(np.float16))
            member = Member.of(sink.getvalue())
            row = {**_who(person), "audio_sha256": member.sha256, "speech_s": 5.0, "holdout": False}
            yield Sample(_key(person, number, "npy"), {"torch40.npy": member}, row)


def _picture(seed: int) -> bytes:
    """A JPEG with detail like that of a portrait: smooth shapes and some noise in an oval on white."""
    rng = np.random.default_rng(seed)
    smooth = Image.fromarray(rng.integers(40, 220, (12, 12, 3), np.uint8)).resize(
        (SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC
    )
    y, x = np.mgrid[-1 : 1 : SIDE_PX * 1j, -1 : 1 : SIDE_PX * 1j]
    inside = (x / 0.6) ** 2 + (y / 0.85) ** 2 < 1
    noisy = np.clip(np.asarray(smooth) + rng.normal(0, 6, (SIDE_PX, SIDE_PX, 3)), 0, 255)
    sink = io.BytesIO()
    Image.fromarray(np.where(inside[..., None], noisy, 255).astype(np.uint8)).save(sink, "JPEG", quality=92)
    return sink.getvalue()


def _write_released(folder: Path, faces: list[Sample], speech: list[Sample]) -> None:
    for sample in faces:
        _file(folder / "faces" / f"{sample.key}.jpg").write_bytes(sample.members["jpg"].load())
    for sample in speech:
        mel_FT = np.load(io.BytesIO(sample.members["torch40.npy"].load()))
        content = pickle.dumps({"LogMel_Features": mel_FT.T.astype(np.float32)})
        _file(folder / "mels" / f"{sample.key}.pickle").write_bytes(content)


def _file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _disk(folder: Path) -> Path:
    """A folder on the disk of the root."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder.parent
