"""Stretches of the sound of clips, as long as those of their log-mels, for pairs with `audio`."""

from __future__ import annotations

import io
import logging

import numpy as np
import numpy.typing as npt
import soundfile

from voxdata.format.errors import SnapshotError
from voxdata.format.members import TarFiles, damaged
from voxdata.format.reader import Reader
from voxdata.recipe.speech import Vad
from voxdata.rules import setting
from voxdata.speech.activity.vad import vad_name
from voxdata.speech.decode import SAMPLE_RATE_HZ

logger = logging.getLogger(__name__)


class SoundStretches:
    """The sound of the clips of a split, whose members are in `of` by key; a stretch has `samples` samples.

    It can be pickled and used in workers. Raises `SnapshotError` where the shards hold no sound, `ShardError`.
    """

    def __init__(self, reader: Reader, split: str, front_end: str, frames: int) -> None:
        self.of = {sound.key: sound for sound in reader.sounds(split)}
        if not self.of:
            raise SnapshotError(
                f"snapshot {reader.id}: no shard of split {split!r} holds sound, only log-mels; leave out audio=True, "
                "or build with --set speech.pack.audio=flac"
            )
        about, recipe = reader.front_end(front_end), reader.snapshot.recipe
        self._files, self._shards = reader.local, reader.snapshot.shards
        self._tars = TarFiles(self._files)
        self._hop = round(float(about["hop_s"]) * SAMPLE_RATE_HZ)
        self.samples = frames * self._hop
        own = vad_name(Vad.model_validate(setting(recipe, "speech.measure.vad") or {}))
        self._aligned = setting(recipe, "speech.pack.audio_part") == "speech" and about.get("vad") == own
        if not self._aligned:
            logger.warning(
                "pairs with audio: %s of a clip is of another moment than its stretch of sound, which is drawn from "
                "all of it; both are of one moment after a build with --set speech.pack.audio_part=speech, for a "
                "front end of the recipe's own voice activity",
                front_end,
            )

    def copy(self, key: str, frame: int, share: float, out: npt.NDArray[np.float32]) -> None:
        """Copy to `out` (A,) what begins at a frame of the log-mel where these are of one sound, else at a share (0 to
        1) of the places where a stretch may begin. A clip that is shorter goes on at its beginning."""
        sound = self.of[key]
        tar = self._shards[sound.shard].tar
        data = self._tars.read(tar, sound.name, sound.offset, sound.size)
        try:
            with soundfile.SoundFile(io.BytesIO(data)) as file:
                slack = file.frames - len(out)
                start = min(frame * self._hop, file.frames - 1) if self._aligned else int(share * (max(slack, 0) + 1))
                wraps = start > slack
                file.seek(0 if wraps else start)
                samples = file.read(-1 if wraps else len(out), dtype="float32")
        except soundfile.LibsndfileError as error:
            raise damaged(self._files, tar, sound.name, error.error_string) from None
        out[:] = np.take(samples, np.arange(start, start + len(out)) % len(samples)) if wraps else samples
