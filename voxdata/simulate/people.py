"""Simulated people: voice factors, face factors, and how strongly the first tell the second.

Every factor is a standard score: 0 is the mean, 1 one standard deviation, cut at ±2.2. `LINKED` pairs independent voice
factors with visible face factors; the scores of a pair correlate by `link`, and so does the sex of voice and face
(equal with probability (1 + link) / 2). Every other factor is independent of all others. With link 0, therefore,
nothing in a voice says anything about the face; with link 1 the linked face factors and the sex follow from the voice,
and `expected_face` paints the best guess that anyone who knows the voice can make.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

FIRST_ID = 90001
SCORE_LIMIT = 2.2

LINKED: tuple[tuple[str, str], ...] = (
    ("tract_length", "width"),
    ("pitch", "brows"),
    ("rate", "mouth_width"),
    ("breathiness", "lips"),
    ("brightness", "hair_lightness"),
)
"""(voice factor, face factor) pairs that `link` ties."""

NATIONALITIES = ("Australia", "Brazil", "Canada", "Germany", "India", "Ireland", "Mexico", "Norway", "UK", "USA")
_ONSETS = ("b", "br", "d", "dr", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "st", "t", "tr", "v", "z")
_NUCLEI = ("a", "e", "i", "o", "u", "ai", "ea", "io")
_CODAS = ("", "l", "m", "n", "r", "s", "th")


@dataclass(frozen=True, kw_only=True)
class VoiceFactors:
    """What a voice is made of: `femininity` (0 or 1) shifts the means, the rest are standard scores."""

    femininity: float = 0.5
    tract_length: float = 0.0
    pitch: float = 0.0
    rate: float = 0.0
    breathiness: float = 0.0
    brightness: float = 0.0
    intonation: float = 0.0
    roughness: float = 0.0

    @property
    def tract_length_cm(self) -> float:
        """Vocal-tract length, about 17 cm for men and 14.6 cm for women."""
        return 17.0 - 2.4 * self.femininity + 0.75 * self.tract_length

    @property
    def pitch_hz(self) -> float:
        """Median fundamental frequency."""
        return float((115.0 + 85.0 * self.femininity) * 2.0 ** (2.2 * self.pitch / 12.0))

    @property
    def syllables_per_s(self) -> float:
        """Speaking rate without pauses."""
        return 4.6 + 0.85 * self.rate

    @property
    def breath_share(self) -> float:
        """Aspiration noise, relative to the voiced source."""
        return float(0.10 * 2.0 ** (1.1 * self.breathiness))

    @property
    def tilt_db_per_octave(self) -> float:
        """Slope of the voiced source's spectrum."""
        return -10.0 + 2.2 * self.brightness

    @property
    def pitch_range_st(self) -> float:
        """Swing of the intonation in semitones."""
        return 4.0 + 1.0 * self.intonation

    @property
    def jitter_share(self) -> float:
        """Random change of the period from cycle to cycle."""
        return float(0.008 * 2.0 ** (0.6 * self.roughness))


@dataclass(frozen=True, kw_only=True)
class FaceFactors:
    """What a face is made of: `femininity` 0..1 shifts the means, the rest are standard scores."""

    femininity: float = 0.5
    width: float = 0.0
    brows: float = 0.0
    mouth_width: float = 0.0
    lips: float = 0.0
    hair_lightness: float = 0.0
    jaw: float = 0.0
    nose_length: float = 0.0
    nose_width: float = 0.0
    eye_spacing: float = 0.0
    eye_size: float = 0.0
    eye_colour: float = 0.0
    brow_tilt: float = 0.0
    skin: float = 0.0
    hair_redness: float = 0.0
    hair_length: float = 0.0
    hairline: float = 0.0
    parting: float = 0.0
    stubble: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SimulatedPerson:
    """One simulated identity. `sex` ("m" or "f") is that of the face; the voice's agrees as `link` says."""

    identity: str
    name: str
    sex: str
    nationality: str
    link: float
    voice: VoiceFactors
    face: FaceFactors


def draw_people(count: int, *, seed: int, link: float) -> list[SimulatedPerson]:
    """Draw `count` people, see `draw_person`; a longer list starts with the shorter one."""
    return [draw_person(index, seed=seed, link=link) for index in range(count)]


def draw_person(index: int, *, seed: int, link: float) -> SimulatedPerson:
    """Draw person `index` of the population `seed`. Raises `ValueError` for a link outside 0..1."""
    if not 0.0 <= link <= 1.0:
        raise ValueError(f"link is {link}; must be between 0 and 1")
    rng = np.random.default_rng([seed, index, 0x9E09])
    voice = {field.name: _score(rng) for field in fields(VoiceFactors)}
    face = {field.name: _score(rng) for field in fields(FaceFactors)}
    for voice_factor, face_factor in LINKED:
        mixed = link * voice[voice_factor] + np.sqrt(1.0 - link * link) * face[face_factor]
        face[face_factor] = float(np.clip(mixed, -SCORE_LIMIT, SCORE_LIMIT))
    face["femininity"] = float(rng.random() < 0.5)
    agrees = rng.random() < (1.0 + link) / 2.0
    voice["femininity"] = face["femininity"] if agrees else 1.0 - face["femininity"]
    return SimulatedPerson(
        identity=f"id{FIRST_ID + index}",
        name=f"{_word(rng)}_{_word(rng)}",
        sex="f" if face["femininity"] else "m",
        nationality=NATIONALITIES[int(rng.integers(len(NATIONALITIES)))],
        link=link,
        voice=VoiceFactors(**voice),
        face=FaceFactors(**face),
    )


def expected_face(person: SimulatedPerson) -> SimulatedPerson:
    """The known optimum: `person` with the face that is expected given the voice.

    Linked factors stand at `link` times the voice's score (their true value at link 1), sex likewise between the two
    means, and everything that the voice cannot tell at its mean.
    """
    face = {name: person.link * getattr(person.voice, voice) for voice, name in LINKED}
    femininity = 0.5 + person.link * (person.voice.femininity - 0.5)
    return replace(person, face=FaceFactors(femininity=femininity, **face))


def _score(rng: np.random.Generator) -> float:
    return float(np.clip(rng.standard_normal(), -SCORE_LIMIT, SCORE_LIMIT))


def _word(rng: np.random.Generator) -> str:
    parts = [str(rng.choice(_ONSETS)) + str(rng.choice(_NUCLEI)) for _ in range(int(rng.integers(2, 4)))]
    return ("".join(parts) + str(rng.choice(_CODAS))).capitalize()
