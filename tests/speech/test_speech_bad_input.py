"""Bad input from find to verdict: a row with a reason for each kind of broken file, and good files beside it kept."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from voxdata.format.errors import SourceError
from voxdata.people.identities import IdentityBook
from voxdata.recipe.speech import SpeechMeasure, SpeechSelect
from voxdata.simulate.people import draw_people
from voxdata.simulate.voice import speak
from voxdata.sources.clips import clip_bytes, clip_reader, find_utterances, inventory
from voxdata.sources.speech_files import SpeechFolder
from voxdata.speech.decide import decide
from voxdata.speech.measure import run
from voxdata.store.items import ClipItem
from voxdata.store.storage import open_storage

RATE = 16_000
LIMIT_S = 8.0


def voice() -> np.ndarray:
    return speak(draw_people(1, seed=21, link=1.0)[0], duration_s=4.0, seed=0)


def wav(samples: np.ndarray, rate_hz: int = RATE, subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format="WAV", subtype=subtype)
    return buffer.getvalue()


def with_value(value: float) -> bytes:
    samples = voice().copy()
    samples[5000] = value
    return wav(samples, subtype="FLOAT")


def patched(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + struct.pack("<I", value) + data[at + 4 :]


def channels(count: int) -> bytes:
    return wav(np.repeat(voice()[:, None], count, axis=1), subtype="FLOAT")


def film_without_sound() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        output.mux(stream.encode(None))
    return buffer.getvalue()


# name: (bytes, verdict reason or None for a clip that is kept, what status_detail says)
FILES: dict[str, tuple[Callable[[], bytes], str | None, str | None]] = {
    "text.wav": (lambda: b"I am not audio.\n" * 500, "unreadable", "not decodable"),
    "zero bytes.wav": (lambda: b"", "empty", "0 bytes"),
    "header only.wav": (lambda: wav(np.zeros(0)), "empty", "no samples"),
    "half a header.wav": (lambda: wav(voice())[:20], "unreadable", "not"),
    "riff length too large.wav": (
        lambda: patched(patched(wav(0.8 * voice()), 4, 0x7FFFFFFF), 40, 0x7FFFFFF0),
        None,
        "promises 2147483632 bytes of sound",
    ),
    "recorder switched off.wav": (lambda: patched(patched(wav(0.6 * voice()), 4, 0), 40, 0), None, "says 0 bytes"),
    "riff length zero.wav": (lambda: patched(wav(0.7 * voice()), 4, 0), None, None),
    "nan.wav": (lambda: with_value(float("nan")), "unreadable", "not finite"),
    "inf.wav": (lambda: with_value(float("-inf")), "unreadable", "not finite"),
    "one hertz.wav": (lambda: patched(wav(voice()), 24, 1), "unreadable", "sample rate 1 Hz"),
    "192 kHz.wav": (lambda: wav(np.repeat(voice(), 12), 192_000), None, None),
    "twelve channels.wav": (lambda: channels(12), None, None),
    "too many channels.wav": (lambda: channels(70), "unreadable", "70 channels"),
    "offset.wav": (lambda: wav(0.5 * voice() + 0.3, subtype="FLOAT"), None, None),
    "offset alone.wav": (lambda: wav(np.full(4 * RATE, 0.5)), "no_speech", None),
    "all clipped.wav": (lambda: wav(np.where(voice() > 0, 1.0, -1.0)), "clipped", None),
    "silence.wav": (lambda: wav(np.zeros(4 * RATE)), "no_speech", None),
    "noise.wav": (lambda: wav(0.1 * np.random.default_rng(0).standard_normal(4 * RATE)), "noise", None),
    "one sample.wav": (lambda: wav(np.zeros(1)), "no_speech", None),
    "brief.wav": (lambda: wav(voice()[:RATE]), "too_short", None),
    "no sound track.mp4": (film_without_sound, "unreadable", "no sound track"),
    "too long.flac": (lambda: wav(np.zeros(9 * RATE)), "too_long", "max_duration_s=8"),
    "good.wav": (lambda: wav(0.9 * voice()), None, None),
}


def reasons(items: list[ClipItem]) -> dict[str, tuple[str | None, str | None]]:
    """(first reason or None, status_detail) by segment."""
    rows = run(items, SpeechMeasure(max_duration_s=LIMIT_S)).rows
    verdicts = decide(rows, SpeechSelect())["reasons"].to_pylist()
    return {
        row["segment"]: (failed[0] if failed else None, row["status_detail"])
        for row, failed in zip(rows.to_pylist(), verdicts, strict=True)
    }


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str | None, str | None]]:
    folder = tmp_path_factory.mktemp("bad")
    for number, (name, (make, _, _)) in enumerate(FILES.items()):
        (folder / "data" / f"id{number}").mkdir(parents=True)
        (folder / "data" / f"id{number}" / name).write_bytes(make())
    storage = open_storage(str(folder / "root"), create=True)
    rows = inventory(storage, find_utterances(SpeechFolder(path=str(folder / "data")), IdentityBook(), "s")).to_pylist()
    assert len(rows) == len(FILES)
    return reasons([ClipItem(row=row, data=partial(clip_bytes, row)) for row in rows])


@pytest.mark.parametrize("name", FILES)
def test_every_file_has_its_reason(name: str, judged: dict[str, tuple[str | None, str | None]]) -> None:
    _, expected, says = FILES[name]
    reason, detail = judged[Path(name).stem]
    assert reason == expected
    assert says in detail if says else detail is None


@pytest.mark.parametrize("how", ["gone", "a link to nowhere", "a folder"])
def test_a_file_that_nobody_can_read_has_a_row_and_is_looked_at_again(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "data" / "ann"
    folder.mkdir(parents=True)
    for name, scale in (("bad", 1.0), ("good", 0.9)):
        (folder / f"{name}.wav").write_bytes(wav(scale * voice()))
    bad = folder / "bad.wav"
    whole = bad.read_bytes()
    storage = open_storage(str(tmp_path / "root"), create=True)
    found = find_utterances(SpeechFolder(path=str(tmp_path / "data")), IdentityBook(), "s")
    bad.unlink()
    if how == "a link to nowhere":
        bad.symlink_to(tmp_path / "nowhere")
    elif how == "a folder":
        bad.mkdir()
    rows = inventory(storage, found).to_pylist()
    assert [row["item_id"] for row in rows if row["segment"] == "bad"] == ["ann/bad@unreadable"]
    judged = reasons([ClipItem(row=row, data=clip_reader(row)) for row in rows])
    assert judged["good"] == (None, None)
    assert judged["bad"][0] == "unreadable"
    assert "cannot be read" in str(judged["bad"][1])
    bad.rmdir() if how == "a folder" else bad.unlink(missing_ok=True)
    bad.write_bytes(whole)
    again = inventory(storage, found).to_pylist()
    assert reasons([ClipItem(row=row, data=clip_reader(row)) for row in again]) == {
        "good": (None, None),
        "bad": (None, None),
    }


def test_a_source_that_is_gone_is_no_verdict_on_its_clips(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for name, scale in (("ann", 1.0), ("bea", 0.9)):
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name}.wav").write_bytes(wav(scale * voice()))
    storage = open_storage(str(tmp_path / "root"), create=True)
    found = find_utterances(SpeechFolder(path=str(folder)), IdentityBook(), "s")
    rows = inventory(storage, found).to_pylist()
    folder.rename(tmp_path / "elsewhere")
    gone = f"{folder / 'ann' / 'ann.wav'} was listed, and now cannot be read on .*: No such file.*same command again"
    with pytest.raises(SourceError, match=gone):
        reasons([ClipItem(row=row, data=clip_reader(row)) for row in rows])
    with pytest.raises(SourceError, match="was listed"):
        inventory(storage, found)


def test_a_file_that_shrinks_while_it_is_read_keeps_what_was_there() -> None:
    whole = wav(voice())
    row = {
        "item_id": "p/a@0",
        "segment": "a",
        "identity": "p",
        "person": "p",
        "utterance_id": "p/a",
        "audio_sha256": "0",
    }
    reason, detail = reasons([ClipItem(row=row, data=lambda: whole[: len(whole) // 2 + 1])])["a"]
    assert reason is None
    assert "the header promises" in str(detail)


def test_a_name_that_is_not_utf8_says_what_to_do(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/id10001"
    os.mkdir(folder)
    try:
        with open(folder + b"/caf\xe9.wav", "wb") as file:
            file.write(wav(voice()))
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    rows = find_utterances(SpeechFolder(path=str(tmp_path)), IdentityBook(), "s").to_pylist()
    reason, detail = next(iter(reasons([ClipItem(row=row, data=partial(clip_bytes, row)) for row in rows]).values()))
    assert reason == "unreadable"
    assert "not UTF-8, rename it" in str(detail)
