"""Do voices of real people say anything about their faces? Five folds, two judges, and how many people it takes.

    python benchmarks/real_people.py --data ../shared/data [--folder DIR] [--seconds 120] [--front-ends mel]

All pairs of `voxceleb1-mini` and `avspeech-mini` are built into one root, without a review, and everybody is judged in
one of five folds by what was trained on the other four. Rows: voice regression on the statistics of log-mels (`mel`)
and on the vectors of a speaker network (`pretrained`, OpenVoice's); `align` and `sf2f` on log-mels with MobileFaceNet
in their losses, each with a box of `--seconds` CPU seconds per fold on one thread; sex only; the mean face. Each row is
also asked with everybody else's voice instead (shuffled). Figures are 1:2 matching, of all people and within one sex,
and the centred cosine, each with an interval over the people of all folds, before MobileFaceNet and dlib's network.

The power analysis draws studies of fewer people out of these, and of simulated people at several links between voice
and face, and fits the voice regression anew in each; the link that fits real people is the one at which as many are
found.

The whole takes some 45 minutes of CPU, 20 of them trainings. With `--folder` it goes on where it stopped. The
results, figures alone, are written to benchmarks/results/real_people.json after each row, where nobody was left out
by options. Scores, faces and voices stay in the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from figures import Section, show, write
from real_people_data import FRONT_ENDS, MEL, PRETRAINED, build, material
from real_people_eyes import DLIB, MOBILEFACENET, simulated_pools
from real_people_rows import Row, Setting, row_section, rows_of, trained_scores
from real_people_studies import LEAST_SIMULATED, power_section
from real_training import NAMED, PAIRS, WEIGHTS

from models.errors import TrainingError
from voxdata.format.atomic import write_json
from voxdata.format.errors import WeightsError
from voxdata.weights import resolve

SYSTEMS = ("align", "sf2f")
LINKS = (0.0, 0.25, 0.5, 0.75, 1.0)
SIMULATED, PEOPLE_SEED, SECONDS, DRAWS = 600, 40, 120.0, 60


def main() -> int:
    """Build, measure, train, draw studies, print; returns the exit status."""
    options = _options()
    encoder = "weights/openvoice_v2_speaker_encoder.onnx"
    if missing := [name for name in (NAMED, PAIRS, WEIGHTS, encoder) if not (options.data / name).exists()]:
        print(f"skipped: {options.data} has no {', '.join(missing)}")
        return 0
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        setting = {"seconds": options.seconds, "seed": options.seed, "simulated": options.simulated}
        if wrong := _other(folder, setting):
            print(f"error: {wrong}", file=sys.stderr)
            return 2
        try:
            found: Sequence[Section] = []
            for found in sections(folder, options):
                if _whole(options):
                    write(found, "real_people")
            show(found, None)
        except (subprocess.CalledProcessError, TrainingError, WeightsError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return 0


def sections(folder: Path, options: argparse.Namespace) -> Iterator[list[Section]]:
    """All that is known, again after each row."""
    data = options.data.absolute()
    judges = {MOBILEFACENET: data / WEIGHTS, DLIB: resolve(DLIB)}
    identifier = build(data, folder)
    about = material(data, folder, identifier, judges, options.seed)
    rows: list[Row] = rows_of(about, options.front_ends)
    yield [row_section(about, rows)]
    pools: dict[float, Any] = {}
    for link in LINKS:
        _say(f"simulate {options.simulated} people, link {link:g}")
        name = f"simulated-{options.simulated}-{link:g}.npz"
        pools[link] = simulated_pools(folder / name, options.simulated, link, PEOPLE_SEED, judges)
    studied = power_section(about, options.front_ends, pools, options.draws)
    yield [row_section(about, rows), studied]
    setting = Setting(
        folder=folder,
        snapshot=identifier,
        seconds=options.seconds,
        seed=options.seed,
        judges=judges,
    )
    for system in options.systems if MEL in options.front_ends else ():
        rows += trained_scores(setting, about, system, _say)
        yield [row_section(about, rows), studied]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _whole(options: argparse.Namespace) -> bool:
    asked = (options.simulated, options.seconds, options.draws, options.seed, set(options.front_ends))
    return asked == (SIMULATED, SECONDS, DRAWS, 0, {MEL, PRETRAINED}) and tuple(options.systems) == SYSTEMS


def _other(folder: Path, setting: dict[str, Any]) -> str:
    path = folder / "setting.json"
    if path.exists() and json.loads(path.read_text()) != setting:
        return f"{folder} holds what was made with {path.read_text().strip()}; give another --folder, or these"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, setting)
    return ""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of real test data")
    parser.add_argument("--folder", type=Path, help="keep data, runs and scores here; what is there is not made again")
    parser.add_argument("--front-ends", nargs="+", default=FRONT_ENDS, choices=FRONT_ENDS)
    parser.add_argument("--systems", nargs="*", default=SYSTEMS, choices=SYSTEMS, help="train these")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="CPU seconds of each training")
    parser.add_argument("--simulated", type=int, default=SIMULATED, help="simulated people per link, at least 300")
    parser.add_argument("--draws", type=int, default=DRAWS, help="studies per size")
    parser.add_argument("--seed", type=int, default=0, help="of the folds")
    options = parser.parse_args()
    if options.simulated < LEAST_SIMULATED:
        parser.error(f"--simulated {options.simulated}: the largest studies have {LEAST_SIMULATED} people")
    return options


if __name__ == "__main__":
    sys.exit(main())
