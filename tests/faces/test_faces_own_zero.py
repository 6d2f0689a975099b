"""A person's own zero of pitch: what their photos share, and no more than can be known of it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from face_kit import face_row, faces_table
from hypothesis import given, settings
from hypothesis import strategies as st

from voxdata.faces.link import link
from voxdata.faces.own_zero import PERSON_SD_DEG, PHOTO_SD_DEG, believed
from voxdata.recipe.faces import Link

FREE = Link(max_own_zero_deg=30.0)
pitches = st.lists(st.floats(-40, 40, width=32), min_size=1, max_size=9)


def photos(person: str, *pitch_deg: float, **changes: float) -> list[dict[str, Any]]:
    """A photo of the person for each pitch; no two are copies."""
    return [face_row(person, f"{person}{n}", pitch_deg=pitch, **changes) for n, pitch in enumerate(pitch_deg)]


def zeros(*rows: dict[str, Any], limits: Link = FREE) -> dict[str, float]:
    """Person -> own zero, which all faces of a person must share."""
    faces = faces_table(*rows)
    table = link(faces, limits)
    people = dict(zip(faces["face_id"].to_pylist(), faces["person"].to_pylist(), strict=True))
    found: dict[str, set[float]] = {}
    for row in table.to_pylist():
        found.setdefault(people[row["face_id"]], set()).add(row["own_zero_deg"])
    assert all(len(values) == 1 for values in found.values())
    return {person: values.pop() for person, values in found.items()}


@settings(max_examples=60, deadline=None)
@given(pitches)
def test_the_zero_is_the_median_of_the_photos_shrunk_by_their_number(pitch_deg: list[float]) -> None:
    n = len(pitch_deg)
    share = n / (n + (PHOTO_SD_DEG / PERSON_SD_DEG) ** 2) if n > 1 else 0.0
    (zero,) = zeros(*photos("ann", *pitch_deg)).values()
    assert zero == pytest.approx(share * np.median(pitch_deg), abs=1e-4)


def test_the_share_that_is_believed_is_the_best_linear_guess_of_a_persons_shift() -> None:
    rng = np.random.default_rng(3)
    shift = rng.normal(0, PERSON_SD_DEG, 40_000)
    for n in (2, 5):
        mean = shift + rng.normal(0, PHOTO_SD_DEG / np.sqrt(n), len(shift))
        assert believed(np.array([n]))[0] == pytest.approx((shift @ mean) / (mean @ mean), abs=0.01)


def test_nods_are_counted_from_it_and_one_photo_shares_nothing() -> None:
    rows = [*photos("ann", 6.0, 6.0, 8.0), *photos("bob", 7.0)]
    table = link(faces_table(*rows), FREE)
    found = {row["face_id"]: row for row in table.to_pylist()}
    for row in rows:
        its = found[row["face_id"]]
        assert its["nod_deg"] == pytest.approx(row["pitch_deg"] - its["own_zero_deg"], abs=1e-5)
    assert {row["own_zero_deg"] for name, row in found.items() if name.startswith("bob")} == {0.0}
    assert min(row["own_zero_deg"] for name, row in found.items() if name.startswith("ann")) > 2


def test_it_moves_no_further_than_the_recipe_says() -> None:
    up, down = photos("ann", *[20.0] * 8), photos("bob", *[-20.0] * 8)
    assert zeros(*up, *down, limits=Link()) == {"ann": 4.0, "bob": -4.0}
    assert zeros(*up, limits=Link(max_own_zero_deg=0.0)) == {"ann": 0.0}


def test_strangers_in_the_minority_do_not_carry_it_away() -> None:
    mine = photos("ann", 2.0, 2.5, 3.0, 3.5, 4.0)
    strangers = [face_row("ann", f"s{n}", pitch_deg=-35.0) for n in range(4)]
    assert 0 < zeros(*mine, *strangers)["ann"] <= 2.0


def test_copies_count_once_and_bystanders_not_at_all() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, 1024, np.uint8).tobytes()
    mine = photos("ann", 2.0, 3.0)
    copies = [face_row("ann", f"c{n}", pitch_deg=9.0, face_print=pixels) for n in range(5)]
    once = zeros(*mine, copies[0])["ann"]
    assert zeros(*mine, *copies)["ann"] == once
    beside = face_row("ann", "ann0", index=1, pitch_deg=-30.0, pupil_distance_px=35.0)
    assert zeros(*mine, copies[0], beside)["ann"] == once


def test_faces_turned_far_aside_say_nothing_and_are_counted_from_it_all_the_same() -> None:
    mine = photos("ann", 3.0, 3.0, 3.0)
    turned = face_row("ann", "t", pitch_deg=-30.0, yaw_deg=25.0)
    assert zeros(*mine, turned) == zeros(*mine)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-30, 30, width=32)), min_size=1, max_size=12), st.randoms())
def test_neither_the_order_of_rows_nor_other_people_change_it(
    faces: list[tuple[str, float]], shuffler: random.Random
) -> None:
    rows = [face_row(person, f"{person}{n}", pitch_deg=pitch) for n, (person, pitch) in enumerate(faces)]
    mixed = list(rows)
    shuffler.shuffle(mixed)
    together = zeros(*rows)
    assert zeros(*mixed) == together
    for person in together:
        assert zeros(*(row for row in rows if row["person"] == person))[person] == together[person]
