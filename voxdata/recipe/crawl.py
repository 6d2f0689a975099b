"""How photos are asked for: the section `crawl` of a recipe."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field

from voxdata.recipe.effect import OnlyWith
from voxdata.recipe.section import Section, Share

OptOut = Literal[
    "noai",
    "noimageai",
    "noindex",
    "noimageindex",
    "meta-robots",
    "nofollow",
    "tdm-reservation",
    "tdmrep",
    "content-signal",
]
OPT_OUTS: tuple[OptOut, ...] = OptOut.__args__  # type: ignore[attr-defined]
# What snapshots of all times state of their crawl; a setting that came later is part of an id where it was changed.
_IN_EVERY_ID = (
    *("photos_per_identity", "max_file_mb", "user_agent", "connections_per_host"),
    *("delay_s", "timeout_s", "retries", "backoff_s"),
)
_NEVER_IN_IDS = ("contact", "connections", "memory_mb", "max_wait_s", "private_addresses", "max_failed_share")
ONLINE = OnlyWith("sources.photos.kind", but=("folder", "video", "webdataset"))
_NAMES_SOMEBODY = re.compile(r"https?://|mailto:|\S@\S")


class Recheck(Section):
    """After how many days what is settled is asked for again."""

    refused_days: float = Field(7.0, ge=0, description="401, 403, 451 and other refusals")
    not_found_days: float = Field(28.0, ge=0, description="404 and 410")
    opted_out_days: float = Field(28.0, ge=0, description="what its owner has opted out")
    no_photo_days: float = Field(28.0, ge=0, description="pages, drawings and other bytes that are no photo")
    searched_days: float = Field(90.0, ge=0, description="a person whom a source was asked for by name")
    stored_days: float | None = Field(
        None, ge=0, description="a photo that is stored, by a conditional request; null: never"
    )


class Crawl(Section):
    """How photos are collected (SF2F, App. B.1, data collection)."""

    photos_per_identity: int = Field(300, ge=1, description="photos taken per identity; the paper collects 300")
    max_file_mb: float = Field(64.0, gt=0, description="a larger file is logged as too_large and not stored")
    user_agent: Annotated[str, ONLINE] = Field(
        "voxdata",
        pattern="^[!-~]([ -~]*[!-~])?$",
        description="how the crawler names itself, in ASCII; say who runs it and how to reach you",
    )
    contact: Annotated[str | None, ONLINE] = Field(
        None,
        pattern=r"^(https?://|mailto:|[^\s@]+@)[!-~]+$",
        description="url or mail address of whoever runs the crawl, sent with every request; needed off this machine, "
        "unless user_agent has one",
    )
    connections: Annotated[int, ONLINE] = Field(
        64, ge=1, le=1024, description="requests under way at all hosts together"
    )
    connections_per_host: Annotated[int, ONLINE] = Field(4, ge=1, le=32, description="requests under way at one host")
    delay_s: Annotated[float, ONLINE] = Field(
        0.0, ge=0, description="pause between requests to one host; robots.txt may ask for more"
    )
    max_crawl_delay_s: Annotated[float, ONLINE] = Field(
        60.0, gt=0, description="a host whose robots.txt asks for a longer pause is left alone, and named"
    )
    timeout_s: Annotated[float, ONLINE] = Field(30.0, gt=0, description="limit of one request")
    retries: Annotated[int, ONLINE] = Field(
        3, ge=0, le=10, description="further tries after 429, 5xx or a broken connection"
    )
    backoff_s: Annotated[float, ONLINE, OnlyWith("crawl.retries", but=(0,))] = Field(
        0.5, gt=0, description="first pause before a retry; doubles each time"
    )
    max_wait_s: Annotated[float, ONLINE] = Field(
        30.0,
        ge=0,
        description="how long a crawl with nothing else to do waits for hosts that asked for a pause or do not answer; "
        "their photos are left for the next build",
    )
    memory_mb: Annotated[float, ONLINE] = Field(
        64.0, gt=0, description="photos held in memory before they are committed"
    )
    private_addresses: Annotated[list[str], ONLINE] = Field(
        [], description="hosts, host:port or networks that may be asked though they are not on the public network"
    )
    honour_agents: Annotated[list[str], ONLINE] = Field(
        [], description="further names whose rules in robots.txt are kept, for example GPTBot, CCBot"
    )
    opt_outs: Annotated[list[OptOut], ONLINE] = Field(
        list(OPT_OUTS), description="what owners say that keeps a photo or page out; the log says which"
    )
    recheck: Annotated[Recheck, ONLINE] = Recheck()
    max_failed_share: Annotated[Share, ONLINE] = Field(
        0.5, description="limit of photos on the web that did not answer or wait, of all that sources name"
    )

    @property
    def agent(self) -> str:
        """The header User-Agent, with the contact."""
        named = self.contact is None or self.contact in self.user_agent
        return self.user_agent if named else f"{self.user_agent} (+{self.contact})"

    @property
    def says_who(self) -> bool:
        """Whether whoever is asked can reach whoever asks."""
        return self.contact is not None or _NAMES_SOMEBODY.search(self.user_agent) is not None

    def result_settings(self) -> dict[str, Any]:
        """The settings that are part of a snapshot's id."""
        plain = Crawl().model_dump(mode="json")
        return {
            name: value
            for name, value in self.model_dump(mode="json").items()
            if name in _IN_EVERY_ID or (name not in _NEVER_IN_IDS and value != plain[name])
        }
