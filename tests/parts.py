"""Parts of stages in tests: what blobs they hold, and a root whose process is killed while it changes them."""

from __future__ import annotations

from voxdata.store.fragments import FragmentStore
from voxdata.store.storage import LocalStorage


class Killed(BaseException):
    """As when the process is killed: nothing catches it."""


class Mortal(LocalStorage):
    """A root whose process is killed before it changes something for the `left`-th time."""

    left = -1
    changes = 0

    def put(self, key: str, data: bytes) -> None:
        self._change()
        super().put(key, data)

    def remove(self, key: str) -> None:
        self._change()
        super().remove(key)

    def _change(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1
        self.changes += 1


def blobs(store: FragmentStore) -> dict[str, bytes]:
    """Item -> the bytes that its rows point to."""
    rows = store.read()
    assert rows is not None
    return {
        row["item_id"]: store.blob(row["part"], each["offset"], each["size"])
        for row in rows.to_pylist()
        for each in row["members"]
    }
