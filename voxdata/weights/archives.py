"""What lies in a zip, a wheel or a source archive of a Python package, by path; nothing is unpacked or run."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from voxdata.format.archives import DAMAGED, forwards
from voxdata.format.errors import WeightsError, brief
from voxdata.weights.entries import Weight

Members = Mapping[str, Callable[[], IO[bytes]]]
"""Path in the archive -> opens that file for reading."""


@contextmanager
def members_of(archive: Path) -> Iterator[Members]:
    """The files of a zip (a wheel is one) or a tar; none of any other file. Raises `WeightsError` where it is damaged,
    also while a member is read within the `with`."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                yield {name: _zip_member(zipped, name) for name in zipped.namelist() if not name.endswith("/")}
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                yield {each.name: _tar_member(tar, each) for each in _plain(tar)}
        else:
            yield {}
    except (*DAMAGED, OSError) as error:
        raise WeightsError(f"{archive} is a damaged archive: {brief(error)}; fetch it again") from None


def member_of(weight: Weight, paths: Mapping[str, object]) -> str | None:
    """Where in an archive a weight lies: by its file name in its own zip, by its path in its package."""
    if weight.package is not None:
        wanted = weight.package.member
        return next((path for path in paths if path == wanted or path.partition("/")[2] == wanted), None)
    if weight.member is None:
        return None
    return next((path for path in paths if path.rsplit("/", 1)[-1] == weight.member), None)


def _plain(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The files of a tar, but those stored sparse: a few bytes can stand for a full disk."""
    return (each for each in forwards(tar) if each.isfile() and not each.issparse())


def _zip_member(zipped: zipfile.ZipFile, name: str) -> Callable[[], IO[bytes]]:
    return lambda: zipped.open(name)


def _tar_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        file = tar.extractfile(member)
        assert file is not None  # it is a plain file
        return file

    return opened
