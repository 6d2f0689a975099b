"""How much of what is being fetched may lie in memory before it is committed."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any


class Memory:
    """A budget of bytes. Readers wait when it is spent; one of them goes on where all would wait for each other.

    So no more than the budget and one file are held, and nothing stands still.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self.pending = 0  # of those held: handed on, and freed when they are committed
        self._readers = 0
        self._blocked: deque[tuple[asyncio.Future[None], int, asyncio.Task[Any] | None]] = deque()
        self._first: asyncio.Task[Any] | None = None  # the reader that need not wait, until it is done

    @property
    def tight(self) -> bool:
        """Whether what is pending should be committed now, because room is needed."""
        return bool(self._blocked) or 2 * self.held >= self.limit

    @property
    def full(self) -> bool:
        """Whether nothing new should be begun."""
        return self.held >= self.limit

    def begin(self) -> None:
        """A reader begins."""
        self._readers += 1

    def end(self) -> None:
        """The reader is done."""
        self._readers -= 1
        if self._first is asyncio.current_task():
            self._first = None
        self._settle()

    async def take(self, size: int) -> None:
        """Count bytes that the reader keeps, when there is room for them."""
        task = asyncio.current_task()
        while self.held + size > self.limit and self._first is not task:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._blocked.append((waiter, size, task))
            self._settle()
            try:
                await waiter
            finally:
                self._blocked = deque(each for each in self._blocked if each[0] is not waiter)
        self.held += size

    def hand_on(self, size: int) -> None:
        """Bytes wait to be committed."""
        self.pending += size

    def free(self, size: int, *, handed_on: bool = False) -> None:
        """Bytes are held no more."""
        self.held -= size
        self.pending -= size if handed_on else 0
        self._settle()

    def _settle(self) -> None:
        """Wake those that may go on: all when there is room, one where nothing else would ever make room."""
        room = self.limit - self.held
        woken = 0
        for waiter, size, _ in self._blocked:
            if size <= room and not waiter.done():
                waiter.set_result(None)
                room, woken = room - size, woken + 1
        stuck = len(self._blocked) >= self._readers and not self.pending and self._first is None
        if self._blocked and not woken and stuck:
            waiter, _, self._first = self._blocked[0]
            if not waiter.done():
                waiter.set_result(None)
