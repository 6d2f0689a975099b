"""What a body is by its first bytes: a photo of which format, or a page, a drawing, or something else."""

from __future__ import annotations

import re

_FORMATS = (
    ("jpeg", re.compile(rb"\xff\xd8\xff")),
    ("png", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("gif", re.compile(rb"GIF8[79]a")),
    ("webp", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("avif", re.compile(rb"....ftypavi[fs]", re.DOTALL)),
    ("heic", re.compile(rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL)),
    ("jp2", re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", re.DOTALL)),
    ("tiff", re.compile(rb"II[*+]\0|MM\0[*+]")),
    ("bmp", re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL)),
)
_BLANKS = b"\xef\xbb\xbf \t\r\n\f"
_HEAD = 1024


def image_format(data: bytes | bytearray) -> str | None:
    """The format of an image by its header; None for what is none."""
    head = bytes(data[:32])
    return next((name for name, pattern in _FORMATS if pattern.match(head)), None)


def text_kind(data: bytes | bytearray) -> str | None:
    """`svg` for a drawing, `html` for a page, by what a body begins with; None for anything else."""
    head = bytes(data[:_HEAD]).lstrip(_BLANKS).lower()
    if head.startswith(b"<svg") or (head.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in head):
        return "svg"
    if head.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<title", b"<script")) or b"<html" in head:
        return "html"
    return None


def looks_whole(name: str, data: bytes | bytearray) -> bool:
    """Whether an image that came without a stated length reaches its end, as far as its format says where that is."""
    tail = bytes(data[-4096:])
    if name == "jpeg":
        return b"\xff\xd9" in tail
    if name == "png":
        return b"IEND" in tail
    if name == "gif":
        return b"\x3b" in tail[-16:]
    if name == "webp":
        return len(data) >= 8 + int.from_bytes(data[4:8], "little")
    return True
