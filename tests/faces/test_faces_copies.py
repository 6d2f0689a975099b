"""Copies of photos: whatever was done to them they are one cluster, and other photos are not in it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from face_kit import face_row, faces_table, photo_item
from PIL import Image, ImageEnhance

from voxdata.faces.copies import copies, correlation, popcount, print_hashes, proposed
from voxdata.faces.decide import decide
from voxdata.faces.link import link, without_print
from voxdata.faces.measure import run
from voxdata.people.splits import assign
from voxdata.recipe.faces import FaceMeasure, Faces, Link
from voxdata.recipe.sections import Splits
from voxdata.simulate.photos import make_photo, photo_kinds
from voxdata.simulate.settings import PLAIN, CorpusSettings
from voxdata.store.items import PhotoItem
from voxdata.tables.schemas import IDENTITIES

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
Change = Callable[[Image.Image], Image.Image]
Measured = tuple[pa.Table, dict[str, tuple[str, str]]]  # rows; sha256 -> (that of its original, what was done to it)
CHANGES: dict[str, Change] = {
    "6 % cut off": lambda image: image.crop((round(0.06 * image.width), 0, image.width, round(0.94 * image.height))),
    "a quarter brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.25),
    "saved again": lambda image: image,
    "two thirds of the size": lambda image: image.resize((image.width * 2 // 3, image.height * 2 // 3)),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}
RNG = np.random.default_rng(5)


def saved(image: Image.Image, quality: int = 75) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def painted_photos() -> dict[str, list[bytes]]:
    """Plain photos of painted people."""
    settings = CorpusSettings(people=4, photos_per_person=3, seed=11)
    return {
        f"person{who}": [
            make_photo(settings, who, number).data
            for number, kind in enumerate(photo_kinds(settings, who))
            if kind == PLAIN
        ]
        for who in range(settings.people)
    }


def real_photos() -> dict[str, list[bytes]]:
    """One photo of each of a few people of VoxCeleb1."""
    folder = DATA / "voxceleb1-mini" / "photos"
    if not folder.is_dir():
        pytest.skip("needs the real photos of ../shared/data")
    people = sorted(path for path in folder.iterdir() if path.is_dir())[:12]
    return {person.name: [min(person.glob("*.jpg")).read_bytes()] for person in people}


@pytest.fixture(scope="module", params=[painted_photos, real_photos])
def with_copies(request: pytest.FixtureRequest) -> Measured:
    """Measured photos of some people, and copies of each in another person's folder."""
    photos: dict[str, list[bytes]] = request.param()
    items: list[PhotoItem] = []
    whose: dict[str, tuple[str, str]] = {}
    for person, each in photos.items():
        for data in each:
            original = photo_item(data, person)
            items.append(original)
            whose[original.row["photo_sha256"]] = (original.row["photo_sha256"], "original")
            with Image.open(io.BytesIO(data)) as opened:
                image = opened.convert("RGB")
            for name, change in CHANGES.items():
                copy = photo_item(saved(change(image)), f"copies of {person}")
                items.append(copy)
                whose[copy.row["photo_sha256"]] = (original.row["photo_sha256"], name)
    return run(items, FaceMeasure()).rows, whose


@pytest.mark.long
def test_copies_of_every_kind_are_found_and_nothing_else_is(
    with_copies: Measured,
) -> None:
    faces, whose = with_copies
    linked = {row["photo_sha256"]: row["photo_cluster"] for row in link(faces, Link()).to_pylist()}
    found: dict[str, list[bool]] = {name: [] for name in CHANGES}
    for photo, (original, name) in whose.items():
        if name != "original" and original in linked:
            found[name].append(photo in linked and linked[photo] == linked[original])
    shares = {name: float(np.mean(hits)) for name, hits in found.items()}
    assert min(shares.values()) >= 0.7, shares  # of so few photos; what it is of many: benchmarks/near_copies.py
    assert np.mean(list(shares.values())) >= 0.9, shares
    members: dict[str, set[str]] = {}
    for photo, cluster in linked.items():
        members.setdefault(cluster, set()).add(whose[photo][0])
    assert [originals for originals in members.values() if len(originals) > 1] == []


def test_no_copy_is_on_another_side_of_the_split(with_copies: Measured) -> None:
    faces, whose = with_copies
    loose = Faces.model_validate(
        {
            "pose": {"max_angle_deg": 90},
            "expression": {"rule": "none"},
            "lighting": {"min_evenness": 0, "max_highlight_share": 1, "max_shadow_share": 1, "min_skin_level": 0},
            "sharpness": {"min_sharpness": 0},
            "resolution": {"min_pupil_distance_px": 0},
            "select": {"min_per_identity": 1},
        }
    )
    people = sorted(set(faces["person"].to_pylist()))
    listed = pa.Table.from_pylist([{"identity": who, "person": who} for who in people], schema=IDENTITIES)
    split = {row["person"]: row["split"] for row in assign(listed, Splits()).to_pylist()}
    assert len(set(split.values())) > 1
    sides: dict[str, set[str]] = {}
    verdicts = decide(faces, link(faces, loose.link), loose).to_pylist()
    for face, verdict in zip(faces.to_pylist(), verdicts, strict=True):
        if verdict["verdict"] == "keep":
            sides.setdefault(whose[face["photo_sha256"]][0], set()).add(split[face["person"]])
    assert [where for where in sides.values() if len(where) > 1] == []


def noise_print() -> npt.NDArray[np.uint8]:
    return RNG.integers(1, 256, (1, 1024)).astype(np.uint8)


def test_a_mirror_turns_a_print_s_hash_as_it_turns_the_print() -> None:
    prints = np.concatenate([noise_print() for _ in range(50)])
    mirrored = np.ascontiguousarray(prints.reshape(-1, 32, 32)[:, :, ::-1]).reshape(-1, 1024)
    left, right, turned = proposed(np.concatenate([prints, mirrored]))
    assert sorted(zip(left.tolist(), right.tolist(), strict=True)) == [(place, place + 50) for place in range(50)]
    assert turned.all()
    pairs = [pair for found in copies(np.concatenate([prints, mirrored]), 0.99) for pair in zip(*found, strict=True)]
    assert len(pairs) == 50


def test_what_lies_outside_either_photo_does_not_count() -> None:
    whole = noise_print()
    cut = whole.copy().reshape(1, 32, 32)
    cut[:, :12] = 0
    assert correlation(whole, cut.reshape(1, -1))[0] > 0.99
    cut[:, :24] = 0
    assert correlation(whole, cut.reshape(1, -1))[0] == -1
    nothing = np.zeros((1, 1024), np.uint8)
    assert correlation(nothing, nothing)[0] == -1


def test_flat_faces_are_copies_of_nothing() -> None:
    flat = np.full((2, 1024), 128, np.uint8)
    assert [pair for left, right in copies(flat, 0.5) for pair in zip(left, right, strict=True)] == []


def test_distances_are_counted_in_bits() -> None:
    words = RNG.integers(0, 2**63, 100).astype(np.uint64)
    assert popcount(words).tolist() == [int(word).bit_count() for word in words]
    assert popcount(np.array([0, 2**64 - 1], np.uint64)).tolist() == [0, 64]
    assert print_hashes(noise_print()).shape == (1, 4)


def test_faces_that_were_measured_before_there_were_prints_are_linked_by_the_photo_s_hash() -> None:
    one, other = noise_print().tobytes(), noise_print().tobytes()
    rows = [
        face_row("ann", "new", photo_phash="00000000000000ff", face_print=one),
        face_row("bob", "unlike", photo_phash="00000000000000ff", face_print=other),
        face_row("cat", "old", photo_phash="ff000000000000fc"),
        face_row("dan", "older", photo_phash="ff000000000000ff"),
        face_row("eve", "copy", photo_phash="0123456789abcdef", face_print=one),
        face_row("fay", "turned", photo_phash="ff000000000000ff", measured_until="landmarks"),
    ]
    faces = faces_table(*rows)
    assert without_print(faces).tolist() == [False, False, True, True, False, False]
    by_person = {row["face_id"].partition("/")[0]: row["cluster_people"] for row in link(faces, Link()).to_pylist()}
    assert by_person == {"ann": 2, "bob": 1, "cat": 3, "dan": 3, "eve": 2, "fay": 3}
