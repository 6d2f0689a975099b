"""The log-mel of one voice file, exactly as a build would store it before rounding to float16."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from voxdata.format.errors import SourceError, SpeechDecodeError
from voxdata.recipe.speech import SpeechMeasure
from voxdata.speech.activity.gate import confirm, pick
from voxdata.speech.activity.vad import speech_segments
from voxdata.speech.activity.voicing import analyse
from voxdata.speech.decode import decode
from voxdata.speech.front_ends.front_end import find_front_end
from voxdata.speech.front_ends.mel import Mel, log_mel


def clip_mel(
    data: bytes,
    front_end: str,
    recipe: Mapping[str, Any],
    *,
    max_duration_s: float | None = None,
    called: str = "the voice file",
) -> Mel:
    """Log-mel (F, T) of the confirmed speech in an audio file, with the settings of a snapshot's recipe.

    A clip may be as long as the recipe says, or `max_duration_s` where that is given and less; it is `called` so in
    errors. Raises `SourceError` when the file is longer, cannot be decoded, holds no speech, or lacks the highest
    sounds that the front end hears; `RecipeError` for a front end that is not installed.
    """
    settings = SpeechMeasure.model_validate(recipe["speech"]["measure"])
    hearing = find_front_end(front_end, "front_end")
    limit_s = min(settings.max_duration_s, max_duration_s or math.inf)
    try:
        decoded = decode(data, max_duration_s=limit_s)
    except SpeechDecodeError as error:
        if error.reason == "too_long":
            raise SourceError(f"{called} is longer than {limit_s:g} s; cut it, or give a shorter one") from None
        raise SourceError(
            f"{called} cannot be decoded: {error}; give one that plays (wav, flac, m4a, mp3, mp4, …)"
        ) from None
    highest_hz = hearing.f_max_hz
    if decoded.sample_rate_hz < 2 * highest_hz:
        raise SourceError(
            f"{called} is sampled at {decoded.sample_rate_hz} Hz and holds nothing above "
            f"{decoded.sample_rate_hz / 2:g} Hz; {front_end} listens up to {highest_hz:g} Hz: record at "
            f"{2 * highest_hz:g} Hz or more"
        )
    samples = decoded.samples
    active = speech_segments(samples, hearing.vad_of(settings))
    segments = confirm(active, analyse(samples), settings.gate) if settings.gate.enabled else active
    if not segments:
        raise SourceError(
            f"{called} holds no speech: voice activity found nothing that the second gate confirms; give one in which "
            "somebody speaks"
        )
    return log_mel(pick(samples, segments), front_end)


def front_end_metadata(front_end: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What a snapshot with this recipe says about a front end, without its normalisation. Raises `RecipeError`."""
    settings = SpeechMeasure.model_validate(recipe["speech"]["measure"])
    return find_front_end(front_end, "front_end").metadata(settings)
