"""Tars of others, member by member, where they lie.

Python's `tarfile` follows sizes below zero back to headers that it has read, for ever, and raises whatever its parts do
over a broken header.
"""

from __future__ import annotations

import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO

DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError),
    *(ArithmeticError, LookupError, RuntimeError, TypeError, ValueError),
)
"""What reading a damaged tar or zip raises, besides `OSError`."""


def members_in_place(file: IO[bytes]) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The members of a tar that is not compressed, each with the open tar; bytes lie at `offset_data`.

    Raises `tarfile.ReadError` for a tar that is damaged, cut, or stores a member in pieces, `OSError` for none.
    """
    length, end = file.seek(0, os.SEEK_END), 0
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:", errors="backslashreplace", encoding="utf-8") as tar:
            for member in forwards(tar):
                end = member.offset_data + _blocks(member.size)
                if member.isreg() and member.issparse():
                    raise tarfile.ReadError(f"{member.name} is stored sparse; pack it again without --sparse")
                if end > length:
                    raise tarfile.ReadError(f"it is cut at byte {length}")
                yield tar, member
    except tarfile.TarError:
        raise
    except DAMAGED as error:
        raise tarfile.ReadError(f"a header behind byte {end} is damaged ({type(error).__name__})") from None
    file.seek(end)  # a whole tar has an empty block behind its last member; tarfile does not ask for it
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"it is cut at byte {length}")


def forwards(tar: Iterable[tarfile.TarInfo]) -> Iterator[tarfile.TarInfo]:
    """The members of an open tar. Raises `tarfile.ReadError` where a header leads back, in which reading never ends."""
    end = 0
    for member in tar:
        if member.size < 0 or member.offset < end:
            raise tarfile.ReadError(f"the header at byte {member.offset} states {member.size} bytes")
        end = member.offset_data
        yield member


def _blocks(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
