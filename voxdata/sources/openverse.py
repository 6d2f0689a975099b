"""Photos that Openverse finds for a name: openly licensed works of Flickr, museums and others.

`GET /v1/images/?q="NAME"&page=…&page_size=…` answers with `result_count`, `page_count` and `results`, each with its
url, licence, version, creator, attribution and landing page (docs.openverse.org, API). Anonymous clients get 20 results
a page and few requests; a token, for which one registers, more: pace and page size are settings. Openverse searches
titles and tags, so a photo may show another person of the name: a recipe with this source wants
`faces.measure.embedding_model`, which tells strangers apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from voxdata.crawl.hosts import ApiLimits
from voxdata.recipe.sources import PhotoSource
from voxdata.sources.answers import answered, key_in, link, object_in, plain
from voxdata.sources.kinds import Found, Person, PhotoKind, PhotoUrl, Place, Visit, everybody
from voxdata.sources.licences import licence_name

ANONYMOUS_PAGE = 20  # results; more are answered with 401
MAX_QUERY = 200  # characters that the service reads


class Openverse(PhotoSource):
    """Openly licensed photos that Openverse finds for the names of the build's people."""

    kind: Literal["openverse"] = "openverse"
    api_url: str = Field("https://api.openverse.org/v1/images/", description="its image search")
    key_env: str | None = Field(
        None, description="environment variable with an access token; null: anonymous, at most 20 results a page"
    )
    key_block: str | None = Field(None, description="Prefect secret block that flows read `key_env` from")
    page_size: int = Field(20, ge=1, le=500, description="results per request; anonymous clients get at most 20")
    max_pages: int = Field(12, ge=1, le=20, description="pages asked for per person; Openverse serves 12 to 20")
    requests_per_minute: float = Field(
        20.0, gt=0, description="pace; 20 for anonymous clients, 100 with a token, as the service says"
    )
    parameters: dict[str, str] = Field(
        {}, description="further parameters, as {license_type: commercial, source: flickr, category: photograph}"
    )

    @property
    def given(self) -> bool:
        """It always says where the photos are."""
        return True

    @model_validator(mode="after")
    def _within_its_limits(self) -> Openverse:
        if self.key_block is not None and self.key_env is None:
            raise ValueError(f"key_block={self.key_block} needs key_env, the variable that its value is put into")
        if self.key_env is None and self.page_size > ANONYMOUS_PAGE:
            raise ValueError(f"page_size={self.page_size} needs a token: set key_env, or page_size=20")
        return self


def check(settings: Openverse, setting: str) -> None:
    """Raises `SourceError` where the recipe names a token that is not there."""
    key_in(settings.key_env, setting)


def place(settings: Openverse) -> Place:
    """Photos are named by their whole urls."""
    return Place(address="", host="openverse.org")


@answered
async def find_person(settings: Openverse, visit: Visit, person: Person, cursor: str | None) -> Found:
    """A page of what is found for somebody's name. Raises `SourceError` where the token is refused."""
    page = int(cursor or 1)
    query = f'"{person.name.replace(chr(34), "")}"'[:MAX_QUERY]
    params = {**settings.parameters, "q": query, "page": str(page), "page_size": str(settings.page_size)}
    key = key_in(settings.key_env, visit.setting)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    pace = ApiLimits(connections=1, delay_s=60 / settings.requests_per_minute)
    answer = object_in(
        await visit.fetcher.api(settings.api_url, params, headers, pace), visit.setting, settings.key_env
    )
    results = answer["results"]
    offers = list(_offers(person, results, (page - 1) * settings.page_size))
    last = min(int(answer["page_count"]), settings.max_pages)
    return Found(offers=offers, cursor=str(page + 1) if results and page < last else None)


OPENVERSE = PhotoKind(
    settings=Openverse, find=everybody(find_person), find_person=find_person, check=check, place=place
)


def _offers(person: Person, results: list[Mapping[str, Any]], rank: int) -> Iterator[PhotoUrl]:
    for number, result in enumerate(results, start=rank):
        url = link(result.get("url"))
        if url is None:
            continue
        licence_url = link(result.get("license_url"))
        short = " ".join(part for name in ("license", "license_version") if (part := plain(result.get(name))))
        yield PhotoUrl(
            words=person.identity,
            key=url,
            url=url,
            licence=licence_name(f"cc {short}" if short.startswith("by") else short, licence_url),
            licence_url=licence_url,
            author=plain(result.get("creator")),
            attribution=plain(result.get("attribution")),
            page_url=link(result.get("foreign_landing_url")),
            rank=number,
        )
