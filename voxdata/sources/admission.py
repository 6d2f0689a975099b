"""Whose a folder is: words become identities, in any spelling, by the rule of `people/identities.py`."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from voxdata.format.errors import IdentityError, SourceError
from voxdata.people.identities import IdentityBook
from voxdata.people.names import shown

logger = logging.getLogger(__name__)

NAMED = 5  # people in a message


def admitted(folders: Iterable[str], book: IdentityBook, setting: str) -> dict[str, str]:
    """Folder -> identity, of those that are not a forgotten person's; new ones are known to `book` afterwards.

    Raises `SourceError` naming `setting` for a folder that several people are called by.
    """
    found: dict[str, str] = {}
    spelled: dict[str, list[str]] = {}
    for folder in sorted(set(folders)):
        if not book.forgotten(folder):
            try:
                found[folder] = book.admit(folder).identity
            except IdentityError as error:
                raise SourceError(f"{setting}: {error}") from None
            spelled.setdefault(found[folder], []).append(shown(folder))
    joined = [f"{' + '.join(names)} = {identity}" for identity, names in spelled.items() if len(names) > 1]
    if joined:
        more = f" and {len(joined) - NAMED} more" if len(joined) > NAMED else ""
        logger.warning(
            "%s: %d people have several folders, which are joined: %s%s",
            setting,
            len(joined),
            ", ".join(joined[:NAMED]),
            more,
        )
    return found
