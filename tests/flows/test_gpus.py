"""One training per card, also over processes, however the holder ends."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from flows import gpus
from flows.gpus import NOTHING, free_cards
from flows.runs import process_group


@pytest.fixture(autouse=True)
def _two_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two cards that nothing else uses."""
    monkeypatch.setattr(gpus, "FOLDER", tmp_path / "locks")
    monkeypatch.setattr(gpus, "POLL_S", 0.02)
    monkeypatch.setattr(gpus, "cards", lambda device: ["GPU-a", "GPU-b"] if device == "auto" else ["GPU-b"])


def card(held: gpus.Held) -> str:
    return held.environment["CUDA_VISIBLE_DEVICES"]


def test_two_trainings_get_two_cards_and_the_third_waits(caplog: pytest.LogCaptureFixture) -> None:
    got: list[str] = []

    def third() -> None:
        with free_cards("auto") as held:
            got.append(card(held))

    with ExitStack() as stack, caplog.at_level("INFO", "voxdata"):
        first, second = stack.enter_context(ExitStack()), stack.enter_context(ExitStack())
        assert [card(each.enter_context(free_cards("auto"))) for each in (first, second)] == ["GPU-a", "GPU-b"]
        waiting = threading.Thread(target=third)
        waiting.start()
        waiting.join(0.3)
        assert got == []
        second.close()
        waiting.join(20)
    assert got == ["GPU-b"]
    assert "2 of 2 cards are in training; waiting for one" in caplog.text


def test_a_card_is_held_until_the_training_itself_is_gone() -> None:
    """The flow lets go of it first here, as when it is killed with -9."""
    with ExitStack() as training:
        with free_cards("auto") as held:
            process = training.enter_context(process_group(["sleep", "60"], held=held))
        with free_cards("auto") as other:
            assert card(other) == "GPU-b"
        process.kill()
        process.wait()
        with free_cards("auto") as again:
            assert card(again) == "GPU-a"


def test_a_card_that_was_asked_for_by_number_is_held_and_all_are_seen() -> None:
    with free_cards("cuda:1") as held:
        assert held.environment == {}
        with free_cards("auto") as other:
            assert card(other) == "GPU-a"


def test_a_cpu_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert gpus.cards("cpu") == []
    with free_cards("cpu") as held:
        assert held == NOTHING
