"""Tombstones: who was forgotten, as keyed hashes, so that no crawl, import or build brings them back.

    <root>/governance/key                       32 random bytes, in hex: the key of every hash of this root
    <root>/journal/tombstones/<fact>.json       person, words and contents as HMAC-SHA256 under that key

Words are ids, names and folder names as `names.fold_name` folds them; roots of an earlier time hold hashes of what
names were folded to then, so a word is looked up under both foldings. Without the key a tombstone says nothing; with it
one can test whether a given name was forgotten, which is what a build does with every name that it meets.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable

from voxdata.format.errors import StorageError
from voxdata.people.names import fold_name, fold_name_as_before
from voxdata.people.pending import Forgetting
from voxdata.store import journal
from voxdata.store.storage import Storage

KEY = "governance/key"
_BYTES = 32


class Tombstones:
    """The tombstones of a root, read once."""

    def __init__(self, storage: Storage) -> None:
        facts = journal.read_new(storage, "tombstones")
        self.people = len(facts)
        self._words = {word for fact in facts for word in journal.inner("tombstones", fact, "words", list)}
        self._contents = {content for fact in facts for content in journal.inner("tombstones", fact, "contents", list)}
        self._key = _read_key(storage) if facts else b""

    def holds(self, *words: str) -> bool:
        """Whether one of these ids, names or folder names is a forgotten person's."""
        return bool(self._words) and any(
            hash_text(self._key, folded) in self._words
            for word in words
            if word
            for folded in {fold_name(word), fold_name_as_before(word)}
        )

    def held(self, words: Iterable[str]) -> set[str]:
        """Those of `words` that name a forgotten person."""
        return {word for word in set(words) if self.holds(word)}

    def holds_content(self, sha256: str) -> bool:
        """Whether bytes of this hash were a forgotten person's alone."""
        return bool(self._contents) and hash_text(self._key, sha256) in self._contents


def state(storage: Storage, forgetting: Forgetting) -> str:
    """Commit the tombstone of a person and return the hash that stands for them; it replaces one of the same forgetting
    that was stated before more of them came in."""
    key = make_key(storage)
    person = hash_word(key, forgetting.person)
    fact = {
        "person": person,
        "words": json.dumps(sorted({hash_word(key, word) for word in forgetting.words})),
        "contents": json.dumps(sorted(hash_text(key, content) for content in forgetting.contents)),
        "reason": forgetting.reason,
        "at": forgetting.at,
    }
    stated = journal.append(storage, "tombstones", fact)
    for earlier in journal.read_new(storage, "tombstones"):
        place = f"journal/tombstones/{earlier['fact']}.json"
        if place != stated and (earlier["person"], earlier["at"]) == (person, forgetting.at):
            storage.delete(place)
    return person


def make_key(storage: Storage) -> bytes:
    """The key of this root; a new one where it has none. Raises `StorageError` where it got lost."""
    if not storage.exists(KEY):
        if storage.keys("journal/tombstones"):
            raise _lost(storage)
        storage.commit(KEY, secrets.token_hex(_BYTES).encode())
    return _read_key(storage)


def check_key(storage: Storage) -> None:
    """Raises `StorageError` where the key of a root with tombstones is gone, or that of any root is none."""
    if storage.exists(KEY) or storage.keys("journal/tombstones"):
        _read_key(storage)


def hash_word(key: bytes, word: str) -> str:
    """The keyed hash of an id or name, folded."""
    return hash_text(key, fold_name(word))


def hash_text(key: bytes, text: str) -> str:
    """The first 128 bits of HMAC-SHA256, in hex."""
    return hmac.new(key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:32]


def _read_key(storage: Storage) -> bytes:
    if not storage.exists(KEY):
        raise _lost(storage)
    try:
        key = bytes.fromhex(storage.read(KEY).decode())
    except ValueError:
        raise _lost(storage) from None
    if len(key) != _BYTES:  # half a key is hex, too, and knows nobody
        raise _lost(storage)
    return key


def _lost(storage: Storage) -> StorageError:
    return StorageError(
        f"{KEY} under {storage.url} is gone or damaged, and without it nobody can tell who was forgotten; "
        "restore it from a backup: a build would bring forgotten people back"
    )
