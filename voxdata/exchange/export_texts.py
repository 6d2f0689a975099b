"""What can be said of every dataset of this kind, whatever is in it: collection, uses, limits, biases.

The wording is for people who did not build the dataset; figures come from the catalog (`export_facts.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voxdata.rules import setting


def collection(recipe: Mapping[str, Any]) -> str:
    """How photos and speech became samples: only the filters that the recipe had."""
    filters = ["pose", "expression", "size", "light", "purity"]
    if setting(recipe, "faces.measure.embedding_model") is None:
        filters.remove("purity")
    if setting(recipe, "faces.expression.rule") == "none":
        filters.remove("expression")
    return (
        "Photos and speech come from the sources that the recipe names. Faces are detected, measured and filtered by "
        f"{', '.join(filters[:-1])} and {filters[-1]}, then aligned, cut out and put on white; speech is filtered by "
        "voice activity and stored as log-mels. Rows of an imported dataset say `import` where others name what "
        "measured them."
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
