"""The errors of training, evaluation and imagining: a branch of the one tree in `voxdata/format/errors.py`."""

from __future__ import annotations

from voxdata.format.errors import VoxdataError, brief

LETTERS = 20_000  # of a message that repeats what a run.json has


class TrainingError(VoxdataError):
    """Base of all errors that end a training, an evaluation or an imagining with one clear message."""


class ConfigError(TrainingError):
    """A run.json or an override is not valid. Names the key, the value and the limit.

    What it repeats is somebody's own text, and is shown as one line of visible characters.
    """

    exit_code = 2

    def __init__(self, said: str) -> None:
        super().__init__(brief(said, LETTERS))


class SnapshotReadError(TrainingError):
    """A snapshot is redacted, or lacks what the run needs."""


class PretrainedError(TrainingError):
    """The weight file of a published network is missing, is not the published one, or does not fit the network."""


class EmbedderError(TrainingError):
    """No such face embedder, or the one trained in a run cannot be loaded."""


class NonFiniteLossError(TrainingError):
    """A loss, or a weight, stopped being a number. Names the steps, the loss or network, the last good checkpoint."""


class CheckpointError(TrainingError):
    """A run folder has no checkpoint, a damaged one, or one of another configuration."""


class EvaluationError(TrainingError):
    """There is nobody to evaluate on."""


class ClipError(TrainingError):
    """A voice cannot be turned into a face: too short, not finite, or from another front end."""


def in_one_line(error: Exception) -> str:
    """What torch says in many lines when weights do not fit: for whom, and the first thing that does not."""
    return " ".join(line.strip() for line in str(error).splitlines()[:2])
