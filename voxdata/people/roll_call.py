"""Whom the folders of sources stand for, all at once: how each was found, who is new, and who may have been meant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from voxdata.format.errors import IdentityError
from voxdata.people.identities import IdentityBook, Step
from voxdata.people.names import fold_name, turned

NEAR = 3  # names that are proposed for a word
_ALIKE = 0.75  # of `difflib`: 1 is the same word
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, kw_only=True)
class Called:
    """Whom the words of one source stand for.

    `files` counts the files of each person, `words` holds the words that stand for each, `steps` counts words by how
    they were found, `new` are those that stand for nobody who is known. `refused` says why words that several people
    are called by stand for nobody. `forgotten` and `nameless` count the files of forgotten people, and those that name
    nobody.
    """

    files: Mapping[str, int]
    words: Mapping[str, Sequence[str]]
    steps: Mapping[Step, int]
    new: Sequence[str]
    refused: Sequence[str]
    forgotten: int
    nameless: int


class RollCall:
    """Calls the words of one source after another, as a build meets them: who is new is known from then on."""

    def __init__(self, book: IdentityBook) -> None:
        self._before = replace(book)
        self._book = replace(book)

    def call(self, words: Iterable[str], nobody: str) -> Called:
        """Whom the words of all files of a source stand for, a word per file; `nobody` is that of files without one."""
        counts = Counter(words)
        nameless = counts.pop(nobody, 0)
        files: Counter[str] = Counter()
        meant: dict[str, list[str]] = {}
        steps: Counter[Step] = Counter()
        new, refused, forgotten = [], [], 0
        for word, count in sorted(counts.items()):
            if self._book.forgotten(word):
                forgotten += count
                continue
            try:
                person = self._book.person(self._book.admit(word).identity)
            except IdentityError as error:
                refused.append(str(error))
                continue
            step, _ = self._before.found(word)
            steps[step] += 1
            new += [word] if step == "new" else []
            files[person] += count
            meant.setdefault(person, []).append(word)
        return Called(
            files=files,
            words=meant,
            steps=steps,
            new=new,
            refused=refused,
            forgotten=forgotten,
            nameless=nameless,
        )


def names_of(book: IdentityBook) -> dict[str, str]:
    """Everyone of the metadata, as `near` wants them: folded id or name -> how they are proposed."""
    found: dict[str, str] = {}
    for each in book.by_id.values():
        shown = f"{each.name} ({each.identity})" if each.name else each.identity
        found |= {fold_name(word): shown for word in (each.identity, *each.names)}
    return found


def near(word: str, people: Mapping[str, str]) -> list[str]:
    """Who may have been meant by a word, of people by folded names, the nearest first, and before them
    those of the same words in another order.

    Words of other digits are other ids, however alike they look: `id10001` is not meant by `id10007`.
    """
    folded = fold_name(word)
    digits = _DIGITS.findall(folded)
    known = [each for each in people if _DIGITS.findall(each) == digits]
    alike = [each for each in turned(word) if each in people] + get_close_matches(folded, known, NEAR, _ALIKE)
    return list(dict.fromkeys(people[each] for each in alike))
