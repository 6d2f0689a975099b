"""A run as the page of `voxdata serve` asks it: faces for the clips that one drops or records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.voices import Listener, open_enhancer
from models.errors import ClipError
from models.images import encode_png
from models.training.checkpoint import read_run_config
from voxdata.format.errors import SourceError
from voxdata.pages.head import dataset_words
from voxdata.pages.serve.routes import MAX_CLIP_S, Faces
from voxdata.store.storage import open_storage


class Answering:
    """A run, and what enhances its faces where that was asked for, as the page asks them."""

    def __init__(self, run_dir: Path, enhance: str | None, device: str) -> None:
        """Load the weights. Raises one-line errors."""
        self._run_dir = run_dir
        storage = open_storage(read_run_config(run_dir)["run"]["root"])
        self._listener = Listener(storage, run_dir, device)
        self._dataset = dataset_words(storage.url, self._listener.snapshot)
        self._enhance = open_enhancer(enhance, run_dir) if enhance else None

    def about(self) -> dict[str, Any]:
        """What the page says of the run."""
        generator = self._listener.generator
        described = f"{generator.run['system']} {generator.run['preset']}, step {generator.step}"
        return {
            "run": f"{self._run_dir.name} ({described})",
            "dataset": self._dataset,
            "window_s": self._window_s(),
        }

    def __call__(self, clip: bytes) -> Faces:
        """The faces for a clip. Raises `SourceError` with what is wrong with it."""
        try:
            imagined = self._listener.faces(clip, max_duration_s=MAX_CLIP_S)
        except ClipError as error:
            raise SourceError(str(error)) from None
        better, kept = self._enhance(imagined.face) if self._enhance else (None, None)
        return Faces(
            fused=encode_png(imagined.face),
            windows=[encode_png(face) for face in imagined.windows],
            starts_s=imagined.window_start_s,
            window_s=self._window_s(),
            enhanced=None if better is None else encode_png(better),
            identity_kept=kept,
        )

    def _window_s(self) -> float:
        return round(self._listener.generator.window * self._listener.generator.hop_s, 3)
