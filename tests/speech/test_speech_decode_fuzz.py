"""Speech files of anybody, damaged in every way: samples of the length that their bytes justify, or a reason."""

from __future__ import annotations

import io
import struct
from functools import cache

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from tests.mutations import complaint, damaged, few
from voxdata.format.errors import SpeechDecodeError
from voxdata.speech.decode import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ, decode
from voxdata.speech.joined import behind, take_apart
from voxdata.speech.wav_header import mended

LONGEST_S = 20.0
FORMS = ("WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "mp4", "matroska", "joined")


@cache
def clip(form: str) -> bytes:
    samples = (0.3 * np.sin(np.arange(3200) / 20)).astype(np.float32)
    out = io.BytesIO()
    if form == "joined":
        return clip("WAV") + clip("WAV")
    if form in ("mp4", "matroska"):
        with av.open(out, "w", format=form) as container:
            stream = container.add_stream("aac", rate=16_000, layout="mono")
            frame = av.AudioFrame.from_ndarray(samples[None, :], format="fltp", layout="mono")
            frame.rate = 16_000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return out.getvalue()
    soundfile.write(out, samples, 16_000, format=form)
    return out.getvalue()


def decoded(data: bytes) -> None:
    found = decode(data, max_duration_s=LONGEST_S)
    assert found.samples.dtype == np.float32
    assert 0 < len(found.samples) <= (LONGEST_S + 1) * 16_000
    assert np.abs(found.samples).max() < 4  # a resampled step overshoots
    assert MIN_RATE_HZ <= found.sample_rate_hz <= MAX_RATE_HZ
    assert 1 <= found.channels <= MAX_CHANNELS
    assert 0 <= found.clipped_share <= 1
    assert found.detail is None or found.detail.isprintable()


@few(150)
@given(st.data(), st.sampled_from(FORMS))
def test_any_clip_has_samples_or_a_reason(data: st.DataObject, form: str) -> None:
    damage = data.draw(damaged(clip(form)))
    complaint(lambda: decoded(damage), SpeechDecodeError)


def wav(**fields: int) -> bytes:
    """A wav whose header says what nobody can have written."""
    stated = {"riff": 0xFFFFFFFF, "channels": 1, "rate": 16_000, "bits": 16, "data": 0xFFFFFFFF, **fields}
    block = stated["channels"] * stated["bits"] // 8
    form = struct.pack("<HHIIHH", 1, stated["channels"], stated["rate"], 0, block & 0xFFFF, stated["bits"])
    head = b"RIFF" + struct.pack("<I", stated["riff"]) + b"WAVEfmt " + struct.pack("<I", len(form)) + form
    return head + b"data" + struct.pack("<I", stated["data"]) + bytes(3200)


HOSTILE = {
    "65,535 channels": wav(channels=0xFFFF),
    "no channel": wav(channels=0),
    "4 GHz": wav(rate=0xFFFFFFFF),
    "no rate": wav(rate=0),
    "no bits": wav(bits=0),
    "a playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
    "a list of files": b"ffconcat version 1.0\nfile /etc/hostname\n",
    "a session": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    "boxes in boxes": b"".join(struct.pack(">I4s", 8 * (4000 - n), b"moov") for n in range(4000)),
    "a page of Ogg without end": b"OggS\0\2" + bytes(20) + b"\xff" + b"\xff" * 255,
    "an AIFF that is read from before its start": clip("AIFF")[:40] + b"\0\0" + clip("AIFF")[42:],
    "a tag of 256 MB": b"ID3\4\0\0\x7f\x7f\x7f\x7f" + bytes(300),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_clips_have_a_reason(name: str) -> None:
    assert complaint(lambda: decoded(HOSTILE[name]), SpeechDecodeError)


@few(150)
@given(st.data(), st.sampled_from(FORMS))
def test_what_is_taken_apart_is_all_there(data: st.DataObject, form: str) -> None:
    damage = data.draw(damaged(clip(form)))

    def parted() -> None:
        files = take_apart(damage)
        assert sum(map(len, files)) <= len(damage)
        assert all(files) or not damage
        assert 0 <= behind(damage) <= len(damage)
        whole, said = mended(damage)
        assert (said is None) == (whole == damage) or len(whole) == len(damage)

    complaint(parted)
