"""One spelling of a name: how a word is folded before it is compared.

`fold_name` keeps letters and digits, so that `Beyoncé` in NFC and in NFD, `beyonce` and `BEYONCE` are one word:

1. Case and compatibility forms go, as for a compatibility caseless match (The Unicode Standard, definition D146).
2. Accents go: combining diacritical marks, and the points of Hebrew and Arabic. `ü` is `u`, not `ue`. Marks that spell
   a letter stay: vowel signs of Indic scripts and of Thai, and the voicing marks of kana.
3. Letters with a stroke, ligatures and the like become what is written where they are missing (`LETTERS`): `ø` is
   `o`, `ł` is `l`, `æ` is `ae`, `ß` is `ss`.
4. Punctuation, blanks and underscores go; between two digits one underscore stays, because `clip_1_12` and
   `clip_11_2` are two ids.
5. Other scripts are kept: `Пётр` is `петр`, `李娜` is `李娜`. A word of nothing but marks stands for itself.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from typing import Final

# Letters that no normalisation takes apart, after case is gone.
LETTERS: Final = {
    "ø": "o",
    "ł": "l",
    "đ": "d",
    "ð": "d",
    "þ": "th",
    "ħ": "h",
    "ŧ": "t",
    "ı": "i",
    "ȷ": "j",
    "ŋ": "n",
    "ĸ": "k",
    "æ": "ae",
    "œ": "oe",
    "ɓ": "b",
    "ɗ": "d",
    "ƙ": "k",
}
NOBODY: Final = frozenset({"nan", "null", "none", "#n/a", "<na>"})  # how tables write that they have no name, caseless
MAYBE_NOBODY: Final = "NA"  # R writes so, and people are called so
MOST_WORDS: Final = 5  # of a name that is looked for in every order
_LETTERS: Final = str.maketrans(LETTERS)
_ACCENTS: Final = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f\U000e0100-\U000e01ef]"
    "|[\u02b0-\u02ff]"  # letters that modify others; as apostrophes they stand in names
)
_ASCII_MARKS: Final = re.compile(r"(\d)[\W_]+(?=\d)|[\W_]+")
_BLANKS: Final = re.compile(r"(\d) +(?=\d)| +")


def turned(name: str) -> list[str]:
    """The folded words of a name in each order, as `Riotraidel, Saigivean` and `Saigivean Riotraidel`; of one, none."""
    words = re.split(r"[\s,;_]+", name.strip(" ,;_"))
    return [fold_name(" ".join(each)) for each in itertools.permutations(words)] if 1 < len(words) <= MOST_WORDS else []


def nfc(name: str) -> str:
    """The name in Unicode's composed form (NFC), in which new ids are written."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def plain_name(name: str) -> str:
    """The name in NFC, without case, and with underscores for blanks, as metadata tables write them."""
    return nfc(name.strip().casefold().replace(" ", "_"))


def fold_name(name: str) -> str:
    """What a name is compared by; empty only for a name that is empty or blank."""
    caseless = name.lower() if name.isascii() else _caseless(name)
    if caseless.isascii():
        return _ASCII_MARKS.sub(_joint, caseless) or caseless.strip()
    plain = _ACCENTS.sub("", caseless).translate(_LETTERS)
    words = "".join(letter if unicodedata.category(letter)[0] in "LNM" else " " for letter in plain)
    return unicodedata.normalize("NFKD", _BLANKS.sub(_joint, words)) or caseless.strip()


def fold_name_as_before(name: str) -> str:
    """What names were folded to before letters like `ø` were: tombstones of that time hold hashes of this."""
    plain = name
    if not name.isascii():
        plain = "".join(letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
    return re.sub(r"[\W_]", "", plain.casefold()) or name


def shown(name: str) -> str:
    """A name for a message; two spellings that look the same are told apart."""
    return name if name == nfc(name) else f"{name} (in NFD)"


def _caseless(name: str) -> str:
    text = unicodedata.normalize("NFD", name)
    for _ in range(2):
        text = unicodedata.normalize("NFKD", text.casefold())
    return text


def _joint(gap: re.Match[str]) -> str:
    return f"{gap[1]}_" if gap[1] else ""
