"""Batches are a pure function of (seed, step, rank), and uniform over people."""

from __future__ import annotations

import numpy as np
import pytest

from models.sampler import CropBatch, Groups, crop_batch, speech_batch

FACES = Groups.of([1, 7, 3, 2])
UTTERANCES = Groups.of([40, 1, 5, 2])
FRAMES = np.random.default_rng(1).integers(90, 400, size=48)


def draw(seed: int = 3, step: int = 10, rank: int = 0, batch_size: int = 64) -> CropBatch:
    return crop_batch(
        FACES, UTTERANCES, FRAMES, batch_size=batch_size, crop_frames=(100, 150), seed=seed, step=step, rank=rank
    )


def flat(batch: CropBatch) -> list[int]:
    return [*batch.people, *batch.faces, *batch.utterances, *batch.starts, batch.length]


def test_same_arguments_same_batch_whatever_was_drawn_before() -> None:
    expected = flat(draw())
    for step in range(10):
        draw(step=step)
    assert flat(draw()) == expected


@pytest.mark.parametrize("change", [{"seed": 4}, {"step": 11}, {"rank": 1}])
def test_each_argument_changes_the_batch(change: dict[str, int]) -> None:
    assert flat(draw(**change)) != flat(draw())


def test_ranks_share_the_crop_length() -> None:
    lengths = {step: draw(step=step, rank=0).length for step in range(300)}
    assert lengths == {step: draw(step=step, rank=5).length for step in range(300)}
    assert min(lengths.values()) == 100
    assert max(lengths.values()) == 150


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
