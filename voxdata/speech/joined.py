"""Files that were joined end to end, as by `cat a.ogg b.ogg`: taken apart, because decoders stop after the first.

A decoder reads as much as the first header states, and says nothing of what follows. Wave, AIFF, FLAC and Ogg files are
taken apart; MPEG audio and ADTS have no such header, and FFmpeg reads on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

_FLAC = re.compile(rb"fLaC[\0\x80]\0\0\x22")  # with the head of the first block, which has 34 bytes
_PAGE_HEAD = 27  # bytes of an Ogg page before its table of segments (RFC 3533, section 6)
_FIRST_PAGE = 0x02


def take_apart(data: bytes) -> list[bytes]:
    """The files that a joined one is made of, in their order; of any other file itself alone."""
    starts = list(_starts(data))
    return [data[start:end] for start, end in pairwise([*starts, len(data)])] if len(starts) > 1 else [data]


def behind(data: bytes) -> int:
    """How many bytes are no part of a file: behind the last whole chunk of Wave and AIFF, or the last page of Ogg.

    Zeros that fill a file up do not count.
    """
    if data.startswith(b"OggS"):
        end = next((end for _, end, _ in reversed(list(_pages(data)))), len(data))
    elif _is_riff(data, 0):
        end = _end_of_chunks(data, "little")
    elif _is_aiff(data, 0):
        end = _end_of_chunks(data, "big")
    else:
        return 0
    return len(data) - end if data[end:].strip(b"\0") else 0


def _starts(data: bytes) -> Iterator[int]:
    if _is_riff(data, 0):
        yield from (at for at in _found(data, b"RIFF") if _is_riff(data, at))
    elif _is_aiff(data, 0):
        yield from (at for at in _found(data, b"FORM") if _is_aiff(data, at))
    elif data.startswith(b"fLaC"):
        yield 0
        yield from (match.start() for match in _FLAC.finditer(data, 4))
    elif data.startswith(b"OggS"):
        first_before = False
        for at, _, first in _pages(data):  # a film's tracks begin side by side, on pages that follow each other
            if first and not first_before:
                yield at
            first_before = first


def _is_riff(data: bytes, at: int) -> bool:
    """Whether a Wave file begins there: sound has these bytes once in 2^96."""
    return data[at : at + 4] == b"RIFF" and data[at + 8 : at + 16] in (
        b"WAVEfmt ",
        b"WAVEJUNK",
        b"WAVEbext",
        b"WAVELIST",
    )


def _is_aiff(data: bytes, at: int) -> bool:
    return data[at : at + 4] == b"FORM" and data[at + 8 : at + 16] in (b"AIFFCOMM", b"AIFCFVER", b"AIFCCOMM")


def _found(data: bytes, name: bytes) -> Iterator[int]:
    at = data.find(name)
    while at >= 0:
        yield at
        at = data.find(name, at + 1)


def _pages(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """First byte, end, and whether a stream begins on it, of every whole page of an Ogg file."""
    at = data.find(b"OggS")
    while 0 <= at <= len(data) - _PAGE_HEAD:
        table = at + _PAGE_HEAD
        end = table + data[table - 1]
        end += sum(data[table:end])
        if end <= len(data) and data[at + 4] == 0:
            yield at, end, bool(data[at + 5] & _FIRST_PAGE)
        else:
            end = at + 4
        at = end if data.startswith(b"OggS", end) else data.find(b"OggS", end)


def _end_of_chunks(data: bytes, order: Literal["little", "big"]) -> int:
    """Where the last whole chunk of a RIFF or FORM file ends, of those that lie one behind the other."""
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], order)
        if at + 8 + length > len(data):
            return at
        at += 8 + length + length % 2
    return min(at, len(data))
