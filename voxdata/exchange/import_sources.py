"""Folders of raw photos and clips in the layouts of other projects, as sources of a build.

    lfw         <Name>/<Name>_<nnnn>.jpg                        photos only
    avspeech    <video>_<start>-<end>.jpg + .flac|.wav|…        a frame and the speech of one clip, nobody named

Unlike the layouts of `import_layouts`, nothing here is finished: a build detects, filters and cuts out the portraits,
and computes the log-mels. A clip of AVSpeech has one visible speaker, and nothing says who; clips of one video may well
show the same, so they are stated as one person in the journal's aliases: nobody must be on both sides of a split.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

from voxdata.exchange.import_layouts import RawLayout
from voxdata.format.errors import SourceError
from voxdata.people.merging import CONFIRMED, aliases_in_force, decide
from voxdata.sources.folder import walk_files
from voxdata.sources.magic import PHOTO_SUFFIXES, SPEECH_SUFFIXES
from voxdata.store import journal
from voxdata.store.storage import Storage

RECIPE = "voxceleb-folder"
_NUMBERED = re.compile(r"(.+)_\d{4}")
_SEGMENT = re.compile(r"(?P<video>[\w-]{11})_[\d.]+-[\d.]+")


def source_settings(layout: RawLayout, folder: str) -> list[str]:
    """`key=value` settings of a build of the folder. Raises `SourceError` where it is not laid out so.

    One portrait of a person is enough: most people of both layouts have no more.
    """
    place = json.dumps(str(Path(folder).absolute()), ensure_ascii=False)
    settings = [f"sources.photos.path={place}", "faces.select.min_per_identity=1"]
    if layout == "lfw":
        _check_lfw(folder)
        return settings
    pairs(folder)
    return [*settings, f"sources.speech.path={place}"]


def pairs(folder: str) -> list[str]:
    """The keys that have both a frame and speech, sorted. Raises `SourceError` where there is none."""
    frames = {file.folder for file in walk_files(folder, PHOTO_SUFFIXES, "import") if "/" not in file.key}
    speech = {file.folder for file in walk_files(folder, SPEECH_SUFFIXES, "import") if "/" not in file.key}
    if not frames & speech:
        raise SourceError(
            f"{folder} holds no pair: {len(frames)} frames and {len(speech)} clips directly in it, none of one name; "
            "expected <video>_<start>-<end>.jpg beside <video>_<start>-<end>.flac"
        )
    return sorted(frames & speech)


def state_videos(storage: Storage, keys: list[str], *, at: str) -> int:
    """State that all keys of one video are one person, and return how many were new; a word in the journal stays."""
    by_video: defaultdict[str, list[str]] = defaultdict(list)
    for key in keys:
        if match := _SEGMENT.fullmatch(key):
            by_video[match["video"]].append(key)
    spoken = {(fact["identity"], fact["person"]) for fact in journal.read_new(storage, "aliases")}
    aliases = aliases_in_force(storage)
    stated = 0
    for video, (first, *others) in by_video.items():
        for other in others:
            if (other, first) not in spoken and aliases.get(other, other) != aliases.get(first, first):
                decide(storage, other, first, CONFIRMED, reason=f"clips of one video, {video}", at=at)
                stated += 1
    return stated


def _check_lfw(folder: str) -> None:
    found = 0
    for file in walk_files(folder, PHOTO_SUFFIXES, "import"):
        found += 1
        parts = file.key.split("/")
        match = _NUMBERED.fullmatch(parts[-1].rpartition(".")[0])
        if len(parts) == 2 and match is not None and match[1] == parts[0]:
            return
    raise SourceError(
        f"{folder} holds {found} photos, none of them <Name>/<Name>_0001.jpg as in LFW; a folder of photos per person "
        "is built with: voxdata build voxceleb-folder --set sources.photos.path=FOLDER --root DIR"
    )
