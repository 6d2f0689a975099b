"""Long files: they end at the limit of the recipe and do not blow memory."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

GIGABYTE = 10**9 // 1024  # in ru_maxrss's unit
MEASURE = """
import json, resource, sys
from pathlib import Path
from voxdata.items import ClipItem
from voxdata.recipe_speech import SpeechMeasure
from voxdata.speech.measure import run

item = ClipItem(row={"item_id": "long"}, data=Path(sys.argv[1]).read_bytes)
status = run([item], SpeechMeasure()).rows["speech_status"].to_pylist()[0]
print(json.dumps([status, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


@pytest.fixture(scope="module")
def three_hours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of sound as mp3, 180 times: frames of a constant rate can be joined."""
    minute = 0.1 * np.random.default_rng(0).standard_normal(60 * 16_000)
    buffer = io.BytesIO()
    soundfile.write(buffer, minute, 16_000, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="CONSTANT")
    path = tmp_path_factory.mktemp("long") / "long.mp3"
    encoded = buffer.getvalue()
    about_itself = encoded.find(encoded[:3], 4)  # the first frame tells the length of one minute
    path.write_bytes(180 * encoded[about_itself:])
    return path


@pytest.mark.long
def test_three_hours_of_mp3_are_too_long_in_less_than_a_gigabyte(three_hours: Path) -> None:
    command = [sys.executable, "-c", MEASURE, str(three_hours)]
    status, kilobytes = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert status == "too_long"
    assert kilobytes < GIGABYTE
