"""Whose voice is it: a clip is held against its person's other videos, and a stranger's is found whatever it brings."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from voxdata.format.errors import RecipeError
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Recipe
from voxdata.recipe.speech import VOICE_LIMITS, SpeechSelect
from voxdata.sources.clips import UNKNOWN_IDENTITY
from voxdata.speech.decide import decide
from voxdata.speech.voices import VIDEOS_PER_STEP, judge_of, similarities, with_similarity
from voxdata.tables.schemas import UTTERANCE_VERDICTS, UTTERANCE_VERDICTS_EVER, VOICED_UTTERANCES

DIM = 32
RNG = np.random.default_rng(5)
ANN, BOB, CAT = (each / np.linalg.norm(each) for each in np.linalg.qr(RNG.normal(size=(DIM, 3)))[0].T)


def near(voice: np.ndarray, number: int) -> np.ndarray:
    """A clip of a voice: a unit vector whose cosine with it is 0.9."""
    noise = np.random.default_rng(number).normal(size=DIM)
    noise -= noise @ voice * voice
    return 0.9 * voice + np.sqrt(1 - 0.9**2) * noise / np.linalg.norm(noise)


def clip(name: str, video: str | None, vector: np.ndarray | None, person: str = "p", **changes: Any) -> dict[str, Any]:
    good = {
        "item_id": f"{person}/{name}@0",
        "identity": person,
        "person": person,
        "utterance_id": f"{person}/{name}",
        "video": video,
        "speech_status": "ok",
        "vad_ratio": 0.9,
        "gate_ratio": 0.9,
        "music_ratio": 0.0,
        "speech_s": 4.0,
        "clipped_share": 0.0,
        "pcm_sha256": f"{person}{name}",
        "voices": None if vector is None else [("net", vector)],
    }
    return {**good, **changes}


def heard(*clips: dict[str, Any]) -> dict[str, tuple[float | None, int | None]]:
    """utterance -> its similarity and how many other videos it was compared with."""
    rows = with_similarity(pa.Table.from_pylist(list(clips), VOICED_UTTERANCES), "net").to_pylist()
    assert [row["item_id"] for row in rows] == [one["item_id"] for one in clips]
    return {row["utterance_id"][2:]: (row["voice_similarity"], row["voice_videos"]) for row in rows}


def anns(count: int, videos: int) -> list[dict[str, Any]]:
    return [clip(f"own{n}", f"v{n % videos}", near(ANN, n)) for n in range(count)]


def test_a_strangers_video_is_found_though_its_clips_agree_with_each_other() -> None:
    strange = [clip(f"strange{n}", "v9", near(BOB, 50 + n)) for n in range(12)]
    found = heard(*anns(6, 3), *strange)
    own = [found[f"own{n}"] for n in range(6)]
    assert min(similarity or 0 for similarity, _ in own) > 0.75
    assert max(found[f"strange{n}"][0] or 0 for n in range(12)) < 0.3
    assert {videos for _, videos in found.values()} == {3}


def test_a_minority_of_strangers_moves_nobody_else() -> None:
    """Two of seven videos are strangers': the others are as like each other as they were, within a few hundredths."""
    strangers = [clip("x", "x", near(BOB, 60)), clip("y", "y", near(CAT, 61))]
    before, after = heard(*anns(5, 5)), heard(*anns(5, 5), *strangers)
    for name, (similarity, _) in before.items():
        assert after[name][0] == pytest.approx(similarity, abs=0.04)
    assert max(after[name][0] or 0 for name in "xy") < 0.3


@pytest.mark.parametrize(("videos", "judged"), [(1, False), (2, False), (3, True)])
def test_two_videos_do_not_say_which_is_the_strangers(videos: int, judged: bool) -> None:
    found = heard(*anns(6, videos))
    assert [each != (None, None) for each in found.values()] == [judged] * 6


def test_clips_without_a_video_are_one_video() -> None:
    assert set(heard(*(clip(f"own{n}", None, near(ANN, n)) for n in range(4))).values()) == {(None, None)}


def test_the_same_sound_has_one_vote() -> None:
    """A stranger's clip that was found under five addresses is one stranger."""
    again = [clip(f"again{n}", f"x{n}", near(BOB, 70), pcm_sha256="same") for n in range(5)]
    found = heard(*anns(4, 4), *again)
    assert min(found[f"own{n}"][0] or 0 for n in range(4)) > 0.75
    assert found["own0"][1] == 4
    assert found["again0"][0] is not None
    assert found["again0"][0] < 0.3


def test_clips_without_speech_have_no_voice() -> None:
    silent = clip("silent", "v7", None, speech_s=0.0)
    broken = clip("broken", "v8", None, speech_status="unreadable")
    found = heard(*anns(3, 3), silent, broken)
    assert found["silent"] == found["broken"] == (None, None)
    assert found["own0"][1] == 2


def test_people_are_judged_each_by_their_own_clips_in_any_order() -> None:
    rows = [*anns(4, 4), *(clip(f"b{n}", f"v{n}", near(BOB, 80 + n), person="q") for n in range(4))]
    alone, together = heard(*rows[:4]), heard(*rows)
    assert {name: together[name] for name in alone} == alone
    assert heard(*rows[::-1]) == together


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 6))
def test_similarities_are_those_of_the_textbook(seed: int, count: int, most: int) -> None:
    """One clip at a time, by a minimiser that knows nothing of Weiszfeld's algorithm."""
    rng = np.random.default_rng(seed)
    vectors = ANN[:8] + rng.normal(size=(count, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    videos, weights = rng.integers(0, most, count), rng.uniform(1, 9, count)
    found, others = similarities(vectors, videos, weights)
    for n in range(min(count, 4)):
        names = sorted(set(videos.tolist()) - {videos[n]})
        assert others[n] == len(names)
        assert np.isnan(found[n]) == (len(names) < 2)
        if len(names) > 2:
            sums = np.stack([(weights[:, None] * vectors)[videos == name].sum(axis=0) for name in names])
            votes = sums / np.linalg.norm(sums, axis=1, keepdims=True)
            told = {"method": "Nelder-Mead", "options": {"maxiter": 20_000, "xatol": 1e-6, "fatol": 1e-10}}
            best = minimize(
                lambda x, votes=votes: np.linalg.norm(votes - x, axis=1).sum(), votes.mean(axis=0), **told
            ).x
            assert found[n] == pytest.approx(vectors[n] @ best / np.linalg.norm(best), abs=0.03)


def test_more_videos_than_are_looked_at_together() -> None:
    count = 2 * VIDEOS_PER_STEP + 3
    vectors = np.stack([near(ANN, n) for n in range(count)])
    found, others = similarities(vectors, np.arange(count), np.ones(count))
    assert set(others.tolist()) == {count - 1}
    np.testing.assert_allclose(found, vectors @ ANN, atol=0.02)


def test_a_person_of_a_thousand_videos_takes_little_memory() -> None:
    count = 1_000
    vectors = np.stack([near(ANN, n) for n in range(count)])
    tracemalloc.start()
    similarities(vectors, np.arange(count), np.ones(count))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * VIDEOS_PER_STEP * count * 8  # ten matrices of videos by videos; DIM of them and more before


def test_clips_that_name_nobody_are_not_compared() -> None:
    """They are whose they are: no two of them need be of one person."""
    nobody = [clip(f"n{n}", f"v{n}", near(BOB, n), person=UNKNOWN_IDENTITY) for n in range(4)]
    rows = with_similarity(pa.Table.from_pylist([*nobody, *anns(3, 3)], VOICED_UTTERANCES), "net")
    assert rows["voice_videos"].to_pylist() == [None] * 4 + [2] * 3
    verdicts = decide(rows, SpeechSelect(min_voice_similarity=0.999))
    assert verdicts["reasons"].to_pylist() == [["unknown_identity"]] * 4 + [["other_speaker"]] * 3


def test_a_stranger_is_rejected_and_the_verdict_says_how_unlike_he_is() -> None:
    rows = [*anns(3, 3), clip("strange", "v9", near(BOB, 90))]
    table = with_similarity(pa.Table.from_pylist(rows, VOICED_UTTERANCES), "net")
    verdicts = decide(table, SpeechSelect(min_voice_similarity=0.5))
    assert verdicts.schema == UTTERANCE_VERDICTS_EVER
    assert verdicts["reason"].to_pylist() == [None, None, None, "other_speaker"]
    assert verdicts["voice_videos"].to_pylist() == [3, 3, 3, 3]
    off = decide(table, SpeechSelect())
    assert off["reason"].to_pylist() == [None] * 4
    assert off["voice_similarity"] == verdicts["voice_similarity"]
    deaf = decide(table.drop_columns(["voice_similarity", "voice_videos"]), SpeechSelect(min_voice_similarity=0.5))
    assert deaf.schema == UTTERANCE_VERDICTS
    assert deaf["reason"].to_pylist() == [None] * 4


def test_the_first_encoder_that_has_listened_judges() -> None:
    rows = [clip("a", "v", ANN, voices=[("other", BOB), ("net", ANN)]), clip("b", "w", None)]
    table = pa.Table.from_pylist(rows, VOICED_UTTERANCES)
    assert judge_of(table, ["torch40", "net", "other"]) == "net"
    assert judge_of(table, ["other", "net"]) == "other"
    assert judge_of(table, ["torch40"]) is None
    assert judge_of(table.drop_columns("voices"), ["net"]) is None
    assert judge_of(table.slice(0, 0), ["net"]) is None


@pytest.mark.parametrize("name", sorted(VOICE_LIMITS))
def test_an_encoder_brings_its_limit_and_a_recipe_may_say_another_or_none(name: str) -> None:
    named = f"speech.measure.front_ends=[torch40,{name}]"
    usual = load_recipe("demo", [named])
    assert usual.speech.select.min_voice_similarity == VOICE_LIMITS[name]
    for said, meant in (("0.6", 0.6), ("null", None)):
        recipe = load_recipe("demo", [named, f"speech.select.min_voice_similarity={said}"])
        again = Recipe.model_validate(recipe.model_dump(mode="json"))
        assert recipe.speech.select.min_voice_similarity == again.speech.select.min_voice_similarity == meant


def test_recipes_without_an_encoder_are_as_they_were() -> None:
    recipe = load_recipe("demo")
    assert "min_voice_similarity" not in recipe.model_dump(mode="json")["speech"]["select"]
    with pytest.raises(RecipeError, match=r"min_voice_similarity = 0\.6 has no effect: .*speech\.measure\.front_ends"):
        load_recipe("demo", ["speech.select.min_voice_similarity=0.6"])
