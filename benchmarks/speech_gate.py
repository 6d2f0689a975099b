"""Which clips count as speech: real voices must stay, noise and tones must go.

    python benchmarks/speech_gate.py --data ../shared/data

Prints, per set, the share of clips that the default recipe keeps, and the share of the sound that WebRTC alone and both
gates call speech; writes the same to benchmarks/results/speech_gate.json.
"""

from __future__ import annotations

import argparse
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from voxdata.errors import VoxdataError
from voxdata.identities import IdentityBook
from voxdata.items import ClipItem
from voxdata.recipe_speech import SpeechMeasure, SpeechSelect
from voxdata.simulate.people import draw_people
from voxdata.simulate.voice import speak
from voxdata.speech.decide import decide
from voxdata.speech.find import find_utterances
from voxdata.speech.measure import run

FOLDERS = {
    "librispeech": "speech/librispeech",
    "hyke83 (telephone)": "speech/hyke83",
    "voxceleb1-mini": "voxceleb1-mini",
    "avspeech-mini": "avspeech-mini",
    "household noise": "noise",
}
RESULT = Path(__file__).resolve().parent / "results" / "speech_gate.json"
RATE_HZ = 16_000


def main() -> None:
    """Measure every set and report."""
    parser = argparse.ArgumentParser(description="Share of clips kept, and of sound called speech, per set.")
    parser.add_argument("--data", type=Path, required=True, help="folder of real test data")
    data: Path = parser.parse_args().data
    table = {name: measure(folder_items(data / folder)) for name, folder in FOLDERS.items()}
    table["simulated voices"] = measure(simulated_items())
    table["made noise and tones"] = measure(sound_items())
    print(f"{'set':22} {'clips':>6} {'seconds':>8} {'kept':>7} {'WebRTC':>7} {'both':>7}  reasons")
    for name, row in table.items():
        shares = " ".join(f"{100 * row[share]:6.1f}%" for share in ("kept_share", "webrtc_share", "both_gates_share"))
        print(f"{name:22} {row['clips']:6} {row['duration_s']:8.0f} {shares}  {row['reasons'] or ''}")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(table, indent=2) + "\n")


def measure(items: list[ClipItem]) -> dict[str, Any]:
    """Counts and shares of one set under the default recipe."""
    utterances = run(items, SpeechMeasure()).rows
    verdicts = decide(utterances, SpeechSelect())
    rows = [row for row in utterances.to_pylist() if row["speech_status"] == "ok"]
    duration_s = sum(row["duration_s"] for row in rows)
    looped = [row for row in rows if row["loop_s"] is not None]
    return {
        "clips": len(items),
        "duration_s": round(duration_s, 3),
        "kept_share": verdicts["verdict"].to_pylist().count("keep") / len(items),
        "webrtc_share": sum(row["vad_ratio"] * row["duration_s"] for row in rows) / duration_s,
        "both_gates_share": sum(row["speech_s"] for row in rows) / duration_s,
        "looped_clips": len(looped),
        "reasons": dict(Counter(reason for reason in verdicts["reason"].to_pylist() if reason is not None)),
    }


def folder_items(folder: Path) -> list[ClipItem]:
    """Every clip of a folder."""
    rows = find_utterances(str(folder), IdentityBook(), "benchmark").to_pylist()
    return [ClipItem(row=row | {"item_id": row["utterance_id"]}, data=Path(row["path"]).read_bytes) for row in rows]


def simulated_items() -> list[ClipItem]:
    """Fifty voices of the simulated corpus."""
    people = draw_people(50, seed=0, link=1.0)
    return [_item(f"voice{i}", speak(person, duration_s=4.0, seed=i)) for i, person in enumerate(people)]


def sound_items() -> list[ClipItem]:
    """Noises, tones, hums and beeps."""
    return [_item(name, samples) for name, samples in _sounds()]


def _sounds() -> Iterator[tuple[str, np.ndarray[Any, np.dtype[np.float64]]]]:
    t = np.arange(10 * RATE_HZ) / RATE_HZ
    white = np.random.default_rng(0).standard_normal(len(t))
    for slope in (0.0, 0.5, 1.0):
        shaped = np.fft.irfft(np.fft.rfft(white) / (np.arange(len(t) // 2 + 1) + 20.0) ** slope)
        yield f"noise{slope}", 0.1 * shaped / shaped.std()
    for hz in (150, 300, 440, 1000, 3000):
        yield f"tone{hz}", 0.3 * np.sin(2 * np.pi * hz * t)
        yield f"buzz{hz}", 0.4 * ((hz * t) % 1 - 0.5)
        yield f"beeps{hz}", 0.3 * np.sin(2 * np.pi * hz * t) * (np.sin(2 * np.pi * 2 * t) > 0)


def _item(name: str, samples: np.ndarray[Any, Any]) -> ClipItem:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE_HZ, format="WAV", subtype="PCM_16")
    return ClipItem(row={"item_id": name, "person": name, "utterance_id": name}, data=buffer.getvalue)


if __name__ == "__main__":
    try:
        main()
    except VoxdataError as error:
        raise SystemExit(str(error)) from None
