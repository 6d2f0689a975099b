"""The table of speech rules: why a clip is left out, in words, and the limits of the recipe.

Reasons stand in the order in which they are found, and the first is a clip's `reason`. A clip's `STATUSES` are found
while it is measured, and no other rule applies to it then; `decide` finds what is in `WHO` and `SELECTION`.
"""

from __future__ import annotations

from voxdata.rules import Rule, by_reason
from voxdata.tables.speech import WITHOUT_PORTRAITS

# fmt: off
STATUSES = (
    Rule("unreadable", "file is no readable sound"),
    Rule("killed_worker", "clip ended each process that measured it"),
    Rule("empty", "no samples"),
    Rule("too_long", "longer than the limit", "duration_s", "speech.measure.max_duration_s", floor=True),
)
WHO = (Rule("unknown_identity", "nobody knows whose voice it is"),)
RULES = (
    Rule("no_speech", "hardly any speech", "vad_ratio", "speech.select.min_vad_ratio", "min",
         tried=(0.02, 0.05, 0.1, 0.2, 0.3, 0.5)),
    Rule("music", "holds its notes as music does", "music_ratio", "speech.select.max_music_ratio",
         tried=(0.2, 0.3, 0.4, 0.5, 0.6, 0.8)),
    Rule("noise", "called speech, but not voiced", "gate_ratio", "speech.select.min_gate_ratio", "min",
         tried=(0.1, 0.2, 0.3, 0.4, 0.5, 0.7)),
    Rule("noise", "", "silero_ratio", "speech.select.min_silero_ratio", "min", tried=(0.05, 0.1, 0.2, 0.3, 0.5, 0.7)),
    Rule("too_short", "too little speech", "speech_s", "speech.select.min_speech_s", "min",
         tried=(0.5, 1, 1.5, 2, 3, 4, 5, 8, 10)),
    Rule("clipped", "clipped samples", "clipped_share", "speech.select.max_clipped_share",
         tried=(0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)),
    Rule("other_speaker", "another person's voice", "voice_similarity", "speech.select.min_voice_similarity", "min",
         tried=(0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)),
)
SELECTION = (
    Rule("shared_clip", "the same sound under several people"),
    Rule("duplicate", "the same sound again"),
    Rule("over_cap", "passes, but the person has enough clips"),
    Rule(WITHOUT_PORTRAITS, "passes, but the person has no portraits"),
)
# fmt: on
# who fails one of these holds no speech; only clips that do are compared with others, as silence is like any other
UNHEARD = ("no_speech", "music", "noise")
LINES = (*STATUSES, *WHO, *RULES, *SELECTION)
REASONS = by_reason(LINES)
