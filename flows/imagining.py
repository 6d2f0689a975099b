"""The flow `imagine-batch`: a plausible face for every voice file of a folder.

    <out>/<voice file>.png    with the folders of `voices`; <out>/faces.csv: voice, face, status, detail

A face shows no real person and identifies nobody. A file that is no voice has a row with the reason, and no face.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from prefect import flow

from flows.artifacts import show_faces, shown_counts
from flows.pulling import local_root
from flows.registry import named_run
from flows.voices import Listener
from models.errors import ClipError
from models.images import write_png
from models.training.checkpoint import read_run_config
from models.training.config import RunConfig
from voxdata.forgetting.outputs import MARKER, note_output
from voxdata.format.atomic import write_atomic
from voxdata.format.errors import SourceError
from voxdata.format.portraits import Uint8Array
from voxdata.pipeline.progress import logger, progress, speak_up
from voxdata.store.storage import LocalStorage

LIST = "faces.csv"
DONE, FAILED = "face", "no face"


@flow(name="imagine-batch", flow_run_name="{voices} on {root}", persist_result=False, validate_parameters=True)
def imagine_batch(
    root: str,
    voices: str,
    out: str,
    run: str = "champion",
    system: str = RunConfig.system,
    device: str = RunConfig.device,
) -> dict[str, int]:
    """Imagine a face for every file under the folder `voices`, into the folder `out`; returns how many of each status.

    `run` of `root` is the champion of `system`, its challenger, a run's name, or a run's folder. The folder `out` is
    new, or one that this flow has written. Raises `SourceError` where no file gives a face.
    """
    speak_up()
    storage = local_root(root)
    folder = named_run(storage, run, system)
    files = _voices(Path(voices))
    place = _own_folder(Path(out), Path(voices))
    note_output(storage, "faces", str(place), read_run_config(folder)["snapshot"])
    ask = _asking(storage, folder, device)
    rows = []
    with progress("imagine", len(files)) as advance, shown_counts("imagine", len(files)) as show:
        for file in files:
            rows.append(_one(ask, file, Path(voices), place))
            advance(1)
            show(1)
    _write_list(place / LIST, rows)
    show_faces(rows, folder.name)
    counts = {status: sum(row["status"] == status for row in rows) for status in (DONE, FAILED)}
    logger.info("%d faces in %s, %d files without one; run %s", counts[DONE], place, counts[FAILED], folder.name)
    if not counts[DONE]:
        raise SourceError(f"none of {len(files)} files under {voices} gives a face; the first: {rows[0]['detail']}")
    return counts


def _voices(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SourceError(f"voices {folder}: no such folder")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    if not files:
        raise SourceError(f"voices {folder}: holds no file; put speech files there (wav, flac, m4a, mp3, mp4, …)")
    return files


def _own_folder(out: Path, voices: Path) -> Path:
    """The folder for the faces. It is ours alone, as forgetting somebody deletes it as a whole."""
    if out.resolve().is_relative_to(voices.resolve()) or voices.resolve().is_relative_to(out.resolve()):
        raise SourceError(f"out {out}: lies in the folder of the voices or around it; choose another")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()) and not (out / MARKER).is_file():
            raise SourceError(f"out {out}: has files of others; choose a new folder")
    except OSError as error:
        raise SourceError(f"out {out}: cannot be written: {error.strerror}; choose another folder") from None
    return out.absolute()


def _asking(storage: LocalStorage, run_dir: Path, device: str) -> Callable[[Path], Uint8Array]:
    """From a speech file to a face uint8 (S, S, 3); the run's weights are loaded once."""
    listener = Listener(storage, run_dir, device)
    return lambda file: listener.faces(file.read_bytes()).face


def _one(ask: Callable[[Path], Uint8Array], file: Path, voices: Path, out: Path) -> dict[str, str]:
    name = file.relative_to(voices)
    face = out / f"{name}.png"
    row = {"voice": str(name), "face": "", "status": FAILED, "detail": ""}
    try:
        picture = ask(file)
    except (SourceError, ClipError) as error:
        return row | {"detail": str(error)}
    except OSError as error:
        return row | {"detail": f"cannot be read: {error.strerror}"}
    write_png(face, picture)
    return row | {"face": f"{name}.png", "status": DONE}


def _write_list(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, lambda file: file.write(text.getvalue().encode()))
