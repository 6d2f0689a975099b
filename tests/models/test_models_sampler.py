"""Batches are a pure function of (seed, step, share), and uniform over people."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.data.sampler import CropBatch, Groups, Share, crop_batch, independent_batch, speech_batch

FACES = Groups.of([1, 7, 3, 2])
UTTERANCES = Groups.of([40, 1, 5, 2])
FRAMES = np.random.default_rng(1).integers(90, 400, size=48)


def draw(seed: int = 3, step: int = 10, batch_size: int = 64, **share: Any) -> CropBatch:
    sizes = {"batch_size": batch_size, "crop_frames": (100, 150)}
    return crop_batch(FACES, UTTERANCES, FRAMES, **sizes, seed=seed, step=step, share=Share(**share))


def flat(batch: CropBatch) -> list[int]:
    return [*batch.people, *batch.faces, *batch.utterances, *batch.starts, batch.length]


def test_same_arguments_same_batch_whatever_was_drawn_before() -> None:
    expected = flat(draw())
    for step in range(10):
        draw(step=step)
    assert flat(draw()) == expected


@pytest.mark.parametrize("change", [{"seed": 4}, {"step": 11}, {"rank": 1, "ranks": 2}, {"people": (0, 2)}])
def test_each_argument_changes_the_batch(change: dict[str, Any]) -> None:
    assert flat(draw(**change)) != flat(draw())


def test_crops_of_a_batch_have_one_length_of_the_range_or_of_a_bucket() -> None:
    lengths = {step: draw(step=step).length for step in range(300)}
    assert (min(lengths.values()), max(lengths.values())) == (100, 150)
    bucketed = {step: draw(step=step, length_multiple=8).length for step in range(300)}
    assert sorted(set(bucketed.values())) == [104, 112, 120, 128, 136, 144, 152]
    assert all(0 <= bucketed[step] - lengths[step] < 8 for step in lengths)


def test_processes_cut_one_batch_into_parts() -> None:
    whole, parts = draw(), [draw(rank=rank, ranks=4) for rank in range(4)]
    for name in ("people", "faces", "utterances", "starts"):
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))
    assert {part.length for part in parts} == {whole.length}
    long = {"batch_size": 8, "speech_frames": (600, 2500), "seed": 1, "step": 2}
    spoken = speech_batch(FACES, UTTERANCES, **long)
    second = speech_batch(FACES, UTTERANCES, **long, share=Share(rank=1, ranks=2))
    np.testing.assert_array_equal(second.faces, spoken.faces[4:])
    assert [list(order) for order in second.utterances] == [list(order) for order in spoken.utterances[4:]]


def test_a_process_that_holds_some_people_draws_among_them() -> None:
    shares = [Share(rank=rank, ranks=2, people=people) for rank, people in enumerate([(0, 2), (2, 4)])]
    for step in range(20):
        for share in shares:
            assert share.people is not None
            drawn = crop_batch(
                FACES, UTTERANCES, FRAMES, batch_size=64, crop_frames=(100, 150), seed=1, step=step, share=share
            )
            assert len(drawn.people) == 32
            assert set(drawn.people) == set(range(*share.people))
            heard = independent_batch(
                FACES, UTTERANCES, FRAMES, batch_size=64, crop_frames=(100, 150), seed=1, step=step, share=share
            )
            assert set(heard.speakers) <= set(range(*share.people))
            assert set(heard.shown) - set(range(*share.people))


def test_face_and_utterance_are_the_same_persons_and_crops_fit() -> None:
    face_of = np.repeat(np.arange(4), FACES.count)
    utterance_of = np.repeat(np.arange(4), UTTERANCES.count)
    for step in range(50):
        batch = draw(step=step)
        np.testing.assert_array_equal(face_of[batch.faces], batch.people)
        np.testing.assert_array_equal(utterance_of[batch.utterances], batch.people)
        frames = FRAMES[batch.utterances]
        ends = batch.starts + batch.length
        assert (ends[frames >= batch.length] <= frames[frames >= batch.length]).all()
        assert (batch.starts < frames).all()
        assert (batch.starts >= 0).all()


def test_people_and_their_items_are_uniform() -> None:
    batches = [draw(step=step) for step in range(400)]
    people = np.concatenate([batch.people for batch in batches])
    counts = np.bincount(people, minlength=4)
    spread = np.sqrt(len(people) * 0.25 * 0.75)
    assert (np.abs(counts - len(people) / 4) < 4 * spread).all()
    faces = np.bincount(np.concatenate([batch.faces for batch in batches]), minlength=13)[1:8]
    assert (np.abs(faces - counts[1] / 7) < 4 * np.sqrt(counts[1] / 7)).all()


def test_speech_batches_hold_every_utterance_of_the_person_once() -> None:
    batch = speech_batch(FACES, UTTERANCES, batch_size=32, speech_frames=(600, 2500), seed=1, step=2)
    again = speech_batch(FACES, UTTERANCES, batch_size=32, speech_frames=(600, 2500), seed=1, step=2)
    assert 600 <= batch.length <= 2500
    for person, order, same in zip(batch.people, batch.utterances, again.utterances, strict=True):
        np.testing.assert_array_equal(order, same)
        first = UTTERANCES.first[person]
        assert sorted(order) == list(range(first, first + UTTERANCES.count[person]))
    long_orders = [tuple(order) for order in batch.utterances if len(order) == 40]
    assert len(set(long_orders)) == len(long_orders) > 1
