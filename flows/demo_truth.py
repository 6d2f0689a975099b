"""What a simulated corpus knows that no dataset does: the best face that anyone could paint for a voice.

`known_optimum` gives `models.evaluate` the pictures of that ceiling. They go the way of every other photo: painted with
a background, cut out at the pupils and put on white by the renderer, so that they differ from portraits in nothing but
what a voice cannot tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flows.runs import evaluate_run
from models.evaluate.report import headline
from voxdata.faces.geometry.eyes import Pupils
from voxdata.faces.portrait.render import cut_out
from voxdata.format.errors import SourceError
from voxdata.format.json_text import read_json
from voxdata.simulate.face import Scene, Shot, paint_scene, pupils_px
from voxdata.simulate.people import SimulatedPerson, draw_people, expected_face

KNOWN_OPTIMUM = "known optimum"
PHOTO_PX = 320
SIZE_PX = 128
PICTURES = 3


def judge_with_truth(run_dir: str | Path, corpus: str | Path) -> str:
    """Evaluate a run beside the known optimum of the corpus behind it, note the figures, and return the table.

    Raises `SourceError` for a folder that is no simulated corpus, `TrainingError` for a run that cannot be judged.
    """
    report = evaluate_run(Path(run_dir), {KNOWN_OPTIMUM: known_optimum(corpus)})
    table = headline(report) or "fewer than 20 people: recall in galleries of 20 and 100 cannot be said"
    notes = "\n".join(f"- {note}" for note in report["notes"])
    said = f"{report['system']}, step {report['step']}, n = {report['people']}: value [95 % interval over people]"
    return f"{said}\n\n{table}\n\n{notes}"


def known_optimum(corpus: str | Path, people: Iterable[str] | None = None) -> dict[str, npt.NDArray[np.uint8]]:
    """Person -> portraits (K, 128, 128, 3) of the face that is expected given the voice; all people unless some are
    named. Raises `SourceError` for a folder that is no simulated corpus."""
    path = Path(corpus) / "corpus.json"
    try:
        settings = read_json(path.read_text(encoding="utf-8"))
        population = draw_people(settings["people"], seed=settings["seed"], link=settings["link"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"corpus {corpus}: {path.name} cannot be read ({error}); write a corpus with: voxdata simulate {corpus}"
        ) from None
    wanted = None if people is None else set(people)
    return {
        person.identity: _portraits(person)
        for person in map(expected_face, population)
        if wanted is None or person.identity in wanted
    }


def _portraits(person: SimulatedPerson) -> npt.NDArray[np.uint8]:
    """(K, S, S, 3): frontal, neutral and evenly lit, with the same K backgrounds and clothes for everybody."""
    shot = Shot()
    left, right = pupils_px(person, shot, PHOTO_PX)
    pupils = Pupils(left=(float(left[0]), float(left[1])), right=(float(right[0]), float(right[1])))
    scene = Scene(background="gradient", shots=((person, shot),))
    photos = [paint_scene(scene, size_px=PHOTO_PX, seed=seed) for seed in range(PICTURES)]
    return np.stack([cut_out(photo, pupils, SIZE_PX)[0] for photo in photos])
