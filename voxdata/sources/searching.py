"""Sources that are asked person by person: each page is committed with the cursor to the next, so a search goes on."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from voxdata.format.errors import VoxdataError
from voxdata.sources.kinds import PhotoKind, Visit
from voxdata.sources.licences import LicenceGate
from voxdata.sources.offered import Offered
from voxdata.sources.stores import Stores
from voxdata.sources.taking import Taker
from voxdata.store.rows import clean

logger = logging.getLogger(__name__)


async def search(
    kind: PhotoKind,
    settings: Any,
    visit: Visit,
    listing: Offered,
    taker: Taker,
    gate: LicenceGate,
    stores: Stores,
    name: str,
) -> None:
    """Ask a source for the photos of everybody in `visit.people`, from where the last search stopped."""
    assert kind.find_person is not None
    known = listing.searched(person.identity for person in visit.people)
    again = datetime.now(UTC) - timedelta(days=stores.crawl.recheck.searched_days)
    failed: list[str] = []
    for person in visit.people:
        state = known[person.identity]
        decided = visit.decided(person)
        if state.asked_at is not None and (state.asked_at < again or (decided is not None and not state.rows)):
            listing.begin_again(person.identity)
            state.rows, state.cursor, state.asked_at = [], None, None
        for row in state.rows:
            taker.again(row)
        if state.asked_at is not None and state.cursor is None:
            continue
        cursor = state.cursor
        try:
            while not taker.has_enough(person.identity):
                found = await kind.find_person(settings, visit, person, cursor)
                taker.offers(gate.passed(found.offers))
                if found.choices:
                    visit.undecided(person, found.choices)
                cursor = found.cursor
                if not (found.choices and decided is None):
                    listing.page_ends(person.identity, cursor)
                if cursor is None:
                    break
        except VoxdataError:
            raise
        except Exception as error:
            failed.append(f"{person.identity} ({clean(f'{type(error).__name__}: {error}')[:200]})")
    if failed:
        logger.warning(
            "%s: %d people could not be looked for: %s; the same command asks for them again",
            visit.setting,
            len(failed),
            ", ".join(failed[:5]),
        )
