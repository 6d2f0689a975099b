"""Files of a layout as members of shards: portraits as they are, log-mels as float16 `.npy`, and a row for each."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxdata.exchange.import_layouts import MelFile, Person
from voxdata.exchange.import_pickle import MAX_BYTES, load_plain_pickle
from voxdata.faces.decode import decode_photo
from voxdata.faces.portrait.render import MAX_MEGAPIXELS
from voxdata.format.errors import PhotoDecodeError, SourceError, brief
from voxdata.people.identities import IdentityBook, safe_key
from voxdata.speech.front_ends.front_end import find_front_end

BACKEND = "import"  # what stands where a build names what measured, cut out or decoded
SHARED, UNREADABLE = "shared_photo", "unreadable"
_MAGIC = {b"\xff\xd8\xff": "jpg", b"RIFF": "webp"}
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Imported:
    """One file that was looked at: its row, and its bytes by suffix where it is good, else the reason why not."""

    row: Row
    members: dict[str, bytes]
    reason: str | None = None


def who_of(person: Person, book: IdentityBook) -> Row:
    """The columns that say who it is."""
    known = person.identity
    return {
        "identity": known.identity,
        "person": book.person(known.identity),
        "bucket": book.bucket(known.identity),
        "name": known.name or None,
        "sex": known.sex,
        "nationality": known.nationality,
    }


def shared_portraits(people: Iterable[Person], book: IdentityBook) -> frozenset[str]:
    """The sha256 of portraits that lie with two persons: nobody knows whose they are, and none may cross a split."""
    whose: dict[str, str] = {}
    shared: set[str] = set()
    for person in people:
        who = book.person(person.identity.identity)
        for file in person.portraits:
            sha256 = hashlib.sha256(Path(file.path).read_bytes()).hexdigest()
            if whose.setdefault(sha256, who) != who:
                shared.add(sha256)
    return frozenset(shared)


def read_portraits(
    person: Person, who: Row, origin: Row, refused: Callable[[str], bool], shared: Container[str] = ()
) -> list[Imported]:
    """Every distinct portrait of a person; one that cannot be decoded, or is `shared`, says so; `refused` contents are
    left out.

    `origin` has the columns `source` and `licence`.
    """
    found: dict[str, Imported] = {}
    for file in person.portraits:
        data = Path(file.path).read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 in found or refused(sha256):
            continue
        place = {**origin, "source_key": file.key, "size_bytes": len(data)}
        row = {**who, "item_id": f"{who['identity']}/{sha256}", "photo_sha256": sha256, **place}
        portrait = _portrait(row, data)
        if sha256 in shared and portrait.reason is None:
            portrait = replace(portrait, members={}, reason=SHARED)
        found[sha256] = portrait
    return list(found.values())


def read_mels(person: Person, who: Row, origin: Row, front_end: str, refused: Callable[[str], bool]) -> list[Imported]:
    """Every log-mel of a person as `<front end>.npy`, float16 (F, T); two of one clip are told apart by their files."""
    found: dict[str, Imported] = {}
    for mel in person.mels:
        data = Path(mel.file.path).read_bytes()
        row = {**_clip_row(who, mel, hashlib.sha256(data).hexdigest(), len(data)), "source": origin["source"]}
        if refused(row["audio_sha256"]):
            continue
        if row["utterance_id"] in found:
            row["utterance_id"] = f"{safe_key(who['identity'])}/{safe_key(mel.file.key)}"
        row["item_id"] = f"{row['utterance_id']}@{row['audio_sha256'][:16]}"
        found[row["utterance_id"]] = _mel(row, data, mel.file.key, front_end)
    return list(found.values())


def _portrait(row: Row, data: bytes) -> Imported:
    measured = {"measured_until": "decode", "backend": BACKEND}
    suffix = next((name for magic, name in _MAGIC.items() if data.startswith(magic)), None)
    try:
        photo = decode_photo(data, max_megapixels=MAX_MEGAPIXELS)
        if suffix is None:
            raise PhotoDecodeError("neither JPEG nor WebP", UNREADABLE)
    except PhotoDecodeError as error:
        said = {"photo_status": error.reason, "face_count": 0}
        return Imported(row={**row, **measured, **said}, members={}, reason=error.reason)
    face_id = f"{safe_key(row['identity'])}/{row['photo_sha256'][:16]}_0"
    size = {"photo_width_px": photo.width_px, "photo_height_px": photo.height_px}
    face = {"face_id": face_id, "face_index": 0, "face_count": 1, "photo_status": "ok"}
    render = {"render_status": "ok", "size_px": min(photo.width_px, photo.height_px), "scale": 1.0, "format": suffix}
    return Imported(
        row={**row, **measured, **size, **face, **render, "matting_backend": BACKEND}, members={suffix: data}
    )


def _clip_row(who: Row, mel: MelFile, sha256: str, size: int) -> Row:
    name = f"{mel.video}_{mel.segment}" if mel.video else mel.segment
    utterance_id = f"{safe_key(who['identity'])}/{safe_key(name)}"
    return {
        **who,
        "utterance_id": utterance_id,
        "video": mel.video or None,
        "segment": mel.segment,
        "source_key": mel.file.key,
        "path": mel.file.path,
        "size_bytes": size,
        "audio_sha256": sha256,
        "decoder": BACKEND,
    }


def _mel(row: Row, data: bytes, name: str, front_end: str) -> Imported:
    try:
        mel_FT = log_mel(data, name, front_end)
    except SourceError as error:
        said = {"speech_status": UNREADABLE, "status_detail": str(error)}
        return Imported(row={**row, **said}, members={}, reason=UNREADABLE)
    sink = io.BytesIO()
    np.save(sink, mel_FT)
    frames = mel_FT.shape[1]
    heard = [(front_end, {"frames": frames, "vad": None, "vad_ratio": None})]
    measured = {"front_ends": heard, "speech_s": frames * find_front_end(front_end).hop_s}
    return Imported(row={**row, "speech_status": "ok", **measured}, members={f"{front_end}.npy": sink.getvalue()})


def log_mel(data: bytes, name: str, front_end: str) -> npt.NDArray[np.float16]:
    """The log-mel (F, T) in a pickle (`*.pickle`, under `LogMel_Features`) or a `.npy`. Raises `SourceError`."""
    array = load_npy(data, name) if name.endswith(".npy") else load_plain_pickle(data, name)
    if isinstance(array, dict):
        array = array.get("LogMel_Features")
    bands = find_front_end(front_end).n_mels
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f" or bands not in array.shape:
        is_a = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise SourceError(f"{name} holds {is_a}; a log-mel of {front_end} is ({bands}, T) numbers")
    if name.endswith(".npy") and array.shape == (bands, bands):
        raise SourceError(f"{name} is {bands} x {bands}: which side is time cannot be told")
    with np.errstate(invalid="ignore"):  # of what is no number, which is refused below
        mel_FT = (array if array.shape[0] == bands else array.T).astype(np.float64)
    if mel_FT.shape[1] == 0 or not np.isfinite(mel_FT).all() or np.abs(mel_FT).max() > np.finfo(np.float16).max:
        raise SourceError(f"{name} is empty, or holds numbers that are no logarithms of energies")
    return np.ascontiguousarray(mel_FT.astype("<f2"))


def load_npy(data: bytes, name: str) -> npt.NDArray[Any]:
    """A numeric array in `.npy` bytes; nothing that its header says is believed. Raises `SourceError`."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)  # type: ignore[no-untyped-call]
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)  # type: ignore[no-untyped-call]
    except Exception as error:  # a spoiled header is Python source that can fail in any way
        raise SourceError(f"{name} is not .npy: {brief(error)}") from None
    rest = len(data) - stream.tell()
    numbers = dtype.kind in "biuf" and all(size >= 0 for size in shape)
    if not numbers or len(data) > MAX_BYTES or math.prod(shape) * dtype.itemsize != rest:
        raise SourceError(f"{name} promises {dtype} {shape} and has {rest} bytes")
    array: npt.NDArray[Any] = np.frombuffer(data, dtype, offset=stream.tell())
    return array.reshape(shape, order="F" if fortran else "C")
