"""Pictures whose files were cut: a download that broke off, a full disk. Viewers show what is there, and so do we.

A cut file is completed twice, with two different paddings, and decoded twice: what both have is the picture's own, and
where they differ it is missing. This holds for all of JPEG: of a progressive one the missing last scan only refines, so
that hardly a pixel differs. A PNG's rows are counted instead. Each function returns None for a file that it cannot
complete.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_MAX_PROFILE_BYTES = 64 << 20
_NOISE = bytes((37 * number + 11) % 251 for number in range(1 << 12))  # without 0xFF, which begins JPEG's markers


def jpeg_variants(data: bytes) -> tuple[bytes, bytes] | None:
    """A JPEG that ends early, completed by its end marker, and by noise before it."""
    if not data.startswith(_JPEG_START):
        return None
    noise = _NOISE * (1 + len(data) // len(_NOISE))
    return data + _JPEG_END, data.rstrip(b"\xff") + noise + _JPEG_END


def webp_variants(data: bytes) -> tuple[bytes, bytes] | None:
    """A WebP whose last chunk is cut, with that chunk filled up by zeros, and by noise and more of it.

    Noise takes more bits than a picture does, and a decoder that runs out of them gives up.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        missing = at + 8 + length - len(data)
        if missing > len(data):
            return None
        if missing > 0:
            noise = _NOISE * (1 + 2 * len(data) // len(_NOISE))
            return _webp(data, at, bytes(missing)), _webp(data, at, noise)
        at += 8 + length + length % 2
    return None


def _webp(data: bytes, at: int, filler: bytes) -> bytes:
    """The WebP with its chunk at `at` continued."""
    filler += bytes((len(data) + len(filler)) % 2)
    length = len(data) + len(filler) - at - 8
    whole = b"".join((data[8 : at + 4], struct.pack("<I", length), data[at + 8 :], filler))
    return b"RIFF" + struct.pack("<I", len(whole)) + whole


def png_rows(data: bytes, max_pixels: float) -> tuple[bytes, float] | None:
    """A PNG that ends early, with black for what is missing, and the share of its rows that are there."""
    chunks = list(png_chunks(data))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        return None
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    if interlaced or colour not in _PNG_CHANNELS or width * height > max_pixels:
        return None
    row_bytes = 1 + (width * depth * _PNG_CHANNELS[colour] + 7) // 8
    inflater = zlib.decompressobj()
    try:
        pixels = inflater.decompress(b"".join(body for name, body in chunks if name == b"IDAT"), row_bytes * height)
    except zlib.error:
        return None
    rows = len(pixels) // row_bytes
    whole = pixels[: rows * row_bytes] + bytes((height - rows) * row_bytes)
    kept = [(name, body) for name, body in chunks if name not in (b"IDAT", b"IEND")]
    return png([*kept, (b"IDAT", zlib.compress(whole, 1)), (b"IEND", b"")]), rows / height


def png_without_profile(data: bytes) -> tuple[bytes, bytes | None] | None:
    """A PNG without its texts and its colour profile, which Pillow refuses above 1 MB, and that profile."""
    chunks = list(png_chunks(data))
    if not chunks:
        return None
    profile = next((_profile(body) for name, body in chunks if name == b"iCCP"), None)
    return png([chunk for chunk in chunks if chunk[0] not in (b"iCCP", b"tEXt", b"zTXt", b"iTXt")]), profile


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of these chunks."""
    parts = [_PNG_START]
    for name, body in chunks:
        parts += [struct.pack(">I", len(body)), name, body, struct.pack(">I", zlib.crc32(name + body))]
    return b"".join(parts)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of a PNG's chunks; the last one as far as it is there."""
    at = len(_PNG_START) if data.startswith(_PNG_START) else len(data)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def _profile(body: bytes) -> bytes | None:
    """The ICC profile of an iCCP chunk, as long as its own header says."""
    try:
        profile = zlib.decompressobj().decompress(body[body.index(b"\0") + 2 :], _MAX_PROFILE_BYTES)
    except (zlib.error, ValueError):
        return None
    return profile[: int.from_bytes(profile[:4], "big")] or None
