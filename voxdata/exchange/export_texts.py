"""What can be said of every dataset of this kind, whatever is in it: collection, uses, limits, biases.

The wording is for people who did not build the dataset; figures come from the catalog (`export_facts.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voxdata.rules import setting

# What faces are filtered by, in words, and the settings of which any puts it in force.
FILTERS = (
    ("pose", ("faces.pose.max_angle_deg", "faces.pose.max_turn_deg")),
    ("expression", ("faces.expression.rule",)),
    ("size", ("faces.resolution.min_pupil_distance_px",)),
    ("light", ("faces.lighting",)),
    ("sharpness", ("faces.sharpness.min_sharpness",)),
    (
        "occlusion",
        tuple(f"faces.occlusion.max_{name}" for name in ("glasses", "occlusion", "eyes_hidden", "lower_face_hidden")),
    ),
    ("framing", ("faces.render.max_head_cut", "faces.render.max_outside_share")),
    ("purity", ("faces.measure.embedding_model",)),
)


def whose_voice(recipe: Mapping[str, Any]) -> str:
    """How it is known that a clip has its person's voice."""
    limit = setting(recipe, "speech.select.min_voice_similarity")
    if limit is None:
        return "Whose voice a clip has is known by its source alone."
    return (
        "Whose voice a clip has is known by its source and, of people in three videos or more, by the agreement of "
        f"their videos before a pretrained speaker encoder: `other_speaker` has a cosine below {limit:g}."
    )


def sensitive(audio_part: str | None) -> tuple[str, ...]:
    """What is personal in a version; `audio_part` of its clips is in it as sound."""
    if audio_part is None:
        return SENSITIVE
    what = "Whole clips are" if audio_part == "whole" else "The speech of each clip is"
    return (
        *SENSITIVE,
        f"{what} in it as sound (16 kHz, lossless), not as log-mels alone. Voices are biometric, too: whoever has them "
        "can recognise the people by voice, can imitate them, and hears what they said.",
    )


def collection(recipe: Mapping[str, Any], *, imported: bool = False) -> str:
    """How photos and speech became samples: only the filters that the recipe had; an imported dataset had none."""
    if imported:
        return (
            "Portraits and log-mels were imported as others made them: nothing of them was measured or filtered here, "
            "and their rows say `import` where others name what measured them."
        )
    filters = [name for name, keys in FILTERS if any(setting(recipe, key) not in (None, 0, "none") for key in keys)]
    filtered = f" and filtered by {', '.join(filters[:-1])} and {filters[-1]}" if len(filters) > 1 else ""
    return (
        f"Photos and speech come from the sources that the recipe names. Faces are detected, measured{filtered}, then "
        "aligned, cut out and put on white; speech is filtered by voice activity and stored as log-mels"
        f"{'' if setting(recipe, 'speech.pack.audio') in (None, 'none') else ' and as sound'}."
    )


USES = (
    "Research on how much of a face can be heard in a voice: training and judging models that draw a plausible face "
    "for a voice, and cross-modal matching under a published protocol.",
    "Not for: telling who a speaker is or looks like, surveillance, judging people by voice or face, or any decision "
    "about a real person.",
)
LIMITATIONS = (
    "A face that a model draws for a voice is plausible, not the speaker's: voice carries sex, age and build to a "
    "degree, and next to nothing about hair, skin marks or a single feature.",
    "Rules choose frontal, neutral, well lit faces; a model trained on them has seen nothing else.",
    "Who is in a photo is known by its source and by agreement among photos, not by inspection of each.",
)
BIASES = (
    "People are public figures of whom interviews and photos are online: actors, politicians, athletes. Countries, "
    "languages, ages and skin tones are represented accordingly unevenly.",
    "Sex is the binary label of the metadata tables, and nationality is known for one of the two lists only.",
    "Detectors, matting and voice activity fail more often on some groups than on others, so filters remove them "
    "unevenly; the catalog keeps every rejected item with its reason, which is how to measure it.",
)
SENSITIVE = (
    "Faces and voices are biometric data of real people who did not consent one by one.",
    "Names, VoxCeleb ids, sex and nationality are in the tables. A person can be left out or removed everywhere: "
    "voxdata optout, voxdata forget.",
)
