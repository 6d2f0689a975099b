"""HTML elements as Python calls. Text is escaped unless it is `Html`, so that no name can become markup."""

from __future__ import annotations

from html import escape

VOID = frozenset({"img", "meta", "rect", "line", "path", "circle"})


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def element(tag: str, *children: str | None, **attributes: str | int | float | bool | None) -> Html:
    """One element; None children and None attributes are left out. `class_` is `class`, `view_box` is `viewBox`."""
    names = "".join(
        f' {_NAMES.get(name, name).replace("_", "-")}="{escape(_text(value))}"'
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in VOID:
        return Html(f"<{tag}{names}>" if tag in ("img", "meta") else f"<{tag}{names}/>")
    return Html(f"<{tag}{names}>{join(*children)}</{tag}>")


def join(*children: str | None) -> Html:
    """Children one after the other, escaped where they are plain text."""
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children if child is not None))


def table(label: str, headings: list[str], rows: list[list[str]], *, numeric: bool = True) -> Html:
    """A table in a box of its own that scrolls sideways, by the keyboard, too; `label` names it to those who hear it.

    With `numeric`, columns but the first are right-aligned.
    """
    head = element("tr", *(element("th", text, scope="col") for text in headings))
    body = [
        element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])) for row in rows
    ]
    content = element("table", element("thead", head), element("tbody", *body), class_="numeric" if numeric else None)
    return scrolling("div", content, label=label, class_="scroll")


def scrolling(tag: str, *children: str | None, label: str, class_: str | None = None) -> Html:
    """An element that scrolls by itself and that the keyboard reaches, as a group with a name."""
    return element(tag, *children, class_=class_, tabindex=0, role="group", aria_label=label)


def note(*children: str | None) -> Html:
    """A sentence in place of what is not there."""
    return element("p", *children, class_="note")


def share(part: float, whole: float) -> str:
    """A share in per cent; a dash of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


_NAMES = {"class_": "class", "view_box": "viewBox", "preserve_aspect_ratio": "preserveAspectRatio"}


def _text(value: str | int | float | bool) -> str:
    if value is True:
        return ""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
