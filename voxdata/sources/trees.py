"""Where people begin in a folder that has VoxCeleb, or pictures of its people, as it was unpacked.

**Tree words** are the folders that the archives and their users put above `<identity>/<video>/<segment>`, in any
order, number and case of letters: `wav`, `aac`, `mp4`; names that begin with `vox1`, `vox2` or `voxceleb`; names that
end in `_dev_wav`, `_test_aac` and the like. `dev`, `test`, `train` and `val`, in small letters, are such words, too,
but may be what somebody is called (`dev/talk/1.wav`).

**A tree** is what lies below a run of tree words that begins in the folder itself, if

1. one of them is no word that somebody may be called: `vox1/wav/…`, `dev/mp4/…`, `vox1_dev_wav/…`; or
2. it is a run of the others, `dev/id00012/<video>/…`, and the folder holds either nothing but such trees, or trees of
   the first kind as well.

A folder that may be a person counts as a tree word only where a file lies as deep below it as the layout says. The
identity is the first folder below the tree words, or the name of a file that lies directly below them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import PurePosixPath

_CERTAIN = re.compile(r"wav|aac|mp4|(vox[12]|voxceleb).*|.+[_-](dev|test)[_-](wav|aac|mp4)", re.DOTALL)
_UNCERTAIN = frozenset({"dev", "test", "train", "val"})


def tree_depths(keys: Sequence[str], *, below: int) -> list[int]:
    """How many leading folders of each path are tree words; 0 for a path that lies in no tree.

    `below` is how deep a file lies below the tree words in the usual layout: 3 for `<identity>/<video>/<segment>`.
    """
    parts = [PurePosixPath(key).parts for key in keys]
    depths = [_depth(path, below) for path in parts]
    certain = any(any(map(_is_certain, path[:depth])) for path, depth in zip(parts, depths, strict=True))
    return depths if certain or all(depths) else [0] * len(depths)


def person_in(key: str, depth: int) -> str:
    """Whom the place of a file names, `depth` folders being tree words."""
    parts = PurePosixPath(key).parts[depth:]
    return parts[0] if len(parts) > 1 else PurePosixPath(key).stem


def _depth(path: Sequence[str], below: int) -> int:
    depth = sum(1 for _ in takewhile(_is_word, path[:-1]))
    while depth and path[depth - 1] in _UNCERTAIN and len(path) - depth < below:
        depth -= 1
    return depth


def _is_word(folder: str) -> bool:
    return folder in _UNCERTAIN or _is_certain(folder)


def _is_certain(folder: str) -> bool:
    return _CERTAIN.fullmatch(folder.casefold()) is not None
