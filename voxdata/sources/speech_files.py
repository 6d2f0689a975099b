"""Speech in a folder: which files are whose.

    <folder>/wav/<identity>/<video>/<segment>.wav      VoxCeleb1, also under dev/ and test/
    <folder>/aac/<identity>/<video>/<segment>.m4a      VoxCeleb2, also under dev/ and test/
    <folder>/<identity>/**/<segment>.<ext>             any folder per identity
    <folder>/<identity>.<ext>                          one file per identity
    <folder>/**/*.tar                                  WebDataset tars of speech, see speech_tars.py; or one such file

Where the folder has one of VoxCeleb's trees, only the trees are read. A folder or file name stands for an identity by
its id or by its name in the metadata, in any spelling (`people/identities.py`); a clip of a tar that names nobody
belongs to `unknown`. A clip's key is its path under the folder, for a member of a tar `<tar>!<member>`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from voxdata.format.errors import SourceError
from voxdata.recipe.sources import SpeechSource
from voxdata.sources.clips import SPEECH_SUFFIXES
from voxdata.sources.folder import SourceFile, printable, walk_files
from voxdata.sources.kinds import Clip, SpeechKind
from voxdata.sources.speech_tars import TAR_SUFFIX, check, is_tar, place, tar_clips, tar_files

TREES = ("wav", "aac", "dev/wav", "dev/aac", "test/wav", "test/aac")


class SpeechFolder(SpeechSource):
    """VoxCeleb's `wav|aac/<identity>/<video>/<segment>.<ext>`, `<identity>/**`, `<identity>.<ext>`, WebDataset tars."""

    kind: Literal["folder"] = "folder"


def find(settings: SpeechFolder, setting: str) -> Iterator[Clip]:
    """The clips of a folder, or of one tar. Raises `SourceError` when it cannot be listed or holds no speech."""
    folder = str(settings.path)
    found = False
    for key, file in _files(folder, f"{setting}.path"):
        for clip in tar_clips(key, file) if is_tar(file.path) else [_clip(key, file)]:
            found = True
            yield clip
    if not found:
        raise SourceError(
            f"{setting}.path={folder} holds no speech ({' '.join(sorted(SPEECH_SUFFIXES))}); "
            "expected wav/<identity>/<video>/<segment>.wav, <identity>/<file>.wav, <identity>.wav or WebDataset tars"
        )


SPEECH_FOLDER = SpeechKind(settings=SpeechFolder, find=find, place=place, check=check)


def _files(folder: str, setting: str) -> Iterator[tuple[str, SourceFile]]:
    if Path(folder).is_file() and is_tar(folder):
        yield from ((file.key, file) for file in tar_files(folder, setting))
        return
    trees = [tree for tree in TREES if (Path(folder) / tree).is_dir()]
    if not trees:
        for file in walk_files(folder, SPEECH_SUFFIXES | {TAR_SUFFIX}, setting):
            yield file.key, file
    for tree in trees:
        for file in walk_files(str(Path(folder) / tree), SPEECH_SUFFIXES, setting):
            yield f"{tree}/{file.key}", file


def _clip(key: str, file: SourceFile) -> Clip:
    parts = PurePosixPath(file.key).parts
    return Clip(
        words=file.folder,
        key=key,
        inner=PurePosixPath(*parts[1:]) if len(parts) > 1 else PurePosixPath(file.key),
        path=printable(str(Path(file.path).absolute())),
        offset=None,
        size_bytes=file.size_bytes,
    )
