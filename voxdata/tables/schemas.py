"""The tables that stages hand to each other, as Arrow schemas. Units are in the names; see `docs/catalog.md`.

`identity` is a VoxCeleb id or a folder's name, `person` the canonical person above it. `photo_sha256` names a photo's
bytes; a face is `<photo_sha256[:16]>_<index>` under its identity.
"""

from __future__ import annotations

from voxdata.tables import faces, people, speech

WHO = [(column.name, column.type) for column in people.WHO]

IDENTITIES = people.IDENTITIES.schema
SPLITS = people.SPLITS.schema
PHOTOS = faces.PHOTOS.schema
LINKS = faces.LINKS.schema
FACE_VERDICTS = faces.FACE_VERDICTS.schema
RENDERS = faces.RENDERS.schema
UTTERANCE_FILES = speech.UTTERANCE_FILES.schema
UTTERANCES = speech.UTTERANCES.schema
VOICED_UTTERANCES = speech.VOICED_UTTERANCES.schema
CLIP_AUDIO = speech.CLIP_AUDIO.schema
UTTERANCE_VERDICTS = speech.UTTERANCE_VERDICTS.schema
UTTERANCE_VERDICTS_EVER = speech.UTTERANCE_VERDICTS_EVER.schema
HOLDOUTS = speech.HOLDOUTS.schema
