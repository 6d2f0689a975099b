"""Speech in a folder: which files are whose.

    <folder>/wav/<identity>/<video>/<segment>.wav      VoxCeleb1, also under dev/, vox1/, vox1_dev_wav/ …
    <folder>/aac/<identity>/<video>/<segment>.m4a      VoxCeleb2, likewise; mp4/ are its videos
    <folder>/<identity>/**/<segment>.<ext>             any folder per identity
    <folder>/<identity>.<ext>                          one file per identity
    <folder>/**/*.tar                                  WebDataset tars of speech, see speech_tars.py; or one such file

Where the folder has VoxCeleb's trees (`trees.py` says which folders are one), only the trees are read. The log counts
what lies beside them, and videos of VoxCeleb2 whose sound lies in another tree. Files of another suffix are taken by
content (`magic.py`). A folder or file name stands for an identity by its id or by its name in the metadata, in any
spelling (`people/identities.py`); a clip of a tar that names nobody belongs to `unknown`. A clip's key is its path
under the folder, for a member of a tar `<tar>!<member>`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Literal

from voxdata.recipe.sources import SpeechSource
from voxdata.sources.folder import SourceFile, printable, walk_files
from voxdata.sources.kinds import Clip, SpeechKind
from voxdata.sources.listing import Listing
from voxdata.sources.magic import SPEECH_SUFFIXES, speech_sniffer
from voxdata.sources.reading import whole_path
from voxdata.sources.speech_tars import TAR_SUFFIX, check, is_one_tar, is_tar, listed_at, place, tar_clips, tar_files
from voxdata.sources.trees import person_in, tree_depths

NAMED = 5  # folders in a message
FILMS = "mp4 (their sound is another file)"


class SpeechFolder(SpeechSource):
    """VoxCeleb's `wav|aac/<identity>/<video>/<segment>.<ext>`, `<identity>/**`, `<identity>.<ext>`, WebDataset tars."""

    kind: Literal["folder"] = "folder"


def find(settings: SpeechFolder, setting: str) -> Iterator[Clip]:
    """The clips of a folder, or of one tar. Raises `SourceError` when it cannot be listed or holds no speech."""
    yield from listed(settings, setting).taken()


def listed(settings: SpeechFolder, setting: str) -> Listing[Clip]:
    """What a folder holds, or one tar. Raises `SourceError` when it cannot be listed."""
    folder = str(settings.path)
    key = f"{setting}.path"
    nothing = (
        f"{key}={folder} holds no speech ({' '.join(sorted(SPEECH_SUFFIXES))}); "
        "expected wav/<identity>/<video>/<segment>.wav, <identity>/<file>.wav, <identity>.wav or WebDataset tars"
    )
    if is_one_tar(folder):
        clips = [clip for tar in tar_files(folder, key) for clip in tar_clips(tar.key, tar)]
        return Listing(files=clips, nothing=nothing)
    sniffer = speech_sniffer()
    files = sorted(walk_files(folder, SPEECH_SUFFIXES | {TAR_SUFFIX}, key, sniffer), key=lambda file: file.key)
    loose = [file for file in files if not is_tar(file.path)]
    depths = tree_depths([file.key for file in loose], below=3)
    passed, remarks = Counter(sniffer.passed), sniffer.remarks(key, "speech")
    if any(depths):
        by_key = {file.key: depth for file, depth in zip(loose, depths, strict=True)}
        clips, beside, films = _of_trees(files, by_key)
        passed.update({**beside, FILMS: films} if films else beside)
        remarks += _said_of_trees(beside, films, key)
    else:
        clips = []
        for file in files:
            clips += tar_clips(file.key, file) if is_tar(file.path) else [_clip(file, 0)]
    return Listing(files=clips, nothing=nothing, passed=dict(passed), remarks=remarks)


SPEECH_FOLDER = SpeechKind(settings=SpeechFolder, find=find, place=place, check=check, listed=listed)


def _of_trees(files: Iterable[SourceFile], depths: dict[str, int]) -> tuple[list[Clip], Counter[str], int]:
    """The clips of VoxCeleb's trees, the files beside them by their first folder, and how many videos have their sound
    in another tree."""
    beside: Counter[str] = Counter()
    clips: list[Clip] = []
    films: list[tuple[SourceFile, tuple[str, ...]]] = []
    heard: set[tuple[str, ...]] = set()
    for file in files:
        depth = depths.get(file.key, 0)
        if not depth:
            beside[PurePosixPath(file.key).parts[0]] += 1
            continue
        segment = PurePosixPath(file.key).with_suffix("").parts[depth:]
        if "mp4" in _words(file, depth):
            films.append((file, segment))
        else:
            heard.add(segment)
            clips.append(_clip(file, depth))
    silent = [file for file, segment in films if segment not in heard]
    return clips + [_clip(file, depths[file.key]) for file in silent], beside, len(films) - len(silent)


def _said_of_trees(beside: Counter[str], films: int, setting: str) -> list[tuple[int, str]]:
    """What is said of what lies beside the trees, and of videos whose sound lies in one."""
    remarks = []
    if beside:
        named = ", ".join(f"{name} ({count})" for name, count in beside.most_common(NAMED))
        more = f" and {len(beside) - NAMED} more" if len(beside) > NAMED else ""
        line = (
            f"{setting}: only VoxCeleb's trees are read; {beside.total()} files of speech beside them are passed over: "
            f"{named}{more}; name what else is to be read in sources.also"
        )
        remarks.append((logging.WARNING, line))
    if films:
        line = f"{setting}: {films} videos are passed over: their sound lies in wav or aac"
        remarks.append((logging.INFO, line))
    return remarks


def _words(file: SourceFile, depth: int) -> set[str]:
    """The parts of the tree words above a file: `vox2_dev_mp4` has `mp4`."""
    return set("_".join(PurePosixPath(file.key).parts[:depth]).casefold().replace("-", "_").split("_"))


def _clip(file: SourceFile, depth: int) -> Clip:
    below = PurePosixPath(file.key).parts[depth:]
    return Clip(
        words=person_in(file.key, depth),
        key=file.key,
        inner=PurePosixPath(*below[1:]) if len(below) > 1 else PurePosixPath(below[0]),
        path=printable(whole_path(file.path)),
        offset=None,
        size_bytes=file.size_bytes,
        modified_ns=listed_at(file),
    )
