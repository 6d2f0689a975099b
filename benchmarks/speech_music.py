"""Where the limit between voices and music lies: `gate.max_held_share`, chosen on one half and reported on the other.

    python benchmarks/speech_music.py --data ../shared/data

For each limit the share of the voice activity of real voices that goes as music (lost speech), and of made music that
does not (music let in). The rule, on the half of the files that constants may be fitted on (`figures.in_fitting_half`):
at most 0.5 % of speech lost, then the least music let in, then the highest limit. The rule was written down when 0.55
was in use already. Writes benchmarks/results/speech_music.json.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, Section, in_fitting_half, show
from speech_accuracy import SETS, folder_items, melodies

from voxdata.recipe.speech import Gate, Vad
from voxdata.speech.activity.gate import judge
from voxdata.speech.activity.vad import Segment, speech_segments
from voxdata.speech.activity.voicing import FrameFeatures, analyse
from voxdata.speech.decode import Samples, decode

LIMITS = tuple(round(0.35 + 0.05 * step, 2) for step in range(9))
MAX_LOST = 0.005


@dataclass(frozen=True)
class Heard:
    """What the gate judges of one clip."""

    active: list[Segment]
    features: FrameFeatures

    @classmethod
    def of(cls, samples: Samples) -> Heard:
        """A clip (N,) as the stage hears it."""
        return cls(speech_segments(samples, Vad()), analyse(samples))

    def shares(self, limit: float) -> tuple[float, float]:
        """Samples that go as speech and as music under a limit."""
        speech, music = judge(self.active, self.features, Gate(max_held_share=limit))
        return sum(end - start for start, end in speech), sum(end - start for start, end in music)


def main() -> None:
    """Sweep the limit and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of real test data")
    options = parser.parse_args()
    voices = {
        str(item.row["item_id"]): Heard.of(decode(item.data()).samples)
        for name, folder in SETS.items()
        if name != "household noise"
        for item in folder_items(options.data / folder)
    }
    pieces = {f"melody {n}": Heard.of(samples) for n, samples in enumerate(melodies())}
    fitted, other = (table(half(voices, fit), half(pieces, fit)) for fit in (True, False))
    chosen = choose(fitted)
    shipped = Gate().max_held_share
    row = next(row for row in other if row["limit"] == shipped)
    figures = [
        Figure(name="chosen on the fitting half", value=chosen, n=len(half(voices, True))),
        Figure(name="shipped", value=shipped, n=len(half(voices, True))),
        Figure(name="other half: speech lost", value=row["speech lost"], n=len(half(voices, False)), must=0.02),
        Figure(name="other half: made music let in", value=row["music let in"], n=len(half(pieces, False))),
    ]
    show(
        [Section(title="Limit of held notes", figures=figures, tables={"fitting half": fitted, "other half": other})],
        "speech_music",
    )


def half(clips: dict[str, Heard], fitting: bool) -> list[Heard]:
    """The clips of one half."""
    return [heard for name, heard in clips.items() if in_fitting_half(name) == fitting]


def table(voices: list[Heard], pieces: list[Heard]) -> list[dict[str, Any]]:
    """A row per limit."""
    rows = []
    for limit in LIMITS:
        speech, music = np.sum([heard.shares(limit) for heard in voices], axis=0)
        let_in, caught = np.sum([heard.shares(limit) for heard in pieces], axis=0)
        rows.append(
            {"limit": limit, "speech lost": music / (speech + music), "music let in": let_in / (let_in + caught)}
        )
    return rows


def choose(rows: list[dict[str, Any]]) -> float:
    """The limit that lets in least music of those that lose little speech; the highest of equals."""
    allowed = [row for row in rows if row["speech lost"] <= MAX_LOST]
    least = min(row["music let in"] for row in allowed)
    return max(float(row["limit"]) for row in allowed if row["music let in"] == least)


if __name__ == "__main__":
    main()
