"""Photos that Openverse finds for a name: openly licensed works of Flickr, museums and others.

`GET /v1/images/?q="NAME"&page=…&page_size=…` answers with `result_count`, `page_count` and `results`, each with its
url, licence, version, creator, attribution and landing page (docs.openverse.org, API). Anonymous clients get 20 results
a page and few requests; registered ones more: pace and page size are settings. Who has registered exchanges client id
and secret for an access token of some hours (`POST /v1/auth_tokens/token/`, client credentials as in RFC 6749, section
4.4); it is renewed before it expires, and kept in memory alone. Openverse searches titles and tags, so a photo may show
another person of the name: a recipe with this source wants `faces.measure.embedding_model`, which tells strangers
apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import urljoin
from weakref import WeakKeyDictionary

from pydantic import Field, model_validator

from voxdata.crawl.fetch import Fetcher
from voxdata.crawl.fetched import Fetched
from voxdata.crawl.hosts import ApiLimits
from voxdata.format.errors import SourceError
from voxdata.recipe.sources import PhotoSource
from voxdata.sources.answers import answered, key_in, link, object_in, plain
from voxdata.sources.kinds import Found, Person, PhotoKind, PhotoUrl, Place, Visit, everybody
from voxdata.sources.licences import licence_name

ANONYMOUS_PAGE = 20  # results; more are answered with 401
MAX_QUERY = 200  # characters that the service reads
TOKEN_PATH = "/v1/auth_tokens/token/"
RENEWED_S = 60.0  # a token is renewed so long before it expires

_TOKENS: WeakKeyDictionary[Fetcher, dict[tuple[str, str], tuple[str, float]]] = WeakKeyDictionary()


class Openverse(PhotoSource):
    """Openly licensed photos that Openverse finds for the names of the build's people."""

    kind: Literal["openverse"] = "openverse"
    api_url: str = Field("https://api.openverse.org/v1/images/", description="its image search")
    key_env: str | None = Field(
        None, description="environment variable with an access token; null: anonymous, at most 20 results a page"
    )
    key_block: str | None = Field(None, description="Prefect secret block that flows read `key_env` from")
    client_id_env: str | None = Field(
        None, description="environment variable with the client id of your registration; tokens are then fetched"
    )
    client_secret_env: str | None = Field(None, description="environment variable with the secret of that client id")
    client_secret_block: str | None = Field(
        None, description="Prefect secret block that flows read `client_secret_env` from"
    )
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
        if (self.client_id_env is None) != (self.client_secret_env is None):
            raise ValueError("client_id_env and client_secret_env name a registration together; give both")
        if self.client_secret_block is not None and self.client_secret_env is None:
            raise ValueError(
                f"client_secret_block={self.client_secret_block} needs client_secret_env, the variable that its value "
                "is put into"
            )
        if self.client_id_env is not None and self.key_env is not None:
            raise ValueError("key_env is a token, and client_id_env fetches one; give one of them")
        if self.key_env is None and self.client_id_env is None and self.page_size > ANONYMOUS_PAGE:
            raise ValueError(
                f"page_size={self.page_size} needs a token: set client_id_env and client_secret_env, or page_size=20"
            )
        return self


def check(settings: Openverse, setting: str) -> None:
    """Raises `SourceError` where the recipe names a token that is not there."""
    key_in(settings.key_env, setting)
    _credentials(settings, setting)


def place(settings: Openverse) -> Place:
    """Photos are named by their whole urls."""
    return Place(address="", host="openverse.org")


@answered
async def find_person(settings: Openverse, visit: Visit, person: Person, cursor: str | None) -> Found:
    """A page of what is found for somebody's name. Raises `SourceError` where the token is refused."""
    page = int(cursor or 1)
    query = f'"{person.name.replace(chr(34), "")}"'[:MAX_QUERY]
    params = {**settings.parameters, "q": query, "page": str(page), "page_size": str(settings.page_size)}
    fetched = await _search(settings, visit, params, renewed=False)
    if fetched.http_status == 401 and settings.client_id_env is not None:  # a token may be withdrawn before its time
        fetched = await _search(settings, visit, params, renewed=True)
    answer = object_in(fetched, visit.setting, settings.key_env or settings.client_id_env)
    results = answer["results"]
    offers = list(_offers(person, results, (page - 1) * settings.page_size))
    last = min(int(answer["page_count"]), settings.max_pages)
    return Found(offers=offers, cursor=str(page + 1) if results and page < last else None)


async def _search(settings: Openverse, visit: Visit, params: Mapping[str, str], *, renewed: bool) -> Fetched:
    token = key_in(settings.key_env, visit.setting) or await _token(settings, visit, renewed=renewed)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return await visit.fetcher.api(settings.api_url, params, headers, _pace(settings))


async def _token(settings: Openverse, visit: Visit, *, renewed: bool) -> str | None:
    """An access token of the registered client; None for an anonymous one. Raises `SourceError` where it is refused."""
    credentials = _credentials(settings, visit.setting)
    if credentials is None:
        return None
    tokens, now = _TOKENS.setdefault(visit.fetcher, {}), visit.fetcher.clock.now()
    token, until = tokens.get(credentials, ("", 0.0))
    if renewed or until - now < RENEWED_S:
        client_id, secret = credentials
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        url = urljoin(settings.api_url, TOKEN_PATH)
        fetched = await visit.fetcher.api(url, {}, {"Accept": "application/json"}, _pace(settings), form=form)
        if fetched.http_status in (400, 401, 403):
            raise SourceError(
                f"{visit.setting}: {url} refuses the client (status {fetched.http_status}); look at the id in "
                f"{settings.client_id_env} and the secret in {settings.client_secret_env}"
            )
        answer = object_in(fetched, visit.setting, settings.client_id_env)
        token, until = str(answer["access_token"]), now + float(answer["expires_in"])
        tokens[credentials] = token, until
    return token


def _credentials(settings: Openverse, setting: str) -> tuple[str, str] | None:
    """Client id and secret, where the recipe names them. Raises `SourceError` where a variable is not set."""
    client_id = key_in(settings.client_id_env, setting, "client_id_env")
    secret = key_in(settings.client_secret_env, setting, "client_secret_env")
    return (client_id, secret) if client_id and secret else None


def _pace(settings: Openverse) -> ApiLimits:
    return ApiLimits(connections=1, delay_s=60 / settings.requests_per_minute)


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
