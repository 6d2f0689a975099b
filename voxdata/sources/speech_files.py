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
from pathlib import Path, PurePosixPath
from typing import Literal

from voxdata.format.errors import SourceError
from voxdata.recipe.sources import SpeechSource
from voxdata.sources.folder import SourceFile, printable, walk_files
from voxdata.sources.kinds import Clip, SpeechKind
from voxdata.sources.magic import SPEECH_SUFFIXES, speech_sniffer
from voxdata.sources.speech_tars import TAR_SUFFIX, check, is_tar, place, tar_clips, tar_files
from voxdata.sources.trees import person_in, tree_depths

NAMED = 5  # folders in a message

logger = logging.getLogger(__name__)


class SpeechFolder(SpeechSource):
    """VoxCeleb's `wav|aac/<identity>/<video>/<segment>.<ext>`, `<identity>/**`, `<identity>.<ext>`, WebDataset tars."""

    kind: Literal["folder"] = "folder"


def find(settings: SpeechFolder, setting: str) -> Iterator[Clip]:
    """The clips of a folder, or of one tar. Raises `SourceError` when it cannot be listed or holds no speech."""
    folder = str(settings.path)
    found = False
    for clip in _clips(folder, f"{setting}.path"):
        found = True
        yield clip
    if not found:
        raise SourceError(
            f"{setting}.path={folder} holds no speech ({' '.join(sorted(SPEECH_SUFFIXES))}); "
            "expected wav/<identity>/<video>/<segment>.wav, <identity>/<file>.wav, <identity>.wav or WebDataset tars"
        )


SPEECH_FOLDER = SpeechKind(settings=SpeechFolder, find=find, place=place, check=check)


def _clips(folder: str, setting: str) -> Iterator[Clip]:
    if Path(folder).is_file() and is_tar(folder):
        for tar in tar_files(folder, setting):
            yield from tar_clips(tar.key, tar)
        return
    sniffer = speech_sniffer()
    files = sorted(walk_files(folder, SPEECH_SUFFIXES | {TAR_SUFFIX}, setting, sniffer), key=lambda file: file.key)
    sniffer.say(setting, "speech")
    loose = [file for file in files if not is_tar(file.path)]
    depths = tree_depths([file.key for file in loose], below=3)
    if any(depths):
        yield from _of_trees(files, {file.key: depth for file, depth in zip(loose, depths, strict=True)}, setting)
        return
    for file in files:
        yield from tar_clips(file.key, file) if is_tar(file.path) else [_clip(file, 0)]


def _of_trees(files: Iterable[SourceFile], depths: dict[str, int], setting: str) -> Iterator[Clip]:
    """The clips of VoxCeleb's trees; what is passed over is counted in the log."""
    beside: Counter[str] = Counter()
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
            yield _clip(file, depth)
    silent = [file for file, segment in films if segment not in heard]
    yield from (_clip(file, depths[file.key]) for file in silent)
    if beside:
        named = ", ".join(f"{name} ({count})" for name, count in beside.most_common(NAMED))
        more = f" and {len(beside) - NAMED} more" if len(beside) > NAMED else ""
        logger.warning(
            "%s: only VoxCeleb's trees are read; %d files of speech beside them are passed over: %s%s; "
            "name what else is to be read in sources.also",
            setting,
            beside.total(),
            named,
            more,
        )
    if len(silent) < len(films):
        logger.info("%s: %d videos are passed over: their sound lies in wav or aac", setting, len(films) - len(silent))


def _words(file: SourceFile, depth: int) -> set[str]:
    """The parts of the tree words above a file: `vox2_dev_mp4` has `mp4`."""
    return set("_".join(PurePosixPath(file.key).parts[:depth]).casefold().replace("-", "_").split("_"))


def _clip(file: SourceFile, depth: int) -> Clip:
    below = PurePosixPath(file.key).parts[depth:]
    return Clip(
        words=person_in(file.key, depth),
        key=file.key,
        inner=PurePosixPath(*below[1:]) if len(below) > 1 else PurePosixPath(below[0]),
        path=printable(str(Path(file.path).absolute())),
        offset=None,
        size_bytes=file.size_bytes,
    )
