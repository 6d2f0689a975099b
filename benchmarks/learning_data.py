"""A snapshot of simulated people made directly: painted portraits and spoken log-mels, without photos to filter."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from voxdata.catalog.snapshot import write_snapshot
from voxdata.people.identities import bucket_of
from voxdata.recipe.reading import load_recipe
from voxdata.shards.sidecars import FACE_SIDECAR, SPEECH_SIDECAR
from voxdata.shards.write import Member, Sample, pack
from voxdata.simulate.people import SimulatedPerson, draw_person, expected_face
from voxdata.simulate.sample import paint_portrait, simulate_pairs
from voxdata.speech.clip import front_end_metadata
from voxdata.speech.front_ends.mel import log_mel
from voxdata.store.storage import open_storage

FRONT_END = "torch40"
PORTRAITS, SECONDS = 3, 4.0
CLIPS = {"train": 3, "test": 4}
SIDE_PX = 64


def make_root(root: Path, *, people: int, unseen: int, link: float, seed: int) -> str:
    """Write `people` training and `unseen` test people under `root`, as a snapshot; returns its id. Idempotent."""
    storage = open_storage(str(root), create=True)
    splits = ["train"] * people + ["test"] * unseen
    drawn = [_samples(number, split, link=link, seed=seed) for number, split in enumerate(splits)]
    shards = []
    kinds: tuple[tuple[Literal["faces", "speech"], Any, int], ...] = (
        ("faces", FACE_SIDECAR, 0),
        ("speech", SPEECH_SIDECAR, 1),
    )
    for split, chosen in zip(CLIPS, (drawn[:people], drawn[people:]), strict=True):
        for kind, schema, column in kinds:
            samples = [
                _sample(key, suffix, data, row) for person in chosen for key, suffix, data, row in person[column]
            ]
            entry = pack(
                storage, kind=kind, split=split, first_bucket=0, last_bucket=4095, samples=samples, schema=schema
            )
            shards += [entry] if entry else []
    recipe = load_recipe("demo")
    snapshot = write_snapshot(
        storage,
        recipe=recipe,
        code_version="benchmark",
        shards=shards,
        front_ends={FRONT_END: front_end_metadata(FRONT_END, recipe.model_dump())},
        tables={},
        versions={},
    )
    return snapshot.id


def known_optimum(numbers: Iterable[int], *, link: float, seed: int) -> dict[str, npt.NDArray[np.uint8]]:
    """Person -> a portrait (S, S, 3) of the face that is expected given the voice, for people by their numbers."""
    people = [draw_person(number, seed=seed, link=link) for number in numbers]
    return {person.identity: paint_portrait(expected_face(person), size_px=SIDE_PX) for person in people}


def _samples(number: int, split: str, *, link: float, seed: int) -> tuple[list[Any], list[Any]]:
    """The portraits and the clips of one person: (key, suffix, bytes, row) each."""
    person = draw_person(number, seed=seed, link=link)
    pairs = simulate_pairs(
        [person],
        portraits_per_person=PORTRAITS,
        clips_per_person=CLIPS[split],
        seconds=SECONDS,
        seed=seed + number,
        size_px=SIDE_PX,
        features=lambda samples: log_mel(samples, FRONT_END).astype(np.float16),
    )
    who = _who(person)
    faces = [(f"{person.identity}/{n}", "jpg", _jpg(image), who) for n, image in enumerate(pairs.portraits[0])]
    clips = [
        (f"{person.identity}/c_{n}", f"{FRONT_END}.npy", _npy(mel), who | {"holdout": False})
        for n, mel in enumerate(pairs.clips[0])
    ]
    return faces, clips


def _who(person: SimulatedPerson) -> dict[str, Any]:
    return {
        "identity": person.identity,
        "person": person.identity,
        "bucket": bucket_of(person.identity),
        "name": person.identity,
        "sex": person.sex,
        "nationality": "unknown",
    }


def _sample(key: str, suffix: str, data: bytes, row: dict[str, Any]) -> Sample:
    return Sample(key=key, members={suffix: Member(lambda: data, hashlib.sha256(data).hexdigest(), len(data))}, row=row)


def _jpg(image: npt.NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=95)
    return out.getvalue()


def _npy(mel: npt.NDArray[np.float16]) -> bytes:
    out = io.BytesIO()
    np.save(out, mel)
    return out.getvalue()
