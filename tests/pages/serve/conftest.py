from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from flows.serve import Answering
from tests.flows.trained_root import PEOPLE, SMALL, publish_people, train
from tests.served_page import Served, in_thread
from voxdata.pages.serve.routes import voice_page
from voxdata.simulate.clips import encode_wav
from voxdata.simulate.people import draw_person
from voxdata.simulate.voice import speak


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps on painted squares, which takes windows of half a second."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("served") / "root"
    publish_people(root, "people01", PEOPLE, at="2026-01-01T00:00:00Z", recipe={"speech": {"measure": {}}})
    return Path(train(root=str(root), steps=2, overrides=SMALL, device="cpu"))


@pytest.fixture(scope="session")
def clip() -> bytes:
    """Four seconds of a simulated voice, as a wav file."""
    return encode_wav(speak(draw_person(3, seed=1, link=1.0), duration_s=4.0, seed=1))


@pytest.fixture(scope="session")
def page(run: Path) -> Iterator[Served]:
    """The page over that run."""
    answering = Answering(run, None, "cpu")
    with in_thread(voice_page(answering, answering.about())) as served:
        yield served
