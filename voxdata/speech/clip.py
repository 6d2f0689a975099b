"""The log-mel of one voice file, exactly as a build would store it before rounding to float16."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voxdata.errors import SourceError, SpeechDecodeError
from voxdata.recipe_speech import SpeechMeasure
from voxdata.speech.decode import decode
from voxdata.speech.gate import confirm, pick
from voxdata.speech.mel import FRONT_ENDS, Mel, log_mel
from voxdata.speech.vad import speech_segments
from voxdata.speech.voicing import analyse


def clip_mel(data: bytes, front_end: str, recipe: Mapping[str, Any]) -> Mel:
    """Log-mel (F, T) of the confirmed speech in an audio file, with the settings of a snapshot's recipe.

    Raises `SourceError` when the file cannot be decoded or holds no speech.
    """
    settings = SpeechMeasure.model_validate(recipe["speech"]["measure"])
    try:
        samples = decode(data, max_duration_s=settings.max_duration_s).samples
    except SpeechDecodeError as error:
        raise SourceError(f"the voice file cannot be decoded: {error}") from None
    active = speech_segments(samples, settings.vad_of(front_end))
    segments = confirm(active, analyse(samples), settings.gate) if settings.gate.enabled else active
    if not segments:
        raise SourceError("the voice file holds no speech: voice activity found nothing that the second gate confirms")
    return log_mel(pick(samples, segments), front_end)


def front_end_metadata(front_end: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What a snapshot with this recipe says about a front end, without its normalisation."""
    return FRONT_ENDS[front_end].metadata(SpeechMeasure.model_validate(recipe["speech"]["measure"]))
