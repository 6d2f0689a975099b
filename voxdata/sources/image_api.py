"""Photos that a JSON image search of the user's choice finds for a name; the recipe says how it is asked and read.

`url` is the address of the search with its parameters, in which `{name}`, `{page}`, `{offset}`, `{count}` and
`{cursor}` stand for values. `fields` says where in an answer things are, as dotted paths (`properties.url`). What a
service's terms allow is between it and the user who has its key; pages of search results are not read by this or any
other source. docs/crawl.md has the settings of two services.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, urlsplit

from pydantic import Field, model_validator

from voxdata.crawl.hosts import ApiLimits
from voxdata.format.errors import SourceError, brief, several
from voxdata.recipe.sources import PhotoSource
from voxdata.sources.answers import answered, key_in, link, object_in, plain
from voxdata.sources.kinds import Found, NoAnswerError, Person, PhotoKind, PhotoUrl, Place, Visit, everybody
from voxdata.sources.licences import licence_name

OF_PHOTO = ("url", "licence", "licence_url", "author", "attribution", "page_url")
OF_ANSWER = ("results", "page_count", "next_cursor", "error")
VALUES = ("name", "page", "offset", "count", "cursor")


class ImageApi(PhotoSource):
    """Photos of a JSON image search, asked for the names of the build's people with the user's own key."""

    kind: Literal["image-api"] = "image-api"
    fields: dict[str, str] = Field(
        {"results": "results", "url": "url"},
        description="where in an answer things are, as dotted paths: `results`, the list; of a result `url`, "
        "`licence`, `licence_url`, `author`, `attribution`, `page_url`; of the answer `page_count`, `next_cursor`, "
        "`error`",
    )
    ok: dict[str, str] = Field({}, description="values that every good answer has, as {stat: ok}; others are errors")
    licence_names: dict[str, str] = Field(
        {}, description="names of licences that the service numbers, as {4: CC-BY-2.0}"
    )
    key_env: str | None = Field(None, description="environment variable with the key; null: no key is needed")
    key_block: str | None = Field(None, description="Prefect secret block that flows read `key_env` from")
    key_header: str | None = Field(None, description="header that takes the key, as X-Subscription-Token")
    key_prefix: str = Field("", description="what stands before the key in the header, as `Bearer `")
    key_parameter: str | None = Field(None, description="parameter that takes the key, where no header does")
    page_size: int = Field(50, ge=1, le=500, description="value of {count}: results per request")
    max_pages: int = Field(1, ge=1, le=100, description="pages asked for per person")
    requests_per_minute: float = Field(60.0, gt=0, description="pace that the service allows")

    @property
    def given(self) -> bool:
        """Whether the recipe says where the search is."""
        return self.url is not None

    @model_validator(mode="after")
    def _says_how(self) -> ImageApi:
        if self.url is None or "{name}" not in self.url:
            raise ValueError(f"url={self.url} must have {{name}}, as in https://api.example.org/images?q={{name}}")
        try:
            self.url.format_map(dict.fromkeys(VALUES, ""))
        except (KeyError, ValueError, IndexError, AttributeError) as error:
            said = f"{{{error.args[0]}}}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"url={self.url}: {said} is unknown; there are {{{'}, {'.join(VALUES)}}}") from None
        unknown = sorted(set(self.fields) - {*OF_PHOTO, *OF_ANSWER})
        missing = [name for name in ("results", "url") if name not in self.fields]
        if unknown or missing:
            raise ValueError(
                f"fields has {', '.join(self.fields)}; it needs results and url, and may have others of "
                f"{', '.join([*OF_ANSWER, *OF_PHOTO])}"
            )
        if self.key_env is not None and (self.key_header is None) == (self.key_parameter is None):
            raise ValueError(f"key_env={self.key_env} needs one of key_header and key_parameter")
        if self.key_env is None and (self.key_header or self.key_parameter or self.key_block):
            raise ValueError("key_header, key_parameter and key_block need key_env, the variable that has the key")
        if self.max_pages > 1 and not any(f"{{{name}}}" in self.url for name in ("page", "offset", "cursor")):
            raise ValueError(
                f"max_pages={self.max_pages}: url={self.url} asks for the same page again and again; use "
                "{page}, {offset} or {cursor} in it"
            )
        return self


def check(settings: ImageApi, setting: str) -> None:
    """Raises `SourceError` where the recipe names a key that is not there."""
    key_in(settings.key_env, setting)


def place(settings: ImageApi) -> Place:
    """Photos are named by their whole urls."""
    return Place(address="", host=urlsplit(str(settings.url)).hostname)


@answered
async def find_person(settings: ImageApi, visit: Visit, person: Person, cursor: str | None) -> Found:
    """A page of what is found for somebody's name. Raises `SourceError` where the key is refused."""
    number, _, mark = (cursor or "1 ").partition(" ")
    page = int(number)
    values = {"name": person.name, "page": str(page), "offset": str((page - 1) * settings.page_size)}
    values |= {"count": str(settings.page_size), "cursor": mark}
    parts = urlsplit(str(settings.url))
    address = (
        f"{parts.scheme}://{parts.netloc}{parts.path.format_map({n: quote(v, safe='') for n, v in values.items()})}"
    )
    params = {name: text.format_map(values) for name, text in parse_qsl(parts.query, keep_blank_values=True)}
    headers: dict[str, str] = {}
    key = key_in(settings.key_env, visit.setting)
    if key is not None and settings.key_header is not None:
        headers[settings.key_header] = f"{settings.key_prefix}{key}"
    elif key is not None:
        params[str(settings.key_parameter)] = key
    pace = ApiLimits(connections=1, delay_s=60 / settings.requests_per_minute)
    fetched = await visit.fetcher.api(address, params, headers, pace)
    answer = object_in(fetched, visit.setting, settings.key_env)
    _check_answer(settings, visit, answer, address)
    results = _at(answer, settings.fields["results"])
    results = [] if results is None else list(results)
    offers = list(_offers(settings, person, results, (page - 1) * settings.page_size))
    following = _next(settings, answer, page) if results and page < settings.max_pages else None
    return Found(offers=offers, cursor=following)


IMAGE_API = PhotoKind(settings=ImageApi, find=everybody(find_person), find_person=find_person, check=check, place=place)


def _check_answer(settings: ImageApi, visit: Visit, answer: Mapping[str, Any], address: str) -> None:
    """Raises `SourceError` for an answer of status 200 that is an error: the next person's would be one, too."""
    for path, wanted in settings.ok.items():
        value = plain(_at(answer, path))
        if value != wanted:
            said = plain(_at(answer, settings.fields["error"])) if "error" in settings.fields else None
            raise SourceError(
                f"{visit.setting}: {address} answers {path} = {brief(value)}: {brief(said or 'it does not say why')}"
            )
    if _at(answer, settings.fields["results"]) is None and not settings.ok:
        there = several(answer) or "nothing"
        raise NoAnswerError(f"{address}: its answer has no {settings.fields['results']}; it has {there}")


def _next(settings: ImageApi, answer: Mapping[str, Any], page: int) -> str | None:
    """What asks for the page after this one: its number, and the service's own mark where it has one."""
    if "next_cursor" in settings.fields:
        mark = plain(_at(answer, settings.fields["next_cursor"]))
        return None if mark is None else f"{page + 1} {mark}"
    count = _at(answer, settings.fields["page_count"]) if "page_count" in settings.fields else None
    return None if count is not None and page >= int(count) else f"{page + 1} "


def _offers(settings: ImageApi, person: Person, results: list[Any], rank: int) -> Iterator[PhotoUrl]:
    for number, result in enumerate(results, start=rank):
        said = {name: _at(result, settings.fields[name]) for name in OF_PHOTO if name in settings.fields}
        url = link(said.get("url"))
        if url is None:
            continue
        licence, licence_url = plain(said.get("licence")), link(said.get("licence_url"))
        yield PhotoUrl(
            words=person.identity,
            key=url,
            url=url,
            licence=licence_name(settings.licence_names.get(licence or "", licence), licence_url),
            licence_url=licence_url,
            author=plain(said.get("author")),
            attribution=plain(said.get("attribution")),
            page_url=link(said.get("page_url")),
            rank=number,
        )


def _at(value: Any, path: str) -> Any:
    """What lies at a dotted path in an answer; a number counts in a list. None where there is nothing."""
    for name in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value
