"""What notebooks show: tables with thumbnails, datasets, pairs, sounds, generated faces. Texts are escaped."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any, Protocol

import pyarrow as pa

KEYS = ("key", "face_id", "portrait", "face_key")  # columns that may name a portrait


class Shown(Protocol):
    """Where thumbnails come from (`voxdata.catalog.thumbnails.Portraits`)."""

    def thumbnail(self, key: str) -> bytes | None:
        """JPEG; None where the key is no portrait's, or its person must not be shown."""


def image(data: bytes, alt: str, kind: str = "jpeg") -> str:
    """A picture within the page; `alt` is what it shows, in words."""
    return f'<img src="data:image/{kind};base64,{base64.b64encode(data).decode()}" alt="{escape(alt)}">'


def audio(data: bytes) -> str:
    """A wav file within the page, to be played."""
    return f'<audio controls aria-label="clip" src="data:audio/wav;base64,{base64.b64encode(data).decode()}"></audio>'


def figure(pictures: Iterable[str], caption: str) -> str:
    """Pictures side by side over their caption."""
    return f"<figure>{' '.join(pictures)}<figcaption>{escape(caption)}</figcaption></figure>"


def facts_html(title: str, facts: Mapping[str, Any], below: str = "") -> str:
    """A title, a table of facts, and what comes below."""
    rows = "".join(f'<tr><th scope="row">{escape(str(k))}</th><td>{escape(str(v))}</td></tr>' for k, v in facts.items())
    return f"<div><strong>{escape(title)}</strong><table>{rows}</table>{below}</div>"


def table_html(table: pa.Table, total: int, portraits: Callable[[], Shown] | None) -> str:
    """The rows of a table, with thumbnails before those that name a portrait; `total` is how many rows there are."""
    rows: Sequence[Mapping[str, Any]] = table.to_pylist()
    pictures = _pictures(table, rows, portraits)
    named = (*(["thumbnail"] if any(pictures) else []), *table.column_names)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in named)
    body = "".join(
        f"<tr>{f'<td>{picture}</td>' if any(pictures) else ''}"
        f"{''.join(f'<td>{_cell(name, value)}</td>' for name, value in row.items())}</tr>"
        for picture, row in zip(pictures, rows, strict=True)
    )
    more = f"<p>{len(rows)} of {total} rows</p>" if len(rows) < total else f"<p>{total} row{'s' * (total != 1)}</p>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _pictures(
    table: pa.Table, rows: Sequence[Mapping[str, Any]], portraits: Callable[[], Shown] | None
) -> Sequence[str]:
    named = [name for name in KEYS if name in table.column_names]
    if portraits is None or not named:
        return [""] * len(rows)
    shown = portraits()
    found = []
    for row in rows:
        keys = [str(row[name]) for name in named]
        found.append(next((image(data, f"portrait {key}") for key in keys if (data := shown.thumbnail(key))), ""))
    return found


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return image(value, f"picture, column {name}") if value.startswith(b"\xff\xd8") else f"{len(value)} bytes"
    return escape(f"{value:.6g}" if isinstance(value, float) else str(value))
