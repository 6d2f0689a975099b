"""Wikidata and Commons on loopback, as the documentation of their action APIs says that they answer (formatversion 2).

/w/api.php       action=wbsearchentities, wbgetentities
/c/api.php       action=query, prop=imageinfo, of titles or of generator=categorymembers
/files/…         the files
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.crawl.loopback import Asked, serve

HUMAN = "Q5"
MALE, FEMALE = "Q6581097", "Q6581072"


def item(*ids: str) -> list[dict[str, Any]]:
    """Statements whose values are items."""
    return [
        {"mainsnak": {"datavalue": {"value": {"id": each}, "type": "wikibase-entityid"}}, "rank": "normal"}
        for each in ids
    ]


def text(*values: str, rank: str = "normal") -> list[dict[str, Any]]:
    """Statements whose values are texts."""
    return [{"mainsnak": {"datavalue": {"value": each, "type": "string"}}, "rank": rank} for each in values]


def person(
    label: str, *, said: str = "", aliases: tuple[str, ...] = (), **claims: list[dict[str, Any]]
) -> dict[str, Any]:
    """A human as Wikidata has them; claims by property."""
    return {
        "labels": {"en": {"language": "en", "value": label}},
        "aliases": {"en": [{"language": "en", "value": each} for each in aliases]},
        "descriptions": {"en": {"language": "en", "value": said}},
        "claims": {"P31": item(HUMAN), **claims},
    }


def country(label: str, *aliases: str) -> dict[str, Any]:
    """A country with the names that it goes by."""
    return {**person(label, aliases=aliases), "claims": {"P31": item("Q6256")}}


@dataclass
class Wiki:
    """What the wikis hold, and what goes wrong with the next requests (taken one after another)."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    categories: dict[str, list[str]] = field(default_factory=dict)
    subcategories: dict[str, list[str]] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)  # of a file, by its name
    mimes: dict[str, str] = field(default_factory=dict)
    faults: list[web.Response] = field(default_factory=list)
    per_page: int = 50
    files: Mapping[str, bytes] = field(default_factory=dict)
    asked: Asked = field(default_factory=lambda: Asked(""))

    @property
    def settings(self) -> dict[str, str]:
        """The settings of the source that lead here."""
        return {
            "kind": "wikimedia",
            "wikidata_url": f"{self.asked.url}/w/api.php",
            "commons_url": f"{self.asked.url}/c/api.php",
        }

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The answer to one request."""
        if request.path.startswith("/files/"):
            return web.Response(body=self.files[request.path.removeprefix("/files/")], content_type="image/jpeg")
        if self.faults:
            return self.faults.pop(0)
        asked = dict(request.query)
        assert asked["format"] == "json"
        assert asked["formatversion"] == "2"
        action = asked["action"]
        if action == "wbsearchentities":
            return web.json_response(self._search(asked))
        if action == "wbgetentities":
            return web.json_response(self._entities(asked))
        return web.json_response(self._files(asked))

    def _search(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """Items one of whose words begins with what is searched for, those that are called so first."""
        wanted = asked["search"].casefold()
        found = []
        for name, entity in self.items.items():
            labels, aliases = entity["labels"], entity["aliases"].get(asked["language"], [])
            words = [(labels.get(asked["language"]) or labels["en"])["value"], *(each["value"] for each in aliases)]
            word = next((word for word in words if word.casefold().startswith(wanted)), None)
            if word is not None:
                match = {"type": "label" if word == words[0] else "alias", "language": asked["language"], "text": word}
                found.append({"id": name, "label": words[0], "match": match})
        found.sort(key=lambda each: len(each["match"]["text"]))  # type: ignore[index, arg-type, call-overload]
        start, limit = int(asked["continue"]), int(asked["limit"])
        answer: dict[str, Any] = {"searchinfo": {"search": asked["search"]}, "search": found[start : start + limit]}
        if len(found) > start + limit:
            answer["search-continue"] = start + limit
        return {**answer, "success": 1}

    def _entities(self, asked: Mapping[str, str]) -> dict[str, Any]:
        ids = asked["ids"].split("|")
        if len(ids) > 50:
            return {"error": {"code": "toomanyvalues", "info": "Too many values supplied for parameter 'ids'"}}
        wanted, languages = asked["props"].split("|"), asked["languages"].split("|")
        there = {name: self.items.get(name) for name in ids}
        entities = {
            name: {"id": name, "missing": ""}
            if entity is None
            else {"type": "item", "id": name, **{part: self._part(entity[part], part, languages) for part in wanted}}
            for name, entity in there.items()
        }
        return {"entities": entities, "success": 1}

    def _part(self, content: dict[str, Any], part: str, languages: list[str]) -> dict[str, Any]:
        return content if part == "claims" else {name: said for name, said in content.items() if name in languages}

    def _files(self, asked: Mapping[str, str]) -> dict[str, Any]:
        following: dict[str, str] = {}
        if asked.get("list") == "categorymembers":
            assert asked["cmtype"] == "subcat"
            below = self.subcategories.get(asked["cmtitle"].removeprefix("Category:"), [])
            start, limit = int(asked.get("cmcontinue", "subcat|0").removeprefix("subcat|")), int(asked["cmlimit"])
            members = [{"pageid": 1, "ns": 14, "title": f"Category:{name}"} for name in below[start : start + limit]]
            if len(below) > start + limit:
                following = {"cmcontinue": f"subcat|{start + limit}", "continue": "-||"}
            more: dict[str, Any] = {"continue": following} if following else {"batchcomplete": True}
            return {**more, "query": {"categorymembers": members}}
        if "titles" in asked:
            names = [title.removeprefix("File:") for title in asked["titles"].split("|")]
        else:
            members = self.categories.get(asked["gcmtitle"].removeprefix("Category:"), [])
            start = int(asked.get("gcmcontinue", "file|0").removeprefix("file|"))
            names = members[start : start + self.per_page]
            if len(members) > start + self.per_page:
                following = {"gcmcontinue": f"file|{start + self.per_page}", "continue": "gcmcontinue||"}
        answer: dict[str, Any] = {"query": {"pages": [self._page(name) for name in names]}} if names else {}
        return {**answer, "continue": following} if following else {"batchcomplete": True, **answer}

    def _page(self, name: str) -> dict[str, Any]:
        if name.startswith("gone"):
            return {"ns": 6, "title": f"File:{name}", "missing": True, "imagerepository": ""}
        info = {
            "size": 1000,
            "width": 640,
            "height": 480,
            "url": f"{self.asked.url}/files/{name}",
            "descriptionurl": f"{self.asked.url}/wiki/File:{name}",
            "sha1": "0" * 40,
            "mime": self.mimes.get(name, "image/jpeg"),
            "extmetadata": {
                key: {"value": value, "source": "commons-desc-page"}
                for key, value in self.metadata.get(name, {}).items()
            },
        }
        return {"pageid": 1, "ns": 6, "title": f"File:{name}", "imagerepository": "local", "imageinfo": [info]}


@contextmanager
def serve_wiki(**holds: Any) -> Iterator[Wiki]:
    """The wikis on loopback."""
    wiki = Wiki(**holds)
    with serve(wiki.answer) as asked:
        wiki.asked = asked
        yield wiki
