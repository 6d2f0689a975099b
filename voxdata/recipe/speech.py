"""The recipe's settings of the speech stages: decoding, voice activity, front ends, and which clips are kept."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationInfo, field_validator, model_serializer

from voxdata.recipe.effect import OnlyWith, PretrainedFile
from voxdata.recipe.section import RegisteredName, Section, Share

FrontEndName = Annotated[str, RegisteredName("voxdata.front_ends")]
LOG_MELS = ("torch40", "torch64", "psf40", "sphinx64")
VOICE_LIMITS = {"resemblyzer": 0.71, "openvoice_speaker": 0.72}
"""Of our speaker encoders: the cosine below which a clip is another person's, benchmarks/other_speaker.py."""
PSF40, SPHINX64 = (OnlyWith("speech.measure.front_ends", (name,)) for name in ("psf40", "sphinx64"))


class Vad(Section):
    """WebRTC voice activity with the smoothing of SF2F's release (mode 1, 30 ms frames, 300 ms padding)."""

    mode: Literal[0, 1, 2, 3] = Field(1, description="aggressiveness of WebRTC")
    frame_ms: Literal[10, 20, 30] = Field(30, description="frame length")
    padding_ms: int = Field(300, ge=0, le=2000, description="window of the on/off smoothing")


SF2F_VAD = Vad()
VOICE2FACE_VAD = Vad(mode=2, frame_ms=20, padding_ms=50)


class Gate(Section):
    """Second gate: a speech frame must also be voiced or sit beside voicing (WebRTC calls white noise speech)."""

    enabled: bool = Field(True, description="whether unconfirmed segments are dropped from the speech")
    min_voiced_share: Share = Field(0.15, description="share of periodic frames that a segment needs")
    max_flatness: Share = Field(0.5, description="limit of a segment's median spectral flatness")
    max_held_share: Share = Field(0.55, description="limit of pitch steps under 0.05 semitones; more is music")
    silero: Annotated[str | None, PretrainedFile()] = Field(
        None, description="Silero's network as a third opinion, stored as `silero_ratio`: `silero_vad`, or a file"
    )


class SpeechMeasure(Section):
    """Decode, voice activity and mel front ends. Changing one measures again."""

    max_duration_s: float = Field(
        600.0, gt=0, le=1200, description="limit: a longer file is not decoded further; clips are held in memory whole"
    )
    vad: Vad = Vad()
    vad_psf40: Annotated[Vad, PSF40] = SF2F_VAD
    vad_sphinx64: Annotated[Vad, SPHINX64] = VOICE2FACE_VAD
    gate: Gate = Gate()
    front_ends: list[FrontEndName] = Field(
        ["torch40", "torch64"],
        min_length=1,
        description="log-mels that are stored, and vectors of frozen networks, whose files `voxdata weights` brings",
    )


class SpeechSelect(Section):
    """Which clips are kept."""

    min_speech_s: float = Field(1.5, gt=0, description="limit of speech after both gates; SF2F crops up to 1.5 s")
    min_vad_ratio: Share = Field(0.1, description="limit of the share of frames that WebRTC calls speech")
    min_gate_ratio: Share = Field(0.3, description="limit of the share of those that the second gate confirms")
    max_music_ratio: Share = Field(0.5, description="limit of the share of those that the second gate calls music")
    min_silero_ratio: Annotated[Share, OnlyWith("speech.measure.gate.silero")] = Field(
        0.1, description="limit of the share of the clip that Silero calls speech"
    )
    unknown_identity: Annotated[Literal["keep", "reject"], OnlyWith("sources.metadata.path")] = Field(
        "keep", description="clips of people whom no metadata names"
    )
    max_clipped_share: Share = Field(0.05, description="limit of clipped samples")
    min_voice_similarity: Annotated[float | None, OnlyWith("speech.measure.front_ends", but=LOG_MELS)] = Field(
        None,
        ge=-1,
        le=1,
        description="limit of the cosine with the voice of the person's other videos, by the first speaker encoder "
        "among the front ends; not set: the encoder's own; null: off",
    )
    max_per_identity: int | None = Field(None, ge=1, description="clips kept per person; null: all")


class SpeechPack(Section):
    """What shards hold of a kept clip besides its log-mels. Changing it reads kept clips again and measures nothing."""

    audio: Literal["none", "flac"] = Field(
        "none", description="`flac`: the clip's own sound as a member of its sample, 16 kHz, mono, 16 bit, lossless"
    )
    audio_part: Annotated[Literal["whole", "speech"], OnlyWith(".audio", ("flac",))] = Field(
        "whole",
        description="`whole`: all of the clip; `speech`: what both gates leave of it, one stretch after the other, as "
        "the front ends hear it",
    )

    @property
    def has_audio(self) -> bool:
        """Whether shards hold sound."""
        return self.audio != "none"


class Speech(Section):
    """Everything about speech."""

    who: Literal["portraits", "all"] = Field("portraits", description="measure people with portraits only, or all")
    measure: SpeechMeasure = SpeechMeasure()
    select: SpeechSelect = Field(SpeechSelect(), validate_default=True)
    pack: SpeechPack = SpeechPack()

    @field_validator("select")
    @classmethod
    def _with_the_encoders_limit(cls, given: SpeechSelect, info: ValidationInfo) -> SpeechSelect:
        """Fill in what was found for the speaker encoder that is named, where the recipe says nothing else."""
        measure = info.data.get("measure")
        if "min_voice_similarity" in given.model_fields_set or not isinstance(measure, SpeechMeasure):
            return given
        usual = next((VOICE_LIMITS[name] for name in measure.front_ends if name in VOICE_LIMITS), None)
        return given if usual is None else given.model_copy(update={"min_voice_similarity": usual})

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As recipes were before the limit came, where there is none and no encoder that brings one: snapshots stay."""
        dumped: dict[str, Any] = dump(self)
        unheard = self.select.min_voice_similarity is None and VOICE_LIMITS.keys().isdisjoint(self.measure.front_ends)
        if unheard and "select" in dumped:
            dumped["select"] = {
                name: value for name, value in dumped["select"].items() if name != "min_voice_similarity"
            }
        return dumped
