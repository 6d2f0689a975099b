"""Pictures whose files were cut: a download that broke off, a full disk. Viewers show what is there, and so do we.

A cut file is completed twice, with two different paddings, and decoded twice: what both have is the picture's own, and
where they differ it is missing. This holds for all of JPEG: of a progressive one the missing last scan only refines, so
that hardly a pixel differs. A PNG's rows are counted instead, and of a GIF the pixels of its first frame; of a JPEG
2000, every byte of which may refine all of the picture, the bytes. Each function returns None for a file that it cannot
complete.

Not completed are AVIF and HEIC, whose decoders refuse a picture of which a byte is missing, a TIFF whose directory lies
behind its pixels, where compressed ones have it, and a JPEG 2000 of several tiles of which more than the last is cut.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_2000_SIZE, _JPEG_2000_TILE = 0xFF51, 0xFF90
_GIF_INTERLACED = 0x40
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


def plain_variants(data: bytes) -> tuple[bytes, bytes] | None:
    """A BMP or TIFF that ends early, continued by zeros, and by noise. Compressed ones mostly fail to decode then."""
    if not data.startswith((b"BM", b"II*\0", b"MM\0*")):
        return None
    length = 2 * len(data)
    return data + bytes(length), data + _NOISE * (1 + length // len(_NOISE))


def gif_frame(data: bytes, max_pixels: float) -> tuple[bytes, float] | None:
    """A GIF whose first frame is cut, with its first colour for what is missing, and the share that is there.

    Of an interlaced one, whose last half are the rows between the others, only the part that has both is there.
    """
    found = _first_frame(data)
    if found is None:
        return None
    start, pixels, minimum, interlaced = found
    payload, ended = bytearray(), False
    at = start
    while at < len(data) and not ended:
        payload += data[at + 1 : at + 1 + data[at]]
        ended = data[at] == 0
        at += 1 + data[at]
    if ended or not 0 < pixels <= max_pixels:
        return None
    there, bits = _lzw_pixels(payload, minimum)
    filled = payload[: bits // 8]
    if bits % 8:
        filled.append(payload[bits // 8] & ((1 << bits % 8) - 1))
    filled += bytes(2 * max(0, pixels - there))  # each code has 12 bits at most, and that of zeros is one pixel
    blocks = (filled[first : first + 255] for first in range(0, len(filled), 255))
    whole = b"".join(bytes([len(block)]) + block for block in blocks)
    return data[:start] + whole + b"\0;", max(0.0, 2 * there / pixels - 1) if interlaced else min(1.0, there / pixels)


def _first_frame(data: bytes) -> tuple[int, int, int, bool] | None:
    """Where the compressed pixels of a GIF's first frame begin, their number, the bits of a colour, if interlaced."""
    if not data.startswith((b"GIF87a", b"GIF89a")) or len(data) < 13:
        return None
    at = 13 + _colours(data[10])
    while data[at : at + 1] == b"!":
        at += 2
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    if data[at : at + 1] != b"," or at + 11 > len(data):
        return None
    width, height, flags = struct.unpack("<HHB", data[at + 5 : at + 10])
    at += 10 + _colours(flags)
    if at >= len(data) or not 1 <= data[at] <= 11:
        return None
    return at + 1, width * height, data[at], bool(flags & _GIF_INTERLACED)


def _colours(flags: int) -> int:
    """Bytes of the colour table that a GIF's flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _lzw_pixels(payload: bytes | bytearray, minimum: int) -> tuple[int, int]:
    """How many pixels the whole codes of a GIF's LZW data stand for, and how many bits these codes take."""
    clear = 1 << minimum
    lengths: list[int] = []  # pixels of each code
    width, before, at, pixels = minimum + 1, -1, 0, 0
    while at + width <= 8 * len(payload):
        code = int.from_bytes(payload[at >> 3 : (at >> 3) + 3], "little") >> (at & 7) & (1 << width) - 1
        if code == clear + 1 or code > (len(lengths) or code):
            break
        at += width
        if code == clear or not lengths:
            lengths, width, before = [1] * clear + [0, 0], minimum + 1, -1
        if code == clear:
            continue
        if before >= 0 and len(lengths) < 1 << 12:
            lengths.append(lengths[before] + 1)
        pixels += lengths[code] if code < len(lengths) else 0
        before = code
        if len(lengths) == 1 << width and width < 12:
            width += 1
    return pixels, at


def jpeg_2000(data: bytes) -> tuple[bytes, float] | None:
    """A JPEG 2000 whose last tile is cut, filled up by zeros, which add nothing, and the share of bytes there."""
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or not (start == 0 or data[4:8] == b"jP  "):
        return None
    at, tiles = start + 2, 0
    while at + 12 <= len(data):
        marker, length = struct.unpack(">HH", data[at : at + 4])
        if marker == _JPEG_2000_SIZE and at + 40 <= len(data):
            width, height, _, _, across, down, first, above = struct.unpack(">8I", data[at + 6 : at + 38])
            tiles = -(-(width - first) // max(1, across)) * -(-(height - above) // max(1, down))
        if marker == _JPEG_2000_TILE:
            tile, length, part, parts = struct.unpack(">HIBB", data[at + 4 : at + 12])
            end = at + length
            if end > len(data):
                last = tile == tiles - 1 and part == max(parts, 1) - 1
                filled = data + bytes(end - len(data)) + b"\xff\xd9"
                return (filled, len(data) / end) if last and length <= 2 * len(data) else None
            length -= 2
        at += 2 + max(length, 2)
    return None


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
