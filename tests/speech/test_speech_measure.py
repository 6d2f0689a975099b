"""The measuring stage: rows and blobs, bad input as rows, the same bytes on any number of threads."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from voxdata.recipe.speech import Gate, SpeechMeasure, Vad
from voxdata.simulate.people import draw_people
from voxdata.simulate.voice import speak
from voxdata.speech.front_ends.front_end import find_front_end
from voxdata.speech.measure import fingerprint, run
from voxdata.store.items import ClipItem
from voxdata.tables.schemas import UTTERANCES
from voxdata.tables.speech import front_end_columns

RATE = 16_000


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return speak(draw_people(1, seed=21, link=1.0)[0], duration_s=4.0, seed=0)


def wav(samples: np.ndarray, container: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.rint(32767 * samples).astype(np.int16), RATE, format=container, subtype="PCM_16")
    return buffer.getvalue()


def item(data: bytes, name: str = "a") -> ClipItem:
    row = {"item_id": f"p/{name}@0", "identity": "p", "person": "p", "bucket": 7, "utterance_id": f"p/{name}"}
    row |= {"video": "v", "segment": name, "audio_sha256": "00", "path": f"/somewhere/{name}.wav"}
    return ClipItem(row=row, data=lambda: data)


def test_a_voice_has_a_full_row_and_its_mels(voice: np.ndarray) -> None:
    fragment = run([item(wav(voice))], SpeechMeasure())
    assert fragment.rows.schema == UTTERANCES
    row = fragment.rows.to_pylist()[0]
    assert row["speech_status"] == "ok"
    assert (row["identity"], row["utterance_id"]) == ("p", "p/a")
    assert row["duration_s"] == pytest.approx(4.0)
    assert (row["sample_rate_hz"], row["channels"], row["vad"]) == (RATE, 1, "webrtc-1-30ms-300ms")
    assert {name for name, value in row.items() if value is None} == {
        "status_detail",
        "loop_s",
        "loop_similarity",
        "silero_ratio",
    }
    mels = {name: np.load(io.BytesIO(data)) for name, data in fragment.blobs["p/a@0"].items()}
    frames = 1 + round(row["speech_s"] * RATE) // 160
    assert {name: mel.shape for name, mel in mels.items()} == {"torch40.npy": (40, frames), "torch64.npy": (64, frames)}
    own = {"frames": frames, "vad": None, "vad_ratio": None}
    assert row["front_ends"] == [("torch40", own), ("torch64", own)]
    assert all(mel.dtype == np.float16 and mel.flags.c_contiguous for mel in mels.values())


def test_the_same_sound_in_another_container_has_the_same_pcm_and_mels(voice: np.ndarray) -> None:
    fragment = run([item(wav(voice), "w"), item(wav(voice, "FLAC"), "f")], SpeechMeasure())
    first, second = fragment.rows["pcm_sha256"].to_pylist()
    assert first == second
    assert fragment.blobs["p/w@0"] == fragment.blobs["p/f@0"]


def test_the_bytes_do_not_depend_on_threads(voice: np.ndarray) -> None:
    threads = torch.get_num_threads()
    digests = set()
    try:
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            fragment = run([item(wav(voice))], SpeechMeasure())
            blobs = b"".join(data for _, data in sorted(fragment.blobs["p/a@0"].items()))
            digests.add((hashlib.sha256(blobs).hexdigest(), str(fragment.rows.to_pylist())))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("data", "status", "says"),
    [
        pytest.param(b"not a wav\n" * 100, "unreadable", "not decodable", id="text"),
        pytest.param(b"", "empty", "0 bytes", id="zero bytes"),
        pytest.param(wav(np.zeros(0)), "empty", "no samples", id="header only"),
        pytest.param(wav(np.zeros(5 * RATE)), "too_long", "max_duration_s=4.5", id="too long"),
    ],
)
def test_bad_input_is_a_row_and_ends_nothing(voice: np.ndarray, data: bytes, status: str, says: str) -> None:
    fragment = run([item(data, "bad"), item(wav(voice), "good")], SpeechMeasure(max_duration_s=4.5))
    bad, good = fragment.rows.to_pylist()
    assert bad["speech_status"] == status
    assert says in bad["status_detail"]
    assert bad["item_id"] == "p/bad@0"
    assert bad["pcm_sha256"] is None
    assert good["speech_status"] == "ok"
    assert list(fragment.blobs) == ["p/good@0"]


def test_a_name_that_is_not_utf8_is_told_to_the_user() -> None:
    row = {**item(b"", "caf\\xe9").row, "audio_sha256": None}
    (row,) = run([ClipItem(row=row, data=Path(row["path"]).read_bytes)], SpeechMeasure()).rows.to_pylist()
    assert "not UTF-8, rename it" in row["status_detail"]


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(np.zeros(3 * RATE), id="silence"),
        pytest.param(np.zeros(1), id="one sample"),
        pytest.param(np.full(3 * RATE, 0.5), id="offset"),
        pytest.param(np.full(3 * RATE, 1.0), id="all clipped"),
        pytest.param(0.1 * np.random.default_rng(0).standard_normal(3 * RATE), id="white noise"),
    ],
)
def test_a_clip_without_speech_is_measured_and_has_no_mel(samples: np.ndarray) -> None:
    fragment = run([item(wav(samples))], SpeechMeasure())
    row = fragment.rows.to_pylist()[0]
    assert row["speech_status"] == "ok"
    assert row["speech_s"] == row["gate_ratio"] == 0
    assert [(name, heard["frames"]) for name, heard in row["front_ends"]] == [("torch40", 0), ("torch64", 0)]
    assert row["pitch_median_hz"] is None
    assert fragment.blobs == {}


def test_without_the_gate_what_webrtc_hears_is_stored_and_the_ratio_still_told() -> None:
    noise = wav(0.1 * np.random.default_rng(0).standard_normal(3 * RATE))
    row = run([item(noise)], SpeechMeasure(gate=Gate(enabled=False))).rows.to_pylist()[0]
    assert row["speech_s"] > 2.5
    assert row["gate_ratio"] == 0


def test_only_the_front_ends_that_were_asked_for(voice: np.ndarray) -> None:
    fragment = run([item(wav(voice))], SpeechMeasure(front_ends=["torch64"]))
    assert list(fragment.blobs["p/a@0"]) == ["torch64.npy"]
    assert [name for name, _ in fragment.rows.to_pylist()[0]["front_ends"]] == ["torch64"]


def test_each_front_end_hears_its_own_voice_activity(voice: np.ndarray) -> None:
    paused = np.concatenate([voice, np.zeros(RATE // 4), voice])
    settings = SpeechMeasure(front_ends=["torch40", "psf40", "sphinx64"], vad=Vad(mode=3))
    row, *_ = run([item(wav(paused))], settings).rows.to_pylist()
    heard = dict(row["front_ends"])
    assert (row["vad"], heard["torch40"]["vad"]) == ("webrtc-3-30ms-300ms", None)
    assert (heard["psf40"]["vad"], heard["sphinx64"]["vad"]) == ("webrtc-1-30ms-300ms", "webrtc-2-20ms-50ms")
    for name, vad in (
        ("torch40", settings.vad),
        ("psf40", Vad()),
        ("sphinx64", find_front_end("sphinx64").vad_of(settings)),
    ):
        alone = run([item(wav(paused))], SpeechMeasure(front_ends=["torch40"], vad=vad)).rows.to_pylist()[0]
        assert (row if name == "torch40" else heard[name])["vad_ratio"] == alone["vad_ratio"]
        samples = round(alone["speech_s"] * RATE)
        frames = 1 + -(-(samples - 400) // 160) if name == "psf40" else 1 + samples // 160
        assert heard[name]["frames"] == frames
    assert heard["sphinx64"]["frames"] < heard["torch40"]["frames"]


def test_an_override_changes_only_its_front_end(voice: np.ndarray) -> None:
    both = ["torch40", "sphinx64"]
    ours = run([item(wav(voice))], SpeechMeasure(front_ends=both, vad_sphinx64=Vad()))
    row = ours.rows.to_pylist()[0]
    heard = dict(row["front_ends"])
    assert heard["sphinx64"] == heard["torch40"]
    assert heard["sphinx64"]["vad"] is None
    assert front_end_columns(row)["vad_sphinx64"] == row["vad"]
    theirs = run([item(wav(voice))], SpeechMeasure(front_ends=both))
    assert theirs.blobs["p/a@0"]["torch40.npy"] == ours.blobs["p/a@0"]["torch40.npy"]


def test_the_fingerprint_follows_the_settings() -> None:
    names = [SpeechMeasure(), SpeechMeasure(vad=Vad(mode=2)), SpeechMeasure(front_ends=["torch40"])]
    assert len({fingerprint(settings) for settings in names}) == 3
    assert fingerprint(SpeechMeasure()) == fingerprint(SpeechMeasure())


def test_no_items() -> None:
    assert run([], SpeechMeasure()).rows.num_rows == 0
