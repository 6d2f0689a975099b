"""Real voices and noises, where they lie beside the checkout."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from voxdata.people.identities import load_book
from voxdata.recipe.speech import SpeechMeasure, SpeechSelect
from voxdata.sources.clips import find_utterances
from voxdata.sources.speech_files import SpeechFolder
from voxdata.speech.decide import decide
from voxdata.speech.decode import decode
from voxdata.speech.front_ends.mel import log_mel
from voxdata.speech.measure import npy, run
from voxdata.store.items import ClipItem


def measure_folder(folder: Path, every: int = 1, metadata: tuple[Path, ...] = ()) -> tuple[pa.Table, pa.Table]:
    rows = find_utterances(SpeechFolder(path=str(folder)), load_book(metadata), "real").to_pylist()[::every]
    items = [
        ClipItem(
            row=row | {"item_id": row["utterance_id"], "audio_sha256": row["utterance_id"]},
            data=Path(str(row["path"])).read_bytes,
        )
        for row in rows
    ]
    utterances = run(items, SpeechMeasure()).rows
    return utterances, decide(utterances, SpeechSelect())


def kept(verdicts: pa.Table) -> float:
    return float(np.mean([verdict == "keep" for verdict in verdicts["verdict"].to_pylist()]))


def test_voxceleb_clips_pass_and_belong_to_known_people(shared_data: Path) -> None:
    folder = shared_data / "voxceleb1-mini"
    utterances, verdicts = measure_folder(folder, every=3, metadata=(folder / "vox1_meta.csv",))
    assert kept(verdicts) > 0.95
    assert all(identity.startswith("id1") for identity in utterances["identity"].to_pylist())
    looped = [value for value in utterances["loop_s"].to_pylist() if value is not None]
    assert looped
    assert all(0.25 <= value < 6 for value in looped)


@pytest.mark.parametrize("folder", ["speech/librispeech", "avspeech-mini"])
def test_other_speech_passes(shared_data: Path, folder: str) -> None:
    assert kept(measure_folder(shared_data / folder, every=3)[1]) > 0.95


def test_household_noise_is_not_speech(shared_data: Path) -> None:
    utterances, verdicts = measure_folder(shared_data / "noise")
    duration_s, speech_s = (np.sum(utterances[name].to_pylist()) for name in ("duration_s", "speech_s"))
    assert speech_s <= 0.02 * duration_s
    assert kept(verdicts) == 0


def test_telephone_speech_is_told_by_its_bandwidth(shared_data: Path) -> None:
    telephone, _ = measure_folder(shared_data / "speech" / "hyke83", every=4)
    wide, _ = measure_folder(shared_data / "speech" / "librispeech", every=8)
    assert max(telephone["bandwidth_hz"].to_pylist()) < 4200
    assert min(wide["bandwidth_hz"].to_pylist()) > 6000


def test_sound_comes_out_of_videos(shared_data: Path) -> None:
    utterances, _ = measure_folder(shared_data / "video")
    assert set(utterances["speech_status"].to_pylist()) == {"ok"}
    assert {name.split("/")[0] for name in utterances["decoder"].to_pylist()} == {"ffmpeg"}


def test_float16_mels_of_real_speech_stay_close(shared_data: Path) -> None:
    for path in sorted((shared_data / "speech" / "librispeech").rglob("*.flac"))[::10]:
        for name in ("torch40", "torch64"):
            mel = log_mel(decode(path.read_bytes()).samples, name)
            assert np.abs(np.load(io.BytesIO(npy(mel))).astype(np.float32) - mel).max() < 0.01
