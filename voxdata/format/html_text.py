"""Text that was escaped for HTML."""

from __future__ import annotations

import re
from html import unescape

_LONG = re.compile(r"&#(?=[0-9]{20})0*+([0-9]*+)")
_DIGITS = 7  # of the last letter, U+10FFFF


def unescaped(text: str) -> str:
    """What an escaped text means: `html.unescape`, and U+FFFD for a number that is too long for `int`."""
    return unescape(_LONG.sub(_in_short, text)) if "&" in text else text


def _in_short(found: re.Match[str]) -> str:
    digits = found[1]
    return f"&#{(digits or '0') if len(digits) <= _DIGITS else '1114112'}"
