"""Decoding: every container gives the same voice, and every kind of bad file gives a reason."""

from __future__ import annotations

import io
import struct
from itertools import pairwise

import av
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from voxdata.format.errors import SpeechDecodeError
from voxdata.speech.decode import SAMPLE_RATE_HZ, decode
from voxdata.speech.resampling import resample, resample_blocks

Array = npt.NDArray[np.float32]


def chirp(rate_hz: int, duration_s: float = 1.0) -> Array:
    """A sweep from 200 to 1,600 Hz."""
    t = np.arange(int(rate_hz * duration_s)) / rate_hz
    return (0.5 * np.sin(2 * np.pi * (200 * t + 700 * t * t / duration_s))).astype(np.float32)


def sound_file(samples: Array, rate_hz: int, container: str, subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=container, subtype=subtype)
    return buffer.getvalue()


def ffmpeg_file(samples: Array, rate_hz: int, container: str, codec: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="fltp", layout="mono")
        frame.rate = rate_hz
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate_hz, frame_size=960)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def silent_film() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(5):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def wav_with_rate(rate_hz: int) -> bytes:
    data = bytearray(sound_file(chirp(16_000), 16_000, "WAV"))
    data[24:28] = struct.pack("<I", rate_hz)
    return bytes(data)


def correlation(left: Array, right: Array) -> float:
    """The best normalised correlation within 80 ms of shift."""
    count = min(len(left), len(right)) - 2560
    middle = left[1280 : 1280 + count]
    norm = float(np.linalg.norm(middle))
    windows = np.lib.stride_tricks.sliding_window_view(right[: count + 2560], count)[::4]
    return float(np.max(windows @ middle / (np.linalg.norm(windows, axis=1) * norm + 1e-9)))


@pytest.mark.parametrize(
    ("container", "subtype", "tolerance"),
    [
        ("WAV", "PCM_U8", 1 / 128),
        ("WAV", "PCM_16", 1 / 32768),
        ("WAV", "PCM_24", 1 / 2**23),
        ("WAV", "PCM_32", 1e-6),
        ("WAV", "FLOAT", 1e-7),
        ("WAV", "DOUBLE", 1e-7),
        ("FLAC", "PCM_16", 1 / 32768),
    ],
)
def test_lossless_files_come_back(container: str, subtype: str, tolerance: float) -> None:
    samples = chirp(16_000)
    clip = decode(sound_file(samples, 16_000, container, subtype))
    assert clip.samples.dtype == np.float32
    assert clip.decoder == f"libsndfile/{container.lower()}-{subtype.lower()}"
    np.testing.assert_allclose(clip.samples, samples, atol=tolerance)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: sound_file(chirp(16_000), 16_000, "MP3"), id="mp3"),
        pytest.param(lambda: sound_file(chirp(16_000), 16_000, "OGG", "OPUS"), id="opus"),
        pytest.param(lambda: ffmpeg_file(chirp(16_000), 16_000, "ipod", "aac"), id="m4a"),
        pytest.param(lambda: ffmpeg_file(chirp(44_100), 44_100, "mp4", "aac"), id="mp4 at 44.1 kHz"),
        pytest.param(lambda: ffmpeg_file(chirp(48_000), 48_000, "matroska", "libopus"), id="mkv opus at 48 kHz"),
    ],
)
def test_lossy_files_hold_the_same_sound(data: object) -> None:
    assert callable(data)
    clip = decode(data())
    assert abs(len(clip.samples) - SAMPLE_RATE_HZ) < 0.1 * SAMPLE_RATE_HZ
    assert correlation(chirp(16_000), clip.samples) > 0.98


MP3 = sound_file(chirp(16_000, 6.0), 16_000, "MP3", "MPEG_LAYER_III")
KBIT_S = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # of MPEG-2 layer 3, by index in the header


def mp3_frames() -> list[bytes]:
    starts = [0]
    while (at := starts[-1]) < len(MP3):
        starts.append(at + 72_000 * KBIT_S[MP3[at + 2] >> 4] // 16_000 + (MP3[at + 2] >> 1 & 1))
    return [MP3[first:last] for first, last in pairwise(starts)]


def test_an_mp3_is_heard_whole_whatever_its_header_says_of_its_length(capfd: pytest.CaptureFixture[str]) -> None:
    without_length = b"".join(mp3_frames()[1:])
    assert len(decode(MP3).samples) == 6 * SAMPLE_RATE_HZ
    assert 6.0 <= len(decode(without_length).samples) / SAMPLE_RATE_HZ < 6.2
    assert 18.0 <= len(decode(3 * MP3).samples) / SAMPLE_RATE_HZ < 18.5
    assert decode(b"ID3\x03\0\0\0\0\0\x10" + bytes(16) + MP3).samples.tobytes() == decode(MP3).samples.tobytes()
    assert capfd.readouterr().err == ""


def test_damaged_packets_of_an_mp3_are_left_out_and_counted() -> None:
    frames = mp3_frames()
    noise = np.random.default_rng(0).bytes
    frames[20] = frames[20][:4] + noise(len(frames[20]) - 4)
    clip = decode(b"".join(frames))
    assert clip.detail == f"1 of {len(frames) - 1} packets are damaged and left out"
    assert 5.8 * SAMPLE_RATE_HZ < len(clip.samples) < 6 * SAMPLE_RATE_HZ
    assert decode(MP3).detail is None
    with pytest.raises(SpeechDecodeError, match=r"packets are damaged; at most 10% may be") as caught:
        decode(b"".join(frame[:4] + noise(len(frame) - 4) for frame in frames))
    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000, 192_000])
def test_every_rate_becomes_16_khz(rate_hz: int) -> None:
    clip = decode(sound_file(chirp(rate_hz), rate_hz, "WAV", "FLOAT"))
    assert clip.sample_rate_hz == rate_hz
    expected = chirp(16_000)
    inner = slice(400, -400)
    assert abs(len(clip.samples) - len(expected)) <= 1
    count = min(len(clip.samples), len(expected))
    np.testing.assert_allclose(clip.samples[:count][inner], expected[:count][inner], atol=5e-3)


@pytest.mark.parametrize("rate_hz", [22_050, 44_100, 48_000])
def test_resampling_passes_speech_and_leaves_no_alias(rate_hz: int) -> None:
    def level_db(tone_hz: int) -> float:
        tone = np.sin(2 * np.pi * tone_hz * np.arange(rate_hz) / rate_hz).astype(np.float32)
        heard = np.std(resample(tone, rate_hz, 16_000)[800:-800].astype(np.float64))
        return float(20 * np.log10(heard / np.std(tone)))

    assert all(abs(level_db(hz)) < 0.01 for hz in (50, 1_000, 4_000, 7_000))
    assert all(level_db(hz) < -90 for hz in (8_050, 9_000, 10_500))


@given(
    count=st.integers(0, 40_000),
    cut=st.integers(1, 9_000),
    rate_hz=st.sampled_from([4_000, 8_000, 11_025, 15_999, 44_100, 384_000]),
)
@settings(max_examples=30, deadline=None)
def test_resampling_in_blocks_is_resampling_at_once(count: int, cut: int, rate_hz: int) -> None:
    samples = np.random.default_rng(count).standard_normal(count).astype(np.float32)
    whole = resample(samples, rate_hz, 16_000)
    blocks = list(resample_blocks((samples[at : at + cut] for at in range(0, count, cut)), rate_hz, 16_000))
    assert len(whole) == -(-count * 16_000 // rate_hz)
    np.testing.assert_array_equal(np.concatenate([samples[:0], *blocks]), whole)


def test_twelve_channels_are_averaged() -> None:
    samples = np.zeros((16_000, 12), np.float32)
    samples[:, 3] = 12 * 0.05 * chirp(16_000)
    clip = decode(sound_file(samples, 16_000, "WAV", "FLOAT"))
    assert clip.channels == 12
    np.testing.assert_allclose(clip.samples, 0.05 * chirp(16_000), atol=1e-6)


def test_clipping_is_measured_on_the_file_before_resampling() -> None:
    loud = np.clip(8 * chirp(48_000), -1, 1)
    share = float(np.mean(np.abs(loud) >= 0.999))
    assert decode(sound_file(loud, 48_000, "WAV")).clipped_share == pytest.approx(share, abs=0.01)
    assert decode(sound_file(chirp(48_000), 48_000, "WAV")).clipped_share == 0


def test_a_wrong_riff_length_reads_what_is_there() -> None:
    data = bytearray(sound_file(chirp(16_000), 16_000, "WAV"))
    data[4:8] = struct.pack("<I", 0x7FFFFFFF)
    data[40:44] = struct.pack("<I", 0x7FFFFFF0)
    assert len(decode(bytes(data)).samples) == 16_000


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFFFF0, 32_001])
def test_a_wav_is_read_to_its_end_whatever_its_header_says(length: int) -> None:
    whole = sound_file(chirp(16_000), 16_000, "WAV")
    assert decode(whole).detail is None
    clip = decode(whole[:4] + struct.pack("<I", length) + whole[8:40] + struct.pack("<I", length) + whole[44:])
    np.testing.assert_array_equal(clip.samples, decode(whole).samples)
    assert "header" in str(clip.detail)
    assert "32000" in str(clip.detail)


def test_an_empty_wav_with_notes_behind_its_sound_is_empty() -> None:
    whole = sound_file(chirp(16_000)[:0], 16_000, "WAV")
    notes = b"LIST" + struct.pack("<I", 12) + b"INFOINAM" + bytes(4)
    with pytest.raises(SpeechDecodeError) as caught:
        decode(whole[:44] + notes)
    assert caught.value.reason == "empty"


@pytest.mark.parametrize(("rate_hz", "channels"), [(44_100, 1), (16_000, 2), (48_000, 2)])
def test_sound_keeps_its_speed_where_the_format_changes_midway(rate_hz: int, channels: int) -> None:
    """Joined files, as a recorder that is set anew writes them."""
    again = np.repeat(chirp(rate_hz, 6.0)[:, None], channels, axis=1)
    joined = MP3 + sound_file(again, rate_hz, "MP3", "MPEG_LAYER_III")
    clip = decode(joined)
    assert 12.0 <= len(clip.samples) / SAMPLE_RATE_HZ < 12.4
    last = clip.samples[len(clip.samples) - 6 * SAMPLE_RATE_HZ :]
    assert max(correlation(chirp(16_000, 6.0), last[shift:]) for shift in range(4)) > 0.98
    assert (clip.sample_rate_hz, clip.channels) == (16_000, 1)
    assert f"midway: 16000 Hz with 1 channel, then {rate_hz} Hz with {channels} channel" in str(clip.detail)
    with pytest.raises(SpeechDecodeError, match="max_duration_s=10"):
        decode(joined, max_duration_s=10)


FORMS = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("AIFF", "PCM_16"),
    ("CAF", "PCM_16"),
    ("AU", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
]


@pytest.mark.parametrize(("container", "subtype"), FORMS)
@pytest.mark.parametrize("rates_hz", [(16_000, 16_000), (16_000, 16_000, 48_000)])
def test_joined_files_are_heard_whole(container: str, subtype: str, rates_hz: tuple[int, ...]) -> None:
    files = [sound_file(chirp(rate_hz, 0.5 + n), rate_hz, container, subtype) for n, rate_hz in enumerate(rates_hz)]
    decoded = decode(b"".join(files))
    alone = np.concatenate([decode(file).samples for file in files])
    assert np.array_equal(decoded.samples, alone)
    assert len(alone) / SAMPLE_RATE_HZ == pytest.approx(sum(0.5 + n for n in range(len(files))), abs=0.01)
    assert f"{len(files)} files are joined, and all are read" in str(decoded.detail)
    assert ("16000 Hz with 1 channel, then 48000 Hz" in str(decoded.detail)) == (len(files) == 3)
    assert decode(files[0]).detail is None


@pytest.mark.parametrize(
    ("container", "codec"),
    [("ogg", "libopus"), ("mp4", "aac"), ("matroska", "aac"), ("adts", "aac"), ("avi", "pcm_s16le"), ("mpegts", "aac")],
)
def test_joined_files_of_ffmpeg_are_heard_whole(container: str, codec: str) -> None:
    file = ffmpeg_file(chirp(48_000, 2.0), 48_000, container, codec)
    assert len(decode(file + file + file).samples) == pytest.approx(3 * len(decode(file).samples), abs=2048)


def test_what_is_joined_counts_for_the_longest_clip() -> None:
    file = sound_file(chirp(16_000, 2.0), 16_000, "WAV")
    with pytest.raises(SpeechDecodeError, match="max_duration_s=5") as error:
        decode(file * 3, max_duration_s=5)
    assert error.value.reason == "too_long"


def test_a_joined_file_that_cannot_be_read_is_said_with_its_bytes() -> None:
    whole = sound_file(chirp(16_000), 16_000, "WAV")
    other = bytearray(whole)
    other[20:22] = b"\x77\x77"  # a codec that is none
    decoded = decode(whole + bytes(other))
    assert len(decoded.samples) == 16_000
    assert f"the {len(other)} bytes from file 2 of 2 joined ones on are not read: " in str(decoded.detail)
    with pytest.raises(SpeechDecodeError, match="decodes its codec"):
        decode(bytes(other))


@pytest.mark.parametrize(("container", "subtype"), [each for each in FORMS if each[0] in ("WAV", "AIFF", "OGG")])
def test_bytes_behind_the_sound_are_said(container: str, subtype: str) -> None:
    file = sound_file(chirp(16_000), 16_000, container, subtype)
    decoded = decode(file + b"\x01more" * 20)
    assert np.array_equal(decoded.samples, decode(file).samples)
    assert decoded.detail == "100 bytes that are no sound follow it and are not read"
    assert decode(file + bytes(512)).detail is None  # filled up to a sector


def _with(value: float) -> bytes:
    samples = chirp(16_000)
    samples[5000] = value
    return sound_file(samples, 16_000, "WAV", "FLOAT")


@pytest.mark.parametrize(
    ("data", "reason", "says"),
    [
        pytest.param(lambda: b"", "empty", "0 bytes", id="zero bytes"),
        pytest.param(lambda: sound_file(chirp(16_000)[:0], 16_000, "WAV"), "empty", "no samples", id="header only"),
        pytest.param(lambda: b"I am not audio.\n" * 500, "unreadable", "not decodable", id="text"),
        pytest.param(lambda: b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n", "unreadable", "not decodable", id="playlist"),
        pytest.param(lambda: bytes(range(256)) * 64, "unreadable", "not decodable", id="bytes"),
        pytest.param(lambda: sound_file(chirp(16_000), 16_000, "WAV")[:20], "unreadable", "not", id="half a header"),
        pytest.param(
            lambda: ffmpeg_file(chirp(16_000), 16_000, "ipod", "aac")[:-900], "unreadable", "not", id="cut m4a"
        ),
        pytest.param(lambda: _with(float("nan")), "unreadable", "not finite", id="NaN"),
        pytest.param(lambda: _with(float("inf")), "unreadable", "not finite", id="Inf"),
        pytest.param(lambda: wav_with_rate(1), "unreadable", "sample rate 1 Hz", id="1 Hz"),
        pytest.param(silent_film, "unreadable", "no sound track", id="film without sound"),
    ],
)
def test_bad_files_have_a_reason(data: object, reason: str, says: str) -> None:
    assert callable(data)
    with pytest.raises(SpeechDecodeError, match=says) as caught:
        decode(data())
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: sound_file(chirp(16_000, 3.0), 16_000, "WAV"), id="wav"),
        pytest.param(lambda: ffmpeg_file(chirp(16_000, 3.0), 16_000, "ipod", "aac"), id="m4a"),
    ],
)
def test_a_longer_file_than_the_limit_is_refused(data: object) -> None:
    assert callable(data)
    with pytest.raises(SpeechDecodeError, match=r"max_duration_s=2\.5") as caught:
        decode(data(), max_duration_s=2.5)
    assert caught.value.reason == "too_long"
    assert len(decode(data(), max_duration_s=4).samples) > 2.9 * SAMPLE_RATE_HZ
