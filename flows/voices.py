"""From the bytes of a voice file to faces: the only place where mels meet networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flows.runs import enhancer_files
from models.generator import Generator
from models.imagine import Imagined, imagine
from models.training.checkpoint import read_run_config
from models.training.config import choose_device
from voxdata.catalog.snapshot import load_snapshot
from voxdata.format.portraits import Uint8Array
from voxdata.speech.clip import clip_mel, front_end_metadata
from voxdata.store.storage import Storage


class Listener:
    """A run that hears voices. Its weights, and its snapshot's recipe, are read once."""

    def __init__(self, storage: Storage, run_dir: Path, device: str = "auto") -> None:
        """Raises `CheckpointError`, `SnapshotError`."""
        self._run_dir = run_dir
        self._front_end = read_run_config(run_dir)["front_end"]["name"]
        self.snapshot = load_snapshot(storage, read_run_config(run_dir)["snapshot"])
        self._settings = front_end_metadata(self._front_end, self.snapshot.recipe)
        self.generator = Generator(run_dir, choose_device(device))

    def faces(self, data: bytes, *, max_duration_s: float | None = None, called: str = "the voice file") -> Imagined:
        """The faces for a voice file, which is `called` so in errors.

        Raises `SourceError`, `ClipError` for one that gives none.
        """
        mel_FT = clip_mel(data, self._front_end, self.snapshot.recipe, max_duration_s=max_duration_s, called=called)
        return imagine(
            self._run_dir, mel_FT, front_end=self._front_end, settings=self._settings, generator=self.generator
        )


def open_enhancer(name: str, run_dir: Path) -> Callable[[Uint8Array], tuple[Uint8Array, float]]:
    """What enhances a face uint8 (S, S, 3) and says how much of the identity the run's own embedder still finds.

    `name` is that of a published enhancer or the folder of an enhance run. Raises `WeightsError`, `CheckpointError`.
    """
    from models.evaluate.protocol import open_embedder
    from models.images import from_uint8, to_uint8
    from models.systems.enhance.faces import identity_kept, load_enhancer

    device, run = choose_device("auto"), read_run_config(run_dir)["run"]
    enhance = load_enhancer(name, enhancer_files(name), device)
    embedder = open_embedder(run["embedder"], run_dir, run["weights"]).to(device)

    def enhanced(face_SS3: Uint8Array) -> tuple[Uint8Array, float]:
        before_13SS = from_uint8(face_SS3[None]).to(device)
        after_13PP = enhance(before_13SS)
        return to_uint8(after_13PP)[0], float(identity_kept(embedder, before_13SS, after_13PP))

    return enhanced
