"""A page's HTML, taken apart into tags in linear time, as browsers do (the tokenizer of the HTML standard).

What owners say in `<meta>` and the tree of which links and pictures are read come from the same tags. The tree is made
of HTML that is written anew from them, with no more attributes than are read of it: libxml2 compares each attribute of
a tag with all before it, which takes hours where there are 400,000, and its versions differ in what they take for a
script, so that a page could hide such a tag from any check of its bytes.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from charset_normalizer import from_bytes
from lxml import etree, html

from voxdata.format.html_text import unescaped

MAX_PAGE_BYTES = 4 << 20  # of which a page is read; a tree takes about 20 times that in memory
# What is read of a page.
ATTRIBUTES = frozenset({"href", "rel", "src", "srcset", "name", "http-equiv", "property", "content"}) | {
    f"data-{name}" for name in ("src", "srcset", "original", "lazy-src")
}
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
MISLABELLED = 10  # with more wrong bytes to each letter that fits, no page is UTF-8, whatever it states
_ASCII = bytes(range(32, 127))
_META = re.compile(rb"charset[ \t]{0,8}=[ \t]{0,8}[\"']?([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE)
_META_BYTES = 1024  # where HTML wants it
_CHARSET = re.compile(r"charset\s{0,4}=\s{0,4}[\"']?([\w.:-]{2,40})", re.IGNORECASE)
_ENCODINGS = re.compile(
    r"utf-(8|16-le|16-be)|cp(125[0-8]|866|874|932|949|950)|iso8859-\d{1,2}|koi8-[ru]|mac-(roman|cyrillic)"
    r"|gb2312|gbk|gb18030|hz|big5|big5hkscs|euc_(jp|kr|jis_2004|jisx0213)|johab|tis-620"
    r"|shift_(jis|jis_2004|jisx0213)|iso2022_(jp|kr)"
)

_CURLY = "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f"
_BLANK = r"[\t\n\f\r ]"
_MARK = re.compile(r"<(?:(/?)([a-zA-Z][^\t\n\f\r />]*+)|(!--)|[!?/])")
# None of these goes back: a value whose quote is not closed matches up to the end of the page. Curly quotes, which word
# processors write, quote nothing in HTML; what stands in them is kept together, as its author means it.
_ATTRIBUTE = re.compile(
    rf"(?:{_BLANK}|/)*+(?:(>)|(=?[^\t\n\f\r />=]*+)"
    rf"(?:{_BLANK}*+={_BLANK}*+(?:\"([^\"]*+)(?:\"|\Z)|'([^']*+)(?:'|\Z)"
    rf"|((?:[{_CURLY}][^{_CURLY}>]*+[{_CURLY}])?+[^\t\n\f\r >]*+)))?+)"
)
_COMMENT_END = re.compile(r"-?>|.*?--!?>", re.DOTALL)
_SILENT = frozenset({"script", "style", "xmp", "iframe", "noembed", "noframes"})  # what is in them is no page's
_TEXT_ONLY = frozenset({"title", "textarea"})
_ENDS = {
    name: re.compile(rf"</{name}(?=[\t\n\f\r />]|\Z)", re.IGNORECASE | re.ASCII)
    for name in (*_SILENT, *_TEXT_ONLY, "noscript")
}
_DRAWN_ENDS = {
    name: re.compile(rf"</(?:{name}|svg|math)(?=[\t\n\f\r />]|\Z)", re.IGNORECASE | re.ASCII)
    for name in (*_SILENT, *_TEXT_ONLY)
}
# Where a page begins so, `<script src="a.js"/>` is a whole element; so it is in drawings and formulas of every page.
_XHTML = re.compile(
    r"\s{0,64}<\?xml\s|.{0,4000}?<(?:!doctype[^>]{1,400}xhtml|html[^>]{1,1000}[\"']http://www\.w3\.org/1999/xhtml[\"'])",
    re.IGNORECASE | re.DOTALL,
)
_FOREIGN = frozenset({"svg", "math"})
_WITHIN_FOREIGN = frozenset({"foreignobject", "desc", "title"})  # what is in them is HTML again
_LEAVES_FOREIGN = re.compile(
    "b|big|blockquote|body|br|center|code|dd|div|dl|dt|em|embed|h[1-6]|head|hr|i|img|li|listing|menu|meta|nobr|ol|p|pre"
    "|ruby|s|small|span|strong|strike|sub|sup|table|tt|u|ul|var"
)


@dataclass(frozen=True, slots=True)
class Tag:
    """The beginning of an element: its name and those of its `ATTRIBUTES`, of several with one name the first."""

    name: str
    attributes: Mapping[str, str]


def page_tags(text: str) -> list[Tag]:
    """The elements of a page, in its order; those that a script or a comment without an end would hide, too."""
    return [part for part in _Parts(text, hidden=True) if isinstance(part, Tag)]


def page_tree(text: str) -> Any:
    """A page as libxml2's tree, without scripts and comments; None for an empty one."""
    written = "".join(part if isinstance(part, str) else _written(part) for part in _Parts(text, hidden=False))
    parser = html.HTMLParser(encoding="utf-8", no_network=True, huge_tree=False)
    try:
        # Surrogates come from UTF-16 pages cut in the middle of a character.
        return html.document_fromstring(written.encode("utf-8", "replace"), parser=parser)
    except (etree.LxmlError, ValueError):
        return None


def charset_of(headers: Mapping[str, str]) -> str | None:
    """The encoding that the headers of an answer state (keys in lower case)."""
    found = _CHARSET.search(headers.get("content-type", ""))
    return found[1] if found else None


class _Parts:
    """Tags, and what stands between them as HTML that no parser takes for anything but text and ends of elements.

    What stands in `<noscript>` ends where that does, whatever it holds: to browsers that run scripts it is one text.
    With `hidden`, what a script, a title or a comment without an end would hide is parted, too, and so is what stands
    in a style of a drawing, as in browsers: what an owner says counts wherever he may have meant it to.
    """

    def __init__(self, text: str, *, hidden: bool) -> None:
        self._text, self._at, self._until, self._hidden = text, 0, len(text), hidden
        self._xhtml = _XHTML.match(text) is not None
        self._foreign = _Foreign()
        self._endless: set[str] = set()  # what has no end from here on, so that it is not searched again and again
        self._around: tuple[int, _Foreign, set[str]] | None = None  # the page around the `<noscript>` that is read

    def __iter__(self) -> Iterator[Tag | str]:
        text = self._text
        while True:
            mark = _MARK.search(text, self._at, self._until)
            yield text[self._at : self._until if mark is None else mark.start()].replace("<", "&lt;")
            if mark is None:
                if self._leave():
                    continue
                return
            self._at = mark.end()
            if mark[3]:
                end = self._end("!--", _COMMENT_END.match)
                self._at = end.end() if end is not None else self._at if self._hidden else self._until
            elif not mark[2]:
                self._at = text.find(">", self._at, self._until) + 1 or self._until
            else:
                name = mark[2].lower()
                attributes, closed, self._at = _attributes(text, self._at, self._until)
                if self._at < 0 or (name == "plaintext" and not mark[1] and not self._is_whole(closed=closed)):
                    if self._leave():  # the page ends within the tag, which is none then, or with this one
                        continue
                    return
                if mark[1]:
                    self._foreign.end(name)
                    yield f"</{_name(name)}>"
                else:
                    yield Tag(name, attributes)
                    yield self._inside(name, closed=closed)

    def _is_whole(self, *, closed: bool) -> bool:
        return closed and (self._xhtml or self._foreign.inside)

    def _inside(self, name: str, *, closed: bool) -> str:
        """Go into an element that has begun, or behind what it holds where that is no HTML, which is returned."""
        whole, drawn = self._is_whole(closed=closed), self._foreign.inside
        if not closed:
            self._foreign.begin(name)
        if whole:
            return f"</{name}>" if name in _DRAWN_ENDS else ""
        if name == "noscript" and self._around is None and not drawn:
            end = self._end(name, _ENDS[name].search)
            if end is not None:
                self._around = self._until, self._foreign, self._endless
                self._until, self._foreign, self._endless = end.start(), _Foreign(), set()
        if name not in _DRAWN_ENDS or (drawn and self._hidden):
            return ""
        end = self._end(f"{name} {drawn}", (_DRAWN_ENDS if drawn else _ENDS)[name].search)
        if end is None and self._hidden:
            return ""
        begins, self._at = self._at, self._until if end is None else end.start()
        text = self._text[begins : self._at].replace("<", "&lt;") if name in _TEXT_ONLY else ""
        return text if end is not None and end[0].lower() == f"</{name}" else f"{text}</{name}>"

    def _end(self, of: str, find: Callable[[str, int, int], re.Match[str] | None]) -> re.Match[str] | None:
        found = None if of in self._endless else find(self._text, self._at, self._until)
        if found is None:
            self._endless.add(of)
        return found

    def _leave(self) -> bool:
        """Go on behind the `<noscript>` that is read; False where there is none."""
        if self._around is None:
            return False
        self._at = self._until
        self._until, self._foreign, self._endless = self._around
        self._around = None
        return True


class _Foreign:
    """Whether a page is within SVG or MathML, where no element's content is read as raw text (HTML, 13.2.6.5)."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._count = dict.fromkeys((*_FOREIGN, *_WITHIN_FOREIGN), 0)

    @property
    def inside(self) -> bool:
        return bool(self._open) and self._open[-1] in _FOREIGN

    def begin(self, name: str) -> None:
        if self.inside and _LEAVES_FOREIGN.fullmatch(name):
            self._leave()
        elif name in _FOREIGN or (self.inside and name in _WITHIN_FOREIGN):
            self._open.append(name)
            self._count[name] += 1

    def end(self, name: str) -> None:
        if self.inside and _LEAVES_FOREIGN.fullmatch(name):  # of an element around it, which ends it, too
            self._leave()
        elif self._count.get(name):  # without this, ends of what is not open would each search all that is
            while self._pop() != name:
                pass

    def _leave(self) -> None:
        while self.inside:
            self._pop()

    def _pop(self) -> str:
        name = self._open.pop()
        self._count[name] -= 1
        return name


def _attributes(text: str, at: int, until: int) -> tuple[dict[str, str], bool, int]:
    """The attributes of the tag whose name ends at `at`, whether it ends with `/>`, and where.

    It ends at -1 where the page, which is read up to `until`, ends first.
    """
    found: dict[str, str] = {}
    while at < until:
        match = _ATTRIBUTE.match(text, at, until)
        if match is None:  # cannot be: each part of the pattern may be empty
            break
        before, at = at, match.end()
        if match[1]:
            return found, text.endswith("/", before, at - 1), at
        name = match[2].lower()
        if name in ATTRIBUTES:
            value = match[3] or match[4] or match[5] or ""
            found.setdefault(name, unescaped(value))
    return found, False, -1


def _written(tag: Tag) -> str:
    said = "".join(f' {name}="{escape(value)}"' for name, value in tag.attributes.items() if name != "http-equiv")
    return f"<{_name(tag.name)}{said}>"


def _name(name: str) -> str:
    """The name of an element; one that is no word is of no use here, and another parser may take it for more.

    What `<plaintext>` hides is not written.
    """
    return name if name.isascii() and name.isalnum() and name != "plaintext" else "span"


def decoded(data: bytes, charset: str | None) -> str:
    """A page's text, of its first `MAX_PAGE_BYTES`; `charset` is what the HTTP header says.

    What fits no encoding at all is replaced by U+FFFD. So is the odd byte that is wrong in a page of UTF-8: another
    encoding that fits all bytes would make another name of each name in it.
    """
    cut = len(data) > MAX_PAGE_BYTES
    data = data[:MAX_PAGE_BYTES]
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _read(data[len(mark) :], encoding, cut=cut)
    meta = _META.search(data[:_META_BYTES])
    in_meta = _encoding(meta[1].decode() if meta else None)
    if in_meta is not None and in_meta.startswith("utf-16"):
        in_meta = "utf-8"  # as the standard says: in UTF-16 the words could not have been found
    text = _read(data, "utf-8", cut=cut)
    wrong, fits = _letters(text)
    wrong -= data.count("\ufffd".encode())  # those that the page has itself
    for known in (_encoding(charset), in_meta):
        if known == "utf-8" and wrong <= MISLABELLED * (fits + 1):
            return text
        if known not in (None, "utf-8"):
            stated = _read(data, known, cut=cut)
            odd, letters = _letters(stated)
            if not odd or (odd * MISLABELLED <= letters and wrong > fits):
                return stated
    if wrong <= fits:
        return text
    # An encoding that is not ASCII in its tags would hide what the page says.
    guesses = (each.encoding for each in from_bytes(data[: 1 << 16]))
    likely = next((guess for guess in guesses if _ASCII.decode(guess, "replace") == _ASCII.decode()), "cp1252")
    return _read(data, likely, cut=cut)


def _letters(text: str) -> tuple[int, int]:
    """How often something is replaced in a text, and how many other letters beyond ASCII there are."""
    replaced = text.count("\ufffd")
    return replaced, len(text) - len(text.encode("ascii", "ignore")) - replaced


def _read(data: bytes, encoding: str, *, cut: bool) -> str:
    """The text of bytes; where they are cut, without the beginning of a letter at their end."""
    return codecs.getincrementaldecoder(encoding)("replace").decode(data, final=not cut)


def _encoding(stated: str | None) -> str | None:
    """The encoding that a page states, where it is one that browsers know (encoding.spec.whatwg.org).

    Python knows more that are none of a page's, and takes minutes over some of them (punycode).
    """
    try:
        name = codecs.lookup(stated).name if stated else ""
    except (LookupError, ValueError):
        return None
    # Browsers read latin-1 as windows-1252, which is what pages that say so are written in. What has a byte order mark
    # is not asked what it states; Python refuses UTF-16 without one.
    known = {"iso8859-1": "cp1252", "ascii": "cp1252", "utf-16": "utf-16-le"}.get(name, name)
    return known if _ENCODINGS.fullmatch(known) else None
