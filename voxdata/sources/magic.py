"""What a file is where its suffix does not say: its first bytes decide, and what is neither is counted.

People's photos are called `IMG_0001.jpe`, `photo.jpg_large` or nothing at all, and recorders write `.caf` and `.mp2`.
Files of a suffix that says that they are something else (`OTHER_SUFFIXES`) are not opened.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".jfif"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".webm", ".mov", ".avi", ".mpg", ".mpeg", ".m4v"})
SPEECH_SUFFIXES = VIDEO_SUFFIXES | {
    *(".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus", ".oga", ".aif", ".aiff", ".wma")
}
OTHER_SUFFIXES = frozenset(
    {".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".html", ".md", ".pdf", ".yaml", ".yml", ".log", ".srt", ".vtt"}
    | {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".npy", ".npz", ".pt", ".pkl", ".pickle", ".mat"}
    | {".parquet", ".duckdb", ".py", ".db"}
)
# FFmpeg may open nothing that refers to other files or hosts (playlists, concat scripts).
FFMPEG_FORMATS = "mov,matroska,mpeg,mpegts,mpegvideo,mp3,ogg,wav,flac,aac,avi,aiff,asf,caf,au"
HEIC_EXTRA = "pip install 'voxdata[heic]'"
NAMED = 8  # suffixes in a message
HEAD_BYTES = 32

_PHOTO = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|....ftypavi[fs]|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    re.DOTALL,
)
_HEIC = re.compile(rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL)
_SPEECH = re.compile(
    rb"RIFF....(WAVE|AVI )|RF64....WAVE|fLaC|OggS|ID3|FORM....AIF[FC]|caff\0\x01|\.snd|\x1a\x45\xdf\xa3"
    rb"|0&\xb2u\x8ef\xcf\x11|....ftyp(M4[ABV]|mp4|isom|iso\d|qt  |dash|3gp)"
    rb"|\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd][\x10-\xef][^\x0c-\x0f]"  # MPEG 2.5, 2 and 1, layers III and II
    rb"|\xff[\xf0\xf1\xf8\xf9]",  # ADTS
    re.DOTALL,
)


def is_heic(head: bytes) -> bool:
    """Whether a file that begins so is a HEIF picture, as phones write them."""
    return _HEIC.match(head) is not None


def reads_heic() -> bool:
    """Whether the extra `heic` is installed."""
    return find_spec("pillow_heif") is not None


def is_photo(head: bytes) -> bool:
    """Whether a file that begins so is a picture that can be read; TIFF is not told from cameras' raw files."""
    return _PHOTO.match(head) is not None or (is_heic(head) and reads_heic())


def is_speech(head: bytes) -> bool:
    """Whether a file that begins so has sound: audio or video."""
    return _SPEECH.match(head) is not None


@dataclass(kw_only=True)
class Sniffer:
    """Takes files by content for one source, and counts what it passes over."""

    wanted: Callable[[bytes], bool]
    not_opened: frozenset[str]
    silent: frozenset[str]  # suffixes of the other medium, which lies in the same folder by right
    passed: Counter[str] = field(default_factory=Counter)
    heic: int = 0

    def takes(self, name: str, head_of_it: Callable[[], bytes]) -> bool:
        """Whether a file without a wanted suffix is wanted all the same; its first bytes are read where they decide."""
        suffix = os.path.splitext(name)[1].lower()
        if suffix in self.silent:
            return False
        head = b"" if suffix in self.not_opened else head_of_it()
        if self.wanted(head):
            return True
        self.heic += is_heic(head)
        self.passed[suffix or "no suffix"] += 1
        return False

    def remarks(self, setting: str, what: str) -> list[tuple[int, str]]:
        """What is said of what was passed over, with logging levels."""
        found = []
        if self.passed:
            named = ", ".join(f"{suffix} ({count})" for suffix, count in self.passed.most_common(NAMED))
            more = f" and {len(self.passed) - NAMED} more suffixes" if len(self.passed) > NAMED else ""
            count = self.passed.total()
            files = f"1 file is no {what} and is" if count == 1 else f"{count} files are no {what} and are"
            line = f"{setting}: {files} passed over: {named}{more}"
            found.append((logging.INFO, line))
        if self.heic:
            some = "1 of them is a HEIC photo" if self.heic == 1 else f"{self.heic} of them are HEIC photos"
            line = f"{setting}: {some}; to read HEIC: {HEIC_EXTRA}"
            found.append((logging.WARNING, line))
        return found


def photo_sniffer() -> Sniffer:
    """For a folder of photos."""
    return Sniffer(wanted=is_photo, not_opened=OTHER_SUFFIXES, silent=SPEECH_SUFFIXES)


def speech_sniffer() -> Sniffer:
    """For a folder of speech."""
    return Sniffer(wanted=is_speech, not_opened=OTHER_SUFFIXES, silent=PHOTO_SUFFIXES | {".tar"})


def head_of(path: Path) -> bytes:
    """The first bytes of a file; none of what is no file, or cannot be read."""
    if not path.is_file():  # a pipe would never answer
        return b""
    try:
        with open(path, "rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""
