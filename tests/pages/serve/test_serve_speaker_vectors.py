"""A run that hears through a frozen speaker encoder, from its training to the page that answers a voice file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.cli import main
from flows.serve import Answering
from models.train import train
from tests.models.snapshot_writer import write_snapshot
from tests.served_page import in_thread
from tests.speaker_encoder import write_encoder
from voxdata.pages.serve.routes import voice_page
from voxdata.recipe.sections import Recipe
from voxdata.simulate.clips import encode_wav
from voxdata.simulate.people import draw_person
from voxdata.simulate.voice import speak
from voxdata.speech.front_ends.front_end import find_front_end

pytestmark = pytest.mark.long

OWN = {"crop_s": [1.6, 2.4], "window_s": 1.6}  # of `pretrained`: the small networks of these tests have others


def test_a_run_on_speaker_vectors_answers_a_voice_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "weights").mkdir()
    for name, value in write_encoder(tmp_path / "weights").items():
        monkeypatch.setenv(name, value)
    named = {"speech": {"measure": {"front_ends": ["torch40", "resemblyzer"]}}}
    about = find_front_end("resemblyzer").metadata()
    tiny = write_snapshot(tmp_path / "root", {"train": 12, "test": 2}, encoder=about)
    stated = tiny.root / "snapshots" / f"{tiny.id}.json"
    recipe = Recipe.model_validate({"name": "x", **named}).result_settings()
    stated.write_text(json.dumps({**json.loads(stated.read_text()), "recipe": recipe}))
    run = tiny.root / "runs" / "heard"
    train(
        tiny.config(
            run,
            preset="pretrained",
            embedder="self-trained",
            steps=2,
            checkpoint_every=100,
            overrides={**OWN, "speech_s": [1.6, 4.8]},
        )
    )
    person = draw_person(3, seed=1, link=1.0)
    clip, short = (encode_wav(speak(person, duration_s=length_s, seed=1)) for length_s in (6.0, 1.5))
    answering = Answering(run, None, "cpu")
    with in_thread(voice_page(answering, answering.about())) as page:
        status, answer, _ = page.request("POST", "/api/imagine", clip)
        assert status == 200, answer
        assert len(answer["windows"]) >= 3
        assert {round(window["end_s"] - window["start_s"], 6) for window in answer["windows"]} == {1.6}
        status, answer, _ = page.request("POST", "/api/imagine", short)
        assert status == 400
        assert "vectors of resemblyzer, one each 0.8 s of speech; one window takes 2: give a longer" in answer["error"]
    (tmp_path / "voice.wav").write_bytes(clip)
    (tmp_path / "weights" / "resemblyzer_pretrained.pt").unlink()
    given = ["imagine", "--run", str(run), str(tmp_path / "voice.wav"), "--out", str(tmp_path / "face.png")]
    assert main(given) == 1
    assert "voxdata weights pull resemblyzer" in capsys.readouterr().err
