"""The length in a wav's header, put right where it is not that of the sound.

A recorder writes the header first and its lengths last: where it was switched off in between, they are 0, and where it
wrote into a pipe 0xFFFFFFFF. A cut file promises more than there is. In all three the sound reaches to the end of the
file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_UNSTATED = 0xFFFFFFFF
_HEAD = 8  # bytes of a chunk before its content: name and length


def mended(data: bytes) -> tuple[bytes, str | None]:
    """The file with a `data` chunk as long as its sound, and in words what was wrong; other files as they are."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return data, None
    for name, at, length in _chunks(data, 12):
        if name == b"data":
            there = len(data) - at
            unfinished = length == 0 and there > 0 and not _ends_in_chunks(data, at)
            if not (unfinished or length > there):
                return data, None
            right = struct.pack("<I", len(data) - _HEAD), struct.pack("<I", there)
            return b"".join((b"RIFF", right[0], data[8 : at - 4], right[1], data[at:])), _said(length, there)
    return data, None


def _said(length: int, there: int) -> str:
    if length == 0:
        return f"the header says 0 bytes of sound; the {there} behind it are read"
    if length == _UNSTATED:
        return f"the header does not say how long the sound is; {there} bytes are there"
    return f"the header promises {length} bytes of sound; {there} are there"


def _chunks(data: bytes, at: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and stated length of every chunk from `at` on, as far as they lie in the file."""
    while at + _HEAD <= len(data):
        name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + _HEAD], "little")
        yield name, at + _HEAD, length
        at += _HEAD + length + length % 2


def _ends_in_chunks(data: bytes, at: int) -> bool:
    """Whether nothing but whole chunks lies from `at` to the end: then a length of 0 is true."""
    end = at
    for name, start, length in _chunks(data, at):
        if not (name.isascii() and name.decode("ascii").isprintable()):
            return False
        end = start + length
    return len(data) - 1 <= end <= len(data)
