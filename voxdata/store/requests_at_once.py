"""Requests to object storage that go on beside each other: spans of objects read ahead, commits done behind."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from voxdata.store.storage import Behind, ReadRange, Span

AT_ONCE = 32  # requests of a process
SPAN_BYTES = 8 << 20  # of one request for members of a tar
GAP_BYTES = 128 << 10  # between members that one request reads, in spite of what lies between
AHEAD_BYTES = 64 << 20  # read and not asked for yet, or not committed yet

POOL = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="object-storage")


@dataclass(kw_only=True)
class _Spans:
    """A run of bytes of an object, and how many of its members were not asked for yet."""

    key: str
    start: int
    end: int
    left: int


class Ahead:
    """Reads members of objects in spans: neighbours with one request, and the next spans before they are asked for."""

    def __init__(self, read: ReadRange, wanted: Sequence[Span]) -> None:
        self._read = read
        self._spans: list[_Spans] = []
        self._span_of: dict[Span, int] = {}
        self._coming: dict[int, Future[bytes]] = {}
        self._next = 0
        self._lock = threading.Lock()
        self._plan(wanted)

    def read(self, key: str, offset: int, size: int) -> bytes:
        """The bytes; what was not announced, or is asked for again, is read by itself. Raises `StorageError`."""
        number = self._span_of.get((key, offset, size))
        if number is None or not size or self._spans[number].left <= 0:
            return self._read(key, offset, size)
        span = self._spans[number]
        with self._lock:
            coming = self._coming.get(number) or self._ask(number)
            self._ask_ahead()
        try:
            data = coming.result()
        except BaseException:
            with self._lock:
                self._coming.pop(number, None)  # who is patient asks again
            raise
        with self._lock:
            span.left -= 1
            if span.left <= 0:
                self._coming.pop(number, None)
        return data[offset - span.start : offset - span.start + size]

    def _plan(self, wanted: Sequence[Span]) -> None:
        counts = Counter(wanted)
        spans: list[_Spans] = []
        for key, offset, size in sorted(counts):
            last = spans[-1] if spans else None
            if (
                last is None
                or last.key != key
                or offset > last.end + GAP_BYTES
                or max(last.end, offset + size) - last.start > SPAN_BYTES
            ):
                last = _Spans(key=key, start=offset, end=offset, left=0)
                spans.append(last)
            last.end = max(last.end, offset + size)
            last.left += counts[key, offset, size]
            self._span_of[key, offset, size] = len(spans) - 1
        first = {self._span_of[each]: place for place, each in reversed(list(enumerate(wanted)))}
        order = sorted(range(len(spans)), key=first.__getitem__)
        place = {number: position for position, number in enumerate(order)}
        self._spans = [spans[number] for number in order]
        self._span_of = {each: place[number] for each, number in self._span_of.items()}

    def _ask(self, number: int) -> Future[bytes]:
        span = self._spans[number]
        self._coming[number] = POOL.submit(self._read, span.key, span.start, span.end - span.start)
        return self._coming[number]

    def _ask_ahead(self) -> None:
        held = sum(self._spans[number].end - self._spans[number].start for number in self._coming)
        while self._next < len(self._spans) and len(self._coming) < AT_ONCE and held < AHEAD_BYTES:
            span = self._spans[self._next]
            if self._next not in self._coming and span.left > 0:
                self._ask(self._next)
                held += span.end - span.start
            self._next += 1


class SomeBehind(Behind):
    """Commits of which some go on at a time, as long as they hold no more than `AHEAD_BYTES`."""

    def __init__(self) -> None:
        self._going: deque[tuple[Future[object], int]] = deque()
        self._held = 0

    def do(self, commit: Callable[[], object], size_bytes: int) -> None:
        while self._going and (self._held + size_bytes > AHEAD_BYTES or len(self._going) >= AT_ONCE):
            self._wait()
        self._going.append((POOL.submit(commit), size_bytes))
        self._held += size_bytes

    def settle(self) -> None:
        while self._going:
            self._wait()

    def _wait(self) -> None:
        going, size_bytes = self._going.popleft()
        self._held -= size_bytes
        going.result()
