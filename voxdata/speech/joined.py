"""Files that were joined end to end, as by `cat a.ogg b.ogg`: taken apart, because decoders stop after the first.

A decoder reads as much as the first header states, and says nothing of what follows. Wave, AIFF, CAF, AU, FLAC, Ogg,
MP4 and Matroska files are taken apart; of MPEG audio, ADTS and others FFmpeg reads on.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

_FLAC = re.compile(rb"fLaC[\0\x80]\0\0\x22")  # with the head of the first block, which has 34 bytes
_CAF = b"caff\0\1\0\0desc"  # with the name of the first chunk
_AU_HEAD = 24
_EBML = b"\x1a\x45\xdf\xa3"
_MATROSKA = re.compile(rb"\x42\x82.(matroska|webm)", re.DOTALL)  # the kind of document, in the head of an EBML file
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
    elif data.startswith(_CAF):
        yield from _found(data, _CAF)
    elif data.startswith(b".snd"):
        yield from (at for at in _found(data, b".snd") if at == 0 or _is_au(data, at))
    elif data.startswith(_EBML):
        yield from (at for at in _found(data, _EBML) if _MATROSKA.search(data, at, at + 64))
    elif data[4:8] == b"ftyp":
        yield from (at for at, name in _boxes(data) if name == b"ftyp")


def _boxes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """First byte and name of every box of an MP4 file that lies in no other one (ISO/IEC 14496-12, section 4.2)."""
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield at, data[at + 4 : at + 8]
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16], "big")
        if length < 8:  # 0: to the end of the file
            return
        at += length


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


def _is_au(data: bytes, at: int) -> bool:
    """Whether the numbers of an AU header can be: its length, the codec, rate and channels."""
    if at + _AU_HEAD > len(data):
        return False
    head, _, codec, rate_hz, channels = struct.unpack(">5I", data[at + 4 : at + _AU_HEAD])
    return bool(_AU_HEAD <= head < 1 << 16 and 1 <= codec <= 27 and 1 <= rate_hz < 1 << 20 and 1 <= channels <= 64)


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
