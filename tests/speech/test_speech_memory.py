"""Long files: all of them is heard or there is a reason, and they do not blow memory."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile

from voxdata.simulate.people import draw_people
from voxdata.simulate.voice import speak

GIGABYTE = 10**9 // 1024  # in kilobytes, as /proc writes them
LONGEST_S = 1200
MEASURE = """
import json, sys
from pathlib import Path
from typing import Any
from voxdata.store.items import ClipItem
from voxdata.recipe.speech import SpeechMeasure
from voxdata.speech.measure import run

names = ("speech_status", "status_detail", "duration_s", "speech_s", "front_ends")
item = ClipItem(row={"item_id": "long", "audio_sha256": "0"}, data=Path(sys.argv[1]).read_bytes)
row = run([item], SpeechMeasure(max_duration_s=float(sys.argv[2]))).rows.select(names).to_pylist()[0]
# Not ru_maxrss: that of a new program begins with what the process had that started it.
(most,) = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(json.dumps({**row, "kilobytes": int(most)}))
"""


def measured(folder: Path, minutes: int, max_duration_s: float) -> dict[str, Any]:
    """The row of minutes of joined mp3 frames, whose first header does not say how many there are."""
    voice = speak(draw_people(1, seed=21, link=1.0)[0], duration_s=60.0, seed=0)
    buffer = io.BytesIO()
    soundfile.write(buffer, voice, 16_000, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="CONSTANT")
    encoded = buffer.getvalue()
    path = folder / "long.mp3"
    path.write_bytes(minutes * encoded[encoded.find(encoded[:3], 4) :])
    command = [sys.executable, "-c", MEASURE, str(path), str(max_duration_s)]
    row: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return row


def kilobytes(row: dict[str, Any]) -> int:
    assert isinstance(row["kilobytes"], int)
    return row["kilobytes"]


@pytest.mark.long
@pytest.mark.parametrize("max_duration_s", [600, LONGEST_S])
def test_three_hours_of_mp3_are_too_long_in_less_than_a_gigabyte(tmp_path: Path, max_duration_s: float) -> None:
    row = measured(tmp_path, 180, max_duration_s)
    assert row["speech_status"] == "too_long"
    assert f"max_duration_s={max_duration_s:g}" in str(row["status_detail"])
    assert kilobytes(row) < GIGABYTE


@pytest.mark.long
def test_the_longest_clip_that_a_recipe_may_allow_is_heard_whole_in_less_than_a_gigabyte(tmp_path: Path) -> None:
    row = measured(tmp_path, 19, LONGEST_S)
    assert (row["speech_status"], row["status_detail"]) == ("ok", None)
    assert row["duration_s"] == pytest.approx(19 * 60, rel=0.01)
    [(name, heard), *_] = row["front_ends"]
    assert name == "torch40"
    assert heard["frames"] == pytest.approx(100 * float(str(row["speech_s"])), abs=2)
    assert kilobytes(row) < GIGABYTE


@pytest.mark.long
def test_minutes_of_mp3_without_a_length_are_heard_whole(tmp_path: Path) -> None:
    row = measured(tmp_path, 2, 600)
    assert (row["speech_status"], row["status_detail"]) == ("ok", None)
    assert row["duration_s"] == pytest.approx(120, rel=0.01)
    assert row["speech_s"] == pytest.approx(120, rel=0.05)
