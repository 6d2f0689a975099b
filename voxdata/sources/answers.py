"""Answers of JSON services: what came of a request, said so that a person can act; keys that never reach a log."""

from __future__ import annotations

import os
import re
from typing import Any

from voxdata.crawl.fetched import Fetched
from voxdata.format.errors import SourceError, brief
from voxdata.format.html_text import unescaped
from voxdata.format.json_text import read_json
from voxdata.sources.kinds import FindPerson, Found, NoAnswerError, Person, Visit

KEY_REFUSED = (401, 403)
_TAGS = re.compile(r"<[^<>]*>")


def answered(find_person: FindPerson) -> FindPerson:
    """`find_person` for which an answer of another form than the service documents is none: `NoAnswerError`."""

    async def find(settings: Any, visit: Visit, person: Person, cursor: str | None) -> Found:
        try:
            return await find_person(settings, visit, person, cursor)
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
            raise NoAnswerError(f"the answer has another form: {type(error).__name__}: {brief(error)}") from error

    return find


def object_in(answer: Fetched, setting: str, key_env: str | None = None) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises `SourceError` where the service refuses the key, or to answer without one, as it then answers nothing; and
    `NoAnswerError` for any other answer without such an object.
    """
    if answer.http_status in KEY_REFUSED:
        key = f"look at the key in {key_env}" if key_env else "it may want a key, or crawl.contact"
        raise SourceError(f"{setting}: {answer.url} refuses to answer (status {answer.http_status}); {key}")
    if answer.data is None:
        said = [str(part) for part in (answer.status, answer.http_status, answer.detail) if part is not None]
        raise NoAnswerError(f"{answer.url}: {' '.join(said)}")
    try:
        found = read_json(answer.data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise NoAnswerError(f"{answer.url}: its answer of {len(answer.data)} bytes is no JSON object")
    return found


def key_in(name: str | None, setting: str, called: str = "key_env") -> str | None:
    """The key in an environment variable; None where none is named. Raises `SourceError` where it is not set."""
    if name is None:
        return None
    value = os.environ.get(name, "").strip()
    if not value:
        raise SourceError(f"{setting}.{called}={name}: this environment variable is not set; run: export {name}=KEY")
    return value


def plain(value: Any) -> str | None:
    """A text of an answer as one line without markup, in valid UTF-8; None where there is nothing."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    text = " ".join(unescaped(_TAGS.sub(" ", str(value))).split())
    return text.encode("utf-8", "backslashreplace").decode() or None


def link(value: Any, base: str = "https:") -> str | None:
    """A url of an answer as it is written; one without a scheme (`//host/…`) has that of `base`. None for no url."""
    text = value.strip() if isinstance(value, str) else ""
    text = f"{base}{text}" if text.startswith("//") else text
    if not text.lower().startswith(("http://", "https://")):
        return None
    return text.replace(" ", "%20").encode("utf-8", "backslashreplace").decode()
