"""What rows hold: text that is valid UTF-8, and 64-bit names of texts for tables that must stay small in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]


def clean(text: str) -> str:
    """Text that any table takes: what is not Unicode is written as `\\udcXX`, and NUL as `\\x00`."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def clean_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with every text of it clean."""
    return {name: clean(value) if isinstance(value, str) else value for name, value in row.items()}


def hash64(text: str) -> int:
    """A 64-bit name of a text; two of 4 million texts share one with a probability of 1 to 2 million."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def hashes(texts: Iterable[str]) -> Hashes:
    """`hash64` of each text."""
    joined = b"".join(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts)
    return np.frombuffer(joined, dtype="<u8").astype(np.uint64)


class Seen:
    """Which hashes came before: 8 bytes for each, in sorted runs that are joined as they grow."""

    def __init__(self) -> None:
        self._runs: list[Hashes] = []

    def add(self, found: Hashes) -> npt.NDArray[np.bool_]:
        """Note hashes; for each whether it came before, also among these."""
        different, firsts = np.unique(found, return_index=True)
        known = np.zeros(len(different), bool)
        for run in self._runs:
            known |= places(run, different) >= 0
        before = np.ones(len(found), bool)
        before[firsts[~known]] = False
        self._runs.append(different[~known])
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            self._runs[-2:] = [np.sort(np.concatenate(self._runs[-2:]))]
        return before


def places(sorted_hashes: Hashes, wanted: Hashes) -> npt.NDArray[np.int64]:
    """Where each wanted hash lies in the sorted ones; -1 where it does not."""
    if not len(sorted_hashes):
        return np.full(len(wanted), -1, np.int64)
    found = np.minimum(np.searchsorted(sorted_hashes, wanted), len(sorted_hashes) - 1).astype(np.int64)
    found[sorted_hashes[found] != wanted] = -1
    return found
