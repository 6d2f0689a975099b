"""Sources that are asked person by person: each page is committed with the cursor to the next, so a search goes on."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from voxdata.format.errors import VoxdataError, brief
from voxdata.recipe.crawl import Crawl
from voxdata.sources.kinds import NoAnswerError, Person, PhotoKind, Visit, note_cursor
from voxdata.sources.offered import Offered, Searched
from voxdata.sources.taking import Taker

NAMED = 5  # people in a message
MOST_SAID = 400  # letters of what an answer says

logger = logging.getLogger(__name__)


async def search(kind: PhotoKind, settings: Any, visit: Visit, listing: Offered, taker: Taker, crawl: Crawl) -> None:
    """Ask a source for the photos of everybody in `visit.people`, from where the last search stopped."""
    known = listing.searched({person.identity: visit.decided(person) for person in visit.people})
    expired = datetime.now(UTC) - timedelta(days=crawl.recheck.searched_days)
    anew = {who for who, state in known.items() if state.otherwise or (state.asked_at or expired) < expired}
    listing.begin_again(anew)
    failed: list[str] = []
    for person in visit.people:
        state = Searched() if person.identity in anew else known[person.identity]
        taker.again(state.rows)
        if state.asked_at is not None and state.cursor is None:
            continue
        try:
            await _look_for(kind, settings, visit, listing, taker, person, state.cursor)
        except NoAnswerError as error:
            failed.append(f"{person.identity} ({brief(error, MOST_SAID)})")
        except VoxdataError:
            raise
        except Exception as error:  # an answer that nobody foresaw leaves its person for another time
            failed.append(f"{person.identity} ({brief(f'{type(error).__name__}: {error}')})")
    if failed:
        logger.warning(
            "%s: %d of %d people were not answered for; the same command asks again: %s%s",
            visit.setting,
            len(failed),
            len(visit.people),
            ", ".join(failed[:NAMED]),
            f" and {len(failed) - NAMED} more" if len(failed) > NAMED else "",
        )


async def _look_for(
    kind: PhotoKind, settings: Any, visit: Visit, listing: Offered, taker: Taker, person: Person, cursor: str | None
) -> None:
    """All pages of a person from a cursor on, until there are enough photos. Whom somebody has to tell apart first is
    asked for again in the next build."""
    assert kind.find_person is not None
    asked = set[str | None]()
    while not taker.has_enough(person.identity):
        note_cursor(cursor, asked)
        found = await kind.find_person(settings, visit, person, cursor)
        taker.offers(found.offers)
        if found.choices:
            visit.undecided(person, found.choices)
            return
        listing.page_ends(person.identity, found.cursor)
        cursor = found.cursor
        if cursor is None:
            return
