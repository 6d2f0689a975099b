"""How good the speech stage is on real sound: what it keeps, what it calls speech, and whose voice comes out.

    python benchmarks/speech_accuracy.py --data ../shared/data [--music FOLDER]

Sections: clips kept per set, frames against the labelled meetings and the labelled mix, music, speaker verification,
and bandwidth and loops. `--music` adds a folder of music of your own. Sets are also reported on the half of the files
that no constant may be fitted on (`figures.in_fitting_half`). Writes benchmarks/results/speech_accuracy.json.
"""

from __future__ import annotations

import argparse
import io
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile
from accuracy.speaker import verification
from figures import Figure, Section, in_fitting_half, mean_figure, show

from voxdata.format.errors import VoxdataError
from voxdata.people.identities import IdentityBook
from voxdata.recipe.speech import Gate, SpeechMeasure, SpeechSelect, Vad
from voxdata.simulate.people import draw_people
from voxdata.simulate.voice import speak
from voxdata.sources.clips import find_utterances
from voxdata.sources.magic import SPEECH_SUFFIXES
from voxdata.sources.speech_files import SpeechFolder
from voxdata.speech.activity import silero
from voxdata.speech.activity.gate import confirm, frame_flags
from voxdata.speech.activity.vad import speech_segments
from voxdata.speech.activity.voicing import analyse
from voxdata.speech.decide import decide
from voxdata.speech.decode import SAMPLE_RATE_HZ, decode
from voxdata.speech.loops import near_loop
from voxdata.speech.measure import run
from voxdata.store.items import ClipItem

Samples = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Rows = list[dict[str, Any]]

SETS = {
    "LibriSpeech": "speech/librispeech",
    "telephone": "speech/hyke83",
    "VoxCeleb1": "voxceleb1-mini",
    "AVSpeech": "avspeech-mini",
    "household noise": "noise",
}
FRAME_HZ = 100
MUSIC_CLIP_S = 6.0


def main() -> None:
    """Measure everything and report."""
    parser = argparse.ArgumentParser(description="Accuracy of the speech stage on real sound.")
    parser.add_argument("--data", type=Path, required=True, help="folder of real test data")
    parser.add_argument("--music", type=Path, help="a folder of music")
    options = parser.parse_args()
    data: Path = options.data
    model = data / "weights" / "silero_vad_16k_op15.onnx"
    network = str(model) if model.exists() else None
    measured = {name: measure(folder_items(data / folder), network) for name, folder in SETS.items()}
    measured["simulated voices"] = measure(simulated_items(), network)
    measured["made noise and tones"] = measure(sound_items(), network)
    sections = [
        kept(measured),
        frames(data, network),
        music(data, options.music, measured),
        Section(title="Speaker verification", **verification(data)),
        properties(measured, data),
    ]
    show(sections, "speech_accuracy")


def measure(items: list[ClipItem], network: str | None) -> Rows:
    """Rows of one set under the default recipe, with `verdict` and `reason`."""
    utterances = run(items, SpeechMeasure(gate=Gate(silero=network))).rows
    verdicts = decide(utterances, SpeechSelect()).select(["verdict", "reason"]).to_pylist()
    return [row | verdict for row, verdict in zip(utterances.to_pylist(), verdicts, strict=True)]


def kept(measured: dict[str, Rows]) -> Section:
    """Clips kept, and the share of the sound that is speech to each judge."""
    table = []
    for name, rows in measured.items():
        table.append(kept_row(name, rows))
        held_out = [row for row in rows if not in_fitting_half(row["item_id"])]
        if name in SETS and held_out:
            table.append(kept_row(f"{name}, not fitted on", held_out))
    noise = measured["household noise"]
    share = sum(row["speech_s"] for row in noise) / sum(row["duration_s"] for row in noise)
    figures = [
        Figure(name="household noise called speech", value=share, n=len(noise), must=0.02),
        mean_figure("LibriSpeech clips kept", kept_flags(measured["LibriSpeech"]), must=0.97, higher=True),
        mean_figure("VoxCeleb1 clips kept", kept_flags(measured["VoxCeleb1"]), must=0.97, higher=True),
    ]
    return Section(title="Clips", figures=figures, tables={"Shares of clips kept and of sound called speech": table})


def kept_row(name: str, rows: Rows) -> dict[str, Any]:
    """One line of the table of sets."""
    rows = [row for row in rows if row["speech_status"] == "ok"]
    duration_s = np.array([row["duration_s"] for row in rows])

    def share(column: str) -> float:
        return float(np.average([row[column] or 0.0 for row in rows], weights=duration_s))

    return {
        "set": name,
        "clips": len(rows),
        "kept": float(kept_flags(rows).mean()),
        "WebRTC": share("vad_ratio"),
        "both gates": float(sum(row["speech_s"] for row in rows) / duration_s.sum()),
        "Silero": share("silero_ratio"),
        "reasons": " ".join(
            f"{name}:{n}" for name, n in Counter(row["reason"] for row in rows if row["reason"]).items()
        ),
    }


def kept_flags(rows: Rows) -> npt.NDArray[np.float64]:
    """1 for each clip that is kept."""
    return np.array([row["verdict"] == "keep" for row in rows], dtype=float)


def frames(data: Path, network: str | None) -> Section:
    """10 ms frames against the labels of three meetings and of a mix of noise, music and speech."""
    table = []
    for path in (*sorted((data / "truth" / "vad-ami").glob("*.wav")), data / "truth" / "vad-ina" / "musanmix.mp3"):
        samples = decode(path.read_bytes()).samples
        truth = labels(path, len(samples) * FRAME_HZ // SAMPLE_RATE_HZ)
        for judge, called in judges(samples, network).items():
            table.append(
                {"recording": path.name, "speech s": truth.sum() / FRAME_HZ, "judge": judge} | rates(called, truth)
            )
    both = [row["false alarms"] for row in table if row["judge"] == "both gates"]
    figure = Figure(name="both gates: worst share of non-speech called speech", value=max(both), n=len(both))
    note = (
        "musanmix is a noise file, a music file and a reading, in this order; its speech is where both label files say "
        "so after 63 s. The meetings' labels count whatever one participant said, however far from the microphone."
    )
    return Section(title="Frames of 10 ms", figures=[figure], tables={"Against labels": table}, notes=[note])


def labels(path: Path, count: int) -> Flags:
    """True speech frames (T,) of a labelled recording."""
    truth = np.zeros(count, dtype=bool)
    for start_s, end_s in [*rttm(path), *segment_table(path)]:
        truth[round(start_s * FRAME_HZ) : round(end_s * FRAME_HZ)] = True
    return truth


def rttm(path: Path) -> Iterator[tuple[float, float]]:
    """Speech in seconds from the RTTM files beside a recording."""
    for file in sorted(path.parent.glob("*.rttm")):
        for line in file.read_text(encoding="utf-8").splitlines():
            _, name, _, start, length, *_ = line.split()
            if name == path.stem:
                yield float(start), float(start) + float(length)


def segment_table(path: Path) -> Iterator[tuple[float, float]]:
    """Speech in seconds from the segment table beside a recording."""
    file = path.with_name(f"{path.stem}-smn-gender.csv")
    if not file.exists():
        return
    textgrid = file.with_suffix(".TextGrid").read_text().split('text = "')
    for before, after in pairwise(textgrid):
        if after.startswith(("male", "female")):
            start, end = (float(line.split("=")[1]) for line in before.splitlines()[-3:-1])
            yield start, end


def judges(samples: Samples, network: str | None) -> dict[str, Flags]:
    """What each judge calls speech, per 10 ms frame."""
    count = len(samples) * FRAME_HZ // SAMPLE_RATE_HZ
    active = speech_segments(samples, Vad())
    found = {
        "WebRTC": frame_flags(active, count),
        "both gates": frame_flags(confirm(active, analyse(samples), Gate()), count),
    }
    if network is not None:
        speech = silero.speech_probability(samples, network) >= silero.SPEECH_PROBABILITY
        middles = (np.arange(count) * SAMPLE_RATE_HZ // FRAME_HZ + SAMPLE_RATE_HZ // FRAME_HZ // 2) // silero.STEP
        found["Silero"] = speech[middles]
        found["both gates and Silero"] = found["both gates"] & found["Silero"]
    return found


def rates(called: Flags, truth: Flags) -> dict[str, float]:
    """Precision, recall, false alarms and error of frames."""
    return {
        "precision": float(truth[called].mean()) if called.any() else float("nan"),
        "recall": float(called[truth].mean()),
        "false alarms": float(called[~truth].mean()),
        "error": float((called != truth).mean()),
    }


def music(data: Path, folder: Path | None, measured: dict[str, Rows]) -> Section:
    """What becomes of music, and what the rule against it costs speech."""
    pieces = {"melodies and chords, made": melodies()}
    mix = decode((data / "truth" / "vad-ina" / "musanmix.mp3").read_bytes()).samples
    pieces["musanmix 0 to 22 s"] = cut(mix[: 22 * SAMPLE_RATE_HZ])
    pieces["musanmix 29 to 56 s"] = cut(mix[29 * SAMPLE_RATE_HZ : 56 * SAMPLE_RATE_HZ])
    for path in sorted(folder.rglob("*")) if folder else ():
        if path.suffix.lower() in SPEECH_SUFFIXES:
            pieces[path.name] = cut(decode(path.read_bytes()).samples)
    table = []
    for name, clips in pieces.items():
        rows = measure([item(f"{name} {n}", clip) for n, clip in enumerate(clips)], None)
        table.append({"sound": name} | music_row(rows))
    speech = [row for name in SETS if name != "household noise" for row in measured[name]]
    held_out = [row for row in speech if not in_fitting_half(row["item_id"])]
    lost = np.array([row["music_ratio"] or 0.0 for row in held_out])
    figures = [
        Figure(name="made music kept", value=float(table[0]["kept"]), n=int(table[0]["clips"]), must=0.1),
        mean_figure("voice activity of real voices called music (not fitted on)", lost, must=0.02),
    ]
    return Section(title="Music", figures=figures, tables={"6 s clips": table})


def music_row(rows: Rows) -> dict[str, Any]:
    """Clips of music: how many are kept, and as what the others go."""
    reasons = Counter(row["reason"] for row in rows if row["reason"])
    return {
        "clips": len(rows),
        "WebRTC": float(np.mean([row["vad_ratio"] for row in rows])),
        "music": float(np.mean([row["music_ratio"] for row in rows])),
        "kept": float(kept_flags(rows).mean()),
        "reasons": " ".join(f"{name}:{n}" for name, n in reasons.items()),
    }


def properties(measured: dict[str, Rows], data: Path) -> Section:
    """Bandwidth of telephone against wide-band speech; loops that survive a lossy codec."""
    narrow, wide = ([row["bandwidth_hz"] for row in measured[name]] for name in ("telephone", "LibriSpeech"))
    looped = [row for row in measured["VoxCeleb1"] if row["loop_s"] is not None]
    clips = {row["utterance_id"]: row["path"] for row in find_rows(data / SETS["VoxCeleb1"])}
    again = [
        (row["loop_s"], near_loop(aac(decode(Path(clips[row["utterance_id"]]).read_bytes()).samples), SAMPLE_RATE_HZ))
        for row in looped
        if row["duration_s"] - row["loop_s"] > 0.6
    ]
    found = np.array([hit is not None and abs(hit[0] - period) < 0.002 for period, hit in again], dtype=float)
    straight = [
        decode(Path(clips[row["utterance_id"]]).read_bytes()).samples
        for row in measured["VoxCeleb1"]
        if not row["loop_s"]
    ]
    false = np.array([near_loop(aac(clip), SAMPLE_RATE_HZ) is not None for clip in straight[::4]], dtype=float)
    return Section(
        title="Bandwidth and loops",
        figures=[
            Figure(name="telephone: highest bandwidth, Hz", value=max(narrow), n=len(narrow), must=4200),
            Figure(name="LibriSpeech: lowest bandwidth, Hz", value=min(wide), n=len(wide), must=5000, higher=True),
            Figure(
                name="VoxCeleb1: share of clips that loop",
                value=len(looped) / len(measured["VoxCeleb1"]),
                n=len(measured["VoxCeleb1"]),
            ),
            mean_figure("loops of 0.6 s or more found after AAC at 64 kbit/s", found, must=0.8, higher=True),
            mean_figure("other clips called loops after AAC", false, must=0.02),
        ],
    )


def aac(samples: Samples) -> Samples:
    """Samples after AAC at 64 kbit/s."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ipod") as output:
        stream = output.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.rate = SAMPLE_RATE_HZ
        cutter = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE_HZ, frame_size=1024)
        for part in (*cutter.resample(frame), *cutter.resample(None)):
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return decode(buffer.getvalue()).samples


def cut(samples: Samples) -> list[Samples]:
    """Clips of 6 s, one after another."""
    size = round(MUSIC_CLIP_S * SAMPLE_RATE_HZ)
    return [samples[at : at + size] for at in range(0, len(samples) - size // 2, size)]


def melodies() -> list[Samples]:
    """Thirty-six pieces of 6 s: one to four voices, plucked, blown and held notes of one scale."""
    clips = []
    for seed in range(36):
        rng = np.random.default_rng(seed)
        decay, fade = ((3.0, 0.6), (1.0, 0.75), (0.0, 0.5))[seed % 3]
        base_hz, out, at = rng.uniform(110, 260), np.zeros(8 * SAMPLE_RATE_HZ), 0
        while at < MUSIC_CLIP_S * SAMPLE_RATE_HZ:
            size = round(SAMPLE_RATE_HZ * rng.choice([0.125, 0.25, 0.5, 1.0]))
            t = np.arange(size) / SAMPLE_RATE_HZ
            shape = np.exp(-decay * t) * np.minimum(t / 0.01, 1) * np.minimum((t[-1] - t) / 0.02, 1)
            for _ in range(1 + seed // 3 % 4):
                hz = base_hz * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
                out[at : at + size] += shape * sum(fade**k * np.sin(2 * np.pi * k * hz * t) for k in range(1, 9))
            at += size
        piece = out[: round(MUSIC_CLIP_S * SAMPLE_RATE_HZ)]
        clips.append((0.3 * piece / np.abs(piece).max() + 1e-4 * rng.standard_normal(len(piece))).astype(np.float32))
    return clips


def find_rows(folder: Path) -> Rows:
    """Every clip of a folder (`schemas.UTTERANCE_FILES`)."""
    rows: Rows = find_utterances(SpeechFolder(path=str(folder)), IdentityBook(), "benchmark").to_pylist()
    return rows


def folder_items(folder: Path) -> list[ClipItem]:
    """Every clip of a folder."""
    return [
        ClipItem(row=row | {"item_id": row["source_key"]}, data=partial(Path.read_bytes, Path(row["path"])))
        for row in find_rows(folder)
    ]


def simulated_items() -> list[ClipItem]:
    """Fifty voices of the simulated corpus."""
    people = draw_people(50, seed=0, link=1.0)
    return [item(f"voice{i}", speak(person, duration_s=4.0, seed=i)) for i, person in enumerate(people)]


def sound_items() -> list[ClipItem]:
    """Noises, tones, hums and beeps."""
    t = np.arange(10 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    white = np.random.default_rng(0).standard_normal(len(t))
    items = []
    for slope in (0.0, 0.5, 1.0):
        shaped = np.fft.irfft(np.fft.rfft(white) / (np.arange(len(t) // 2 + 1) + 20.0) ** slope)
        items.append(item(f"noise{slope}", 0.1 * shaped / shaped.std()))
    for hz in (150, 300, 440, 1000, 3000):
        tone = 0.3 * np.sin(2 * np.pi * hz * t)
        items += [item(f"tone{hz}", tone), item(f"buzz{hz}", 0.4 * ((hz * t) % 1 - 0.5))]
        items.append(item(f"beeps{hz}", tone * (np.sin(2 * np.pi * 2 * t) > 0)))
    return items


def item(name: str, samples: npt.NDArray[Any]) -> ClipItem:
    """A clip of made sound, as a 16-bit wav."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
    row = {"item_id": name, "identity": name, "person": name, "utterance_id": name}
    return ClipItem(row=row, data=buffer.getvalue)


if __name__ == "__main__":
    try:
        main()
    except VoxdataError as error:
        raise SystemExit(str(error)) from None
