"""The link between voices and faces is what it says it is."""

from __future__ import annotations

import numpy as np
import pytest

from voxdata.simulate.people import LINKED, SimulatedPerson, draw_people, expected_face

COUNT = 1500
VOICE_FACTORS = ("tract_length", "pitch", "rate", "breathiness", "brightness", "intonation", "roughness", "femininity")
UNLINKED_FACE = ("jaw", "nose_width", "nose_length", "eye_spacing", "skin", "hair_redness", "hair_length", "stubble")


def correlation(people: list[SimulatedPerson], voice: str, face: str) -> float:
    pairs = [(getattr(person.voice, voice), getattr(person.face, face)) for person in people]
    return float(np.corrcoef(np.array(pairs).T)[0, 1])


@pytest.mark.parametrize("link", [0.0, 0.6, 1.0])
def test_linked_factors_and_sex_correlate_by_link(link: float) -> None:
    people = draw_people(COUNT, seed=2, link=link)
    for voice, face in (*LINKED, ("femininity", "femininity")):
        assert correlation(people, voice, face) == pytest.approx(link, abs=0.09), (voice, face)


@pytest.mark.parametrize("link", [0.0, 1.0])
def test_everything_else_is_independent(link: float) -> None:
    people = draw_people(COUNT, seed=3, link=link)
    linked = dict(LINKED)
    for voice in VOICE_FACTORS:
        for face in (*UNLINKED_FACE, *linked.values()):
            if linked.get(voice) != face:
                assert abs(correlation(people, voice, face)) < 0.12, (voice, face)


def test_physical_voice_factors_differ_by_sex_of_the_voice() -> None:
    people = draw_people(200, seed=1, link=0.0)
    by_sex = {sex: [p.voice.pitch_hz for p in people if p.voice.femininity == sex] for sex in (0.0, 1.0)}
    assert np.median(by_sex[1.0]) > 1.4 * np.median(by_sex[0.0])


def test_a_longer_list_starts_with_the_shorter_one() -> None:
    assert draw_people(30, seed=5, link=0.8)[:10] == draw_people(10, seed=5, link=0.8)
    assert draw_people(10, seed=6, link=0.8) != draw_people(10, seed=5, link=0.8)


def test_ids_are_unique_and_voxceleb_like() -> None:
    people = draw_people(300, seed=0, link=0.5)
    assert people[0].identity == "id90001"
    assert len({person.identity for person in people}) == len(people)
    assert {person.sex for person in people} == {"m", "f"}


def test_expected_face_depends_on_the_voice_alone() -> None:
    for person in draw_people(20, seed=4, link=1.0):
        best = expected_face(person).face
        assert all(getattr(best, face) == pytest.approx(getattr(person.face, face)) for _, face in LINKED)
        assert best.femininity == person.face.femininity
        assert best.skin == best.hair_length == 0.0
    strangers = [expected_face(person).face for person in draw_people(5, seed=4, link=0.0)]
    assert all(face == strangers[0] for face in strangers)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"link is 1\.5"):
        draw_people(1, seed=0, link=1.5)
