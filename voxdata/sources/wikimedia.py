"""Photos of Wikimedia Commons, of people whom Wikidata knows by their name.

1. Wikidata is searched for the name (`wbsearchentities`); only items whose label or alias it is, not just begins with.
2. Of these, humans (P31 = Q5) whom nothing that the metadata knows contradicts: sex (P21), nationality (P27, by the
   country's names). One is left: that one. None: no photo. Several, or one whose nationality is another: a person has
   to say who is meant (`voxdata crawl names`); nothing is guessed.
3. The item's image (P18), then the files of its Commons category (P373) and, as deep as the recipe says, of the
   categories below it, at most 200, a page of 50 at a time. A file that several of them hold is offered once.

Both are MediaWiki action APIs (mediawiki.org: API:Main_page, Manual:Maxlag_parameter) and are asked as Wikimedia's
robot policy wants it: at most three requests at once, `maxlag`, a user agent with a contact; two connections and
25 Mbit/s to the host of the files.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from voxdata.crawl.fetched import Fetched
from voxdata.crawl.hosts import ApiLimits
from voxdata.format.json_text import read_json
from voxdata.people.identities import UNKNOWN
from voxdata.people.names import fold_name
from voxdata.recipe.effect import OnlyWith
from voxdata.recipe.sources import PhotoSource
from voxdata.sources.answers import answered, link, object_in, plain
from voxdata.sources.kinds import Choice, Found, NoAnswerError, Person, PhotoKind, PhotoUrl, Place, Visit, everybody
from voxdata.sources.licences import licence_name

API = ApiLimits(connections=3)
FILES_HOST, FILES = "upload.wikimedia.org", ApiLimits(connections=2, mbit_per_s=25)
IDS = 50  # per request, the most that an anonymous client may ask for
MAXLAG_WAIT_S = 5.0  # Manual:Maxlag_parameter, where the answer itself names no time
MAX_FOUND = 100  # namesakes looked at
MAX_CATEGORIES = 200  # of one person
MAX_LISTED = 2000  # names of categories that are read of one, to count those that are left out
ANY_LANGUAGE = "mul"  # of names that are written in the same way in most languages
HUMAN = "Q5"
SEXES = {"Q6581097": "m", "Q2449503": "m", "Q6581072": "f", "Q1052281": "f"}
INSTANCE, SEX, CITIZEN, IMAGE, CATEGORY = "P31", "P21", "P27", "P18", "P373"
DECODED = ("image/jpeg", "image/png", "image/webp", "image/tiff", "image/gif")
METADATA = ("LicenseShortName", "LicenseUrl", "Artist", "Attribution", "Restrictions", "UsageTerms")

logger = logging.getLogger(__name__)

Entity = Mapping[str, Any]


class Wikimedia(PhotoSource):
    """Photos of Wikimedia Commons, of the people of the build whom Wikidata knows."""

    kind: Literal["wikimedia"] = "wikimedia"
    language: str = Field("en", pattern="^[a-z-]{2,12}$", description="language in which names are looked for")
    also_languages: list[Annotated[str, Field(pattern="^[a-z-]{2,12}$")]] = Field(
        [],
        description="further languages in which names are looked for, as [de, ja]; whoever is called so in any counts",
    )
    category: bool = Field(True, description="whether the files of the person's category are taken, or only the image")
    subcategories: Annotated[int, OnlyWith(".category")] = Field(
        0,
        ge=0,
        le=4,
        description="how deep the categories below it are taken, too; they show more, and more often somebody else",
    )
    wikidata_url: str = Field("https://www.wikidata.org/w/api.php", description="action API of Wikidata")
    commons_url: str = Field("https://commons.wikimedia.org/w/api.php", description="action API of Commons")

    @property
    def given(self) -> bool:
        """It always says where the photos are."""
        return True

    @property
    def languages(self) -> tuple[str, ...]:
        """Those in which names are looked for, the main one first."""
        return tuple(dict.fromkeys((self.language, *self.also_languages)))


def place(settings: Wikimedia) -> Place:
    """Photos are named by their whole urls."""
    return Place(address="", host="commons.wikimedia.org")


def hosts(settings: Wikimedia) -> Mapping[str, ApiLimits]:
    """How the host of the files wants to be asked."""
    return {FILES_HOST: FILES}


@answered
async def find_person(settings: Wikimedia, visit: Visit, person: Person, cursor: str | None) -> Found:
    """A page of somebody's photos; the first one finds out who it is. Raises `SourceError` where access is refused."""
    if cursor is not None:
        return await _files(settings, visit, person, read_json(cursor))
    chosen = visit.decided(person)
    if chosen is None:
        meant, sure = await _meant(settings, visit, person, await _namesakes(settings, visit, person))
        if not sure:
            return Found(choices=[_choice(entity, settings.language) for entity in meant])
    else:
        meant = await _entities(settings, visit, [chosen] if chosen else [])
    if not meant:
        return Found()
    images, categories = _values(meant[0], IMAGE), _values(meant[0], CATEGORY)
    start = {"images": images[:IDS], "category": categories[0] if categories and settings.category else None}
    return await _files(settings, visit, person, {**start, "rank": 0, "continue": {}})


WIKIMEDIA = PhotoKind(
    settings=Wikimedia, find=everybody(find_person), find_person=find_person, place=place, hosts=hosts
)


async def _ask(settings: Wikimedia, visit: Visit, url: str, **params: str) -> dict[str, Any]:
    """One request to an action API. Raises `NoAnswerError`, `SourceError`."""
    asked = {**params, "format": "json", "formatversion": "2", "maxlag": "5"}
    answer = object_in(await visit.fetcher.api(url, asked, limits=API, wait_s=lag_s), visit.setting)
    if "error" in answer:
        error = answer["error"] if isinstance(answer["error"], dict) else {}
        raise NoAnswerError(f"{url}: {plain(error.get('code'))}: {plain(error.get('info'))}")
    return answer


def lag_s(answer: Fetched) -> float | None:
    """How long an answer of status 200 asks to wait, because the servers lag or this client is too fast; else None."""
    if answer.data is None or b'"error"' not in answer.data[:4096]:
        return None
    try:
        code = read_json(answer.data)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return None
    if code not in ("maxlag", "ratelimited", "readonly"):
        return None
    header = answer.headers.get("retry-after", "")
    return max(float(header), 1.0) if header.isdecimal() else MAXLAG_WAIT_S


async def _namesakes(settings: Wikimedia, visit: Visit, person: Person) -> list[Entity]:
    """The items that are called so, by label or alias, in one of the languages."""
    ids = [each for language in settings.languages for each in await _called_so(settings, visit, person, language)]
    return await _entities(settings, visit, list(dict.fromkeys(ids)))


async def _called_so(settings: Wikimedia, visit: Visit, person: Person, language: str) -> list[str]:
    wanted, ids, start = fold_name(person.name), list[str](), 0
    while start < MAX_FOUND:
        params = {"search": person.name, "language": language, "uselang": language}
        params |= {"type": "item", "limit": str(IDS), "continue": str(start)}
        answer = await _ask(settings, visit, settings.wikidata_url, action="wbsearchentities", **params)
        found = [each for each in answer.get("search") or [] if isinstance(each, dict)]
        named = [each for each in found if wanted in {fold_name(word) for word in _words(each)}]
        ids += [str(each.get("id")) for each in named]
        following = answer.get("search-continue")
        start = following if isinstance(following, int) and following > start else MAX_FOUND  # never back to the same
        if not found or found[-1] not in named:  # the search has gone on to names that only begin so
            break
    return ids


def _words(result: Mapping[str, Any]) -> list[str]:
    match = result.get("match")
    words = [
        result.get("label"),
        match.get("text") if isinstance(match, dict) else None,
        *(result.get("aliases") or []),
    ]
    return [word for word in words if isinstance(word, str)]


async def _entities(
    settings: Wikimedia, visit: Visit, ids: Sequence[str], props: str = "claims|labels|descriptions"
) -> list[Entity]:
    """Items by their ids, in that order; those that are gone are left out."""
    found: dict[str, Entity] = {}
    for first in range(0, len(ids), IDS):
        batch = "|".join(ids[first : first + IDS])
        params = {"ids": batch, "props": props, "languages": "|".join((*settings.languages, ANY_LANGUAGE))}
        answer = await _ask(settings, visit, settings.wikidata_url, action="wbgetentities", **params)
        entities = answer.get("entities")
        for name, entity in entities.items() if isinstance(entities, dict) else ():
            if isinstance(entity, dict) and "missing" not in entity:
                found[str(name)] = entity
    return [found[each] for each in ids if each in found] or list(found.values())  # an item may have been merged


async def _meant(
    settings: Wikimedia, visit: Visit, person: Person, entities: Sequence[Entity]
) -> tuple[list[Entity], bool]:
    """The humans among items who may be meant, and whether that is sure: nobody, or one whom nothing contradicts."""
    humans = [entity for entity in entities if HUMAN in _values(entity, INSTANCE)]
    if person.sex != UNKNOWN:
        humans = [entity for entity in humans if _sex(entity) in (person.sex, None)]
    if person.nationality == UNKNOWN:
        return humans, len(humans) < 2
    same = [entity for entity in humans if await _same_nationality(settings, visit, person, entity) is not False]
    return same or humans, len(same) == 1 or not humans


def _sex(entity: Entity) -> str | None:
    return next((SEXES[value] for value in _values(entity, SEX) if value in SEXES), None)


async def _same_nationality(settings: Wikimedia, visit: Visit, person: Person, entity: Entity) -> bool | None:
    """Whether an item is of the nationality that the metadata name, by any name of a country; None: nobody knows."""
    countries = _values(entity, CITIZEN)
    if person.nationality == UNKNOWN or not countries:
        return None
    wanted = fold_name(person.nationality)
    for country in await _entities(settings, visit, countries, "labels|aliases"):
        names = [_in(country.get("labels"), language) for language in settings.languages]
        for language in settings.languages:
            aliases = (country.get("aliases") or {}).get(language) or []
            names += [each.get("value") for each in aliases if isinstance(each, dict)]
        if wanted in {fold_name(name) for name in names if name}:
            return True
    return False


def _choice(entity: Entity, language: str) -> Choice:
    label, said = (plain(_in(entity.get(part), language)) or "" for part in ("labels", "descriptions"))
    return Choice(id=str(entity.get("id")), label=label, description=said)


def _in(texts: Any, language: str) -> str | None:
    """A text of an item in a language, or in whichever it is given."""
    texts = texts if isinstance(texts, dict) else {}
    found: Any = texts.get(language) or next(iter(texts.values()), {})
    return found.get("value") if isinstance(found, dict) else None


def _values(entity: Entity, prop: str) -> list[str]:
    """The values of a property: texts, or ids of items; preferred ones first, deprecated ones never."""
    found: list[tuple[bool, str]] = []
    claims = entity.get("claims")
    for claim in (claims.get(prop) or []) if isinstance(claims, dict) else []:
        try:
            value = claim["mainsnak"]["datavalue"]["value"]
            rank = claim.get("rank")
        except (KeyError, TypeError, AttributeError):  # no value, or an unknown one
            continue
        text = value.get("id") if isinstance(value, dict) else value
        if isinstance(text, str) and rank != "deprecated":
            found.append((rank != "preferred", text))
    return [text for _, text in sorted(found, key=lambda each: each[0])]


async def _files(settings: Wikimedia, visit: Visit, person: Person, at: dict[str, Any]) -> Found:
    """A page of files: the item's images first, then those of its category, fifty at a time."""
    asked = {"action": "query", "prop": "imageinfo", "iiprop": "url|size|sha1|mime|extmetadata"}
    asked |= {"iiextmetadatafilter": "|".join(METADATA), "iiextmetadatalanguage": settings.language}
    images, category = at["images"], at["category"]
    if images:
        where = {"titles": "|".join(f"File:{name}" for name in images)}
    elif category is not None:
        where = {"generator": "categorymembers", "gcmtitle": f"Category:{category}", "gcmtype": "file"}
        where["gcmlimit"] = str(IDS)
    else:
        return Found()
    answer = await _ask(settings, visit, settings.commons_url, **asked, **where, **at["continue"])
    query = answer.get("query")
    pages = query.get("pages") if isinstance(query, dict) else None
    offers = list(_offers(person, pages if isinstance(pages, list) else [], at["rank"], at.get("seen", ())))
    following = {str(key): str(value) for key, value in (answer.get("continue") or {}).items()}
    seen = list(at.get("seen", ()))
    if images or settings.subcategories:
        seen += [offer.url for offer in offers]
    reached = {**at, "rank": at["rank"] + len(offers), "continue": following, "seen": seen}
    next_at = reached if following else await _next_category(settings, visit, person, reached)
    return Found(offers=offers, cursor=None if next_at is None else json.dumps(next_at))


async def _next_category(
    settings: Wikimedia, visit: Visit, person: Person, at: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Where to go on when images or a category are through: level by level below the person's; None: nowhere.

    Of a person's categories (`known`) so many are gone through (`taken`); how many are not is said at the end.
    """
    category = at["category"]
    if category is None:
        return None
    if at["images"]:
        return {**at, "images": []}
    depth, waiting, known = at.get("depth", 0), list(at.get("waiting", ())), list(at.get("known", (category,)))
    taken = at.get("taken", len(known))
    if depth < settings.subcategories:
        there = set(known)
        new = [each for each in await _below(settings, visit, category) if each not in there]
        next_ones = new[: MAX_CATEGORIES - taken]
        known, taken = [*known, *new], taken + len(next_ones)
        waiting += ([each, depth + 1] for each in next_ones)
    if not waiting:
        if len(known) > taken:
            logger.warning(
                "%s: %s has more than %d categories at Commons; at least %d are left out",
                *(visit.setting, person.name, MAX_CATEGORIES, len(known) - taken),
            )
        return None
    (category, depth), *waiting = waiting
    further = {"category": category, "depth": depth, "waiting": waiting, "known": known, "taken": taken}
    return {**at, **further, "continue": {}}


async def _below(settings: Wikimedia, visit: Visit, category: str) -> list[str]:
    """The names of the categories in a category, in the order of the answers."""
    asked = {"action": "query", "list": "categorymembers", "cmtitle": f"Category:{category}", "cmtype": "subcat"}
    asked["cmlimit"] = str(MAX_CATEGORIES)
    found: dict[str, None] = {}
    following: dict[str, str] = {}
    while True:
        answer = await _ask(settings, visit, settings.commons_url, **{**asked, **following})
        query = answer.get("query")
        members = query.get("categorymembers") if isinstance(query, dict) else None
        before = len(found)
        found |= {each["title"].partition(":")[2]: None for each in members or []}
        following = {str(key): str(value) for key, value in (answer.get("continue") or {}).items()}
        if not members or not following or not before < len(found) < MAX_LISTED:
            return list(found)


def _offers(person: Person, pages: Iterable[Any], rank: int, seen: Sequence[str]) -> Iterator[PhotoUrl]:
    """The files of an answer that are photos that can be decoded, but for those offered before."""
    for page in pages:
        try:
            info = page["imageinfo"][0]
        except (KeyError, TypeError, IndexError):  # a file that is missing or hidden
            continue
        url = link(info.get("url"))
        if url is None or url in seen or info.get("mime") not in DECODED:
            continue
        extra = info.get("extmetadata")
        said = {name: plain((extra.get(name) or {}).get("value")) for name in METADATA} if extra else {}
        licence_url = link(said.get("LicenseUrl"))
        author = said.get("Artist")
        yield PhotoUrl(
            words=person.identity,
            key=url,
            url=url,
            licence=licence_name(said.get("LicenseShortName") or said.get("UsageTerms"), licence_url),
            licence_url=licence_url,
            author=author,
            attribution=said.get("Attribution") or (f"{author}, via Wikimedia Commons" if author else None),
            restrictions=said.get("Restrictions"),
            page_url=link(info.get("descriptionurl")),
            rank=rank,
        )
        rank += 1
